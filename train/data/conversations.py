"""The conversation JSON of the LLaVA / VideoLLaMA3 / Hulu-Med line, and PubMedVision, which is one of them.

A list (JSON) or one object per line (JSONL)::

    {"id", "image": "p.jpg" | ["a.jpg", "b.jpg"] | "folder",   "conversations": [{"from": "human", "value": …}, …]}
    {"video": ["clip.mp4"] | "clip.mp4" | "folder of frames" | ["1.png", "2.png"], "fps": 1, "conversations": […]}
    {"volume": {"path", "window": [level, width], "axis": "axial", "num_slices": 32}, "conversations": […]}
    {"conversations": […]}                                      text alone
    {"images": […], "messages": [{"role": "user", "content": "<image>…" | [{"type": "image" | "text", …}]}, …]}

"modality", "task", "source" and "patient" may stand in a row (`omnivmed.eval.kinds`). Paths are relative to the file's
folder; a list of frames or slices is read in numeric order. The media always stand at the beginning of the first
question. A row that says otherwise is read so and told (`SampleSet.altered`): a tag inside the text or in a later
question, a system turn, an answer before the first question. More <image> tags than pictures is no reading at all.
"""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from omnivmed.eval.files import NOT_AN_OBJECT, Below, named_rows, need
from omnivmed.eval.kinds import TASKS, modality_of, task_of
from omnivmed.records import About, Media, Sample, SampleSet, Skipped, Turn

PUBMEDVISION = {
    "alignment": "PubMedVision_Alignment_VQA.json",
    "instruction": "PubMedVision_InstructionTuning_VQA.json",
}
FRAMES = (".png", ".jpg", ".jpeg")
TAGS = re.compile(r"<(image|video|volume|3d)>\n?")
SPEAKERS = {"human": "human", "user": "human", "gpt": "gpt", "assistant": "gpt", "system": "system"}

MOVED = "media tag moved to the beginning of the first question"
SYSTEM = "system turn left out"
GREETING = "answer before the first question left out"
NO_PICTURE = "media tag without media, read as text"
FEW_TAGS = "fewer <image> tags than pictures"


UNKNOWN = About()
Found = tuple[Sample | None, list[Skipped]]
"""A row: its sample and what was read otherwise than written; or None and why it is left out."""


class RowError(ValueError):
    """A row that cannot become a sample; the message is the reason under which it is counted."""


def read(path: Path, name: str, defaults: About = UNKNOWN) -> SampleSet:
    """All samples of one file. Rows that cannot be used are left out, counted and named by line.

    defaults: what holds for every row that does not say otherwise. Raises LayoutError.
    """
    return read_values(named_rows(path), path.parent, name, defaults)


def read_pubmedvision(root: Path, split: str) -> SampleSet:
    """PubMedVision: `images/` unzipped flat beside the two JSON files; about 22 % of rows have several images.

    Raises LayoutError when the file is not there, ValueError for another split than alignment and instruction.
    """
    return collected(stream_pubmedvision(root, split))


def read_values(
    rows: Iterable[tuple[str, Mapping[str, Any] | None]], root: Path, name: str, defaults: About = UNKNOWN
) -> SampleSet:
    """As `read`, of (where, row) pairs; `root` is where relative paths begin."""
    return collected(stream_values(rows, root, name, defaults))


def stream(path: Path, name: str, defaults: About = UNKNOWN) -> Iterator[Found]:
    """`read` row by row, so that nothing of a large file stays."""
    return stream_values(named_rows(path), path.parent, name, defaults)


def stream_pubmedvision(root: Path, split: str) -> Iterator[Found]:
    """`read_pubmedvision` row by row."""
    if split not in PUBMEDVISION:
        raise ValueError(f"PubMedVision has no split {split!r}: alignment or instruction")
    path = need(root / PUBMEDVISION[split], "download PubMedVision and point to its folder")
    task = "description" if split == "alignment" else "reasoning"
    return stream(path, f"pubmedvision/{split}", About(task=task, source="PubMedVision"))


