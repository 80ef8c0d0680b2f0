"""What is known of a study besides its pixels: the record that leaves the decoder, and the properties made of it."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from omnivmed.frames import Box, FrameSource
from omnivmed.labels import Label
from omnivmed.orientation import letters_of
from omnivmed.window import CT_PRESETS, Window

StudyKind = Literal["image", "volume", "video"]
Unit = Literal["HU", "raw", "rgb"]
SpacingAt = Literal["patient", "detector", "estimate"]
TimesFrom = Literal["file", "assumed"]
ModalityFrom = Literal["header", "numbers"]
Spacing = tuple[float | None, float, float]


@dataclass(frozen=True)
class StudyInfo:
    """Everything about a study but its pixels; what a worker reports, and nothing else leaves it."""

    kind: StudyKind
    channels: int = 1
    spacing_mm: Spacing | None = None
    spacing_at: SpacingAt = (
        "patient"  # where the spacing holds; "estimate": detector by a magnification factor
    )
    times_s: NDArray[np.float64] | None = None
    key_index: NDArray[np.int64] | None = None  # frames of a clip that can be decoded alone, rising
    playable: str | None = None  # media type of the one file it was read from, where browsers may play that
    times_from: TimesFrom = "file"  # "assumed": the file gives none, the reader's usual step was taken
    slice_mm: NDArray[np.float64] | None = None  # (T,) position along the slice normal, first slice 0
    window: Window | None = None  # the window in force
    file_window: Window | None = None  # what the file asked for
    auto_window: Window | None = None  # what statistics or the body part suggest
    affine: NDArray[np.float64] | None = None
    letters: tuple[str, str, str, str] | None = None  # stills without an affine, from PatientOrientation
    inverted: bool = False
    modality: str | None = None
    modality_from: ModalityFrom = "header"  # "numbers": guessed from their range, where the file names none
    body_part: str | None = None
    technical: tuple[
        tuple[str, str | float], ...
    ] = ()  # allow-listed (name, value), see `omnivmed.io.technical`
    unit: Unit = "raw"
    slope: float = 1.0
    intercept: float = 0.0
    plane: str | None = None
    warnings: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    series: tuple[dict[str, Any], ...] = ()
    aspect: float = 1.0  # height of a pixel by its width where the file gives only their ratio
    needs_confirmation: bool = False
    labels: tuple[
        Label, ...
    ] = ()  # of a label map: its numbers stand for these, and are drawn in their colours
    background: int | None = None  # of a label map: the number that is no label; None for pictures
    text_boxes: tuple[Box, ...] | None = None  # where text was found in the pixels; None: nobody looked
    painted: tuple[Box, ...] = ()  # what was painted out
    content_id: str = ""


class Described:
    """The facts of a study as properties; `omnivmed.study.Study` adds the pixels."""

    _source: FrameSource
    _info: StudyInfo

    @property
    def info(self) -> StudyInfo:
        """All fields at once, as the reader reported them."""
        return self._info

    @property
    def kind(self) -> StudyKind:
        """image, volume or video."""
        return self._info.kind

    @property
    def shape(self) -> tuple[int, int, int]:
        """(T, H, W)."""
        return self._source.shape

    @property
    def channels(self) -> int:
        """1 grey or 3 RGB."""
        return self._source.channels

    @property
    def spacing_mm(self) -> Spacing | None:
        """(slice, row, column) steps in mm; the slice step is None for a still; None when the file does not say."""
        return self._info.spacing_mm

    @property
    def spacing_at(self) -> SpacingAt:
        """Where `spacing_mm` holds.

        "patient"; "detector" of a projection, which is larger than the patient by an unknown factor; or "estimate",
        the detector's divided by the magnification factor of the file (PS3.3 10.7.1.3, C.8.11.4).
        """
        return self._info.spacing_at

    @property
    def times_s(self) -> NDArray[np.float64] | None:
        """(T,) seconds from the first frame, for clips."""
        return self._info.times_s

    @property
    def key_index(self) -> NDArray[np.int64] | None:
        """(n,) rising, frames of a clip that can be decoded alone; None where that is not known or is no matter."""
        return self._info.key_index

    @property
    def playable(self) -> str | None:
        """Media type ("video/mp4", "video/webm") of the one file this was read from, where its bytes say that browsers
        are likely to play it as it is shown here; None for anything else."""
        return self._info.playable

    @property
    def times_from(self) -> TimesFrom:
        """Whether `times_s` are the "file"'s, or "assumed" because it gives none."""
        return self._info.times_from

    @property
    def slice_mm(self) -> NDArray[np.float64] | None:
        """(T,) where each slice of a volume lies along the normal, in mm from the first; gaps show here."""
        if self._info.slice_mm is not None:
            return self._info.slice_mm
        if self.kind != "volume" or self.spacing_mm is None or self.spacing_mm[0] is None:
            return None
        return np.arange(self.shape[0], dtype=np.float64) * float(self.spacing_mm[0])

    @property
    def slice_index(self) -> NDArray[np.float64]:
        """(T,) where each slice lies, counted in steps of `affine`: slice i, row r, column c of an uneven stack is at
        `affine @ [slice_index[i], r, c, 1]`. Even stacks have 0, 1, 2, …"""
        index = np.arange(self.shape[0], dtype=np.float64)
        if self.affine is None or self._info.slice_mm is None:
            return index
        normal = np.cross(self.affine[:3, 1], self.affine[:3, 2])
        step = abs(float(self.affine[:3, 0] @ normal)) / float(np.linalg.norm(normal))
        return index if step == 0.0 else self._info.slice_mm / step

    @property
    def window(self) -> Window | None:
        """(level, width) in file units; None for RGB."""
        return self._info.window

    @property
    def affine(self) -> NDArray[np.float64] | None:
        """(4,4): (slice, row, column, 1) -> RAS mm; None when the orientation is unknown."""
        return self._info.affine

    @property
    def inverted(self) -> bool:
        """True for MONOCHROME1: the lowest value is shown white. `values` are never inverted."""
        return self._info.inverted

    @property
    def modality(self) -> str | None:
        """DICOM's word (CT, MR, CR, US …), or None where the file names none; see `modality_from`."""
        return self._info.modality

    @property
    def modality_from(self) -> ModalityFrom:
        """Where `modality` is from: the "header", or the "numbers" (a NIfTI file whose values look like HU)."""
        return self._info.modality_from

    @property
    def technical(self) -> dict[str, str | float]:
        """How the picture was made, as far as the header tells it in numbers and defined terms: slice_thickness_mm,
        contrast ("named" or "none"), view_position and others of `omnivmed.io.technical.TAGS`."""
        return dict(self._info.technical)

    @property
    def body_part(self) -> str | None:
        """DICOM's word (CHEST, HEAD …), or None where the file names none."""
        return self._info.body_part

    @property
    def unit(self) -> Unit:
        """What `values` are in: HU for CT, rgb for colour, raw otherwise."""
        return self._info.unit

    @property
    def plane(self) -> str | None:
        """axial, coronal, sagittal, oblique, or None when the orientation is unknown."""
        return self._info.plane

    @property
    def warnings(self) -> list[str]:
        """Codes of everything that was altered or is doubtful; a clip may add Partial while it is read."""
        late = [code for code, _ in self._source.problems()]
        return list(dict.fromkeys([*self._info.warnings, *late]))

    @property
    def notes(self) -> list[str]:
        """One sentence for the person at the screen per warning or alteration."""
        late = [sentence for _, sentence in self._source.problems()]
        return list(dict.fromkeys([*self._info.notes, *late]))

    @property
    def series(self) -> list[dict[str, Any]]:
        """Choices when the upload holds several: {index, label, kind, frames, rows, columns, modality, selected}."""
        return [dict(s) for s in self._info.series]

    @property
    def needs_confirmation(self) -> bool:
        """True when a name may be burned into the pixels and the limits ask a person to confirm first."""
        return self._info.needs_confirmation

    @property
    def labels(self) -> tuple[Label, ...]:
        """(number, name, colour) of a label map, () for pictures. Its `values` are numbers, its `frames` colours."""
        return self._info.labels

    @property
    def is_label_map(self) -> bool:
        """Whether the numbers say what a pixel is of, not how bright it is. There is no window then."""
        return self._info.background is not None

    @property
    def background(self) -> int | None:
        """The number of a label map that is no label; it is shown black."""
        return self._info.background

    @property
    def text_boxes(self) -> tuple[Box, ...] | None:
        """(top, left, bottom, right) in pixels where `find_text` found text, () where it found none, None before it."""
        return self._info.text_boxes

    @property
    def painted(self) -> tuple[Box, ...]:
        """Boxes of every frame whose pixels were replaced (`with_painted`)."""
        return self._info.painted

    @property
    def dtype(self) -> np.dtype[Any]:
        """Stored type of the numbers."""
        return self._source.dtype

    @property
    def pixel_aspect(self) -> float:
        """Height of a pixel divided by its width, on the screen: from the spacing, else the bare ratio of the file."""
        if self.spacing_mm is None:
            return self._info.aspect
        return self.spacing_mm[1] / self.spacing_mm[2]

    @property
    def content_id(self) -> str:
        """Id of the stored numbers, the same for every window."""
        return self._info.content_id

    @property
    def digest(self) -> str:
        """Id of what is shown: stored numbers, window and inversion. Stable; the key of every cache."""
        shown = f"{self._info.content_id}|{self.window}|{self.inverted}"
        if self.is_label_map:
            shown += f"|{self.labels}|{self.background}"
        return hashlib.sha256(shown.encode()).hexdigest()

    @property
    def presets(self) -> list[tuple[str, float, float]]:
        """(name, level, width): the file's own, the automatic one, and the workstation's for CT. Empty for RGB."""
        found: list[tuple[str, float, float]] = []
        if self._info.file_window is not None:
            found.append(("file", *self._info.file_window))
        if self._info.auto_window is not None:
            found.append(("auto", *self._info.auto_window))
        if self.unit == "HU":
            found.extend(CT_PRESETS)
        return found

    def edge_letters(self, plane_axis: int = 0) -> tuple[str, str, str, str] | None:
        """(left, right, top, bottom) patient directions of the picture with `plane_axis` fixed, or None if unknown.

        The picture is the plain array plane: rows are the lower remaining axis, columns the higher one
        (plane_axis 0: rows 1, columns 2; 1: rows 0, columns 2; 2: rows 0, columns 1), row 0 on top.
        """
        if plane_axis not in (0, 1, 2):
            raise ValueError(f"plane_axis is 0, 1 or 2, got {plane_axis}")
        if self.affine is None:
            return self._info.letters if plane_axis == 0 else None
        return letters_of(self.affine, plane_axis)

    def index_at(self, seconds: float) -> int:
        """The frame shown at this time of a clip: the last one that began at or before it."""
        if self.times_s is None:
            raise ValueError("only clips have times")
        return max(0, int(np.searchsorted(self.times_s, seconds + 1e-6, side="right")) - 1)
