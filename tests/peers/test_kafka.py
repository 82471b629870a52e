"""The served archive with its log in a real Kafka: the same as with its own, and what it does while Kafka is away."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from support import netdicom
from support.archive import Archive
from support.exams import new_exam, study_of
from support.instances import ct_slices, raw_of
from support.kafka import Kafka
from support.listening import reach
from support.netdicom import find, query
from support.registry import COUNTY

# A push has its answer within this while Kafka is away, whatever the answer.
UNKNOWN_LIMIT_S = 10.0


@pytest.fixture
def kafka_archive(kafka: Kafka, fresh_archive: Callable[..., Archive], request: pytest.FixtureRequest) -> Archive:
    """An archive of the test's own on a topic of the test's own."""
    return fresh_archive(log=kafka.log(request.node.name))


def images_of(exam: dict, count: int = 2) -> list:
    return [raw_of(one) for one in ct_slices(exam, count)]


def shown(archive: Archive, exam: dict) -> int:
    """Images of the exam's study that C-FIND counts; 0 if it does not show the study."""
    asked = query("STUDY", StudyInstanceUID=study_of(exam), NumberOfStudyRelatedInstances="")
    matches = find(archive.dicom, asked)
    return int(matches[0].NumberOfStudyRelatedInstances) if matches else 0


def digest(archive: Archive) -> str:
    """Makes the views anew, which must be what they were; their digest."""
    settings = ("--config", archive.home / "yingku.toml", "--data", archive.data, "--log", archive.log)
    said = archive.command("rebuild", *settings).stdout
    return said.split("(digest) ")[1].split()[0]


def test_pushed_stored_found_reconciled_and_rebuilt_to_the_same(kafka_archive: Archive) -> None:
    archive, day = kafka_archive, "2013-01-02"
    exam = archive.client().pushed(new_exam(images=2, day=day))
    netdicom.stored(archive.dicom, images_of(exam))
    assert shown(archive, exam) == 2
    answer = archive.client().upload_statistics(
        [{"hospitalCode": COUNTY, "examDate": day, "examClass": "CT", "accordCount": "2"}]
    )
    assert answer.status == 0, answer
    [row] = archive.client("demo-reader").reconcile(day, hospitalCode=COUNTY)
    assert (row["declared"], row["registered"], row["images"]["complete"]) == (2, 1, 1), row
    assert len(archive.client("demo-reader").versions(exam)) == 1

    # Two rebuilds agree with each other and with what was served, also after a kill.
    first = digest(archive)
    archive.kill()
    archive.start()
    assert shown(archive, exam) == 2
    assert digest(archive) != first  # the start is an event
    assert digest(archive) == digest(archive)
    archive.command("verify", "--data", archive.data, "--log", archive.log)


def test_two_nodes_on_one_topic_show_the_same(kafka: Kafka, fresh_archive: Callable[..., Archive]) -> None:
    log = kafka.log("two-nodes")
    one = fresh_archive(log=log)
    key = one.data / "keys" / "cluster.key"
    two = fresh_archive(log=log, cluster_key=key.read_bytes())

    exam = one.client().pushed(new_exam(images=2))
    netdicom.stored(two.dicom, images_of(exam))  # taken, since the push was acknowledged before
    assert shown(one, exam) == shown(two, exam) == 2
    assert digest(one) == digest(two)


def test_an_archive_is_not_opened_with_another_log_than_its_own(kafka: Kafka, kafka_archive: Archive) -> None:
    kafka_archive.stop()
    words = kafka_archive.command("status", "--data", kafka_archive.data, check=False)
    assert words.returncode == 1
    assert "is in Kafka" in words.stderr, words.stderr
    elsewhere = kafka.log("another-topic")
    words = kafka_archive.command("status", "--data", kafka_archive.data, "--log", elsewhere, check=False)
    assert words.returncode == 1
    assert "no such topic any more" in words.stderr, words.stderr


def test_images_of_known_exams_are_taken_while_kafka_is_away(kafka: Kafka, kafka_archive: Archive) -> None:
    archive = kafka_archive
    known = archive.client().pushed(new_exam(images=2))
    token = archive.client()
    token.token  # noqa: B018  got while Kafka is there

    # Given Kafka in the middle of nowhere
    kafka.pause()
    try:
        # then a push is answered in time, with "unknown, send again"
        pushed = new_exam(images=1)
        began = time.monotonic()
        answer = token.push(pushed)
        assert time.monotonic() - began < UNKNOWN_LIMIT_S
        assert answer.http == 503, answer
        reach(lambda: not archive.readiness()["ready"], archive.log_tail)
        assert archive.readiness()["logAway"]
        # images of an exam that was pushed before are taken
        raws = images_of(known)
        with netdicom.associate(archive.dicom, netdicom.contexts_for(raws)) as association:
            assert [netdicom.send_raw(association, raw).Status for raw in raws] == [0x0000] * 2
            # and those of one that may have been pushed meanwhile are to be sent again
            [other] = images_of(new_exam(images=1), 1)
            assert netdicom.send_raw(association, other).Status == 0xA700
    finally:
        kafka.resume()

    # When it is back, then what was taken is shown, and what was unknown is sent again without harm
    reach(lambda: archive.readiness()["ready"], lambda: (archive.readiness(), archive.log_tail()))
    assert shown(archive, known) == 2
    answer = token.push(pushed)
    assert (answer.http, answer.status) == (200, 0), answer
    assert len(archive.client("demo-reader").versions(pushed)) == 1


def test_what_was_taken_while_kafka_was_dead_survives_the_archive_too(kafka: Kafka, kafka_archive: Archive) -> None:
    archive = kafka_archive
    known = archive.client().pushed(new_exam(images=3))
    kafka.kill()
    raws = images_of(known, 3)
    with netdicom.associate(archive.dicom, netdicom.contexts_for(raws)) as association:
        assert [netdicom.send_raw(association, raw).Status for raw in raws] == [0x0000] * 3
    archive.kill()

    kafka.start()
    archive.start()
    assert shown(archive, known) == 3
