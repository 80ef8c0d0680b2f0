"""Pictures kept as tiles: slices of a volume laid out in one picture (Siemens mosaic), and whole slide images.

A mosaic is no part of the standard: Image Type says MOSAIC, the number of slices stands in (0019,xx0A) or in the CSA
header of (0029,xx10), slices fill the squares row by row. A whole slide image (PS3.3 C.8.12.4) is one plane in tiles;
each lies where its Plane Position (Slide) says, or row by row where they are all there (TILED_FULL, C.7.6.17.3).
"""

from __future__ import annotations

import math
import struct
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from omnivmed.errors import StudyError
from omnivmed.io import dicom
from omnivmed.io.dicom_file import DicomFile
from omnivmed.io.dicom_frames import place_in
from omnivmed.io.dicom_groups import FrameHeader, frame_headers
from omnivmed.io.dicom_pixels import Frames
from omnivmed.io.dicom_stack import common, decoder, plane_spacing, read_volume, with_windows
from omnivmed.io.dicom_volumes import Slice
from omnivmed.io.facts import stored_facts
from omnivmed.io.job import Desk, Findings, Reading
from omnivmed.io.stack import Place
from omnivmed.limits import Limits

_SLIDE = "1.2.840.10008.5.1.4.1.1.77.1.6"


def is_mosaic(header: Any) -> bool:
    """One picture of several slices."""
    kinds = dicom.value(header, "ImageType")
    listed = [] if kinds is None or isinstance(kinds, str) else [str(k).strip().upper() for k in kinds]
    return "MOSAIC" in listed and dicom.integer(header, "NumberOfFrames", 1) == 1


def is_slide(header: Any) -> bool:
    """One plane in tiles: of a whole slide, with more pixels than a tile has."""
    if str(dicom.value(header, "SOPClassUID", "")) != _SLIDE and "TotalPixelMatrixColumns" not in header:
        return False
    total = dicom.integer(header, "TotalPixelMatrixRows") * dicom.integer(header, "TotalPixelMatrixColumns")
    return total > dicom.integer(header, "Rows") * dicom.integer(header, "Columns")


def is_tiled(header: Any) -> bool:
    """Either of both."""
    return is_mosaic(header) or is_slide(header)


def read_tiles(file: DicomFile, limits: Limits, desk: Desk, findings: Findings) -> Reading:
    """The volume of a mosaic, or the picture of a slide."""
    if is_mosaic(file.header):
        return read_mosaic(file, limits, desk, findings)
    return read_slide(file, limits, desk, findings)


def read_mosaic(file: DicomFile, limits: Limits, desk: Desk, findings: Findings) -> Reading:
    """A volume of the slices, or the picture as it is with a word about it where their number is not told."""
    header = FrameHeader(file.header)
    count = mosaic_count(file.header)
    rows, columns = dicom.integer(header, "Rows"), dicom.integer(header, "Columns")
    across = math.ceil(math.sqrt(count)) if count else 0
    if count < 2 or rows % across or columns % across:
        findings.note(
            "The picture is a mosaic of slices whose number is not told; it is shown as one picture."
        )
        from omnivmed.io.dicom_frames import read_still

        return read_still(file, limits, desk, findings)
    h, w = rows // across, columns // across
    whole = decoder(limits)(Slice(file, header, None))

    def tile(one: Slice) -> NDArray[Any]:
        r, c = divmod(one.frame, across)
        return whole[r * h : (r + 1) * h, c * w : (c + 1) * w]

    findings.note(f"The picture is a mosaic; it was cut into its {count} slices.")
    places = _mosaic_places(header, count, (rows, columns), (h, w))
    slices = [
        Slice(file, FrameHeader(file.header, i), None if places is None else places[i]) for i in range(count)
    ]
    if places is not None and places[0].height > places[-1].height:
        slices.reverse()
    return read_volume(slices, tile, limits, desk, findings)


def mosaic_count(header: Any) -> int:
    """How many slices the mosaic has, or 0 when it is not told."""
    try:
        found = header.private_block(0x0019, "SIEMENS MR HEADER")[0x0A].value
        return int(found) if 0 < int(found) <= 4096 else 0
    except (KeyError, TypeError, ValueError, AttributeError):
        pass
    try:
        csa = header.private_block(0x0029, "SIEMENS CSA HEADER")[0x10].value
        text = csa_value(bytes(csa), "NumberOfImagesInMosaic")
        return int(text) if text is not None and 0 < int(text) <= 4096 else 0
    except (KeyError, TypeError, ValueError, AttributeError):
        return 0


