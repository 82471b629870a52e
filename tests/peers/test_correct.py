"""Corrections: after one, every way to an examination's images leads to whom they belong to."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from pynetdicom.sop_class import PatientRootQueryRetrieveInformationModelFind, PatientRootQueryRetrieveInformationModelMove

from support import netdicom
from support.archive import Archive
from support.exams import accession_of, new_exam, patient_id_of, study_of
from support.instances import ct_slices, raw_of
from support.netdicom import Destination, find, move, query
from support.registry import COUNTY, TOWN

DAY = "2013-05-06"


def exam_no(exam: dict) -> str:
    return exam["examNo"]


def correct(archive: Archive, *arguments: str, check: bool = True) -> str:
    """Makes a correction; its position."""
    done = archive.command(
        "correct", *arguments, "--reason", "示例", "--author", "王医生", "--data", archive.data, check=check
    )
    return done.stdout.split("position)")[1].split(";")[0].strip() if done.returncode == 0 else done.stderr


@dataclass(frozen=True)
class Mixed:
    """Images that were taken under the first patient's name, and the exam of the patient whose they are."""

    wrong: dict
    right: dict
    hospital: str

    @property
    def study(self) -> str:
        return study_of(self.wrong)

    def moved(self, archive: Archive) -> str:
        return correct(archive, "move-study", f"{COUNTY}/{self.study}", f"{self.hospital}/{exam_no(self.right)}")


@pytest.fixture(params=[COUNTY, TOWN], ids=["same hospital", "another hospital"])
def mixed(request: pytest.FixtureRequest, archive: Archive) -> Mixed:
    wrong = archive.client().pushed(new_exam(images=2, day=DAY, name="肖萍", sex="女", birthDate="1980-01-01"))
    right = archive.client().pushed(
        new_exam(hospital=request.param, images=2, day=DAY, name="王小东", sex="男", birthDate="1971-02-03")
    )
    netdicom.stored(archive.dicom, [raw_of(one) for one in ct_slices(wrong, 2, name="Xiao^Ping=肖^萍")])
    return Mixed(wrong, right, request.param)


def studies(archive: Archive, **keys: str) -> list[str]:
    keys.setdefault("StudyInstanceUID", "")
    return [str(match.StudyInstanceUID) for match in find(archive.dicom, query("STUDY", **keys))]


def test_a_moved_study_is_answered_and_found_as_its_new_patients(archive: Archive, mixed: Mixed) -> None:
    position = mixed.moved(archive)

    # The answer names the patient whose the images are, in nothing the one in their headers
    asked = {
        "PatientID": "", "PatientName": "", "PatientSex": "", "PatientBirthDate": "", "PatientAge": "",
        "IssuerOfPatientID": "", "AccessionNumber": "", "StudyID": "", "ReferringPhysicianName": "", "StudyDate": "",
    }
    [match] = find(archive.dicom, query("STUDY", StudyInstanceUID=mixed.study, **asked))
    assert match.PatientID == patient_id_of(mixed.right)
    assert str(match.PatientName) == "王小东"
    assert (match.PatientSex, match.PatientBirthDate) == ("M", "19710203")
    assert match.IssuerOfPatientID == mixed.hospital
    assert match.AccessionNumber == accession_of(mixed.right)
    assert not match.PatientAge and not match.StudyID and not match.ReferringPhysicianName
    # When it was made is not what was corrected
    assert match.StudyDate == DAY.replace("-", "")

    # What is found agrees with what is answered
    for exam, found in ((mixed.right, [mixed.study]), (mixed.wrong, [])):
        name = exam["patientInfo"]["name"]
        assert studies(archive, PatientID=patient_id_of(exam)) == found
        assert studies(archive, AccessionNumber=accession_of(exam)) == found
        assert studies(archive, PatientName=name, StudyInstanceUID=mixed.study) == found
        # Others have this name too
        for key in (name, f"{name[:2]}*"):
            assert (mixed.study in studies(archive, PatientName=key)) == bool(found)
        patients = find(
            archive.dicom, query("PATIENT", PatientID=patient_id_of(exam), PatientName=""),
            PatientRootQueryRetrieveInformationModelFind,
        )
        assert [str(patient.PatientName) for patient in patients] == [name for _ in found]

    # Undone, it is as it was
    correct(archive, "undo", position)
    assert studies(archive, PatientID=patient_id_of(mixed.wrong)) == [mixed.study]
    assert studies(archive, PatientID=patient_id_of(mixed.right)) == []
    [match] = find(archive.dicom, query("STUDY", StudyInstanceUID=mixed.study, PatientName=""))
    assert "肖^萍" in str(match.PatientName)


