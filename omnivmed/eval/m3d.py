"""M3D-VQA and M3D-Cap: CT volumes as `.npy` (1, slices, height, width), float 0..1, made from 8-bit slices.

There are no HU in these files: they are shown as stored, from 0 to 1. `Image Path` and `image` are relative to
the data folder. `text` of M3D-Cap is the path of a report file, or the report itself.
"""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Literal

from omnivmed.eval.files import LayoutError, inside, need, read_json
from omnivmed.eval.kinds import task_of
from omnivmed.eval.protocol import M3D_CLOSED, M3D_OPEN
from omnivmed.records import About, Item, Media, Reading, Skipped

PROTOCOLS = (M3D_CLOSED, M3D_OPEN)
SPLITS = ("train", "val", "test", "test5k")
TYPES = {"1": "plane", "2": "phase", "3": "organ", "4": "abnormality", "5": "location"}
WINDOW = (0.5, 1.0)
CAPTION_QUESTION = "Can you provide a report consists of findings for this medical image?"
_LETTERS = "ABCD"


def read(root: Path, split: str, form: Literal["closed", "open"] = "closed") -> Reading:
    """M3D-VQA of one split from `M3D_VQA_<split>.csv`, as multiple choice or as open questions.

    Every row serves both forms. A closed answer is "A. text". Raises LayoutError, ValueError.
    """
    if split not in SPLITS:
        raise ValueError(f"no split {split!r}; choose from {SPLITS}")
    table = root / f"M3D_VQA_{split}.csv"
    if not table.is_file():
        table = need(root / "M3D_VQA" / table.name, "unpack M3D-VQA and point to its folder")
    items, skipped = [], []
    with table.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    needed = {"Image Path", "Question", "Question Type", "Answer", "Answer Choice"}
    if rows and not needed <= rows[0].keys():
        raise LayoutError(f"{table.name} lacks the columns {sorted(needed - rows[0].keys())}")
    for place, row in enumerate(rows):
        where = f"{table.name} row {place + 1}"  # not lines: a question may hold a line break
        media, reason = volume_media(root, row["Image Path"] or "")
        letter = (row["Answer Choice"] or "").strip().upper()
        choices = tuple((row.get(f"Choice {c}") or "").strip() for c in _LETTERS)
        kind = TYPES.get((row["Question Type"] or "").strip())
        if kind is None:
            reason = reason or "unknown question type"
        if form == "closed" and (letter not in list(_LETTERS) or not choices[_LETTERS.find(letter)]):
            reason = reason or "answer is not one of the choices"
        if media is None or kind is None or reason:
            skipped.append(Skipped(f"{where} ({row['Image Path']})", reason or "unreadable"))
            continue
        closed = form == "closed"
        items.append(
            Item(
                id=f"m3d-{form}/{split}/{place}",
                media=media,
                question=(row["Question"] or "").strip(),
                answer=f"{letter}. {choices[_LETTERS.find(letter)]}" if closed else row["Answer"].strip(),
                closed=closed,
                category=kind,
                group=row["Image Path"],
                choices=choices if closed else (),
                about=About("ct", task_of(kind), "M3D-VQA", patient_of(row["Image Path"])),
            )
        )
    return Reading(tuple(items), tuple(skipped), f"{form} form, five question types")


def read_captions(root: Path, split: str) -> Reading:
    """M3D-Cap of one split ("train", "validation", "test") from `M3D_Cap.json`, one report per volume."""
    index = root / "M3D_Cap.json"
    if not index.is_file():
        index = need(root / "M3D_Cap" / index.name, "unpack M3D-Cap and point to its folder")
    document = read_json(index)
    if not isinstance(document, dict) or split not in document:
        raise ValueError(f"M3D_Cap.json has no split {split!r}")
    items, skipped = [], []
    for place, row in enumerate(document[split]):
        name = str(row.get("image", ""))
        media, reason = volume_media(root, name)
        report = _report(root, str(row.get("text", "")))
        if media is None or not report:
            skipped.append(Skipped(f"M3D_Cap.json {split}[{place}] ({name})", reason or "no report"))
            continue
        items.append(
            Item(
                id=f"m3d-cap/{split}/{place}",
                media=media,
                question=CAPTION_QUESTION,
                answer=report,
                closed=False,
                category="report",
                group=str(Path(name).parent),
                about=About("ct", "report", "M3D-Cap", patient_of(name)),
            )
        )
    return Reading(tuple(items), tuple(skipped), "reports")


def patient_of(image: str) -> str:
    """The case a volume belongs to: "M3D_Cap/ct_case/000006/Axial.npy" and "…/Coronal.npy" are one case."""
    return str(Path(image).parent)


def volume_media(root: Path, name: str) -> tuple[Media | None, str]:
    """(media, "") of a volume below the data folder, or (None, reason)."""
    path = inside(root, name)
    if not name or path is None or not path.exists():
        return None, "volume missing"
    if path.is_dir():
        slices = sorted(path.glob("*.png"), key=lambda p: (len(p.stem), p.stem))
        return (Media("volume", tuple(slices)), "") if slices else (None, "no slices in the folder")
    return Media("volume", (path,), window=WINDOW), ""


def _report(root: Path, text: str) -> str:
    if text.endswith(".txt"):
        path = inside(root, text)
        return path.read_text(encoding="utf-8").strip() if path and path.is_file() else ""
    return text.strip()
