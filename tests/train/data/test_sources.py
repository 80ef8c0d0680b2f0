"""Readers against small files written in exactly the public layouts."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from omnivmed.eval.files import LayoutError
from tests.eval import trees
from train.data import conversations, phantoms
from train.data.samples import manifest_hash
from train.data.sources import READERS, SHORT, read_source
from train.recipes import Source


def talk(*turns: tuple[str, str]) -> list[dict[str, str]]:
    return [{"from": who, "value": text} for who, text in turns]


ASK = talk(("human", "<image>\nWhat is it?"), ("gpt", "A cyst."))


def rows(tmp_path: Path, *values: dict[str, Any]) -> Any:
    for name in ("a.png", "b.png", "frames/2.png", "frames/10.png", "frames/1.png"):
        trees.picture(tmp_path / name)
    (tmp_path / "clip.mp4").write_bytes(b"")
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps(v) + "\n" for v in values))
    return conversations.read(path, "rows")


def test_every_kind_of_media(tmp_path: Path) -> None:
    found = rows(
        tmp_path,
        {"image": "a.png", "conversations": ASK},
        {"image": ["a.png", "b.png"], "conversations": ASK},
        {"image": "frames", "conversations": ASK},
        {"video": ["clip.mp4"], "conversations": talk(("human", "What?<video>"), ("gpt", "A cut."))},
        {"video": "frames", "fps": 3, "conversations": ASK},
        {"volume": {"path": "frames", "window": [40, 400], "num_slices": 2}, "conversations": ASK},
        {"conversations": ASK},
    )
    assert not found.skipped
    media = [s.media for s in found.samples]
    assert [m.kind for m in media] == ["image", "image", "image", "video", "video", "volume", "text"]
    assert [len(m.paths) for m in media] == [1, 2, 3, 1, 3, 3, 0]
    assert [p.name for p in media[4].paths] == ["1.png", "2.png", "10.png"]  # 2 before 10
    assert media[4].fps == 3
    assert (media[5].window, media[5].num_slices) == ((40.0, 400.0), 2)
    assert found.samples[0].turns == (("What is it?", "A cyst."),)  # the tag is taken out
    assert found.samples[3].turns[0][0] == "What?"


def test_conversations_are_put_straight_or_left_out(tmp_path: Path) -> None:
    greeting = ("gpt", "Hello")
    found = rows(
        tmp_path,
        {
            "id": 7,
            "image": "a.png",
            "conversations": talk(greeting, ("human", "Q"), ("gpt", "A"), ("human", "R"), ("gpt", "B")),
        },
        {"id": 7, "conversations": ASK},
        {"image": "gone.png", "conversations": ASK},
        {"image": "../../etc/passwd", "conversations": ASK},
        {"image": "a.png", "conversations": talk(("human", "Q"), ("human", "Q"))},
        {"image": "a.png", "conversations": talk(("human", "<image>"), ("gpt", "A"))},
        {"image": "a.png", "video": "clip.mp4", "conversations": ASK},
        {"video": ["clip.mp4", "clip.mp4"], "conversations": ASK},
        {"volume": {"path": "frames", "axis": "coronal"}, "conversations": ASK},
        {"image": "a.png"},
    )
    assert [s.id for s in found.samples] == ["rows/7", "rows/7#1"]
    assert found.samples[0].turns == (("Q", "A"), ("R", "B"))
    assert [s.reason for s in found.skipped] == [
        "file missing",
        "file missing",
        "turns do not alternate",
        "empty question or answer",
        "several kinds of media",
        "a video is one file or one folder",
        "only axial volumes are read",
        "no conversation",
    ]


def test_pubmedvision(tmp_path: Path) -> None:
    for name in ("images/pmc_1_0.jpg", "images/pmc_1_1.jpg"):
        trees.picture(tmp_path / name)
    row = {
        "id": "pmc_1",
        "image": ["images/pmc_1_0.jpg", "images/pmc_1_1.jpg"],
        "conversations": talk(("human", "Describe."), ("gpt", "Two views.")),
        "modality": "CT",
        "body_part": "Abdomen",
    }
    (tmp_path / "PubMedVision_Alignment_VQA.json").write_text(json.dumps([row]))
    found = READERS["pubmedvision"](tmp_path, "alignment")
    assert len(found.samples[0].media.paths) == 2
    with pytest.raises(LayoutError, match="PubMedVision_InstructionTuning_VQA"):
        READERS["pubmedvision"](tmp_path, "instruction")
    with pytest.raises(ValueError, match="alignment or instruction"):
        READERS["pubmedvision"](tmp_path, "train")


@pytest.mark.parametrize(
    ("reader", "make", "split", "count"),
    [
        ("vqa_rad", trees.vqa_rad_original, "train", 2),
        ("vqa_rad_hub", lambda root: trees.image_folder(root, "train"), "train", 3),
        ("slake", trees.slake, "train", 2),
        ("pathvqa", lambda root: trees.image_folder(root, "train"), "train", 3),
        ("m3d_vqa", lambda root: trees.m3d(root, "train"), "train", 5),
        ("m3d_cap", trees.m3d, "train", 2),
        ("cholec80", trees.cholec80, "test", 3),
        ("endovis18", trees.endovis18, "test", 2),
        ("psi_ava", trees.psi_ava, "test", 2),
    ],
)
def test_benchmark_layouts_as_training_data(
    reader: str, make: Any, split: str, count: int, tmp_path: Path
) -> None:
    make(tmp_path)
    found = READERS[reader](tmp_path, split)
    assert len(found.samples) == count
    assert all(path.exists() for s in found.samples for path in s.media.paths)
    if not reader.startswith("m3d"):
        assert all(question.endswith(SHORT) for s in found.samples for question, _ in s.turns)


def test_a_limit_draws_the_same_samples_every_time(tmp_path: Path) -> None:
    phantoms.write(tmp_path / "phantoms", stills=30, volumes=1, clips=1)
    source = Source("conversations", "phantoms/captions.jsonl", limit=7)
    drawn = [read_source(source, tmp_path, seed).samples for seed in (1, 1, 2)]
    assert len(drawn[0]) == 7
    assert drawn[0] == drawn[1] != drawn[2]
    assert manifest_hash(drawn[0]) == manifest_hash(drawn[1]) != manifest_hash(drawn[2])
    with pytest.raises(ValueError, match="pubmedvision"):
        read_source(Source("nothing", ""), tmp_path, 0)


def test_phantoms_are_the_same_for_a_seed(tmp_path: Path) -> None:
    for name in ("one", "two"):
        phantoms.write(tmp_path / name, seed=5, stills=10, volumes=2, clips=2)
    files = sorted(p.relative_to(tmp_path / "one") for p in (tmp_path / "one").rglob("*") if p.is_file())
    assert len(files) == 4 + 10 + 2 + 2 * phantoms.FRAMES
    assert all((tmp_path / "one" / f).read_bytes() == (tmp_path / "two" / f).read_bytes() for f in files)
