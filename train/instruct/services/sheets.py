"""Media of a record → pictures for a service that takes stills: the picture itself, or a contact sheet with times."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

from omnivmed.eval.media import open_media
from omnivmed.records import Media

FRAMES, COLUMNS, CELL, LONGEST = 15, 5, 224, 768
"""Frames of a sheet at most, in so many columns, each this many pixels wide; a still's longest side."""
WHAT = {
    "image": "a medical picture",
    "volume": "a contact sheet of slices of one volume, first to last",
    "video": "a contact sheet of frames of one clip, with their times in seconds",
    "text": "no picture",
}


def pictures(media: Media) -> list[Image.Image]:
    """One picture a still; one sheet for a volume or a clip. Raises StudyError."""
    out = []
    for study in open_media(media):
        with study:
            if media.kind == "image":
                picture = Image.fromarray(study.frames(0, 1)[0])
                picture.thumbnail((LONGEST, LONGEST))
                out.append(picture)
                continue
            count = study.shape[0]
            index = np.unique(np.linspace(0, count - 1, min(FRAMES, count)).round().astype(int))
            times = study.times_s if media.kind == "video" else None
            labels = [f"{times[i]:.1f} s" if times is not None else str(i + 1) for i in index]
            out.append(sheet([Image.fromarray(f) for f in study.take(index)], labels))
    return out


def sheet(frames: Sequence[Image.Image], labels: Sequence[str]) -> Image.Image:
    """Frames in rows of `COLUMNS`, each `CELL` wide with its label above."""
    height = round(CELL * frames[0].height / frames[0].width)
    columns = min(COLUMNS, len(frames))
    rows = -(-len(frames) // columns)
    out = Image.new("RGB", (columns * CELL, rows * (height + 16)))
    draw = ImageDraw.Draw(out)
    for place, (frame, label) in enumerate(zip(frames, labels, strict=True)):
        x, y = place % columns * CELL, place // columns * (height + 16)
        draw.text((x + 2, y + 2), label, fill=(255, 255, 255))
        out.paste(frame.resize((CELL, height)), (x, y + 16))
    return out


def shorter_side(media: Media) -> int:
    """Pixels of the shorter side of the smallest picture, frame or slice; 0 for text. Raises StudyError."""
    sides = []
    for study in open_media(media):
        with study:
            sides.append(min(study.shape[1:3]))
    return min(sides, default=0)


def as_content(text: str, shown: Sequence[Image.Image]) -> list[dict[str, Any]]:
    """The content of a user's message: pictures as JPEG data, then the text. No file name goes along."""
    parts: list[dict[str, Any]] = []
    for picture in shown:
        buffer = io.BytesIO()
        picture.save(buffer, "JPEG", quality=90)
        data = base64.b64encode(buffer.getvalue()).decode()
        parts.append({"type": "image_url", "image_url": {"url": f"data:image/jpeg;base64,{data}"}})
    return [*parts, {"type": "text", "text": text}]
