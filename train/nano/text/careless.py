"""Questions as people type them: without capitals or question mark, with a greeting, shortened, with a slip.

A model that has read every question in one spelling hears another question when the spelling changes. The answer
stays the same; what is asked (the letters of "PA", "T1", "CT") is never touched.
"""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np

from train.nano.text.questions import QA

BEFORE = (
    *("Please tell me: ", "Quick question: ", "Hi! ", "Hello, ", "So, ", "And ", "OK. ", "Doctor, "),
    *("Could you help me? ", "I wonder: ", "Just curious, ", "For my report: ", "One question. ", "Now: "),
)
AFTER = (" Please.", " Thanks.", " Thank you!", " I am not sure.", " Any idea?", " Tell me.", " please")
SHORTER = (
    *((r"^What is the ", "what's the "), (r"^What is ", "what's "), (r"^Is this ", "this ")),
    *((r"^Tell me the ", "the "), (r"^Identify the ", ""), (r"^Name the ", "")),
)
FIXED = re.compile(r"\b(PA|AP|CT|MRI?|T1|T2|FLAIR|X-ray)\b")


def slip(word: str, rng: np.random.Generator) -> str:
    """One letter dropped, doubled or swapped with the next, inside a word of five letters or more."""
    at = int(rng.integers(1, len(word) - 2))
    kind = rng.integers(3)
    if kind == 0:
        return word[:at] + word[at + 1 :]
    if kind == 1:
        return word[:at] + word[at] + word[at:]
    return word[:at] + word[at + 1] + word[at] + word[at + 2 :]


def uncapital(text: str) -> str:
    """Lower case except what is always written in capitals."""
    return re.sub(r"\S+", lambda m: m[0] if FIXED.search(m[0]) else m[0].lower(), text)


def loosely(qa: QA, rng: np.random.Generator) -> QA:
    """``qa`` with its question typed carelessly in one to three ways; answer and label unchanged."""
    text = qa.question
    if rng.random() < 0.25:
        for pattern, short in SHORTER:
            if re.search(pattern, text):
                text = re.sub(pattern, short, text)
                break
    if rng.random() < 0.4:
        text = uncapital(text)
    if rng.random() < 0.4:
        text = text.replace("?", "").rstrip(".")
    if rng.random() < 0.15:
        words = text.split(" ")
        long = [i for i, w in enumerate(words) if len(w) > 5 and w.isalpha() and not FIXED.search(w)]
        if long:
            i = long[rng.integers(len(long))]
            words[i] = slip(words[i], rng)
            text = " ".join(words)
    roll = rng.random()
    if roll < 0.3:
        first = BEFORE[rng.integers(len(BEFORE))]
        text = first + text
    elif roll < 0.4:
        text += AFTER[rng.integers(len(AFTER))]
    return replace(qa, question=text.strip())
