"""An object store that fails, hangs or refuses the account: images are taken all the same, and go there afterwards."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import requests
from prometheus_client.parser import text_string_to_metric_families

from support import netdicom
from support.archive import Archive, free_port
from support.exams import new_exam, study_of
from support.fault_proxy import HANG, PASS, REFUSE_ACCOUNT, Fault, FaultProxy, unavailable
from support.instances import RawInstance, ct_slices, raw_of
from support.listening import reach
from support.netdicom import Destination, query
from support.objects import ACCOUNT, S3, all_evicted, standing
from support.registry import Registry

PACK_BYTES = 8 << 20
IMAGES_OF_EXAM = 10
# Rows and columns of an image: 2 MB each.
SIDE = 1024
EXAM_BYTES = IMAGES_OF_EXAM * SIDE * SIDE * 2
# What comes while the store fails, and what resident memory may grow by meanwhile and until all of it has gone there.
EXAMS = 11
INGESTED_BYTES = EXAMS * EXAM_BYTES
GROWTH_LIMIT_BYTES = 100 << 20

SETTINGS = (
    ("[objects]", f"[storage]\npack_bytes = {PACK_BYTES}\n\n[objects]"),
    (
        "accept_node_loss",
        "cache_bytes = 0\nconnect_timeout_s = 2\nrequest_timeout_s = 3\nupload_timeout_s = 5\naccept_node_loss",
    ),
)


@dataclass
class Sender:
    """Sends exams and remembers each image's bytes; keeps an eye on the archive's memory."""

    archive: Archive
    sink_port: int
    sent: dict[str, list[RawInstance]] = field(default_factory=dict)  # study -> images
    most_resident: int = 0

    def exam(self) -> str:
        """Pushed, and its images stored, each of which must be taken; the study."""
        exam = self.archive.client().pushed(new_exam(images=IMAGES_OF_EXAM))
        slices = ct_slices(exam, IMAGES_OF_EXAM)
        for one in slices:
            one.Rows = one.Columns = SIDE
            one.PixelData = os.urandom(2 * SIDE * SIDE)
        raws = [raw_of(one) for one in slices]
        netdicom.stored(self.archive.dicom, raws)
        self.sent[study_of(exam)] = raws
        self.look()
        return study_of(exam)

    def look(self) -> None:
        self.most_resident = max(self.most_resident, self.archive.resident_bytes())

    def assert_moves(self, *studies: str) -> None:
        with Destination(self.sink_port) as destination:
            for study in studies:
                last, failed = netdicom.move(self.archive.dicom, "SINK", query("STUDY", StudyInstanceUID=study))[-1]
                assert last.Status == 0x0000, (last, failed, self.archive.log_tail())
                received = destination.take()
                assert set(received) == {raw.sop_instance for raw in self.sent[study]}
                assert all(received[raw.sop_instance].data == raw.data for raw in self.sent[study])


@pytest.fixture
def s3(tmp_path: Path) -> Iterator[S3]:
    with S3(tmp_path / "s3") as server:
        yield server


@pytest.fixture
def proxy(s3: S3) -> Iterator[FaultProxy]:
    with FaultProxy(s3.port) as between:
        yield between


@pytest.fixture
def sender(fresh_archive: Callable[..., Archive], s3: S3, proxy: FaultProxy) -> Sender:
    """An archive that evicts what is uploaded at once, warm: one exam was taken and has gone to the store."""
    sink = free_port()
    archive = fresh_archive(
        registry=Registry(peers={"SINK": sink}),
        settings=SETTINGS,
        arguments=("--objects", s3.location_at(proxy.port)),
        environment=ACCOUNT,
    )
    sender = Sender(archive, sink)
    sender.exam()
    reach(lambda: bool(s3.packs()), archive.log_tail)
    return sender


def figure(archive: Archive, name: str) -> float:
    page = requests.get(f"{archive.http}/metrics", timeout=10).text
    [value] = [sample.value for family in text_string_to_metric_families(page) for sample in family.samples if sample.name == name]
    return value


def backlog_packs(archive: Archive) -> int:
    return standing(archive)["backlogPacks"]


def sealed_by_a_restart(archive: Archive) -> None:
    """A start seals what the last run left open."""
    assert archive.stop() == 0
    archive.start()


def test_through_the_proxy_it_is_the_store_itself(sender: Sender, proxy: FaultProxy, s3: S3) -> None:
    sealed_by_a_restart(sender.archive)
    all_evicted(sender.archive)
    assert proxy.passed > 0 and proxy.struck == 0
    sender.assert_moves(*sender.sent)


@pytest.mark.parametrize("fault", [unavailable(5), unavailable(50), unavailable(100), HANG, REFUSE_ACCOUNT], ids=str)
def test_images_are_taken_while_the_store_fails_and_go_there_afterwards(fault: Fault, sender: Sender, proxy: FaultProxy, s3: S3) -> None:
    archive, before = sender.archive, sender.archive.resident_bytes()
    packs_before = len(s3.packs())

    # Given a store that fails, then every image is taken, and kept here as long as it is not there
    proxy.set(fault)
    studies = [sender.exam() for _ in range(EXAMS)]
    reach(lambda: proxy.struck > 0, lambda: (proxy, archive.log_tail()))
    if fault.percent == 100:
        reach(lambda: standing(archive)["problem"] is not None, archive.log_tail)
        problem = standing(archive)["problem"]
        assert not any(secret in problem for secret in ACCOUNT.values()), problem
        assert ("AWS_ACCESS_KEY_ID" in problem) == (fault is REFUSE_ACCOUNT), problem
        assert archive.readiness()["ready"]  # no reason to send work elsewhere
        packs = INGESTED_BYTES // (PACK_BYTES + EXAM_BYTES)  # at least
        assert backlog_packs(archive) > packs and standing(archive)["backlogBytes"] > INGESTED_BYTES // 2
        assert figure(archive, "yingku_objects_problem") == 1
        assert figure(archive, "yingku_upload_backlog_packs") > packs
        assert figure(archive, "yingku_upload_backlog_bytes") > INGESTED_BYTES // 2
        assert len(s3.packs()) == packs_before and proxy.passed == 0
        sender.assert_moves(studies[0])
    else:
        # What fails now and then holds nothing up for good.
        reach(lambda: len(s3.packs()) > packs_before + 3, archive.log_tail)

    # When it works again, the backlog goes, and nothing of it stays in memory
    proxy.set(PASS)

    def drained() -> bool:
        sender.look()
        return backlog_packs(archive) == 0 and standing(archive)["problem"] is None

    reach(drained, lambda: (standing(archive), archive.log_tail()))
    assert figure(archive, "yingku_objects_problem") == 0
    assert figure(archive, "yingku_upload_backlog_bytes") == 0
    growth = sender.most_resident - before
    print(f"{fault}: {INGESTED_BYTES >> 20} MiB taken, resident memory {before >> 20} MiB and at most {growth >> 20} MiB more")
    assert growth < GROWTH_LIMIT_BYTES, f"{growth >> 20} MiB more than before"

    # and every image is there, byte for byte, also what was still open
    sealed_by_a_restart(archive)
    all_evicted(archive)
    assert s3.unfinished_uploads() == []
    sender.assert_moves(*sender.sent)
    assert not any(secret in archive.log_tail(10_000_000) for secret in ACCOUNT.values())
