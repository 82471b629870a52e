"""Reconciliation: what was declared against what came, by name where a name is known."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

from pydicom.uid import generate_uid

from support import dcmtk, netdicom
from support.archive import Archive, free_port
from support.exams import new_exam, study_of
from support.instances import RawInstance, ct_slices, raw_of, save_all
from support.listening import reach
from support.registry import COUNTY, TOWN, Registry


def row_of(archive: Archive, day: str, hospital: str = COUNTY, exam_class: str = "CT", **more: str) -> dict:
    rows = archive.client("demo-reader").reconcile(day, hospitalCode=hospital, **more)
    [row] = [row for row in rows if row["examClass"] == exam_class]
    return row


def declare(archive: Archive, day: str, count: int, hospital: str = COUNTY, exam_class: str = "CT") -> None:
    answer = archive.client().upload_statistics(
        [{"hospitalCode": hospital, "examDate": day, "examClass": exam_class, "accordCount": str(count)}]
    )
    assert answer.status == 0, answer


def test_declared_against_what_came(archive: Archive, tmp_path: Path) -> None:
    day = "2015-01-02"
    client = archive.client()
    # Given three declared exams: one with all images, one with some, and one that never came
    complete, partly = (client.pushed(new_exam(images=2, day=day)) for _ in range(2))
    netdicom.stored(archive.dicom, [raw_of(one) for one in ct_slices(complete, 2)])
    netdicom.stored(archive.dicom, [raw_of(one) for one in ct_slices(partly, 1)])
    missing = client.pushed(new_exam(images=2, day=day))
    undeclared = new_exam(day=day)
    del undeclared["imageList"]
    client.pushed(undeclared)
    declare(archive, day, 6)
    # and one refused image that names the complete exam's study
    [stranger] = ct_slices(complete, 1)
    stranger.PatientID = "OTHER"
    assert "0xa900" in dcmtk.run(
        "storescu", "-d", "-aec", "YINGKU", *archive.dicom, *save_all([stranger], tmp_path)
    ).output.lower()

    # When the day is reconciled
    row = row_of(archive, day)

    # Then each is counted where it belongs
    assert (row["declared"], row["registered"], row["confirmed"]) == (6, 4, 4), row
    images = row["images"]
    assert (images["complete"], images["partly"], images["missing"], images["noneDeclared"]) == (1, 1, 1, 1), row
    assert row["deficit"] == 2, row
    # what is unfinished is named
    unfinished = {one["examNo"]: one["why"] for one in row["unfinished"]}
    assert unfinished == {partly["examNo"]: ["imagesPartly"], missing["examNo"]: ["imagesMissing"]}, row
    # what is not known at all is said to be so
    assert row["unnamed"] == 2, row
    # and the refused image with its reason and sender
    assert row["refusals"] == [{"sender": "STORESCU", "reason": "patientIdDiffers", "count": 1}], row


def test_what_an_association_is_refused_is_told_while_it_stays_open(archive: Archive) -> None:
    day = "2015-01-23"
    exam = archive.client().pushed(new_exam(images=2, day=day))
    taken, stranger = ct_slices(exam, 2)
    stranger.PatientID = "OTHER"
    raws = [raw_of(stranger), raw_of(taken)]
    with netdicom.associate(archive.dicom, netdicom.contexts_for(raws), "LINGERER") as association:
        assert [netdicom.send_raw(association, raw).Status for raw in raws] == [0xA900, 0x0000]
        refused = {"sender": "LINGERER", "reason": "patientIdDiffers", "count": 1}
        reach(lambda: row_of(archive, day)["refusals"] == [refused], lambda: row_of(archive, day))
        assert association.is_established


def test_what_a_detail_list_tells_is_held_against_what_came(archive: Archive) -> None:
    day, other_day = "2015-02-02", "2015-02-03"
    client = archive.client()
    # Given exams with both images: as told, with too few, with too many, of another study, of another form
    exams = [client.pushed(new_exam(images=2, day=day)) for _ in range(5)]
    for exam in exams:
        netdicom.stored(archive.dicom, [raw_of(one) for one in ct_slices(exam, 2)])
    same, fewer, more, study, form = exams
    # and one that came for another day than it is told for, and one that never came
    moved = client.pushed(new_exam(images=2, day=other_day))
    never = new_exam(day=day)

    def line(exam: dict, **told: str) -> dict:
        return {"hospitalCode": COUNTY, "examDate": day, "examClass": "CT", "examNo": exam["examNo"], **told}

    answer = client.post(
        "exam/uploadDetail",
        [
            line(same, studyUID=study_of(same), imageCount="2", applyNo=same["examInfo"]["applyNo"]),
            line(fewer, studyUID=study_of(fewer), imageCount="3"),
            line(more, imageCount="1"),
            line(study, studyUID=study_of(same)),
            line(form, applyNo="OTHER"),
            line(moved),
            line(never),
        ],
    )
    assert answer.status == 0, answer

    # When the day is reconciled, then each difference is named with its exam, and nothing else is
    row = row_of(archive, day)
    assert {one["examNo"]: one["why"] for one in row["unfinished"]} == {
        fewer["examNo"]: ["imagesFewer"],
        more["examNo"]: ["imagesMore"],
        study["examNo"]: ["studyDiffers"],
        form["examNo"]: ["applyNoDiffers"],
        moved["examNo"]: ["dateDiffers"],
        never["examNo"]: ["notRegistered"],
    }
    assert row["detailDiffers"] == 5, row
    # and so it is in the operator's table
    table = archive.command("reconcile", "--data", archive.data, "--from", day, "--to", day, "--hospital", COUNTY).stdout
    assert f"{fewer['examNo']}  影像少于明细" in table
    assert f"{moved['examNo']}  检查日期与明细不符" in table
    assert "明细不符5" in table
    # And a later list takes the earlier one's place
    assert client.post("exam/uploadDetail", [line(fewer, imageCount="2")]).status == 0
    row = row_of(archive, day)
    assert (row["unfinished"], row["detailDiffers"]) == ([], 0), row


def test_a_later_declaration_replaces_the_earlier(archive: Archive) -> None:
    day = "2015-01-03"
    archive.client().pushed(new_exam(day=day))
    declare(archive, day, 3)
    declare(archive, day, 1)
    row = row_of(archive, day)
    assert (row["declared"], row["registered"], row["deficit"]) == (1, 1, 0), row


def test_a_placeholder_instead_of_a_form_is_not_counted(archive: Archive) -> None:
    day = "2015-01-04"
    for placeholder in ("0", "无", "NULL"):
        exam = new_exam(day=day)
        exam["examInfo"]["applyNo"] = placeholder
        archive.client().pushed(exam)
    archive.client().pushed(new_exam(day=day))
    row = row_of(archive, day)
    assert (row["registered"], row["confirmed"]) == (4, 1), row


def test_hospitals_and_classes_stand_apart(archive: Archive) -> None:
    day = "2015-01-05"
    archive.client().pushed(new_exam(day=day))
    archive.client().pushed(new_exam(hospital=TOWN, day=day))
    declare(archive, day, 1)
    declare(archive, day, 2, hospital=TOWN)
    declare(archive, day, 4, exam_class="DR")  # an alias of X-Ray (R10)
    assert row_of(archive, day)["declared"] == 1
    assert row_of(archive, day, TOWN)["declared"] == 2
    assert row_of(archive, day, exam_class="X-Ray")["declared"] == 4


def test_a_past_moment_is_shown_as_it_was(archive: Archive) -> None:
    day = "2015-01-06"
    archive.client().pushed(new_exam(day=day))
    # The contract's times are whole seconds: the moment asked for is the end of this second.
    then = datetime.now(ZoneInfo("Asia/Shanghai")).replace(microsecond=0)
    while datetime.now(ZoneInfo("Asia/Shanghai")) < then + timedelta(seconds=1):
        time.sleep(0.05)  # until the second has passed: time itself is what is tested
    archive.client().pushed(new_exam(day=day))

    assert row_of(archive, day)["registered"] == 2
    assert row_of(archive, day, asOf=then.strftime("%Y-%m-%d %H:%M:%S"))["registered"] == 1


def test_the_command_prints_the_same_as_a_table(archive: Archive) -> None:
    day = "2015-01-07"
    archive.client().pushed(new_exam(day=day))
    declare(archive, day, 41)
    reader = archive.registry.app("demo-reader")
    table = archive.command(
        "reconcile", "--url", archive.http, "--app", reader["id"], "--license", reader["license"],
        "--org", reader["org"], "--key", archive.key("demo-reader"),
        "--from", day, "--to", day, "--hospital", COUNTY,
    ).stdout
    assert COUNTY in table
    assert day in table
    assert "41" in table


def test_refusals_before_the_match_leave_a_record(fresh_archive: Callable[..., Archive]) -> None:
    # Given a town's workstation that may only read, and a county's modality
    registry = Registry(
        peers={"TOWNWS": free_port(), "COUNTYCT": free_port()},
        rights={
            "TOWNWS": {"services": ["find"], "hospitals": [TOWN]},
            "COUNTYCT": {"services": ["store"], "hospitals": [COUNTY]},
        },
    )
    archive = fresh_archive(registry=registry)
    exam = archive.client().pushed(new_exam(images=1))
    [raw] = [raw_of(one) for one in ct_slices(exam, 1)]
    today = datetime.now(ZoneInfo("Asia/Shanghai")).date()
    renamed = RawInstance(raw.sop_class, str(generate_uid()), raw.transfer_syntax, raw.study, raw.data)

    # When the one stores all the same, and the other names another instance than it sends
    [forbidden] = netdicom.store(archive.dicom, [raw], "TOWNWS")
    assert forbidden.Status == 0x0124
    [mistaken] = netdicom.store(archive.dicom, [renamed], "COUNTYCT")
    assert mistaken.Status == 0xA900

    # Then reconciliation counts both, in the hospital that the AE is of
    rows = archive.client("demo-reader").reconcile(f"{today:%Y-%m-%d}")
    refusals = {(row["hospitalCode"], one["sender"], one["reason"], one["count"]) for row in rows for one in row.get("refusals", [])}
    assert refusals == {(TOWN, "TOWNWS", "notAuthorised", 1), (COUNTY, "COUNTYCT", "malformed", 1)}
    # and the operator sees them among the AE's errors
    errors = archive.command("app", "errors", "ae:TOWNWS", "--data", archive.data).stdout
    assert "may-not-store" in errors
    errors = archive.command("app", "errors", "ae:COUNTYCT", "--data", archive.data).stdout
    assert "command-differs" in errors
    assert study_of(exam) in errors
