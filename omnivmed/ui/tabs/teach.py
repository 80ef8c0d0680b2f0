"""The page "How pruning works": five steps on a real study, then the learner's own. Figures need no model; the model
in use answers at every step when it is asked to."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from html import escape
from pathlib import Path
from typing import Any

import gradio as gr

from omnivmed.inference.cards import title_of
from omnivmed.inference.options import AskOptions
from omnivmed.ui import texts
from omnivmed.ui.page import figures, parts, steps
from omnivmed.ui.page.charts import TOP
from omnivmed.ui.page.plots import chart_box, no_charts, shown_charts
from omnivmed.ui.page.upload import study_upload
from omnivmed.ui.tabs import teach_quiz
from omnivmed.ui.tabs.bench import QUIET, Bench
from omnivmed.ui.tabs.screen import Updates
from omnivmed.ui.visit import chat, opening
from omnivmed.ui.visit.background import Reporter
from omnivmed.ui.visit.lesson import FINE, LOOKS, Lesson, make_lesson, plans
from omnivmed.ui.visit.opened import OpenStudy
from omnivmed.ui.visit.opening import Opening
from omnivmed.ui.visit.samples import SAMPLES, find_sample
from omnivmed.ui.visit.session import Session
from omnivmed.ui.visit.studies import Context, label_of, open_study_files, still_needed
from omnivmed.ui.visit.uploads import FROM_HEADER

FIRST = "mr_head"
CHOICES = [(sample.name, sample.key) for sample in SAMPLES]
STEPS = 5
ANSWER_TOKENS = 64


@dataclass(frozen=True)
class TeachPage:
    """The components of the page. `steps`: one box for the figures of each step; `columns`: what each step stands in;
    `said`: what the model says at each step."""

    study: Any
    look: Any
    upload: Any
    status: Any
    question: Any
    ask: Any
    stop: Any
    place: Any
    threshold: Any
    reference: Any
    columns: tuple[Any, ...]
    steps: tuple[Any, ...]
    said: tuple[Any, ...]
    chart: Any
    quiz: teach_quiz.QuizPage


def build(context: Context) -> TeachPage:
    """Lay the page out; call inside `demo.route`."""
    gr.HTML(parts.header(context.settings, teaching=True), elem_id="ov-top", padding=False)
    columns: list[Any] = []
    boxes: list[Any] = []
    said: list[Any] = []

    def step(number: int) -> None:
        title, words, formula = texts.TEACH_STEPS[number - 1]
        line = f'<p class="ov-formula">{escape(formula)}</p>' if formula else ""
        gr.HTML(
            f'<div class="ov-teach"><h2>{number}. {escape(title)}</h2><p>{escape(words)}</p>{line}</div>',
            padding=False,
        )

    def figure() -> None:
        boxes.append(gr.HTML("", elem_id=f"teach-{len(boxes) + 1}", padding=False))

    def answer() -> None:
        said.append(gr.HTML("", elem_id=f"teach-said-{len(said) + 1}", padding=False))

    def screen(name: str) -> Any:
        return gr.Column(elem_id=f"teach-step-{name}", elem_classes=["ov-step"])

    with gr.Column(elem_classes=["ov-lesson"]):
        with screen("0"):
            gr.HTML(lecture_bar(), padding=False, elem_id="teach-lecture")
            study = gr.Radio(CHOICES, value=FIRST, label=texts.TEACH_STUDY, elem_id="teach-study")
            looks = [(texts.TEACH_LOOKS[name].format(model=context.service.name), name) for name in LOOKS]
            look = gr.Radio(looks, value=LOOKS[0], label=texts.TEACH_LOOK, elem_id="teach-look")
            status = gr.HTML(parts.progress(None), elem_id="teach-status", padding=False)
            with gr.Row(elem_id="teach-ask-row", equal_height=True):
                question = gr.Dropdown(
                    list(texts.TEACH_QUESTIONS["volume"]),
                    value=texts.TEACH_QUESTIONS["volume"][0],
                    label=texts.TEACH_QUESTION,
                    elem_id="teach-question",
                    scale=3,
                )
                ask = gr.Button(
                    texts.TEACH_ASK, variant="primary", elem_id="teach-ask", scale=2, min_width=150
                )
                stop = gr.Button(texts.STOP, interactive=False, elem_id="teach-stop", min_width=80)
        with screen("1") as column:
            columns.append(column)
            step(1)
            place = gr.Slider(
                1, FINE.max_frames - 1, 8, step=1, label=texts.TEACH_PLACE, elem_id="teach-place"
            )
            figure()
            answer()
        with screen("2") as column:
            columns.append(column)
            step(2)
            figure()
            answer()
        with screen("3") as column:
            columns.append(column)
            step(3)
            threshold = gr.Slider(
                0,
                TOP,
                context.settings.threshold,
                step=0.01,
                label=texts.THRESHOLD,
                elem_id="teach-threshold",
            )
            figure()
            answer()
            chart = chart_box("teach-chart")
        with screen("4") as column:
            columns.append(column)
            step(4)
            reference = gr.Radio(
                [(words, name) for name, words in texts.REFERENCES.items()],
                value="previous",
                label=texts.REFERENCE,
                elem_id="teach-reference",
            )
            figure()
            answer()
        with screen("5") as column:
            columns.append(column)
            step(5)
            figure()
            answer()
        with screen("quiz"):
            quiz = teach_quiz.build()
        with screen("6"):
            gr.HTML(
                f'<div class="ov-teach"><h2>{escape(texts.TEACH_OWN)}</h2>'
                f"<p>{escape(texts.TEACH_OWN_WORDS)}</p></div>",
                padding=False,
            )
            upload = study_upload("teach-upload")
    gr.HTML(parts.footer(context.limits, title_of(context.settings.model)), elem_id="ov-foot", padding=False)
    return TeachPage(
        study, look, upload, status, question, ask, stop, place, threshold, reference,
        tuple(columns), tuple(boxes), tuple(said), chart, quiz,
    )  # fmt: skip


def lecture_bar() -> str:
    """The buttons that show one step a screen and print all on one page; what they do is in `teach.js`."""
    return (
        f'<p class="ov-lecture-bar"><button type="button" data-lecture="begin">{escape(texts.TEACH_LECTURE)}</button>'
        f'<button type="button" data-lecture="print">{escape(texts.TEACH_HANDOUT)}</button>'
        f"<span>{escape(texts.TEACH_LECTURE_KEYS)}</span></p>"
    )


class Teach:
    """Handlers of the page."""

    def __init__(self, context: Context, page: TeachPage) -> None:
        self.context = context
        self.page = page
        self.quiz = teach_quiz.Quiz(context, page.quiz)

    def open_first(
        self, request: gr.Request, key: Any, look: Any, place: Any, threshold: Any, reference: Any
    ) -> Iterator[Updates]:
        """The study the address names (`teach?study=ct_abdomen`), else that of the tab before, else the chosen one."""
        there = self.context.store.open_in(dict(getattr(request, "headers", {})).get(FROM_HEADER))
        if there is not None and there.sample is None:
            yield from self.open_visited(request, there, look, place, threshold, reference)
            return
        named = str(dict(request.query_params or {}).get("study", there.sample if there else key))
        if any(named == known for _, known in CHOICES):
            yield {self.page.study: named}
            key = named
        yield from self.open_sample(request, key, look, place, threshold, reference)

    def open_visited(self, request: gr.Request, there: OpenStudy, *asked: Any) -> Iterator[Updates]:
        """A visitor's own study, which stays with the tab it is open in."""
        session = self.context.store.get(request.session_hash)
        own = OpenStudy(there.study, there.label, shared=True, confirmed=there.confirmed)
        made = opening.opening(session, session.begin_opening(), lambda tell: self._lesson(own, tell))
        yield from self._told(session, made, *asked)

    def open_sample(
        self, request: gr.Request, key: Any, look: Any, place: Any, threshold: Any, reference: Any
    ) -> Iterator[Updates]:
        """One of the ready studies."""
        session = self.context.store.get(request.session_hash)
        key = key if any(key == known for _, known in CHOICES) else FIRST

        def make(progress: Reporter) -> Lesson:
            study = self.context.shelf.open(key, progress)
            opened = OpenStudy(study, find_sample(key).name, sample=key, shared=True, confirmed=True)
            return self._lesson(opened, progress)

        made = opening.opening(session, session.begin_opening(), make)
        yield from self._told(session, made, look, place, threshold, reference)

    def open_files(
        self, request: gr.Request, files: Any, look: Any, place: Any, threshold: Any, reference: Any
    ) -> Iterator[Updates]:
        """The learner's own."""
        if not files:
            yield {self.page.status: gr.skip()}
            return
        session = self.context.store.get(request.session_hash)

        def make(taken: Sequence[Path], progress: Reporter) -> Lesson:
            study = open_study_files(self.context, session, taken, progress)
            return self._lesson(
                OpenStudy(study, label_of(study), sources=still_needed(study, taken)), progress
            )

        states = opening.uploaded(self.context, session, files, make)
        yield from self._told(session, states, look, place, threshold, reference)

    def _lesson(self, opened: OpenStudy, progress: Reporter) -> Lesson:
        service = self.context.service
        return make_lesson(opened, service.budget, service.name, progress)

    def _told(
        self,
        session: Session,
        states: Iterator[Opening],
        look: Any,
        place: Any,
        threshold: Any,
        reference: Any,
    ) -> Iterator[Updates]:
        page = self.page
        for state in states:
            if state.overtaken:
                # an update that says nothing, for the framework repeats the last
                yield {page.status: gr.skip()}
            elif state.error is not None:
                yield {page.status: parts.error(state.error)}
            elif state.received:
                yield {page.upload: None, page.status: parts.progress(None)}
            elif state.opened is None:
                yield {page.status: parts.progress(state.step)}
            elif isinstance(session.lesson, Lesson):
                yield self._begun(session.lesson, look, place, threshold, reference)

    def _begun(self, lesson: Lesson, look: Any, place: Any, threshold: Any, reference: Any) -> Updates:
        """Another study: what does not apply to it goes, questions fit it, earlier answers are no longer true."""
        page, kind = self.page, lesson.opened.study.kind
        several = len(lesson.view(look).frames) > 1
        questions = list(texts.TEACH_QUESTIONS[kind])
        updates: Updates = {
            page.look: gr.Radio(visible=several),
            page.question: gr.Dropdown(questions, value=next(iter(questions), None), visible=several),
            page.ask: gr.Button(visible=several),
            page.stop: gr.Button(visible=several),
            **{column: gr.Column(visible=several) for column in page.columns[1:]},
            **dict.fromkeys(page.said, ""),
            **self.quiz.cleared(),
        }
        if lesson.opened.sample is None:
            updates[page.study] = None  # a file of one's own is none of those above
        return updates | self._drawn(lesson, look, place, threshold, reference, fit=True)

    def draw(self, request: gr.Request, look: Any, place: Any, threshold: Any, reference: Any) -> Updates:
        """Another place, threshold or reference: all five figures again."""
        lesson = self.context.store.get(request.session_hash).lesson
        if not isinstance(lesson, Lesson):
            return {self.page.status: parts.error(texts.NO_STUDY)}
        return self._drawn(lesson, look, place, threshold, reference)

    def turn(self, request: gr.Request, look: Any, place: Any, threshold: Any, reference: Any) -> Updates:
        """The other way of looking: it has other frames, so the slider is another."""
        lesson = self.context.store.get(request.session_hash).lesson
        if not isinstance(lesson, Lesson):
            return {self.page.status: parts.error(texts.NO_STUDY)}
        return self._drawn(lesson, look, place, threshold, reference, fit=True)

    def _drawn(
        self, lesson: Lesson, look: Any, place: Any, threshold: Any, reference: Any, *, fit: bool = False
    ) -> Updates:
        page, view = self.page, lesson.view(look)
        options = AskOptions.bounded(self.context.limits, threshold, reference, place)
        mask = view.mask(options.threshold, options.reference)
        last = len(view.frames) - 1
        k = min(max(1, options.max_frames or 1), max(1, last))
        status = {page.status: parts.status(lesson.opened) + steps.taken_line(view)}
        slider = {page.place: gr.Slider(1, max(2, last), k, step=1, visible=last > 1)} if fit else {}
        if last < 1:
            alone = steps.alone_figure(view, mask)
            shown = dict(zip(page.steps, [alone, *[""] * (STEPS - 1)], strict=True))
            return {**status, **slider, **shown, page.chart: no_charts()}
        drawn = steps.step_figures(view, mask, k, lesson.opened.study.kind)
        chart = shown_charts(mask, view.curve(options.reference, TOP))
        return {**status, **slider, **dict(zip(page.steps, drawn, strict=True)), page.chart: chart}

    def begin(self, request: gr.Request) -> Updates:
        """The model is about to be asked."""
        session = self.context.store.get(request.session_hash)
        if not session.answering.locked():
            session.stop.clear()
        page = self.page
        return {page.ask: gr.Button(interactive=False), page.stop: gr.Button(interactive=True)}

    def ask(self, request: gr.Request, question: Any, threshold: Any, reference: Any) -> Iterator[Updates]:
        """One real answer a step, each under the mask its label names; changed words are marked against the first."""
        page, session = self.page, self.context.store.get(request.session_hash)
        yield dict.fromkeys(page.said, "")
        opened, whole = session.current, None
        for k, (value, rule, label) in enumerate(plans(threshold, reference)):
            options = AskOptions.bounded(self.context.limits, value, rule, None, ANSWER_TOKENS)
            # Of a volume the lesson is about the model's own words, right or wrong, not about what the file says.
            options = replace(options, alone=opened is not None and opened.study.kind == "volume")
            running = chat.ask(self.context, session, question, options, history=False, record=False)
            try:
                for state in running:
                    if state.answer is None:
                        shown = state.error or state.text or "…"
                        yield {page.said[k]: figures.said_figure(label, shown, "", None)}
                        continue
                    whole = state.answer.text if whole is None else whole
                    usage = state.answer.usage
                    facts = texts.TEACH_SAID_FACTS.format(
                        kept=usage.visual_tokens_after,
                        total=usage.visual_tokens_before,
                        seconds=state.answer.timings_s.total,
                    )
                    yield {page.said[k]: figures.said_figure(label, state.answer.text, facts, whole)}
            except chat.Refused as refusal:
                yield {page.said[k]: parts.error(refusal.message)}
                return
            finally:
                running.close()
            if session.stop.is_set() or session.current is not opened:
                return

    def stop(self, request: gr.Request) -> None:
        """No more answers."""
        session = self.context.store.peek(request.session_hash)
        if session is not None:
            session.stop.set()

    def finish(self) -> Updates:
        """All have answered, or it was stopped."""
        return {self.page.ask: gr.Button(interactive=True), self.page.stop: gr.Button(interactive=False)}


