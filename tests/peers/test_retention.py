"""Images whose time is over by a rule go, with their bytes; what is under legal hold, and everything else, stays."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from peers.test_compact import PACKS, Sent, compact, evicting
from support import netdicom
from support.archive import Archive
from support.exams import new_exam, study_of
from support.instances import ct_slices, raw_of
from support.listening import reach
from support.netdicom import find, moved, query
from support.objects import S3, all_evicted
from support.registry import COUNTY, TOWN, Registry

DAY = "2014-03-04"
RULES = """[settings]
[[settings.retention]]
name = "乡镇体检五年"
hospitals = ["350007"]
patients = ["PE"]
delete_after_months = 60
grace_days = 0
"""


@pytest.fixture
def own(fresh_archive: Callable[..., Archive], sink: int) -> Archive:
    return fresh_archive(registry=Registry(peers={"SINK": sink}), settings=(PACKS,))


def sent(archive: Archive, hospital: str, source: str, day: str = DAY, count: int = 6) -> dict:
    exam = archive.client().pushed(new_exam(hospital=hospital, images=count, day=day, patientSource=source))
    netdicom.stored(archive.dicom, [raw_of(one) for one in ct_slices(exam, count)])
    return exam


def apply_rules(archive: Archive, rules: str, folder: Path, check: bool = True):
    file = folder / "rules.toml"
    file.write_text(rules, encoding="utf-8")
    return archive.command("registry", "import", file, "--data", archive.data, check=check)


def delete(archive: Archive, *more: str) -> str:
    return archive.command("retention", *more, "--data", archive.data).stdout


def images(archive: Archive, sink: int, exam: dict) -> int:
    return len(moved(archive.dicom, sink, study_of(exam)))


def tally(archive: Archive, hospital: str, **more: str) -> dict:
    [row] = [row for row in archive.client("demo-reader").reconcile(DAY, **more) if row["hospitalCode"] == hospital]
    return row["images"]


def named(exam: dict) -> str:
    return f"{exam['hospitalCode']}/{exam['examNo']}"


def test_images_whose_time_is_over_go_with_their_bytes(own: Archive, sink: int, tmp_path: Path) -> None:
    # Given health checks and others of two hospitals, old ones and a new one, and one under legal hold
    checked = [sent(own, TOWN, "体检") for _ in range(5)]
    held = checked.pop()
    others = [sent(own, TOWN, "门诊"), sent(own, COUNTY, "体检"), sent(own, TOWN, "体检", day="2026-07-04")]
    why = ("--reason", "医疗纠纷", "--author", "王医生", "--data", own.data)
    hold = own.command("correct", "legal-hold", named(held), *why).stdout
    assert named(held) in own.command("findings", "legal-hold", "--data", own.data).stdout
    before = tally(own, TOWN)
    assert before["complete"] == 6 and before["deleted"] == 0

    # Without a rule nothing is due, and a rule that would delete too soon is refused
    assert "(exams) 0" in delete(own)
    refused = apply_rules(own, RULES.replace("= 60", "= 6"), tmp_path, check=False)
    assert refused.returncode != 0 and "delete_after_months" in refused.stderr, refused
    apply_rules(own, RULES, tmp_path)
    assert "乡镇体检五年" in own.command("registry", "export", "--data", own.data).stdout

    # When the rule is applied, first to see what is due
    said = delete(own, "--dry-run")
    assert "乡镇体检五年: 检查 (exams) 4" in said and images(own, sink, checked[0]) == 6, said
    then = datetime.now(ZoneInfo("Asia/Shanghai")).strftime("%Y-%m-%d %H:%M:%S")
    time.sleep(1.1)  # a moment of the past is told by the second
    delete(own)

    # Then those images are gone for readers, counted as deleted and not as missing, and it is in the exam's history
    for exam in checked:
        assert find(own.dicom, query("STUDY", StudyInstanceUID=study_of(exam))) == []
    after = tally(own, TOWN)
    assert (after["complete"], after["missing"], after["deleted"]) == (2, 0, 4), after
    assert tally(own, TOWN, asOf=then) == before
    number = {"hospitalCode": TOWN, "examNo": checked[0]["examNo"]}
    [detail] = own.client("demo-reader").post("exam/detail", number).rows
    assert detail["imageState"] == "deleted" and "imagesDeleted" in detail["flags"], detail
    history = own.client("demo-reader").post("exam/history", number)
    assert "影像按保存规则删除" in str(history.result), history
    event = own.command("log", "tail", "--data", own.data).stdout
    assert "images-deleted" in event
    # and everything else is there, also for a second application
    assert "(exams) 0" in delete(own)
    for exam in (held, *others):
        assert images(own, sink, exam) == 6

    # And their bytes are in no pack any more once it is compacted
    uids = [one for exam in checked for one in (study_of(exam).encode(),)]
    assert own.stop() == 0
    own.start()
    compact(own)
    there = b"".join(path.read_bytes() for path in (own.data / "packs").glob("*.pack"))
    assert not [uid for uid in uids if uid in there]
    for exam in (held, *others):
        assert study_of(exam).encode() in there and images(own, sink, exam) == 6
    assert own.command("verify", "--data", own.data).returncode == 0
    before_rebuild = own.command("digest", "--data", own.data).stdout
    own.command("rebuild", "--data", own.data)
    assert own.command("digest", "--data", own.data).stdout == before_rebuild

    # When the hold is taken back, that exam's images go too
    position = hold.split("(position) ")[1].split(";")[0]
    own.command("correct", "undo", position, *why)
    delete(own)
    assert find(own.dicom, query("STUDY", StudyInstanceUID=study_of(held))) == []
    assert tally(own, TOWN)["deleted"] == 5


def test_nothing_that_came_a_moment_ago_is_deleted_as_a_rule(own: Archive, sink: int, tmp_path: Path) -> None:
    exam = sent(own, TOWN, "体检")
    apply_rules(own, RULES.replace("grace_days = 0\n", ""), tmp_path)
    assert "(exams) 0" in delete(own)
    assert images(own, sink, exam) == 6


def test_what_was_deleted_does_not_come_back_with_a_rescan(own: Archive, sink: int, tmp_path: Path) -> None:
    # Given a health check in packs that were compacted, whose files are back as from a copy of the disk
    exam, kept = sent(own, TOWN, "体检"), sent(own, COUNTY, "门诊")
    for _ in range(3):
        sent(own, COUNTY, "门诊", count=30)
    assert own.stop() == 0
    own.start()
    before = {path: path.read_bytes() for path in (own.data / "packs").glob("*.pack")}
    compact(own)
    copies = {path: path.read_bytes() for path in (own.data / "packs").glob("*.pack") if path not in before}
    assert copies
    own.kill()
    for path, content in before.items():
        path.write_bytes(content)
    own.start()
    apply_rules(own, RULES, tmp_path)
    delete(own)
    assert find(own.dicom, query("STUDY", StudyInstanceUID=study_of(exam))) == []
    # When everything is looked at again
    for more in ((), ("--copies",)):
        own.command("rescan", *more, "--data", own.data)
        assert find(own.dicom, query("STUDY", StudyInstanceUID=study_of(exam))) == []
    assert images(own, sink, kept) == 6


def test_a_server_deletes_by_itself_what_is_due_at_its_start(own: Archive, sink: int, tmp_path: Path) -> None:
    exam = sent(own, TOWN, "PE")
    kept = Sent()
    kept.send(own, COUNTY, 3)
    apply_rules(own, RULES, tmp_path)
    assert images(own, sink, exam) == 6
    own.kill()
    own.start()
    reach(lambda: tally(own, TOWN)["deleted"] == 1, own.log_tail)
    kept.assert_all_there(own, sink)


def test_rarely_wanted_images_lie_in_a_folder_of_their_own_in_the_object_store(
    fresh_archive: Callable[..., Archive], s3: S3, sink: int, tmp_path: Path
) -> None:
    archive = evicting(fresh_archive, s3, sink)

    def objects(folder: str) -> bytes:
        return b"".join(path.read_bytes() for path in s3.packs(folder))

    def compacted() -> None:
        assert archive.stop() == 0
        archive.start()
        all_evicted(archive)
        compact(archive)
        all_evicted(archive)

    # Given old health checks of one hospital among other images, and a rule that calls them cold
    cold = [sent(archive, TOWN, "体检", count=16) for _ in range(3)]
    warm = [sent(archive, TOWN, "体检", day="2026-07-04", count=16), sent(archive, COUNTY, "体检", count=16)]
    shared = sent(archive, TOWN, "体检", count=16)
    other_form = new_exam(hospital=TOWN, images=16, day="2026-07-04", study_uid=study_of(shared), patientSource="门诊")
    other_form["patientInfo"]["sickId"] = shared["patientInfo"]["sickId"]
    archive.client().pushed(other_form)
    warm.append(shared)
    apply_rules(archive, RULES.replace("delete_after_months = 60\ngrace_days = 0", "cold_after_months = 12"), tmp_path)
    # When the packs are compacted
    compacted()
    # Then those lie apart, and the others, of which another form is new, do not
    for exam in cold:
        assert study_of(exam).encode() in objects("cold-packs") and study_of(exam).encode() not in objects("packs")
    for exam in warm:
        assert study_of(exam).encode() in objects("packs") and study_of(exam).encode() not in objects("cold-packs")
    # and readers do not see a difference, also after the node has lost what it knew of the object store
    for exam in (*cold, *warm):
        assert images(archive, sink, exam) == 16
    archive.kill()
    (archive.data / "packs" / "uploaded.journal").unlink()
    archive.start()
    for exam in (*cold, *warm):
        assert images(archive, sink, exam) == 16
    assert archive.command("verify", "--data", archive.data).returncode == 0
    # A further run leaves them where they are, and new ones take numbers of their own
    before = {path.name for path in s3.packs("cold-packs")}
    later = sent(archive, TOWN, "体检", count=16)
    compacted()
    assert before <= {path.name for path in s3.packs("cold-packs")}
    assert images(archive, sink, later) == 16

    # When their time is over altogether, the cold folder is empty again
    apply_rules(archive, RULES, tmp_path)
    delete(archive)
    compacted()
    assert s3.packs("cold-packs") == []
    for exam in warm:
        assert images(archive, sink, exam) == 16
