"""Every name that Gradio does not promise, tried; and the sentence when an installed version lacks one."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Any

import gradio as gr
import pytest
from gradio.data_classes import FileData, ListFiles

from omnivmed.ui import texts, upstream
from tests.coroutines import run


def test_the_installed_version_has_them_all() -> None:
    assert upstream.missing() == []
    upstream.check()


def test_errors_of_the_framework_repeat_nothing_that_was_sent(
    capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    from gradio import queueing, route_utils, routes

    modules: list[Any] = [queueing, route_utils, routes]
    for module in modules:  # put back afterwards
        monkeypatch.setattr(module, "traceback", module.traceback)
    upstream.keep_errors_terse()
    for module in modules:
        try:
            raise ValueError("Received inputs: [Has Jane Doe a fracture?]")
        except ValueError:
            module.traceback.print_exc()
    out, err = capfd.readouterr()
    assert "Jane" not in out + err + caplog.text
    assert caplog.text.count("event failed code=ValueError at=test_upstream.py:") == 3


def test_event_data_is_what_the_browser_sent() -> None:
    assert upstream.event_data(gr.EventData(None, {"index": 3})) == {"index": 3}
    for nonsense in (None, [1], "text"):
        assert upstream.event_data(gr.EventData(None, nonsense)) == {}


def test_events_of_the_queue_say_whose_they_are() -> None:
    from types import SimpleNamespace

    demo = gr.Blocks(analytics_enabled=False)
    demo.queue()
    queue = upstream.EventQueue(demo)
    assert queue.events() == []
    events: dict[str, Any] = demo._queue.event_ids_to_events
    for name, page in (("a", "page"), ("b", "b")):  # the second one came without a page
        events[name] = SimpleNamespace(
            _id=name,
            session_hash=page,
            concurrency_id="model",
            enqueue_time=1.5,
            request=SimpleNamespace(scope={"of": name}),
        )
    first, second = queue.events()
    assert (first.page, first.listener, first.concurrency_id, first.since) == ("page", "page", "model", 1.5)
    assert (second.page, second.listener, second.scope) == (None, "b", {"of": "b"})
    assert queue.listener_of("a") == "page"
    assert queue.listener_of("gone") == "gone"


def test_messages_of_a_page_are_forgotten_but_not_while_it_works() -> None:
    from types import SimpleNamespace

    demo = gr.Blocks(analytics_enabled=False)
    demo.queue()
    queue, inside = upstream.EventQueue(demo), demo._queue
    for name in ("left", "works"):
        inside.pending_messages_per_session[name] = SimpleNamespace()  # type: ignore[assignment]
        inside.pending_event_ids_session[name] = {"event"}
    working: Any = SimpleNamespace(_id="e", session_hash="works")
    inside.event_ids_to_events["e"] = working
    assert queue.listeners() == {"left", "works"}
    queue.forget(["left", "works", "never was"])
    assert queue.listeners() == set(inside.pending_event_ids_session) == {"works"}


def test_the_framework_summarises_no_events() -> None:
    """Nobody sees the summary here; it would be made anew after every event, from all that were."""
    from omnivmed.ui.visit.environment import QUIET

    code = """
