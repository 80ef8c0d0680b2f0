"""An hour at the page: people come and go, uploads break off, decoders are killed, the clock jumps, the disk fills.

Visits run side by side at a light pace. Now and then something happens to the program under them; a visit may then
cost its person one sentence, never an answer of somebody else, a study that vanishes without a word, or a page that
stays broken. Every few minutes everybody leaves, and nothing of them may be left.
"""

from __future__ import annotations

import json
import math
import random
import re
import shutil
import socket
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from benchmarks.load.crowd import open_sent
from benchmarks.load.probe import Probe, Timed, evened, per_visit, thirds
from benchmarks.load.program import Program, served
from benchmarks.load.visitor import Visitor, noisy_picture, percentile, some_files
from omnivmed.limits import LOCAL
from omnivmed.ui import texts
from tests.service.page_client import Busy

AT_ONCE = 3
DISK_MB = 512
EVERY_S = 4.0  # seconds between two visits of one person, on the mean
QUIET_MINUTES = 5.0  # everybody leaves that often, and what is left is counted
NIGHT_S = 60 * LOCAL.idle_minutes + 60
SETTLE_S = 60.0
CALM = ("sample", "sample", "sample", "talk", "picture", "volume", "broken file", "broken off", "walks out")
GONE = texts.ENDED["idle"].partition("{")[0]
EVENTS = ("kill family", "kill children", "night", "set forward", "set back", "disk full")


