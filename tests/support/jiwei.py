"""基卫 and its wire (contract 1, R11), written from its text with OpenSSL and not from our code."""

from __future__ import annotations

import base64
import json
import subprocess
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

KEY = "0123456789abcdef"


def _openssl(key: str, *more: str, given: bytes) -> bytes:
    """AES-128-ECB with PKCS#5 padding."""
    command = ["openssl", "enc", "-aes-128-ecb", "-K", key.encode().hex(), *more]
    return subprocess.run(command, input=given, capture_output=True, check=True).stdout


def seal(clear: object, key: str = KEY) -> str:
    """A JSON object as Base64 of its cipher text, in one line."""
    return _openssl(key, "-e", "-base64", "-A", given=json.dumps(clear, ensure_ascii=False).encode()).decode()


def opened(text: str, key: str = KEY) -> dict:
    """The JSON object in an answer, which must be Base64 in one line and nothing else."""
    clear = json.loads(_openssl(key, "-d", given=base64.b64decode(text, validate=True)))
    assert isinstance(clear, dict), clear
    return clear


def form(apply_code: str, card: str = "C0001", **more: str) -> dict:
    """The contract's sample row under another number, with some of its fields otherwise."""
    row = {
        "applycode": apply_code, "fkey": "brid00", "medicarecode": card, "cliniccode": "O000017", "patname": "肖萍",
        "gender": "女", "birthday": "1980-01-01", "patage": "46岁", "idcard": "350100198001010029",
        "applydocname": "王医生", "applydepartment": "全科", "clincdiagnose": "待查", "checkprojectcode": "001",
        "checkproject": "胸部CT平扫", "applydate": "2026-07-04", "regstate": "0", "yyid00": "6930",
        "businesstype": "1", "type": "2",
    }
    return {**row, **more}


class Jiwei:
    """A hospital's 基卫: answers every question as it is told, and remembers them."""

    def __init__(self, key: str = KEY) -> None:
        self.key = key
        self.questions: list[dict] = []
        self.answer: Callable[[dict], object] = lambda _: {"content": [], "success": "true"}
        jiwei = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:  # noqa: N802
                body = self.rfile.read(int(self.headers["Content-Length"])).decode()
                question = opened(body, jiwei.key)
                jiwei.questions.append(question)
                said = seal(jiwei.answer(question), jiwei.key).encode()
                self.send_response(200)
                self.send_header("Content-Type", "text/html;charset=UTF-8")
                self.send_header("Content-Length", str(len(said)))
                self.end_headers()
                self.wfile.write(said)

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}/apply/query"

    def has(self, *forms: dict) -> None:
        """Answers with these forms whatever is asked."""
        self.answer = lambda _: {"content": list(forms), "success": "true"}

    def settings(self) -> dict:
        """As a registry's HIS has it."""
        return {"url": self.url, "key": self.key}

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
