"""The page: where everything stands and what is wired to what."""

from __future__ import annotations

import logging
import threading
from typing import Any

import gradio as gr

from omnivmed.ui import texts
from omnivmed.ui.canvas.viewer import StudyViewer
from omnivmed.ui.page import parts
from omnivmed.ui.page.theme import make_css, make_head, make_theme
from omnivmed.ui.tabs.api import add_api
from omnivmed.ui.tabs.compare import Compare, ComparePage, build_compare
from omnivmed.ui.tabs.controls import Page
from omnivmed.ui.tabs.crop import CropPage, build_crop, wire_crop
from omnivmed.ui.tabs.handlers import SUGGESTIONS, Handlers
from omnivmed.ui.tabs.teach import build_teach, wire_teach
from omnivmed.ui.visit.environment import PrivateRoot
from omnivmed.ui.visit.samples import SAMPLES
from omnivmed.ui.visit.service import Loader, Meter, ModelService, SampleShelf
from omnivmed.ui.visit.session import SessionStore, on_forget
from omnivmed.ui.visit.settings import AppSettings
from omnivmed.ui.visit.studies import Context
from omnivmed.ui.visit.uploads import AnonymousNames, StudyFile, drop_forgotten, has_room
from omnivmed.ui.web.gate import Gate
from omnivmed.ui.web.health import health_route
from omnivmed.ui.web.leaving import Leaving

log = logging.getLogger("omnivmed.ui")
SWEEP_S = 60.0
WARM_UP_PATIENCE_S = 120.0
ANSWERING_AT_ONCE = 8  # they wait for the one model in the engine, where each is told its place


def make_context(
    settings: AppSettings, root: PrivateRoot, loader: Loader | None = None, meter: Meter | None = None
) -> Context:
    """The shared parts of one app. `loader` and `meter` are those of `ModelService` (tests)."""
    service = ModelService(settings, loader, meter)
    store = SessionStore(root.sessions, root.served, settings.limits)
    on_forget(service.forget)
    return Context(settings, root, store, service, SampleShelf(settings))


def build_demo(context: Context) -> gr.Blocks:
    """The whole page, ready for `launch`."""
    page = Page()
    handlers = Handlers(context, page)
    settings, limits = context.settings, context.limits
    with gr.Blocks(
        title=texts.TITLE, analytics_enabled=False, delete_cache=(300, 1800), fill_width=True
    ) as demo:
        gr.HTML(parts.header(settings), elem_id="ov-top", padding=False)
        with gr.Row(elem_id="ov-pick"):
            with gr.Row(elem_id="ov-samples"):
                page.samples = tuple(
                    gr.Button(sample.name, elem_id=f"sample-{sample.key}", min_width=104)
                    for sample in SAMPLES
                )
            page.upload = StudyFile(
                label=texts.UPLOAD,
                file_count="multiple",
                show_label=False,
                elem_id="ov-upload",
                elem_classes=["ov-upload"],
                height=64,
            )
        with gr.Row(elem_id="ov-work"):
            with gr.Column(scale=7, elem_id="ov-left"):
                page.status = gr.HTML(parts.progress(None), elem_id="ov-status", padding=False)
                page.series = gr.Dropdown(
                    label=texts.SERIES, choices=[], visible=False, interactive=True, elem_id="ov-series"
                )
                page.confirm = gr.Checkbox(label=texts.CONFIRM_LABEL, visible=False, elem_id="ov-confirm")
                page.notes = gr.HTML("", elem_id="ov-notes", padding=False)
                crop = build_crop()
                page.viewer = StudyViewer(elem_id="viewer")
            with gr.Column(scale=5, elem_id="ov-right"), gr.Tabs(elem_id="ov-tabs"):
                with gr.Tab(texts.ASK_TAB, id="ask"):
                    _ask_tab(page, context)
                with gr.Tab(texts.SAW, id="saw"):
                    page.saw = gr.HTML(
                        f'<div class="ov-saw"><p>{texts.SAW_EMPTY}</p></div>', elem_id="ov-saw", padding=False
                    )
                    with gr.Row():
                        page.save_json = gr.DownloadButton(
                            texts.DOWNLOAD_JSON, size="sm", interactive=False, elem_id="ov-save-json"
                        )
                        page.make_clip = gr.Button(
                            texts.MAKE_CLIP, size="sm", interactive=False, elem_id="ov-make-clip"
                        )
                        page.save_overlay = gr.DownloadButton(
                            texts.DOWNLOAD_OVERLAY, size="sm", visible=False, elem_id="ov-save-overlay"
                        )
                with gr.Tab(texts.COMPARE, id="compare"):
                    compare_page = build_compare(context)
                    page.compare_question = compare_page.question
        gr.HTML(parts.footer(limits), elem_id="ov-foot", padding=False)
        page.timer = gr.Timer(1.0)
        _wire(demo, page, handlers, context, crop)
        _wire_compare(page, compare_page, context)
        add_api(context, "model", ANSWERING_AT_ONCE)
    with demo.route(texts.TEACH_TITLE, "/teach", show_in_navbar=False):
        teach_page = build_teach(context)
        wire_teach(demo, teach_page, context)
    return demo


