"""The national imaging index from the push to the authority's answer, through kill -9 during an export."""

from __future__ import annotations

import csv
import json
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from support.archive import Archive, binary
from support.exams import new_exam
from support.registry import COUNTY

PERSON = "10000000000000000708463177"
UNIT = "123502004266007916"
DAY = "2026-07-04"
SETTINGS = f"""[settings.national_index]
person_id_type = "88"
[[hospital]]
code = "{COUNTY}"
name = "示例县医院"
prefix = "7173"
yyid00 = "6930"
credit_code = "{UNIT}"
"""
# Enough for several records of an export.
MANY = 2_500
NOTE_LIMIT_S = 60


@pytest.fixture
def own(fresh_archive: Callable[..., Archive]) -> Archive:
    return fresh_archive()


def set_up(archive: Archive) -> None:
    file = archive.home / "index.toml"
    file.write_text(SETTINGS, encoding="utf-8")
    archive.command("registry", "import", file, "--data", archive.data)


def exam_of(number: int) -> dict:
    """An exam of a person of its own, since more exams than a day has minutes would collide."""
    exam = new_exam(day=DAY)
    exam["patientInfo"]["identity"] = [{"idType": "88", "idNumber": str(int(PERSON) + number)}]
    return exam


def index_of(archive: Archive, exam: dict) -> dict:
    key = {"hospitalCode": exam["hospitalCode"], "examNo": exam["examNo"]}
    answer = archive.client("demo-reader").post("index/query", key)
    assert (answer.http, answer.status) == (200, 0), answer
    [row] = answer.rows
    return row


def export(archive: Archive, name: str, *more: str) -> list[dict]:
    """Lines of a file, none if nothing was owed."""
    file = archive.home / name
    archive.command("index", "export", "--out", file, *more, "--data", archive.data)
    return lines_of(file)


def lines_of(file: Path) -> list[dict]:
    if not file.exists():
        return []
    with file.open(encoding="utf-8-sig", newline="") as lines:
        rows = list(csv.DictReader(lines))
    manifest = json.loads(Path(f"{file}.manifest.json").read_text(encoding="utf-8"))
    assert manifest["lines"] == len(rows)
    assert manifest["new"] + manifest["replace"] + manifest["withdraw"] == len(rows)
    return rows


def digests_agree(archive: Archive) -> None:
    def digest() -> str:
        return archive.command("digest", "--data", archive.data).stdout

    before = digest()
    archive.command("rebuild", "--data", archive.data)
    assert digest() == before


def test_an_index_goes_from_the_push_to_the_authority_and_back(own: Archive) -> None:
    # Given an exam of before, one with a person code, and one without
    early, bare = exam_of(1), new_exam(day=DAY)
    own.client().pushed(early)
    assert index_of(own, early)["state"] == "none"
    set_up(own)
    exam = exam_of(2)
    for each in (exam, bare):
        own.client().pushed(each)
    formed = index_of(own, exam)
    assert formed["index"] == f"{int(PERSON) + 2}-202607041054-{'0' * 9}-{'0' * 13}-{UNIT}"
    assert [lack["part"] for lack in index_of(own, bare)["lacks"]] == ["personCode"]
    # When the past is caught up with, and a table gives the code that no push had
    identity = bare["patientInfo"]["identity"][0]["idNumber"]
    table = own.home / "persons.csv"
    table.write_text(f"证件号,个人编码\n{identity},{int(PERSON) + 3}\n", encoding="utf-8")
    own.command("index", "form", "--from", DAY, "--to", DAY, "--persons", table, "--data", own.data)
    indexes = [index_of(own, each)["index"] for each in (early, exam, bare)]
    # Then the file has each once
    rows = export(own, "first.csv")
    assert {(row["action"], row["index"]) for row in rows} == {("new", index) for index in indexes}
    assert export(own, "again.csv") == []
    # And the authority's answers stand beside them
    answers = own.home / "answers.csv"
    answers.write_text(f"{indexes[0]},成功\n{indexes[1]},refused,无此人\n", encoding="utf-8")
    own.command("index", "import-results", answers, "--data", own.data)
    assert index_of(own, early)["state"] == "acknowledged"
    refused = index_of(own, exam)
    assert (refused["state"], refused["reason"]) == ("refused", "无此人")
    # A corrected time, and a withdrawal
    exam["examInfo"]["examTime"] = f"{DAY} 11:00:00"
    own.client().pushed(exam)
    key = {"hospitalCode": early["hospitalCode"], "examNo": early["examNo"]}
    own.client().post("exam/withdraw", {**key, "reason": "误传", "author": "王医生"})
    rows = {row["action"]: row for row in export(own, "second.csv")}
    assert rows["replace"]["replaces"] == indexes[1]
    assert rows["withdraw"]["index"] == indexes[0]
    citing = own.client("demo-supervisor")
    [replaced] = citing.post("index/resolve", {"index": indexes[1]}).rows
    assert (replaced["holding"], replaced["currentIndex"]) == ("replaced", rows["replace"]["index"])
    [gone] = citing.post("index/resolve", {"index": indexes[0]}).rows
    assert gone["holding"] == "withdrawn"
    digests_agree(own)


def test_exams_of_one_index_are_listed_and_not_told(own: Archive) -> None:
    set_up(own)
    for exam in (exam_of(1), exam_of(1)):
        own.client().pushed(exam)
    listed = own.command("findings", "index-collision", "--data", own.data).stdout
    assert "2" in listed.splitlines()[0] and PERSON[:-1] not in listed, listed
    assert export(own, "none.csv") == []


@pytest.mark.timeout(300)
def test_kill_9_during_an_export_tells_nothing_twice_and_loses_nothing(own: Archive) -> None:
    # Given many exams of which the authority is to be told
    set_up(own)
    client = own.client()
    exams = [client.pushed(exam_of(number)) for number in range(MANY)]
    # When the archive is killed while the export is put on record
    command = ["index", "export", "--out", own.home / "killed.csv", "--data", own.data]
    running = subprocess.Popen([binary(), *command], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    note = own.data / "index-export.pending"
    deadline = time.monotonic() + NOTE_LIMIT_S
    while not note.exists() and running.poll() is None and time.monotonic() < deadline:
        pass
    own.kill()
    running.wait(NOTE_LIMIT_S)
    own.start()
    # Then another export finishes that one, and has the rest
    later = own.client().pushed(exam_of(MANY))
    told = export(own, "next.csv") + lines_of(own.home / "killed.csv")
    numbers = [row["examNo"] for row in told]
    assert sorted(numbers) == sorted(exam["examNo"] for exam in [*exams, later])
    assert export(own, "last.csv") == []
    assert not note.exists()
    digests_agree(own)
