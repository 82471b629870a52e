"""DCMTK's tools, as a hospital would call them."""

from __future__ import annotations

import re
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

import pydicom
from pydicom.dataset import Dataset

from support.listening import wait_until_listening

AET = "YINGKU"
TOOL_LIMIT_S = 120


@dataclass(frozen=True)
class Ran:
    code: int
    output: str  # both streams, as the tools mix them


def run(tool: str, *arguments: object) -> Ran:
    done = subprocess.run(
        [tool, *map(str, arguments)],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=TOOL_LIMIT_S,
    )
    return Ran(done.returncode, done.stdout.decode("utf-8", "replace"))


def echoscu(dicom: tuple[str, int]) -> Ran:
    return run("echoscu", "-aec", AET, *dicom)


def storescu(dicom: tuple[str, int], *files: Path, calling: str = "DCMTK") -> Ran:
    return run("storescu", "-v", "-aet", calling, "-aec", AET, *dicom, *files)


def dcmsend(dicom: tuple[str, int], folder: Path, *options: str) -> Ran:
    return run("dcmsend", "-v", "-aec", AET, *options, *dicom, "--scan-directories", folder)


def store_statuses(ran: Ran) -> list[str]:
    """The C-STORE answers that `storescu -v` reports, in words."""
    return re.findall(r"Received Store Response \((.*)\)", ran.output)


def findscu(dicom: tuple[str, int], level: str, *keys: str, model: str = "-S") -> list[Dataset]:
    """The matches of a C-FIND, as data sets that findscu extracted."""
    with tempfile.TemporaryDirectory() as folder:
        arguments: list[object] = [model, "-aec", AET, "-X", "-od", folder, "-k", f"QueryRetrieveLevel={level}"]
        for key in keys:
            arguments += ["-k", key]
        ran = run("findscu", *arguments, *dicom)
        assert ran.code == 0, ran.output
        return [pydicom.dcmread(path, force=True) for path in sorted(Path(folder).glob("rsp*.dcm"))]


def movescu(dicom: tuple[str, int], destination: str, level: str, *keys: str) -> Ran:
    arguments: list[object] = ["-v", "-S", "-aec", AET, "-aem", destination, "-k", f"QueryRetrieveLevel={level}"]
    for key in keys:
        arguments += ["-k", key]
    return run("movescu", *arguments, *dicom)


def getscu(dicom: tuple[str, int], folder: Path, level: str, *keys: str, options: tuple[str, ...] = ()) -> Ran:
    folder.mkdir(parents=True, exist_ok=True)
    arguments: list[object] = ["-v", "-S", *options, "-aec", AET, "-od", folder, "-k", f"QueryRetrieveLevel={level}"]
    for key in keys:
        arguments += ["-k", key]
    return run("getscu", *arguments, *dicom)


class StoreScp:
    """A `storescp` on the loopback that keeps what it receives, bit for bit."""

    def __init__(self, port: int, folder: Path, *options: str) -> None:
        self.port, self.folder, self.options = port, folder, options
        folder.mkdir(parents=True, exist_ok=True)

    def __enter__(self) -> StoreScp:
        self.process = subprocess.Popen(
            ["storescp", "--bit-preserving", "+xa", "--output-directory", str(self.folder), *self.options, str(self.port)],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )
        wait_until_listening(self.port, self.process)
        return self

    def __exit__(self, *_: object) -> None:
        self.process.terminate()
        self.process.wait(10)

    def received(self) -> dict[str, Dataset]:
        """By SOP Instance UID."""
        datasets = [pydicom.dcmread(path) for path in self.folder.iterdir() if path.is_file()]
        return {str(dataset.SOPInstanceUID): dataset for dataset in datasets}
