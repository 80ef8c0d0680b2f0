"""The conversation as Markdown: with model, threshold, window and version inside, and nothing of the patient."""

from __future__ import annotations

from collections.abc import Sequence

from omnivmed import __version__
from omnivmed.ui import texts
from omnivmed.ui.visit.chat import plain
from omnivmed.ui.visit.opened import OpenStudy, Turn
from omnivmed.ui.visit.studies import facts_line


def conversation_markdown(opened: OpenStudy, turns: Sequence[Turn]) -> str:
    """One section a question; no file name, no date, no header text.

    The question is the visitor's own text and is written as it is: what he types about a patient he exports.
    """
    lines = [
        f"# {texts.EXPORT_TITLE}",
        "",
        f"**{texts.NOT_CLINICAL}.** {texts.NOT_CLINICAL_LONG}",
        "",
        f"- {texts.EXPORT_STUDY.format(facts=facts_line(opened))}",
        f"- {texts.EXPORT_PROGRAM.format(version=__version__)}",
        "",
    ]
    for number, turn in enumerate(turns, 1):
        lines += [f"## {number}. {plain(turn.question)}", "", plain(turn.text) or texts.NO_ANSWER, ""]
        lines.append(f"- {texts.EXPORT_MODEL.format(name=turn.model)}")
        if turn.answer is not None:
            answer = turn.answer
            if answer.mask is not None:
                pruning = texts.EXPORT_PRUNING.format(
                    threshold=answer.threshold,
                    meaning=answer.mask.threshold_meaning,
                    reference=answer.reference.replace("_", " "),
                )
                off = answer.reference == "off"
                lines.append(f"- {texts.EXPORT_OFF if off else pruning}")
            if answer.window is not None:
                level, width = answer.window
                lines.append(f"- {texts.EXPORT_WINDOW.format(level=level, width=width)}")
            else:
                lines.append(f"- {texts.EXPORT_NO_WINDOW}")
        lines += [f"- {turn.facts.replace(chr(10), ' · ')}", ""]
    return "\n".join(lines)
