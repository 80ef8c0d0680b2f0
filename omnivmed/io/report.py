"""The worker's report, believed only as far as it fits: every field is checked before it becomes part of a study."""

from __future__ import annotations

import math
import re
from typing import Any

import numpy as np
from numpy.typing import NDArray

from omnivmed.errors import WARNING_CODES
from omnivmed.io.job import look
from omnivmed.io.pool import MAX_SENTENCE
from omnivmed.io.technical import passed
from omnivmed.io.wire import Block
from omnivmed.labels import Label
from omnivmed.study_info import Spacing, StudyInfo
from omnivmed.window import Window

KINDS = ("image", "volume", "video")
UNITS = ("HU", "raw", "rgb")
PLACES = ("patient", "detector", "estimate")
PLANES = ("axial", "coronal", "sagittal", "oblique")
MAX_SERIES = 256


def info_of(message: dict[str, Any], blocks: list[Block]) -> StudyInfo:
    """Facts of a report. ValueError, KeyError, TypeError or IndexError when something does not fit."""
    raw = message["info"]
    times_s = None
    if "times" in message:
        block = blocks[int(message["times"])]
        times_s = np.frombuffer(block.memory, np.float64, block.nbytes // 8).copy()
        if not np.all(np.isfinite(times_s)) or np.any(np.diff(times_s) < 0):
            raise ValueError("times")
    key_index = None
    if "keys" in message:
        block = blocks[int(message["keys"])]
        key_index = np.frombuffer(block.memory, np.int64, block.nbytes // 8).copy()
        count = 0 if times_s is None else len(times_s)
        if np.any(np.diff(key_index) <= 0) or np.any(key_index < 0) or np.any(key_index >= count):
            raise ValueError("key frames")
    return StudyInfo(
        kind=_one_of(raw["kind"], KINDS),
        channels=_one_of(raw["channels"], (1, 3)),
        spacing_mm=_spacing(raw["spacing_mm"]),
        spacing_at=_one_of(raw["spacing_at"], PLACES),
        times_s=times_s,
        key_index=key_index,
        playable=_one_of(raw["playable"], (None, "video/mp4", "video/webm")),
        times_from=_one_of(raw["times_from"], ("file", "assumed")),
        slice_mm=_numbers_or_none(raw["slice_mm"]),
        window=_window(raw["window"]),
        file_window=_window(raw["file_window"]),
        auto_window=_window(raw["auto_window"]),
        affine=_affine(message["affine"]),
        letters=_letters(raw["letters"]),
        inverted=bool(raw["inverted"]),
        modality=_word(raw["modality"]),
        modality_from=_one_of(raw["modality_from"], ("header", "numbers")),
        body_part=_word(raw["body_part"]),
        technical=tuple(passed(name, told) for name, told in raw["technical"]),
        unit=_one_of(raw["unit"], UNITS),
        slope=_number(raw["slope"]),
        intercept=_number(raw["intercept"]),
        plane=None if raw["plane"] is None else _one_of(raw["plane"], PLANES),
        warnings=tuple(_one_of(code, tuple(WARNING_CODES)) for code in raw["warnings"]),
        notes=tuple(_sentence(note) for note in raw["notes"]),
        series=tuple(_choice(entry) for entry in raw["series"][:MAX_SERIES]),
        aspect=_ratio(raw["aspect"]),
        labels=tuple(_label(entry) for entry in raw["labels"]),
        background=None if raw["background"] is None else int(raw["background"]),
        content_id=_hexadecimal(raw["content_id"]),
    )


def array_of(message: dict[str, Any], blocks: list[Block]) -> NDArray[Any]:
    """The pixels (T,H,W[,3]) in the block the report names, as the study looks at them."""
    block = blocks[int(message["block"])]
    dtype = np.dtype(str(message["dtype"]))
    if dtype.kind not in "iuf":
        raise ValueError("type of the array")
    shape = tuple(int(n) for n in message["shape"])
    count = math.prod(shape)
    array = np.frombuffer(block.memory, dtype, count).reshape(shape)
    axes = None if message["axes"] is None else tuple(int(a) for a in message["axes"])
    flips = None if message["flips"] is None else tuple(bool(f) for f in message["flips"])
    return look(array, axes, flips)


def _one_of(value: Any, allowed: tuple[Any, ...]) -> Any:
    if value not in allowed:
        raise ValueError("value outside its list")
    return value


def _number(value: Any) -> float:
    number = float(value)
    if not math.isfinite(number):
        raise ValueError("number")
    return number


def _ratio(value: Any) -> float:
    ratio = _number(value)
    if not 0.01 <= ratio <= 100:
        raise ValueError("ratio")
    return ratio


def _numbers_or_none(value: Any) -> NDArray[np.float64] | None:
    return None if value is None else np.asarray([_number(v) for v in value], dtype=np.float64)


def _window(value: Any) -> Window | None:
    return None if value is None else (_number(value[0]), _number(value[1]))


def _spacing(value: Any) -> Spacing | None:
    if value is None:
        return None
    s, r, c = value
    return (None if s is None else _number(s), _number(r), _number(c))


def _affine(value: Any) -> NDArray[np.float64] | None:
    if value is None:
        return None
    return np.asarray([_number(v) for v in value], dtype=np.float64).reshape(4, 4)


def _letters(value: Any) -> tuple[str, str, str, str] | None:
    if value is None:
        return None
    a, b, c, d = (_one_of(v, tuple("RLAPSI")) for v in value)
    return (a, b, c, d)


def _word(value: Any) -> str | None:
    if value is None:
        return None
    if not re.fullmatch(r"[A-Z][A-Z ]{0,15}", str(value)):
        raise ValueError("word")
    return str(value)


def _sentence(value: Any) -> str:
    text = str(value)[:MAX_SENTENCE]
    if not text.isprintable():
        raise ValueError("sentence")
    return text


def _choice(value: Any) -> dict[str, Any]:
    return {
        "index": int(value["index"]),
        "label": _sentence(value["label"]),
        "kind": _one_of(value["kind"], KINDS),
        "frames": int(value["frames"]),
        "rows": int(value["rows"]),
        "columns": int(value["columns"]),
        "modality": _word(value["modality"]),
        "selected": bool(value["selected"]),
    }


def _label(value: Any) -> Label:
    number, name, colour = value
    red, green, blue = (int(c) for c in colour)
    if not 0 <= int(number) <= 65535 or not all(0 <= c <= 255 for c in (red, green, blue)):
        raise ValueError("label")
    return Label(int(number), _sentence(name), (red, green, blue))


def _hexadecimal(value: Any) -> str:
    if not re.fullmatch(r"[0-9a-f]{64}", str(value)):
        raise ValueError("content id")
    return str(value)
