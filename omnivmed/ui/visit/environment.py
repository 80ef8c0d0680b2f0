"""What must be true of the process before Gradio is imported: a private folder, and nobody to talk to.

`prepare()` runs once, first thing in `omnivmed serve`. It makes the folder in which everything of this run lives::

    <system temp>/omnivmed-<user>/           0700
        run-<random>/                        0700, held by a lock on its file `alive`
            sessions/<random>/               uploads under random names, one folder a session
            served/                          GRADIO_TEMP_DIR: all that a browser can fetch
                <random>/                    what this program encoded for one session

A run that was killed cannot clean up after itself; the next `prepare()` does. It recognises a dead run by its
lock, which the system drops with the process.
"""

from __future__ import annotations

import atexit
import getpass
import logging
import os
import secrets
import shutil
import stat
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from omnivmed.ui import texts
from omnivmed.ui.visit.heap import large_blocks_apart

log = logging.getLogger("omnivmed.ui")

# Gradio compares with "True"; anything else is off (reliability: no analytics, no telemetry).
QUIET = {
    "GRADIO_ANALYTICS_ENABLED": "False",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "DO_NOT_TRACK": "1",
    "TOKENIZERS_PARALLELISM": "false",
    # After every event Gradio has pandas summarise the last 10,000 for a page of figures that is off here: 2 ms of the
    # interpreter after each event, 7 ms once there were so many, and their session hashes kept meanwhile (6.31).
    "GRADIO_ANALYTICS_MAX_EVENTS": "1",
    "GRADIO_ANALYTICS_CACHE_FREQUENCY": str(10**12),
}
# Variables of Gradio's that open more than this page means to: other folders of the computer, a tunnel through somebody
# else's server, reloading and editing of the program, further processes that know nothing of the sessions here.
OPENING = (
    "GRADIO_ALLOWED_PATHS",
    "GRADIO_SHARE",
    "GRADIO_MCP_SERVER",
    "GRADIO_HOT_RELOAD",
    "GRADIO_WATCH_DIRS",
    "GRADIO_VIBE_MODE",
    "GRADIO_LOCAL_DEV_MODE",
    "GRADIO_HISTORY_BUCKET",
    "GRADIO_NUM_WORKERS",
    "GRADIO_DEBUG",
)
OFFLINE = {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1"}


@dataclass(frozen=True)
class PrivateRoot:
    """The folders of this run. `served` is the only one a browser can read from."""

    run: Path
    sessions: Path
    served: Path
    _alive: IO[str]

    def remove(self) -> None:
        """Delete everything of this run; called at exit."""
        shutil.rmtree(self.run, ignore_errors=True)
        if not self._alive.closed:
            self._alive.close()


def prepare(*, offline: bool = False, base: Path | None = None) -> PrivateRoot:
    """Set the environment, remove what dead runs left behind, make this run's folders.

    base: parent of all runs of this user; the system's temporary folder unless given.
    Raises OSError when the folder belongs to somebody else or cannot be made private.
    """
    os.environ.update(QUIET)
    large_blocks_apart()
    opening = [name for name in OPENING if os.environ.pop(name, None)]
    if opening:
        log.warning("not used, this page opens nothing by variables: %s", " ".join(opening))
    # Threads that spin while they wait make a busy machine many times slower; read when torch is imported.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    if offline:
        os.environ.update(OFFLINE)
    home = _own_folder(base or Path(tempfile.gettempdir()) / f"omnivmed-{_user()}")
    removed = remove_dead_runs(home)
    if removed:
        log.info("removed the files of %d earlier run(s)", removed)
    run = home / f"run-{secrets.token_hex(8)}"
    run.mkdir(mode=0o700)
    alive = (run / "alive").open("w")
    _lock(alive)
    root = PrivateRoot(run, run / "sessions", run / "served", alive)
    root.sessions.mkdir(mode=0o700)
    root.served.mkdir(mode=0o700)
    os.environ["GRADIO_TEMP_DIR"] = str(root.served)
    atexit.register(root.remove)
    return root


def remove_dead_runs(home: Path) -> int:
    """Delete run folders whose process is gone; returns how many."""
    removed = 0
    for run in home.glob("run-*"):
        marker = run / "alive"
        try:
            with marker.open("a") as handle:
                if not _lock(handle):
                    continue
                shutil.rmtree(run, ignore_errors=True)
        except FileNotFoundError:
            shutil.rmtree(run, ignore_errors=True)
        removed += not run.exists()
    return removed


def _own_folder(path: Path) -> Path:
    """Make `path` with mode 0700, or accept it when it is ours and private; a symbolic link is refused."""
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    facts = path.lstat()
    if not stat.S_ISDIR(facts.st_mode):
        raise OSError(texts.FOLDER_NOT_PLAIN)
    if hasattr(os, "getuid"):
        if facts.st_uid != os.getuid():
            raise OSError(texts.FOLDER_NOT_OURS)
        path.chmod(0o700)
    return path


def _user() -> str:
    try:
        return str(os.getuid())
    except AttributeError:  # Windows has no numeric user
        return getpass.getuser()


def _lock(handle: IO[str]) -> bool:
    """Take the lock of a run; False when a living process holds it."""
    try:
        import fcntl
    except ImportError:  # Windows: an open file cannot be deleted there, which serves the same end
        return True
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
