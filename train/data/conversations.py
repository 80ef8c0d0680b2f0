"""The conversation JSON of the LLaVA / VideoLLaMA3 / Hulu-Med line, and PubMedVision, which is one of them.

A list (JSON) or one object per line (JSONL)::

    {"id", "image": "p.jpg" | ["a.jpg", "b.jpg"] | "folder",   "conversations": [{"from": "human", "value": …}, …]}
    {"video": ["clip.mp4"] | "clip.mp4" | "folder of frames", "fps": 1, "conversations": […]}
    {"volume": {"path", "window": [level, width], "axis": "axial", "num_slices": 32}, "conversations": […]}
    {"conversations": […]}                                      text alone

Paths are relative to the file's folder. The tags <image> and <video> in the text mark the place of the media,
which is always the beginning of the first question; they are taken out. Leading turns that are not human are
dropped; a list of frames or slices is read in numeric order.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from omnivmed.eval.files import inside, need, read_rows
from omnivmed.records import Media, Sample, SampleSet, Skipped, Turn

PUBMEDVISION = {
    "alignment": "PubMedVision_Alignment_VQA.json",
    "instruction": "PubMedVision_InstructionTuning_VQA.json",
}
FRAMES = (".png", ".jpg", ".jpeg")
TAGS = re.compile(r"<(image|video|volume|3d)>\n?")


class RowError(ValueError):
    """A row that cannot become a sample; the message is the reason under which it is counted."""


def read(path: Path, name: str) -> SampleSet:
    """All samples of one file. Rows that cannot be used are left out, counted and named. Raises LayoutError."""
    return read_values(read_rows(path), path.parent, name)


def read_pubmedvision(root: Path, split: str) -> SampleSet:
    """PubMedVision: `images/` unzipped flat beside the two JSON files; about 22 % of rows have several images.

    Raises LayoutError when the file is not there, ValueError for another split than alignment and instruction.
    """
    if split not in PUBMEDVISION:
        raise ValueError(f"PubMedVision has no split {split!r}: alignment or instruction")
    path = need(root / PUBMEDVISION[split], "download PubMedVision and point to its folder")
    return read(path, f"pubmedvision/{split}")


def read_values(rows: Iterable[Mapping[str, Any]], root: Path, name: str) -> SampleSet:
    """As `read`, of rows in memory; `root` is where relative paths begin."""
    samples, skipped = [], []
    seen: set[str] = set()
    for place, row in enumerate(rows):
        key = f"{name}/{row.get('id', place)}"
        key = f"{key}#{place}" if key in seen else key
        try:
            samples.append(Sample(key, media_of(row, root), turns_of(row.get("conversations"))))
            seen.add(key)
        except RowError as error:
            skipped.append(Skipped(f"row {place} ({key})", str(error)))
    return SampleSet(tuple(samples), tuple(skipped))


def turns_of(conversation: Any) -> tuple[Turn, ...]:
    """(question, answer) pairs. Raises RowError when they do not alternate or one is empty."""
    if not isinstance(conversation, list):
        raise RowError("no conversation")
    spoken = [(str(t.get("from", "")), TAGS.sub("", str(t.get("value", ""))).strip()) for t in conversation]
    while spoken and spoken[0][0] not in ("human", "user"):
        spoken.pop(0)
    speakers = [who for who, _ in spoken]
    if not spoken or len(spoken) % 2 or any(who not in ("human", "user") for who in speakers[::2]):
        raise RowError("turns do not alternate")
    if any(who not in ("gpt", "assistant") for who in speakers[1::2]):
        raise RowError("turns do not alternate")
    texts = [text for _, text in spoken]
    if not all(texts):
        raise RowError("empty question or answer")
    return tuple(zip(texts[::2], texts[1::2], strict=True))


def media_of(row: Mapping[str, Any], root: Path) -> Media:
    """The media of a row; every path must exist below `root`. Raises RowError."""
    present = [key for key in ("image", "images", "video", "volume") if row.get(key)]
    if len(present) > 1:
        raise RowError("several kinds of media")
    if not present:
        return Media("text")
    value = row[present[0]]
    if present[0] in ("image", "images"):
        paths: list[Path] = []
        for name in value if isinstance(value, list) else [value]:
            path = _existing(root, name)
            paths += frames_of(path) if path.is_dir() else [path]
        return Media("image", tuple(paths))
    if present[0] == "video":
        if isinstance(value, list) and len(value) != 1:
            raise RowError("a video is one file or one folder")
        path = _existing(root, value[0] if isinstance(value, list) else value)
        fps = row.get("fps")
        return Media("video", tuple(frames_of(path)) if path.is_dir() else (path,), fps=fps)
    volume = value if isinstance(value, Mapping) else {"path": value}
    if volume.get("axis", "axial") != "axial":
        raise RowError("only axial volumes are read")
    path = _existing(root, volume.get("path"))
    window = volume.get("window")
    if window is None and volume.get("level") is not None:
        window = (volume["level"], volume["width"])
    return Media(
        "volume",
        tuple(frames_of(path)) if path.is_dir() and _holds_frames(path) else (path,),
        window=None if window is None else (float(window[0]), float(window[1])),
        num_slices=volume.get("num_slices"),
    )


def frames_of(folder: Path) -> list[Path]:
    """Pictures of a folder, 2 before 10. Raises RowError when there are none."""

    def numeric(path: Path) -> list[tuple[int, str]]:
        parts = re.split(r"(\d+)", path.stem)
        return [(int(p), "") if p.isdigit() else (-1, p) for p in parts]

    found = sorted((p for p in folder.iterdir() if p.suffix.lower() in FRAMES), key=numeric)
    if not found:
        raise RowError("no pictures in the folder")
    return found


def _holds_frames(folder: Path) -> bool:
    return any(p.suffix.lower() in FRAMES for p in folder.iterdir())


def _existing(root: Path, name: Any) -> Path:
    path = inside(root, str(name)) if name else None
    if path is None or not path.exists():
        raise RowError("file missing")
    return path
