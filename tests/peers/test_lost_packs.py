"""Packs whose disk is gone: what lay in them is missing, by name, until it is sent again or the packs are found."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

from support import netdicom
from support.archive import Archive
from support.exams import new_exam, study_of
from support.instances import ct_slices, raw_of
from support.netdicom import find, moved, query
from support.registry import COUNTY, Registry

DAY = "2014-03-04"


def register(archive: Archive, *arguments: str, check: bool = True):
    return archive.command(
        "pack-lost", *arguments, "--reason", "示例", "--author", "王医生", "--data", archive.data, check=check
    )


def state(archive: Archive) -> tuple[int, int, int]:
    """Examinations of the day: complete, partly here, missing."""
    [row] = [row for row in archive.client("demo-reader").reconcile(DAY) if row["hospitalCode"] == COUNTY]
    images = row["images"]
    return images["complete"], images["partly"], images["missing"]


def test_what_lay_in_a_lost_pack_is_missing_until_it_comes_again(
    fresh_archive: Callable[..., Archive], sink: int, tmp_path: Path
) -> None:
    # Given two exams whose images lie in two packs
    archive = fresh_archive(registry=Registry(peers={"SINK": sink}))
    exams = [archive.client().pushed(new_exam(images=2, day=DAY)) for _ in range(2)]
    raws = [[raw_of(one) for one in ct_slices(exam, 2)] for exam in exams]
    packs = archive.data / "packs"
    netdicom.stored(archive.dicom, raws[0])
    archive.stop()
    archive.start()
    netdicom.stored(archive.dicom, raws[1])
    assert state(archive) == (2, 0, 0)
    first = min(path for path in packs.iterdir() if path.suffix in (".open", ".pack"))

    # A pack that is there is not lost, and an unknown one is said to be unknown
    refused = register(archive, first.stem, check=False)
    assert refused.returncode != 0 and "未丢失" in refused.stderr, refused
    refused = register(archive, "0000-0000000000ff", check=False)
    assert refused.returncode != 0 and "日志中没有此影像包" in refused.stderr, refused

    # When the first pack is gone
    archive.kill()
    kept = tmp_path / "kept"
    shutil.copytree(packs, kept)
    gone = [path for path in packs.iterdir() if path.stem == first.stem]
    for path in gone:
        path.unlink()
    archive.start()
    assert "2" in register(archive, "--node", "0", "--dry-run").stdout
    assert state(archive) == (2, 0, 0)
    said = register(archive, "--node", "0").stdout
    assert f"{COUNTY}/{study_of(exams[0])}: 2" in said and study_of(exams[1]) not in said, said

    # Then its exam's images are missing, the other's are not, and nothing is said to be lost twice
    assert state(archive) == (1, 0, 1)
    assert find(archive.dicom, query("STUDY", StudyInstanceUID=study_of(exams[0]))) == []
    assert "影像 (instances) 0" in register(archive, "--node", "0").stdout
    assert archive.command("verify", "--data", archive.data).returncode == 0

    # And when they are sent again, they are there, also in views made anew
    netdicom.stored(archive.dicom, raws[0])
    assert state(archive) == (2, 0, 0)
    assert {uid: raw.data for uid, raw in moved(archive.dicom, sink, study_of(exams[0])).items()} == {
        raw.sop_instance: raw.data for raw in raws[0]
    }
    before = archive.command("digest", "--data", archive.data).stdout
    archive.command("rebuild", "--data", archive.data)
    assert archive.command("digest", "--data", archive.data).stdout == before


def test_a_lost_pack_that_is_found_is_brought_back(fresh_archive: Callable[..., Archive], sink: int, tmp_path: Path) -> None:
    archive = fresh_archive(registry=Registry(peers={"SINK": sink}))
    exam = archive.client().pushed(new_exam(images=2, day=DAY))
    netdicom.stored(archive.dicom, [raw_of(one) for one in ct_slices(exam, 2)])
    archive.kill()
    packs, away = archive.data / "packs", tmp_path / "away"
    away.mkdir()
    for path in [path for path in packs.iterdir() if path.suffix in (".open", ".pack")]:
        shutil.move(path, away)
    archive.start()
    register(archive, "--node", "0")
    assert state(archive) == (0, 0, 1)
    archive.kill()
    for path in away.iterdir():
        shutil.move(path, packs)
    archive.start()
    archive.command("rescan", "--data", archive.data)
    assert state(archive) == (1, 0, 0)
    assert len(moved(archive.dicom, sink, study_of(exam))) == 2
