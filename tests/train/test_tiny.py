"""The whole recipe in miniature against its golden loss curve; about a minute on a free core.

The curve is a text file, one line per step: stage, step, loss. To renew it after a change that is meant to alter
results: `python -m train tiny --out RUN`, then `python -m tests.train.test_tiny RUN`.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

from train.__main__ import folders
from train.loop import metrics
from train.recipes import recipe

GOLDEN = Path(__file__).parent / "golden" / "tiny_losses.txt"
HEADER = "# stage step loss: python -m train tiny, one thread, torch 2.13 on x86-64\n"


def curve(out: Path) -> list[tuple[str, int, float]]:
    """(stage, step, loss) of a finished run."""
    return [
        (stage.name, step, loss)
        for stage in recipe("tiny").stages
        for step, loss in metrics.losses(out / stage.name / metrics.METRICS)
    ]


def accuracies(scores: str) -> list[str]:
    """Of the table's columns, in their order."""
    (row,) = [line for line in scores.splitlines() if line.startswith("| accuracy ")]
    return re.findall(r"\| ([\d.]+) \[", row)


def golden() -> list[tuple[str, int, float]]:
    rows = [line.split() for line in GOLDEN.read_text().splitlines() if not line.startswith("#")]
    return [(stage, int(step), float(loss)) for stage, step, loss in rows]


def test_the_golden_curve_is_complete_and_falls() -> None:
    rows = golden()
    assert len(rows) == sum(stage.planned_steps() for stage in recipe("tiny").stages)
    assert rows[0][2] > 6  # log(512): nothing is known at first
    assert sum(loss for _, _, loss in rows[-10:]) / 10 < 1


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_three_stages_resume_evaluate_and_answer(tmp_path: Path) -> None:
    import torch

    from train.tiny import whole

    torch.set_num_threads(1)
    config = recipe("tiny")
    data, out = folders(config, None, tmp_path)
    said: list[str] = []
    result = whole(config, data, out, say=said.append)
    assert any("resuming from checkpoint-20" in line for line in said)
    assert (result.model / "manifest.json").is_file()
    assert result.question
    told = {
        name: float(value)
        for name, value in zip(("tiny", "majority", "question-only"), accuracies(result.scores), strict=True)
    }
    assert told["tiny"] >= told["question-only"] + 10, "the pictures were looked at"
    assert told["tiny"] >= told["majority"] + 10
    found, wanted = curve(out), golden()
    assert [row[:2] for row in found] == [row[:2] for row in wanted]
    # Other processors sum in another order, which grows with the steps: tight at first, loose later.
    for (stage, step, loss), (_, _, expected) in zip(found, wanted, strict=True):
        tolerance = 1e-3 if stage == "align" else 0.25
        assert loss == pytest.approx(expected, rel=tolerance), (stage, step)
    last = [sum(row[2] for row in rows[-20:]) / 20 for rows in (found, wanted)]
    assert last[0] == pytest.approx(last[1], rel=0.05)


if __name__ == "__main__":
    lines = [f"{stage} {step} {loss:.6f}\n" for stage, step, loss in curve(Path(sys.argv[1]))]
    GOLDEN.write_text(HEADER + "".join(lines))
