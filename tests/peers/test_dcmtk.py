"""The main road with DCMTK's tools: push, store, find, move, get, declare, reconcile."""

from __future__ import annotations

from pathlib import Path

import pydicom
import pytest
from pydicom.data import get_testdata_file
from pydicom.uid import JPEGLosslessSV1, generate_uid

from support import dcmtk, netdicom
from support.archive import Archive
from support.exams import accession_of, new_exam, patient_id_of, study_of
from support.instances import ct_slices, raw_of, save_all
from support.registry import TOWN


def test_echo(archive: Archive) -> None:
    assert dcmtk.echoscu(archive.dicom).code == 0


@pytest.mark.parametrize("tool", ["storescu", "dcmsend"])
def test_one_exam_goes_all_the_way(archive: Archive, sink_port: int, tmp_path: Path, tool: str) -> None:
    # Given a pushed exam
    exam = archive.client().pushed(new_exam(images=3))
    slices = ct_slices(exam, 3)
    files = save_all(slices, tmp_path / "sent")

    # When its images are stored
    if tool == "storescu":
        ran = dcmtk.storescu(archive.dicom, *files)
        assert dcmtk.store_statuses(ran) == ["Success"] * 3, ran.output
    else:
        ran = dcmtk.dcmsend(archive.dicom, tmp_path / "sent")
    assert ran.code == 0, ran.output

    # Then the study is found at once, at every level
    study = f"StudyInstanceUID={study_of(exam)}"
    [found] = dcmtk.findscu(archive.dicom, "STUDY", study, "PatientID", "AccessionNumber", "NumberOfStudyRelatedInstances")
    assert (found.PatientID, found.AccessionNumber) == (patient_id_of(exam), accession_of(exam))
    assert found.NumberOfStudyRelatedInstances == 3
    [series] = dcmtk.findscu(archive.dicom, "SERIES", study, "SeriesInstanceUID", "Modality")
    assert (series.SeriesInstanceUID, series.Modality) == (slices[0].SeriesInstanceUID, "CT")
    images = dcmtk.findscu(archive.dicom, "IMAGE", study, f"SeriesInstanceUID={series.SeriesInstanceUID}", "SOPInstanceUID", "InstanceNumber")
    assert {image.SOPInstanceUID for image in images} == {one.SOPInstanceUID for one in slices}

    # and moved to a peer as it came
    with dcmtk.StoreScp(sink_port, tmp_path / "moved") as sink:
        ran = dcmtk.movescu(archive.dicom, "SINK", "STUDY", study)
        assert ran.code == 0, ran.output
        assert sink.received() == {one.SOPInstanceUID: one for one in slices}

    # and fetched by C-GET
    ran = dcmtk.getscu(archive.dicom, tmp_path / "got", "STUDY", study)
    assert ran.code == 0, ran.output
    got = [pydicom.dcmread(path) for path in (tmp_path / "got").iterdir()]
    assert {one.SOPInstanceUID: one for one in got} == {one.SOPInstanceUID: one for one in slices}


def test_getscu_gets_lossless_jpeg_where_it_likes_that_best(archive: Archive, tmp_path: Path) -> None:
    exam = archive.client().pushed(new_exam(images=1))
    image = pydicom.dcmread(get_testdata_file("SC_rgb_jpeg_gdcm.dcm"))
    assert image.file_meta.TransferSyntaxUID == JPEGLosslessSV1
    image.PatientID, image.AccessionNumber, image.StudyInstanceUID = patient_id_of(exam), accession_of(exam), study_of(exam)
    image.SOPInstanceUID = image.file_meta.MediaStorageSOPInstanceUID = generate_uid()
    netdicom.stored(archive.dicom, [raw_of(image)])

    ran = dcmtk.getscu(archive.dicom, tmp_path, "STUDY", f"StudyInstanceUID={study_of(exam)}", options=("+xs",))

    assert ran.code == 0, ran.output
    [got] = [pydicom.dcmread(path) for path in tmp_path.iterdir()]
    assert got.PixelData == image.PixelData


def test_an_image_of_an_exam_that_was_not_pushed_is_refused_with_words(archive: Archive, tmp_path: Path) -> None:
    files = save_all(ct_slices(new_exam(), 1), tmp_path)

    ran = dcmtk.run("storescu", "-d", "-aec", "YINGKU", *archive.dicom, *files)

    # DCMTK prints the status of the refused instance and the answer's Error Comment.
    assert "0xc0" in ran.output.lower(), ran.output
    assert "exam not pushed" in ran.output, ran.output


@pytest.mark.parametrize("attribute", ["PatientID", "AccessionNumber"])
def test_an_image_whose_numbers_differ_from_the_push_is_refused(archive: Archive, tmp_path: Path, attribute: str) -> None:
    exam = archive.client().pushed(new_exam())
    [image] = ct_slices(exam, 1)
    setattr(image, attribute, "OTHER")

    ran = dcmtk.run("storescu", "-d", "-aec", "YINGKU", *archive.dicom, *save_all([image], tmp_path))

    assert "0xa900" in ran.output.lower(), ran.output
    assert dcmtk.findscu(archive.dicom, "IMAGE", f"StudyInstanceUID={study_of(exam)}", "SOPInstanceUID") == []


