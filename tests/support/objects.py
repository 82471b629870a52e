"""The S3 server of `deploy/dev/s3.sh`, and where an archive stands with it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path

from support.archive import REPOSITORY, Archive, free_port

SCRIPT = REPOSITORY / "deploy" / "dev" / "s3.sh"
BUCKET = "yingku"
ACCOUNT = {"AWS_ACCESS_KEY_ID": "test-account", "AWS_SECRET_ACCESS_KEY": "test-secret-of-the-account"}
REACH_LIMIT_S = 120.0


class S3:
    """One server with a bucket; it keeps its data when it is stopped and started."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.port = folder, free_port()

    def start(self) -> S3:
        self._script("start", self.folder, str(self.port), BUCKET)
        return self

    def stop(self) -> None:
        self._script("stop", self.folder)

    def freeze(self) -> None:
        os.kill(self._pid(), signal.SIGSTOP)

    def thaw(self) -> None:
        os.kill(self._pid(), signal.SIGCONT)

    def __enter__(self) -> S3:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def location(self) -> str:
        return f"s3://{BUCKET}/city?endpoint=http://127.0.0.1:{self.port}"

    def packs(self) -> list[Path]:
        return sorted((self.folder / "data" / BUCKET / "city" / "packs").glob("*.pack"))

    def unfinished_uploads(self) -> list[Path]:
        return list((self.folder / "data" / BUCKET / ".sgwtmp" / "multipart").glob("*/*"))

    def _pid(self) -> int:
        return int((self.folder / "s3.pid").read_text())

    def _script(self, *arguments: str | Path) -> None:
        done = subprocess.run([SCRIPT, *arguments], env={**os.environ, **ACCOUNT}, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr


def standing(archive: Archive) -> dict:
    """What the readiness check tells of the object store."""
    try:
        with urllib.request.urlopen(f"{archive.http}/readyz", timeout=30) as answer:
            body = answer.read()
    except urllib.error.HTTPError as refused:  # not ready tells as much
        body = refused.read()
    return json.loads(body)["objects"]


def reach(condition: Callable[[], bool], what: Callable[[], object]) -> None:
    deadline = time.monotonic() + REACH_LIMIT_S
    while not condition():
        assert time.monotonic() < deadline, f"not within {REACH_LIMIT_S} s: {what()}"
        time.sleep(0.05)  # between two attempts


def all_evicted(archive: Archive) -> None:
    """Waits until every image is in the object store and none here."""

    def unsealed() -> list[Path]:
        return list((archive.data / "packs").glob("*.open"))

    def done() -> bool:
        now = standing(archive)
        return not unsealed() and now["backlogPacks"] == 0 and now["localBytes"] == 0

    reach(done, lambda: (standing(archive), unsealed(), archive.log_tail()))
    assert not list((archive.data / "packs").glob("*.pack"))
