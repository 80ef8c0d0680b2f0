"""Parquet as the hub has it → folders → questions."""

from __future__ import annotations

import io
import sys
from pathlib import Path

import numpy as np
import pyarrow
import pytest
from PIL import Image
from pyarrow import parquet

from omnivmed.eval import hub, vqa_rad
from omnivmed.eval.__main__ import main
from omnivmed.eval.files import LayoutError


def picture(grey: int, kind: str) -> bytes:
    out = io.BytesIO()
    Image.fromarray(np.full((20, 30, 3), grey, dtype=np.uint8)).save(out, kind)
    return out.getvalue()


def test_parquet_becomes_folders(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shared = {"bytes": picture(80, "JPEG"), "path": "synpic1.jpg"}
    rows = [
        {"image": shared, "question": "Is there fluid?", "answer": "yes"},
        {"image": shared, "question": "Where?", "answer": "left lung"},
        {"image": {"bytes": picture(9, "PNG"), "path": None}, "question": "Is it?", "answer": "no"},
        {"image": {"bytes": b"GIF89a", "path": None}, "question": "What?", "answer": "x"},
    ]
    (tmp_path / "copy" / "data").mkdir(parents=True)
    for part in range(2):
        table = pyarrow.Table.from_pylist(rows[2 * part : 2 * part + 2])
        parquet.write_table(table, tmp_path / "copy" / "data" / f"test-0000{part}-of-00002.parquet")
    assert main(["unpack", str(tmp_path / "copy"), str(tmp_path / "out")]) == 0
    assert "test: 4 questions" in capsys.readouterr().out
    reading = vqa_rad.read(tmp_path / "out", "test", "hub")
    assert [(i.question, i.closed) for i in reading.items] == [
        ("Is there fluid?", True),
        ("Where?", False),
        ("Is it?", True),
    ]
    assert reading.items[0].media == reading.items[1].media  # one file for both
    assert reading.skipped_by_reason() == {"image missing": 1}


def test_a_folder_without_parquet_says_so(tmp_path: Path) -> None:
    with pytest.raises(LayoutError, match="parquet"):
        hub.unpack(tmp_path, tmp_path / "out")


def test_without_pyarrow_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(LayoutError, match=r"pip install \"omnivmed\[eval\]\""):
        hub.unpack(tmp_path, tmp_path / "out")
