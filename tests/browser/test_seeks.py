"""Frame shown = frame asked, through the whole app: a file is uploaded, converted, and its frames say who they are."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.browser import coded
from tests.browser.conftest import Watched
from tests.browser.test_viewer_speed import SEEK_MS, SLACK, tell

pytestmark = [pytest.mark.browser, pytest.mark.timeout(900)]
Opener = Callable[..., Watched]

# goto(k), then wait until the frame is drawn: the milliseconds of each, and the number read from the canvas.
SEEK = """async ([frames, bits, read]) => {
  const v = document.querySelector('#viewer [data-ready]').view; const number = eval(read); const out = [];
  for (const k of frames) {
    const t0 = performance.now();
    v.goto(k);
    while (v.root.dataset.frame !== String(k)) await new Promise(requestAnimationFrame);
    out.push([performance.now() - t0, number(bits)]);
  } return out; }"""


def upload_clip(watched: Watched, path: Path, frames: int, whole: bool = True) -> None:
    """Until the clip is on the screen; `whole`: until every frame of it can be reached."""
    watched.page.set_input_files("#ov-upload input[type=file]", str(path))
    watched.wait_for_study(frames)
    if whole:
        watched.page.wait_for_function(
            "() => { const r = document.querySelector('#viewer [data-ready]'); const s = r.view.store;"
            " return r.dataset.clip === 'true' || s.index.length === s.frames && s.complete() }",
            timeout=800_000,
        )
    watched.view("v.overlay && v.toggleOverlay()")


def seek(watched: Watched, frames: list[int], bits: int = coded.BITS) -> tuple[list[float], list[int]]:
    """(milliseconds of each seek, numbers read from the screen)."""
    out = watched.page.evaluate(SEEK, [frames, bits, coded.READ])
    return [ms for ms, _ in out], [int(number) for _, number in out]


@pytest.mark.parametrize("frames", [60, 250])
def test_a_hard_clip(open_page: Opener, tmp_path: Path, frames: int) -> None:
    """Uneven times, B-frames, one key frame and lying on its side, all at once; as pictures and as a converted clip."""
    lying = coded.write(
        tmp_path / "lying.mp4",
        frames,
        (480, 360),
        times_ms=coded.uneven_ms(frames),
        turned=True,
        preset="veryfast",
        g=str(frames + 1),
        bf="3",
    )
    watched = open_page()
    watched.wait_for_study(112)
    upload_clip(watched, coded.turned_back(tmp_path / "hard.mp4", lying), frames)
    converted = watched.view("v.player.hasClip")
    assert converted == (frames > 240), "short clips travel as pictures"
    asked = np.random.default_rng(5).permutation(frames)[:16].tolist()
    _, seen = seek(watched, asked)
    assert seen == asked
    assert watched.errors == []
    assert watched.external == []


@pytest.mark.slow
@pytest.mark.parametrize("name", coded.ENCODINGS)
def test_200_random_seeks_at_720p(open_page: Opener, tmp_path: Path, name: str) -> None:
    frames = 600
    watched = open_page()
    watched.wait_for_study(112)
    upload_clip(watched, coded.ENCODINGS[name](tmp_path, frames), frames)
    assert watched.view("v.player.hasClip")
    drawn = np.random.default_rng(7).integers(0, frames, 201)
    asked = [int(k) for i, k in enumerate(drawn) if i == 0 or k != drawn[i - 1]][:200]
    took, seen = seek(watched, asked)
    wrong = [(a, s) for a, s in zip(asked, seen, strict=True) if a != s]
    tell(f"720p, {name}: {len(asked) - len(wrong)} of {len(asked)} right, seek", sorted(took))
    assert wrong == []
    assert statistics.median(took) <= SEEK_MS * SLACK
    watched.page.locator("#viewer .omv-canvas").first.focus()
    here = asked[-1] if asked[-1] < frames - 3 else 0
    seek(watched, [here])
    for k in range(here + 1, here + 3):  # the keys of frame steps
        watched.page.keyboard.press(".")
        watched.page.wait_for_function(
            "k => document.querySelector('#viewer [data-ready]').dataset.frame === String(k)", arg=k
        )
        assert watched.page.evaluate(coded.READ, coded.BITS) == k
    assert watched.errors == []


HOUR = 36_000  # frames: 3,600 s at 10 a second
THUMB = """bits => { const c = document.querySelector('.omv-thumb canvas'); const x = c.getContext('2d'); let n = 0;
  for (let bit = 0; bit < bits; bit++)
    if (x.getImageData((bit + 1.5) / (bits + 2) * c.width, c.height / 2, 1, 1).data[1] > 128) n += 1 << bit;
  return n; }"""


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_an_hour(open_page: Opener, tmp_path: Path) -> None:
    """The first frame long before the conversion ends; then any moment of it, with exact thumbnails."""
    times_ms = np.arange(HOUR) * 100
    path = coded.write(
        tmp_path / "hour.mp4", HOUR, (320, 180), times_ms=times_ms, bits=coded.HOUR_BITS, g="250"
    )
    watched = open_page(height=1000)
    page = watched.page
    watched.wait_for_study(112)
    page.evaluate(
        """() => { const r = document.querySelector('#viewer [data-ready]'); const was = r.dataset.study;
        window.first = 0; const t0 = performance.now(); const look = () => {
          if (r.dataset.study !== was && r.dataset.ready === 'true') window.first = performance.now() - t0;
          else requestAnimationFrame(look) }; look(); }"""
    )
    upload_clip(watched, path, HOUR, whole=False)
    assert watched.view("v.player.hasClip") is False
    assert watched.view("v.times.at(-1)") == pytest.approx(3600, abs=1)
    page.wait_for_function("document.querySelector('#viewer .omv-clip').textContent.includes('%')")
    given = watched.view("v.store.index")
    _, seen = seek(watched, given[:: max(1, len(given) // 8)], coded.HOUR_BITS)
    assert seen == given[:: max(1, len(given) // 8)], "the sampled frames can be looked at meanwhile"
    began = page.evaluate("performance.now()")
    page.wait_for_function(
        "document.querySelector('#viewer [data-ready]').dataset.clip === 'true'", timeout=1_500_000
    )
    ready = page.evaluate("performance.now()")
    asked = np.random.default_rng(11).permutation(HOUR)[:100].tolist()
    took, seen = seek(watched, asked, coded.HOUR_BITS)
    tell(f"an hour: first frame {watched.page.evaluate('window.first'):.0f} ms after the choice, "
         f"whole clip {(ready - began) / 1000:.0f} s later; seek", sorted(took))  # fmt: skip
    assert seen == asked
    slider = page.locator("#viewer .omv-time .omv-range").bounding_box()
    for share in (0.03, 0.31, 0.77, 0.98):
        page.mouse.move(slider["x"] + slider["width"] * share, slider["y"] + slider["height"] / 2)
        page.wait_for_function("document.querySelector('.omv-thumb').dataset.frame === String("
                               "document.querySelector('#viewer [data-ready]').view.thumbs.wanted)")  # fmt: skip
        named = int(page.evaluate("document.querySelector('.omv-thumb').dataset.frame"))
        along = (share * slider["width"] - 8) / (slider["width"] - 16)  # the ends are half a handle inside
        assert abs(named - along * HOUR) < 0.02 * HOUR
        assert page.evaluate(THUMB, coded.HOUR_BITS) == named
    assert watched.errors == []
    assert watched.external == []


def test_clips_of_one_frame_more_or_less(open_page: Opener, tmp_path: Path) -> None:
    """The ends: the first and the last frame of a converted clip can be reached and are themselves."""
    frames = 250
    watched = open_page()
    watched.wait_for_study(112)
    upload_clip(watched, coded.constant(tmp_path, frames, size=(480, 360)), frames)
    ends: list[Any] = [frames - 1, 0, frames - 2, 1, frames - 1]
    _, seen = seek(watched, ends)
    assert seen == ends