def stream_values(
    rows: Iterable[tuple[str, Mapping[str, Any] | None]], root: Path, name: str, defaults: About = UNKNOWN
) -> Iterator[Found]:
    """`read_values` row by row."""
    below = Below(root)
    seen: set[str] = set()
    for place, (where, row) in enumerate(rows):
        if row is None:
            yield None, [Skipped(where, NOT_AN_OBJECT)]
            continue
        key = f"{name}/{row.get('id', place)}"
        key = f"{key}#{place}" if key in seen else key
        try:
            turns, told, media = conversation_of(row, below)
            sample = Sample(key, media, turns, about_of(row, defaults))
        except RowError as error:
            yield None, [Skipped(f"{where} ({key})", str(error))]
            continue
        seen.add(key)
        yield sample, [Skipped(f"{where} ({key})", reason) for reason in told]


def collected(rows: Iterable[Found]) -> SampleSet:
    """All of a stream."""
    samples, skipped, altered = [], [], []
    for sample, told in rows:
        if sample is None:
            skipped += told
        else:
            samples.append(sample)
            altered += told
    return SampleSet(tuple(samples), tuple(skipped), tuple(altered))


def about_of(row: Mapping[str, Any], defaults: About) -> About:
    """Modality and task by any of their usual names; a patient's name never leaves the row unhashed."""
    patient = str(row.get("patient", row.get("patient_id", "")) or "")
    task = str(row.get("task", ""))
    return About(
        modality_of(row.get("modality")) or defaults.modality,
        (task if task in TASKS else task_of(task)) or defaults.task,
        str(row.get("source", "") or defaults.source),
        hashlib.sha256(patient.encode()).hexdigest()[:16] if patient else defaults.patient,
    )


