"""The page "How pruning works": five steps on a real study, then the learner's own. Needs no model."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

import gradio as gr
import numpy as np

from omnivmed.inference.cards import title_of
from omnivmed.inference.options import AskOptions
from omnivmed.ui import texts
from omnivmed.ui.page import figures, parts
from omnivmed.ui.page.charts import TOP, summary
from omnivmed.ui.page.plots import chart_box, no_charts, shown_charts
from omnivmed.ui.page.upload import study_upload
from omnivmed.ui.tabs.bench import QUIET, Bench
from omnivmed.ui.tabs.screen import Updates
from omnivmed.ui.visit import opening
from omnivmed.ui.visit.background import Reporter
from omnivmed.ui.visit.opened import OpenStudy
from omnivmed.ui.visit.opening import Opening
from omnivmed.ui.visit.samples import SAMPLES, find_sample
from omnivmed.ui.visit.session import Session
from omnivmed.ui.visit.studies import Context, label_of, open_study_files, still_needed
from omnivmed.vision import Patches, VisionBudget

if TYPE_CHECKING:
    from omnivmed.pruning import KeepMask

FIRST = "mr_head"
# Coarse enough to read a number in every token, fine enough to see anatomy move.
BUDGET = VisionBudget(max_tokens=1_536, max_frames=24, image_merge_size=2, fps=2.0, frame_max_tokens=48)
CURVE_STEPS = 25
CHOICES = [(sample.name, sample.key) for sample in SAMPLES if sample.key != "chest_xray"]


@dataclass
class Lesson:
    """One learner's study, cut once; thresholds are tried on the same patches."""

    opened: OpenStudy
    patches: Patches
    frames: np.ndarray  # uint8 (t, H, W, 3), the sampled frames

    def mask(self, threshold: float, reference: Any) -> KeepMask:
        """The lesson's mask at another threshold: the rule itself, on the same patches."""
        from omnivmed.pruning import keep_mask

        return keep_mask(self.patches, threshold, reference)

    def curve(self, reference: Any) -> tuple[np.ndarray, np.ndarray] | None:
        """(thresholds, share kept) by the rule itself where distances depend on what was kept; None else."""
        if reference != "last_kept":
            return None
        thresholds = np.linspace(0, TOP, CURVE_STEPS)
        return thresholds, np.array([self.mask(float(t), reference).kept_ratio for t in thresholds])

    def name(self, k: int) -> str:
        """Of sampled frame k: its second, or its number counted from 1."""
        if self.patches.times_s is not None:
            return f"{float(self.patches.times_s[k]):.1f} s"
        return str(int(self.patches.frame_index[k]) + 1)


@dataclass(frozen=True)
class TeachPage:
    """The components of the page; `steps`: one box for the figures of each step."""

    study: Any
    upload: Any
    status: Any
    place: Any
    threshold: Any
    reference: Any
    steps: tuple[Any, ...]
    chart: Any


def build(context: Context) -> TeachPage:
    """Lay the page out; call inside `demo.route`."""
    gr.HTML(parts.header(context.settings, teaching=True), elem_id="ov-top", padding=False)
    boxes: list[Any] = []

    def step(number: int) -> None:
        title, words, formula = texts.TEACH_STEPS[number - 1]
        line = f'<p class="ov-formula">{escape(formula)}</p>' if formula else ""
        gr.HTML(
            f'<div class="ov-teach"><h2>{number}. {escape(title)}</h2><p>{escape(words)}</p>{line}</div>',
            padding=False,
        )

    def figure() -> None:
        boxes.append(gr.HTML("", elem_id=f"teach-{len(boxes) + 1}", padding=False))

    with gr.Column(elem_classes=["ov-lesson"]):
        study = gr.Radio(CHOICES, value=FIRST, label=texts.TEACH_STUDY, elem_id="teach-study")
        status = gr.HTML(parts.progress(None), elem_id="teach-status", padding=False)
        step(1)
        place = gr.Slider(1, BUDGET.max_frames - 1, 8, step=1, label=texts.TEACH_PLACE, elem_id="teach-place")
        figure()
        step(2)
        figure()
        step(3)
        threshold = gr.Slider(
            0, 0.6, context.settings.threshold, step=0.01, label=texts.THRESHOLD, elem_id="teach-threshold"
        )
        figure()
        chart = chart_box("teach-chart")
        step(4)
        reference = gr.Radio(
            [(words, name) for name, words in texts.REFERENCES.items()],
            value="previous",
            label=texts.REFERENCE,
            elem_id="teach-reference",
        )
        figure()
        step(5)
        figure()
        gr.HTML(
            f'<div class="ov-teach"><h2>{escape(texts.TEACH_OWN)}</h2><p>{escape(texts.TEACH_OWN_WORDS)}</p></div>',
            padding=False,
        )
        upload = study_upload("teach-upload")
    gr.HTML(parts.footer(context.limits, title_of(context.settings.model)), elem_id="ov-foot", padding=False)
    return TeachPage(study, upload, status, place, threshold, reference, tuple(boxes), chart)


