"""A real Kafka broker under test: the one of deploy/dev/kafka.sh."""

from __future__ import annotations

import os
import signal
import subprocess
from dataclasses import dataclass
from pathlib import Path

from support.archive import REPOSITORY, free_port

SCRIPT = REPOSITORY / "deploy" / "dev" / "kafka.sh"


@dataclass
class Kafka:
    """One broker: start, stop, kill, pause, and start again on the same data."""

    home: Path
    port: int = 0

    def start(self) -> Kafka:
        self.port = self.port or free_port()
        subprocess.run([SCRIPT, "start", self.home, str(self.port)], check=True, timeout=300)
        return self

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
