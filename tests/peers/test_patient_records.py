"""One patient over all hospitals, as an electronic record asks: joined, kept, withdrawn, after a kill, and quickly."""

from __future__ import annotations

import time

import pytest

from support.archive import Archive
from support.contract import Answer, Client
from support.exams import new_exam
from support.registry import COUNTY, STUDY_ONLY, TOWN, Registry

# A valid number: a woman born on 1 January 1980.
DOCUMENT = "350100198001010027"
CARD = "MI45000017"


def readers() -> Registry:
    registry = Registry()
    registry.apps.append({"id": "county-reader", "license": "l", "org": COUNTY, "rights": ["read"], "hospitals": [COUNTY]})
    county = next(row for row in registry.hospitals if row["code"] == COUNTY)
    county["own_only"] = {"patients": ["体检"]}
    return registry


@pytest.fixture
def regional(fresh_archive) -> Archive:
    return fresh_archive(registry=readers())


def exam_of(hospital: str, document: str | None = None, card: str | None = None, **patient: str) -> dict:
    exam = new_exam(hospital, **patient)
    for key, value in (("miCard", card), ("identity", document and [{"idType": "1", "idNumber": document}])):
        exam["patientInfo"].pop(key, None)
        if value:
            exam["patientInfo"][key] = value
    return exam


def key_of(exam: dict) -> dict:
    return {"hospitalCode": exam["hospitalCode"], "examNo": exam["examNo"]}


def ask(client: Client, question: dict, **more: object) -> Answer:
    return client.post("patient/records", {"reason": "visit", "user": "d001", "pageSize": 200, **question, **more})


def found(answer: Answer) -> set[str]:
    assert (answer.http, answer.status) == (200, 0), answer
    return {row["examNo"] for row in answer.result["exams"]}


def named(*exams: dict) -> set[str]:
    return {exam["examNo"] for exam in exams}


def test_a_patient_of_three_hospitals_is_one_and_nothing_is_told_to_who_may_not_know(regional: Archive) -> None:
    pacs, reader = regional.client(), regional.client("demo-reader")
    county = pacs.pushed(exam_of(COUNTY, DOCUMENT))
    town = pacs.pushed(exam_of(TOWN, DOCUMENT.lower(), CARD))
    far = pacs.pushed(exam_of(STUDY_ONLY, None, CARD))
    checkup = pacs.pushed(exam_of(COUNTY, DOCUMENT, patientSource="体检"))
    other = pacs.pushed(exam_of(TOWN, DOCUMENT, name="王五"))
    pacs.pushed(exam_of(STUDY_ONLY))
    # Asked any way, it is the same patient, and who differs is said to
    for question in (key_of(county), {"hospitalCode": COUNTY, "patientNo": county["patientInfo"]["sickId"]}):
        answer = ask(reader, question)
        assert found(answer) == named(county, town, far, checkup)
        [refused] = answer.result["notJoined"]
        assert (refused["examNo"], refused["conflicts"]) == (other["examNo"], ["name"])
    document = {"idNumber": DOCUMENT, "name": county["patientInfo"]["name"]}
    assert found(ask(reader, document)) == named(county, town, far, checkup)
    assert found(ask(reader, {"idNumber": DOCUMENT, "name": "王五"})) == named(other)
    assert ask(reader, {"idNumber": DOCUMENT}).http == 409
    # The county's checkups are the county's, its own reader sees no other hospital, and without a reason nobody does
    assert found(ask(reader, document, readFor=TOWN)) == named(county, town, far)
    mine = regional.client("county-reader")
    assert found(ask(mine, document)) == named(county, checkup)
    assert ask(mine, key_of(town)).http == 403
    assert found(reader.post("patient/records", document)) == named(county, checkup)
    # What is withdrawn is gone at once, and with it what only it joined
    assert pacs.post("exam/withdraw", {**key_of(town), "reason": "误传", "author": "a"}).status == 0
    assert found(ask(reader, document)) == named(county, checkup)
    # Nothing is forgotten by a kill, and no number is on record
    regional.kill()
    regional.start()
    reader = regional.client("demo-reader")
    assert found(ask(reader, document)) == named(county, checkup)
    answers = ask(reader, document).text()
    readings = b"".join(file.read_bytes() for file in (regional.data / "audit").rglob("*") if file.is_file())
    readings = readings.decode("utf-8", "replace")
    assert county["examNo"] in readings
    for number in (DOCUMENT, CARD):
        assert number not in answers + readings + regional.log_tail(1_000_000)


def test_records_of_a_patient_of_many_exams_come_quickly(regional: Archive) -> None:
    """A look at the order of magnitude on a machine that does other things; the benchmark measures."""
    pacs, reader = regional.client(), regional.client("demo-reader")
    for number in range(60):
        pacs.pushed(exam_of((COUNTY, TOWN, STUDY_ONLY)[number % 3], DOCUMENT, CARD))
    took = []
    for _ in range(50):
        start = time.perf_counter()
        answer = ask(reader, {"idNumber": DOCUMENT}, pageSize=20)
        took.append(time.perf_counter() - start)
        assert answer.page["total"] == 60
    assert sorted(took)[25] < 0.1, sorted(took)
