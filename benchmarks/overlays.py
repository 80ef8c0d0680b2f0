"""Pictures with text burned into them, drawn by code: ultrasound, radiograph, endoscopy; light and dark; many sizes.

Every picture comes with a mask of each line of text, and has a twin without text that keeps what is no text but
looks a little like it: rulers, colour bars, calipers, side markers' arrows, highlights. The words are random letters
and digits in the shapes such lines have (a name, a date, an identifier); nobody is meant.
"""

from __future__ import annotations

import string
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

Scene = Literal["ultrasound", "radiograph", "endoscopy"]
SCENES: tuple[Scene, ...] = ("ultrasound", "radiograph", "endoscopy")
# Height of a capital letter in pixels.
SIZES: dict[Scene, tuple[int, ...]] = {
    "ultrasound": (8, 10, 12, 16, 24),
    "radiograph": (12, 16, 24, 40, 80),
    "endoscopy": (8, 10, 12, 16, 24),
}
COLOURS: dict[str, tuple[int, int, int]] = {
    "white": (255, 255, 255),
    "grey": (150, 150, 150),
    "yellow": (255, 220, 60),
    "cyan": (80, 220, 230),
}


@dataclass(frozen=True)
class Line:
    """One line of text: `ink` bool (H, W), True where its letters are; `cap` height of a capital in pixels."""

    ink: NDArray[np.bool_]
    cap: int
    look: str  # "white on dark", "black on light" …
    shape: str  # "name", "date", "number", "letter"
    place: str  # "margin" or "picture"


@dataclass(frozen=True)
class Drawn:
    """`picture`: uint8 (H, W, 3), or uint16 (H, W) for radiographs; `inverted`: its lowest value is shown white."""

    scene: Scene
    picture: NDArray[np.generic]
    lines: tuple[Line, ...] = field(default=())
    inverted: bool = False


def draw(scene: Scene, seed: int, cap: int | None, light: bool = False) -> Drawn:
    """A picture with four lines whose capitals are `cap` pixels high, or without any text (None).

    `light`: dark letters on light ground (radiographs: stored as MONOCHROME1; else a white margin as in reports).
    """
    rng = np.random.default_rng([SCENES.index(scene), seed, int(light)])
    base = {"ultrasound": _ultrasound, "radiograph": _radiograph, "endoscopy": _endoscopy}[scene](rng, light)
    shown = base if base.ndim == 3 else None
    if cap is None:
        return Drawn(scene, base, (), scene == "radiograph" and light)
    lines: list[Line] = []
    taken = np.zeros(base.shape[:2], bool)
    for shape in ("name", "number", "date", "letter"):
        place = "picture" if rng.random() < 0.25 else "margin"
        ink, word_cap = _word(rng, shape, cap)
        spot = _spot(rng, base, taken, ink.shape, place, scene)
        if spot is None:
            continue
        top, left = spot
        height, width = ink.shape
        taken[top : top + height, left : left + width] = True
        under = base[top : top + height, left : left + width].astype(np.float32)
        alpha = ink.astype(np.float32) / 255
        if shown is None:
            bright = 4095.0 * (0.75 + 0.25 * rng.random())
            name = "white on dark" if not light else "black on light"
            base[top : top + height, left : left + width] = np.rint(under * (1 - alpha) + bright * alpha)
        else:
            dark_ground = float(under.mean()) < 110
            colour, name = _colour(rng, dark_ground)
            mixed = under * (1 - alpha[..., None]) + np.asarray(colour, np.float32) * alpha[..., None]
            base[top : top + height, left : left + width] = np.rint(mixed)
        mask = np.zeros(base.shape[:2], bool)
        mask[top : top + height, left : left + width] = ink > 96
        lines.append(Line(mask, word_cap, name, shape, place))
    return Drawn(scene, base, tuple(lines), scene == "radiograph" and light)


def display(drawn: Drawn) -> NDArray[np.uint8]:
    """uint8 (H, W, 3) as a viewer shows it."""
    if drawn.picture.ndim == 3:
        return drawn.picture.astype(np.uint8)
    grey = np.clip(drawn.picture.astype(np.float32) / 4095 * 255, 0, 255)
    return np.repeat((255 - grey if drawn.inverted else grey).astype(np.uint8)[..., None], 3, axis=2)


