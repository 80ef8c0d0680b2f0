"""The tab "What it saw": the frames it was given, what was kept of each, and where the time went."""

from __future__ import annotations

import base64
import json
import logging
import time
from collections.abc import Iterator
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Any

import gradio as gr
import numpy as np

from omnivmed import __version__
from omnivmed.errors import StudyError
from omnivmed.ui import texts
from omnivmed.ui.page import charts, parts
from omnivmed.ui.page.plots import chart_box, no_charts, shown_charts
from omnivmed.ui.tabs.bench import Bench, Tab
from omnivmed.ui.tabs.screen import Updates
from omnivmed.ui.visit.background import Step
from omnivmed.ui.visit.opened import OpenStudy, Turn
from omnivmed.ui.visit.session import Session
from omnivmed.ui.visit.studies import Context

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from omnivmed.inference import Answer
    from omnivmed.pruning import KeepMask

log = logging.getLogger("omnivmed.ui")
EDGE = 96  # longest edge of a small picture, pixels
MOST = 128  # small pictures shown
DIM = 0.22  # brightness of a pruned token


@dataclass(frozen=True)
class SawPage:
    """The components of the tab."""

    saw: Any
    charts: Any
    save_json: Any
    make_clip: Any
    save_overlay: Any


def build(context: Context) -> SawPage:
    """Lay the tab out; call inside a `gr.Tab`."""
    saw = gr.HTML(empty_html(), elem_id="ov-saw", padding=False)
    plot = chart_box("ov-charts")
    with gr.Row():
        save_json = gr.DownloadButton(
            texts.DOWNLOAD_JSON, size="sm", interactive=False, elem_id="ov-save-json"
        )
        make_clip = gr.Button(texts.MAKE_CLIP, size="sm", interactive=False, elem_id="ov-make-clip")
        save_overlay = gr.DownloadButton(
            texts.DOWNLOAD_OVERLAY, size="sm", visible=False, elem_id="ov-save-overlay"
        )
    return SawPage(saw, plot, save_json, make_clip, save_overlay)


class Saw:
    """Handlers of the tab."""

    def __init__(self, bench: Bench, page: SawPage) -> None:
        self.context = bench.context
        self.screen = bench.screen
        self.page = page

    def shown(self, opened: OpenStudy) -> Updates:
        """Another study: nothing has been given to the model yet."""
        page = self.page
        return {
            page.saw: empty_html(),
            page.charts: no_charts(),
            page.save_json: gr.DownloadButton(interactive=False),
            page.make_clip: gr.Button(interactive=opened.study.kind != "image"),
            page.save_overlay: gr.DownloadButton(visible=False),
        }

    def planned(self, opened: OpenStudy) -> Updates:
        """Other settings: what a question would give the model now."""
        page, mask = self.page, opened.mask
        if mask is None:
            return {page.saw: gr.skip()}
        return {page.saw: saw_html(opened, mask, None), page.charts: shown_charts(mask)}

    def answered(self, session: Session, opened: OpenStudy, turn: Turn) -> Updates:
        """What this answer's run gave the model, and the answer as a file."""
        page = self.page
        mask = turn.answer.mask if turn.answer is not None else opened.mask
        if mask is None:
            return {page.saw: gr.skip()}
        began = time.monotonic()
        html = saw_html(opened, mask, turn.answer)
        record = session.new_served("omnivmed-answer.json")
        record.write_text(answer_json(opened, turn), encoding="utf-8")
        log.debug("session=%s saw seconds=%.2f", session.tag, time.monotonic() - began)
        return {
            page.saw: html,
            page.charts: shown_charts(mask),
            page.save_json: gr.DownloadButton(value=str(record), interactive=True),
            page.make_clip: gr.Button(interactive=opened.study.kind != "image"),
        }

    def make_clip(self, request: gr.Request) -> Iterator[Updates]:
        """Draw the current mask over the frames it was made of, as an MP4 to take away."""
        from omnivmed.viz import write_overlay

        page, status = self.page, self.screen.page.status
        session = self.screen.session(request)
        opened = session.current
        mask = opened.mask if opened is not None else None
        if opened is None or mask is None:
            yield {status: parts.error(texts.NO_STUDY)}
            return
        yield {page.make_clip: gr.Button(interactive=False), status: parts.progress(Step("drawing", 0, 0))}
        path = session.new_served("omnivmed-overlay.mp4")
        try:
            write_overlay(path, opened.study, mask, model=self.context.service.name)
        except StudyError as error:
            yield {page.make_clip: gr.Button(interactive=True), status: parts.error(error.message)}
            return
        yield {
            page.make_clip: gr.Button(interactive=True),
            page.save_overlay: gr.DownloadButton(value=str(path), visible=True),
            status: parts.status(opened),
        }


def wire(bench: Bench, page: SawPage) -> None:
    """Events of the tab."""
    saw = Saw(bench, page)
    bench.when_shown.add(
        saw.shown, [page.saw, page.charts, page.save_json, page.make_clip, page.save_overlay]
    )
    bench.when_planned.add(saw.planned, [page.saw, page.charts])
    bench.when_answered.add(saw.answered, [page.saw, page.charts, page.save_json, page.make_clip])
    outputs = [page.make_clip, page.save_overlay, bench.screen.page.status]
    page.make_clip.click(saw.make_clip, None, outputs, **bench.quick)


def empty_html() -> str:
    """The tab before the first answer."""
    return f'<div class="ov-saw"><p>{texts.SAW_EMPTY}</p></div>'


