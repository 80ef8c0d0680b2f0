"""The page with a scripted model, as a program of its own that takes orders; run by its path, see `program.py`.

    python -P served.py FOLDER PORT WORDS_PER_SECOND        with a checkout on PYTHONPATH

A line on standard input is an order in JSON, and every order is answered by one line. `look` tells what the program
holds; the others do to it what a long night, a full disk or a crash does to a page.
"""

from __future__ import annotations

import gc
import json
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

DISK_LEFT = 1 << 20  # bytes that `fill` leaves free


class Orders:
    """What the program can be told; each method answers with something JSON can hold."""

    def __init__(self, context: Any, words: Any) -> None:
        self.context = context
        self.words = words
        self.slept_s = 0.0
        self.ballast = context.root.run / "ballast"
        self._time = time.time

    def clock(self) -> float:
        """The sessions' clock: that of the computer, and what the program was told it slept."""
        from omnivmed.ui.visit.clock import boot_clock

        return boot_clock() + self.slept_s

    def sleep(self, seconds: float) -> None:
        """As if the computer had been shut for so long."""
        self.slept_s += seconds

    def set_time(self, seconds: float) -> None:
        """As if the time of day had been set, by so many seconds from now on; negative ones go back."""
        real = self._time
        time.time = lambda: real() + seconds

    def fill(self) -> int:
        """Fill the disk but for `DISK_LEFT`; only where the folder is a small disk of its own."""
        folder = self.context.root.run
        facts = os.statvfs(folder)
        free = facts.f_bavail * facts.f_frsize - DISK_LEFT
        if facts.f_blocks * facts.f_frsize > 2**30:
            raise OSError("not a small disk of its own")
        with (
            suppress(OSError),
            self.ballast.open("ab") as file,
        ):  # others write meanwhile: full before its end
            while free > 0:
                free -= file.write(bytes(min(free, 1 << 20)))
        return facts.f_bavail * facts.f_frsize

    def free(self) -> None:
        """Take back what `fill` put there."""
        self.ballast.unlink(missing_ok=True)

    def kill(self, who: str) -> int:
        """End by SIGKILL the decoders' first process (`family`) or whoever is decoding now (`children`): how many."""
        import psutil

        killed = 0
        for first in psutil.Process().children():
            victims = [first] if who == "family" else first.children()
            for victim in victims:
                with suppress(psutil.NoSuchProcess):
                    victim.kill()
                    killed += 1
        return killed

    def look(self) -> dict[str, float]:
        """Memory, descriptors, processes, threads, files of visitors, their bytes, sessions, processor seconds."""
        import psutil

        gc.collect()
        process, run = psutil.Process(), self.context.root.run
        below = process.children(recursive=True)
        samples = self.context.root.served / "samples"
        files = [
            Path(at) / name
            for at, _, names in os.walk(run)  # what goes meanwhile is left out
            for name in names
            if name != "alive" and samples not in (Path(at), *Path(at).parents)
        ]
        files = [path for path in files if path != self.ballast]
        folders = [
            name for base in ("sessions", "served") for name in next(os.walk(run / base), ("", [], []))[1]
        ]
        used = process.cpu_times()
        return {
            "memory_mb": process.memory_info().rss / 2**20,
            "descriptors": process.num_fds(),
            "children": len(below),
            "zombies": sum(p.status() == psutil.STATUS_ZOMBIE for p in below),
            "threads": process.num_threads(),
            "files": len(files),
            "file_bytes": sum(_size(p) for p in files),
            "folders": len(folders),
            "sessions": len(self.context.store),
            "cpu_s": used.user + used.system,
        }

    def obey(self) -> None:
        """Take orders until nobody gives any more."""
        for line in sys.stdin:
            order = json.loads(line)
            try:
                work: Callable[..., Any] = getattr(self, order.pop("order"))
                answer = {"answer": work(**order)}
            except Exception as error:
                answer = {"error": f"{type(error).__name__}: {error}"}
            print(json.dumps(answer), file=self.words, flush=True)


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:  # gone meanwhile
        return 0


def main(folder: str, port: str, words_per_second: str, away_s: str = "") -> None:
    from omnivmed.ui.visit.environment import prepare

    words = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # whatever the framework prints is no answer
    root = prepare(offline=True, base=Path(folder))

    from omnivmed.limits import LOCAL
    from omnivmed.ui import app
    from omnivmed.ui.visit.settings import AppSettings
    from omnivmed.ui.web.launch import launch
    from tests.scripted import ScriptedAssistant

    class Forgetful(ScriptedAssistant):
        """The script of the tests keeps what it was asked, for them to look at; nobody looks here."""

        def stream(self, *args: Any, **more: Any) -> Iterator[Any]:
            try:
                yield from super().stream(*args, **more)
            finally:
                for kept in (self.studies, self.masks, self.asked, self.forgotten):
                    kept.clear()

    said = Forgetful(float(words_per_second), lambda _, asked: f"echo {asked} end " + "word " * 26)
    limits = replace(LOCAL, away_s=float(away_s)) if away_s else LOCAL
    settings = AppSettings(model="scripted", port=int(port), own_limits=limits)
    orders: Orders | None = None

    def clock() -> float:
        return orders.clock() if orders is not None else time.monotonic()

    make: Callable[..., Any] = app.make_context
    loader = lambda *_, **__: said  # noqa: E731
    try:
        context = make(settings, root, loader, clock=clock)
    except TypeError:  # a checkout from before the clock could be chosen
        context = make(settings, root, loader)
    orders = Orders(context, words)
    threading.Thread(target=orders.obey, name="orders", daemon=True).start()
    launch(app.build_demo(context), context, warm=False)


if __name__ == "__main__":
    main(*sys.argv[1:])
