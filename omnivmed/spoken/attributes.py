"""What a sentence says of a study: the attributes nano speaks of, and the words that name their values.

One table for all who read answers: the evaluation that counts them right, and the engine that holds some back.
"""

from __future__ import annotations

import re

#: attribute -> value -> how text names it (lower case). The most special pattern of an attribute comes first:
#: "T1 with contrast" is not "T1", "abnormal" is not "normal".
PATTERNS: dict[str, dict[str, str]] = {
    "modality": {
        "CT": r"\bct\b|computed tomograph",
        "MRI": r"\bmri?\b|magnetic resonance",
        "X-ray": r"\bx-?ray|radiograph",
        "ultrasound": r"ultrasound|sonograph",
        "microscopy": r"microscop",
        "endoscopy": r"endoscop",
        "fundus photograph": r"fundus|retina",
    },
    "organ": {
        "head": r"\bhead\b|\bbrain\b",
        "chest": r"\bchest\b",
        "abdomen": r"\babdom",
        "breast": r"\bbreast",
        "hand": r"\bhand\b",
        "spine": r"\bspine\b",
        "lung": r"\blungs?\b",
        "blood": r"\bblood\b",
        "eye": r"\beye\b",
        "heart": r"\bheart\b",
    },
    "plane": {"axial": r"\baxial\b", "coronal": r"\bcoronal\b", "sagittal": r"\bsagittal\b"},
    "sequence": {
        "T1 with contrast": r"t1 with contrast|t1 post|contrast-enhanced",
        "FLAIR": r"\bflair\b",
        "T1": r"\bt1\b",
        "T2": r"\bt2\b",
    },
    "view": {"PA": r"\bpa\b|posteroanterior", "AP": r"\bap\b|anteroposterior"},
    "state": {"abnormal": r"\babnormal|not normal", "normal": r"\bnormal\b|\bhealthy\b"},
}

ATTRIBUTES = tuple(PATTERNS)


def named(attribute: str, text: str) -> list[str]:
    """Values of ``attribute`` that ``text`` names, each stretch of text counted once."""
    text, out = text.lower(), []
    for value, pattern in PATTERNS[attribute].items():
        if re.search(pattern, text):
            out.append(value)
            text = re.sub(pattern, " ", text)
    return out
