"""The text box: who finds what, and who finds nothing."""

from __future__ import annotations

import itertools
import random
import signal

import pytest
import requests

from support.archive import Archive
from support.contract import Answer, Client
from support.exams import new_exam
from support.listening import reach
from support.registry import COUNTY, STUDY_ONLY, TOWN, Registry

HOSPITALS = [COUNTY, TOWN, STUDY_ONLY]
NAMES = ["张小东", "单雄信", "买买提·艾合买提", "吕布衣", "欧阳修文", "乐嘉言", "仇英明", "王一", "李二", "赵六"]
IMPRESSIONS = ["右肺上叶占位，考虑肺癌。", "脂肪肝。", "未见明显异常。", "腰椎间盘突出。", "左侧股骨颈骨折。"]


def readers() -> Registry:
    registry = Registry()
    registry.apps += [
        {"id": "county-reader", "license": "l", "org": COUNTY, "rights": ["read"], "hospitals": [COUNTY]},
        {"id": "two-reader", "license": "l", "org": TOWN, "rights": ["read"], "hospitals": [TOWN, COUNTY]},
    ]
    county = next(row for row in registry.hospitals if row["code"] == COUNTY)
    county["own_only"] = {"patients": ["体检"]}
    return registry


def exam_of(name: str, hospital: str = COUNTY, impression: str = IMPRESSIONS[2], **patient: str) -> dict:
    exam = new_exam(hospital, name=name, **patient)
    exam["reportList"][0]["impression"] = impression
    return exam


def ask(client: Client, q: str = "", **more: object) -> Answer:
    return client.post("exam/search", {"q": q, "pageSize": 200, "reason": "visit", **more})


def found(answer: Answer) -> list[str]:
    assert (answer.http, answer.status) == (200, 0), answer
    return [row["examNo"] for row in answer.result["exams"]]


def reach_found(client: Client, q: str, exams: list[dict], **more: object) -> None:
    expected = sorted(exam["examNo"] for exam in exams)
    reach(lambda: sorted(found(ask(client, q, **more))) == expected, lambda: (q, found(ask(client, q, **more)), expected))


@pytest.fixture
def searched(fresh_archive) -> Archive:
    return fresh_archive(registry=readers())


def test_a_push_is_found_by_what_somebody_remembers_of_it(searched: Archive) -> None:
    pacs, reader = searched.client(), searched.client("demo-reader")
    exam = pacs.pushed(exam_of("单雄信", impression=IMPRESSIONS[0], cardNo="K88001"))
    other = pacs.pushed(exam_of("李二", impression=IMPRESSIONS[1]))
    numbers = [exam["examNo"], exam["examInfo"]["applyNo"], f"7173_{exam['examInfo']['applyNo']}", "k88001",
               exam["patientInfo"]["sickId"], exam["imageList"][0]["studyUID"]]
    for q in ["单雄信", "雄信", "shanxiongxin", "danxiongxin", "sxx", "肺癌", "右肺 肺癌", "单雄信 肺癌", *numbers]:
        reach_found(reader, q, [exam])
    reach_found(reader, "脂肪肝", [other])
    assert found(ask(reader, "单雄信 脂肪肝")) == []
    answer = ask(reader, "肺癌")
    [row] = answer.result["exams"]
    [mark] = [mark for mark in row["highlights"] if mark["field"] == "impression"]
    first, length = mark["marks"][-1]
    assert mark["text"][first:first + length] == "肺癌"
    # What is near is said to be near, and a wrong number is nothing
    answer = ask(reader, "单熊信")
    assert found(answer) == [exam["examNo"]] and answer.result["forgiven"]
    assert found(ask(reader, f"{exam['examNo']}9")) == []


