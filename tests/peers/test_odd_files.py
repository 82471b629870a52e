"""Every file of pydicom and pydicom-data: stored bit-exactly, or refused with a reason, the node serving on."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import data_store
import pydicom.data
import pytest
from pynetdicom import build_context

from support import netdicom
from support.archive import Archive
from support.exams import new_exam
from support.instances import RawInstance, raw_of_file
from support.netdicom import query
from support.registry import STUDY_ONLY

ROOTS = [Path(pydicom.data.__file__).parent / "test_files", Path(pydicom.data.__file__).parent / "charset_files", Path(data_store.__file__).parent / "data"]
IGNORED = {".py", ".pyc"}

# So many of them are well-formed instances; fewer stored means that good files are refused.
STORED_AT_LEAST = 120
SURELY_GOOD = {"CT_small.dcm", "MR_small.dcm", "JPEG2000.dcm", "rtplan.dcm", "rtdose.dcm", "US1_UNCR.dcm"}


@dataclass(frozen=True)
class Outcome:
    status: int | None  # None: the context was refused or the association ended
    reason: str


def every_file() -> list[Path]:
    return sorted(
        path
        for root in ROOTS
        for path in root.rglob("*")
        if path.is_file() and path.suffix not in IGNORED
    )


def send(archive: Archive, raw: RawInstance) -> Outcome:
    """One association for each file, so that a broken one cannot spoil its neighbours."""
    with netdicom.associate(archive.dicom, [build_context(raw.sop_class, [raw.transfer_syntax])] + [build_context("1.2.840.10008.1.1")]) as association:
        try:
            answer = netdicom.send_raw(association, raw)
        except LookupError:
            return Outcome(None, "presentation context refused")
    if answer is None:
        return Outcome(None, "")  # an abort gives no reason
    return Outcome(answer.Status, str(answer.get("ErrorComment", "")))


@pytest.mark.timeout(900)
def test_every_file_is_kept_exactly_or_refused_with_a_reason(archive: Archive, sink_port: int) -> None:
    files = {path: raw_of_file(path) for path in every_file()}
    # Given an exam for every study among them, in a hospital that compares the study UID only
    for study in sorted({raw.study for raw in files.values() if raw.study}):
        archive.client().push(new_exam(hospital=STUDY_ONLY, study_uid=study))

    # When every file is sent
    outcomes = {path: send(archive, raw) for path, raw in files.items()}

    # Then whatever was not stored says why, and the node serves on
    assert netdicom.echo(archive.dicom) == 0x0000
    silent = [path.name for path, outcome in outcomes.items() if outcome.status != 0 and not outcome.reason]
    assert silent == []
    stored = [path for path, outcome in outcomes.items() if outcome.status == 0]
    refused = {path.name: outcome for path, outcome in outcomes.items() if outcome.status != 0}
    assert SURELY_GOOD - {path.name for path in stored} == set(), refused
    assert len(stored) >= STORED_AT_LEAST, refused

    # and what was stored comes back byte for byte (the first of those that share a UID)
    first: dict[str, RawInstance] = {}
    for path in stored:
        first.setdefault(files[path].sop_instance, files[path])
    with netdicom.Destination(sink_port) as sink:
        for study in sorted({files[path].study for path in stored}):
            answers = netdicom.move(archive.dicom, "SINK", query("STUDY", StudyInstanceUID=study))
            assert answers[-1][0].Status == 0x0000, (study, answers[-1])
    assert set(sink.received) == set(first)
    differing = [uid for uid, raw in first.items() if sink.received[uid].data != raw.data]
    assert differing == []
    assert {uid: raw.transfer_syntax for uid, raw in sink.received.items()} == {uid: raw.transfer_syntax for uid, raw in first.items()}
