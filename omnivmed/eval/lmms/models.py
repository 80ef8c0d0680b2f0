"""`--model omnivmed` for lmms-eval (its "simple" kind: one text, a list of pictures or one clip)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from lmms_eval.api.model import lmms  # type: ignore[import-not-found,unused-ignore]
from lmms_eval.api.registry import register_model  # type: ignore[import-not-found,unused-ignore]

from omnivmed.defaults import DEFAULT_THRESHOLD
from omnivmed.eval.media import open_media
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
        """One answer per request. A question that cannot be answered raises its error, with the document's place in a
        note: an empty text would be counted as an answer, and the share of broken documents would never be seen."""
        out = []
        for request in requests:
            text, settings, doc_to_visual, doc_id, task, split = request.args
            shown = doc_to_visual(self.task_dict[task][split][doc_id])
            options = replace(self.options, max_new_tokens=settings.get("max_new_tokens", 64))
            try:
                out.append(reply(self.assistant, shown, text, options))
            except Exception as error:
                error.add_note(f"document {doc_id} of {task}, {split}")
                raise
        return out

    def loglikelihood(self, requests: list[Any]) -> list[tuple[float, bool]]:
        """Not offered: answers are generated and scored as text."""
        raise NotImplementedError("omnivmed answers in words; choose a generate_until task")

    def generate_until_multi_round(self, requests: list[Any]) -> list[str]:
        """Not offered."""
        raise NotImplementedError("omnivmed is asked one question at a time here")


def reply(assistant: Any, shown: list[Any], text: str, options: AskOptions) -> str:
    """The answer about what a task shows: one picture, or one path of a clip or volume.

    Raises StudyError or ModelError.
    """
    with study_of(shown) as study:
        given = assistant.answer(study, text.replace("<image>", "").strip(), options=options)
        assistant.forget(study)
    return str(given.text)


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
