"""Mutations that have broken readers: flipped bits, cut ends, lying numbers, repeated and swapped pieces."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

_NUMBERS = (0, 1, 0x7F, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFFF, 0x80000000, 0xFFFFFFF0, 65500)


def mutate(data: bytes, rng: np.random.Generator, other: bytes | None = None) -> bytes:
    """One to four mutations of the data; pieces may come from `other`."""
    changed = bytearray(data)
    for _ in range(int(rng.integers(1, 5))):
        if len(changed) < 8:
            break
        _MUTATIONS[int(rng.integers(len(_MUTATIONS)))](changed, rng)
    if other and rng.random() < 0.1:
        start = int(rng.integers(len(changed)))
        changed[start:] = other[min(start, len(other) // 2) :]
    return bytes(changed)


def _flip(data: bytearray, rng: np.random.Generator) -> None:
    for _ in range(int(rng.integers(1, 9))):
        data[_place(data, rng)] ^= 1 << int(rng.integers(8))


def _byte(data: bytearray, rng: np.random.Generator) -> None:
    for _ in range(int(rng.integers(1, 9))):
        data[_place(data, rng)] = int(rng.choice([0, 255, int(rng.integers(256))]))


def _number(data: bytearray, rng: np.random.Generator) -> None:
    width = int(rng.choice([1, 2, 4]))
    order = "little" if rng.random() < 0.5 else "big"
    start = min(_place(data, rng), len(data) - width)
    value = int(rng.choice(_NUMBERS)) & (256**width - 1)
    data[start : start + width] = value.to_bytes(width, order)


def _cut(data: bytearray, rng: np.random.Generator) -> None:
    del data[int(rng.integers(len(data) // 2, len(data))) :]


def _remove(data: bytearray, rng: np.random.Generator) -> None:
    start = _place(data, rng)
    del data[start : start + int(rng.integers(1, 64))]


def _repeat(data: bytearray, rng: np.random.Generator) -> None:
    start = _place(data, rng)
    piece = data[start : start + int(rng.integers(1, 256))]
    data[start:start] = bytes(piece) * int(rng.integers(1, 20))


def _swap(data: bytearray, rng: np.random.Generator) -> None:
    a, b, n = _place(data, rng), _place(data, rng), int(rng.integers(1, 32))
    piece = bytes(data[a : a + n])
    data[a : a + n] = data[b : b + n]
    data[b : b + n] = piece


def _noise(data: bytearray, rng: np.random.Generator) -> None:
    start, n = _place(data, rng), int(rng.integers(4, 200))
    data[start : start + n] = rng.integers(0, 256, min(n, len(data) - start), np.uint8).tobytes()


def _place(data: bytearray, rng: np.random.Generator) -> int:
    """Half of the time near the start, where headers are."""
    end = min(len(data), 512) if rng.random() < 0.5 else len(data)
    return int(rng.integers(max(1, end)))


_MUTATIONS: tuple[Callable[[bytearray, np.random.Generator], None], ...] = (
    _flip, _flip, _byte, _number, _number, _cut, _remove, _repeat, _swap, _noise
)  # fmt: skip
