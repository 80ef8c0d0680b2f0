"""Which reader gets which upload. Runs in the worker, or in-process for files that are trusted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from omnivmed.errors import StudyError
from omnivmed.io import sniff
from omnivmed.io.archive import members
from omnivmed.io.image import read_image
from omnivmed.io.job import Desk, Findings, Reading, Upload
from omnivmed.io.nifti import read_nifti
from omnivmed.io.nrrd_mha import read_mha, read_nrrd
from omnivmed.io.series import read_dicom
from omnivmed.io.video import read_video
from omnivmed.limits import Limits


@dataclass
class _Sorted:
    """Uploads by what they are; `refused` keeps the reasons of the others."""

    dicom: list[Upload]
    others: list[tuple[Upload, str]]
    refused: list[StudyError]
    archives: int = 0


def read(uploads: Sequence[Upload], limits: Limits, series: int | None, desk: Desk) -> Reading:
    """The study in these files. Raises StudyError; anything else becomes Corrupt outside."""
    if not uploads:
        raise StudyError("NotAnImage", "There is no file in it; choose a folder with images, or one file.")
    desk.progress("opening", 0, len(uploads))
    if len(uploads) == 1:
        upload = uploads[0]
        found = sniff.sniff(upload.head(sniff.HEAD_BYTES), upload.size)
        reading = (
            _archive(upload, limits, series, desk)
            if found == "zip"
            else _one(upload, found, limits, series, desk)
        )
        return _compare_extension(reading, upload, found)
    return _several(uploads, limits, series, desk)


def _one(upload: Upload, found: str, limits: Limits, series: int | None, desk: Desk) -> Reading:
    if found in sniff.STILLS:
        return read_image(upload, found, limits, desk)
    if found == "dicom":
        return read_dicom([upload], limits, series, desk)
    if found in ("nifti", "nifti-gz"):
        return read_nifti(upload, found, limits, series, desk)
    if found == "nrrd":
        return read_nrrd(upload, limits, series, desk)
    if found == "mha":
        return read_mha(upload, limits, series, desk)
    if found in sniff.VIDEOS:
        return read_video(upload, found, limits, desk)
    raise StudyError("Unsupported", "This kind of file is not read here.")


def _archive(upload: Upload, limits: Limits, series: int | None, desk: Desk) -> Reading:
    with members(upload, limits) as inside:
        if not inside:
            raise StudyError("NotAnImage", "The archive is empty; choose another one.")
        return _several(inside, limits, series, desk, packed=True)


def _several(
    uploads: Sequence[Upload], limits: Limits, series: int | None, desk: Desk, packed: bool = False
) -> Reading:
    """Several files: the DICOM study among them, else the only other study; clutter is left out in silence."""
    found = _sort(uploads, desk)
    if found.dicom:
        reading = read_dicom(found.dicom, limits, series, desk)
        damaged = sum(1 for e in found.refused if e.code == "Corrupt")
        notes = Findings()
        if damaged and packed:
            notes.warn("Partial", f"{damaged} damaged files were left out.")
        if found.others:
            notes.note(f"{len(found.others)} other pictures or clips in the upload were left out.")
        reading.info = notes.into(reading.info)
        return reading
    if found.others:
        return _pick(found.others, limits, series, desk)
    if found.archives:
        raise StudyError("UnsafeArchive", "The archive holds further archives; unpack it and send one study.")
    reasons = [e for e in found.refused if e.code != "NotAnImage"] or found.refused
    if len(uploads) == 1 or any(e.code != "NotAnImage" for e in reasons):
        raise reasons[0]
    raise StudyError("NotAnImage", "None of the files is an image; choose images, a volume or a clip.")


def _sort(uploads: Sequence[Upload], desk: Desk) -> _Sorted:
    found = _Sorted([], [], [])
    for done, upload in enumerate(uploads):
        try:
            kind = sniff.sniff(upload.head(sniff.HEAD_BYTES), upload.size)
        except StudyError as error:
            found.refused.append(error)
            continue
        if kind == "zip":
            found.archives += 1
        elif kind == "dicom":
            found.dicom.append(upload)
        else:
            found.others.append((upload, kind))
        desk.progress("looking at files", done + 1, len(uploads))
    return found


def _pick(others: list[tuple[Upload, str]], limits: Limits, series: int | None, desk: Desk) -> Reading:
    """One of several files that are studies by themselves: a volume before a clip before a still; all are listed."""
    if len(others) == 1:
        upload, kind = others[0]
        return _one(upload, kind, limits, series, desk)
    ranks = [
        2 if k in ("nifti", "nifti-gz", "nrrd", "mha") else 1 if k in sniff.VIDEOS else 0 for _, k in others
    ]
    chosen = ranks.index(max(ranks)) if series is None else series
    if not 0 <= chosen < len(others):
        raise StudyError("Unsupported", f"There is no picture {chosen + 1}; the upload has {len(others)}.")
    upload, kind = others[chosen]
    reading = _one(upload, kind, limits, None, desk)
    notes = Findings()
    notes.warn(
        "MixedSeries", f"The upload holds {len(others)} separate studies; number {chosen + 1} is shown."
    )
    words = ("image", "video", "volume")
    reading.info = notes.into(
        replace(
            reading.info,
            series=tuple(
                {
                    "index": i,
                    "label": f"{words[ranks[i]]} {i + 1} of {len(others)}",
                    "kind": words[ranks[i]],
                    "frames": 0,
                    "rows": 0,
                    "columns": 0,
                    "modality": None,
                    "selected": i == chosen,
                }
                for i in range(min(len(others), 256))
            ),
        )
    )
    return reading


def _compare_extension(reading: Reading, upload: Upload, found: str) -> Reading:
    if sniff.belongs(upload.extension, found):
        return reading
    notes = Findings()
    notes.warn(
        "WrongExtension", f"The file name ends in {upload.extension}, but the content is {_NAMES[found]}."
    )
    reading.info = notes.into(reading.info)
    return reading


_NAMES = {
    "png": "a PNG picture", "jpeg": "a JPEG picture", "gif": "a GIF picture", "tiff": "a TIFF picture",
    "bmp": "a BMP picture", "webp": "a WebP picture", "dicom": "DICOM", "nifti": "an unpacked NIfTI volume",
    "nifti-gz": "a packed NIfTI volume", "nrrd": "an NRRD volume", "mha": "a MetaImage volume", "zip": "a zip archive",
    "mov": "an MP4 or MOV clip", "matroska": "an MKV or WebM clip", "avi": "an AVI clip", "mpeg": "an MPEG clip",
    "mpegvideo": "an MPEG clip", "mpegts": "an MPEG clip",
}  # fmt: skip
