"""Status notices to HIS (contract 3.2, R12 and R17), taken by receivers of the test's own."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest
import requests

from peers.test_metrics import samples, value
from support import forms, netdicom
from support.archive import Archive, free_port
from support.exams import new_exam
from support.instances import ct_slices, raw_of
from support.listening import reach
from support.receiver import Notice, Receiver, take
from support.registry import COUNTY, TEST_MODE, TOWN, Registry

Archives = Callable[..., Archive]
# A receiver that hangs is let go after this, if its test has failed.
HANG_LIMIT_S = 60


def his(receiver: Receiver, name: str = "county-his", hospitals: tuple[str, ...] = (COUNTY,), **more: object) -> dict:
    if not receiver.port:
        receiver.port = free_port()
    return {
        "id": name, "license": "his-license", "hospitals": list(hospitals), "receiver": {"url": receiver.url, **more},
    }


def at(exam: dict, status: str) -> dict:
    return {**exam, "examInfo": {**exam["examInfo"], "examStatus": status}}


def listed(archive: Archive, *arguments: str) -> list[str]:
    """Lines of `notices list` below the table's head."""
    said = archive.command("notices", "list", *arguments, "--data", archive.data).stdout
    return [line for line in said.splitlines()[1:] if line]


def reach_told(receiver: Receiver, exam: dict, statuses: list[str]) -> None:
    reach(lambda: receiver.told(exam) == statuses, lambda: (receiver.told(exam), receiver.wrong))


def test_an_exam_is_told_step_by_step(fresh_archive: Archives) -> None:
    receiver = Receiver()
    archive = fresh_archive(registry=Registry(his=[his(receiver)]))
    with receiver:
        exam = new_exam(images=1)
        archive.client().pushed(at(exam, "60"))
        netdicom.store(archive.dicom, [raw_of(one) for one in ct_slices(exam, 1)], "CT1")
        reach_told(receiver, exam, ["20", "50"])
        archive.client().pushed(exam)
        reach_told(receiver, exam, ["20", "50", "70"])
        archive.command(
            "correct", "withdraw", f"{COUNTY}/{exam['examNo']}", "--reason", "示例", "--author", "王医生", "--data", archive.data
        )
        reach_told(receiver, exam, ["20", "50", "70", "00"])
    assert not receiver.wrong

    confirmed = receiver.taken[2]
    assert (confirmed.soap, confirmed.charset) == ("1.1", "utf-8")
    assert confirmed.headers["SOAPAction"] == '""'
    assert confirmed.operation == "{urn:yingku:syn-info}SynStatusInfo"
    assert confirmed.parameter == "inputString"
    said = dict(confirmed.said)
    date, time = said.pop("OperateDate"), said.pop("OperateTime")
    assert len(date) == len("2026-07-04") and len(time) == len("12:00:00")
    assert said == {
        "ExamNo": exam["examNo"],
        "ApplyNo": f"7173_{exam['examInfo']['applyNo']}",
        "OrderNo": "123456",
        "SickNo": f"7173_{exam['patientInfo']['sickId']}",
        "PatientSource": "门诊",
        "ExamStatus": "确认报告", "ExamStatus/@code": "70",
        "PerformDept": "", "PerformDept/@code": "",
        "Operater": "陈主任", "Operater/@code": "",
        "ImageUrl": "",
    }


def test_a_first_push_at_70_tells_20_and_then_70(fresh_archive: Archives) -> None:
    receiver = Receiver()
    archive = fresh_archive(registry=Registry(his=[his(receiver)]))
    with receiver:
        exams = [archive.client().pushed(new_exam()) for _ in range(20)]
        for exam in exams:
            reach_told(receiver, exam, ["20", "70"])
    reach(lambda: len(listed(archive, "--state", "sent")) == 40, lambda: listed(archive, "--state", "sent"))
    assert listed(archive) == []


