"""Questions about one frame of a surgical video → short clips of consecutive frames (OmniV-Med §3, surgical sets).

The published sets ask about single frames. The paper forms short segments of consecutive frames around them, and does
not say how long or how dense: here that is a `Clip`, named in every report. A clip is what token pruning acts on; a
still is not.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from omnivmed.records import Media

PICTURES = (".png", ".jpg", ".jpeg")


@dataclass(frozen=True)
class Clip:
    """length: frames at most, the one asked about among them. stride_s: seconds from one to the next at least; a
    folder whose frames stand further apart gives what it has. after: how many of them come after the frame asked
    about; 0 shows what a surgeon had seen by then.

    Raises ValueError for a length below 1, a stride that is not positive, or `after` that leaves no place.
    """

    length: int = 8
    stride_s: float = 1.0
    after: int = 0

    def __post_init__(self) -> None:
        if self.length < 1 or not self.stride_s > 0 or not 0 <= self.after < self.length:
            raise ValueError(
                f"a clip of {self.length} frames, {self.stride_s} s apart, {self.after} after the one asked about"
            )

    @classmethod
    def parse(cls, text: str) -> Clip:
        """ "16x0.5+4": up to 16 frames, half a second apart, four of them after the one asked about ("+4" may be
        left out). Raises ValueError."""
        found = re.fullmatch(r"(\d+)x(\d+(?:\.\d+)?)(?:\+(\d+))?", text)
        if found is None:
            raise ValueError(
                f"a clip is given as LENGTHxSECONDS or LENGTHxSECONDS+AFTER (16x0.5+4), not {text!r}"
            )
        return cls(int(found[1]), float(found[2]), int(found[3] or 0))

    @property
    def note(self) -> str:
        """For reports: "clips of up to 8 frames, 1 s apart, about the last"."""
        place = "the last" if not self.after else f"the one with {self.after} after it"
        return f"clips of up to {self.length} frames, {self.stride_s:g} s apart, about {place}"


@dataclass(frozen=True)
class Frames:
    """The frames of one video that are there: number -> file. rate: numbers a second.

    grid: the difference of number between neighbours that is commonest in the folder (1 where every frame was
    written, 25 where one a second was).
    """

    files: dict[int, Path]
    rate: float
    grid: int

    def media(self, number: int, clip: Clip) -> Media:
        """The clip about frame `number`, which must be there. It ends where a frame is missing: what is shown has
        one step throughout, so that its times are true."""
        step = self.grid * max(1, round(clip.stride_s * self.rate / self.grid))
        after = self._run(number, step, clip.after)
        before = self._run(number, -step, clip.length - 1 - clip.after)
        numbers = [*reversed(before), number, *after]
        paths = tuple(self.files[n] for n in numbers)
        return Media("video", paths, fps=self.rate / step, focus=len(before))

    def _run(self, start: int, step: int, count: int) -> list[int]:
        out: list[int] = []
        while len(out) < count and start + step in self.files:
            start += step
            out.append(start)
        return out


def frames_in(folder: Path, rate: float) -> Frames:
    """The numbered pictures of a folder: "12.png", "frame012.png", "00012.jpg"; the last number of a name counts.

    A folder that is not there holds none.
    """
    files: dict[int, Path] = {}
    for path in sorted(folder.iterdir()) if folder.is_dir() else ():
        number = re.search(r"(\d+)$", path.stem)
        if number and path.suffix.lower() in PICTURES:
            files.setdefault(int(number[1]), path)
    return Frames(files, rate, _grid(files))


def _grid(numbers: Iterable[int]) -> int:
    ordered = sorted(numbers)
    steps = Counter(b - a for a, b in pairwise(ordered))
    return min(steps, key=lambda step: (-steps[step], step)) if steps else 1


def asked_about(question: str, media: Media) -> str:
    """The question with the frame it is about, by its time as the prompt shows it ("Time 7.0s")."""
    if media.focus is None or media.fps is None or len(media.paths) == 1:
        return question
    time_s = media.focus / media.fps
    return f"{question} The question is about the frame at {time_s:.1f}s."


def write_frames(video: Path, folder: Path, every: int = 25) -> int:
    """Save every so-many-th frame of a video as `<number>.png`, numbered from 0 in the video's own count.

    Returns how many. Frames that are there already are not written again. Raises StudyError for what is no video,
    ValueError for `every` below 1.
    """
    from PIL import Image

    from omnivmed.errors import StudyError
    from omnivmed.io import open_study  # type: ignore[attr-defined,unused-ignore]

    if every < 1:
        raise ValueError(f"every {every}th frame: give 1 or more")
    folder.mkdir(parents=True, exist_ok=True)
    with open_study(video, isolated=False) as study:
        if study.kind != "video":
            raise StudyError("Unsupported", "This file is no video; frames are taken from videos only.")
        numbers = range(0, study.shape[0], every)
        for number in numbers:
            path = folder / f"{number}.png"
            if not path.exists():
                draft = path.with_suffix(".part")
                Image.fromarray(study.frames(number, number + 1)[0]).save(draft, format="PNG")
                draft.replace(path)
    return len(numbers)
