"""The conversation as Markdown: with model, threshold, window and version inside, and nothing of the patient."""

from __future__ import annotations

from collections.abc import Sequence

from omnivmed import __version__
from omnivmed.ui import texts
from omnivmed.ui.chat import plain
from omnivmed.ui.session import OpenStudy, Turn
from omnivmed.ui.studies import facts_line


def conversation_markdown(opened: OpenStudy, turns: Sequence[Turn]) -> str:
    """One section a question; no file name, no date, no header text.

    The question is the visitor's own text and is written as it is: what he types about a patient he exports.
    """
    lines = [
        "# Conversation about a study",
        "",
        f"**{texts.NOT_CLINICAL}.** {texts.NOT_CLINICAL_LONG}",
        "",
        f"- Study: {facts_line(opened)}",
        f"- Program: OmniV-Med {__version__}",
        "",
    ]
    for number, turn in enumerate(turns, 1):
        lines += [f"## {number}. {plain(turn.question)}", "", plain(turn.text) or "(no answer)", ""]
        lines.append(f"- Model: {turn.model}")
        if turn.answer is not None:
            answer = turn.answer
            lines.append(
                f"- Pruning: threshold {answer.threshold:g} ({answer.mask.threshold_meaning}), "
                f"reference {answer.reference.replace('_', ' ')}"
            )
            if answer.window is not None:
                lines.append(f"- Window: level {answer.window[0]:g}, width {answer.window[1]:g}")
            else:
                lines.append("- Window: none (colour)")
        lines += [f"- {turn.facts}", ""]
    return "\n".join(lines)
