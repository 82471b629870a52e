"""A copy that is kept up while the archive serves, an archive made from it, and what a hospital is handed."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from pydicom import dcmread

from support import netdicom
from support.archive import Archive, binary
from support.exams import new_exam, study_of
from support.instances import RawInstance, ct_slices, raw_of
from support.listening import reach
from support.netdicom import moved
from support.registry import COUNTY, Registry


@pytest.fixture
def own(fresh_archive: Callable[..., Archive], sink: int) -> Archive:
    """An archive whose packs are sealed now and then."""
    settings = "[storage]\npack_bytes = 1048576\n\n[keys]"
    return fresh_archive(registry=Registry(peers={"SINK": sink}), settings=(("[keys]", settings),))


def sent(archive: Archive, count: int) -> tuple[dict, dict[str, RawInstance]]:
    """An exam with its images, by UID."""
    exam = archive.client().pushed(new_exam(images=count))
    raws = [raw_of(one) for one in ct_slices(exam, count)]
    netdicom.stored(archive.dicom, raws)
    return exam, {raw.sop_instance: raw for raw in raws}


def back_up(archive: Archive, place: Path) -> str:
    return archive.command("backup", "--once", "--to", place, "--data", archive.data).stdout


def restore(place: Path, archive: Archive, home: Path, check: bool = True) -> tuple[Archive, subprocess.CompletedProcess]:
    """An archive made from a copy, with the other's key; what the command said."""
    restored = Archive(home, registry=archive.registry, settings=archive.settings)
    settings = restored.home / "yingku.toml"
    said = restored.command("restore", "--from", place, "--data", restored.data, "--config", settings, check=check)
    (restored.data / "keys").mkdir(exist_ok=True)
    shutil.copy(archive.data / "keys" / "cluster.key", restored.data / "keys" / "cluster.key")
    return restored, said


def test_a_copy_kept_up_while_serving_becomes_the_same_archive(own: Archive, sink: int, tmp_path: Path) -> None:
    place = tmp_path / "copy"
    before, images = sent(own, 30)
    # Given a copy that is kept up, and says how far behind it is
    with (tmp_path / "said").open("w") as said:
        copying = subprocess.Popen([binary(), "backup", "--to", place, "--data", own.data], stdout=said)
    try:
        whole = "落后 (behind): 0 条 (records), 0 字节影像"
        reach(lambda: whole in (tmp_path / "said").read_text(), lambda: (tmp_path / "said").read_text())
        # When more comes, then the copy has it after a moment
        later, more = sent(own, 20)

        def copied() -> bool:
            manifest = json.loads((place / "backup.json").read_text())
            return manifest["position"] >= own.readiness()["end"]

        reach(copied, own.log_tail)
        # and a second copy to the same place is refused
        refused = own.command("backup", "--once", "--to", place, "--data", own.data, check=False)
        assert refused.returncode != 0 and "in use" in refused.stderr, refused
    finally:
        copying.terminate()
        copying.wait()
    own.kill()

    # Then an archive is made of it, proved, with every exam and image
    restored, said = restore(place, own, tmp_path / "restored")
    assert "视图摘要与备份时相同" in said.stdout and "缺 (missing) 0" in said.stdout, said
    restored.start()
    for exam, expected in ((before, images), (later, more)):
        received = moved(restored.dicom, sink, study_of(exam))
        assert {uid: raw.data for uid, raw in received.items()} == {uid: raw.data for uid, raw in expected.items()}
        assert restored.client("demo-reader").versions(exam)
    assert restored.command("verify", "--data", restored.data).returncode == 0
    assert restored.stop() == 0


