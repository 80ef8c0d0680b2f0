"""Frames of one DICOM data set: found in the pixel data, their real sizes compared with the header, then decoded.

Order of steps for a grey frame: stored bits, sign, Modality LUT (when there is one); rescale stays apart as numbers.
For colour: palette or YBR to RGB, 8 bits per sample.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate, generate_fragments, generate_frames
from pydicom.pixels import apply_color_lut, apply_modality_lut, pixel_array
from pydicom.uid import (
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000TransferSyntaxes,
    JPEGLSTransferSyntaxes,
    JPEGTransferSyntaxes,
    RLETransferSyntaxes,
)

from omnivmed.errors import StudyError
from omnivmed.io.dicom import DAMAGED, check_sizes, integer, item, transfer_syntax, value
from omnivmed.io.job import Findings
from omnivmed.limits import Limits

_NATIVE = (ImplicitVRLittleEndian, ExplicitVRLittleEndian, ExplicitVRBigEndian)
_HTJ2K = ("1.2.840.10008.1.2.4.201", "1.2.840.10008.1.2.4.202", "1.2.840.10008.1.2.4.203")
_GREY = ("MONOCHROME1", "MONOCHROME2")
_COLOUR = ("RGB", "YBR_FULL", "YBR_FULL_422", "YBR_ICT", "YBR_RCT", "YBR_PARTIAL_420", "YBR_PARTIAL_422")
_COPIED = (
    "Rows", "Columns", "SamplesPerPixel", "PhotometricInterpretation", "BitsAllocated", "BitsStored", "HighBit",
    "PixelRepresentation", "PlanarConfiguration",
)  # fmt: skip


class Frames:
    """All frames of one data set, checked but not yet decoded."""

    def __init__(self, dataset: Dataset, limits: Limits, findings: Findings) -> None:
        """Raises StudyError: Corrupt when sizes and data disagree, TooLarge over a limit, Unsupported encodings."""
        self._dataset = dataset
        self._syntax = transfer_syntax(dataset)
        count, self.rows, self.columns, self.samples = check_sizes(dataset, limits)
        self._photometric = str(value(dataset, "PhotometricInterpretation", "")).strip()
        self.rgb = self._photometric == "PALETTE COLOR" or self.samples == 3
        if self._photometric not in (*_GREY, *_COLOUR, "PALETTE COLOR"):
            if self._photometric:
                raise StudyError(
                    "Unsupported", "This DICOM colour model is not read; export it as RGB or grey."
                )
            self._photometric = "RGB" if self.rgb else "MONOCHROME2"
            dataset.PhotometricInterpretation = self._photometric
        self._bits = integer(dataset, "BitsAllocated")
        self._modality_lut = not self.rgb and item(dataset, "ModalityLUTSequence") is not None
        self._unpacked: NDArray[Any] | None = None
        self._frames: list[bytes] = []
        self.count = (
            self._find_encapsulated(count, findings) if self._encapsulated else self._find_native(count)
        )

    @property
    def _encapsulated(self) -> bool:
        return self._syntax not in _NATIVE

    def _find_native(self, count: int) -> int:
        self._keyword = next(
            (k for k in ("PixelData", "FloatPixelData", "DoubleFloatPixelData") if k in self._dataset), ""
        )
        if not self._keyword:
            raise StudyError(
                "Corrupt", "The DICOM file names an image but holds none, so it is cut; export it again."
            )
        data = self._dataset[self._keyword].value
        if not isinstance(data, (bytes, bytearray, memoryview)):
            raise StudyError("Corrupt", DAMAGED)
        self._data = memoryview(data)
        pixels = self.rows * self.columns
        if self._photometric == "YBR_FULL_422" and self.samples == 3:
            self._frame_bytes = pixels * 2 * self._bits // 8
        else:
            self._frame_bytes = pixels * self.samples * self._bits // 8
        needed = (pixels * self.samples * count + 7) // 8 if self._bits == 1 else self._frame_bytes * count
        if len(self._data) < needed:
            raise StudyError("Corrupt", "The DICOM file has fewer pixels than it declares; export it again.")
        return count

    def _find_encapsulated(self, count: int, findings: Findings) -> int:
        if self._syntax not in (
            *JPEGTransferSyntaxes, *JPEGLSTransferSyntaxes, *JPEG2000TransferSyntaxes, *RLETransferSyntaxes, *_HTJ2K
        ):  # fmt: skip
            raise StudyError(
                "Unsupported", "This DICOM compression is not read; export the study uncompressed."
            )
        if "PixelData" not in self._dataset:
            raise StudyError(
                "Corrupt", "The DICOM file names an image but holds none, so it is cut; export it again."
            )
        data = self._dataset["PixelData"].value
        try:
            fragments = sum(1 for _ in generate_fragments(data)) - 1  # the first one is the offset table
            if 0 < fragments < count:
                findings.warn(
                    "Partial", f"The file declares {count} frames and holds {fragments}; those are shown."
                )
                count = fragments
            self._frames = list(generate_frames(data, number_of_frames=count))
        except Exception:
            raise StudyError("Corrupt", DAMAGED) from None
        if len(self._frames) < count or not self._frames:
            raise StudyError("Corrupt", DAMAGED)
        for frame in self._frames:
            self._check_codestream(frame)
        return count

    def _check_codestream(self, frame: bytes) -> None:
        """The size inside the compressed frame is the one the header declares; before any decoder allocates for it."""
        if self._syntax in RLETransferSyntaxes:
            segments = int.from_bytes(frame[:4], "little") if len(frame) >= 64 else 0
            if segments != max(1, self._bits // 8) * self.samples:
                raise StudyError("Corrupt", DAMAGED)
            return
        j2k = self._syntax in (*JPEG2000TransferSyntaxes, *_HTJ2K)
        size = jpeg2000_size(frame) if j2k else jpeg_size(frame)
        if size is None:
            raise StudyError("Corrupt", DAMAGED)
        if size != (self.rows, self.columns, self.samples):
            raise StudyError(
                "Corrupt", "The compressed picture is not of the declared size; export the study again."
            )

    def decode(self, index: int) -> NDArray[Any]:
        """(H,W) in stored type after the Modality LUT, or (H,W,3) uint8. Corrupt when the decoder refuses."""
        try:
            pixels = self._raw(index)
            if self._photometric == "PALETTE COLOR":
                return _palette(pixels, self._dataset)
            if self.rgb:
                return _rgb8(pixels, integer(self._dataset, "BitsStored", self._bits))
            if self._modality_lut:
                pixels = apply_modality_lut(pixels, self._dataset)
        except (StudyError, MemoryError):
            raise
        except (NotImplementedError, RuntimeError) as error:
            if "missing dependencies" in str(error):
                raise StudyError(
                    "Unsupported", "The decoder for this compression is not installed; see doctor."
                ) from None
            raise StudyError("Corrupt", DAMAGED) from None
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException:  # pylibjpeg-rle raises a Rust panic, which is not an Exception
            raise StudyError("Corrupt", DAMAGED) from None
        if pixels.dtype.kind == "f":
            return pixels.astype(np.float32)
        if pixels.dtype.itemsize > 4:
            return pixels.astype(np.float32)
        return pixels

    def _raw(self, index: int) -> NDArray[Any]:
        """Stored pixels of one frame, YBR already turned to RGB."""
        if self._bits == 1 or (not self._encapsulated and self._keyword != "PixelData"):
            if self._unpacked is None:
                whole = np.asarray(pixel_array(self._dataset))
                self._unpacked = whole.reshape(self.count, self.rows, self.columns)
            return self._unpacked[index]
        single = Dataset()
        for keyword in _COPIED:
            if keyword in self._dataset:
                single[keyword] = self._dataset[keyword]
        single.file_meta = FileMetaDataset()
        single.file_meta.TransferSyntaxUID = self._syntax
        if self._encapsulated:
            single.PixelData = encapsulate([self._frames[index]])
            single["PixelData"].is_undefined_length = True
            single["PixelData"].VR = "OB"
        else:
            start = index * self._frame_bytes
            chunk = bytes(self._data[start : start + self._frame_bytes])
            single.PixelData = chunk + b"\x00" * (len(chunk) % 2)
            single["PixelData"].VR = "OW" if self._bits > 8 else "OB"
        return np.asarray(pixel_array(single))


def _palette(pixels: NDArray[Any], dataset: Dataset) -> NDArray[np.uint8]:
    coloured = apply_color_lut(pixels, dataset)[..., :3]
    if coloured.dtype.itemsize > 1:
        top = int(coloured.max(initial=0))
        # Entries of 16 bits; some writers put 8-bit values into them.
        coloured = coloured >> 8 if top > 255 else coloured
    return np.ascontiguousarray(coloured.astype(np.uint8))


def _rgb8(pixels: NDArray[Any], bits: int) -> NDArray[np.uint8]:
    if pixels.ndim != 3 or pixels.shape[2] != 3:
        raise StudyError("Corrupt", DAMAGED)
    if pixels.dtype.itemsize > 1:
        pixels = pixels >> max(0, bits - 8)
    return np.ascontiguousarray(pixels.astype(np.uint8))


def jpeg_size(data: bytes) -> tuple[int, int, int] | None:
    """(rows, columns, components) of a JPEG or JPEG-LS code stream from its frame header, or None."""
    position = 2 if data[:2] == b"\xff\xd8" else len(data)
    while position + 4 <= len(data):
        if data[position] != 0xFF:
            return None
        marker = data[position + 1]
        if marker == 0xFF:  # fill byte
            position += 1
            continue
        if (0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC)) or marker == 0xF7:
            header = data[position + 5 : position + 10]
            if len(header) < 5:
                return None
            return (int.from_bytes(header[0:2], "big"), int.from_bytes(header[2:4], "big"), header[4])
        if marker in (0xD9, 0xDA):
            return None
        position += 2 + int.from_bytes(data[position + 2 : position + 4], "big")
    return None


def jpeg2000_size(data: bytes) -> tuple[int, int, int] | None:
    """(rows, columns, components) of a JPEG 2000 code stream from its SIZ segment, also inside JP2 boxes, or None."""
    start = 0 if data[:4] == b"\xff\x4f\xff\x51" else data.find(b"\xff\x4f\xff\x51", 0, 4096)
    siz = data[start + 6 : start + 42] if start >= 0 else b""
    if len(siz) < 36:
        return None
    x1, y1, x0, y0 = (int.from_bytes(siz[2 + 4 * i : 6 + 4 * i], "big") for i in range(4))
    return (y1 - y0, x1 - x0, int.from_bytes(siz[34:36], "big"))