def test_an_exam_that_names_another_form_is_told_under_that_one(fresh_archive: Archives) -> None:
    receiver = Receiver()
    archive = fresh_archive(registry=Registry(his=[his(receiver)]))
    with receiver:
        exam = archive.client().pushed(new_exam())
        former = exam["examInfo"]["applyNo"]
        reach_told(receiver, exam, ["20", "70"])
        exam["examInfo"]["applyNo"] = f"{former}-B"
        archive.client().pushed(exam)
        reach_told(receiver, exam, ["20", "70", "00", "20", "70"])
    told = [(notice.status, notice.said["ApplyNo"], notice.said["ExamNo"]) for notice in receiver.taken]
    assert told[2] == ("00", f"7173_{former}", exam["examNo"])
    assert {number for _, number, _ in told[3:]} == {f"7173_{former}-B"}


def test_a_deleted_form_is_told_in_its_own_spelling(fresh_archive: Archives) -> None:
    receiver = Receiver()
    archive = fresh_archive(registry=Registry(his=[his(receiver)]))
    with receiver:
        for action in ("INSERT", "DELETE"):
            assert forms.send(archive.http, action, "7173_D1", license_="his-license")[0] == 0
        reach(lambda: receiver.taken, lambda: receiver.wrong)
    [notice] = receiver.taken
    assert (notice.status, notice.said["ExamStatus"]) == ("00", "检查取消")
    assert (notice.said["ApplyNo"], notice.said["ExamNo"], notice.said["SickNo"]) == ("7173_D1", "", "7173_C0001")
    assert (notice.said["OrderNo"], notice.said["PatientSource"]) == ("123456", "门诊")


def test_a_refused_notice_is_sent_again_and_the_next_waits_for_it(fresh_archive: Archives) -> None:
    refusing = True
    receiver = Receiver(lambda notice: ("-1", "系统忙") if refusing else take(notice))
    archive = fresh_archive(registry=Registry(his=[his(receiver)]))
    with receiver:
        exam = archive.client().pushed(new_exam())
        # The second time is after a wait of some seconds.
        reach(lambda: len(receiver.came) >= 2, lambda: receiver.came)
        assert {notice.status for notice in receiver.came} == {"20"}
        reach(lambda: "-1 系统忙" in "\n".join(listed(archive)), lambda: listed(archive))
        refusing = False
        reach_told(receiver, exam, ["20", "70"])


def test_what_waits_goes_at_once_when_an_operator_says_so(fresh_archive: Archives) -> None:
    refusing = True
    receiver = Receiver(lambda notice: ("-1", "系统忙") if refusing else take(notice))
    archive = fresh_archive(registry=Registry(his=[his(receiver)]))
    with receiver:
        exams = [archive.client().pushed(new_exam()) for _ in range(3)]
        # Refused often enough that the next wait is longer than this test's patience would like.
        reach(lambda: sum("系统忙" in line for line in listed(archive)) == 3, lambda: listed(archive))
        assert "待送 (open) 6" in archive.command("status", "--data", archive.data).stdout
        refused = len(receiver.came)
        refusing = False
        said = archive.command("notices", "again", "--his", "county-his", "--all-open", "--data", archive.data).stdout
        assert said.strip().endswith(": 6")
        for exam in exams:
            reach_told(receiver, exam, ["20", "70"])
    reach(lambda: listed(archive) == [], lambda: listed(archive))
    figures = samples(archive)
    assert value(figures, "yingku_notices_tried_total", his="county-his", outcome="refused") == refused
    assert value(figures, "yingku_notices_tried_total", his="county-his", outcome="sent") == 6
    assert value(figures, "yingku_notices_open", his="county-his") == 0


