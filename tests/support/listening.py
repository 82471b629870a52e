"""Waiting for a peer's port, or for something to become true: an event with a limit, never a fixed sleep."""

from __future__ import annotations

import socket
import subprocess
import time
from collections.abc import Callable

LISTEN_LIMIT_S = 30.0
REACH_LIMIT_S = 120.0


def wait_until_listening(port: int, process: subprocess.Popen, limit_s: float = LISTEN_LIMIT_S) -> None:
    deadline = time.monotonic() + limit_s
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            if process.poll() is not None:
                raise AssertionError(f"{process.args} ended with {process.returncode}") from None
            if time.monotonic() > deadline:
                raise AssertionError(f"{process.args} does not listen on {port}") from None
            time.sleep(0.02)  # between two attempts to connect


def reach(condition: Callable[[], bool], what: Callable[[], object]) -> None:
    """Waits until the condition holds; `what` is said if it does not."""
    deadline = time.monotonic() + REACH_LIMIT_S
    while not condition():
        assert time.monotonic() < deadline, f"not within {REACH_LIMIT_S} s: {what()}"
        time.sleep(0.05)  # between two attempts
