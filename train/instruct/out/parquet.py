"""Rows as Parquet with their pictures inside, other media in tar shards beside them.

SET/data/train-00000.parquet     rows; "images" holds stills, frames and slices that are pictures, for `datasets`
SET/media/00000.tar              volumes and clips that are one file; a row names them ("files") and their tar ("shard")

Files are named by a hash of their content, so that no name of a source's file leaves with the set. `train.data.packed`
reads it back.
"""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet

from train.data.conversations import FRAMES
from train.instruct.out.final import turn_of
from train.instruct.rows.record import Record

ROWS = 1_000
STRINGS = (
    "id", "kind", "question", "answer", "modality", "task", "dimension", "source", "licence", "terms", "patient",
    "shard", "scores",
)  # fmt: skip
PICTURE = pyarrow.struct([("bytes", pyarrow.binary()), ("path", pyarrow.string())])


def schema() -> pyarrow.Schema:
    """Columns, with the features that `datasets` reads from the metadata: pictures decode by themselves."""
    columns = [(name, pyarrow.string()) for name in STRINGS]
    columns += [("images", pyarrow.list_(PICTURE)), ("files", pyarrow.list_(pyarrow.string()))]
    columns += [("window", pyarrow.list_(pyarrow.float64())), ("fps", pyarrow.float64())]
    columns += [("focus", pyarrow.int64()), ("num_slices", pyarrow.int64())]
    features: dict[str, Any] = {name: _value("string") for name in STRINGS}
    features |= {"images": _list({"_type": "Image"}), "files": _list(_value("string"))}
    features |= {"window": _list(_value("float64")), "fps": _value("float64")}
    features |= {"focus": _value("int64"), "num_slices": _value("int64")}
    told = {"huggingface": json.dumps({"info": {"features": features}})}
    return pyarrow.schema(columns, metadata=told)


def _value(dtype: str) -> dict[str, str]:
    return {"dtype": dtype, "_type": "Value"}


def _list(feature: dict[str, str]) -> dict[str, Any]:
    return {"feature": feature, "_type": "List"}


def write(records: Iterable[Record], data: Path, out: Path, rows: int = ROWS) -> dict[str, int]:
    """Write the set, a Parquet file and at most one tar per `rows` rows and split; returns split -> rows.

    Memory holds one file's rows. Raises FileNotFoundError for a medium that is gone.
    """
    (out / "data").mkdir(parents=True, exist_ok=True)
    (out / "media").mkdir(parents=True, exist_ok=True)
    counts: dict[str, int] = {}
    files: dict[str, int] = {}
    stream = iter(records)
    number = 0
    while held := list(islice(stream, rows)):
        tar = out / "media" / f"{number:05d}.tar"
        made = _rows(held, data, tar)
        number += 1
        for split in sorted({record.split for record in held}):
            part = [row for record, row in zip(held, made, strict=True) if record.split == split]
            path = out / "data" / f"{split}-{files.get(split, 0):05d}.parquet"
            pyarrow.parquet.write_table(pyarrow.Table.from_pylist(part, schema=schema()), path)
            files[split] = files.get(split, 0) + 1
            counts[split] = counts.get(split, 0) + len(part)
    return counts


def _rows(records: list[Record], data: Path, tar: Path) -> list[dict[str, Any]]:
    written: set[str] = set()
    out = []
    with tarfile.open(tar, "w") as shard:
        for record in records:
            question, answer = turn_of(record)
            images, names = [], []
            for path in record.paths:
                content = (data / path).read_bytes()
                name = hashlib.sha256(content).hexdigest()[:24] + _suffix(path)
                if path.lower().endswith(FRAMES):
                    images.append({"bytes": content, "path": name})
                    continue
                names.append(name)
                if name not in written:
                    info = tarfile.TarInfo(name)
                    info.size = len(content)
                    shard.addfile(info, io.BytesIO(content))
                    written.add(name)
            row: dict[str, Any] = {name: getattr(record, name, "") for name in STRINGS}
            row |= {"question": question, "answer": answer, "scores": json.dumps(dict(record.scores))}
            row |= {"shard": tar.name if names else "", "images": images, "files": names}
            row |= {"window": list(record.window or ()), "fps": record.fps}
            out.append(row | {"focus": record.focus, "num_slices": record.num_slices})
    if not written:
        tar.unlink()
    return out


def _suffix(path: str) -> str:
    return ".nii.gz" if path.lower().endswith(".nii.gz") else Path(path).suffix.lower()


def files_of(out: Path) -> Iterator[Path]:
    """Every data file of a set, in order."""
    yield from sorted((out / "data").glob("*.parquet"))
    yield from sorted((out / "media").glob("*.tar"))
