"""The feed, followed as a health record would: a copy in a file of its own, killed nodes, images, corrections."""

from __future__ import annotations

import signal
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from peers.test_correct import correct
from support import netdicom
from support.archive import Archive
from support.contract import Client
from support.exams import new_exam, study_of
from support.instances import ct_slices, raw_of
from support.registry import COUNTY, TOWN


class Copy:
    """A reader's own copy of the region."""

    def __init__(self) -> None:
        self.exams: dict[tuple[str, str, int], dict] = {}
        self.gone: list[tuple[str, str]] = []
        self.cursor: dict[str, str] = {}

    def follow(self, client: Client, **more: object) -> None:
        while True:
            answer = client.post("feed", {"reason": "consent", "pageSize": 2, **self.cursor, **more})
            assert (answer.http, answer.status) == (200, 0), answer
            for entry in answer.result["entries"]:
                key = (entry["hospitalCode"], entry["examNo"], entry.get("generation", 0))
                if "exam" in entry:
                    self.exams[key] = entry["exam"]
                else:
                    self.exams.pop(key, None)
                    self.gone.append((entry["examNo"], entry["gone"]))
            self.cursor = {"cursor": answer.result["cursor"]}
            assert not answer.result["beginAnew"]
            if not answer.result["more"]:
                return

    def is_the_archives(self, client: Client) -> None:
        for (hospital, number, generation), exam in self.exams.items():
            question = {"hospitalCode": hospital, "examNo": number, "generation": generation}
            assert exam == client.post("exam/detail", question).result


def key_of(exam: dict) -> tuple[str, str, int]:
    return exam["hospitalCode"], exam["examNo"], 0


def test_a_copy_goes_on_over_images_corrections_and_a_kill(fresh_archive: Callable[..., Archive]) -> None:
    archive = fresh_archive()
    pacs, reader, copy = archive.client(), archive.client("demo-reader"), Copy()
    # Given exams of two hospitals, one with its images
    wrong = pacs.pushed(new_exam(COUNTY, name="肖萍", sex="女", birthDate="1980-01-01"))
    right = pacs.pushed(new_exam(TOWN, name="王小东", sex="男", birthDate="1971-02-03"))
    netdicom.stored(archive.dicom, [raw_of(one) for one in ct_slices(wrong, 2, name="Xiao^Ping=肖^萍")])
    copy.follow(reader)
    assert set(copy.exams) == {key_of(wrong), key_of(right)}
    assert copy.exams[key_of(wrong)]["imageState"] == "complete"
    copy.is_the_archives(reader)
    # When the images are moved to the exam whose they are
    moved = correct(archive, "move-study", f"{COUNTY}/{study_of(wrong)}", f"{TOWN}/{right['examNo']}")
    copy.follow(reader)
    copy.is_the_archives(reader)
    assert study_of(wrong) in {study["studyUID"] for study in copy.exams[key_of(right)]["studies"]}
    assert copy.exams[key_of(wrong)]["imageState"] == "missing"
    # When the node is killed, and the move is undone
    archive.kill()
    archive.start()
    reader = archive.client("demo-reader")
    correct(archive, "undo", moved)
    copy.follow(reader)
    copy.is_the_archives(reader)
    assert copy.exams[key_of(wrong)]["imageState"] == "complete"
    # When an exam is withdrawn, and comes back
    withdrawn = correct(archive, "withdraw", f"{COUNTY}/{wrong['examNo']}")
    copy.follow(reader)
    assert copy.gone == [(wrong["examNo"], "withdrawn")] and set(copy.exams) == {key_of(right)}
    correct(archive, "undo", withdrawn)
    copy.follow(reader)
    assert set(copy.exams) == {key_of(wrong), key_of(right)}
    # Then who begins anew comes to the same, and to the same after the views were made anew
    archive.command("rebuild", "--data", archive.data)
    copy.follow(reader)
    anew = Copy()
    anew.follow(reader)
    assert anew.exams == copy.exams
    assert archive.alive() and archive.stop() in (0, -signal.SIGTERM)


def test_who_waits_hears_of_a_push_and_of_nothing_that_is_none(fresh_archive: Callable[..., Archive]) -> None:
    archive = fresh_archive()
    pacs, reader, copy = archive.client(), archive.client("demo-reader"), Copy()
    copy.follow(reader)
    with ThreadPoolExecutor(max_workers=1) as waiting:
        waited = waiting.submit(copy.follow, reader, waitSeconds=8)
        # Records that change no exam do not end the wait
        pacs.upload_statistics([{"hospitalCode": COUNTY, "examDate": "2026-07-04", "examClass": "CT", "accordCount": 1}])
        exam = pacs.pushed(new_exam(COUNTY))
        waited.result()
    assert set(copy.exams) == {key_of(exam)}