def test_what_changes_is_found_as_it_stands_and_what_is_withdrawn_is_not(searched: Archive) -> None:
    pacs, reader = searched.client(), searched.client("demo-reader")
    exam = pacs.pushed(exam_of("张小东", impression=IMPRESSIONS[0]))
    reach_found(reader, "肺癌", [exam])
    exam["reportList"][0]["impression"] = IMPRESSIONS[1]
    pacs.pushed(exam)
    reach_found(reader, "脂肪肝", [exam])
    assert found(ask(reader, "肺癌")) == []
    # Taken back, nothing of its text is found; its patient still is
    exam["examInfo"]["examStatus"] = "65"
    pacs.pushed(exam)
    reach_found(reader, "脂肪肝", [])
    reach_found(reader, "张小东", [exam])
    number = {"hospitalCode": COUNTY, "examNo": exam["examNo"]}
    assert pacs.post("exam/withdraw", {**number, "reason": "重复", "author": "a"}).status == 0
    # At once: the views say what stands
    assert found(ask(reader, "张小东")) == []


def test_the_index_goes_on_after_a_kill_and_is_made_anew_when_it_is_gone(searched: Archive) -> None:
    pacs, reader = searched.client(), searched.client("demo-reader")
    exams = [pacs.pushed(exam_of(name)) for name in NAMES]
    searched.kill()
    searched.start()
    reach_found(searched.client("demo-reader"), "", exams)
    assert searched.stop() == 0
    for file in (searched.data / "index").iterdir():
        if file.suffix == ".json":
            file.write_bytes(b"{")
    searched.start()
    reader = searched.client("demo-reader")
    reach_found(reader, "", exams)
    reach_found(reader, "zxd", [exams[0]])
    assert searched.alive() and searched.stop() in (0, -signal.SIGTERM)


def test_pages_of_the_newest_miss_and_repeat_nothing_while_exams_come(searched: Archive) -> None:
    pacs, reader = searched.client(), searched.client("demo-reader")
    exams = [pacs.pushed(exam_of("王一")) for _ in range(25)]
    reach_found(reader, "王一", exams)
    seen, token, pages = [], None, 0
    while True:
        more = {"pageToken": token} if token else {}
        answer = ask(reader, "王一", sort="newest", **{"pageSize": 7, **more})
        seen += found(answer)
        pages += 1
        token = answer.page.get("nextPageToken")
        pacs.pushed(exam_of("王一"))
        if not token:
            break
    assert seen == [exam["examNo"] for exam in reversed(exams)]
    assert pages == 4


def test_filters_and_facets(searched: Archive) -> None:
    pacs, reader = searched.client(), searched.client("demo-reader")
    county = [pacs.pushed(exam_of(name)) for name in NAMES[:4]]
    town = [pacs.pushed(exam_of(name, TOWN)) for name in NAMES[4:7]]
    reach_found(reader, "", county + town)
    answer = ask(reader, facets=True)
    counts = {row["value"]: row["exams"] for row in answer.result["facets"]["hospitalCode"]}
    assert counts == {COUNTY: 4, TOWN: 3}
    reach_found(reader, "", town, filters={"hospitalCode": [TOWN]})
    reach_found(reader, "", county + town, filters={"from": "2026-07-04", "to": "2026-07-04"})
    reach_found(reader, "", [], filters={"from": "2026-07-05"})


@pytest.mark.parametrize("wrong", [
    {"q": "张" * 10_000}, {"pageNo": 10**9}, {"pageNo": 10**12}, {"pageToken": "x"}, {"pageSize": 0}, {"sort": "random"},
    {"filters": []}, {"filters": {"hospitalCode": ["35\n0006"]}}, {"filters": {"from": "2026-13-01"}},
    {"filters": {"device": ["甲"] * 1_000}}, {"reason": "curious"}, {"user": "张三"}, {"q": {"a": 1}},
])
def test_a_wrong_question_is_refused_in_words(searched: Archive, wrong: dict) -> None:
    answer = searched.client("demo-reader").post("exam/search", wrong)
    assert (answer.http, answer.status) == (400, 1), answer
    assert all(fault["path"] and fault["message"] for fault in answer.rows)


