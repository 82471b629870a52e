"""The contract from the vendor's side, written from its text and not from our code (contract 2.1-2.6, R1-R5)."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass
from pathlib import Path

import requests
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.serialization import load_pem_public_key

# A push that must wait for the projector is answered within this, or the test fails.
ANSWER_LIMIT_S = 60


@dataclass(frozen=True)
class Answer:
    """One answer: the HTTP status and the flat envelope."""

    http: int
    body: dict

    @property
    def status(self) -> int:
        return self.body["status"]

    @property
    def message(self) -> str:
        return self.body.get("message") or ""

    @property
    def result(self) -> list | dict:
        return self.body.get("result")

    @property
    def rows(self) -> list[dict]:
        """`result` as rows, whether one object or an array came."""
        result = self.result
        if result is None:
            return []
        return result if isinstance(result, list) else [result]

    @property
    def page(self) -> dict | None:
        return self.body.get("page")

    def text(self) -> str:
        """The whole answer as text, for "this path is named somewhere" assertions."""
        return json.dumps(self.body, ensure_ascii=False)


class Client:
    """One app of the contract: signs, keeps its token, posts JSON."""

    def __init__(self, url: str, app: str, license: str, org: str, key: Path) -> None:
        self.url = url
        self.app, self.license, self.org = app, license, org
        self.key = key
        self.session = requests.Session()
        self._token: str | None = None

    def sign(self, plaintext: str | None = None) -> str:
        """RSA PKCS#1 v1.5 of `appId,orgId,license` as Base64 (R3)."""
        plaintext = plaintext or f"{self.app},{self.org},{self.license}"
        key = load_pem_public_key(self.key.read_bytes())
        return base64.b64encode(key.encrypt(plaintext.encode(), padding.PKCS1v15())).decode()

    def get_token(self, sign: str | None = None) -> Answer:
        return self.post("auth/getToken", {"sign": sign or self.sign()}, token=None)

    @property
    def token(self) -> str:
        if self._token is None:
            answer = self.get_token()
            assert answer.status == 0, answer
            self._token = answer.result["token"]
        return self._token

    def post(self, name: str, body: object, token: str | None = "", prefix: str = "/openapi/v1/") -> Answer:
        """Posts `body` as UTF-8 JSON. `token`: "" for the client's own, None for none at all."""
        data = json.dumps(body, ensure_ascii=False).encode()
        return self.post_bytes(name, data, "application/json;charset=UTF-8", token, prefix)

    def post_bytes(
        self,
        name: str,
        data: bytes,
        content_type: str = "application/json",
        token: str | None = "",
        prefix: str = "/openapi/v1/",
    ) -> Answer:
        headers = {"Content-Type": content_type}
        if token is not None:
            headers["token"] = token or self.token
        response = self.session.post(
            f"{self.url}{prefix}{name}", data=data, headers=headers, timeout=ANSWER_LIMIT_S
        )
        return Answer(response.status_code, response.json())

    # --- the operations ---------------------------------------------------------------------

    def push(self, exam: dict) -> Answer:
        return self.post("exam/push", exam)

    def pushed(self, exam: dict) -> dict:
        """Pushes an exam that must be taken; the exam."""
        answer = self.push(exam)
        assert (answer.http, answer.status) == (200, 0), answer
        return exam

    def upload_statistics(self, rows: list[dict]) -> Answer:
        return self.post("exam/uploadStatistics", rows)

    def reconcile(self, day: str, to: str | None = None, **more: str) -> list[dict]:
        answer = self.post("statistics/reconcile", {"from": day, "to": to or day, **more})
        assert (answer.http, answer.status) == (200, 0), answer
        return answer.result["cells"]

    def versions(self, exam: dict) -> list[dict]:
        """Every version of an exam, the first first."""
        number = {"hospitalCode": exam["hospitalCode"], "examNo": exam["examNo"]}
        answer = self.post("exam/history", number)
        assert (answer.http, answer.status) == (200, 0), answer
        return answer.result["versions"]
