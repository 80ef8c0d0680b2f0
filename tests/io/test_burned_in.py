"""Burned-in text: which boxes a search gives, that they are all it gives, and that a painted study has lost them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from benchmarks.overlays import SCENES, Drawn, Scene, display, draw
from omnivmed.errors import StudyError
from omnivmed.io import burned_in, can_find_text, find_text, pool, text_search
from omnivmed.limits import Limits
from omnivmed.study import Study
from tests.phantoms import clip_study, ct_study

needs_text = pytest.mark.skipif(not can_find_text(), reason="needs the extra `text`")


def covered(study: Study, drawn: Drawn) -> list[float]:
    """Share of the ink of each line of words that lies in the boxes."""
    inside = np.zeros(study.shape[1:], bool)
    for top, left, bottom, right in study.text_boxes or ():
        inside[top:bottom, left:right] = True
    return [float(inside[line.ink].mean()) for line in drawn.lines if line.shape != "letter"]


@needs_text
@pytest.mark.parametrize("scene", SCENES)
@pytest.mark.parametrize("light", [False, True])
def test_words_of_sixteen_pixels_are_found(scene: Scene, light: bool) -> None:
    drawn = draw(scene, 1, 16, light)
    study = find_text(Study.from_array(drawn.picture, inverted=drawn.inverted))
    shares = covered(study, drawn)
    assert sum(share >= 0.95 for share in shares) >= len(shares) - 1
    assert "BurnedIn" in study.warnings
    assert any("Text was found" in note for note in study.notes)
    assert not study.needs_confirmation
    area = sum((b - t) * (r - c) for t, c, b, r in study.text_boxes or ())
    assert area < 0.1 * study.shape[1] * study.shape[2]


@needs_text
def test_rulers_calipers_and_tissue_are_no_text() -> None:
    for scene in SCENES:
        study = find_text(Study.from_array(draw(scene, 1, None).picture))
        assert study.text_boxes == ()
        assert study.warnings == []


@needs_text
def test_round_cells_are_no_noughts() -> None:
    """A recogniser reads "8888" in a smear; a line of text is never that high."""
    rows, columns = np.mgrid[:480, :640]
    smear = np.full((480, 640, 3), 215, np.uint8)
    for row in range(60, 480, 170):
        for column in range(80, 640, 190):
            radius = np.hypot(rows - row, columns - column)
            smear[(radius < 78) & (radius > 40)] = (190, 120, 130)
    assert find_text(Study.from_array(smear)).text_boxes == ()


@needs_text
def test_first_middle_and_last_picture_are_searched() -> None:
    text = display(draw("ultrasound", 1, 16))
    empty = display(draw("ultrasound", 1, None))
    for at in (0, 3, 6):
        frames = np.repeat(empty[None], 7, axis=0)
        frames[at] = text
        assert find_text(Study.from_array(frames, times_s=np.arange(7) / 10)).text_boxes
    assert text_search.frames_searched(ct_study(1)) == [0]


@needs_text
def test_text_that_the_window_hides_is_found() -> None:
    drawn = draw("radiograph", 1, 24)
    study = Study.from_array(drawn.picture, window=(200.0, 300.0))  # bone and letters are both white
    assert len(find_text(study).text_boxes or ()) >= len(covered(study, drawn)) - 1


@needs_text
def test_the_search_has_the_walls_of_every_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    study = Study.from_array(draw("ultrasound", 1, 16).picture)
    with pytest.raises(StudyError) as slow:
        find_text(study, Limits(worker_wall_s=0.01))
    assert slow.value.code == "TooLarge"
    with pytest.raises(StudyError) as small:
        find_text(study, Limits(worker_memory=300 * 2**20))
    assert small.value.code in ("TooLarge", "Corrupt")
    assert find_text(study).text_boxes  # and the next search is served


@needs_text
def test_what_was_read_leaves_no_trace(tmp_path: Path) -> None:
    """A process that searches writes nothing about it anywhere, and its message holds numbers only."""
    program = (
        "import logging; logging.basicConfig(level=logging.DEBUG)\n"
        "import numpy as np, cv2\nfrom omnivmed import Study, find_text\n"
        "from omnivmed.io import wire\n"
        "seen = []\nreceive = wire.receive\n"
        "def listen(sock):\n    told = receive(sock)\n    seen.append(told[0])\n    return told\n"
        "wire.receive = listen\n"
        "p = np.zeros((400, 600, 3), np.uint8)\n"
        "cv2.putText(p, 'ZEBROWSKI 4711', (60, 200), cv2.FONT_HERSHEY_SIMPLEX, 1, (255, 255, 255), 2)\n"
        "found = find_text(Study.from_array(p))\nassert found.text_boxes\nprint(found, found.notes, seen)\n"
    )
    root = Path(__file__).resolve().parents[2]
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(root), "TMPDIR": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert "text" in done.stdout
    for word in ("zebrowski", "4711"):
        assert word not in (done.stdout + done.stderr).lower()
    assert list(tmp_path.iterdir()) == []


def test_without_the_extra_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(burned_in, "installed", lambda: False)
    with pytest.raises(StudyError, match=r"omnivmed\[text\]") as error:
        find_text(clip_study())
    assert error.value.code == "Unsupported"
    assert clip_study().text_boxes is None


@pytest.mark.parametrize(
    "told", [None, [[1, 2, 3]], [[0, 0, 11, 5]], [[5, 5, 5, 9]], [[-1, 0, 4, 4]], [["a", 0, 1, 1]], 7]
)
def test_a_worker_is_believed_only_as_far_as_it_fits(told: object) -> None:
    with pytest.raises(StudyError) as error:
        text_search.checked_boxes(told, (10, 20))
    assert error.value.code == "Corrupt"
    assert text_search.checked_boxes([[0, 0, 10, 20]], (10, 20)) == [(0, 0, 10, 20)]


@pytest.mark.parametrize(
    ("text", "score", "is_text"),
    [
        ("NAME 12", 0.9, True),
        ("NAME 12", 0.4, False),
        ("L", 0.95, True),
        ("L", 0.6, False),
        ("1", 0.99, False),
        ("+", 0.99, False),
        ("十", 0.99, False),
        ("山田", 0.9, True),
        ("--::", 0.9, False),
        ("", 0.0, False),
    ],
)
def test_what_counts_as_text(text: str, score: float, is_text: bool) -> None:
    assert burned_in.reads_as_text(text, score) is is_text


def test_boxes_of_one_line_become_one() -> None:
    once, again, beside = (0, 0, 10, 40), (1, 2, 11, 44), (0, 46, 10, 60)
    assert burned_in.merged([beside, again, once, (0, 0, 10, 40)]) == [(0, 0, 11, 44), beside]
    assert burned_in.merged([(0, 0, 10, 40), (9, 0, 19, 40)]) == [(0, 0, 10, 40), (9, 0, 19, 40)]  # two lines
    assert burned_in.merged([]) == []
    assert burned_in.widened((1, 1, 31, 100), (33, 101)) == (0, 0, 33, 101)
    assert burned_in.widened((10, 10, 14, 40), (99, 99)) == (8, 8, 16, 42)


@pytest.mark.skipif(not pool.supported(), reason="needs fork")
def test_opening_a_study_never_loads_the_search(tmp_path: Path) -> None:
    program = (
        "import sys, numpy as np\nfrom omnivmed.io import preload\npreload.everything()\n"
        "import omnivmed.io\nassert not {'rapidocr', 'onnxruntime'} & set(sys.modules)"
    )
    root = Path(__file__).resolve().parents[2]
    subprocess.run([sys.executable, "-c", program], cwd=root, check=True)
