"""A drawn picture is its stamped file: there is no other way to its pixels, through the objects or the previews."""

from __future__ import annotations

import dataclasses
import io
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from PIL.PngImagePlugin import PngImageFile

from omnivmed import provenance
from omnivmed.generation.result import CounterfactualResult, GeneratedImage, preview, stamp

MODEL = "nano-draw-test"


def pixels(height: int = 64, width: int = 64) -> np.ndarray:
    """A bright round thing on a dark ground: nothing of it looks like a band."""
    y, x = np.mgrid[:height, :width]
    grey = 40 + 120 * np.exp(-((y - height / 2) ** 2 + (x - width / 2) ** 2) / (height * width / 16))
    return np.repeat(grey.astype(np.uint8)[..., None], 3, axis=2)


def drawn(seed: int = 7, **more: object) -> GeneratedImage:
    return stamp(
        pixels(),
        prompt="axial CT of the abdomen",
        seed=seed,
        model_id=MODEL,
        params={"steps": 25},
        **more,  # type: ignore[arg-type]
    )


def test_the_file_says_what_made_it() -> None:
    made = drawn()
    with Image.open(io.BytesIO(made.png)) as picture:
        assert picture.format == "PNG"
        assert isinstance(picture, PngImageFile)
        told = json.loads(picture.text["omnivmed"])
        assert "digitalsourcetype/trainedAlgorithmicMedia" in picture.text["XML:com.adobe.xmp"]
    assert told == made.provenance
    assert (told["prompt"], told["seed"], told["model"]) == ("axial CT of the abdomen", 7, MODEL)
    assert told["parameters"] == {"steps": 25, "drawn_pixels": [64, 64], "enlarged": 8}
    assert (made.prompt, made.seed, made.model_id) == (told["prompt"], told["seed"], told["model"])
    assert provenance.recognise(made.png) == made.origin


def test_an_edit_is_called_a_composite_and_keeps_its_source_to_itself() -> None:
    made = drawn(edited=True, source_sha256="ab" * 32, text="An opacity was added.")
    assert b"compositeWithTrainedAlgorithmicMedia" in made.png
    assert b"abab" not in made.png
    assert b"opacity was added" not in made.png
    found = provenance.recognise(made.png)
    assert found is not None
    assert found.edited


def test_there_is_no_way_around_the_stamp() -> None:
    """Whatever a field or a property of the result gives, no array of it is the picture as it was drawn."""
    raw, made = pixels(), drawn()
    edited = CounterfactualResult(made, np.zeros_like(raw), np.zeros((64, 64), np.float32), "", False)
    for result in (made, edited):
        names = {name for name in dir(result) if not name.startswith("__")}
        told = [getattr(result, name) for name in names if not callable(getattr(result, name))]
        told += [value for value in told if isinstance(value, GeneratedImage)]
        arrays = [value for value in told if isinstance(value, np.ndarray)]
        assert arrays
        assert not any(a.shape == raw.shape and np.array_equal(a, raw) for a in arrays)
    assert {f.name for f in dataclasses.fields(GeneratedImage)} == {"png", "origin", "text", "source_sha256"}
    assert provenance.of_pixels(made.image) is not None
    height, width = made.image.shape[:2]
    assert (height > 512, width) == (True, 512)


def test_words_run_across_the_picture_and_change_it_little() -> None:
    raw = pixels()
    large = provenance.enlarged(raw)
    marked = provenance.with_words(large)
    change = np.abs(marked.astype(int) - large.astype(int))
    assert change.max() == provenance.ACROSS_LEVELS
    share = (change.max(axis=2) > 0).mean()
    assert 0.01 < share < 0.15
    quarters = [change[:256, :256], change[:256, 256:], change[256:, :256], change[256:, 256:]]
    assert all(quarter.any() for quarter in quarters)  # a crop of any quarter has some of it


def test_a_preview_is_stamped_too_and_does_not_hold_the_prompt() -> None:
    shown = preview(pixels(), MODEL)
    with Image.open(io.BytesIO(shown)) as picture:
        assert picture.format == "JPEG"
        assert provenance.of_pixels(np.asarray(picture)) is not None
    assert provenance.recognise(shown) == provenance.Origin()
    assert provenance.recognise(preview(pixels(), MODEL, edited=True)) == provenance.Origin(edited=True)
    assert b"abdomen" not in shown


def test_the_same_pixels_and_seed_give_the_same_pixels_of_the_file() -> None:
    one, other = drawn(), drawn()
    assert np.array_equal(one.image, other.image)
    assert not np.array_equal(one.image, np.roll(other.image, 1, axis=0))


def test_it_is_saved_as_it_is_and_as_png_only(tmp_path: Path) -> None:
    made = drawn()
    assert made.save(tmp_path / "a.png").read_bytes() == made.png
    with pytest.raises(ValueError, match=r"\.png"):
        made.save(tmp_path / "a.jpg")
    assert not (tmp_path / "a.jpg").exists()


def test_a_large_picture_is_not_enlarged() -> None:
    assert provenance.enlargement(512) == 1
    assert provenance.enlarged(pixels(520, 600)).shape == (520, 600, 3)
    assert provenance.enlargement(128) == 4
