"""The same thing many times, side by side and out of order, is one thing (R6, design 3)."""

from __future__ import annotations

import copy
import random
from concurrent.futures import ThreadPoolExecutor

from support import netdicom
from support.archive import Archive
from support.exams import new_exam, study_of
from support.instances import ct_slices, raw_of
from support.netdicom import find, query

TIMES = 10


def test_the_same_push_ten_times_side_by_side_is_one_version(archive: Archive) -> None:
    exam = new_exam()
    clients = [archive.client() for _ in range(TIMES)]

    with ThreadPoolExecutor(TIMES) as pool:
        answers = list(pool.map(lambda client: client.push(exam), clients))

    assert [(answer.http, answer.status) for answer in answers] == [(200, 0)] * TIMES
    assert len(archive.client("demo-reader").versions(exam)) == 1


def test_pushes_out_of_order_and_side_by_side_are_each_kept_once(archive: Archive) -> None:
    # Given the three steps of an exam, each sent often, in any order and at the same time
    exam = new_exam()
    steps = []
    for status in ("50", "60", "70"):
        step = copy.deepcopy(exam)
        step["examInfo"]["examStatus"] = status
        steps.append(step)
    sent = steps * TIMES
    random.Random(7).shuffle(sent)
    with ThreadPoolExecutor(TIMES) as pool:
        answers = list(pool.map(lambda step: archive.client().push(step), sent))
    # Then all are taken, and the finished report is what is read
    assert {(answer.http, answer.status) for answer in answers} == {(200, 0)}
    reader = archive.client("demo-reader")
    detail = reader.post("exam/detail", {"hospitalCode": exam["hospitalCode"], "examNo": exam["examNo"]})
    assert detail.rows[0]["examStatus"] in (70, "70"), detail
    # A content that is sent again right behind itself is no version
    before = len(reader.versions(exam))
    for _ in range(3):
        archive.client().push(steps[2])
    assert len(reader.versions(exam)) <= before + 1


def test_the_same_images_ten_times_side_by_side_are_stored_once(archive: Archive, sink_port: int) -> None:
    exam = archive.client().pushed(new_exam(images=4))
    raws = [raw_of(one) for one in ct_slices(exam, 4)]
    # Each sender has an order of its own.
    orders = [raws[turn % 4:] + raws[:turn % 4] for turn in range(TIMES)]

    with ThreadPoolExecutor(TIMES) as pool:
        answers = list(pool.map(lambda order: netdicom.store(archive.dicom, order), orders))

    assert {answer.Status for one in answers for answer in one} == {0x0000}
    [match] = find(archive.dicom, query("STUDY", StudyInstanceUID=study_of(exam), NumberOfStudyRelatedInstances=""))
    assert match.NumberOfStudyRelatedInstances == 4
    with netdicom.Destination(sink_port) as sink:
        [*_, (final, _)] = netdicom.move(archive.dicom, "SINK", query("STUDY", StudyInstanceUID=study_of(exam)))
    assert final.NumberOfCompletedSuboperations == 4
    assert {uid: raw.data for uid, raw in sink.received.items()} == {raw.sop_instance: raw.data for raw in raws}


def test_a_restart_changes_nothing(fresh_archive) -> None:
    archive = fresh_archive()
    exam = archive.client().pushed(new_exam(images=2))
    raws = [raw_of(one) for one in ct_slices(exam, 2)]
    netdicom.stored(archive.dicom, raws)
    number = {"hospitalCode": exam["hospitalCode"], "examNo": exam["examNo"]}
    before = archive.client("demo-reader").post("exam/detail", number).body

    assert archive.stop() == 0
    archive.start()

    assert archive.client("demo-reader").post("exam/detail", number).body == before
    archive.client().pushed(exam)
    netdicom.stored(archive.dicom, raws)
    [match] = find(archive.dicom, query("STUDY", StudyInstanceUID=study_of(exam), NumberOfStudyRelatedInstances=""))
    assert match.NumberOfStudyRelatedInstances == 2