def test_what_was_sent_is_sent_again_by_its_number(fresh_archive: Archives) -> None:
    receiver = Receiver()
    archive = fresh_archive(registry=Registry(his=[his(receiver)]))
    again = ("notices", "again", "--data", archive.data, "--his")
    with receiver:
        exam = archive.client().pushed(new_exam())
        reach(lambda: len(listed(archive, "--state", "sent")) == 2, lambda: listed(archive, "--state", "sent"))
        [confirmed] = [line.split()[1] for line in listed(archive, "--state", "sent") if "70 确认报告" in line]
        archive.command(*again, "county-his", confirmed)
        reach_told(receiver, exam, ["20", "70", "70"])
        # What is mistyped changes nothing.
        for arguments, said in [(("county-his", confirmed, "9999.0"), "9999.0"), (("other-his", confirmed), "other-his")]:
            done = archive.command(*again, *arguments, check=False)
            assert done.returncode == 1 and said in done.stderr
    reach(lambda: len(listed(archive, "--state", "sent")) == 3, lambda: listed(archive, "--state", "sent"))
    # Without a server the list is the same.
    served = listed(archive, "--state", "sent")
    assert archive.stop() == 0
    assert listed(archive, "--state", "sent") == served


def test_a_dead_receiver_gets_all_when_it_is_back(fresh_archive: Archives) -> None:
    receiver = Receiver()
    archive = fresh_archive(registry=Registry(his=[his(receiver)]))
    exams = [archive.client().pushed(new_exam()) for _ in range(12)]
    reach(lambda: "Connection refused" in "\n".join(listed(archive)), lambda: listed(archive))
    figures = samples(archive)
    assert value(figures, "yingku_notices_open", his="county-his") == 24
    assert value(figures, "yingku_notices_oldest_seconds", his="county-his") > 0
    assert value(figures, "yingku_notices_tried_total", his="county-his", outcome="unreached") > 0
    with receiver:
        for exam in exams:
            reach_told(receiver, exam, ["20", "70"])
    # Requests that failed together are one failure: it is looked for again within seconds.
    assert not receiver.wrong


def test_a_connection_that_breaks_off_is_no_answer(fresh_archive: Archives) -> None:
    receiver = Receiver(lambda _: None)
    archive = fresh_archive(registry=Registry(his=[his(receiver)]))
    with receiver:
        exam = archive.client().pushed(new_exam())
        reach(lambda: "无答复" in "\n".join(listed(archive)), lambda: listed(archive))
        receiver.answer = take
        reach_told(receiver, exam, ["20", "70"])


@pytest.mark.parametrize(
    ("settings", "soap", "charset"),
    [
        ({"charset": "GBK"}, "1.1", "gbk"),
        ({"charset": "GBK", "escaping": "cdata"}, "1.1", "gbk"),
        ({"soap": "1.2", "action": "urn:SynStatusInfo", "escaping": "cdata"}, "1.2", "utf-8"),
        ({"namespace": "", "operation": "Notify", "parameter": "arg0", "action": "urn:notify"}, "1.1", "utf-8"),
    ],
    ids=["GBK", "GBK in CDATA", "SOAP 1.2", "names of its own"],
)
def test_a_receiver_gets_notices_as_it_reads_them(
    fresh_archive: Archives, settings: dict, soap: str, charset: str
) -> None:
    receiver = Receiver()
    archive = fresh_archive(registry=Registry(his=[his(receiver, **settings)]))
    with receiver:
        # A number with what XML has its own meaning for, and a doctor whose name GBK does not have.
        exam = new_exam()
        exam["examNo"] += "&<]]>'"
        exam["reportList"][0]["affirmReporter"] = "𠮷医生"
        archive.client().pushed(exam)
        reach_told(receiver, exam, ["20", "70"])
    assert not receiver.wrong
    notice = receiver.taken[-1]
    assert (notice.soap, notice.charset) == (soap, charset)
    assert (notice.said["ExamStatus"], notice.said["Operater"]) == ("确认报告", "𠮷医生")
    assert ("<![CDATA[" in notice.text) == (settings.get("escaping") == "cdata")
    action = settings.get("action", "")
    if soap == "1.1":
        assert notice.headers["SOAPAction"] == f'"{action}"'
    else:
        assert notice.headers.get_param("action") == action
    namespace = settings.get("namespace", "urn:yingku:syn-info")
    operation = settings.get("operation", "SynStatusInfo")
    assert notice.operation == (f"{{{namespace}}}{operation}" if namespace else operation)
    assert notice.parameter == settings.get("parameter", "inputString")


