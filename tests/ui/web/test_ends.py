"""Every way of being told to stop ends alike. (The whole program: tests/service/test_ends.py.)"""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator

import pytest

from omnivmed.ui.web.ends import ENDS, PATIENCE_S, end_tidily


@pytest.fixture
def own_handlers() -> Iterator[None]:
    before = {name: signal.getsignal(getattr(signal, name)) for name in ENDS}
    yield
    for name, handler in before.items():
        signal.signal(getattr(signal, name), handler)


@pytest.mark.usefixtures("own_handlers")
@pytest.mark.parametrize(("name", "code"), [("SIGINT", 130), ("SIGTERM", 0), ("SIGHUP", 0)])
def test_work_stops_then_files_go_then_the_program_leaves(name: str, code: int) -> None:
    told: list[object] = []
    end_tidily(lambda: told.append("stop"), lambda: told.append("remove"), told.append)
    signal.raise_signal(getattr(signal, name))
    assert told == ["stop", "remove", code]


@pytest.mark.usefixtures("own_handlers")
def test_files_go_even_when_somebody_does_not_stop(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("omnivmed.ui.web.ends.PATIENCE_S", 0.05)
    told: list[object] = []
    stuck = threading.Event()

    def wait() -> None:
        stuck.wait(5)

    end_tidily(wait, lambda: told.append("remove"), told.append)
    signal.raise_signal(signal.SIGTERM)
    assert told == ["remove", 0]
    stuck.set()


@pytest.mark.usefixtures("own_handlers")
def test_an_error_on_the_way_does_not_keep_the_files() -> None:
    def fail() -> None:
        raise RuntimeError

    told: list[object] = []
    end_tidily(fail, lambda: told.append("remove"), told.append)
    signal.raise_signal(signal.SIGHUP)
    assert told == ["remove", 0]


def test_the_whole_end_fits_into_three_seconds() -> None:
    assert PATIENCE_S < 2