@dataclass
class Diary:
    """What happened; written by several threads under `lock`."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    visits: Counter[str] = field(default_factory=Counter)
    events: Counter[str] = field(default_factory=Counter)
    told: Counter[str] = field(default_factory=Counter)  # sentences that an event cost somebody
    wrong: list[str] = field(default_factory=list)
    opened_s: list[tuple[float, float]] = field(default_factory=list)  # (minute, seconds)
    first_word_s: list[tuple[float, float]] = field(default_factory=list)
    minutes: list[dict[str, float]] = field(default_factory=list)
    left: list[dict[str, float]] = field(default_factory=list)  # after everybody left


class Soak:
    """`run()` goes on for so many minutes and comes back with everything it saw."""

    def __init__(
        self, program: Program, minutes: float, pace_s: float, quiet_s: float, seed: int = 0
    ) -> None:
        self.program = program
        self.minute_s = 60.0  # between two lines of figures
        self.patience_s = 15.0  # for somebody to be there when a decoder is to be killed
        self.minutes = minutes
        self.pace_s = pace_s
        self.quiet_s = quiet_s
        self.random = random.Random(seed)
        self.diary = Diary()
        self.began = time.monotonic()
        self.seen: list[Timed] = []  # of the probe beside it
        self.over = threading.Event()
        self.shaken = time.monotonic() - 1e6  # when something was last done to the program
        self.room = threading.BoundedSemaphore(AT_ONCE)  # a visit holds one place
        self.ended = False
        self.folder = Path(tempfile.mkdtemp())
        self.files = some_files(self.folder)

    # ------------------------------------------------------------------------------------- visits

    def visit(self, kind: str, rng: random.Random) -> None:
        """One person, from coming to leaving. What is not as it should be is written down."""
        word = f"person{rng.getrandbits(48):012x}"
        try:
            with Visitor(self.program.url) as page:
                self._do(page, kind, word, rng)
        except Busy:
            self.note("told", "the queue is full")
        except (httpx.HTTPError, RuntimeError, OSError) as error:
            if self.calm():
                self.note("wrong", f"{kind}: {type(error).__name__} {str(error)[:120]}")
            else:
                self.note("told", f"{kind}: {type(error).__name__}")

    def _do(self, page: Visitor, kind: str, word: str, rng: random.Random) -> None:
        if kind == "broken off":
            self._break_off()
            return
        if kind == "walks out":
            page.open_first()
            page.begin(word)
            with suppress(StopIteration):
                stream = page.answer()
                next(stream)
                stream.close()
            return
        if kind == "talk":
            page.see(page.open_sample("chest_xray"))
            for turn in range(4):
                self._ask(page, f"{word}turn{turn}")
            return
        if kind == "sample":
            self.note("opened_s", page.opened_in(rng.choice(("mr_head", "chest_xray"))))
        else:
            self._send(page, kind, rng)
        self._ask(page, word)

    def _send(self, page: Visitor, kind: str, rng: random.Random) -> None:
        """A file: opened, or refused with a sentence; once more when something was done to the program meanwhile."""
        file = self.files[kind] if kind != "picture" else noisy_picture(self.folder, rng)
        try:
            for attempt in range(6):
                try:
                    shown = json.dumps(open_sent(page, page.upload(file), file.name))
                except httpx.HTTPStatusError as error:
                    if error.response.status_code != 507 or self.calm():
                        raise
                    shown = "ov-error"
                    self.note("told", "507")
                if kind == "broken file":
                    if "ov-error" not in shown:
                        self.note("wrong", "a broken file opened")
                    page.open_first()
                    return
                if "ov-error" not in shown:
                    return
                if self.calm():
                    self.note("wrong", f"{kind} was refused: {_sentence(shown)}")
                    return
                self.note("told", f"{kind}: {_sentence(shown)}")
                time.sleep(1 + attempt)
            self.note("wrong", f"{kind} could not be opened any more")
        finally:
            if kind == "picture":
                file.unlink(missing_ok=True)

    def _ask(self, page: Visitor, word: str) -> None:
        first, said = page.first_word(word)
        self.note("first_word_s", first)
        if f"echo {word} end" not in said:
            self.note("wrong", f"no answer to a question: {_sentence(said)}")
        own = word.partition("turn")[0]
        if any(other != own for other in _persons(said)):
            self.note("wrong", "an answer of somebody else")

    def _break_off(self) -> None:
        host, port = self.program.url.removeprefix("http://").split(":")
        head = (
            f"POST /gradio_api/upload HTTP/1.1\r\nHost: {host}:{port}\r\nContent-Length: 8000000\r\n"
            "Content-Type: multipart/form-data; boundary=b\r\n\r\n--b\r\n"
            'Content-Disposition: form-data; name="files"; filename="x.dcm"\r\n\r\n'
        )
        with socket.create_connection((host, int(port))) as line:
            line.sendall(head.encode() + b"x" * 3_000_000)

    # ------------------------------------------------------------------------------------- what happens to it

    def happen(self, event: str) -> None:
        """Do this to the program while people are there."""
        self.note("events", event)
        self.shaken = math.inf  # as long as it lasts
        try:
            self._happen(event)
        except (httpx.HTTPError, RuntimeError, OSError) as error:  # whoever was there while it happened
            self.note("wrong", f"{event}: {type(error).__name__} {str(error)[:120]}")
        self.shaken = time.monotonic()

    def _happen(self, event: str) -> None:
        if event.startswith("kill"):
            end = time.monotonic() + self.patience_s
            while not self.program.order("kill", who=event.split()[1]) and time.monotonic() < end:
                time.sleep(0.02)
        elif event == "night":
            self._night()
        elif event.startswith("set"):
            self._set(6 * 3600.0 if event == "set forward" else -6 * 3600.0)  # and it stays so for a while
        elif event == "disk full":
            self._full()

    def _night(self) -> None:
        """Nobody is there but one, whose computer is shut; the page must say so afterwards, and go on."""
        with self.alone(), Visitor(self.program.url) as page:
            file = self.files["volume"]
            shown = open_sent(page, page.upload(file), file.name)
            self.program.order("sleep", seconds=NIGHT_S)
            found, waited = self.program.settle({"sessions": 0, "files": 0}, 10)
            if found["files"] or found["sessions"]:
                self.note("wrong", f"after a night {found['files']:.0f} files were kept for {waited:.0f} s")
            with suppress(httpx.HTTPStatusError):
                page.see(shown)
                self.note("wrong", "the picture could be fetched after the night")
            if GONE not in json.dumps(page.look_after(), ensure_ascii=False):
                self.note("wrong", "nobody was told that the study is gone")
            self.note("opened_s", page.opened_in("mr_head"))

    def _set(self, seconds: float) -> None:
        """The time of day is set while somebody looks at a study: it stays, and can be asked about."""
        with self.alone(), Visitor(self.program.url) as page:
            file = self.files["volume"]
            shown = open_sent(page, page.upload(file), file.name)
            self.program.order("set_time", seconds=seconds)
            time.sleep(2)
            if not page.see(shown):
                self.note("wrong", "the picture went when the clock was set")
            self._ask(page, "person0")

    def _full(self) -> None:
        """The disk fills up under everybody, and is freed again."""
        if not self.program.small_disk:
            self.note("events", "disk full: not tried, no disk of its own")
            return
        with Visitor(self.program.url) as page:
            page.opened_in("mr_head")  # its views are made once, and kept
        try:
            self.program.order("fill")
            with Visitor(self.program.url) as page:
                try:
                    page.upload(self.files["volume"])
                    self.note("wrong", "a full disk took an upload")
                except httpx.HTTPStatusError as error:
                    if error.response.status_code != 507:
                        self.note("wrong", f"a full disk said {error.response.status_code}")
                if httpx.get(f"{self.program.url}/healthz").json()["status"] != "full":
                    self.note("wrong", "the health line did not say that the disk is full")
                page.opened_in("mr_head")  # nothing of it has to be written
                self.over.wait(min(5.0, self.pace_s * 2))
        finally:
            self.program.order("free")

    def everybody_leaves(self) -> None:
        """Nobody is there: what is left of them?"""
        with self.alone():
            found, waited = self.program.settle({"sessions": 0, "files": 0, "zombies": 0}, SETTLE_S)
        with self.diary.lock:
            self.diary.left.append(found | {"waited_s": waited, "minute": self.minute()})
            if found["files"] or found["sessions"] or found["zombies"]:
                self.diary.wrong.append(f"left behind: {found}")

    # ------------------------------------------------------------------------------------- the hour

    def run(self, tell: Callable[[dict[str, float]], None] = lambda _: None) -> dict[str, Any]:
        """Until the time is over. `tell` is given a line of figures every minute."""
        with Probe() as probe:
            self.seen = probe.seen
            self._hour(tell)
        shutil.rmtree(self.folder)
        return self.told()

    def _hour(self, tell: Callable[[dict[str, float]], None]) -> None:
        people = [threading.Thread(target=self._person, args=(k,)) for k in range(AT_ONCE)]
        for one in people:
            one.start()
        end = self.began + 60 * self.minutes
        next_line, next_event = self.began + self.minute_s, self.began + self.quiet_s / 4
        next_quiet, number = self.began + self.quiet_s, 0
        try:
            while time.monotonic() < end:
                self.over.wait(0.2)
                now = time.monotonic()
                if now >= next_event:
                    self.happen(EVENTS[number % len(EVENTS)])
                    number, next_event = number + 1, time.monotonic() + self.quiet_s / 3
                if now >= next_quiet:
                    self.everybody_leaves()
                    next_quiet = time.monotonic() + self.quiet_s
                if now >= next_line:
                    next_line += self.minute_s
                    tell(self.line())
        finally:
            self.over.set()
            for one in people:
                one.join(120)
        self.everybody_leaves()

    def _person(self, number: int) -> None:
        rng = random.Random(f"{number} {self.random.random()}")
        while not self.over.wait(rng.expovariate(1 / self.pace_s)):
            with self.room:
                kind = rng.choice(CALM)
                self.visit(kind, rng)
                with self.diary.lock:
                    self.diary.visits[kind] += 1

    def alone(self) -> _Alone:
        """Nobody comes while this holds, and everybody has left."""
        return _Alone(self.room)

    def calm(self) -> bool:
        """Whether nothing was done to the program lately, so that nothing may go wrong."""
        return time.monotonic() - self.shaken > 20.0

    def minute(self) -> float:
        """Minutes since the beginning."""
        return (time.monotonic() - self.began) / 60

    def note(self, where: str, what: Any) -> None:
        """Write it into the diary."""
        with self.diary.lock:
            kept = getattr(self.diary, where)
            if isinstance(kept, Counter):
                kept[what] += 1
            elif where in ("opened_s", "first_word_s"):
                kept.append((self.minute(), what))
            else:
                kept.append(f"minute {self.minute():.1f}: {what}")
                print(kept[-1], file=sys.stderr, flush=True)

    def line(self) -> dict[str, float]:
        """Figures of the last minute."""
        found, now = self.program.look(), self.minute()
        with self.diary.lock:
            opened = [s for minute, s in self.diary.opened_s if minute > now - 1]
            words = [s for minute, s in self.diary.first_word_s if minute > now - 1]
            found |= {
                "minute": now,
                "visits": sum(self.diary.visits.values()),
                "wrong": len(self.diary.wrong),
                "opened_p95_s": percentile(opened, 0.95),
                "first_word_p95_s": percentile(words, 0.95),
            }
            self.diary.minutes.append(found)
        return found

    def told(self) -> dict[str, Any]:
        """The whole diary: counts, thirds of the hour side by side, every minute.

        "evened": as it would be on a machine as fast as this one at its best, see `probe.py`.
        """
        diary, seen = self.diary, self.seen
        return {
            "minutes": self.minutes,
            "visits": dict(diary.visits),
            "events": dict(diary.events),
            "told": dict(diary.told),
            "wrong": diary.wrong,
            "opened_p95_s_by_third": thirds(diary.opened_s, self.minutes),
            "first_word_p95_s_by_third": thirds(diary.first_word_s, self.minutes),
            "slowness_by_third": [
                s / percentile([s for _, s in seen], 0.1) for s in thirds(seen, self.minutes, 0.5)
            ]
            if seen
            else [],
            "evened_opened_p95_s_by_third": thirds(evened(diary.opened_s, seen), self.minutes),
            "evened_first_word_p95_s_by_third": thirds(evened(diary.first_word_s, seen), self.minutes),
            "cpu_s_per_visit_by_third": per_visit(diary.minutes, self.minutes),
            "left": diary.left,
            "by_minute": diary.minutes,
        }


class _Alone:
    def __init__(self, room: threading.BoundedSemaphore) -> None:
        self._room = room

    def __enter__(self) -> None:
        for _ in range(AT_ONCE):
            self._room.acquire()

    def __exit__(self, *ending: object) -> None:
        for _ in range(AT_ONCE):
            self._room.release()


def soak(
    minutes: float,
    pace_s: float = EVERY_S,
    quiet_s: float = 60 * QUIET_MINUTES,
    seed: int = 0,
    tell: Any = None,
) -> dict[str, Any]:
    """The whole of it, on a page of its own."""
    with served(small_disk_mb=DISK_MB, away_s=0) as program:
        return Soak(program, minutes, pace_s, quiet_s, seed).run(*([tell] if tell else []))


def _persons(said: str) -> set[str]:
    return set(re.findall(r"person[0-9a-f]+", said))


def _sentence(shown: str) -> str:
    found = re.search(r"ov-error[^>]*>([^<]{0,120})", shown)
    return found[1] if found else shown[-120:]
