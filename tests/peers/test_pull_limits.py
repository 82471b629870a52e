"""What fetching keeps to: a gateway's bandwidth and hours, one holder of the duties; and what gateways that mean harm can do."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import requests
from pydicom.dataset import Dataset
from pynetdicom import AE as Node
from pynetdicom import evt
from pynetdicom.sop_class import (
    CTImageStorage,
    StudyRootQueryRetrieveInformationModelFind,
    StudyRootQueryRetrieveInformationModelGet,
)

from peers.test_metrics import samples, value
from peers.test_pull import here, line_of, listed, many_slices, pulling, wait_for, wait_until_done
from support.archive import Archive, free_port
from support.cluster import Cluster, command, holder, number_of, same_views
from support.exams import new_exam, study_of
from support.gateways import AE, Dcmqrscp, OrthancGateway
from support.instances import ct_slices, encoded
from support.kafka import Kafka
from support.listening import reach
from support.netdicom import moved
from support.registry import COUNTY, TOWN, Registry

Archives = Callable[..., Archive]


def both(one: Registry, other: Registry, hospital: str = TOWN) -> Registry:
    """The first registry, with a hospital as the other has it."""
    [row] = [row for row in other.hospitals if row["code"] == hospital]
    one.hospitals = [row if it["code"] == hospital else it for it in one.hospitals]
    return one


def test_what_comes_by_c_move_keeps_to_the_bandwidth_too(fresh_archive: Archives, tmp_path: Path) -> None:
    # Given two studies of 6 MB at a gateway that may be asked for 1 MB a second
    limited, free, port = new_exam(images=12), new_exam(images=12), free_port()
    registry = pulling(port, method="move", megabytes_per_second=1)
    registry.peers[AE] = port
    registry.rights[AE] = {"services": ["store"], "hospitals": [COUNTY]}
    archive = fresh_archive(registry=registry)
    with OrthancGateway(tmp_path / "gateway", archive.dicom, port) as gateway:
        gateway.keep(many_slices(limited, 12))
        gateway.keep(many_slices(free, 12))

        # When one is fetched
        took = fetched_within(archive, limited, 12)

        # Then it takes as long as its 6.3 MB do, and no time without the limit
        assert took > 5, took
        del next(row for row in registry.hospitals if row["code"] == COUNTY)["gateway.megabytes_per_second"]
        (archive.home / "free.toml").write_text(registry.toml(), encoding="utf-8")
        archive.command("registry", "import", archive.home / "free.toml", "--data", archive.data)
        assert fetched_within(archive, free, 12) < took / 2


def fetched_within(archive: Archive, exam: dict, images: int) -> float:
    began = time.monotonic()
    archive.client().pushed(exam)
    wait_for(archive, exam, images)
    return time.monotonic() - began


def test_outside_its_hours_a_gateway_is_not_asked_what_nobody_pushed(fresh_archive: Archives, tmp_path: Path) -> None:
    # Given a gateway that is closed now and one that is open, both with a study of yesterday that nobody pushed
    now = datetime.now(ZoneInfo("Asia/Shanghai"))
    hours = [f"{now + timedelta(hours=2):%H:%M}-{now + timedelta(hours=3):%H:%M}"]
    yesterday = f"{now - timedelta(days=1):%Y-%m-%d}"
    exam, other = new_exam(images=1, day=yesterday), new_exam(TOWN, images=1, day=yesterday)
    with Dcmqrscp(tmp_path / "closed") as closed, Dcmqrscp(tmp_path / "open") as gateway:
        closed.keep(ct_slices(exam, 1))
        gateway.keep(ct_slices(other, 1))
        asked = asked_times(closed)
        registry = both(pulling(closed.port, sweep=True, hours=hours), pulling(gateway.port, TOWN, sweep=True))
        archive = fresh_archive(registry=registry)

        def named() -> str:
            return archive.command("findings", "not-pushed", "--data", archive.data).stdout

        # When the open one was asked
        reach(lambda: study_of(other) in named(), named)

        # Then nobody called the other, until its hours come
        assert asked_times(closed) == asked
        assert study_of(exam) not in named()
        registry.hospitals = [{key: it for key, it in row.items() if key != "gateway.hours"} for row in registry.hospitals]
        (archive.home / "always.toml").write_text(registry.toml(), encoding="utf-8")
        archive.command("registry", "import", archive.home / "always.toml", "--data", archive.data)
        reach(lambda: study_of(exam) in named(), named)


def asked_times(gateway: Dcmqrscp) -> int:
    log = (gateway.home / "gateway.log").read_text(encoding="utf-8", errors="replace")
    return log.count("Association Received")


def test_figures_tell_what_becomes_of_fetching(fresh_archive: Archives, tmp_path: Path) -> None:
    exam, lacking = new_exam(images=3), new_exam(images=1)
    with Dcmqrscp(tmp_path / "gateway") as gateway:
        slices = ct_slices(exam, 3)
        gateway.keep(slices)
        archive = fresh_archive(registry=pulling(gateway.port))
        before = samples(archive)
        assert value(before, "yingku_pulls_open", line="live") == 0
        archive.client().pushed(exam)
        wait_for(archive, exam, 3)
        archive.client().pushed(lacking)
        reach(lambda: "does not have this study" in line_of(archive, lacking), lambda: listed(archive))

    after = samples(archive)
    assert value(after, "yingku_pulls_tried_total", outcome="whole") == 1
    assert value(after, "yingku_pulls_tried_total", outcome="lacking") == 1
    assert value(after, "yingku_pulls_images_total", method="get") == 3
    assert value(after, "yingku_pulls_bytes_total", method="get") == sum(len(encoded(one)) for one in slices)
    assert value(after, "yingku_pulls_open", line="live") == 1
    assert value(after, "yingku_pulls_open", line="backfill") == 0
    assert ("yingku_pulls_stopped", frozenset()) in after
    said = requests.get(f"{archive.http}/metrics", timeout=10).text
    for private in (exam["examNo"], study_of(exam), COUNTY, exam["patientInfo"]["name"], AE):
        assert private not in said


def test_the_duties_go_over_within_a_study_and_nothing_is_doubled(kafka: Kafka, tmp_path: Path, sink: int) -> None:
    # Given two nodes, and a study that takes some ten seconds
    exam = new_exam(images=20)
    slices = many_slices(exam, 20)
    with Dcmqrscp(tmp_path / "gateway") as gateway:
        gateway.keep(slices)
        registry = pulling(gateway.port, sink=sink, megabytes_per_second=1)
        cluster = Cluster(tmp_path / "cluster", kafka, "pull-goes-over", registry=registry)
        try:
            one, two = cluster.add(), cluster.add()
            reach(lambda: holder(one) is not None, one.log_tail)
            first, other = (one, two) if holder(one) == number_of(one) else (two, one)
            first.client().pushed(exam)

            # When the one that fetches it dies half way
            reach(lambda: 2 <= here(other, exam), other.log_tail)
            first.kill()
            assert here(other, exam) < 20

            # Then the other one fetches it, once
            reach(lambda: here(other, exam) == 20, lambda: (here(other, exam), other.log_tail()))

            def line() -> str:
                said = command(other, "pull", "list", "--all").splitlines()
                return "".join(line for line in said if exam["examNo"] in line)

            reach(lambda: "(done)" in line(), line)
            assert here(other, exam) == 20
            # and what only the dead node's disk has comes back with it, to the same study
            first.start()
            assert same_views([first, other])
            for node in (first, other):
                received = moved(node.dicom, sink, study_of(exam))
                assert {uid: raw.data for uid, raw in received.items()} == {one.SOPInstanceUID: encoded(one) for one in slices}
        finally:
            cluster.end()


@contextmanager
def hostile(port: int, found: Callable[[Dataset], list[Dataset]], given: Callable[[], list[Dataset]]) -> Iterator[list[str]]:
    """A gateway that says and sends what it likes; the levels at which it was asked."""
    levels: list[str] = []
    node = Node(ae_title=AE)
    node.add_supported_context(StudyRootQueryRetrieveInformationModelFind)
    node.add_supported_context(StudyRootQueryRetrieveInformationModelGet)
    node.add_supported_context(CTImageStorage, scu_role=False, scp_role=True)

    def find(event: evt.Event) -> Iterator[tuple[int, Dataset]]:
        levels.append(event.identifier.QueryRetrieveLevel)
        for answer in found(event.identifier):
            yield 0xFF00, answer

    def get(_: evt.Event) -> Iterator[object]:
        levels.append("GET")
        images = given()
        yield len(images)
        for image in images:
            yield 0xFF00, image

    server = node.start_server(("127.0.0.1", port), block=False, evt_handlers=[(evt.EVT_C_FIND, find), (evt.EVT_C_GET, get)])
    try:
        yield levels
    finally:
        server.shutdown()


def says(count: int | None) -> Callable[[Dataset], list[Dataset]]:
    """A study of one series, with a count or none at study and series level, and two images."""

    def found(asked: Dataset) -> list[Dataset]:
        answers = []
        for number in range(2 if asked.QueryRetrieveLevel == "IMAGE" else 1):
            answer = Dataset()
            answer.QueryRetrieveLevel, answer.StudyInstanceUID = asked.QueryRetrieveLevel, asked.StudyInstanceUID
            if asked.QueryRetrieveLevel == "STUDY" and count is not None:
                answer.NumberOfStudyRelatedInstances = count
            if asked.QueryRetrieveLevel != "STUDY":
                answer.SeriesInstanceUID = f"{asked.StudyInstanceUID[:50]}.1"
            if asked.QueryRetrieveLevel == "IMAGE":
                answer.SOPInstanceUID, answer.SOPClassUID = f"{asked.StudyInstanceUID[:50]}.1.{number}", CTImageStorage
            answers.append(answer)
        return answers

    return found


def uncounted(exam: dict) -> dict:
    exam["imageList"][0]["imageCount"] = ""
    return exam


def test_images_of_other_studies_are_not_taken_and_make_no_study_whole(fresh_archive: Archives) -> None:
    # Given two pushed exams that say no count, and a gateway that sends the second one's images for the first
    exam, other, port = uncounted(new_exam()), uncounted(new_exam()), free_port()
    images = ct_slices(exam, 1) + ct_slices(other, 2)
    with hostile(port, says(2), lambda: images):
        archive = fresh_archive(registry=pulling(port))
        archive.client().pushed(exam)
        reach(lambda: "of other studies, not taken" in line_of(archive, exam), lambda: listed(archive))

        # Then only what was asked for is taken, and that is not whole
        assert here(archive, exam) == 1 and here(archive, other) == 0
        assert "(waiting)" in line_of(archive, exam), line_of(archive, exam)


def test_a_count_that_no_study_has_is_not_believed(fresh_archive: Archives) -> None:
    exam, port = uncounted(new_exam()), free_port()
    with hostile(port, says(2**31 - 1), lambda: ct_slices_of(exam)) as levels:
        archive = fresh_archive(registry=pulling(port))
        archive.client().pushed(exam)

        wait_until_done(archive, exam)

        assert here(archive, exam) == 2
        # Its images are counted one by one, behind the fetch.
        assert levels[-1] == "IMAGE" and "GET" in levels


def ct_slices_of(exam: dict) -> list[Dataset]:
    slices = ct_slices(exam, 2)
    for number, one in enumerate(slices):
        one.SOPInstanceUID = one.file_meta.MediaStorageSOPInstanceUID = f"{study_of(exam)[:50]}.1.{number}"
    return slices


def test_what_is_whole_by_the_declared_count_is_not_counted_at_the_gateway(fresh_archive: Archives) -> None:
    # Given a gateway that says no counts
    exam, short, port = new_exam(images=2), uncounted(new_exam()), free_port()
    given = {"exam": exam, "images": 2}
    with hostile(port, says(None), lambda: ct_slices_of(given["exam"])[: given["images"]]) as levels:
        archive = fresh_archive(registry=pulling(port))
        archive.client().pushed(exam)
        wait_until_done(archive, exam)

        # Then classes are asked for before, and nothing behind it
        assert levels == ["STUDY", "SERIES", "IMAGE", "GET"]

        # When one without a count comes with fewer than the gateway has
        given.update(exam=short, images=1)
        archive.client().pushed(short)
        reach(lambda: "sent 1 of 2" in line_of(archive, short), lambda: listed(archive))

        # Then it is counted, and not whole
        assert levels[4:] == ["STUDY", "SERIES", "IMAGE", "GET", "STUDY", "SERIES", "IMAGE"]
        assert "(waiting)" in line_of(archive, short) and here(archive, short) == 1


def test_a_gateway_that_says_nothing_at_all_delays_nobody_else(fresh_archive: Archives, tmp_path: Path) -> None:
    # Given a gateway that takes connections and never says a word
    exam, other = new_exam(images=1), new_exam(TOWN, images=1)
    with socket.create_server(("127.0.0.1", 0)) as mute, Dcmqrscp(tmp_path / "gateway") as gateway:
        gateway.keep(ct_slices(other, 1))
        port = mute.getsockname()[1]
        archive = fresh_archive(registry=both(pulling(port, sweep=True), pulling(gateway.port, TOWN, sweep=True)))

        archive.client().pushed(exam)
        archive.client("town-only").pushed(other)

        wait_for(archive, other, 1)
        reach(lambda: "no association" in line_of(archive, exam), lambda: listed(archive))
        assert archive.alive() and here(archive, exam) == 0
