"""MetaImage in one file (.mha). Data in other files are refused: a header is never followed.

Format: itk.org/Wiki/ITK/MetaIO/Documentation.
"""

from __future__ import annotations

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
    floats,
    integers,
    load_parts,
    mm_of,
    parts_of,
    true,
)
from omnivmed.limits import Limits

_MET_TYPES = {
    "MET_CHAR": "i1", "MET_UCHAR": "u1", "MET_SHORT": "i2", "MET_USHORT": "u2", "MET_INT": "i4", "MET_UINT": "u4",
    "MET_LONG": "i4", "MET_ULONG": "u4", "MET_LONG_LONG": "i8", "MET_ULONG_LONG": "u8", "MET_FLOAT": "f4",
    "MET_DOUBLE": "f8",
}  # fmt: skip


def read_mha(upload: Upload, limits: Limits, series: int | None, desk: Desk) -> Reading:
    """One MetaImage file with its data attached (ElementDataFile = LOCAL), plain or zlib."""
    findings = Findings()
    with upload.open() as file:
        fields, rest = _mha_header(read_upto(file, limits.header_bytes))
        if fields.get("elementdatafile", "").upper() != "LOCAL":
            raise StudyError("Unsupported", DETACHED)
        if fields.get("objecttype", "Image").lower() != "image":
            raise StudyError("NotAnImage", "This MetaIO file holds no image; choose another file.")
        sizes = integers(fields.get("dimsize", ""))
        if not 2 <= len(sizes) <= 4 or [len(sizes)] != integers(fields.get("ndims", "")):
            raise StudyError("Corrupt", BAD)
        code = _MET_TYPES.get(fields.get("elementtype", "").upper())
        if code is None:
            raise StudyError(
                "Unsupported",
                UNREAD_TYPE,
            )
        big = true(fields.get("binarydatabyteordermsb", fields.get("elementbyteordermsb", "False")))
        declared = np.dtype((">" if big else "<") + code)
        if fields.get("binarydata", "True").lower() == "false":
            raise StudyError("Unsupported", "MetaImage text data are not read; save the volume as binary.")
        if finite(fields.get("headersize", "0")) not in (0.0,):
            raise StudyError(
                "Unsupported", "MetaImage files with a second header are not read; save the volume again."
            )
        per_voxel = integers(fields.get("elementnumberofchannels", "1")) or [0]
        step_s, affine, spacing = _mha_geometry(fields, len(sizes), findings)
        before = per_voxel if per_voxel != [1] else []
        fast, channels, parts = parts_of(before, sizes[3:], declared, True, step_s)
        spatial = (*sizes[:3], 1)[:3]
        packing = "zlib" if true(fields.get("compresseddata", "False")) else "raw"
        return load_parts(
            Stream(file, packing, rest), (spatial[0], spatial[1], spatial[2]), declared, fast, channels, parts,
            True, False, series, limits, desk, findings, affine, spacing, modality=_mha_modality(fields),
        )  # fmt: skip


def _mha_header(head: bytes) -> tuple[dict[str, str], bytes]:
    """Fields with lower-case names up to and with ElementDataFile, and the bytes after that line."""
    fields: dict[str, str] = {}
    position = 0
    while True:
        end = head.find(b"\n", position)
        if end < 0:
            raise StudyError("Corrupt", BAD)
        key, equals, value = head[position:end].decode("latin-1").partition("=")
        position = end + 1
        if not equals:
            raise StudyError("Corrupt", BAD)
        fields.setdefault(key.strip().lower(), value.strip())
        if key.strip().lower() == "elementdatafile":
            return fields, head[position:]


def _mha_geometry(
    fields: dict[str, str], n: int, findings: Findings
) -> tuple[float | None, NDArray[np.float64] | None, tuple[float, float, float] | None]:
    """(seconds along a fourth axis or None, affine of (x,y,z,1) to RAS mm or None, spacing in mm or None).

    MetaImage directions are rows per axis, in LPS; of n axes the first three are space. Lengths are millimetres unless
    DistanceUnits says otherwise.
    """
    mm = mm_of(fields.get("distanceunits", ""))
    given = floats(fields.get("elementspacing", fields.get("elementsize", " ".join(["1"] * n))))
    steps = [*given, 1.0] if len(given) == 2 else given[:3]
    step_s = given[3] if n == 4 and len(given) == 4 and given[3] > 0 and "elementspacing" in fields else None
    if mm is None:
        findings.warn(
            "BadHeader",
            "The header gives lengths in a unit that is not known here; sizes and orientation are left out.",
        )
        return step_s, None, None
    if len(steps) != 3 or min(steps) <= 0:
        findings.warn("BadHeader", "The voxel spacing in the header is zero or damaged and was left out.")
        return step_s, None, None
    steps = [s * mm for s in steps]
    spacing = (steps[0], steps[1], steps[2])
    matrix = floats(fields.get("transformmatrix", fields.get("orientation", fields.get("rotation", ""))))
    origin = floats(fields.get("offset", fields.get("position", fields.get("origin", ""))))
    if n < 3 or len(matrix) != n * n or len(origin) != n:
        return step_s, None, spacing
    affine = np.eye(4)
    directions = np.asarray(matrix, dtype=np.float64).reshape(n, n)[:3, :3].T  # one column per index axis
    affine[:3, :3] = LPS_TO_RAS @ (directions * np.asarray(steps))  # LPS -> RAS
    affine[:3, 3] = LPS_TO_RAS @ (np.asarray(origin[:3], dtype=np.float64) * mm)  # LPS -> RAS
    return step_s, affine, spacing


def _mha_modality(fields: dict[str, str]) -> str | None:
    word = fields.get("modality", "").upper().replace("MET_MOD_", "")
    return allowed_modality(word)
