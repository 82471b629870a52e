"""Q/R pull: after the push the archive fetches the study from the hospital's gateway (contract §2.5)."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from support.archive import Archive, free_port
from support.exams import new_exam, study_of
from support.gateways import AE, GATEWAYS, Dcmqrscp
from support.instances import ct_slices, encoded
from support.listening import reach
from support.netdicom import Destination, find, move, query
from support.registry import COUNTY, TOWN, Registry


def pulling(port: int, hospital: str = COUNTY, sink: int | None = None, **more: object) -> Registry:
    """A registry whose hospital's images are fetched from the gateway at a port."""
    registry = Registry(peers={"SINK": sink} if sink else {})
    settings = {"ae": AE, "host": "127.0.0.1", "port": port, **more}
    for row in registry.hospitals:
        if row["code"] == hospital:
            row["images"] = "pull"
            row.update({f"gateway.{key}": value for key, value in settings.items()})
    return registry


def here(archive: Archive, exam: dict) -> int:
    """Images of the exam's study that readers see."""
    matches = find(archive.dicom, query("STUDY", StudyInstanceUID=study_of(exam), NumberOfStudyRelatedInstances=""))
    return int(matches[0].NumberOfStudyRelatedInstances) if matches else 0


def listed(archive: Archive, *options: str) -> str:
    return archive.command("pull", "list", "--all", *options, "--data", archive.data).stdout


def line_of(archive: Archive, exam: dict) -> str:
    """What `yingku pull list` says of the exam."""
    lines = [line for line in listed(archive).splitlines() if exam["examNo"] in line]
    return lines[0] if lines else ""


def wait_for(archive: Archive, exam: dict, images: int) -> None:
    reach(lambda: here(archive, exam) == images, lambda: f"{here(archive, exam)} images\n{listed(archive)}")


def wait_until_done(archive: Archive, exam: dict) -> None:
    reach(lambda: "(done)" in line_of(archive, exam), lambda: listed(archive))


@pytest.mark.parametrize("kind", GATEWAYS)
def test_a_push_brings_the_images_by_c_get(fresh_archive: Callable[..., Archive], tmp_path: Path, sink: int, kind: str) -> None:
    # Given a hospital whose gateway has a study, a scanned apply form in series 0 of it, and another study
    exam = new_exam(images=3)
    slices = ct_slices(exam, 3) + ct_slices(exam, 1, series_number=0)
    with GATEWAYS[kind](tmp_path / "gateway") as gateway:
        gateway.keep(slices)
        gateway.keep(ct_slices(new_exam(), 1))
        archive = fresh_archive(registry=pulling(gateway.port, sink=sink))

        # When the exam is pushed
        archive.client().pushed(exam)

        # Then its images come by themselves, and nothing else
        wait_for(archive, exam, 4)
        wait_until_done(archive, exam)
    assert len(find(archive.dicom, query("STUDY", StudyInstanceUID=""))) == 1
    # and they leave as the gateway had them
    with Destination(sink) as destination:
        move(archive.dicom, "SINK", query("STUDY", StudyInstanceUID=study_of(exam)))
    received = destination.received
    assert received.keys() == {one.SOPInstanceUID for one in slices}
    for one in slices:
        came = received[one.SOPInstanceUID].data
        assert came == encoded(one) if gateway.keeps_bytes else one.PixelData in came


@pytest.mark.parametrize("kind", GATEWAYS)
def test_a_push_brings_the_images_by_c_move(fresh_archive: Callable[..., Archive], tmp_path: Path, kind: str) -> None:
    exam, port = new_exam(images=3), free_port()
    registry = pulling(port, method="move")
    registry.peers[AE] = port
    registry.rights[AE] = {"services": ["store"], "hospitals": [COUNTY]}
    archive = fresh_archive(registry=registry)
    with GATEWAYS[kind](tmp_path / "gateway", archive.dicom, port) as gateway:
        gateway.keep(ct_slices(exam, 3))

        archive.client().pushed(exam)

        wait_for(archive, exam, 3)
        wait_until_done(archive, exam)


