"""What an editing expert is taught, made as it is needed: (given picture, wanted picture, instruction) by task.

Everything a step sees is a pure function of seed and step. Pictures are moved and their contrast changed, given and
wanted alike; only pictures without a side in their words are mirrored.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from train.draw.data.balance import Balance
from train.draw.data.edits import (
    ZONES,
    coarse,
    draw_opacity,
    opacity_places,
    put_opacity,
    sequence_pairs,
)
from train.draw.data.latents import NOT_DRAWN
from train.draw.data.pictures import SIDE, Pictures
from train.draw.text import instructions

EDIT_TASKS = ("super_resolution", "translation", "counterfactual")


@dataclass(frozen=True)
class Lesson:
    """given, wanted: uint8 (B, S, S, 3); texts: what was asked for."""

    given: np.ndarray
    wanted: np.ndarray
    texts: list[str]


def moved(images: list[np.ndarray], rng: np.random.Generator, mirror: bool) -> list[np.ndarray]:
    """The same small turn, shift, scale and contrast for all of them."""
    turn = cv2.getRotationMatrix2D((SIDE / 2, SIDE / 2), rng.uniform(-6, 6), rng.uniform(0.92, 1.12))
    turn[:, 2] = turn[:, 2] + rng.uniform(-6, 6, 2)
    gamma, flip = np.exp(rng.uniform(-0.25, 0.25)), mirror and rng.random() < 0.5
    table = (255 * (np.arange(256) / 255) ** gamma).round().astype(np.uint8)
    out = [
        cv2.LUT(cv2.warpAffine(image, turn, (SIDE, SIDE), flags=cv2.INTER_LINEAR), table) for image in images
    ]
    return [np.ascontiguousarray(image[:, ::-1]) for image in out] if flip else out


class Teacher:
    """Draws lessons of one task from the training part."""

    def __init__(self, pictures: Pictures, task: str) -> None:
        self.pictures, self.task = pictures, task
        rows = pictures.rows
        keys: list[tuple[str, ...]]
        self.pairs = sequence_pairs(pictures, "train") if task == "translation" else []
        if task == "translation":
            places = np.arange(len(self.pairs))
            keys = [(rows[a].record, rows[b].record, rows[a].plane) for a, b in self.pairs]
        elif task == "counterfactual":
            places = np.array(opacity_places(pictures, "train"))
            keys = [(rows[p].source, rows[p].labels.get("modality", "")) for p in places]
        else:
            places = np.array([p for p in pictures.of("train") if rows[p].source not in NOT_DRAWN])
            keys = [(rows[p].subject, rows[p].source, rows[p].plane) for p in places]
        self.balance = Balance(places, keys)

    def lesson(self, rng: np.random.Generator, count: int) -> Lesson:
        """``count`` examples."""
        one = {
            "super_resolution": self._sharpen,
            "translation": self._translate,
            "counterfactual": self._counterfactual,
        }[self.task]
        made = [one(int(place), rng) for place in self.balance.draw(rng, count)]
        given, wanted, texts = zip(*made, strict=True)
        return Lesson(np.stack(given), np.stack(wanted), list(texts))

    def _image(self, place: int) -> np.ndarray:
        return np.asarray(self.pictures.pixels[place])

    def _sharpen(self, place: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, str]:
        image = self._image(place)
        if rng.random() < 0.5:
            image = np.ascontiguousarray(image[:, ::-1])
        return coarse(image), image, str(rng.choice(instructions.sharpen()))

    def _translate(self, number: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, str]:
        a, b = self.pairs[number]
        given, wanted = moved([self._image(a), self._image(b)], rng, mirror=True)
        words = instructions.translate(self.pictures.rows[b].labels["sequence"])
        return given, wanted, str(rng.choice(words))

    def _counterfactual(self, place: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, str]:
        (image,) = moved([self._image(place)], rng, mirror=False)
        flat = self.pictures.rows[place].labels.get("modality") == "X-ray"
        kind = rng.choice(("remove", "insert", "keep"), p=(0.3, 0.55, 0.15) if flat else (0.7, 0.0, 0.3))
        removal = str(rng.choice(instructions.remove()))
        if kind == "insert":
            side, zone = str(rng.choice(("left", "right"))), str(rng.choice(ZONES))
            put = put_opacity(image, side, zone)
            if put is not None:
                return image, put.picture, str(rng.choice(instructions.insert(side, zone)))
        elif kind == "remove":
            drawn = draw_opacity(image, rng)
            if drawn is not None:
                return drawn.picture, image, removal
        return image, image, removal
