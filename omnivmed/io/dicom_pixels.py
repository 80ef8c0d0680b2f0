"""Frames of one DICOM file: found in the pixel data, their real sizes compared with the header, then decoded.

Order of steps for a grey frame: stored bits, sign, Modality LUT (when there is one); rescale stays apart as numbers.
For colour: palette or YBR to RGB, 8 bits per sample. Arrays are in the byte order of the machine.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.pixels.processing import apply_color_lut, apply_modality_lut
from pydicom.pixels.utils import pixel_array
from pydicom.uid import (
    UID,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000TransferSyntaxes,
    JPEGLSTransferSyntaxes,
    JPEGTransferSyntaxes,
    RLETransferSyntaxes,
)

from omnivmed.errors import StudyError
from omnivmed.io.dicom import check_sizes, integer, item, value
from omnivmed.io.dicom_file import DAMAGED, DicomFile, transfer_syntax
from omnivmed.io.dicom_fragments import fragments_of, frames_of
from omnivmed.io.dicom_stream import StreamFacts, lossless_again, photometric_for, stream_facts, syntax_for
from omnivmed.io.job import Findings
from omnivmed.limits import Limits

_NATIVE = (ImplicitVRLittleEndian, ExplicitVRLittleEndian, ExplicitVRBigEndian)
_HTJ2K = ("1.2.840.10008.1.2.4.201", "1.2.840.10008.1.2.4.202", "1.2.840.10008.1.2.4.203")
_COMPRESSED = (
    *JPEGTransferSyntaxes, *JPEGLSTransferSyntaxes, *JPEG2000TransferSyntaxes, *RLETransferSyntaxes, *_HTJ2K
)  # fmt: skip
_GREY = ("MONOCHROME1", "MONOCHROME2")
_COLOUR = ("RGB", "YBR_FULL", "YBR_FULL_422", "YBR_ICT", "YBR_RCT", "YBR_PARTIAL_420", "YBR_PARTIAL_422")
_COPIED = (
    "Rows", "Columns", "SamplesPerPixel", "PhotometricInterpretation", "BitsAllocated", "BitsStored", "HighBit",
    "PixelRepresentation", "PlanarConfiguration",
)  # fmt: skip
_FLOATS = {"FloatPixelData": "f4", "DoubleFloatPixelData": "f8"}


class Frames:
    """All frames of one file, checked but not yet decoded."""

    def __init__(self, file: DicomFile, limits: Limits, findings: Findings) -> None:
        """Raises StudyError: Corrupt when sizes and data disagree, TooLarge over a limit, Unsupported encodings."""
        header = file.header
        self.header = header
        self._file = file
        self._syntax = transfer_syntax(header)
        count, self.rows, self.columns, self.samples = check_sizes(header, limits)
        if self._syntax not in (*_COMPRESSED, *_NATIVE):
            raise StudyError(
                "Unsupported", "This DICOM compression is not read; export the study uncompressed."
            )
        self._photometric = str(value(header, "PhotometricInterpretation", "")).strip()
        self.rgb = self._photometric == "PALETTE COLOR" or self.samples == 3
        if self._photometric not in (*_GREY, *_COLOUR, "PALETTE COLOR"):
            if self._photometric:
                raise StudyError(
                    "Unsupported", "This DICOM colour model is not read; export it as RGB or grey."
                )
            self._photometric = "RGB" if self.rgb else "MONOCHROME2"
        self._bits = integer(header, "BitsAllocated")
        self._modality_lut = not self.rgb and item(header, "ModalityLUTSequence") is not None
        self._data = file.pixel_bytes()
        self._frames: list[bytes] = []
        self._facts: list[StreamFacts | None] = []
        self.encapsulated = self._is_encapsulated()
        self.count = (
            self._find_encapsulated(count, findings) if self.encapsulated else self._find_native(count, findings)
        )  # fmt: skip

    def _is_encapsulated(self) -> bool:
        """By the value itself where it is plain: fragments begin with an item, also where the syntax says native."""
        if self._file.element is not None and self._file.element.length is None:
            return True
        declared = self._syntax not in _NATIVE
        if not declared or bytes(self._data[:4]) == b"\xfe\xff\x00\xe0":
            return declared
        return len(self._data) < self.rows * self.columns * self.samples * self._bits // 8

    def _find_native(self, count: int, findings: Findings) -> int:
        self._keyword = self._file.element.keyword if self._file.element is not None else ""
        pixels = self.rows * self.columns
        self._frame_bytes = pixels * self.samples * self._bits // 8
        if self._photometric == "YBR_FULL_422" and self.samples == 3:
            # Two bytes a pixel (PS3.3 C.7.6.3.1.2); three bytes say that it is not subsampled, whatever its name.
            if self._bits == 8 and len(self._data) >= self._frame_bytes * count:
                self._photometric = _full_or_rgb(self._data[: self._frame_bytes])
                findings.note(
                    "The header says subsampled colours, the pixels are whole; they are shown as "
                    f"{'RGB' if self._photometric == 'RGB' else 'luminance and colour'}."
                )
            else:
                self._frame_bytes = pixels * 2 * self._bits // 8
        needed = (pixels * self.samples * count + 7) // 8 if self._bits == 1 else self._frame_bytes * count
        if len(self._data) < needed:
            raise StudyError("Corrupt", "The DICOM file has fewer pixels than it declares; export it again.")
        in_words = self._file.element is not None and self._file.element.vr == "OW"
        if self._file.big_endian and self._bits == 8 and in_words:  # two pixels a word (PS3.5 A.3, annex D)
            even = len(self._data) // 2 * 2
            self._data = memoryview(np.frombuffer(self._data[:even], ">u2").astype("<u2").tobytes())
        return count

    def _find_encapsulated(self, count: int, findings: Findings) -> int:
        found = fragments_of(self._data)
        if found is None or self._bits == 1:
            raise StudyError("Corrupt", DAMAGED)
        self._frames = frames_of(found, count)
        if not self._frames or (count == 1 and found.cut):
            raise StudyError("Corrupt", DAMAGED)
        if len(self._frames) < count:
            findings.warn(
                "Partial", f"The file declares {count} frames and holds {len(self._frames)}; those are shown."
            )
        elif not found.closed:
            findings.note("The file lacks its last delimiter; all its pictures are there.")
        for frame in self._frames:
            self._facts.append(self._check_stream(frame))
        self._data = memoryview(b"")
        return len(self._frames)

    def _check_stream(self, frame: bytes) -> StreamFacts | None:
        """The size inside the compressed frame is the one the header declares; before any decoder allocates for it."""
        if self._syntax in RLETransferSyntaxes:
            segments = int.from_bytes(frame[:4], "little") if len(frame) >= 64 else 0
            if segments != max(1, self._bits // 8) * self.samples:
                raise StudyError("Corrupt", DAMAGED)
            return None
        facts = stream_facts(frame)
        if facts is None:
            raise StudyError("Corrupt", DAMAGED)
        if facts.size != (self.rows, self.columns, self.samples):
            raise StudyError(
                "Corrupt", "The compressed picture is not of the declared size; export the study again."
            )
        return facts

    def decode(self, index: int) -> NDArray[Any]:
        """(H,W) in stored type after the Modality LUT, or (H,W,3) uint8. Corrupt when the decoder refuses."""
        try:
            pixels = self._raw(index)
            if self._photometric == "PALETTE COLOR":
                return _palette(pixels, self.header)
            if self.rgb:
                return _rgb8(pixels, integer(self.header, "BitsStored", self._bits))
            if self._modality_lut:
                pixels = apply_modality_lut(pixels, self.header)
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
        if pixels.dtype.kind == "f" or pixels.dtype.itemsize > 4:
            return pixels.astype(np.float32)
        return pixels if pixels.dtype.isnative else pixels.astype(pixels.dtype.newbyteorder("="))

    def _raw(self, index: int) -> NDArray[Any]:
        """Stored pixels of one frame, YBR already turned to RGB."""
        if self.encapsulated:
            return self._decompressed(index)
        pixels = self.rows * self.columns
        if self._bits == 1:  # packed over frame borders, lowest bit first (PS3.5 8.1.1)
            first = index * pixels
            packed = np.frombuffer(self._data[first // 8 : (first + pixels + 7) // 8], np.uint8)
            bits = np.unpackbits(packed, bitorder="little")
            return bits[first % 8 : first % 8 + pixels].reshape(self.rows, self.columns)
        start = index * self._frame_bytes
        chunk = self._data[start : start + self._frame_bytes]
        if self.samples == 1:
            kind = "i" if integer(self.header, "PixelRepresentation") == 1 else "u"
            code = _FLOATS.get(self._keyword, f"{kind}{self._bits // 8}")
            order = ">" if self._file.big_endian else "<"
            stored = np.frombuffer(chunk, order + code).reshape(self.rows, self.columns)
            native = stored.astype(stored.dtype.newbyteorder("="), copy=False)
            return native if self._keyword in _FLOATS else self._used_bits(native)
        single = self._single(ExplicitVRBigEndian if self._file.big_endian else ExplicitVRLittleEndian)
        single.PhotometricInterpretation = self._photometric
        single.PixelData = bytes(chunk) + b"\x00" * (len(chunk) % 2)
        single["PixelData"].VR = "OW" if self._bits > 8 else "OB"
        return np.asarray(pixel_array(single))

    def _used_bits(self, pixels: NDArray[Any]) -> NDArray[Any]:
        """Only the stored bits, their sign extended; they end at High Bit (PS3.5 8.1.1), or at the bottom of the cell
        where High Bit cannot be meant."""
        allocated = self._bits
        stored = integer(self.header, "BitsStored", allocated)
        if not 0 < stored < allocated:
            return pixels
        high = integer(self.header, "HighBit", stored - 1)
        if not stored <= high < allocated or (pixels & (2 ** (high + 1 - stored) - 1)).any():
            high = stored - 1
        return (pixels << (allocated - 1 - high)) >> (allocated - stored)

    def _decompressed(self, index: int) -> NDArray[Any]:
        facts = self._facts[index]
        if facts is None:
            return self._pydicom(self._single(self._syntax), index)
        single = self._single(syntax_for(facts, str(self._syntax)))
        single.PhotometricInterpretation = photometric_for(facts, self._photometric)
        if self.samples == 3:
            single.PlanarConfiguration = 0  # decoders give colour by pixel
        if integer(single, "BitsStored") < facts.precision <= self._bits:
            single.BitsStored, single.HighBit = facts.precision, facts.precision - 1
        if facts.coding != "lossless":
            return self._pydicom(single, index)
        try:
            first = self._pydicom(single, index)
        except BaseException as error:
            second = lossless_again(self._frames[index], facts, None)
            if second is None or isinstance(error, (KeyboardInterrupt, SystemExit, MemoryError)):
                raise
            return second
        second = lossless_again(self._frames[index], facts, first) if first.ndim == 2 else None
        return first if second is None else second

    def _pydicom(self, single: Dataset, index: int) -> NDArray[Any]:
        single.PixelData = encapsulate([self._frames[index]])
        single["PixelData"].is_undefined_length = True
        single["PixelData"].VR = "OB"
        return np.asarray(pixel_array(single))

    def _single(self, syntax: UID) -> Dataset:
        """A data set of one frame without its pixels."""
        single = Dataset()
        for keyword in _COPIED:
            if keyword in self.header:
                single[keyword] = self.header[keyword]
        single.PhotometricInterpretation = self._photometric
        single.file_meta = FileMetaDataset()
        single.file_meta.TransferSyntaxUID = syntax
        return single


def _full_or_rgb(chunk: memoryview) -> str:
    """What three bytes a pixel mean: grey is (v, 128, 128) in YBR_FULL and (v, v, v) in RGB; RGB where it is a draw."""
    by_pixel = np.frombuffer(chunk, np.uint8)[: len(chunk) // 3 * 3].reshape(-1, 3).astype(np.int16)
    as_ybr = (np.abs(by_pixel[:, 1:] - 128).max(axis=1) <= 2).sum()
    as_rgb = (np.ptp(by_pixel, axis=1) <= 4).sum()
    return "YBR_FULL" if as_ybr > as_rgb else "RGB"


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
