"""How this run of the app was asked to behave: command line, hub Space, limits."""

from __future__ import annotations

import argparse
import errno
import importlib.util
import math
import os
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import NoReturn

from omnivmed.defaults import DEFAULT_THRESHOLD
from omnivmed.limits import LOCAL, PUBLIC, Limits
from omnivmed.ui import texts
from omnivmed.ui.visit.secrets import PASSWORD_VARIABLE, login_name, read_keys, read_password

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
    threshold: float = DEFAULT_THRESHOLD
    login: tuple[str, str] | None = None
    mcp: bool = False
    keys: Mapping[str, str] = field(
        default_factory=dict
    )  # digest of an API key → its label; empty: nobody needs one
    behind_proxy: bool = False  # X-Forwarded-* is what the own proxy says
    hub: bool = False  # on a hub Space: the hub may show the page in its frame
    own_limits: Limits | None = None  # in place of the two standard sets

    @property
    def limits(self) -> Limits:
        """The bounds of this run: own ones, else those of a public or a local page."""
        return self.own_limits or (PUBLIC if self.public else LOCAL)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe `omnivmed serve` and its options; on a hub Space host, port and `public` come from its environment."""
    told = texts.COMMAND_HELP
    parser.description = texts.COMMAND_ABOUT
    parser.add_argument("--model", default="nano", help=told["model"])
    parser.add_argument(
        "--host", default=os.environ.get("GRADIO_SERVER_NAME", "127.0.0.1"), help=told["host"]
    )
    port = os.environ.get("GRADIO_SERVER_PORT", "7860")
    parser.add_argument("--port", type=int, default=port, metavar="N", help=told["port"])
    parser.add_argument(
        "--public", action="store_true", default="SPACE_ID" in os.environ, help=told["public"]
    )
    parser.add_argument("--offline", action="store_true", help=told["offline"])
    parser.add_argument(
        "--threshold", type=float, default=DEFAULT_THRESHOLD, metavar="X", help=told["threshold"]
    )
    parser.add_argument("--login", metavar="NAME", help=told["login"])
    parser.add_argument("--password-file", metavar="FILE", help=told["password_file"])
    parser.add_argument("--api-key", metavar="FILE", help=told["api_key"])
    parser.add_argument(
        "--behind-proxy", action="store_true", default="SPACE_ID" in os.environ, help=told["behind_proxy"]
    )
    parser.add_argument("--mcp", action="store_true", help=told["mcp"])


def settings_of(got: argparse.Namespace, refuse: Callable[[str], NoReturn]) -> AppSettings:
    """What `add_arguments` parsed, checked. `refuse` is called with a sentence (and must not return) when a value is
    out of range, when a password stands without a name, when the page would be open to the network without
    `--public` or `--login`, or when `--mcp` lacks its package."""
    if not 0 <= got.threshold <= 2 or not math.isfinite(got.threshold):
        refuse(texts.COMMAND_THRESHOLD)
    if not 0 <= got.port <= 65535:
        refuse(texts.COMMAND_PORT)
    if got.password_file is not None and got.login is None:
        refuse(texts.COMMAND_PASSWORD_ALONE)
    if got.login is None and os.environ.get(PASSWORD_VARIABLE):
        refuse(texts.COMMAND_PASSWORD_UNUSED)
    login = None
    try:
        if got.login is not None:
            login = (login_name(got.login), read_password(got.password_file))
        keys = {} if got.api_key is None else read_keys(got.api_key)
    except ValueError as error:
        refuse(str(error))
    if got.host not in LOOPBACK and not got.public and login is None:
        refuse(texts.COMMAND_OPEN.format(host=got.host))
    if got.mcp and importlib.util.find_spec("mcp") is None:
        refuse(texts.COMMAND_MCP)
    return AppSettings(
        got.model,
        got.host,
        got.port,
        got.public,
        got.offline,
        got.threshold,
        login,
        got.mcp,
        keys,
        got.behind_proxy,
        hub="SPACE_ID" in os.environ,
    )


def check_address(settings: AppSettings, refuse: Callable[[str], NoReturn]) -> None:
    """Call `refuse` with what to do when another program has the port, or the address is not this computer's."""
    try:
        found = socket.getaddrinfo(settings.host, settings.port, type=socket.SOCK_STREAM)
        family, kind, protocol, _, address = found[0]
        with socket.socket(family, kind, protocol) as tried:
            if os.name == "posix":  # a page that ended a moment ago does not count; elsewhere this means more
                tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            tried.bind(address)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            refuse(texts.COMMAND_PORT_TAKEN.format(port=settings.port))
        refuse(texts.COMMAND_ADDRESS.format(port=settings.port, host=settings.host, reason=error.strerror))
