"""Hospitals' DICOM gateways on the loopback, each a real product: DCMTK's dcmqrscp, Orthanc, pynetdicom's qrscp."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

from pydicom.dataset import Dataset

from support import dcmtk
from support.archive import free_port
from support.instances import save_all
from support.listening import wait_until_listening
from support.orthanc import Orthanc

AE = "GATE"


class Gateway:
    """Started, stopped, killed and started again on the same images."""

    # Whether images leave it as they came: qrscp writes them anew, in Implicit VR Little Endian.
    keeps_bytes = True

    def __init__(self, home: Path, archive: tuple[str, int] = ("127.0.0.1", 1), port: int = 0) -> None:
        self.home, self.archive, self.port = home, archive, port or free_port()
        self.process: subprocess.Popen | None = None
        self.batches = 0
        home.mkdir(parents=True, exist_ok=True)

    def __enter__(self) -> Gateway:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.kill()

    def start(self) -> Gateway:
        with (self.home / "gateway.log").open("ab") as log:
            # A session of its own: dcmqrscp has a process for each association.
            self.process = subprocess.Popen(
                [str(part) for part in self.command()], cwd=self.home, stdout=log, stderr=log, start_new_session=True
            )
        wait_until_listening(self.port, self.process)
        return self

    def kill(self) -> None:
        if self.process is not None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait(30)
            self.process = None

    def command(self) -> list[object]:
        raise NotImplementedError

    def keep(self, datasets: list[Dataset]) -> None:
        """Images come to it from a modality."""
        self.batches += 1
        files = save_all(datasets, self.home / f"sent{self.batches}")
        ran = dcmtk.run("storescu", "-v", "-aec", AE, "127.0.0.1", self.port, *files)
        assert ran.code == 0, ran.output


class Dcmqrscp(Gateway):
    # Who may ask, as its configuration writes it.
    who = "ANY"

    def command(self) -> list[object]:
        (self.home / "images").mkdir(exist_ok=True)
        host, port = self.archive
        config = self.home / "dcmqrscp.cfg"
        config.write_text(
            f"NetworkTCPPort = {self.port}\nMaxPDUSize = 131072\nMaxAssociations = 16\n"
            f"HostTable BEGIN\nyingku = (YINGKU, {host}, {port})\nother = (OTHER, 127.0.0.1, 1)\nHostTable END\n"
            "VendorTable BEGIN\nVendorTable END\n"
            f"AETable BEGIN\n{AE} {self.home / 'images'} RW (500, 4096mb) {self.who}\nAETable END\n"
        )
        return ["dcmqrscp", "-v", "-c", config]


class Qrscp(Gateway):
    keeps_bytes = False

    def command(self) -> list[object]:
        host, port = self.archive
        config = self.home / "qrscp.ini"
        config.write_text(
            f"[DEFAULT]\nae_title: {AE}\nport: {self.port}\nmax_pdu: 131072\nacse_timeout: 30\ndimse_timeout: 30\n"
            f"network_timeout: 60\nbind_address: 127.0.0.1\ninstance_location: {self.home / 'images'}\n"
            f"database_location: {self.home / 'instances.sqlite'}\n[YINGKU]\nae_title: YINGKU\naddress: {host}\nport: {port}\n"
        )
        return [sys.executable, "-m", "pynetdicom", "qrscp", "-c", config]


class OrthancGateway(Gateway):
    def command(self) -> list[object]:
        self.orthanc = Orthanc(
            self.home, self.port, self.archive, DicomAet=AE,
            DicomModalities={"yingku": ["YINGKU", *self.archive]},
            DicomAlwaysAllowFind=True, DicomAlwaysAllowGet=True, DicomAlwaysAllowMove=True,
        )
        return self.orthanc.command()


GATEWAYS = {"dcmqrscp": Dcmqrscp, "orthanc": OrthancGateway, "qrscp": Qrscp}

