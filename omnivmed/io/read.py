"""Which reader gets which upload. Runs in the worker, or in-process for files that are trusted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from omnivmed.errors import StudyError
from omnivmed.io import sniff
from omnivmed.io.archive import members
from omnivmed.io.image import read_image
from omnivmed.io.job import Desk, Findings, Reading, Upload
from omnivmed.io.mgh import read_mgh
from omnivmed.io.mha import read_mha
from omnivmed.io.nifti import read_nifti
from omnivmed.io.nifti_pair import is_header, pair
from omnivmed.io.nrrd import read_nrrd
from omnivmed.io.series import read_dicom
from omnivmed.io.tar import tar_members
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
            _archive(upload, found, limits, series, desk)
            if found in sniff.ARCHIVES
            else _one(upload, found, limits, series, desk)
        )
        if (
            reading.playable is not None and found in sniff.VIDEOS
        ):  # not what lay in an archive or a DICOM file
            reading.info = replace(reading.info, playable=reading.playable)
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
    if found in ("mgh", "mgz"):
        return read_mgh(upload, found, limits, series, desk)
    if found in sniff.VIDEOS:
        return read_video(upload, found, limits, desk)
    raise StudyError("Unsupported", "This kind of file is not read here.")


def _archive(upload: Upload, found: str, limits: Limits, series: int | None, desk: Desk) -> Reading:
    opened = members(upload, limits) if found == "zip" else tar_members(upload, found, limits, desk)
    with opened as inside:
        if not inside:
            raise StudyError("NotAnImage", "The archive is empty; choose another one.")
        return _several(inside, limits, series, desk, packed=True)


def _several(
    uploads: Sequence[Upload], limits: Limits, series: int | None, desk: Desk, packed: bool = False
) -> Reading:
    """Several files: the DICOM study among them, else the only other study; how many files are no image is told."""
    found = _sort(uploads, desk)
    if found.dicom:
        reading = read_dicom(found.dicom, limits, series, desk)
        damaged = sum(1 for e in found.refused if e.code == "Corrupt")
        notes = Findings()
        if damaged and packed:
            notes.warn("Partial", f"{damaged} damaged files were left out.")
        if found.others:
            notes.note(f"{len(found.others)} other pictures or clips in the upload were left out.")
        _tell_clutter(found.refused, notes)
        reading.info = notes.into(reading.info)
        return reading
    if found.others:
        reading = _pick(found.others, limits, series, desk)
        notes = Findings()
        _tell_clutter(found.refused, notes)
        reading.info = notes.into(reading.info)
        return reading
    if found.archives:
        raise StudyError("UnsafeArchive", "The archive holds further archives; unpack it and send one study.")
    reasons = [e for e in found.refused if e.code != "NotAnImage"] or found.refused
    if len(uploads) == 1 or any(e.code != "NotAnImage" for e in reasons):
        raise _reason(reasons, len(uploads))
    raise StudyError("NotAnImage", "None of the files is an image; choose images, a volume or a clip.")


def _tell_clutter(refused: Sequence[StudyError], notes: Findings) -> None:
    """How many of several files are no image: nothing that was sent is left out in silence."""
    clutter = sum(1 for e in refused if e.code == "NotAnImage")
    if clutter:
        what = "One file is no image and was" if clutter == 1 else f"{clutter} files are no images and were"
        notes.note(f"{what} left out.")


def _reason(reasons: list[StudyError], count: int) -> StudyError:
    """Why none of the files can be opened: the one reason they share, or the first, said to be one of several."""
    first = reasons[0]
    others = {e.message for e in reasons} - {first.message}
    if not others:
        return first
    return StudyError(
        first.code,
        f"None of the {count} files can be opened, for {len(others) + 1} reasons; one is: {first.message}",
    )


def _sort(uploads: Sequence[Upload], desk: Desk) -> _Sorted:
    found = _Sorted([], [], [])
    headers: list[Upload] = []
    numbers: list[Upload] = []
    for done, upload in enumerate(uploads):
        raw = upload.extension in (".img", ".img.gz")  # numbers of a pair look like anything
        try:
            kind = sniff.sniff(upload.head(sniff.HEAD_BYTES), upload.size)
        except StudyError as error:
            found.refused.append(error)
            if raw:
                numbers.append(upload)
            continue
        if raw and kind != "dicom":
            numbers.append(upload)
            continue
        if kind in sniff.ARCHIVES:
            found.archives += 1
        elif kind == "nifti" and is_header(upload.head(348)):
            headers.append(upload)
        elif kind == "dicom":
            found.dicom.append(upload)
        else:
            found.others.append((upload, kind))
        desk.progress("looking at files", done + 1, len(uploads))
    # Names stay outside; files come sorted by them, so the n-th header belongs to the n-th file of numbers.
    if len(headers) == len(numbers):
        found.others.extend((pair(h, n), "nifti") for h, n in zip(headers, numbers, strict=True))
    elif headers:
        found.refused.append(
            StudyError(
                "Unsupported",
                "There are headers (.hdr) without their numbers (.img); send both of each volume.",
            )
        )
    return found


def _pick(others: list[tuple[Upload, str]], limits: Limits, series: int | None, desk: Desk) -> Reading:
    """One of several files that are studies by themselves: a volume before a clip before a still; all are listed."""
    if len(others) == 1:
        upload, kind = others[0]
        return _one(upload, kind, limits, series, desk)
    ranks = [2 if k in sniff.VOLUMES else 1 if k in sniff.VIDEOS else 0 for _, k in others]
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
    "tar": "a tar archive", "tar-gz": "a packed tar archive", "mgh": "a FreeSurfer volume",
    "mgz": "a packed FreeSurfer volume",
    "mov": "an MP4 or MOV clip", "matroska": "an MKV or WebM clip", "avi": "an AVI clip", "mpeg": "an MPEG clip",
    "mpegvideo": "an MPEG clip", "mpegts": "an MPEG clip", "dv": "a DV clip",
}  # fmt: skip
