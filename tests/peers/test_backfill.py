"""Backfill: the images of past exams, in the gateway's hours and behind what is pushed today; no news to anybody."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

from peers.test_notices import at, his, reach_told
from peers.test_pull import here, pulling, wait_for, wait_until_done
from support import forms, netdicom
from support.archive import Archive
from support.exams import new_exam
from support.gateways import Dcmqrscp
from support.instances import ct_slices, raw_of
from support.listening import reach
from support.receiver import Receiver
from support.registry import COUNTY, Registry

Archives = Callable[..., Archive]


def asked_for(port: int, **more: object) -> Registry:
    """A registry whose hospital sends its images, and has a gateway for what is asked for."""
    registry = pulling(port, **more)
    for row in registry.hospitals:
        if row.get("images"):
            row["images"] = "store"
    return registry


def backfilled(archive: Archive, first: str, last: str, *options: str) -> str:
    days = ("--from", first, "--to", last, "--data", archive.data)
    return archive.command("backfill", COUNTY, *days, *options).stdout


def coverage(said: str) -> dict[str, list[int]]:
    """By month: exams, complete, open, stopped, not listed."""
    lines = re.findall(r"^(\d{4}-\d\d)((?: +\d+){5}) *$", said, re.MULTILINE)
    return {month: [int(count) for count in counts.split()] for month, counts in lines}


def test_the_coverage_is_told_by_month_and_grows_through_a_restart(fresh_archive: Archives, tmp_path: Path) -> None:
    # Given three exams of May, of which one has its images, two of June, one of July, and a gateway that is down
    days = ["2026-05-04", "2026-05-20", "2026-05-31", "2026-06-01", "2026-06-30", "2026-07-01"]
    exams = [new_exam(images=2, day=day) for day in days]
    with Dcmqrscp(tmp_path / "gateway") as gateway:
        for exam in exams:
            gateway.keep(ct_slices(exam, 2))
        archive = fresh_archive(registry=asked_for(gateway.port))
        for exam in exams:
            archive.client().pushed(exam)
        netdicom.store(archive.dicom, [raw_of(one) for one in ct_slices(exams[0], 2)], "CT1")
        gateway.kill()

        # When May and June are to be fetched
        assert coverage(backfilled(archive, "2026-05-01", "2026-06-30", "--dry-run")) == {
            "2026-05": [3, 1, 0, 0, 2],
            "2026-06": [2, 0, 0, 0, 2],
        }
        assert coverage(backfilled(archive, "2026-05-01", "2026-06-30")) == {
            "2026-05": [3, 1, 2, 0, 0],
            "2026-06": [2, 0, 2, 0, 0],
        }

        # Then they are, when the gateway is up, and a restart forgets none
        archive.kill()
        gateway.start()
        archive.start()
        for exam in exams[:5]:
            wait_for(archive, exam, 2)
            if exam is not exams[0]:
                wait_until_done(archive, exam)
        assert coverage(backfilled(archive, "2026-05-01", "2026-07-31", "--dry-run")) == {
            "2026-05": [3, 3, 0, 0, 0],
            "2026-06": [2, 2, 0, 0, 0],
            "2026-07": [1, 0, 0, 0, 1],
        }
        assert here(archive, exams[5]) == 0


def test_images_of_the_past_are_told_to_no_his_and_those_of_today_are(fresh_archive: Archives, tmp_path: Path) -> None:
    receiver = Receiver()
    past, today = new_exam(images=2, day="2024-03-04"), new_exam(images=2)
    with Dcmqrscp(tmp_path / "gateway") as gateway, receiver:
        gateway.keep(ct_slices(past, 2) + ct_slices(today, 2))
        registry = asked_for(gateway.port)
        registry.his = [his(receiver)]
        archive = fresh_archive(registry=registry)
        # Given a past exam whose push was told
        archive.client().pushed(at(past, "60"))
        reach_told(receiver, past, ["20"])

        # When its images are fetched
        backfilled(archive, "2024-03-01", "2024-03-31")
        wait_for(archive, past, 2)
        wait_until_done(archive, past)

        # Then nobody is told, while the images of an exam of today are news
        archive.client().pushed(at(today, "60"))
        archive.command("pull", "now", f"{COUNTY}/{today['examNo']}", "--data", archive.data)
        wait_for(archive, today, 2)
        reach_told(receiver, today, ["20", "50"])
        assert receiver.told(past) == ["20"]
        waiting = archive.command("notices", "list", "--data", archive.data).stdout
        assert past["examNo"] not in waiting, waiting
    assert not receiver.wrong


def test_exams_of_the_past_stay_out_of_the_turnaround_of_forms(fresh_archive: Archives, tmp_path: Path) -> None:
    # Given two forms of one day, with an exam each; one exam's images are fetched as those of the past
    past, today = new_exam(images=1, day="2024-03-04"), new_exam(images=1, day="2024-03-04")
    with Dcmqrscp(tmp_path / "gateway") as gateway:
        gateway.keep(ct_slices(past, 1))
        archive = fresh_archive(registry=asked_for(gateway.port))
        for exam in (past, today):
            number = f"7173_{exam['examInfo']['applyNo']}"
            assert forms.send(archive.http, apply_no=number, ReqTime="2024-03-04 08:00:00")[0] == 0
            archive.client().pushed(exam)

        def turnaround() -> dict[str, str]:
            days = ("--from", "2024-03-04", "--to", "2024-03-04")
            said = archive.command("forms", "turnaround", COUNTY, *days, "--csv", "--data", archive.data).stdout
            head, line = said.splitlines()
            return dict(zip(head.split(","), line.split(","), strict=True))

        counts = ["forms", "withExam", "withReport"]
        times = ["applyToRegisteredCount", "applyToExamCount", "examToReportCount", "applyToReportCount"]
        before = turnaround()
        assert [before[key] for key in counts + times] == ["2"] * 7, before

        # When they are
        backfilled(archive, "2024-03-01", "2024-03-31", "--dry-run")
        numbers = tmp_path / "numbers.csv"
        numbers.write_text(f"examNo\n{past['examNo']}\n", encoding="utf-8")
        archive.command("backfill", COUNTY, "--csv", numbers, "--data", archive.data)
        wait_for(archive, past, 1)

        # Then its form is counted, and no times are of it
        reach(lambda: turnaround()["applyToExamCount"] == "1", turnaround)
        after = turnaround()
        assert [after[key] for key in counts] == ["2"] * 3, after
        assert [after[key] for key in times] == ["1"] * 4, after
