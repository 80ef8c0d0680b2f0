"""The public interface: `/ask`, `/prune` and `/generate`, for scripts and (with --mcp) for other models.

Each call brings its own file and leaves nothing behind. Everything else of the page is private.
"""

from __future__ import annotations

import base64
import logging
import math
from collections.abc import Iterator
from copy import deepcopy
from dataclasses import replace
from functools import lru_cache
from typing import Any, get_args

import gradio as gr
from gradio.data_classes import FileData, GradioRootModel, ListFiles

from omnivmed.defaults import DEFAULT_REFERENCE, DEFAULT_THRESHOLD, Reference
from omnivmed.errors import StudyError
from omnivmed.generation.abilities import TASKS
from omnivmed.inference.drawing import DrawOptions
from omnivmed.inference.options import AskOptions
from omnivmed.inference.reply import Picture
from omnivmed.ui import texts
from omnivmed.ui.tabs.bench import Bench
from omnivmed.ui.upstream import UnopenedFile
from omnivmed.ui.visit import chat, drawing, studies
from omnivmed.ui.visit.drawing import Wish
from omnivmed.ui.visit.opened import OpenStudy
from omnivmed.ui.visit.session import Session
from omnivmed.ui.visit.studies import Context

log = logging.getLogger("omnivmed.ui")


class OneOrMore(GradioRootModel):
    """What a caller sends for a study: one file, or a list of files (a DICOM series). Words are let in as far as the
    sentence that says what to send instead."""

    root: FileData | list[FileData] | str


class ApiStudyFile(UnopenedFile):
    """The study of `/ask` and `/prune`. Takes one file or a list and is described as one file: Gradio (6.31) offers
    a list of files to MCP clients with a schema they cannot resolve and would not find the files in it, so over MCP
    a series comes as a zip."""

    is_template = True

    def __init__(self, label: str) -> None:
        super().__init__(label=label, file_count="multiple")
        self.data_model = OneOrMore

    def preprocess(self, payload: Any) -> Any:
        """Paths of the uploads, always as a list; None without a file."""
        root = getattr(payload, "root", payload)
        if isinstance(root, str):
            raise gr.Error(texts.FILE_NOT_WORDS, title="NotAnImage", print_exception=False)
        return super().preprocess(ListFiles(root) if isinstance(root, list) else root)

    def api_info(self) -> dict[str, Any]:
        """The schema of one file."""
        return deepcopy(_one_file())


@lru_cache(maxsize=1)
def _one_file() -> dict[str, Any]:
    """Worked out once: the framework asks three times for every new page."""
    schema = FileData.model_json_schema()
    return {**schema, "additional_description": schema.pop("description", None)}