def test_a_receiver_that_hangs_or_is_dead_delays_nobody_else(fresh_archive: Archives) -> None:
    let_go = threading.Event()

    def hang(notice: Notice) -> tuple[str, str]:
        let_go.wait(HANG_LIMIT_S)
        return take(notice)

    hanging, dead, good, town = Receiver(hang), Receiver(), Receiver(), Receiver()
    registry = Registry(
        his=[
            his(hanging, "hanging"), his(dead, "dead"), his(good, "good"),
            his(town, "town", (TOWN,), statuses=["70"]),
        ]
    )
    archive = fresh_archive(registry=registry)
    with hanging, good, town:
        exams = [archive.client().pushed(new_exam(hospital=code)) for code in (COUNTY, TOWN) for _ in range(12)]
        for exam in exams[:12]:
            reach_told(good, exam, ["20", "70"])
        for exam in exams[12:]:
            reach_told(town, exam, ["70"])
        assert not hanging.taken
        # and it is not asked for more than it may take at once
        assert hanging.most_at_once <= 8
        let_go.set()
        for exam in exams[:12]:
            reach_told(hanging, exam, ["20", "70"])
    assert {notice.exam for notice in good.came}.isdisjoint(exam["examNo"] for exam in exams[12:])


def test_nothing_is_lost_by_kill_9_between_sending_and_recording(fresh_archive: Archives) -> None:
    receiver = Receiver()
    archive = fresh_archive(registry=Registry(his=[his(receiver)]))
    killed = threading.Event()

    def die_at_the_fifth(notice: Notice) -> tuple[str, str]:
        if len(receiver.came) >= 5 and not killed.is_set():
            killed.set()
            archive.process.kill()
        return take(notice)

    receiver.answer = die_at_the_fifth
    # The ledger: what was acknowledged must be told, whatever dies meanwhile.
    acknowledged: list[dict] = []
    with receiver:
        while not killed.is_set():
            exam = new_exam()
            try:
                archive.client().pushed(exam)
            except requests.RequestException:
                break
            acknowledged.append(exam)
        reach(killed.is_set, lambda: receiver.came)
        archive.kill()
        assert acknowledged
        archive.start()
        for exam in acknowledged:
            reach(lambda exam=exam: set(receiver.told(exam)) == {"20", "70"}, lambda exam=exam: receiver.told(exam))
        reach(lambda: listed(archive) == [], lambda: listed(archive))
    assert not receiver.wrong
    for exam in acknowledged:
        told = receiver.told(exam)
        # At least once, and never a 20 behind a 70.
        assert told == sorted(told), told


def test_a_receiver_that_moves_gets_what_its_former_place_did_not_take(fresh_archive: Archives) -> None:
    nowhere, receiver = Receiver(), Receiver()
    registry = Registry(his=[his(nowhere)])
    archive = fresh_archive(registry=registry)
    exam = archive.client().pushed(new_exam())
    reach(lambda: "无答复" in "\n".join(listed(archive)), lambda: listed(archive))
    with receiver:
        moved = archive.home / "moved.toml"
        moved.write_text(Registry(hospitals=[], apps=[], his=[his(receiver)]).toml(), encoding="utf-8")
        archive.command("registry", "import", moved, "--data", archive.data)
        reach_told(receiver, exam, ["20", "70"])


