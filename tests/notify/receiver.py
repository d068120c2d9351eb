"""A real HTTP server on loopback that stands for Slack and the others: it keeps what it is sent."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from tests.process.program import wait_until


@dataclass(frozen=True, slots=True, kw_only=True)
class Received:
    """One request: where it went, what it held."""

    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def document(self) -> dict[str, Any]:
        """The body as JSON."""
        document = json.loads(self.body)
        assert isinstance(document, dict)
        return document


@dataclass(slots=True)
class Receiver:
    """What came, and how it answers: a status, or never while `silent`, or to the first ones."""

    url: str = ""
    status: int = 200
    body: bytes = b"OK"
    location: str = ""
    silent: bool = False
    silent_first: int = 0
    released: threading.Event = field(default_factory=threading.Event)
    received: list[Received] = field(default_factory=list)

    def wait_for(self, count: int) -> list[Received]:
        """Return what came as soon as there is that much of it."""
        wait_until(lambda: len(self.received) >= count, f"{len(self.received)} of {count} came")
        return list(self.received)

    @property
    def events(self) -> list[str]:
        """The events of the documents that came, in order."""
        return [request.document["event"] for request in self.received]


@contextmanager
def receiver(**options: Any) -> Iterator[Receiver]:
    """Yield a running receiver."""
    made = Receiver(**options)

    class Handler(BaseHTTPRequestHandler):
        """Keeps each request, then answers."""

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            made.received.append(
                Received(path=self.path, headers=dict(self.headers.items()), body=body)
            )
            if made.silent or len(made.received) <= made.silent_first:
                made.released.wait()
                return
            self.send_response(made.status)
            if made.location:
                self.send_header("Location", made.location)
            self.send_header("Content-Length", str(len(made.body)))
            self.end_headers()
            self.wfile.write(made.body)

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    made.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield made
    finally:
        made.released.set()
        server.shutdown()
        server.server_close()
        thread.join()
