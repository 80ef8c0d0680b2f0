"""NRRD and MHA: own header parse, numbers by numpy. Data in other files are refused: a header is never followed.

Formats: teem.sourceforge.net/nrrd/format.html; itk.org/Wiki/ITK/MetaIO/Documentation.
"""

from __future__ import annotations

import re
from typing import Any

import numpy as np
from numpy.typing import NDArray

from omnivmed.errors import StudyError
from omnivmed.io.facts import allowed_modality, finite
from omnivmed.io.inflate import Stream
from omnivmed.io.job import Desk, Findings, Reading, Upload, read_upto
from omnivmed.io.volume import check_grid, load_grid, volume_choices, volume_study
from omnivmed.limits import Limits

_LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0])

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
_MET_TYPES = {
    "MET_CHAR": "i1", "MET_UCHAR": "u1", "MET_SHORT": "i2", "MET_USHORT": "u2", "MET_INT": "i4", "MET_UINT": "u4",
    "MET_LONG": "i4", "MET_ULONG": "u4", "MET_LONG_LONG": "i8", "MET_ULONG_LONG": "u8", "MET_FLOAT": "f4",
    "MET_DOUBLE": "f8",
}  # fmt: skip
_NRRD_PACKING = {"raw": "raw", "gzip": "gzip", "gz": "gzip", "bzip2": "bzip2", "bz2": "bzip2"}
_SPACES = {
    "right-anterior-superior": np.eye(3), "ras": np.eye(3),
    # LPS: +x left, +y posterior; RAS is the mirror of both.
    "left-posterior-superior": _LPS_TO_RAS, "lps": _LPS_TO_RAS,
    "left-anterior-superior": np.diag([-1.0, 1.0, 1.0]), "las": np.diag([-1.0, 1.0, 1.0]),
}  # fmt: skip
_BAD = "The header of the volume is damaged; export it again."
_DETACHED = "The header points to image data in another file; save both as one file (.nrrd or .mha)."


def read_nrrd(upload: Upload, limits: Limits, series: int | None, desk: Desk) -> Reading:
    """One NRRD file with its data attached: raw, gzip or bzip2."""
    findings = Findings()
    with upload.open() as file:
        fields, rest = _nrrd_header(read_upto(file, limits.header_bytes))
        if "data file" in fields or "datafile" in fields:
            raise StudyError("Unsupported", _DETACHED)
        packing = _NRRD_PACKING.get(fields.get("encoding", "").lower())
        if packing is None:
            raise StudyError("Unsupported", "This NRRD encoding is not read; save the volume as raw or gzip.")
        if fields.get("line skip", "0") != "0" or fields.get("byte skip", "0") != "0":
            raise StudyError(
                "Unsupported", "NRRD files with skipped bytes are not read; save the volume again."
            )
        sizes = _integers(fields.get("sizes", ""))
        if not sizes or [len(sizes)] != _integers(fields.get("dimension", "")):
            raise StudyError("Corrupt", _BAD)
        declared = _nrrd_dtype(fields)
        spatial, before, after = _split_axes(sizes, fields)
        channels, count = _channels(before, after, declared)
        return _load(
            Stream(file, packing, rest), spatial, declared, channels, count, series, limits, desk, findings,
            *_nrrd_geometry(fields, len(before), findings), modality=allowed_modality(fields.get("modality")),
        )  # fmt: skip


def read_mha(upload: Upload, limits: Limits, series: int | None, desk: Desk) -> Reading:
    """One MetaImage file with its data attached (ElementDataFile = LOCAL), plain or zlib."""
    findings = Findings()
    with upload.open() as file:
        fields, rest = _mha_header(read_upto(file, limits.header_bytes))
        if fields.get("elementdatafile", "").upper() != "LOCAL":
            raise StudyError("Unsupported", _DETACHED)
        if fields.get("objecttype", "Image").lower() != "image":
            raise StudyError("NotAnImage", "This MetaIO file holds no image; choose another file.")
        sizes = _integers(fields.get("dimsize", ""))
        if not 2 <= len(sizes) <= 4 or [len(sizes)] != _integers(fields.get("ndims", "")):
            raise StudyError("Corrupt", _BAD)
        code = _MET_TYPES.get(fields.get("elementtype", "").upper())
        if code is None:
            raise StudyError(
                "Unsupported",
                "This type of numbers is not read; save the volume as 16-bit integers or floats.",
            )
        big = _true(fields.get("binarydatabyteordermsb", fields.get("elementbyteordermsb", "False")))
        declared = np.dtype((">" if big else "<") + code)
        if fields.get("binarydata", "True").lower() == "false":
            raise StudyError("Unsupported", "MetaImage text data are not read; save the volume as binary.")
        if finite(fields.get("headersize", "0")) not in (0.0,):
            raise StudyError(
                "Unsupported", "MetaImage files with a second header are not read; save the volume again."
            )
        per_voxel = _integers(fields.get("elementnumberofchannels", "1")) or [0]
        channels, count = _channels(per_voxel if per_voxel != [1] else [], sizes[3:], declared)
        spatial = (*sizes[:3], 1)[:3]
        packing = "zlib" if _true(fields.get("compresseddata", "False")) else "raw"
        return _load(
            Stream(file, packing, rest), (spatial[0], spatial[1], spatial[2]), declared, channels, count, series,
            limits, desk, findings, *_mha_geometry(fields, findings), modality=_mha_modality(fields),
        )  # fmt: skip


