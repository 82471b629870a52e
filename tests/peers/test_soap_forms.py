"""Apply forms by SOAP (contract §3.1, R12 to R15): every code, from clients that others wrote and from odd ones."""

from __future__ import annotations

import concurrent.futures
import subprocess

import pytest
import requests
import zeep

from support import forms
from support.archive import Archive, binary
from support.exams import new_exam


def test_the_contract_s_sample_is_taken_as_it_stands(archive: Archive) -> None:
    text = forms.SAMPLE.replace("0A1B2C3D4E5F60718293A4B5C6D7E8F9", forms.LICENSE)
    assert text != forms.SAMPLE
    assert forms.post(archive.http, forms.envelope(text))[0] == 0
    code, desc = forms.post(archive.http, forms.envelope(text, cdata=True))
    assert (code, "相同" in desc) == (0, True)


@pytest.mark.parametrize("port", ["SynInfoServiceSoap", "SynInfoServiceSoap12"])
def test_zeep_sends_changes_and_deletes_a_form(archive: Archive, port: str) -> None:
    client = zeep.Client(f"{archive.http}{forms.ROUTE}?wsdl")
    service = client.bind("YlzSynInfoService", port)
    number = f"7173_Z{port}"

    def call(action: str, **elements: str) -> int:
        return forms.code_and_desc(service.SynApplyInfo(req=forms.document(action, number, **elements)))[0]

    assert call("UPDATE") == -99
    assert call("INSERT") == 0
    assert call("UPDATE", ClinDiag="肺炎") == 0
    assert call("DELETE") == 0
    assert call("DELETE") == -99
    assert call("") == 0


def test_a_form_whose_exam_is_registered_answers_88(archive: Archive) -> None:
    client = archive.client()
    pushed = new_exam()
    number = pushed["examInfo"]["applyNo"]
    prefixed = f"7173_{number}"
    assert forms.send(archive.http, "INSERT", prefixed)[0] == 0
    client.push(pushed)
    assert forms.send(archive.http, "UPDATE", prefixed, ClinDiag="肺炎")[0] == -88
    assert forms.send(archive.http, "DELETE", prefixed)[0] == -88
    code, desc = forms.send(archive.http, "INSERT", prefixed, ClinDiag="肺炎")
    assert (code, "已登记" in desc) == (-1, True)
    # A bare number belongs to ReqHospital.
    assert forms.send(archive.http, "DELETE", number, SickNo="C0001")[0] == -88


def test_what_is_wrong_is_named_with_3(archive: Archive) -> None:
    for elements, said in [
        ({"PatientName": ""}, "PatientName"),
        ({"ReqTime": "yesterday"}, "ReqTime"),
        ({"CardNo": "", "OutRegNo": ""}, "Patient/CardNo"),
        ({"SickNo": "9999_1"}, "SickNo"),
        ({"ApplyNo": "7174_1"}, "不同的医院"),
        ({"MiCard": "1" * 21}, "MiCard"),
    ]:
        code, desc = forms.post(archive.http, forms.envelope(forms.document(apply_no="7173_W", **elements)))
        assert (code, said in desc) == (-3, True), desc
    code, desc = forms.send(archive.http, "REPLACE", "7173_W")
    assert (code, "Header/Action" in desc) == (-3, True), desc


def test_a_wrong_licence_is_3_and_tells_nothing_else(fresh_archive) -> None:
    archive = fresh_archive()
    body = forms.envelope(forms.document(license_="wrong", PatientName=""))
    answers = {forms.post(archive.http, body) for _ in range(3)}
    assert len(answers) == 1
    [(code, desc)] = answers
    assert code == -3 and "License" in desc and "PatientName" not in desc
    # Many wrong ones wait; who was right before from here does not.
    assert forms.send(archive.http, "INSERT", "7173_L1")[0] == 0
    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        tried = list(pool.map(lambda _: forms.post(archive.http, body), range(60)))
    assert any("过多" in desc for _, desc in tried)
    assert forms.send(archive.http, "INSERT", "7173_L2")[0] == 0
    said = subprocess.run(
        [binary(), "app", "errors", "address:127.0.0.1", "--data", archive.data],
        capture_output=True, text=True, timeout=60, check=True,
    ).stdout
    assert "license" in said and "wrong" not in said.replace("wrong:", "").replace("missing or wrong", "").replace("many wrong", "")


def test_odd_clients_are_understood(archive: Archive) -> None:
    text = forms.document(apply_no="7173_ODD")
    http = archive.http
    for body, content_type, headers in [
        (forms.envelope(text), "text/xml", {}),
        (forms.envelope(text, parameter="arg0"), "text/xml; charset=utf-8", {}),
        (forms.envelope(text, parameter="in0"), "application/xml", {"SOAPAction": '"urn:any#thing"'}),
        (forms.envelope(text, parameter="whatever", cdata=True), "text/plain", {}),
        (forms.envelope(text, soap=forms.SOAP12), "application/soap+xml; charset=UTF-8; action=\"x\"", {}),
        (forms.envelope(text, charset="GBK"), "text/xml; charset=GBK", {}),
        (forms.envelope(text, charset="GBK", cdata=True), "text/xml", {}),
        (b"\xef\xbb\xbf" + forms.envelope(text), "text/xml; charset=UTF-8", {}),
    ]:
        code, desc = forms.post(http, body, content_type, **headers)
        assert code == 0, desc


def test_an_update_that_races_a_registration_never_changes_a_registered_form(archive: Archive) -> None:
    """Whatever came first in the log: after the exam, every update is -88, and the form keeps what it had."""
    client = archive.client()
    for turn in range(5):
        pushed = new_exam()
        number = f"7173_{pushed['examInfo']['applyNo']}"
        assert forms.send(archive.http, "INSERT", number)[0] == 0
        with concurrent.futures.ThreadPoolExecutor(9) as pool:
            registered = pool.submit(client.push, pushed)
            updates = [pool.submit(forms.send, archive.http, "UPDATE", number, ClinDiag=f"诊断{n}") for n in range(8)]
            registered.result()
            codes = [update.result()[0] for update in updates]
        assert set(codes) <= {0, -88}
        assert forms.send(archive.http, "UPDATE", number, ClinDiag="以后")[0] == -88


def test_hostile_xml_does_not_harm_the_server(archive: Archive) -> None:
    laughs = '<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">]><XmlDocument>&b;</XmlDocument>'
    outside = '<!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/passwd">]><XmlDocument>&a;</XmlDocument>'
    deep = "<a>" * 100_000
    many = "<XmlDocument>" + "<a/>" * 100_000 + "</XmlDocument>"
    for content in [laughs, outside, deep, many, "<XmlDocument", "\x00", "&#0;", ""]:
        body = forms.envelope(content.replace("\x00", "")) if content != "\x00" else b"\x00" * 1000
        answer = requests.post(f"{archive.http}{forms.ROUTE}", data=body, headers={"Content-Type": "text/xml"}, timeout=30)
        assert answer.status_code in (200, 400, 413, 500)
        assert "root:" not in answer.text
        assert "<code>0" not in answer.text and "&lt;code&gt;0" not in answer.text
    for soap in [laughs, outside, deep.replace("<a>", "<s:a xmlns:s='urn:x'>")[:9_000_000]]:
        answer = requests.post(f"{archive.http}{forms.ROUTE}", data=soap.encode(), headers={"Content-Type": "text/xml"}, timeout=30)
        assert answer.status_code >= 400 and "Fault" in answer.text
    assert forms.send(archive.http, "INSERT", "7173_ALIVE")[0] == 0
