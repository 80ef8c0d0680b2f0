"""The overlay as a clip to take away: one picture per sampled frame, its settings written below each.

The words are in the picture because players and chat programs drop what stands in a file's tags; they are in the
tags as well, for programs.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from omnivmed.pruning import KeepMask
from omnivmed.study import Study
from omnivmed.viz.overlay import Mode, legend, overlay
from omnivmed.viz.sheet import BACKGROUND_RGB, TEXT_RGB

FRAMES_PER_SECOND = 4
"""Slow enough to see which tokens change."""
MP4_EDGES = (720, 1280)  # most rows and columns of a picture; nothing larger is useful for looking at tokens
GIF_EDGES = (480, 640)
LEAST_WIDTH = 480  # room for the words
LETTERS, LINE = 13, 17  # pixels


def write_mp4(path: Path, study: Study, mask: KeepMask, mode: Mode, facts: dict[str, object]) -> None:
    """H.264, four pictures a second; `facts` as JSON in the tag "comment"."""
    import av

    with av.open(str(path), "w", format="mp4", options={"movflags": "faststart"}) as box:
        box.metadata.update({"comment": json.dumps(facts), "title": "OmniV-Med token overlay"})
        stream = box.add_stream("libx264", rate=Fraction(FRAMES_PER_SECOND), options={"crf": "20"})
        for picture in _pictures(study, mask, mode, facts, MP4_EDGES):
            if stream.width != picture.width:
                stream.width, stream.height, stream.pix_fmt = picture.width, picture.height, "yuv420p"
            box.mux(stream.encode(av.VideoFrame.from_image(picture)))
        box.mux(stream.encode(None))


def write_gif(path: Path, study: Study, mask: KeepMask, mode: Mode, facts: dict[str, object]) -> None:
    """A GIF that repeats, for slides; `facts` as JSON in its comment."""
    pictures = [
        picture.quantize(128, dither=Image.Dither.NONE)
        for picture in _pictures(study, mask, mode, facts, GIF_EDGES)
    ]
    pictures[0].save(
        path,
        format="GIF",
        save_all=True,
        append_images=pictures[1:],
        duration=1000 // FRAMES_PER_SECOND,
        loop=0,
        comment=json.dumps(facts).encode("ascii"),
    )


def _pictures(
    study: Study, mask: KeepMask, mode: Mode, facts: dict[str, object], edges: tuple[int, int]
) -> Iterator[Image.Image]:
    """RGB pictures of one even size (H.264 wants that), one per sampled frame, with the words below."""
    high, wide = mask.source_size[0] * study.pixel_aspect, float(mask.source_size[1])
    # Small pictures grow to the width of the words, large ones shrink to what is useful.
    scale = min(max(1.0, LEAST_WIDTH / wide), edges[0] / high, edges[1] / wide)
    rows, columns = max(2, round(high * scale)), max(2, round(wide * scale))
    width = max(columns, LEAST_WIDTH) // 2 * 2
    settings = [f"{facts['program']} {facts['version']}"]
    if facts["model"]:
        settings.append(f"model {facts['model']}")
    if mask.window is not None:
        unit = " HU" if mask.unit == "HU" else ""
        settings.append(f"window {mask.window[0]:g} / {mask.window[1]:g}{unit}")
    for i, source in enumerate(mask.frame_index):
        lines = _lines([where(mask, i), *settings, legend(mask)], width - 16)
        height = -(-(rows + len(lines) * LINE + 8) // 2) * 2
        canvas = Image.new("RGB", (width, height), BACKGROUND_RGB)
        picture = overlay(study.take([int(source)])[0], mask, i, mode=mode)
        small = Image.fromarray(picture).resize((columns, rows), Image.Resampling.BICUBIC)
        canvas.paste(small, ((width - columns) // 2, 0))
        draw = ImageDraw.Draw(canvas)
        for k, line in enumerate(lines):
            draw.text((8, rows + 3 + k * LINE), line, fill=TEXT_RGB, font=_font())
        yield canvas


def where(mask: KeepMask, i: int) -> str:
    """Which slice or moment the i-th sampled frame is; widths do not change from one to the next."""
    index = np.asarray(mask.frame_index)
    place = f"{int(index[i]) + 1:0{len(str(int(index.max()) + 1))}d}"
    if mask.times_s is None:
        return f"Slice {place}"
    return f"Frame {place} ({float(mask.times_s[i]):06.1f} s)"


def _lines(parts: list[str], width: int) -> list[str]:
    """The parts in as few lines as fit; a sentence that is too long by itself is broken between words."""
    words = "  ·  ".join(parts).split(" ")
    lines = [""]
    for word in words:
        longer = f"{lines[-1]} {word}".strip(" ") if lines[-1] else word
        if _font().getlength(longer) <= width or not lines[-1]:
            lines[-1] = longer
        else:
            lines.append(word)
    return [line.strip(" ·") for line in lines]


def _font() -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(LETTERS)
