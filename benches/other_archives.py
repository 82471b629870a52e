"""Other archives on the loopback, as installed, for the same question in the same run."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from support.listening import wait_until_listening
from support.orthanc import Orthanc

# Unused by the archive that is measured, but every configuration wants a destination.
NO_SINK = 1


@contextmanager
def _running(command: list[str], port: int) -> Iterator[int]:
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        wait_until_listening(port, process)
        yield port
    finally:
        process.terminate()
        process.wait(30)


def ignoring_storescp(port: int):
    """Receives and throws away, in a process for each association."""
    return _running(["storescp", "--ignore", "--fork", str(port)], port)


@contextmanager
def orthanc(home: Path, port: int, sink: int = NO_SINK) -> Iterator[int]:
    with Orthanc(
        home, port, ("127.0.0.1", NO_SINK),
        DicomAet="YINGKU",
        DicomModalities={"SINK": ["SINK", "127.0.0.1", sink]},
        DicomAlwaysAllowMove=True,
    ):
        yield port


@contextmanager
def dcmqrscp(home: Path, port: int, sink: int = NO_SINK) -> Iterator[int]:
    store = home / "store"
    store.mkdir(parents=True)
    config = home / "dcmqrscp.cfg"
    config.write_text(
        f"""NetworkTCPPort  = {port}
MaxPDUSize      = 16384
MaxAssociations = 16
HostTable BEGIN
sink = (SINK, 127.0.0.1, {sink})
HostTable END
VendorTable BEGIN
VendorTable END
AETable BEGIN
YINGKU {store} RW (200, 8192mb) ANY
AETable END
"""
    )
    with _running(["dcmqrscp", "--config", str(config)], port):
        yield port
