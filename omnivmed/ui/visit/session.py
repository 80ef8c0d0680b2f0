"""One visitor's things: the open study, the conversation, the files - and their end.

A session is found by the hash that Gradio gives each open page. On disk it has two folders with random
128-bit names: one nobody can fetch from (uploads), one the browser may (what this program encoded). Both go
when the study is replaced, the page is closed, or nobody has touched it for `idle_minutes`.

Several threads work for one page at once: a handler for each click, the answer, the sweep. One rule keeps them
apart: **whatever a session holds is changed by a method of `Session`, and each of those takes `lock`.** From the
moment it is shown this holds for the `OpenStudy` too, which refuses to be written by anybody else. Reading one field
needs no lock (a reference is swapped whole); who reads several that must belong together takes `lock`.
"""

from __future__ import annotations

import hashlib
import logging
import os
import secrets
import shutil
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from omnivmed.limits import Limits
from omnivmed.ui.visit.opened import OpenStudy, Turn

if TYPE_CHECKING:
    from omnivmed.pruning import KeepMask
    from omnivmed.study import Study
    from omnivmed.ui.visit.drawn import Drawn

log = logging.getLogger("omnivmed.ui")
CLIP_FRAMES_KEPT = 64
ENDS_S = 3.0  # an answer that was told to stop ends within a step of the model
Ending = Literal["idle", "room"]
_SALT = secrets.token_bytes(16)


