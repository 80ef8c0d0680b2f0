"""Clips that viewers are known to get wrong, through the whole app: the frame on the screen is the frame asked for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest

from tests.browser import coded
from tests.browser.conftest import Watched
from tests.browser.test_seeks import seek, upload_clip
from tests.io.clip_makers import encoded, matrixed

pytestmark = [pytest.mark.browser, pytest.mark.timeout(300)]
Opener = Callable[..., Watched]


def pictures(numbers: Sequence[int]) -> list[np.ndarray]:
    """uint8 (240, 320, 3) per number."""
    return [np.repeat(coded.frame(n, 320, 240)[..., None], 3, axis=2) for n in numbers]


def test_a_mirrored_clip_is_shown_the_right_way_round(open_page: Opener, tmp_path: Path) -> None:
    stored = [np.ascontiguousarray(p[:, ::-1]) for p in pictures(range(40))]
    path = tmp_path / "front.mp4"
    path.write_bytes(matrixed(encoded(range(40), "mp4", "libx264", 2, pictures=stored), -1, 0, 0, 1))
    watched = open_page()
    watched.wait_for_study(112)
    upload_clip(watched, path, 40)
    asked = [1, 38, 20, 6, 13]
    _, seen = seek(watched, asked)
    assert seen == asked
    watched.page.screenshot(path=str(tmp_path / "mirrored.png"))


def test_a_joined_recording_is_one_time_line(open_page: Opener, tmp_path: Path) -> None:
    path = tmp_path / "joined.ts"
    takes = [range(24), range(24, 50)]
    path.write_bytes(b"".join(encoded(t, "mpegts", "libx264", 2, pictures=pictures(t)) for t in takes))
    watched = open_page()
    watched.wait_for_study(112)
    upload_clip(watched, path, 50)
    asked = [0, 49, 23, 24, 25, 7, 40]
    _, seen = seek(watched, asked)
    assert seen == asked
    assert watched.page.get_by_text("2 recordings").first.is_visible()
    watched.page.screenshot(path=str(tmp_path / "joined.png"))