def _ask_tab(page: Page, context: Context) -> None:
    limits = context.limits
    page.model = gr.HTML(parts.model_card(context.service), elem_id="ov-model", padding=False)
    page.chat = gr.Chatbot(
        label=texts.CHAT_LABEL,
        show_label=False,
        height=380,
        buttons=[],
        feedback_options=None,
        layout="bubble",
        placeholder=texts.CHAT_EMPTY,
        allow_tags=False,
        elem_id="ov-chat",
    )
    with gr.Row(elem_id="ov-suggest"):
        page.suggestions = tuple(
            gr.Button(" ", size="sm", visible=False, elem_id=f"suggest-{k}") for k in range(SUGGESTIONS)
        )
    with gr.Row(elem_id="ov-ask-row"):
        page.question = gr.Textbox(
            show_label=False,
            label=texts.ASK,
            placeholder=texts.ASK_PLACEHOLDER,
            container=False,
            max_lines=4,
            scale=6,
            max_length=limits.max_question_chars,
            elem_id="ov-question",
        )
        page.ask = gr.Button(texts.ASK, variant="primary", scale=1, elem_id="ov-ask")
        page.stop = gr.Button(texts.STOP, interactive=False, scale=1, elem_id="ov-stop")
    with gr.Accordion(texts.SETTINGS, open=False, elem_id="ov-settings"):
        page.threshold = gr.Slider(
            0, 2, context.settings.threshold, step=0.01, label=texts.THRESHOLD, info=texts.THRESHOLD_INFO
        )
        page.reference = gr.Radio(
            [(words, name) for name, words in texts.REFERENCES.items()],
            value="previous",
            label=texts.REFERENCE,
            info=texts.REFERENCE_INFO,
        )
        page.max_frames = gr.Slider(
            0, limits.max_frames, 0, step=1, label=texts.MAX_FRAMES, info=texts.MAX_FRAMES_INFO
        )
        page.max_new_tokens = gr.Slider(
            1, min(limits.max_new_tokens, 512), 128, step=1, label=texts.MAX_NEW_TOKENS
        )
        page.remember = gr.Checkbox(
            context.service.follows_conversations,
            label=texts.REMEMBER,
            info=texts.REMEMBER_INFO,
            elem_id="ov-remember",
        )
    with gr.Row():
        page.save_chat = gr.DownloadButton(
            texts.DOWNLOAD_CHAT, size="sm", interactive=False, elem_id="ov-save-chat"
        )
        page.fresh = gr.Button(texts.NEW_CHAT, size="sm", elem_id="ov-fresh")


