"""`RulesBoard`: one slice under every pruning rule, and a region drawn on it.

The frames that are taken and every rule's decisions travel once; turning the slices causes no request. Drawing a region
does: which tokens it touches is computed where the rules are (`omnivmed.pruning.region`).

Event back (`board.region(fn)`, data by `upstream.event_data(event)`): `region` {"outlines": [{"first", "last",
"points"}, ...]}, as `Drawn` reads them.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import gradio as gr
import numpy as np
from gradio.data_classes import GradioModel
from pydantic import BaseModel, ConfigDict, Field

from omnivmed.pruning.region import MOST_OUTLINES, MOST_POINTS, Outline
from omnivmed.ui import texts

if TYPE_CHECKING:
    from omnivmed.pruning.compare import Outcome
    from omnivmed.vision import Patches


class DrawnOutline(BaseModel):
    """An outline as the page sends it; see `omnivmed.pruning.region.Outline`."""

    model_config = ConfigDict(extra="forbid")

    first: int = Field(ge=0)
    last: int = Field(ge=0)
    points: tuple[tuple[float, float], ...] = Field(min_length=3, max_length=MOST_POINTS)


class DrawnRegion(BaseModel):
    """All outlines on the picture."""

    model_config = ConfigDict(extra="forbid")

    outlines: tuple[DrawnOutline, ...] = Field(max_length=MOST_OUTLINES)

    def plain(self) -> list[Outline]:
        """As the rules' side takes them."""
        return [Outline(one.first, one.last, one.points) for one in self.outlines]


class RuleCell(GradioModel):
    """One rule; the script reads it by these names. keep: bits of (t, h, w), most significant first, base64."""

    model_config = ConfigDict(extra="forbid")

    name: str
    note: str
    words: str
    region: str
    keep: str
    shares: tuple[float, ...]  # of the tokens of each frame, 0..1


class RulesValue(GradioModel):
    """Everything on the board. frames: `data:` addresses, empty when those of the value before (`of`) still hold."""

    model_config = ConfigDict(extra="forbid")

    of: str = ""
    frames: tuple[str, ...] = ()
    size: tuple[int, int] | None = None  # width, height of the frames
    places: tuple[str, ...] = ()  # what each frame is called
    frame_index: tuple[int, ...] = ()
    edges_x: tuple[float, ...] = ()  # lines between token columns, 0..1 of the width
    edges_y: tuple[float, ...] = ()
    rules: tuple[RuleCell, ...] = ()
    note: str = ""
    report: str = ""  # JSON for the download
    words: dict[str, str] = Field(default_factory=dict)


def rules_value(
    patches: Patches,
    outcomes: Sequence[Outcome],
    *,
    of: str,
    frames: Sequence[str],
    size: tuple[int, int] | None,
    report: str,
) -> RulesValue:
    """The board's value. of: names the study, the budget and the match that this is of; the rest as `RulesValue`."""
    height, width = patches.source_size
    noun = texts.RULES_PLACES[patches.kind]
    first = outcomes[0]
    note = texts.RULES_NOTE.format(total=f"{first.keep.size:,}", budget=patches.budget, first=first.rule.name)
    if first.region_tokens is not None:
        note = texts.RULES_REGION.format(count=f"{first.region_tokens:,}") + " " + note
    return RulesValue(
        of=of,
        frames=tuple(frames),
        size=size,
        places=tuple(noun.format(number=int(frame) + 1) for frame in patches.frame_index),
        frame_index=tuple(int(frame) for frame in patches.frame_index),
        edges_x=(0.0, *(float(x) / width for x in patches.rects[0, :, 2])),
        edges_y=(0.0, *(float(y) / height for y in patches.rects[:, 0, 3])),
        rules=tuple(_cell(one) for one in outcomes),
        note=note,
        report=report,
        words=texts.RULES_BOARD,
    )


def _cell(one: Outcome) -> RuleCell:
    words = texts.RULES_COUNTS.format(
        kept=f"{one.kept:,}",
        share=f"{100 * one.kept / one.keep.size:.0f}",
        empty=one.empty_frames,
        overlap=f"{one.overlap:.2f}",
        looks=texts.RULES_LOOKS[one.looks],
        milliseconds=f"{1000 * one.seconds:.0f}",
    )
    share = one.region_share
    region = ""
    if share is not None:
        region = texts.RULES_REGION_KEPT.format(kept=one.region_kept, share=f"{100 * share:.0f}")
    return RuleCell(
        name=one.rule.name,
        note=texts.RULES_COMPARISON if one.rule.comparison else "",
        words=words,
        region=region,
        keep=base64.b64encode(np.packbits(one.keep).tobytes()).decode(),
        shares=tuple(round(float(s), 4) for s in one.keep.mean(axis=(1, 2))),
    )


@lru_cache(maxsize=1)
def script() -> str:
    """The board's script; its style stands in app.css."""
    body = (Path(__file__).parent / "rules_board.js").read_text(encoding="utf-8")
    if "</script" in body.lower():
        raise ValueError("the board's script may not contain a closing script tag")
    return body


class RulesBoard(gr.HTML):
    """The board as a component. No text of anybody is markup."""

    data_model = RulesValue

    def __init__(self, value: RulesValue | None = None, **kwargs: Any) -> None:
        """value: from `rules_value`; kwargs: those of `gr.HTML`."""
        super().__init__(
            value=value,
            html_template='<div class="ov-rules"></div>',
            js_on_load="window.omnivmedRules.mount(element, props, trigger, watch, ['region']);",
            head=f"<script>{script()}</script>",
            apply_default_css=False,
            padding=False,
            **kwargs,
        )

    # gr.HTML carries text; this component carries an object.
    def preprocess(self, payload: RulesValue | None) -> RulesValue | None:  # type: ignore[override]
        """The value comes back as it was sent; the app has no use for it."""
        return payload

    def postprocess(self, value: RulesValue | None) -> RulesValue | None:  # type: ignore[override]
        """`rules_value(...)` or None."""
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
