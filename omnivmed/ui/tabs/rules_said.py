"""Below the board of the tab "Rules": the model's own answer under every rule, or over the threshold, as one table.

The study is encoded once; then every row reads its own kept tokens and answers alone, without the file and without the
conversation. Changed words are marked against the first row, which keeps what the page's own settings keep (rules) or
everything that moved at all (thresholds).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from html import escape
from typing import TYPE_CHECKING, Any

import gradio as gr

from omnivmed.inference.options import AskOptions
from omnivmed.pruning.rules import RULES
from omnivmed.ui import texts
from omnivmed.ui.page import parts
from omnivmed.ui.page.figures import marked
from omnivmed.ui.tabs.bench import Bench
from omnivmed.ui.tabs.screen import Updates
from omnivmed.ui.visit import chat
from omnivmed.ui.visit.opened import OpenStudy
from omnivmed.ui.visit.studies import Context

if TYPE_CHECKING:
    from omnivmed.inference import Answer

ANSWER_TOKENS = 48
THRESHOLDS = (0.0, 0.05, 0.1, 0.15, 0.2, 0.3, 0.5, 1.0, 2.0)
BY_RULE, BY_THRESHOLD = "rules", "thresholds"


@dataclass(frozen=True)
class SaidPage:
    """The components."""

    question: Any
    over: Any
    ask: Any
    stop: Any
    status: Any
    table: Any


@dataclass(frozen=True)
class Row:
    """One row: what it is under, and what came of it so far."""

    label: str
    options: AskOptions
    text: str = ""
    answer: Answer | None = None
    error: str = ""


def build(context: Context) -> SaidPage:
    """Lay it out; call inside the tab."""
    gr.HTML(f'<div class="ov-saw"><h3>{escape(texts.RULES_SAID)}</h3></div>', padding=False)
    question = gr.Textbox(
        label=texts.QUESTION,
        value=texts.RULES_SAID_QUESTION,
        max_length=context.limits.max_question_chars,
        elem_id="rules-question",
    )
    over = gr.Radio(
        [(words, name) for name, words in texts.RULES_SAID_OVER.items()],
        value=BY_RULE,
        show_label=False,
        container=False,
        elem_id="rules-over",
    )
    with gr.Row():
        ask = gr.Button(texts.RULES_SAID_ASK, variant="primary", elem_id="rules-ask", min_width=120)
        stop = gr.Button(texts.STOP, interactive=False, elem_id="rules-stop", min_width=120)
    status = gr.HTML("", elem_id="rules-said-status", padding=False)
    table = gr.HTML("", elem_id="rules-said", padding=False)
    return SaidPage(question, over, ask, stop, status, table)


class Said:
    """Handlers."""

    def __init__(self, context: Context, page: SaidPage) -> None:
        self.context = context
        self.page = page

    def shown(self, _: OpenStudy) -> Updates:
        """Another study: these answers are not about it."""
        return {self.page.table: "", self.page.status: ""}

    def begin(self, request: gr.Request) -> Updates:
        """The model is about to be asked."""
        session = self.context.store.get(request.session_hash)
        if not session.answering.locked():
            session.stop.clear()
        return {self.page.ask: gr.Button(interactive=False), self.page.stop: gr.Button(interactive=True)}

    def run(
        self,
        request: gr.Request,
        question: Any,
        over: Any,
        match: Any,
        threshold: Any,
        reference: Any,
        max_frames: Any,
    ) -> Iterator[Updates]:
        """Ask once for each row, one after the other; the table grows while they answer."""
        page, session = self.page, self.context.store.get(request.session_hash)
        base = AskOptions.bounded(self.context.limits, threshold, reference, max_frames, ANSWER_TOKENS)
        rows = plan(replace(base, alone=True), over, bool(match))
        opened = session.current
        if opened is not None and opened.study.shape[0] < 2:
            yield {page.status: parts.error(texts.RULES_ALONE), page.table: ""}
            return
        yield {page.table: "", page.status: ""}
        for k, row in enumerate(rows):
            running = chat.ask(self.context, session, question, row.options, history=False, record=False)
            try:
                for state in running:
                    rows[k] = replace(row, text=state.text, answer=state.answer, error=state.error or "")
                    yield {
                        page.table: table(rows[: k + 1]),
                        page.status: parts.progress(state.step) if state.step else "",
                    }
            except chat.Refused as refusal:
                yield {page.status: parts.error(refusal.message)}
                return
            finally:
                running.close()
            if session.current is not opened:
                yield {page.status: parts.error(texts.STUDY_CHANGED), page.table: ""}
                return
            if session.stop.is_set() or rows[k].error:
                return

    def stop(self, request: gr.Request) -> None:
        """No more answers."""
        session = self.context.store.peek(request.session_hash)
        if session is not None:
            session.stop.set()

    def finish(self) -> Updates:
        """All rows have answered, or it was stopped."""
        return {self.page.ask: gr.Button(interactive=True), self.page.stop: gr.Button(interactive=False)}


def plan(base: AskOptions, over: Any, match: bool) -> list[Row]:
    """The rows to be asked: every rule (the first is that of `base`), or every threshold under its reference."""
    if over == BY_THRESHOLD:
        return [Row(f"{value:g}", replace(base, threshold=value)) for value in THRESHOLDS]
    first = Row(texts.RULES_SAID_FIRST.format(reference=base.reference, threshold=base.threshold), base)
    others = [name for name in RULES if name != base.reference]
    return [first, *(Row(name, replace(base, rule=name, match=match)) for name in others)]


def table(rows: Sequence[Row]) -> str:
    """The rows as HTML: tokens, the answer, the probability of its first and of its least sure token, and seconds."""
    first = next((row.answer.text for row in rows if row.answer is not None), "")
    heads = "".join(f"<th>{escape(name)}</th>" for name in texts.RULES_SAID_HEAD)
    body = "".join(_row(row, first) for row in rows)
    note = f"<p>{escape(texts.RULES_SAID_NOTE)}</p>"
    return f'<div class="ov-saw ov-scroll"><table class="ov-table"><tr>{heads}</tr>{body}</table>{note}</div>'


def _row(row: Row, first: str) -> str:
    if row.answer is None:
        said = escape(row.error or row.text or "…")
        return f"<tr><td>{escape(row.label)}</td><td></td><td>{said}</td><td></td><td></td></tr>"
    usage, took = row.answer.usage, row.answer.timings_s
    kept = f"{usage.visual_tokens_after:,} / {usage.visual_tokens_before:,}"
    seconds = " + ".join(f"{value:.2f}" for value in (took.encode, took.prefill, took.decode))
    sure = ("–" if one is None else f"{one:.2f}" for one in (row.answer.certainty, row.answer.doubt))
    return (
        f'<tr><td>{escape(row.label)}</td><td class="n">{kept}</td><td>{marked(first, row.answer.text)}</td>'
        f'<td class="n">{" · ".join(sure)}</td><td class="n">{seconds}</td></tr>'
    )


def wire(bench: Bench, page: SaidPage, match: Any) -> None:
    """Events. match: the switch of the board above."""
    said = Said(bench.context, page)
    bench.when_shown.add(said.shown, [page.table, page.status])
    inputs = [page.question, page.over, match, *bench.options.planning]
    buttons = [page.ask, page.stop]
    asked = page.ask.click(said.begin, None, buttons, **bench.light)
    done = asked.then(said.run, inputs, [page.table, page.status], **bench.model)
    done.then(said.finish, None, buttons, **bench.light)
    page.stop.click(said.stop, None, None, **bench.light)
