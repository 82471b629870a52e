"""Modality Worklist and MPPS as machines speak them: DCMTK's findscu -W, and pynetdicom."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pydicom
import pytest
import requests
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.uid import generate_uid
from pynetdicom import build_context
from pynetdicom.sop_class import ModalityPerformedProcedureStep, ModalityWorklistInformationFind

from support.archive import REPOSITORY, Archive, free_port
from support.dcmtk import AET, run
from support.netdicom import PENDING, associate
from support.registry import COUNTY, Registry

SAMPLE = (REPOSITORY / "tests/fixtures/contract/syn_apply_info.xml").read_text(encoding="utf-8")
LICENSE = "demo-his-license"
SERVICE = "/YlzSynInfoService/services/service"
DAY = "20260704"

# Forms of the county's: number, name, reading as its HIS gives it, class, appointment.
FORMS = [
    ("W1", "张小东", "", "CT", "2026-07-04 10:30:00"),
    ("W2", "单雄信", "", "放射", "2026-07-05 08:00:00"),
    ("W3", "买买提·艾力", "maimaiti aili", "磁共振", "2026-07-06 17:00:00"),
]


def document(number: str, name: str, reading: str, exam_class: str, scheduled: str, action: str = "INSERT") -> str:
    text = SAMPLE.replace(" 0A1B2C3D4E5F60718293A4B5C6D7E8F9", LICENSE)
    for old, new in [
        ("<Action>INSERT<", f"<Action>{action}<"),
        ("7173_00000001", f"7173_{number}"),
        ("7173_C0001", f"7173_P-{number}"),
        ("肖萍", name),
        ("xiaoping", reading or "-"),
        ("<ExamClass>CT<", f"<ExamClass>{exam_class}<"),
        ("<Device>320排CT<", "<Device><"),
        ("<ScheduledTime/>", f"<ScheduledTime>{scheduled}</ScheduledTime>"),
    ]:
        assert old in text, f"the contract's sample has no {old!r}"
        text = text.replace(old, new)
    return text


def send(archive: Archive, form: str) -> str:
    """Has the HIS send a form; the answer's code."""
    envelope = (
        '<soapenv:Envelope xmlns:soapenv="http://schemas.xmlsoap.org/soap/envelope/" xmlns:ser="http://service.synservice.ylz.com/">'
        f"<soapenv:Body><ser:SynApplyInfo><req><![CDATA[{form}]]></req></ser:SynApplyInfo></soapenv:Body></soapenv:Envelope>"
    )
    answer = requests.post(
        archive.http + SERVICE, data=envelope.encode(), headers={"Content-Type": "text/xml; charset=utf-8"}, timeout=30
    )
    found = re.search(r"code(?:>|&gt;)\s*(-?\d+)", answer.text, re.IGNORECASE)
    assert answer.ok and found, answer.text
    return found.group(1)


@pytest.fixture(scope="module")
def worklist(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Archive]:
    """An archive with three forms, and machines of several rights."""
    registry = Registry(
        his=[{"id": "demo-his", "license": LICENSE, "hospitals": ["*"]}],
        peers={"CT01": free_port(), "STORES": free_port(), "TOWNCT": free_port()},
        rights={
            "CT01": {"services": ["store", "worklist", "mpps"], "hospitals": [COUNTY]},
            "STORES": {"services": ["store"], "hospitals": [COUNTY]},
            "TOWNCT": {"hospitals": ["350007"]},
        },
    )
    archive = Archive(tmp_path_factory.mktemp("worklist"), registry).start()
    for form in FORMS:
        assert send(archive, document(*form)) == "0", form
    yield archive
    assert archive.stop() == 0


def question(charset: str | None = "ISO_IR 192", **keys: str) -> Dataset:
    """Keys of the scheduled step begin with `step_`."""
    asked, step = Dataset(), Dataset()
    if charset is not None:
        asked.SpecificCharacterSet = charset
    for keyword in ("AccessionNumber", "PatientName", "PatientID", "StudyInstanceUID", "RequestedProcedureDescription"):
        setattr(asked, keyword, "")
    for keyword in ("Modality", "ScheduledStationAETitle", "ScheduledProcedureStepStartDate", "ScheduledProcedureStepStartTime"):
        setattr(step, keyword, "")
    for keyword, value in keys.items():
        target = step if keyword.startswith("step_") else asked
        setattr(target, keyword.removeprefix("step_"), value)
    asked.ScheduledProcedureStepSequence = Sequence([step])
    return asked