def test_a_copy_goes_on_where_it_ended_and_is_of_one_archive(
    own: Archive, fresh_archive: Callable[..., Archive], sink: int, tmp_path: Path
) -> None:
    place = tmp_path / "copy"
    sent(own, 3)
    assert "落后 (behind): 0 条" in back_up(own, place)
    first = json.loads((place / "backup.json").read_text())
    exam, images = sent(own, 3)
    assert own.stop() == 0
    # Also of an archive that does not run
    back_up(own, place)
    second = json.loads((place / "backup.json").read_text())
    assert second["position"] > first["position"] and second["archive"] == first["archive"]

    other = fresh_archive()
    refused = other.command("backup", "--once", "--to", place, "--data", other.data, check=False)
    assert refused.returncode != 0 and "another archive" in refused.stderr, refused
    inside = other.command("backup", "--once", "--to", other.data / "copy", "--data", other.data, check=False)
    assert inside.returncode != 0 and "own directory" in inside.stderr, inside

    restored, said = restore(place, own, tmp_path / "restored")
    assert said.returncode == 0
    assert moved(restored.start().dicom, sink, study_of(exam)).keys() == images.keys()
    assert restored.stop() == 0
    again = restored.command("restore", "--from", place, "--data", restored.data, check=False)
    assert again.returncode != 0 and "is there already" in again.stderr, again


@pytest.mark.parametrize("what", ["record", "image"])
def test_a_copy_that_is_not_what_was_copied_is_told(own: Archive, tmp_path: Path, what: str) -> None:
    _, images = sent(own, 3)
    place = tmp_path / "copy"
    back_up(own, place)
    # Given a copy of which a bit was flipped
    if what == "record":
        path, at = max((place / "log").glob("*.sst"), key=lambda path: path.stat().st_size), 16
    else:
        sought = next(iter(images.values())).data[-64:]
        [path] = [path for path in (place / "packs").iterdir() if path.is_file() and sought in path.read_bytes()]
        at = path.read_bytes().find(sought)
    content = bytearray(path.read_bytes())
    content[at] ^= 1
    path.write_bytes(content)
    # When it is restored, then it is told, in words and by the exit status
    _, said = restore(place, own, tmp_path / "restored", check=False)
    assert said.returncode != 0
    assert ("damaged" in said.stderr) if what == "record" else ("损坏 (damaged) 1 处" in said.stdout), said


def test_a_hospital_is_handed_all_that_is_its_own_and_nothing_else(own: Archive, tmp_path: Path) -> None:
    exam, images = sent(own, 3)
    own.client().pushed({**exam, "examInfo": {**exam["examInfo"], "examStatus": "70", "device": "CT-2"}})
    hidden, hidden_images = sent(own, 2)
    own.command(
        "correct", "hide", f"{COUNTY}/{study_of(hidden)}", "--reason", "演示", "--author", "tester", "--data", own.data
    )
    foreign = own.client().pushed(new_exam(hospital="350007"))
    netdicom.stored(own.dicom, [raw_of(one) for one in ct_slices(foreign, 2)])
    to = tmp_path / "handed"
    said = own.command("export", "--hospital", COUNTY, "--to", to, "--data", own.data).stdout
    assert "读不出 (unreadable) 0" in said, said

    def lines(name: str) -> list[dict]:
        return [json.loads(line) for line in (to / name).read_text(encoding="utf-8").splitlines()]

    manifest = json.loads((to / "manifest.json").read_text())
    assert manifest["counts"]["exams"] == 2 and manifest["counts"]["images"] == 5
    assert [push["content"]["examNo"] for push in lines("pushes.jsonl")] == [exam["examNo"]] * 2 + [hidden["examNo"]]
    assert {line["examNo"]: line["versions"] for line in lines("exams.jsonl")} == {exam["examNo"]: 2, hidden["examNo"]: 1}
    assert [line["action"] for line in lines("corrections.jsonl")] == ["hideInstances"]
    expected = images | hidden_images
    told = lines("images.jsonl")
    assert {line["sopInstanceUID"] for line in told} == expected.keys()
    for line in told:
        assert line["state"] == ("hidden" if line["studyUID"] == study_of(hidden) else "shown")
        # Each is a file that others read, with the data set as it came
        read = dcmread(to / line["file"])
        assert read.SOPInstanceUID == line["sopInstanceUID"]
        assert all(len(part) == 8 for part in Path(line["file"]).parts[1:])
        assert (to / line["file"]).read_bytes().endswith(expected[line["sopInstanceUID"]].data)
    for path in to.rglob("*"):
        assert exam["patientInfo"]["name"] not in path.name
        if path.is_file():
            assert foreign["examNo"].encode() not in path.read_bytes()
    again = own.command("export", "--hospital", COUNTY, "--to", to, "--data", own.data, check=False)
    assert again.returncode != 0 and "已存在" in again.stderr
    assert replace(own).alive()
