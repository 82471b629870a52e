"""A real Orthanc on the loopback, with a configuration of its own."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import requests

from support.archive import free_port
from support.listening import wait_until_listening


def binary() -> str:
    found = shutil.which("Orthanc", path="/usr/sbin:/usr/bin:/usr/local/sbin:/usr/local/bin")
    assert found, "Orthanc is not installed: run make install-deps"
    return found


class Orthanc:
    """Started empty; stopped and forgotten at the end."""

    def __init__(self, home: Path, dicom_port: int, archive: tuple[str, int], **more: object) -> None:
        self.home, self.dicom_port = home, dicom_port
        self.http_port = free_port()
        home.mkdir(parents=True, exist_ok=True)
        self.settings = {
            "Name": "peer of the tests",
            "StorageDirectory": str(home / "storage"),
            "IndexDirectory": str(home / "index"),
            "Plugins": [],
            "HttpPort": self.http_port,
            "RemoteAccessAllowed": False,
            "AuthenticationEnabled": False,
            "DicomServerEnabled": True,
            "DicomAet": "ORTHANC",
            "DicomCheckCalledAet": False,
            "DicomPort": dicom_port,
            "DicomAlwaysAllowEcho": True,
            "DicomAlwaysAllowStore": True,
            "DicomModalities": {"yingku": ["YINGKU", archive[0], archive[1]]},
            **more,
        }

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.http_port}"

    def command(self) -> list[str]:
        config = self.home / "orthanc.json"
        config.write_text(json.dumps(self.settings), encoding="utf-8")
        return [binary(), str(config)]

    def __enter__(self) -> Orthanc:
        with (self.home / "orthanc.log").open("wb") as log:
            self.process = subprocess.Popen(self.command(), stdout=log, stderr=log)
        wait_until_listening(self.dicom_port, self.process)
        wait_until_listening(self.http_port, self.process)
        return self

    def __exit__(self, *_: object) -> None:
        self.process.terminate()
        self.process.wait(30)

    def get(self, path: str) -> object:
        response = requests.get(self.url + path, timeout=60)
        response.raise_for_status()
        return response.json()

    def file(self, instance: str) -> bytes:
        response = requests.get(f"{self.url}/instances/{instance}/file", timeout=60)
        response.raise_for_status()
        return response.content

    def post(self, path: str, body: object) -> object:
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        response = requests.post(self.url + path, data=data, timeout=120)
        response.raise_for_status()
        return response.json()