def wire(demo: gr.Blocks, page: TeachPage, context: Context) -> None:
    """Events of the page; call inside the same `demo.route`."""
    teach = Teach(context, page)
    heavy: dict[str, Any] = {
        **QUIET,
        "concurrency_id": "open",
        "concurrency_limit": context.limits.queue_size,
    }
    quick, light = Bench.quick, Bench.light
    # While a slider moves, only the newest place is drawn; keys and typed numbers draw as well as the pointer does.
    moving: dict[str, Any] = {**quick, "trigger_mode": "always_last"}
    asked = [page.look, page.place, page.threshold, page.reference]
    drawn = [page.status, *page.steps, page.chart]
    fitted = [*drawn, page.place]
    controls = [page.look, page.question, page.ask, page.stop]
    quizzed = teach_quiz.wire(context, page.quiz, [page.look, page.threshold, page.reference])
    outputs = [*fitted, page.study, *controls, *page.columns[1:], *page.said, *quizzed]
    demo.load(teach.open_first, [page.study, *asked], outputs, **quick)
    page.study.input(teach.open_sample, [page.study, *asked], outputs, **quick)
    page.upload.upload(teach.open_files, [page.upload, *asked], [*outputs, page.upload], **heavy)
    page.place.input(teach.draw, asked, drawn, **moving)
    page.threshold.input(teach.draw, asked, drawn, **moving)
    page.reference.input(teach.draw, asked, drawn, **quick)
    page.look.input(teach.turn, asked, fitted, **quick)
    buttons = [page.ask, page.stop]
    begun = page.ask.click(teach.begin, None, buttons, **light)
    done = begun.then(teach.ask, [page.question, page.threshold, page.reference], [*page.said], **Bench.model)
    done.then(teach.finish, None, buttons, **light)
    page.stop.click(teach.stop, None, None, **light)
