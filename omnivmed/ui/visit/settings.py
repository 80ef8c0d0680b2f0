"""How this run of the app was asked to behave: command line, hub Space, limits."""

from __future__ import annotations

import argparse
import math
import os
from collections.abc import Sequence
from dataclasses import dataclass

from omnivmed.limits import LOCAL, PUBLIC, Limits
from omnivmed.ui import texts

LOOPBACK = ("127.0.0.1", "localhost", "::1")


@dataclass(frozen=True)
class AppSettings:
    """The command line as values.

    `public` lowers the limits and asks before material with burned-in text goes to the model; it is implied on
    a hub Space. A bind to anything but this machine needs it (or a log-in).
    """

    model: str = "nano"
    host: str = "127.0.0.1"
    port: int = 7860
    public: bool = False
    offline: bool = False
    threshold: float = 0.1
    login: tuple[str, str] | None = None
    mcp: bool = False
    own_limits: Limits | None = None  # in place of the two standard sets

    @property
    def limits(self) -> Limits:
        return self.own_limits or (PUBLIC if self.public else LOCAL)


def read_settings(argv: Sequence[str] | None = None) -> AppSettings:
    """Parse the command line; on a hub Space host, port and `public` come from its environment.

    Raises SystemExit with a sentence when a value is out of range, or when the page would be open to the
    network without `--public` or `--login`.
    """
    space, told = "SPACE_ID" in os.environ, texts.COMMAND_HELP
    parser = argparse.ArgumentParser(
        prog="app.py",
        description=texts.COMMAND_ABOUT,
    )
    parser.add_argument("--model", default="nano", help=told["model"])
    parser.add_argument("--host", default=os.environ.get("GRADIO_SERVER_NAME", "127.0.0.1"))
    parser.add_argument("--port", type=int, default=int(os.environ.get("GRADIO_SERVER_PORT", "7860")))
    parser.add_argument(
        "--public",
        action="store_true",
        default=space,
        help=told["public"],
    )
    parser.add_argument("--offline", action="store_true", help=told["offline"])
    parser.add_argument("--threshold", type=float, default=0.1, help=told["threshold"])
    parser.add_argument("--login", metavar="NAME:PASSWORD", help=told["login"])
    parser.add_argument("--mcp", action="store_true", help=told["mcp"])
    got = parser.parse_args(argv)
    if not 0 <= got.threshold <= 2 or not math.isfinite(got.threshold):
        parser.error(texts.COMMAND_THRESHOLD)
    if not 0 <= got.port <= 65535:
        parser.error(texts.COMMAND_PORT)
    login = None
    if got.login is not None:
        name, colon, password = got.login.partition(":")
        if not (name and colon and password):
            parser.error(texts.COMMAND_LOGIN)
        login = (name, password)
    if got.host not in LOOPBACK and not got.public and login is None:
        parser.error(texts.COMMAND_OPEN.format(host=got.host))
    return AppSettings(got.model, got.host, got.port, got.public, got.offline, got.threshold, login, got.mcp)
