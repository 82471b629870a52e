"""With `ack = "object"` an image is acknowledged when the object store and the log have it."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from support import netdicom
from support.archive import Archive
from support.cluster import Cluster, same_views
from support.exams import new_exam, study_of
from support.instances import RawInstance, ct_slices, raw_of
from support.kafka import Kafka
from support.netdicom import moved, query
from support.objects import S3
from support.registry import Registry

SENDERS = 4
IMAGES = 6


@pytest.fixture
def cluster(tmp_path: Path, kafka: Kafka, s3: S3, sink: int, request: pytest.FixtureRequest) -> Iterator[Cluster]:
    settings = (("accept_node_loss = true", 'ack = "object"\nrequest_timeout_s = 2\nupload_timeout_s = 5'),)
    cluster = Cluster(
        tmp_path / "cluster", kafka, request.node.name, s3, registry=Registry(peers={"SINK": sink}), settings=settings
    )
    yield cluster
    cluster.end()


def sent(archive: Archive) -> tuple[dict, dict[str, RawInstance]]:
    exam = archive.client().pushed(new_exam(images=IMAGES))
    raws = [raw_of(one) for one in ct_slices(exam, IMAGES)]
    netdicom.stored(archive.dicom, raws)
    return exam, {raw.sop_instance: raw for raw in raws}


def test_nothing_acknowledged_is_lost_with_a_node_and_its_disk(cluster: Cluster, s3: S3, sink: int) -> None:
    one, two = cluster.add(), cluster.add()
    exams: list[tuple[dict, dict[str, RawInstance]]] = []
    threads = [threading.Thread(target=lambda: exams.append(sent(one))) for _ in range(SENDERS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(exams) == SENDERS
    # Given a node that is killed right after, and its disk gone
    one.kill()
    shutil.rmtree(one.data)
    # Then every image is read from another node
    for exam, images in exams:
        received = moved(two.dicom, sink, study_of(exam))
        assert {uid: raw.data for uid, raw in received.items()} == {uid: raw.data for uid, raw in images.items()}
    # and a new node has the same views
    assert same_views([two, cluster.add()])


def test_while_the_object_store_is_away_nothing_is_acknowledged(cluster: Cluster, s3: S3, sink: int) -> None:
    node = cluster.add()
    exam = node.client().pushed(new_exam(images=IMAGES))
    raws = [raw_of(one) for one in ct_slices(exam, IMAGES)]
    netdicom.stored(node.dicom, raws[:2])
    s3.stop()
    # Told to send again, in words
    refused = netdicom.store(node.dicom, raws[2:3])[0]
    assert refused.Status == 0xA700, refused
    assert len(found_images(node, exam)) == 2
    s3.start()
    netdicom.stored(node.dicom, raws[2:])
    assert moved(node.dicom, sink, study_of(exam)).keys() == {raw.sop_instance for raw in raws}


def found_images(archive: Archive, exam: dict) -> set[str]:
    found = netdicom.find(
        archive.dicom,
        query("IMAGE", StudyInstanceUID=study_of(exam), SeriesInstanceUID="", SOPInstanceUID=""),
    )
    return {str(match.SOPInstanceUID) for match in found}


def test_several_nodes_must_choose(cluster: Cluster) -> None:
    cluster.settings = (("accept_node_loss = true", "accept_node_loss = false"),)
    with pytest.raises(AssertionError, match="accept_node_loss"):
        cluster.add()
    cluster.nodes[-1].process = None
