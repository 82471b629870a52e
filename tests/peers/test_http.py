"""The archive interface over real HTTP: the contract's shapes, leniency and refusals."""

from __future__ import annotations

import copy
import json

import pytest
import requests

from support.archive import Archive
from support.exams import STATISTICS, new_exam, study_of
from support.registry import COUNTY, TEST_MODE

BODY_LIMIT_TEST_BYTES = 100 * 1024 * 1024
TOKEN_REFUSED = 999


def detail(archive: Archive, exam: dict) -> dict:
    answer = archive.client("demo-reader").post(
        "exam/detail", {"hospitalCode": exam["hospitalCode"], "examNo": exam["examNo"]}
    )
    assert answer.status == 0, answer
    [row] = answer.rows
    return row


# --- token (2.2, R3, R4) ------------------------------------------------------------------------


def test_a_token_is_given_for_a_good_sign(archive: Archive) -> None:
    answer = archive.client().get_token()
    assert (answer.http, answer.status) == (200, 0)
    assert 0 < len(answer.result["token"]) <= 256


@pytest.mark.parametrize(
    "plaintext",
    ["demo-pacs,350006,wrong", "nobody,350006,demo-license", "demo-pacs,999999,demo-license", "demo-pacs"],
)
def test_every_wrong_sign_gets_the_same_answer(archive: Archive, plaintext: str) -> None:
    client = archive.client()
    garbage = client.get_token("not a sign")
    answer = client.get_token(client.sign(plaintext))
    assert answer.http == 200
    assert answer.status != 0
    assert (answer.status, answer.message) == (garbage.status, garbage.message)


@pytest.mark.parametrize("token", [None, "wrong"])
def test_without_a_good_token_the_answer_is_999_in_http_200(archive: Archive, token: str | None) -> None:
    answer = archive.client().post("exam/push", new_exam(), token=token)
    assert (answer.http, answer.status) == (200, TOKEN_REFUSED)
    assert "token" in answer.message


def test_a_token_without_the_right_is_999(archive: Archive) -> None:
    answer = archive.client("demo-reader").push(new_exam())
    assert (answer.http, answer.status) == (200, TOKEN_REFUSED)
    assert "权限" in answer.message


def test_an_app_cannot_push_for_another_hospital(archive: Archive) -> None:
    answer = archive.client("town-only").push(new_exam(hospital=COUNTY))
    assert answer.http == 200
    assert answer.status != 0


def test_bearer_works_as_well(archive: Archive) -> None:
    client = archive.client()
    response = requests.post(
        f"{archive.http}/openapi/v1/exam/push",
        data=json.dumps(new_exam()).encode(),
        headers={"Authorization": f"Bearer {client.token}"},
        timeout=30,
    )
    assert response.json()["status"] == 0


@pytest.mark.parametrize("prefix", ["/openapi/v1/", "/v1/", "//openapi//v1/"])
def test_every_spelling_of_the_address_answers(archive: Archive, prefix: str) -> None:
    assert archive.client().post("exam/push", new_exam(), prefix=prefix).status == 0


# --- push (2.3, R5, R6) -------------------------------------------------------------------------


def test_the_same_push_again_is_no_new_version(archive: Archive) -> None:
    client, exam = archive.client(), new_exam()
    for _ in range(3):
        client.pushed(exam)
    client.pushed({key: exam[key] for key in reversed(exam)})  # key order aside
    assert len(archive.client("demo-reader").versions(exam)) == 1


def test_every_change_is_a_version(archive: Archive) -> None:
    client, first = archive.client(), new_exam()
    second = copy.deepcopy(first)
    second["reportList"][0]["impression"] = "未见异常。"
    for exam in (first, second, first):
        client.pushed(exam)
    versions = archive.client("demo-reader").versions(first)
    assert [one["version"] for one in versions] == [1, 2, 3]
    changed = [[change["path"] for change in one["changes"]] for one in versions[1:]]
    assert changed == [["reportList[0].impression"]] * 2


def test_a_refusal_names_every_wrong_field(archive: Archive) -> None:
    exam = new_exam()
    del exam["patientInfo"]["name"]
    exam["examInfo"]["examTime"] = "yesterday"
    exam["imageList"][0]["studyUID"] = "1" * 200
    exam["patientInfo"]["phoneNumber"] = "1" * 17

    for name in ("exam/push", "exam/validate"):
        answer = archive.client().post(name, exam)
        assert answer.http == 200
        assert answer.status == 1
        for path in ("patientInfo.name", "examInfo.examTime", "studyUID", "patientInfo.phoneNumber"):
            assert path in answer.text(), answer