def _wire(demo: gr.Blocks, page: Page, handlers: Handlers, context: Context, crop: CropPage) -> None:
    """Events. All of them private: the public interface is made in `api.py`."""
    quiet: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}
    light: dict[str, Any] = {**quiet, "queue": False}
    heavy: dict[str, Any] = {**quiet, "concurrency_id": "open", "concurrency_limit": context.limits.workers}
    model: dict[str, Any] = {**quiet, "concurrency_id": "model", "concurrency_limit": ANSWERING_AT_ONCE}
    planning = [page.threshold, page.reference, page.max_frames]
    settings = [*planning, page.max_new_tokens, page.remember]
    shown = [
        page.status, page.notes, page.viewer, page.series, page.confirm, page.chat, page.saw,
        page.save_json, page.save_chat, page.save_overlay, page.make_clip, page.compare_question,
        *page.suggestions, *page.samples,
    ]  # fmt: skip

    clip: dict[str, Any] = {**quiet, "concurrency_id": "clip", "concurrency_limit": 1}
    opened = [demo.load(handlers.open_first, planning, shown, **heavy)]
    demo.unload(handlers.leave)
    page.timer.tick(
        handlers.model_tick, None, [page.model, page.timer, page.remember, *page.suggestions], **light
    )
    # In the page only: the viewer's cost estimate begins when the model is known, not with the next study.
    page.model.change(
        None, page.model, None, js="html => window.omnivmedViewer && window.omnivmedViewer.model(html)"
    )
    for button, sample in zip(page.samples, SAMPLES, strict=True):
        opened.append(button.click(handlers.sample_opener(sample.key), planning, shown, **heavy))
    opened.append(
        page.upload.upload(handlers.open_files, [page.upload, *planning], [*shown, page.upload], **heavy)
    )
    opened.append(page.series.input(handlers.choose_series, [page.series, *planning], shown, **heavy))
    for event in opened:
        event.then(handlers.convert_clip, None, page.viewer, **clip)
    for event in wire_crop(crop, handlers, context, opened, shown, planning, heavy, light):
        event.then(handlers.convert_clip, None, page.viewer, **clip)
    page.confirm.input(handlers.confirm_clean, page.confirm, page.notes, **light)

    replanned = [page.viewer, page.status, page.saw]
    page.threshold.release(handlers.replan, planning, replanned, **heavy)
    page.reference.input(handlers.replan, planning, replanned, **heavy)
    page.max_frames.release(handlers.replan, planning, replanned, **heavy)
    page.viewer.threshold_release(
        handlers.threshold_let_go, page.max_frames, [page.threshold, page.reference], **light
    ).then(handlers.replan, planning, replanned, **heavy)
    page.viewer.use_window(handlers.use_window, planning, replanned, **heavy)
    page.viewer.ask_slice(handlers.ask_slice, None, page.question, **light)

    begun = [page.chat, page.question, page.ask, page.stop, page.status]
    answered = [page.chat, page.viewer, page.status]
    told = [page.saw, page.save_json, page.save_chat, page.make_clip]
    starts = [(page.ask.click, page.question), (page.question.submit, page.question)]
    starts += [(button.click, button) for button in page.suggestions]
    for trigger, source in starts:
        asked = trigger(handlers.begin, source, begun, **light)
        done = asked.then(handlers.answer, settings, answered, **model)
        done.then(handlers.finish, None, begun, **light).then(handlers.tell_saw, None, told, **heavy)
    page.make_clip.click(handlers.make_clip, None, [page.make_clip, page.save_overlay, page.status], **heavy)
    page.stop.click(handlers.stop_answer, None, None, **light)
    page.fresh.click(handlers.start_over, None, [page.chat, page.status], **light)


