"""Orthanc as a sender and as the destination of C-MOVE."""

from __future__ import annotations

import io
from pathlib import Path

import pydicom

from support import netdicom
from support.archive import Archive
from support.exams import new_exam, study_of
from support.instances import ct_slices, raw_of, save_all
from support.netdicom import find, query
from support.orthanc import Orthanc


def test_orthanc_sends_its_study_to_the_archive(archive: Archive, orthanc_port: int, tmp_path: Path) -> None:
    # Given a pushed exam whose images lie in an Orthanc
    exam = archive.client().pushed(new_exam(images=3))
    slices = ct_slices(exam, 3)
    with Orthanc(tmp_path / "orthanc", orthanc_port, archive.dicom) as orthanc:
        for path in save_all(slices, tmp_path / "files"):
            orthanc.post("/instances", path.read_bytes())

        # When it sends them by C-STORE
        [study] = orthanc.get("/studies")
        sent = orthanc.post("/modalities/yingku/store", {"Resources": [study], "Synchronous": True})
        assert sent["FailedInstancesCount"] == 0, sent

    # Then they are all there
    [match] = find(archive.dicom, query("STUDY", StudyInstanceUID=study_of(exam), NumberOfStudyRelatedInstances=""))
    assert match.NumberOfStudyRelatedInstances == 3


def test_orthanc_receives_a_moved_study(archive: Archive, orthanc_port: int, tmp_path: Path) -> None:
    exam = archive.client().pushed(new_exam(images=3))
    slices = {str(one.SOPInstanceUID): one for one in ct_slices(exam, 3)}
    netdicom.stored(archive.dicom, [raw_of(one) for one in slices.values()])

    with Orthanc(tmp_path / "orthanc", orthanc_port, archive.dicom) as orthanc:
        # When Orthanc itself asks for the study and has it moved to itself
        asked = orthanc.post(
            "/modalities/yingku/query", {"Level": "Study", "Query": {"StudyInstanceUID": study_of(exam)}}
        )
        assert orthanc.get(f"/queries/{asked['ID']}/answers") == ["0"]
        orthanc.post(f"/queries/{asked['ID']}/answers/0/retrieve", {"TargetAet": "ORTHANC", "Synchronous": True})

        # Then it holds every image, pixel for pixel
        held = [pydicom.dcmread(io.BytesIO(orthanc.file(instance))) for instance in orthanc.get("/instances")]
        assert {str(one.SOPInstanceUID) for one in held} == set(slices)
        for one in held:
            assert one.PixelData == slices[str(one.SOPInstanceUID)].PixelData


def test_orthanc_asks_for_single_images(archive: Archive, orthanc_port: int, tmp_path: Path) -> None:
    """Into such a question Orthanc puts an empty (0002,0003), which belongs into files."""
    exam = archive.client().pushed(new_exam(images=3))
    slices = ct_slices(exam, 3)
    netdicom.stored(archive.dicom, [raw_of(one) for one in slices])

    with Orthanc(tmp_path / "orthanc", orthanc_port, archive.dicom) as orthanc:
        keys = {"StudyInstanceUID": study_of(exam), "SeriesInstanceUID": str(slices[0].SeriesInstanceUID), "InstanceNumber": "2"}
        asked = orthanc.post("/modalities/yingku/query", {"Level": "Instance", "Query": keys})
        assert orthanc.get(f"/queries/{asked['ID']}/answers") == ["0"]
        orthanc.post(f"/queries/{asked['ID']}/answers/0/retrieve", {"TargetAet": "ORTHANC", "Synchronous": True})

        [held] = orthanc.get("/instances")
        assert pydicom.dcmread(io.BytesIO(orthanc.file(held))).SOPInstanceUID == slices[1].SOPInstanceUID
