"""Attributes of a picture as words of the language model: targets of the projector's warm start.

Visual tokens j, j + A, ... (A = number of attributes of that picture) are averaged and must lie nearer to the
input embedding of the true word than to the other values of that attribute. No pass through the language model.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

ATTRIBUTES: dict[str, dict[str, str]] = {  # attribute -> label -> words whose embeddings are averaged
    "modality": {
        "CT": " CT",
        "MRI": " MRI",
        "X-ray": " X-ray",
        "ultrasound": " ultrasound",
        "microscopy": " microscope",
        "endoscopy": " endoscopic",
        "fundus photograph": " retina photograph",
    },
    "organ": {
        "head": " head",
        "chest": " chest",
        "abdomen": " abdomen",
        "breast": " breast",
        "hand": " hand",
        "spine": " spine",
        "lung": " lung",
        "blood": " blood",
        "eye": " eye",
        "heart": " heart",
    },
    "plane": {"axial": " axial", "coronal": " coronal", "sagittal": " sagittal"},
    "sequence": {
        # only the tokens that tell them apart: "T" is common to three of the four
        "T1": "1",
        "T2": "2",
        "FLAIR": " FLAIR",
        "T1 with contrast": " contrast",
    },
    "view": {"PA": " PA", "AP": " AP"},
    "state": {"normal": " normal", "abnormal": " abnormal"},
}
TEMPERATURE, PULL = 0.3, 0.3


def word_table(tokenizer, embedding: Tensor) -> dict[str, Tensor]:  # type: ignore[no-untyped-def]
    """Attribute -> (values, width) mean input embeddings, in the order of ATTRIBUTES."""
    table = {}
    for name, values in ATTRIBUTES.items():
        rows = [
            embedding[tokenizer.encode(w, add_special_tokens=False)].float().mean(0) for w in values.values()
        ]
        table[name] = torch.stack(rows)
    return table


def targets(labels: dict[str, str]) -> list[tuple[str, int]]:
    """(attribute, value number) pairs a record has, in fixed order."""
    return [(a, list(v).index(labels[a])) for a, v in ATTRIBUTES.items() if labels.get(a) in v]


class Projector(nn.Module):
    """mlp2x_gelu, with the features standardised first; :meth:`folded` gives the stock two linears."""

    mean: Tensor
    std: Tensor

    def __init__(self, hidden: int = 384, width: int = 576) -> None:
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(hidden, width), nn.Linear(width, width)
        self.register_buffer("mean", torch.zeros(hidden))
        self.register_buffer("std", torch.ones(hidden))

    def forward(self, features: Tensor) -> Tensor:
        """Raw features (…, C) → embeddings of the language model (…, width)."""
        return self.fc2(F.gelu(self.fc1((features.float() - self.mean) / self.std)))

    def folded(self) -> dict[str, Tensor]:
        """``readout.{0,2}`` weights and biases that take raw features."""
        weight = self.fc1.weight / self.std
        return {
            "readout.0.weight": weight,
            "readout.0.bias": self.fc1.bias - weight @ self.mean,
            "readout.2.weight": self.fc2.weight,
            "readout.2.bias": self.fc2.bias,
        }


@dataclass(frozen=True)
class WordBatch:
    """Features (B, 36, C) zero-padded, tokens per picture (B,), targets per picture."""

    features: Tensor
    counts: Tensor
    targets: list[list[tuple[str, int]]]


def word_loss(
    projector: nn.Module, batch: WordBatch, table: dict[str, Tensor]
) -> tuple[Tensor, dict[str, tuple[int, int]]]:
    """Mean loss over pictures and attributes; per attribute (right, asked)."""
    projected = projector(batch.features)
    rows = [row[:count] for row, count in zip(projected, batch.counts.tolist(), strict=True)]
    return word_loss_of(rows, batch.targets, table)


def word_loss_of(
    rows: list[Tensor], targets: list[list[tuple[str, int]]], table: dict[str, Tensor]
) -> tuple[Tensor, dict[str, tuple[int, int]]]:
    """:func:`word_loss` of tokens already projected, (tokens, width) per picture."""
    means: dict[str, list[Tensor]] = {}
    wanted: dict[str, list[int]] = {}
    for row, pairs in zip(rows, targets, strict=True):
        for j, (name, value) in enumerate(pairs):
            means.setdefault(name, []).append(row[j :: len(pairs)].mean(0))
            wanted.setdefault(name, []).append(value)
    losses, right = [], {}
    for name, values in means.items():
        z, target = torch.stack(values), torch.tensor(wanted[name])
        distance = torch.cdist(z, table[name]).square()
        pull = distance.gather(1, target[:, None])[:, 0]
        losses.append(F.cross_entropy(-distance / TEMPERATURE, target, reduction="none") + PULL * pull)
        right[name] = (int((distance.argmin(1) == target).sum()), len(target))
    return torch.cat(losses).mean(), right
