"""Packs are regrouped and give space back, and every image stays what and where readers expect it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from support import netdicom
from support.archive import Archive
from support.exams import new_exam, study_of
from support.instances import RawInstance, ct_slices, raw_of
from support.netdicom import find, moved, query
from support.objects import ACCOUNT, S3, all_evicted
from support.registry import COUNTY, TOWN, Registry
from peers.test_backup import back_up, restore

PACKS = ("[keys]", "[storage]\npack_bytes = 1048576\n\n[keys]")


@dataclass
class Sent:
    """What was acknowledged: images by exam's study."""

    images: dict[str, dict[str, RawInstance]] = field(default_factory=dict)

    def send(self, archive: Archive, hospital: str, count: int) -> None:
        exam = archive.client().pushed(new_exam(hospital=hospital, images=count))
        raws = [raw_of(one) for one in ct_slices(exam, count)]
        netdicom.stored(archive.dicom, raws)
        self.images[study_of(exam)] = {raw.sop_instance: raw for raw in raws}

    def assert_all_there(self, archive: Archive, sink: int) -> None:
        for study, images in self.images.items():
            received = moved(archive.dicom, sink, study)
            assert {uid: raw.data for uid, raw in received.items()} == {uid: raw.data for uid, raw in images.items()}, study


def compact(archive: Archive, *more: str, keep_hours: int = 0) -> str:
    arguments = ("--after-hours", "0", "--keep-hours", str(keep_hours), *more)
    return archive.command("compact", *arguments, "--data", archive.data).stdout


def pack_files(archive: Archive) -> set[str]:
    return {path.stem for path in (archive.data / "packs").glob("*.pack")}


def mixed(archive: Archive, sent: Sent, exams: int = 10) -> None:
    """Exams of two hospitals by turns; a restart seals what is open."""
    for number in range(exams):
        sent.send(archive, TOWN if number % 2 else COUNTY, 16)
    assert archive.stop() == 0
    archive.start()


def digest(archive: Archive) -> str:
    return archive.command("digest", "--data", archive.data).stdout


def evicting(fresh_archive: Callable[..., Archive], s3: S3, sink: int) -> Archive:
    """An archive whose sealed packs lie in the object store only."""
    settings = (
        ("[objects]", "[storage]\npack_bytes = 1048576\n\n[objects]"),
        ("accept_node_loss", "cache_bytes = 0\naccept_node_loss"),
    )
    return fresh_archive(
        registry=Registry(peers={"SINK": sink}), settings=settings, arguments=("--objects", s3.location), environment=ACCOUNT
    )


@pytest.fixture
def own(fresh_archive: Callable[..., Archive], sink: int) -> Archive:
    return fresh_archive(registry=Registry(peers={"SINK": sink}), settings=(PACKS,))


def test_packs_are_regrouped_while_the_archive_serves(own: Archive, sink: int) -> None:
    # Given exams of two hospitals in mixed packs
    sent = Sent()
    mixed(own, sent)
    before = pack_files(own)
    assert len(before) > 3
    assert "尚未改动" in compact(own, "--dry-run") and pack_files(own) == before

    # When they are compacted, first keeping what is given up
    said = compact(own, keep_hours=1)
    assert f"{len(before)} / {len(before)}" in said and "影像包 (packs) 0, 字节" in said, said
    assert before < pack_files(own)
    sent.assert_all_there(own, sink)

    # Then the old packs go, and everything reads as before, also after a restart and in views made anew
    compact(own)
    assert not before & pack_files(own)
    sent.assert_all_there(own, sink)
    assert own.command("verify", "--data", own.data).returncode == 0
    as_it_was = digest(own)
    own.command("rebuild", "--data", own.data)
    assert digest(own) == as_it_was
    own.kill()
    own.start()
    sent.assert_all_there(own, sink)
    assert "0" in own.command("rescan", "--data", own.data).stdout

    # And what is there already is still known by its bytes: sent again, nothing is new
    study, images = next(iter(sent.images.items()))
    netdicom.stored(own.dicom, list(images.values()))
    found = find(own.dicom, query("STUDY", StudyInstanceUID=study, NumberOfStudyRelatedInstances=""))
    assert int(found[0].NumberOfStudyRelatedInstances) == len(images)


