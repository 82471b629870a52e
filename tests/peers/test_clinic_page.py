"""The clinic page in a real browser, as a clinician opens it: the list, a report, the print, a link that a HIS signed."""

from __future__ import annotations

import hashlib
import hmac
import html
import re
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import requests
from pydicom.uid import generate_uid

from support import netdicom
from support.archive import Archive
from support.browser import Browser
from support.exams import new_exam
from support.instances import ct_slices, raw_of
from support.registry import COUNTY, Registry

PAGE = "/clinic/html/query.htm"
LICENSE = "county-clinic-license"


@pytest.fixture
def browser(tmp_path: Path) -> Browser:
    return Browser(tmp_path / "browser")


def registry(addresses: list[str]) -> Registry:
    made = Registry()
    made.hospitals[0]["clinic"] = {"addresses": addresses}
    made.apps.append({"id": "county-his", "license": LICENSE, "org": COUNTY, "rights": ["read"], "hospitals": [COUNTY]})
    return made


def links(page: str) -> list[str]:
    return [html.unescape(link) for link in re.findall(r'href="([^"]+)"', page)]


def signed(said: str, license: str = LICENSE) -> str:
    """A link as a HIS makes it, written from the README and not from our code."""
    signature = hmac.new(license.encode(), said.encode(), hashlib.sha256).hexdigest()
    return f"{said}&signature={signature}"


def patient_of_three(archive: Archive) -> list[dict]:
    """A patient with a confirmed report that has images, a preliminary one, and an exam without a report."""
    client = archive.client()
    exams = [new_exam(day=day, images=3) for day in ("2026-07-04", "2026-08-11", "2026-09-20")]
    for exam, status in zip(exams, ("70", "60", "50"), strict=True):
        exam["patientInfo"]["sickId"] = exams[0]["patientInfo"]["sickId"]
        exam["examInfo"]["examStatus"] = status
        exam["examInfo"]["performDeptName"] = "放射科"
        client.pushed(exam)
    netdicom.store(archive.dicom, [raw_of(one) for one in ct_slices(exams[0], 3)], "CT1")
    return exams


def test_a_clinician_opens_the_list_reads_a_report_and_prints_it(
    fresh_archive: Callable[..., Archive], browser: Browser, tmp_path: Path
) -> None:
    # Given a patient with three exams
    archive = fresh_archive(registry=registry(["127.0.0.1"]))
    exams = patient_of_three(archive)
    patient = exams[0]["patientInfo"]
    url = f"{archive.http}{PAGE}?sick_id=7173_{patient['sickId']}"

    # When the workstation opens the patient
    page = browser.dom(url)

    # Then the exams are there, newest first, in plain words
    days = re.findall(r"2026-\d\d-\d\d", page)
    assert [day for day in days if day != patient["birthDate"]] == ["2026-09-20", "2026-08-11", "2026-07-04"]
    for words in (patient["name"], "共 3 个检查", "初步报告（未确认）", "未出报告", "已确认", "齐全", "未到", "放射科"):
        assert words in page
    assert browser.screenshot(url, tmp_path / "list.png").stat().st_size > 10_000

    # and each leads to its report
    newest, draft, final = (f"{archive.http}{PAGE}{link}" for link in links(page))
    assert "尚未出报告" in browser.dom(newest)
    report = browser.dom(final)
    for words in ("右肺下叶见片状高密度影", "右肺下叶炎症", "陈主任", "2026-07-04 12:00:00", "示例县医院", "320排CT"):
        assert words in report
    assert "草稿" not in report
    assert "草稿" in browser.dom(draft)
    browser.screenshot(final, tmp_path / "report.png", height=1300)
    browser.screenshot(draft, tmp_path / "draft.png", height=1300)

    # and is printed on one sheet of A4
    for name, address in (("report", final), ("draft", draft)):
        printed = browser.pdf(address, tmp_path / f"{name}.pdf")
        assert printed.pages == 1
        assert printed.is_a4


