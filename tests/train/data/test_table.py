"""The table of samples: what is read back is what was read, whoever measures; words counted as they are encoded."""

from __future__ import annotations

import dataclasses
import json
import os
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from omnivmed.eval.files import Below, LayoutError, inside, named_rows
from omnivmed.model.prompts import encode_text
from omnivmed.records import About, Media, Sample
from train.data import phantoms, table
from train.data.costs import Words, cost_of
from train.data.samples import held_out, manifest_hash
from train.data.sources import read_source, stream_source
from train.loop import loader
from train.loop.build import tiny_tokenizer
from train.recipes import Source, recipe

SOURCES = [Source("conversations", f"phantoms/{name}.jsonl") for name in ("captions", "volumes", "clips")]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("table")
    phantoms.write(root / "phantoms", stills=30, volumes=6, clips=6)
    with (root / "phantoms" / "captions.jsonl").open("a") as file:
        file.write('{"image": "no.png", "conversations": []}\nnot JSON\n')
    return root


def test_any_sample_comes_back_equal() -> None:
    odd = os.fsdecode(b"/data/\xff.png")
    samples = [
        Sample("a", Media("text"), (("Q \ud800 é", "A\n"), ("Q", "A"))),
        Sample(
            "b", Media("image", (Path(odd), Path("/data/b.png"))), (("Q", "A"),), About("CT", "t", "s", "p")
        ),
        Sample("c", Media("volume", (Path("/v.nii"),), (40.0, 0.1 + 0.2), num_slices=3), (("Q", "A"),)),
        Sample("d", Media("video", (Path("/1"), Path("/2")), fps=1 / 3, focus=1), (("Q", "A"),)),
    ]
    assert [table.of_line(table.to_line(sample)) for sample in samples] == samples


@pytest.mark.parametrize("helpers", [0, 2])
def test_table_equals_what_the_readers_give(
    data: Path, tmp_path: Path, helpers: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(table, "CHUNK", 7)
    monkeypatch.setenv("TOKENIZERS_PARALLELISM", "false")
    vision = recipe("tiny").stages[-1].vision
    read = [read_source(source, data, 1).samples for source in SOURCES]
    every = [sample for samples in read for sample in samples]
    words = tiny_tokenizer([text for sample in every for turn in sample.turns for text in turn])
    apart = partial(held_out, share=0.2)
    facts = table.write_table(SOURCES, data, 1, apart, words, vision, tmp_path, helpers)
    training, validation = table.Rows(tmp_path, "training"), table.Rows(tmp_path, "validation")
    assert list(training) == [sample for sample in every if not apart(sample.id)]
    assert list(validation) == validation[:] == [sample for sample in every if apart(sample.id)]
    assert len(validation) > 0
    assert list(table.open_costs(tmp_path)) == [cost_of(sample, words, vision) for sample in training]
    assert facts["sizes"] == [sum(not apart(sample.id) for sample in samples) for samples in read]
    assert list(facts["hashes"].values()) == [manifest_hash(samples) for samples in read]
    assert (facts["told"]["samples"], facts["told"]["bad"]) == (len(every), 2)
    dropped = [json.loads(line) for line in (tmp_path / "dropped.jsonl").read_text().splitlines()]
    assert [row["row"] for row in dropped] == [
        "captions.jsonl line 31 (captions/30)",
        "captions.jsonl line 32",
    ]
    kind, place = training.__reduce__()  # to a worker goes the place on disk, not the rows
    assert (list(kind(*place)), place) == (list(training), (tmp_path, "training"))


@pytest.mark.parametrize("limit", [None, 5])
def test_a_stream_gives_what_its_reader_gives(data: Path, limit: int | None) -> None:
    for source in SOURCES:
        source = dataclasses.replace(source, limit=limit)
        whole, taken = read_source(source, data, 3), list[Sample]()
        count, rest = stream_source(source, data, 3, taken.append)
        assert (count, tuple(taken)) == (len(whole.samples), whole.samples)
        assert (rest.skipped, rest.altered) == (whole.skipped, whole.altered)
    (data / "phantoms" / "empty.jsonl").write_text("")
    with pytest.raises(LayoutError, match="gives no sample: it holds no row"):
        stream_source(Source("conversations", "phantoms/empty.jsonl"), data, 0, list[Sample]().append)


TEXTS = [
    "One word, two words (and 3.5 mm).",
    "A lung\nand a heart",
    " leading and  double",
    "tab\there trailing ",
    "<|im_end|> is text",
    "Größe 12 µm, 肺 of the 肺炎 \u00a0 end",
    "x",
]


def test_words_are_counted_as_they_are_encoded() -> None:
    tokenizer = tiny_tokenizer([*TEXTS, "the the of of a a lung lung"])
    words = Words(tokenizer)
    for text in [*TEXTS, *(f"{a} {b}" for a in TEXTS for b in TEXTS)] * 2:
        assert words.count(text) == len(encode_text(tokenizer, text))
    assert not words.whole


def test_a_tokenizer_that_joins_words_is_found_out() -> None:
    from tokenizers import Tokenizer, models
    from transformers import PreTrainedTokenizerFast

    joined = {"a": 0, " ": 1, "b": 2, "a ": 3, "a b": 4}
    model = models.BPE(vocab=joined, merges=[("a", " "), ("a ", "b")])
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=Tokenizer(model))
    words = Words(tokenizer)
    assert [words.count("a b"), words.count("a b")] == [1, 1]
    assert words.whole


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("[]", 0),
        (' [ {"a": 1} , 2 ]\n', 0),
        ("", 1),
        ("[", 1),
        ("[1,]", 1),
        ("[1 2]", 1),
        ("[1]\n\nx", 3),
        ('[{"a":\n }]', 2),
        ("nul", 1),
    ],
)
def test_a_list_is_read_entry_by_entry_as_in_one_piece(tmp_path: Path, text: str, line: int) -> None:
    path = tmp_path / "rows.json"
    path.write_text(text)
    if line:
        with pytest.raises(json.JSONDecodeError) as whole:
            json.loads(text)
        assert whole.value.lineno == line
        with pytest.raises(LayoutError, match=rf"rows.json is not valid JSON \(line {line}\)"):
            list(named_rows(path))
    else:
        found = [value if isinstance(value, dict) else None for value in json.loads(text)]
        assert [value for _, value in named_rows(path)] == found


