"""Rows that say everything a built set must say of them; the plan beside what was made."""

from __future__ import annotations

import pytest

from tests.eval import trees
from train.instruct.__main__ import main
from train.instruct.rows import shards
from train.instruct.rows.record import Record
from train.instruct.sources import cells, gather
from train.recipes.config import Source


def row(**values: object) -> Record:
    given = {
        "id": "r",
        "kind": "image",
        "paths": ("a.png",),
        "question": "What is shown?",
        "answer": "A chest CT.",
    }
    return Record(**{**given, **values})  # type: ignore[arg-type]


def test_every_row_says_what_it_must(tmp_path) -> None:  # type: ignore[no-untyped-def]
    trees.vqa_rad_original(tmp_path / "VQA-RAD")
    trees.slake(tmp_path / "SLAKE")
    trees.m3d(tmp_path / "M3D", "test5k")
    trees.cholec80(tmp_path / "Cholec80-VQA")
    sources = (
        Source("vqa_rad", "VQA-RAD", "test"),
        Source("slake", "SLAKE"),
        Source("cholec80", "Cholec80-VQA", "test"),
    )
    parts: list[gather.Part] = []
    rows = list(gather.gather(sources, tmp_path, 0, parts))
    assert {r.source for r in rows} == {
        "SLAKE",
        "Cholec80-VQA",
    }  # VQA-RAD's miniature never says its modality
    for r in rows:
        assert r.modality
        assert r.task
        assert r.dimension
        assert r.licence
        assert len(r.patient) == 16
        assert r.split == gather.split_of(r.patient)
    surgery = next(r for r in rows if r.source == "Cholec80-VQA")
    assert (surgery.kind, surgery.terms) == ("video", "Non-commercial; what is made of it under the same.")
    assert [p.found for p in parts] == [
        p.made + sum(n for why, n in p.left_out.items() if "not known" in why) for p in parts
    ]
    assert parts[0].left_out["modality not known"] == parts[0].found > 0
    kept = list(gather.gather(sources, tmp_path, 0, [], incomplete=True))
    assert len(kept) > len(rows)
    assert {r.source for r in kept} == {"SLAKE", "VQA-RAD", "Cholec80-VQA"}


def test_modality_is_told_by_words_or_not_at_all() -> None:
    assert gather.modality_told("Is this an MRI?") == "mr"
    assert gather.modality_told("CT or MRI?") == ""
    assert gather.modality_told("the actor's octet") == ""
    assert gather.modality_told("a sonographic view") == "ultrasound"
    with pytest.raises(gather.Drop, match="task"):
        gather.whole(row(question="Look."))


def test_windows_of_ct_in_hounsfield_units() -> None:
    volume = row(kind="volume", paths=("a.nii.gz",), modality="ct", answer="A nodule in the left lung.")
    assert gather.window_of(volume) == (-600.0, 1500.0)
    assert gather.window_of(volume.but(answer="A fracture.")) == (400.0, 1800.0)
    assert gather.window_of(volume.but(answer="Nothing.")) == (40.0, 400.0)
    assert gather.window_of(volume.but(paths=("a.npy",))) is None
    assert gather.window_of(volume.but(modality="mr")) is None


def test_rows_of_a_patient_are_on_one_side() -> None:
    sides = [gather.split_of(gather.patient_of(row(paths=(f"{n}.png",)))) for n in range(3000)]
    assert 0.01 < sides.count("test") / 3000 < 0.03
    named = [gather.patient_of(row(paths=(f"{n}.png",), patient="p", source="s")) for n in range(3)]
    assert len(set(named)) == 1


def test_the_papers_plan() -> None:
    found = {c.name: c.rows for c in cells.cells()}
    assert found["PubMedVision, captions"] == 647_031
    assert found["mixed: PubMedVision"] == 70_000
    assert found["mixed: M3D"] == 75_000
    assert sum(rows or 0 for name, rows in found.items() if name.startswith("mixed")) == 252_000
    text = cells.table([("SLAKE", 4919, 10, 8), ("X", None, 2, 2)], {"SLAKE": 5})
    assert "| SLAKE | 4,919 | 10 | 8 | 5 |" in text
    assert "| X | not known | 2 | 2 | 0 |" in text


def test_command_says_planned_found_made(tmp_path, capsys) -> None:  # type: ignore[no-untyped-def]
    from dataclasses import replace

    from train.recipes import recipe

    trees.slake(tmp_path / "SLAKE")
    config = recipe("omnivmed_1p5b_8x24gb")
    stage = replace(config.stages[-1], sources=(Source("slake", "SLAKE"),))
    (tmp_path / "r.json").write_text(replace(config, stages=(stage,)).to_json())
    out = tmp_path / "o"
    assert main(["records", str(tmp_path / "r.json"), "--data", str(tmp_path), "--out", str(out)]) == 0
    assert "| SLAKE | 4,919 | 2 | 1 |" in capsys.readouterr().out
    assert len(list(shards.records_of(out / "captions" / "records"))) == 1
    assert [p.made for p in gather.read_account(out / "captions" / "sources.json")] == [1]