def test_a_moved_study_goes_out_under_its_new_patients_number_only(
    archive: Archive, mixed: Mixed, sink_port: int
) -> None:
    mixed.moved(archive)
    with Destination(sink_port) as sink:
        for exam, expected in ((mixed.wrong, 0), (mixed.right, 2)):
            before = len(sink.received)
            move(
                archive.dicom, "SINK", query("PATIENT", PatientID=patient_id_of(exam)),
                PatientRootQueryRetrieveInformationModelMove,
            )
            assert len(sink.received) - before == expected


def test_a_moved_study_counts_for_the_exam_it_was_moved_to(archive: Archive, mixed: Mixed) -> None:
    def read(name: str, **keys: str) -> list | dict:
        answer = archive.client("demo-reader").post(f"exam/{name}", keys)
        return answer.result or []

    def state(exam: dict) -> tuple[str, list[str]]:
        detail = read("detail", hospitalCode=exam["hospitalCode"], examNo=exam_no(exam))
        return detail["imageState"], [series["studyUID"] for series in detail["series"]]

    def exams_of_study() -> list[list[str]]:
        return [[row["examNo"] for row in read(name, studyUID=mixed.study)] for name in ("detail", "query")]

    assert (state(mixed.wrong), state(mixed.right)) == (("complete", [mixed.study]), ("missing", []))

    position = mixed.moved(archive)
    assert (state(mixed.wrong), state(mixed.right)) == (("missing", []), ("complete", [mixed.study]))
    assert exams_of_study() == [[exam_no(mixed.right)]] * 2

    correct(archive, "undo", position)
    assert (state(mixed.wrong), state(mixed.right)) == (("complete", [mixed.study]), ("missing", []))
    assert exams_of_study() == [[exam_no(mixed.wrong)]] * 2


def test_a_contested_study_is_answered_as_the_patient_it_was_ruled_to_be(archive: Archive) -> None:
    first = archive.client().pushed(new_exam(images=1, day=DAY, name="肖萍"))
    second = archive.client().pushed(new_exam(hospital=TOWN, images=1, day=DAY, name="王小东", study_uid=study_of(first)))
    netdicom.stored(archive.dicom, [raw_of(one) for one in ct_slices(first, 1)])

    correct(archive, "rule-conflict", study_of(first), f"{TOWN}/{exam_no(second)}")

    [match] = find(archive.dicom, query("STUDY", StudyInstanceUID=study_of(first), PatientID="", PatientName=""))
    assert (match.PatientID, str(match.PatientName)) == (patient_id_of(second), "王小东")
    assert studies(archive, PatientID=patient_id_of(first)) == []


def test_an_undoing_out_of_turn_names_what_to_undo_first(archive: Archive, mixed: Mixed) -> None:
    moved = mixed.moved(archive)
    released = correct(archive, "release-uid", mixed.study, f"{mixed.hospital}/{exam_no(mixed.right)}")
    assert f"correct undo {released}" in correct(archive, "undo", moved, check=False)
    correct(archive, "undo", released)
    correct(archive, "undo", moved)
    assert studies(archive, PatientID=patient_id_of(mixed.wrong)) == [mixed.study]


