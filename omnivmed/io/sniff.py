"""What a file is, from its first bytes alone. The ending of its name is only compared afterwards."""

from __future__ import annotations

import re
import zlib
from typing import Literal

from omnivmed.errors import StudyError

Format = Literal[
    "png", "jpeg", "gif", "tiff", "bmp", "webp",
    "dicom", "nifti", "nifti-gz", "nrrd", "mha", "mgh", "mgz", "zip", "tar", "tar-gz",
    "mov", "matroska", "avi", "mpeg", "mpegvideo", "mpegts", "dv",
]  # fmt: skip

STILLS: frozenset[str] = frozenset({"png", "jpeg", "gif", "tiff", "bmp", "webp"})
VOLUMES: frozenset[str] = frozenset({"nifti", "nifti-gz", "nrrd", "mha", "mgh", "mgz"})
ARCHIVES: frozenset[str] = frozenset({"zip", "tar", "tar-gz"})
VIDEOS: frozenset[str] = frozenset({"mov", "matroska", "avi", "mpeg", "mpegvideo", "mpegts", "dv"})
HEAD_BYTES = 4096

# Endings that belong to a format; any other known ending on such a file is worth a warning.
EXTENSIONS: dict[str, frozenset[str]] = {
    "png": frozenset({".png", ".apng"}),
    "jpeg": frozenset({".jpg", ".jpeg", ".jpe", ".jfif", ".mpo"}),
    "gif": frozenset({".gif"}),
    "tiff": frozenset({".tif", ".tiff"}),
    "bmp": frozenset({".bmp", ".dib"}),
    "webp": frozenset({".webp"}),
    "dicom": frozenset({".dcm", ".dicom", ".dic", ".ima"}),
    "nifti": frozenset({".nii"}),
    "nifti-gz": frozenset({".nii.gz", ".gz"}),
    "nrrd": frozenset({".nrrd", ".nhdr"}),
    "mha": frozenset({".mha", ".mhd"}),
    "mgh": frozenset({".mgh"}),
    "mgz": frozenset({".mgz", ".mgh.gz", ".gz"}),
    "zip": frozenset({".zip"}),
    "tar": frozenset({".tar"}),
    "tar-gz": frozenset({".tar.gz", ".tgz", ".gz"}),
    "mov": frozenset({".mp4", ".mov", ".m4v", ".qt", ".3gp"}),
    "matroska": frozenset({".mkv", ".webm"}),
    "avi": frozenset({".avi"}),
    "mpeg": frozenset({".mpeg", ".mpg", ".vob", ".m2p"}),
    "mpegvideo": frozenset({".mpeg", ".mpg", ".m1v", ".m2v"}),
    "dv": frozenset({".dv", ".dif"}),
    "mpegts": frozenset({".ts", ".mts", ".m2ts", ".mpeg", ".mpg"}),
}
KNOWN_EXTENSIONS = frozenset().union(*EXTENSIONS.values()) | {".hdr", ".img"}

