"""Every answer of a walk through all operations, done and refused, is one that /openapi.json describes, and holds nothing else."""

from __future__ import annotations

import copy
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import jsonschema_rs
import pytest
import requests

from support import netdicom
from support.archive import Archive
from support.contract import Answer, Client
from support.exams import new_exam, study_of
from support.instances import ct_slices, raw_of
from support.jiwei import KEY, Jiwei, form, seal
from support.listening import reach
from support.registry import COUNTY, TOWN, Registry

DAY = "2017-03-04"
WHO = {"reason": "核对", "author": "王医生"}


class Described:
    """The document, and which operations were answered how."""

    def __init__(self, archive: Archive) -> None:
        self.document = requests.get(f"{archive.http}/openapi.json", timeout=30).json()
        self.seen: dict[str, set[int]] = defaultdict(set)

    def check(self, name: str, answer: Answer) -> Answer:
        responses = self.document["paths"][f"/v1/{name}"]["post"]["responses"]
        assert str(answer.http) in responses, (name, answer)
        schema = responses[str(answer.http)]["content"]["application/json"]["schema"]
        whole = closed({**schema, "components": self.document["components"]})
        errors = [
            f"{'/'.join(map(str, error.instance_path))}: {error.message}"
            for error in jsonschema_rs.validator_for(whole).iter_errors(answer.body)
        ]
        assert not errors, (name, errors, answer)
        self.seen[name].add(answer.status)
        return answer


