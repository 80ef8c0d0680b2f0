"""What a service may say that is no caption: a refusal, the same over and over, another language, too little, too much.

Answers are stored as they came; a fault is a word beside them, found by rule, and can be found again by another rule.
A text with a fault is judged by nobody and selected by nothing.
"""

from __future__ import annotations

import re
from collections import Counter

from train.instruct.rows.record import Record
from train.instruct.rows.shards import Drop

WORDS = (3, 400)
"""Words of a caption, fewest and most. Ours: the papers give characters of original texts only."""
REFUSALS = re.compile(
    r"\b(i (can(no|')t|am (not able|unable)|won't)|i'm (sorry|unable|not able)|as an ai|cannot (assist|help|provide)"
    r"|unable to (assist|help|view|see|provide)|consult (a|your) (doctor|physician))\b",
    re.IGNORECASE,
)
_ENGLISH = frozenset(
    re.findall(
        r"\w+", "the a an of in on is are was with and no at to from this that there which shows shown it"
    )
)
_FOREIGN = frozenset(
    re.findall(
        r"\w+",
        "der die das und ist nicht ein eine mit im zeigt le la les des est une dans avec du pas montre el los las una"
        " es con se muestra il lo gli della che non nel di uma com não os",
    )
)


def fault_of(text: str) -> str:
    """What is wrong with a caption, "" for nothing."""
    words = re.findall(r"[^\W\d_]+", text.lower())
    if REFUSALS.search(text):
        return "refusal"
    if not WORDS[0] <= len(words) <= WORDS[1]:
        return f"not of {WORDS[0]} to {WORDS[1]} words"
    if repeats(words):
        return "repeats itself"
    return "" if english(text, words) else "not English"


def repeats(words: list[str]) -> bool:
    """Whether most of a text of a dozen words is said before: few different words, or the same four again."""
    if len(words) < 12:
        return False
    if len(set(words)) < len(words) / 4:
        return True
    fours = Counter(zip(words, words[1:], words[2:], words[3:], strict=False))
    return sum(n for n in fours.values() if n > 1) > len(words) / 2


def english(text: str, words: list[str]) -> bool:
    """Whether a text may be English: Latin letters, and no more small words of its neighbours than of its own."""
    letters = [c for c in text if c.isalpha()]
    if sum(c.isascii() for c in letters) < 0.9 * len(letters):
        return False
    foreign = sum(w in _FOREIGN for w in words)
    return foreign == 0 or sum(w in _ENGLISH for w in words) > foreign


def marked(record: Record) -> Record:
    """A stage: every candidate with its "fault". Raises Drop when none is without."""
    candidates = tuple({**c, "fault": fault_of(str(c["text"]))} for c in record.candidates)
    if candidates and all(c["fault"] for c in candidates):
        raise Drop(f"no sound candidate, the first: {candidates[0]['fault']}")
    return record.but(candidates=candidates)
