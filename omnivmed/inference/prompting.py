"""The prompt of one question, and whether it fits."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from omnivmed.errors import ModelError
from omnivmed.inference.work import sparse_note
from omnivmed.model.prompts import build_prompt

if TYPE_CHECKING:
    from omnivmed.inference.runtime import Runtime
    from omnivmed.inference.work import Request, Work
    from omnivmed.pruning import KeepMask
    from omnivmed.vision import Patches

#: Room that an answer must at least have after the prompt, in tokens.
LEAST_ROOM = 16


def fitting_prompt(
    runtime: Runtime, request: Request, mask: KeepMask, patches: Patches, work: Work
) -> tuple[list[int], int]:
    """(prompt ids, room left for the answer); leaves out the oldest turns when all do not fit, and notes it.

    Raises ModelError when the study and the question alone do not.
    """
    history = list(request.history)
    while True:
        ids = build_prompt(
            runtime.tokenizer,
            request.question,
            patches.kind,
            mask.kept_per_frame.tolist(),
            None if patches.times_s is None else patches.times_s.tolist(),
            history,
            runtime.image_token_id,
            runtime.video_token_id,
        )
        room = runtime.context_length - len(ids)
        if room >= min(LEAST_ROOM, request.options.max_new_tokens):
            break
        if not history:
            raise ModelError(
                "TooLong",
                f"Study and question take {len(ids):,} tokens, and this model holds {runtime.context_length:,}. "
                "Take fewer frames or raise the pruning threshold.",
            )
        history.pop(0)
    if dropped := len(request.history) - len(history):
        work.notes.append(f"The {dropped} oldest question(s) were left out: this model holds no more.")
    if note := sparse_note(patches):
        work.notes.append(note)
    work.usage = replace(work.usage, prompt_tokens=len(ids))
    return ids, room