def _load(
    stream: Stream,
    sizes: tuple[int, int, int],
    declared: np.dtype[Any],
    channels: int,
    count: int,
    series: int | None,
    limits: Limits,
    desk: Desk,
    findings: Findings,
    affine: NDArray[np.float64] | None,
    spacing: tuple[float, float, float] | None,
    *,
    modality: str | None,
) -> Reading:
    check_grid(sizes, declared, channels, limits)
    chosen = 0 if series is None else series
    if not 0 <= chosen < count:
        raise StudyError("Unsupported", f"There is no volume {chosen + 1}; the file has {count}.")
    nbytes = sizes[0] * sizes[1] * sizes[2] * channels * declared.itemsize
    stream.skip(chosen * nbytes, lambda done: desk.progress("reading", done, chosen * nbytes))
    array = load_grid(stream, sizes, declared, channels, desk)
    following = (count - 1 - chosen) * nbytes
    if following <= limits.raw_voxel_bytes and (
        stream.skip(following) < following or not _ended(stream, findings)
    ):
        raise StudyError("Corrupt", "The volume ends before its declared size; export it again.")
    if count > 1:
        findings.warn("MultiVolume", f"The file holds {count} volumes; number {chosen + 1} is shown.")
    choices = volume_choices(count, chosen, sizes) if count > 1 else ()
    return volume_study(array, affine, spacing, findings, modality=modality, series=choices)


def _ended(stream: Stream, findings: Findings) -> bool:
    if not stream.finish():
        findings.warn(
            "BadHeader", "More data follow the volume than its header declares; they were left out."
        )
        return True
    return stream.complete


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
        raise StudyError("Corrupt", _BAD)
    return fields, b"" if end is None else head[end.end() :]


def _mha_header(head: bytes) -> tuple[dict[str, str], bytes]:
    """Fields with lower-case names up to and with ElementDataFile, and the bytes after that line."""
    fields: dict[str, str] = {}
    position = 0
    while True:
        end = head.find(b"\n", position)
        if end < 0:
            raise StudyError("Corrupt", _BAD)
        key, equals, value = head[position:end].decode("latin-1").partition("=")
        position = end + 1
        if not equals:
            raise StudyError("Corrupt", _BAD)
        fields.setdefault(key.strip().lower(), value.strip())
        if key.strip().lower() == "elementdatafile":
            return fields, head[position:]


def _nrrd_dtype(fields: dict[str, str]) -> np.dtype[Any]:
    code = _NRRD_TYPES.get(fields.get("type", "").lower())
    if code is None:
        raise StudyError(
            "Unsupported", "This type of numbers is not read; save the volume as 16-bit integers or floats."
        )
    endian = fields.get("endian", "little").lower()
    if endian not in ("little", "big"):
        raise StudyError("Corrupt", _BAD)
    return np.dtype((">" if endian == "big" else "<") + code)


def _split_axes(
    sizes: list[int], fields: dict[str, str]
) -> tuple[tuple[int, int, int], list[int], list[int]]:
    """Axis sizes as (three spatial, those that run faster, those that run slower), by kinds or directions."""
    vectors = _vectors(fields.get("space directions", ""))
    kinds = fields.get("kinds", "").lower().split()
    if len(vectors) == len(sizes):
        is_space = [v is not None for v in vectors]
    elif len(kinds) == len(sizes):
        is_space = [k in ("domain", "space") for k in kinds]
    else:
        is_space = [i < 3 for i in range(len(sizes))]
    where = [i for i, s in enumerate(is_space) if s]
    if not 2 <= len(where) <= 3 or where != list(range(where[0], where[0] + len(where))):
        raise StudyError("Unsupported", "Only volumes with two or three axes in space are read.")
    spatial = [*(sizes[i] for i in where), 1][:3]
    return (spatial[0], spatial[1], spatial[2]), sizes[: where[0]], sizes[where[-1] + 1 :]


