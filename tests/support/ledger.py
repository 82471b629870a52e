"""The sender's own ledger of what was sent and what was acknowledged, the load that keeps it, and the judge.

Nothing here asks the archive what it has done: what its answers promised is compared with what it shows.
"""

from __future__ import annotations

import random
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TypeVar

from support import netdicom
from support.archive import Archive
from support.contract import Client
from support.exams import new_exam
from support.instances import RawInstance, ct_slices, raw_of
from support.netdicom import Destination, query

PUSHERS = 3
SENDERS = 3
IMAGES_OF_EXAM = 12
# Questions of the judge at a time; a destination of pynetdicom's takes ten associations.
READERS = 8
# A sender has its answers, or notices that nobody is there, within this.
SENDERS_END_S = 90.0

Told = TypeVar("Told")


@dataclass
class Ledger:
    """What was sent and what was acknowledged, kept by the senders alone."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    pushes: dict[str, dict] = field(default_factory=dict)  # examNo -> exam, acknowledged
    unknown_pushes: dict[str, dict] = field(default_factory=dict)
    images: dict[str, dict[str, RawInstance]] = field(default_factory=dict)  # study -> SOP UID -> acknowledged
    unknown_images: dict[str, dict[str, RawInstance]] = field(default_factory=dict)

    def sending_push(self, exam: dict) -> None:
        with self.lock:
            self.unknown_pushes[exam["examNo"]] = exam

    def push_acknowledged(self, exam: dict) -> None:
        with self.lock:
            self.pushes[exam["examNo"]] = self.unknown_pushes.pop(exam["examNo"], exam)

    def sending_image(self, raw: RawInstance) -> None:
        with self.lock:
            self.unknown_images.setdefault(raw.study, {})[raw.sop_instance] = raw

    def image_acknowledged(self, raw: RawInstance) -> None:
        with self.lock:
            self.unknown_images[raw.study].pop(raw.sop_instance)
            self.images.setdefault(raw.study, {})[raw.sop_instance] = raw

    def acknowledged(self) -> tuple[int, int]:
        """How many pushes and images."""
        with self.lock:
            return len(self.pushes), sum(map(len, self.images.values()))

    def counts(self) -> str:
        return "{} pushes and {} images acknowledged".format(*self.acknowledged())


def side_by_side(ask: Callable[[str], Told], of: list[str]) -> list[Told]:
    """Asks for all of them, a few at a time; the answers in their order."""
    with ThreadPoolExecutor(READERS) as pool:
        return list(pool.map(ask, of))


def images_of(exam: dict, chance: random.Random) -> list[RawInstance]:
    """Slices of some 2 KB to 600 KB."""
    raws = []
    for image in ct_slices(exam, IMAGES_OF_EXAM):
        side = chance.choice([32, 128, 256, 540])
        image.Rows = image.Columns = side
        image.PixelData = chance.randbytes(side * side * 2)
        raws.append(raw_of(image))
    return raws


class Load:
    """The load of one round: threads that push and store until it ends or the archive is gone."""

    def __init__(self, archive: Archive, ledger: Ledger, chance: random.Random, pushers: int = PUSHERS, senders: int = SENDERS) -> None:
        self.archive, self.ledger = archive, ledger
        self.ended = threading.Event()
        # What was answered otherwise than a good request must be.
        self.refusals: list[str] = []
        work = [self._push] * pushers + [self._push_and_store] * senders
        self.threads = [
            threading.Thread(target=self._until_gone, args=(one, random.Random(chance.random()))) for one in work
        ]

    def start(self) -> None:
        for thread in self.threads:
            thread.start()

    def join(self) -> None:
        self.ended.set()
        for thread in self.threads:
            thread.join(SENDERS_END_S)
            assert not thread.is_alive(), f"a sender has no answer within {SENDERS_END_S} s"

    def _until_gone(self, work, chance: random.Random) -> None:
        client = self.archive.client()
        while not self.ended.is_set():
            try:
                work(client, chance)
            except Exception as error:
                if not self.archive.alive():
                    return
                self._broke(error)

    def _broke(self, error: Exception) -> None:
        """The archive is about to die under us: the ledger says what was acknowledged."""

    def _push(self, client: Client, chance: random.Random) -> dict:
        exam = new_exam(images=IMAGES_OF_EXAM)
        self.ledger.sending_push(exam)
        answer = client.push(exam)
        if (answer.http, answer.status) == (200, 0):
            self.ledger.push_acknowledged(exam)
        elif answer.http == 200:
            self.refusals.append(f"push: {answer.message}")
        return exam

    def _push_and_store(self, client: Client, chance: random.Random) -> None:
        self.store(images_of(self._push(client, chance), chance))

    def store(self, raws: list[RawInstance]) -> None:
        """Stores the images of one exam and enters what was acknowledged."""
        with netdicom.associate(self.archive.dicom, netdicom.contexts_for(raws)) as association:
            for raw in raws:
                self.ledger.sending_image(raw)
                answer = netdicom.send_raw(association, raw)
                if answer is None:
                    self._broke(ConnectionError("C-STORE was not answered"))
                    return
                if answer.Status == 0x0000:
                    self.ledger.image_acknowledged(raw)
                else:
                    self.refusals.append(f"store: {answer.Status:#06x} {answer.get('ErrorComment', '')}")


class Judge:
    """Compares the archive with the ledger."""

    def __init__(self, archive: Archive, ledger: Ledger, sink_port: int) -> None:
        self.archive, self.ledger, self.sink_port = archive, ledger, sink_port

    def check_pushes(self, numbers: list[str]) -> None:
        reader = self.archive.client("demo-reader")
        assert reader.token  # shared by the threads

        def check(number: str) -> None:
            exam = self.ledger.pushes[number]
            answer = reader.post("exam/detail", {"hospitalCode": exam["hospitalCode"], "examNo": number})
            assert answer.status == 0 and answer.rows, f"the acknowledged push {number} is lost: {answer}"
            assert answer.rows[0]["content"] == exam, f"the push {number} came back with other content"
            versions = reader.versions(exam)
            assert len(versions) == 1, f"the push {number} has {len(versions)} versions"

        side_by_side(check, numbers)

    def check_studies(self, studies: list[str]) -> None:
        with Destination(self.sink_port) as sink:
            moved = side_by_side(self._moved, studies)
            received = dict(sink.received)
        for study, count in zip(studies, moved, strict=True):
            acknowledged = self.ledger.images.get(study, {})
            sent = acknowledged | self.ledger.unknown_images.get(study, {})
            lost = set(acknowledged) - set(received)
            assert not lost, f"{study}: acknowledged images are lost: {sorted(lost)}"
            came = {uid: received.pop(uid) for uid in sent if uid in received}
            assert len(came) == count, f"{study}: {count} images were moved, {len(came)} of those that were sent"
            for uid, raw in came.items():
                assert raw.data == sent[uid].data, f"{study}: {uid} came back with other bytes"
        assert not received, f"never sent: {sorted(received)}"

    def _moved(self, study: str) -> int:
        """Moves the study to the sink; how many images, which C-FIND must count as well."""
        answers = netdicom.move(self.archive.dicom, "SINK", query("STUDY", StudyInstanceUID=study))
        last = answers[-1][0]
        # A study of which nothing was acknowledged may have nothing to be moved.
        moved = last.get("NumberOfCompletedSuboperations") or 0
        assert last.Status == 0x0000, f"{study}: C-MOVE ended with {last.Status:#06x}"
        matches = netdicom.find(self.archive.dicom, query("STUDY", StudyInstanceUID=study, NumberOfStudyRelatedInstances=""))
        found = matches[0].NumberOfStudyRelatedInstances if matches else 0
        assert found == moved, f"{study}: C-FIND counts {found}, C-MOVE sent {moved}"
        return moved

    def send_again(self) -> None:
        """What had no answer is sent again: it must be taken, once."""
        client = self.archive.client()
        for exam in list(self.ledger.unknown_pushes.values()):
            client.pushed(exam)
            self.ledger.push_acknowledged(exam)
        for raws in [list(raws.values()) for raws in self.ledger.unknown_images.values() if raws]:
            netdicom.stored(self.archive.dicom, raws)
            for raw in raws:
                self.ledger.image_acknowledged(raw)