def closed(schema: object) -> object:
    """The schema with every object that lists its members refusing any other."""
    if isinstance(schema, list):
        return [closed(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    out = {key: closed(value) for key, value in schema.items()}
    if isinstance(schema.get("properties"), dict) and schema.get("type") == "object":
        out["additionalProperties"] = False
    return out


class Walker:
    """A client whose every answer is checked."""

    def __init__(self, described: Described, client: Client) -> None:
        self.described, self.client = described, client

    def __call__(self, name: str, body: object, status: int, **more: object) -> Answer:
        answer = self.described.check(name, self.client.post(name, body, **more))
        assert answer.status == status, (name, answer)
        return answer


def key_of(exam: dict) -> dict:
    return {"hospitalCode": exam["hospitalCode"], "examNo": exam["examNo"]}


def declaration(exam: dict, **more: object) -> dict:
    return {"hospitalCode": exam["hospitalCode"], "examDate": DAY, "examClass": "CT", **more}


@pytest.fixture
def jiwei() -> Iterator[Jiwei]:
    served = Jiwei()
    yield served
    served.close()


@pytest.fixture
def walked(tmp_path: Path, jiwei: Jiwei) -> Iterator[Archive]:
    registry = Registry()
    registry.app("demo-pacs")["jiwei"] = {"key": KEY}
    registry.his.append({"id": "county-jiwei", "hospitals": [COUNTY], "jiwei": jiwei.settings()})
    archive = Archive(tmp_path / "walked", registry).start()
    yield archive
    assert archive.stop() == 0


def test_a_validator_would_notice(walked: Archive) -> None:
    described = Described(walked)
    reader = walked.client("demo-reader")
    good = reader.post("statistics/reconcile", {"from": DAY, "to": DAY})
    described.check("statistics/reconcile", good)
    wrong = copy.deepcopy(good)
    wrong.body["result"]["totals"]["unheardOf"] = 1
    with pytest.raises(AssertionError, match="unheardOf"):
        described.check("statistics/reconcile", wrong)


def test_every_answer_is_described_to_the_last_member(walked: Archive, jiwei: Jiwei) -> None:
    described = Described(walked)
    pacs = Walker(described, walked.client())
    reader = Walker(described, walked.client("demo-reader"))

    # tokens
    signs = walked.client()
    for plaintext, status in [
        (None, 0),
        ("demo-pacs,350006,wrong", 1),
        ("demo-pacs,350006,demo-license,2026-13-45 10:00:00", 1),
        ("demo-pacs,350006,demo-license,2001-01-01 10:00:00", 1),
    ]:
        answer = described.check("auth/getToken", signs.get_token(signs.sign(plaintext)))
        assert answer.status == status, answer

    # pushes: new, again, changed, late, with warnings, of a study that another patient has, refused, reused
    whole, bare, odd = new_exam(day=DAY), new_exam(day=DAY), new_exam(day=DAY)
    pacs("exam/push", whole, 0)
    pacs("exam/push", whole, 0)
    changed = copy.deepcopy(whole)
    changed["reportList"][0]["impression"] = "未见异常。"
    pacs("exam/push", changed, 0)
    late = copy.deepcopy(changed)
    late["examInfo"]["examStatus"] = "60"
    pacs("exam/push", late, 0)
    del bare["imageList"][0]["imageCount"], bare["imageList"][0]["accessionNo"]
    bare["examInfo"]["applyNo"] = "无"
    bare["examInfo"]["examClass"] = "不在字典"
    pacs("exam/push", bare, 0)
    odd["imageList"][0]["studyUID"] = "1.2.03." + study_of(odd).rsplit(".", 1)[1]
    assert pacs("exam/push", odd, 0).result["warnings"]
    contested = new_exam(day=DAY, hospital=TOWN, study_uid=study_of(whole))
    assert "studyConflict" in pacs("exam/push", contested, 0).result["flags"]
    reused = new_exam(day=DAY, name="李四")
    reused["examNo"] = whole["examNo"]
    for name in ("exam/push", "exam/validate"):
        pacs(name, {}, 1)
        pacs(name, [], 1)
        pacs(name, reused, 1)
    pacs("exam/validate", new_exam(day=DAY), 0)
    pacs("exam/validate", odd, 0)

    # images: as declared, and of another patient
    netdicom.stored(walked.dicom, [raw_of(one) for one in ct_slices(whole, 1)])
    [stranger] = ct_slices(whole, 1)
    stranger.PatientID = "OTHER"
    netdicom.store(walked.dicom, [raw_of(stranger)])

    # declarations
    pacs("exam/uploadStatistics", [declaration(whole, accordCount=5)], 0)
    pacs("exam/uploadStatistics", [declaration(whole, accordCount="many")], 1)
    told = {"studyUID": study_of(whole), "imageCount": 3, "applyNo": "OTHER"}
    pacs("exam/uploadDetail", [declaration(whole, examNo=whole["examNo"], **told), declaration(whole, examNo="NEVER")], 0)
    pacs("exam/uploadDetail", [declaration(whole)], 1)

    # withdrawn, and taken back
    withdrawn, restored = new_exam(day=DAY), new_exam(day=DAY)
    for exam in (withdrawn, restored):
        pacs("exam/push", exam, 0)
        made = pacs("exam/withdraw", {**key_of(exam), **WHO}, 0).result["correction"]
    walked.command("correct", "undo", str(made), "--reason", "误撤", "--author", "王", "--data", walked.data)
    pacs("exam/withdraw", {**key_of(withdrawn), **WHO}, 1)
    pacs("exam/withdraw", {**key_of(new_exam()), **WHO}, 1)
    pacs("exam/withdraw", {}, 1)

    # reading
    day = {"from": DAY, "to": DAY}
    assert len(reader("exam/query", {**day, "includeWithdrawn": True}, 0).rows) == 6
    assert reader("exam/query", {**day, "pageSize": 1}, 0).page["nextPageToken"]
    reader("exam/query", {}, 1)
    for question in (key_of(whole), key_of(bare), key_of(restored), {"studyUID": study_of(whole)}):
        reader("exam/detail", question, 0)
    for question in (key_of(withdrawn), key_of(new_exam()), {"studyUID": "1.2.99"}, {}):
        reader("exam/detail", question, 1)
    for exam in (whole, withdrawn, restored):
        reader("exam/history", key_of(exam), 0)
    reader("exam/history", key_of(new_exam()), 1)
    for question in (key_of(whole), key_of(bare), {"studyUID": study_of(whole)}):
        reader("report/citation", question, 0)
    for question in (key_of(withdrawn), key_of(new_exam()), {"studyUID": "1.2.99"}, {}):
        reader("report/citation", question, 1)
    for as_of in ({}, {"asOf": "2199-01-01 00:00:00"}):
        [*cells] = reader("statistics/reconcile", {**day, **as_of}, 0).result["cells"]
        assert any(cell["refusals"] for cell in cells) and any(cell["unfinished"] for cell in cells), cells
    reader("statistics/reconcile", {"from": "bad"}, 1)

    # the text box
    marked = {"q": "未见异常", "facets": True, "reason": "visit", "sort": "newest"}
    reach(lambda: reader("exam/search", marked, 0).result["exams"], lambda: "nothing is found")
    [exam] = reader("exam/search", marked, 0).result["exams"]
    assert exam["examNo"] == whole["examNo"] and exam["highlights"]
    assert reader("exam/search", {"sort": "newest", "pageSize": 1}, 0).page["nextPageToken"]
    reader("exam/search", {"q": "x" * 1_000, "sort": "bad"}, 1)

    # the feed: exams, withdrawn ones, nothing new, a cursor of another question
    told, cursor = [], {}
    while True:
        page = reader("feed", {"reason": "visit", "pageSize": 3, **cursor}, 0).result
        told, cursor = told + page["entries"], {"cursor": page["cursor"]}
        if not page["more"]:
            break
    assert {"withdrawn"} == {entry["gone"] for entry in told if "gone" in entry}
    assert whole["examNo"] in {entry["examNo"] for entry in told if "exam" in entry}
    assert reader("feed", {"reason": "visit", **cursor}, 0).result["entries"] == []
    reader("feed", cursor, 1)

    # one patient over all hospitals, beside another who has the same number
    pacs("exam/push", new_exam(day=DAY, name="王五"), 0)
    records = {**key_of(whole), "reason": "visit", "pageSize": 1}
    assert reader("patient/records", records, 0).result["exams"][0]["joinedBy"]
    reader("patient/records", {"idNumber": "1"}, 1)

    # supervision
    by = {**day, "by": "day,month,hospital,class"}
    for name, question in (
        ("completeness", by),
        ("timeliness", by),
        ("positive", {**day, "by": "hospital,device,reporter"}),
        ("load", {**by, "of": "technician"}),
        ("repeat", day),
        ("missing", {**day, "what": "noImages", "pageSize": 1}),
    ):
        reader(f"statistics/{name}", question, 0)
        reader(f"statistics/{name}", {"from": "bad"}, 1)

    # apply forms of 基卫: new, the same, changed, odd, of another patient, no form at all, a failure
    card = {"hospitalCode": COUNTY, "cardNo": "C0001", "businessType": "1", "type": "2"}
    taken = form(whole["examInfo"]["applyNo"], clincdiagnose="肺炎")
    for forms in (
        [],
        [form("1"), form("2", gender="9", applydate="昨天"), taken],
        [form("1"), form("2", gender="女"), form("3", fkey=""), {"applycode": "4"}, {"patname": []}],
        [form("1", fkey="other", patname="李四"), form("0"), 7],
    ):
        jiwei.has(*forms)
        pacs("apply/fetch", card, 0)
    jiwei.answer = lambda _: {"errorCode": "98", "errorMsg": "x", "success": "false"}
    pacs("apply/fetch", card, 1)
    pacs("apply/fetch", {}, 1)
    pacs("apply/fetch", {**card, "hospitalCode": TOWN}, 1)

    # what became of them
    month = {"from": "2026-07-01", "to": "2026-07-31"}
    assert reader("apply/list", {**month, "pageSize": 1}, 0).page["nextPageToken"]
    reader("apply/list", {"overdue": True}, 0)
    reader("apply/list", {"from": "bad"}, 1)
    for as_many in (day, {**month, "hospitalCode": COUNTY}):
        reader("apply/turnaround", as_many, 0)
    reader("apply/turnaround", {"from": "bad"}, 1)

    # the national imaging index: none, incomplete, formed, replaced, withdrawn
    supervisor = Walker(described, walked.client("demo-supervisor"))
    supervisor("index/list", {**day, "pageSize": 1}, 0)
    supervisor("index/list", {}, 1)
    index_settings = walked.home / "index.toml"
    index_settings.write_text(
        f'[settings.national_index]\nperson_id_type = "88"\n[[hospital]]\ncode = "{COUNTY}"\nname = "示例县医院"\n'
        'prefix = "7173"\nyyid00 = "6930"\ncredit_code = "123502004266007916"\n',
        encoding="utf-8",
    )
    walked.command("registry", "import", index_settings, "--data", walked.data)
    lacking, formed = new_exam(day=DAY), new_exam(day=DAY)
    formed["patientInfo"]["identity"] = [{"idType": "88", "idNumber": "10000000000000000708463177"}]
    for exam in (lacking, formed):
        pacs("exam/push", exam, 0)
    reader("index/query", key_of(lacking), 0)
    first = reader("index/query", key_of(formed), 0).rows[0]["index"]
    reader("index/query", {}, 1)
    supervisor("index/resolve", {"index": first}, 0)
    formed["examInfo"]["examTime"] = f"{DAY} 10:55:32"
    pacs("exam/push", formed, 0)
    assert supervisor("index/resolve", {"index": first}, 0).rows[0]["currentIndex"]
    pacs("exam/withdraw", {**key_of(formed), **WHO}, 0)
    supervisor("index/resolve", {"index": first.replace("1054", "1055")}, 0)
    supervisor("index/resolve", {"index": "1"}, 1)
    supervisor("index/list", day, 0)

    # no token, no right, no such hospital, no key
    enciphered = {path for path, item in described.document["paths"].items() if "x-clear-text" in item.get("post", {})}
    assert enciphered == {"/v1/apply/query", "/v1/apply/query/{app}"}
    # Asked for by GET, and answered with a picture.
    enciphered.add("/v1/image/frame")
    for name in described.document["paths"].keys() - enciphered - {"/v1/auth/getToken"}:
        pacs(name.removeprefix("/v1/"), {}, 999, token=None)
    pacs("apply/query", {"param": seal({})}, 999, token=None)
    pacs("exam/query", {}, 999)
    reader("exam/push", whole, 999)
    pacs("exam/push", new_exam(hospital="350099"), 999)

    every = {f"/v1/{name}" for name, seen in described.seen.items() if {0, 1} <= seen}
    assert every == described.document["paths"].keys() - enciphered, described.seen
