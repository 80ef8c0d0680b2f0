"""Readers against small files written in exactly the public layouts."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from omnivmed.eval.files import LayoutError
from omnivmed.eval.kinds import TASKS
from tests.eval import trees
from train.data import conversations, mimic_cxr, phantoms
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
        {"video": ["b.png", "a.png"], "conversations": ASK},
        {"volume": {"path": ["b.png", "a.png"]}, "conversations": ASK},
        {"volume": {"path": "frames", "window": [40, 400], "num_slices": 2}, "conversations": ASK},
        {"conversations": ASK},
    )
    assert not found.skipped
    media = [s.media for s in found.samples]
    assert [m.kind for m in media] == [
        *("image", "image", "image", "video", "video", "video", "volume", "volume", "text")
    ]
    assert [len(m.paths) for m in media] == [1, 2, 3, 1, 3, 2, 2, 3, 0]
    assert [p.name for p in media[5].paths] == ["b.png", "a.png"]  # as listed
    assert [p.name for p in media[4].paths] == ["1.png", "2.png", "10.png"]  # 2 before 10
    assert media[4].fps == 3
    assert (media[7].window, media[7].num_slices) == ((40.0, 400.0), 2)
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
        "a video is one file, one folder or a list of pictures",
        "only axial volumes are read",
        "no conversation",
    ]


def test_messages_and_fields(tmp_path: Path) -> None:
    parts = [{"type": "image", "image": "a.png"}, {"type": "text", "text": "What is it?"}]
    said = [{"role": "user", "content": parts}, {"role": "assistant", "content": "A cyst."}]
    found = rows(
        tmp_path,
        {"messages": said, "modality": "Magnetic Resonance Imaging", "task": "Disease Diagnosis"},
        {
            "images": ["a.png", "b.png"],
            "messages": [
                {"role": "user", "content": "<image><image>Which?"},
                {"role": "assistant", "content": "B"},
            ],
            "patient": "Doe, Jane",
        },
        {"messages": [{"role": "user", "content": [{"type": "audio"}]}, said[1]]},
        {"messages": [{"role": "tool", "content": "x"}, said[1]]},
    )
    first, second = found.samples
    assert (first.media.kind, first.media.paths[0].name) == ("image", "a.png")
    assert first.turns == (("What is it?", "A cyst."),)
    assert (first.about.modality, first.about.task) == ("mr", "finding")
    assert second.turns == (("Which?", "B"),)
    assert second.about.patient
    assert "Doe" not in repr(second)
    assert not found.altered
    assert [(r.name.split(" (")[0], r.reason) for r in found.skipped] == [
        ("rows.jsonl line 3", "a part of a message that is neither text nor image"),
        ("rows.jsonl line 4", "turns do not alternate"),
    ]


def test_what_is_read_otherwise_than_written_is_told(tmp_path: Path) -> None:
    ask = talk(("human", "Q"), ("gpt", "A"))
    found = rows(
        tmp_path,
        {"image": "a.png", "conversations": [{"from": "system", "value": "Be brief."}, *ask]},
        {"image": "a.png", "conversations": talk(("human", "See <image> here"), ("gpt", "A"))},
        {"image": "a.png", "conversations": [*ask, *talk(("human", "<image>\nQ"), ("gpt", "A"))]},
        {"image": "a.png", "conversations": [{"from": "gpt", "value": "Hello"}, *ask]},
        {"conversations": ASK},
        {
            "image": ["a.png", "b.png", "a.png"],
            "conversations": talk(("human", "<image><image>Q"), ("gpt", "A")),
        },
        {"image": "a.png", "conversations": talk(("human", "<image>\n<image>\nQ"), ("gpt", "A"))},
        {"image": "a.png", "conversations": ASK},
        {"image": ["a.png", "b.png"], "conversations": ASK},  # one tag for all pictures is the custom
    )
    assert len(found.samples) == 8
    assert all("<" not in q for s in found.samples for q, _ in s.turns)
    assert [(r.name.split(" (")[0], r.reason) for r in found.altered] == [
        ("rows.jsonl line 1", conversations.SYSTEM),
        ("rows.jsonl line 2", conversations.MOVED),
        ("rows.jsonl line 3", conversations.MOVED),
        ("rows.jsonl line 4", conversations.GREETING),
        ("rows.jsonl line 5", conversations.NO_PICTURE),
        ("rows.jsonl line 6", conversations.FEW_TAGS),
    ]
    assert [(r.name.split(" (")[0], r.reason) for r in found.skipped] == [
        ("rows.jsonl line 7", "2 media tags for 1 in the row")
    ]


def test_one_broken_line_is_one_row(tmp_path: Path) -> None:
    good = json.dumps({"conversations": talk(("human", "Q"), ("gpt", "A\u2028B"))}, ensure_ascii=False)
    path = tmp_path / "bad.jsonl"
    lines = [
        good.encode(),
        b'{"conversations": [',
        b"",
        b"[1]",
        b'{"a": "\xff"}',
        b"[" * 100_000,
        good.encode(),
    ]
    path.write_bytes(b"\n".join(lines))
    found = conversations.read(path, "bad")
    assert [s.turns[0][1] for s in found.samples] == ["A\u2028B"] * 2  # no line ends inside a text
    assert [(r.name, r.reason) for r in found.skipped] == [
        (f"bad.jsonl line {n}", "not a JSON object") for n in (2, 4, 5, 6)
    ]
    listed = tmp_path / "bad.json"
    listed.write_text(json.dumps([json.loads(good), 7]))
    assert [r.name for r in conversations.read(listed, "bad").skipped] == ["bad.json[1]"]
    listed.write_bytes(b'["\xff"]')
    with pytest.raises(LayoutError, match="UTF-8"):
        conversations.read(listed, "bad")


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({"video": "frames", "fps": 0}, "fps is not above 0"),
        ({"video": "frames", "fps": "fast"}, "fps is not a number"),
        ({"volume": {"path": "frames", "window": 400}}, "a window is [level, width]"),
        ({"volume": {"path": "frames", "level": 40}}, "window is not a number"),
        ({"volume": {"path": "frames", "num_slices": 0}}, "num_slices is a number of slices"),
        ({"image": "a" * 5000 + ".png"}, "file missing"),
        ({"image": "a\0b.png"}, "file missing"),
        ({"image": {"path": "a.png"}}, "file missing"),
    ],
)
def test_odd_values_are_a_row_left_out(tmp_path: Path, row: dict[str, Any], reason: str) -> None:
    found = rows(tmp_path, {**row, "conversations": talk(("human", "Q"), ("gpt", "A"))})
    assert [r.reason for r in found.skipped] == [reason]


def test_a_source_without_a_sample_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "set" / "rows.jsonl"
    path.parent.mkdir()
    path.write_text(json.dumps({"image": "gone.png", "conversations": ASK}) + "\n")
    source = Source("conversations", "set/rows.jsonl")
    with pytest.raises(LayoutError, match=r"set/rows.jsonl .* 1 x file missing, first rows.jsonl line 1"):
        read_source(source, tmp_path, 0)
    path.write_text("")
    with pytest.raises(LayoutError, match="holds no row"):
        read_source(source, tmp_path, 0)


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
    about = found.samples[0].about
    assert (about.modality, about.task, about.source) == ("ct", "description", "PubMedVision")
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
        ("m3d_retrieval", trees.m3d_reports, "train", 7),
        ("m3d_positioning", trees.m3d_seg, "train", 3),
        ("mimic_cxr", trees.mimic_cxr, "train", 1),
        ("cholec80", trees.cholec80, "test", 3),
        ("cholec80-stills", trees.cholec80, "test", 3),
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
    if not reader.startswith(("m3d", "mimic")):
        assert all(question.endswith(SHORT) for s in found.samples for question, _ in s.turns)
    assert all(s.about.source and s.about.task in TASKS for s in found.samples)


def test_mimic_cxr_takes_findings_and_impression(tmp_path: Path) -> None:
    trees.mimic_cxr(tmp_path)
    found = mimic_cxr.read(tmp_path, "train")
    (sample,) = found.samples
    assert sample.id == "mimic_cxr/train/50000001"
    assert [p.stem for p in sample.media.paths] == ["d2", "d0"]  # the frontal picture first, two at most
    target = "Findings: The lungs are clear. No effusion.\nImpression: No acute process."
    assert sample.turns == ((mimic_cxr.QUESTION, target),)
    assert (sample.about.modality, sample.about.task) == ("x-ray", "report")
    assert "10000001" not in sample.about.patient
    assert [(r.name, r.reason, r.by_rule) for r in found.skipped] == [
        ("s50000002", "report missing", False),
        ("s50000003", "report without findings and impression", True),
        ("s50000005", "picture missing", False),
    ]
    assert [s.id for s in mimic_cxr.read(tmp_path, "test").samples] == ["mimic_cxr/test/50000004"]
    with pytest.raises(LayoutError, match=r"mimic-cxr-2\.0\.0-split\.csv"):
        mimic_cxr.read(tmp_path / "files", "train")


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
