"""Phantom data for the tiny recipe: stills, volumes and clips drawn by code, as files in the public layouts.

Shapes on a dim, noisy ground. Every answer is in the picture, none in the question.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from PIL import Image

SIDE = 56
SHAPES = ("disc", "square", "cross")
TONES = {"bright": 230, "grey": 130}
FRAMES = 6
STILLS, VOLUMES, CLIPS = 600, 150, 150


def draw(shape: str, value: int, centre: tuple[int, int], ground: np.ndarray) -> np.ndarray:
    """uint8 (H, W): the shape, 20 pixels across, on a copy of the ground. centre: row, column."""
    rows, cols = np.mgrid[: ground.shape[0], : ground.shape[1]]
    y, x = np.abs(rows - centre[0]), np.abs(cols - centre[1])
    inside = {
        "disc": y**2 + x**2 <= 100,
        "square": np.maximum(y, x) <= 9,
        "cross": (np.maximum(y, x) <= 10) & (np.minimum(y, x) <= 2),
    }[shape]
    return np.where(inside, value, ground).astype(np.uint8)


def write(
    folder: Path, seed: int = 0, stills: int = STILLS, volumes: int = VOLUMES, clips: int = CLIPS
) -> None:
    """Write `captions.jsonl`, `questions.jsonl`, `volumes.jsonl`, `clips.jsonl` and their files; the same for a seed.

    About a fifth of the stills' rows carry two pictures, as in PubMedVision; every tenth question row is text alone.
    """
    rng = np.random.default_rng(seed)
    folder.mkdir(parents=True, exist_ok=True)
    captions, questions = [], []
    drawn = [_still(folder, i, rng) for i in range(stills)]
    for i, (name, shape, tone) in enumerate(drawn):
        caption = f"A {tone} {shape}."
        if i % 5 == 4:
            before = drawn[i - 1]
            row = {"image": [before[0], name]}
            captions.append(_row(row, "Describe the pictures.", f"A {before[2]} {before[1]}. {caption}"))
        else:
            captions.append(_row({"image": name}, "Describe the picture.", caption))
        if i % 10 == 9:
            questions.append(_row({}, "Is this for clinical use?", "No."))
        elif i % 2:
            questions.append(_row({"image": name}, "Which shape is shown?", f"A {shape}."))
        else:
            questions.append(_row({"image": name}, "Is the shape bright or grey?", f"{tone.capitalize()}."))
    _save(folder / "captions.jsonl", captions)
    _save(folder / "questions.jsonl", questions)
    _save(folder / "volumes.jsonl", [_volume(folder, i, rng) for i in range(volumes)])
    _save(folder / "clips.jsonl", [_clip(folder, i, rng) for i in range(clips)])


def _ground(rng: np.random.Generator) -> np.ndarray:
    return rng.integers(10, 40, (SIDE, SIDE))


def _choice(rng: np.random.Generator) -> tuple[str, str, tuple[int, int]]:
    shape = SHAPES[int(rng.integers(len(SHAPES)))]
    tone = tuple(TONES)[int(rng.integers(len(TONES)))]
    return shape, tone, (int(rng.integers(14, SIDE - 14)), int(rng.integers(14, SIDE - 14)))


def _still(folder: Path, number: int, rng: np.random.Generator) -> tuple[str, str, str]:
    shape, tone, centre = _choice(rng)
    name = f"images/{number:04d}.png"
    _png(folder / name, draw(shape, TONES[tone], centre, _ground(rng)))
    return name, shape, tone


def _volume(folder: Path, number: int, rng: np.random.Generator) -> dict[str, object]:
    """A stack in which the shape stands in a run of slices; the rest is the same ground, so pruning bites."""
    shape, tone, centre = _choice(rng)
    ground = _ground(rng)
    stack = np.repeat(ground[None], FRAMES, axis=0).astype(np.float32)
    upper = bool(rng.integers(2))
    for z in range(1, 3) if upper else range(4, 6):
        stack[z] = draw(shape, TONES[tone], centre, ground)
    name = f"volumes/{number:04d}.npy"
    (folder / name).parent.mkdir(exist_ok=True)
    np.save(folder / name, stack[None] / 255)
    media = {"volume": {"path": name, "window": [0.5, 1.0], "num_slices": FRAMES}}
    if number % 2:
        return _row(
            media, "Is the shape in the first or the last slices?", "The first." if upper else "The last."
        )
    return _row(media, "Which shape is in the volume?", f"A {shape}.")


def _clip(folder: Path, number: int, rng: np.random.Generator) -> dict[str, object]:
    shape, tone, (row, _) = _choice(rng)
    ground = _ground(rng)
    right = bool(rng.integers(2))
    name = f"clips/{number:04d}"
    for k in range(FRAMES):
        column = 12 + 6 * (k if right else FRAMES - 1 - k)
        _png(folder / name / f"{k}.png", draw(shape, TONES[tone], (row, column), ground))
    return _row(
        {"video": [name], "fps": 1}, "Which way does it move?", "To the right." if right else "To the left."
    )


def _row(media: Mapping[str, object], question: str, answer: str) -> dict[str, object]:
    talk = [{"from": "human", "value": question}, {"from": "gpt", "value": answer}]
    return {**media, "conversations": talk}


def _png(path: Path, grey: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.repeat(grey[..., None], 3, axis=2)).save(path)


def _save(path: Path, rows: list[dict[str, object]]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