def _channels(before: list[int], after: list[int], declared: np.dtype[Any]) -> tuple[int, int]:
    """(1 or 3 numbers per voxel, number of volumes)."""
    fast = int(np.prod(before, dtype=object)) if before else 1
    count = int(np.prod(after, dtype=object)) if after else 1
    if fast <= 0 or count <= 0:
        raise StudyError("Corrupt", _BAD)
    if fast == 1:
        return 1, count
    if fast == 3 and declared == np.uint8:
        return 3, count
    raise StudyError(
        "Unsupported", "Volumes with several numbers per voxel are not read; save one component."
    )


def _nrrd_geometry(
    fields: dict[str, str], first: int, findings: Findings
) -> tuple[NDArray[np.float64] | None, tuple[float, float, float] | None]:
    """(affine of (x,y,z,1) to RAS mm or None, spacing or None)."""
    vectors = [v for v in _vectors(fields.get("space directions", "")) if v is not None]
    numbers = [abs(v) for v in _floats(fields.get("spacings", ""))][first : first + 3]
    spacing = (numbers[0], numbers[1], numbers[2]) if len(numbers) == 3 and min(numbers) > 0 else None
    to_ras = _SPACES.get(fields.get("space", "").lower())
    if len(vectors) != 3 or any(len(v) != 3 for v in vectors):
        return None, spacing
    lengths = [float(np.linalg.norm(v)) for v in vectors]
    if min(lengths) <= 0 or not np.all(np.isfinite(lengths)):
        findings.warn("BadHeader", "The axis directions in the header are damaged and were left out.")
        return None, spacing
    spacing = (lengths[0], lengths[1], lengths[2])
    if to_ras is None:
        return None, spacing
    origins = _vectors(fields.get("space origin", ""))
    origin = (
        origins[0]
        if len(origins) == 1 and origins[0] is not None and len(origins[0]) == 3
        else [0.0, 0.0, 0.0]
    )
    affine = np.eye(4)
    affine[:3, :3] = (
        to_ras @ np.asarray(vectors, dtype=np.float64).T
    )  # LPS -> RAS here, where the space says so
    affine[:3, 3] = to_ras @ np.asarray(origin, dtype=np.float64)
    return affine, spacing


def _mha_geometry(
    fields: dict[str, str], findings: Findings
) -> tuple[NDArray[np.float64] | None, tuple[float, float, float] | None]:
    """(affine of (x,y,z,1) to RAS mm or None, spacing or None). MetaImage directions are rows per axis, in LPS."""
    steps = _floats(fields.get("elementspacing", fields.get("elementsize", "1 1 1")))[:3]
    steps = [*steps, 1.0] if len(steps) == 2 else steps
    if len(steps) != 3 or min(steps) <= 0:
        findings.warn("BadHeader", "The voxel spacing in the header is zero or damaged and was left out.")
        return None, None
    spacing = (steps[0], steps[1], steps[2])
    matrix = _floats(fields.get("transformmatrix", fields.get("orientation", fields.get("rotation", ""))))
    origin = _floats(fields.get("offset", fields.get("position", fields.get("origin", ""))))
    if len(matrix) != 9 or len(origin) != 3:
        return None, spacing
    affine = np.eye(4)
    directions = np.asarray(matrix, dtype=np.float64).reshape(3, 3).T  # one column per index axis
    affine[:3, :3] = _LPS_TO_RAS @ (directions * np.asarray(steps))  # LPS -> RAS
    affine[:3, 3] = _LPS_TO_RAS @ np.asarray(origin, dtype=np.float64)  # LPS -> RAS
    return affine, spacing


def _mha_modality(fields: dict[str, str]) -> str | None:
    word = fields.get("modality", "").upper().replace("MET_MOD_", "")
    return allowed_modality(word)


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


def _floats(text: str) -> list[float]:
    parts = [finite(p) for p in text.split()]
    return [p for p in parts if p is not None] if all(p is not None for p in parts) else []


def _integers(text: str) -> list[int]:
    parts = text.split()
    if not all(re.fullmatch(r"-?\d{1,18}", p) for p in parts):
        raise StudyError("Corrupt", _BAD)
    return [int(p) for p in parts]


def _true(text: str) -> bool:
    return text.strip().lower() in ("true", "1", "yes")