def csa_value(data: bytes, name: str) -> str | None:
    """First item of a field of a Siemens CSA2 header ("SV10"), or None. A field: name (64), vm, vr, type, items, 77."""
    if data[:4] != b"SV10" or len(data) < 16:
        return None
    count = struct.unpack("<I", data[8:12])[0]
    position = 16
    for _ in range(min(count, 512)):
        if position + 84 > len(data):
            return None
        field = data[position : position + 64].split(b"\x00")[0].decode("latin-1")
        items = struct.unpack("<I", data[position + 76 : position + 80])[0]
        position += 84
        for k in range(min(items, 4096)):
            if position + 16 > len(data):
                return None
            length = struct.unpack("<I", data[position + 4 : position + 8])[0]
            body = data[position + 16 : position + 16 + length]
            if field == name and k == 0 and body.strip(b"\x00 "):
                return body.split(b"\x00")[0].decode("latin-1").strip()
            position += 16 + (length + 3) // 4 * 4
    return None


def _mosaic_places(
    header: Any, count: int, whole: tuple[int, int], tile: tuple[int, int]
) -> list[Place] | None:
    """Place of each slice: the position in the header is that of a corner of the whole mosaic, moved by half of what
    the mosaic is larger than a slice; slices follow along the normal at Spacing Between Slices."""
    corner = place_in(header)
    step = dicom.number(header, "SpacingBetweenSlices") or dicom.number(header, "SliceThickness")
    if corner is None or corner.spacing is None or not step:
        return None
    cosines = np.asarray(corner.orientation)
    inwards = cosines[:3] * corner.spacing[1] * (whole[1] - tile[1]) / 2
    inwards = inwards + cosines[3:] * corner.spacing[0] * (whole[0] - tile[0]) / 2
    first = np.asarray(corner.position) + inwards
    made: list[Place] = []
    for i in range(count):
        x, y, z = (float(v) for v in first + corner.normal * step * i)
        made.append(Place((x, y, z), corner.orientation, corner.spacing))
    return made


def read_slide(file: DicomFile, limits: Limits, desk: Desk, findings: Findings) -> Reading:
    """The plane of a whole slide, stitched; made smaller by a whole factor where it is over the limit of a picture."""
    frames = Frames(file, limits, findings)
    header = frame_headers(file.header, frames.count)
    high, wide = (dicom.integer(file.header, f"TotalPixelMatrix{side}") for side in ("Rows", "Columns"))
    if min(high, wide) < 1 or max(high, wide) > 2**22:
        raise StudyError("Corrupt", "The slide does not say how large it is; export it again.")
    factor = max(1, math.ceil(math.sqrt(high * wide / limits.image_pixels)))
    if factor > min(frames.rows, frames.columns):
        raise StudyError("TooLarge", "The slide is too large to be shown; send a smaller level of it.")
    shape = (-(-high // factor), -(-wide // factor))
    first = frames.decode(0)
    array = desk.allocate((1, *shape, *first.shape[2:]), first.dtype)
    if frames.rgb:
        array[...] = 255  # glass, where a sparse slide has no tile
    across = -(-wide // frames.columns)
    per_plane = across * -(-high // frames.rows)
    for i in range(frames.count):
        spot = _tile_place(header[i], i, across, frames)
        if spot is None or (header[i].own is None and i >= per_plane):  # further focal planes and stains
            continue
        _put(array[0], first if i == 0 else frames.decode(i), spot, factor, (high, wide))
        desk.progress("decoding", i + 1, frames.count)
    findings.note(
        f"The slide is stitched from {min(frames.count, per_plane)} tiles"
        + (f" and shown at 1/{factor} of its {wide} x {high} pixels." if factor > 1 else ".")
    )
    spacing = plane_spacing(header[0])
    if spacing is not None:
        spacing = (None, spacing[1] * factor, spacing[2] * factor)
    info = replace(common(header[0], frames.rgb, 1.0, 0.0, findings), spacing_mm=spacing)
    info = with_windows(info, array, dicom.window_of(header[0], findings), None, findings)
    return Reading(findings.into(stored_facts(info, array)), array)


def _tile_place(header: FrameHeader, index: int, across: int, frames: Frames) -> tuple[int, int] | None:
    """(row, column) of the tile's first pixel in the whole plane, counted from 0."""
    row = dicom.number(header, "RowPositionInTotalImagePixelMatrix")
    column = dicom.number(header, "ColumnPositionInTotalImagePixelMatrix")
    if row is not None and column is not None:
        return (int(row) - 1, int(column) - 1) if row >= 1 and column >= 1 else None
    return (index // across * frames.rows, index % across * frames.columns)


def _put(
    plane: NDArray[Any], tile: NDArray[Any], spot: tuple[int, int], factor: int, whole: tuple[int, int]
) -> None:
    """Write a tile, or the means of its squares of `factor` pixels, into its place; what reaches over is cut."""
    row, column = spot
    tile = tile[: max(0, whole[0] - row), : max(0, whole[1] - column)]
    if factor > 1:
        h, w = tile.shape[0] // factor * factor, tile.shape[1] // factor * factor
        blocks = tile[:h, :w].reshape(h // factor, factor, w // factor, factor, *tile.shape[2:])
        tile = np.rint(blocks.mean(axis=(1, 3))).astype(tile.dtype)
        row, column = row // factor, column // factor
    target = plane[row : row + tile.shape[0], column : column + tile.shape[1]]
    target[...] = tile[: target.shape[0], : target.shape[1]]
