"""An archive goes from its own log and disk to a real Kafka and a real S3 server, and back, and loses nothing."""

from __future__ import annotations

import shutil
import signal
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from pydicom.dataset import Dataset

from support import dcmtk, netdicom
from support.archive import Archive, binary
from support.exams import new_exam, study_of
from support.instances import ct_slices, raw_of, save_all
from support.kafka import Kafka
from support.listening import reach
from support.netdicom import moved
from support.objects import ACCOUNT, S3, all_evicted
from support.registry import Registry


@pytest.fixture
def own(fresh_archive: Callable[..., Archive], sink: int) -> Archive:
    """An archive with its own log, small packs, and copies that go as soon as they may."""
    settings = (
        ("[objects]", "[storage]\npack_bytes = 1048576\n\n[objects]"),
        ("accept_node_loss", "cache_bytes = 0\naccept_node_loss"),
    )
    return fresh_archive(registry=Registry(peers={"SINK": sink}), settings=settings, environment=ACCOUNT)


def filled(archive: Archive, folder: Path) -> tuple[dict, list[Dataset]]:
    """Pushes, images and a correction; one exam with its slices."""
    exam = archive.client().pushed(new_exam(images=30))
    slices = ct_slices(exam, 30)
    save_all(slices, folder)
    assert dcmtk.dcmsend(archive.dicom, folder).code == 0
    other = archive.client().pushed(new_exam())
    netdicom.stored(archive.dicom, [raw_of(one) for one in ct_slices(other, 2)])
    archive.command(
        "correct", "hide", f"{other['hospitalCode']}/{study_of(other)}",
        "--reason", "演示", "--author", "tester", "--data", archive.data,
    )
    return exam, slices


def migrate(archive: Archive, *arguments: str, check: bool = True) -> subprocess.CompletedProcess:
    settings = archive.home / "yingku.toml"
    return archive.command(
        "migrate", "--data", archive.data, "--config", settings, "--to", settings, *arguments, check=check
    )


def elsewhere(archive: Archive, kafka: Kafka, topic: str, s3: S3) -> Archive:
    """The same archive, as it is served with Kafka and S3."""
    return replace(archive, log=kafka.log(topic), arguments=("--objects", s3.location), process=None)


def views_of(archive: Archive, *elsewhere: str) -> str:
    """Position and digest of the views of an archive that does not run, made anew."""
    place = ("--data", archive.data, "--config", archive.home / "yingku.toml", *elsewhere)
    archive.command("rebuild", *place)
    return archive.command("digest", *place).stdout


def test_to_kafka_and_s3_and_back_without_losing_a_record(
    own: Archive, kafka: Kafka, s3: S3, sink: int, tmp_path: Path
) -> None:
    exam, slices = filled(own, tmp_path / "sent")
    expected = {one.SOPInstanceUID for one in slices}
    versions = own.client("demo-reader").versions(exam)
    before = moved(own.dicom, sink, study_of(exam))
    assert set(before) == expected
    assert own.stop() == 0

    # There: every record with its time, so that histories say what they said
    there = (*("--to-log", kafka.log("moved")), *("--to-objects", s3.location))
    said = migrate(own, *there).stdout
    assert "视图摘要前后相同" in said, said
    served = elsewhere(own, kafka, "moved", s3).start()
    assert served.client("demo-reader").versions(exam) == versions
    assert moved(served.dicom, sink, study_of(exam)).keys() == expected
    # What happens there happens there
    late = served.client().pushed(new_exam())
    netdicom.stored(served.dicom, [raw_of(one) for one in ct_slices(late, 2)])
    assert served.stop() == 0
    served.start()  # seals what is open
    all_evicted(served)
    assert served.stop() == 0

    # The old log lies where it was said, and nothing is moved over it
    here = ("--log", kafka.log("moved"), "--objects", s3.location)
    refused = migrate(own, *here, check=False)
    assert refused.returncode != 0 and "before-migration" in refused.stderr, refused
    shutil.rmtree(own.data / "before-migration")

    # And back: the packs too, and the views are those that were there
    was = views_of(own, *here)
    said = migrate(own, *here).stdout
    assert "已取回影像包" in said, said
    assert views_of(own) == was
    s3.stop()
    own.start()
    assert own.client("demo-reader").versions(exam) == versions
    back = moved(own.dicom, sink, study_of(exam))
    assert {uid: raw.data for uid, raw in back.items()} == {uid: raw.data for uid, raw in before.items()}
    assert len(moved(own.dicom, sink, study_of(late))) == 2
    assert own.command("verify", "--data", own.data).returncode == 0


def test_a_move_that_was_killed_is_taken_up_and_a_foreign_topic_is_refused(
    own: Archive, kafka: Kafka, s3: S3, sink: int, tmp_path: Path
) -> None:
    exam, slices = filled(own, tmp_path / "sent")
    assert own.stop() == 0
    settings = own.home / "yingku.toml"
    command = [binary(), "migrate", "--data", own.data, "--config", settings, "--to", settings]

    # Given a move that is killed while Kafka does not answer
    kafka.pause()
    try:
        process = subprocess.Popen([*command, "--to-log", kafka.log("broken")], stderr=subprocess.PIPE, text=True)
        reach(lambda: (own.data / "migration").exists(), lambda: "the copy is begun")
        process.send_signal(signal.SIGKILL)
        process.wait()
    finally:
        kafka.resume()
    # Then the archive is what it was
    own.start()
    assert len(moved(own.dicom, sink, study_of(exam))) == len(slices)
    assert own.stop() == 0
    # And is moved all the same
    assert "视图摘要前后相同" in migrate(own, "--to-log", kafka.log("broken")).stdout
    # It cannot be opened as it was, which the refusal says
    with pytest.raises(AssertionError, match="log.place"):
        own.start()
    own.process = None
    served = replace(own, log=kafka.log("broken"), process=None).start()
    assert len(moved(served.dicom, sink, study_of(exam))) == len(slices)
    assert served.stop() == 0

    # Another archive's topic is refused, and that archive left as it is
    other = Archive(tmp_path / "other", registry=own.registry).start()
    other.client().pushed(new_exam())
    assert other.stop() == 0
    refused = migrate(other, "--to-log", kafka.log("broken"), check=False)
    assert refused.returncode != 0 and "give it an empty topic" in refused.stderr, refused
    other.start()
    assert other.stop() == 0


def test_nothing_is_moved_while_a_node_runs(own: Archive, kafka: Kafka) -> None:
    refused = migrate(own, "--to-log", kafka.log("running"), check=False)
    assert refused.returncode != 0, refused
    assert not (own.data / "migration").exists()
    own.client().pushed(new_exam())
