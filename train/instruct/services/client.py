"""One client for every service that speaks the OpenAI form: captioner, judges, embeddings.

Answers are kept in a folder by the hash of the whole request: nothing is asked twice, a killed run goes on for free,
and a changed prompt, seed or picture is another request. A service that is not on this computer is refused unless it
is allowed: pictures of patients would leave the house. For the same reason redirects are not followed, and a service
on this computer is never asked by way of a proxy.
"""

from __future__ import annotations

import hashlib
import ipaddress
import json
import os
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlsplit

KEY_VARIABLE = "OMNIVMED_SERVICE_KEY"
RETRIED = (408, 409, 425, 429, 500, 502, 503, 504)


class ServiceError(RuntimeError):
    """A service that did not answer, after all tries; the message holds no text and no picture of the request."""


class Service(Protocol):
    """What the stages ask."""

    @property
    def model(self) -> str:
        """Name of the model, as it stands in every row it wrote."""

    def chat(
        self, messages: Sequence[dict[str, Any]], *, temperature: float, seed: int, max_tokens: int
    ) -> str:
        """The assistant's text. Raises ServiceError."""

    def embed(self, texts: Sequence[str]) -> list[list[float]]:
        """One vector a text. Raises ServiceError."""


@dataclass
class HttpService:
    """url: up to and with "/v1". cache: folder of answers, None for none. tries: of one request, waits doubling from
    wait_s. remote: a service elsewhere may be asked. calls: requests that were really sent."""

    url: str
    model: str
    cache: Path | None = None
    timeout_s: float = 120.0
    tries: int = 4
    wait_s: float = 1.0
    remote: bool = False
    sleep: Callable[[float], None] = field(default=time.sleep, repr=False)
    calls: int = 0

    def __post_init__(self) -> None:
        parts = urlsplit(self.url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError(f"a service is given as http://host:port/v1, not {self.url!r}")
        if not self.remote and not is_here(parts.hostname):
            raise ValueError(
                f"{parts.hostname} is not this computer, and pictures would be sent there: allow it with --remote, if"
                " the data may leave"
            )

    def chat(
        self, messages: Sequence[dict[str, Any]], *, temperature: float, seed: int, max_tokens: int
    ) -> str:
        """As `Service.chat`; an answer without text is an error."""
        body = {
            "model": self.model,
            "messages": list(messages),
            "temperature": temperature,
            "seed": seed,
            "max_tokens": max_tokens,
        }
        answer = self._ask("chat/completions", body, _text_of)
        return str(answer)

    def embed(self, texts: Sequence[str]) -> list[list[float]]:
        """As `Service.embed`."""
        count = len(texts)
        return list(
            self._ask("embeddings", {"model": self.model, "input": list(texts)}, lambda a: _vectors(a, count))
        )

    def _ask(self, path: str, body: dict[str, Any], take: Callable[[Any], Any]) -> Any:
        text = json.dumps(body, sort_keys=True)
        key = hashlib.sha256(f"{self.url}/{path}\n{text}".encode()).hexdigest()
        stored = None if self.cache is None else self.cache / key[:2] / f"{key}.json"
        if stored is not None and stored.is_file():
            return take(json.loads(stored.read_text(encoding="utf-8")))
        why = ""
        for attempt in range(self.tries):
            if attempt:
                self.sleep(self.wait_s * 2 ** (attempt - 1))
            try:
                answer = self._send(path, text)
                taken = take(answer)
            except urllib.error.HTTPError as error:
                why = f"status {error.code}"
                if error.code not in RETRIED:
                    break
                continue
            except (OSError, ValueError, KeyError, IndexError, TypeError) as error:
                why = type(error).__name__
                continue
            if stored is not None:
                stored.parent.mkdir(parents=True, exist_ok=True)
                draft = stored.with_suffix(f".{os.getpid()}-{threading.get_ident()}.part")
                draft.write_text(json.dumps(answer), encoding="utf-8")
                draft.replace(stored)
            return taken
        raise ServiceError(f"{self.model} gave no answer ({why})")

    def _send(self, path: str, text: str) -> Any:
        self.calls += 1
        headers = {"Content-Type": "application/json"}
        if key := os.environ.get(KEY_VARIABLE):
            headers["Authorization"] = f"Bearer {key}"
        request = urllib.request.Request(f"{self.url.rstrip('/')}/{path}", text.encode(), headers)
        handlers: list[urllib.request.BaseHandler] = [_NoRedirect()]
        if is_here(urlsplit(self.url).hostname or ""):
            handlers.append(urllib.request.ProxyHandler({}))
        with urllib.request.build_opener(*handlers).open(request, timeout=self.timeout_s) as reply:
            return json.loads(reply.read())


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *args: Any, **kwargs: Any) -> None:
        """None: the redirect itself is the answer, an error."""
        return


def is_here(host: str) -> bool:
    """Whether a host name is this computer."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _text_of(answer: Any) -> str:
    text = answer["choices"][0]["message"]["content"]
    if not isinstance(text, str) or not text.strip():
        raise ValueError("no text")
    text.encode()  # half a surrogate pair is no text either, and could be written nowhere
    return text.strip()


def _vectors(answer: Any, count: int) -> list[list[float]]:
    rows = sorted(answer["data"], key=lambda row: row["index"])
    if len(rows) != count:
        raise ValueError("another number of vectors than texts")
    return [[float(value) for value in row["embedding"]] for row in rows]
