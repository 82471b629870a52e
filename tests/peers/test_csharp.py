"""SOAP with .NET on the other side (contract §3, R12): the client that Mono's wsdl tool makes of our WSDL, SOAP 1.1 and 1.2."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from support import forms
from support.archive import Archive

SOURCE = Path(__file__).parent / "csharp" / "ApplyClient.cs"
# A character beyond the 16-bit plane, markup, quotes.
RARE = "欧阳𠮷“é”&lt;&amp;&gt;'\""


def ran(*words: str | Path) -> str:
    done = subprocess.run(words, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module", params=["SOAP", "SOAP12"])
def client(request: pytest.FixtureRequest, archive: Archive, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp(request.param)
    proxy, program = folder / "Yingku.cs", folder / "ApplyClient.exe"
    ran("wsdl", f"-protocol:{request.param}", "-namespace:Yingku", f"-out:{proxy}", f"{archive.http}{forms.ROUTE}?wsdl")
    ran("mcs", f"-out:{program}", "-r:System.Web.Services", proxy, SOURCE)
    return program


def test_a_client_made_of_the_wsdl_sends_changes_and_deletes_a_form(archive: Archive, client: Path, tmp_path: Path) -> None:
    number = f"7173_{client.parent.name}"

    def call(action: str, **elements: str) -> tuple[int, str]:
        file = tmp_path / "form.xml"
        file.write_text(forms.document(action, number, **elements), encoding="utf-8")
        return forms.code_and_desc(ran("mono", client, f"{archive.http}{forms.ROUTE}", file).strip())

    assert call("UPDATE", PatientName=RARE)[0] == -99
    assert call("INSERT", PatientName=RARE)[0] == 0
    assert call("UPDATE", PatientName=RARE, ClinDiag="肺炎")[0] == 0
    code, words = call("INSERT", PatientName="")
    assert code == -3 and "PatientName" in words
    lines = [json.loads(line) for line in archive.command("log", "export", "--data", archive.data).stdout.splitlines()]
    bodies = [line["event"]["body"]["body"] for line in lines if line["event"]["title"] == "apply-form-received"]
    names = {body["form"]["patient"]["name"] for body in bodies if body["applyNo"] == number.removeprefix("7173_") and body["form"]}
    assert names == {"欧阳𠮷“é”<&>'\""}
    assert call("DELETE")[0] == 0
