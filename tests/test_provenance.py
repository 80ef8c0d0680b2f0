"""A drawn picture is known again: by its metadata, and by its bar code once the metadata are gone."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from omnivmed.io import open_study
from omnivmed.provenance import (
    EDITED,
    GENERATED,
    Origin,
    of_metadata,
    of_pixels,
    png_bytes,
    recognise,
    with_band,
)
from omnivmed.resources import samples_dir

ORIGIN = Origin(
    model="unimed-nano-0.1",
    prompt="axial CT of the chest",
    seed=7,
    made_at="2026-11-27T12:00:00Z",
    parameters={"steps": 25, "cfg_text": 4.0},
)


def drawn(height: int = 256, width: int = 256, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def saved_as(png: bytes, fmt: str, size: tuple[int, int] | None = None, **options: object) -> bytes:
    """The picture through a program that keeps no metadata."""
    with Image.open(io.BytesIO(png)) as picture:
        plain = Image.fromarray(np.asarray(picture.convert("RGB")))
    out = io.BytesIO()
    (plain if size is None else plain.resize(size)).save(out, fmt, **options)
    return out.getvalue()


def test_what_was_written_comes_back() -> None:
    assert recognise(png_bytes(drawn(), ORIGIN)) == ORIGIN


def test_a_path_does_as_well(tmp_path: Path) -> None:
    path = tmp_path / "drawn.png"
    path.write_bytes(png_bytes(drawn(), ORIGIN))
    assert recognise(path) == ORIGIN


def test_the_band_leaves_the_picture_as_it_is() -> None:
    picture = drawn(200, 180)
    marked = with_band(picture, "m")
    assert marked.shape[0] > 200
    assert marked.shape[1:] == (180, 3)
    assert np.array_equal(marked[:200], picture)


@pytest.mark.parametrize("size", [(16, 16), (64, 64), (128, 400), (1024, 700)])
def test_every_size_carries_a_readable_code(size: tuple[int, int]) -> None:
    assert of_pixels(with_band(drawn(*size), "nano")) is not None


@pytest.mark.parametrize(
    ("fmt", "size", "options"),
    [
        ("PNG", None, {}),
        ("JPEG", None, {"quality": 60}),
        ("WEBP", None, {"quality": 70}),
        ("PNG", (128, 139), {}),
        ("JPEG", (400, 431), {"quality": 85}),
        ("BMP", None, {}),
    ],
)
def test_it_outlives_lost_metadata(
    fmt: str, size: tuple[int, int] | None, options: dict[str, object]
) -> None:
    copy = saved_as(png_bytes(drawn(), ORIGIN), fmt, size, **options)
    with Image.open(io.BytesIO(copy)) as picture:
        assert of_metadata(picture.info) is None
    assert recognise(copy) == Origin()


def test_a_grey_sixteen_bit_copy_is_recognised() -> None:
    grey = with_band(drawn(), "m").mean(axis=2).astype(np.uint16) * 257
    assert of_pixels(grey) is not None


@pytest.mark.parametrize("seed", range(20))
def test_other_pictures_are_not(seed: int) -> None:
    assert of_pixels(drawn(seed=seed)) is None
    assert of_pixels(np.full((64, 64), seed * 12, np.uint8)) is None


def test_no_sample_is() -> None:
    for path in sorted(p for p in samples_dir().iterdir() if p.suffix in (".png", ".jpg", ".dcm")):
        assert "Synthetic" not in open_study(path, isolated=False).warnings, path.name


@pytest.mark.parametrize(("kind", "edited"), [(GENERATED, False), (EDITED, True)])
def test_the_mark_of_another_generator_is_read(kind: str, edited: bool) -> None:
    text = f'<x Iptc4xmpExt:DigitalSourceType="http://cv.iptc.org/newscodes/digitalsourcetype/{kind}"/>'
    assert of_metadata({"xmp": text.encode()}) == Origin(ours=False, edited=edited)
    assert of_metadata({"xmp": b"<x/>"}) is None


@pytest.mark.parametrize(
    "text", ["", "[", "[" * 100_000, "null", '{"model": "<script>", "seed": "x", "parameters": 3}']
)
def test_a_forged_chunk_is_believed_field_by_field(text: str) -> None:
    found = of_metadata({"omnivmed": text})
    assert found is not None
    assert (found.model, found.seed, dict(found.parameters)) == ("", None, {})
    assert "<" not in found.sentence


@pytest.mark.parametrize("isolated", [False, True])
def test_an_upload_says_that_it_is_synthetic(tmp_path: Path, isolated: bool) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(png_bytes(drawn(), ORIGIN))
    with open_study(path, isolated=isolated) as study:
        assert "Synthetic" in study.warnings
        (note,) = [note for note in study.notes if "synthetic" in note]
        assert "unimed-nano-0.1" in note
    path.with_suffix(".jpg").write_bytes(saved_as(path.read_bytes(), "JPEG", quality=75))
    with open_study(path.with_suffix(".jpg"), isolated=isolated) as study:
        assert "Synthetic" in study.warnings


def test_neither_bytes_nor_text_are_a_picture() -> None:
    assert recognise(b"no picture") is None


def test_only_colour_pictures_are_marked() -> None:
    with pytest.raises(ValueError, match="uint8"):
        with_band(np.zeros((8, 8), np.uint8), "m")