def test_a_patient_that_was_wrong_is_replaced_with_its_images_and_never_mixed(archive: Archive, sink_port: int) -> None:
    wrong = archive.client().pushed(new_exam(images=2, day=DAY, name="肖萍", sickId="S-wrong"))
    right = new_exam(images=2, study_uid=study_of(wrong), day=DAY, name="王小东", sickId="S-right")
    of_wrong = [raw_of(one) for one in ct_slices(wrong, 2)]
    netdicom.stored(archive.dicom, of_wrong)
    correction = correct(archive, "withdraw", f"{COUNTY}/{exam_no(wrong)}")
    archive.client().pushed(right)
    assert studies(archive, StudyInstanceUID=study_of(wrong)) == []

    # The same scan comes again with the right patient: the same SOP Instance UIDs, other bytes.
    slices = ct_slices(right, 2)
    for one, old in zip(slices, of_wrong, strict=True):
        one.SOPInstanceUID = one.file_meta.MediaStorageSOPInstanceUID = old.sop_instance
    again = [raw_of(one) for one in slices]
    netdicom.stored(archive.dicom, again)
    assert received(archive, right, sink_port) == {raw.sop_instance: raw.data for raw in again}
    assert patient_ids(archive, right) == [patient_id_of(right)]

    # And when it was right after all, the first patient's images are back, alone.
    correct(archive, "withdraw", f"{COUNTY}/{exam_no(right)}")
    correct(archive, "undo", correction)
    assert received(archive, wrong, sink_port) == {raw.sop_instance: raw.data for raw in of_wrong}
    assert patient_ids(archive, wrong) == [patient_id_of(wrong)]


def received(archive: Archive, exam: dict, sink_port: int) -> dict[str, bytes]:
    with Destination(sink_port) as destination:
        last, _ = move(archive.dicom, "SINK", query("STUDY", StudyInstanceUID=study_of(exam)))[-1]
        assert last.Status == 0x0000, last
        return {uid: raw.data for uid, raw in destination.received.items()}


def patient_ids(archive: Archive, exam: dict) -> list[str]:
    asked = query("STUDY", StudyInstanceUID=study_of(exam), PatientID="")
    return [str(match.PatientID) for match in find(archive.dicom, asked)]


def test_after_a_ruling_no_third_patients_images_are_taken_and_an_undoing_gives_each_his_own(archive: Archive, sink_port: int) -> None:
    first = archive.client().pushed(new_exam(images=1, day=DAY, name="肖萍", sickId="S-first"))
    second = archive.client().pushed(new_exam(images=1, day=DAY, name="王小东", sickId="S-second", study_uid=study_of(first)))
    third = new_exam(images=1, day=DAY, name="李四", sickId="S-third", study_uid=study_of(first))
    of_first, of_second, of_third = ([raw_of(one) for one in ct_slices(exam, 1)] for exam in (first, second, third))
    netdicom.stored(archive.dicom, of_first)
    assert statuses(archive, of_second) == [0xA900]

    ruling = correct(archive, "rule-conflict", study_of(first), f"{COUNTY}/{exam_no(second)}")
    netdicom.stored(archive.dicom, of_second)
    assert statuses(archive, of_third) == [0xA900]
    assert len(received(archive, second, sink_port)) == 2

    correct(archive, "undo", ruling)
    assert received(archive, first, sink_port) == {raw.sop_instance: raw.data for raw in of_first}
    correct(archive, "withdraw", f"{COUNTY}/{exam_no(first)}")
    assert received(archive, second, sink_port) == {raw.sop_instance: raw.data for raw in of_second}
    assert patient_ids(archive, second) == [patient_id_of(second)]


def statuses(archive: Archive, instances: list) -> list[int]:
    return [int(answer.Status) for answer in netdicom.store(archive.dicom, instances)]
