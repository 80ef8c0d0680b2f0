"""The tab "Compare": the same question at two thresholds, one run after the other, and what each one cost."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from html import escape
from typing import TYPE_CHECKING, Any

import gradio as gr

from omnivmed.inference.options import AskOptions
from omnivmed.ui import texts
from omnivmed.ui.page import parts
from omnivmed.ui.tabs.bench import Bench, Tab
from omnivmed.ui.tabs.screen import Updates
from omnivmed.ui.visit import chat
from omnivmed.ui.visit.opened import OpenStudy
from omnivmed.ui.visit.studies import Context

if TYPE_CHECKING:
    from omnivmed.inference import Answer

log = logging.getLogger("omnivmed.ui")


@dataclass(frozen=True)
class ComparePage:
    """The components of the tab."""

    question: Any
    left: Any
    right: Any
    run: Any
    stop: Any
    status: Any
    panes: tuple[Any, Any]
    table: Any
    text: Any


def build(context: Context) -> ComparePage:
    """Lay the tab out; call inside a `gr.Tab`."""
    gr.HTML(f'<div class="ov-saw"><p>{escape(texts.COMPARE_INFO)}</p></div>', padding=False)
    question = gr.Textbox(
        label=texts.QUESTION,
        value=texts.QUESTIONS["image"][0],
        max_length=context.limits.max_question_chars,
        elem_id="cmp-question",
    )
    with gr.Row():
        left = gr.Slider(0, 2, 0.0, step=0.01, label=texts.COMPARE_LEFT, elem_id="cmp-left")
        right = gr.Slider(
            0, 2, context.settings.threshold, step=0.01, label=texts.COMPARE_RIGHT, elem_id="cmp-right"
        )
    with gr.Row(elem_id="cmp-go"):
        run = gr.Button(texts.COMPARE_RUN, variant="primary", elem_id="cmp-run")
        stop = gr.Button(texts.STOP, interactive=False, elem_id="cmp-stop")
    status = gr.HTML("", elem_id="cmp-status", padding=False)
    with gr.Row(equal_height=True):
        one, other = (
            gr.HTML(pane("", "", ""), elem_id=f"cmp-pane-{k}", padding=False, min_width=180) for k in (0, 1)
        )
    table = gr.HTML("", elem_id="cmp-table", padding=False)
    text = gr.Textbox(
        label=texts.COMPARE_COPY, lines=7, max_lines=14, buttons=["copy"], visible=False, elem_id="cmp-text"
    )
    return ComparePage(question, left, right, run, stop, status, (one, other), table, text)


def pane(title: str, text: str, facts: str) -> str:
    """One answer being written."""
    body = escape(text).replace("\n", "<br>") or "…"
    line = f'<small class="ov-facts">{escape(facts.replace(chr(10), " · "))}</small>' if facts else ""
    return f'<div class="ov-answer"><h3>{escape(title) or "&nbsp;"}</h3>{body}{line}</div>'


def title_of(threshold: float) -> str:
    """What stands over one answer."""
    return texts.COMPARE_TITLE.format(value=threshold)


class Compare:
    """Handlers of the tab."""

    def __init__(self, context: Context, page: ComparePage) -> None:
        self.context = context
        self.page = page

    def begin(self, request: gr.Request) -> Updates:
        """Two answers are about to be written: the buttons say so."""
        session = self.context.store.get(request.session_hash)
        if not session.answering.locked():
            session.stop.clear()
        return {self.page.run: gr.Button(interactive=False), self.page.stop: gr.Button(interactive=True)}

    def run(
        self,
        request: gr.Request,
        question: Any,
        left: Any,
        right: Any,
        reference: Any,
        max_frames: Any,
        max_new_tokens: Any,
    ) -> Iterator[Updates]:
        """Ask twice, without the conversation, and fill the table."""
        page = self.page
        session = self.context.store.get(request.session_hash)
        base = AskOptions.bounded(self.context.limits, left, reference, max_frames, max_new_tokens)
        base = replace(base, alone=True)  # two runs of the model are compared, not the file with itself
        both = [
            base,
            replace(base, threshold=AskOptions.bounded(self.context.limits, right).threshold),
        ]
        answers: list[Answer | None] = []
        opened = session.current
        yield {
            page.table: "",
            page.text: gr.Textbox(visible=False),
            **{p: pane(title_of(o.threshold), "", "") for p, o in zip(page.panes, both, strict=True)},
        }
        memory: list[int | None] = []
        for which, options in enumerate(both):
            # Each run starts from nothing; else the second would find the study encoded and its prompt read.
            if opened is not None:
                self.context.service.forget(opened.study)
            before = self._kept_bytes()
            running = chat.ask(self.context, session, question, options, history=False, record=False)
            try:
                for state in running:
                    shown = state.error or state.text
                    yield {
                        page.status: parts.progress(state.step) if state.step else "",
                        page.panes[which]: pane(title_of(options.threshold), shown, state.facts),
                    }
                    if state.over:
                        answers.append(state.answer)
                after = self._kept_bytes()
                memory.append(None if before is None or after is None else after - before)
            except chat.Refused as refusal:
                yield {page.status: parts.error(refusal.message)}
                return
            finally:
                running.close()
            if session.current is not opened:
                yield {page.status: parts.error(texts.STUDY_CHANGED)}
                return
            if session.stop.is_set():
                return
        first, second = answers[0], answers[-1]
        if len(answers) == 2 and first is not None and second is not None:
            rows = comparison(first, second, memory)
            yield {
                page.table: table_html(rows),
                page.text: gr.Textbox(value=table_text(rows), visible=True),
                page.status: "",
            }

    def _kept_bytes(self) -> int | None:
        """Memory the model holds for later questions, of all studies together."""
        assistant = self.context.service.assistant
        return None if assistant is None else assistant.kept_bytes

    def stop(self, request: gr.Request) -> None:
        """Stop the answer that is being written; the second is not begun."""
        session = self.context.store.peek(request.session_hash)
        if session is not None:
            session.stop.set()

    def shown(self, opened: OpenStudy) -> Updates:
        """Another study: a question that fits."""
        return {self.page.question: texts.QUESTIONS[opened.study.kind][0]}

    def finish(self) -> Updates:
        """Both answers are over, or the first was stopped."""
        return {self.page.run: gr.Button(interactive=True), self.page.stop: gr.Button(interactive=False)}


def wire(bench: Bench, page: ComparePage) -> None:
    """Events of the tab."""
    compare, options = Compare(bench.context, page), bench.options
    bench.when_shown.add(compare.shown, [page.question])
    inputs = [
        page.question, page.left, page.right, options.reference, options.max_frames, options.max_new_tokens,
    ]  # fmt: skip
    outputs = [*page.panes, page.table, page.text, page.status]
    buttons = [page.run, page.stop]
    asked = page.run.click(compare.begin, None, buttons, **bench.light)
    done = asked.then(compare.run, inputs, outputs, **bench.model)
    done.then(compare.finish, None, buttons, **bench.light)
    page.stop.click(compare.stop, None, None, **bench.light)


Row = tuple[str, str, str]


def comparison(left: Answer, right: Answer, memory: Sequence[int | None] = ()) -> list[Row]:
    """(what, left, right): tokens, seconds and memory, all measured in these two runs."""

    def count(answer: Answer, name: str) -> str:
        return f"{answer.usage[name]:,}"

    def seconds(answer: Answer, name: str) -> str:
        return f"{answer.timings_s[name]:.2f} s"

    def meaning(answer: Answer) -> str:
        return "-" if answer.mask is None else answer.mask.threshold_meaning

    words = texts.COMPARE_ROWS
    rows: list[Row] = [
        (words["threshold"], f"{left.threshold:g}", f"{right.threshold:g}"),
        (words["meaning"], meaning(left), meaning(right)),
    ]
    counts = ("visual_tokens_after", "visual_tokens_before", "prompt_tokens", "encoder_frames")
    rows += [(words[name], count(left, name), count(right, name)) for name in counts]
    steps = ("encode", "prefill", "decode", "total")
    rows += [(words[name], seconds(left, name), seconds(right, name)) for name in steps]
    if len(memory) == 2 and memory[0] is not None and memory[1] is not None:
        rows.append((words["memory"], f"{memory[0] / 1e6:.1f} MB", f"{memory[1] / 1e6:.1f} MB"))
    rows.append((words["same"], "", texts.YES if left.text == right.text else texts.NO))
    rows.append((words["model"], left.model, right.model))
    return rows


def table_html(rows: list[Row]) -> str:
    """The table for the page."""
    body = "".join(
        f'<tr><td>{escape(name)}</td><td class="n">{escape(a)}</td><td class="n">{escape(b)}</td></tr>'
        for name, a, b in rows
    )
    note = escape(texts.COMPARE_NOTE)
    first, *rest = (escape(name) for name in texts.COMPARE_HEAD)
    head = f"<th>{first}</th>" + "".join(f'<th class="n">{name}</th>' for name in rest)
    return f'<div class="ov-saw ov-scroll"><table class="ov-table"><tr>{head}</tr>{body}</table><p>{note}</p></div>'


def table_text(rows: list[Row]) -> str:
    """The table as Markdown, for a report."""
    lines = ["| | {} | {} |".format(*texts.COMPARE_HEAD[1:]), "|---|---|---|"]
    return "\n".join([*lines, *(f"| {name} | {a} | {b} |" for name, a, b in rows)])


TAB = Tab(build, wire, id="compare", title=texts.COMPARE)
