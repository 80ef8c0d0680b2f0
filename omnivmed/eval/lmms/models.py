"""`--model omnivmed` for lmms-eval (its "simple" kind: one text, a list of pictures or one clip)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from lmms_eval.api.model import lmms  # type: ignore[import-not-found,unused-ignore]
from lmms_eval.api.registry import register_model  # type: ignore[import-not-found,unused-ignore]

from omnivmed.defaults import DEFAULT_THRESHOLD
from omnivmed.eval.media import open_media
from omnivmed.eval.predictions import Reply
from omnivmed.inference import AskOptions
from omnivmed.study import Study


def model_manifest() -> Any:
    """Entry point of the group `lmms_eval.models`."""
    from lmms_eval.models.registry_v2 import ModelManifest  # type: ignore[import-not-found,unused-ignore]

    return ModelManifest(model_id="omnivmed", simple_class_path="omnivmed.eval.lmms.models.OmniVMed")


@register_model("omnivmed")
class OmniVMed(lmms):
    """`--model_args pretrained=nano,threshold=0.1`: any name or folder that `load_model` takes."""

    is_simple = True

    def __init__(
        self, pretrained: str = "nano", threshold: float = DEFAULT_THRESHOLD, batch_size: int = 1, **rest: Any
    ) -> None:
        super().__init__()
        from omnivmed.inference import load_model

        self.assistant = load_model(pretrained)
        self.options = AskOptions(threshold=float(threshold), alone=True)

    def generate_until(self, requests: list[Any]) -> list[str]:
        """One answer per request; a question that cannot be answered gives an empty text, as in our own runner."""
        out = []
        for request in requests:
            text, settings, doc_to_visual, doc_id, task, split = request.args
            shown = doc_to_visual(self.task_dict[task][split][doc_id])
            options = replace(self.options, max_new_tokens=settings.get("max_new_tokens", 64))
            out.append(reply(self.assistant, shown, text, options).text)
        return out

    def loglikelihood(self, requests: list[Any]) -> list[tuple[float, bool]]:
        """Not offered: answers are generated and scored as text."""
        raise NotImplementedError("omnivmed answers in words; choose a generate_until task")

    def generate_until_multi_round(self, requests: list[Any]) -> list[str]:
        """Not offered."""
        raise NotImplementedError("omnivmed is asked one question at a time here")


def reply(assistant: Any, shown: list[Any], text: str, options: AskOptions) -> Reply:
    """The answer about what a task shows: one picture, or one path of a clip or volume."""
    from omnivmed.errors import OmniVMedError

    try:
        with study_of(shown) as study:
            prompt = text.replace("<image>", "").strip()
            given = assistant.answer(study, prompt, options=options)
            assistant.forget(study)
    except OmniVMedError as error:
        return Reply("", error=error.code)
    return Reply(given.text)


def study_of(shown: list[Any]) -> Study:
    """Pictures as lmms-eval hands them over: PIL, or a path. Raises StudyError unless it is exactly one."""
    from pathlib import Path

    from omnivmed.errors import StudyError
    from omnivmed.records import Media

    if len(shown) != 1:
        raise StudyError("Unsupported", f"One study at a time; this question comes with {len(shown)}.")
    if isinstance(shown[0], (str, Path)):
        return open_media(Media("image", (Path(shown[0]),)))[0]
    return Study.from_array(np.asarray(shown[0].convert("RGB")), "image")
