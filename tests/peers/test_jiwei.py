"""基卫 both ways (contract 1, R11): the archive fetches a patient's forms, and a PACS asks the archive for them."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from support.archive import Archive
from support.contract import Answer
from support.exams import new_exam
from support.jiwei import KEY, Jiwei, form, opened, seal
from support.registry import COUNTY, TOWN, Registry

QUESTION = {"medicarecode": "C0001", "yyid00": "6930", "businesstype": "1", "type": "2"}


@pytest.fixture
def jiwei() -> Iterator[Jiwei]:
    served = Jiwei()
    yield served
    served.close()


@pytest.fixture
def asking(tmp_path: Path, jiwei: Jiwei) -> Iterator[Archive]:
    """An archive whose county hospital has a 基卫, and whose PACS may ask it."""
    registry = Registry()
    registry.app("demo-pacs")["jiwei"] = {"key": KEY}
    registry.app("town-only")["jiwei"] = {"key": KEY, "addresses": ["127.0.0.1"]}
    registry.his.append({"id": "county-jiwei", "hospitals": [COUNTY, TOWN], "jiwei": jiwei.settings()})
    running = Archive(tmp_path / "archive", registry).start()
    yield running
    assert running.alive(), running.log_tail()
    assert running.stop() == 0


def fetch(asking: Archive, card: str = "C0001", **more: object) -> Answer:
    asked = {"hospitalCode": COUNTY, "cardNo": card, "businessType": "1", "type": "2", **more}
    return asking.client().post("apply/fetch", asked)


def post(asking: Archive, path: str, body: str | bytes, content_type: str = "text/plain") -> requests.Response:
    url = f"{asking.http}{path}"
    return requests.post(url, data=body, headers={"Content-Type": content_type}, timeout=60)


def ask(asking: Archive, question: dict, path: str = "/openapi/v1/apply/query/demo-pacs") -> dict:
    answer = post(asking, path, seal(question))
    assert answer.status_code == 200, answer.text
    return opened(answer.text)


def test_a_form_is_fetched_told_to_a_pacs_and_registered_by_its_push(asking: Archive, jiwei: Jiwei) -> None:
    jiwei.has(form("00000001"), form("00000002", applydate="2026-07-05"))
    answer = fetch(asking)
    assert answer.status == 0, answer
    assert jiwei.questions == [QUESTION]
    assert [(row["applyNo"], row["step"]) for row in answer.result["forms"]] == [
        ("00000001", "inserted"), ("00000002", "inserted"),
    ]
    # What 基卫 said is what a PACS hears, newest first
    told = ask(asking, QUESTION)
    assert told == {"content": [form("00000002", applydate="2026-07-05"), form("00000001")], "success": "true"}
    # When its exam is registered it is told so, and 基卫 changes nothing of it
    exam = new_exam(hospital=COUNTY)
    exam["examInfo"]["applyNo"] = "00000001"
    exam["examInfo"]["examStatus"] = "50"
    asking.client().pushed(exam)
    states = {row["applycode"]: row["regstate"] for row in ask(asking, QUESTION)["content"]}
    assert states == {"00000001": "1", "00000002": "0"}
    jiwei.has(form("00000001", clincdiagnose="肺炎"))
    [row] = fetch(asking).result["forms"]
    assert (row["step"], row["rule"], row["state"]) == ("refused", "form-taken", "registered")


@pytest.mark.parametrize("carried", [
    lambda text: (text, "application/octet-stream"),
    lambda text: ("\r\n".join(text[at:at + 76] for at in range(0, len(text), 76)), "text/plain"),
    lambda text: (f'"{text}"', "application/json"),
    lambda text: (f'{{"param":"{text}"}}', "application/json"),
    lambda text: (f"param={requests.utils.quote(text, safe='')}", "application/x-www-form-urlencoded"),
    lambda text: (f"param={text}", "application/x-www-form-urlencoded"),
])
def test_a_question_may_be_carried_in_every_way(asking: Archive, jiwei: Jiwei, carried) -> None:
    jiwei.has(form("1"))
    fetch(asking)
    body, content_type = carried(seal(QUESTION))
    answer = post(asking, "/v1/apply/query/demo-pacs", body, content_type)
    assert [row["applycode"] for row in opened(answer.text)["content"]] == ["1"]


def test_failures_are_enciphered_and_without_a_key_in_clear(asking: Archive) -> None:
    failures = [
        ask(asking, {**QUESTION, "medicarecode": ""}),
        ask(asking, {**QUESTION, "businesstype": "4"}),
        ask(asking, {**QUESTION, "yyid00": "nowhere"}),
        *(opened(post(asking, "/v1/apply/query/demo-pacs", body).text)
          for body in (seal(QUESTION, "another key 0000"), "no cipher text", base64.b64encode(bytes(32)))),
    ]
    for failure in failures:
        assert (failure["errorCode"], failure["success"]) == ("98", "false"), failure
    assert failures[0]["errorMsg"] == "缺少必传参数：medicarecode！"
    assert len({failure["errorMsg"] for failure in failures[3:]}) == 1
    for path in ("nobody", "demo-reader"):
        answer = post(asking, f"/v1/apply/query/{path}", seal(QUESTION))
        assert (answer.status_code, answer.json()["status"]) == (401, 999)


def test_an_app_is_known_by_the_address_that_it_calls_from(asking: Archive, jiwei: Jiwei) -> None:
    jiwei.has(form("1"))
    fetch(asking)
    # The caller is the town's app, to whom the county's forms do not belong
    told = ask(asking, QUESTION, "/openapi//v1/apply/query")
    assert told["errorCode"] == "98"
    told = ask(asking, {**QUESTION, "yyid00": "7174"}, "/openapi//v1/apply/query")
    assert told == {"content": [], "success": "true"}


def test_what_is_missing_or_wrong_at_the_other_side_is_told_and_listed(asking: Archive, jiwei: Jiwei) -> None:
    answer = fetch(asking, hospitalCode=TOWN)
    assert answer.status == 1 and "yyid00" in answer.message
    jiwei.answer = lambda _: {"errorCode": "98", "errorMsg": "病人肖萍不存在", "success": "false"}
    answer = fetch(asking)
    assert answer.status == 1 and "98" in answer.message and "肖萍" not in answer.text()
    listed = asking.command("app", "errors", "his:county-jiwei", "--data", asking.data).stdout
    assert "jiwei-refused" in listed and "肖萍" in listed
    jiwei.close()
    answer = fetch(asking)
    assert answer.status == 1 and "连不上" in answer.message, answer


def test_the_registry_shows_addresses_and_no_key(asking: Archive, jiwei: Jiwei) -> None:
    shown = asking.command("registry", "show", "--data", asking.data).stdout
    assert jiwei.url in shown and KEY not in shown
    exported = asking.command("registry", "export", "--data", asking.data).stdout
    assert jiwei.url in exported and KEY not in exported and "sealed" not in exported
    file = asking.home / "exported.toml"
    file.write_text(exported, encoding="utf-8")
    again = asking.command("registry", "import", file, "--data", asking.data).stdout
    assert "(changed)" not in again and "(added)" not in again, again
    jiwei.has(form("1"))
    assert fetch(asking).status == 0
