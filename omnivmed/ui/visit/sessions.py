"""All living sessions: found by a page's hash, made when new, closed when left or idle."""

from __future__ import annotations

import logging
import secrets
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from omnivmed.limits import Limits
from omnivmed.ui.visit.clock import boot_clock
from omnivmed.ui.visit.opened import OpenStudy
from omnivmed.ui.visit.session import Ending, Session
from omnivmed.ui.visit.totals import Holding, who_gives_way

log = logging.getLogger("omnivmed.ui")
BUSY_S = 2.0  # somebody who clicked just now is about to do something
MOST_ENDED = 1_000  # pages remembered that were not told yet


class Crowded(Exception):
    """As many pages as there may be, and none of them idle."""


class SessionStore:
    """All living sessions, by Gradio's session hash."""

    def __init__(
        self,
        sessions: Path,
        served: Path,
        limits: Limits,
        clock: Callable[[], float] = boot_clock,
    ) -> None:
        self._sessions = sessions
        self._served = served
        self._limits = limits
        self._clock = clock
        self._by_key: dict[str, Session] = {}
        self._temporary: dict[str, list[Session]] = {}  # of API calls, by the caller's session hash
        self._away: dict[str, tuple[Session, float]] = {}  # of pages that were left, by their word; and when
        self._ended: dict[str, Ending] = {}  # pages whose study was deleted and that have not been told yet
        self._lock = threading.Lock()

    def get(self, key: str | None, back: str | None = None) -> Session:
        """The session of this page, made when it is new (or was cleaned away meanwhile).

        back: at the beginning of a page, and then only, the word it sends with its requests. A tab that was reloaded
        sends the same one under another key, and goes on with what it had.

        Raises Crowded when there are as many as there may be and none of them is idle.
        """
        key = key or "no-session"
        leaving: str | None = None
        with self._lock:
            session = self._by_key.get(key)
            if back and (session is None or session.closed or session.current is None):
                session = self._back(key, back) or session
            if session is None or session.closed:
                if len(self._by_key) >= self._limits.sessions:
                    idle = [(s.last_used, k) for k, s in self._by_key.items() if not self._busy(s)]
                    if not idle:
                        raise Crowded
                    leaving = min(idle)[1]
                session = Session(key, self._sessions, self._served, self._clock)
                session.ended = self._ended.get(key)
                self._by_key[key] = session
            session.touch()
        if leaving is not None:
            self.drop(leaving, "room")
        return session

    def _back(self, key: str, page: str) -> Session | None:
        """What the page of this word had before it was loaded anew, now under `key`; the lock is held."""
        away = self._away.pop(page, None)
        session = away[0] if away is not None else None
        if session is None:  # the server has not heard yet that the page before is gone
            others = ((k, s) for k, s in self._by_key.items() if k != key and not s.closed)
            before = next((k for k, s in others if s.page == page and s.current is not None), None)
            session = self._by_key.pop(before) if before is not None else None
        if session is not None:
            self._by_key[key] = session
            session.come_back()
        return session

    def leave(self, key: str | None) -> None:
        """The page was closed, reloaded or left: within `away_s` the same tab may come back for what it had.

        Pages that send no word, and those that had nothing, are closed at once.
        """
        key = key or "no-session"
        with self._lock:
            session = self._by_key.get(key)
            if (
                session is not None
                and session.page
                and session.current is not None
                and self._limits.away_s > 0
            ):
                self._by_key.pop(key)
                before = self._away.pop(session.page, None)
                self._away[session.page] = (session, self._clock())
                session.stop.set()
            else:
                before = None
        if session is not None and key in self._by_key:
            self.drop(key)
        if before is not None:
            before[0].close()

    def _forget_away(self, older_than_s: float) -> int:
        """Close what nobody came back for."""
        limit = self._clock() - older_than_s
        with self._lock:
            old = [page for page, (_, since) in self._away.items() if since <= limit]
            sessions = [self._away.pop(page)[0] for page in old]
        for session in sessions:
            session.close()
            log.info("session=%s closed why=left", session.tag)
        return len(sessions)

    def make_room(self, session: Session, memory: int, disk: int) -> bool:
        """Have idle studies give way until `memory` bytes of pixels and `disk` bytes of files more fit for this page.

        What it has open now counts as gone: a new study replaces it. False when there is not enough to give way.
        """
        with self._lock:
            away = sum(sum(s.held_bytes()) for s, _ in self._away.values())
        if (
            away
            and away + memory + disk
            > min(self._limits.open_study_bytes, self._limits.visitor_files_bytes) // 4
        ):
            self._forget_away(0)  # they give way before anybody who is here
        with self._lock:
            others = [(key, s) for key, s in self._by_key.items() if s is not session]
        now = self._clock()
        holdings = [Holding(key, *s.held_bytes(), now - s.last_used, self._busy(s)) for key, s in others]
        leaving = who_gives_way(
            holdings,
            memory=memory,
            disk=disk,
            most_memory=self._limits.open_study_bytes,
            most_disk=self._limits.visitor_files_bytes,
        )
        for key in leaving or ():
            self.drop(key, "room")
        return leaving is not None

    def _busy(self, session: Session) -> bool:
        return session.answering.locked() or self._clock() - session.last_used < BUSY_S

    def told_of_end(self, key: str | None) -> Ending | None:
        """Why this page's study was deleted, once; None when it was not."""
        with self._lock:
            return self._ended.pop(key or "no-session", None)

    def peek(self, key: str | None) -> Session | None:
        """The session if there is one; never makes one."""
        with self._lock:
            return self._by_key.get(key or "no-session")

    def open_in(self, page: str | None) -> OpenStudy | None:
        """What the tab that says this word has open; None without a word. It stays with that tab."""
        with self._lock:
            here = next((s for s in self._by_key.values() if page and s.page == page and not s.closed), None)
            away = self._away.get(page or "")
        session = here or (away[0] if away is not None else None)
        return None if session is None else session.current

    @contextmanager
    def temporary(self, caller: str | None = None) -> Iterator[Session]:
        """A session for one API call of this caller; nothing of it is left afterwards."""
        session = Session(secrets.token_hex(16), self._sessions, self._served, self._clock)
        with self._lock:
            self._temporary.setdefault(caller or "no-session", []).append(session)
        try:
            yield session
        finally:
            with self._lock:
                mine = self._temporary[caller or "no-session"]
                mine.remove(session)
                if not mine:
                    del self._temporary[caller or "no-session"]
            session.close()

    def gone(self, key: str) -> None:
        """Nobody listens to this page or caller any more: stop the answer that is being written. Never waits long."""
        with self._lock:
            sessions = [self._by_key.get(key), *self._temporary.get(key, ())]
        for session in sessions:
            if session is not None and session.answering.locked():
                session.stop.set()

    def drop(self, key: str | None, why: Ending | None = None) -> None:
        """The page was closed, or (`why`) its study has to go while it may still be open."""
        key = key or "no-session"
        with self._lock:
            session = self._by_key.pop(key, None)
            if session is not None and session.current is not None and why is not None:
                self._ended[key] = why
                while len(self._ended) > MOST_ENDED:
                    self._ended.pop(next(iter(self._ended)))
        if session is not None:
            session.close()
            log.info("session=%s closed why=%s", session.tag, why or "left")

    def sweep(self) -> int:
        """Close sessions nobody touched for `idle_minutes`; returns how many."""
        limit = self._clock() - 60 * self._limits.idle_minutes
        with self._lock:
            old = [key for key, s in self._by_key.items() if s.last_used < limit and not s.answering.locked()]
        for key in old:
            self.drop(key, "idle")
        return len(old) + self._forget_away(self._limits.away_s)

    def close(self) -> None:
        """Everybody goes. Flags first: nobody's lock is waited for before all work was told to stop."""
        with self._lock:
            keys = list(self._by_key)
            everybody = [
                *self._by_key.values(),
                *(s for s, _ in self._away.values()),
                *(s for some in self._temporary.values() for s in some),
            ]
        for session in everybody:
            session.stop.set()
        for key in keys:
            self.drop(key)
        self._forget_away(0)

    def __len__(self) -> int:
        with self._lock:
            return len(self._by_key)
