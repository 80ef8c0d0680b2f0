"""A whole film inside a DICOM file: MPEG-2, H.264 or HEVC (PS3.5 8.2.5 to 8.2.8), played by the reader of clips."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from omnivmed.errors import StudyError
from omnivmed.io import dicom, dicom_spacing, sniff
from omnivmed.io.dicom_file import DAMAGED, DicomFile, transfer_syntax
from omnivmed.io.dicom_fragments import fragments_of
from omnivmed.io.job import Desk, Findings, Reading, Upload
from omnivmed.io.technical import technical_of
from omnivmed.io.video import read_video
from omnivmed.limits import Limits

# Main profile MPEG-2 (2), MPEG-4 AVC (5), HEVC (2); each also as the fragmentable one (".1") of the standard of 2022.
_MOVIES = tuple(f"1.2.840.10008.1.2.4.{n}" for n in range(100, 109))
UNREAD = "The film in this DICOM file is of a kind that is not read; export it as MP4."


def is_movie(header: Any) -> bool:
    """Whether the pixels are one film rather than frames."""
    syntax = str(transfer_syntax(header))
    return syntax in _MOVIES or (syntax.endswith(".1") and syntax[:-2] in _MOVIES)


def read_movie(file: DicomFile, limits: Limits, desk: Desk, findings: Findings) -> Reading:
    """The film, read lazily. Fragments are parts of one stream, in order (PS3.5 A.4.6 and following).

    Raises Unsupported for a container or codec that is not read, Corrupt without a stream.
    """
    found = fragments_of(file.pixel_bytes())
    stream = b"".join(found.items) if found is not None else b""
    if not stream:
        raise StudyError("Corrupt", DAMAGED)
    upload = Upload.of_bytes(stream)
    try:
        kind = sniff.sniff(stream[: sniff.HEAD_BYTES], len(stream))
    except StudyError:
        raise StudyError("Unsupported", UNREAD) from None
    if kind not in sniff.VIDEOS:
        raise StudyError("Unsupported", UNREAD)
    reading = read_video(upload, kind, limits, desk)
    dicom.note_burned_in(file.header, findings)
    pair = dicom_spacing.pixel_spacing(file.header)
    info = replace(
        reading.info,
        modality=dicom.modality(file.header),
        body_part=dicom.body_part(file.header),
        technical=technical_of(file.header),
        spacing_mm=None if pair is None else (None, *pair),
    )
    reading.info = findings.into(info)
    return reading