def test_a_gateway_that_is_down_is_asked_again_when_it_is_up(fresh_archive: Callable[..., Archive], tmp_path: Path) -> None:
    exam = new_exam(images=2)
    with Dcmqrscp(tmp_path / "gateway") as gateway:
        gateway.keep(ct_slices(exam, 2))
        gateway.kill()
        archive = fresh_archive(registry=pulling(gateway.port))
        archive.client().pushed(exam)
        reach(lambda: "no association" in line_of(archive, exam), lambda: listed(archive))

        gateway.start()

        wait_for(archive, exam, 2)


def many_slices(exam: dict, count: int) -> list:
    """So many that a line of 1 MB/s is at it for seconds."""
    slices = ct_slices(exam, count)
    for one in slices:
        one.Rows, one.Columns = 512, 512
        one.PixelData = bytes(512 * 512 * 2)
    return slices


def test_a_gateway_that_dies_half_way_loses_nothing(fresh_archive: Callable[..., Archive], tmp_path: Path) -> None:
    # Given a study that takes some ten seconds
    exam = new_exam(images=20)
    with Dcmqrscp(tmp_path / "gateway") as gateway:
        gateway.keep(many_slices(exam, 20))
        archive = fresh_archive(registry=pulling(gateway.port, megabytes_per_second=1))
        archive.client().pushed(exam)

        # When the gateway dies on the way and comes back
        reach(lambda: 2 <= here(archive, exam), lambda: listed(archive))
        gateway.kill()
        assert here(archive, exam) < 20
        reach(lambda: "(broken off)" in line_of(archive, exam), lambda: listed(archive))
        gateway.start()

        # Then the study is whole in the end
        wait_for(archive, exam, 20)
        wait_until_done(archive, exam)


def test_an_archive_that_is_killed_half_way_goes_on(fresh_archive: Callable[..., Archive], tmp_path: Path) -> None:
    exam = new_exam(images=20)
    with Dcmqrscp(tmp_path / "gateway") as gateway:
        gateway.keep(many_slices(exam, 20))
        archive = fresh_archive(registry=pulling(gateway.port, megabytes_per_second=1))
        archive.client().pushed(exam)
        reach(lambda: 2 <= here(archive, exam), lambda: listed(archive))

        archive.kill()
        archive.start()

        wait_for(archive, exam, 20)
        wait_until_done(archive, exam)


def test_a_study_that_is_not_whole_yet_is_completed_later(fresh_archive: Callable[..., Archive], tmp_path: Path) -> None:
    # Given a gateway that has two of three images
    exam = new_exam(images=3)
    slices = ct_slices(exam, 3)
    with Dcmqrscp(tmp_path / "gateway") as gateway:
        gateway.keep(slices[:2])
        archive = fresh_archive(registry=pulling(gateway.port))
        archive.client().pushed(exam)
        wait_for(archive, exam, 2)
        reach(lambda: "(waiting)" in line_of(archive, exam), lambda: listed(archive))

        # When the third comes there
        gateway.keep(slices[2:])

        # Then it comes here within a minute, by itself
        wait_for(archive, exam, 3)
        wait_until_done(archive, exam)


def test_a_study_that_the_gateway_does_not_have_waits_and_an_operator_has_it_fetched_at_once(
    fresh_archive: Callable[..., Archive], tmp_path: Path
) -> None:
    exam = new_exam(images=2)
    with Dcmqrscp(tmp_path / "gateway") as gateway:
        archive = fresh_archive(registry=pulling(gateway.port))
        archive.client().pushed(exam)
        reach(lambda: "does not have this study" in line_of(archive, exam), lambda: listed(archive))
        gateway.keep(ct_slices(exam, 2))

        said = archive.command("pull", "now", f"{COUNTY}/{exam['examNo']}", "--data", archive.data).stdout

        assert "1 个 Study" in said
        wait_for(archive, exam, 2)


