"""Which picture next: a mixture over groups, drawn from (seed, step, position) alone."""

from __future__ import annotations

import numpy as np

from train.nano.bank import Entry
from train.nano.views import Item, items_of


def group_of(entry: Entry) -> str:
    """Groups the mixtures speak of."""
    r = entry.record
    if r.source in ("mednist", "cxr_nih", "vqa_rad", "bccd", "us_pocus", "endo_lap", "fundus_berens"):
        return r.source
    return "ct_slices" if r.labels["modality"] == "CT" else "mr_slices"


class Pool:
    """Items by group; inside a group every patient has the same weight, then every record, then every item."""

    def __init__(self, bank: dict[str, Entry], split: str) -> None:
        self.bank = bank
        tree: dict[str, dict[str, dict[str, list[Item]]]] = {}
        for entry in bank.values():
            if entry.record.split == split:
                items = items_of(entry)
                if items:
                    # stills without patients of their own (blocks) count one by one
                    own = entry.record.source in ("mednist", "cxr_nih")
                    patient = entry.record.id if own else entry.record.patient
                    tree.setdefault(group_of(entry), {}).setdefault(patient, {})[entry.record.id] = items
        self.groups = {g: [list(p.values()) for p in patients.values()] for g, patients in tree.items()}

    def draw(self, mixture: dict[str, float], rng: np.random.Generator) -> Item:
        names = [n for n in mixture if n in self.groups]
        weights = np.array([mixture[n] for n in names])
        group = self.groups[names[rng.choice(len(names), p=weights / weights.sum())]]
        patient = group[rng.integers(len(group))]
        items = patient[rng.integers(len(patient))]
        return items[rng.integers(len(items))]

    def all_items(self) -> list[Item]:
        return [i for group in self.groups.values() for patient in group for items in patient for i in items]
