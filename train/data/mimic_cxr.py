"""MIMIC-CXR (credentialed access at PhysioNet): reports as targets, one row a study, from the public layout.

    mimic-cxr-2.0.0-split.csv[.gz]       dicom_id, study_id, subject_id, split (train, validate, test)
    mimic-cxr-2.0.0-metadata.csv[.gz]    dicom_id, ViewPosition, … (optional: which pictures are frontal)
    files/p10/p10000032/s50414267.txt                    reports; or below mimic-cxr-reports/
    files/p10/p10000032/s50414267/<dicom_id>.jpg | .dcm  pictures; or below mimic-cxr-jpg/

OmniV-Med lists MIMIC-CXR among its report data and says no more. Ours: the target is FINDINGS and IMPRESSION, the
pictures are at most two, frontal ones first. Studies of one patient keep to the official split.
"""

from __future__ import annotations

import csv
import gzip
import hashlib
import re
from collections.abc import Iterator
from itertools import zip_longest
from pathlib import Path

from omnivmed.eval.files import LayoutError
from omnivmed.records import About, Media, Sample, SampleSet, Skipped

QUESTION = "Write the findings and the impression of this chest radiograph."
SPLITS = {"train": "train", "validation": "validate", "test": "test"}
FRONTAL = ("PA", "AP")
MOST_PICTURES = 2
HEADING = re.compile(r"^[ \t]*([A-Z][A-Z /&-]{2,60}):", re.MULTILINE)


def read(root: Path, split: str) -> SampleSet:
    """One sample a study of the split. Raises LayoutError without the split table, ValueError for another split."""
    if split not in SPLITS:
        raise ValueError(f"MIMIC-CXR has no split {split!r}; choose from {', '.join(SPLITS)}")
    views = {row["dicom_id"]: row.get("ViewPosition", "") for row in _table(root, "metadata", needed=False)}
    studies: dict[tuple[str, str], list[str]] = {}
    for row in _table(root, "split"):
        if row["split"] == SPLITS[split]:
            studies.setdefault((row["subject_id"], row["study_id"]), []).append(row["dicom_id"])
    samples, skipped = [], []
    for (subject, study), pictures in sorted(studies.items()):
        where = f"s{study}"
        below = Path("files") / f"p{subject[:2]}" / f"p{subject}" / f"s{study}"
        report = _first(root, ("", "mimic-cxr-reports"), below.with_suffix(".txt"))
        if report is None:
            skipped.append(Skipped(where, "report missing"))
            continue
        target = target_of(report.read_text(encoding="utf-8", errors="replace"))
        if not target:
            skipped.append(Skipped(where, "report without findings and impression", by_rule=True))
            continue
        ordered = sorted(pictures, key=lambda name: (views.get(name, "") not in FRONTAL, name))[
            :MOST_PICTURES
        ]
        paths = [
            _first(root, ("", "mimic-cxr-jpg"), below / f"{name}.jpg", below / f"{name}.dcm")
            for name in ordered
        ]
        if any(path is None for path in paths):
            skipped.append(Skipped(where, "picture missing"))
            continue
        samples.append(
            Sample(
                f"mimic_cxr/{split}/{study}",
                Media("image", tuple(path for path in paths if path is not None)),
                ((QUESTION, target),),
                About("x-ray", "report", "MIMIC-CXR", hashlib.sha256(subject.encode()).hexdigest()[:16]),
            )
        )
    return SampleSet(tuple(samples), tuple(skipped))


def target_of(report: str) -> str:
    """Findings and impression in one paragraph each, "" when the report has neither under its heading."""
    parts: dict[str, str] = {}
    headings = list(HEADING.finditer(report))
    for heading, after in zip_longest(headings, headings[1:]):
        text = report[heading.end() : after.start() if after else len(report)]
        parts.setdefault(heading[1].strip(), " ".join(text.split()))
    chosen = [
        f"{title}: {parts[name]}"
        for title, name in (("Findings", "FINDINGS"), ("Impression", "IMPRESSION"))
        if parts.get(name)
    ]
    return "\n".join(chosen)


def _first(root: Path, folders: tuple[str, ...], *names: Path) -> Path | None:
    return next((p for folder in folders for name in names if (p := root / folder / name).is_file()), None)


def _table(root: Path, kind: str, needed: bool = True) -> Iterator[dict[str, str]]:
    """Rows of `mimic-cxr-2.0.0-<kind>.csv`, of whichever version, zipped or not, here or beside the pictures."""
    found = sorted(
        path for part in (root, root / "mimic-cxr-jpg") for path in part.glob(f"mimic-cxr-*-{kind}.csv*")
    )
    if not found:
        if needed:
            raise LayoutError(
                f"mimic-cxr-2.0.0-{kind}.csv not found: unpack MIMIC-CXR-JPG and point to its folder"
            )
        return
    opener = gzip.open if found[0].suffix == ".gz" else open
    with opener(found[0], "rt", encoding="utf-8", newline="") as file:
        yield from csv.DictReader(file)
