"""Files made by code: every format the door reads, small, asymmetric and known to the last voxel."""

from __future__ import annotations

import gzip
import io
import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import av
import nibabel as nib
import numpy as np
from PIL import Image
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import UID, ExplicitVRLittleEndian, JPEGBaseline8Bit, generate_uid

CT_CLASS = "1.2.840.10008.5.1.4.1.1.2"
CR_CLASS = "1.2.840.10008.5.1.4.1.1.1"
US_MULTI_CLASS = "1.2.840.10008.5.1.4.1.1.3.1"
ENHANCED_CT_CLASS = "1.2.840.10008.5.1.4.1.1.2.1"
AXIAL = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)


def ramp(rows: int = 24, columns: int = 32, low: int = 0, high: int = 1000) -> np.ndarray:
    """uint16 (rows, columns): rises to the right and a little downwards, different in every corner."""
    r, c = np.mgrid[:rows, :columns]
    grey = (c * 3 + r) / (3 * (columns - 1) + rows - 1)
    return np.asarray(np.round(low + grey * (high - low)), dtype=np.uint16)


def dicom(pixels: np.ndarray, sop_class: str = CT_CLASS, **tags: Any) -> Dataset:
    """A data set around (H,W), (H,W,3) or (T,H,W[,3]) pixels; tags replace or (None) remove what it starts with."""
    ds = Dataset()
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds.file_meta.MediaStorageSOPClassUID = UID(sop_class)
    ds.SOPClassUID = UID(sop_class)
    ds.SOPInstanceUID = generate_uid()
    ds.SeriesInstanceUID = "1.2.3.4"
    ds.Modality = "CT"
    rgb = pixels.ndim >= 3 and pixels.shape[-1] == 3
    many = pixels.ndim == (4 if rgb else 3)
    ds.Rows, ds.Columns = (pixels.shape[-3], pixels.shape[-2]) if rgb else pixels.shape[-2:]
    ds.SamplesPerPixel = 3 if rgb else 1
    ds.PhotometricInterpretation = "RGB" if rgb else "MONOCHROME2"
    if rgb:
        ds.PlanarConfiguration = 0
    if many:
        ds.NumberOfFrames = pixels.shape[0]
    ds.BitsAllocated = ds.BitsStored = pixels.dtype.itemsize * 8
    ds.HighBit = ds.BitsStored - 1
    ds.PixelRepresentation = 1 if pixels.dtype.kind == "i" else 0
    raw = np.ascontiguousarray(pixels).tobytes()
    ds.PixelData = raw + b"\x00" * (len(raw) % 2)
    ds["PixelData"].VR = "OW" if pixels.dtype.itemsize > 1 else "OB"
    for keyword, value in tags.items():
        if value is None:
            if keyword in ds:
                delattr(ds, keyword)
        elif keyword == "TransferSyntaxUID":
            ds.file_meta.TransferSyntaxUID = value
        else:
            setattr(ds, keyword, value)
    return ds


def dicom_bytes(ds: Dataset) -> bytes:
    """The data set as a file."""
    out = io.BytesIO()
    ds.file_meta.MediaStorageSOPInstanceUID = ds.get("SOPInstanceUID", "1.2.3")
    ds.save_as(out, enforce_file_format=True)
    return out.getvalue()


def ct_slice(k: float, value: int, **tags: Any) -> Dataset:
    """One CT slice at height k mm whose block rows 4..11, columns 6..13 holds `value` HU; spacing 0.8 x 0.7 mm."""
    pixels = np.full((20, 24), 900, dtype=np.uint16)
    pixels[4:12, 6:14] = value + 1024
    pixels[:3, :3] = 1500
    base = {
        "RescaleSlope": 1,
        "RescaleIntercept": -1024,
        "PixelSpacing": [0.8, 0.7],
        "ImageOrientationPatient": list(AXIAL),
        "ImagePositionPatient": [-10.0, -20.0, float(k)],
        "SliceThickness": 2.5,
        "WindowCenter": 40,
        "WindowWidth": 400,
    }
    values: dict[str, Any] = base | tags
    return dicom(pixels, **values)


