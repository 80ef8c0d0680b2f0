"""Which walls of the decoder stand on this machine: strangers' files are taken only behind at least one of them."""

from __future__ import annotations

import logging

log = logging.getLogger("omnivmed.ui")


class Walled:
    """What is known of the decoder's walls. Until `look` has looked, none is believed to stand."""

    def __init__(self) -> None:
        self.walls: dict[str, bool] = {}

    @property
    def enough(self) -> bool:
        """Whether the network or the files of this machine are walled off from a decoder (better both)."""
        return any(self.walls.values())

    def look(self) -> None:
        """Start the decoder, note its walls, and say in the log which stand. Takes a second where the
        decoder was not started yet."""
        from omnivmed.io import warm_up
        from omnivmed.io.pool import FAMILY, supported

        try:
            if supported():
                warm_up()
                self.walls = dict(FAMILY.walls)
        except Exception as error:
            log.warning("decoder does not start: code=%s", type(error).__name__)
        stand = " ".join(f"{name}={'yes' if stands else 'NO'}" for name, stands in sorted(self.walls.items()))
        if self.enough:
            log.info("decoder walled off: %s", stand)
        else:
            log.warning("decoder not walled off (%s): uploads are refused; see docs/deploy.md", stand or None)