class Session:
    """State of one page; see the module's text for who may change what.

    Read from outside: `current` (the study on the screen), `turns`, `pending` (a question that waits for its turn),
    `drawn` (the gallery), `glimpse` (name of the payload on the screen while its study is still being read), `lesson`,
    `closed`. `stop` is the cancel flag of a running answer, `answering` is held while one is written.
    """

    def __init__(self, key: str, sessions: Path, served: Path, clock: Callable[[], float]) -> None:
        self.tag = session_tag(key)
        self.sources = sessions / secrets.token_hex(16)
        self.served = served / secrets.token_hex(16)
        self.lock = threading.RLock()
        self._changer: int | None = None  # the thread that is inside `_change`
        self.stop = threading.Event()
        self.answering = threading.Lock()
        self.current: OpenStudy | None = None
        self.pending: str | None = None
        self.ended: Ending | None = None  # why this page's study before was deleted
        self.page: str | None = None  # what the page calls itself when it uploads (`uploads.PAGE_HEADER`)
        self.turns: tuple[Turn, ...] = ()
        self._writing: Turn | None = None  # how the turn that is being answered would stand if it ended now
        self._cut = False  # whether that turn is in `turns` already: its page was left
        self.drawn: tuple[Drawn, ...] = ()  # pictures that were drawn, the oldest first
        self.lesson: object | None = None  # what the teaching page cut from `current`
        self.closed = False
        self.glimpse: str | None = None
        self._opening = 0
        self._clock = clock
        self.last_used = clock()

    def touch(self) -> None:
        """Note that somebody is here: the idle time begins anew."""
        self.last_used = self._clock()

    def come_back(self) -> None:
        """The page was loaded anew: what it was opening or had asked for is over, what it had stays.

        So does what was written of an answer: the page before may still have to be told that it ends here.
        """
        with self._change():
            self.stop.set()
            if self._writing is not None:
                self.turns = (*self.turns, self._writing)
                self._writing, self._cut = None, True
            self._opening += 1
            self.glimpse = None
            self.pending = None
            self.touch()

    @property
    def changing(self) -> bool:
        """Whether the asking thread is inside a method that changes this session."""
        return self._changer == threading.get_ident()

    @contextmanager
    def _change(self) -> Iterator[None]:
        """The lock, and the right to write to the study on the screen; may be nested."""
        with self.lock:
            before, self._changer = self._changer, threading.get_ident()
            try:
                yield
            finally:
                self._changer = before

    # ------------------------------------------------------------------------------------- opening

    def begin_opening(self) -> int:
        """A ticket for a study about to be opened; only the newest ticket may `show`."""
        with self._change():
            self._opening += 1
            self.touch()
            return self._opening

    def wants(self, ticket: int) -> bool:
        """Whether this opening still is the newest; an older one has nothing more to say and may stop its work."""
        return not self.closed and ticket == self._opening

    def look(self, ticket: int, name: str | None) -> bool:
        """May this opening tell how far it is, and show a glimpse if it has one? No when a newer one was begun."""
        with self._change():
            if self.wants(ticket) and name is not None:
                self.glimpse = name
            return self.wants(ticket)

    def drop_glimpse(self) -> bool:
        """The study that was looked at could not be opened. True when something of it was on the screen."""
        with self._change():
            had, self.glimpse = self.glimpse is not None, None
            return had

    def show(self, opened: OpenStudy, ticket: int, lesson: object | None = None) -> bool:
        """Put a study on the screen and drop the one before. False when a newer one was chosen meanwhile.

        lesson: what the teaching page cut from it.
        """
        with self._change():
            before = self.current
            if self.closed or ticket != self._opening:
                self._discard(opened, keep_pixels=before is not None and opened.part_of is before)
                return False
            is_part, opened.part_of = before is not None and opened.part_of is before, None
            self.current = opened
            opened.glimpse, self.glimpse = self.glimpse, None
            self.turns = ()
            self.lesson = lesson
            self.stop.set()  # an answer about the study before is of no use now
            self.touch()
            if before is not None:
                if is_part:
                    opened.sources, before.sources = before.sources, ()
                self._discard(before, keep_pixels=is_part)
                self._drop_drawn([drawn for drawn in self.drawn if drawn.of_study])
            opened.belong_to(self)
            return True

    def lend_sources(self, opened: OpenStudy) -> tuple[Path, ...]:
        """The uploaded files of this study, which move on to the series opened next; see `give_back`."""
        with self._change():
            sources, opened.sources = opened.sources, ()
            return sources

    def give_back(self, opened: OpenStudy, sources: Sequence[Path]) -> None:
        """Files that were to go to another series of this study stay with it; gone when it is gone itself."""
        with self._change():
            if self.current is opened:
                opened.sources = tuple(sources)
                return
        for path in sources:
            path.unlink(missing_ok=True)

    # ---------------------------------------------------------------------------- the study on the screen

    def confirm(self, clean: bool) -> None:
        """The visitor says whether no name is written into the picture."""
        with self._change():
            if self.current is not None:
                self.current.confirmed = clean

    def use_window(self, opened: OpenStudy, window: tuple[float, float]) -> bool:
        """(level, width) in the study's raw units, from now on. False when another study is on the screen.

        Raises ValueError for a window that no study can have.
        """
        with self._change():
            if self.current is not opened:
                return False
            opened.study = opened.study.with_window(window)
            return True

    def use_text(self, opened: OpenStudy, found: Study) -> bool:
        """The same study that knows where text is in it. False when another study is on the screen."""
        with self._change():
            if self.current is not opened or found.content_id != opened.study.content_id:
                return False
            opened.study = found.with_window(opened.study.window)
            return True

    def use_mask(self, opened: OpenStudy, mask: KeepMask, payload: Path | None, *, answered: bool) -> bool:
        """Show this mask over the study; `payload`: what the browser fetches of it, replacing the one before.

        answered: whether a model used it, or would if it were asked now. False, and the payload's file is gone, when
        another study is on the screen.
        """
        with self._change():
            if self.current is not opened:
                if payload is not None:
                    payload.unlink(missing_ok=True)
                return False
            before, opened.mask, opened.answered = opened.mask, mask, answered
            if before is not None and not same_pixels(before, mask):
                opened.pixels = None  # those sent for what-ifs hold for one window and one choice of frames
            if payload is not None:
                old, opened.mask_payload = opened.mask_payload, payload
                opened.served = (*(path for path in opened.served if path != old), payload)
                if old is not None:
                    old.unlink(missing_ok=True)
            return True

    def use_clip(
        self, opened: OpenStudy, video: Path | None, fps: float | None, failed: str | None = None
    ) -> None:
        """A copy that the browser can seek in, at its constant rate in frames a second; or none, and why."""
        with self._change():
            opened.video, opened.video_fps, opened.video_failed = video, fps, failed

    def keep(self, opened: OpenStudy, path: Path) -> None:
        """This file goes when the study goes."""
        with self._change():
            if self.closed:
                path.unlink(missing_ok=True)
            opened.served = (*opened.served, path)

    # ------------------------------------------------------------------------------------- the conversation

    def expect(self, question: str) -> bool:
        """Note a question for the answer to come. False when one waits or is being answered.

        An answer that was told to stop is given `ENDS_S` seconds to do so.
        """
        if self.stop.is_set() and self.answering.acquire(timeout=ENDS_S):
            self.answering.release()
        with self._change():
            if self.answering.locked() or self.pending is not None:
                return False
            self.pending = question
            self.stop.clear()
            return True

    def take_question(self) -> str | None:
        """The question that waits, which then waits no longer."""
        with self._change():
            question, self.pending = self.pending, None
            return question

    def write(self, opened: OpenStudy, turn: Turn) -> None:
        """How the turn that is being answered would stand if it ended now, for a page that is loaded anew meanwhile."""
        with self._change():
            if self.current is opened and not self._cut:
                self._writing = turn

    def begin_turn(self) -> None:
        """An answer begins; none is being written (`answering` is held)."""
        with self._change():
            self._writing, self._cut = None, False

    def record(self, opened: OpenStudy, turn: Turn) -> None:
        """Add a turn to the conversation about this study; nothing happens when another is on the screen.

        Nor when the page was loaded anew while it was being written (`come_back`): the turn then stands as it was seen.
        """
        with self._change():
            self._writing = None
            if self.current is not opened or self._cut:
                return
            self.turns = (*self.turns, turn)
            # The mask of one slice that was asked about alone is not the mask of the study.
            mask = None if turn.answer is None else turn.answer.mask  # None where the file alone has answered
            if mask is not None and (len(mask.keep) > 1 or opened.study.shape[0] == 1):
                opened.mask, opened.answered = mask, True

    def start_over(self) -> None:
        """Forget the conversation, keep the study."""
        with self._change():
            self.stop.set()
            self.turns = ()
            self._writing, self._cut = None, True

    def last_turn(self) -> tuple[OpenStudy, Turn] | None:
        """The study on the screen and the newest turn about it, None where one of them is missing."""
        with self.lock:
            return (self.current, self.turns[-1]) if self.current is not None and self.turns else None

    # ------------------------------------------------------------------------------------- drawn pictures

    def keep_drawn(self, drawn: Drawn, opened: OpenStudy | None, most: int) -> bool:
        """Put a picture into the gallery; the oldest go above `most`. opened: the study it was made of, None for words.

        False, and its files are gone, when the page was closed or another study is on the screen.
        """
        with self._change():
            self.drawn = (*self.drawn, drawn)
            taken = not self.closed and (opened is None or self.current is opened)
            self._drop_drawn(self.drawn[: -most or None] if taken else [drawn])
            return taken

    def _drop_drawn(self, which: Sequence[Drawn]) -> None:
        for drawn in which:
            for path in drawn.files:
                _remove(path, within=(self.served,))
        self.drawn = tuple(drawn for drawn in self.drawn if drawn not in which)

    # ------------------------------------------------------------------------------------- files

    def sources_folder(self) -> Path:
        """The folder for uploads, from which nobody can fetch; made when it is needed first."""
        self.sources.mkdir(mode=0o700, exist_ok=True)
        return self.sources

    def held_bytes(self) -> tuple[int, int]:
        """(memory of decoded pixels, disk) that belong to this page; samples are everybody's."""
        opened = self.current
        memory = 0 if opened is None or opened.shared else pixel_bytes(opened.study)
        return memory, sum(_size(path) for base in (self.sources, self.served) for path in base.rglob("*"))

    def served_folder(self) -> Path:
        """The folder for files the browser may fetch; its name cannot be guessed."""
        self.served.mkdir(mode=0o700, exist_ok=True)
        return self.served

    def new_served(self, name: str) -> Path:
        """A path for such a file under a plain name (a download), in a folder of its own; goes with the study.

        The same name gives the same path again: a newer download replaces the one before.
        """
        with self._change():
            for path in () if self.current is None else self.current.served:
                if path.name == name:
                    return path
            folder = self.served_folder() / secrets.token_hex(16)
            folder.mkdir(mode=0o700)
            path = folder / name
            if self.current is not None:
                self.keep(self.current, path)
            return path

    def history(self, limits: Limits) -> list[tuple[str, str]]:
        """(question, answer) pairs for the prompt: the last turns the limits allow, kept on the server."""
        with self.lock:
            turns = [turn for turn in self.turns if turn.text][-limits.max_history_turns :]
            return [(turn.question, turn.text) for turn in turns]

    def close(self) -> None:
        """Stop what runs, forget the study, delete the files."""
        with self._change():
            if self.closed:
                return
            self.closed = True
            self.stop.set()
            if self.current is not None:
                self._discard(self.current)
            self.current = None
            self.turns = ()
            self.drawn = ()
            self.lesson = None
        shutil.rmtree(self.sources, ignore_errors=True)
        shutil.rmtree(self.served, ignore_errors=True)

    def _discard(self, opened: OpenStudy, keep_pixels: bool = False) -> None:
        if not opened.shared:
            if not keep_pixels:
                opened.study.close()
            _forget(opened.study)
        for path in [*opened.served, *opened.sources]:
            _remove(path, within=(self.sources, self.served))


