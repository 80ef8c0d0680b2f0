"""The hub copies of VQA-RAD and PathVQA, as published: Parquet with pictures inside → folders the readers know.

`data/<split>-00000-of-00001.parquet`, columns image {bytes, path}, question, answer. Needs pyarrow (the extra
`eval`). A picture that several questions share is written once.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from omnivmed.eval.files import LayoutError

ENDINGS = {b"\x89PNG": ".png", b"\xff\xd8\xff": ".jpg"}
COLUMNS = ("image", "question", "answer")


def unpack(source: Path, target: Path) -> dict[str, int]:
    """Write `target/<split>/metadata.jsonl` and the pictures; returns questions per split, in the file's order.

    Raises LayoutError when there is no such Parquet file, or pyarrow is missing.
    """
    try:
        from pyarrow import parquet
    except ModuleNotFoundError:
        raise LayoutError('reading Parquet needs pyarrow: pip install "omnivmed[eval]"') from None
    files = sorted(source.glob("data/*-*-of-*.parquet"))
    if not files:
        raise LayoutError("no data/<split>-00000-of-00001.parquet: download the hub copy whole")
    counts: dict[str, int] = {}
    lines: dict[str, list[str]] = {}
    for file in files:
        split = file.name.split("-")[0]
        table = parquet.ParquetFile(file)
        missing = sorted(set(COLUMNS) - set(table.schema_arrow.names))
        if missing:
            raise LayoutError(f"{file.name} lacks the columns {missing}")
        for batch in table.iter_batches(batch_size=64, columns=list(COLUMNS)):
            for row in batch.to_pylist():
                name = _write(target / split, row["image"])
                values = {"file_name": name, "question": row["question"], "answer": row["answer"]}
                lines.setdefault(split, []).append(json.dumps(values, ensure_ascii=False))
                counts[split] = counts.get(split, 0) + 1
    for split, rows in lines.items():
        (target / split / "metadata.jsonl").write_text("\n".join(rows) + "\n", encoding="utf-8")
    return counts


def _write(folder: Path, image: Any) -> str:
    """Name of the picture's file; empty when the row has none in a format that is known."""
    data = (image or {}).get("bytes") or b""
    ending = next((end for magic, end in ENDINGS.items() if data.startswith(magic)), None)
    if ending is None:
        return ""
    name = hashlib.sha256(data).hexdigest()[:24] + ending
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    if not path.exists():
        path.write_bytes(data)
    return name