def _wire_compare(page: Page, compare_page: ComparePage, context: Context) -> None:
    quiet: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}
    compare = Compare(context, compare_page)
    buttons = [compare_page.run, compare_page.stop]
    inputs = [
        compare_page.question, compare_page.left, compare_page.right,
        page.reference, page.max_frames, page.max_new_tokens,
    ]  # fmt: skip
    outputs = [*compare_page.panes, compare_page.table, compare_page.text, compare_page.status]
    asked = compare_page.run.click(compare.begin, None, buttons, queue=False, **quiet)
    asked.then(
        compare.run, inputs, outputs, concurrency_id="model", concurrency_limit=ANSWERING_AT_ONCE, **quiet
    ).then(compare.finish, None, buttons, queue=False, **quiet)
    handlers = Handlers(context, page)
    compare_page.stop.click(handlers.stop_answer, None, None, queue=False, **quiet)


def launch(
    demo: gr.Blocks, context: Context, *, block: bool = True, warm: bool = True
) -> tuple[Any, str, str]:
    """Serve the page: private defaults, bounded queue, sweeping of idle sessions.

    block: wait until the server ends; warm: open the samples ahead of the first visitor. Returns what
    `gr.Blocks.launch` returns (app, local address, share address).
    """
    from starlette.middleware import Middleware

    settings, limits = context.settings, context.limits
    if not warm:
        context.service.start()
    else:
        threading.Thread(target=_warm_up, args=(context,), name="omnivmed-warm-up", daemon=True).start()
    _sweep_forever(context)
    demo.queue(max_size=limits.queue_size, default_concurrency_limit=ANSWERING_AT_ONCE, api_open=False)
    events = demo._queue.event_ids_to_events  # those that wait or run

    def waiting(key: str) -> int:
        return sum(event.session_hash == key for event in list(events.values()))

    def room() -> bool:
        return has_room(context.root.served, limits.waiting_uploads * limits.upload_bytes)

    gate = Middleware(Gate, waiting, max(2, limits.queue_size // 2), room, settings.mcp)
    layers = [
        gate,
        Middleware(AnonymousNames),
        Middleware(Leaving, gone=context.store.gone),
    ]
    return demo.launch(
        server_name=settings.host,
        server_port=settings.port or None,
        auth=settings.login,
        max_file_size=limits.upload_bytes,
        run_history=False,
        enable_monitoring=False,
        show_error=False,
        footer_links=[],
        mcp_server=settings.mcp,
        share=False,
        ssr_mode=False,
        allowed_paths=[],
        strict_cors=True,
        state_session_capacity=64,
        prevent_thread_lock=not block,
        quiet=not block,
        _frontend=False,  # a last look at the own address that ends the program when a busy machine takes over 3 s
        theme=make_theme(),
        css=make_css(),
        head=make_head(),
        app_kwargs={"routes": [health_route(context)], "middleware": layers},
    )


def _warm_up(context: Context) -> None:
    """Start the decoder and open the samples, the first one first: its picture is there when a page asks."""
    from omnivmed.io import warm_up
    from omnivmed.ui.visit.studies import Options, open_sample

    options = Options.bounded(context.limits, context.settings.threshold)
    try:
        warm_up()
        open_sample(context, SAMPLES[0].key, options)
    except Exception as error:
        log.warning("warm-up failed code=%s", type(error).__name__)
    context.service.start()  # only now: importing the model's libraries would keep the picture waiting
    try:
        context.service.wait(WARM_UP_PATIENCE_S)  # the model first, then the other samples
        for sample in SAMPLES[1:]:
            open_sample(context, sample.key, options)
    except Exception as error:
        log.warning("warm-up failed code=%s", type(error).__name__)


def _sweep_forever(context: Context) -> None:
    def sweep() -> None:
        import time

        while True:
            time.sleep(SWEEP_S)
            context.store.sweep()
            drop_forgotten(context.root.served, 60 * context.limits.waiting_upload_minutes)

    threading.Thread(target=sweep, name="omnivmed-sweep", daemon=True).start()
