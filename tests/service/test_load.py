"""A few seconds of each benchmark under load, so that none of them rots; and that they notice what they look for."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.load import __main__ as command
from benchmarks.load import crowd, leaks, probe, soak
from benchmarks.load.program import Program, served
from benchmarks.load.visitor import Visitor, percentile

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="looks at /proc")


@pytest.fixture(scope="module")
def program() -> Iterator[Program]:
    """One page for all short versions."""
    with served(words_per_second=2000, small_disk_mb=256, away_s=0) as running:
        yield running


def test_a_crowd_hears_its_own_answers(program: Program) -> None:
    found = crowd.all_at_once(program, users=4, turns=2)
    assert (found["answers"], found["refused"], found["crossed"], found["errors"]) == (8, 0, 0, [])
    assert len(found["first_word_s"]) == 8
    assert min(found["first_word_s"]) > 0


def test_openings_beside_uploads(program: Program, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from benchmarks.load.visitor import noisy_volume

    monkeypatch.setattr(crowd, "WAVES", 1)
    found = crowd.beside(program, noisy_volume(tmp_path / "v.nii.gz", 12, 256), uploads=2, alone=3)
    assert len(found["alone_s"]) == 3
    assert found["beside_s"]
    assert found["ratio"] > 0


def test_mixed_visits_and_pages_leave_nothing(program: Program, tmp_path: Path) -> None:
    broken = tmp_path / "broken.dcm"
    broken.write_bytes(b"\0" * 128 + b"DICM" + b"\xff" * 500)
    found = leaks.grown(program, 4, 1, lambda k: leaks.visit(program, k, broken))
    assert found["left"]["files"] == found["left"]["sessions"] == found["left"]["zombies"] == 0
    assert found["whole"], found


def test_what_is_left_is_noticed(program: Program, monkeypatch: pytest.MonkeyPatch) -> None:
    stays: list[Visitor] = []

    def comes_and_stays(_: int) -> None:
        stays.append(Visitor(program.url))
        stays[-1].open_first()

    monkeypatch.setattr(leaks, "PATIENCE_S", 1.0)
    found = leaks.grown(program, 1, 0, comes_and_stays)
    assert found["left"]["sessions"] == 1
    assert not found["whole"]
    stays[0].close()
    assert program.settle({"sessions": 0}, 10)[0]["sessions"] == 0


@pytest.mark.parametrize("event", soak.EVENTS)
def test_each_thing_that_happens_costs_a_sentence_at_most(program: Program, event: str) -> None:
    """Nothing is decoded while it happens here, so nobody has to wait for that."""
    trial = soak.Soak(program, minutes=1, pace_s=0.1, quiet_s=1)
    trial.patience_s = 0.2
    trial.happen(event)
    for kind in ("sample", "picture", "broken file"):
        trial.visit(kind, trial.random)
    trial.everybody_leaves()
    found = trial.told()
    assert found["wrong"] == []
    assert found["left"][-1]["files"] == 0
    assert found["events"][event] == 1


def test_a_wrong_answer_and_a_page_that_stays_broken_are_noticed(
    program: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    trial = soak.Soak(program, minutes=1, pace_s=0.1, quiet_s=1)
    monkeypatch.setattr(Visitor, "first_word", lambda self, word: (0.1, "echo person12 end"))
    trial.visit("sample", trial.random)
    monkeypatch.setattr(Visitor, "open_sample", lambda *_: {})
    trial.visit("sample", trial.random)
    wrong = " ".join(trial.told()["wrong"])
    for sentence in ("no answer to a question", "an answer of somebody else", "no picture came"):
        assert sentence in wrong


def test_an_event_that_ends_in_an_error_is_written_down(
    program: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    trial = soak.Soak(program, minutes=1, pace_s=0.1, quiet_s=1)

    def broken(_: soak.Soak) -> None:
        raise RuntimeError("no picture came")

    monkeypatch.setattr(soak.Soak, "_night", broken)
    trial.happen("night")
    assert trial.told()["wrong"] == ["minute 0.0: night: RuntimeError no picture came"]


def test_the_soak_from_beginning_to_end(program: Program) -> None:
    lines: list[dict[str, float]] = []
    trial = soak.Soak(program, minutes=0.08, pace_s=0.2, quiet_s=100)
    trial.minute_s = 2.0
    found = trial.run(lines.append)
    assert found["wrong"] == []
    assert sum(found["visits"].values()) > 2
    assert lines
    assert len(found["left"]) == 1


def test_seconds_are_evened_by_how_slow_the_machine_was() -> None:
    seen = [(0.1, 0.02), (0.6, 0.02), (1.1, 0.04), (1.7, 0.08), (2.5, 0.02)]
    assert probe.slowness(seen) == pytest.approx({0: 1.0, 1: 3.0, 2: 1.0})
    evened = probe.evened([(0.5, 0.3), (1.5, 0.9), (2.5, 0.6)], seen)
    assert probe.thirds(evened, 3.0) == pytest.approx(
        [0.3, 0.3, 0.6]
    )  # only the last one was the page's doing
    lines = [{"minute": k + 0.5, "visits": 10.0 * k, "cpu_s": 2.0 * k + (k > 4)} for k in range(6)]
    assert probe.per_visit(lines, 6.0) == pytest.approx([0.2, 0.2, 0.25])
    assert probe.per_visit([], 6.0) == [0.0, 0.0, 0.0]


def test_the_probe_runs_until_it_is_left() -> None:
    with probe.Probe() as beside:
        end = time.monotonic() + 20
        while not beside.seen and time.monotonic() < end:
            time.sleep(0.05)
    assert beside.seen
    assert beside._process.poll() is not None


def test_the_command_says_how_to_repeat_it_without_folders(tmp_path: Path) -> None:
    args = command.parser().parse_args(["crowd", "--against", str(tmp_path), "--users", "4"])
    told = command.repeated(args)
    assert told == "crowd --users 4 --turns 3 --times 2 --against OTHER_CHECKOUT"
    assert str(tmp_path) not in told


def test_percentiles() -> None:
    assert percentile([], 0.95) == 0
    assert percentile([3.0, 1.0, 2.0], 0.5) == 2.0
    assert percentile([float(n) for n in range(100)], 0.95) == 95.0