def _colour(rng: np.random.Generator, dark_ground: bool) -> tuple[tuple[int, int, int], str]:
    if not dark_ground:
        return (20, 20, 20), "black on light"
    name = str(rng.choice(list(COLOURS)))
    return COLOURS[name], f"{name} on dark"


def _word(rng: np.random.Generator, shape: str, cap: int) -> tuple[NDArray[np.uint8], int]:
    """uint8 (h, w) coverage of a word whose capitals are `cap` pixels high, in one of three faces."""
    letters, digits = list(string.ascii_uppercase), list(string.digits)

    def some(kind: Sequence[str], n: int) -> str:
        return "".join(rng.choice(kind, n))

    name = f"{some(letters, int(rng.integers(4, 9)))}{rng.choice(['^', ', ', ' '])}"
    date = str(rng.choice([".", "/", "-"])).join((some(digits, 2), some(digits, 2), some(digits, 4)))
    words = {
        "name": name + some(letters, int(rng.integers(3, 7))),
        "number": f"{rng.choice(['ID', 'No.', 'PID:'])} {some(digits, int(rng.integers(6, 10)))}",
        "date": f"{date} {some(digits, 2)}:{some(digits, 2)}",
        "letter": str(rng.choice(["L", "R"])),
    }
    text, face = words[shape], int(rng.integers(3))
    if face == 0:  # a stroke font, as older devices draw
        scale = cap / 21.0  # Hershey simplex capitals are 21 units high
        thickness = max(1, round(cap / 9))
        (width, height), below = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, scale, thickness)
        canvas = np.zeros((height + below + 6, width + 6), np.uint8)
        cv2.putText(
            canvas, text, (3, height + 3), cv2.FONT_HERSHEY_SIMPLEX, scale, 255, thickness, cv2.LINE_AA
        )
    else:
        font = ImageFont.load_default(cap / 0.72)
        box = font.getbbox(text)
        drawing = Image.new("L", (int(box[2]) + 6, int(box[3]) + 6), 0)
        pen = ImageDraw.Draw(drawing)
        pen.fontmode = "1" if face == 2 else "L"  # without smoothing, as a frame grabber leaves it
        pen.text((3, 3), text, font=font, fill=255)
        canvas = np.asarray(drawing).copy()
    return canvas, cap


