"""C-MOVE and C-GET by pynetdicom: counts, failures and the exact bytes."""

from __future__ import annotations

import os

import pytest
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian
from pynetdicom import build_context, build_role, evt
from pynetdicom.sop_class import (
    PatientRootQueryRetrieveInformationModelMove,
    StudyRootQueryRetrieveInformationModelGet,
)

from support import netdicom
from support.archive import Archive
from support.exams import new_exam, patient_id_of, study_of
from support.instances import RawInstance, ct_slices, raw_of
from support.netdicom import Destination, move, query


def an_exam_with_images(archive: Archive, count: int) -> tuple[dict, dict[str, bytes]]:
    """Pushed and stored; the data sets' bytes by SOP Instance UID."""
    exam = archive.client().pushed(new_exam(images=count))
    raws = [raw_of(one) for one in ct_slices(exam, count)]
    netdicom.stored(archive.dicom, raws)
    return exam, {raw.sop_instance: raw.data for raw in raws}


def bytes_of(received: dict[str, RawInstance]) -> dict[str, bytes]:
    return {uid: raw.data for uid, raw in received.items()}


def test_move_sends_the_bytes_that_came_and_counts_them(archive: Archive, sink_port: int) -> None:
    exam, sent = an_exam_with_images(archive, 5)

    with Destination(sink_port) as sink:
        answers = move(archive.dicom, "SINK", query("STUDY", StudyInstanceUID=study_of(exam)))

    assert bytes_of(sink.received) == sent
    final = answers[-1][0]
    assert final.Status == 0x0000
    assert (final.NumberOfCompletedSuboperations, final.NumberOfFailedSuboperations, final.NumberOfWarningSuboperations) == (5, 0, 0)
    pending = [status for status, _ in answers[:-1]]
    assert all(status.Status == 0xFF00 for status in pending)
    for status in pending:
        assert status.NumberOfRemainingSuboperations + status.NumberOfCompletedSuboperations == 5


def test_move_of_single_images_and_of_a_patient(archive: Archive, sink_port: int) -> None:
    exam, sent = an_exam_with_images(archive, 3)
    first = sorted(sent)[0]
    series = netdicom.find(archive.dicom, query("SERIES", StudyInstanceUID=study_of(exam), SeriesInstanceUID=""))[0].SeriesInstanceUID

    with Destination(sink_port) as sink:
        move(archive.dicom, "SINK", query("IMAGE", StudyInstanceUID=study_of(exam), SeriesInstanceUID=series, SOPInstanceUID=first))
        assert bytes_of(sink.received) == {first: sent[first]}

        by_patient = query("PATIENT", PatientID=patient_id_of(exam))
        move(archive.dicom, "SINK", by_patient, PatientRootQueryRetrieveInformationModelMove)
        assert bytes_of(sink.received) == sent


def test_a_destination_that_fails_is_reported_with_the_uids(archive: Archive, sink_port: int) -> None:
    exam, sent = an_exam_with_images(archive, 2)

    with Destination(sink_port, answer=0xA700):
        answers = move(archive.dicom, "SINK", query("STUDY", StudyInstanceUID=study_of(exam)))

    final, identifier = answers[-1]
    assert final.Status in (0xA702, 0xB000), hex(final.Status)
    assert final.NumberOfFailedSuboperations == 2
    failed = identifier.FailedSOPInstanceUIDList
    assert {failed} if isinstance(failed, str) else set(failed) == set(sent)


def test_a_destination_that_is_down_fails_the_move_and_not_the_archive(archive: Archive) -> None:
    exam, _ = an_exam_with_images(archive, 1)

    answers = move(archive.dicom, "GONE", query("STUDY", StudyInstanceUID=study_of(exam)))

    assert answers[-1][0].Status not in (0x0000, 0xFF00), hex(answers[-1][0].Status)
    assert netdicom.echo(archive.dicom) == 0x0000


def test_an_unknown_destination_is_a801(archive: Archive) -> None:
    exam, _ = an_exam_with_images(archive, 1)

    answers = move(archive.dicom, "NOBODY", query("STUDY", StudyInstanceUID=study_of(exam)))

    assert [status.Status for status, _ in answers] == [0xA801]


def get_all(archive: Archive, exam: dict) -> dict[str, bytes]:
    """The data sets of a whole exam by C-GET, which must succeed."""
    received: dict[str, bytes] = {}

    def on_store(event: evt.Event) -> int:
        received[str(event.request.AffectedSOPInstanceUID)] = event.request.DataSet.getvalue()
        return 0x0000

    model = StudyRootQueryRetrieveInformationModelGet
    with netdicom.associate(
        archive.dicom,
        [build_context(model), build_context(CTImageStorage, [ExplicitVRLittleEndian])],
        ext_neg=[build_role(CTImageStorage, scp_role=True)],
        evt_handlers=[(evt.EVT_C_STORE, on_store)],
    ) as association:
        answers = list(association.send_c_get(query("STUDY", StudyInstanceUID=study_of(exam)), model))
    assert answers[-1][0].Status == 0x0000
    assert answers[-1][0].NumberOfCompletedSuboperations == len(received)
    return received


def test_get_sends_the_bytes_that_came(archive: Archive) -> None:
    exam, sent = an_exam_with_images(archive, 4)
    assert get_all(archive, exam) == sent


def test_get_without_a_context_for_the_images_fails_and_names_them(archive: Archive) -> None:
    exam, sent = an_exam_with_images(archive, 2)
    model = StudyRootQueryRetrieveInformationModelGet

    with netdicom.associate(archive.dicom, [build_context(model)]) as association:
        answers = list(association.send_c_get(query("STUDY", StudyInstanceUID=study_of(exam)), model))

    final = answers[-1][0]
    assert final.Status != 0x0000
    assert final.NumberOfFailedSuboperations == len(sent)


@pytest.mark.parametrize("megabytes", [17, 40])
def test_a_large_image_leaves_byte_for_byte(archive: Archive, sink_port: int, megabytes: int) -> None:
    """Larger than what is read whole (16 MB), and than what is held in memory on its way in (32 MB)."""
    exam = archive.client().pushed(new_exam(images=1))
    [image] = ct_slices(exam, 1)
    image.Rows, image.Columns = 1024, 512 * megabytes
    image.PixelData = os.urandom(2 * image.Rows * image.Columns)
    raw = raw_of(image)
    assert len(raw.data) > megabytes << 20
    netdicom.stored(archive.dicom, [raw])

    with Destination(sink_port) as sink:
        answers = move(archive.dicom, "SINK", query("STUDY", StudyInstanceUID=study_of(exam)))
    assert answers[-1][0].Status == 0x0000
    assert sink.received.keys() == {raw.sop_instance}
    assert sink.received[raw.sop_instance].data == raw.data

    got = get_all(archive, exam)
    assert got.keys() == {raw.sop_instance}
    assert got[raw.sop_instance] == raw.data
