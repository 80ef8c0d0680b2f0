"""The corpus of hostile and awkward files: every case through the public door, every fact from public fields."""

from __future__ import annotations

import hashlib
import json
import math
import os
import time
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

from omnivmed.errors import STUDY_ERROR_CODES, WARNING_CODES, StudyError
from omnivmed.io import open_study, warm_up
from omnivmed.io.pool import FAMILY
from omnivmed.study import Study

SECONDS = 10.0
MEGABYTES = 800
CORNER = {
    "red": (220, 20, 20),
    "green": (20, 200, 20),
    "blue": (20, 20, 220),
    "white": (255, 255, 255),
}


def _corpus() -> Path:
    shared = os.environ.get("OMNIVMED_SHARED") or str(Path(__file__).resolve().parents[3] / "shared")
    return Path(shared) / "hostile"


def _cases() -> list[dict[str, Any]]:
    index = _corpus() / "index.json"
    return json.loads(index.read_text())["cases"] if index.exists() else []


CASES = _cases()
pytestmark = pytest.mark.skipif(
    not CASES, reason="the shared corpus of hostile files is not beside the repository"
)


@pytest.fixture(scope="module", autouse=True)
def _warm() -> None:
    warm_up()


@pytest.mark.parametrize("case", CASES, ids=[c["id"] for c in CASES])
def test_case(case: dict[str, Any]) -> None:
    expect = case["expect"]
    FAMILY.last_peak_bytes = 0
    canary = case.get("canary", "")
    family = psutil.Process(FAMILY._process.pid) if FAMILY._process is not None else None
    started = time.monotonic()
    study, error = _open(_corpus() / case["path"])
    seconds = time.monotonic() - started
    if study is None:
        assert error is not None
        assert expect["outcome"] in ("reject", "either"), f"{error.code}: {error.message}"
        assert error.code in expect["error_any_of"], f"{error.code}: {error.message}"
        assert error.code in STUDY_ERROR_CODES
        _check_sentence(error.message, case)
    else:
        with study:
            assert expect["outcome"] in ("accept", "either"), repr(study)
            study.frames(0, min(2, len(study)))
            seconds = time.monotonic() - started
            assert set(study.warnings) <= WARNING_CODES
            wanted = set(expect.get("warn_any_of", []))
            _check_facts(study, expect.get("facts", {}))
            assert not wanted or wanted & set(study.warnings), study.warnings
            for note in study.notes:
                _check_sentence(note, case)
            for token in case.get("phi_tokens", []):
                assert token not in repr(study)
                assert token not in json.dumps(study.series)
    assert seconds < case.get("limits", {}).get("seconds", SECONDS)
    if canary.startswith("/tmp"):
        assert not Path(canary).exists()
    assert FAMILY.last_peak_bytes < MEGABYTES * 2**20
    if family is not None and family.is_running():
        assert all(c.status() != psutil.STATUS_ZOMBIE for c in family.children())


def _open(path: Path) -> tuple[Study | None, StudyError | None]:
    try:
        return open_study(path), None
    except StudyError as error:
        return None, error


def _check_sentence(sentence: str, case: dict[str, Any]) -> None:
    assert sentence.endswith(".")
    assert sentence[0].isupper() or sentence[0].isdigit()
    for token in (
        "/",
        "\\",
        "Traceback",
        "Error",
        "\n",
        Path(case["path"]).name,
        *case.get("phi_tokens", []),
    ):
        assert token not in sentence


def _check_facts(study: Study, facts: dict[str, Any]) -> None:
    tolerance = facts.get("marker_tol", 1e-3)
    for name, fact in facts.items():
        if name in ("marker_tol", "pixel_tol"):
            continue
        if name in ("slice_markers", "pixels"):
            _CHECKS[name](study, fact, facts.get("pixel_tol", 3) if name == "pixels" else tolerance)
        else:
            _CHECKS[name](study, fact)


def _finite(study: Study) -> np.ndarray:
    values = study.values()
    return values[np.isfinite(values)]


def _shape(study: Study, fact: list[int]) -> None:
    t, h, w = study.shape
    # [rows, columns], [frames, rows, columns], or x, y, z(, t) in the header's order.
    assert fact in ([h, w], [t, h, w]) or sorted(fact[:3]) == sorted(
        (t, h, w)[: len(fact)] if len(fact) > 2 else (h, w)
    )
    if len(fact) == 2:
        assert t == 1


def _min(study: Study, fact: float) -> None:
    assert _finite(study).min() == pytest.approx(fact)


def _max(study: Study, fact: float) -> None:
    assert _finite(study).max() == pytest.approx(fact)


def _invert(study: Study, fact: bool) -> None:
    assert study.inverted is fact
    if fact:
        values, frames = study.values(0, 1)[0], study.frames(0, 1)[0, ..., 0]
        assert frames.flat[values.argmin()] >= frames.flat[values.argmax()]


