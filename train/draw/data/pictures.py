"""Every picture of nano's bank at one size, decoded once into a memory map, with what is known of it.

The split is nano's own (train/nano/splits): who is held out there is held out here. Grey pictures stand as three equal
channels. Slices of a volume share one window; nothing is mirrored, for left and right are anatomy.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

import cv2
import numpy as np

from train.nano.data.bank import Entry
from train.nano.data.views import Item, items_of, picture

SIDE = 128
STEP_MM = 2.5
CT_WINDOWS = {
    "soft tissue": (40.0, 400.0),
    "lung": (-600.0, 1500.0),
    "brain": (40.0, 80.0),
    "bone": (400.0, 1800.0),
}
"""Level and width in HU of the windows a CT slice is shown in."""
SMEAR_VIEWS = 6
"""Random parts of one blood smear: cells have no upright."""


@dataclass(frozen=True)
class Row:
    """One picture of the memory map: whose it is and what is known of it."""

    record: str
    source: str
    patient: str
    split: str
    labels: dict[str, str]
    plane: str = ""
    index: int = 0

    @property
    def subject(self) -> str:
        """Kind and body part in one word: what balancing and scores go by."""
        parts = [self.labels.get("modality", ""), self.labels.get("organ", "")]
        return " ".join(p for p in parts if p) or "other"


def square(image: np.ndarray, side: int = SIDE) -> np.ndarray:
    """uint8 (h, w[, 3]) → (side, side, 3): padded with black to a square, then resized by area or bicubic."""
    h, w = image.shape[:2]
    most = max(h, w)
    top, left = (most - h) // 2, (most - w) // 2
    framed = cv2.copyMakeBorder(
        image, top, most - h - top, left, most - w - left, cv2.BORDER_CONSTANT, value=0
    )
    how = cv2.INTER_AREA if most > side else cv2.INTER_CUBIC
    out = cv2.resize(framed, (side, side), interpolation=how)
    return np.repeat(out[..., None], 3, -1) if out.ndim == 2 else out


def middle(image: np.ndarray) -> np.ndarray:
    """The central square of a frame."""
    h, w = image.shape[:2]
    side = min(h, w)
    top, left = (h - side) // 2, (w - side) // 2
    return image[top : top + side, left : left + side]


def smear_views(image: np.ndarray, rng: np.random.Generator, count: int) -> list[np.ndarray]:
    """Square parts of a blood smear, turned by quarters."""
    h, w = image.shape[:2]
    out = []
    for _ in range(count):
        side = int(rng.integers(round(min(h, w) * 0.6), min(h, w) + 1))
        y, x = int(rng.integers(h - side + 1)), int(rng.integers(w - side + 1))
        out.append(np.rot90(image[y : y + side, x : x + side], int(rng.integers(4))))
    return [np.ascontiguousarray(one) for one in out]


def ct_windows(entry: Entry) -> tuple[str, ...]:
    """The windows a CT of this body part is looked at in; none where the file has no Hounsfield units."""
    if entry.record.labels.get("unit") != "HU":
        return ()
    organ = entry.record.labels.get("organ", "")
    return {"head": ("brain", "bone"), "chest": ("soft tissue", "lung")}.get(organ, ("soft tissue",))


def windowed(entry: Entry, item: Item, name: str) -> np.ndarray:
    """uint8 slice of a CT in a window of `CT_WINDOWS`, at square pixels."""
    level, width = CT_WINDOWS[name]
    low, high = level - width / 2, level + width / 2
    # `picture` without a generator takes the window of the record's organ; the numbers are windowed here instead.
    from train.nano.data.views import isotropic, slice_values

    assert entry.spacing_mm is not None
    assert item.plane is not None
    values = np.clip(
        (slice_values(entry, item.plane, item.index).astype(np.float32) - low) / (high - low), 0, 1
    )
    z, y, x = entry.spacing_mm
    row_mm, col_mm = {"axial": (y, x), "coronal": (z, x), "sagittal": (z, y)}[item.plane]
    return (isotropic(values, row_mm, col_mm) * 255).round().astype(np.uint8)


def pictures_of(entry: Entry, rng: np.random.Generator) -> list[tuple[np.ndarray, dict[str, str], Item]]:
    """(uint8 (128, 128, 3), labels, item) of everything one record shows."""
    record, labels = entry.record, dict(entry.record.labels)
    if record.source == "bccd":
        count = SMEAR_VIEWS if record.split == "train" else 1
        return [(square(v), labels, Item(record.id)) for v in smear_views(entry.array, rng, count)]
    if record.kind == "image":
        return [(square(entry.array), labels, Item(record.id))]
    out = []
    for item in items_of(entry, STEP_MM):
        if record.kind == "video":
            out.append((square(middle(picture(entry, item))), labels, item))
            continue
        named = labels | {"plane": item.plane or ""}
        names = ct_windows(entry)
        for name in names:
            out.append((square(windowed(entry, item, name)), named | {"window": name}, item))
        if not names:
            out.append((square(picture(entry, item)), named, item))
    return out


def build_pictures(bank: dict[str, Entry], folder: Path) -> None:
    """Write `pictures.npy` (N, 128, 128, 3) uint8 and `pictures.json`; does nothing where they are."""
    if (folder / "pictures.json").exists():
        return
    folder.mkdir(parents=True, exist_ok=True)
    pixels: list[np.ndarray] = []
    rows: list[Row] = []
    for number, entry in enumerate(bank.values()):
        record = entry.record
        for image, labels, item in pictures_of(entry, np.random.default_rng(number)):
            if image.std() < 3:
                continue  # an empty slice
            pixels.append(image)
            kept = {k: v for k, v in labels.items() if k not in ("unit", "from_slice")}
            rows.append(
                Row(
                    record.id, record.source, record.patient, record.split, kept, item.plane or "", item.index
                )
            )
    np.save(folder / "pictures.npy", np.stack(pixels))
    part = folder / "pictures.part"
    part.write_text(json.dumps([asdict(row) for row in rows]))
    part.replace(folder / "pictures.json")


@dataclass(frozen=True)
class Pictures:
    """All pictures. pixels: uint8 (N, 128, 128, 3), mapped; rows: what is known, in the same order."""

    pixels: np.ndarray
    rows: list[Row]

    @staticmethod
    def open(folder: Path) -> Pictures:
        """Map what `build_pictures` wrote."""
        rows = [Row(**row) for row in json.loads((folder / "pictures.json").read_text())]
        return Pictures(np.load(folder / "pictures.npy", mmap_mode="r"), rows)

    def of(self, split: str) -> np.ndarray:
        """Places of one split."""
        return np.array([i for i, row in enumerate(self.rows) if row.split == split])
