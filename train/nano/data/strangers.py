"""Pictures of no kind that nano was trained on: photographs out of packages, and pages, screens and patterns drawn here.

They teach and measure the unknown-kind gate only (`train.nano.measure.familiar`); no model is trained on them and none
of them is shipped. FIT: kinds that the gate's line is drawn against. HELD: kinds that it never sees, for measuring.
"""

from __future__ import annotations

# ruff: noqa: E501 -- lists of words
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageDraw

Picture = np.ndarray  # uint8 (h, w[, 3])

#: kind → files inside unpacked packages (docs/nano.md names versions and licences).
PHOTOGRAPHS = (
    "scikit_image/skimage/data/astronaut.png",
    "scikit_image/skimage/data/camera.png",
    "scikit_image/skimage/data/chelsea.png",
    "scikit_image/skimage/data/coffee.png",
    "scikit_image/skimage/data/rocket.jpg",
    "scikit_image/skimage/data/motorcycle_left.png",
    "scikit_image/skimage/data/grass.png",
    "scikit_image/skimage/data/gravel.png",
    "scikit_image/skimage/data/brick.png",
    "scikit_image/skimage/data/coins.png",
    "scikit_image/skimage/data/horse.png",
    "scikit_image/skimage/data/moon.png",
    "scikit_image/skimage/data/hubble_deep_field.jpg",
    "scikit_image/skimage/data/color.png",
    "scikit_image/skimage/data/logo.png",
    "scikit_image/skimage/data/clock_motion.png",
    "scikit_learn/sklearn/datasets/images/china.jpg",
    "scikit_learn/sklearn/datasets/images/flower.jpg",
)
HELD: dict[str, tuple[str, ...]] = {
    "stained tissue": (
        "scikit_image/skimage/data/ihc.png",
        "stardist/stardist/data/images/histo.jpg",
        "wsidicom_data/wsidicom_data/data/test_tile.png",
    ),
    "fluorescent or living cells": (
        "scikit_image/skimage/data/cell.png",
        "mahotas/mahotas/demos/data/nuclear.png",
        "stardist/stardist/data/images/img2d.tif",
    ),
    "photographs of other packages": (
        "mahotas/mahotas/demos/data/DepartmentStore.jpg",
        "mahotas/mahotas/demos/data/luispedro.jpg",
        "gradio/gradio/media_assets/images/cheetah.jpg",
        "gradio/gradio/media_assets/images/cheetah1.jpg",
        "gradio/gradio/media_assets/images/lion.jpg",
        "gradio/gradio/media_assets/images/tower.jpg",
        "matplotlib/matplotlib/mpl-data/sample_data/grace_hopper.jpg",
    ),
    "scanned text": ("scikit_image/skimage/data/page.png", "scikit_image/skimage/data/text.png"),
}
WORDS = [
    "the",
    "quick",
    "brown",
    "fox",
    "invoice",
    "total",
    "date",
    "amount",
    "lorem",
    "ipsum",
    "dolor",
    "sit",
    "amet",
    "meeting",
    "agenda",
    "table",
    "figure",
    "open",
    "file",
    "edit",
    "view",
    "help",
    "settings",
    "search",
    "results",
    "page",
    "section",
    "report",
    "city",
    "garden",
    "kitchen",
    "holiday",
    "travel",
    "music",
]


def read(path: Path) -> Picture:
    """uint8 (h, w[, 3]) of a file; wider numbers by their percentiles."""
    with Image.open(path) as opened:
        image = opened if opened.mode in ("RGB", "L", "I;16", "I") else opened.convert("RGB")
        values = np.asarray(image)
    if values.dtype != np.uint8:
        low, high = np.percentile(values, (0.5, 99.5))
        values = (np.clip((values - low) / max(high - low, 1e-6), 0, 1) * 255).astype(np.uint8)
    return np.ascontiguousarray(values)


def grey(picture: Picture) -> Picture:
    """Without colour, (h, w)."""
    return picture if picture.ndim == 2 else cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)