def test_a_refusal_does_not_repeat_what_it_refused(archive: Archive) -> None:
    exam = new_exam(name="秘密姓名" * 20)
    answer = archive.client().push(exam)
    assert answer.status == 1
    assert "秘密姓名" not in answer.text()
    assert "秘密姓名" not in archive.log_path.read_text(encoding="utf-8")


def test_validate_keeps_nothing(archive: Archive) -> None:
    exam = new_exam()
    assert archive.client().post("exam/validate", exam).status == 0
    answer = archive.client("demo-reader").post("exam/query", {"hospitalCode": COUNTY, "examNo": exam["examNo"]})
    assert answer.rows == []


def test_lenient_json_is_taken(archive: Archive) -> None:
    exam = new_exam()
    exam["examInfo"]["cost"] = 153.45
    exam["examInfo"]["examStatus"] = 70
    exam["examInfo"]["examTime"] = "2026-07-04T10:54:32.0"
    exam["examInfo"]["examItemList"] = exam["examInfo"]["examItemList"][0]
    exam["examInfo"]["examOrganList"] = ["胸部"]
    exam["imageList"] = exam["imageList"][0]
    exam["patientInfo"]["address"] = None
    exam["patientInfo"]["vendorOwn"] = {"kept": True}
    archive.client().pushed(exam)


def test_gbk_and_a_byte_order_mark_are_read(archive: Archive) -> None:
    client = archive.client()
    gbk, bom = new_exam(), new_exam()
    text = json.dumps(gbk, ensure_ascii=False)
    assert client.post_bytes("exam/push", text.encode("gbk"), "application/json; charset=GBK").status == 0
    assert client.post_bytes("exam/push", b"\xef\xbb\xbf" + json.dumps(bom, ensure_ascii=False).encode(), "text/plain").status == 0
    assert "肖萍" in json.dumps(detail(archive, gbk), ensure_ascii=False)
    assert "肖萍" in json.dumps(detail(archive, bom), ensure_ascii=False)


# --- hostile bodies -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b"[]",
        b'"text"',
        b"{",
        b"[" * 100_000,
        b'{"a":' * 50_000 + b"1" + b"}" * 50_000,
        b'{"examNo":"\xff\xfe"}',
        b'{"examNo":"\\ud800"}',
        b'{"examNo":' + b"9" * 100_000 + b"}",
        b'{"examNo":[],"hospitalCode":{},"patientInfo":7,"examInfo":"x","imageList":true}',
        b"\x00" * 1000,
    ],
    ids=["empty", "null", "array", "text", "cut", "deep-arrays", "deep-objects", "not-utf8", "lone-surrogate", "huge-number", "wrong-types", "zeros"],
)
def test_hostile_json_is_refused_and_the_archive_serves_on(archive: Archive, body: bytes) -> None:
    client = archive.client()
    for name in ("exam/push", "exam/validate", "exam/uploadStatistics", "auth/getToken"):
        answer = client.post_bytes(name, body)
        # A sign is short: what asks for a token may be refused for its length.
        assert answer.http == 200 or (name == "auth/getToken" and answer.http == 413), (name, answer)
        if not (name == "exam/uploadStatistics" and body == b"[]"):
            assert answer.status != 0, (name, answer)
    client.pushed(new_exam())


def test_a_body_of_100_mb_is_413(archive: Archive) -> None:
    client = archive.client()
    before = archive.resident_bytes()
    try:
        response = requests.post(
            f"{archive.http}/openapi/v1/exam/push",
            data=b"x" * BODY_LIMIT_TEST_BYTES,
            headers={"token": client.token},
            timeout=60,
        )
        assert response.status_code == 413
        assert response.json()["status"] != 0
    except requests.exceptions.ConnectionError:
        # The archive may close while the client still writes; then the answer is lost to this client.
        pass
    assert archive.resident_bytes() - before < BODY_LIMIT_TEST_BYTES // 2
    client.pushed(new_exam())


def test_a_declared_length_of_100_mb_is_413_before_the_body(archive: Archive) -> None:
    import http.client

    host, port = archive.http.removeprefix("http://").split(":")
    connection = http.client.HTTPConnection(host, int(port), timeout=30)
    connection.putrequest("POST", "/openapi/v1/exam/push")
    connection.putheader("token", archive.client().token)
    connection.putheader("Content-Length", str(BODY_LIMIT_TEST_BYTES))
    connection.endheaders()
    response = connection.getresponse()
    assert response.status == 413
    assert json.loads(response.read())["status"] != 0
    connection.close()