def test_a_link_that_a_his_signed_opens_and_leads_on(fresh_archive: Callable[..., Archive], browser: Browser) -> None:
    # Given an archive whose page opens from no address
    archive = fresh_archive(registry=registry([]))
    exams = patient_of_three(archive)
    number = f"sick_id=7173_{exams[0]['patientInfo']['sickId']}"
    page = f"{archive.http}{PAGE}"
    assert "不在" in browser.dom(f"{page}?{number}")

    # When the HIS signs a link, it opens, and the page's own links lead on
    said = f"{number}&user=1024&app=county-his&expires={int(time.time()) + 300}"
    listed = browser.dom(f"{page}?{signed(said)}")
    assert "共 3 个检查" in listed
    assert "右肺下叶炎症" in browser.dom(f"{page}{links(listed)[-1]}")

    # and one that was changed or signed with another license does not
    for wrong in (signed(said).replace("user=1024", "user=1025"), signed(said, "another-license-of-it")):
        answer = requests.get(f"{page}?{wrong}", timeout=10)
        assert answer.status_code == 403
        assert "链接无效" in answer.text

    # The command makes the same links
    made = archive.command(
        "client", "--url", archive.http, "--app", "county-his", "--license", LICENSE,
        "link", f"exam_no=7173_{exams[0]['examNo']}", "--user", "1024",
    ).stdout.strip()
    assert "右肺下叶炎症" in browser.dom(made)
    said, signature = made.split("?")[1].split("&signature=")
    assert signed(said).endswith(signature)


def test_a_report_of_many_words_is_printed_whole(
    fresh_archive: Callable[..., Archive], browser: Browser, tmp_path: Path
) -> None:
    archive = fresh_archive(registry=registry(["127.0.0.1"]))
    exam = new_exam()
    lines = "\n".join(f"{number}. 右肺下叶见片状高密度影，边界不清。" for number in range(1, 81))
    exam["reportList"][0]["description"] = lines
    archive.client().pushed(exam)
    printed = browser.pdf(f"{archive.http}{PAGE}?exam_no=7173_{exam['examNo']}", tmp_path / "long.pdf")
    assert 2 <= printed.pages <= 4 and printed.is_a4


def test_images_are_paged_through_with_the_scanned_form_beside(
    fresh_archive: Callable[..., Archive], browser: Browser, tmp_path: Path
) -> None:
    # Given an exam with three slices and a scanned apply form as series 0
    archive = fresh_archive(registry=registry(["127.0.0.1"]))
    exam = new_exam(images=4)
    archive.client().pushed(exam)
    slices = ct_slices(exam, 4)
    form = slices.pop()
    form.SeriesInstanceUID, form.SeriesNumber, form.Modality = generate_uid(), 0, "OT"
    for one in slices:
        one.SeriesNumber = 2
    netdicom.store(archive.dicom, [raw_of(one) for one in [*slices, form]], "CT1")

    def opened(link: str) -> str:
        return requests.get(f"{archive.http}{PAGE}{link}", timeout=30).text

    def link_of(page: str, words: str) -> str:
        return html.unescape(re.search(rf'href="([^"]+)">{words}<', page)[1])

    def pictures(page: str) -> list[requests.Response]:
        sources = [html.unescape(source) for source in re.findall(r'<img src="([^"]+)"', page)]
        return [requests.get(f"{archive.http}{source}", timeout=30) for source in sources]

    # When its images are opened from the report, then the first slice is shown, and the form beside
    report = opened(f"?exam_no=7173_{exam['examNo']}")
    first = opened(link_of(report, "查看影像"))
    assert "1 / 3" in first and "申请单扫描件" in first
    shown = pictures(first)
    assert len(shown) == 2
    for one in shown:
        assert one.status_code == 200 and one.content.startswith(b"\xff\xd8"), one.text
    browser.screenshot(f"{archive.http}{PAGE}{link_of(report, '查看影像')}", tmp_path / "images.png", height=1100)

    # and one pages on to the last, in a window that stays
    lung = opened(link_of(first, "肺窗"))
    assert pictures(lung)[0].content != shown[0].content
    second = opened(link_of(lung, "下一幅"))
    assert "2 / 3" in second and "<b>肺窗</b>" in second
    last = opened(link_of(second, "最后一幅"))
    assert "3 / 3" in last and "下一幅</a>" not in last

    # and the form is looked at by itself
    alone = opened(link_of(first, "查看"))
    assert "1 / 1" in alone and len(pictures(alone)) == 1

    # and what no exam has is the last there is, or told in words
    query = f"?exam_no=7173_{exam['examNo']}&exam={exam['examNo']}"
    assert "3 / 3" in opened(f"{query}&series=1&image=99999999999999")
    assert "没有可显示的图像" in opened(f"{query}&series=18446744073709551615")
    assert "应为数字" in opened(f"{query}&series=x")