def same_pixels(one: KeepMask, other: KeepMask) -> bool:
    """Whether two masks were made of the same frames under the same window."""
    return one.window == other.window and one.frame_index.tolist() == other.frame_index.tolist()


_forgetters: list[Callable[[Study], None]] = []


def on_forget(forget: Callable[[Study], None]) -> None:
    """Have `forget(study)` called when a visitor's study goes (the model drops what it cached of it)."""
    _forgetters.append(forget)


def _forget(study: Study) -> None:
    for forget in _forgetters:
        forget(study)


def _remove(path: Path, within: tuple[Path, ...]) -> None:
    """Delete a file and, when it stood alone in a folder of its own, that folder."""
    path.unlink(missing_ok=True)
    parent = path.parent
    if parent not in within and any(parent.is_relative_to(base) for base in within):
        try:
            parent.rmdir()
        except OSError:
            log.debug("a session folder was not empty")


def pixel_bytes(study: Study) -> int:
    """Memory of a study's pixels; of a clip, whose frames are decoded when they are asked for, what is kept of them."""
    frames, rows, columns = study.shape
    if study.kind == "video":
        frames = min(frames, CLIP_FRAMES_KEPT)
    return frames * rows * columns * study.channels * study.dtype.itemsize


def _size(path: Path) -> int:
    try:
        told = path.stat()
        # A clip that is played as it was sent lies in two folders and once on the disk.
        return told.st_size // max(1, told.st_nlink) if path.is_file() else 0
    except OSError:  # gone meanwhile
        return 0


def session_tag(key: str) -> str:
    """What logs call a session: a salted hash, useless outside this run."""
    return hashlib.blake2s(key.encode(), key=_SALT, digest_size=4).hexdigest()


def private_mode(path: Path) -> bool:
    """True when only the owner can look into this folder (always True where there are no such modes)."""
    return os.name != "posix" or (path.stat().st_mode & 0o077) == 0