def test_a_server_killed_while_it_compacts_loses_nothing(own: Archive, sink: int) -> None:
    sent = Sent()
    mixed(own, sent, exams=8)
    for delay in (0.02, 0.05, 0.1, 0.2, 0.4):
        # Given a run, and images that come meanwhile
        asking = threading.Thread(
            target=lambda: own.command("compact", "--after-hours", "0", "--keep-hours", "0", "--data", own.data, check=False)
        )
        timer = threading.Timer(delay, own.kill)
        asking.start()
        timer.start()
        # When the server is killed in the midst of it
        timer.join()
        asking.join()
        own.start()
        # Then everything is there
        sent.assert_all_there(own, sink)
        sent.send(own, COUNTY, 3)
    # And a run that gets through leaves what is needed, once
    compact(own)
    sent.assert_all_there(own, sink)
    assert own.command("verify", "--data", own.data).returncode == 0
    needed = sum(len(raw.data) for images in sent.images.values() for raw in images.values())
    there = sum(path.stat().st_size for path in (own.data / "packs").iterdir() if path.is_file())
    assert there < 1.5 * needed + (4 << 20), (there, needed)


def test_packs_in_the_object_store_are_regrouped_there(
    fresh_archive: Callable[..., Archive], s3: S3, sink: int
) -> None:
    archive = evicting(fresh_archive, s3, sink)
    # Given mixed packs, all of them in the object store only
    sent = Sent()
    mixed(archive, sent)
    all_evicted(archive)
    before = {path.name for path in s3.packs()}
    assert len(before) > 3
    # When they are compacted
    said = compact(archive)
    # Then other objects have their images, and the old ones are gone
    assert not before & {path.name for path in s3.packs()}, said
    all_evicted(archive)
    sent.assert_all_there(archive, sink)
    archive.kill()
    archive.start()
    sent.assert_all_there(archive, sink)
    assert archive.command("verify", "--data", archive.data).returncode == 0
    # And while the object store is away nothing is given up
    mixed(archive, sent, exams=6)
    all_evicted(archive)
    s3.freeze()
    try:
        refused = archive.command("compact", "--after-hours", "0", "--data", archive.data, check=False)
        assert refused.returncode != 0, refused
    finally:
        s3.thaw()
    # Readers were told so for some seconds; a new start asks anew.
    archive.kill()
    archive.start()
    sent.assert_all_there(archive, sink)


def test_an_object_that_is_gone_keeps_no_other_pack(fresh_archive: Callable[..., Archive], s3: S3, sink: int) -> None:
    archive = evicting(fresh_archive, s3, sink)
    # Given packs in the object store, one of which somebody has removed there
    mixed(archive, Sent(), exams=12)
    all_evicted(archive)
    gone, *others = s3.packs()
    size = sum(path.stat().st_size for path in others)
    gone.unlink()
    # When packs are compacted, again and again
    run = ("compact", "--after-hours", "0", "--keep-hours", "0", "--data", archive.data)
    done = archive.command(*run, check=False)
    # Then that is said, the others are compacted all the same, and nothing piles up
    assert done.returncode != 0 and "读不到的影像" in done.stdout, done
    assert not set(others) & set(s3.packs())
    for _ in range(2):
        archive.command(*run, check=False)
        assert sum(path.stat().st_size for path in s3.packs()) < 1.1 * size


def test_a_copy_follows_what_is_compacted(own: Archive, sink: int, tmp_path: Path) -> None:
    place = tmp_path / "copy"
    sent = Sent()
    mixed(own, sent)
    back_up(own, place)
    copied = {path.stem for path in (place / "packs").glob("*.pack")}
    assert copied == pack_files(own)
    # (a copy that is not as long as its pack is kept aside, and made anew)
    cut = min((place / "packs").glob("*.pack"))
    cut.write_bytes(cut.read_bytes()[:-1])
    back_up(own, place)
    assert cut.read_bytes() == (own.data / "packs" / cut.name).read_bytes()
    assert len(list((place / "packs").glob("*.aside"))) == 1
    # When packs are compacted and the copy is brought up to date
    compact(own, keep_hours=24)
    assert copied < pack_files(own)
    back_up(own, place)
    # Then it has the new packs only, and an archive made of it has every image
    assert not copied & {path.stem for path in (place / "packs").glob("*.pack")}
    own.kill()
    restored, said = restore(place, own, tmp_path / "restored")
    assert "视图摘要与备份时相同" in said.stdout and "缺 (missing) 0" in said.stdout, said
    restored.start()
    sent.assert_all_there(restored, sink)
    assert restored.stop() == 0
