"""Rules side by side: the region's share to the token on a phantom, matched budgets, the table of the command."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from omnivmed.cli import joined, main
from omnivmed.pruning.compare import compare, jaccard
from omnivmed.pruning.region import region_tokens
from omnivmed.pruning.rules import RULES
from omnivmed.study import Study
from omnivmed.vision import prepare
from omnivmed.vision.budget import NANO_BUDGET

EDGE = 112  # 4 x 4 tokens of 28 pixels under nano's budget, no resizing


@pytest.fixture
def block() -> Study:
    """Six slices of air; from the third on the token in row 1, column 2 is bright."""
    values = np.full((6, EDGE, EDGE), -1000, np.float32)
    values[2:, 28:56, 56:84] = 300
    return Study.from_array(values, "volume", window=(40.0, 400.0), spacing_mm=(3.0, 1.0, 1.0))


def test_the_share_of_a_region_is_right_to_the_token(block: Study) -> None:
    patches = prepare(block, NANO_BUDGET)
    assert patches.token_grid == (6, 4, 4)
    marked = np.zeros(block.shape, bool)
    marked[2:4, 30:50, 60:90] = True  # reaches six pixels into the token on the right
    region = region_tokens(marked, patches)
    assert np.argwhere(region).tolist() == [[2, 1, 2], [2, 1, 3], [3, 1, 2], [3, 1, 3]]
    told = {one.rule.name: one for one in compare(patches, region=region)}
    assert told["previous"].region_tokens == 4
    assert told["previous"].region_kept == 1, (
        "the block's first slice only: slice 3 repeats it, air beside it rests"
    )
    assert told["previous"].region_share == 0.25
    assert told["previous"].kept == 16 + 1 + 1 + 3, (
        "first slice, the floor of slice 1, the block, three floors"
    )
    assert told["x255"].region_kept == 1
    assert told["whole_slice"].region_kept == 2, "slice 2 whole"
    nothing = compare(patches, ["previous"], region=np.zeros((6, 4, 4), bool))[0]
    assert nothing.region_share is None


def test_a_pixel_belongs_to_the_token_its_middle_lies_in(block: Study) -> None:
    patches = prepare(block, NANO_BUDGET)
    for column, token in ((27, 0), (28, 1), (55, 1), (56, 2), (111, 3)):
        marked = np.zeros(block.shape, bool)
        marked[0, 0, column] = True
        assert np.argwhere(region_tokens(marked, patches)).tolist() == [[0, 0, token]]
    with pytest.raises(ValueError, match="frames are 112 x 112"):
        region_tokens(np.zeros((6, 10, 10), bool), patches)


def test_all_rules_keep_as_many_as_the_first(block: Study) -> None:
    outcomes = compare(prepare(block, NANO_BUDGET), match=True)
    assert {one.kept for one in outcomes} == {outcomes[0].kept}
    assert outcomes[0].overlap == 1.0
    assert all(0 <= one.overlap <= 1 for one in outcomes)
    assert jaccard(np.array([1, 1, 0], bool), np.array([0, 1, 1], bool)) == pytest.approx(1 / 3)
    assert jaccard(np.zeros(2, bool), np.zeros(2, bool)) == 1.0


def test_features_are_looked_at_where_there_are_some(block: Study) -> None:
    patches = prepare(block, NANO_BUDGET)
    without = compare(patches, ["rate"])[0]
    features = np.random.default_rng(0).standard_normal((patches.tokens, 8)).astype(np.float32)
    given = compare(patches, ["rate"], features=features)[0]
    assert (without.looks, given.looks) == ("pixels", "features")
    assert not np.array_equal(without.keep, given.keep)


def saved(folder: Path, values: np.ndarray, name: str) -> Path:
    import nibabel

    nibabel.save(nibabel.Nifti1Image(values.T.astype(np.int16), np.diag([1.0, 1.0, 3.0, 1.0])), folder / name)
    return folder / name


def test_the_command_writes_table_file_and_sheet(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    values = np.full((6, EDGE, EDGE), -1000)
    values[2:, 28:56, 56:84] = 300
    study = saved(tmp_path, values, "study.nii.gz")
    marked = np.zeros_like(values)
    marked[2:4, 30:50, 60:80] = 1
    mask = saved(tmp_path, marked, "mask.nii.gz")
    out = tmp_path / "rules.json"
    command = ["prune", "compare", str(study), "--window", "40,400", "--region", str(mask), "--out", str(out)]
    assert main(command) == 0
    said = capsys.readouterr().out
    assert "region: 2 tokens touch it" in said
    assert said.count("for comparison only") == 2
    told = json.loads(out.read_text(encoding="utf-8"))
    assert [rule["name"] for rule in told["rules"]] == list(RULES)
    first = told["rules"][0]
    assert (first["kept"], first["total"], first["region_kept"]) == (21, 96, 0.5)
    assert set(first) >= {"name", "kept", "total", "seconds", "region_kept"}
    assert "study" not in json.dumps(told), "no file name"
    sheet = tmp_path / "rules.png"
    assert (
        main(["prune", "compare", str(study), "--rules", "last_kept,random", "--match", "--out", str(sheet)])
        == 0
    )
    assert sheet.read_bytes().startswith(b"\x89PNG")
    assert "random" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("more", "sentence"),
    [
        (["--rules", "best"], "There is no rule best; choose from previous"),
        (["--rules", ","], "--rules names none"),
        (["--out", "a.txt"], "ends in .json or .png"),
        (["--region", "nowhere.nii"], "There is no file"),
    ],
)
def test_mistakes_are_one_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], more: list[str], sentence: str
) -> None:
    study = saved(tmp_path, np.zeros((2, 56, 56)), "study.nii.gz")
    assert main(["prune", "compare", str(study), *more]) == 2
    assert sentence in capsys.readouterr().err


def test_a_region_of_another_grid_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    study = saved(tmp_path, np.zeros((4, 56, 56)), "study.nii.gz")
    other = saved(tmp_path, np.ones((4, 28, 56)), "mask.nii.gz")
    assert main(["prune", "compare", str(study), "--region", str(other)]) == 2
    assert "they must have one grid" in capsys.readouterr().err


def test_two_words_are_one_command_and_a_file_of_that_name_can_be_pruned() -> None:
    assert joined(["prune", "compare", "x"]) == ["prune compare", "x"]
    assert joined(["prune", "./compare"]) == ["prune", "./compare"]