# --- reading: query, detail, history, withdraw --------------------------------------------------


def test_query_by_each_key(archive: Archive) -> None:
    exam = archive.client().pushed(new_exam(day="2016-02-03"))
    reader = archive.client("demo-reader")
    keys = [
        {"examNo": exam["examNo"]},
        {"applyNo": exam["examInfo"]["applyNo"]},
        {"patientID": exam["examInfo"]["patientID"]},
        {"sickId": exam["patientInfo"]["sickId"]},
        {"patientNo": exam["examInfo"]["patientID"]},
        {"patientNo": exam["patientInfo"]["sickId"]},
        {"studyUID": study_of(exam)},
        {"from": "2016-02-03", "to": "2016-02-03", "examClass": "CT", "examStatus": "70"},
    ]
    for key in keys:
        answer = reader.post("exam/query", {"hospitalCode": COUNTY, **key})
        assert answer.status == 0, (key, answer)
        assert [row["examNo"] for row in answer.rows] == [exam["examNo"]], (key, answer)


def test_pages_miss_and_repeat_nothing(archive: Archive) -> None:
    day = "2016-03-04"
    client = archive.client()
    wanted = {client.pushed(new_exam(day=day))["examNo"] for _ in range(7)}
    reader = archive.client("demo-reader")
    seen: list[str] = []
    body: dict = {"hospitalCode": COUNTY, "from": day, "to": day, "pageSize": 3}
    for _ in range(10):
        answer = reader.post("exam/query", body)
        assert answer.status == 0, answer
        seen += [row["examNo"] for row in answer.rows]
        client.pushed(new_exam(day=day))  # what comes meanwhile does not disturb
        token = (answer.page or {}).get("nextPageToken")
        if not token:
            break
        body = {**body, "pageToken": token}
    assert sorted(seen) == sorted(wanted)


def test_a_withdrawn_exam_is_hidden_and_its_history_kept(archive: Archive) -> None:
    client, reader = archive.client(), archive.client("demo-reader")
    exam = client.pushed(new_exam())
    number = {"hospitalCode": COUNTY, "examNo": exam["examNo"]}

    assert client.post("exam/withdraw", number).status == 1, "a reason and an author are required"
    answer = client.post("exam/withdraw", {**number, "reason": "误传", "author": "王医生"})
    assert answer.status == 0, answer

    assert reader.post("exam/query", number).rows == []
    assert [one["step"] for one in reader.versions(exam)] == ["registered", "withdrawn"]


def test_a_hospital_in_test_mode_is_marked_and_uncounted(archive: Archive) -> None:
    day = "2016-04-05"
    exam = archive.client().pushed(new_exam(hospital=TEST_MODE, day=day))
    assert detail(archive, exam)
    [row] = archive.client("demo-reader").reconcile(day, hospitalCode=TEST_MODE)
    assert (row["registered"], row["testExams"]) == (0, 1), row


# --- statistics (2.6) ---------------------------------------------------------------------------


def test_the_sample_statistics_are_taken(archive: Archive) -> None:
    answer = archive.client().upload_statistics(STATISTICS)
    assert (answer.http, answer.status) == (200, 0), answer


def test_statistics_are_taken_or_refused_as_a_whole(archive: Archive) -> None:
    day = "2016-05-06"
    good = {"hospitalCode": COUNTY, "examDate": day, "examClass": "CT", "accordCount": "5"}
    bad = {**good, "examClass": "MR", "accordCount": "five"}

    answer = archive.client().upload_statistics([good, bad])

    assert answer.status == 1
    assert "accordCount" in answer.text()
    assert archive.client("demo-reader").reconcile(day, hospitalCode=COUNTY) == []


# --- description --------------------------------------------------------------------------------


def test_openapi_describes_every_operation(archive: Archive) -> None:
    described = requests.get(f"{archive.http}/openapi.json", timeout=30).json()
    paths = " ".join(described["paths"])
    for name in (
        "auth/getToken", "exam/push", "exam/validate", "exam/uploadStatistics", "exam/uploadDetail",
        "exam/query", "exam/detail", "exam/history", "exam/withdraw", "statistics/reconcile",
    ):
        assert name in paths


def test_an_unknown_address_is_no_crash(archive: Archive) -> None:
    assert requests.get(f"{archive.http}/nothing/here", timeout=30).status_code == 404