def ask(archive: Archive, asked: Dataset, calling: str = "CT01") -> tuple[int, list[Dataset]]:
    entries, last = [], -1
    with associate(archive.dicom, [build_context(ModalityWorklistInformationFind)], calling) as association:
        for status, entry in association.send_c_find(asked, ModalityWorklistInformationFind):
            last = status.Status
            if last in PENDING:
                entries.append(entry)
    return last, entries


def numbers(archive: Archive, asked: Dataset, calling: str = "CT01") -> list[str]:
    status, entries = ask(archive, asked, calling)
    assert status == 0x0000, hex(status)
    return [str(entry.AccessionNumber) for entry in entries]


def findscu(archive: Archive, *keys: str) -> list[Dataset]:
    with tempfile.TemporaryDirectory() as folder:
        arguments: list[object] = ["-W", "-aet", "CT01", "-aec", AET, "-X", "-od", folder]
        for key in keys:
            arguments += ["-k", key]
        ran = run("findscu", *arguments, *archive.dicom)
        assert ran.code == 0, ran.output
        return [pydicom.dcmread(path, force=True) for path in sorted(Path(folder).glob("rsp*.dcm"))]


@pytest.mark.parametrize(
    ("keys", "found"),
    [
        ({}, ["W1", "W2", "W3"]),
        ({"step_ScheduledProcedureStepStartDate": DAY, "step_Modality": "CT"}, ["W1"]),
        ({"step_ScheduledProcedureStepStartDate": "20260705-20260706"}, ["W2", "W3"]),
        ({"step_ScheduledProcedureStepStartDate": "20260706-"}, ["W3"]),
        ({"step_Modality": "CR"}, ["W2"]),
        ({"step_ScheduledStationAETitle": "CT01", "step_Modality": "MR"}, ["W3"]),
        ({"PatientName": "ZHANG*"}, ["W1"]),
        ({"PatientName": "单*"}, ["W2"]),
        ({"PatientName": "SHAN^*"}, ["W2"]),
        ({"PatientName": "*AILI"}, ["W3"]),
        ({"PatientID": "P-W2"}, ["W2"]),
        ({"AccessionNumber": "W3"}, ["W3"]),
        ({"AccessionNumber": "W9"}, []),
    ],
)
def test_keys_narrow_what_is_found(worklist: Archive, keys: dict, found: list[str]) -> None:
    assert numbers(worklist, question(**keys)) == found


@pytest.mark.parametrize("charset", ["GB18030", "GBK", "ISO_IR 192"])
def test_names_come_in_the_set_that_was_asked_in(worklist: Archive, charset: str) -> None:
    _, [entry] = ask(worklist, question(charset, AccessionNumber="W1"))
    entry.decode()
    assert str(entry.PatientName) == "ZHANG^XIAODONG=张小东"
    assert str(entry.RequestedProcedureDescription) == "胸部CT平扫"


def test_names_come_with_the_escape_sequences_of_gb_2312(worklist: Archive) -> None:
    _, [entry] = ask(worklist, question(["", "ISO 2022 IR 58"], AccessionNumber="W1"))
    # PS3.5 annex K.2; pydicom leaves the sequences in the text that it decodes.
    assert entry.PatientName.original_string == b"ZHANG^XIAODONG=\x1b$)A" + "张小东".encode("gb2312")


@pytest.mark.parametrize("charset", [None, "", "ISO_IR 100"])
def test_a_machine_without_chinese_is_answered_in_letters(worklist: Archive, charset: str | None) -> None:
    _, entries = ask(worklist, question(charset))
    assert [str(entry.PatientName) for entry in entries] == ["ZHANG^XIAODONG", "SHAN^XIONGXIN", "MAIMAITI AILI"]
    assert {str(entry.RequestedProcedureDescription) for entry in entries} == {"XIONG BU CT PING SAO"}


