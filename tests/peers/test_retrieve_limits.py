"""Retrievals that stall, crawl, are cancelled or go where they must not: nobody else waits or pays for them."""

from __future__ import annotations

import select
import socket
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack

import pytest
from pynetdicom import AE, build_context, evt
from pynetdicom.pdu import A_ABORT_RQ

from support import netdicom
from support.archive import Archive, free_port
from support.dimse import C_GET, C_MOVE, CT, STUDY_GET, STUDY_MOVE, RawAssociation, identifier
from support.exams import new_exam, study_of
from support.instances import ct_slices, raw_of
from support.netdicom import Destination, move, query
from support.registry import COUNTY, TOWN, Registry

# More than all threads that wait for the disk.
STALLED = 530
# Retrievals of one AE that are served at a time.
AT_ONCE = 64
# While they hang on, others must be answered within this.
OTHERS_LIMIT_S = 5.0
SLOW = 8
LARGE_BYTES = 12 << 20
# Eight times what is read ahead would be some 480 MB; one AE's share is 64 MB.
GROWTH_LIMIT_BYTES = 200 << 20


def stored_exam(archive: Archive, count: int, pixels: int | None = None, **more: object) -> dict:
    exam = archive.client().pushed(new_exam(images=count, **more))
    images = ct_slices(exam, count)
    for image in images:
        if pixels is not None:
            image.PixelData = bytes(pixels)
    netdicom.stored(archive.dicom, [raw_of(image) for image in images])
    return exam


def begin_get(archive: Archive, exam: dict, receive_bytes: int | None = None) -> RawAssociation:
    association = RawAssociation(archive.dicom, [STUDY_GET], [CT], "GREEDY", receive_bytes)
    association.request(C_GET, STUDY_GET, identifier("STUDY", StudyInstanceUID=study_of(exam)))
    return association


@pytest.mark.timeout(300)
def test_gets_whose_images_are_never_answered_hold_up_nobody_else(fresh_archive: Callable[..., Archive]) -> None:
    archive = fresh_archive()
    exam = stored_exam(archive, 8)
    with ExitStack() as stack:
        # Given one AE's retrievals of which none answers the image that comes
        stalled = [stack.enter_context(begin_get(archive, exam)) for _ in range(STALLED)]
        sockets = [association.connection for association in stalled]
        begun: set[socket.socket] = set()
        deadline = time.monotonic() + 60
        while len(begun) < AT_ONCE:
            assert time.monotonic() < deadline, f"only {len(begun)} retrievals began"
            waiting = [one for one in sockets if one not in begun]
            begun.update(select.select(waiting, [], [], 1.0)[0])

        # Then another AE finds and stores as if they were not there
        began = time.monotonic()
        other = stored_exam(archive, 1)
        [match] = netdicom.find(archive.dicom, query("STUDY", StudyInstanceUID=study_of(other)))
        assert match.StudyInstanceUID == study_of(other)
        assert time.monotonic() - began < OTHERS_LIMIT_S


def test_slow_gets_of_large_images_do_not_fill_the_memory(fresh_archive: Callable[..., Archive]) -> None:
    archive = fresh_archive()
    exam = stored_exam(archive, 6, LARGE_BYTES)
    before = archive.resident_bytes()
    with ExitStack() as stack:
        slow = [stack.enter_context(begin_get(archive, exam, 64 << 10)) for _ in range(SLOW)]
        # When each has a part of its first image, the next ones are read ahead of their turn
        for association in slow:
            association._exactly(6 << 20)
        highest = 0
        for _ in range(20):
            assert netdicom.echo(archive.dicom) == 0x0000
            highest = max(highest, archive.resident_bytes())
    assert highest - before < GROWTH_LIMIT_BYTES, f"{(highest - before) >> 20} MiB more"


