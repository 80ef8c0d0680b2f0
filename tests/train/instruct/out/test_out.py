"""A finished set: what was written is what is read back, by us, by `datasets`, by Croissant's own validator."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from omnivmed.eval.media import open_media
from tests.eval import trees
from train.data import packed
from train.data.conversations import read_values
from train.instruct.__main__ import main
from train.instruct.graph import steps
from train.instruct.out import card, croissant, final, parquet
from train.instruct.rows import shards
from train.instruct.rows.record import Record
from train.instruct.services.stub import WordOverlap, Writer
from train.instruct.sources.gather import whole


def rows(data: Path) -> list[Record]:
    """A still, two pictures, a clip of frames, a volume in one file and a text."""
    for n in range(4):
        trees.picture(data / f"{n}.png", grey=50 + n, size=(140, 150))
    np.save(data / "v.npy", np.zeros((1, 4, 20, 20), np.float32))
    about: dict[str, Any] = {
        "modality": "ct",
        "task": "finding",
        "source": "SLAKE",
        "licence": "CC BY 4.0",
        "dimension": "2D",
    }
    made = [
        Record("a", "image", ("0.png",), "What is it?", "A clear chest view.", **about),
        Record(
            "b", "image", ("1.png", "2.png"), "Which?", "The second one.", **{**about, "source": "PathVQA"}
        ),
        Record(
            "c", "video", ("2.png", "3.png"), "Which phase?", "Preparation it is.", fps=2.0, focus=1, **about
        ),
        Record(
            "d", "volume", ("v.npy",), "Where?", "On the left side.", window=(0.5, 1.0), num_slices=3, **about
        ),
        Record("e", "text", (), "Why?", "For no reason at all.", **about),
    ]
    return [whole(r, incomplete=True).but(split="test" if r.id == "b" else "train") for r in made]


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    given = rows(tmp_path / "d")
    out = tmp_path / "set"
    assert parquet.write(given, tmp_path / "d", out, rows=3) == {"train": 4, "test": 1}
    found = packed.read(out, "train")
    assert not found.skipped
    assert [s.id for s in found.samples] == ["a", "c", "d", "e"]
    for sample, record in zip(found.samples, [r for r in given if r.split == "train"], strict=True):
        assert sample.turns == ((record.question, record.answer),)
        assert (sample.about.modality, sample.about.patient) == (record.modality, record.patient)
        mine, theirs = sample.media, record.media(tmp_path / "d")
        assert (mine.kind, mine.window, mine.fps, mine.focus, mine.num_slices) == (
            theirs.kind, theirs.window, theirs.fps, theirs.focus, theirs.num_slices,
        )  # fmt: skip
        assert [p.read_bytes() for p in mine.paths] == [p.read_bytes() for p in theirs.paths]
        assert not {p.name for p in mine.paths} & {p.name for p in theirs.paths}  # no file name leaves
        for study in open_media(mine):
            study.close()
    with pytest.raises(packed.LayoutError):
        packed.read(out, "validation")


def test_a_set_cannot_write_outside_its_folder(tmp_path: Path) -> None:
    import pyarrow
    import pyarrow.parquet

    given = rows(tmp_path / "d")
    parquet.write(given, tmp_path / "d", tmp_path / "set")
    path = tmp_path / "set" / "data" / "test-00000.parquet"
    held = pyarrow.parquet.read_table(path).to_pylist()
    held[0]["images"][0]["path"] = "../../evil.png"
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(held, schema=parquet.schema()), path)
    found = packed.read(tmp_path / "set", "test")
    assert [s.reason for s in found.skipped] == ["media cannot be unpacked: ValueError"]
    assert not list(tmp_path.rglob("evil.png"))


def test_datasets_reads_it(tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets", reason="pip install datasets")
    parquet.write(rows(tmp_path / "d"), tmp_path / "d", tmp_path / "set")
    found = datasets.load_dataset(
        "parquet",
        data_files=str(tmp_path / "set" / "data" / "train-*.parquet"),
        cache_dir=str(tmp_path / "c"),
    )["train"]
    assert found["id"][:] == ["a", "c", "d", "e"]
    assert [image.size for image in found[1]["images"]] == [(150, 140)] * 2
    assert found[2]["files"][0].endswith(".npy")


def test_croissant_is_valid(tmp_path: Path) -> None:
    parquet.write(rows(tmp_path / "d"), tmp_path / "d", tmp_path / "set")
    path = croissant.write(tmp_path / "set", "made-up", "Made up.", ["CC BY 4.0"])
    told = json.loads(path.read_text())
    assert {f["@id"] for f in told["distribution"]} == {
        "data/train-00000.parquet", "data/test-00000.parquet", "media/00000.tar",
    }  # fmt: skip
    assert all(len(f["sha256"]) == 64 for f in told["distribution"])
    mlcroissant = pytest.importorskip("mlcroissant", reason="pip install mlcroissant")
    held = mlcroissant.Dataset(jsonld=path)
    assert not held.metadata.ctx.issues.errors
    (first, *_) = held.records("train-00000")
    assert first["train-00000/id"] in ("a", b"a")


def test_conversations_of_others(tmp_path: Path) -> None:
    given = rows(tmp_path)
    made = [dict(final.llava(r)) for r in given]
    assert made[1]["conversations"][0]["value"] == "<image>\n<image>\nWhich?"
    assert made[2]["conversations"][0]["value"].startswith("<video>\n")
    found = read_values(((str(n), row) for n, row in enumerate(made)), tmp_path, "x")
    assert not found.skipped
    assert not found.altered
    assert [s.turns[0] for s in found.samples] == [(r.question, r.answer) for r in given]


def test_the_card_says_what_must_be_said(tmp_path: Path) -> None:
    folder = tmp_path / "o" / "captions"
    shards.write_shards(rows(tmp_path / "d"), folder / "records", 2)
    judges = [WordOverlap("one", 0), WordOverlap("two", 0)]
    steps.run(steps.caption_steps(tmp_path / "d", Writer(bad=0.4), judges, 1), folder, say=lambda line: None)
    chosen = steps.select_captions(folder)
    assert 0 < chosen["kept"] < 5
    call = [
        "out",
        "--data",
        str(tmp_path / "d"),
        "--out",
        str(tmp_path / "o"),
        "--set",
        str(tmp_path / "set"),
    ]
    assert main(call) == 0
    text = (tmp_path / "set" / "README.md").read_text()
    assert f"{chosen['kept']:,} rows (" in text
    assert "one / two: weighted kappa 1.00" in text
    assert "None was made." in text
    assert (tmp_path / "set" / card.FIGURE).stat().st_size > 1000
    assert ("may not be passed on" in text) == ("PathVQA" in text)
    kept = packed.read(tmp_path / "set", "train").samples
    assert all(s.turns[0][1].startswith("What is shown here") for s in kept)
    lines = (tmp_path / "set" / "conversations.jsonl").read_text().splitlines()
    assert len(lines) == chosen["kept"]
    (folder / "audit.json").write_text(
        json.dumps({"a": {"verdict": "accepted"}, "b": {"verdict": "rejected"}})
    )
    assert "2 rows were looked at: 1 accepted, 0 edited, 1 rejected." in card.write(
        folder, tmp_path / "set", "X"
    )
