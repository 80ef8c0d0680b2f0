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
from omnivmed.ui.visit.session import Session

log = logging.getLogger("omnivmed.ui")


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
        self._lock = threading.Lock()

    def get(self, key: str | None) -> Session:
        """The session of this page, made when it is new (or was cleaned away meanwhile)."""
        key = key or "no-session"
        with self._lock:
            session = self._by_key.get(key)
            if session is None or session.closed:
                session = Session(key, self._sessions, self._served, self._clock)
                self._by_key[key] = session
            session.touch()
            return session

    def peek(self, key: str | None) -> Session | None:
        """The session if there is one; never makes one."""
        with self._lock:
            return self._by_key.get(key or "no-session")

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

    def drop(self, key: str | None) -> None:
        """The page was closed."""
        with self._lock:
            session = self._by_key.pop(key or "no-session", None)
        if session is not None:
            session.close()
            log.info("session=%s closed", session.tag)

    def sweep(self) -> int:
        """Close sessions nobody touched for `idle_minutes`; returns how many."""
        limit = self._clock() - 60 * self._limits.idle_minutes
        with self._lock:
            old = [key for key, s in self._by_key.items() if s.last_used < limit and not s.answering.locked()]
        for key in old:
            self.drop(key)
        return len(old)

    def close(self) -> None:
        """Everybody goes. Flags first: nobody's lock is waited for before all work was told to stop."""
        with self._lock:
            keys = list(self._by_key)
            everybody = [*self._by_key.values(), *(s for some in self._temporary.values() for s in some)]
        for session in everybody:
            session.stop.set()
        for key in keys:
            self.drop(key)

    def __len__(self) -> int:
        with self._lock:
            return len(self._by_key)