def test_names_below_a_folder(tmp_path: Path) -> None:
    root = tmp_path / "root"
    (root / "in" / "deep").mkdir(parents=True)
    for name in ("root/a.png", "root/in/b.png", "root/in/deep/c.png", "out.png"):
        (tmp_path / name).touch()
    (root / "in" / "link.png").symlink_to(tmp_path / "out.png")
    (root / "in" / "own.png").symlink_to(root / "a.png")
    (root / "away").symlink_to(tmp_path)
    below = Below(root)
    names = [
        "a.png",
        "in/b.png",
        "in/deep/c.png",
        "in/deep",
        "in",
        "./a.png",
        "in/../a.png",
        "in//b.png",
        ".",
    ]
    names += ["in/own.png", "in/link.png", "away/out.png", "../out.png", str(tmp_path / "out.png"), "no.png"]
    names += ["no/b.png", "a.png/b", "in/", str(root / "a.png"), "in/.."]
    for name in names * 2:
        slow = inside(root, name)
        expected = slow if slow is not None and slow.exists() else None
        assert below.existing(name) == expected, name
    (root / "in" / "b.png").unlink()
    assert below.existing("in/b.png") is None  # files are looked at every time


def test_kept_rows_are_used_until_something_changes(data: Path, tmp_path: Path) -> None:
    config = recipe("tiny")
    stage = dataclasses.replace(config.stages[-1], sources=tuple(SOURCES))
    words = tiny_tokenizer(["a b c"])
    first = loader.open_stage(config, stage, data, tmp_path, words)
    file = first.training.folder / "training.json"
    before = file.stat().st_mtime_ns

    def again(**changed: Any) -> bool:
        """Whether the rows were taken as they lay there."""
        found = loader.open_stage(dataclasses.replace(config, **changed), stage, data, tmp_path, words)
        assert list(found.training) or changed
        return found.training.folder == first.training.folder and file.stat().st_mtime_ns == before

    assert again()
    assert (tmp_path / "dropped.jsonl").read_text().count("\n") == 2
    extra = data / "phantoms" / "extra.png"
    extra.touch()
    assert not again()  # another file
    assert len(list((tmp_path / "rows").iterdir())) == 2  # the older table is not kept
    extra.unlink()
    first = loader.open_stage(config, stage, data, tmp_path, words)
    before = file.stat().st_mtime_ns
    assert again()
    assert not again(seed=7)
    first = loader.open_stage(config, stage, data, tmp_path, words)
    with file.open("ab") as torn:
        torn.write(b"x")
    before = file.stat().st_mtime_ns
    assert not again()  # a table that is not whole is made anew
    assert [s.id for s in loader.open_stage(config, stage, data, tmp_path, words).training]


def test_other_processes_wait_and_stop_with_the_first(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config, words = recipe("tiny"), tiny_tokenizer(["a"])
    stage = dataclasses.replace(config.stages[0], sources=tuple(SOURCES[:1]))
    for name, value in {"WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2", "MASTER_PORT": "1"}.items():
        monkeypatch.setenv(name, value)
    first = loader.open_stage(config, stage, data, tmp_path, words)
    monkeypatch.setenv("RANK", "1")
    second = loader.open_stage(config, stage, data, tmp_path, words)
    assert list(second.training) == list(first.training)
    assert (second.sizes, second.hashes, second.told) == (first.sizes, first.hashes, first.told)
    monkeypatch.setenv("RANK", "0")
    missing = dataclasses.replace(stage, sources=(Source("pubmedvision", "none", "alignment"),))
    with pytest.raises(LayoutError):
        loader.open_stage(config, missing, data, tmp_path, words)
    monkeypatch.setenv("RANK", "1")
    with pytest.raises(
        ValueError, match=r"the first process could not read the data: .*download PubMedVision"
    ):
        loader.open_stage(config, missing, data, tmp_path, words)
