"""SOAP with Apache CXF on the other side (contract §3, R12 and R17): its clients send apply forms, its endpoints are told of exams."""

from __future__ import annotations

import json
import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from support import cxf, forms
from support.archive import Archive
from support.exams import new_exam, study_of
from support.registry import COUNTY, Registry

CLIENTS = ["soap11", "soap12", "gbk", "dynamic"]
# A character beyond the 16-bit plane, which GBK lacks; markup; quotes that GBK has in two bytes.
RARE = "欧阳𠮷“é”①<&>'\""
IN_XML = "欧阳𠮷“é”①&lt;&amp;&gt;'\""

NAMED = {"namespace": "http://his.hospital.example/status", "operation": "SynStatusInfo", "parameter": "inputString"}
# By endpoint of StatusReceivers.java: how it wants notices.
MANNERS: dict[str, dict[str, str | bool]] = {
    "named": NAMED,
    "cdata": {**NAMED, "escaping": "cdata"},
    "gbk": {**NAMED, "charset": "GBK"},
    "gbk-cdata": {**NAMED, "charset": "GBK", "escaping": "cdata"},
    "named12": {**NAMED, "soap": "1.2", "action": "urn:status"},
    "plain": {"namespace": "http://his.hospital.example/plain", "parameter": "arg0"},
    "qualified": {"namespace": "http://tempuri.org/", "qualified": True, "action": "http://tempuri.org/SynStatusInfo"},
    "rpc": {"namespace": "http://his.hospital.example/rpc", "action": "urn:rpc-status"},
}
REFUSING = "refusing"
IMAGES = """
[settings.image_url]
pattern = "https://archive.example/viewer?StudyInstanceUIDs={studyUID}&expires={expires}&signature={signature}"
valid_days = 30
"""
FIXTURE = forms.REPOSITORY / "tests/fixtures/contract/syn_status_info.xml"


@pytest.fixture(scope="module")
def clients(archive: Archive, tmp_path_factory: pytest.TempPathFactory) -> Iterator[cxf.ApplyClients]:
    made = cxf.ApplyClients(tmp_path_factory.mktemp("cxf-clients"), archive.http)
    yield made
    made.end()


@pytest.fixture(scope="module")
def receivers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[cxf.StatusReceivers]:
    started = cxf.StatusReceivers(tmp_path_factory.mktemp("cxf-receivers"))
    yield started
    started.end()


@pytest.fixture(scope="module")
def telling(receivers: cxf.StatusReceivers, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Archive]:
    """An archive that tells each endpoint of all exams."""
    registry = Registry()
    registry.his += [
        {
            "id": f"his-{endpoint}", "license": "x", "hospitals": [COUNTY],
            "receiver": {"url": receivers.url(endpoint), **manner},
        }
        for endpoint, manner in {**MANNERS, REFUSING: MANNERS["gbk"]}.items()
    ]
    registry.text = registry.toml() + IMAGES
    started = Archive(tmp_path_factory.mktemp("cxf-archive"), registry).start()
    yield started
    assert started.stop() == 0


# --- apply forms --------------------------------------------------------------------------------


@pytest.mark.parametrize("client", CLIENTS)
def test_a_client_made_of_the_wsdl_sends_changes_and_deletes_a_form(
    archive: Archive, clients: cxf.ApplyClients, client: str
) -> None:
    number = f"7173_CXF{client}"

    def call(action: str, **elements: str) -> int:
        return clients.code_and_desc(client, forms.document(action, number, **elements))[0]

    assert call("UPDATE") == -99
    assert call("INSERT") == 0
    assert call("UPDATE", ClinDiag="肺炎") == 0
    assert call("DELETE") == 0
    assert call("DELETE") == -99
    assert call("") == 0


@pytest.mark.parametrize("client", CLIENTS)
def test_what_a_client_sends_arrives_as_it_was_written(archive: Archive, clients: cxf.ApplyClients, client: str) -> None:
    number = f"7173_CXFTEXT{client}"
    document = forms.document(apply_no=number, PatientName=IN_XML, ClinDiag=f"{IN_XML}\n  第二行")
    assert clients.code_and_desc(client, document)[0] == 0

    # Another client's same text is the same content, and one that differs by a character is not.
    code, desc = forms.post(archive.http, forms.envelope(document))
    assert (code, "相同" in desc) == (0, True)
    other = document.replace("𠮷", "吉")
    assert other != document
    code, desc = forms.post(archive.http, forms.envelope(other))
    assert (code, "相同" in desc) == (0, False)


@pytest.mark.parametrize("client", CLIENTS)
def test_what_is_wrong_reaches_the_client_in_words(archive: Archive, clients: cxf.ApplyClients, client: str) -> None:
    code, desc = clients.code_and_desc(client, forms.document(apply_no="7173_CXFWRONG", ReqTime="昨天"))
    assert (code, "ReqTime" in desc) == (-3, True)
    code, desc = clients.code_and_desc(client, "")
    assert (code, "为空" in desc) == (-3, True)
    # CXF reads no answer with a status like this one, but tells the status.
    word, said = clients.call(client, "x" * (3 << 20))
    assert (word, "413" in said) == ("thrown", True), said


# --- status notices -----------------------------------------------------------------------------


@dataclass
class Notice:
    """A notice: its elements by name, attributes as `element/@attribute`, in order."""

    elements: dict[str, str]

    @property
    def exam(self) -> str:
        return self.elements["ExamNo"]

    @property
    def status(self) -> str:
        return self.elements["ExamStatus/@code"]


def read(document: str) -> Notice:
    [exam] = ElementTree.fromstring(document)
    elements: dict[str, str] = {}
    for element in exam:
        elements |= {f"{element.tag}/@{name}": value for name, value in element.attrib.items()}
        elements[element.tag] = element.text or ""
    return Notice(elements)


