"""`PictureBoard`: the drawn pictures of a page, the newest large (its preview while it is drawn), the others small.

The browser fetches each picture as the stamped file that was written, byte for byte; nothing encodes it again. For a
changed picture the given one and the heat of the change lie on the same grid, under a slider.

Events back (`board.<name>(fn)`, data by `upstream.event_data(event)`): `ask_about` {"id"}, `use_seed` {"seed"}.
"""

from __future__ import annotations

import base64
from functools import lru_cache
from pathlib import Path
from typing import Any

import gradio as gr
from gradio.data_classes import FileData, GradioModel
from pydantic import ConfigDict, Field

from omnivmed.inference.reply import Preview
from omnivmed.ui import texts
from omnivmed.ui.visit.drawn import Drawn

EVENTS = ("ask_about", "use_seed")


class BoardPicture(GradioModel):
    """One picture of the gallery; the script reads it by these names."""

    model_config = ConfigDict(extra="forbid")

    id: str
    file: FileData
    before: FileData | None = None
    heat: FileData | None = None
    prompt: str
    facts: str
    text: str = ""
    note: str = ""
    seed: int
    name: str  # of the download


class BoardPreview(GradioModel):
    """A picture that is being drawn: a stamped JPEG as a `data:` address, and how far it is."""

    model_config = ConfigDict(extra="forbid")

    uri: str
    said: str


class BoardValue(GradioModel):
    """Everything on the board; the newest picture first."""

    model_config = ConfigDict(extra="forbid")

    pictures: tuple[BoardPicture, ...] = ()
    preview: BoardPreview | None = None
    words: dict[str, str] = Field(default_factory=dict)


def board_value(pictures: tuple[Drawn, ...], preview: Preview | None = None) -> BoardValue:
    """The board's value. pictures: the gallery, the newest first; preview: of the one that is being drawn."""
    shown = None
    if preview is not None:
        uri = "data:image/jpeg;base64," + base64.b64encode(preview.jpeg).decode()
        shown = BoardPreview(uri=uri, said=texts.DRAW_PREVIEW.format(done=preview.done, total=preview.total))
    return BoardValue(
        pictures=tuple(_picture(drawn) for drawn in pictures), preview=shown, words=texts.DRAW_BOARD
    )


def _picture(drawn: Drawn) -> BoardPicture:
    files = [FileData(path=str(path), orig_name=path.name) for path in drawn.files]
    origin = drawn.origin
    facts = [
        texts.DRAW_FACTS.format(
            model=origin.model,
            seed=origin.seed,
            steps=origin.parameters.get("steps", "?"),
        )
    ]
    if size := origin.parameters.get("drawn_pixels"):
        facts.append(
            texts.DRAW_SIZE.format(rows=size[0], columns=size[1], times=origin.parameters.get("enlarged", 1))
        )
    if drawn.changed is not None:
        facts.append(texts.DRAW_CHANGED.format(share=100 * drawn.changed))
    return BoardPicture(
        id=drawn.id,
        file=files[0],
        before=files[1] if len(files) > 1 else None,
        heat=files[2] if len(files) > 2 else None,
        prompt=origin.prompt,
        facts=" · ".join(facts),
        text=drawn.text,
        note=texts.DRAW_NO_CHANGE if drawn.no_change else "",
        seed=origin.seed or 0,
        name=drawn.path.name,
    )


@lru_cache(maxsize=1)
def script() -> str:
    """The board's script; its style stands in app.css."""
    folder = Path(__file__).parent
    body = (folder / "board.js").read_text(encoding="utf-8")
    if "</script" in body.lower():
        raise ValueError("the board's script may not contain a closing script tag")
    return body


class PictureBoard(gr.HTML):
    """The board as a component. Its pictures are drawn by its script from addresses; no text of anybody is markup."""

    data_model = BoardValue

    def __init__(self, value: BoardValue | None = None, **kwargs: Any) -> None:
        """value: from `board_value`; kwargs: those of `gr.HTML`."""
        names = ", ".join(f"'{name}'" for name in EVENTS)
        super().__init__(
            value=value,
            html_template='<div class="ov-board"></div>',
            js_on_load=f"window.omnivmedBoard.mount(element, props, trigger, watch, [{names}]);",
            head=f"<script>{script()}</script>",
            apply_default_css=False,
            padding=False,
            **kwargs,
        )

    # gr.HTML carries text; this component carries an object.
    def preprocess(self, payload: BoardValue | None) -> BoardValue | None:  # type: ignore[override]
        """The value comes back as it was sent; the app has no use for it."""
        return payload

    def postprocess(self, value: BoardValue | None) -> BoardValue | None:  # type: ignore[override]
        """`board_value(...)` or None."""
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
