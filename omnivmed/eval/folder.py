"""Any folder of clips as a benchmark: for the threshold ablation on video of one's own.

With `questions.jsonl` (or `.json`), a row a question::

    {"video": "clip.mp4" | "folder of frames", "question": …, "answer": …}
    {"video": "folder of numbered frames", "frame": 4300, "fps": 25, "question": …, "answer": …}   about one frame

and, as one likes, "category", "choices" and "group" (patient or case; else the video). Numbers of frames count at
`fps`; the frame is shown in a clip of its neighbours (`Clip`). Without the file every clip of the folder is asked the
same questions without a reference: answers of thresholds can then be compared with each other, not with the truth.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from omnivmed.eval.clips import PICTURES, Clip, Frames, asked_about, frames_in
from omnivmed.eval.files import NOT_AN_OBJECT, LayoutError, inside, named_rows
from omnivmed.eval.kinds import modality_of, task_by_wording, task_of
from omnivmed.eval.protocol import LLAVA_MED, RULE_ONLY
from omnivmed.records import About, Item, Media, Reading, Skipped

VIDEOS = (".mp4", ".mov", ".avi", ".mkv", ".webm", ".mpeg", ".mpg", ".m4v", ".ts")
QUESTION_FILES = ("questions.jsonl", "questions.json")
QUESTIONS = (
    "What kind of medical video is this?",
    "Which part of the body is shown?",
    "What happens in the video?",
)
"""Asked of every clip where nobody gives questions."""
SPLITS = ("all",)
PROTOCOLS = (LLAVA_MED, RULE_ONLY)
"""Token recall first: a model that answers in sentences is not wrong for that."""


def read(root: Path, split: str = "all", clip: Clip | None = None) -> Reading:
    """The questions about a folder's clips, in the order of the file, or of the clips' names.

    clip: of questions about one frame, `Clip()` when None. Raises LayoutError without clips, ValueError for another
    split than "all".
    """
    if split not in SPLITS:
        raise ValueError(f"a folder of clips has no split {split!r}: all")
    questions = next((root / name for name in QUESTION_FILES if (root / name).is_file()), None)
    if questions is None:
        return _without_answers(root)
    clip = clip or Clip()
    items: list[Item] = []
    skipped: list[Skipped] = []
    folders: dict[tuple[Path, float], Frames] = {}
    for place, (where, row) in enumerate(named_rows(questions)):
        item = NOT_AN_OBJECT if row is None else _item(root, place, row, clip, folders)
        if isinstance(item, str):
            skipped.append(Skipped(where, item))
        else:
            items.append(item)
    return Reading(tuple(items), tuple(skipped), f"{questions.name}; of single frames: {clip.note}")


def _item(
    root: Path, place: int, row: Mapping[str, Any], clip: Clip, folders: dict[tuple[Path, float], Frames]
) -> Item | str:
    """An item, or the reason why there is none."""
    name = str(row.get("video", ""))
    path = inside(root, name)
    if not name or path is None or not path.exists():
        return "video missing"
    question, answer = str(row.get("question", "")).strip(), str(row.get("answer", "")).strip()
    if not question or not answer:
        return "no question or answer"
    fps = row.get("fps")
    if fps is not None and (isinstance(fps, bool) or not isinstance(fps, int | float) or not fps > 0):
        return "fps is not a number above 0"
    media: Media
    if row.get("frame") is not None:
        if not path.is_dir() or fps is None or type(row["frame"]) is not int:
            return "a question about a frame wants a folder of frames, its number and fps"
        frames = folders.setdefault((path, float(fps)), frames_in(path, float(fps)))
        if row["frame"] not in frames.files:
            return "frame missing"
        media = frames.media(row["frame"], clip)
    elif path.is_dir():
        numbered = frames_in(path, 1.0).files
        if not numbered:
            return "no frames in the folder"
        media = Media("video", tuple(numbered[n] for n in sorted(numbered)), fps=float(fps) if fps else None)
    else:
        media = Media("video", (path,))
    choices = row.get("choices") or ()
    if not isinstance(choices, list | tuple):
        return "choices are a list"
    return Item(
        id=f"clips/{row.get('id', place)}",
        media=media,
        question=asked_about(question, media),
        answer=answer,
        closed=bool(choices) or answer.lower() in ("yes", "no"),
        category=str(row.get("category", "")),
        group=str(row.get("group", name)),
        choices=tuple(str(choice) for choice in choices),
        about=About(
            modality_of(row.get("modality")),
            task_of(row.get("category")) or task_by_wording(question),
            "clips",
            str(row.get("group", name)),
        ),
    )


def _without_answers(root: Path) -> Reading:
    clips = [
        (path.name, Media("video", (path,)))
        for path in sorted(root.glob("*"))
        if path.suffix.lower() in VIDEOS
    ]
    for folder in sorted(path for path in root.glob("*") if path.is_dir()):
        files = frames_in(folder, 1.0).files
        if len(files) > 1:
            clips.append((folder.name, Media("video", tuple(files[n] for n in sorted(files)))))
    if not clips:
        raise LayoutError(
            f"no clips in {root.name}/: save videos ({', '.join(VIDEOS)}) or folders of numbered pictures"
            f" ({', '.join(PICTURES)}) there, and questions.jsonl if there are questions"
        )
    items = [
        Item(
            f"clips/{name}/{number}",
            media,
            question,
            "",
            False,
            "",
            name,
            about=About(source="clips", patient=name),
        )
        for name, media in clips
        for number, question in enumerate(QUESTIONS)
    ]
    return Reading(tuple(items), (), "the same questions of every clip, no reference")
