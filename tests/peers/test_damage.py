"""Wrong bytes are found and never served; a full disk refuses and recovers."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from support import netdicom
from support.archive import Archive, free_port
from support.exams import new_exam, study_of
from support.instances import RawInstance, ct_slices, raw_of
from support.netdicom import Destination, move, query
from support.registry import Registry

# The archive watches the free space by itself; it may take so long to notice.
NOTICE_LIMIT_S = 30.0
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


def until(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + NOTICE_LIMIT_S
    while not condition():
        assert time.monotonic() < deadline, f"not within {NOTICE_LIMIT_S} s: {what}"
        time.sleep(0.2)  # between two attempts


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
        until(lambda: netdicom.store(archive.dicom, raws[1:2])[0].Status == 0xA700, "a store is refused")
        answer = client.push(new_exam())
        assert answer.http == 503, answer
        assert answer.status != 0
        assert answer.message
        # and reading goes on
        assert len(netdicom.find(archive.dicom, query("STUDY", StudyInstanceUID=study_of(exam)))) == 1

    # and when space returns, the work does
    until(lambda: netdicom.store(archive.dicom, raws[2:3])[0].Status == 0x0000, "a store is taken again")
    netdicom.stored(archive.dicom, raws)
    client.pushed(new_exam())