class Teach:
    """Handlers of the page."""

    def __init__(self, context: Context, page: TeachPage) -> None:
        self.context = context
        self.page = page

    def open_sample(
        self, request: gr.Request, key: Any, place: Any, threshold: Any, reference: Any
    ) -> Iterator[Updates]:
        """One of the ready studies."""
        session = self.context.store.get(request.session_hash)
        key = key if any(key == known for _, known in CHOICES) else FIRST

        def make(progress: Reporter) -> Lesson:
            study = self.context.shelf.open(key, progress)
            opened = OpenStudy(study, find_sample(key).name, sample=key, shared=True, confirmed=True)
            return make_lesson(opened, progress)

        ticket = session.begin_opening()
        yield from self._told(session, opening.opening(session, ticket, make), place, threshold, reference)

    def open_files(
        self, request: gr.Request, files: Any, place: Any, threshold: Any, reference: Any
    ) -> Iterator[Updates]:
        """The learner's own."""
        if not files:
            yield {self.page.status: gr.skip()}
            return
        session = self.context.store.get(request.session_hash)

        def make(taken: Sequence[Path], progress: Reporter) -> Lesson:
            study = open_study_files(self.context, session, taken, progress)
            return make_lesson(
                OpenStudy(study, label_of(study), sources=still_needed(study, taken)), progress
            )

        states = opening.uploaded(self.context, session, files, make)
        yield from self._told(session, states, place, threshold, reference)

    def _told(
        self, session: Session, states: Iterator[Opening], place: Any, threshold: Any, reference: Any
    ) -> Iterator[Updates]:
        page = self.page
        for state in states:
            if state.overtaken:
                yield {
                    page.status: gr.skip()
                }  # an update that says nothing, for the framework repeats the last
            elif state.error is not None:
                yield {page.status: parts.error(state.error)}
            elif state.received:
                yield {page.upload: None, page.status: parts.progress(None)}
            elif state.opened is None:
                yield {page.status: parts.progress(state.step)}
            elif isinstance(session.lesson, Lesson):
                yield from self._shown(session.lesson, place, threshold, reference)

    def _shown(self, lesson: Lesson, place: Any, threshold: Any, reference: Any) -> Iterator[Updates]:
        page = self.page
        frames = len(lesson.frames)
        at = min(
            max(1, int(AskOptions.bounded(self.context.limits, max_frames=place).max_frames or 1)), frames - 1
        )
        if frames > 1:
            yield {page.place: gr.Slider(1, frames - 1, at, step=1, visible=frames > 2)}
        if lesson.opened.sample is None:
            yield {page.study: None}  # a file of one's own is none of those above
        yield {page.status: parts.status(lesson.opened), **self._drawn(lesson, at, threshold, reference)}

    def draw(self, request: gr.Request, place: Any, threshold: Any, reference: Any) -> Updates:
        """Another place, threshold or reference: all five figures again."""
        session = self.context.store.get(request.session_hash)
        lesson = session.lesson
        if not isinstance(lesson, Lesson):
            return {self.page.status: parts.error(texts.NO_STUDY)}
        return self._drawn(lesson, place, threshold, reference)

    def _drawn(self, lesson: Lesson, place: Any, threshold: Any, reference: Any) -> Updates:
        options = AskOptions.bounded(self.context.limits, threshold, reference, place)
        mask = lesson.mask(options.threshold, options.reference)
        t = len(lesson.frames)
        if t < 2:
            alone = f'<div class="ov-teach"><p>{escape(texts.TEACH_ALONE)}</p></div>'
            first = figures.grid_figure(
                lesson.frames[0], mask, 0, texts.TEACH_TOKENS.format(total=mask.total)
            )
            drawn = [f'<div class="ov-figure">{first}</div>', alone, "", "", ""]
            return {**dict(zip(self.page.steps, drawn, strict=True)), self.page.chart: no_charts()}
        k = min(max(1, options.max_frames or 1), t - 1)
        what = texts.TEACH_SLICE if lesson.opened.study.kind == "volume" else texts.TEACH_FRAME_AT
        before = figures.grid_figure(lesson.frames[k - 1], mask, k - 1, f"{what} {lesson.name(k - 1)}")
        here = figures.grid_figure(lesson.frames[k], mask, k, f"{what} {lesson.name(k)}")
        change = figures.grid_figure(
            figures.change_picture(lesson.frames[k - 1], lesson.frames[k]), mask, k, texts.TEACH_CHANGE
        )
        numbers = figures.grid_figure(
            lesson.frames[k],
            mask,
            k,
            texts.TEACH_DISTANCES.format(what=f"{what} {lesson.name(k)}"),
            numbers=True,
        )
        kept_here = int(mask.kept_per_frame[k])
        chosen = figures.grid_figure(
            lesson.frames[k],
            mask,
            k,
            texts.TEACH_KEPT.format(kept=kept_here, total=mask.keep[k].size),
            colours=True,
        )
        left = figures.grid_figure(
            figures.kept_picture(lesson.frames[k], mask, k), mask, k, texts.TEACH_GIVEN
        )
        strip = figures.strip_figure(lesson.frames, mask, [lesson.name(i) for i in range(t)])
        words = escape(texts.TEACH_MEANS.format(meaning=mask.threshold_meaning))
        meaning = f'<div class="ov-teach"><p>{words}</p><p>{escape(summary(mask))}</p></div>'
        count = escape(texts.TEACH_COUNT.format(kept=mask.kept, total=mask.total))
        share = escape(texts.TEACH_LEFT.format(share=100 * mask.kept_ratio))
        kept = f'<div class="ov-teach"><p><span class="ov-big">{count}</span> {share}</p></div>'
        drawn = [
            f'<div class="ov-figure">{before}{here}</div>',
            f'<div class="ov-figure">{change}{numbers}</div>',
            meaning,
            f'<div class="ov-figure">{chosen}{left}</div>{strip}',
            kept
            + figures.cost_figure(mask)
            + f'<div class="ov-teach"><p>{escape(texts.PRUNING_SAVES)}</p></div>',
        ]
        chart = shown_charts(mask, lesson.curve(options.reference))
        return {**dict(zip(self.page.steps, drawn, strict=True)), self.page.chart: chart}


