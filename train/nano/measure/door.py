"""Test studies as a person opens them: by ``open_study``, then the product's own window, slices, size and mask.

* A still is its own file. A frame of a clip and a slice of a volume become stills as on a screen: the clip or volume is
  opened, the frame taken under the window that the product chose, at square pixels, saved as PNG and opened again.
* A volume comes in the plane in which the product opens its file. For another plane it is written as a DICOM series cut
  that way, as a scanner or a workstation sends it, and opened from there.

Nothing is chosen here that the product chooses: not the window, not the slices, not the size.
"""

from __future__ import annotations

import tempfile
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
from PIL import Image

from omnivmed import open_study
from omnivmed.inference.batch import Batch, Read
from omnivmed.io.orient import nearest_axes, radiological, turned_affine
from omnivmed.model.prompts import Kind
from omnivmed.pruning import keep_mask
from omnivmed.study import Study
from omnivmed.vision import Patches, prepare
from omnivmed.vision.patches import square_size
from train.nano.data.bank import Entry
from train.nano.data.index import PACKAGES, Record
from train.nano.data.views import Item, labels_of

RAS_AXIS = {"sagittal": 0, "coronal": 1, "axial": 2}
"""Patient axis (right, anterior, superior) along which the slices of a plane follow each other."""


@dataclass(frozen=True, eq=False)
class Opened:
    """One study of the test. ``kept``: tokens kept and in all. Opened and encoded when it is first asked about."""

    record_id: str
    kind: Kind
    labels: dict[str, str]
    source: str
    make: Callable[[], tuple[Read, Read]]

    @cached_property
    def reads(self) -> tuple[Read, Read]:
        """(the study, the same with every pixel black under the same mask)."""
        return self.make()

    @property
    def kept(self) -> tuple[int, int]:
        mask = self.reads[0].mask
        return mask.kept, mask.total


class Door:
    """Opens records of the data folder. Use as a context: what it writes for opening is removed at the end."""

    def __init__(self, data: Path, runs: Path, batch: Batch) -> None:
        self.data, self.runs, self.batch = data, runs, batch
        self.folder = tempfile.TemporaryDirectory(prefix="omnivmed-door-")
        self.at = Path(self.folder.name)
        self._last: tuple[tuple[str, str | None], Study] | None = None

    def __enter__(self) -> Door:
        return self

    def __exit__(self, *error: object) -> None:
        if self._last is not None:
            self._last[1].close()
        self.folder.cleanup()

    # ------------------------------------------------------------------------------------------------ what is asked

    def still(self, entry: Entry, item: Item) -> Opened:
        """One picture: the record itself, a frame or a slice."""

        def make() -> tuple[Read, Read]:
            if entry.record.kind == "image":
                return self.read(self.open(entry.record), 0.0)
            parent = self.opened(entry.record, item.plane)
            with open_study(self.screenshot(parent, place_of(entry, item, parent))) as study:
                return self.read(study, 0.0)

        return Opened(entry.record.id, "image", labels_of(entry, item), entry.record.source, make)

    def sequence(self, entry: Entry, plane: str | None, threshold: float | None) -> Opened:
        """A volume in one plane (all of it, as the product samples it), or a clip; threshold None: nothing pruned."""
        kind: Kind = "video" if entry.record.kind == "video" else "volume"
        labels = dict(entry.record.labels) | ({"plane": plane} if plane else {})

        def make() -> tuple[Read, Read]:
            return self.read(self.opened(entry.record, plane), threshold)

        return Opened(entry.record.id, kind, labels, entry.record.source, make)

    def read(self, study: Study, threshold: float | None) -> tuple[Read, Read]:
        """By the steps of the engine, under the product's default rule."""
        patches = prepare(study, self.batch.budget)
        mask = keep_mask(patches, threshold or 0.0)
        if threshold is None:
            mask = replace(mask, keep=np.ones_like(mask.keep))
        black: Patches = replace(patches, patches=np.full_like(patches.patches, -1.0))
        return self.batch.masked(patches, mask), self.batch.masked(black, mask)

    # ------------------------------------------------------------------------------------------------ files

    def file(self, record: Record) -> Path:
        """Where the record lies; a member of an archive is taken out of it first."""
        root = self.runs if record.path.startswith(PACKAGES) else self.data
        if "::" not in record.path:
            return root / record.path
        archive, member = record.path.split("::")
        target = self.at / f"member{Path(member).suffix}"
        with zipfile.ZipFile(root / archive) as z:
            target.write_bytes(z.read(member))
        return target

    def open(self, record: Record) -> Study:
        return open_study(self.file(record))

    def opened(self, record: Record, plane: str | None) -> Study:
        """The record in that plane; the last one stays open, because its slices are asked about one after another."""
        key = record.id, plane
        if self._last is None or self._last[0] != key:
            if self._last is not None:
                self._last[1].close()
                self._last = None
            study = self.open(record)
            if plane is not None and study.plane != plane:
                with study as original:
                    study = open_study(self.recut(original, plane))
            if plane is not None and study.plane != plane:
                raise ValueError(f"{record.id} was to be opened as {plane} and is {study.plane}")
            self._last = key, study
        return self._last[1]

    def screenshot(self, study: Study, index: int) -> Path:
        """PNG of one frame as the screen shows it: windowed, at square pixels."""
        height, width = (round(n) for n in square_size(study))
        frame = study.take([index])[0]
        picture = Image.fromarray(frame if np.ptp(frame, axis=-1).any() else frame[..., 0])
        target = self.at / "screenshot.png"
        picture.resize((width, height), Image.Resampling.BICUBIC).save(target)
        return target

    def recut(self, study: Study, plane: str) -> Path:
        """Folder with the volume as a DICOM series in another plane; its old files are overwritten."""
        assert study.affine is not None
        axis = nearest_axes(study.affine).index(RAS_AXIS[plane])
        turn = radiological(study.affine, axis)
        values = study.values().transpose(turn.axes)
        values = np.flip(values, tuple(i for i, flipped in enumerate(turn.flips) if flipped))
        affine = turned_affine(turn, study.shape)
        folder = self.at / "series"
        folder.mkdir(exist_ok=True)
        for old in folder.iterdir():
            old.unlink()
        write_series(values, affine, "CT" if study.unit == "HU" else "MR", folder)
        return folder


