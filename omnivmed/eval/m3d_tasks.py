"""M3D's other two tasks as questions: which report belongs to a volume, and where in it something is.

M3D measures retrieval with a CLIP model over 100 to 2,000 pairs, and positioning with special box tokens. A language
model is asked instead: retrieval as a choice of four reports (ours), positioning as six numbers in plain text, with
M3D's own box.

Positioning reads M3D-Seg after M3D's own preparation: `M3D_Seg/<tag>/<tag>.json` with lists "train" and "test" of
{"image", "label"} relative to `M3D_Seg/`, masks `mask_<class>.npy` (1, D, H, W). The names of classes stand in no file
of the data: they are taken from "labels" of the same JSON, or from `M3D_Seg/dataset_info.json` (tag -> list, or
class -> name), which M3D keeps in its code.
"""

from __future__ import annotations

import hashlib
import random
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from omnivmed.eval.files import inside, need, read_json
from omnivmed.eval.m3d import patient_of, read_captions, volume_media
from omnivmed.eval.metrics import llava_med_overlap
from omnivmed.eval.protocol import M3D_CLOSED, Answers, Protocol, Score, mean, share
from omnivmed.records import About, Item, Reading, Skipped

Box = tuple[float, float, float, float, float, float]
"""z0, y0, x0, z1, y1, x1 as shares of the volume's extent, three decimals; the far side is the last voxel's own index,
as M3D has it, not the one after."""

RETRIEVAL_QUESTION = "Which of these reports belongs to this volume?"
CHOICES = 4
REPORT_WORDS = 60
"""A choice is the beginning of a report: four whole ones would be longer than the volume."""
WHERE = "Where is the {}? Answer with a box [z0, y0, x0, z1, y1, x1], each a share of the volume's extent."
WHAT = "What is in the box {} ([z0, y0, x0, z1, y1, x1] as shares of the volume's extent)?"
ABSENT = "There is no {} in this volume."
NEAR = 0.25
"""Overlap from which M3D counts a box as found."""


def read_retrieval(root: Path, split: str) -> Reading:
    """M3D-Cap as a choice of four reports, three of them of other cases; the same ones for the same data.

    Raises LayoutError, ValueError.
    """
    if not re.fullmatch(r"train|validation|test\d*", split):
        raise ValueError(f"M3D-Cap has no split {split!r}: train, validation, test or test100 … test2000")
    found = read_captions(root, split)
    cases = [(item.group, _beginning(item.answer)) for item in found.items]
    items, skipped = [], list(found.skipped)
    for item, (case, text) in zip(found.items, cases, strict=True):
        draw = random.Random(hashlib.sha256(item.id.encode()).hexdigest())
        others = _others(draw, cases, case, text)
        if len(others) < CHOICES - 1:
            skipped.append(Skipped(f"{item.id}", "too few other reports to choose from", by_rule=True))
            continue
        place = draw.randrange(CHOICES)
        choices = (*others[:place], text, *others[place:])
        items.append(
            Item(
                id=item.id.replace("m3d-cap/", "m3d-retrieval/"),
                media=item.media,
                question=RETRIEVAL_QUESTION,
                answer="ABCD"[place] + ".",
                closed=True,
                category="retrieval",
                group=item.group,
                choices=choices,
                about=About("ct", "retrieval", "M3D-Cap", item.about.patient),
            )
        )
    return Reading(
        tuple(items), tuple(skipped), f"the right report among {CHOICES}, {REPORT_WORDS} words of each"
    )


def _others(draw: random.Random, cases: Sequence[tuple[str, str]], case: str, text: str) -> list[str]:
    """Three different texts of other cases; drawn, not searched for, so that the whole set is read in linear time."""
    out: list[str] = []
    for _ in range(20 * CHOICES):
        other, words = cases[draw.randrange(len(cases))]
        if other != case and words != text and words not in out:
            out.append(words)
        if len(out) == CHOICES - 1:
            break
    return out


def _beginning(report: str) -> str:
    words = report.split()
    return " ".join(words[:REPORT_WORDS]) + (" …" if len(words) > REPORT_WORDS else "")


def read_positioning(root: Path, split: str) -> Reading:
    """M3D-Seg of one split ("train", "test") as two questions a mask: where something is, and what is in a box.

    Every mask is opened once for its box (about a millisecond each). A class that is not in the volume gives one
    question, answered so. Raises LayoutError, ValueError.
    """
    if split not in ("train", "test"):
        raise ValueError(f"M3D-Seg has no split {split!r}: train or test")
    base = root / "M3D_Seg" if (root / "M3D_Seg").is_dir() else root
    indexes = sorted(path for path in base.glob("*/*.json") if path.stem == path.parent.name)
    if not indexes:
        need(
            base / "0000" / "0000.json",
            "unpack M3D-Seg, prepare it with M3D's scripts and point to its folder",
        )
    shared = read_json(base / "dataset_info.json") if (base / "dataset_info.json").is_file() else {}
    items: list[Item] = []
    skipped: list[Skipped] = []
    for index in indexes:
        document = read_json(index)
        names = class_names(document.get("labels") or shared.get(index.stem) or {})
        for place, row in enumerate(document.get(split, [])):
            where = f"{index.name} {split}[{place}]"
            found, reason = _positions(base, f"{index.stem}/{split}/{place}", row, names)
            items += found
            if reason:
                skipped.append(Skipped(where, reason))
    return Reading(tuple(items), tuple(skipped), "where something is, and what is in a box")


