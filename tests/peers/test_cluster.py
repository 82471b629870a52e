"""Three nodes, one archive: whichever is asked, the answer is the same, and what one dies with the others go on without."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import requests

from support import netdicom
from support.archive import Archive
from support.cluster import Cluster, command, holder, number_of, same_views
from support.exams import new_exam, study_of
from support.instances import RawInstance, ct_slices, raw_of
from support.kafka import Kafka
from support.listening import reach
from support.netdicom import Destination, find, moved, query
from support.objects import S3, all_evicted
from support.registry import Registry

# A dead node's duties are another's within this.
DUTIES_MOVE_S = 15.0


@pytest.fixture
def make_cluster(kafka: Kafka, tmp_path: Path, sink: int, request: pytest.FixtureRequest) -> Iterator[Callable[..., Cluster]]:
    made: list[Cluster] = []

    def make(nodes: int = 3, **more: object) -> Cluster:
        registry = Registry(peers={"SINK": sink})
        cluster = Cluster(tmp_path / "cluster", kafka, request.node.name, registry=registry, **more)
        made.append(cluster)
        for _ in range(nodes):
            cluster.add()
        return cluster

    yield make
    for cluster in made:
        cluster.end()


def images_of(exam: dict, count: int = 2) -> list[RawInstance]:
    return [raw_of(one) for one in ct_slices(exam, count)]


def counted(node: Archive, exam: dict) -> int:
    asked = query("STUDY", StudyInstanceUID=study_of(exam), NumberOfStudyRelatedInstances="")
    matches = find(node.dicom, asked)
    return int(matches[0].NumberOfStudyRelatedInstances) if matches else 0


def client_of(node: Archive, app: str = "demo-pacs"):
    return node.client(app)


def assert_same_bytes(received: dict[str, RawInstance], sent: list[RawInstance]) -> None:
    assert set(received) == {raw.sop_instance for raw in sent}
    assert all(received[raw.sop_instance].data == raw.data for raw in sent)


def test_a_push_here_its_images_there_and_a_search_at_a_third_node(make_cluster: Callable[..., Cluster], sink: int) -> None:
    one, two, three = make_cluster().nodes
    assert [number_of(node) for node in (one, two, three)] == [0, 1, 2]

    for _ in range(5):
        exam = client_of(one).pushed(new_exam(images=2))
        sent = images_of(exam)
        netdicom.stored(two.dicom, sent)  # at once: taken, since the push was acknowledged before
        assert counted(three, exam) == 2  # at once: the release was answered before
        # The images are at the second node only, in a pack that still grows.
        assert_same_bytes(moved(three.dicom, sink, study_of(exam)), sent)
        assert_same_bytes(moved(one.dicom, sink, study_of(exam)), sent)
    assert same_views([one, two, three])


def test_each_node_has_packs_of_its_own(make_cluster: Callable[..., Cluster], sink: int) -> None:
    nodes = make_cluster().nodes
    exams = [client_of(node).pushed(new_exam(images=1)) for node in nodes]
    sent = [images_of(exam, 1) for exam in exams]
    for node, images in zip(nodes, sent, strict=True):
        netdicom.stored(node.dicom, images)
    packs = [path.stem for node in nodes for path in (node.data / "packs").glob("*.open")]
    assert sorted(pack.split("-")[0] for pack in packs) == ["0000", "0001", "0002"]
    for exam, images in zip(exams, sent, strict=True):
        for node in nodes:
            assert_same_bytes(moved(node.dicom, sink, study_of(exam)), images)


def test_the_same_image_sent_to_two_nodes_is_one_image(make_cluster: Callable[..., Cluster], sink: int) -> None:
    one, two = make_cluster(nodes=2).nodes
    exam = client_of(one).pushed(new_exam(images=1))
    sent = images_of(exam, 1)
    netdicom.stored(one.dicom, sent)
    netdicom.stored(two.dicom, sent)
    assert counted(one, exam) == counted(two, exam) == 1
    # The second node has read the first's copy and stored nothing.
    assert not [path for path in (two.data / "packs").glob("*.open") if path.stat().st_size > 4096 and path.stat().st_blocks]
    assert same_views([one, two])


def test_what_a_dead_node_had_not_uploaded_is_missing_until_it_is_back(make_cluster: Callable[..., Cluster], sink: int) -> None:
    one, two = make_cluster(nodes=2).nodes
    exam = client_of(one).pushed(new_exam(images=2))
    sent = images_of(exam)
    netdicom.stored(two.dicom, sent)
    two.kill()
    # The others go on: pushes are taken, and what only the dead node has fails by name.
    other = client_of(one).pushed(new_exam(images=1))
    netdicom.stored(one.dicom, images_of(other, 1))
    assert counted(one, exam) == 2
    with Destination(sink) as destination:
        last, failed = netdicom.move(one.dicom, "SINK", query("STUDY", StudyInstanceUID=study_of(exam)))[-1]
    assert last.Status in (0xA702, 0xB000), last
    assert not destination.received and len(failed.FailedSOPInstanceUIDList) == 2
    # What its disk held comes back with it, under the same number.
    two.start()
    assert number_of(two) == 1
    reach(lambda: len(_moved_or_nothing(one, exam, sink)) == 2, one.log_tail)
    assert same_views([one, two])


def _moved_or_nothing(node: Archive, exam: dict, sink: int) -> dict[str, RawInstance]:
    with Destination(sink) as destination:
        netdicom.move(node.dicom, "SINK", query("STUDY", StudyInstanceUID=study_of(exam)))
        return destination.received


def test_uploaded_packs_are_read_without_the_node_that_wrote_them(make_cluster: Callable[..., Cluster], s3: S3, sink: int) -> None:
    small = (("[keys]", "[storage]\npack_bytes = 1048576\n\n[keys]"),)
    cluster = make_cluster(nodes=2, s3=s3, settings=small)
    one, two = cluster.nodes
    exam = client_of(one).pushed(new_exam(images=60))
    sent = images_of(exam, 60)  # some 2 MB
    netdicom.stored(two.dicom, sent)
    assert_same_bytes(moved(one.dicom, sink, study_of(exam)), sent)  # from the second node, or from the store: whichever has it
    two.stop()
    reach(lambda: len(s3.packs()) >= 1, two.log_tail)
    uploaded = sum(path.stat().st_size for path in s3.packs())
    shutil.move(two.data, two.home / "gone")  # its disk is lost
    # A new node has nothing but the log and the store: what was uploaded is there, byte for byte.
    three = cluster.add()
    received = _moved_or_nothing(three, exam, sink)
    by_uid = {raw.sop_instance: raw for raw in sent}
    assert all(raw.data == by_uid[uid].data for uid, raw in received.items())
    largest = max(len(raw.data) for raw in sent) + 2048
    assert len(received) >= uploaded // largest > 0


def test_duties_move_when_their_holder_dies_and_when_it_stops(make_cluster: Callable[..., Cluster]) -> None:
    one, two, three = make_cluster().nodes
    by_number = {number_of(node): node for node in (one, two, three)}
    reach(lambda: holder(one) is not None, one.log_tail)
    first = holder(one)
    living = [node for number, node in by_number.items() if number != first]
    by_number[first].kill()
    died = time.monotonic()
    reach(lambda: holder(living[0]) != first, living[0].log_tail)
    assert time.monotonic() - died < DUTIES_MOVE_S
    # One that stops gives them back: nobody waits for their end.
    second = holder(living[0])
    [last] = [node for node in living if number_of(node) != second]
    by_number[second].stop()
    stopped = time.monotonic()
    reach(lambda: holder(last) == number_of(last), last.log_tail)
    assert time.monotonic() - stopped < DUTIES_MOVE_S / 3


def test_a_copy_of_a_data_directory_is_not_a_second_node(make_cluster: Callable[..., Cluster], tmp_path: Path) -> None:
    cluster = make_cluster(nodes=1)
    [one] = cluster.nodes
    one.stop()
    two = Archive(
        tmp_path / "copy", registry=cluster.registry, log=one.log, environment=one.environment,
    )
    shutil.copytree(one.data, two.data)
    cluster.nodes.append(two)
    one.start()
    exam = client_of(one).pushed(new_exam(images=1))
    two.start()
    # The one that started last is the node; the other stores nothing more and says why.
    reach(lambda: not one.readiness()["ready"], one.log_tail)
    assert "copy of this data directory" in one.readiness()["stopped"]
    [image] = images_of(exam, 1)
    [refused] = netdicom.store(one.dicom, [image])
    assert refused.Status in (0xA700, 0xC000) or refused.Status & 0xFF00 == 0xA700, refused
    netdicom.stored(two.dicom, [image])


def test_a_node_with_another_cluster_key_is_told_so(make_cluster: Callable[..., Cluster], sink: int) -> None:
    cluster = make_cluster(nodes=1)
    [one] = cluster.nodes
    stranger = Archive(
        cluster.home / "stranger", registry=cluster.registry, log=one.log,
        environment={"YINGKU_CLUSTER_KEY": "ab" * 32},
    )
    with pytest.raises(AssertionError, match="cluster key|集群密钥"):
        stranger.start()


def test_strangers_get_no_pack(make_cluster: Callable[..., Cluster]) -> None:
    [one] = make_cluster(nodes=1).nodes
    exam = client_of(one).pushed(new_exam(images=1))
    netdicom.stored(one.dicom, images_of(exam, 1))
    [pack] = [path.stem for path in (one.data / "packs").glob("*.open")]
    for headers in ({}, {"node-token": ""}, {"node-token": "AAAA"}, {"node-token": "x" * 5000}):
        answer = requests.get(f"{one.http}/nodes/packs/{pack}?from=0&length=4096", headers=headers, timeout=10)
        assert answer.status_code == 401 and not answer.content, (headers, answer)
    for name in ("..%2f..%2fkeys%2fcluster.key", "0000-0", "nothing"):
        answer = requests.get(f"{one.http}/nodes/packs/{name}?from=0&length=1", timeout=10)
        assert answer.status_code in (401, 404), answer


def test_a_new_node_starts_from_a_snapshot_and_reads_the_rest_of_the_log(make_cluster: Callable[..., Cluster], s3: S3) -> None:
    cluster = make_cluster(nodes=1, s3=s3)
    [one] = cluster.nodes
    client = client_of(one)
    for _ in range(1_100):  # a shorter log is read sooner than a snapshot is fetched
        client.pushed(new_exam(images=0))
    said = command(one, "snapshot")
    position = int(said.split("(position) ")[1].split(",")[0])
    late = client.pushed(new_exam(images=1))
    netdicom.stored(one.dicom, images_of(late, 1))

    two = cluster.add()
    started = two.log_tail(100_000)
    assert f"the views start from a snapshot position={position}" in started, started
    assert counted(two, late) == 1
    assert same_views([one, two])
    # How few records it read: what came after the snapshot.
    page = requests.get(f"{two.http}/metrics", timeout=10).text
    [read] = [float(line.split()[-1]) for line in page.splitlines() if line.startswith("yingku_views_followed_records_total")]
    assert 0 < read < 100, read

    # Further snapshots, asked for at once: the last two are kept, and a damaged one costs a replay only.
    with ThreadPoolExecutor() as pool:
        assert all(pool.map(lambda _: command(one, "snapshot"), range(3)))
    client.pushed(new_exam(images=0))
    folders = list((s3.folder / "data" / "yingku" / "city" / "snapshot-files").glob("*/CURRENT"))
    assert len(folders) == 2, folders
    for path in (s3.folder / "data" / "yingku" / "city" / "snapshot-files").glob("*/*.sst"):
        content = bytearray(path.read_bytes())
        content[len(content) // 2] ^= 1
        path.write_bytes(content)
    three = cluster.add()
    assert "no snapshot can be used" in three.log_tail(100_000)
    assert same_views([one, three])


def test_all_nodes_read_what_one_of_them_has_compacted(make_cluster: Callable[..., Cluster], s3: S3, sink: int) -> None:
    # Given two nodes that both took images, all of them in the object store
    small = ("[objects]", "[storage]\npack_bytes = 1048576\n\n[objects]")
    cluster = make_cluster(nodes=2, s3=s3, settings=(small, ("accept_node_loss", "cache_bytes = 0\naccept_node_loss")))
    one, two = cluster.nodes
    kept: list[tuple[dict, list[RawInstance]]] = []
    for node in (one, two, one, two, one, two):
        exam = client_of(node).pushed(new_exam(images=24))
        sent = images_of(exam, 24)
        netdicom.stored(node.dicom, sent)
        kept.append((exam, sent))
    for node in (one, two):
        assert node.stop() == 0
        node.start()
    for node in (one, two):
        all_evicted(node)
    before = {path.name for path in s3.packs()}
    # When one of them compacts its packs
    command(one, "compact", "--after-hours", "0", "--keep-hours", "0")
    # Then its old ones are gone, the other's are as they were, and both nodes give every image
    gone = before - {path.name for path in s3.packs()}
    assert len(gone) > 1 and {name.split("-")[0] for name in gone} == {"0000"}, (before, gone)
    for exam, sent in kept:
        for node in (one, two):
            assert_same_bytes(moved(node.dicom, sink, study_of(exam)), sent)
    assert same_views([one, two])
    # and so does a node that joins, and one without its disk
    three = cluster.add()
    two.kill()
    shutil.rmtree(two.data)
    for exam, sent in kept:
        for node in (one, three):
            assert_same_bytes(moved(node.dicom, sink, study_of(exam)), sent)
    assert same_views([one, three])
