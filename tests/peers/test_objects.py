"""Images in a real S3 server: they leave the disk and come back byte for byte, whatever dies in between."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path

import pytest
import requests
from pydicom.dataset import Dataset

from support import dcmtk
from support.archive import Archive
from support.exams import new_exam, study_of
from support.instances import ct_slices, save_all
from support.listening import reach
from support.objects import ACCOUNT, S3, all_evicted, standing
from support.registry import Registry


@pytest.fixture
def archive_with(fresh_archive: Callable[..., Archive], s3: S3, sink: int) -> Callable[..., Archive]:
    """An archive that evicts what is uploaded at once."""

    def make(pack_bytes: int) -> Archive:
        settings = (
            ("[objects]", f"[storage]\npack_bytes = {pack_bytes}\n\n[objects]"),
            ("accept_node_loss", "cache_bytes = 0\naccept_node_loss"),
        )
        return fresh_archive(
            registry=Registry(peers={"SINK": sink}),
            settings=settings,
            arguments=("--objects", s3.location),
            environment=ACCOUNT,
        )

    return make


def sent_exam(archive: Archive, folder: Path, count: int, pixels: int | None = None) -> tuple[dict, list[Dataset]]:
    """Pushed, and its slices stored by dcmsend; `pixels`: rows and columns of random ones."""
    exam = archive.client().pushed(new_exam(images=count))
    slices = ct_slices(exam, count)
    if pixels is not None:
        for one in slices:
            one.Rows = one.Columns = pixels
            one.PixelData = os.urandom(2 * pixels * pixels)
    save_all(slices, folder)
    ran = dcmtk.dcmsend(archive.dicom, folder)
    assert ran.code == 0, ran.output
    return exam, slices


def sealed_by_a_restart(archive: Archive) -> None:
    """A start seals what the last run left open."""
    assert archive.stop() == 0
    archive.start()


def local_bytes(archive: Archive) -> int:
    return sum(path.stat().st_size for path in (archive.data / "packs").glob("*.open"))


def assert_moves(archive: Archive, sink: int, folder: Path, exam: dict, slices: list[Dataset]) -> None:
    with dcmtk.StoreScp(sink, folder) as destination:
        ran = dcmtk.movescu(archive.dicom, "SINK", "STUDY", f"StudyInstanceUID={study_of(exam)}")
        assert ran.code == 0, ran.output
        assert destination.received() == {one.SOPInstanceUID: one for one in slices}


def test_images_leave_the_disk_and_are_moved_byte_for_byte(
    archive_with: Callable[..., Archive], s3: S3, sink: int, tmp_path: Path
) -> None:
    archive = archive_with(pack_bytes=1 << 20)
    exam, slices = sent_exam(archive, tmp_path / "sent", 60)
    sealed_by_a_restart(archive)
    all_evicted(archive)
    assert s3.packs()

    assert_moves(archive, sink, tmp_path / "moved", exam, slices)
    place = ("--config", archive.home / "yingku.toml", "--data", archive.data)
    assert "完好" in archive.command("verify", *place).stdout
    archive.command("rebuild", *place)

    # and after kill -9
    archive.kill()
    archive.start()
    assert_moves(archive, sink, tmp_path / "moved again", exam, slices)
    shown = archive.command("status", *place).stdout
    assert s3.location in shown
    assert not any(secret in shown + archive.log_tail() for secret in ACCOUNT.values())


@pytest.mark.timeout(300)
def test_kill_9_amid_an_upload_loses_nothing_and_leaves_nothing(
    archive_with: Callable[..., Archive], s3: S3, sink: int, tmp_path: Path
) -> None:
    archive = archive_with(pack_bytes=200 << 20)
    exam, slices = sent_exam(archive, tmp_path / "sent", 240, pixels=512)
    assert archive.stop() == 0
    archive.start()

    # Given an upload that the server knows and does not answer any more
    begun = archive.data / "packs"
    reach(lambda: any(begun.glob("*.upload")), archive.log_tail)
    s3.freeze()
    archive.kill()
    assert any(begun.glob("*.upload"))

    s3.thaw()
    archive.start()
    all_evicted(archive)
    assert s3.unfinished_uploads() == []
    assert_moves(archive, sink, tmp_path / "moved", exam, slices)


def test_while_s3_is_away_images_are_taken_and_afterwards_they_go(
    archive_with: Callable[..., Archive], s3: S3, sink: int, tmp_path: Path
) -> None:
    archive = archive_with(pack_bytes=1 << 20)
    before, early = sent_exam(archive, tmp_path / "early", 30)
    sealed_by_a_restart(archive)
    all_evicted(archive)

    s3.stop()
    exam, slices = sent_exam(archive, tmp_path / "sent", 60)
    # Known to the operator, and no reason to send work elsewhere
    reach(lambda: standing(archive)["problem"] is not None, archive.log_tail)
    assert standing(archive)["backlogPacks"] > 0
    figures = requests.get(f"{archive.http}/metrics", timeout=10).text
    assert re.search(r"^yingku_objects_problem 1$", figures, re.MULTILINE), figures
    assert re.search(r"^yingku_upload_backlog_bytes [1-9]", figures, re.MULTILINE), figures
    assert_moves(archive, sink, tmp_path / "moved", exam, slices)
    # What lies there only fails, each image by itself, and the archive goes on
    ran = dcmtk.movescu(archive.dicom, "SINK", "STUDY", f"StudyInstanceUID={study_of(before)}")
    assert ran.code != 0 or "Failed" in ran.output, ran.output
    # Sent again meanwhile, they are not stored a second time
    kept = standing(archive)["localBytes"], local_bytes(archive)
    ran = dcmtk.dcmsend(archive.dicom, tmp_path / "early")
    assert ran.code == 0, ran.output
    assert (standing(archive)["localBytes"], local_bytes(archive)) == kept
    # A start without it is possible
    assert archive.stop() == 0
    archive.start()

    s3.start()
    all_evicted(archive)
    assert_moves(archive, sink, tmp_path / "moved late", exam, slices)
    assert_moves(archive, sink, tmp_path / "moved early", before, early)


def test_a_place_that_cannot_be_used_is_refused_at_the_start(s3: S3, tmp_path: Path) -> None:
    archive = Archive(
        tmp_path / "archive",
        arguments=("--objects", s3.location.replace("yingku", "no-such-bucket")),
        environment=ACCOUNT,
    )
    with pytest.raises(AssertionError, match="the bucket is not there"):
        archive.start()
    wrong = ACCOUNT | {"AWS_SECRET_ACCESS_KEY": "another"}
    archive = Archive(tmp_path / "another", arguments=("--objects", s3.location), environment=wrong)
    with pytest.raises(AssertionError, match="AWS_SECRET_ACCESS_KEY"):
        archive.start()
