"""An HTTP proxy before a server that answers, refuses or hangs, as it is told.

Requests pass as they came, the Host header too: it is part of what an S3 client signs.
"""

from __future__ import annotations

import http.client
import random
import re
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

UPSTREAM_LIMIT_S = 60
# Of one connection between proxy and client, never forwarded.
HOP_BY_HOP = {"connection", "keep-alive", "proxy-connection", "transfer-encoding", "te", "trailer", "upgrade"}


@dataclass(frozen=True)
class Fault:
    """What happens to so many of a hundred requests."""

    kind: str  # "pass", "unavailable", "hang" or "refuse"
    percent: int = 100

    def __str__(self) -> str:
        return f"{self.kind} {self.percent} %"


PASS = Fault("pass")
# Requests are taken and never answered.
HANG = Fault("hang")
# The account is refused, in the words of an S3 server, which repeat its name.
REFUSE_ACCOUNT = Fault("refuse")


def unavailable(percent: int) -> Fault:
    """503 Slow Down."""
    return Fault("unavailable", percent)


@dataclass
class FaultProxy:
    """Listens on a port of its own while it is entered."""

    upstream_port: int
    seed: int = 7
    fault: Fault = PASS
    # Requests that went through, and that did not.
    passed: int = 0
    struck: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def __enter__(self) -> FaultProxy:
        self.chance = random.Random(self.seed)
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"proxy": self}))
        self.server.daemon_threads = True
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.server.shutdown()
        self.server.server_close()

    def set(self, fault: Fault) -> None:
        """From the next request on; what hangs goes on hanging until its client has enough."""
        with self.lock:
            self.fault, self.passed, self.struck = fault, 0, 0

    def next_fault(self) -> Fault:
        with self.lock:
            struck = self.fault is not PASS and self.chance.randrange(100) < self.fault.percent
            self.struck += struck
            self.passed += not struck
            return self.fault if struck else PASS


class _Handler(BaseHTTPRequestHandler):
    proxy: FaultProxy
    protocol_version = "HTTP/1.1"

    def _serve(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        fault = self.proxy.next_fault()
        try:
            match fault.kind:
                case "pass":
                    self._relay(body)
                case "hang":
                    self.close_connection = True
                    self.connection.recv(1)  # until the client has enough
                case "unavailable":
                    self._answer(503, "<Error><Code>SlowDown</Code><Message>Reduce your request rate.</Message></Error>")
                case "refuse":
                    self._answer(403, self._refusal())
        except OSError:  # a connection that breaks is the client's to notice
            self.close_connection = True

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = _serve

    def _relay(self, body: bytes) -> None:
        upstream = http.client.HTTPConnection("127.0.0.1", self.proxy.upstream_port, timeout=UPSTREAM_LIMIT_S)
        try:
            upstream.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
            for name, value in self.headers.items():
                if name.lower() not in HOP_BY_HOP | {"expect"}:
                    upstream.putheader(name, value)
            upstream.endheaders(body or None)
            answer = upstream.getresponse()
            content = answer.read()
            self.send_response_only(answer.status, answer.reason)
            for name, value in answer.getheaders():
                if name.lower() not in HOP_BY_HOP | {"content-length"}:
                    self.send_header(name, value)
            if self.command == "HEAD":  # tells how long a body would be
                self.send_header("Content-Length", answer.getheader("Content-Length", "0"))
            elif answer.status != 204:
                self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)
        finally:
            upstream.close()

    def _answer(self, status: int, body: str) -> None:
        content = body.encode()
        self.send_response_only(status)
        self.send_header("Content-Type", "application/xml")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def _refusal(self) -> str:
        signed = re.search(r"Credential=([^/]+)/", self.headers.get("Authorization", ""))
        key_id = signed.group(1) if signed else ""
        return (
            "<Error><Code>InvalidAccessKeyId</Code><Message>The key does not exist in our records.</Message>"
            f"<AWSAccessKeyId>{key_id}</AWSAccessKeyId></Error>"
        )

    def log_message(self, *_: object) -> None:
        """Nothing: pytest shows what a test needs."""
