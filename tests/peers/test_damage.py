"""Wrong bytes are found and never served; a full disk refuses and recovers."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from pydicom.dataset import Dataset
from pynetdicom import build_context
from pynetdicom.sop_class import StudyRootQueryRetrieveInformationModelFind

from support import netdicom
from support.archive import Archive, free_port
from support.contract import Answer
from support.exams import new_exam, study_of
from support.instances import RawInstance, ct_slices, raw_of
from support.listening import reach
from support.netdicom import Destination, move, query
from support.registry import Registry

# Other programs use the disk as well: the margins are wider than what they take during the test.
MARGIN_BYTES = 1 << 30


def places_of(content: bytes, folder: Path) -> list[tuple[Path, int]]:
    """Where these bytes lie on disk."""
    found = []
    for path in folder.rglob("*"):
        if path.is_file():
            at = path.read_bytes().find(content)
            if at >= 0:
                found.append((path, at))
    return found


def flip(path: Path, at: int) -> None:
    with path.open("r+b") as file:
        file.seek(at)
        byte = file.read(1)[0]
        file.seek(at)
        file.write(bytes([byte ^ 0x01]))


def test_an_image_with_a_flipped_bit_is_not_served_until_it_is_sent_again(fresh_archive: Callable[..., Archive]) -> None:
    sink = free_port()
    archive = fresh_archive(registry=Registry(peers={"SINK": sink}))
    exam = archive.client().pushed(new_exam(images=2))
    slices = ct_slices(exam, 2)
    for image in slices:
        image.PixelData = os.urandom(len(image.PixelData))
    netdicom.stored(archive.dicom, [raw_of(image) for image in slices])
    assert archive.stop() == 0

    # Given one flipped bit in the middle of the first image's pixels
    damaged, whole = slices
    places = places_of(damaged.PixelData[:4096], archive.data)
    assert len(places) == 1, f"one stored form is expected: {places}"
    flip(places[0][0], places[0][1] + 2048)

    # When the damage is looked for, it is found
    checked = archive.command("verify", "--config", archive.home / "yingku.toml", "--data", archive.data, check=False)
    assert checked.returncode != 0
    assert damaged.SOPInstanceUID in checked.stdout + checked.stderr

    # and when the study is moved, only the whole image leaves, and the other is named
    archive.start()
    with Destination(sink) as destination:
        [*_, (final, identifier)] = move(archive.dicom, "SINK", query("STUDY", StudyInstanceUID=study_of(exam)))
    assert set(destination.received) == {whole.SOPInstanceUID}
    assert (final.NumberOfCompletedSuboperations, final.NumberOfFailedSuboperations) == (1, 1)
    assert identifier.FailedSOPInstanceUIDList == damaged.SOPInstanceUID

    # and when the image is sent again, the whole study leaves
    netdicom.stored(archive.dicom, [raw_of(damaged)])
    with Destination(sink) as destination:
        [*_, (final, _)] = move(archive.dicom, "SINK", query("STUDY", StudyInstanceUID=study_of(exam)))
    assert set(destination.received) == {damaged.SOPInstanceUID, whole.SOPInstanceUID}
    assert final.NumberOfFailedSuboperations == 0


def test_in_place_of_lost_packs_nothing_else_is_served(fresh_archive: Callable[..., Archive]) -> None:
    # Given an archive whose packs are gone
    sink = free_port()
    archive = fresh_archive(registry=Registry(peers={"SINK": sink}))
    lost = archive.client().pushed(new_exam())
    netdicom.stored(archive.dicom, [raw_of(image) for image in ct_slices(lost, 1)])
    assert archive.stop() == 0
    shutil.rmtree(archive.data / "packs")

    # When it goes on, and stores as much again
    archive.start()
    assert "packs that the log names are not in the packs directory" in archive.log_tail()
    fresh = archive.client().pushed(new_exam())
    [image] = ct_slices(fresh, 1)
    netdicom.stored(archive.dicom, [raw_of(image)])

    # Then the new image leaves, and for the lost one nothing
    with Destination(sink) as destination:
        [*_, (final, _)] = move(archive.dicom, "SINK", query("STUDY", StudyInstanceUID=study_of(lost)))
        assert (final.NumberOfCompletedSuboperations, final.NumberOfFailedSuboperations) == (0, 1)
        move(archive.dicom, "SINK", query("STUDY", StudyInstanceUID=study_of(fresh)))
    assert set(destination.received) == {image.SOPInstanceUID}


def test_packs_of_another_archive_are_refused(fresh_archive: Callable[..., Archive]) -> None:
    archives = [fresh_archive(), fresh_archive()]
    for archive in archives:
        exam = archive.client().pushed(new_exam())
        netdicom.stored(archive.dicom, [raw_of(image) for image in ct_slices(exam, 1)])
        assert archive.stop() == 0
    ours, theirs = archives
    shutil.rmtree(ours.data / "packs")
    shutil.copytree(theirs.data / "packs", ours.data / "packs")
    with pytest.raises(AssertionError, match="another archive's"):
        ours.start()


def whole_on_disk(fresh_archive: Callable[..., Archive]) -> tuple[Archive, dict]:
    """A stopped archive with an exam and its images. RocksDB writes what it had in memory to table files at a start."""
    archive = fresh_archive()
    exam = archive.client().pushed(new_exam(images=2))
    netdicom.stored(archive.dicom, [raw_of(image) for image in ct_slices(exam, 2)])
    assert archive.stop() == 0
    archive.start()
    assert archive.stop() == 0
    return archive, exam


def is_chinese(text: str) -> bool:
    return any("\u4e00" <= character <= "\u9fff" for character in text)


def test_a_flipped_byte_in_the_views_is_found_and_not_served(fresh_archive: Callable[..., Archive], tmp_path: Path) -> None:
    archive, exam = whole_on_disk(fresh_archive)
    number = {"hospitalCode": exam["hospitalCode"], "examNo": exam["examNo"]}
    day = {"from": "2026-07-04", "to": "2026-07-04"}
    kept = tmp_path / "kept"
    shutil.copytree(archive.data, kept)

    def answers() -> list[Answer]:
        reader = archive.client("demo-reader")
        return [
            reader.post(name, body)
            for name, body in (("exam/query", number), ("exam/detail", number), ("statistics/reconcile", day))
        ]

    def studies() -> tuple[int, list[Dataset]]:
        model = StudyRootQueryRetrieveInformationModelFind
        with netdicom.associate(archive.dicom, [build_context(model)]) as association:
            asked = query("STUDY", StudyInstanceUID=study_of(exam), AccessionNumber="", PatientID="")
            *found, (final, _) = association.send_c_find(asked, model)
        return final.Status, [match for _, match in found]

    archive.start()
    right = [answer.body for answer in answers()]
    [study] = studies()[1]
    assert archive.stop() == 0

    tables = sorted(kept.glob("views/*/*.sst"))
    assert len(tables) >= 5, tables
    refused = 0
    for table in tables:
        # Given one flipped byte in the rows of one view
        shutil.rmtree(archive.data)
        shutil.copytree(kept, archive.data)
        flip(archive.data / table.relative_to(kept), 16)
        archive.log_path.unlink()
        archive.start()
        # Then every answer is the right one, or a refusal in words
        for answer, expected in zip(answers(), right, strict=True):
            if answer.body != expected:
                assert (answer.http, answer.status) == (500, 500), answer
                assert is_chinese(answer.message) and answer.result is None, answer
                refused += 1
        status, found = studies()
        if status == 0x0000:
            assert found == [study]
        else:
            assert (status, found) == (0xC0FF, [])
            refused += 1
        # and it is found, and mended from the log while the archive serves
        verified = archive.command("verify", "--data", archive.data, check=False)
        if verified.returncode != 0:
            assert "视图 (views): 损坏 (damaged)" in verified.stdout, verified
        reach(lambda: archive.readiness()["ready"], archive.log_tail)
        assert "views are damaged and made anew" in archive.log_tail(), table
        assert archive.command("verify", "--data", archive.data).returncode == 0
        assert [answer.body for answer in answers()] == right
        assert studies() == (0x0000, [study])
        assert archive.stop() == 0
    assert refused > 0, "no answer needed a damaged row"


def test_a_flipped_byte_in_the_log_keeps_the_archive_from_serving(fresh_archive: Callable[..., Archive]) -> None:
    # Given one flipped byte in a table of the log, or in what was written last
    archive, _ = whole_on_disk(fresh_archive)
    tables = list((archive.data / "log").glob("*.sst"))
    flip(max(tables, key=lambda path: path.stat().st_size), 16)
    refuses_with_words(archive)

    archive = fresh_archive()
    first, _ = (archive.client().pushed(new_exam()) for _ in range(2))
    archive.kill()
    [(journal, at)] = places_of(first["examNo"].encode(), archive.data / "log")
    flip(journal, at)
    refuses_with_words(archive)


def refuses_with_words(archive: Archive) -> None:
    """To serve, and to verify; no table of the log is changed by that."""
    content = {path: path.read_bytes() for path in (archive.data / "log").glob("*.sst")}
    with pytest.raises(AssertionError, match="the archive did not start"):
        archive.start()
    archive.process = None
    verified = archive.command("verify", "--data", archive.data, check=False)
    assert verified.returncode == 1
    for words in (archive.log_tail(), verified.stderr):
        assert "is damaged" in words and "yingku log repair" in words, words
    assert content == {path: path.read_bytes() for path in content}


def free_bytes(folder: Path) -> int:
    stat = os.statvfs(folder)
    return stat.f_bavail * stat.f_frsize


@contextmanager
def filled(folder: Path, size: int) -> Iterator[None]:
    """A file that takes away space while it is there."""
    path = folder / "filler"
    try:
        with path.open("wb") as file:
            os.posix_fallocate(file.fileno(), 0, size)
        yield
    finally:
        path.unlink(missing_ok=True)


@pytest.mark.timeout(180)
def test_a_full_disk_refuses_and_goes_on_when_there_is_space(fresh_archive: Callable[..., Archive], tmp_path: Path) -> None:
    reserve = free_bytes(tmp_path) - MARGIN_BYTES
    archive = fresh_archive(settings=(("[keys]", f"[storage]\nreserve_bytes = {reserve}\n\n[keys]"),))
    client = archive.client()
    exam = client.pushed(new_exam(images=8))
    raws: list[RawInstance] = [raw_of(image) for image in ct_slices(exam, 8)]
    netdicom.stored(archive.dicom, raws[:1])

    with filled(tmp_path, 2 * MARGIN_BYTES):
        # Stores are refused with 0xA700, pushes with a clear message
        reach(lambda: netdicom.store(archive.dicom, raws[1:2])[0].Status == 0xA700, lambda: "a store is refused")
        answer = client.push(new_exam())
        assert answer.http == 503, answer
        assert answer.status != 0
        assert answer.message
        # and reading goes on
        assert len(netdicom.find(archive.dicom, query("STUDY", StudyInstanceUID=study_of(exam)))) == 1

    # and when space returns, the work does
    reach(lambda: netdicom.store(archive.dicom, raws[2:3])[0].Status == 0x0000, lambda: "a store is taken again")
    netdicom.stored(archive.dicom, raws)
    client.pushed(new_exam())
