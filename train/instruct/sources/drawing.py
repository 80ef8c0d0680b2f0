"""Records for drawing (UniMedVL): text-to-image, super-resolution, translation, counterfactual, interleaved.

One JSON line, in the published record format::

    {"main_task_type", "sub_task_type", "modality", "dataset", "input_img": [], "output_img": [], "message":
     [{"from": "human", "value"}, {"from": "gpt", "value"}]}

with "id", "licence", "patient" and "split" beside it, as every row of a built set has them. `<image>` in a message
stands where a picture belongs, input pictures in the human's turn, output pictures in the answer.

What is true of each: text-to-image has the source's own text. Super-resolution has a picture and its own quarter.
Translation has one slice of one patient in two registered sequences or kinds (BraTS 2023, SynthRAD2023) or one
section under two stains (BCI); IXI's sequences are not registered with each other and give super-resolution only.
A counterfactual has a radiograph and the same with a round opacity that code drew: its place is known to the pixel and
nothing else about it is medicine. Interleaved has the pictures of a row of several, each named in turn.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from omnivmed.errors import StudyError
from omnivmed.eval.media import open_media
from omnivmed.records import Media
from train.draw.data.edits import coarse, draw_opacity
from train.draw.data.pictures import SIDE
from train.instruct.rows.licences import licence_of
from train.instruct.rows.record import Record
from train.instruct.sources.gather import patient_of, split_of

TASKS = ("text_to_image", "super_resolution", "translation", "counterfactual", "interleaved")
SMALLEST = 128
"""Pixels of the shorter side of a picture that is drawn (UniMedVL's coarse filter)."""
TEXTS = ("description", "report")
SLICES = (0.4, 0.5, 0.6)
"""Which slices of a volume, as shares of its axial length: where there is something to see. Ours."""
SEQUENCES = {
    "t1n": "T1",
    "t1c": "contrast-enhanced T1",
    "t2w": "T2",
    "t2f": "FLAIR",
    "mr": "MR",
    "ct": "CT",
}


@dataclass(frozen=True)
class Volume:
    """One volume of a patient in one sequence or kind, registered with the others of its `case`."""

    case: str
    kind: str
    path: Path
    dataset: str
    modality: str


def everything(records: Iterable[Record], data: Path, media: Path, seed: int = 0) -> Iterator[dict[str, Any]]:
    """Every drawing record that rows and the pairs below `data` give; made pictures are written to `media`.

    Paths of made pictures are relative to the folder above `media`, paths of sources to `data`.
    """
    for record in records:
        yield from of_row(record, data, media, seed)
    yield from translations(volumes_below(data), media)
    yield from stains(data)


def of_row(record: Record, data: Path, media: Path, seed: int) -> Iterator[dict[str, Any]]:
    """What one row of pictures gives."""
    if record.kind != "image":
        return
    if len(record.paths) > 1:
        yield interleaved(record)
        return
    try:
        with open_media(record.media(data))[0] as study:
            picture = study.frames(0, 1)[0]
    except (StudyError, FileNotFoundError):
        return
    if min(picture.shape[:2]) < SMALLEST:
        return
    if record.task in TEXTS:
        yield _row(record, "text_to_image", [], list(record.paths), record.answer, "<image>")
    small = _save(coarse(picture), media, f"{record.paths[0]} coarse")
    yield _row(
        record,
        "super_resolution",
        [small],
        list(record.paths),
        "<image>\nRestore the full resolution of this picture.",
        "<image>",
    )
    if record.modality == "x-ray":
        yield from counterfactual(record, picture, media, seed)


def interleaved(record: Record) -> dict[str, Any]:
    """A row of several pictures: all but the last are given, the last is drawn, and the row's text closes it."""
    given = "\n".join(f"Picture {n}: <image>" for n in range(1, len(record.paths)))
    asked = re.sub(r"\s+", " ", record.question).strip()
    return _row(
        record,
        "interleaved",
        list(record.paths[:-1]),
        [record.paths[-1]],
        f"{given}\nDraw the picture that goes with these, then answer: {asked}",
        f"Picture {len(record.paths)}: <image>\n{record.answer}",
    )


def counterfactual(record: Record, picture: np.ndarray, media: Path, seed: int) -> Iterator[dict[str, Any]]:
    """A radiograph and the same with a drawn opacity, both ways; nothing where no lung is found."""
    square = np.asarray(Image.fromarray(picture).resize((SIDE, SIDE), Image.Resampling.BOX))
    rng = np.random.default_rng([seed, int(patient_of(record)[:8], 16)])
    drawn = draw_opacity(square, rng)
    if drawn is None:
        return
    plain = _save(square, media, f"{record.paths[0]} square")
    changed = _save(drawn.picture, media, f"{record.paths[0]} opacity {seed}")
    place = f"the {drawn.side} {drawn.zone} zone"
    yield _row(
        record,
        "counterfactual",
        [plain],
        [changed],
        f"<image>\nAdd a round opacity in {place}.",
        f"<image>\nA round opacity was added in {place}; nothing else was changed. It is drawn by code.",
    )
    yield _row(
        record,
        "counterfactual",
        [changed],
        [plain],
        f"<image>\nRemove the round opacity from {place}.",
        f"<image>\nThe round opacity in {place} was removed; nothing else was changed.",
    )


def volumes_below(data: Path) -> list[Volume]:
    """BraTS 2023 (`BraTS-*/BraTS-*-t1n.nii.gz`) and SynthRAD2023 (`<case>/mr.nii.gz`, `ct.nii.gz`), where they are."""
    out = []
    for path in sorted(data.glob("BraTS*/**/*.nii.gz")):
        if found := re.fullmatch(r"(BraTS-\w+-\d+-\d+)-(t1n|t1c|t2w|t2f)\.nii\.gz", path.name):
            out.append(Volume(found[1], found[2], path, "BraTS 2023", "mr"))
    for path in sorted(data.glob("SynthRAD*/**/*.nii.gz")):
        if path.name in ("mr.nii.gz", "ct.nii.gz"):
            kind = path.name.partition(".")[0]
            out.append(Volume(path.parent.name, kind, path, "SynthRAD2023", kind))
    return out


def translations(volumes: Iterable[Volume], media: Path) -> Iterator[dict[str, Any]]:
    """Every ordered pair of a case's volumes of one shape, at `SLICES` of their length."""
    cases: dict[tuple[str, str], list[Volume]] = {}
    for volume in volumes:
        cases.setdefault((volume.dataset, volume.case), []).append(volume)
    for (dataset, case), members in sorted(cases.items()):
        shown = [
            (v, shape, paths) for v in members if (opened := _slices(v, media)) for shape, paths in [opened]
        ]
        for first, shape, given in shown:
            for second, other, wanted in shown:
                if first is second or shape != other:
                    continue
                for place, (a, b) in enumerate(zip(given, wanted, strict=True)):
                    patient = hashlib.sha256(f"{dataset}/{_person(case)}".encode()).hexdigest()[:16]
                    yield {
                        "main_task_type": "generation",
                        "sub_task_type": "translation",
                        "modality": second.modality,
                        "dataset": dataset,
                        "input_img": [a],
                        "output_img": [b],
                        "message": _talk(
                            f"<image>\nShow this slice as {SEQUENCES[second.kind]}, given {SEQUENCES[first.kind]}.",
                            "<image>",
                        ),
                        "id": f"translation/{dataset}/{case}/{first.kind}-{second.kind}/{place}",
                        "licence": licence_of(dataset).name,
                        "patient": patient,
                        "split": split_of(patient),
                    }


def _person(case: str) -> str:
    """BraTS names a visit last: BraTS-GLI-00005-000 and -001 are one person."""
    return case.rpartition("-")[0] if case.startswith("BraTS-") else case


def stains(data: Path) -> Iterator[dict[str, Any]]:
    """BCI: `HE/<split>/NAME.png` with `IHC/<split>/NAME.png`, one section under two stains."""
    for path in sorted(data.glob("BCI*/**/HE/*/*.png")):
        other = path.parents[2] / "IHC" / path.parent.name / path.name
        if other.is_file():
            patient = hashlib.sha256(f"BCI/{path.stem.partition('_')[0]}".encode()).hexdigest()[:16]
            yield {
                "main_task_type": "generation",
                "sub_task_type": "translation",
                "modality": "microscopy",
                "dataset": "BCI",
                "input_img": [path.relative_to(data).as_posix()],
                "output_img": [other.relative_to(data).as_posix()],
                "message": _talk("<image>\nShow this section under HER2 immunohistochemistry.", "<image>"),
                "id": f"translation/BCI/{path.parent.name}/{path.stem}",
                "licence": licence_of("BCI").name,
                "patient": patient,
                "split": "test" if path.parent.name == "test" else "train",
            }


def write(rows: Iterable[dict[str, Any]], folder: Path) -> dict[str, int]:
    """Write `drawing.jsonl`; returns task -> rows. Raises ValueError for a record that is none of this format."""
    folder.mkdir(parents=True, exist_ok=True)
    counts = dict.fromkeys(TASKS, 0)
    draft = folder / "drawing.part"
    with draft.open("w", encoding="utf-8") as file:
        for row in rows:
            check(row)
            counts[row["sub_task_type"]] += 1
            file.write(json.dumps(row, ensure_ascii=False) + "\n")
    draft.replace(folder / "drawing.jsonl")
    return counts


def check(row: dict[str, Any]) -> None:
    """Raises ValueError where a record breaks the format: fields, turns, or tags that are not its pictures."""
    wanted = {"main_task_type", "sub_task_type", "modality", "dataset", "input_img", "output_img", "message"}
    if missing := sorted(wanted - row.keys()):
        raise ValueError(f"a drawing record lacks {missing}")
    if row["sub_task_type"] not in TASKS:
        raise ValueError(f"no drawing task {row['sub_task_type']!r}: {', '.join(TASKS)}")
    if [turn["from"] for turn in row["message"]] != ["human", "gpt"]:
        raise ValueError("a drawing record has one question and one answer")
    for turn, name in zip(row["message"], ("input_img", "output_img"), strict=True):
        if turn["value"].count("<image>") != len(row[name]):
            raise ValueError(f"{len(row[name])} pictures in {name}, {turn['value'].count('<image>')} tags")
    if not row["output_img"]:
        raise ValueError("a drawing record draws something")


def _slices(volume: Volume, media: Path) -> tuple[tuple[int, ...], list[str]] | None:
    """(shape, made pictures) of the axial slices at `SLICES`; None for a volume that cannot be opened."""
    try:
        with open_media(Media("volume", (volume.path,)))[0] as study:
            count = study.shape[0]
            index = np.array([round(share * (count - 1)) for share in SLICES])
            frames = study.take(index)
            name = f"{volume.dataset}/{volume.case}/{volume.kind}"
            return tuple(study.shape[:3]), [
                _save(frame, media, f"{name} {place}") for place, frame in zip(index, frames, strict=True)
            ]
    except (StudyError, FileNotFoundError):
        return None


def _save(picture: np.ndarray, media: Path, what: str) -> str:
    """Write a PNG under a name that tells nothing of its source; returns it relative to the folder above `media`."""
    name = hashlib.sha256(what.encode()).hexdigest()[:24]
    path = media / name[:2] / f"{name}.png"
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.ascontiguousarray(picture)).save(path)
    return path.relative_to(media.parent).as_posix()


def _row(
    record: Record, task: str, given: list[str], drawn: list[str], asked: str, said: str
) -> dict[str, Any]:
    if not given and task == "text_to_image":
        asked = asked.replace("<image>", "").strip()
    patient = patient_of(record)
    suffix = hashlib.sha256(asked.encode()).hexdigest()[:6]
    return {
        "main_task_type": "generation",
        "sub_task_type": task,
        "modality": record.modality,
        "dataset": record.source,
        "input_img": given,
        "output_img": drawn,
        "message": _talk(asked, said),
        "id": f"{task}/{record.id}/{suffix}",
        "licence": record.licence,
        "patient": patient,
        "split": record.split,
    }


def _talk(asked: str, said: str) -> list[dict[str, str]]:
    return [{"from": "human", "value": asked}, {"from": "gpt", "value": said}]