def conversation_of(row: Mapping[str, Any], root: Path | Below) -> tuple[tuple[Turn, ...], list[str], Media]:
    """(turns, what was read otherwise than written, media) of a row. Raises RowError."""
    below = root if isinstance(root, Below) else Below(root)
    spoken, named = _spoken(row)
    media = media_of({**row, "images": named} if named else row, below)
    told: list[str] = []
    if any(who == "system" for who, _ in spoken):
        told.append(SYSTEM)
        spoken = [turn for turn in spoken if turn[0] != "system"]
    if spoken and spoken[0][0] == "gpt":
        told.append(GREETING)
        while spoken and spoken[0][0] == "gpt":
            spoken.pop(0)
    told += _tags([text for _, text in spoken], media)
    texts = [TAGS.sub("", text).strip() for _, text in spoken]
    speakers = [who for who, _ in spoken]
    if not spoken or len(spoken) % 2 or speakers != ["human", "gpt"] * (len(spoken) // 2):
        raise RowError("turns do not alternate")
    if not all(texts):
        raise RowError("empty question or answer")
    return tuple(zip(texts[::2], texts[1::2], strict=True)), told, media


def _tags(texts: list[str], media: Media) -> list[str]:
    """What the tags say that is not done. Raises RowError for more <image> tags than pictures."""
    count = sum(len(TAGS.findall(text)) for text in texts)
    if not count:
        return []
    if media.kind == "text":
        return [NO_PICTURE]
    pictures = len(media.paths) if media.kind == "image" else 1
    if count > pictures:
        raise RowError(f"{count} media tags for {pictures} in the row")
    told = [FEW_TAGS] if 1 < count < pictures else []  # one tag stands for all of them, by custom
    leading = re.match(rf"(\s*{TAGS.pattern})*", texts[0])
    first = len(TAGS.findall(leading[0])) if leading else 0
    return [*told, MOVED] if first < count else told


def _spoken(row: Mapping[str, Any]) -> tuple[list[tuple[str, str]], list[str]]:
    """((speaker, text) of every turn, pictures named within `messages`). Raises RowError."""
    turns = row.get("conversations", row.get("messages"))
    if not isinstance(turns, list) or not turns or not all(isinstance(turn, Mapping) for turn in turns):
        raise RowError("no conversation")
    spoken, named = [], []
    for turn in turns:
        said = str(turn.get("from", turn.get("role", "")))
        content = turn.get("value", turn.get("content", ""))
        if isinstance(content, list):
            content, pictures = _parts(content)
            named += pictures
        if said not in SPEAKERS:
            raise RowError("turns do not alternate" if said else "a turn without a speaker")
        spoken.append((SPEAKERS[said], str(content or "")))
    return spoken, named


def _parts(content: list[Any]) -> tuple[str, list[str]]:
    """Text with a tag for each picture, and the pictures' paths, of a list of {"type": "text" | "image", …}."""
    text, pictures = "", []
    for part in content:
        kind = part.get("type") if isinstance(part, Mapping) else None
        if kind == "text":
            text += str(part.get("text", ""))
        elif kind in ("image", "image_url"):
            text += "<image>"
            url = part.get("image", part.get("path", part.get("image_url", part.get("url"))))
            url = url.get("url") if isinstance(url, Mapping) else url
            pictures += [str(url)] if url else []
        elif kind in ("video", "volume"):
            text += f"<{kind}>"  # the file stands in the row itself
        else:
            raise RowError("a part of a message that is neither text nor image")
    return text, pictures


def media_of(row: Mapping[str, Any], root: Path | Below) -> Media:
    """The media of a row; every path must exist below `root`. Raises RowError."""
    root = root if isinstance(root, Below) else Below(root)
    present = [key for key in ("image", "images", "video", "videos", "volume") if row.get(key)]
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
    if present[0] in ("video", "videos"):
        fps = _number(row.get("fps"), "fps")
        if (frames := _listed(root, value)) is not None:
            return Media("video", frames, fps=fps)
        if isinstance(value, list) and len(value) != 1:
            raise RowError("a video is one file, one folder or a list of pictures")
        path = _existing(root, value[0] if isinstance(value, list) else value)
        return Media("video", tuple(frames_of(path)) if path.is_dir() else (path,), fps=fps)
    volume = value if isinstance(value, Mapping) else {"path": value}
    if volume.get("axis", "axial") != "axial":
        raise RowError("only axial volumes are read")
    listed = volume.get("path")
    slices_of = _listed(root, listed)
    path = _existing(root, listed[0] if isinstance(listed, list) and listed else listed)
    window = volume.get("window")
    if window is None and volume.get("level") is not None:
        window = (volume["level"], volume.get("width"))
    if window is not None and (not isinstance(window, list | tuple) or len(window) != 2):
        raise RowError("a window is [level, width]")
    slices = volume.get("num_slices")
    if slices is not None and (type(slices) is not int or slices < 1):
        raise RowError("num_slices is a number of slices")
    return Media(
        "volume",
        slices_of or (tuple(frames_of(path)) if path.is_dir() and _holds_frames(path) else (path,)),
        window=None if window is None else (_real(window[0], "window"), _real(window[1], "window")),
        num_slices=slices,
    )


def _listed(root: Below, value: Any) -> tuple[Path, ...] | None:
    """Frames or slices named one by one, in the order given; None for anything else. Raises RowError."""
    if not isinstance(value, list) or not value:
        return None
    if not all(isinstance(name, str) and Path(name).suffix.lower() in FRAMES for name in value):
        return None
    return tuple(_existing(root, name) for name in value)


def _number(value: Any, name: str) -> float | None:
    """A number above 0, or None where there is none. Raises RowError."""
    if value is None:
        return None
    number = _real(value, name)
    if number <= 0:
        raise RowError(f"{name} is not above 0")
    return number


def _real(value: Any, name: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise RowError(f"{name} is not a number")
    return float(value)


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


def _existing(root: Below, name: Any) -> Path:
    try:
        path = root.existing(str(name)) if name else None
    except (OSError, ValueError):  # a name that no file can have
        path = None
    if path is None:
        raise RowError("file missing")
    return path
