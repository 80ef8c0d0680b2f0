"""The settings of a question: one fold, which all tabs read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import gradio as gr

from omnivmed.ui import texts
from omnivmed.ui.visit.studies import Context


@dataclass(frozen=True)
class OptionsPage:
    """The components; `AskOptions.bounded` takes their values in this order, without `remember`."""

    threshold: Any
    reference: Any
    max_frames: Any
    max_new_tokens: Any
    remember: Any

    @property
    def planning(self) -> list[Any]:
        """Those that decide which tokens are kept: threshold, reference, max_frames."""
        return [self.threshold, self.reference, self.max_frames]

    @property
    def asking(self) -> list[Any]:
        """All of them, in the order above."""
        return [*self.planning, self.max_new_tokens, self.remember]


def build_options(context: Context) -> OptionsPage:
    """The closed fold; call where it is to stand."""
    limits = context.limits
    with gr.Accordion(texts.SETTINGS, open=False, elem_id="ov-settings"):
        threshold = gr.Slider(
            0, 2, context.settings.threshold, step=0.01, label=texts.THRESHOLD, info=texts.THRESHOLD_INFO
        )
        reference = gr.Radio(
            [(words, name) for name, words in texts.REFERENCES.items()],
            value="previous",
            label=texts.REFERENCE,
            info=texts.REFERENCE_INFO,
        )
        max_frames = gr.Slider(
            0, limits.max_frames, 0, step=1, label=texts.MAX_FRAMES, info=texts.MAX_FRAMES_INFO
        )
        max_new_tokens = gr.Slider(
            1, min(limits.max_new_tokens, 512), 128, step=1, label=texts.MAX_NEW_TOKENS
        )
        remember = gr.Checkbox(
            context.service.follows_conversations,
            label=texts.REMEMBER,
            info=texts.REMEMBER_INFO,
            elem_id="ov-remember",
        )
    return OptionsPage(threshold, reference, max_frames, max_new_tokens, remember)
