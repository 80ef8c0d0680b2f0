"""Pairs of pictures for edits whose truth is known: by making the picture worse, by another sequence, by drawing.

Nothing is invented: a sharp picture and its own coarse copy; one slice of one patient in two registered sequences; a
radiograph or CT slice with and without a round opacity that code has drawn, so that its place is known to the pixel.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from train.draw.data.pictures import SIDE, Pictures, Row

COARSE = 4
ZONES = ("upper", "middle", "lower")


def coarse(image: np.ndarray, factor: int = COARSE) -> np.ndarray:
    """uint8 picture reduced by area and brought back by bicubic: what super-resolution begins with."""
    small = cv2.resize(
        image, (image.shape[1] // factor, image.shape[0] // factor), interpolation=cv2.INTER_AREA
    )
    return cv2.resize(small, image.shape[1::-1], interpolation=cv2.INTER_CUBIC)


def sequence_pairs(pictures: Pictures, split: str) -> list[tuple[int, int]]:
    """(place, place) of one slice in two sequences: same source and patient, same visit, same plane and index."""
    groups: dict[tuple[str, ...], list[int]] = {}
    for place in pictures.of(split):
        row = pictures.rows[place]
        if row.source in ("mri_open_ms", "mri_stroke"):
            groups.setdefault((row.source, visit(row), row.plane, str(row.index)), []).append(int(place))
    return [(a, b) for members in groups.values() for a in members for b in members if a != b]


def visit(row: Row) -> str:
    """The visit a volume belongs to: its name without the sequence at the end."""
    return row.record.rpartition("_")[0] if row.source == "mri_open_ms" else row.patient


@dataclass(frozen=True)
class Opacity:
    """A round opacity that was drawn. mask: bool (S, S), where it is; side: the patient's; zone: of the lungs."""

    picture: np.ndarray
    mask: np.ndarray
    side: str
    zone: str


def lungs(image: np.ndarray) -> np.ndarray:
    """Bool (S, S): where a lung may be, a guess by darkness inside the chest; for placing opacities only."""
    grey = cv2.GaussianBlur(image[..., 0], (0, 0), 3).astype(np.float32)
    body = grey > 12
    inside = np.zeros(grey.shape, bool)
    inside[round(0.14 * SIDE) : round(0.78 * SIDE), round(0.1 * SIDE) : round(0.9 * SIDE)] = True
    middle = np.zeros(grey.shape, bool)
    middle[:, round(0.44 * SIDE) : round(0.56 * SIDE)] = True
    region = inside & ~middle
    return region & (grey < np.median(grey[region])) & (body | (grey < 60))


def draw_opacity(image: np.ndarray, rng: np.random.Generator) -> Opacity | None:
    """A round opacity of 4 to 11 pixels' radius with a soft, slightly uneven edge; None where no lung is found."""
    places = np.argwhere(lungs(image))
    if len(places) < 50:
        return None
    y, x = places[rng.integers(len(places))]
    radius, edge = rng.uniform(4, 11), rng.uniform(0.8, 2.2)
    strength = rng.uniform(45, 110)
    ys, xs = np.mgrid[:SIDE, :SIDE]
    angle, stretch = rng.uniform(0, np.pi), rng.uniform(0.85, 1.18)
    a = (xs - x) * np.cos(angle) + (ys - y) * np.sin(angle)
    b = -(xs - x) * np.sin(angle) + (ys - y) * np.cos(angle)
    distance = np.hypot(a * stretch, b / stretch)
    profile = 1 / (1 + np.exp((distance - radius) / edge * 2))
    uneven = cv2.GaussianBlur(rng.standard_normal((SIDE, SIDE)).astype(np.float32), (0, 0), 3)
    added = profile * strength * (1 + 0.8 * uneven)
    out = np.clip(image.astype(np.float32) + added[..., None], 0, 245).astype(np.uint8)
    out = np.maximum(out, image)
    side = "left" if x > SIDE / 2 else "right"  # radiographs are looked at face to face
    rows = places[:, 0]
    share = (y - rows.min()) / max(1, rows.max() - rows.min())
    zone = ZONES[min(2, int(share * 3))]
    return Opacity(out, profile > 0.5, side, zone)


def zone_place(image: np.ndarray, side: str, zone: str) -> tuple[float, float] | None:
    """(row, column) of the middle of a zone of the lungs; None where no lung is found there.

    side: the patient's, on a picture looked at face to face. The zones are thirds of the height of both lungs.
    """
    places = np.argwhere(lungs(image))
    if len(places) < 50:
        return None
    low, high = np.percentile(places[:, 0], (3, 97))
    top = low + ZONES.index(zone) * (high - low) / 3
    inside = (places[:, 0] >= top) & (places[:, 0] <= top + (high - low) / 3)
    inside &= (places[:, 1] > SIDE / 2) == (side == "left")
    if int(inside.sum()) < 30:
        return None
    rows, columns = np.median(places[inside], axis=0)
    return float(rows), float(columns)


def put_opacity(image: np.ndarray, side: str, zone: str) -> Opacity | None:
    """The round opacity that an instruction with side and zone asks for; None where no lung is found there.

    Always in the middle of the zone, of 8 pixels' radius and one strength: words that name no other place and size
    have one answer, so that what is drawn can be held against a mask.
    """
    place = zone_place(image, side, zone)
    if place is None:
        return None
    ys, xs = np.mgrid[:SIDE, :SIDE]
    profile = 1 / (1 + np.exp((np.hypot(ys - place[0], xs - place[1]) - 8) * 1.6))
    out = np.clip(image.astype(np.float32) + 75 * profile[..., None], 0, 245).astype(np.uint8)
    return Opacity(np.maximum(out, image), profile > 0.5, side, zone)


def opacity_places(pictures: Pictures, split: str) -> list[int]:
    """Chest radiographs, and axial chest CT, of a split."""
    out = []
    for place in pictures.of(split):
        row = pictures.rows[place]
        if row.labels.get("organ") != "chest" or row.source == "vqa_rad":
            continue
        ct = row.labels.get("modality") == "CT" and row.plane in ("", "axial")
        if row.labels.get("modality") == "X-ray" or ct:
            out.append(int(place))
    return out
