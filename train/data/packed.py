"""A built set of instruction data (`train.instruct`, Parquet and tar shards) as samples of the recipe.

Pictures and media are unpacked once, below `unpacked/` in the set's own folder; names in it are hashes of content.
"""

from __future__ import annotations

import re
import tarfile
from pathlib import Path

from omnivmed.eval.files import LayoutError
from omnivmed.records import About, Media, Sample, SampleSet, Skipped

NAME = re.compile(r"[0-9a-f]{24}(\.[a-z0-9]{1,5}){1,2}")


def read(root: Path, split: str) -> SampleSet:
    """Samples of one split. Raises LayoutError where no file of it is there."""
    import pyarrow.parquet

    found = sorted((root / "data").glob(f"{split}-*.parquet"))
    if not found:
        raise LayoutError(
            f"data/{split}-*.parquet not found: point to a set made by python -m train.instruct out"
        )
    samples, skipped = [], []
    for path in found:
        for place, row in enumerate(pyarrow.parquet.read_table(path).to_pylist()):
            try:
                media = Media(
                    row["kind"],
                    tuple(_paths(root, row)),
                    tuple(row["window"]) or None,
                    row["fps"],
                    row["num_slices"],
                    row["focus"],
                )
            except (ValueError, KeyError, OSError) as error:
                skipped.append(
                    Skipped(f"{path.name} row {place}", f"media cannot be unpacked: {type(error).__name__}")
                )
                continue
            about = About(row["modality"], row["task"], row["source"], row["patient"])
            samples.append(Sample(row["id"], media, ((row["question"], row["answer"]),), about))
    return SampleSet(tuple(samples), tuple(skipped))


def _paths(root: Path, row: dict[str, object]) -> list[Path]:
    folder = root / "unpacked"
    folder.mkdir(exist_ok=True)
    out = []
    for image in row["images"]:  # type: ignore[attr-defined]
        out.append(_write(folder, str(image["path"]), image["bytes"]))
    missing = [str(name) for name in row["files"] if not (folder / _safe(str(name))).exists()]  # type: ignore[attr-defined]
    if missing:
        shard = Path(str(row["shard"])).name
        with tarfile.open(root / "media" / shard) as tar:
            for name in missing:
                member = tar.extractfile(tar.getmember(name))
                if member is None:
                    raise KeyError(name)
                _write(folder, name, member.read())
    return out + [folder / _safe(str(name)) for name in row["files"]]  # type: ignore[attr-defined]


def _safe(name: str) -> str:
    """A name that can only be a hash with an ending. Raises ValueError for any other."""
    if not NAME.fullmatch(name):
        raise ValueError("a file's name in the set is no hash")
    return name


def _write(folder: Path, name: str, content: bytes) -> Path:
    path = folder / _safe(name)
    if not path.exists():
        draft = path.with_suffix(path.suffix + ".part")
        draft.write_bytes(content)
        draft.replace(path)
    return path
