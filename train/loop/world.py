"""Which process this is, as torchrun tells, and the errors that end a run with one line. Imports nothing heavy."""

from __future__ import annotations

import os


class ShardingError(RuntimeError):
    """The recipe's sharding did not come about; the message says what was found in its place."""


class NotFinite(RuntimeError):
    """The loss became NaN or infinite; the message says at which step, and of which samples where they are known."""


def world_size() -> int:
    """Processes of this run."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def rank() -> int:
    """This process among them."""
    return int(os.environ.get("RANK", "0"))
