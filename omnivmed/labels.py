"""Names and colours of a label map, whose numbers say what a pixel is of, not how bright it is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Colour = tuple[int, int, int]
# Told apart by colour-blind eyes too (Okabe and Ito 2008, without black), then paler ones; repeated beyond.
PALETTE: tuple[Colour, ...] = (
    (230, 159, 0), (86, 180, 233), (0, 158, 115), (240, 228, 66), (0, 114, 178), (213, 94, 0), (204, 121, 167),
    (255, 214, 153), (190, 226, 247), (140, 220, 196), (250, 245, 175), (138, 180, 222), (247, 178, 138),
    (236, 196, 219),
)  # fmt: skip
BACKGROUND: Colour = (0, 0, 0)


class Label(NamedTuple):
    """One label: its number in the picture, what it stands for (in this program's words) and how it is drawn."""

    number: int
    name: str
    colour: Colour


def colour_of(number: int) -> Colour:
    """The palette's colour of a label, from 1 on."""
    return PALETTE[(number - 1) % len(PALETTE)]


def colour_table(dtype: np.dtype[Any], labels: Sequence[Label], background: int = 0) -> NDArray[np.uint8]:
    """uint8 (256 or 65536, 3): colour by stored number of an unsigned type. The background is black; numbers that no
    label names have the palette's colours, so that nothing is invisible."""
    count = 2 ** (8 * dtype.itemsize)
    table = np.asarray(PALETTE, np.uint8)[(np.arange(count) - 1) % len(PALETTE)]
    for label in labels:
        if 0 <= label.number < count:
            table[label.number] = label.colour
    table[background] = BACKGROUND
    return np.ascontiguousarray(table)