def class_names(values: Any) -> dict[int, str]:
    """Class -> name of a list, or of {"1": "liver"}; an empty dictionary for anything else."""
    pairs = (
        values.items()
        if isinstance(values, Mapping)
        else enumerate(values if isinstance(values, list) else [])
    )
    return {int(key): str(name).strip() for key, name in pairs if str(key).isdigit() and str(name).strip()}


def _positions(base: Path, key: str, row: Any, names: Mapping[int, str]) -> tuple[list[Item], str]:
    if not isinstance(row, Mapping) or not row.get("image") or not row.get("label"):
        return [], "no image and label"
    media, reason = volume_media(base, str(row["image"]))
    mask = inside(base, str(row["label"]))
    if media is None:
        return [], reason
    if mask is None or not mask.is_file():
        return [], "mask missing"
    number = re.search(r"_(\d+)$", mask.stem)
    name = names.get(int(number[1])) if number else None
    if name is None:
        return [], "no name for the mask's class"
    try:
        box = box_of(np.load(mask, allow_pickle=False))
    except (ValueError, OSError, EOFError):
        return [], "the mask could not be read"
    patient = patient_of(str(row["image"]))
    about = About("ct", "positioning", "M3D-Seg", patient)
    told = str(list(box)) if box is not None else ABSENT.format(name)
    ask = Item(
        f"m3d-position/{key}/where", media, WHERE.format(name), told, False, "where", patient, about=about
    )
    if box is None:
        return [ask], ""
    what = Item(
        f"m3d-position/{key}/what", media, WHAT.format(told), name, False, "what", patient, about=about
    )
    return [ask, what], ""


def box_of(mask: np.ndarray) -> Box | None:
    """The box round everything that is not 0 in (D, H, W) or (1, D, H, W); None when there is nothing.

    Raises ValueError for another number of axes.
    """
    values = mask[0] if mask.ndim == 4 and mask.shape[0] == 1 else mask
    if values.ndim != 3:
        raise ValueError(f"a mask has three axes, this one has {values.ndim}")
    ends = []
    for axis in range(3):
        places = np.flatnonzero(values.any(axis=tuple(a for a in range(3) if a != axis)))
        if not len(places):
            return None
        ends.append((round(places[0] / values.shape[axis], 3), round(places[-1] / values.shape[axis], 3)))
    (z0, z1), (y0, y1), (x0, x1) = ends
    return (float(z0), float(y0), float(x0), float(z1), float(y1), float(x1))


def parse_box(text: str) -> Box | None:
    """The first six numbers in brackets, None when there are none."""
    number = r"\s*([-+]?\d*\.?\d+)\s*"
    found = re.search(r"\[" + ",".join([number] * 6) + r"\]", text)
    if found is None:
        return None
    z0, y0, x0, z1, y1, x1 = (float(value) for value in found.groups())
    return (z0, y0, x0, z1, y1, x1)


def overlap(first: Box, second: Box, hull: bool = False) -> float:
    """Intersection over union of two boxes, 0..1. hull: over the box round both, as M3D's code has it, which is
    smaller than or equal to the usual one and the only one that compares with its numbers."""
    ends_by_axis = [sorted((first[a], second[a], first[a + 3], second[a + 3])) for a in range(3)]
    inner = [min(first[a + 3], second[a + 3]) - max(first[a], second[a]) for a in range(3)]
    shared = float(np.prod([max(0.0, side) for side in inner]))
    if hull:
        whole = float(np.prod([ends[-1] - ends[0] for ends in ends_by_axis]))
    else:
        whole = _volume(first) + _volume(second) - shared
    return shared / whole if whole > 0 else 0.0


def _volume(box: Box) -> float:
    return float(np.prod([max(0.0, box[a + 3] - box[a]) for a in range(3)]))


def score_positions(items: Sequence[Item], answers: Answers) -> list[Score]:
    """Where: mean overlap and the share above 0.25, by both ways of counting, an answer without a box counts 0; what
    is not there: the share answered without a box. What: token recall. Intervals over cases."""
    where = [i for i in items if i.category == "where" and parse_box(i.answer)]
    absent = [i for i in items if i.category == "where" and not parse_box(i.answer)]
    what = [i for i in items if i.category == "what"]
    out: list[Score] = []
    if where:
        groups = [i.group or i.id for i in where]
        for hull, name in ((False, "IoU"), (True, "IoU (M3D's, over the hull)")):
            values = [_overlap(answers[i.id], i.answer, hull) for i in where]
            out.append(mean("M3D positioning", f"mean {name}", values, groups))
            out.append(share("M3D positioning", f"{name} > {NEAR}", [v > NEAR for v in values], groups))
        out.append(
            share(
                "M3D positioning", "answers without a box", [parse_box(answers[i.id]) is None for i in where]
            )
        )
    if absent:
        denied = [parse_box(answers[i.id]) is None and bool(answers[i.id].strip()) for i in absent]
        out.append(
            share("M3D positioning", "absent: no box given", denied, [i.group or i.id for i in absent])
        )
    if what:
        recall = [llava_med_overlap(answers[i.id], i.answer).recall for i in what]
        out.append(
            mean("M3D positioning", "what is in the box, recall", recall, [i.group or i.id for i in what])
        )
    return out


def _overlap(answer: str, reference: str, hull: bool) -> float:
    said, true = parse_box(answer), parse_box(reference)
    return 0.0 if said is None or true is None else overlap(said, true, hull)


RETRIEVAL_PROTOCOLS = (M3D_CLOSED,)
POSITIONING_PROTOCOLS = (
    Protocol("M3D positioning", "boxes as text; M3D's tasks REC and REG", score_positions),
)
