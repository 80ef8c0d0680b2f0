"""Which picture next: a mixture over groups, drawn from (seed, step, position) alone."""

from __future__ import annotations

import numpy as np

from train.nano.data.bank import Entry
from train.nano.data.views import Item, items_of

# share of each group among the pictures of a step, where a recipe names no other
MIXTURE = {
    "mednist": 0.17,
    "cxr_nih": 0.24,
    "mr_slices": 0.22,
    "ct_slices": 0.1,
    "vqa_rad": 0.12,
    "us_pocus": 0.08,
    "bccd": 0.04,
    "endo_lap": 0.02,
    "fundus_berens": 0.01,
}
OWN_GROUPS = (
    "mednist",
    "cxr_nih",
    "vqa_rad",
    "bccd",
    "us_pocus",
    "endo_lap",
    "fundus_berens",
    "pydicom_data",
)


def group_of(entry: Entry) -> str:
    """Groups the mixtures speak of."""
    r = entry.record
    if r.source in OWN_GROUPS:
        return r.source
    return "ct_slices" if r.labels["modality"] == "CT" else "mr_slices"


def cell_of(entry: Entry, item: Item) -> str:
    """What has equal weight inside a group: a patient; a picture where patients are unknown; of chest X-rays each
    pair of view and state, because pneumonia is commoner on PA films of that set (docs/nano.md); and of a CT with
    slices in three planes each plane, because every other CT is axial."""
    r = entry.record
    if r.kind == "volume" and r.labels["modality"] == "CT":
        return f"{r.patient}/{item.plane}"
    if r.source == "cxr_nih":
        return f"{r.labels['view']}/{r.labels['state']}"
    return r.id if r.source == "mednist" else r.patient


class Pool:
    """Items by group; inside a group every cell (:func:`cell_of`) has the same weight, then every record, then
    every item."""

    def __init__(self, bank: dict[str, Entry], split: str) -> None:
        self.bank = bank
        tree: dict[str, dict[str, dict[str, list[Item]]]] = {}
        for entry in bank.values():
            if entry.record.split == split:
                for item in items_of(entry):
                    cells = tree.setdefault(group_of(entry), {})
                    cells.setdefault(cell_of(entry, item), {}).setdefault(entry.record.id, []).append(item)
        self.groups = {g: [list(p.values()) for p in patients.values()] for g, patients in tree.items()}

    def draw(self, mixture: dict[str, float], rng: np.random.Generator) -> Item:
        """One picture: a group by the mixture's weights, then a patient, a study and a picture of it, evenly."""
        names = [n for n in mixture if n in self.groups]
        weights = np.array([mixture[n] for n in names])
        group = self.groups[names[rng.choice(len(names), p=weights / weights.sum())]]
        patient = group[rng.integers(len(group))]
        items = patient[rng.integers(len(patient))]
        return items[rng.integers(len(items))]

    def all_items(self) -> list[Item]:
        """Every picture of the pool, once."""
        return [i for group in self.groups.values() for patient in group for items in patient for i in items]