def _spot(
    rng: np.random.Generator,
    base: NDArray[np.generic],
    taken: NDArray[np.bool_],
    size: tuple[int, ...],
    place: str,
    scene: Scene,
) -> tuple[int, int] | None:
    """(row, column) where nothing is written yet: near an edge, or anywhere in the picture."""
    height, width = base.shape[:2]
    h, w = size[0], size[1]
    if h + 8 >= height or w + 8 >= width:
        return None
    for _ in range(60):
        if place == "picture":
            top = int(rng.integers(height // 4, max(height // 4 + 1, 3 * height // 4 - h)))
            left = int(rng.integers(4, width - w - 4))
        else:
            band = max(h + 6, height // 8)
            top = int(rng.integers(4, max(5, band - h)))
            if rng.random() < 0.5:
                top = height - h - top
            left = int(rng.integers(4, width - w - 4))
            if scene == "endoscopy":  # beside the round picture
                left = int(rng.integers(4, max(5, width // 4 - w)))
                top = int(rng.integers(4, height - h - 4))
        around = taken[max(0, top - 4) : top + h + 4, max(0, left - 6) : left + w + 6]
        if not around.any():
            return top, left
    return None


def _noise(rng: np.random.Generator, size: tuple[int, int], grain: float) -> NDArray[np.float32]:
    noise = rng.standard_normal(size).astype(np.float32)
    return np.asarray(cv2.GaussianBlur(noise, (0, 0), grain), dtype=np.float32)


def _ultrasound(rng: np.random.Generator, light: bool) -> NDArray[np.generic]:
    """800 x 600: a sector with speckle, depth ruler, grey bar, caliper crosses and a focus mark."""
    h, w = 600, 800
    rows, cols = np.mgrid[:h, :w].astype(np.float32)
    r, angle = np.hypot(rows + 40, cols - w / 2), np.arctan2(cols - w / 2, rows + 40)
    sector = (r > 90) & (r < 590) & (np.abs(angle) < 0.62)
    echo = np.abs(_noise(rng, (h, w), 1.6))
    tissue = 0.5 + 2.5 * np.abs(_noise(rng, (h, w), 30)) * 10
    grey = np.where(sector, np.clip(echo * 420 * tissue, 0, 235), 0)
    picture = np.repeat(grey[..., None], 3, axis=2)
    if light:
        picture[~sector] = (228, 230, 232)
    ink = (40, 40, 40) if light else (190, 190, 190)
    for k in range(11):
        y = 50 + 50 * k
        cv2.line(picture, (w - 60, y), (w - 52 - 8 * (k % 5 == 0), y), ink, 1)
    for k in range(200):
        cv2.line(picture, (20, 120 + k), (32, 120 + k), (255 - k, 255 - k, 255 - k), 1)
    for _ in range(2):
        y, x = int(rng.integers(200, 420)), int(rng.integers(320, 480))
        cv2.drawMarker(picture, (x, y), (255, 255, 60), cv2.MARKER_CROSS, 11, 1)
    cv2.fillConvexPoly(picture, np.array([[w - 75, 300], [w - 67, 296], [w - 67, 304]]), ink)
    return picture.astype(np.uint8)


def _radiograph(rng: np.random.Generator, light: bool) -> NDArray[np.generic]:
    """1400 x 1200, 12 bits in uint16: a trunk with two lungs, ribs, collimated edges, grain and a lead marker's bar."""
    h, w = 1400, 1200
    rows, cols = np.mgrid[:h, :w].astype(np.float32)
    trunk = np.exp(-(((cols - w / 2) / (0.42 * w)) ** 4) - ((rows - 0.6 * h) / (0.75 * h)) ** 6)
    lungs = sum(
        np.exp(-(((cols - w * x) / (0.13 * w)) ** 2) - ((rows - 0.45 * h) / (0.24 * h)) ** 2)
        for x in (0.32, 0.68)
    )
    ribs = 0.05 * np.sin(rows / 42 + ((cols - w / 2) / 260) ** 2) * lungs
    values = 0.72 * trunk - 0.55 * lungs * trunk + ribs + 0.012 * rng.standard_normal((h, w)) + 0.08
    values[:, : int(rng.integers(10, 70))] = 0.02
    values[-int(rng.integers(10, 70)) :] = 0.02
    picture: NDArray[np.float64] = np.clip(values, 0, 1) * 3600
    cv2.rectangle(picture, (w - 90, 120), (w - 84, 170), 4000.0, -1)
    return picture.astype(np.uint16)


def _endoscopy(rng: np.random.Generator, light: bool) -> NDArray[np.generic]:
    """1280 x 720: a round, red, wet field with folds, highlights and an instrument, beside an empty column."""
    h, w = 720, 1280
    rows, cols = np.mgrid[:h, :w].astype(np.float32)
    field_of_view = (rows - h / 2) ** 2 + (cols - 0.62 * w) ** 2 < (0.49 * h) ** 2
    folds = 0.5 + 0.5 * np.sin(np.hypot(rows - 0.4 * h, cols - 0.6 * w) / 26 + 40 * _noise(rng, (h, w), 40))
    red = 90 + 110 * folds
    picture = np.stack([red, red * 0.45, red * 0.38], axis=-1).astype(np.float32)
    for _ in range(30):
        y, x = int(rng.integers(60, h - 60)), int(rng.integers(int(0.4 * w), int(0.85 * w)))
        cv2.ellipse(
            picture, (x, y), (int(rng.integers(2, 14)), int(rng.integers(1, 5))), float(rng.integers(0, 180)), 0, 360,
            (250, 240, 240), -1,
        )  # fmt: skip
    cv2.line(picture, (int(0.9 * w), h), (int(0.7 * w), int(0.6 * h)), (170, 170, 175), 26)
    picture[~field_of_view] = 235 if light else 6
    return np.clip(picture + rng.standard_normal((h, w, 1)) * 3, 0, 255).astype(np.uint8)
