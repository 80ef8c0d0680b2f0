"""What a sample will cost, without decoding it: file headers and text only. Always an upper bound."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

from PIL import Image

from omnivmed.model.prompts import Tokenizer, encode_text
from omnivmed.records import Sample
from omnivmed.vision import VisionBudget, target_size
from train.data.batches import Cost

FRAME_TEXT = ",Time 99999.9s:"
"""The longest text before a frame."""
TURN_TEXT = ("\n", "user\n", "\n", "\n", "assistant\n")
CONTROL_TOKENS = 4
"""<|im_start|> and <|im_end|>, twice, of one turn."""


def fixed_tokens(tokenizer: Tokenizer) -> tuple[int, int]:
    """Tokens of what every turn and every frame says besides its own words."""
    turn = CONTROL_TOKENS + sum(len(encode_text(tokenizer, text)) for text in TURN_TEXT)
    return turn, len(encode_text(tokenizer, FRAME_TEXT))


def cost_of(
    sample: Sample, tokenizer: Tokenizer, budget: VisionBudget, fixed: tuple[int, int] | None = None
) -> Cost:
    """Positions and patches of a sample, before pruning. Exact for stills whose header Pillow reads; a volume, a
    video or another file may take the whole budget. fixed: `fixed_tokens`, where many samples are counted."""
    per_turn, per_frame = fixed or fixed_tokens(tokenizer)
    positions = sum(
        per_turn + sum(len(encode_text(tokenizer, text)) for text in turn) for turn in sample.turns
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
        positions += frames * per_frame
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


def cached_costs(
    path: Path,
    manifest: dict[str, str],
    samples: Sequence[Sample],
    tokenizer: Tokenizer,
    budget: VisionBudget,
    write: bool,
) -> list[Cost]:
    """Costs in the order of the samples, from `path` when it was made of the same data and budget.

    Reading the headers of 647,031 pictures takes a while; a resumed run should not do it again. write: let this
    process keep what it computed (one of several is enough).
    """
    key = hashlib.sha256(repr((sorted(manifest.items()), budget, len(samples))).encode()).hexdigest()[:16]
    if path.is_file():
        stored = json.loads(path.read_text(encoding="utf-8"))
        if stored["key"] == key:
            return [Cost(*pair) for pair in stored["costs"]]
    fixed = fixed_tokens(tokenizer)
    costs = [cost_of(sample, tokenizer, budget, fixed) for sample in samples]
    if write:
        values = {"key": key, "costs": [(c.positions, c.patches) for c in costs]}
        draft = path.with_suffix(".part")
        draft.write_text(json.dumps(values), encoding="utf-8")
        draft.replace(path)
    return costs
