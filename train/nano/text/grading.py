"""What an answer says, whatever its wording: the value it names, and yes or no.

"The projection is PA." and "The view is PA." say the same. An answer is right when it names the true value of its
attribute and no other one; to a yes/no question it must also begin with the right word.
"""

from __future__ import annotations

import re

from omnivmed.spoken.attributes import PATTERNS, named
from train.nano.text.questions import QA


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


__all__ = ["PATTERNS", "named", "right"]
