"""The log and the packs against each other: what the log tells of is in the packs, or missed by name."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable

from pydicom.dataset import Dataset

from support import netdicom
from support.archive import Archive, free_port
from support.exams import new_exam, study_of
from support.instances import ct_slices, raw_of
from support.netdicom import Destination, find, move, query
from support.registry import TEST_MODE, Registry


def stored_exam(archive: Archive, count: int = 2, side: int = 32, **more: object) -> tuple[dict, list[Dataset]]:
    """A pushed exam and its slices of random pixels, stored."""
    exam = archive.client().pushed(new_exam(images=count, **more))
    slices = ct_slices(exam, count)
    for one in slices:
        one.Rows = one.Columns = side
        one.PixelData = os.urandom(2 * side * side)
    netdicom.stored(archive.dicom, [raw_of(one) for one in slices])
    return exam, slices


def counted(archive: Archive, exam: dict) -> int:
    matches = find(archive.dicom, query("STUDY", StudyInstanceUID=study_of(exam), NumberOfStudyRelatedInstances=""))
    return int(matches[0].NumberOfStudyRelatedInstances) if matches else 0


def moved(archive: Archive, exam: dict, sink: int) -> dict[str, bytes]:
    with Destination(sink) as destination:
        move(archive.dicom, "SINK", query("STUDY", StudyInstanceUID=study_of(exam)))
        return {uid: raw.data for uid, raw in destination.received.items()}


def verified(archive: Archive) -> tuple[int, str]:
    place = ("--config", archive.home / "yingku.toml", "--data", archive.data)
    done = archive.command("verify", *place, check=False)
    return done.returncode, done.stdout


def flip(archive: Archive, content: bytes) -> None:
    """Flips a bit of a stored image."""
    [pack] = [path for path in (archive.data / "packs").glob("*.open") if content in path.read_bytes()]
    at = pack.read_bytes().find(content) + len(content) // 2
    with pack.open("r+b") as file:
        file.seek(at)
        byte = file.read(1)[0]
        file.seek(at)
        file.write(bytes([byte ^ 1]))


def test_a_damaged_last_image_of_a_pack_is_kept_missed_by_name_and_whole_again_once_sent(fresh_archive: Callable[..., Archive]) -> None:
    sink = free_port()
    archive = fresh_archive(registry=Registry(peers={"SINK": sink}))
    exam, slices = stored_exam(archive)
    first, last = slices
    # Given a kill, so that the pack is read through, and a flipped bit in the last image that was acknowledged
    archive.kill()
    flip(archive, last.PixelData)
    size = sum(path.stat().st_size for path in (archive.data / "packs").glob("*.open"))
    # When the archive starts, then nothing is cut off
    archive.start()
    assert "a stored instance, the last of its pack, is not as it was written" in archive.log_tail(20_000)
    assert sum(path.stat().st_size for path in (archive.data / "packs").glob("*.open")) == size
    # Who asks is told
    code, said = verified(archive)
    assert code == 1 and "缺 1 份" in said, said
    assert set(moved(archive, exam, sink)) == {first.SOPInstanceUID}
    # And after one more start as well
    archive.kill()
    archive.start()
    assert verified(archive)[0] == 1
    netdicom.stored(archive.dicom, [raw_of(last)])
    assert moved(archive, exam, sink)[last.SOPInstanceUID] == raw_of(last).data


def test_a_pack_that_was_deleted_is_missed(fresh_archive: Callable[..., Archive]) -> None:
    small = (("[keys]", "[storage]\npack_bytes = 1048576\n\n[keys]"),)
    archive = fresh_archive(settings=small)
    stored_exam(archive, count=4, side=700)  # some 4 MB: several packs
    archive.stop()
    assert verified(archive)[0] == 0
    packs = sorted((archive.data / "packs").glob("*.pack"))
    assert len(packs) > 1
    packs[0].unlink()
    code, said = verified(archive)
    assert code == 1 and f"{packs[0].stem}: 日志所列影像缺" in said, said
    archive.start()
    assert "packs that the log names are not in the packs directory" in archive.log_tail()


def test_what_was_purged_does_not_come_back_with_a_crash(fresh_archive: Callable[..., Archive]) -> None:
    archive = fresh_archive()
    exam, _ = stored_exam(archive, hospital=TEST_MODE)
    why = ("--reason", "上线前清理", "--author", "王医生", "--data", archive.data)
    archive.command("purge-test-data", TEST_MODE, *why)
    assert counted(archive, exam) == 0
    archive.kill()
    archive.start()
    assert "brought into it" not in archive.log_tail(20_000)
    cells = archive.client("demo-reader").reconcile("2026-07-04", hospitalCode=TEST_MODE)
    assert not any(cell["held"] for cell in cells), cells


def test_images_that_a_repaired_log_lacks_are_brought_back_from_sealed_packs(fresh_archive: Callable[..., Archive]) -> None:
    small = (("[keys]", "[storage]\npack_bytes = 1048576\n\n[keys]"),)
    archive = fresh_archive(settings=small)
    exam = archive.client().pushed(new_exam(images=4))
    archive.stop()
    # Given a log that ends before the images came, whose packs are sealed
    shutil.copytree(archive.data / "log", archive.home / "log.before")
    archive.start()
    slices = ct_slices(exam, 4)
    for one in slices:
        one.Rows = one.Columns = 700
        one.PixelData = os.urandom(2 * 700 * 700)
    netdicom.stored(archive.dicom, [raw_of(one) for one in slices])
    assert counted(archive, exam) == 4
    archive.stop()

    def with_the_earlier_log() -> None:
        shutil.rmtree(archive.data / "log")
        shutil.copytree(archive.home / "log.before", archive.data / "log")
        shutil.rmtree(archive.data / "views")

    # When it starts, then sealed packs of which the log does not tell at all are brought into it
    with_the_earlier_log()
    archive.start()
    assert counted(archive, exam) == 4
    archive.stop()
    # And when packs are put back while it serves
    with_the_earlier_log()
    aside = archive.home / "aside"
    aside.mkdir()
    for pack in (archive.data / "packs").glob("*.pack"):
        shutil.move(pack, aside)
    archive.start()
    assert counted(archive, exam) < 4
    for pack in aside.iterdir():
        shutil.move(pack, archive.data / "packs")
    # Then they are all there once the packs are read again, and a second time brings nothing
    place = ("--data", archive.data)
    archive.command("rescan", *place)
    assert counted(archive, exam) == 4
    assert "log): 0 " in archive.command("rescan", *place).stdout
    assert verified(archive)[0] == 0
