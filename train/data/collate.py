"""Encoded samples → one batch for the model: padded rows, or one packed row with positions that restart.

Every batch runs the encoder. One without pictures carries a dummy still whose only token is pruned: encoder and
projector take part in the backward pass with a gradient of exactly zero, so that no rank of ZeRO-3 or FSDP waits
for another one's pictures.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from train.data.encode import IGNORE, Encoded

PATCH_VALUES = 588


def collate(
    samples: Sequence[Encoded], pad_id: int, *, packed: bool = False, dummy_merge: int = 2
) -> dict[str, Any]:
    """B samples → inputs of `OmniVMedForConditionalGeneration.forward`.

    input_ids, labels: int64 (B, S) padded on the right with `attention_mask`, or (1, total) packed with
    `position_ids` and no mask; the first label of a packed sample is never supervised, so nothing is predicted
    across a border. pixel_values…: (N, 588) of all samples in order, with grids, merge sizes and keep masks.
    An empty list gives a batch with nothing to learn (all its samples were bad).
    """
    batch = _packed(samples, pad_id) if packed else _padded(samples, pad_id)
    for kind, wanted in (("image", False), ("video", True)):
        members = [s for s in samples if s.patches and s.video is wanted]
        if members:
            batch |= _vision(members, kind)
    if not any(s.patches for s in samples):
        batch |= {
            "pixel_values": torch.zeros(dummy_merge**2, PATCH_VALUES),
            "image_grid_thw": torch.tensor([[1, dummy_merge, dummy_merge]]),
            "image_merge_sizes": torch.tensor([dummy_merge]),
            "image_compression_mask": torch.zeros(1, dtype=torch.bool),
        }
    return batch


def _padded(samples: Sequence[Encoded], pad_id: int) -> dict[str, Any]:
    longest = max((len(s.input_ids) for s in samples), default=2)
    rows = max(1, len(samples))
    ids = torch.full((rows, longest), pad_id, dtype=torch.int64)
    labels = torch.full((rows, longest), IGNORE, dtype=torch.int64)
    mask = torch.zeros((rows, longest), dtype=torch.int64)
    for row, sample in enumerate(samples):
        n = len(sample.input_ids)
        ids[row, :n] = torch.from_numpy(sample.input_ids)
        labels[row, :n] = torch.from_numpy(sample.labels)
        mask[row, :n] = 1
    if not samples:
        mask[:] = 1
    return {"input_ids": ids, "labels": labels, "attention_mask": mask}


def _packed(samples: Sequence[Encoded], pad_id: int) -> dict[str, Any]:
    if not samples:
        return _padded(samples, pad_id) | {"attention_mask": None}
    labels = []
    for sample in samples:
        own = sample.labels.copy()
        own[0] = IGNORE
        labels.append(own)
    positions = [np.arange(len(s.input_ids)) for s in samples]
    return {
        "input_ids": torch.from_numpy(np.concatenate([s.input_ids for s in samples]))[None],
        "labels": torch.from_numpy(np.concatenate(labels))[None],
        "position_ids": torch.from_numpy(np.concatenate(positions))[None],
        # Packed rows are told apart by positions alone; a cache would silently undo that.
        "use_cache": False,
    }


def _vision(samples: Sequence[Encoded], kind: str) -> dict[str, torch.Tensor]:
    studies = [p for s in samples for p in s.patches]
    out = {
        "pixel_values" if kind == "image" else "pixel_values_videos": torch.from_numpy(
            np.concatenate([p.patches for p in studies])
        ),
        f"{kind}_grid_thw": torch.tensor([p.grid_thw for p in studies]),
        f"{kind}_merge_sizes": torch.tensor([p.merge_size for p in studies]),
    }
    if any(s.keep is not None for s in samples):
        keep = [
            np.ones(sum(p.tokens for p in s.patches), bool) if s.keep is None else s.keep for s in samples
        ]
        out[f"{kind}_compression_mask"] = torch.from_numpy(np.concatenate(keep))
    return out
