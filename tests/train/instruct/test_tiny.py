"""The builder in miniature against its golden counts; slow: with training it takes about fifteen seconds of a core."""

from __future__ import annotations

from pathlib import Path

import pytest

from train.instruct import tiny

GOLDEN = Path(__file__).parents[1] / "golden" / "instruct_counts.txt"


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_from_phantoms_to_a_trained_model(tmp_path: Path) -> None:
    import torch

    torch.set_num_threads(1)
    counts, model, answer = tiny.whole(tmp_path / "data", tmp_path / "out", say=lambda line: None)
    wanted = [line.split() for line in GOLDEN.read_text().splitlines()]
    assert list(counts.items()) == [(name, int(number)) for name, number in wanted]
    assert (model / "manifest.json").is_file()
    assert answer.strip()
