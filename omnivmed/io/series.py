"""DICOM files to studies: which pictures belong together, which are shown, and the numbers of them.

Order of steps: headers of all files; groups of one series and size; per group the directions and the volumes in them;
everything that can be opened becomes one flat list; one entry is chosen; only its pixels are decoded.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from omnivmed.errors import StudyError
from omnivmed.io import dicom
from omnivmed.io.dicom_file import DicomFile, open_file
from omnivmed.io.dicom_frames import frame_slices, lies_in_a_stack, place_in, read_loop, read_still
from omnivmed.io.dicom_groups import FrameHeader
from omnivmed.io.dicom_movie import is_movie, read_movie
from omnivmed.io.dicom_pixels import Frames
from omnivmed.io.dicom_stack import decoder, fingerprint, read_sequence, read_volume
from omnivmed.io.dicom_tiles import is_tiled, read_tiles
from omnivmed.io.dicom_volumes import Slice, by_kind, difference, split, unplaced_rank
from omnivmed.io.job import Desk, Findings, Reading, Upload
from omnivmed.io.stack import Place, directions, levels
from omnivmed.limits import Limits

_STACKED_WITHOUT_PLACE = ("CT", "MR", "PT", "NM")
# Projections of a series are views of their own, not one thing to scroll.
_VIEWS = ("CR", "DX", "MG", "IO", "PX", "RG", "BMD", "SM", None)
MOST_CHOICES = 256


@dataclass
class Instance:
    """One file: its header without pixels, its size, where it lies (single frames)."""

    file: DicomFile
    frames: int
    rows: int
    columns: int
    place: Place | None

    @property
    def header(self) -> Any:
        """The top level."""
        return self.file.header


@dataclass
class Candidate:
    """Something that can be opened. `kind`: stack (slices side by side), sequence (pictures to scroll, no stack), loop
    (frames of a file in time), still, tiles, movie. Candidates of one `group` are volumes of the same series."""

    kind: str
    slices: list[Slice]
    instance: Instance
    group: int
    findings: Findings = field(default_factory=Findings)

    @property
    def frames(self) -> int:
        """Number of slices or frames."""
        if self.kind in ("still", "tiles"):
            return 1
        return len(self.slices) if self.kind in ("stack", "sequence") else self.instance.frames

    @property
    def study_kind(self) -> str:
        """image, volume or video."""
        return {"stack": "volume", "still": "image", "tiles": "image"}.get(self.kind, "video")


def read_dicom(uploads: Sequence[Upload], limits: Limits, series: int | None, desk: Desk) -> Reading:
    """The study of these DICOM files. `series` picks an entry of `Study.series`; the largest by default."""
    findings = Findings()
    if len(uploads) == 1:
        file = open_file(uploads[0], limits)
        dicom.require_image(file.header)
        instances = [_instance(file, limits)]
    else:
        instances = _headers(uploads, limits, desk, findings)
    candidates = _candidates(instances, limits)
    chosen = _choose(candidates, series)
    picked = candidates[chosen]
    for code, sentence in zip(picked.findings.codes, picked.findings.notes, strict=False):
        findings.codes.append(code)
        findings.note(sentence)
    choices = _note_choice(candidates, chosen, len(uploads), findings)
    reading = _read(picked, limits, desk, findings)
    if choices:
        reading.info = replace(reading.info, series=choices)
    return reading


def _read(picked: Candidate, limits: Limits, desk: Desk, findings: Findings) -> Reading:
    file = picked.instance.file
    if picked.kind == "still":
        return read_still(file, limits, desk, findings)
    if picked.kind == "loop":
        return read_loop(file, limits, desk, findings)
    if picked.kind == "tiles":
        return read_tiles(file, limits, desk, findings)
    if picked.kind == "movie":
        return read_movie(file, limits, desk, findings)
    slices = picked.slices
    decode = decoder(limits)
    if picked.instance.frames > 1:
        frames = Frames(file, limits, findings)
        decode = decoder(limits, frames)
        slices = [s for s in slices if s.frame < frames.count]
        if not slices:
            raise StudyError("Corrupt", "The file ends before these pictures; export it again.")
    if picked.kind == "sequence":
        return read_sequence(slices, decode, limits, desk, findings)
    return read_volume(slices, decode, limits, desk, findings)


def _instance(file: DicomFile, limits: Limits) -> Instance:
    frames, rows, columns, _ = dicom.check_sizes(file.header, limits)
    return Instance(file, frames, rows, columns, place_in(file.header) if frames == 1 else None)


def _headers(uploads: Sequence[Upload], limits: Limits, desk: Desk, findings: Findings) -> list[Instance]:
    """Every file that is an image, each SOP instance once. Reports and plans are left out; damaged ones are told."""
    instances: list[Instance] = []
    seen: set[str] = set()
    failures: list[StudyError] = []
    doubles = 0
    for done, upload in enumerate(uploads):
        try:
            file = open_file(upload, limits)
            dicom.require_image(file.header)
            instance = _instance(file, limits)
        except StudyError as error:
            failures.append(error)
            continue
        identity = str(dicom.value(file.header, "SOPInstanceUID", ""))
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


def _candidates(instances: list[Instance], limits: Limits) -> list[Candidate]:
    groups: dict[tuple[Any, ...], list[Instance]] = {}
    for instance in instances:
        groups.setdefault(_group_key(instance), []).append(instance)
    found: list[Candidate] = []
    for key, members in groups.items():
        first = members[0]
        number = max((c.group for c in found), default=-1) + 1
        if key[0] in ("tiles", "movie"):
            found.append(Candidate(key[0], [], first, number))
        elif key[0] == "frames":
            found.extend(_of_frames(first, number, limits))
        else:
            slices = [Slice(m.file, FrameHeader(m.header), m.place) for m in members]
            found.extend(_of_slices(slices, members, number, key[0], limits))
    return found


def _group_key(instance: Instance) -> tuple[Any, ...]:
    """Same series, matrix and number of samples; multi-frame files, films and tiles stand alone."""
    header = instance.header
    if is_movie(header):
        return ("movie", id(instance))
    if is_tiled(header):
        return ("tiles", id(instance))
    if instance.frames > 1:
        return ("frames", id(instance))
    series = str(dicom.value(header, "SeriesInstanceUID", ""))
    size = (instance.rows, instance.columns, dicom.integer(header, "SamplesPerPixel", 1))
    if instance.place is not None:
        return ("placed", series, size)
    modality = dicom.modality(header)
    if modality in _STACKED_WITHOUT_PLACE:
        return ("unplaced", series, size)
    return ("still", id(instance)) if modality in _VIEWS or not series else ("pictures", series, size)


def _of_frames(instance: Instance, number: int, limits: Limits) -> list[Candidate]:
    """What a multi-frame file holds: a loop, a stack without places, or placed frames."""
    slices = frame_slices(instance.file, instance.frames)
    if slices[0].place is None:
        kind = "stack" if lies_in_a_stack(instance.header, instance.frames) else "loop"
        return [Candidate(kind, slices, instance, number)]
    return _of_slices(slices, [instance] * len(slices), number, "placed", limits)


def _of_slices(
    slices: list[Slice], members: list[Instance], number: int, kind: str, limits: Limits
) -> list[Candidate]:
    """Candidates of slices that share a series: per direction the volumes; lone pictures are one thing to scroll."""
    owner = {id(s): m for s, m in zip(slices, members, strict=True)}
    if kind != "placed":
        ordered = sorted(slices, key=unplaced_rank)
        kind = ("stack" if kind == "unplaced" else "sequence") if len(slices) > 1 else "still"
        return [Candidate(kind, ordered, owner[id(ordered[0])], number)]
    decode = decoder(limits)
    found: list[Candidate] = []
    lone: list[Candidate] = []
    for members_of in directions([s.place for s in slices if s.place is not None]):
        cluster = [slices[i] for i in members_of]
        findings = Findings()
        if len(cluster) > 1 and len(levels([s.place for s in cluster if s.place is not None])) == 1:
            made = _of_one_place(cluster, decode, findings)
        else:
            made = [("stack", v) for v in split(cluster, lambda s: fingerprint(s, decode), findings)]
        for what, volume in made:
            one = Candidate(what, volume, owner[id(volume[0])], number, findings)
            if len(volume) == 1 and what == "stack" and one.instance.frames == 1:
                one.kind = "still"
            (lone if len(volume) == 1 else found).append(one)
        number += 1
    if len(lone) > 1:
        together = [c.slices[0] for c in lone]
        return [*found, Candidate("sequence", together, lone[0].instance, number, lone[0].findings)]
    return [*found, *lone]


def _of_one_place(cluster: list[Slice], decode: Any, findings: Findings) -> list[tuple[str, list[Slice]]]:
    """Pictures of one place: those that are the same once, the others one after the other, kinds apart."""
    if len({fingerprint(s, decode) for s in cluster[:2]}) == 1:
        seen: dict[str, Slice] = {}
        for one in cluster:
            seen.setdefault(fingerprint(one, decode), one)
        if len(seen) == 1:
            findings.warn("DuplicateSlices", f"{len(cluster) - 1} slices were there twice and were left out.")
            return [("stack", cluster[:1])]
    return [("sequence", part) for part in by_kind(cluster)]


def _choose(candidates: list[Candidate], series: int | None) -> int:
    if series is not None and len(candidates) > 1:
        if not 0 <= series < len(candidates):
            raise StudyError(
                "Unsupported",
                f"There is no series with index {series}; the upload has {len(candidates)}, counted from 0.",
            )
        return series
    sizes = [c.frames for c in candidates]
    return int(np.argmax(sizes))


def _note_choice(
    candidates: list[Candidate], chosen: int, uploads: int, findings: Findings
) -> tuple[dict[str, Any], ...]:
    """Entries of `Study.series`, one for everything that can be opened, and the warnings that there is more."""
    if len(candidates) < 2:
        return ()
    picked = candidates[chosen]
    groups = {c.group for c in candidates}
    volumes = [i for i, c in enumerate(candidates) if c.group == picked.group]
    if len(groups) > 1:
        findings.warn(
            "MixedSeries",
            f"The upload holds {len(groups)} series; one of {picked.frames} images is shown."
            if uploads > 1
            else f"The file holds {len(groups)} orientations; one of them is shown.",
        )
    if len(volumes) > 1:
        place = volumes.index(chosen) + 1
        findings.warn("MultiVolume", f"The series holds {len(volumes)} volumes; number {place} is shown.")
    return tuple(
        {
            "index": i,
            "label": _label(candidates, i),
            "kind": c.study_kind,
            "frames": c.frames,
            "rows": c.instance.rows,
            "columns": c.instance.columns,
            "modality": dicom.modality(c.instance.header),
            "selected": i == chosen,
        }
        for i, c in enumerate(candidates[:MOST_CHOICES])
    )


def _label(candidates: list[Candidate], index: int) -> str:
    """Technical words and numbers only: what it is, how large, and what sets it apart in its series."""
    one = candidates[index]
    what = dicom.modality(one.instance.header) or "images"
    unit = {"stack": "slices", "loop": "frames", "movie": "frames"}.get(one.kind, "pictures")
    unit = "picture" if one.frames == 1 else unit
    words = [f"{what}, {one.frames} {unit}, {one.instance.columns} x {one.instance.rows}"]
    alike = [i for i, c in enumerate(candidates) if c.group == one.group]
    if len(alike) > 1 and one.slices:
        others = [candidates[i].slices for i in alike if i != index]
        words.append(difference(one.slices, others) or f"volume {alike.index(index) + 1} of {len(alike)}")
    return ", ".join(words)
