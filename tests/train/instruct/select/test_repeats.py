"""Doubles and leaks are found by picture and text; what only looks empty is nobody's copy."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from omnivmed.records import Item, Media, Sample
from train.instruct.__main__ import main
from train.instruct.rows import shards
from train.instruct.rows.record import from_samples
from train.instruct.select import repeats as quality
from train.instruct.select.repeats import (
    NEAR,
    Index,
    known_from,
    picture_print,
    prints_of,
    structured,
    text_print,
)


def scene(seed: int) -> Image.Image:
    """A picture with structure: smooth noise, 200 x 240."""
    rng = np.random.default_rng(seed)
    small = Image.fromarray(rng.integers(0, 255, (10, 12), dtype=np.uint8))
    return small.resize((240, 200), Image.Resampling.BICUBIC)


def put(path: Path, picture: Image.Image, **how: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    picture.convert("RGB").save(path, **how)  # type: ignore[arg-type]
    return path


def test_a_copy_is_near_and_another_picture_is_not() -> None:
    copies = [
        scene(0).resize((120, 100)),
        scene(0).convert("RGB"),
        scene(0).point(lambda v: min(255, v + 10)),
    ]
    own = picture_print(scene(0))
    assert all((picture_print(c) ^ own).bit_count() <= NEAR for c in copies)
    others = [picture_print(scene(n)) for n in range(1, 200)]
    assert min((o ^ own).bit_count() for o in others) > NEAR


def test_near_prints_are_found_whatever_bits_differ() -> None:
    rng = np.random.default_rng(0)
    index = Index()
    known = [int(v) for v in rng.integers(0, 2**63, 300)]
    for value in known:
        index.add(value)
    for value in known[:100]:
        flips = [int(b) for b in rng.choice(64, NEAR, replace=False)]
        assert index.near(value ^ sum(1 << b for b in flips))
    assert not any(index.near(int(v)) for v in rng.integers(0, 2**63, 300))
    assert not structured(picture_print(Image.new("L", (64, 64))))
    index.add(0)
    assert not index.near(0)


def test_texts_are_the_same_whatever_their_dress() -> None:
    assert text_print("Is it?", "Yes, it is.") == text_print("is it", "YES it is")
    assert text_print("Is it?", "Yes") != text_print("Is it", "? No")


def samples(root: Path) -> list[Sample]:
    report = "A large mass with smooth borders lies in the left upper lobe."
    rows = [
        (scene(1), "Q", "A"),
        (scene(1).resize((180, 150)), "q?", "a."),  # the same, saved smaller
        (scene(1), "Q", "B"),  # another answer
        (scene(2), "Q", "A"),  # another picture
        (scene(3), "Q", "A"),  # in the test set
        (scene(4), "Describe.", report),  # its text is in the test set
        (Image.new("L", (64, 64)), "Q", "A"),
    ]
    out = []
    for number, (picture, question, answer) in enumerate(rows):
        path = put(root / f"{number}.png", picture)
        out.append(Sample(f"s{number}", Media("image", (path,)), ((question, answer),)))
    return out


def held_back(root: Path) -> list[Item]:
    path = put(root / "test" / "3.jpg", scene(3).resize((200, 166)), quality=80)
    report = "a large mass with smooth borders lies in the LEFT upper lobe"
    black = put(root / "test" / "black.png", Image.new("L", (80, 80)))
    return [
        Item("1", Media("image", (path,)), "Other?", "yes", True),
        Item("2", Media("image", (path,)), "Other?", report, False),
        Item("3", Media("image", (black,)), "Other?", "no", True),
        Item("4", Media("image", (root / "gone.png",)), "Other?", "no", True),
    ]


def test_leaks_and_doubles_are_dropped_with_the_reason(tmp_path: Path) -> None:
    shards.write_shards(from_samples(samples(tmp_path), tmp_path), tmp_path / "in", 3)
    pictures, texts, closed = known_from(held_back(tmp_path))
    assert (len(texts), closed) == (1, 1)
    stage = quality.Leakage(tmp_path, pictures, texts)
    assert shards.run(stage, tmp_path / "in", tmp_path / "unleaked") == shards.Count(7, 5, 2)
    assert shards.reasons(tmp_path / "unleaked") == {
        "its picture is in a test set": 1,
        "its text is in a test set": 1,
    }
    for _ in range(2):  # the same again when it is run again
        assert quality.unique(tmp_path / "unleaked", tmp_path / "checked") == shards.Count(5, 4, 1)
        assert [r.id for r in shards.records_of(tmp_path / "checked")] == ["s0", "s2", "s3", "s6"]
    assert all(r.prints for r in shards.records_of(tmp_path / "checked"))


def test_clips_have_three_prints(tmp_path: Path) -> None:
    paths = tuple(put(tmp_path / f"{n}.png", scene(n)) for n in range(5))
    clip = prints_of(Media("video", paths, fps=1))
    assert clip == tuple(picture_print(scene(n).convert("RGB")) for n in (0, 2, 4))
    assert prints_of(Media("text")) == ()


def test_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from tests.eval import trees

    trees.slake(tmp_path / "SLAKE", "test")
    put(tmp_path / "SLAKE" / "imgs" / "xmlab1" / "source.jpg", scene(3), quality=90)
    rows = [replace(s, turns=(("Q", "A"),)) for s in samples(tmp_path / "d")]
    out = tmp_path / "o"
    shards.write_shards(from_samples(rows, tmp_path), out / "captions" / "records")
    call = ["check", "--data", str(tmp_path), "--out", str(out)]
    assert main([*call, "--test", "slake=SLAKE"]) == 0
    said = capsys.readouterr().out
    assert "6 of 7 rows are in no test set" in said
    assert "4 of 6 rows are there once" in said
    assert main([*call, "--test", "nothing=SLAKE"]) == 2
