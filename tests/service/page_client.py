"""What a browser sends, without a browser: events of the page over HTTP, as Gradio's own front end does it."""

from __future__ import annotations

import json
import secrets
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

import httpx


class Busy(Exception):
    """The queue was full."""


class PageClient:
    """One open page. `bodies` keeps everything the server ever answered, for searching."""

    def __init__(self, url: str) -> None:
        self.url = url.rstrip("/")
        self.api = f"{self.url}/gradio_api"
        self.session = secrets.token_hex(8)
        self.http = httpx.Client(timeout=60)
        self.bodies: list[str] = []
        self.config = self.http.get(f"{self.url}/config").json()
        self.ids = {
            c["props"]["elem_id"]: c["id"] for c in self.config["components"] if c["props"].get("elem_id")
        }
        self.values: dict[int, Any] = {c["id"]: c["props"].get("value") for c in self.config["components"]}

    def close(self) -> None:
        self.http.close()

    # -- finding events

    def dependency(self, elem_id: str, event: str) -> dict[str, Any]:
        target = [self.ids[elem_id], event]
        return next(d for d in self.config["dependencies"] if target in [list(t) for t in d["targets"]])

    def after(self, dependency: dict[str, Any]) -> list[dict[str, Any]]:
        return [d for d in self.config["dependencies"] if d.get("trigger_after") == dependency["id"]]

    def load(self) -> dict[str, Any]:
        return next(
            d
            for d in self.config["dependencies"]
            if any(t[1] == "load" for t in d["targets"]) and d["outputs"]
        )

    # -- firing them

    def fire(
        self, dependency: dict[str, Any], inputs: list[Any] | None = None, event_data: Any = None
    ) -> Any:
        """Run one event to its end; returns the last full list of outputs."""
        return last_of(self.stream(dependency, inputs, event_data))

    def stream(
        self, dependency: dict[str, Any], inputs: list[Any] | None = None, event_data: Any = None
    ) -> Generator[list[Any], None, None]:
        """Outputs of one event as they come. Closing the iterator closes the connection, like leaving the page."""
        data = inputs if inputs is not None else [self.values.get(i) for i in dependency["inputs"]]
        body = {
            "data": data,
            "fn_index": dependency["id"],
            "session_hash": self.session,
            "event_data": event_data,
            "trigger_id": None,
        }
        if dependency["queue"] is False:
            yield self.directly(body)
            return
        joined = self.http.post(f"{self.api}/queue/join", json=body)
        self.bodies.append(joined.text)
        if joined.status_code == 503:
            raise Busy(joined.text)
        joined.raise_for_status()
        with self.http.stream(
            "GET", f"{self.api}/queue/data", params={"session_hash": self.session}
        ) as answer:
            outputs: list[Any] | None = None
            for line in answer.iter_lines():
                if not line.startswith("data:"):
                    continue
                self.bodies.append(line)
                message = json.loads(line[5:])
                if message["msg"] == "process_generating":
                    data = message["output"]["data"]
                    # The first yield comes whole, later ones as edits of the one before.
                    pairs = zip(outputs, data, strict=True) if outputs is not None else ()
                    outputs = [edited(old, new) for old, new in pairs] if outputs is not None else data
                    yield [settled(value) for value in outputs]
                elif message["msg"] == "process_completed":
                    if not message["success"]:
                        raise RuntimeError(json.dumps(message["output"]))
                    if outputs is None:
                        yield [settled(value) for value in message["output"]["data"]]
                    return
                elif message["msg"] == "close_stream":
                    return

    def directly(self, body: dict[str, Any]) -> list[Any]:
        """Events that do not queue are answered by the request itself."""
        answer = self.http.post(f"{self.api}/run/predict", json=body)
        self.bodies.append(answer.text)
        if answer.status_code != 200:
            raise RuntimeError(answer.text)
        return [settled(value) for value in answer.json()["data"]]

    def open_first(self) -> list[Any]:
        shown: list[Any] = self.fire(self.load())
        return shown

    def open_sample(self, key: str) -> list[Any]:
        shown: list[Any] = self.fire(self.dependency(f"sample-{key}", "click"))
        return shown

    def upload(self, path: Path, name: str | None = None) -> str:
        """Send a file as the browser does; returns the server's path of it."""
        with path.open("rb") as handle:
            sent = self.http.post(
                f"{self.api}/upload", files={"files": (name or path.name, handle, "application/octet-stream")}
            )
        self.bodies.append(sent.text)
        sent.raise_for_status()
        return str(sent.json()[0])

    def open_upload(self, path: Path, name: str | None = None) -> list[Any]:
        """Upload and open; returns the outputs of the opening event."""
        where = self.upload(path, name)
        file = {"path": where, "orig_name": name or path.name, "meta": {"_type": "gradio.FileData"}}
        dependency = self.dependency("ov-upload", "upload")
        inputs = [self.values.get(i) for i in dependency["inputs"]]
        inputs[0] = [file]
        shown: list[Any] = self.fire(dependency, inputs)
        return shown

    def begin(self, question: str) -> Any:
        return self.fire(self.dependency("ov-ask", "click"), [question])

    def answer(self, settings: list[Any] | None = None) -> Generator[list[Any], None, None]:
        """Stream the answer to the question given to `begin`."""
        dependency = self.after(self.dependency("ov-ask", "click"))[0]
        return self.stream(dependency, settings)

    def finish(self) -> Any:
        answer = self.after(self.dependency("ov-ask", "click"))[0]
        return self.fire(self.after(answer)[0])

    def saw(self) -> Any:
        answer = self.after(self.dependency("ov-ask", "click"))[0]
        return self.fire(self.after(self.after(answer)[0])[0])

    def ask(self, question: str, settings: list[Any] | None = None) -> str:
        """Ask and wait; returns all text of the conversation."""
        self.begin(question)
        last = last_of(self.answer(settings))
        self.finish()
        return json.dumps(last[0], ensure_ascii=False)

    def stop(self) -> None:
        self.fire(self.dependency("ov-stop", "click"))

    def get(self, path: str) -> httpx.Response:
        return self.http.get(f"{self.url}{path}")


def last_of(states: Iterator[list[Any]]) -> Any:
    """The last state of a stream, None when it had none."""
    found = None
    for state in states:
        found = state
    return found


def settled(value: Any) -> Any:
    """An update's new value, or the value itself."""
    if isinstance(value, dict) and value.get("__type__") == "update":
        return value.get("value", value)
    return value


def edited(value: Any, edits: list[list[Any]]) -> Any:
    value = json.loads(json.dumps(value))
    for action, path, new in edits:
        if not path:
            value = (value + new) if action == "append" else new
            continue
        place = value
        for key in path[:-1]:
            place = place[key]
        last = path[-1]
        if action == "append":
            place[last] += new
        elif action == "delete":
            del place[last]
        elif action == "add" and isinstance(place, list):
            place.insert(last, new)
        else:
            place[last] = new
    return value