def place_of(entry: Entry, item: Item, study: Study) -> int:
    """Number of the frame or slice in the opened study: by time; in a volume counted from the feet, the front, the
    patient's right, of which the last is the other way round in a sagittal study."""
    if entry.record.kind == "video":
        assert entry.times_s is not None
        return study.index_at(entry.times_s[item.index])
    index = item.index + (int(entry.record.labels.get("from_slice", 0)) if item.plane == "axial" else 0)
    return len(study) - 1 - index if item.plane == "sagittal" else index


def write_series(values: np.ndarray, affine: np.ndarray, modality: str, folder: Path) -> None:
    """One DICOM file per slice. values (T, H, W) in file units; affine: (slice, row, column, 1) → RAS mm."""
    from pydicom.dataset import Dataset, FileMetaDataset
    from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, MRImageStorage, generate_uid

    low, high = float(values.min()), float(values.max())
    whole = modality == "CT" and low >= -32768 and high <= 32767
    slope, intercept = (
        (1.0, 0.0) if whole else ((high - low) / 65000 or 1.0, low + 32500 * (high - low) / 65000)
    )
    lps = np.diag([-1.0, -1.0, 1.0]) @ affine[:3]
    steps = np.linalg.norm(lps[:, :3], axis=0)
    series, study_uid, frame = generate_uid(), generate_uid(), generate_uid()
    for k, plane in enumerate(values):
        meta = FileMetaDataset()
        meta.MediaStorageSOPClassUID = CTImageStorage if modality == "CT" else MRImageStorage
        meta.MediaStorageSOPInstanceUID = generate_uid()
        meta.TransferSyntaxUID = ExplicitVRLittleEndian
        data = Dataset()
        data.file_meta = meta
        data.SOPClassUID, data.SOPInstanceUID = meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID
        data.StudyInstanceUID, data.SeriesInstanceUID, data.FrameOfReferenceUID = study_uid, series, frame
        data.Modality, data.PatientID, data.PatientName = modality, "", ""
        data.SeriesNumber, data.InstanceNumber = 1, k + 1
        data.Rows, data.Columns = plane.shape
        data.PixelSpacing = [f"{steps[1]:.6f}", f"{steps[2]:.6f}"]
        data.SliceThickness = f"{steps[0]:.6f}"
        data.ImageOrientationPatient = [f"{v:.6f}" for v in (*lps[:, 2] / steps[2], *lps[:, 1] / steps[1])]
        data.ImagePositionPatient = [f"{v:.4f}" for v in lps[:, 3] + k * lps[:, 0]]
        data.SamplesPerPixel, data.PhotometricInterpretation = 1, "MONOCHROME2"
        data.BitsAllocated, data.BitsStored, data.HighBit, data.PixelRepresentation = 16, 16, 15, 1
        data.RescaleSlope, data.RescaleIntercept = f"{slope:.8g}", f"{intercept:.8g}"
        data.PixelData = np.round((plane - intercept) / slope).astype("<i2").tobytes()
        data.save_as(folder / f"{k:04}.dcm", enforce_file_format=True)