def small_picture(frame: NDArray[np.uint8], mask: KeepMask, k: int) -> bytes:
    """JPEG of sampled frame k with its pruned tokens darkened, longest edge EDGE pixels."""
    import cv2

    height, width = frame.shape[:2]
    ratio = EDGE / max(height, width)
    size = (max(1, round(width * ratio)), max(1, round(height * ratio)))
    small = cv2.resize(frame, size, interpolation=cv2.INTER_AREA).astype(np.float32)
    # Tokens tile the frame, so their grid is stretched over it.
    light = np.where(mask.keep[k], 1.0, DIM).astype(np.float32)
    shade = cv2.resize(light, size, interpolation=cv2.INTER_NEAREST)
    shown = np.clip(small * shade[..., None], 0, 255).astype(np.uint8)
    done, data = cv2.imencode(".jpg", shown[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 72])
    if not done:
        raise RuntimeError(f"could not encode a {size} picture")
    return bytes(data)


def frames_html(opened: OpenStudy, mask: KeepMask) -> str:
    """Small pictures of the frames that were taken; a click moves the viewer there."""
    chosen = np.unique(
        np.linspace(0, len(mask.frame_index) - 1, min(MOST, len(mask.frame_index))).astype(int)
    )
    pictures = opened.study.take(mask.frame_index[chosen])
    per_frame = mask.keep.shape[1] * mask.keep.shape[2]
    cells: list[str] = []
    for frame, k in zip(pictures, chosen, strict=True):
        index, kept = int(mask.frame_index[k]), int(mask.kept_per_frame[k])
        uri = base64.b64encode(small_picture(frame, mask, int(k))).decode()
        if mask.times_s is not None:
            where = f"{float(mask.times_s[k]):.1f} s"
        else:
            where = str(index + 1)
        title = texts.SAW_FRAME.format(where=where, kept=kept, total=per_frame)
        cells.append(
            f'<a href="#slice-{index + 1}" title="{escape(title)}" aria-label="{escape(title)}">'
            f'<img alt="" src="data:image/jpeg;base64,{uri}">'
            f'<i style="width:{100 * kept / per_frame:.0f}%"></i>'
            f"<span><b>{escape(where)}</b>{kept}</span></a>"
        )
    return f'<div class="ov-frames">{"".join(cells)}</div>'


def saw_html(opened: OpenStudy, mask: KeepMask, answer: Answer | None) -> str:
    """The whole tab."""
    t, h, w = mask.keep.shape
    share = 100 * mask.kept_ratio
    frames, shape = opened.study.shape[0], {"rows": h, "columns": w, "tokens": h * w}
    taken = texts.SAW_TAKEN_IMAGE
    if opened.study.kind != "image":
        unit = texts.SAW_UNITS[opened.study.kind]
        taken = texts.SAW_TAKEN.format(taken=t, frames=frames, unit=unit)
    if t > 1:
        reference = texts.REFERENCES[mask.reference]
        numbers = {"kept": mask.kept, "total": mask.total, "share": share, "threshold": mask.threshold}
        lines = [
            texts.SAW_KEPT.format(
                taken=taken, meaning=mask.threshold_meaning, reference=reference, **numbers, **shape
            )
        ]
    else:
        lines = [texts.SAW_ALONE.format(taken=taken, **shape)]
    if answer is None:
        lines.insert(0, texts.SAW_PLANNED)
    warn = f'<ul class="ov-notes"><li>{escape(texts.SAW_FLOOR)}</li></ul>' if mask.all_at_floor else ""
    body = "".join(f"<p>{escape(line)}</p>" for line in lines)
    html = f'<div class="ov-saw">{body}{warn}{frames_html(opened, mask)}'
    if answer is not None:
        html += usage_table(answer)
    html += f"<p>{escape(texts.PRUNING_SAVES)}</p>"
    if t > 1:
        html += f"<h3>{escape(texts.CHARTS)}</h3><p>{escape(charts.summary(mask))}</p>"
    return html + "</div>"


def usage_table(answer: Answer) -> str:
    """Tokens and seconds of one answer."""
    usage, seconds = answer.usage, answer.timings_s
    left = "".join(
        f'<tr><td>{escape(words)}</td><td class="n">{usage[name]:,}</td></tr>'
        for name, words in texts.SAW_USAGE.items()
    )
    right = "".join(
        f'<tr><td>{escape(words)}</td><td class="n">{1000 * seconds[key]:,.0f} ms</td></tr>'
        for key, words in texts.SAW_TIMES.items()
        if key != "wait" or seconds[key] > 0.001
    )
    return (
        f'<h3>{escape(texts.SAW_TOKENS)}</h3><table class="ov-table">{left}</table>'
        f'<h3>{escape(texts.SAW_TIME)}</h3><table class="ov-table">{right}</table>'
    )


def answer_json(opened: OpenStudy, turn: Turn) -> str:
    """The download: question, answer, numbers and mask; the study by its technical facts only."""
    study = opened.study
    record = {
        "schema": "omnivmed.answer/1",
        "omnivmed": __version__,
        "study": {
            "kind": study.kind,
            "shape": list(study.shape),
            "modality": study.modality,
            "spacing_mm": None if study.spacing_mm is None else list(study.spacing_mm),
            "spacing_at": study.spacing_at,
            "unit": study.unit,
            "warnings": study.warnings,
        },
        "question": turn.question,
        "answer": turn.answer.to_dict()
        if turn.answer is not None
        else {"text": turn.text, "stopped": "cancelled"},
    }
    return json.dumps(record, indent=1)


TAB = Tab(build, wire, id="saw", title=texts.SAW)
