"""Pieces of HTML of the page. Every value that is not ours goes through `html.escape`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape

from omnivmed import __version__
from omnivmed.limits import Limits
from omnivmed.spoken.header import Row
from omnivmed.ui import texts
from omnivmed.ui.visit.background import Step
from omnivmed.ui.visit.opened import OpenStudy
from omnivmed.ui.visit.service import ModelService
from omnivmed.ui.visit.settings import AppSettings
from omnivmed.ui.visit.studies import facts_line

BYTES_FROM = 1_000_000  # no study has so many slices or frames: a total from here on is a count of bytes


def header(settings: AppSettings, *, teaching: bool = False) -> str:
    """Name, one line, the badge, the link to the other page."""
    link = (
        f'<a class="ov-other" href="./">{escape(texts.TO_APP)}</a>'
        if teaching
        else f'<a class="ov-other" href="teach">{escape(texts.TO_TEACH)}</a>'
    )
    banner = f'<p class="ov-banner">{escape(texts.PUBLIC_BANNER)}</p>' if settings.public else ""
    return (
        f'<header><div class="ov-bar"><h1>{escape(texts.TEACH_TITLE if teaching else texts.TITLE)}</h1>'
        f'<span class="ov-badge" id="ov-not-clinical">{escape(texts.NOT_CLINICAL)}</span>'
        f'<span class="ov-tag">{escape(texts.TEACH_TAGLINE if teaching else texts.TAGLINE)}</span>'
        f"<nav>{link}</nav></div>{banner}</header>"
    )


def about(rows: Sequence[Row]) -> str:
    """What the file tells, closed; each row with where it is from. "" for no rows."""
    if not rows:
        return ""
    lines = "".join(
        f'<tr><th scope="row">{escape(row.label)}</th><td>{escape(row.value)}</td>'
        f"<td>{escape(texts.ABOUT_FROM[row.source])}{escape(' ' + row.tag if row.tag else '')}</td></tr>"
        for row in rows
    )
    return f"<details><summary>{escape(texts.ABOUT)}</summary><table>{lines}</table></details>"


def folder_button() -> str:
    """Chooses a whole folder (`drop.js`)."""
    return f'<button type="button" class="ov-folder">{escape(texts.FOLDER)}</button>'


def switch() -> str:
    """On a phone: whether the picture or the question is on the screen (`app.js`)."""
    buttons = "".join(
        f'<button type="button" role="tab" aria-selected="{str(show == "picture").lower()}" data-show="{show}">'
        f"{escape(word)}</button>"
        for show, word in texts.SWITCH.items()
    )
    return f'<div class="ov-switch" role="tablist">{buttons}</div>'


def footer(limits: Limits, model: str) -> str:
    """The long form of the badge, the versions of program and model (`inference.cards.title_of`); limits on a click."""
    limit_text = "; ".join(f"{name} {value}" for name, value in limits.describe())
    program = escape(texts.FOOTER_PROGRAM.format(version=__version__, model=model))
    return (
        f"{escape(texts.NOT_CLINICAL_LONG)} {program}"
        f"<details><summary>{escape(texts.LIMITS)}</summary>{escape(limit_text)}.</details>"
    )


def status(opened: OpenStudy | None) -> str:
    """The line at rest."""
    if opened is None:
        return f'<div class="ov-line">{escape(texts.NO_STUDY)}</div>'
    first, _, rest = facts_line(opened).partition(" · ")
    return f'<div class="ov-line" role="status"><span><b>{escape(first)}</b> · {escape(rest)}</span></div>'


def progress(step: Step | None, lead: str = "") -> str:
    """The line while something runs: what is done, of how much."""
    name = texts.STAGES.get(step.stage, step.stage) if step is not None else texts.OPENING
    unit = texts.STAGE_UNITS.get(step.stage) if step is not None else None
    if step is None or step.total <= 0:
        bar = '<i class="ov-unknown"></i>'
    else:
        share = 100 * min(1.0, step.done / step.total)
        bar = f'<i style="width:{share:.0f}%"></i>'
        if step.total >= BYTES_FROM:
            name = texts.PROGRESS_BYTES.format(name=name, done=step.done / 2**20, total=step.total / 2**20)
        elif unit:
            name = texts.PROGRESS_COUNT.format(name=name, done=step.done, total=step.total, unit=unit)
    words = escape(f"{lead}{name}")
    return (
        f'<div class="ov-line" role="status" aria-live="polite"><span class="ov-meter">{bar}</span>'
        f"<span>{words}</span></div>"
    )


def error(message: str, code: str | None = None, *, still_shown: bool = False) -> str:
    """One sentence for the person, and in a word what kind of refusal it is (its code in the markup, for programs).

    still_shown: another study stands below it, and must not be taken for the one that failed.
    """
    small = f' <small data-code="{escape(code)}">{escape(texts.CODES.get(code, ""))}</small>' if code else ""
    below = f"<br>{escape(texts.STILL_SHOWN)}" if still_shown else ""
    return f'<div class="ov-error" role="alert">{escape(message)}{small}{below}</div>'


def notes(opened: OpenStudy | None) -> str:
    """Everything that was altered or is doubtful about the study, one sentence each."""
    if opened is None:
        return ""
    sentences = list(opened.study.notes)
    if opened.study.needs_confirmation and not opened.confirmed:
        sentences.append(texts.CONFIRM_ASK)
    if not sentences:
        return ""
    items = "".join(f"<li>{escape(sentence)}</li>" for sentence in dict.fromkeys(sentences))
    return f'<ul class="ov-notes" aria-label="{escape(texts.NOTES_LABEL)}">{items}</ul>'


def may_be_asked(answers: Mapping[str, Sequence[str]]) -> str:
    """What a model was tested to answer, per kind of study; nothing for a model that says nothing."""
    rows = [
        f"<dt>{escape(texts.MAY_ASK_KINDS[kind])}</dt><dd>{escape('; '.join(answers[kind]) or texts.MAY_ASK_NONE)}</dd>"
        for kind in texts.MAY_ASK_KINDS
        if kind in answers
    ]
    if not rows:
        return ""
    return f"<p>{escape(texts.MAY_ASK)}</p><dl>{''.join(rows)}</dl>"


def model_card(service: ModelService) -> str:
    """Which model speaks, in which state, and what it can be trusted with: one line, the rest on a click."""
    name = escape(service.name)
    if service.state == "ready" and service.assistant is not None:
        assistant = service.assistant
        trust = escape(assistant.trust)
        return (
            f'<details class="ov-model"><summary><span class="ov-dot ready"></span><span><b>{name}</b> · {trust}'
            f"</span></summary><p>{trust}</p><p>{escape(assistant.description)}</p>"
            f"{may_be_asked(assistant.answers)}</details>"
        )
    if service.state == "failed":
        message = service.error.message if service.error is not None else texts.MODEL_MISSING
        return (
            f'<details class="ov-model"><summary><span class="ov-dot failed"></span>'
            f"<span><b>{escape(texts.MODEL_FAILED)}</b> · {escape(message)}</span></summary>"
            f"<p>{escape(message)}</p><p>{escape(texts.MODEL_MISSING)}</p></details>"
        )
    step = service.step
    detail = ""
    if step is not None:
        detail = f" · {texts.STAGES.get(step.stage, step.stage)}"
        if step.total > 1:
            detail += f" {100 * step.done // step.total} %"
    return (
        f'<details class="ov-model"><summary><span class="ov-dot loading"></span>'
        f"<span><b>{escape(texts.MODEL_LOADING)}</b> · {name}{escape(detail)}</span></summary>"
        f"<p>{escape(texts.MODEL_WAIT)}</p></details>"
    )
