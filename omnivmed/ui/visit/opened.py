"""What is on the screen of a visitor, and what was said about it: values that `Session` holds and changes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from omnivmed.frames import Box, Span
    from omnivmed.inference import Answer
    from omnivmed.pruning import KeepMask
    from omnivmed.study import Study


class Owner(Protocol):
    """Who may change a study on the screen, and says whether the asking thread is about to."""

    @property
    def changing(self) -> bool:
        """Whether the asking thread is inside a method that changes it."""
        ...


@dataclass(frozen=True)
class Turn:
    """One question and what came of it, as shown and exported.

    `answer` is None when the visitor stopped it; `text` is then what had been written until that moment.
    """

    question: str
    text: str
    model: str
    facts: str
    answer: Answer | None = None
    stopped: bool = False


@dataclass(eq=False)
class OpenStudy:
    """A study on the screen. `shared` ones (samples) belong to the process and are not closed here.

    Whoever opens it fills it in; once `Session.show` has taken it, only that session's methods change it, and an
    assignment from elsewhere raises RuntimeError. Lists of files are tuples, so that none grows unseen.
    """

    study: Study
    label: str  # made by this program, never the client's file name
    served: tuple[Path, ...] = ()
    sources: tuple[Path, ...] = ()
    sample: str | None = None
    shared: bool = False
    confirmed: bool = False
    mask: KeepMask | None = None  # the one the overlay shows: planned first, then the run's own
    answered: bool = False  # True once `mask` is an answer's
    payload: Path | None = None
    glimpse: str | None = None  # name of the payload that was looked at while this study was being read
    mask_payload: Path | None = None
    pixels: Path | None = None
    needs_clip: bool = False  # too long to travel as pictures: a clip is made in the background
    video: Path | None = None
    video_fps: float | None = None  # None: the file as it was sent, whose frames have the study's own times
    video_failed: str | None = None  # why there is none
    whole: Study | None = None  # the study as it was opened, when something was cut off or painted out
    cut: tuple[Span, Span] | None = None  # rows and columns of it that are left
    painted: tuple[Box, ...] = ()  # what was painted out, in its pixels
    # Until it is shown: what it was cut out of, with which it shares its pixels.
    part_of: OpenStudy | None = None

    def __setattr__(self, name: str, value: Any) -> None:
        owner: Owner | None = self.__dict__.get("_owner")
        if owner is not None and not owner.changing:
            raise RuntimeError(f"{name} of a study on the screen changes by a method of Session only")
        super().__setattr__(name, value)

    def belong_to(self, owner: Owner) -> None:
        """From now on only this session changes the fields."""
        self.__dict__["_owner"] = owner