def add_api(bench: Bench) -> None:
    """Register the endpoints; call inside the `gr.Blocks`. Their components are never shown."""
    context = bench.context
    model = {name: bench.model[name] for name in ("concurrency_id", "concurrency_limit")}
    heavy = {name: bench.heavy[name] for name in ("concurrency_id", "concurrency_limit")}

    def open_file(session: Session, file: Any, options: AskOptions) -> OpenStudy:
        if not file:
            raise StudyError("NotAnImage", texts.NO_FILE)
        names = file if isinstance(file, list) else [file]
        taken = context.uploads.take_in([str(name) for name in names], session.sources_folder())
        study = studies.open_study_files(context, session, taken)
        if context.limits.confirm_burned_in:
            study = studies.search_text(context, session, study)
        return OpenStudy(study, studies.label_of(study), sources=studies.still_needed(study, taken))

    def ask(
        request: gr.Request,
        file: Any,
        question: str,
        threshold: float = DEFAULT_THRESHOLD,
        max_new_tokens: int = 128,
        from_s: float | None = None,
        to_s: float | None = None,
        reference: str = DEFAULT_REFERENCE,
    ) -> Iterator[tuple[str, dict[str, Any]]]:
        """Ask a question about a medical study and stream the answer. Not for clinical use.

        Args:
            file: DICOM, zip of a DICOM series, NIfTI, NRRD, MHA, picture or video.
            question: what to ask, in plain words.
            threshold: pruning threshold on pixels in [-1, 1], 0 to 2; 0.1 is the published one.
            max_new_tokens: longest answer, in tokens.
            from_s: look at a stretch of a clip alone, from this time on, in seconds; empty for its beginning.
            to_s: the same, up to this time; empty for its end.
            reference: what a token is compared with: previous, last_kept, or off, which keeps every token.
        """
        options = AskOptions.bounded(context.limits, threshold, reference, None, max_new_tokens)
        options = replace(options, span_s=stretch(from_s, to_s))
        context.service.start()
        with context.store.temporary(request.session_hash) as session:
            try:
                opened = open_file(session, file, options)
                check_rule(threshold, reference)  # not before the file is taken: it would stay behind
                session.show(opened, session.begin_opening())
                if opened.study.needs_confirmation:  # on the page a person is asked; here there is none
                    log.info("session=%s ask kind=%s code=Phi", session.tag, opened.study.kind)
                    raise StudyError("Phi", texts.CONFIRM_NOBODY)
                session.stop.clear()
                for state in chat.ask(context, session, question, options, record=False):
                    if state.error:
                        raise gr.Error(state.error, print_exception=False)
                    yield state.text, details(context, opened, state)
            except StudyError as error:
                raise gr.Error(error.message, title=error.code, print_exception=False) from None
            except chat.Refused as refusal:
                raise gr.Error(refusal.message, print_exception=False) from None

    def prune(
        request: gr.Request,
        file: Any,
        threshold: float = DEFAULT_THRESHOLD,
        reference: str = DEFAULT_REFERENCE,
    ) -> dict[str, Any]:
        """Which visual tokens of a study would be pruned; needs no model. Not for clinical use.

        Args:
            file: DICOM, zip of a DICOM series, NIfTI, NRRD, MHA, picture or video.
            threshold: pruning threshold on pixels in [-1, 1], 0 to 2; 0.1 is the published one.
            reference: what a token is compared with: previous, last_kept, or off, which keeps every token.
        """
        options = AskOptions.bounded(context.limits, threshold, reference)
        with context.store.temporary(request.session_hash) as session:
            try:
                opened = open_file(session, file, options)
                check_rule(threshold, reference)  # not before the file is taken: it would stay behind
                session.show(opened, session.begin_opening())
                return studies.plan(context, opened.study, options).to_dict()
            except StudyError as error:
                raise gr.Error(error.message, title=error.code, print_exception=False) from None

    def generate(
        request: gr.Request,
        prompt: str,
        seed: int | None = None,
        steps: int | None = None,
        cfg_text: float | None = None,
        task: str = "text_to_image",
        file: Any = None,
    ) -> Iterator[tuple[str, dict[str, Any]]]:
        """Draw a synthetic medical picture from words, or change one. Not a patient. Not for diagnosis.

        Args:
            prompt: what to draw, or how to change the picture, in plain words.
            seed: the same seed, words and settings draw the same picture; empty for a new one.
            steps: steps of drawing; empty for as many as the model's card was measured with.
            cfg_text: guidance by the words, 1 to 8; empty for the model's own.
            task: text_to_image, or a change the model was trained for.
            file: the study to change (its middle slice or frame); none for text_to_image.
        """
        if task not in TASKS:
            raise gr.Error(texts.API_TASK.format(names=", ".join(TASKS)), print_exception=False)
        wish = Wish(task, prompt, None, DrawOptions.bounded(context.limits, steps, cfg_text, None, seed))
        context.service.start()
        with context.store.temporary(request.session_hash) as session:
            try:
                if task != "text_to_image":
                    opened = open_file(session, file, wish.ask)
                    session.show(opened, session.begin_opening())
                    if opened.study.needs_confirmation:
                        raise StudyError("Phi", texts.CONFIRM_NOBODY)
                session.stop.clear()
                picture = None
                for state in drawing.make(context, session, wish):
                    if state.error:
                        raise gr.Error(state.error, print_exception=False)
                    picture = state.picture or picture
                    png = "" if picture is None else base64.b64encode(picture.image.png).decode()
                    yield png, drawn_details(state, picture)
            except StudyError as error:
                raise gr.Error(error.message, title=error.code, print_exception=False) from None
            except chat.Refused as refusal:
                raise gr.Error(refusal.message, print_exception=False) from None

    with gr.Row(visible=False):
        file = ApiStudyFile("file")
        question = gr.Textbox(label="question")
        threshold = gr.Number(DEFAULT_THRESHOLD, label="threshold")
        longest = gr.Number(128, label="max_new_tokens", precision=0)
        from_s = gr.Number(None, label="from_s")
        to_s = gr.Number(None, label="to_s")
        reference = gr.Textbox(DEFAULT_REFERENCE, label="reference")
        text = gr.Textbox(label="answer")
        facts = gr.JSON(label="details")
        prompt = gr.Textbox(label="prompt")
        seed = gr.Number(None, label="seed", precision=0)
        steps = gr.Number(None, label="steps", precision=0)
        cfg_text = gr.Number(None, label="cfg_text")
        task = gr.Textbox("text_to_image", label="task")
        png = gr.Textbox(label="png_base64")
        # Buttons nobody sees: an event needs a trigger that never fires by itself.
        gr.Button("ask").click(
            ask,
            [file, question, threshold, longest, from_s, to_s, reference],
            [text, facts],
            api_name="ask",
            api_description=texts.API_ASK,
            api_visibility="public",
            **model,
        )
        gr.Button("prune").click(
            prune,
            [file, threshold, reference],
            facts,
            api_name="prune",
            api_description=texts.API_PRUNE,
            api_visibility="public",
            **heavy,
        )
        gr.Button("generate").click(
            generate,
            [prompt, seed, steps, cfg_text, task, file],
            [png, facts],
            api_name="generate",
            api_description=texts.API_GENERATE,
            api_visibility="public",
            **model,
        )