import gradio as gr
queue = gr.Blocks(analytics_enabled=False)._queue
queue.events_recorded += 1
before = queue.cached_event_analytics_summary
event = {"time": 0.0, "status": "success", "process_time": 1.0, "function": "f", "session_hash": "s"}
assert queue.compute_analytics_summary([event]) is before
print(queue.ANALYTICS_MAX_EVENTS)
"""
    done = subprocess.run(
        [sys.executable, "-c", code], env=os.environ | QUIET, capture_output=True, text=True, timeout=120
    )
    assert done.stdout.split() == ["1"], done.stderr


def test_work_is_found_by_number_and_by_public_name() -> None:
    with gr.Blocks(analytics_enabled=False) as demo:
        button = gr.Button()
        number = gr.Number(3)
        button.click(lambda _: None, number, api_name="open", api_visibility="public", concurrency_id="model")
        button.click(lambda: None, api_visibility="private", queue=False)
    demo.queue()
    queue = upstream.EventQueue(demo)
    assert queue.work("open") == queue.work(0) == upstream.Work("model", "open", True, (3,))
    private = queue.work(1)
    assert private is not None
    assert (private.api_name, private.queued) == (None, False)
    assert queue.work(7) is queue.work("none") is queue.work(None) is None


def test_an_event_is_taken_out_of_the_queue() -> None:

    demo = gr.Blocks(analytics_enabled=False)
    demo.queue()
    run(upstream.EventQueue(demo).drop("nobody's"))  # gone meanwhile: no error


def test_a_file_component_hands_over_the_path_and_makes_no_other(tmp_path: Any) -> None:
    sent = tmp_path / "sent.png"
    sent.write_bytes(b"x")
    with gr.Blocks(analytics_enabled=False):
        field = upstream.UnopenedFile(file_count="multiple")
        plain = gr.File(file_count="multiple")
    data = ListFiles([FileData(path=str(sent))])
    assert field.preprocess(data) == [str(sent)]
    # The original makes a named temporary file and gives its name a meaning of its own.
    assert plain.preprocess(data) is not None
    assert type(field)._process_single_file is not gr.File._process_single_file


def test_launch_takes_what_it_is_told() -> None:
    import inspect

    taken = inspect.signature(gr.Blocks.launch).parameters
    assert set(upstream.LAUNCH) <= set(taken)


def test_an_unknown_version_is_refused_with_what_it_lacks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(gr.File, "_process_single_file")
    monkeypatch.setattr(gr, "__version__", "7.0.0")
    monkeypatch.setattr(gr.EventData, "__init__", lambda self, *_: None)
    with pytest.raises(upstream.UnknownGradio) as caught:
        upstream.check()
    said = str(caught.value)
    assert said == texts.UNKNOWN_GRADIO.format(
        version="7.0.0", names="gradio.File._process_single_file, gradio.EventData._data"
    )


def test_the_page_is_not_built_with_one(monkeypatch: pytest.MonkeyPatch) -> None:
    from omnivmed.ui.app import build_demo

    monkeypatch.setattr(upstream, "missing", lambda: ["gradio.something"])
    with pytest.raises(upstream.UnknownGradio, match="something"):
        build_demo(None)  # type: ignore[arg-type]


def test_asyncio_is_not_needed_to_look() -> None:
    """The look makes a `Blocks` of its own, inside a running loop as well as outside."""

    async def look() -> list[str]:
        return upstream.missing()

    assert run(look()) == []


def test_what_a_component_takes_is_looked_up_once_and_stays_right(monkeypatch: pytest.MonkeyPatch) -> None:
    import inspect

    from gradio import blocks, component_meta
    from gradio.components.base import Component

    monkeypatch.setattr(blocks, "inspect", inspect)  # put back afterwards
    monkeypatch.setattr(component_meta, "inspect", inspect)
    monkeypatch.setattr(Component, "api_info", Component.api_info)

    def told() -> list[Any]:
        chat, file = gr.Chatbot(value=[], label="Talk"), gr.File(label="Study", file_count="multiple")
        return [blocks.BlocksConfig.config_for_block(0, [], one) for one in (chat, file, gr.Plot())]

    def without_numbers(found: list[Any]) -> list[Any]:
        return [{key: value for key, value in one.items() if key not in ("id", "key")} for one in found]

    before = without_numbers(told())
    upstream.remember_classes()
    first = told()
    first[0]["api_info"]["spoilt"] = first[1]["props"]["spoilt"] = True  # nobody else sees it
    assert without_numbers(told()) == before
    look_up = vars(blocks)["inspect"].signature
    known = look_up.cache_info()
    told()
    assert look_up.cache_info().misses == known.misses
    assert look_up.cache_info().hits > known.hits
