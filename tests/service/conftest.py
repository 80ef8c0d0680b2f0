"""A running app with a scripted assistant in place of a model."""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from omnivmed.limits import LOCAL, PUBLIC
from omnivmed.ui.visit.settings import AppSettings
from tests.scripted import ScriptedAssistant
from tests.service.page_client import PageClient


@dataclass
class Running:
    """A served page and what stands behind it."""

    url: str
    context: Any
    demo: Any
    assistant: ScriptedAssistant

    def page(self) -> PageClient:
        return PageClient(self.url)

    def files(self) -> list[Path]:
        """Everything of visitors on disk: uploads and what they can fetch; samples and Gradio's own assets not."""
        run = self.context.root.run
        kept = (self.context.root.served / "samples",)
        return [
            p
            for folder, _, names in os.walk(run)  # which, unlike rglob, bears that folders go meanwhile
            for p in (Path(folder, name) for name in names)
            if p.is_file() and p.name != "alive" and not any(k in p.parents for k in kept)
        ]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


Starter = Callable[..., Running]


@pytest.fixture
def start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Starter]:
    """`start(assistant, public=…, **limits)` serves a page on a free port; closed after the test."""
    for name in ("GRADIO_TEMP_DIR", "GRADIO_ANALYTICS_ENABLED", "HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"):
        monkeypatch.setenv(name, os.environ.get(name, ""))
    running: list[Running] = []

    def starter(
        assistant: ScriptedAssistant | None = None,
        *,
        public: bool = False,
        mcp: bool = False,
        keys: Mapping[str, str] | None = None,
        settings: dict[str, Any] | None = None,
        **limits: Any,
    ) -> Running:
        from omnivmed.ui.visit.environment import prepare

        root = prepare(offline=True, base=tmp_path / "root")
        from omnivmed.ui import app

        told = assistant or ScriptedAssistant()
        own = replace(PUBLIC if public else LOCAL, **limits)
        how = AppSettings(
            model="scripted", port=free_port(), public=public, mcp=mcp, keys=keys or {}, own_limits=own
        )
        how = replace(how, **(settings or {}))
        context = app.make_context(how, root, lambda *_, **__: told)
        demo = app.build_demo(context)
        _, url, _ = app.launch(demo, context, block=False, warm=False)
        running.append(Running(url, context, demo, told))
        return running[-1]

    yield starter
    for one in running:
        one.demo.close()
        one.context.store.close()
        one.context.shelf.close()
        one.context.root.remove()


@pytest.fixture
def every_log(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    """All log lines of the app and of Gradio, at DEBUG."""
    caplog.set_level(logging.DEBUG)
    return caplog
