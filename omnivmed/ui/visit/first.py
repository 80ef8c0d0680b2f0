"""The picture of the first study, small, with its pruned tokens veiled: sent inside the page itself."""

from __future__ import annotations

import threading

from omnivmed.ui.canvas.pictures import encode, opening_frame
from omnivmed.ui.visit.opened import OpenStudy

EDGE = 480  # longest edge, pixels


class FirstLook:
    """Made once, from the study every new page opens on. `picture`: JPEG bytes, None until then."""

    def __init__(self) -> None:
        self.picture: bytes | None = None
        self._lock = threading.Lock()

    def make(self, opened: OpenStudy) -> None:
        """Draw it, unless it is there."""
        if self.picture is not None or opened.mask is None:
            return
        with self._lock:
            from omnivmed.viz import overlay

            frame = opening_frame(opened.study, opened.mask)
            at = opened.mask.frame_index.tolist().index(frame)
            drawn = overlay(opened.study.take([frame])[0], opened.mask, at)
            rows, columns = drawn.shape[:2]
            ratio = min(1.0, EDGE / max(rows, columns))
            self.picture = encode(drawn, (round(columns * ratio), round(rows * ratio)), "small")
