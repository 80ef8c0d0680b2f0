"""Where a picture comes from, when a model of ours drew it: marked three times, recognised by any of them.

1. a band below the picture, outside the anatomy, that a person reads: "SYNTHETIC - AI GENERATED - omnivmed MODEL",
   and the word SYNTHETIC faintly across the picture, so that a crop without the band still says it;
2. the last rows of that band are a bar code, `CODE` over the whole width, that outlives what drops a file's
   metadata: another format, a smaller size, a screenshot of the whole picture;
3. the file's own metadata: a PNG text chunk with what made it, and XMP with the IPTC digital source type
   (https://cv.iptc.org/newscodes/digitalsourcetype/).

The text chunk repeats the prompt, which is the sentence of the person who had it drawn; of a study that was changed it
holds nothing. The words across the picture are for eyes: no program looks for them.

None of them withstands somebody who wants them gone; they keep honest people from mixing pictures up.
No torch in here, for `io` reads it in the worker; Pillow is imported when a picture is written.
"""

from __future__ import annotations

import io
import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

KEY = "omnivmed"
"""Keyword of the PNG text chunk."""
XMP_KEY = "XML:com.adobe.xmp"
GENERATED, EDITED = "trainedAlgorithmicMedia", "compositeWithTrainedAlgorithmicMedia"
SOURCE_TYPES = "http://cv.iptc.org/newscodes/digitalsourcetype/"
MOST_METADATA = 1 << 20
"""Characters of one text block that are looked at; a file of ours holds far fewer."""

CODE = 0b1101_0010_0111_0001_1010_1100_0100_1110
"""The bar code, first bit at the left: as many ones as zeros, no run longer than three."""
BITS = 32
LEAST_WIDTH = 2 * BITS
"""Pixels; a narrower picture is widened before the band is laid under it."""
BAND_SHARE, LEAST_BAND = 0.08, 16
"""Height of the band: a share of the picture's height, and its least number of rows."""
LETTERS = (0.7, 0.6, 0.5, 0.42)
"""Heights of the band's letters, as shares of its white part: the largest that fits is taken."""
LEGIBLE_WIDTH = 512
"""Pixels; a narrower picture is enlarged by a whole number until it is as wide, so that its band can be read."""
ACROSS = "SYNTHETIC"
ACROSS_LEVELS = 10
"""Grey levels by which the words across the picture are brighter than it, or darker where it is bright."""
CONTRAST = 64
"""Grey levels by which every one of the code is brighter than every zero."""

_SOURCE_TYPE = re.compile(rf"digitalsourcetype/({GENERATED}|{EDITED})\b")


@dataclass(frozen=True)
class Origin:
    """What made a picture.

    model: name of the model, "" where only the bar code is left. edited: it began as a real picture.
    ours: False for the mark of another generator (XMP alone). prompt, seed, made_at, parameters: as written.
    """

    model: str = ""
    edited: bool = False
    ours: bool = True
    prompt: str = ""
    seed: int | None = None
    made_at: str = ""
    parameters: Mapping[str, Any] = field(default_factory=dict)

    @property
    def sentence(self) -> str:
        """For a person who opens such a picture."""
        how = "changed by" if self.edited else "drawn by"
        who = (
            "a generative model"
            if not self.ours
            else f"a generative model (omnivmed {self.model}".rstrip() + ")"
        )
        return f"This picture is synthetic: it was {how} {who} and shows no real patient."


# ------------------------------------------------------------------------------------------------ marking


