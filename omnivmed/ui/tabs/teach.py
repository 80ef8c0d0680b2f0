"""The page "How pruning works": five steps on a real study, then the learner's own. Needs no model."""

from __future__ import annotations

import logging
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Any

import gradio as gr
import numpy as np

from omnivmed.errors import StudyError
from omnivmed.ui import texts
from omnivmed.ui.page import figures, parts
from omnivmed.ui.visit.background import run_with_progress
from omnivmed.ui.visit.samples import SAMPLES, find_sample
from omnivmed.ui.visit.session import OpenStudy, Session
from omnivmed.ui.visit.studies import Context, Options, label_of, open_study_files, still_needed
from omnivmed.ui.visit.uploads import StudyFile, take_in
from omnivmed.vision import Patches, VisionBudget

if TYPE_CHECKING:
    from omnivmed.pruning import KeepMask

log = logging.getLogger("omnivmed.ui")
Updates = dict[Any, Any]
FIRST = "mr_head"
# Coarse enough to read a number in every token, fine enough to see anatomy move.
BUDGET = VisionBudget(max_tokens=1_536, max_frames=24, image_merge_size=2, fps=2.0, frame_max_tokens=48)
CHOICES = [(sample.name, sample.key) for sample in SAMPLES if sample.key != "chest_xray"]


@dataclass
class Lesson:
    """One learner's study, cut once; thresholds are tried on the same patches."""

    opened: OpenStudy
    patches: Patches
    frames: np.ndarray  # uint8 (t, H, W, 3), the sampled frames

    def mask(self, threshold: float, reference: Any) -> KeepMask:
        from omnivmed.pruning import keep_mask

        return keep_mask(self.patches, threshold, reference)

    def name(self, k: int) -> str:
        if self.patches.times_s is not None:
            return f"{float(self.patches.times_s[k]):.1f} s"
        return str(int(self.patches.frame_index[k]) + 1)


@dataclass
class TeachPage:
    study: Any = None
    upload: Any = None
    status: Any = None
    place: Any = None
    threshold: Any = None
    reference: Any = None
    steps: tuple[Any, ...] = ()


