"""The answer normalisation of the LLaVA-Med evaluation (after the VQA challenge), written anew.

Its steps and oddities are kept because published 2D scores depend on them; `docs/evaluation.md` lists them.
"""

from __future__ import annotations

import re

PUNCTUATION = ';/[]"{}()=+\\_-><@`,?!'
ARTICLES = frozenset({"a", "an", "the"})
NUMBERS = {
    "none": "0", "zero": "0", "one": "1", "two": "2", "three": "3", "four": "4",
    "five": "5", "six": "6", "seven": "7", "eight": "8", "nine": "9", "ten": "10",
}  # fmt: skip

_DIGIT_COMMA_DIGIT = re.compile(r"\d,\d")
_PERIOD = re.compile(r"\.(?!\d)")

_CONTRACTED = (
    "ain't aren't can't could've couldn't didn't doesn't don't hadn't hasn't haven't he'd he's how'd how'll how's "
    "i'd i'm i've isn't it'd it'll let's ma'am might've mightn't must've mustn't needn't o'clock oughtn't shan't "
    "she'd she's should've shouldn't that's there'd there're there's they'd they'll they're they've wasn't we'd "
    "we've weren't what'll what're what's what've when's where'd where's where've who'd who'll who's who've why'll "
    "why're why's won't would've wouldn't y'all you'd you'll you're you've"
)
CONTRACTIONS = {
    word.replace("'", ""): word
    for word in _CONTRACTED.split()
    # These read as words of their own without the apostrophe and are left alone by the public table.
    if word.replace("'", "") not in {"hed", "id", "ill", "shed", "shell", "wed", "well", "were", "its"}
}
"""Word without its apostrophe -> contraction. Both texts pass through it, so it only aligns spellings."""


def normalise_once(text: str) -> str:
    """One pass: punctuation, periods, number words, articles, contractions, commas.

    Each punctuation mark is deleted where the string holds it next to a space, or holds digit-comma-digit at
    all; otherwise it becomes a space.
    """
    text = text.lower()
    out = text
    for mark in PUNCTUATION:
        beside_space = f"{mark} " in text or f" {mark}" in text
        delete = beside_space or _DIGIT_COMMA_DIGIT.search(text) is not None
        out = out.replace(mark, "" if delete else " ")
    out = _PERIOD.sub("", out)
    words = [NUMBERS.get(word, word) for word in out.split()]
    words = [CONTRACTIONS.get(word, word) for word in words if word not in ARTICLES]
    return " ".join(words).replace(",", "")


def normalise(text: str) -> str:
    """Two passes, as the public evaluation applies them."""
    return normalise_once(normalise_once(text))