def test_dcmtk_reads_the_worklist(worklist: Archive) -> None:
    keys = [
        "SpecificCharacterSet=GB18030", "PatientName", "PatientID", "StudyInstanceUID", "AccessionNumber",
        "ScheduledProcedureStepSequence[0].Modality=CT",
        f"ScheduledProcedureStepSequence[0].ScheduledProcedureStepStartDate={DAY}",
        "ScheduledProcedureStepSequence[0].ScheduledProcedureStepStartTime",
        "ScheduledProcedureStepSequence[0].ScheduledStationAETitle",
    ]
    [entry] = findscu(worklist, *keys)
    entry.decode()
    assert (str(entry.PatientName), entry.PatientID) == ("ZHANG^XIAODONG=张小东", "P-W1")
    [step] = entry.ScheduledProcedureStepSequence
    assert (step.Modality, step.ScheduledStationAETitle) == ("CT", "CT01")
    assert (step.ScheduledProcedureStepStartDate, step.ScheduledProcedureStepStartTime) == (DAY, "103000")
    # Of an empty sequence all of the step comes
    [entry] = findscu(worklist, "AccessionNumber=W1", "ScheduledProcedureStepSequence")
    [step] = entry.ScheduledProcedureStepSequence
    assert step.ScheduledProcedureStepID == "W1" and step.Modality == "CT"


def test_only_who_may_ask_does_and_sees_its_own_hospitals(worklist: Archive) -> None:
    status, entries = ask(worklist, question(), "STORES")
    assert (status, entries) == (0x0124, [])
    assert numbers(worklist, question(), "TOWNCT") == []


def test_a_form_that_is_deleted_is_gone(worklist: Archive) -> None:
    form = ("W4", "王芳", "", "CT", "2026-07-08 09:00:00")
    assert send(worklist, document(*form)) == "0"
    asked = question(step_ScheduledProcedureStepStartDate="20260708")
    _, [first] = ask(worklist, asked)
    # An update changes what is shown, and not the study UID
    moved = (*form[:4], "2026-07-08 15:00:00")
    assert send(worklist, document(*moved, action="UPDATE")) == "0"
    _, [second] = ask(worklist, asked)
    assert second.StudyInstanceUID == first.StudyInstanceUID
    assert second.ScheduledProcedureStepSequence[0].ScheduledProcedureStepStartTime == "150000"
    assert send(worklist, document(*form, action="DELETE")) == "0"
    assert numbers(worklist, asked) == []


def _begun(entry: Dataset) -> Dataset:
    scheduled = Dataset()
    for keyword in ("StudyInstanceUID", "AccessionNumber"):
        setattr(scheduled, keyword, getattr(entry, keyword))
    scheduled.ReferencedStudySequence = Sequence([])
    report = Dataset()
    report.ScheduledStepAttributesSequence = Sequence([scheduled])
    report.PatientID, report.PatientName = entry.PatientID, "ZHAO^YUN"
    report.PerformedStationAETitle, report.Modality = "CT01", "CT"
    report.PerformedProcedureStepID = "1"
    report.PerformedProcedureStepStartDate, report.PerformedProcedureStepStartTime = "20260709", "091500"
    report.PerformedProcedureStepStatus = "IN PROGRESS"
    report.PerformedSeriesSequence = Sequence([])
    return report


def _changed(status: str) -> Dataset:
    report = Dataset()
    report.PerformedProcedureStepStatus = status
    report.PerformedProcedureStepEndDate, report.PerformedProcedureStepEndTime = "20260709", "093000"
    return report


def test_a_machine_that_does_a_form_takes_it_off_the_list(worklist: Archive) -> None:
    form = ("W5", "赵云", "", "CT", "2026-07-09 09:00:00")
    assert send(worklist, document(*form)) == "0"
    asked = question(step_ScheduledProcedureStepStartDate="20260709")
    _, [entry] = ask(worklist, asked)
    sop_class = ModalityPerformedProcedureStep
    with associate(worklist.dicom, [build_context(sop_class)], "CT01") as association:
        def create(uid: str) -> int:
            return association.send_n_create(_begun(entry), sop_class, uid)[0].Status

        def change(uid: str, status: str) -> int:
            return association.send_n_set(_changed(status), sop_class, uid)[0].Status

        first, second = generate_uid(), generate_uid()
        assert change(first, "COMPLETED") == 0x0112
        assert create(first) == 0x0000
        assert numbers(worklist, asked) == []
        assert send(worklist, document(*form, action="DELETE")) == "-88"
        assert create(first) == 0x0111
        # Broken off: it is to be done again
        assert change(first, "DISCONTINUED") == 0x0000
        assert numbers(worklist, asked) == ["W5"]
        assert change(first, "COMPLETED") == 0x0110
        # Done
        assert create(second) == 0x0000
        assert change(second, "COMPLETED") == 0x0000
    assert numbers(worklist, asked) == []
    assert send(worklist, document(*form, action="DELETE")) == "-88"