def make_lesson(opened: OpenStudy, progress: Any = None) -> Lesson:
    """Cut the study into patches at the page's own budget."""
    from omnivmed.vision import prepare

    patches = prepare(opened.study, BUDGET, progress=progress)
    return Lesson(opened, patches, opened.study.take(patches.frame_index))


def wire(demo: gr.Blocks, page: TeachPage, context: Context) -> None:
    """Events of the page; call inside the same `demo.route`."""
    teach = Teach(context, page)
    heavy: dict[str, Any] = {
        **QUIET,
        "concurrency_id": "open",
        "concurrency_limit": context.limits.queue_size,
    }
    quick = Bench.quick
    asked = [page.place, page.threshold, page.reference]
    outputs = [page.status, page.place, *page.steps, page.chart]
    drawn = [page.status, *page.steps, page.chart]
    demo.load(teach.open_sample, [page.study, *asked], outputs, **quick)
    page.study.input(teach.open_sample, [page.study, *asked], outputs, **quick)
    page.upload.upload(teach.open_files, [page.upload, *asked], [*outputs, page.upload, page.study], **heavy)
    page.place.release(teach.draw, asked, drawn, **quick)
    page.threshold.release(teach.draw, asked, drawn, **quick)
    page.reference.input(teach.draw, asked, drawn, **quick)
