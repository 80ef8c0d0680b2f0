"""Prompts for a picture's labels, in many wordings; the last of every list are held out and only asked in tests."""

from __future__ import annotations

import itertools
import re
from dataclasses import dataclass

HELD_OUT = 2
"""Wordings at the end of every list that are never trained on."""

SEQUENCES = {
    "T1": ("T1", "T1-weighted", "T1w"),
    "T2": ("T2", "T2-weighted", "T2w"),
    "FLAIR": ("FLAIR", "T2 FLAIR"),
    "T1 with contrast": ("T1 with contrast", "contrast-enhanced T1", "T1 post gadolinium", "T1 + Gd"),
}
ORGANS = {"head": ("head", "brain", "skull"), "chest": ("chest", "thorax"), "abdomen": ("abdomen", "belly")}
VIEWS = {"PA": "PA", "AP": "AP"}
FORMS = {
    "X-ray": (
        "{organ} X-ray",
        "X-ray of the {organ}",
        "a {organ} radiograph",
        "radiograph of the {organ}",
        "an X-ray image of a {organ}",
        "plain film of the {organ}",
        "show me a {organ} X-ray",
        "{organ} xray",
        "draw an X-ray of a {organ}",
        "I would like to see a {organ} X-ray",
        "{organ} radiography",
    ),
    "CT": (
        "{plane} CT of the {organ}",
        "{organ} CT, {plane}",
        "a {plane} CT slice of the {organ}",
        "{plane} CT scan through the {organ}",
        "computed tomography of the {organ}, {plane} plane",
        "{organ} CT",
        "CT of the {organ}",
        "draw a {plane} CT of the {organ}",
        "CT slice of the {organ}",
        "show a {plane} computed tomography of the {organ}",
        "{plane} {organ} CT image",
    ),
    "MRI": (
        "{plane} {sequence} MRI of the {organ}",
        "{sequence} MRI of the {organ}, {plane}",
        "{organ} MRI, {sequence}, {plane}",
        "a {plane} {sequence} MR image of the {organ}",
        "{plane} MRI of the {organ}",
        "MRI of the {organ}",
        "{organ} MRI",
        "{sequence} {organ} MRI",
        "MR slice of the {organ}, {plane} plane, {sequence}",
        "show me a {plane} {sequence} magnetic resonance image of the {organ}",
        "{plane} {organ} MR, {sequence}",
    ),
    "ultrasound": (
        "lung ultrasound",
        "ultrasound of the lung",
        "a lung ultrasound frame",
        "sonogram of the lung",
        "an ultrasound image of the lung",
        "chest wall ultrasound showing the lung",
        "draw a lung ultrasound",
        "lung sonography",
        "sonography of a lung",
    ),
    "microscopy": (
        "blood smear",
        "microscopy of a blood smear",
        "a blood film under the microscope",
        "blood cells under the microscope",
        "peripheral blood smear",
        "a stained blood smear",
        "microscope image of blood cells",
        "light microscopy of blood",
        "a picture of a stained blood film",
    ),
}
WINDOWS = {
    "soft tissue": "soft tissue window",
    "lung": "lung window",
    "brain": "brain window",
    "bone": "bone window",
}


@dataclass(frozen=True)
class Key:
    """What a prompt says of a picture: labels that are empty are not said."""

    modality: str
    organ: str = ""
    plane: str = ""
    sequence: str = ""
    window: str = ""
    view: str = ""


def key_of(labels: dict[str, str]) -> Key | None:
    """The key of a picture's labels; None where nothing is written about pictures of its kind."""
    modality = labels.get("modality", "")
    if modality not in FORMS or not labels.get("organ"):
        return None
    if modality == "ultrasound" and labels["organ"] != "lung":
        return None
    named = {name: labels.get(name, "") for name in ("organ", "plane", "sequence", "window", "view")}
    return Key(modality, **named)


def wordings(key: Key, held_out: bool = False) -> list[str]:
    """All prompts for a key, trained ones or those held out; they name a label or leave it unsaid."""
    forms = FORMS[key.modality]
    forms = forms[-HELD_OUT:] if held_out else forms[:-HELD_OUT]
    organs = ORGANS.get(key.organ, (key.organ,))
    sequences = SEQUENCES.get(key.sequence, (key.sequence,))
    out: list[str] = []
    for form, organ, sequence in itertools.product(forms, organs, sequences):
        if ("{sequence}" in form and not sequence) or ("{plane}" in form and not key.plane):
            form = form.replace("{sequence} ", "").replace(", {sequence}", "")
            form = form.replace("{plane} ", "").replace(", {plane}", "").replace(" plane", "")
        text = form.format(organ=organ, plane=key.plane, sequence=sequence)
        text = re.sub(r"\b(a|A) (?=[aeiou])", r"\1n ", text)
        tails = [""]
        if key.window:
            tails.append(f", {WINDOWS[key.window]}")
        if key.view:
            tails += [f", {key.view} view", f", {key.view}"]
        if key.modality == "X-ray" and key.organ == "chest":
            tails.append(", frontal")
        out += [text + tail for tail in tails]
    out += [text[0].upper() + text[1:] for text in out[::3]]
    return list(dict.fromkeys(out))
