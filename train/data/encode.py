"""Sample → ids, labels, patches and keep mask: exactly the prompt of answering, with the answers supervised.

The prompt comes from `omnivmed.model.prompts`, the frames from `omnivmed.vision`, the mask from
`omnivmed.pruning`: a model is trained on what it will be asked with.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from omnivmed.errors import StudyError
from omnivmed.eval.media import open_media
from omnivmed.model.prompts import Tokenizer, build_prompt, encode_text, format_target
from omnivmed.pruning import keep_mask
from omnivmed.records import Sample
from omnivmed.vision import Patches, VisionBudget, prepare
from train.data.costs import still_budget

IGNORE = -100


class BadSample(Exception):
    """A sample that cannot be trained on; `reason` is what it is counted under."""

    def __init__(self, sample_id: str, reason: str) -> None:
        super().__init__(f"{sample_id}: {reason}")
        self.sample_id = sample_id
        self.reason = reason


@dataclass(frozen=True)
class Placeholders:
    """Ids that stand for visual tokens: stills, and volumes and videos."""

    image: int
    video: int


@dataclass(frozen=True, eq=False)
class Encoded:
    """input_ids, labels: int64 (S,), -100 where not supervised. patches: one per study, in prompt order.
    keep: bool, merged tokens of all studies; None keeps all."""

    id: str
    input_ids: np.ndarray
    labels: np.ndarray
    patches: tuple[Patches, ...]
    keep: np.ndarray | None
    video: bool

    @property
    def supervised(self) -> int:
        """Supervised positions."""
        return int((self.labels != IGNORE).sum())


def encode(
    sample: Sample,
    tokenizer: Tokenizer,
    placeholders: Placeholders,
    budget: VisionBudget,
    *,
    threshold: float | None = None,
    max_length: int = 16_384,
) -> Encoded:
    """Raises BadSample when the media cannot be opened or the sample is longer than `max_length` positions."""
    kind = sample.media.kind
    patches = _patches(sample, budget)
    if sample.media.focus is not None and sample.media.focus not in patches[0].frame_index:
        raise BadSample(sample.id, "the frame asked about is not shown under this budget")
    tokens_per_frame: list[int] = []
    keep = None
    if kind in ("volume", "video") and threshold is not None:
        mask = keep_mask(patches[0], threshold)
        keep = mask.keep.reshape(-1)
        tokens_per_frame = [int(n) for n in mask.kept_per_frame]
    else:
        for study in patches:
            t, h, w = study.token_grid
            tokens_per_frame += [h * w] * t
    times = patches[0].times_s if kind == "video" else None
    ids: list[int] = []
    labels: list[int] = []
    for place, (question, answer) in enumerate(sample.turns):
        first = place == 0
        prompt = build_prompt(
            tokenizer,
            question,
            "image" if kind == "text" else kind,
            tokens_per_frame if first else [],
            None if times is None or not first else [float(s) for s in times],
            [],
            placeholders.image,
            placeholders.video,
        )
        if not first:
            prompt = encode_text(tokenizer, "\n") + prompt
        target = format_target(tokenizer, answer)
        ids += prompt + target
        labels += [IGNORE] * len(prompt) + target
        if len(ids) > max_length:
            raise BadSample(sample.id, f"longer than {max_length} positions")
    return Encoded(
        sample.id,
        np.asarray(ids, dtype=np.int64),
        np.asarray(labels, dtype=np.int64),
        patches,
        keep,
        kind in ("volume", "video"),
    )


def _patches(sample: Sample, budget: VisionBudget) -> tuple[Patches, ...]:
    stills = len(sample.media.paths)
    if sample.media.kind == "image" and stills > 1:
        share = still_budget(budget, stills)
        budget = replace(budget, max_tokens=share, image_max_tokens=share)
    try:
        studies = open_media(sample.media)
        out = []
        for study in studies:
            with study:
                out.append(prepare(study, budget))
        return tuple(out)
    except StudyError as error:
        raise BadSample(sample.id, error.code) from None
    except FileNotFoundError:
        raise BadSample(sample.id, "file missing") from None
