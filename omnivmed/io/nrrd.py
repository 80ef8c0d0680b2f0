"""NRRD in one file: own header parse, numbers by numpy. Data in other files are refused: a header is never followed.

Format: teem.sourceforge.net/nrrd/format.html.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from omnivmed.errors import StudyError
from omnivmed.io.facts import allowed_modality, finite
from omnivmed.io.inflate import Stream
from omnivmed.io.job import Desk, Findings, Reading, Upload, read_upto
from omnivmed.io.text_grid import (
    BAD,
    DETACHED,
    LPS_TO_RAS,
    UNREAD_TYPE,
    integers,
    load_parts,
    mm_of,
    parts_of,
    quoted,
    seconds_of,
)
from omnivmed.limits import Limits

_NRRD_TYPES = {
    **dict.fromkeys(("signed char", "int8", "int8_t"), "i1"),
    **dict.fromkeys(("uchar", "unsigned char", "uint8", "uint8_t"), "u1"),
    **dict.fromkeys(("short", "short int", "signed short", "signed short int", "int16", "int16_t"), "i2"),
    **dict.fromkeys(("ushort", "unsigned short", "unsigned short int", "uint16", "uint16_t"), "u2"),
    **dict.fromkeys(("int", "signed int", "int32", "int32_t"), "i4"),
    **dict.fromkeys(("uint", "unsigned int", "uint32", "uint32_t"), "u4"),
    **dict.fromkeys(("longlong", "long long", "signed long long", "int64", "int64_t"), "i8"),
    **dict.fromkeys(("ulonglong", "unsigned long long", "uint64", "uint64_t"), "u8"),
    "float": "f4",
    "double": "f8",
}
_NRRD_PACKING = {"raw": "raw", "gzip": "gzip", "gz": "gzip", "bzip2": "bzip2", "bz2": "bzip2"}
_SPACES = {
    "right-anterior-superior": np.eye(3), "ras": np.eye(3),
    # LPS: +x left, +y posterior; RAS is the mirror of both.
    "left-posterior-superior": LPS_TO_RAS, "lps": LPS_TO_RAS,
    "left-anterior-superior": np.diag([-1.0, 1.0, 1.0]), "las": np.diag([-1.0, 1.0, 1.0]),
}  # fmt: skip


def read_nrrd(upload: Upload, limits: Limits, series: int | None, desk: Desk) -> Reading:
    """One NRRD file with its data attached: raw, gzip or bzip2."""
    findings = Findings()
    with upload.open() as file:
        fields, rest = _nrrd_header(read_upto(file, limits.header_bytes))
        if "data file" in fields or "datafile" in fields:
            raise StudyError("Unsupported", DETACHED)
        packing = _NRRD_PACKING.get(fields.get("encoding", "").lower())
        if packing is None:
            raise StudyError("Unsupported", "This NRRD encoding is not read; save the volume as raw or gzip.")
        if fields.get("line skip", "0") != "0" or fields.get("byte skip", "0") != "0":
            raise StudyError(
                "Unsupported", "NRRD files with skipped bytes are not read; save the volume again."
            )
        sizes = integers(fields.get("sizes", ""))
        if not sizes or [len(sizes)] != integers(fields.get("dimension", "")):
            raise StudyError("Corrupt", BAD)
        declared = _nrrd_dtype(fields)
        axes = _axes(sizes, fields)
        step_s = _step_s(axes, fields)
        before, after = ([], axes.before) if axes.woven else (axes.before, axes.after)
        fast, channels, parts = parts_of(before, after, declared, axes.colour, step_s)
        return load_parts(
            Stream(file, packing, rest), axes.spatial, declared, fast, channels, parts,
            axes.timed or axes.woven, axes.woven, series, limits, desk, findings,
            *_nrrd_geometry(axes, fields, findings), modality=allowed_modality(fields.get("modality")),
        )  # fmt: skip


def _nrrd_header(head: bytes) -> tuple[dict[str, str], bytes]:
    """Fields with lower-case names, and the bytes after the empty line."""
    end = re.search(rb"\r?\n\r?\n", head)
    text = head if end is None else head[: end.start()]
    fields: dict[str, str] = {}
    for line in text.decode("latin-1").splitlines()[1:]:
        if line.startswith("#") or ":=" in line:
            key, _, value = line.partition(":=")
            if key.strip().lower() == "modality":
                fields.setdefault("modality", value.strip())
            continue
        key, colon, value = line.partition(":")
        if colon:
            fields.setdefault(key.strip().lower(), value.strip())
    if end is None and "data file" not in fields and "datafile" not in fields:
        raise StudyError("Corrupt", BAD)
    return fields, b"" if end is None else head[end.end() :]


def _nrrd_dtype(fields: dict[str, str]) -> np.dtype[Any]:
    code = _NRRD_TYPES.get(fields.get("type", "").lower())
    if code is None:
        raise StudyError("Unsupported", UNREAD_TYPE)
    endian = fields.get("endian", "little").lower()
    if endian not in ("little", "big"):
        raise StudyError("Corrupt", BAD)
    return np.dtype((">" if endian == "big" else "<") + code)


@dataclass(frozen=True)
class Axes:
    """The axes of the file, fastest first: those before space, the ones in space, those behind."""

    spatial: tuple[int, int, int]  # sizes; 1 where there are only two
    before: list[int]
    after: list[int]
    where: list[int]  # places of the axes in space
    vectors: list[list[float]]  # their directions, empty where the file gives none
    colour: bool  # what comes before space may be red, green, blue
    timed: bool  # what comes behind is one axis of time, or of pictures one after another
    woven: bool  # what comes before is: every voxel holds all its times (sequences of 3D Slicer)
    to_s: float | None  # the direction of the time axis of a space with time


def _axes(sizes: list[int], fields: dict[str, str]) -> Axes:
    """By directions, else by kinds, else the first three are space (NRRD format definition, 'kinds', 'space')."""
    vectors = _vectors(fields.get("space directions", ""))
    kinds = fields.get("kinds", "").lower().split()
    kinds = kinds if len(kinds) == len(sizes) else [""] * len(sizes)
    to_s = None
    if _space(fields).endswith("-time"):
        for i, v in enumerate(vectors):
            if v is None or len(v) != 4:
                continue
            time_only = v[3] != 0 and not any(v[:3])
            to_s = abs(v[3]) if time_only else to_s
            vectors[i] = None if time_only else v[:3]
    if len(vectors) == len(sizes):
        is_space = [v is not None for v in vectors]
    elif any(kinds):
        is_space = [k in ("domain", "space") for k in kinds]
    else:
        is_space = [i < 3 for i in range(len(sizes))]
    where = [i for i, s in enumerate(is_space) if s]
    if not 2 <= len(where) <= 3 or where != list(range(where[0], where[0] + len(where))):
        raise StudyError("Unsupported", "Only volumes with two or three axes in space are read.")
    spatial = [*(sizes[i] for i in where), 1][:3]
    first, last = where[0], where[-1]
    behind = kinds[last + 1 :]
    return Axes(
        (spatial[0], spatial[1], spatial[2]),
        sizes[:first],
        sizes[last + 1 :],
        where,
        [v for v in vectors if v is not None] if len(vectors) == len(sizes) else [],
        all(k in ("", "???", "none", "vector", "3-vector", "rgb-color", "3-color") for k in kinds[:first]),
        len(behind) == 1 and behind[0] in ("time", "list", "domain", "space", "", "???", "none"),
        first == 1 and not behind and kinds[0] in ("time", "list"),
        to_s,
    )


def _space(fields: dict[str, str]) -> str:
    name = fields.get("space", "").lower()
    return {"rast": "right-anterior-superior-time", "last": "left-anterior-superior-time"}.get(
        name, "left-posterior-superior-time" if name == "lpst" else name
    )


def _step_s(axes: Axes, fields: dict[str, str]) -> float | None:
    """Seconds from picture to picture along the axis of time, where the file gives them; a bare number is seconds."""
    step, unit = axes.to_s, ""
    if step is not None:
        named = quoted(fields.get("space units", ""))
        unit = named[3] if len(named) == 4 else ""
    elif axes.timed or axes.woven:
        place = 0 if axes.woven else axes.where[-1] + 1
        steps, units = fields.get("spacings", "").split(), quoted(fields.get("units", ""))
        step = finite(steps[place]) if len(steps) > place else None
        unit = units[place] if len(units) > place else ""
    if step is None or step <= 0:
        return None
    seconds = 1.0 if not unit.strip() else seconds_of(unit)
    return None if seconds is None or step * seconds > 1e6 else step * seconds


def _nrrd_geometry(
    axes: Axes, fields: dict[str, str], findings: Findings
) -> tuple[NDArray[np.float64] | None, tuple[float, float, float] | None]:
    """(affine of (x,y,z,1) to RAS mm or None, spacing in mm or None); both None for lengths in unknown units."""
    spacing = _spacings(axes, fields, findings)
    vectors = axes.vectors
    world = [mm_of(u) for u in quoted(fields.get("space units", ""))][:3]
    world = world or [1.0] * 3
    if vectors and None in world:
        _unknown_unit(findings)
        return None, None
    to_mm = np.array([1.0 if f is None else f for f in world])
    if len(vectors) == 2 and all(len(v) == 2 for v in vectors) and len(to_mm) >= 2:
        a, b = (float(np.linalg.norm(np.asarray(v) * to_mm[:2])) for v in vectors)
        return None, (a, b, 1.0) if min(a, b) > 0 and np.isfinite([a, b]).all() else None
    if len(vectors) != 3 or any(len(v) != 3 for v in vectors) or len(to_mm) != 3:
        return None, spacing
    directions = np.asarray(vectors, dtype=np.float64) * to_mm
    lengths = [float(np.linalg.norm(v)) for v in directions]
    if min(lengths) <= 0 or not np.all(np.isfinite(lengths)):
        findings.warn("BadHeader", "The axis directions in the header are damaged and were left out.")
        return None, spacing
    spacing = (lengths[0], lengths[1], lengths[2])
    to_ras = _SPACES.get(_space(fields).removesuffix("-time"))
    if to_ras is None:
        return None, spacing
    origins = _vectors(fields.get("space origin", ""))
    given = origins[0] if len(origins) == 1 else None
    origin = given[:3] if given is not None and len(given) in (3, 4) else [0.0, 0.0, 0.0]
    affine = np.eye(4)
    affine[:3, :3] = to_ras @ directions.T  # LPS -> RAS here, where the space says so
    affine[:3, 3] = to_ras @ (np.asarray(origin, dtype=np.float64) * to_mm)
    return affine, spacing


def _spacings(axes: Axes, fields: dict[str, str], findings: Findings) -> tuple[float, float, float] | None:
    """Steps in mm from 'spacings' and 'units', which count axes of the file."""
    steps, units = fields.get("spacings", "").split(), quoted(fields.get("units", ""))
    numbers = [abs(finite(steps[i], 0.0) or 0.0) for i in axes.where if i < len(steps)]
    factors = [mm_of(units[i]) if i < len(units) else 1.0 for i in axes.where]
    if len(numbers) == len(axes.where) and None in factors:
        _unknown_unit(findings)
        return None
    numbers = [n * (f or 1.0) for n, f in zip(numbers, factors, strict=False)]
    if len(numbers) == 2 and len(axes.where) == 2:
        numbers.append(1.0)  # a picture: its slice step is not used
    return (numbers[0], numbers[1], numbers[2]) if len(numbers) == 3 and min(numbers) > 0 else None


def _unknown_unit(findings: Findings) -> None:
    findings.warn(
        "BadHeader",
        "The header gives lengths in a unit that is not known here; sizes and orientation are left out.",
    )


def _vectors(text: str) -> list[list[float] | None]:
    """'(1,0,0) none (0,1,0)' as lists of numbers; None for 'none'."""
    found: list[list[float] | None] = []
    for token in re.findall(r"\([^)]*\)|none", text):
        if token == "none":
            found.append(None)
            continue
        parts = [finite(p.strip()) for p in token.strip("()").split(",")]
        found.append([p for p in parts if p is not None] if all(p is not None for p in parts) else [])
    return found