def test_who_has_no_right_is_told_so(searched: Archive) -> None:
    assert ask(searched.client(), "王一").http == 403
    answer = searched.client("demo-reader").post("exam/search", {"q": "王一"}, token="wrong")
    assert (answer.http, answer.status) == (401, 999)
    assert ask(searched.client("county-reader"), filters={"hospitalCode": [TOWN]}).http == 403
    assert ask(searched.client("county-reader"), readFor=TOWN).http == 403
    assert ask(searched.client("demo-reader"), filters={"hospitalCode": ["999999"]}).http == 404


def test_nobody_finds_what_he_may_not_see_whatever_he_asks(searched: Archive) -> None:
    """Random questions of readers with all kinds of rights against a plain model of who sees what."""
    random.seed(2026)
    pacs = searched.client()
    exams = []
    for name, hospital in itertools.product(NAMES, HOSPITALS):
        source = random.choice(["门诊", "体检"])
        exam = exam_of(name, hospital, random.choice(IMPRESSIONS), patientSource=source)
        exams.append(pacs.pushed(exam))
    everything = searched.client("demo-reader")
    kept = [exam for exam in exams if exam["hospitalCode"] == COUNTY and exam["patientInfo"]["patientSource"] == "体检"]
    assert kept
    reach_found(everything, "", exams)
    rights = {"county-reader": [COUNTY], "two-reader": [TOWN, COUNTY], "demo-reader": HOSPITALS}
    own = {"county-reader": COUNTY, "two-reader": TOWN, "demo-reader": COUNTY}
    words = NAMES + IMPRESSIONS + ["肺癌", "zxd", "zhang", "CT", "", "7173_"] + [exam["examNo"] for exam in exams[:20]]
    clients = {app: searched.client(app) for app in rights}
    for _ in range(300):
        app = random.choice(list(rights))
        read_for = random.choice([own[app], *rights[app]])
        reason = random.choice([None, "visit", "consent", "emergency"])
        question = {"q": random.choice(words), "readFor": read_for, "facets": random.random() < 0.5, "pageSize": 200}
        if reason:
            question["reason"] = reason
        if random.random() < 0.3:
            question["filters"] = {"hospitalCode": [random.choice(rights[app])]}
        answer = clients[app].post("exam/search", question)
        numbers = set(found(answer))
        may_see = {
            exam["examNo"] for exam in exams
            if exam["hospitalCode"] in rights[app]
            and (exam["hospitalCode"] == read_for or reason is not None)
            and (exam["hospitalCode"] == read_for or exam not in kept)
        }
        assert numbers <= may_see, (app, question)
        # And nothing is told of what is not shown
        assert answer.page["total"] == len(numbers), (app, question)
        for facet in answer.result.get("facets", {}).get("hospitalCode", []):
            assert facet["exams"] == sum(
                exam["examNo"] in numbers and exam["hospitalCode"] == facet["value"] for exam in exams
            ), (app, question)
        if question["q"] == "" and "filters" not in question:
            assert numbers == may_see, (app, question)
    readings = searched.command("log", "show", "--audit", "--data", searched.data, check=False)
    assert "张小东" not in readings.stdout + searched.log_tail(1_000_000)


def test_where_the_index_is_can_be_seen_and_its_failure_passes_by_itself(searched: Archive) -> None:
    pacs, reader = searched.client(), searched.client("demo-reader")
    exam = pacs.pushed(exam_of("王一"))
    reach_found(reader, "王一", [exam])
    index = searched.readiness()["index"]
    assert (index["exams"], index["problem"]) == (1, None)
    # As a disk that fails: what is written into it goes nowhere
    here, away = searched.data / "index", searched.data / "away"
    here.rename(away)
    other = pacs.pushed(exam_of("李二"))
    reach(lambda: searched.readiness()["index"]["problem"], searched.log_tail)
    state = searched.readiness()
    assert state["ready"] and state["index"]["behind"] > 0
    figures = requests.get(f"{searched.http}/metrics", timeout=30).text
    assert "yingku_index_failing 1" in figures and "yingku_index_exams 1" in figures
    assert found(ask(reader, "王一")) == [exam["examNo"]]
    away.rename(here)
    reach_found(reader, "李二", [other])
    assert searched.readiness()["index"]["problem"] is None
