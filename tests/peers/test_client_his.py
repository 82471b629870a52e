"""The HIS' side of the vendor's tool: sending apply forms, and taking status notices."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from support.archive import DEMO, Archive, binary, free_port
from support.exams import new_exam
from support.listening import reach
from support.receiver import Notice, Receiver
from support.registry import COUNTY, Registry

SAMPLE = DEMO / "samples" / "syn_apply_info.xml"


def apply(receiver: Receiver, *arguments: str | Path) -> subprocess.CompletedProcess:
    return subprocess.run(
        [binary(), "client", "--url", receiver.url, "apply", *arguments], capture_output=True, text=True, timeout=60
    )


def header(notice: Notice) -> dict[str, str]:
    return {element.tag: (element.text or "").strip() for element in notice.document.find("Header")}


def test_a_form_is_sent_as_it_is_and_the_answer_is_told_in_words() -> None:
    with Receiver() as his:
        done = apply(his, SAMPLE)
        assert done.returncode == 0, done.stderr
        assert "0 成功" in done.stdout
        [sent] = his.came
        assert not his.wrong
    assert (sent.soap, sent.charset, sent.parameter) == ("1.1", "utf-8", "req")
    assert sent.operation.endswith("}SynApplyInfo")
    assert sent.said["ApplyNo"] == "7173_00000001"
    assert header(sent)["License"] == "0A1B2C3D4E5F60718293A4B5C6D7E8F9"
    # stray text and comments too
    assert "加医院ID前缀有下划线" in sent.text


@pytest.mark.parametrize(
    ("code", "words"),
    [("-3", "报文有误"), ("-88", "已登记"), ("-99", "没有此申请单"), ("-1", "写入申请单失败"), ("7", "契约中没有")],
)
def test_a_refused_form_ends_with_words_and_a_failure(code: str, words: str) -> None:
    with Receiver(lambda _: (code, "原因")) as his:
        done = apply(his, SAMPLE)
    assert done.returncode == 1
    assert words in done.stdout and "原因" in done.stdout


def test_the_sample_goes_with_ones_own_licence_in_every_manner() -> None:
    with Receiver() as his:
        for arguments in (
            ["--soap", "1.2"], ["--charset", "gbk"], ["--charset", "GBK", "--cdata"], ["--action", "DELETE", "--namespace", ""]
        ):
            done = apply(his, "--sample", "--license", "my-licence", *arguments)
            assert done.returncode == 0, done.stdout + done.stderr
        assert not his.wrong
    assert [(one.soap, one.charset, "<![CDATA[" in one.text) for one in his.came] == [
        ("1.2", "utf-8", False), ("1.1", "gbk", False), ("1.1", "gbk", True), ("1.1", "utf-8", False)
    ]
    assert {header(one)["License"] for one in his.came} == {"my-licence"}
    assert [header(one)["Action"] for one in his.came] == ["INSERT"] * 3 + ["DELETE"]
    assert his.came[-1].operation == "SynApplyInfo"
    assert {one.document.findtext("Patient/PatientName") for one in his.came} == {"肖萍"}


def test_nobody_there_is_told_in_words() -> None:
    done = apply(Receiver(port=free_port()), SAMPLE)
    assert done.returncode == 1
    assert "没有应答" in done.stderr


@contextmanager
def status_receiver(port: int, *arguments: str | Path) -> Iterator[subprocess.Popen]:
    process = subprocess.Popen(
        [binary(), "client", "status-receiver", "--listen", f"127.0.0.1:{port}", *arguments],
        stdout=subprocess.PIPE, text=True,
    )
    try:
        assert f"127.0.0.1:{port}" in process.stdout.readline()
        yield process
    finally:
        process.terminate()
        process.communicate(timeout=30)


@pytest.mark.parametrize("settings", [{}, {"soap": "1.2", "charset": "GBK", "escaping": "cdata"}], ids=["usual", "odd"])
def test_notices_are_shown_in_words_and_taken(
    fresh_archive: Callable[..., Archive], tmp_path: Path, settings: dict
) -> None:
    port = free_port()
    receiver = {"url": f"http://127.0.0.1:{port}/", **settings}
    his = {"id": "county-his", "license": "his-license", "hospitals": [COUNTY], "receiver": receiver}
    archive = fresh_archive(registry=Registry(his=[his]))
    with status_receiver(port, "--log", tmp_path / "notices.log") as process:
        exam = archive.client().pushed(new_exam())
        told = [process.stdout.readline() for _ in range(2)]
    assert "20 检查确认" in told[0] and "70 确认报告" in told[1]
    for line in told:
        assert f"检查 {exam['examNo']}" in line and f"申请单 7173_{exam['examInfo']['applyNo']}" in line
    listed = ("notices", "list", "--state", "sent", "--data", archive.data)
    reach(lambda: archive.command(*listed).stdout.count("已送") == 2, lambda: archive.command(*listed).stdout)
    assert (tmp_path / "notices.log").read_bytes().count(b"SynStatusInfo") >= 2


def test_a_receiver_may_refuse(fresh_archive: Callable[..., Archive]) -> None:
    port = free_port()
    receiver = {"url": f"http://127.0.0.1:{port}/"}
    his = {"id": "county-his", "license": "his-license", "hospitals": [COUNTY], "receiver": receiver}
    archive = fresh_archive(registry=Registry(his=[his]))
    with status_receiver(port, "--answer", "-1"):
        archive.client().pushed(new_exam())
        listed = ("notices", "list", "--data", archive.data)
        reach(lambda: "-1 拒收" in archive.command(*listed).stdout, lambda: archive.command(*listed).stdout)