def parts(picture: Picture) -> Iterator[Picture]:
    """The whole and its quarters."""
    h, w = picture.shape[:2]
    yield picture
    for y, x in ((0, 0), (0, w // 2), (h // 2, 0), (h // 2, w // 2)):
        yield np.ascontiguousarray(picture[y : y + h // 2, x : x + w // 2])


def photographs(root: Path, rng: np.random.Generator, count: int) -> Iterator[tuple[str, Picture]]:
    """Random cuts of the photographs, half of them grey, some blurred or on black as a screen shows them."""
    whole = [read(root / name) for name in PHOTOGRAPHS]
    for _ in range(count):
        picture = whole[rng.integers(len(whole))]
        h, w = picture.shape[:2]
        side = rng.uniform(0.3, 1.0)
        ch, cw = max(32, round(h * side)), max(32, round(w * side * rng.uniform(0.8, 1.0)))
        y, x = rng.integers(max(1, h - ch + 1)), rng.integers(max(1, w - cw + 1))
        cut = np.ascontiguousarray(picture[y : y + ch, x : x + cw])
        if rng.random() < 0.5:
            cut = grey(cut)
        if rng.random() < 0.2:
            cut = cv2.GaussianBlur(cut, (0, 0), rng.uniform(1, 4))
        if rng.random() < 0.15:
            top, bottom, left, right = (int(v) for v in rng.uniform(0, 60, 4))
            cut = cv2.copyMakeBorder(cut, top, bottom, left, right, cv2.BORDER_CONSTANT, value=[0.0])
        yield "photograph", cut


def drawn(rng: np.random.Generator, count: int) -> Iterator[tuple[str, Picture]]:
    """Pages of text, screens, charts, noise, test bars and patterns."""
    makers = (
        ("page", _page),
        ("screen", _screen),
        ("chart", _chart),
        ("noise", _noise),
        ("pattern", _pattern),
        ("flat", _flat),
    )
    for n in range(count):
        kind, make = makers[n % len(makers)]
        yield kind, make(rng)


def _ink(rng: np.random.Generator) -> tuple[int, int, int]:
    r, g, b = (int(v) for v in rng.integers(0, 256, 3))
    return r, g, b


def _page(rng: np.random.Generator) -> Picture:
    dark = rng.random() < 0.2
    image = Image.new(
        "RGB",
        (int(rng.integers(300, 900)), int(rng.integers(300, 1100))),
        (20, 20, 24) if dark else (252, 252, 250),
    )
    pen = ImageDraw.Draw(image)
    for row in range(int(rng.integers(6, 45))):
        text = " ".join(WORDS[i] for i in rng.integers(0, len(WORDS), int(rng.integers(3, 14))))
        pen.text((30, 20 + row * 22), text, fill="white" if dark else "black")
    return np.asarray(image)


def _screen(rng: np.random.Generator) -> Picture:
    width, height = int(rng.integers(500, 1400)), int(rng.integers(400, 900))
    image = Image.new("RGB", (width, height), _ink(rng) if rng.random() < 0.4 else (244, 244, 246))
    pen = ImageDraw.Draw(image)
    pen.rectangle((0, 0, width, int(rng.integers(24, 70))), fill=_ink(rng))
    pen.rectangle((0, 60, int(rng.integers(60, 260)), height), fill=_ink(rng))
    for _ in range(int(rng.integers(4, 26))):
        x, y = int(rng.integers(0, width)), int(rng.integers(60, height))
        pen.rectangle((x, y, x + int(rng.integers(20, 400)), y + int(rng.integers(8, 120))), fill=_ink(rng))
        pen.text((x, y), " ".join(WORDS[i] for i in rng.integers(0, len(WORDS), 4)), fill=_ink(rng))
    return np.asarray(image)


def _chart(rng: np.random.Generator) -> Picture:
    width, height = int(rng.integers(300, 900)), int(rng.integers(240, 700))
    image = Image.new("RGB", (width, height), "white")
    pen = ImageDraw.Draw(image)
    pen.line((40, 20, 40, height - 40, width - 20, height - 40), fill="black", width=2)
    for _ in range(int(rng.integers(1, 4))):
        colour, points = _ink(rng), int(rng.integers(5, 60))
        xs = np.linspace(45, width - 25, points)
        ys = np.clip(height / 2 + rng.normal(0, height / 30, points).cumsum(), 25, height - 45)
        if rng.random() < 0.5:
            pen.line([(float(x), float(y)) for x, y in zip(xs, ys, strict=True)], fill=colour, width=2)
        else:
            for x, y in zip(xs, ys, strict=True):
                pen.rectangle((float(x), float(y), float(x) + 8, height - 41), fill=colour)
    return np.asarray(image)


def _noise(rng: np.random.Generator) -> Picture:
    shape = (int(rng.integers(64, 400)), int(rng.integers(64, 400)))
    values = rng.integers(0, 256, (*shape, 3) if rng.random() < 0.5 else shape, dtype=np.uint8)
    blur = rng.choice([0.0, 1.0, 4.0, 12.0])
    if blur:
        smooth = cv2.GaussianBlur(values.astype(np.float32), (0, 0), float(blur))
        values = cv2.normalize(smooth, None, 0, 255, cv2.NORM_MINMAX).astype(np.uint8)  # type: ignore[call-overload]
    return values


def _pattern(rng: np.random.Generator) -> Picture:
    y, x = np.mgrid[: int(rng.integers(128, 360)), : int(rng.integers(128, 480))]
    kind = rng.integers(5)
    if kind == 0:  # test bars
        colours = np.array([_ink(rng) for _ in range(int(rng.integers(4, 12)))], np.uint8)
        if rng.random() < 0.5:
            colours = np.array(
                [
                    (255, 255, 255),
                    (255, 255, 0),
                    (0, 255, 255),
                    (0, 255, 0),
                    (255, 0, 255),
                    (255, 0, 0),
                    (0, 0, 255),
                ],
                np.uint8,
            )
        axis = x if rng.random() < 0.7 else y
        return colours[np.minimum(axis * len(colours) // (axis.max() + 1), len(colours) - 1)]
    if kind == 1:
        return (((x // int(rng.integers(4, 60)) + y // int(rng.integers(4, 60))) % 2) * 255).astype(np.uint8)
    if kind == 2:
        return (127 + 127 * np.sin(np.hypot(x - x.mean(), y - y.mean()) / rng.uniform(2, 20))).astype(
            np.uint8
        )
    if kind == 3:
        slope = (x * rng.uniform(-1, 1) + y * rng.uniform(-1, 1)).astype(np.float64)
        return ((slope - slope.min()) / max(np.ptp(slope), 1e-6) * 255).astype(np.uint8)
    image = Image.new("RGB", (x.shape[1], x.shape[0]), _ink(rng))
    pen = ImageDraw.Draw(image)
    for _ in range(int(rng.integers(3, 40))):
        a, b = sorted(int(v) for v in rng.integers(0, x.shape[1], 2))
        c, d = sorted(int(v) for v in rng.integers(0, x.shape[0], 2))
        (pen.ellipse if rng.random() < 0.6 else pen.rectangle)((a, c, b, d), fill=_ink(rng))
    return np.asarray(image)


def _flat(rng: np.random.Generator) -> Picture:
    return np.full(
        (int(rng.integers(64, 400)), int(rng.integers(64, 400)), 3),
        _ink(rng) if rng.random() < 0.6 else int(rng.integers(256)),
        np.uint8,
    )


def held(root: Path) -> Iterator[tuple[str, Picture]]:
    """Pictures of kinds that the line was not drawn against: whole and in quarters, in colour and, of photographs, grey."""
    for kind, names in HELD.items():
        for name in names:
            for part in parts(read(root / name)):
                yield kind, part
                if kind.startswith("photographs"):
                    yield "the same, grey", grey(part)
