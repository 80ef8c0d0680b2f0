"""What an answer says, whatever its wording: the value it names, and yes or no.

"The projection is PA." and "The view is PA." say the same. An answer is right when it names the true value of its
attribute and no other one; to a yes/no question it must also begin with the right word.
"""

from __future__ import annotations

import re

from train.nano.questions import QA

# the most special pattern of an attribute first: "T1 with contrast" is not "T1", "abnormal" is not "normal"
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


def named(task: str, answer: str) -> list[str]:
    """Values of ``task`` that ``answer`` names, each stretch of text counted once."""
    text, out = answer.lower(), []
    for value, pattern in PATTERNS[task].items():
        if re.search(pattern, text):
            out.append(value)
            text = re.sub(pattern, " ", text)
    return out


def right(qa: QA, answer: str) -> bool:
    """Whether ``answer`` says what ``qa.plain`` says.

    A question to decline needs "cannot tell"; where there is no value (a corrected premise), the sentence itself.
    """
    if qa.form in ("refusal", "silent"):
        return "cannot tell" in answer
    if qa.task not in PATTERNS or qa.form not in ("sentence", "word", "yesno"):
        return answer.strip() == qa.plain.strip()
    if re.search(r"cannot tell|not trained", answer, re.I):
        return False
    if qa.form == "yesno":
        yes = re.match(r"\W*(yes|no)\b", answer.lower())
        if yes is None or yes.group(1) != qa.plain.split(",")[0].lower():
            return False
        rest = named(qa.task, answer)
        return not rest or rest == [qa.key]
    return named(qa.task, answer) == [qa.key]
