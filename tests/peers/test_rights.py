"""Who may call: AEs with their services and hospitals, where not everybody is welcome (design 5)."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from pynetdicom import AE, build_context, evt
from pynetdicom.pdu import A_ASSOCIATE_RJ
from pynetdicom.sop_class import CTImageStorage, StudyRootQueryRetrieveInformationModelFind, Verification

from support import netdicom
from support.archive import Archive, free_port
from support.exams import new_exam, study_of
from support.instances import ct_slices, raw_of
from support.netdicom import query
from support.registry import COUNTY, TOWN, Registry

CLOSED = (("accept_any_calling_ae = true", "accept_any_calling_ae = false"),)


@pytest.fixture
def closed(fresh_archive: Callable[..., Archive]) -> Archive:
    """An archive that knows a county modality that may only store, and a town workstation that may only read."""
    registry = Registry(
        peers={"COUNTYCT": free_port(), "TOWNWS": free_port(), "ALLWS": free_port()},
        rights={
            "COUNTYCT": {"services": ["store"], "hospitals": [COUNTY]},
            "TOWNWS": {"services": ["find", "move", "get"], "hospitals": [TOWN]},
            "ALLWS": {"services": ["find", "move", "get"], "hospitals": ["*"]},
        },
    )
    return fresh_archive(registry=registry, settings=CLOSED)


def found_by(archive: Archive, calling: str, study: str) -> list[str]:
    model = StudyRootQueryRetrieveInformationModelFind
    with netdicom.associate(archive.dicom, [build_context(model)], calling) as association:
        answers = list(association.send_c_find(query("STUDY", StudyInstanceUID=study), model))
    return [str(match.StudyInstanceUID) for _, match in answers if match is not None]


def test_a_stranger_is_rejected(closed: Archive) -> None:
    # What came, by itself: pynetdicom may take a rejection that comes at once for a connection that was not made.
    came: list[object] = []
    ae = AE(ae_title="STRANGER")
    association = ae.associate(
        *closed.dicom,
        contexts=[build_context(Verification)],
        ae_title="YINGKU",
        evt_handlers=[(evt.EVT_PDU_RECV, lambda event: came.append(event.pdu))],
    )
    assert not association.is_established
    [rejection] = came
    assert isinstance(rejection, A_ASSOCIATE_RJ)
    assert rejection.reason_diagnostic == 3  # calling AE title not recognised (PS3.8 table 9-21)


def test_each_sees_its_own_hospitals_only(closed: Archive) -> None:
    exams = {hospital: closed.client().pushed(new_exam(hospital=hospital, images=1)) for hospital in (COUNTY, TOWN)}
    county, town = study_of(exams[COUNTY]), study_of(exams[TOWN])
    [county_image], [town_image] = ([raw_of(one) for one in ct_slices(exam, 1)] for exam in exams.values())

    # The county's modality stores for its hospital, and for no other
    [taken] = netdicom.store(closed.dicom, [county_image], "COUNTYCT")
    assert taken.Status == 0x0000
    [refused] = netdicom.store(closed.dicom, [town_image], "COUNTYCT")
    assert refused.Status != 0x0000
    assert refused.ErrorComment

    # and what is stored is shown to those who may see it
    assert found_by(closed, "ALLWS", county) == [county]
    assert found_by(closed, "TOWNWS", county) == []
    assert found_by(closed, "TOWNWS", town) == []  # nothing was stored for it


def test_a_service_that_an_ae_lacks_is_refused(closed: Archive) -> None:
    exam = closed.client().pushed(new_exam(images=1))
    [raw] = [raw_of(one) for one in ct_slices(exam, 1)]

    # A workstation cannot store: its context is not accepted, or the store is refused
    ae = AE(ae_title="ALLWS")
    association = ae.associate(*closed.dicom, contexts=[build_context(CTImageStorage, [raw.transfer_syntax])], ae_title="YINGKU")
    try:
        if association.accepted_contexts:
            answer = netdicom.send_raw(association, raw)
            assert answer is not None and answer.Status != 0x0000, answer
    finally:
        if association.is_established:
            association.release()

    # and nothing was kept
    assert found_by(closed, "ALLWS", study_of(exam)) == []
