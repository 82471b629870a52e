"""C-FIND by pynetdicom: every way of matching of PS3.4 C.2.2.2."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from pydicom.dataset import Dataset
from pydicom.uid import generate_uid
from pynetdicom import build_context
from pynetdicom.sop_class import (
    PatientRootQueryRetrieveInformationModelFind,
    StudyRootQueryRetrieveInformationModelFind,
)

from support import netdicom
from support.archive import Archive
from support.dimse import C_FIND, STUDY_FIND, RawAssociation, _element, identifier
from support.exams import accession_of, new_exam, patient_id_of, study_of
from support.instances import ct_slices, raw_of
from support.netdicom import find, query

# A day that only this module uses, so that ranges and universal matching find its exams only.
DAY, NEXT_DAY = "2019-03-09", "2019-03-10"


@dataclass(frozen=True)
class Two:
    """Two exams of two days: the first with a CT and a PR-free second modality, the second plain."""

    first: dict
    second: dict

    @property
    def studies(self) -> set[str]:
        return {study_of(self.first), study_of(self.second)}


@pytest.fixture(scope="module")
def two(archive: Archive) -> Two:
    first, second = new_exam(images=3, day=DAY), new_exam(images=1, day=NEXT_DAY)
    for exam in (first, second):
        archive.client().pushed(exam)
    slices = ct_slices(first, 2, name="Wang^XiaoDong=王^小东=ワン^シャオドン")
    [other] = ct_slices(first, 1, series_number=2, name="Wang^XiaoDong=王^小东=ワン^シャオドン")
    other.Modality = "MR"
    slices += [other, *ct_slices(second, 1, name="Li^Na=李^娜")]
    netdicom.stored(archive.dicom, [raw_of(one) for one in slices])
    return Two(first, second)


def studies(archive: Archive, **keys: object) -> set[str]:
    keys.setdefault("StudyInstanceUID", "")
    return {str(match.StudyInstanceUID) for match in find(archive.dicom, query("STUDY", **keys))}


def test_single_value(archive: Archive, two: Two) -> None:
    assert studies(archive, AccessionNumber=accession_of(two.first)) == {study_of(two.first)}


def test_list_of_uids(archive: Archive, two: Two) -> None:
    asked = [study_of(two.first), study_of(two.second), str(generate_uid())]
    assert studies(archive, StudyInstanceUID=asked) == two.studies


def test_universal_matching_within_a_range_of_days(archive: Archive, two: Two) -> None:
    assert studies(archive, StudyDate="20190309-20190310", PatientID="") == two.studies


@pytest.mark.parametrize(
    ("range_", "which"),
    [("20190309", "first"), ("-20190309", "first"), ("20190309-20190309", "first"), ("20190310-20190311", "second")],
)
def test_date_ranges(archive: Archive, two: Two, range_: str, which: str) -> None:
    exam = getattr(two, which)
    assert studies(archive, StudyDate=range_, PatientID=patient_id_of(exam)) == {study_of(exam)}


def test_a_study_of_two_forms_is_found_by_the_numbers_of_each(archive: Archive) -> None:
    # Given one scan for two forms of a patient; its images carry the numbers of the first
    first = new_exam(images=2)
    second = new_exam(images=2, study_uid=study_of(first), sickId=first["patientInfo"]["sickId"])
    for exam in (first, second):
        archive.client().pushed(exam)
    netdicom.stored(archive.dicom, [raw_of(one) for one in ct_slices(first, 2)])
    # When it is looked for by the numbers of either, then it is found once, under those numbers
    for exam in (first, second):
        numbers = {"PatientID": patient_id_of(exam), "AccessionNumber": accession_of(exam)}
        for keys in ({"PatientID": numbers["PatientID"]}, {"AccessionNumber": numbers["AccessionNumber"]}, numbers):
            asked = {"PatientID": "", "AccessionNumber": "", **keys}
            [match] = find(archive.dicom, query("STUDY", StudyInstanceUID="", NumberOfPatientRelatedStudies="", **asked))
            assert match.StudyInstanceUID == study_of(first)
            assert (match.PatientID, match.AccessionNumber) == tuple(numbers.values())
            assert match.NumberOfPatientRelatedStudies == 1
    # and under no mixture of them
    mixed = {"PatientID": patient_id_of(first), "AccessionNumber": accession_of(second)}
    assert studies(archive, **mixed) == set()


def test_a_range_that_ends_before_finds_nothing(archive: Archive, two: Two) -> None:
    assert studies(archive, StudyDate="-20190308", PatientID=patient_id_of(two.first)) == set()


@pytest.mark.parametrize("shape", ["{}*", "*{}", "{}?"])
def test_wildcards(archive: Archive, two: Two, shape: str) -> None:
    number = patient_id_of(two.first)
    cut = {"{}*": number[:-1], "*{}": number[1:], "{}?": number[:-1]}[shape]
    assert study_of(two.first) in studies(archive, PatientID=shape.format(cut), StudyDate="20190309")


def test_a_wildcard_needs_its_other_characters(archive: Archive, two: Two) -> None:
    assert studies(archive, PatientID=f"{patient_id_of(two.first)}?", StudyDate="20190309") == set()


@pytest.mark.parametrize(
    "name",
    [
        "Wang^XiaoDong",
        "wang^xiaodong",
        "WANG*",
        "王^小东",
        "王*",
        "ワン^シャオドン",
        "=王^小东",
        "==ワン*",
        "Wang^XiaoDong=王^小东",
    ],
)
def test_a_name_is_found_by_any_of_its_groups_in_any_case(archive: Archive, two: Two, name: str) -> None:
    assert studies(archive, PatientName=name, StudyDate="20190309-20190310") == {study_of(two.first)}


def test_another_name_is_not_found(archive: Archive, two: Two) -> None:
    assert studies(archive, PatientName="王^小西", StudyDate="20190309-20190310") == set()


def test_counts_and_modalities_of_a_study(archive: Archive, two: Two) -> None:
    [match] = find(
        archive.dicom,
        query(
            "STUDY",
            StudyInstanceUID=study_of(two.first),
            ModalitiesInStudy="",
            NumberOfStudyRelatedSeries="",
            NumberOfStudyRelatedInstances="",
            PatientName="",
        ),
    )
    assert sorted(match.ModalitiesInStudy) == ["CT", "MR"]
    assert match.NumberOfStudyRelatedSeries == 2
    assert match.NumberOfStudyRelatedInstances == 3
    assert match.PatientName.ideographic == "王^小东"
    assert match.QueryRetrieveLevel == "STUDY"
    assert match.RetrieveAETitle == "YINGKU"


def test_modalities_in_study_as_a_key(archive: Archive, two: Two) -> None:
    assert studies(archive, ModalitiesInStudy="MR", StudyDate="20190309-20190310") == {study_of(two.first)}
    assert studies(archive, ModalitiesInStudy="CT", StudyDate="20190309-20190310") == two.studies


def test_series_and_image_level(archive: Archive, two: Two) -> None:
    study = study_of(two.first)
    series = find(
        archive.dicom,
        query("SERIES", StudyInstanceUID=study, SeriesInstanceUID="", Modality="CT", NumberOfSeriesRelatedInstances=""),
    )
    assert [one.NumberOfSeriesRelatedInstances for one in series] == [2]
    images = find(
        archive.dicom,
        query("IMAGE", StudyInstanceUID=study, SeriesInstanceUID=series[0].SeriesInstanceUID, SOPInstanceUID="", InstanceNumber="", SOPClassUID=""),
    )
    assert sorted(int(image.InstanceNumber) for image in images) == [1, 2]
    assert len({image.SOPInstanceUID for image in images}) == 2


def test_patient_root(archive: Archive, two: Two) -> None:
    model = PatientRootQueryRetrieveInformationModelFind
    number = patient_id_of(two.first)
    [patient] = find(archive.dicom, query("PATIENT", PatientID=number, PatientName="", NumberOfPatientRelatedStudies=""), model)
    assert patient.NumberOfPatientRelatedStudies == 1
    [study] = find(archive.dicom, query("STUDY", PatientID=number, StudyInstanceUID=""), model)
    assert study.StudyInstanceUID == study_of(two.first)


def test_a_patients_studies_are_counted_whatever_else_is_asked(archive: Archive) -> None:
    # Given two studies of one patient, who is spelled differently in them
    first, second = new_exam(images=1, day="2019-03-20"), new_exam(images=1, day="2019-03-21")
    second["imageList"][0]["patientID"] = second["examInfo"]["patientID"] = number = patient_id_of(first)
    second["patientInfo"]["sickId"] = first["patientInfo"]["sickId"]
    for exam, images, name in ((first, 2, "Qiqi^A"), (second, 3, "Qiqi^B")):
        archive.client().pushed(exam)
        netdicom.stored(archive.dicom, [raw_of(one) for one in ct_slices(exam, images, name=name)])

    counts = {f"NumberOfPatientRelated{what}": "" for what in ("Studies", "Series", "Instances")}
    model = PatientRootQueryRetrieveInformationModelFind

    def counted(match: Dataset) -> tuple[int, int, int]:
        return match.NumberOfPatientRelatedStudies, match.NumberOfPatientRelatedSeries, match.NumberOfPatientRelatedInstances

    # When keys are given that only one of them meets, then both are counted, at level PATIENT
    for keys in ({}, {"PatientName": "Qiqi^A"}, {"PatientName": "Qiqi^B"}):
        [match] = find(archive.dicom, query("PATIENT", PatientID=number, **keys, **counts), model)
        assert counted(match) == (2, 2, 5)
    # and at level STUDY
    found = answers(archive, query("STUDY", PatientID=number, StudyDate="20190320", **counts))
    assert [status for status, _ in found] == [0xFF00, 0x0000]
    assert counted(found[0][1]) == (2, 2, 5)


def test_a_query_with_thousands_of_keys_is_refused(archive: Archive, two: Two) -> None:
    keys = b"".join(_element(0x0009, element, b"") for element in range(0x1000, 0x3000))
    keys = identifier("STUDY") + keys + _element(0x0020, 0x000D, b"")
    with RawAssociation(archive.dicom, [STUDY_FIND]) as association:
        association.request(C_FIND, STUDY_FIND, keys)
        assert association.status() == 0xA900


def answers(archive: Archive, identifier: Dataset, model: str = StudyRootQueryRetrieveInformationModelFind) -> list[tuple[int, Dataset | None]]:
    """Status and match of every answer, the last too."""
    with netdicom.associate(archive.dicom, [build_context(model)]) as association:
        return [(status.Status, match) for status, match in association.send_c_find(identifier, model)]


def test_a_uid_that_is_listed_twice_matches_once(archive: Archive, two: Two) -> None:
    study = study_of(two.first)
    assert len(find(archive.dicom, query("STUDY", StudyInstanceUID=[study, study]))) == 1


def test_a_list_of_numbers(archive: Archive, two: Two) -> None:
    assert studies(archive, AccessionNumber=[accession_of(two.first), "ZZZ"]) == {study_of(two.first)}
    assert studies(archive, PatientID=[patient_id_of(two.first), "ZZZ"]) == {study_of(two.first)}


def test_an_asterisk_alone_asks_for_everything(archive: Archive, two: Two) -> None:
    assert studies(archive, PatientName="*", ReferringPhysicianName="*", StudyDate="20190309-20190310") == two.studies


def test_keys_that_are_not_supported_are_flagged(archive: Archive, two: Two) -> None:
    # A sequence key at series level
    item = Dataset()
    item.ScheduledProcedureStepID = "NONE"
    asked = query("SERIES", StudyInstanceUID=study_of(two.first), SeriesInstanceUID="", RequestAttributesSequence=[item])
    *pending, (last, _) = answers(archive, asked)
    assert [status for status, _ in pending] == [0xFF01] * 2
    assert all(len(match.RequestAttributesSequence) == 0 for _, match in pending)
    assert last == 0x0000
    # A key of another level at patient level
    model = PatientRootQueryRetrieveInformationModelFind
    number = patient_id_of(two.first)
    [(status, _), _] = answers(archive, query("PATIENT", PatientID=number, StudyDescription=""), model)
    assert status == 0xFF01
    [(status, _), _] = answers(archive, query("PATIENT", PatientID=number, PatientName=""), model)
    assert status == 0xFF00


def test_a_key_longer_than_its_vr_allows_is_refused(archive: Archive) -> None:
    asked = query("STUDY", StudyInstanceUID="", StudyDescription="*a" * 40)
    assert [status for status, _ in answers(archive, asked)] == [0xA900]


def test_what_a_scanned_form_lacks_is_found_by_the_slices(archive: Archive) -> None:
    # Given a scanned form that comes first, and says nothing of day and patient's name
    exam = archive.client().pushed(new_exam(images=2, day=DAY))
    [form] = ct_slices(exam, 1, series_number=0)
    form.StudyDate = form.PatientName = ""
    netdicom.stored(archive.dicom, [raw_of(form)])
    netdicom.stored(archive.dicom, [raw_of(one) for one in ct_slices(exam, 1, name="Qiu^Hong=邱^虹")])
    # When the study is asked for by them, then it is found
    study = {study_of(exam)}
    assert studies(archive, AccessionNumber=accession_of(exam), StudyDate="20190309") == study
    assert studies(archive, PatientName="邱^虹") == study


def test_unknown_keys_come_back_empty(archive: Archive, two: Two) -> None:
    [match] = find(archive.dicom, query("STUDY", StudyInstanceUID=study_of(two.first), StudyComments="", Occupation=""))
    assert not match.get("Occupation")


def test_a_missing_unique_key_above_the_level_is_refused(archive: Archive, two: Two) -> None:
    model = StudyRootQueryRetrieveInformationModelFind
    with netdicom.associate(archive.dicom, [build_context(model)]) as association:
        answers = [status.Status for status, _ in association.send_c_find(query("IMAGE", SOPInstanceUID=""), model)]
    assert answers[-1] in (0xA900, 0xC000) or answers[-1] >> 12 == 0xC, [hex(answer) for answer in answers]


def test_cancel_ends_a_long_find(archive: Archive) -> None:
    # Given more matches than fit into what is on the way
    exams = [new_exam(images=1, day="2018-01-02") for _ in range(150)]
    client = archive.client()
    images = []
    for exam in exams:
        client.pushed(exam)
        images += [raw_of(one) for one in ct_slices(exam, 1)]
    netdicom.stored(archive.dicom, images)

    # When the client cancels after the first answer
    model = StudyRootQueryRetrieveInformationModelFind
    with netdicom.associate(archive.dicom, [build_context(model)]) as association:
        seen = []
        for status, _ in association.send_c_find(query("STUDY", StudyDate="20180102", StudyInstanceUID=""), model, msg_id=7):
            seen.append(status.Status)
            if len(seen) == 1:
                association.send_c_cancel(7, None, model)

        # Then the operation ends (cancelled, or finished if all were already sent) and the association serves on
        assert seen[-1] in (0xFE00, 0x0000), [hex(status) for status in seen[-3:]]
        again = list(association.send_c_find(query("STUDY", StudyInstanceUID=study_of(exams[0])), model))
        assert [status.Status for status, _ in again][-1] == 0x0000
