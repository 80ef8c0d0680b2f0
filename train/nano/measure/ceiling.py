"""Where the linear probe's ceiling comes from: the encoder, its resolution, or the patients that are left out.

The same probe (logistic regression, mean and max pooled, clean pictures only) on two frozen encoders:

* ``dinov2``: the untouched DINOv2 ViT-S/14 with its own position table, pictures at 224 px;
* ``nano``: the same weights after healing (2D rotary positions), at the size the product reads (168 px).

It is asked twice: about nano's own split, and about every MR patient in turn with that patient left out. Where both
encoders fall alike, what is hard is the patient, not the encoder.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from train.loop.store import write_json
from train.nano.data.bank import Entry
from train.nano.data.sampling import Pool
from train.nano.data.views import STILL_TOKENS, Item, fit, labels_of, picture, resize, thin
from train.nano.measure.probes import chosen
from train.nano.measure.score import Score
from train.nano.parts.encoder import Vit
from train.nano.parts.features import FeatureSet, encode, linear_probe
from train.nano.text.questions import SHORT_TASKS

SIDE = 224  # what DINOv2 was tuned at
PER_SOURCE = 700  # pictures of one source learnt from: thumbnails must not outnumber all the rest
MR_TASKS = ("plane", "sequence")


@dataclass(frozen=True)
class Arm:
    name: str
    vit: Vit
    side: int | None  # px; None: the product's own size

    def features(self, bank: dict[str, Entry], items: Sequence[Item]) -> FeatureSet:
        """Clean pictures of ``items``; padded to the longest (N, tokens, C)."""
        rows = []
        for start in range(0, len(items), 192):
            part = [picture(bank[i.record_id], i) for i in items[start : start + 192]]
            sized = [resize(p, (self.side, self.side)) if self.side else fit(p, STILL_TOKENS) for p in part]
            rows += encode(self.vit, sized)
        most = max(len(r) for r in rows)
        features = torch.zeros(len(rows), most, rows[0].shape[1], dtype=torch.float16)
        for k, row in enumerate(rows):
            features[k, : len(row)] = row.half()
        labels = [labels_of(bank[i.record_id], i) for i in items]
        sources = [bank[i.record_id].record.source for i in items]
        return FeatureSet(features, torch.tensor([len(r) for r in rows]), labels, sources)


def pictures_of(bank: dict[str, Entry], split: str, most: int = PER_SOURCE) -> list[Item]:
    """At most ``most`` pictures of every source of a split, spread over its patients. Fixed."""
    rng = np.random.default_rng(29)
    by_source: dict[str, list[Item]] = {}
    for item in thin(Pool(bank, split).all_items()):
        by_source.setdefault(bank[item.record_id].record.source, []).append(item)
    return [m[i] for _, m in sorted(by_source.items()) for i in sorted(rng.permutation(len(m))[:most])]


def on_split(arm: Arm, bank: dict[str, Entry]) -> dict[str, Score]:
    """``task`` and ``task@source`` on the test pictures, learnt from the training pictures."""
    train, test = (arm.features(bank, pictures_of(bank, split)) for split in ("train", "test"))
    out = {}
    for task in SHORT_TASKS:
        for key, cell in linear_probe(train, test, task, lambda labels, source: True).items():
            out[task if key == "all" else f"{task}@{key}"] = Score(*cell)
    return out


def left_out(every: FeatureSet, task: str) -> dict[str, Score]:
    """``task@patient`` learnt from all other patients, and ``task`` over all. ``every.sources`` names the patients."""
    out: dict[str, Score] = {}
    for patient in sorted(set(every.sources)):
        others = chosen(every, lambda labels, name, own=patient: name != own)  # type: ignore[misc]
        own = chosen(every, lambda labels, name, own=patient: name == own)  # type: ignore[misc]
        if cell := linear_probe(others, own, task, lambda labels, name: True).get("all"):
            out[f"{task}@{patient}"] = Score(*cell)
    return {task: Score(sum(s.right for s in out.values()), sum(s.asked for s in out.values()))} | out


def patients_left_out(arm: Arm, bank: dict[str, Entry]) -> dict[str, Score]:
    """Every MR patient, of whatever split, learnt from all others."""
    pools = [thin(Pool(bank, split).all_items()) for split in ("train", "dev", "test")]
    items = [
        i for pool in pools for i in pool if i.plane and bank[i.record_id].record.labels["modality"] == "MRI"
    ]
    every = replace(arm.features(bank, items), sources=[bank[i.record_id].record.patient for i in items])
    return {key: score for task in MR_TASKS for key, score in left_out(every, task).items()}


def table(title: str, arms: Sequence[Arm], scores: Sequence[dict[str, Score]]) -> list[str]:
    head = "| asked | n | " + " | ".join(a.name for a in arms) + " |"
    lines = [f"## {title}", "", head, "|---" * (len(arms) + 2) + "|"]
    for key, first in sorted(scores[0].items()):
        cells = [s[key].cell() if key in s else "-" for s in scores]
        lines.append(f"| {key} | {first.asked} | " + " | ".join(cells) + " |")
    return [*lines, ""]


def ceiling(bank: dict[str, Entry], dinov2: Vit, healed: Vit, out: Path) -> None:
    """Writes ``ceiling.json`` and ``ceiling.md``: % right [95 % interval]."""
    arms = [Arm("DINOv2, 224 px", dinov2, SIDE), Arm("nano's encoder", healed, None)]
    out.mkdir(parents=True, exist_ok=True)
    lines, plain = [], {}
    for title, measure in (("MR patients left out", patients_left_out), ("Own split", on_split)):
        scores = [measure(arm, bank) for arm in arms]
        lines += table(title, arms, scores)
        plain[title] = [{k: [s.right, s.asked] for k, s in row.items()} for row in scores]
        write_json(plain, out / "ceiling.json")
        (out / "ceiling.md").write_text("\n".join(lines))
        print("\n".join(lines), flush=True)
