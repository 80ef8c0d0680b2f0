"""The tab "Generate": pictures from words, changes of the open study, reports - what the loaded weights can, no more.

Whatever it shows was stamped before it came here (`omnivmed.generation.result`), and the browser fetches the stamped
file itself (`page/board.py`). Drawing waits in the model's queue like a question.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from html import escape
from typing import Any

import gradio as gr

from omnivmed.inference.drawing import Artist, DrawOptions
from omnivmed.inference.making import artist_of
from omnivmed.inference.options import AskOptions
from omnivmed.ui import texts
from omnivmed.ui.page import parts
from omnivmed.ui.page.board import PictureBoard, board_value
from omnivmed.ui.tabs.bench import Bench, Tab
from omnivmed.ui.tabs.screen import Updates
from omnivmed.ui.upstream import event_data
from omnivmed.ui.visit import chat, drawing, gallery, opening, studies
from omnivmed.ui.visit.background import Step
from omnivmed.ui.visit.drawing import Wish
from omnivmed.ui.visit.opened import OpenStudy
from omnivmed.ui.visit.studies import Context

CHIPS = 6
REPORT = "report"


@dataclass(frozen=True)
class GeneratePage:
    """The components of the tab."""

    card: Any
    what: Any
    prompt: Any
    chips: tuple[Any, ...]
    slice: Any
    with_picture: Any
    draw: Any
    stop: Any
    settings: Any
    seed: Any
    steps: Any
    cfg_text: Any
    cfg_image: Any
    status: Any
    board: Any
    report: Any

    @property
    def wishing(self) -> list[Any]:
        """What a wish is made of, in the order `Generate.run` takes it."""
        return [
            self.what, self.prompt, self.slice, self.with_picture,
            self.seed, self.steps, self.cfg_text, self.cfg_image,
        ]  # fmt: skip


def build(context: Context) -> GeneratePage:
    """Lay the tab out; call inside a `gr.Tab`. What can be drawn is filled in when the model is known."""
    limits = context.limits
    gr.HTML(f'<p class="ov-synthetic" role="note">{escape(texts.DRAW_FIXED)}</p>', padding=False)
    card = gr.HTML(card_html(None, known=False), elem_id="gen-card", padding=False)
    what = gr.Radio(
        [(texts.DRAW_WHAT[REPORT], REPORT)],
        value=REPORT,
        show_label=False,
        container=False,
        elem_id="gen-what",
    )
    with gr.Row(elem_id="gen-go"):
        prompt = gr.Textbox(
            show_label=False,
            label=texts.DRAW_PROMPT,
            placeholder=texts.DRAW_PLACEHOLDER,
            container=False,
            max_lines=3,
            max_length=limits.max_prompt_chars,
            visible=False,
            scale=6,
            elem_id="gen-prompt",
        )
        draw = gr.Button(texts.DRAW_REPORT, variant="primary", scale=1, elem_id="gen-draw")
        stop = gr.Button(texts.STOP, interactive=False, scale=1, elem_id="gen-stop")
    with gr.Row(elem_id="gen-chips"):
        chips = tuple(gr.Button(" ", size="sm", visible=False, elem_id=f"gen-chip-{k}") for k in range(CHIPS))
    place = gr.Slider(1, 2, 1, step=1, label=texts.DRAW_SLICE, visible=False, elem_id="gen-slice", buttons=[])
    with_picture = gr.Checkbox(
        False, label=texts.DRAW_WITH_PICTURE, visible=False, elem_id="gen-with-picture"
    )
    status = gr.HTML("", elem_id="gen-status", padding=False)
    report = gr.Textbox(
        label=texts.DRAW_REPORT_LABEL,
        lines=8,
        max_lines=24,
        buttons=["copy"],
        interactive=False,
        visible=False,
        elem_id="gen-report",
    )
    board = PictureBoard(board_value(()), elem_id="gen-board", visible=False)
    with gr.Accordion(texts.DRAW_SETTINGS, open=False, visible=False, elem_id="gen-settings") as settings:
        seed = gr.Number(
            None, label=texts.DRAW_SEED, info=texts.DRAW_SEED_INFO, precision=0, minimum=0, elem_id="gen-seed"
        )
        steps = gr.Slider(
            1,
            limits.max_draw_steps,
            25,
            step=1,
            label=texts.DRAW_STEPS,
            info=texts.DRAW_STEPS_INFO,
            elem_id="gen-steps",
        )
        cfg_text = gr.Slider(1, 8, 4, step=0.5, label=texts.DRAW_GUIDANCE, info=texts.DRAW_GUIDANCE_INFO)
        cfg_image = gr.Slider(1, 8, 1.5, step=0.5, label=texts.DRAW_GUIDANCE_IMAGE, visible=False)
    return GeneratePage(
        card, what, prompt, chips, place, with_picture, draw, stop, settings, seed, steps, cfg_text, cfg_image,
        status, board, report,
    )  # fmt: skip


def card_html(artist: Artist | None, *, known: bool = True) -> str:
    """Who draws and what may be trusted, or what is missing."""
    if not known:
        return f'<div class="ov-model"><span class="ov-dot loading"></span>{escape(texts.DRAW_WAITING)}</div>'
    if artist is None or not artist.abilities.tasks:
        return f'<div class="ov-model"><span class="ov-dot"></span>{escape(texts.DRAW_MISSING)}</div>'
    not_trained = [
        words for task, words in texts.DRAW_WHAT.items() if task not in (REPORT, *artist.abilities.tasks)
    ]
    missing = texts.DRAW_NOT_TRAINED.format(names=", ".join(not_trained)) if not_trained else ""
    return (
        f'<div class="ov-model"><span class="ov-dot ready"></span><b>{escape(artist.model_id)}</b> · '
        f"{escape(artist.abilities.trust)} {escape(missing)}</div>"
    )


class Generate:
    """Handlers of the tab."""

    def __init__(self, bench: Bench, page: GeneratePage) -> None:
        self.context = bench.context
        self.screen = bench.screen
        self.page = page

    @property
    def artist(self) -> Artist | None:
        """Who draws; None while the model loads, and where there are no weights for it."""
        return artist_of(self.context.service.assistant)

    # ------------------------------------------------------------------------------------- what is offered

    def known(self) -> Updates:
        """The model is here, or will not be: offer what its drawing weights can do."""
        page, artist = self.page, self.artist
        tasks: list[str] = [] if artist is None else list(artist.abilities.tasks)
        choices = [(texts.DRAW_WHAT[name], name) for name in (*tasks, REPORT)]
        first = choices[0][1]
        steps = 25 if artist is None else min(artist.abilities.steps, self.context.limits.max_draw_steps)
        return {
            page.card: card_html(artist),
            page.what: gr.Radio(choices=choices, value=first),
            **self.chosen_for(first, None),
            page.steps: steps,
        }

    def chosen(self, request: gr.Request, what: Any) -> Updates:
        """Another kind of thing is to be made: its words, its settings."""
        return self.chosen_for(what, self.screen.session(request).current)

    def chosen_for(self, what: Any, opened: OpenStudy | None) -> Updates:
        """What the tab shows for this kind."""
        page, artist = self.page, self.artist
        abilities = None if artist is None else artist.abilities
        words: tuple[str, ...] = ()
        if abilities is not None:
            words = abilities.prompts if what == "text_to_image" else abilities.instructions.get(what, ())
        scored = {} if abilities is None else abilities.settings.get(what, {})
        shown = [*words[:CHIPS], *[""] * (CHIPS - len(words[:CHIPS]))]
        report, edits = what == REPORT, what not in (REPORT, "text_to_image")
        draws = abilities is not None and "text_to_image" in abilities.tasks
        return {
            page.prompt: gr.Textbox(visible=not report, placeholder=texts.DRAW_ASKS.get(what, "")),
            **{
                chip: gr.Button(value=text or " ", visible=bool(text))
                for chip, text in zip(page.chips, shown, strict=True)
            },
            page.slice: self.slice_for(what, opened),
            page.with_picture: gr.Checkbox(visible=report and draws),
            page.draw: gr.Button(value=texts.DRAW_REPORT if report else texts.DRAW_GO),
            page.settings: gr.Accordion(visible=not report),
            page.cfg_text: scored.get("cfg_text", 4.0),
            page.cfg_image: gr.Slider(value=scored.get("cfg_image", 1.5), visible=edits),
            page.board: PictureBoard(visible=not report or draws),
            page.report: gr.Textbox(visible=report),
        }

    @staticmethod
    def slice_for(what: Any, opened: OpenStudy | None) -> Any:
        """Which slice or frame is changed; there is no choice in a still."""
        frames = 1 if opened is None else opened.study.shape[0]
        if what in (REPORT, "text_to_image") or frames < 2 or opened is None:
            return gr.Slider(visible=False)
        first = studies.first_look(opened)
        return gr.Slider(maximum=frames, value=(frames // 2 if first is None else first) + 1, visible=True)

    # ------------------------------------------------------------------------------------- making

    def begin(self, request: gr.Request) -> Updates:
        """Something is about to be made: the buttons say so."""
        session = self.screen.session(request)
        if not session.answering.locked():
            session.stop.clear()
        return {self.page.draw: gr.Button(interactive=False), self.page.stop: gr.Button(interactive=True)}

    def run(
        self,
        request: gr.Request,
        what: Any,
        prompt: Any,
        place: Any,
        with_picture: Any,
        seed: Any,
        steps: Any,
        cfg_text: Any,
        cfg_image: Any,
        threshold: Any,
        reference: Any,
        max_frames: Any,
    ) -> Iterator[Updates]:
        """Make it, and tell how far it is."""
        page, limits = self.page, self.context.limits
        session = self.screen.session(request)
        if what not in texts.DRAW_WHAT:
            yield {page.status: gr.skip()}
            return
        wish = Wish(
            what,
            str(prompt or ""),
            int(place) - 1 if isinstance(place, (int, float)) else None,
            DrawOptions.bounded(limits, steps, cfg_text, cfg_image, seed),
            AskOptions.bounded(limits, threshold, reference, max_frames),
            bool(with_picture),
        )
        opened = session.current if what not in (REPORT, "text_to_image") else None
        running = drawing.make(self.context, session, wish)
        preview = None
        try:
            yield {page.status: parts.progress(Step("waiting", 0, 0)), page.report: ""}
            for state in running:
                updates: Updates = {page.status: parts.progress(state.step) if state.step else ""}
                if state.picture is not None:
                    gallery.keep(session, opened, state.picture, what, limits.gallery_pictures)
                if state.picture is not None or state.preview is not preview or state.over:
                    preview = state.preview
                    updates[page.board] = board_value(gallery.kept(session), None if state.over else preview)
                if state.text and what == REPORT:
                    updates[page.report] = state.text
                if state.error is not None:
                    updates[page.status] = parts.error(state.error)
                elif state.stopped:
                    updates[page.status] = f'<div class="ov-line" role="status">{escape(texts.STOPPED)}</div>'
                elif state.reply is not None:
                    updates[page.status] = self.said(state.reply.seconds, state.reply.notes)
                yield updates
        except chat.Refused as refusal:
            yield {page.status: parts.error(refusal.message)}
        finally:
            running.close()

    @staticmethod
    def said(seconds: float, notes: tuple[str, ...]) -> str:
        """The line when it is done."""
        words = " · ".join([texts.DRAW_DONE.format(seconds=seconds), *notes])
        return f'<div class="ov-line" role="status">{escape(words)}</div>'

    def finish(self) -> Updates:
        """Over, stopped or refused: the buttons as they were."""
        return {self.page.draw: gr.Button(interactive=True), self.page.stop: gr.Button(interactive=False)}

    def stop(self, request: gr.Request) -> None:
        """Stop what is being made; it ends within a step."""
        session = self.context.store.peek(request.session_hash)
        if session is not None:
            session.stop.set()

    # ------------------------------------------------------------------------------------- with a picture

    def use_seed(self, event: gr.EventData) -> Updates:
        """The seed of the picture on the board, to be used again."""
        seed = event_data(event).get("seed")
        return {self.page.seed: seed if isinstance(seed, int) else None}

    def ask_about(
        self, request: gr.Request, event: gr.EventData, threshold: Any, reference: Any, max_frames: Any
    ) -> Iterator[Updates]:
        """Put a drawn picture on the screen as a study, through the same door as every upload."""
        session = self.screen.session(request)
        drawn = gallery.find(session, event_data(event).get("id"))
        if drawn is None:
            yield {self.screen.page.status: parts.error(texts.DRAW_GONE)}
            return
        options = AskOptions.bounded(self.context.limits, threshold, reference, max_frames)
        yield from self.screen.told(session, opening.open_drawn(self.context, session, drawn, options))

    # ------------------------------------------------------------------------------------- moments

    def shown(self, opened: OpenStudy) -> Updates:
        """Another study: its slices; the pictures made of the one before have gone with it."""
        page = self.page
        frames = opened.study.shape[0]
        first = studies.first_look(opened)
        return {
            page.slice: gr.Slider(
                maximum=max(2, frames), value=(frames // 2 if first is None else first) + 1
            ),
            page.report: "",
        }

    def left(self, request: gr.Request) -> Updates:
        """After another study came on the screen: the gallery as it is now."""
        return {self.page.board: board_value(gallery.kept(self.screen.session(request)))}


def wire(bench: Bench, page: GeneratePage) -> None:
    """Events of the tab."""
    generate = Generate(bench, page)
    bench.when_known.add(
        generate.known,
        [
            page.card, page.what, page.steps, page.prompt, *page.chips, page.slice, page.with_picture, page.draw,
            page.settings, page.cfg_text, page.cfg_image, page.board, page.report,
        ],
    )  # fmt: skip
    bench.when_shown.add(generate.shown, [page.slice, page.report])
    chosen = [
        page.prompt, *page.chips, page.slice, page.with_picture, page.draw, page.settings,
        page.cfg_text, page.cfg_image,
        page.board, page.report,
    ]  # fmt: skip
    page.what.input(generate.chosen, page.what, chosen, **bench.light)
    for chip in page.chips:
        chip.click(None, chip, page.prompt, js="words => words", **bench.light)
    inputs = [*page.wishing, *bench.options.planning]
    buttons = [page.draw, page.stop]
    for trigger in (page.draw.click, page.prompt.submit):
        asked = trigger(generate.begin, None, buttons, **bench.light)
        done = asked.then(generate.run, inputs, [page.status, page.board, page.report], **bench.model)
        done.then(generate.finish, None, buttons, **bench.light)
    page.stop.click(generate.stop, None, None, **bench.light)
    page.board.use_seed(generate.use_seed, None, page.seed, **bench.light)
    bench.opens(page.board.ask_about, generate.ask_about, [], decodes=True)


TAB = Tab(build, wire, id="generate", title=texts.GENERATE)
