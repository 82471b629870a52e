"""A hospital on `hold`: images may come before their push, unseen until it comes (R8)."""

from __future__ import annotations

from support import netdicom
from support.archive import Archive
from support.exams import new_exam, study_of
from support.instances import ct_slices, raw_of
from support.netdicom import find, query
from support.registry import COUNTY, HOLD, HOLDING, TOWN, Registry


def all_on_hold() -> Registry:
    """Every hospital is on hold, since an unknown study names none."""
    registry = Registry()
    registry.hospitals = [HOLDING]
    for app in registry.apps:
        app["org"] = HOLD
        app["hospitals"] = [HOLD]
    return registry


def test_held_images_are_adopted_by_the_push(fresh_archive) -> None:
    archive = fresh_archive(registry=all_on_hold())
    exam = new_exam(hospital=HOLD, images=2)
    raws = [raw_of(one) for one in ct_slices(exam, 2)]

    # When the images come first
    netdicom.stored(archive.dicom, raws)

    # Then they are not shown
    shown = query("STUDY", StudyInstanceUID=study_of(exam), NumberOfStudyRelatedInstances="")
    assert find(archive.dicom, shown) == []

    # until the push comes
    archive.client().pushed(exam)
    [match] = find(archive.dicom, shown)
    assert match.NumberOfStudyRelatedInstances == 2


def test_a_held_image_that_comes_again_is_not_stored_again(fresh_archive) -> None:
    archive = fresh_archive(registry=all_on_hold())
    raws = [raw_of(one) for one in ct_slices(new_exam(hospital=HOLD, images=2), 2)]
    for _ in range(3):
        netdicom.stored(archive.dicom, raws)
    checked = archive.command("verify", "--config", archive.home / "yingku.toml", "--data", archive.data)
    assert " 2 份影像" in checked.stdout, checked.stdout


def test_a_study_claimed_twice_stays_with_the_first(archive: Archive) -> None:
    first = archive.client().pushed(new_exam(images=1))
    netdicom.stored(archive.dicom, [raw_of(one) for one in ct_slices(first, 1)])

    # Another hospital claims the same study UID: taken, and said so (R7).
    second = new_exam(hospital=TOWN, images=1, study_uid=study_of(first))
    answer = archive.client().push(second)
    assert answer.status == 0, answer
    assert "检查UID已被其他医院或患者登记" in answer.message, answer

    matches = find(archive.dicom, query("STUDY", StudyInstanceUID=study_of(first), PatientID="", IssuerOfPatientID=""))
    assert [match.IssuerOfPatientID for match in matches] == [COUNTY]


def test_two_exams_of_one_patient_share_a_study(archive: Archive) -> None:
    first = new_exam(images=2, day="2014-01-02")
    second = new_exam(images=2, day="2014-01-02", study_uid=study_of(first))
    second["patientInfo"] = first["patientInfo"]
    second["examInfo"]["patientID"] = first["examInfo"]["patientID"]
    second["imageList"] = first["imageList"]
    for exam in (first, second):
        archive.client().pushed(exam)
    netdicom.stored(archive.dicom, [raw_of(one) for one in ct_slices(first, 2)])

    [row] = archive.client("demo-reader").reconcile("2014-01-02", hospitalCode=COUNTY)
    assert row["images"]["complete"] == 2, row