@dataclass
class Story:
    """What happened at the archive, and what each endpoint was told of it."""

    prefixed: dict
    bare: dict
    deleted: str
    told: dict[str, list[Notice]]


@pytest.fixture(scope="module")
def story(telling: Archive, receivers: cxf.StatusReceivers) -> Story:
    client = telling.client()
    prefixed, bare, marker = new_exam(), new_exam(), new_exam()
    prefixed["examInfo"]["technicanName"] = RARE
    prefixed["examInfo"]["technicanCode"] = "T<1>"
    number = prefixed["examInfo"]["applyNo"]
    assert forms.send(telling.http, "INSERT", f"7173_{number}")[0] == 0
    assert forms.send(telling.http, "INSERT", bare["examInfo"]["applyNo"])[0] == 0
    # An answer as some make it: with a declaration that is no longer true.
    receivers.answer("plain", ("answer", f'<?xml version="1.0" encoding="GBK"?>\n{cxf.TAKEN}'))
    client.pushed(prefixed)
    client.pushed(bare)
    deleted = f"7173_D{number}"
    assert forms.send(telling.http, "INSERT", deleted)[0] == 0
    assert forms.send(telling.http, "DELETE", deleted)[0] == 0
    told = {endpoint: receivers.take(endpoint, 5) for endpoint in MANNERS}
    # What was sent twice would stand before what comes of a later exam.
    client.pushed(marker)
    for endpoint, notices in told.items():
        notices += receivers.take(endpoint, 2)
    read_ = {endpoint: [read(one) for one in notices] for endpoint, notices in told.items()}
    for endpoint, notices in read_.items():
        assert [one.status for one in notices if one.exam == marker["examNo"]] == ["20", "70"], endpoint
    return Story(prefixed, bare, deleted, read_)


@pytest.mark.parametrize("endpoint", MANNERS)
def test_an_endpoint_is_told_of_each_status_once_and_in_order(
    story: Story, receivers: cxf.StatusReceivers, endpoint: str
) -> None:
    notices = story.told[endpoint]
    for exam, spelling in [
        (story.prefixed, f"7173_{story.prefixed['examInfo']['applyNo']}"),
        (story.bare, story.bare["examInfo"]["applyNo"]),
    ]:
        its = [one for one in notices if one.exam == exam["examNo"]]
        assert [one.status for one in its] == ["20", "70"]
        assert {one.elements["ApplyNo"] for one in its} == {spelling}
    # A form that was deleted before there was an exam has no exam's number.
    [cancelled] = [one for one in notices if one.exam == ""]
    assert (cancelled.status, cancelled.elements["ApplyNo"]) == ("00", story.deleted)
    assert len(notices) == 7 and receivers.is_idle(endpoint)


@pytest.mark.parametrize("endpoint", MANNERS)
def test_a_notice_is_the_contract_s_document(story: Story, endpoint: str) -> None:
    sample = read(FIXTURE.read_text(encoding="utf-8"))
    for one in story.told[endpoint]:
        assert list(one.elements) == list(sample.elements)

    confirmed = next(one for one in story.told[endpoint] if one.exam == story.prefixed["examNo"] and one.status == "70")
    same = ["OrderNo", "SickNo", "PatientSource", "ExamStatus/@code", "ExamStatus", "PerformDept/@code", "PerformDept", "Operater"]
    assert {name: confirmed.elements[name] for name in same} == {name: sample.elements[name] for name in same}
    assert re.fullmatch(r"\d{4}-\d\d-\d\d", confirmed.elements["OperateDate"])
    assert re.fullmatch(r"\d\d:\d\d:\d\d", confirmed.elements["OperateTime"])
    address = "https://archive.example/viewer?StudyInstanceUIDs=" + study_of(story.prefixed)
    assert re.fullmatch(re.escape(address) + r"&expires=\d+&signature=[\w-]+", confirmed.elements["ImageUrl"])


@pytest.mark.parametrize("endpoint", MANNERS)
def test_text_and_markup_arrive_in_every_charset_and_manner(story: Story, endpoint: str) -> None:
    registered = next(one for one in story.told[endpoint] if one.exam == story.prefixed["examNo"] and one.status == "20")
    assert (registered.elements["Operater"], registered.elements["Operater/@code"]) == (RARE, "T<1>")


def test_what_an_endpoint_refuses_comes_again_before_what_follows(
    story: Story, telling: Archive, receivers: cxf.StatusReceivers
) -> None:
    refused = ("answer", f"<response><code>-1</code><desc>{IN_XML}</desc></response>")
    # Given an endpoint that has taken all so far
    receivers.take(REFUSING, 7)

    # When it refuses an exam's first notice, and breaks at that of another
    receivers.answer(REFUSING, refused, ("fault", "连接池已满"))
    exams = [telling.client().pushed(new_exam()) for _ in range(2)]
    came = [read(one) for one in receivers.take(REFUSING, 6)]

    # Then either comes again, and what follows waits for it
    for exam in exams:
        assert [one.status for one in came if one.exam == exam["examNo"]] == ["20", "20", "70"]
    assert receivers.is_idle(REFUSING)
    # and the log tells what was answered.
    records = telling.command("log", "export", "--data", telling.data).stdout.splitlines()
    events = [json.loads(record)["event"] for record in records]
    tried = [one for event in events if event["title"] == "notices-tried" for one in event["body"]["tried"]]
    answers = {(one.get("code", ""), one["answer"]) for one in tried if one["state"] == "open"}
    assert answers == {("-1", RARE), ("", "HTTP 500: SOAP Fault: 连接池已满")}
