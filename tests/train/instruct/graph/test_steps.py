"""The graph with services: every row accounted for, whatever they do; nothing asked twice; selection asks nobody."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from omnivmed.eval.clips import Clip
from omnivmed.records import About, Media, Sample
from tests.eval import trees
from tests.train.instruct.services import Stub, serving
from train.data import conversations
from train.instruct.__main__ import main
from train.instruct.graph import plan
from train.instruct.graph import steps as graph
from train.instruct.rows import shards
from train.instruct.rows.record import Record, RecordError, from_samples
from train.instruct.rows.shards import Drop
from train.instruct.select.rules import Bar
from train.instruct.services.client import KEY_VARIABLE, HttpService, ServiceError
from train.instruct.services.stages import fill, read_scores

QUIET = {"sleep": lambda s: None}


def data(root: Path, rows: int = 3) -> list[Sample]:
    """Clips of two frames and one still, 140 pixels and more."""
    out = []
    for number in range(rows):
        paths = [root / "v" / f"{number}_{k}.png" for k in range(2)]
        for path in paths:
            trees.picture(path, grey=60 + number, size=(140, 150))
        media = Media("video", tuple(paths), fps=1, focus=1)
        about = About("surgical video", "workflow", "Cholec80-VQA", f"video {number}")
        out.append(Sample(f"s{number}", media, (("Which phase?", "Preparation of the field."),), about))
    return out


def records(root: Path, out: Path, rows: int = 3, size: int = 2) -> None:
    shards.write_shards(from_samples(data(root, rows), root), out / "records", size)


def service(stub: Stub, name: str = "m", cache: Path | None = None, **more: object) -> HttpService:
    return HttpService(stub.url, name, cache, wait_s=0, **{**QUIET, **more})  # type: ignore[arg-type]


def test_records_carry_what_is_known(tmp_path: Path) -> None:
    sample = replace(data(tmp_path, 1)[0], turns=(("Q", "A text of an answer."), ("R", "B")))
    first, second = from_samples([sample], tmp_path)
    assert (first.licence, first.dimension, first.focus) == ("CC BY-NC-SA 4.0 (Cholec80)", "video", 1)
    assert (second.id, second.question) == ("s0/turn 1", "R")
    assert Record.from_json(first.to_json()) == first
    assert first.media(tmp_path) == sample.media
    for wrong in ("{", "[]", '{"schema": "x"}', first.to_json().replace('"kind"', '"kinds"')):
        with pytest.raises(RecordError):
            Record.from_json(wrong)
    with pytest.raises(RecordError, match="no id"):
        Record.from_json(replace(first, answer=" ").to_json())


def test_captions_from_services_to_a_file_the_recipe_reads(tmp_path: Path) -> None:
    out = tmp_path / "out"
    records(tmp_path / "d", out)
    with serving(Stub()) as stub:
        cache = tmp_path / "cache"
        judges = [service(stub, name, cache) for name in ("first", "second")]
        steps = graph.caption_steps(tmp_path / "d", service(stub, "writer", cache), judges, count=2)
        counts = graph.run(steps, out, say=lambda line: None)
        asked = len(stub.requests)
        assert asked == 3 * 2 + 2 * 3 * 2
        assert {c.kept for c in counts.values()} == {3}
        assert graph.run(steps, out, say=lambda line: None) == counts
        assert len(stub.requests) == asked
    picture = json.dumps(stub.requests[0]["messages"])
    assert "data:image/jpeg;base64," in picture
    assert ".png" not in picture  # no file name leaves
    seeds = [r["seed"] for r in stub.requests if r["temperature"] > 0]
    assert len(set(seeds)) == len(seeds)
    assert graph.select_captions(out) == {"read": 3, "kept": 3, "rejected": 0}
    assert graph.select_captions(out, Bar(judges=3)) == {"read": 3, "kept": 0, "rejected": 3}
    assert graph.select_captions(out)["kept"] == 3
    assert list(graph.agreement(out)) == ["first / second"]
    written = tmp_path / "d" / "surgical-captions.jsonl"
    written.write_bytes((out / "captions.jsonl").read_bytes())
    found = conversations.read(written, "captions")
    assert not found.skipped
    assert [len(s.media.paths) for s in found.samples] == [2, 2, 2]
    assert found.samples[0].turns[0][1].startswith("A clear view")
    assert found.samples[0].about == About("surgical video", "description", "Cholec80-VQA", "")


def test_oka_from_services_to_the_upper_half(tmp_path: Path) -> None:
    out = tmp_path / "out"
    records(tmp_path / "d", out, rows=5)
    trees.picture(tmp_path / "d" / "v" / "4_0.png", size=(100, 150))
    trees.picture(tmp_path / "d" / "v" / "4_1.png", size=(100, 150))
    with serving(Stub()) as stub:
        s = service(stub)
        counts = graph.run(graph.oka_steps(tmp_path / "d", s, s, s, 2), out, say=lambda line: None)
    assert counts["2-limits"] == shards.Count(5, 4, 1)
    chosen = graph.select_oka(out)
    assert len(chosen) == 2
    kept = list(shards.records_of(out / "selected"))
    assert len(kept) == 2
    assert all(r.id in chosen for r in kept)
    assert {r.answer for r in kept} == {"Preparation of the field."}  # the original text stays the target
    assert len(graph.select_oka(out, keep=1.0)) == 4
    with pytest.raises(ValueError, match="run the graph first"):
        graph.select_oka(tmp_path / "d")


def test_services_that_fail_leave_an_exact_account(tmp_path: Path) -> None:
    out = tmp_path / "out"
    records(tmp_path / "d", out, rows=4, size=4)
    with serving(Stub()) as stub:
        # row 0: refused outright; row 1: twice busy, then well; row 2: nonsense, empty, a wrong form; row 3: well
        stub.script = [
            400,
            503,
            429,
            "A clear caption.",
            b"<html>",
            "  ",
            b'{"choices": []}',
            b"",
            "A clear caption.",
        ]
        writer = service(stub, "writer")
        steps = graph.caption_steps(
            tmp_path / "d", writer, [service(stub, "one"), service(stub, "two")], count=1
        )
        counts = graph.run(steps, out, say=lambda line: None)
    assert counts["1-candidates"] == shards.Count(4, 2, 2)
    assert shards.reasons(out / "1-candidates") == {
        "writer gave no answer (JSONDecodeError)": 1,
        "writer gave no answer (status 400)": 1,
    }
    assert graph.select_captions(out)["kept"] == 2


def test_judges_are_asked_once_to_repair_and_never_believed_otherwise(tmp_path: Path) -> None:
    out = tmp_path / "out"
    records(tmp_path / "d", out, rows=2, size=2)
    good = '{"relevance": 5, "fluency": 5, "accuracy": 5}'
    with serving(Stub()) as stub:
        steps = graph.caption_steps(
            tmp_path / "d", service(stub, "w"), [service(stub, "one"), service(stub, "two")], 1
        )
        graph.run(steps[:1], out, say=lambda line: None)
        stub.script = ["I like it.", good, "Nein.", "Sehr gut, 5 von 5.", good, good]
        graph.run(steps, out, say=lambda line: None)
    first, second = shards.records_of(graph.last(out))
    assert [(j["repaired"], j["scores"] is None, len(j["raw"])) for j in first.judgements] == [
        (True, False, 2),
        (False, False, 1),
    ]
    assert second.judgements[0]["scores"] is None
    assert graph.select_captions(out) == {"read": 2, "kept": 1, "rejected": 1}


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ('{"relevance": 4, "fluency": 3, "accuracy": 5}', True),
        ('Sure!\n```json\n{"relevance": 4, "fluency": 3.5, "accuracy": 5, "note": "x"}\n```', True),
        ('{"relevance": 4, "fluency": 3}', False),
        ('{"relevance": 0, "fluency": 3, "accuracy": 5}', False),
        ('{"relevance": "4", "fluency": 3, "accuracy": 5}', False),
        ("4, 3, 5", False),
        ("{relevance: 4}", False),
    ],
)
def test_verdicts(text: str, read: bool) -> None:
    assert (read_scores(text) is not None) == read


def test_a_caption_cannot_fill_in_the_prompt() -> None:
    assert fill('{a} {b} {"x": 1}', a="{b}", b="two") == '{b} two {"x": 1}'


def test_nothing_is_asked_twice_and_nothing_leaves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://192.0.2.1:9")
    with serving(Stub()) as stub:
        s = service(stub, cache=tmp_path)
        ask = {"temperature": 0.0, "seed": 1, "max_tokens": 5}
        said = s.chat([{"role": "user", "content": "x"}], **ask)  # type: ignore[arg-type]
        assert s.chat([{"role": "user", "content": "x"}], **ask) == said  # type: ignore[arg-type]
        assert (s.calls, len(stub.requests)) == (1, 1)
        assert stub.requests[0]["key"] is None
        s.chat([{"role": "user", "content": "x"}], **{**ask, "seed": 2})  # type: ignore[arg-type]
        assert s.calls == 2
        assert [len(v) for v in s.embed(["a", "b"])] == [8, 8]
        assert s.embed(["a", "b"])[0] == stub.vector("a")  # by index, not by place
        monkeypatch.setenv(KEY_VARIABLE, "secret")
        stub.script = [302]
        with pytest.raises(ServiceError, match="status 302"):
            s.chat([{"role": "user", "content": "y"}], **ask)  # type: ignore[arg-type]
        assert stub.requests[-1]["key"] == "Bearer secret"
    for url in ("https://api.example.org/v1", "http://192.168.0.7:8000/v1", "http://0.0.0.0/v1"):
        with pytest.raises(ValueError, match="not this computer"):
            HttpService(url, "m")
    assert HttpService("https://api.example.org/v1", "m", remote=True).remote
    with pytest.raises(ValueError, match="http://host"):
        HttpService("file:///etc/passwd", "m")


def fragile(record: Record) -> Record:
    if record.id == "s1":
        raise Drop("one of them")
    if record.id == "s3" and not Path(record.question).exists():
        raise KeyboardInterrupt
    return record.with_scores(seen=1.0)


def test_killed_and_gone_on_no_row_is_lost_or_doubled(tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    samples = [replace(s, turns=((str(mark), "An answer."),)) for s in data(tmp_path / "d", 6)]
    shards.write_shards(from_samples(samples, tmp_path / "d"), tmp_path / "in", 2)
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            shards.run(fragile, tmp_path / "in", tmp_path / "out")
    mark.touch()
    with (tmp_path / "in" / "00002.jsonl").open("a") as file:
        file.write("{broken\n")
    assert shards.run(fragile, tmp_path / "in", tmp_path / "out") == shards.Count(7, 5, 2)
    assert [r.id for r in shards.records_of(tmp_path / "out")] == ["s0", "s2", "s3", "s4", "s5"]
    assert shards.reasons(tmp_path / "out") == {"not JSON": 1, "one of them": 1}
    with pytest.raises(RecordError, match=r"00002.jsonl line 3: not JSON"):
        list(shards.records_of(tmp_path / "in"))
    assert not list((tmp_path / "out").glob("*.part"))


def test_the_plan_is_arithmetic() -> None:
    found = plan.loads("captions", 1000, 5, 2)
    assert [(load.service, load.calls) for load in found] == [
        ("captioner", 5000),
        ("judge 1", 5000),
        ("judge 2", 5000),
    ]
    table = plan.markdown([plan.Load("x", 1_000_000, 20, 2)], plan.Price(1000.0, 20.0, (0.5, 1.0)))
    # 2 M written and 20 M read at a twentieth of the cost: 3 M at 1,000 a second; 20 x 0.5 + 2 x 1 dollars
    assert "| x | 1,000,000 | 20.0 | 2.0 | 0.8 | 12 |" in table
    assert [load.service for load in plan.loads("oka", 10, 5, 1)] == ["captioner", "embedder", "matcher"]
    with pytest.raises(ValueError, match="captions or oka"):
        plan.loads("other", 1, 1, 1)


def test_commands_from_a_data_set_to_a_selection(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from train.recipes import Source, recipe

    root = tmp_path / "d"
    trees.cholec80(root / "Cholec80-VQA")
    for number in (100, 125, 150, 175, 200):
        trees.picture(root / "Cholec80-VQA" / "cropped_image" / "5" / f"{number}.png", size=(140, 150))
    config = recipe("omnivmed_1p5b_8x24gb")
    stage = replace(config.stages[-1], sources=(Source("cholec80", "Cholec80-VQA", "test"),))
    (tmp_path / "r.json").write_text(replace(config, stages=(stage,)).to_json())
    out = ["--out", str(tmp_path / "o")]
    assert main(["plan", "--rows", "10"]) == 0
    assert main(["records", str(tmp_path / "r.json"), "--data", str(root), *out]) == 0
    with serving(Stub()) as stub:
        call = ["run", "--data", str(root), *out, "--candidates", "2", "--captioner", stub.url, "w"]
        assert main([*call, "--judge", stub.url, "one", "--judge", stub.url, "two"]) == 0
        assert main([*call, "--judge", stub.url, "one", "--judge", stub.url, "one"]) == 2
        assert main([*call, "--graph", "oka"]) == 2
    assert main(["select", *out]) == 0
    assert "3 of 3 captions" in capsys.readouterr().out
    record = next(shards.records_of(tmp_path / "o" / "captions" / "selected"))
    assert len(record.candidates) == 2
    assert len(record.paths) <= Clip().length
    assert record.source == "Cholec80-VQA"


def test_broken_text_is_no_answer(tmp_path: Path) -> None:
    with serving(Stub()) as stub:
        stub.script = [b'{"choices": [{"message": {"content": "half \\ud800 of a pair"}}]}'] * 4
        with pytest.raises(ServiceError, match="UnicodeEncodeError"):
            service(stub).chat([{"role": "user", "content": "x"}], temperature=0.0, seed=1, max_tokens=5)


def test_stages_in_a_row_are_the_stages_one_by_one(tmp_path: Path) -> None:
    samples = [replace(s, turns=((str(tmp_path), "An answer."),)) for s in data(tmp_path / "d", 6)]
    shards.write_shards(from_samples(samples, tmp_path / "d"), tmp_path / "in", 2)
    with (tmp_path / "in" / "00001.jsonl").open("a") as file:
        file.write("{broken\n")
    stages = [("1", fragile), ("2", graph.within_limits)]
    together = shards.run_all(stages, tmp_path / "in", tmp_path / "a", at_once=3)
    first = shards.run(fragile, tmp_path / "in", tmp_path / "b" / "1")
    second = shards.run(graph.within_limits, tmp_path / "b" / "1", tmp_path / "b" / "2")
    assert together == {"1": first, "2": second}
    assert first == shards.Count(7, 5, 2)
    for path in sorted((tmp_path / "a").rglob("*.jsonl")):
        assert path.read_bytes() == (tmp_path / "b" / path.relative_to(tmp_path / "a")).read_bytes()
    (
        tmp_path / "a" / "2" / "00001.jsonl"
    ).unlink()  # one stage of one shard is missing: it alone is done again
    told: list[tuple[int, int]] = []
    assert shards.run_all(stages, tmp_path / "in", tmp_path / "a", done=lambda *n: told.append(n)) == together
    assert told == [(3, 3)]


def test_a_score_that_is_no_number_is_none(tmp_path: Path) -> None:
    (record,) = from_samples(data(tmp_path, 1), tmp_path)
    back = Record.from_json(record.with_scores(S=float("nan"), M=1.0).to_json())
    assert str(back.score("S")) == str(back.score("absent")) == "nan"
    assert back.score("M") == 1
    with pytest.raises(TypeError, match="nothing"):
        record.but(nothing=1)
    assert record.but(answer="B") == replace(record, answer="B")