def ct_series(
    heights: Sequence[float] = (0.0, 2.5, 5.0, 7.5, 10.0, 12.5, 15.0, 17.5), **tags: Any
) -> list[Dataset]:
    """Slices with markers 50, 60, 70 … by height."""
    return [ct_slice(h, 50 + 10 * i, **tags) for i, h in enumerate(heights)]


def cine(frames: int = 6, **tags: Any) -> Dataset:
    """RGB ultrasound loop, frame t filled with grey 40 + 15 t."""
    pixels = np.stack([np.full((16, 20, 3), 40 + 15 * t, np.uint8) for t in range(frames)])
    return dicom(pixels, US_MULTI_CLASS, **({"Modality": "US", "FrameTime": 40.0} | tags))


def jpeg_cine(frames: int = 5, declared: int | None = None) -> Dataset:
    """The loop as baseline JPEG frames; `declared` lies about their number."""
    items = []
    for t in range(frames):
        out = io.BytesIO()
        Image.fromarray(np.full((16, 24), 40 + 15 * t, np.uint8)).save(out, "JPEG", quality=95)
        items.append(out.getvalue())
    ds = dicom(np.zeros((frames, 16, 24), np.uint8), US_MULTI_CLASS, Modality="US", FrameTime=40.0)
    ds.NumberOfFrames = declared or frames
    ds.file_meta.TransferSyntaxUID = JPEGBaseline8Bit
    ds.PixelData = encapsulate(items)
    ds["PixelData"].VR = "OB"
    ds["PixelData"].is_undefined_length = True
    return ds


def enhanced_ct(order: Sequence[int] = (3, 0, 2, 1)) -> Dataset:
    """Enhanced CT: frames stored in this order of height, each with its own rescale; markers 50, 60 … by height."""
    frames = []
    groups = []
    for k in order:
        slope = 1.0 + 0.5 * (k % 2)
        frames.append(np.round((ct_slice(k, 50 + 10 * k).pixel_array.astype(float) - 1024 + 1024) / slope))
        own = Dataset()
        position, transform = Dataset(), Dataset()
        position.ImagePositionPatient = [0.0, 0.0, 2.5 * k]
        transform.RescaleSlope, transform.RescaleIntercept, transform.RescaleType = slope, -1024, "HU"
        own.PlanePositionSequence = [position]
        own.PixelValueTransformationSequence = [transform]
        groups.append(own)
    shared, orientation, measures = Dataset(), Dataset(), Dataset()
    orientation.ImageOrientationPatient = list(AXIAL)
    measures.PixelSpacing = [0.8, 0.7]
    shared.PlaneOrientationSequence = [orientation]
    shared.PixelMeasuresSequence = [measures]
    return dicom(
        np.stack(frames).astype(np.uint16),
        ENHANCED_CT_CLASS,
        SharedFunctionalGroupsSequence=[shared],
        PerFrameFunctionalGroupsSequence=groups,
    )


def grid(x: int = 6, y: int = 8, z: int = 5) -> np.ndarray:
    """int16 (x, y, z) with a different number in every voxel."""
    return np.arange(x * y * z, dtype=np.int16).reshape(x, y, z)


def nifti_bytes(
    values: np.ndarray,
    affine: np.ndarray | None = None,
    packed: bool = False,
    second: bool = False,
    **header: Any,
) -> bytes:
    """NIfTI file of (x, y, z[, t]) numbers; header fields set afterwards."""
    kind: type[nib.Nifti1Image] = nib.Nifti2Image if second else nib.Nifti1Image
    image = kind(values, np.diag([2.0, 2.0, 3.0, 1.0]) if affine is None else affine)
    data = bytearray(image.to_bytes())
    if header:
        size = 540 if second else 348
        head = type(image.header)(bytes(data[:size]), check=False)
        for name, value in header.items():
            head[name] = value
        data[: len(head.binaryblock)] = head.binaryblock
    return gzip.compress(bytes(data), mtime=0) if packed else bytes(data)


