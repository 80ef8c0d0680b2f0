"""Build ``assets/samples/`` from the unpacked registry packages named in SOURCES.md.

    python assets/make_samples.py FOLDER

FOLDER holds pydicom-data-1.0.0/, nilearn/ (from the wheel) and totalsegmentator-2.18.0/. Pixels are taken
over bit for bit. The two DICOM files keep only the technical tags of KEEP; every identifying, dated or
private element is dropped and the UIDs are replaced by ones derived from the pixel data.
"""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path

import av
import nibabel
import numpy as np
import pydicom
from PIL import Image, ImageOps
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset

HERE = Path(__file__).parent / "samples"

# Technical elements only: what is needed to decode, orient, time and window the picture.
KEEP = (
    "SpecificCharacterSet", "ImageType", "SOPClassUID", "Modality", "BodyPartExamined", "ViewPosition",
    "PatientOrientation", "FrameTime", "FrameIncrementPointer", "NumberOfFrames", "SamplesPerPixel",
    "PhotometricInterpretation", "PlanarConfiguration", "Rows", "Columns", "BitsAllocated", "BitsStored",
    "HighBit", "PixelRepresentation", "WindowCenter", "WindowWidth", "LossyImageCompression",
    "LossyImageCompressionRatio", "PixelData",
)  # fmt: skip


def deidentify(source: Path, target: Path, body_part: str | None = None) -> None:
    """Copy the pixels and the technical tags of one DICOM file, nothing else."""
    before = pydicom.dcmread(source)
    digest = int(hashlib.sha256(before.PixelData).hexdigest()[:30], 16)
    after = Dataset()
    for name in KEEP:
        if name in before:
            after[name] = before[name]
    if body_part:
        after.BodyPartExamined = body_part
    after.SOPInstanceUID, after.StudyInstanceUID, after.SeriesInstanceUID = (
        f"2.25.{digest + k}" for k in range(3)
    )
    after.PatientName = after.PatientID = after.PatientBirthDate = after.PatientSex = ""
    after.StudyDate = after.StudyTime = after.AccessionNumber = after.ReferringPhysicianName = (
        after.StudyID
    ) = ""
    after.PatientIdentityRemoved = "YES"
    after.DeidentificationMethod = "allow-list of technical tags"
    # Every frame was looked at: machine settings at most, no name, number or date.
    after.BurnedInAnnotation = "NO"
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = before.file_meta.TransferSyntaxUID
    meta.MediaStorageSOPClassUID = before.SOPClassUID
    meta.MediaStorageSOPInstanceUID = after.SOPInstanceUID
    out = FileDataset(str(target), after, file_meta=meta, preamble=b"\0" * 128)
    out.save_as(target, enforce_file_format=True)


def thumbnails() -> None:
    """Write the 128-pixel pictures of the sample buttons."""
    chest = pydicom.dcmread(HERE / "chest_xray.dcm").pixel_array.astype(np.float32)
    echo = pydicom.dcmread(HERE / "echo_cine.dcm").pixel_array[60]
    head = np.asarray(nibabel.load(HERE / "mr_head.nii.gz").dataobj, np.float32)[:, ::-1, 88].T
    body = np.asarray(nibabel.load(HERE / "ct_abdomen.nii.gz").dataobj, np.float32)[:, ::-1, 58].T
    with av.open(str(HERE / "endoscopy_phantom.mp4")) as clip:
        scope = next(f for f in clip.decode(video=0) if f.time and f.time >= 8).to_ndarray(format="rgb24")
    grey = {
        "chest_xray": 1 - (chest - 800) / 24000,
        "mr_head": head / 255,
        "ct_abdomen": (body + 160) / 400,
    }
    rgb = {"echo_cine": echo[20:420, 120:520], "endoscopy_phantom": scope}
    (HERE / "thumbs").mkdir(exist_ok=True)
    pictures = {k: (np.clip(v, 0, 1) * 255).astype(np.uint8) for k, v in grey.items()} | rgb
    for name, picture in pictures.items():
        image = Image.fromarray(picture).convert("RGB")
        image = ImageOps.fit(image, (128, 128), Image.Resampling.LANCZOS)
        image.save(HERE / "thumbs" / f"{name}.jpg", quality=85)


def main(folder: Path) -> None:
    HERE.mkdir(parents=True, exist_ok=True)
    dicom = folder / "pydicom-data-1.0.0" / "data_store" / "data"
    deidentify(dicom / "RG1_J2KI.dcm", HERE / "chest_xray.dcm")
    deidentify(dicom / "color3d_jpeg_baseline.dcm", HERE / "echo_cine.dcm", body_part="HEART")
    head = folder / "nilearn" / "datasets" / "data" / "mni_icbm152_t1_tal_nlin_sym_09a_converted.nii.gz"
    (HERE / "mr_head.nii.gz").write_bytes(head.read_bytes())
    # The CT is stored as 32-bit integers; 16 bits hold the same numbers in half the room.
    ct = nibabel.load(folder / "totalsegmentator-2.18.0" / "tests" / "reference_files" / "example_ct.nii.gz")
    values = np.asarray(ct.dataobj)
    if values.min() < -32768 or values.max() > 32767:
        raise ValueError("the CT does not fit 16 bits; keep it as it is")
    small = nibabel.Nifti1Image(values.astype(np.int16), ct.affine)
    small.header.set_xyzt_units("mm")
    nibabel.save(small, HERE / "ct_abdomen.nii.gz")
    thumbnails()
    for path in sorted(HERE.glob("*.*")):
        print(f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}  {path.stat().st_size}")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
