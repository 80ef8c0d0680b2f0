"""`draw` and `report` with the random nano and a random expert beside it: real code, no quality."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from omnivmed import provenance
from omnivmed.cli import main
from omnivmed.inference.engine import LocalAssistant
from tests.generation.tiny import tiny_pipeline
from tests.scripted import scripted_artist


@pytest.fixture
def model(monkeypatch: pytest.MonkeyPatch, random_model: LocalAssistant) -> LocalAssistant:
    """What `load_model` gives: a random nano that can draw."""
    monkeypatch.setattr("omnivmed.inference.loading.load_model", lambda *_, **__: random_model)
    monkeypatch.setattr("omnivmed.inference.load_model", lambda *_, **__: random_model, raising=False)
    return random_model


@pytest.fixture
def random_model() -> LocalAssistant:
    from tests.inference.mock import MockRuntime, assistant

    pipeline = tiny_pipeline()
    made = assistant(MockRuntime("A chest."), answers={"image": ["body part"]})
    made.artist = scripted_artist(pipeline, pipeline.abilities)
    return made


def test_the_file_is_stamped_and_the_seed_draws_it_again(
    model: LocalAssistant, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    one, two, other = (tmp_path / f"{name}.png" for name in ("one", "two", "other"))
    assert main(["draw", "axial CT of the abdomen", "--out", str(one)]) == 0
    told = capsys.readouterr()
    assert "Synthetic. Not a patient. Not for clinical use." in told.err
    seed = next(line.split()[1] for line in told.out.splitlines() if line.startswith("seed "))
    assert main(["draw", "axial CT of the abdomen", "--seed", seed, "--out", str(two)]) == 0
    assert main(["draw", "axial CT of the abdomen", "--seed", "12", "--out", str(other)]) == 0
    pixels = [np.asarray(Image.open(path)) for path in (one, two, other)]
    assert np.array_equal(pixels[0], pixels[1])
    assert not np.array_equal(pixels[0], pixels[2])
    origin = provenance.recognise(one)
    assert origin is not None
    assert (origin.prompt, origin.seed, origin.model) == ("axial CT of the abdomen", int(seed), "tiny/1")
    assert provenance.of_pixels(pixels[0]) is not None


def test_a_study_is_changed(
    model: LocalAssistant, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given, out = tmp_path / "patient-name.png", tmp_path / "changed.png"
    Image.fromarray((np.mgrid[:90, :80][0] * 2).astype(np.uint8)).save(given)
    words = ["draw", "remove the opacity", "--image", str(given), "--out", str(out)]
    assert main([*words, "--task", "counterfactual", "--seed", "1"]) == 0
    assert "picture" in capsys.readouterr().out.splitlines()[0]  # what was changed, or that nothing was
    origin = provenance.recognise(out)
    assert origin is not None
    assert origin.edited
    assert b"patient-name" not in out.read_bytes()
    assert main(words) == 2
    assert "--task" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["x.jpg", "x", "no/such/folder/x.png"])
def test_other_files_are_refused_before_any_work(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["draw", "a chest", "--out", str(tmp_path / name)]) == 2
    assert "cannot be written" in capsys.readouterr().err
    assert not (tmp_path / name).exists()


def test_a_model_that_cannot_draw_says_so(
    model: LocalAssistant, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model.artist = None
    assert main(["draw", "a chest", "--out", str(tmp_path / "x.png")]) == 2
    assert "cannot draw" in capsys.readouterr().err


def test_a_report(model: LocalAssistant, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    given = tmp_path / "x.png"
    Image.fromarray((np.mgrid[:90, :80][0] * 2).astype(np.uint8)).save(given)
    assert main(["report", str(given)]) == 0
    out = capsys.readouterr().out
    assert out.startswith("FINDINGS\n")
    assert "IMPRESSION\nA chest.\n" in out
