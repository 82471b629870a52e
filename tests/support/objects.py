"""The S3 server of `deploy/dev/s3.sh`, and where an archive stands with it."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

from support.archive import REPOSITORY, Archive, free_port
from support.listening import reach

SCRIPT = REPOSITORY / "deploy" / "dev" / "s3.sh"
BUCKET = "yingku"
ACCOUNT = {"AWS_ACCESS_KEY_ID": "test-account", "AWS_SECRET_ACCESS_KEY": "test-secret-of-the-account"}


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
        return self.location_at(self.port)

    def location_at(self, port: int) -> str:
        """What `--objects` takes for one who reaches the server through another port."""
        return f"s3://{BUCKET}/city?endpoint=http://127.0.0.1:{port}"

    def packs(self, folder: str = "packs") -> list[Path]:
        return sorted((self.folder / "data" / BUCKET / "city" / folder).glob("*.pack"))

    def unfinished_uploads(self) -> list[Path]:
        return list((self.folder / "data" / BUCKET / ".sgwtmp" / "multipart").glob("*/*"))

    def _pid(self) -> int:
        return int((self.folder / "s3.pid").read_text())

    def _script(self, *arguments: str | Path) -> None:
        done = subprocess.run([SCRIPT, *arguments], env={**os.environ, **ACCOUNT}, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr


def standing(archive: Archive) -> dict:
    """What the readiness check tells of the object store."""
    return archive.readiness()["objects"]


def all_evicted(archive: Archive) -> None:
    """Waits until every image is in the object store and none here."""

    def unsealed() -> list[Path]:
        return list((archive.data / "packs").glob("*.open"))

    def done() -> bool:
        now = standing(archive)
        return not unsealed() and now["backlogPacks"] == 0 and now["localBytes"] == 0

    reach(done, lambda: (standing(archive), unsealed(), archive.log_tail()))
    assert not list((archive.data / "packs").glob("*.pack"))
