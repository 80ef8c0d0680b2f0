"""Which process this is, as torchrun tells, and the errors that end a run with one line. Imports nothing heavy."""

from __future__ import annotations

import os


class ShardingError(RuntimeError):
    """The recipe's sharding did not come about; the message says what was found in its place."""


class NotFinite(RuntimeError):
    """The loss became NaN or infinite; the message says at which step, and of which samples where they are known."""


class NotWritten(RuntimeError):
    """A checkpoint or model that the disk did not take; the message says which, and the system's reason."""


def world_size() -> int:
    """Processes of this run."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def rank() -> int:
    """This process among them."""
    return int(os.environ.get("RANK", "0"))


def start_token() -> str:
    """The same in all processes of one start of a run, another at the next."""
    names = ("TORCHELASTIC_RUN_ID", "TORCHELASTIC_RESTART_COUNT", "SLURM_RESTART_COUNT", "MASTER_PORT")
    told = [os.environ.get(name, "") for name in names]
    if os.environ.get("LOCAL_WORLD_SIZE") == os.environ.get("WORLD_SIZE"):
        told.append(str(os.getppid()))  # one node: the launcher that began them all
    return "/".join(told)