def test_a_move_is_cancelled_while_its_destination_does_not_answer(fresh_archive: Callable[..., Archive]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as mute:
        archive = fresh_archive(registry=Registry(peers={"MUTE": mute.getsockname()[1]}))
        exam = stored_exam(archive, 2)
        with RawAssociation(archive.dicom, [STUDY_MOVE]) as association:
            association.request(C_MOVE, STUDY_MOVE, identifier("STUDY", StudyInstanceUID=study_of(exam)), "MUTE")
            # Given a destination that is called and says nothing
            called, _ = mute.accept()
            with called:
                assert called.recv(1) == b"\x01"
                began = time.monotonic()
                association.cancel()
                assert association.status() == 0xFE00
                assert time.monotonic() - began < OTHERS_LIMIT_S


def test_a_move_ends_when_nobody_waits_for_it(fresh_archive: Callable[..., Archive]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as mute:
        archive = fresh_archive(registry=Registry(peers={"MUTE": mute.getsockname()[1]}))
        exam = stored_exam(archive, 2)
        with RawAssociation(archive.dicom, [STUDY_MOVE]) as association:
            association.request(C_MOVE, STUDY_MOVE, identifier("STUDY", StudyInstanceUID=study_of(exam)), "MUTE")
            called, _ = mute.accept()
        # The caller is gone, so the archive hangs up
        with called:
            called.settimeout(OTHERS_LIMIT_S)
            while called.recv(4096):
                pass


def test_a_destination_that_warns_is_told_of(archive: Archive, sink_port: int) -> None:
    exam = stored_exam(archive, 2)
    with Destination(sink_port, answer=0xB007):
        answers = move(archive.dicom, "SINK", query("STUDY", StudyInstanceUID=study_of(exam)))
    final = answers[-1][0]
    assert (final.Status, final.NumberOfWarningSuboperations) == (0xB000, 2)


def test_a_destination_gets_its_own_hospitals_images_only(fresh_archive: Callable[..., Archive]) -> None:
    port = free_port()
    registry = Registry(peers={"TOWNSINK": port}, rights={"TOWNSINK": {"hospitals": [TOWN]}})
    archive = fresh_archive(registry=registry)
    county, town = (stored_exam(archive, 1, hospital=hospital) for hospital in (COUNTY, TOWN))

    with Destination(port) as sink:
        # What is of another hospital only is refused as a whole,
        [(refused, _)] = move(archive.dicom, "TOWNSINK", query("STUDY", StudyInstanceUID=study_of(county)))
        assert (refused.Status, len(sink.received)) == (0x0124, 0)
        assert "hospital" in refused.ErrorComment

        # and of both, its own hospital's are delivered
        both = query("STUDY", StudyInstanceUID=[study_of(county), study_of(town)])
        final, identifier_of_failed = move(archive.dicom, "TOWNSINK", both)[-1]
    assert final.Status == 0xB000
    assert (final.NumberOfCompletedSuboperations, final.NumberOfFailedSuboperations) == (1, 1)
    assert "hospital" in final.ErrorComment
    assert len(sink.received) == 1
    assert identifier_of_failed.FailedSOPInstanceUIDList not in sink.received


@pytest.mark.parametrize("command, model", [(C_MOVE, STUDY_MOVE), (C_GET, STUDY_GET)])
@pytest.mark.parametrize("level, uids", [("STUDY", "\\"), ("STUDY", " \\ \\"), ("SERIES", "\\"), ("IMAGE", " \\ \\")])
def test_a_uid_of_separators_only_is_not_everything(archive: Archive, command: int, model: str, level: str, uids: str) -> None:
    stored_exam(archive, 1)
    with RawAssociation(archive.dicom, [model], [CT]) as association:
        association.request(command, model, identifier(level, StudyInstanceUID=uids), "SINK")
        assert association.status() == 0xA900


@pytest.mark.parametrize("answer_after_s", [0.5, 10])
def test_a_cancelled_move_aborts_its_association_with_the_destination(fresh_archive: Callable[..., Archive], answer_after_s: float) -> None:
    heard: list[object] = []
    storing = threading.Event()
    over = threading.Event()

    def on_store(_: evt.Event) -> int:
        storing.set()
        over.wait(answer_after_s)
        return 0x0000

    def on_pdu(event: evt.Event) -> None:
        if isinstance(event.pdu, A_ABORT_RQ):
            heard.append(event.pdu)
            over.set()

    port = free_port()
    archive = fresh_archive(registry=Registry(peers={"SINK": port}))
    exam = stored_exam(archive, 3)
    ae = AE("SINK")
    ae.supported_contexts = [build_context(CT)]
    server = ae.start_server(("127.0.0.1", port), block=False, evt_handlers=[(evt.EVT_C_STORE, on_store), (evt.EVT_PDU_RECV, on_pdu)])
    try:
        with RawAssociation(archive.dicom, [STUDY_MOVE]) as association:
            association.request(C_MOVE, STUDY_MOVE, identifier("STUDY", StudyInstanceUID=study_of(exam)), "SINK")
            # Given a sub-operation that is under way
            assert storing.wait(OTHERS_LIMIT_S)
            began = time.monotonic()
            association.cancel()
            assert association.status() == 0xFE00
            assert time.monotonic() - began < OTHERS_LIMIT_S
        assert over.wait(OTHERS_LIMIT_S) and heard
    finally:
        over.set()
        server.shutdown()
