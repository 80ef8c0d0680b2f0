"""`StudyViewer`: the picture, its tokens and the tools, as one Gradio component.

How the app uses it
-------------------
    viewer = StudyViewer(elem_id="viewer")                       # inside gr.Blocks()

    info = pack_study(study, mask, payload_path(folder, "study"))       # omnivmed.ui.canvas.payload
    return show(study=info.path)                                 # output = viewer: a new picture

    info = pack_mask(answer.mask, payload_path(folder, "mask"), content_id=study.content_id)
    return show(study=same_path, mask=info.path, role="answer")  # same study path: picture is not sent again

`show(...)` makes the value; every call states the whole of it:

    study   path of a `pack_study` payload, or None for an empty viewer
    mask    path of a `pack_mask` payload: replaces the overlay
    pixels  path of a `pack_pixels` payload: fetched only when the person picks "last kept" as a what-if
    video   path of an MP4 from `omnivmed.ui.canvas.transcode`, whose frame k is frame k of the study, with
            `video_fps`, its constant rate; or of the clip as it was sent, without `video_fps`: its frames have the
            study's own times. While it is being made, `video_progress` 0..1; `video_failed` says why there is none
    role    "preview" (pruned, nothing asked yet) or "answer" (the mask the last answer used)
    goto    slice or frame to jump to (index into the study), `goto_seq` any number that changes per wish
    seconds_per_token  measured prefill seconds per visual token of this model, for the live cost estimate
    model, model_state, version  who speaks, whether it can yet, and this program's version, for what is saved
    glimpse  marks a value as a first look at one slice: any name; a later value whose `follows` is that name belongs
            to the same study, and the slice stays on the screen until it has come
    sample      key of the ready study, None for a visitor's own: only the former may stand in a link
    text_boxes  (top, left, bottom, right) in the study's pixels: where text was found, outlined on every slice or frame

The same study path keeps position, zoom and window. `value=None` shows the empty state.

Events back to Python (`viewer.<name>(fn)`; `fn(event: gr.EventData)`, data by `upstream.event_data(event)`)
---------------------------------------------------------------------------------------------
    threshold_release  {"threshold": 0.15, "reference": "previous"}   slider or histogram line let go
    ask_slice          {"index": 41, "time_s": 12.0 | None, "plane": "axial" | None}   "ask about this slice"; with
                       "around": true about the moment, with "from_s" and "to_s" about the stretch that was marked
    use_window         {"level": 40.0, "width": 400.0}   "give the model this window": prune again, then show()
    clip_refused       {}   this browser cannot play the clip as it was sent
    viewer_ready       {"content_id": "...", "first_ms": 180.0}   the first slice of a new study is on screen

Everything else (scrolling, window, zoom, threshold while dragging, opacity, modes) stays in the browser and
causes no request. Do not list the viewer among an event's inputs: it would send its value back for nothing.

In the page: `window.omnivmedViewer.goto({index: 41})`, `.goto({time_s: 12.0})`, `.goto({number: 42})` (counted
from 1) move every viewer on the page, or the one given as second argument (its elem_id).
"""

from __future__ import annotations

import json
import re
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

import gradio as gr
from gradio.data_classes import FileData, GradioModel
from pydantic import ConfigDict

from omnivmed.ui import texts

STATIC = Path(__file__).parent / "static"
# Order of concatenation: a module may use only what stands before it.
MODULES = (
    "texts.js",
    "container.js",
    "lut.js",
    "view2d.js",
    "tokens.js",
    "stores.js",
    "icons.js",
    "paint.js",
    "save.js",
    "panel.js",
    "labels.js",
    "pane.js",
    "microscope.js",
    "state.js",
    "input.js",
    "player.js",
    "keep.js",
    "loader.js",
    "preview.js",
    "thumbs.js",
    "viewer.js",
    "main.js",
)
EVENTS = ("threshold_release", "ask_slice", "use_window", "viewer_ready", "clip_refused")


class ViewerState(GradioModel):
    """The settings that travel with a value; the script reads them by these names (`@typedef State` in types.js)."""

    model_config = ConfigDict(extra="forbid")

    role: Literal["preview", "answer"] = "preview"
    goto: int | None = None
    goto_seq: int = 0
    video_fps: float | None = None
    video_progress: float | None = None
    video_failed: str | None = None
    seconds_per_token: float | None = None
    model: str | None = None
    model_state: Literal["waiting", "loading", "ready", "failed"] | None = None
    version: str | None = None
    glimpse: str | None = None
    follows: str | None = None
    text_boxes: list[tuple[int, int, int, int]] | None = None
    sample: str | None = None