_BMFF_BOXES = (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip", b"pnot")
_PICTURE_BRANDS = (b"heic", b"heix", b"hevc", b"heim", b"mif1", b"msf1", b"avif", b"avis", b"jpx ", b"jp2 ")
_VR = frozenset(
    {
        "AE",
        "AS",
        "AT",
        "CS",
        "DA",
        "DS",
        "DT",
        "FL",
        "FD",
        "IS",
        "LO",
        "LT",
        "OB",
        "OD",
        "OF",
        "OL",
        "OV",
        "OW",
    }
    | {"PN", "SH", "SL", "SQ", "SS", "ST", "SV", "TM", "UC", "UI", "UL", "UN", "UR", "US", "UT", "UV"}
)
_UNSUPPORTED: tuple[tuple[bytes, str], ...] = (
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive; make a zip of it"),
    (b"Rar!", "a RAR archive; make a zip of it"),
    (b"BZh", "a bzip2 file; unpack it first"),
    (b"\xfd7zXZ\x00", "an xz file; unpack it first"),
    (b"\x28\xb5\x2f\xfd", "a zstd file; unpack it first"),
    (b"\x06\x0e\x2b\x34\x02\x05\x01\x01\x0d\x01\x02\x01\x01\x02", "an MXF file; save it as MP4"),
    (b".RMF", "a RealMedia file (RM); save it as MP4"),
    (b"OggS", "an Ogg file; save it as MP4"),
    (b"FLV", "a Flash video (FLV); save it as MP4"),
    (b"\x30\x26\xb2\x75\x8e\x66\xcf\x11", "a Windows Media file (WMV, WMA or ASF); save it as MP4"),
    (b"\x00\x00\x00\x0cjP  ", "a JPEG 2000 picture; save it as PNG"),
    (b"\xff\x4f\xff\x51", "a JPEG 2000 picture; save it as PNG"),
    (b"\xff\x0a", "a JPEG XL picture; save it as PNG"),
    (b"\x00\x00\x00\x0cJXL ", "a JPEG XL picture; save it as PNG"),
    (b"8BPS", "a Photoshop file; save it as PNG"),
    (b"\x89HDF", "an HDF5 file; save the volume as NIfTI"),
    (b"CDF\x01", "a MINC file; save the volume as NIfTI"),
    (b"\x76\x2f\x31\x01", "an OpenEXR picture; save it as PNG"),
    (b"%!PS", "a PostScript file; save it as PNG"),
    (b"\xc5\xd0\xd3\xc6", "a PostScript file; save it as PNG"),
    (b"P4\n", "a PNM picture; save it as PNG"),
    (b"P5\n", "a PNM picture; save it as PNG"),
    (b"P6\n", "a PNM picture; save it as PNG"),
)
_NO_PICTURE: tuple[tuple[bytes, str], ...] = (
    (b"%PDF", "a PDF document"),
    (b"ID3", "a sound file"),
    (b"fLaC", "a sound file"),
    (b"\x7fELF", "a program"),
    (b"MZ", "a program"),
    (b"\x93NUMPY", "a NumPy array"),
    (b"SQLite format 3", "a database"),
)


def sniff(head: bytes, size: int) -> Format:
    """Format of a file from its first `HEAD_BYTES` bytes and its size.

    Raises StudyError: Corrupt (empty), Unsupported (a known format that is not read), NotAnImage (anything else).
    """
    if size == 0 or not head:
        raise StudyError("Corrupt", "The file is empty; send it again.")
    found = _picture(head) or _medical(head, size) or _container(head)
    if found is not None:
        return found
    for magic, what in _UNSUPPORTED:
        if head.startswith(magic):
            raise StudyError("Unsupported", f"This is {what}.")
    for magic, what in _NO_PICTURE:
        if head.startswith(magic):
            raise StudyError("NotAnImage", f"This is {what}, not an image; choose an image, volume or clip.")
    if _is_text(head):
        raise StudyError("NotAnImage", "This is a text file, not an image; choose an image, volume or clip.")
    raise StudyError(
        "NotAnImage", "This is no image, volume or clip that can be read here; choose another file."
    )


def belongs(extension: str, found: str) -> bool:
    """False when the ending promises another format than was found. No or an unknown ending promises nothing."""
    return extension not in KNOWN_EXTENSIONS or extension in EXTENSIONS[found]


def _picture(head: bytes) -> Format | None:
    if head.startswith(b"\x89PNG\r\n\x1a\n"):
        return "png"
    if head.startswith(b"\xff\xd8\xff"):
        return "jpeg"
    if head[:6] in (b"GIF87a", b"GIF89a"):
        return "gif"
    if head[:4] in (b"II*\x00", b"MM\x00*", b"II+\x00", b"MM\x00+"):
        return "tiff" if head[128:132] != b"DICM" else "dicom"
    if (
        head[:2] == b"BM"
        and len(head) >= 18
        and int.from_bytes(head[14:18], "little") in (12, 40, 52, 56, 64, 108, 124)
    ):
        return "bmp"
    if head[:4] == b"RIFF":
        if head[8:12] == b"WEBP":
            return "webp"
        if head[8:12] == b"AVI ":
            return "avi"
        if head[8:12] == b"WAVE":
            raise StudyError(
                "NotAnImage", "This is a sound file, not an image; choose an image, volume or clip."
            )
    return None


def _medical(head: bytes, size: int) -> Format | None:
    if head[128:132] == b"DICM":
        return "dicom"
    if is_nifti(head):
        return "nifti"
    if head[:2] == b"\x1f\x8b":
        return _gzip(head)
    if _is_mgh(head):
        return "mgh"
    if head.startswith(b"NRRD000"):
        return "nrrd"
    if (
        re.match(rb"[\s]*(ObjectType|NDims|ObjectSubType|Comment)\s*=", head[:256])
        and b"NDims" in head[:1024]
    ):
        return "mha"
    if len(head) >= 4 and head[:4] in (b"\x5c\x01\x00\x00", b"\x00\x00\x01\x5c"):
        if size < 348:
            raise StudyError("Corrupt", "The NIfTI file ends inside its header; export it again.")
        raise StudyError(
            "Unsupported", "This is a header without its image data; save both as one .nii file."
        )
    if _bare_dicom(head):
        return "dicom"
    return None


def is_nifti(head: bytes) -> bool:
    """A NIfTI-1 or NIfTI-2 header, of a single file or of a pair, in either byte order."""
    if len(head) >= 348 and head[:4] in (b"\x5c\x01\x00\x00", b"\x00\x00\x01\x5c"):
        return head[344:348] in (b"n+1\x00", b"ni1\x00")
    if len(head) >= 540 and head[:4] in (b"\x1c\x02\x00\x00", b"\x00\x00\x02\x1c"):
        return head[4:7] in (b"n+2", b"ni2")
    return False


def _gzip(head: bytes) -> Format:
    try:
        inner = zlib.decompressobj(wbits=31).decompress(head, 1024)
    except zlib.error:
        raise StudyError("Corrupt", "The compressed file is damaged; export it again.") from None
    if is_nifti(inner):
        return "nifti-gz"
    if _is_mgh(inner):
        return "mgz"
    if inner[257:262] == b"ustar":
        return "tar-gz"
    if inner[:4] in (b"\x5c\x01\x00\x00", b"\x00\x00\x01\x5c"):
        # Analyze 7.5 has the size of a NIfTI header and no magic word; it does not say left from right.
        raise StudyError(
            "Unsupported", "This is a packed header of Analyze 7.5 or damaged; save it as NIfTI."
        )
    if inner.startswith(b"NRRD") or inner[128:132] == b"DICM":
        raise StudyError("Unsupported", "This is a gzip-packed image; unpack it first.")
    if not inner:
        raise StudyError("Corrupt", "The compressed file is cut or empty; export it again.")
    raise StudyError("NotAnImage", "The compressed file holds no NIfTI volume; choose another file.")


def _is_mgh(head: bytes) -> bool:
    """FreeSurfer: version 1, four sizes above zero, a known type; all big-endian (MghFormat)."""
    if len(head) < 284 or head[:4] != b"\x00\x00\x00\x01":
        return False
    sizes = [int.from_bytes(head[at : at + 4], "big") for at in (4, 8, 12, 16)]
    return all(0 < n < 1 << 24 for n in sizes) and int.from_bytes(head[20:24], "big") in (0, 1, 3, 4, 10)


def _bare_dicom(head: bytes) -> bool:
    """A data set without preamble: first element in group 2 or 8, with a value representation or a small length."""
    if len(head) < 16 or head[0:2] not in (b"\x02\x00", b"\x08\x00") or head[3] != 0:
        return False
    if head[4:6].decode("latin-1") in _VR:
        return True
    length = int.from_bytes(head[4:8], "little")
    return (
        length <= 256
        and length % 2 == 0
        and len(head) > 12 + length
        and head[8 + length : 10 + length]
        in (
            b"\x02\x00",
            b"\x08\x00",
        )
    )


def _container(head: bytes) -> Format | None:
    if head[:4] in (b"PK\x03\x04", b"PK\x05\x06"):
        return "zip"
    if head[257:262] == b"ustar":
        return "tar"
    if head[4:8] in _BMFF_BOXES and len(head) >= 8:
        if head[4:8] == b"ftyp" and head[8:12] in _PICTURE_BRANDS:
            raise StudyError(
                "Unsupported", "This is a HEIC, AVIF or JPEG 2000 picture; save it as PNG or JPEG."
            )
        return "mov"
    if head.startswith(b"\x1a\x45\xdf\xa3"):
        return "matroska"
    if head.startswith(b"\x00\x00\x01\xba"):
        return "mpeg"
    if head.startswith(b"\x00\x00\x01\xb3"):
        return "mpegvideo"
    if (
        head[:3] == b"\x1f\x07\x00"
        and len(head) > 240
        and head[80] == head[160] == 0x3F
        and head[240] == 0x56
    ):
        return "dv"  # header, two subcode and the first auxiliary block (IEC 61834-2)
    if transport_pace(head) is not None:
        return "mpegts"
    if _inside_program_stream(head):
        return "mpeg"
    return None


def _inside_program_stream(head: bytes) -> bool:
    """A picture's packet with another one straight behind it: a program stream cut anywhere (ISO 13818-1, 2.5.3)."""
    for match in re.finditer(rb"\x00\x00\x01[\xe0-\xef]", head):
        length = int.from_bytes(head[match.end() : match.end() + 2], "big")
        behind = head[match.end() + 2 + length :][:4]
        if length > 16 and len(behind) == 4 and behind[:3] == b"\x00\x00\x01" and 0xBA <= behind[3] <= 0xEF:
            return True
    return False


def transport_pace(head: bytes) -> tuple[int, int] | None:
    """(bytes from packet to packet, byte where the first begins) of a transport stream; None for anything else.

    Sync bytes 188 apart (ISO 13818-1, 2.4.3.2), 192 with four bytes of arrival time before each (BDAV, AVCHD), 204
    with a check sum behind each (DVB). The first may lie anywhere within a packet: such streams are cut anywhere.
    """
    for length in (188, 192, 204):
        for first in range(length):
            if head[first : first + 8 * length : length] == b"G" * 8:
                return length, first - 4 if length == 192 and first >= 4 else first
    if len(head) > 376 and head[0] == head[188] == head[376] == ord("G"):  # a stream of a few packets
        return 188, 0
    return None


def _is_text(head: bytes) -> bool:
    sample = head[:1024]
    if b"\x00" in sample and not sample.startswith((b"\xff\xfe", b"\xfe\xff")):
        return False
    strange = sum(1 for b in sample if b < 9 or 13 < b < 32)
    return strange * 20 < len(sample)
