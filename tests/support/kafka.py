"""A real Kafka broker under test: the one of deploy/dev/kafka.sh."""

from __future__ import annotations

import os
import signal
import subprocess
from dataclasses import dataclass
from pathlib import Path

from support.archive import REPOSITORY, free_port

PORTS_TRIED = 3
SCRIPT = REPOSITORY / "deploy" / "dev" / "kafka.sh"


@dataclass
class Kafka:
    """One broker: start, stop, kill, pause, and start again on the same data."""

    home: Path
    port: int = 0

    def start(self) -> Kafka:
        # Of a new port somebody else may have made use meanwhile, an outgoing connection too.
        ports = [self.port] if self.port else [free_port() for _ in range(PORTS_TRIED)]
        for port in ports:
            if subprocess.run([SCRIPT, "start", self.home, str(port)], timeout=300).returncode == 0:
                self.port = port
                return self
        raise AssertionError(f"Kafka does not start on {ports}")

    def stop(self) -> None:
        subprocess.run([SCRIPT, "stop", self.home], check=True, timeout=60)

    def kill(self) -> None:
        self._signal(signal.SIGKILL)

    def pause(self) -> None:
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        self._signal(signal.SIGCONT)

    def log(self, topic: str) -> str:
        """What `--log` takes."""
        return f"kafka://127.0.0.1:{self.port}/{topic}"

    def _signal(self, number: signal.Signals) -> None:
        os.kill(int((self.home / "kafka.pid").read_text()), number)