def with_band(picture_HW3: np.ndarray, model: str) -> np.ndarray:
    """The picture with its band below: uint8 (H, W, 3) → uint8 (H + b, max(W, 64), 3); the pixels stay as they are.

    Raises ValueError for anything but uint8 (H, W, 3).
    """
    from PIL import Image, ImageDraw, ImageFont

    if picture_HW3.dtype != np.uint8 or picture_HW3.ndim != 3 or picture_HW3.shape[2] != 3:
        raise ValueError(f"expected uint8 (H, W, 3), got {picture_HW3.dtype} {picture_HW3.shape}")
    height, width = picture_HW3.shape[0], max(picture_HW3.shape[1], LEAST_WIDTH)
    rows = max(LEAST_BAND, round(height * BAND_SHARE))
    out = np.zeros((height + rows, width, 3), np.uint8)
    out[:height, : picture_HW3.shape[1]] = picture_HW3
    bar = max(4, rows // 4)
    band = Image.new("RGB", (width, rows - bar), (255, 255, 255))
    words = f"SYNTHETIC - AI GENERATED - omnivmed {model}".rstrip()
    # Smaller letters before fewer words: the model's name goes last.
    tries = [
        (text, share) for text in (words, "SYNTHETIC - AI GENERATED", "SYNTHETIC", "AI") for share in LETTERS
    ]
    for text, share in tries:
        font = ImageFont.load_default(size=max(8, (rows - bar) * share))
        left, top, right, bottom = font.getbbox(text)
        if right - left <= width - 4:
            break
    place = ((width - right + left) / 2 - left, (rows - bar - bottom + top) / 2 - top)
    ImageDraw.Draw(band).text(place, text, fill=(170, 0, 0), font=font)
    out[height : height + rows - bar] = np.asarray(band)
    out[height + rows - bar :] = _code_row(width)[None, :, None]
    return out


def stamped(picture_HW3: np.ndarray, model: str) -> np.ndarray:
    """The picture as a person gets to see it: uint8 (H, W, 3) → uint8 (n·H + b, max(n·W, 64), 3).

    Enlarged by `enlargement`, with the words across it and the band below. Raises ValueError like `with_band`.
    """
    return with_band(with_words(enlarged(picture_HW3)), model)


def enlargement(width: int) -> int:
    """How many times a picture so wide is enlarged before it is stamped; a whole number, at least 1."""
    return max(1, -(-LEGIBLE_WIDTH // max(1, width)))


def enlarged(picture_HW3: np.ndarray) -> np.ndarray:
    """The picture `enlargement` times as large, smoothly: it gains pixels and no detail."""
    from PIL import Image

    times = enlargement(picture_HW3.shape[1])
    if times == 1:
        return picture_HW3
    size = (picture_HW3.shape[1] * times, picture_HW3.shape[0] * times)
    return np.asarray(Image.fromarray(picture_HW3).resize(size, Image.Resampling.BICUBIC))


def with_words(picture_HW3: np.ndarray) -> np.ndarray:
    """The picture with `ACROSS` faintly over it, aslant and repeated: ±`ACROSS_LEVELS` where a letter is."""
    from PIL import Image, ImageDraw, ImageFont

    height, width = picture_HW3.shape[:2]
    side = int(np.hypot(height, width)) + 1
    font = ImageFont.load_default(size=max(8, side / 14))
    step = max(1.0, side / 4)
    letters = Image.new("1", (side, side))
    draw = ImageDraw.Draw(letters)
    line = "   ".join([ACROSS] * 6)
    for row, y in enumerate(np.arange(0.0, side, step)):
        draw.text((-(row % 2) * step, y), line, fill=1, font=font)
    left, top = (side - width) // 2, (side - height) // 2
    turned = letters.rotate(30).crop((left, top, left + width, top + height))
    bright = picture_HW3.mean(axis=2, keepdims=True) > 127
    shift = np.where(bright, -ACROSS_LEVELS, ACROSS_LEVELS) * np.asarray(turned)[..., None]
    marked: np.ndarray = np.clip(picture_HW3.astype(np.int16) + shift, 0, 255).astype(np.uint8)
    return marked


def png_bytes(picture_HW3: np.ndarray, origin: Origin) -> bytes:
    """A PNG, `stamped`, with text chunk and XMP. The only form in which a drawn picture may leave the program."""
    from PIL import Image
    from PIL.PngImagePlugin import PngInfo

    chunks = PngInfo()
    chunks.add_itxt(KEY, json.dumps(asdict(origin), ensure_ascii=False))
    chunks.add_itxt(XMP_KEY, xmp(origin.edited))
    out = io.BytesIO()
    Image.fromarray(stamped(picture_HW3, origin.model)).save(out, "PNG", pnginfo=chunks)
    return out.getvalue()


def preview_bytes(picture_HW3: np.ndarray, origin: Origin) -> bytes:
    """A small JPEG of a picture that is still being drawn: `stamped` too, with XMP, and without the prompt."""
    from PIL import Image

    out = io.BytesIO()
    picture = Image.fromarray(stamped(picture_HW3, origin.model))
    picture.save(out, "JPEG", quality=80, xmp=xmp(origin.edited).encode())
    return out.getvalue()


def xmp(edited: bool = False) -> str:
    """The XMP packet: one property, the IPTC digital source type."""
    return (
        '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?><x:xmpmeta xmlns:x="adobe:ns:meta/">'
        '<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description rdf:about="" '
        'xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/" '
        f'Iptc4xmpExt:DigitalSourceType="{SOURCE_TYPES}{EDITED if edited else GENERATED}"/>'
        '</rdf:RDF></x:xmpmeta><?xpacket end="w"?>'
    )


# ------------------------------------------------------------------------------------------------ recognising


def recognise(source: bytes | str | Path) -> Origin | None:
    """The origin of a still (its path or its bytes) that carries a mark; None without one, or when it is no still.

    For files that are trusted: uploads are opened in the worker, which asks `origin_of`.
    """
    from PIL import Image

    try:
        with Image.open(io.BytesIO(source) if isinstance(source, bytes) else source) as picture:
            return origin_of(picture.info, np.asarray(picture.convert("L")))
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return None


def origin_of(info: Mapping[Any, Any], picture: np.ndarray) -> Origin | None:
    """The origin by whatever is left of the marks: our text chunk, else the bar code, else another one's XMP."""
    told = of_metadata(info)
    if told is not None and told.ours:
        return told
    coded = of_pixels(picture)
    return told if coded is None else replace(coded, edited=told is not None and told.edited)


def of_metadata(info: Mapping[Any, Any]) -> Origin | None:
    """The origin by the text blocks of a picture, as Pillow's `Image.info` names them."""
    declared = None
    for key in ("xmp", XMP_KEY):
        if key in info and (found := _SOURCE_TYPE.search(_text(info[key]))):
            declared = found[1]
    if KEY in info:
        return _written(_text(info[KEY]), declared == EDITED)
    return Origin(ours=False, edited=declared == EDITED) if declared is not None else None


def of_pixels(picture: np.ndarray) -> Origin | None:
    """The origin by the bar code: grey (H, W) or colour (H, W, 3), of any number type, at any size."""
    if picture.ndim not in (2, 3) or picture.shape[0] < LEAST_BAND or picture.shape[1] < BITS:
        return None
    # The middle of the bar, 1/50 of the picture's height above its lower edge at most; two rows may be worn.
    rows = picture[-3:].astype(np.float32)
    if rows.ndim == 3:
        rows = rows.mean(axis=2)
    width = picture.shape[1]
    centres = ((np.arange(BITS) + 0.5) * width / BITS).astype(int)
    ones = np.array([CODE >> (BITS - 1 - i) & 1 for i in range(BITS)], dtype=bool)
    scale = 255.0 / max(float(np.iinfo(picture.dtype).max), 1) if picture.dtype.kind in "iu" else 1.0
    for row in rows:
        at = row[centres] * scale
        if at[ones].min() - at[~ones].max() >= CONTRAST:
            return Origin()
    return None


def _code_row(width: int) -> np.ndarray:
    """uint8 (width,): the code stretched over the width, ones white."""
    cell = (np.arange(width) * BITS // width).astype(np.int64)
    return np.where((CODE >> (BITS - 1 - cell)) & 1, 255, 0).astype(np.uint8)


def _text(value: Any) -> str:
    if isinstance(value, bytes):
        return value[:MOST_METADATA].decode("utf-8", "replace")
    return str(value)[:MOST_METADATA]


def _written(text: str, edited: bool) -> Origin:
    """Our own text chunk, believed field by field: whoever sends a file may have written it."""
    try:
        raw = json.loads(text)
    except (ValueError, RecursionError):
        raw = {}
    raw = raw if isinstance(raw, dict) else {}
    seed = raw.get("seed")
    parameters = raw.get("parameters")
    return Origin(
        model=_word(raw.get("model")),
        edited=bool(raw.get("edited", edited)),
        prompt=str(raw.get("prompt", ""))[:2000],
        seed=seed if isinstance(seed, int) else None,
        made_at=_word(raw.get("made_at")),
        parameters=parameters if isinstance(parameters, dict) else {},
    )


def _word(value: Any) -> str:
    """A model's name or a date: letters, digits and a few signs, so that no foreign sentence reaches a screen."""
    word = str(value or "")
    return word if re.fullmatch(r"[\w.:/+-]{1,64}", word, re.ASCII) else ""