@pytest.mark.parametrize(
    ("attribute", "written"),
    [("PatientID", "  {} "), ("PatientID", "000{}"), ("AccessionNumber", "00{}")],
)
def test_blanks_and_leading_zeros_do_not_tell_numbers_apart(archive: Archive, tmp_path: Path, attribute: str, written: str) -> None:
    exam = new_exam()
    # The pushed numbers begin with a digit, so that zeros before them are leading zeros.
    for place in (exam["examInfo"], exam["imageList"][0]):
        place["patientID"] = place["patientID"][2:].lstrip("0")
    exam["imageList"][0]["accessionNo"] = accession_of(exam)[1:].lstrip("0")
    archive.client().pushed(exam)
    [image] = ct_slices(exam, 1)
    setattr(image, attribute, written.format(getattr(image, attribute)))

    ran = dcmtk.storescu(archive.dicom, *save_all([image], tmp_path))

    assert dcmtk.store_statuses(ran) == ["Success"], ran.output


def test_a_scanned_form_is_shown_apart_as_series_0(archive: Archive, tmp_path: Path) -> None:
    # Given an exam that declares two images
    exam = archive.client().pushed(new_exam(images=2))
    files = save_all(ct_slices(exam, 2), tmp_path / "slices")
    files += save_all(ct_slices(exam, 1, series_number=0), tmp_path / "form")

    # When two slices and a form in series 0 arrive
    assert dcmtk.store_statuses(dcmtk.storescu(archive.dicom, *files)) == ["Success"] * 3

    # Then series 0 is a series of its own, and the exam's detail tells it from the images
    series = dcmtk.findscu(archive.dicom, "SERIES", f"StudyInstanceUID={study_of(exam)}", "SeriesInstanceUID", "SeriesNumber")
    assert sorted(int(one.SeriesNumber) for one in series) == [0, 1]
    detail = archive.client("demo-reader").post("exam/detail", {"hospitalCode": exam["hospitalCode"], "examNo": exam["examNo"]})
    assert detail.status == 0, detail


def test_the_same_image_again_is_taken_and_counted_once(archive: Archive, tmp_path: Path) -> None:
    exam = archive.client().pushed(new_exam(images=1))
    files = save_all(ct_slices(exam, 1), tmp_path)

    for _ in range(10):
        assert dcmtk.store_statuses(dcmtk.storescu(archive.dicom, *files)) == ["Success"]

    [found] = dcmtk.findscu(archive.dicom, "STUDY", f"StudyInstanceUID={study_of(exam)}", "NumberOfStudyRelatedInstances")
    assert found.NumberOfStudyRelatedInstances == 1


def test_other_bytes_under_the_same_uid_do_not_replace_the_first(archive: Archive, sink_port: int, tmp_path: Path) -> None:
    exam = archive.client().pushed(new_exam(images=1))
    [first] = ct_slices(exam, 1)
    [other] = ct_slices(exam, 1)
    other.SeriesInstanceUID = first.SeriesInstanceUID
    other.SOPInstanceUID = other.file_meta.MediaStorageSOPInstanceUID = first.SOPInstanceUID
    other.PixelData = bytes(len(other.PixelData))

    for number, one in enumerate([first, other]):
        ran = dcmtk.storescu(archive.dicom, *save_all([one], tmp_path / str(number)))
        assert dcmtk.store_statuses(ran) == ["Success"], ran.output

    with dcmtk.StoreScp(sink_port, tmp_path / "moved") as sink:
        dcmtk.movescu(archive.dicom, "SINK", "STUDY", f"StudyInstanceUID={study_of(exam)}")
        assert sink.received() == {first.SOPInstanceUID: first}


def test_an_unknown_destination_is_refused(archive: Archive, tmp_path: Path) -> None:
    exam = archive.client().pushed(new_exam(images=1))
    dcmtk.storescu(archive.dicom, *save_all(ct_slices(exam, 1), tmp_path))

    ran = dcmtk.run(
        "movescu", "-d", "-S", "-aec", "YINGKU", "-aem", "NOBODY",
        "-k", "QueryRetrieveLevel=STUDY", "-k", f"StudyInstanceUID={study_of(exam)}", *archive.dicom,
    )

    assert "0xa801" in ran.output.lower(), ran.output


def test_images_of_two_hospitals_with_one_patient_id_are_told_apart(archive: Archive, tmp_path: Path) -> None:
    # Given two hospitals that use the same PatientID for different people
    county = new_exam(images=1)
    town = new_exam(hospital=TOWN, images=1)
    number = patient_id_of(county)
    for place in (town["examInfo"], town["imageList"][0]):
        place["patientID"] = number
    for turn, exam in enumerate([county, town]):
        archive.client().pushed(exam)
        dcmtk.storescu(archive.dicom, *save_all(ct_slices(exam, 1), tmp_path / str(turn)))

    # When the patient level is asked for that number
    rows = dcmtk.findscu(archive.dicom, "PATIENT", f"PatientID={number}", "IssuerOfPatientID", model="-P")

    # Then each hospital's patient is a row of its own, under its issuer
    assert sorted(row.IssuerOfPatientID for row in rows) == [county["hospitalCode"], TOWN]

    # and a move by the bare number is refused instead of mixing them
    ran = dcmtk.run(
        "movescu", "-d", "-P", "-aec", "YINGKU", "-aem", "SINK",
        "-k", "QueryRetrieveLevel=PATIENT", "-k", f"PatientID={number}", *archive.dicom,
    )
    assert "status: 0x0000" not in ran.output.lower(), ran.output


def test_an_association_to_another_title_is_rejected(archive: Archive) -> None:
    ran = dcmtk.run("echoscu", "-aec", "SOMEONE", *archive.dicom)

    assert ran.code != 0
    assert "Called AE Title Not Recognized" in ran.output, ran.output


def test_a_study_that_is_not_there_is_not_found(archive: Archive) -> None:
    assert dcmtk.findscu(archive.dicom, "STUDY", f"StudyInstanceUID={generate_uid()}") == []
