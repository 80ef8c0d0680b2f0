"""What is no caption, however it is dressed."""

from __future__ import annotations

import pytest

from train.instruct.rows.record import Record
from train.instruct.rows.shards import Drop
from train.instruct.select.rules import CRITERIA, best_candidate
from train.instruct.select.sound import fault_of, marked


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("An axial CT of the chest shows a nodule in the left lung.", ""),
        ("Normal.", "not of 3 to 400 words"),
        ("word " * 401, "not of 3 to 400 words"),
        ("I'm sorry, but I can't help with medical pictures.", "refusal"),
        ("As an AI, I cannot see this.", "refusal"),
        ("The lung is clear. " * 8, "repeats itself"),
        ("no no no no no no no no no no no no no", "repeats itself"),
        ("Das Bild zeigt einen Herd in der linken Lunge.", "not English"),
        ("La radiographie montre un nodule dans le poumon gauche.", "not English"),
        ("胸部 影像 显示 左肺 结节 和 积液", "not English"),
        ("Рентгенограмма показывает узел в левом лёгком.", "not English"),
        ("Bilateral pleural effusions, cardiomegaly.", ""),
        ("Die cast implant is seen in the left hip.", ""),
        ("{} [] 12 34 %%", "not of 3 to 400 words"),
    ],
)
def test_faults(text: str, fault: str) -> None:
    assert fault_of(text) == fault


def test_a_fault_is_selected_by_nothing() -> None:
    points = dict.fromkeys(CRITERIA, 5)
    said = ({"text": "I cannot help with this picture."}, {"text": "A clear view of the lung."})
    row = Record("r", "text", (), "Q", "An answer.", candidates=said)
    row = marked(row)
    assert [c["fault"] for c in row.candidates] == ["refusal", ""]
    judged = row.but(
        judgements=tuple({"candidate": c, "judge": j, "scores": points} for c in (0, 1) for j in "ab")
    )
    assert best_candidate(judged) == (1, 5)
    with pytest.raises(Drop, match="no sound candidate, the first: refusal"):
        marked(row.but(candidates=said[:1]))