def test_a_gateway_that_refuses_us_is_named_and_delays_nobody_else(fresh_archive: Callable[..., Archive], tmp_path: Path) -> None:
    # Given a gateway that knows somebody else only, and another hospital's that knows us
    refusing, exam, other = Dcmqrscp(tmp_path / "refusing"), new_exam(images=1), new_exam(TOWN, images=1)
    refusing.who = "other"
    with refusing, Dcmqrscp(tmp_path / "gateway") as gateway:
        gateway.keep(ct_slices(other, 1))
        registry = pulling(refusing.port)
        [town] = [row for row in pulling(gateway.port, TOWN).hospitals if row["code"] == TOWN]
        registry.hospitals = [town if row["code"] == TOWN else row for row in registry.hospitals]
        archive = fresh_archive(registry=registry)

        archive.client().pushed(exam)
        archive.client("town-only").pushed(other)

        wait_for(archive, other, 1)
        reach(lambda: "待取" in line_of(archive, exam) and "(" in line_of(archive, exam).split("待取")[-1], lambda: listed(archive))
        assert here(archive, exam) == 0


def test_images_that_do_not_match_the_push_are_not_taken(fresh_archive: Callable[..., Archive], tmp_path: Path) -> None:
    exam = new_exam(images=2)
    slices = ct_slices(exam, 2)
    slices[1].PatientID = "SOMEBODY-ELSE"
    with Dcmqrscp(tmp_path / "gateway") as gateway:
        gateway.keep(slices)
        archive = fresh_archive(registry=pulling(gateway.port))

        archive.client().pushed(exam)

        reach(lambda: "not taken" in line_of(archive, exam), lambda: listed(archive))
        assert here(archive, exam) == 1
        assert "PatientID differs" in line_of(archive, exam)
        assert "SOMEBODY-ELSE" not in archive.log_tail(1 << 20)


def test_outside_its_hours_a_gateway_is_left_alone(fresh_archive: Callable[..., Archive], tmp_path: Path) -> None:
    # Given a gateway that may be asked from two hours from now on, and one that may always
    now = datetime.now(ZoneInfo("Asia/Shanghai"))
    hours = [f"{now + timedelta(hours=2):%H:%M}-{now + timedelta(hours=3):%H:%M}"]
    exam, other = new_exam(images=1), new_exam(TOWN, images=1)
    with Dcmqrscp(tmp_path / "closed") as closed, Dcmqrscp(tmp_path / "open") as gateway:
        closed.keep(ct_slices(exam, 1))
        gateway.keep(ct_slices(other, 1))
        registry = pulling(closed.port, hours=hours)
        [town] = [row for row in pulling(gateway.port, TOWN).hospitals if row["code"] == TOWN]
        registry.hospitals = [town if row["code"] == TOWN else row for row in registry.hospitals]
        archive = fresh_archive(registry=registry)

        # When exams of both are pushed
        archive.client().pushed(exam)
        archive.client("town-only").pushed(other)

        # Then only the other's images come
        wait_for(archive, other, 1)
        assert here(archive, exam) == 0 and "(open)" in line_of(archive, exam)

        # Until the hours are changed
        registry.hospitals = [{key: it for key, it in row.items() if key != "gateway.hours"} for row in registry.hospitals]
        (archive.home / "always.toml").write_text(registry.toml(), encoding="utf-8")
        archive.command("registry", "import", archive.home / "always.toml", "--data", archive.data)
        wait_for(archive, exam, 1)


