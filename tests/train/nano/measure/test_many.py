"""Answers in batches equal answers decoded one by one; processes, restarts and batches do not change them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from train.nano.data.studies import still
from train.nano.fit.tuning import Nano
from train.nano.measure import answers as module
from train.nano.measure import many as many_module
from train.nano.measure.answers import Asking, digest, gathered, read_predictions
from train.nano.measure.evaluation import chosen_items, described, sequence_studies, with_questions
from train.nano.measure.many import Many
from train.nano.measure.score import Case
from train.nano.measure.speak import speak
from train.nano.parts.processes import Group
from train.nano.text.questions import QA

TOKENS = 6


def some_cases(nano: Nano) -> list[Case]:
    """About thirty questions on stills and volumes, with an adapter that does something."""
    torch.manual_seed(3)
    for name, parameter in nano.lm.named_parameters():
        if name.endswith("lora_B"):
            parameter.data.normal_(std=0.3)
    studies = [still(nano.bank[i.record_id], i, None) for i in chosen_items(nano, "train", 2)]
    volumes = [s for s in sequence_studies_of(nano) if s.kind == "volume"]
    cases = with_questions(studies, "sentence", False, 1, {})
    cases += [
        (s, [QA("organ", "sentence", q, "x", "head") for q in ("Organ?", "Which part?")]) for s in volumes
    ]
    assert sum(len(q) for _, q in cases) >= 20
    return cases


def sequence_studies_of(nano: Nano):  # type: ignore[no-untyped-def]
    from train.nano.data.studies import volume

    entries = [e for e in nano.bank.values() if e.record.kind == "volume"]
    return [volume(e, p, 4, 0.1, None) for e in entries for p in ("axial", "coronal")]


def test_batches_say_what_generate_says(nano: Nano, monkeypatch: pytest.MonkeyPatch) -> None:
    cases = some_cases(nano)
    expected = speak(nano, [(s, q.question) for s, qs in cases for q in qs], TOKENS)
    assert len(set(expected)) > 3
    many = Many(nano)
    assert [t for row in many.answers(cases, TOKENS) for t in row] == expected
    monkeypatch.setattr(many_module, "POSITIONS", 150)  # one study at a time
    assert [t for row in many.answers(cases, TOKENS) for t in row] == expected


def test_an_expected_sentence_comes_whole(nano: Nano) -> None:
    """Longer than the limit, and still not cut: what is expected is compared word by word."""
    study, questions = some_cases(nano)[0]
    many = Many(nano)

    # Letters only, so that what it says can be asked for.
    letters = range(8 + ord("a"), 8 + ord("z") + 1)
    with torch.no_grad():
        nano.lm.lm_head.weight[[i for i in range(264) if i not in letters]] = 0.0
    ids = list(many.grow([many.branches(study, questions[:1])], encoded(many, study), 20, [[]], 20)[0])
    end = max(
        k for k, token in enumerate(ids) if token not in ids[:k]
    )  # a letter it had not said: made the stop
    assert end > 4
    many.stop = ids[end]
    expected = nano.tokenizer.decode(ids[:end])
    asked = QA("organ", "sentence", questions[0].question, expected, "head")
    assert many.answers([(study, [asked])], 4) == [[expected]]
    ids = ids[:end]
    short = QA("organ", "sentence", questions[0].question, "something else that is long", "head")
    assert many.answers([(study, [short])], 4) == [[nano.tokenizer.decode(ids[:4]).strip()]]


def encoded(many: Many, study):  # type: ignore[no-untyped-def]
    many.encode([study])
    with torch.inference_mode():
        return [many.visual(study)]


def test_answers_on_disk_are_not_asked_for_again(
    nano: Nano,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    cases = some_cases(nano)
    many, calls = Many(nano), []
    real = many.answers
    monkeypatch.setattr(many, "answers", lambda c, t: calls.append(len(c)) or real(c, t))
    weights = digest(nano.state())
    named = {"a": cases[:3], "b": [(s, list(q)) for s, q in cases[2:5]]}
    first = Asking(many, tmp_path, weights, Group()).run(named, TOKENS)
    assert calls == [5], "the study that two sets ask about is read once"
    again = Asking(many, tmp_path, weights, Group())
    assert again.run(named, TOKENS) == first
    assert len(calls) == 1
    again.run({"a": cases[:4]}, TOKENS)
    assert len(calls) == 2, "other questions are asked"
    assert {k: len(v) for k, v in read_predictions(tmp_path / "predictions.jsonl").items()} == {
        "a": sum(len(q) for _, q in cases[:4]),
        "b": len(first["b"]),
    }
    Asking(many, tmp_path, "other weights", Group()).run(named, TOKENS)
    assert len(calls) == 3


def test_two_processes_share_the_studies(
    nano: Nano,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    cases = some_cases(nano)
    many = Many(nano)
    for visual in ("own", "blank", "shuffled"):
        alone = Asking(many, tmp_path / visual, "w", Group()).run({"a": cases}, TOKENS, visual)["a"]
        shares = []
        for rank in range(2):
            part = module.with_visual(cases, visual, range(rank, len(cases), 2))
            shares.append(many.answers(part, TOKENS))
        monkeypatch.setattr(module, "gathered", lambda group, own, shares=shares: shares)
        both = Asking(many, tmp_path / f"{visual}2", "w", Group(1, 2)).run({"a": cases}, TOKENS, visual)["a"]
        monkeypatch.setattr(module, "gathered", gathered)
        assert [r[3] for r in both] == [r[3] for r in alone]
        assert not (tmp_path / f"{visual}2").exists(), "only the first process writes"


def test_every_study_is_described(nano: Nano) -> None:
    studies = [still(nano.bank[i.record_id], i, None) for i in chosen_items(nano, "train", 1)]
    assert all(q.form == "caption" and len(qs) == 1 for _, qs in described(studies, True, 1) for q in qs)
    assert sequence_studies(nano, 0.1) is not None
    assert np.all([len(qs) == 1 for _, qs in described(studies, False, 1)])
