"""kill -9 at random moments under C-STORE and push load; the sender's own ledger is the judge.

    python -m peers.torture --rounds 100 [--seed N] [--keep DIR]     (from tests/, as `make torture` does)

After every kill: ready again within 5 s, every acknowledged push and image there byte for byte, and
nothing visible that was never completely sent. What was sent without an answer is sent again, which
must be safe.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

from support import netdicom
from support.archive import Archive, free_port
from support.exams import new_exam
from support.instances import RawInstance, ct_slices, raw_of
from support.netdicom import Destination, query
from support.registry import Registry

READY_LIMIT_S = 5.0
PUSHERS = 3
SENDERS = 3
IMAGES_OF_EXAM = 12
# Earlier rounds' studies that are moved again after each kill; all of them are after the last.
EARLIER_CHECKED = 5


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

    def counts(self) -> str:
        with self.lock:
            return f"{len(self.pushes)} pushes and {sum(map(len, self.images.values()))} images acknowledged"


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
    """The load of one round: threads that push and store until the archive is gone."""

    def __init__(self, archive: Archive, ledger: Ledger, chance: random.Random) -> None:
        self.archive, self.ledger = archive, ledger
        self.ended = threading.Event()
        self.refusals: list[str] = []
        seeds = [chance.random() for _ in range(PUSHERS + SENDERS)]
        self.threads = [threading.Thread(target=self._until_gone, args=(self._push, random.Random(seed))) for seed in seeds[:PUSHERS]]
        self.threads += [threading.Thread(target=self._until_gone, args=(self._store, random.Random(seed))) for seed in seeds[PUSHERS:]]

    def start(self) -> None:
        for thread in self.threads:
            thread.start()

    def join(self) -> None:
        self.ended.set()
        for thread in self.threads:
            thread.join(90)
            assert not thread.is_alive(), "a sender hangs after the kill"

    def _until_gone(self, work, chance: random.Random) -> None:
        client = self.archive.client()
        while not self.ended.is_set():
            try:
                work(client, chance)
            except Exception:  # the archive died under us: the ledger says what was acknowledged
                if not self.archive.alive():
                    return

    def _push(self, client, chance: random.Random) -> dict:
        exam = new_exam(images=IMAGES_OF_EXAM)
        self.ledger.sending_push(exam)
        answer = client.push(exam)
        if (answer.http, answer.status) == (200, 0):
            self.ledger.push_acknowledged(exam)
        elif answer.http == 200:
            self.refusals.append(f"push: {answer.message}")
        return exam

    def _store(self, client, chance: random.Random) -> None:
        exam = self._push(client, chance)
        raws = images_of(exam, chance)
        with netdicom.associate(self.archive.dicom, netdicom.contexts_for(raws)) as association:
            for raw in raws:
                self.ledger.sending_image(raw)
                answer = netdicom.send_raw(association, raw)
                if answer is None:
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
        for number in numbers:
            exam = self.ledger.pushes[number]
            answer = reader.post("exam/detail", {"hospitalCode": exam["hospitalCode"], "examNo": number})
            assert answer.status == 0 and answer.rows, f"the acknowledged push {number} is lost: {answer}"
            assert answer.rows[0]["content"] == exam, f"the push {number} came back with other content"

    def check_studies(self, studies: list[str]) -> None:
        for study in studies:
            acknowledged = self.ledger.images.get(study, {})
            sent = acknowledged | self.ledger.unknown_images.get(study, {})
            with Destination(self.sink_port) as sink:
                answers = netdicom.move(self.archive.dicom, "SINK", query("STUDY", StudyInstanceUID=study))
            assert answers[-1][0].Status == 0x0000, f"{study}: C-MOVE ended with {answers[-1][0].Status:#06x}"
            lost = set(acknowledged) - set(sink.received)
            assert not lost, f"{study}: acknowledged images are lost: {sorted(lost)}"
            for uid, raw in sink.received.items():
                assert uid in sent, f"{study}: {uid} was never sent"
                assert raw.data == sent[uid].data, f"{study}: {uid} came back with other bytes"
            self._check_count(study, len(sink.received))

    def _check_count(self, study: str, moved: int) -> None:
        matches = netdicom.find(self.archive.dicom, query("STUDY", StudyInstanceUID=study, NumberOfStudyRelatedInstances=""))
        found = matches[0].NumberOfStudyRelatedInstances if matches else 0
        assert found == moved, f"{study}: C-FIND counts {found}, C-MOVE sent {moved}"

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


def torture(home: Path, rounds: int, seed: int) -> Ledger:
    chance = random.Random(seed)
    ledger = Ledger()
    sink_port = free_port()
    archive = Archive(home, Registry(peers={"SINK": sink_port})).start()
    judge = Judge(archive, ledger, sink_port)
    try:
        for number in range(1, rounds + 1):
            pushed_before, stored_before = set(ledger.pushes), set(ledger.images)
            load = Load(archive, ledger, chance)
            load.start()
            time.sleep(chance.uniform(0.1, 2.5))  # the random moment
            archive.kill()
            load.join()
            assert not load.refusals, f"good requests were refused: {load.refusals[:3]}"

            archive.start()
            assert archive.ready_s <= READY_LIMIT_S, f"ready only after {archive.ready_s:.1f} s"
            earlier = chance.sample(sorted(stored_before), min(EARLIER_CHECKED, len(stored_before)))
            judge.check_pushes(sorted(set(ledger.pushes) - pushed_before))
            judge.check_studies(sorted(set(ledger.images) - stored_before) + earlier)
            judge.send_again()
            print(f"round {number}/{rounds}: ready in {archive.ready_s:.2f} s, {ledger.counts()}", flush=True)
        judge.check_pushes(sorted(ledger.pushes))
        judge.check_studies(sorted(ledger.images))
        assert archive.stop() == 0
        archive.command("verify", "--config", home / "yingku.toml", "--data", archive.data)
    finally:
        if archive.alive():
            archive.kill()
    return ledger


def main() -> int:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--rounds", type=int, default=100)
    arguments.add_argument("--seed", type=int, default=random.SystemRandom().randrange(2**32))
    arguments.add_argument("--keep", type=Path, help="use and keep this directory")
    given = arguments.parse_args()
    print(f"seed {given.seed}", flush=True)
    with tempfile.TemporaryDirectory(prefix="yingku-torture-") as scratch:
        ledger = torture(given.keep or Path(scratch), given.rounds, given.seed)
    print(f"nothing was lost in {given.rounds} kills: {ledger.counts()}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
