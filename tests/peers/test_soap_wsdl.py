"""The SOAP service for apply forms, called by a client that a toolkit makes of its description."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree

import pytest
import requests
import zeep

from support.archive import Archive

ROUTE = "/YlzSynInfoService/services/service"
MESSAGE_WRONG = "-3"
BROKEN = '<?xml version="1.0" encoding="GBK"?>\n<XmlDocument><PatientName>诊&amp;</PatientName><Exam></XmlDocument>'


def client(archive: Archive) -> zeep.Client:
    return zeep.Client(f"{archive.http}{ROUTE}?wsdl")


def code_and_desc(returned: str) -> tuple[str | None, str | None]:
    response = ElementTree.fromstring(returned)
    assert response.tag == "response"
    return response.findtext("code"), response.findtext("desc")


@pytest.mark.parametrize("port", ["SynInfoServiceSoap", "SynInfoServiceSoap12"])
def test_a_generated_client_calls_and_reads_the_answer(archive: Archive, port: str) -> None:
    service = client(archive).bind("YlzSynInfoService", port)
    code, desc = code_and_desc(service.SynApplyInfo(BROKEN))
    assert code == MESSAGE_WRONG
    # The place tells that the document came as it was written.
    assert desc is not None and "第 2 行" in desc
    code, desc = code_and_desc(service.SynApplyInfo(req=""))
    assert (code, desc is not None and "为空" in desc) == (MESSAGE_WRONG, True)


def test_the_description_names_the_address_that_was_asked(archive: Archive) -> None:
    [service] = client(archive).wsdl.services.values()
    locations = {port.binding_options["address"] for port in service.ports.values()}
    assert locations == {f"{archive.http}{ROUTE}"}


def test_a_request_that_is_no_soap_is_a_fault_that_the_client_raises(archive: Archive) -> None:
    made = client(archive)
    service = made.bind("YlzSynInfoService", "SynInfoServiceSoap")
    with pytest.raises(zeep.exceptions.Fault, match="字节"):
        service.SynApplyInfo("x" * (3 << 20))
    answer = requests.post(f"{archive.http}{ROUTE}", data=b"{}", timeout=30)
    assert (answer.status_code, "faultstring" in answer.text) == (500, True)
