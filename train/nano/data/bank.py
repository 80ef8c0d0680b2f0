"""Decoded pixels, once: every record of the index in three flat files that open in a second.

Stills and frames become uint8 with the longest side at most ``MAX_SIDE``; volumes become int16 in LPS order
(array axes: feet-to-head, front-to-back, the patient's right-to-left), so that plane and side come from the
affine and never from the order of axes in the file. Resumable: one ``.npz`` per source, written atomically.
"""

from __future__ import annotations

import io
import json
import zipfile
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from train.nano.data.index import PACKAGES, Record

MAX_SIDE = 384
FRAMES_PER_CLIP = 32


@dataclass(frozen=True)
class Entry:
    """One decoded record. array: image (H,W[,3]) uint8; video (T,H,W[,3]) uint8; volume (S,H,W) int16."""

    record: Record
    array: np.ndarray
    spacing_mm: tuple[float, float, float] | None = None  # volumes: slice, row, column
    times_s: tuple[float, ...] | None = None  # videos


def shrink(image: np.ndarray, side: int = MAX_SIDE) -> np.ndarray:
    """uint8 (h, w[, 3]) with its longer side at most `side` pixels; smaller ones stay."""
    h, w = image.shape[:2]
    if max(h, w) <= side:
        return image
    scale = side / max(h, w)
    return cv2.resize(
        image, (max(1, round(w * scale)), max(1, round(h * scale))), interpolation=cv2.INTER_AREA
    )


def drop_grey(image: np.ndarray) -> np.ndarray:
    """(..., 3) with three equal channels -> (...)."""
    spread = image.max(-1).astype(np.int16) - image.min(-1)
    return image[..., 0] if image.shape[-1] == 3 and np.percentile(spread, 99.9) <= 6 else image


@lru_cache(maxsize=2)
def open_archive(path: str) -> zipfile.ZipFile:
    """Kept open: reading 6,600 members through 6,600 openings takes minutes."""
    return zipfile.ZipFile(path)


def read_still(root: Path, path: str) -> np.ndarray:
    """uint8 (h, w[, 3]) of one picture: a file, a DICOM, or `zip::member`."""
    if path.endswith(".dcm"):
        return shrink(drop_grey(read_dicom_still(root / path)))
    if "::" in path:
        archive, member = path.split("::")
        raw = open_archive(str(root / archive)).read(member)
    else:
        raw = (root / path).read_bytes()
    image = np.asarray(Image.open(io.BytesIO(raw)).convert("RGB"))
    return shrink(drop_grey(image))


def read_dicom_still(path: Path) -> np.ndarray:
    """uint8 (H,W,3) as the product's reader shows it."""
    from omnivmed import open_study

    with open_study(path, isolated=False) as study:
        return study.frames(0, 1)[0]


def read_clip(root: Path, path: str) -> tuple[np.ndarray, tuple[float, ...]]:
    """At most FRAMES_PER_CLIP frames evenly over the clip, with their presentation times in seconds."""
    import av

    with av.open(str(root / path)) as container:
        stream = container.streams.video[0]
        frames, times = [], []
        for frame in container.decode(stream):
            frames.append(shrink(frame.to_ndarray(format="rgb24")))
            times.append(float(frame.time or 0.0))
    pick = np.unique(np.linspace(0, len(frames) - 1, min(len(frames), FRAMES_PER_CLIP)).round().astype(int))
    return drop_grey(np.stack([frames[i] for i in pick])), tuple(times[i] - times[0] for i in pick)


def read_volume(root: Path, path: str) -> tuple[np.ndarray, tuple[float, float, float]]:
    """A volume with its slices from feet to head, and its (slice, row, column) spacing in mm."""
    import SimpleITK as sitk

    where = root / path
    if where.is_dir():
        reader = sitk.ImageSeriesReader()
        reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(where)))
        image = reader.Execute()
    else:
        image = sitk.ReadImage(str(where))
    image = sitk.DICOMOrient(image, "LPS")
    values = sitk.GetArrayFromImage(image).astype(np.float32)
    if values.max() <= 8 or values.max() > 30000:  # keep precision of small ranges, fit wide ones
        values = values * (4000 / max(1e-6, float(values.max())))
    x, y, z = image.GetSpacing()
    return values.round().astype(np.int16), (float(z), float(y), float(x))


def decode(root: Path, record: Record) -> Entry:
    """The pixels of one record, as they lie in the bank."""
    if record.kind == "image":
        return Entry(record, read_still(root, record.path))
    if record.kind == "video":
        array, times = read_clip(root, record.path)
        return Entry(record, array, times_s=times)
    array, spacing = read_volume(root, record.path)
    array = array[int(record.labels.get("from_slice", 0)) :]  # feet first
    return Entry(record, array, spacing_mm=spacing)


def build_bank(root: Path, records: list[Record], folder: Path) -> None:
    """Decode what is not yet there; one archive per source. ``folder.parent`` holds the unpacked packages."""
    folder.mkdir(parents=True, exist_ok=True)
    for source in dict.fromkeys(r.source for r in records):
        target = folder / f"{source}.npz"
        if target.exists():
            continue
        entries = [
            decode(folder.parent if r.path.startswith(PACKAGES) else root, r)
            for r in records
            if r.source == source
        ]
        meta = [
            {"record": asdict(e.record), "spacing_mm": e.spacing_mm, "times_s": e.times_s} for e in entries
        ]
        arrays = {str(i): e.array for i, e in enumerate(entries)}
        part = target.with_suffix(".part.npz")
        np.savez(part, meta=np.frombuffer(json.dumps(meta).encode(), np.uint8), **arrays)  # type: ignore[arg-type]
        part.replace(target)


def load_bank(folder: Path, records: list[Record]) -> dict[str, Entry]:
    """Entries by record id, labels and splits taken from ``records`` (not from the cache)."""
    wanted = {r.id: r for r in records}
    bank: dict[str, Entry] = {}
    for file in sorted(folder.glob("*.npz")):
        if file.name.endswith(".part.npz"):
            continue
        with np.load(file, allow_pickle=False) as z:
            for i, row in enumerate(json.loads(z["meta"].tobytes())):
                record = wanted.get(row["record"]["id"])
                if record is not None:
                    times = None if row["times_s"] is None else tuple(row["times_s"])
                    spacing = None if row["spacing_mm"] is None else tuple(row["spacing_mm"])
                    bank[record.id] = Entry(record, z[str(i)], spacing, times)
    return {r.id: bank[r.id] for r in records if r.id in bank}