class ViewerValue(GradioModel):
    """What travels with the component: addresses of payloads, and a few settings."""

    study: FileData | None = None
    mask: FileData | None = None
    pixels: FileData | None = None
    video: FileData | None = None
    state: ViewerState = ViewerState()


def show(
    *,
    study: str | Path | None,
    mask: str | Path | None = None,
    pixels: str | Path | None = None,
    video: str | Path | None = None,
    **state: Any,
) -> ViewerValue:
    """The viewer's value; `state`: fields of `ViewerState`. See the module's text for each argument.

    Raises pydantic's ValidationError for a field that does not exist or has another type.
    """

    def file(path: str | Path | None) -> FileData | None:
        return None if path is None else FileData(path=str(path))

    return ViewerValue(
        study=file(study),
        mask=file(mask),
        pixels=file(pixels),
        video=file(video),
        state=ViewerState(**state),
    )


# What the joining below understands: `import {…} from './x.js'` over one line or several, and `export` before a
# function, class or const. `joined` refuses the rest.
_IMPORT = re.compile(r"^import (\{[^}]*\}) from '\./([\w.]+)';\n", re.MULTILINE)
_WORDS = re.compile(r"^import words from .*;\n", re.MULTILINE)
_EXPORT = re.compile(r"^export ((?:async )?(?:function|class|const) (\w+))", re.MULTILINE)


def _module(name: str) -> str:
    """One file as an expression that runs it in a scope of its own and yields what it exports."""
    return joined(name, (STATIC / name).read_text(encoding="utf-8"))


def joined(name: str, text: str) -> str:
    """The ES module `text` as `modules[name] = …`. Raises ValueError for an import or export it does not understand,
    or one of a module that stands later in `MODULES`."""
    place = MODULES.index(name)
    for wanted in _IMPORT.finditer(text):
        if wanted[2] not in MODULES[:place]:
            raise ValueError(f"{name} imports {wanted[2]}, which does not stand before it")
    text = _WORDS.sub(lambda _: f"const words = {_words()};\n", text)
    names = ", ".join(match[2] for match in _EXPORT.finditer(text))
    text = _IMPORT.sub(r"const \1 = modules['\2'];\n", text)
    text = _EXPORT.sub(r"\1", text)
    if left := re.search(r"^[ \t]*(?:import|export)\b(?!\().*", text, re.MULTILINE):
        raise ValueError(f"{name}: an import or export of a form that is not joined: {left[0].strip()}")
    return f"modules['{name}'] = (() => {{\n{text}\nreturn {{ {names} }};\n}})();\n"


def _words() -> str:
    """The viewer's section of the file of words, as JavaScript that may stand inside a script element."""
    viewer = json.loads(texts.FILE.read_text(encoding="utf-8"))["viewer"]
    return json.dumps({"viewer": viewer}).replace("<", "\\u003c")


@lru_cache(maxsize=1)
def script() -> str:
    """The viewer's JavaScript in one piece. The files are ES modules, for Node's tests; here each becomes a scope
    of its own, so that no build step is needed and no address is fetched."""
    style = json.dumps((STATIC / "viewer.css").read_text(encoding="utf-8"))
    body = "".join(_module(name) for name in MODULES).replace('"@viewer.css@"', style)
    if "</script" in body.lower():
        raise ValueError("the viewer's script may not contain a closing script tag")
    return (
        "(() => {\n'use strict';\nif (window.omnivmedViewer) return;\nconst modules = {};\n" + body + "})();"
    )


class StudyViewer(gr.HTML):
    """Scroll, window, measure, and see which tokens are kept. All drawing happens in the browser."""

    data_model = ViewerValue

    def __init__(self, value: ViewerValue | None = None, **kwargs: Any) -> None:
        """value: from `show`; kwargs: those of `gr.HTML` (elem_id, scale, visible …)."""
        names = ", ".join(f"'{name}'" for name in EVENTS)
        super().__init__(
            value=value,
            html_template='<div class="omv"></div>',
            js_on_load=f"window.omnivmedViewer.mount(element, props, trigger, watch, [{names}]);",
            head=f"<script>{script()}</script>",
            apply_default_css=False,
            padding=False,
            **kwargs,
        )

    # gr.HTML carries text; this component carries an object.
    def preprocess(self, payload: ViewerValue | None) -> ViewerValue | None:  # type: ignore[override]
        """The value comes back as it was sent; the app has no use for it."""
        return payload

    def postprocess(self, value: ViewerValue | None) -> ViewerValue | None:  # type: ignore[override]
        """`show(...)` or None."""
        return value

    def example_payload(self) -> Any:
        """Nothing that could be sent."""
        return None

    def example_value(self) -> Any:
        """Nothing that could be shown."""
        return None

    def api_info(self) -> dict[str, Any]:
        """The component has no part in the public interface."""
        return {"type": "object"}