def stretch(from_s: float | None, to_s: float | None) -> tuple[float, float] | None:
    """(from, to) in seconds where one of the two was given; the engine refuses one that the study has not."""
    if from_s is None and to_s is None:
        return None
    return from_s or 0.0, math.inf if to_s is None else to_s


def drawn_details(state: drawing.Making, picture: Picture | None) -> dict[str, Any]:
    """What goes with a picture: how far it is, and at the end what the file itself says of its making."""
    told: dict[str, Any] = {"synthetic": True, "not_for_clinical_use": True, "done": state.over}
    if state.step is not None:
        told["stage"] = {"name": state.step.stage, "done": state.step.done, "total": state.step.total}
    if state.reply is not None:
        told |= {
            "seconds": round(state.reply.seconds, 3),
            "stopped": state.reply.stopped,
            "text": state.reply.text,
        }
    if picture is not None:
        told |= {"seed": picture.image.seed, "provenance": picture.image.provenance}
        if picture.change is not None:
            told["no_change"] = picture.change.no_change
    return told


def check_rule(value: Any, reference: Any) -> None:
    """A program is told of a threshold or reference that is none; a page's controls cannot send one. None is the usual
    one. Raises gr.Error."""
    if reference is not None and reference not in get_args(Reference):
        names = ", ".join(get_args(Reference))
        raise gr.Error(texts.API_REFERENCE.format(names=names), title="Reference", print_exception=False)
    if value is None:
        return
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not number or not 0 <= value <= 2:
        raise gr.Error(texts.COMMAND_THRESHOLD.removeprefix("--"), title="Threshold", print_exception=False)


def details(context: Context, opened: OpenStudy, state: chat.Progressing) -> dict[str, Any]:
    """What goes with the text: where it is, and at the end tokens, seconds, warnings."""
    told: dict[str, Any] = {
        "model": context.service.name,
        "not_for_clinical_use": True,
        "done": state.over,
        "warnings": opened.study.warnings,
    }
    if state.step is not None:
        told["stage"] = {"name": state.step.stage, "done": state.step.done, "total": state.step.total}
    if state.answer is not None:
        answer = state.answer
        told |= {
            "usage": dict(answer.usage),
            "timings_s": {name: round(value, 3) for name, value in answer.timings_s.items()},
            "threshold": answer.threshold,
            "threshold_meaning": None if answer.mask is None else answer.mask.threshold_meaning,
            "span_s": None if answer.mask is None or answer.mask.span_s is None else list(answer.mask.span_s),
            "notes": list(answer.notes),
            "window": list(answer.window) if answer.window is not None else None,
            "stopped": answer.stopped,
            "source": answer.source,
            "offers": list(answer.offers),
        }
    return told
