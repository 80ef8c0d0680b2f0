"""Services that speak the OpenAI form, on this computer, with faults on demand."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class Stub:
    """What is said next: `script` first (a status, bytes or text), then what `say` makes of the request."""

    def __init__(self) -> None:
        self.requests: list[dict[str, Any]] = []
        self.script: list[int | bytes | str] = []
        self.url = ""

    def say(self, body: dict[str, Any]) -> str:
        text = json.dumps(body["messages"])
        if "Judge this caption" in text or "not JSON" in text:
            points = 5 if "clear" in text else 2
            return f'Here you are: {{"relevance": {points}, "fluency": {points}, "accuracy": {points}}}'
        return f"A clear view, number {body['seed'] % 97}."

    def vector(self, text: str) -> list[float]:
        words = text.lower().split()
        return [float(sum(hashlib.md5(w.encode()).digest()[0] % 8 == k for w in words)) for k in range(8)]


@contextmanager
def serving(stub: Stub) -> Iterator[Stub]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            stub.requests.append({"path": self.path, "key": self.headers.get("Authorization"), **body})
            planned = stub.script.pop(0) if stub.script else None
            if isinstance(planned, int):
                self.send_response(planned)
                self.send_header("Location", "http://192.0.2.1/elsewhere")
                self.end_headers()
                return
            if self.path.endswith("/embeddings"):
                rows = [{"index": i, "embedding": stub.vector(t)} for i, t in enumerate(body["input"])]
                answer = json.dumps({"data": rows[::-1]}).encode()
            elif isinstance(planned, bytes):
                answer = planned
            else:
                said = planned if planned is not None else stub.say(body)
                answer = json.dumps({"choices": [{"message": {"content": said}}]}).encode()
            self.send_response(200)
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *args: object) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    stub.url = f"http://127.0.0.1:{server.server_address[1]}/v1"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield stub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
