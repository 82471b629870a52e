"""`yingku client worklist` against DCMTK's worklist server, and against the archive itself."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import ExplicitVRLittleEndian, generate_uid

from support import forms
from support.archive import Archive, binary, free_port
from support.listening import wait_until_listening
from support.registry import Registry

AET = "WLM"
# Number, name, modality, day.
ENTRIES = [
    ("A1", "Xiao^Ping=肖^萍", "CT", "20260704"),
    ("A2", "Wang^XiaoDong=王^小东", "MR", "20260705"),
]


def entry(accession: str, name: str, modality: str, day: str) -> Dataset:
    """One file of wlmscpfs, with all that it wants."""
    whole, step = Dataset(), Dataset()
    whole.SpecificCharacterSet = "ISO_IR 192"
    whole.AccessionNumber = accession
    whole.PatientName, whole.PatientID = name, f"P-{accession}"
    whole.PatientBirthDate, whole.PatientSex = "19800101", "F"
    whole.StudyInstanceUID = generate_uid()
    whole.RequestedProcedureDescription, whole.RequestedProcedureID = "胸部平扫", accession
    step.Modality, step.ScheduledStationAETitle = modality, "CT01"
    step.ScheduledProcedureStepStartDate, step.ScheduledProcedureStepStartTime = day, "103000"
    step.ScheduledPerformingPhysicianName = ""
    step.ScheduledProcedureStepDescription, step.ScheduledProcedureStepID = "胸部平扫", accession
    whole.ScheduledProcedureStepSequence = Sequence([step])
    whole.file_meta = FileMetaDataset()
    whole.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    whole.file_meta.MediaStorageSOPClassUID = "1.2.276.0.7230010.3.1.0.1"
    whole.file_meta.MediaStorageSOPInstanceUID = generate_uid()
    return whole


@pytest.fixture(scope="module")
def wlmscpfs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("worklists")
    (folder / AET).mkdir()
    (folder / AET / "lockfile").touch()
    for row in ENTRIES:
        entry(*row).save_as(folder / AET / f"{row[0]}.wl", enforce_file_format=True)
    port = free_port()
    process = subprocess.Popen(
        ["wlmscpfs", "--single-process", "-dfp", folder, str(port)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    wait_until_listening(port, process)
    yield f"{AET}@127.0.0.1:{port}"
    process.terminate()
    process.wait(30)


def worklist(node: str, *arguments: str | Path) -> list[dict]:
    done = subprocess.run(
        [binary(), "client", "worklist", "--dicom", node, "--calling", "CT01", "--json", *arguments],
        capture_output=True, text=True, timeout=60,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ((), ["A1", "A2"]),
        (("--modality", "MR"), ["A2"]),
        (("--date", "20260704"), ["A1"]),
        (("--date", "20260704-20260705"), ["A1", "A2"]),
        (("--patient-id", "P-A2"), ["A2"]),
        (("--accession", "A1"), ["A1"]),
        (("--name", "Wang*"), ["A2"]),
        (("--station", "CT02"), []),
    ],
    ids=lambda value: " ".join(value) or "all",
)
def test_dcmtk_s_worklist_is_asked_by_each_key(wlmscpfs: str, asked: tuple[str, ...], expected: list[str]) -> None:
    assert sorted(row["AccessionNumber"] for row in worklist(wlmscpfs, *asked)) == expected


def test_an_entry_has_its_patient_and_its_step(wlmscpfs: str) -> None:
    [row] = worklist(wlmscpfs, "--accession", "A1")
    assert row["PatientName"] == "Xiao^Ping=肖^萍"
    assert (row["Modality"], row["ScheduledProcedureStepStartDate"]) == ("CT", "20260704")
    assert row["RequestedProcedureDescription"] == "胸部平扫"
    shown = subprocess.run(
        [binary(), "client", "worklist", "--dicom", wlmscpfs], capture_output=True, text=True, timeout=60, check=True
    )
    assert "肖^萍" in shown.stdout and "2 项" in shown.stderr


def test_a_form_that_is_sent_is_in_the_archive_s_worklist(fresh_archive) -> None:
    archive: Archive = fresh_archive(registry=Registry(peers={"CT01": free_port()}))
    sent = archive.command(
        "client", "--url", archive.http, "--license", forms.LICENSE, "apply", "--sample", "--soap", "1.2", "--charset", "GBK"
    )
    assert "0 成功" in sent.stdout
    host, port = archive.dicom
    [row] = worklist(f"YINGKU@{host}:{port}", "--date", "20260704")
    assert row["AccessionNumber"] == "00000001"
    assert "肖" in row["PatientName"] and row["Modality"] == "CT"
    # and it is listed as a form that waits
    listed = archive.command("forms", "list", "350006", "--open-after", "--data", archive.data).stdout
    assert "00000001" in listed and "已收 (received)" in listed
    refused = archive.command("client", "--url", archive.http, "--license", "wrong", "apply", "--sample", check=False)
    assert refused.returncode == 1 and "-3 报文有误" in refused.stdout