def test_a_gateway_that_is_switched_off_is_left_alone_until_it_is_on(fresh_archive: Callable[..., Archive], tmp_path: Path) -> None:
    exam, before = new_exam(images=1), new_exam(images=1)
    with Dcmqrscp(tmp_path / "gateway") as gateway:
        gateway.keep(ct_slices(before, 1) + ct_slices(exam, 1))
        archive = fresh_archive(registry=pulling(gateway.port))
        archive.client().pushed(before)
        wait_for(archive, before, 1)
        archive.command("pull", "stop", COUNTY, "--data", archive.data)
        archive.client().pushed(exam)
        assert re.search(r"disabled.*\(open\) 1", listed(archive)), listed(archive)
        assert here(archive, exam) == 0

        archive.command("pull", "start", COUNTY, "--data", archive.data)

        wait_for(archive, exam, 1)


def test_a_backfill_fetches_what_was_pushed_and_lacks_its_images(fresh_archive: Callable[..., Archive], tmp_path: Path) -> None:
    # Given a hospital that sends its images, two months of exams without them, and a gateway that has them
    exams = [new_exam(images=2, day="2026-05-04"), new_exam(images=2, day="2026-06-04")]
    with Dcmqrscp(tmp_path / "gateway") as gateway:
        registry = pulling(gateway.port)
        for row in registry.hospitals:
            if row.get("images"):
                row["images"] = "store"
        archive = fresh_archive(registry=registry)
        for exam in exams:
            gateway.keep(ct_slices(exam, 2))
            archive.client().pushed(exam)
        assert listed(archive).count("(open) 0") == 1, listed(archive)

        # When it is looked what would be fetched, and then June is, and May by its number
        days = ("--from", "2026-05-01", "--to", "2026-06-30", "--data", archive.data)
        said = archive.command("backfill", COUNTY, *days, "--dry-run").stdout
        assert re.search(r"2026-05 +1 +0 +0 +0 +1\b", said), said
        assert all(here(archive, exam) == 0 for exam in exams)
        archive.command("backfill", COUNTY, "--from", "2026-06-01", "--to", "2026-06-30", "--data", archive.data)
        wait_for(archive, exams[1], 2)
        assert here(archive, exams[0]) == 0
        numbers = tmp_path / "numbers.csv"
        numbers.write_text(f"examNo\n{exams[0]['examNo']}\nNOBODY\n", encoding="utf-8")
        said = archive.command("backfill", COUNTY, "--csv", numbers, "--data", archive.data).stdout
        assert "NOBODY" in said, said

        # Then all are here, and the coverage says so
        wait_for(archive, exams[0], 2)
        said = archive.command("backfill", COUNTY, *days).stdout
        assert re.search(r"2026-05 +1 +1 +0 +0 +0\b", said) and re.search(r"2026-06 +1 +1 +0 +0 +0\b", said), said


def test_what_a_gateway_has_and_nobody_pushed_is_named(fresh_archive: Callable[..., Archive], tmp_path: Path) -> None:
    # Given a gateway with two studies of yesterday
    yesterday = datetime.now(ZoneInfo("Asia/Shanghai")) - timedelta(days=1)
    pushed, forgotten = (new_exam(images=1, day=f"{yesterday:%Y-%m-%d}") for _ in range(2))
    with Dcmqrscp(tmp_path / "gateway") as gateway:
        gateway.keep(ct_slices(pushed, 1) + ct_slices(forgotten, 1))
        archive = fresh_archive(registry=pulling(gateway.port))
        archive.client().pushed(pushed)
        wait_for(archive, pushed, 1)

        # When it is to be asked what it has
        (archive.home / "sweep.toml").write_text(pulling(gateway.port, sweep=True).toml(), encoding="utf-8")
        archive.command("registry", "import", archive.home / "sweep.toml", "--data", archive.data)

        # Then the one that nobody pushed is named
        def named() -> str:
            return archive.command("findings", "not-pushed", "--data", archive.data).stdout

        reach(lambda: study_of(forgotten) in named(), named)
        assert study_of(pushed) not in named()

        # Until it is pushed, and fetched
        archive.client().pushed(forgotten)
        wait_for(archive, forgotten, 1)
        assert study_of(forgotten) not in named()
