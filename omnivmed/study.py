"""Study: the one type for a still, a volume and a clip.

Axis table (index order everywhere: frame or slice T, row H, column W[, channel 3]):

| kind   | T       | row grows to    | column grows to | spacing_mm        | times_s |
|--------|---------|-----------------|-----------------|-------------------|---------|
| image  | 1       | as stored       | as stored       | (None, row, col)  | None    |
| volume | slices  | see below       | see below       | (slice, row, col) | None    |
| video  | frames  | down            | right           | None or as image  | (T,)    |

Volumes with known orientation are turned to the radiological display: axial rows to posterior, columns to the
patient's left, slices to superior; coronal rows to inferior, columns to left, slices to posterior; sagittal rows to
inferior, columns to posterior, slices to the patient's right. Index axes (column, row, slice) are right-handed.
`affine` maps (slice, row, column, 1) to RAS millimetres: +x is the patient's right, +y anterior, +z superior.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Sequence
from dataclasses import replace
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from omnivmed.frames import ArraySource, Box, CroppedSource, FrameSource, PaintedSource, part_of_box
from omnivmed.labels import colour_table
from omnivmed.orientation import plane_of
from omnivmed.resample import resize_frames
from omnivmed.study_info import Described, Spacing, StudyInfo, StudyKind
from omnivmed.window import Window, apply_window, auto_window, window_table


class Study(Described):
    """One opened study. Made by `open_study`, or from numbers by `Study.from_array`."""

    def __init__(self, source: FrameSource, info: StudyInfo) -> None:
        t = source.shape[0]
        if info.times_s is not None and len(info.times_s) != t:
            raise ValueError(f"times_s has {len(info.times_s)} entries for {t} frames")
        self._source = source
        self._info = info
        self._tables: dict[tuple[Window, bool], NDArray[np.uint8] | None] = {}

    @classmethod
    def from_array(
        cls,
        values: ArrayLike,
        kind: StudyKind | None = None,
        *,
        spacing_mm: Sequence[float | None] | None = None,
        times_s: ArrayLike | None = None,
        window: Window | None = None,
        affine: ArrayLike | None = None,
        inverted: bool = False,
        modality: str | None = None,
        body_part: str | None = None,
        slope: float = 1.0,
        intercept: float = 0.0,
        warnings: Iterable[str] = (),
        notes: Iterable[str] = (),
    ) -> Study:
        """A study of numbers in memory: (H,W), (T,H,W), or uint8 RGB (H,W,3), (T,H,W,3).

        `kind` defaults to image for T = 1, video when `times_s` is given, else volume. Grey arrays keep their type;
        file units are `values * slope + intercept`. Without `window` one is chosen as for files.
        """
        array = np.ascontiguousarray(values)
        if array.ndim == 2 or (array.ndim == 3 and array.shape[-1] == 3 and array.dtype == np.uint8):
            array = array[None]
        if array.dtype == np.bool_ or (array.dtype.kind == "f" and array.dtype.itemsize > 4):
            array = array.astype(np.uint8 if array.dtype == np.bool_ else np.float32)
        source = ArraySource(array)
        t = source.shape[0]
        if kind is None:
            kind = "video" if times_s is not None else "image" if t == 1 else "volume"
        if kind == "video" and times_s is None:
            times_s = np.arange(t, dtype=np.float64)
        rgb = source.channels == 3
        auto: Window | None = None
        if not rgb:
            auto = auto_window(array.astype(np.float32) * slope + intercept, modality, body_part)
        spacing: Spacing | None = None
        if spacing_mm is not None:
            s, r, c = spacing_mm
            if r is None or c is None:
                raise ValueError("row and column spacing are numbers; only the slice step may be None")
            spacing = (None if s is None else float(s), float(r), float(c))
        info = StudyInfo(
            kind=kind,
            channels=source.channels,
            spacing_mm=spacing,
            times_s=None if times_s is None else np.asarray(times_s, dtype=np.float64),
            window=None if rgb else (window or auto),
            auto_window=auto,
            affine=None if affine is None else np.asarray(affine, dtype=np.float64).reshape(4, 4),
            inverted=inverted,
            modality=modality,
            body_part=body_part,
            unit="rgb" if rgb else "HU" if modality == "CT" else "raw",
            slope=float(slope),
            intercept=float(intercept),
            plane=None if affine is None else plane_of(np.asarray(affine, dtype=np.float64)),
            warnings=tuple(warnings),
            notes=tuple(notes),
            content_id=content_id(array, (kind, slope, intercept, None if spacing is None else spacing)),
        )
        return cls(source, info)

    # -- what it is ---------------------------------------------------------------------------------------------

    def __len__(self) -> int:
        return self.shape[0]

    def __repr__(self) -> str:
        t, h, w = self.shape
        parts = [f"{self.kind} {t}x{h}x{w}", "RGB" if self.channels == 3 else str(self.dtype)]
        if self.modality:
            parts.append(self.modality)
        if self.plane:
            parts.append(self.plane)
        if self.spacing_mm is not None:
            parts.append("x".join("?" if s is None else f"{s:.3g}" for s in self.spacing_mm) + " mm")
        if self.times_s is not None:
            parts.append(f"{float(self.times_s[-1]):.2f} s")
        if self.window is not None:
            parts.append(f"window {self.window[0]:g}/{self.window[1]:g}")
        parts.extend(self.warnings)
        return f"<Study {', '.join(parts)}>"

    # -- its pixels ---------------------------------------------------------------------------------------------

    def frames(self, i0: int = 0, i1: int | None = None) -> NDArray[np.uint8]:
        """uint8 (t,H,W,3) of frames i0..i1-1: windowed, MONOCHROME1 inverted, in anatomical or time order."""
        return self.take(self._span(i0, i1))

    def take(self, indices: Sequence[int] | NDArray[np.integer[Any]]) -> NDArray[np.uint8]:
        """uint8 (n,H,W,3), as `frames` but for any list of indices; clips decode only what is asked."""
        return self._show(self._source.read(self._check(indices)))

    def take_resized(
        self, indices: Sequence[int] | NDArray[np.integer[Any]], size: tuple[int, int]
    ) -> NDArray[np.uint8]:
        """uint8 (n, h, w, 3): what `resize_frames(study.take(indices), (h, w))` gives, to the last bit.

        Clips make their frames smaller where they decode them. Raises StudyError.
        """
        checked = self._check(indices)
        small = self._source.read_resized(checked, size) if self.channels == 3 else None
        return resize_frames(self._show(self._source.read(checked)), size) if small is None else small

    def values(self, i0: int = 0, i1: int | None = None) -> NDArray[np.float32]:
        """float32 (t,H,W) in file units (HU for CT), or (t,H,W,3) 0..255 for RGB; never inverted or windowed."""
        stored = self._source.read(self._span(i0, i1))
        if self.channels == 3:
            return stored.astype(np.float32)
        return rescale(stored, self._info.slope, self._info.intercept)

    def stored(self, i0: int = 0, i1: int | None = None) -> tuple[NDArray[Any], float, float]:
        """(array (t,H,W[,3]) in its stored type, slope, intercept): file units are array * slope + intercept.

        The array may be a view of the study's memory with steps in any order and direction: copy it
        (`np.ascontiguousarray`) before changing or sending it. Its type is that of the file, at most 4 bytes.
        """
        return self._source.read(self._span(i0, i1)), self._info.slope, self._info.intercept

    def with_window(self, window: Window | None) -> Study:
        """The same pixels under another window; nothing is read again. None goes back to the file's own or auto."""
        if self.channels == 3 or self.is_label_map:
            return Study(self._source, self._info)
        chosen = window if window is not None else (self._info.file_window or self._info.auto_window)
        if chosen is not None:
            level, width = float(chosen[0]), float(chosen[1])
            if not (math.isfinite(level) and math.isfinite(width) and width > 0):
                raise ValueError(f"a window is (level, width > 0) in file units, got {window}")
            chosen = (level, width)
        return Study(self._source, replace(self._info, window=chosen))

    def with_crop(self, rows: tuple[int, int], columns: tuple[int, int]) -> Study:
        """Only rows[0]..rows[1]-1 and columns[0]..columns[1]-1 of every frame; nothing is read again.

        Affine and content id are those of the part, so no cache takes one for the other; the window stays, and so
        does the question whether a name is to be seen. `edge_letters`, spacing and times are as before.

        Raises ValueError when the part does not lie within the frame.
        """
        _, height, width = self.shape
        (r0, r1), (c0, c1) = rows, columns
        if not (0 <= r0 < r1 <= height and 0 <= c0 < c1 <= width):
            raise ValueError(f"rows {rows} and columns {columns} asked of frames of {height} x {width}")
        if (r0, r1, c0, c1) == (0, height, 0, width):
            return Study(self._source, self._info)
        affine = None
        if self.affine is not None:
            affine = self.affine.copy()
            affine[:3, 3] = (self.affine @ [0.0, r0, c0, 1.0])[:3]
        part = hashlib.sha256(f"{self.content_id}|rows {r0} {r1}|columns {c0} {c1}".encode())
        note = (
            f"Cut to {c1 - c0} x {r1 - r0} of {width} x {height} pixels; the rest is neither shown nor "
            "given to the model."
        )

        def inside(boxes: Iterable[Box]) -> tuple[Box, ...]:
            return tuple(b for b in (part_of_box(box, rows, columns) for box in boxes) if b is not None)

        found = self._info.text_boxes
        info = replace(
            self._info,
            affine=affine,
            content_id=part.hexdigest(),
            notes=(*self._info.notes, note),
            text_boxes=None if found is None else inside(found),
            painted=inside(self._info.painted),
        )
        return Study(CroppedSource(self._source, (r0, r1), (c0, c1)), info)

    def with_text(self, boxes: Iterable[Box], ask: bool = False) -> Study:
        """The same study that knows where text was found. Any box warns `BurnedIn`.

        `ask`: a person has to confirm first (`needs_confirmation`) when there is any box.
        """
        found = tuple(boxes)
        if not found:
            return Study(self._source, replace(self._info, text_boxes=()))
        places = "one place" if len(found) == 1 else f"{len(found)} places"
        note = f"Text was found in the picture, in {places}; it may name the patient. There may be more."
        info = replace(
            self._info,
            text_boxes=found,
            warnings=tuple(dict.fromkeys([*self._info.warnings, "BurnedIn"])),
            notes=tuple(dict.fromkeys([*self._info.notes, note])),
            needs_confirmation=self._info.needs_confirmation or ask,
        )
        return Study(self._source, info)

    def with_question(self) -> Study:
        """The same study that a person has to confirm first (`needs_confirmation`)."""
        return Study(self._source, replace(self._info, needs_confirmation=True))

    def with_painted(self, boxes: Iterable[Box]) -> Study:
        """Every pixel of these boxes (top, left, bottom, right) replaced on every frame, in `values` and `frames`.

        Colour becomes black; grey becomes the number that the window shows as black when it is painted. Content id is
        that of the painted study, so that no cache takes one for the other; `text_boxes` inside are gone. Whether a
        name is to be seen remains a person's to say. Nothing is read again.

        Raises ValueError when a box does not lie within the frame.
        """
        _, height, width = self.shape
        wanted = tuple(dict.fromkeys(boxes))
        for top, left, bottom, right in wanted:
            if not (0 <= top < bottom <= height and 0 <= left < right <= width):
                raise ValueError(f"box {(top, left, bottom, right)} asked of frames of {height} x {width}")
        if not wanted:
            return Study(self._source, self._info)
        digest = hashlib.sha256(f"{self.content_id}|painted {wanted}".encode())
        note = (
            f"{'One place was' if len(wanted) == 1 else f'{len(wanted)} places were'} painted out on every picture; "
            "what was there is neither shown nor given to the model."
        )
        found = self._info.text_boxes
        info = replace(
            self._info,
            content_id=digest.hexdigest(),
            painted=(*self._info.painted, *wanted),
            text_boxes=None if found is None else tuple(b for b in found if not _covered(b, wanted)),
            notes=(*self._info.notes, note),
        )
        return Study(PaintedSource(self._source, wanted, self._black()), info)

    def _black(self) -> float | int:
        """The stored number that is shown as black under the window in force."""
        if self.channels == 3:
            return 0
        if self._info.background is not None:
            return self._info.background
        level, width = self.window or (127.5, 255.0)
        value = level + width / 2 if self.inverted else level - width / 2
        stored = (value - self._info.intercept) / self._info.slope
        if self.dtype.kind == "f":
            return stored
        limits = np.iinfo(self.dtype)
        # Outwards, so that rounding never leaves it a shade brighter than black.
        outwards = math.floor(stored) if (self._info.slope > 0) != self.inverted else math.ceil(stored)
        return min(max(outwards, int(limits.min)), int(limits.max))

    def close(self) -> None:
        """Free the pixels and the worker; studies of `with_window`, `with_crop` … share them and close, too."""
        self._source.close()

    def __enter__(self) -> Study:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _show(self, stored: NDArray[Any]) -> NDArray[np.uint8]:
        if self.channels == 3:
            return np.array(stored, dtype=np.uint8)
        if self._info.background is not None:
            return np.asarray(colour_table(self.dtype, self.labels, self._info.background)[stored])
        window = self.window or (127.5, 255.0)
        key = (window, self.inverted)
        if key not in self._tables:
            self._tables[key] = window_table(
                self.dtype, self._info.slope, self._info.intercept, window, self.inverted
            )
        table = self._tables[key]
        if table is None:
            values = rescale(stored, self._info.slope, self._info.intercept)
            grey = apply_window(values, *window, inverted=self.inverted)
        else:
            unsigned = np.uint16 if stored.dtype.itemsize == 2 else np.uint8
            grey = np.take(table, np.ascontiguousarray(stored).view(unsigned))
        return np.repeat(grey[..., None], 3, axis=3)

    def _span(self, i0: int, i1: int | None) -> list[int]:
        t = self.shape[0]
        stop = t if i1 is None else i1
        if not 0 <= i0 < stop <= t:
            raise IndexError(f"frames {i0}..{stop} asked of a study of {t}")
        return list(range(i0, stop))

    def _check(self, indices: Sequence[int] | NDArray[np.integer[Any]]) -> list[int]:
        t = self.shape[0]
        checked = [int(i) for i in indices]
        for i in checked:
            if not 0 <= i < t:
                raise IndexError(f"frame {i} asked of a study of {t}")
        return checked


def _covered(box: Box, by: Iterable[Box]) -> bool:
    return any(b[0] <= box[0] and b[1] <= box[1] and b[2] >= box[2] and b[3] >= box[3] for b in by)


def rescale(stored: NDArray[Any], slope: float, intercept: float) -> NDArray[np.float32]:
    """float32 file units of stored numbers; computed in float64 where a 32-bit integer would lose digits."""
    if slope == 1.0 and intercept == 0.0:
        return stored.astype(np.float32)
    with np.errstate(
        over="ignore", invalid="ignore"
    ):  # damaged scales are bounded by the readers, float data are not
        if stored.dtype.itemsize > 2 and stored.dtype.kind in "iu":
            return (stored.astype(np.float64) * slope + intercept).astype(np.float32)
        values = stored.astype(np.float32)
        values *= np.float32(slope)
        values += np.float32(intercept)
    return values


def content_id(array: NDArray[Any], facts: object) -> str:
    """sha256 over the stored numbers and the facts that give them meaning."""
    digest = hashlib.sha256()
    digest.update(f"{array.shape}|{array.dtype.str}|{facts}".encode())
    digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()