def nrrd_bytes(values: np.ndarray, encoding: str = "raw", **fields: str) -> bytes:
    """NRRD of (x, y, z) numbers, space LPS, 2 x 2 x 3 mm, origin (10, 20, 30)."""
    base = {
        "type": {"int16": "short", "uint8": "uchar", "float32": "float"}[values.dtype.name],
        "dimension": str(values.ndim),
        "space": "left-posterior-superior",
        "sizes": " ".join(str(n) for n in values.shape),
        "space directions": "(2,0,0) (0,2,0) (0,0,3)",
        "kinds": "domain domain domain",
        "endian": "little",
        "encoding": encoding,
        "space origin": "(10,20,30)",
    }
    lines = [f"{k}: {v}" for k, v in (base | fields).items() if v]
    raw = values.tobytes(order="F")
    return ("NRRD0004\n" + "\n".join(lines) + "\n\n").encode() + (
        gzip.compress(raw, mtime=0) if encoding == "gzip" else raw
    )


def mha_bytes(values: np.ndarray, packed: bool = False, **fields: str) -> bytes:
    """MetaImage of (x, y, z) numbers, 2 x 2 x 3 mm, offset (10, 20, 30)."""
    base = {
        "ObjectType": "Image",
        "NDims": str(values.ndim),
        "BinaryData": "True",
        "BinaryDataByteOrderMSB": "False",
        "CompressedData": str(packed),
        "TransformMatrix": "1 0 0 0 1 0 0 0 1",
        "Offset": "10 20 30",
        "ElementSpacing": "2 2 3",
        "DimSize": " ".join(str(n) for n in values.shape),
        "ElementType": {"int16": "MET_SHORT", "uint8": "MET_UCHAR", "float32": "MET_FLOAT"}[
            values.dtype.name
        ],
        "ElementDataFile": "LOCAL",
    }
    held = base | fields
    held["ElementDataFile"] = held.pop("ElementDataFile")  # the numbers follow it
    head = "".join(f"{k} = {v}\n" for k, v in held.items())
    raw = values.tobytes(order="F")
    return head.encode() + (zlib.compress(raw) if packed else raw)


def picture_bytes(pixels: np.ndarray, kind: str = "PNG", **options: Any) -> bytes:
    """A still in a format of Pillow."""
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, kind, **options)
    return out.getvalue()


def clip_bytes(
    frames: int = 30,
    container: str = "mp4",
    codec: str = "mpeg4",
    gop: int = 10,
    times: Sequence[int] | None = None,
) -> bytes:
    """A clip of 64 x 48 pixels at 25 per second; frame n is grey 3 n in its left half, white right of it."""
    out = io.BytesIO()
    with av.open(out, "w", format=container, options={"fflags": "+bitexact"}) as target:
        stream = target.add_stream(codec, rate=25)
        assert isinstance(stream, av.VideoStream)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuvj420p" if codec == "mjpeg" else "yuv420p"
        stream.gop_size = gop
        stream.bit_rate = 4_000_000
        for n in range(frames):
            picture = np.full((48, 64, 3), 255, np.uint8)
            picture[:, :32] = 3 * n
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame.pts = n if times is None else times[n]
            target.mux(stream.encode(frame))
        target.mux(stream.encode(None))
    return out.getvalue()


def sound_bytes() -> bytes:
    """A tone without a picture, as MP4."""
    out = io.BytesIO()
    with av.open(out, "w", format="mp4") as target:
        stream = target.add_stream("aac", rate=8000)
        for k in range(8):
            frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
            frame.sample_rate, frame.pts = 8000, 1024 * k
            target.mux(stream.encode(frame))
        target.mux(stream.encode(None))
    return out.getvalue()


def zip_bytes(members: dict[str, bytes], packing: int = zipfile.ZIP_DEFLATED) -> bytes:
    """A zip archive of these files."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", packing) as archive:
        for name, data in members.items():
            archive.writestr(zipfile.ZipInfo(name), data, packing)  # dated 1980, so that the bytes repeat
    return out.getvalue()


def series_zip(datasets: Sequence[Dataset], **more: bytes) -> bytes:
    """A zip archive of DICOM files with names that say nothing about their order."""
    names = [f"scan/{(i * 7919) % 1000:03d}_{i}.dcm" for i in range(len(datasets))]
    return zip_bytes({n: dicom_bytes(d) for n, d in zip(names, datasets, strict=True)} | dict(more))


def put(folder: Path, name: str, data: bytes) -> Path:
    """Write a file and give its path."""
    path = folder / name
    path.write_bytes(data)
    return path
