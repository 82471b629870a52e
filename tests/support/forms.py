"""Apply forms as a HIS sends them: the contract's sample under other numbers, in SOAP by hand or by a generated client."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from xml.sax.saxutils import escape

import requests

REPOSITORY = Path(__file__).resolve().parents[2]
SAMPLE = (REPOSITORY / "tests/fixtures/contract/syn_apply_info.xml").read_text(encoding="utf-8")
ROUTE = "/YlzSynInfoService/services/service"
LICENSE = "demo-license"
SOAP11 = "http://schemas.xmlsoap.org/soap/envelope/"
SOAP12 = "http://www.w3.org/2003/05/soap-envelope"


def document(action: str = "INSERT", apply_no: str = "7173_00000001", license_: str = LICENSE, **elements: str) -> str:
    """The sample; `elements`: other texts of some of its elements, by name."""
    text = SAMPLE.replace(">INSERT<", f">{action}<").replace("7173_00000001", apply_no)
    text = re.sub(r"<License>[^<]*</License>", f"<License>{license_}</License>", text)
    for name, value in elements.items():
        text, count = re.subn(rf"<{name}((?: [^>]*)?)(?:/>|>[^<]*</{name}>)", rf"<{name}\1>{value}</{name}>", text)
        assert count, f"the sample has no {name}"
    return text


def envelope(content: str, *, soap: str = SOAP11, parameter: str = "req", cdata: bool = False, charset: str = "UTF-8") -> bytes:
    inner = f"<![CDATA[{content}]]>" if cdata else escape(content)
    text = (
        f'<?xml version="1.0" encoding="{charset}"?><s:Envelope xmlns:s="{soap}"><s:Body>'
        f'<SynApplyInfo xmlns="urn:test"><{parameter}>{inner}</{parameter}></SynApplyInfo></s:Body></s:Envelope>'
    )
    return text.encode(charset)


def code_and_desc(returned: str) -> tuple[int, str]:
    response = ElementTree.fromstring(returned)
    assert response.tag == "response"
    return int(response.findtext("code") or ""), response.findtext("desc") or ""


def post(http: str, body: bytes, content_type: str = "text/xml; charset=UTF-8", **headers: str) -> tuple[int, str]:
    """Sends an envelope as it is; the answer's code and words."""
    answer = requests.post(f"{http}{ROUTE}", data=body, headers={"Content-Type": content_type, **headers}, timeout=30)
    assert answer.status_code == 200, answer.text
    answer.encoding = re.search(r"charset=([\w-]+)", answer.headers["Content-Type"]).group(1)
    envelope_ = ElementTree.fromstring(re.sub(r"^<\?xml[^>]*\?>", "", answer.text))
    [response] = [element for element in envelope_.iter() if element.tag.endswith("SynApplyInfoResponse")]
    return code_and_desc(response[0].text)


def send(http: str, action: str = "INSERT", apply_no: str = "7173_00000001", **more: str) -> tuple[int, str]:
    return post(http, envelope(document(action, apply_no, **more)))
