"""What a sample will cost, without decoding it: file headers and text only. Always an upper bound."""

from __future__ import annotations

from collections.abc import Sequence

from PIL import Image

from omnivmed.inference.prompts import Tokenizer, encode_text
from omnivmed.vision import VisionBudget, target_size
from train.data.batches import Cost
from train.data.samples import Sample

FRAME_TEXT = ",Time 99999.9s:"
"""The longest text before a frame."""
TURN_TEXT = ("\n", "user\n", "\n", "\n", "assistant\n")
CONTROL_TOKENS = 4
"""<|im_start|> and <|im_end|>, twice, of one turn."""


def cost_of(sample: Sample, tokenizer: Tokenizer, budget: VisionBudget) -> Cost:
    """Positions and patches of a sample, before pruning. Exact for stills whose header Pillow reads; a volume, a
    video or another file may take the whole budget."""
    positions = sum(
        CONTROL_TOKENS + sum(len(encode_text(tokenizer, text)) for text in (*TURN_TEXT, *turn))
        for turn in sample.turns
    )
    kind = sample.media.kind
    if kind == "text":
        return Cost(positions, 0)
    merge = budget.merge_size(kind)
    if kind == "image":
        visual = sum(_still_tokens(path, budget, len(sample.media.paths)) for path in sample.media.paths)
    else:
        frames = budget.max_frames
        if len(sample.media.paths) > 1:
            frames = min(frames, len(sample.media.paths))
        visual = budget.study_tokens(kind, frames)
        positions += frames * len(encode_text(tokenizer, FRAME_TEXT))
    return Cost(positions + visual, visual * merge**2)


def still_budget(budget: VisionBudget, stills: int) -> int:
    """Merged tokens each of several stills may take."""
    return max(1, budget.study_tokens("image", 1) // stills)


def _still_tokens(path: object, budget: VisionBudget, stills: int) -> int:
    most = still_budget(budget, stills)
    try:
        with Image.open(str(path)) as image:  # reads the header only
            width, height = image.size
    except (OSError, ValueError, Image.DecompressionBombError):
        return most
    merge = budget.merge_size("image")
    size = target_size(
        height,
        width,
        merge_size=merge,
        max_tokens=most,
        min_tokens=budget.min_tokens,
        patch_size=budget.patch_size,
    )
    side = budget.patch_size * merge
    return (size[0] // side) * (size[1] // side)


def costs_of(samples: Sequence[Sample], tokenizer: Tokenizer, budget: VisionBudget) -> list[Cost]:
    """Costs in the order of the samples."""
    return [cost_of(sample, tokenizer, budget) for sample in samples]