def test_a_form_s_notice_that_is_refused_is_told_before_those_of_the_exam_that_comes_then(fresh_archive: Archives) -> None:
    refusing = True
    receiver = Receiver(lambda notice: ("-1", "系统忙") if refusing and notice.status == "00" else take(notice))
    archive = fresh_archive(registry=Registry(his=[his(receiver)]))
    exam = new_exam()
    number = f"7173_{exam['examInfo']['applyNo']}"
    with receiver:
        for action in ("INSERT", "DELETE", "INSERT"):
            assert forms.send(archive.http, action, number, license_="his-license")[0] == 0
        archive.client().pushed(exam)
        reach(lambda: receiver.came, lambda: receiver.wrong)
        assert {notice.status for notice in receiver.came} == {"00"}
        refusing = False
        reach(lambda: len(receiver.taken) == 3, lambda: receiver.taken)
    assert [notice.status for notice in receiver.taken] == ["00", "20", "70"]


def test_what_is_to_be_sent_again_keeps_its_place_after_a_kill(fresh_archive: Archives) -> None:
    receiver = Receiver()
    archive = fresh_archive(registry=Registry(his=[his(receiver)]))
    exam = archive.client().pushed(new_exam())
    reach(lambda: len(listed(archive)) == 2, lambda: listed(archive))
    [first] = [line.split()[1] for line in listed(archive) if " 20 " in line or "(20)" in line or line.split()[1].endswith(".0")]
    archive.command("notices", "again", "--his", "county-his", first, "--data", archive.data)
    # How often nobody was reached is told
    reach(lambda: "未接通" in "\n".join(listed(archive)), lambda: listed(archive))
    # Nobody takes away a HIS that is owed something
    refused = archive.command("registry", "remove", "his", "county-his", "--data", archive.data, check=False)
    assert refused.returncode != 0 and "notices list" in refused.stderr
    archive.kill()
    archive.start()
    with receiver:
        reach_told(receiver, exam, ["20", "70"])


def test_two_his_of_one_licence_send_for_their_own_hospitals(fresh_archive: Archives) -> None:
    same = [{"id": f"his-{code}", "license": "same", "hospitals": [code]} for code in (COUNTY, TOWN)]
    archive = fresh_archive(registry=Registry(his=same))
    for number in ("7173_L1", "7174_L1"):
        sick = f"{number.split('_')[0]}_C1"
        code = COUNTY if number.startswith("7173") else TOWN
        sent = forms.send(archive.http, "INSERT", number, license_="same", SickNo=sick)
        assert sent[0] == 0, (code, sent)


def test_notices_about_test_data_that_is_purged_are_dropped_and_never_sent(fresh_archive: Archives) -> None:
    # Given a receiver that is away, and notices of a trial's exam and a live one that wait for it
    receiver = Receiver()
    archive = fresh_archive(registry=Registry(his=[his(receiver, hospitals=(COUNTY, TEST_MODE))]))
    trial, live = new_exam(hospital=TEST_MODE), new_exam()
    for exam in (trial, live):
        archive.client().pushed(exam)
    reach(lambda: len(listed(archive)) == 4, lambda: listed(archive))
    # When the trial's data is purged
    said = archive.command("purge-test-data", TEST_MODE, "--reason", "上线", "--author", "王医生", "--data", archive.data).stdout
    assert "(notices dropped): 2" in said, said
    # Then its notices are listed as dropped, with the reason, and cannot be sent again
    dropped = listed(archive, "--state", "dropped")
    assert len(dropped) == 2 and all("测试数据已清除" in line and TEST_MODE in line for line in dropped), dropped
    number = next(word for word in dropped[0].split() if word.count(".") == 1 and word.replace(".", "").isdigit())
    refused = archive.command("notices", "again", "--his", "county-his", number, "--data", archive.data, check=False)
    assert refused.returncode != 0 and "作废" in refused.stderr
    # and the receiver, when it is back, is told of the live exam only, though its number comes again
    with receiver:
        archive.command("notices", "again", "--his", "county-his", "--all-open", "--data", archive.data)
        reach_told(receiver, live, ["20", "70"])
        archive.client().pushed(trial)
        reach_told(receiver, trial, ["20", "70"])
    assert not receiver.wrong