def build_teach(context: Context) -> TeachPage:
    """Lay the page out; call inside `demo.route`."""
    page = TeachPage()
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
        page.study = gr.Radio(CHOICES, value=FIRST, label=texts.TEACH_STUDY, elem_id="teach-study")
        page.status = gr.HTML(parts.progress(None), elem_id="teach-status", padding=False)
        step(1)
        page.place = gr.Slider(
            1, BUDGET.max_frames - 1, 8, step=1, label=texts.TEACH_PLACE, elem_id="teach-place"
        )
        figure()
        step(2)
        figure()
        step(3)
        page.threshold = gr.Slider(
            0, 0.6, context.settings.threshold, step=0.01, label=texts.THRESHOLD, elem_id="teach-threshold"
        )
        figure()
        step(4)
        page.reference = gr.Radio(
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
        page.upload = StudyFile(
            label=texts.UPLOAD,
            show_label=False,
            file_count="multiple",
            elem_id="teach-upload",
            elem_classes=["ov-upload"],
            height=64,
        )
    gr.HTML(parts.footer(context.limits), elem_id="ov-foot", padding=False)
    page.steps = tuple(boxes)
    return page


class Teach:
    """Handlers of the page."""

    def __init__(self, context: Context, page: TeachPage) -> None:
        self.context = context
        self.page = page

    def open_sample(
        self, request: gr.Request, key: Any, place: Any, threshold: Any, reference: Any
    ) -> Iterator[Updates]:
        session = self.context.store.get(request.session_hash)
        key = key if any(key == known for _, known in CHOICES) else FIRST
        ticket = session.begin_opening()

        def work(progress: Any) -> Lesson:
            study = self.context.shelf.open(key, progress)
            opened = OpenStudy(study, find_sample(key).name, sample=key, shared=True, confirmed=True)
            return make_lesson(opened, progress)

        yield from self._open(session, ticket, run_with_progress(work), place, threshold, reference)

    def open_files(
        self, request: gr.Request, files: Any, place: Any, threshold: Any, reference: Any
    ) -> Iterator[Updates]:
        if not files:
            yield {self.page.status: gr.skip()}
            return
        session = self.context.store.get(request.session_hash)
        ticket = session.begin_opening()
        yield {self.page.upload: None, self.page.status: parts.progress(None)}
        names = files if isinstance(files, list) else [files]
        try:
            taken = take_in([str(name) for name in names], session.sources, self.context.root.served)
        except (StudyError, OSError):
            yield {self.page.status: parts.error(texts.UNEXPECTED)}
            return

        def work(progress: Any) -> Lesson:
            study = open_study_files(self.context, session, taken, progress)
            return make_lesson(
                OpenStudy(study, label_of(study), sources=still_needed(study, taken)), progress
            )

        steps = run_with_progress(work, discard=lambda lesson: lesson.opened.study.close())
        failed = True
        try:
            failed = yield from self._open(session, ticket, steps, place, threshold, reference)
        finally:
            if failed:
                for path in taken:
                    path.unlink(missing_ok=True)

    def _open(
        self, session: Session, ticket: int, work: Any, place: Any, threshold: Any, reference: Any
    ) -> Generator[Updates, None, bool]:
        page = self.page
        try:
            while True:
                yield {page.status: parts.progress(next(work))}
        except StopIteration as finished:
            lesson: Lesson = finished.value
        except StudyError as error:
            yield {page.status: parts.error(error.message)}
            return True
        finally:
            work.close()
        if not session.show(lesson.opened, ticket):
            return False
        session.lesson = lesson
        frames = len(lesson.frames)
        at = min(
            max(1, int(Options.bounded(self.context.limits, max_frames=place).max_frames or 1)), frames - 1
        )
        if frames > 1:
            yield {page.place: gr.Slider(1, frames - 1, at, step=1, visible=frames > 2)}
        if lesson.opened.sample is None:
            yield {page.study: None}  # a file of one's own is none of those above
        yield {page.status: parts.status(lesson.opened), **self._drawn(lesson, at, threshold, reference)}
        return False

    def draw(self, request: gr.Request, place: Any, threshold: Any, reference: Any) -> Updates:
        """Another place, threshold or reference: all five figures again."""
        session = self.context.store.get(request.session_hash)
        lesson = session.lesson
        if not isinstance(lesson, Lesson):
            return {self.page.status: parts.error(texts.NO_STUDY)}
        return self._drawn(lesson, place, threshold, reference)

    def _drawn(self, lesson: Lesson, place: Any, threshold: Any, reference: Any) -> Updates:
        options = Options.bounded(self.context.limits, threshold, reference, place)
        mask = lesson.mask(options.threshold, options.reference)
        t = len(lesson.frames)
        if t < 2:
            alone = f'<div class="ov-teach"><p>{escape(texts.TEACH_ALONE)}</p></div>'
            first = figures.grid_figure(
                lesson.frames[0], mask, 0, texts.TEACH_TOKENS.format(total=mask.total)
            )
            return dict(
                zip(
                    self.page.steps, [f'<div class="ov-figure">{first}</div>', alone, "", "", ""], strict=True
                )
            )
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
        meaning = f'<div class="ov-teach"><p>{words}</p></div>'
        count = escape(texts.TEACH_COUNT.format(kept=mask.kept, total=mask.total))
        share = escape(texts.TEACH_LEFT.format(share=100 * mask.kept_ratio))
        kept = f'<div class="ov-teach"><p><span class="ov-big">{count}</span> {share}</p></div>'
        drawn = [
            f'<div class="ov-figure">{before}{here}</div>',
            f'<div class="ov-figure">{change}{numbers}</div>',
            figures.histogram_figure(mask) + meaning,
            f'<div class="ov-figure">{chosen}{left}</div>{strip}',
            kept
            + figures.cost_figure(mask)
            + f'<div class="ov-teach"><p>{escape(texts.PRUNING_SAVES)}</p></div>',
        ]
        return dict(zip(self.page.steps, drawn, strict=True))


def make_lesson(opened: OpenStudy, progress: Any = None) -> Lesson:
    """Cut the study into patches at the page's own budget."""
    from omnivmed.vision import prepare

    patches = prepare(opened.study, BUDGET, progress=progress)
    return Lesson(opened, patches, opened.study.take(patches.frame_index))


def wire_teach(demo: gr.Blocks, page: TeachPage, context: Context) -> None:
    """Events of the page; call inside the same `demo.route`."""
    teach = Teach(context, page)
    quiet: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}
    heavy: dict[str, Any] = {**quiet, "concurrency_id": "open", "concurrency_limit": context.limits.workers}
    asked = [page.place, page.threshold, page.reference]
    outputs = [page.status, page.place, *page.steps]
    demo.load(teach.open_sample, [page.study, *asked], outputs, **heavy)
    page.study.input(teach.open_sample, [page.study, *asked], outputs, **heavy)
    page.upload.upload(teach.open_files, [page.upload, *asked], [*outputs, page.upload, page.study], **heavy)
    page.place.release(teach.draw, asked, [page.status, *page.steps], **heavy)
    page.threshold.release(teach.draw, asked, [page.status, *page.steps], **heavy)
    page.reference.input(teach.draw, asked, [page.status, *page.steps], **heavy)
