"""A recipe's sources as rows that say everything a built set must say of them, or are left out with the reason.

The readers are those of the recipe (`train.data.sources`): one for every public layout that OmniV-Med names, surgical
sets as short clips of consecutive frames around the frame asked about. What is added here: terms, a hashed patient, the
part of the split that follows from the patient, a task or modality that the words tell, and the window of a CT.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from omnivmed.eval.kinds import modality_of, task_by_wording
from omnivmed.records import by_reason
from omnivmed.window import ct_preset
from train.data.sources import read_source
from train.instruct.rows.licences import licence_of
from train.instruct.rows.record import Record, from_samples
from train.instruct.rows.shards import Drop
from train.instruct.sources.cells import planned
from train.recipes.config import Source

HELD_OUT = 0.02
"""Share of patients whose rows are the test part of the built set."""
CT_FILES = (".nii", ".nii.gz", ".dcm", ".nrrd", ".mha")
"""Files whose values are Hounsfield units; arrays and pictures have been windowed by whoever made them."""
# First rule that fits counts: a question about lungs is asked of the lung window. Ours; no paper says its rule.
WINDOWS = (
    ("lung", r"\b(lung|pulmonary|pneumo\w*|nodules?|airways?|bronch\w*|emphysema)\b"),
    ("bone", r"\b(bones?|fractures?|vertebra\w*|ribs?|skull|spine|sclerotic|lytic)\b"),
    ("brain", r"\b(brain|cerebr\w*|intracranial|haemorrhage|hemorrhage|ventricles?|infarct\w*)\b"),
    ("liver", r"\b(liver|hepatic)\b"),
)
_NAMED = re.compile(
    r"\b(ct|computed tomography|mri|magnetic resonance|x-?ray|radiograph|ultrasound|sonograph\w*|oct|fundus"
    r"|endoscop\w*|dermoscop\w*|histolog\w*|histopatholog\w*|pet|laparoscop\w*)\b"
)
_STEMS = {"sonograph": "us", "endoscop": "endoscopy", "dermoscop": "dermoscopy", "histolog": "histology"}
_STEMS |= {"histopatholog": "pathology", "laparoscop": "laparoscopy"}


@dataclass
class Part:
    """What became of one source. planned: rows of the paper, None where it gives none. found: by the reader.
    left_out: reason -> rows, the reader's and those of this module together. made: rows written."""

    source: str
    reader: str
    planned: int | None
    found: int = 0
    made: int = 0
    left_out: dict[str, int] = field(default_factory=dict)


def gather(
    sources: Sequence[Source], data: Path, seed: int, parts: list[Part], incomplete: bool = False
) -> Iterator[Record]:
    """Rows of every source in turn; `parts` fills with the account of each as it goes.

    incomplete: rows of unknown modality or task are kept, with "" there. Raises ValueError, LayoutError.
    """
    for source in sources:
        part = Part(source.path, source.reader, planned(source))
        parts.append(part)
        found = read_source(source, data, seed)
        part.left_out = by_reason(found.skipped)
        for record in from_samples(found.samples, data):
            part.found += 1
            try:
                row = whole(record, incomplete)
            except Drop as drop:
                part.left_out[str(drop)] = part.left_out.get(str(drop), 0) + 1
                continue
            part.made += 1
            yield row


def whole(record: Record, incomplete: bool = False) -> Record:
    """The record with everything a row must carry. Raises Drop where modality or task can be told from nothing."""
    task = record.task or task_by_wording(record.question)
    modality = record.modality or modality_told(f"{record.question} {record.answer}")
    if not incomplete and not task:
        raise Drop("task not known")
    if not incomplete and not modality and record.kind != "text":
        raise Drop("modality not known")
    patient = patient_of(record)
    licence = licence_of(record.source)
    return record.but(
        task=task,
        modality=modality,
        patient=patient,
        split=split_of(patient),
        terms=licence.note,
        window=record.window or window_of(record.but(modality=modality)),
    )


def modality_told(text: str) -> str:
    """The one modality that a text names; "" when it names none or several."""
    found = set()
    for name in _NAMED.findall(text.lower()):
        stem = next((word for start, word in _STEMS.items() if name.startswith(start)), name)
        found.add(modality_of(stem))
    return found.pop() if len(found) == 1 else ""


def patient_of(record: Record) -> str:
    """16 hex digits: the source's own patient, else its first picture (a picture is of one patient), else the row."""
    known = record.patient or next(iter(record.paths), record.id)
    return hashlib.sha256(f"{record.source}/{known}".encode()).hexdigest()[:16]


def split_of(patient: str) -> str:
    """ "train" or "test", from the hashed patient alone: all rows of one are on one side, whatever is added later."""
    return "test" if int(patient[:8], 16) / 2**32 < HELD_OUT else "train"


def window_of(record: Record) -> tuple[float, float] | None:
    """(level, width) in HU for a CT in Hounsfield units, by the words of its row; None: the file's own."""
    files = record.kind == "volume" and record.paths and record.paths[0].lower().endswith(CT_FILES)
    if record.modality != "ct" or not files:
        return None
    text = f"{record.question} {record.answer}".lower()
    name = next((name for name, words in WINDOWS if re.search(words, text)), "soft tissue")
    return ct_preset(name)


def write_account(parts: Sequence[Part], path: Path) -> None:
    """`sources.json`: what became of every source."""
    path.write_text(json.dumps([asdict(part) for part in parts], indent=1) + "\n", encoding="utf-8")


def read_account(path: Path) -> list[Part]:
    """What `write_account` wrote; nothing where it did not."""
    return [Part(**row) for row in json.loads(path.read_text(encoding="utf-8"))] if path.is_file() else []
