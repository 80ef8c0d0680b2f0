"""How people ask for a change of a picture; the last of every list are held out and only asked in tests."""

from __future__ import annotations

from train.draw.text.wordings import HELD_OUT, SEQUENCES

SHARPEN = (
    "sharpen this picture",
    "make this picture four times sharper",
    "increase the resolution",
    "4x super-resolution",
    "enhance the resolution of this image",
    "upscale this image",
    "show more detail",
    "make this image sharper",
)
TRANSLATE = (
    "show this as {sequence}",
    "translate this MRI to {sequence}",
    "what would this look like in {sequence}?",
    "turn this slice into {sequence}",
    "convert to {sequence}",
    "the same slice in {sequence}",
    "make a {sequence} image of this slice",
)
INSERT = (
    "add a round opacity in the {side} {zone} zone",
    "the same chest with an opacity in the {side} {zone} zone",
    "insert a nodule in the {side} {zone} zone",
    "show this with a round opacity in the {side} {zone} zone",
    "put an opacity into the {side} {zone} lung zone",
    "draw a round opacity in the {side} {zone} zone",
    "the same picture with a nodule in the {side} {zone} zone",
)
REMOVE = (
    "remove the opacity",
    "the same chest without the opacity",
    "take the round opacity away",
    "show this without the nodule",
    "remove the round opacity",
    "the same picture without the opacity",
    "without it",
)


def _part(forms: tuple[str, ...], held_out: bool) -> tuple[str, ...]:
    return forms[-HELD_OUT:] if held_out else forms[:-HELD_OUT]


def sharpen(held_out: bool = False) -> list[str]:
    """Asks for four times the resolution."""
    return list(_part(SHARPEN, held_out))


def translate(sequence: str, held_out: bool = False) -> list[str]:
    """Asks for the same MR slice in another sequence."""
    return [form.format(sequence=name) for form in _part(TRANSLATE, held_out) for name in SEQUENCES[sequence]]


def insert(side: str, zone: str, held_out: bool = False) -> list[str]:
    """Asks for a round opacity in a zone of the lungs; side: the patient's, "left" or "right"."""
    return [form.format(side=side, zone=zone) for form in _part(INSERT, held_out)]


def remove(held_out: bool = False) -> list[str]:
    """Asks for the opacity to be taken away."""
    return list(_part(REMOVE, held_out))
