"""A HIS that takes status notices (contract 3.2), written from its text and not from our code.

What it reads of a request is the same for apply forms (contract 3.1), so it stands in for that service, too.
"""

from __future__ import annotations

import re
import threading
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable
from dataclasses import dataclass, field
from email.message import Message
from html import escape
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

ENVELOPES = {
    "http://schemas.xmlsoap.org/soap/envelope/": "1.1",
    "http://www.w3.org/2003/05/soap-envelope": "1.2",
}


@dataclass(frozen=True)
class Notice:
    """One request, as its receiver reads it."""

    headers: Message
    charset: str
    soap: str
    operation: str
    parameter: str
    # The body after decoding.
    text: str
    # The contract's own document, and what its Exam says: element -> text, and "Name/@code" of an element with a code.
    document: ElementTree.Element
    said: dict[str, str]

    @property
    def exam(self) -> str:
        return self.said["ExamNo"]

    @property
    def status(self) -> str:
        return self.said["ExamStatus/@code"]

    @property
    def what(self) -> tuple[str, str]:
        return self.exam, self.status


def read(headers: Message, body: bytes) -> Notice:
    """Reads a request; whatever is not as the contract has it fails."""
    charset = headers.get_content_charset()
    assert charset is not None, headers.as_string()
    text = body.decode(charset)
    envelope = ElementTree.fromstring(text)
    namespace = re.fullmatch(r"{(.*)}Envelope", envelope.tag)[1]
    operation = envelope[0][0]
    [parameter] = operation
    document = ElementTree.fromstring(parameter.text)
    assert document.tag == "XmlDocument"
    said: dict[str, str] = {}
    for element in document.find("Exam"):
        said[element.tag] = element.text or ""
        if "code" in element.attrib:
            said[f"{element.tag}/@code"] = element.attrib["code"]
    return Notice(headers, charset, ENVELOPES[namespace], operation.tag, parameter.tag, text, document, said)


# What a receiver says to a notice: the code and the words; None breaks the connection off.
Answer = Callable[[Notice], tuple[str, str] | None]


def take(_: Notice) -> tuple[str, str]:
    return "0", "成功"


@dataclass
class Receiver:
    """Listens while it is entered; on a port of its own, or the one that it had before."""

    answer: Answer = take
    port: int = 0
    # In the order in which they came, and those of them that were taken.
    came: list[Notice] = field(default_factory=list)
    taken: list[Notice] = field(default_factory=list)
    # Requests that could not be read: a test must have none.
    wrong: list[str] = field(default_factory=list)
    at_once: int = 0
    most_at_once: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/services/status"

    def __enter__(self) -> Receiver:
        self.server = ThreadingHTTPServer(("127.0.0.1", self.port), type("Handler", (_Handler,), {"receiver": self}))
        self.server.daemon_threads = True
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.server.shutdown()
        self.server.server_close()

    def told(self, exam: dict) -> list[str]:
        """Statuses of an exam that were taken, in order."""
        with self.lock:
            return [notice.status for notice in self.taken if notice.exam == exam["examNo"]]


class _Handler(BaseHTTPRequestHandler):
    receiver: Receiver
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        receiver = self.receiver
        body = self.rfile.read(int(self.headers["Content-Length"]))
        try:
            notice = read(self.headers, body)
        except Exception as error:
            receiver.wrong.append(f"{error!r}: {body!r}")
            self.send_error(500)
            return
        with receiver.lock:
            receiver.came.append(notice)
            receiver.at_once += 1
            receiver.most_at_once = max(receiver.most_at_once, receiver.at_once)
        answer = receiver.answer(notice)
        with receiver.lock:
            receiver.at_once -= 1
            if answer is not None and answer[0] == "0":
                receiver.taken.append(notice)
        if answer is None:
            self.close_connection = True
            return
        self._answer(notice, *answer)

    def _answer(self, notice: Notice, code: str, words: str) -> None:
        namespace = next(uri for uri, soap in ENVELOPES.items() if soap == notice.soap)
        response = f"<response><code>{code}</code><desc>{words}</desc></response>"
        content = (
            f'<?xml version="1.0" encoding="{notice.charset}"?><s:Envelope xmlns:s="{namespace}"><s:Body>'
            f'<n:SynStatusInfoResponse xmlns:n="urn:yingku:syn-info"><return>{escape(response)}</return>'
            "</n:SynStatusInfoResponse></s:Body></s:Envelope>"
        ).encode(notice.charset)
        self.send_response(200)
        self.send_header("Content-Type", f"text/xml; charset={notice.charset}")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        """Nothing: pytest shows what a test needs."""
