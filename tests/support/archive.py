"""The archive under test: the real binary as a process, with a data directory of its own."""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path

import requests

from support.contract import Client
from support.registry import Registry

REPOSITORY = Path(__file__).resolve().parents[2]
DEMO = REPOSITORY / "deploy" / "demo"

# The archive is ready within 5 s after a crash; tests that do not measure that allow a loaded machine more.
START_LIMIT_S = 30.0
STOP_LIMIT_S = 30.0


def binary() -> Path:
    """The built archive: $YINGKU, or the place where make puts it."""
    target = Path(os.environ.get("CARGO_TARGET_DIR", REPOSITORY / "target"))
    path = Path(os.environ.get("YINGKU", target / "release" / "yingku"))
    if not path.exists():
        raise FileNotFoundError(f"{path} is not built: run make build, or set YINGKU")
    return path


def _host_and_port(address: str) -> tuple[str, int]:
    host, port = address.rsplit(":", 1)
    return host, int(port)


def free_port() -> int:
    """A port that nobody listens on now, for peers that the registry must name beforehand."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@dataclass
class Archive:
    """One archive: start, stop, kill and start again on the same data."""

    home: Path
    registry: Registry = field(default_factory=Registry)
    # Text replaced in the demo's settings: (old, new) pairs.
    settings: tuple[tuple[str, str], ...] = ()
    # Where the event log is, if not in the data directory.
    log: str = ""
    # Another archive's key, for a second node of it.
    cluster_key: bytes = b""
    # Further arguments of `serve`, and what is set in its environment.
    arguments: tuple[str, ...] = ()
    environment: dict[str, str] = field(default_factory=dict)
    # Another binary than the built one: an earlier release.
    program: Path | None = None
    process: subprocess.Popen | None = None
    http: str = ""
    dicom: tuple[str, int] = ("", 0)
    dicom_tls: tuple[str, int] | None = None
    ready_s: float = 0.0

    def __post_init__(self) -> None:
        self.home.mkdir(parents=True, exist_ok=True)
        settings = (DEMO / "yingku.toml").read_text(encoding="utf-8")
        for old, new in self.settings:
            assert old in settings, f"the demo settings have no {old!r}"
            settings = settings.replace(old, new)
        (self.home / "yingku.toml").write_text(settings, encoding="utf-8")
        (self.home / "registry.toml").write_text(self.registry.toml(), encoding="utf-8")
        if self.cluster_key:
            (self.data / "keys").mkdir(parents=True)
            (self.data / "keys" / "cluster.key").write_bytes(self.cluster_key)

    @property
    def data(self) -> Path:
        return self.home / "data"

    @property
    def log_path(self) -> Path:
        return self.home / "archive.log"

    @property
    def pid(self) -> int:
        assert self.process is not None
        return self.process.pid

    def start(self) -> Archive:
        began = time.monotonic()
        with self.log_path.open("ab") as log:
            self.process = subprocess.Popen(
                [
                    self.program or binary(), "serve",
                    "--config", self.home / "yingku.toml",
                    "--data", self.data,
                    "--http", "127.0.0.1:0",
                    "--dicom", "127.0.0.1:0",
                    *(("--log", self.log) if self.log else ()),
                    *self.arguments,
                ],
                env={**os.environ, **self.environment},
                stdout=subprocess.PIPE,
                stderr=log,
            )
        line = self._first_line(began + START_LIMIT_S)
        self.ready_s = time.monotonic() - began
        addresses = json.loads(line)
        self.http = f"http://{addresses['http']}"
        self.dicom = _host_and_port(addresses["dicom"])
        self.dicom_tls = _host_and_port(addresses["dicomTls"]) if "dicomTls" in addresses else None
        return self

    def _first_line(self, deadline: float) -> bytes:
        assert self.process is not None and self.process.stdout is not None
        out = self.process.stdout.fileno()
        line = b""
        while not line.endswith(b"\n"):
            readable, _, _ = select.select([out], [], [], max(0.0, deadline - time.monotonic()))
            piece = os.read(out, 4096) if readable else b""
            if not piece:
                self.kill()
                raise AssertionError(f"the archive did not start; its log ends:\n{self.log_tail()}")
            line += piece
        return line.splitlines()[0]

    def log_tail(self, limit: int = 4000) -> str:
        return self.log_path.read_text(encoding="utf-8", errors="replace")[-limit:]

    def alive(self) -> bool:
        process = self.process  # other threads may end it meanwhile
        return process is not None and process.poll() is None

    def stop(self) -> int:
        """Asks the archive to end and waits; its exit status."""
        return self._end(signal.SIGTERM)

    def kill(self) -> int:
        """kill -9."""
        return self._end(signal.SIGKILL)

    def _end(self, how: signal.Signals) -> int:
        if self.process is None:
            return 0
        if self.process.poll() is None:
            self.process.send_signal(how)
        try:
            code = self.process.wait(STOP_LIMIT_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise AssertionError(f"the archive did not end within {STOP_LIMIT_S} s of {how.name}") from None
        finally:
            if self.process.stdout is not None:
                self.process.stdout.close()
        self.process = None
        return code

    def command(self, *arguments: str | Path, check: bool = True) -> subprocess.CompletedProcess:
        """Runs another command of the binary, e.g. `verify`."""
        done = subprocess.run(
            [self.program or binary(), *arguments], capture_output=True, text=True, timeout=120, cwd=self.home,
            env={**os.environ, **self.environment},
        )
        if check and done.returncode != 0:
            raise AssertionError(f"yingku {arguments} ended {done.returncode}:\n{done.stdout}\n{done.stderr}")
        return done

    def readiness(self) -> dict:
        """What `/readyz` tells, ready or not."""
        return requests.get(f"{self.http}/readyz", timeout=30).json()

    def client(self, app: str = "demo-pacs") -> Client:
        """A client of the contract with the app's own key."""
        known = self.registry.app(app)
        return Client(self.http, known["id"], known["license"], known["org"], self.key(app))

    def key(self, app: str) -> Path:
        return self.data / "keys" / f"{app}.pub.pem"

    def resident_bytes(self) -> int:
        """Resident memory of the process now."""
        for line in Path(f"/proc/{self.pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) * 1024
        raise AssertionError("no VmRSS")
