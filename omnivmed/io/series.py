"""DICOM files to studies: which belong together, which is shown, and the numbers of it.

Order of steps: headers of all files; groups of one series, orientation and size; per group the volumes in it; one is
chosen; only its pixels are decoded.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from pydicom.dataset import Dataset

from omnivmed.errors import StudyError
from omnivmed.io import dicom
from omnivmed.io.dicom_frames import read_still, read_stored_frames
from omnivmed.io.dicom_stack import Slice, read_stack
from omnivmed.io.job import Desk, Findings, Reading, Upload
from omnivmed.io.stack import Place, levels, place_of, split_volumes
from omnivmed.limits import Limits

_STACKED_WITHOUT_PLACE = ("CT", "MR", "PT", "NM")


@dataclass
class Instance:
    """One file: its upload, its header without pixels, where it lies (single frames)."""

    upload: Upload
    header: Dataset
    frames: int
    rows: int
    columns: int
    place: Place | None


@dataclass
class Candidate:
    """Something that could be shown: a stack of single-frame files, one multi-frame file, or one still."""

    kind: str
    slices: list[Slice]
    instance: Instance
    group: int  # candidates of one group are volumes of the same series
    findings: Findings = field(default_factory=Findings)

    @property
    def frames(self) -> int:
        """Number of slices or frames."""
        return len(self.slices) if self.kind == "stack" else self.instance.frames

    def label(self) -> str:
        """Technical words only."""
        what = dicom.modality(self.instance.header) or "images"
        unit = "picture" if self.frames == 1 else "slices" if self.kind == "stack" else "frames"
        return f"{what}, {self.frames} {unit}, {self.instance.columns} x {self.instance.rows}"


def read_dicom(uploads: Sequence[Upload], limits: Limits, series: int | None, desk: Desk) -> Reading:
    """The study of these DICOM files. `series` picks an entry of `Study.series`; the largest by default."""
    findings = Findings()
    if len(uploads) == 1:
        dataset = dicom.open_dataset(uploads[0], limits, pixels=True)
        dicom.require_image(dataset)
        instance = _instance(uploads[0], dataset, limits)
        if instance.frames == 1:
            return read_still(dataset, limits, desk, findings)
    instances = _headers(uploads, limits, desk, findings)
    candidates = _candidates(instances, limits, findings)
    chosen = _choose(candidates, series)
    picked = candidates[chosen]
    for code, sentence in zip(picked.findings.codes, picked.findings.notes, strict=False):
        findings.codes.append(code)
        findings.note(sentence)
    choices = _note_choice(candidates, chosen, findings)
    if picked.kind == "stack":
        reading = read_stack(picked.slices, limits, desk, findings)
    else:
        dataset = dicom.open_dataset(picked.instance.upload, limits, pixels=True)
        if picked.instance.frames == 1:
            reading = read_still(dataset, limits, desk, findings)
        else:
            reading = read_stored_frames(dataset, limits, series, desk, findings)
    if choices:
        reading.info = replace(reading.info, series=choices)
    return reading


def _instance(upload: Upload, header: Dataset, limits: Limits) -> Instance:
    frames, rows, columns, _ = dicom.check_sizes(header, limits)
    place = place_of(
        dicom.numbers(header, "ImagePositionPatient", 3),
        dicom.numbers(header, "ImageOrientationPatient", 6),
        dicom.pixel_spacing(header),
    )
    return Instance(upload, header, frames, rows, columns, place)


def _headers(uploads: Sequence[Upload], limits: Limits, desk: Desk, findings: Findings) -> list[Instance]:
    """Every file that is an image, each SOP instance once. Reports and plans are left out; damaged ones are told."""
    instances: list[Instance] = []
    seen: set[str] = set()
    failures: list[StudyError] = []
    doubles = 0
    for done, upload in enumerate(uploads):
        try:
            header = dicom.open_dataset(upload, limits, pixels=False)
            dicom.require_image(header)
            instance = _instance(upload, header, limits)
        except StudyError as error:
            failures.append(error)
            continue
        identity = str(dicom.value(header, "SOPInstanceUID", ""))
        if identity and identity in seen:
            doubles += 1
            continue
        seen.add(identity)
        instances.append(instance)
        desk.progress("reading headers", done + 1, len(uploads))
    if not instances:
        raise failures[0]
    if doubles:
        findings.warn("DuplicateSlices", f"{doubles} files were there twice and were left out.")
    damaged = sum(1 for f in failures if f.code != "NotAnImage")
    if damaged:
        findings.warn("Partial", f"{damaged} damaged or unreadable files were left out.")
    return instances


def _candidates(instances: list[Instance], limits: Limits, findings: Findings) -> list[Candidate]:
    groups: dict[tuple[Any, ...], list[Instance]] = {}
    for instance in instances:
        groups.setdefault(_group_key(instance), []).append(instance)
    found: list[Candidate] = []
    for number, members in enumerate(groups.values()):
        found.extend(_volumes(members, number, limits))
    return found


def _group_key(instance: Instance) -> tuple[Any, ...]:
    """Same series, orientation (3 decimals), matrix and number of samples; multi-frame files stand alone."""
    header = instance.header
    if instance.frames > 1:
        return ("frames", id(instance))
    series = str(dicom.value(header, "SeriesInstanceUID", ""))
    size = (instance.rows, instance.columns, dicom.integer(header, "SamplesPerPixel", 1))
    if instance.place is None:
        if dicom.modality(header) in _STACKED_WITHOUT_PLACE:
            return ("unplaced", series, size)
        return ("still", id(instance))
    return (series, tuple(round(v, 3) + 0.0 for v in instance.place.orientation), size)


def _volumes(members: list[Instance], number: int, limits: Limits) -> list[Candidate]:
    first = members[0]
    if len(members) == 1:
        return [Candidate("frames" if first.frames > 1 else "still", [], first, number)]
    findings = Findings()
    slices = [Slice(m.upload, m.header, m.place) for m in members]
    places = [m.place for m in members if m.place is not None]
    if len(places) < len(members):
        order = sorted(range(len(members)), key=lambda i: _rank(slices[i].header))
        return [Candidate("stack", [slices[i] for i in order], first, number, findings)]

    def fingerprint(i: int) -> str:
        return _pixel_hash(members[i].upload, limits)

    volumes = split_volumes(levels(places), lambda i: _rank(slices[i].header), fingerprint, findings)
    found: list[Candidate] = []
    for volume in volumes:
        kind = "stack" if len(volume) > 1 else "still"
        found.append(Candidate(kind, [slices[i] for i in volume], members[volume[0]], number, findings))
    return found


def _rank(header: Dataset) -> tuple[float, ...]:
    """Order of slices of one place, or of slices without a place: acquisition, time point, echo, number, location."""
    keywords = (
        "AcquisitionNumber",
        "TemporalPositionIdentifier",
        "EchoNumbers",
        "TriggerTime",
        "InstanceNumber",
    )
    ranks = tuple(dicom.number(header, k, 0.0) or 0.0 for k in keywords)
    return (*ranks, dicom.number(header, "SliceLocation", 0.0) or 0.0)


def _pixel_hash(upload: Upload, limits: Limits) -> str:
    dataset = dicom.open_dataset(upload, limits, pixels=True)
    data = dataset["PixelData"].value if "PixelData" in dataset else b""
    scale = (dicom.number(dataset, "RescaleSlope"), dicom.number(dataset, "RescaleIntercept"))
    return hashlib.sha256(bytes(data)).hexdigest() + str(scale)


def _choose(candidates: list[Candidate], series: int | None) -> int:
    if series is not None and len(candidates) > 1:
        if not 0 <= series < len(candidates):
            raise StudyError(
                "Unsupported", f"There is no series {series + 1}; the upload has {len(candidates)}."
            )
        return series
    sizes = [c.frames for c in candidates]
    return int(np.argmax(sizes))


def _note_choice(candidates: list[Candidate], chosen: int, findings: Findings) -> tuple[dict[str, Any], ...]:
    if len(candidates) < 2:
        return ()
    picked = candidates[chosen]
    groups = {c.group for c in candidates}
    volumes = [i for i, c in enumerate(candidates) if c.group == picked.group]
    if len(groups) > 1:
        findings.warn(
            "MixedSeries", f"The upload holds {len(groups)} series; one of {picked.frames} images is shown."
        )
    if len(volumes) > 1:
        place = volumes.index(chosen) + 1
        findings.warn("MultiVolume", f"The series holds {len(volumes)} volumes; number {place} is shown.")
    return tuple(
        {
            "index": i,
            "label": c.label(),
            "kind": "volume" if c.kind == "stack" else "image" if c.instance.frames == 1 else "video",
            "frames": c.frames,
            "rows": c.instance.rows,
            "columns": c.instance.columns,
            "modality": dicom.modality(c.instance.header),
            "selected": i == chosen,
        }
        for i, c in enumerate(candidates[:256])
    )
