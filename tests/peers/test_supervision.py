"""Supervision over the interface: counted anew here from what was pushed; workbooks as others read them; the daily report."""

from __future__ import annotations

import csv
import io
import json
import threading
import zipfile
import xml.etree.ElementTree as ElementTree
from collections import Counter
from collections.abc import Callable
from datetime import datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from zoneinfo import ZoneInfo

import requests

from support import netdicom
from support.archive import Archive
from support.exams import new_exam
from support.instances import ct_slices, raw_of
from support.registry import COUNTY, TOWN

SHEET = "{http://schemas.openxmlformats.org/spreadsheetml/2006/main}"
DAYS = {"from": "2016-05-01", "to": "2016-05-31"}


def exams() -> list[dict]:
    """Twelve of two hospitals; every third not confirmed, every second positive."""
    made = []
    for number in range(12):
        exam = new_exam(hospital=(COUNTY, TOWN)[number % 2], day=f"2016-05-{1 + number % 4:02}")
        exam["examInfo"]["device"] = ("=1+1", "320排CT,\"新\"", "MR甲")[number % 3]
        exam["examInfo"]["examStatus"] = "60" if number % 3 == 0 else "70"
        exam["reportList"][0]["abNormalFlag"] = str(number % 2)
        made.append(exam)
    return made


def cells(workbook: bytes) -> list[list[str]]:
    """The lines of a workbook's sheet; empty cells left out."""
    with zipfile.ZipFile(io.BytesIO(workbook)) as file:
        assert file.testzip() is None
        sheet = ElementTree.fromstring(file.read("xl/worksheets/sheet1.xml"))
    rows = sheet.iter(f"{SHEET}row")
    return [["".join(cell.itertext()) for cell in row.iter(f"{SHEET}c")] for row in rows]


def test_counts_are_those_of_what_was_pushed_in_each_format(fresh_archive: Callable[..., Archive]) -> None:
    archive = fresh_archive()
    client, office = archive.client(), archive.client("demo-reader")
    pushed = [client.pushed(exam) for exam in exams()]
    netdicom.stored(archive.dicom, [raw_of(one) for exam in pushed[:3] for one in ct_slices(exam, 2)])

    # Completeness by hospital
    answer = office.post("statistics/completeness", {**DAYS, "by": "hospital"})
    assert (answer.http, answer.status) == (200, 0), answer
    registered = Counter(exam["hospitalCode"] for exam in pushed)
    complete = Counter(exam["hospitalCode"] for exam in pushed[:3])
    rows = {row["hospitalCode"]: (row["registered"], row["imagesComplete"]) for row in answer.result["rows"]}
    assert rows == {code: (registered[code], complete[code]) for code in registered}
    assert answer.result["totals"]["imagesComplete"] == 3

    # First images came after their pushes
    answer = office.post("statistics/timeliness", DAYS)
    totals = answer.result["totals"]
    assert (totals["exams"], totals["wrongTimes"], totals["pushToImagesCount"]) == (12, 0, 3), totals

    # Positive rates by device: JSON, CSV and a workbook tell the same
    final = [exam for exam in pushed if exam["examInfo"]["examStatus"] == "70"]
    reports = Counter(exam["examInfo"]["device"] for exam in final)
    positive = Counter(exam["examInfo"]["device"] for exam in final if exam["reportList"][0]["abNormalFlag"] == "1")
    question = {**DAYS, "by": "device"}
    answer = office.post("statistics/positive", question)
    found = {row["device"]: (row["reports"], row["positive"]) for row in answer.result["rows"]}
    assert found == {device: (reports[device], positive[device]) for device in reports}

    def file(form: str) -> requests.Response:
        url = f"{archive.http}/openapi/v1/statistics/positive"
        made = requests.post(url, json={**question, "format": form}, headers={"token": office.token}, timeout=30)
        assert made.status_code == 200, made.text
        assert f"positive-{DAYS['from']}-{DAYS['to']}.{form}" in made.headers["Content-Disposition"]
        return made

    text = file("csv").content.decode("utf-8-sig")
    head, *lines, total = csv.reader(io.StringIO(text, newline=""))
    assert head[:3] == ["设备", "已确认报告", "阳性"] and total[0] == "合计"
    # What a spreadsheet would compute stands behind an apostrophe
    harmless = {"'" + device if device.startswith("=") else device: device for device in reports}
    assert {harmless[line[0]]: (int(line[1]), int(line[2])) for line in lines} == found
    head, *lines, total = cells(file("xlsx").content)
    assert head[0] == "设备" and total[0] == "合计"
    assert {line[0]: (int(line[1]), int(line[2])) for line in lines} == found


def test_the_daily_report_is_shown_written_and_sent(fresh_archive: Callable[..., Archive], tmp_path: Path) -> None:
    archive = fresh_archive()
    client = archive.client()
    now = datetime.now(ZoneInfo("Asia/Shanghai"))
    today = now.strftime("%Y-%m-%d")
    # Given three exams of today, one refusal, and nothing of the weeks before
    for hospital in (COUNTY, COUNTY, TOWN):
        client.pushed(new_exam(hospital=hospital, day=today))
    wrong = new_exam(day=today)
    wrong["examInfo"]["examStatus"] = "77"
    assert client.push(wrong).status == 1

    received: list[dict] = []

    class Hook(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            received.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Hook)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    out = tmp_path / "daily.md"
    try:
        url = f"http://127.0.0.1:{server.server_port}/hook"
        archive.command("report", "daily", "--day", today, "--out", out, "--webhook", url, "--data", archive.data)
    finally:
        server.shutdown()
        server.server_close()
    # Then each way tells the same
    [sent] = received
    shown = json.loads(archive.command("report", "daily", "--day", today, "--format", "json", "--data", archive.data).stdout)
    for report in (sent, shown):
        came = {one["hospitalCode"]: (one["today"], one["silence"]) for one in report["hospitals"]}
        # Exams were made in the morning by the sample; what is in the future was pushed today all the same
        assert came[COUNTY] == (2, "unknown") and came[TOWN] == (1, "unknown"), came
        apps = {(one["hospitalCode"], app["app"]): app["today"] for one in report["hospitals"] for app in one["apps"]}
        assert apps == {(COUNTY, "demo-pacs"): 2, (TOWN, "demo-pacs"): 1}
        assert report["disk"]["roomBytes"] > 0
    text = out.read_text(encoding="utf-8")
    assert f"# 影像归档日报 {today}" in text and "| demo-pacs |" in text
    name = new_exam()["patientInfo"]["name"]
    assert name not in text and name not in json.dumps(sent, ensure_ascii=False)
    # Of the UTC day that the refusal is of
    utc = datetime.now(ZoneInfo("UTC")).strftime("%Y-%m-%d")
    of_utc = archive.command("report", "daily", "--day", utc, "--format", "json", "--data", archive.data)
    refused = [one for one in json.loads(of_utc.stdout)["refusals"] if one["source"] == "app:demo-pacs"]
    assert sum(one["count"] for one in refused) >= 1, refused
    # A hospital that nobody registered, a day that is none, an address that takes nothing
    for wrong_arguments in (["--hospital", "999999"], ["--day", "2026-13-01"], ["--webhook", "http://127.0.0.1:9/"]):
        said = archive.command("report", "daily", *wrong_arguments, "--data", archive.data, check=False)
        assert said.returncode == 1, said
    yesterday = (now - timedelta(days=1)).strftime("%Y-%m-%d")
    assert f"日报 {yesterday}" in archive.command("report", "daily", "--data", archive.data).stdout
