"""One person at the page, as a browser would be: events, a line that says the page is open, files by address."""

from __future__ import annotations

import json
import random
import re
import secrets
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from omnivmed.resources import samples_dir
from tests.service.page_client import PageClient

_ADDRESS = re.compile(r'[^"\\]+/((?:study|mask|pixels|glimpse)-[^"\\/]+\.omv)')


class Visitor(PageClient):
    """`with Visitor(url) as page:` comes and goes as a browser's page does."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.http.headers["x-omnivmed-page"] = secrets.token_hex(16)
        self._open = ExitStack()
        beat = self.http.stream("GET", f"{self.api}/heartbeat/{self.session}", timeout=None)
        self._open.enter_context(beat)

    def __enter__(self) -> Visitor:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Leave: the line breaks, which is how the server learns of it."""
        self._open.close()
        super().close()

    def see(self, shown: Any) -> int:
        """Fetch the picture of a study that was just opened, as the viewer does: its bytes. 0 when there is none."""
        found = _ADDRESS.search(json.dumps(shown))
        if found is None:
            return 0
        answer = self.http.get(f"{self.api}/file={found[0]}")
        answer.raise_for_status()
        return len(answer.content)

    def look_after(self) -> Any:
        """What the page asks from time to time: is my study still there? All updates that come back."""
        events = [d for d in self.config["dependencies"] if any(t[1] == "tick" for t in d["targets"])]
        return [self.fire(event) for event in events]

    def first_word(self, question: str) -> tuple[float, str]:
        """Ask, wait for the whole answer: (seconds to its first word, everything the conversation says then).

        Raises `Busy` when the queue is full; the page has said so then.
        """
        self.bodies.clear()
        self.begin(question)
        began, first, said = time.perf_counter(), 0.0, ""
        try:
            for state in self.answer():
                said = json.dumps(state[0], ensure_ascii=False)
                if not first and f"echo {question}" in said:
                    first = time.perf_counter() - began
        finally:
            self.finish()
        return first, said

    def opened_in(self, sample: str) -> float:
        """Seconds from the click on a sample to its picture here."""
        began = time.perf_counter()
        if not self.see(self.open_sample(sample)):
            raise RuntimeError("no picture came")
        return time.perf_counter() - began


def percentile(values: list[float], share: float) -> float:
    """The value that this share of them does not exceed; 0 of none."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else 0.0


def noisy_volume(path: Path, slices: int, edge: int = 512, spread: int = 220) -> Path:
    """A NIfTI of 16-bit noise, which hardly packs: 229 slices of 512 x 512 are 120 MB, and 76 MB on the line."""
    import nibabel
    import numpy as np

    rng = np.random.default_rng(0)
    values = rng.integers(-spread, spread, (edge, edge, slices), dtype=np.int16)
    level, nibabel.openers.Opener.default_compresslevel = nibabel.openers.Opener.default_compresslevel, 1
    try:
        nibabel.Nifti1Image(values, np.eye(4)).to_filename(path)
    finally:
        nibabel.openers.Opener.default_compresslevel = level
    return path


def some_files(folder: Path) -> dict[str, Path]:
    """A volume that opens, and a file that cannot be read."""
    broken = folder / "broken.dcm"
    broken.write_bytes(b"\0" * 128 + b"DICM" + b"\xff" * 500)
    return {"volume": samples_dir() / "ct_abdomen.nii.gz", "broken file": broken}


def noisy_picture(folder: Path, rng: random.Random) -> Path:
    """A grey PNG that nobody sent before."""
    import numpy as np
    from PIL import Image

    path = folder / f"{rng.getrandbits(64):016x}.png"
    pixels = np.random.default_rng(rng.getrandbits(32)).integers(0, 255, (96, 96), dtype=np.uint8)
    Image.fromarray(pixels).save(path)
    return path