def _markers(study: Study, fact: list[float], tolerance: float) -> None:
    values = study.values()
    seen = values[:, 4:12, 6:14].reshape(len(values), -1).mean(axis=1)
    forward = np.allclose(seen, fact, atol=tolerance)
    assert forward or (study.kind == "volume" and np.allclose(seen[::-1], fact, atol=tolerance)), seen


def _spacing(study: Study, fact: list[float | None]) -> None:
    assert study.spacing_mm is not None
    for seen, wanted in zip(study.spacing_mm, fact, strict=True):
        assert wanted is None or seen == pytest.approx(wanted, abs=1e-3)


def _world(study: Study, fact: list[list[float]]) -> None:
    assert study.affine is not None
    inverse = np.linalg.inv(study.affine)
    values = study.values()
    for x, y, z, value in fact:
        s, r, c = np.round((inverse @ [x, y, z, 1.0])[:3]).astype(int)
        assert values[s, r, c] == pytest.approx(value, abs=1e-3)


def _pixels(study: Study, fact: list[Any], tolerance: float) -> None:
    shown = study.frames(0, 1)[0].astype(int)
    for row, column, colour in fact:
        assert np.abs(shown[row, column] - colour).max() <= tolerance, (row, column, shown[row, column])


def _frames(study: Study, fact: int) -> None:
    assert study.kind == "video"
    assert len(study) == fact


def _frame_ids(study: Study, fact: list[list[int]]) -> None:
    shown = study.take([n for n, _ in fact])
    assert [bar_code(picture) for picture in shown] == [wanted for _, wanted in fact]


def bar_code(picture: np.ndarray) -> int:
    """14 bits of 7 pixels from column 15, rows 40..55 of a 128 x 96 pattern, most significant first."""
    height, width = picture.shape[:2]
    sy, sx = height / 96, width / 128
    rows = picture[int(42 * sy) : int(54 * sy)].mean(axis=(0, 2))
    bits = [rows[int((15 + 7 * i + 2) * sx) : int((15 + 7 * i + 5) * sx)].mean() > 127 for i in range(14)]
    return int("".join("1" if b else "0" for b in bits), 2)


def _seek(study: Study, fact: list[list[float]]) -> None:
    for seconds, wanted in fact:
        started = time.monotonic()
        assert bar_code(study.take([study.index_at(seconds)])[0]) == wanted
        assert time.monotonic() - started < 2.0


def _size(study: Study, fact: list[int]) -> None:
    assert [study.shape[2], study.shape[1]] == fact


def _corners(study: Study, fact: list[str]) -> None:
    picture = study.frames(0, 1)[0].astype(int)
    places = (picture[:14, :14], picture[:14, -14:], picture[-14:, :14], picture[-14:, -14:])
    for corner, name in zip(places, fact, strict=True):
        mean = corner[3:-3, 3:-3].reshape(-1, 3).mean(axis=0)
        nearest = min(CORNER, key=lambda n: np.abs(mean - CORNER[n]).sum())
        assert nearest == name, mean


def _duration(study: Study, fact: float) -> None:
    assert study.times_s is not None
    step = float(np.median(np.diff(study.times_s)))
    assert study.times_s[-1] + step == pytest.approx(fact, abs=0.05 + step)


def _frame_ms(study: Study, fact: float) -> None:
    assert study.kind == "video"
    assert study.times_s is not None
    assert np.allclose(np.diff(study.times_s) * 1000, fact)


def _series(study: Study, fact: int) -> None:
    assert len(study.series) == fact
    assert sum(s["selected"] for s in study.series) == 1


def _plane(study: Study, fact: str) -> None:
    assert study.plane == fact


def _sha(study: Study, fact: str) -> None:
    stored, _, _ = study.stored()
    little = np.ascontiguousarray(stored).astype(stored.dtype.newbyteorder("<"))
    assert hashlib.sha256(little.tobytes()).hexdigest() == fact


_CHECKS: dict[str, Any] = {
    "shape": _shape,
    "value_min": _min,
    "value_max": _max,
    "invert": _invert,
    "slice_markers": _markers,
    "spacing_mm": _spacing,
    "world": _world,
    "pixels": _pixels,
    "frames": _frames,
    "frame_ids": _frame_ids,
    "seek": _seek,
    "size": _size,
    "corners": _corners,
    "duration_s": _duration,
    "frame_ms": _frame_ms,
    "series": _series,
    "volumes": _series,
    "plane": _plane,
    "sha256_pixels": _sha,
}


def test_every_fact_is_checked() -> None:
    named = {k for c in CASES for k in c["expect"].get("facts", {})} - {"marker_tol", "pixel_tol"}
    assert named <= set(_CHECKS)
    assert not math.isnan(SECONDS)
