"""Kafka killed and stopped under C-STORE and push load; the sender's own ledger is the judge.

    python -m peers.torture_kafka --rounds 20 [--seed N] [--keep DIR]     (from tests/, as `make torture-kafka` does)

While it is away: a push is answered 503 in time, images of exams that were pushed before are taken.
After every return: every acknowledged push there once and as it was pushed, every acknowledged image
found and moved byte for byte, nothing twice. A push that was answered 503 is sent again until it is
taken, as a vendor would do, which must be safe.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from support.archive import Archive, free_port
from support.contract import Answer, Client
from support.exams import new_exam
from support.instances import RawInstance
from support.kafka import Kafka
from support.ledger import IMAGES_OF_EXAM, Judge, Ledger, Load, images_of
from support.listening import reach
from support.registry import Registry

# A push has its answer within this, whatever happens to Kafka and whatever the answer.
ANSWER_LIMIT_S = 10.0
# Between two attempts of a vendor whose push was answered "unknown, send again".
SEND_AGAIN_S = 0.5
# What is acknowledged of the load before Kafka goes, and again after it came back.
PUSHES_OF_LOAD, IMAGES_OF_LOAD = 10, 40
# Between two pushes of a sender: what is pushed must be read back, too.
PUSH_EVERY_S = 0.1
# Exams that are pushed and half stored before Kafka goes; the other half follows while it is away.
KNOWN_EXAMS = 2
# Earlier rounds' studies that are moved again after each return; all of them are after the last.
EARLIER_CHECKED = 5
# A stop that ends before anybody gave up, and one after which everybody has.
SHORT_STOP_S = (0.2, 3.0)
LONG_STOP_S = 60.0

KILLED, KILLED_SHORTLY, STOPPED, STOPPED_SHORTLY, STOPPED_LONG = (
    "killed until pushes are refused",
    "killed and started at once",
    "stopped until pushes are refused",
    "stopped for a moment",
    f"stopped for {LONG_STOP_S:.0f} s",
)
IN_TURN = (KILLED, STOPPED_SHORTLY, STOPPED, KILLED_SHORTLY)


def faults(rounds: int) -> list[str]:
    """All kinds in turn; from the tenth round on one of the stops is a long one."""
    chosen = [IN_TURN[number % len(IN_TURN)] for number in range(rounds)]
    if rounds >= 10:
        chosen[6] = STOPPED_LONG
    return chosen


class KafkaLoad(Load):
    """The load of one round; the archive stays, so that whatever it does not answer is a fault of its own."""

    def __init__(self, archive: Archive, ledger: Ledger, chance: random.Random) -> None:
        super().__init__(archive, ledger, chance, pushers=2, senders=2)
        # HTTP status and seconds of every push.
        self.answers: list[tuple[int, float]] = []

    def timed_push(self, client: Client, exam: dict) -> Answer:
        self.ledger.sending_push(exam)
        began = time.monotonic()
        answer = client.push(exam)
        self.answers.append((answer.http, time.monotonic() - began))
        if (answer.http, answer.status) == (200, 0):
            self.ledger.push_acknowledged(exam)
        elif answer.http != 503:
            self.refusals.append(f"push: {answer.http} {answer.message}")
        return answer

    def _push(self, client: Client, chance: random.Random) -> dict:
        self.ended.wait(PUSH_EVERY_S)
        exam = new_exam(images=IMAGES_OF_EXAM)
        while self.timed_push(client, exam).http == 503 and not self.ended.wait(SEND_AGAIN_S):
            pass
        return exam

    def _push_and_store(self, client: Client, chance: random.Random) -> None:
        exam = self._push(client, chance)
        if exam["examNo"] in self.ledger.pushes:
            self.store(images_of(exam, chance))

    def _broke(self, error: Exception) -> None:
        self.refusals.append(repr(error))

    def slowest_s(self) -> float:
        return max(seconds for _, seconds in self.answers)


@contextmanager
def away(kafka: Kafka, fault: str) -> Iterator[None]:
    if fault in (KILLED, KILLED_SHORTLY):
        kafka.kill()
        yield
        kafka.start()
    else:
        kafka.pause()
        try:
            yield
        finally:
            kafka.resume()


def half_stored(load: KafkaLoad, client: Client, chance: random.Random) -> list[RawInstance]:
    """Exams that are pushed and half stored; the images that are left of them."""
    left = []
    for _ in range(KNOWN_EXAMS):
        exam = new_exam(images=IMAGES_OF_EXAM)
        assert load.timed_push(client, exam).http == 200
        raws = images_of(exam, chance)
        load.store(raws[: IMAGES_OF_EXAM // 2])
        left += raws[IMAGES_OF_EXAM // 2 :]
    return left


def while_away(load: KafkaLoad, client: Client, fault: str, chance: random.Random, images: threading.Thread) -> None:
    """Unless Kafka is soon back, images of known exams are taken meanwhile, and a push is refused in time."""
    began = time.monotonic()
    if fault == STOPPED_SHORTLY:
        time.sleep(chance.uniform(*SHORT_STOP_S))  # the fault's own duration
    elif fault != KILLED_SHORTLY:
        answer = load.timed_push(client, new_exam(images=IMAGES_OF_EXAM))
        assert answer.http == 503, f"a push was answered {answer} while Kafka was away"
        reach(lambda: load.archive.readiness()["logAway"], load.archive.log_tail)
        images.join()
    if fault == STOPPED_LONG:
        time.sleep(max(0.0, began + LONG_STOP_S - time.monotonic()))  # the fault's own duration


def goes_on(load: KafkaLoad) -> None:
    """Waits until so much more of the load was acknowledged."""
    pushes, images = load.ledger.acknowledged()

    def enough() -> bool:
        now = load.ledger.acknowledged()
        return (now[0] >= pushes + PUSHES_OF_LOAD and now[1] >= images + IMAGES_OF_LOAD) or bool(load.refusals)

    reach(enough, lambda: (load.ledger.counts(), load.archive.log_tail()))


def one_round(archive: Archive, kafka: Kafka, ledger: Ledger, fault: str, chance: random.Random) -> str:
    """The load, and Kafka going and coming back amid it; what is worth telling of it."""
    load, client = KafkaLoad(archive, ledger, chance), archive.client()
    known = half_stored(load, client, chance)
    load.start()
    try:
        goes_on(load)
        images = threading.Thread(target=lambda: load.store(known))
        with away(kafka, fault):
            began = time.monotonic()
            images.start()
            while_away(load, client, fault, chance, images)
        returned = time.monotonic()
        reach(lambda: archive.readiness()["ready"], archive.log_tail)
        ready = time.monotonic()
        images.join()
        goes_on(load)
    finally:
        load.join()
    assert not load.refusals, f"good requests were refused: {load.refusals[:3]}"
    assert all(raw.sop_instance in ledger.images[raw.study] for raw in known), "images of a known exam were not taken"
    assert load.slowest_s() < ANSWER_LIMIT_S, f"a push was answered only after {load.slowest_s():.1f} s"
    refused = sum(http == 503 for http, _ in load.answers)
    return (
        f"away {returned - began:.1f} s, ready {ready - returned:.1f} s later, {refused} pushes answered 503, "
        f"the slowest push in {load.slowest_s():.1f} s"
    )


def torture(home: Path, kafka: Kafka, rounds: int, seed: int) -> Ledger:
    chance = random.Random(seed)
    ledger = Ledger()
    sink_port = free_port()
    archive = Archive(home, Registry(peers={"SINK": sink_port}), log=kafka.log(f"torture-{seed}")).start()
    judge = Judge(archive, ledger, sink_port)
    try:
        for number, fault in enumerate(faults(rounds), 1):
            pushed_before, stored_before = set(ledger.pushes), set(ledger.images)
            told = one_round(archive, kafka, ledger, fault, chance)
            earlier = chance.sample(sorted(stored_before), min(EARLIER_CHECKED, len(stored_before)))
            judge.check_studies(sorted(set(ledger.images) - stored_before) + earlier)
            judge.send_again()
            judge.check_pushes(sorted(set(ledger.pushes) - pushed_before))
            print(f"round {number}/{rounds}: {fault}: {told}; {ledger.counts()}", flush=True)
        judge.check_pushes(sorted(ledger.pushes))
        judge.check_studies(sorted(ledger.images))
        assert archive.stop() == 0
        archive.command("verify", "--config", home / "yingku.toml", "--data", archive.data, "--log", archive.log)
    finally:
        if archive.alive():
            archive.kill()
    return ledger


def main() -> int:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--rounds", type=int, default=20)
    arguments.add_argument("--seed", type=int, default=random.SystemRandom().randrange(2**32))
    arguments.add_argument("--keep", type=Path, help="use and keep this directory")
    given = arguments.parse_args()
    print(f"seed {given.seed}", flush=True)
    with tempfile.TemporaryDirectory(prefix="yingku-torture-") as scratch:
        home = given.keep or Path(scratch)
        kafka = Kafka(home / "kafka").start()
        try:
            ledger = torture(home / "archive", kafka, given.rounds, given.seed)
        finally:
            kafka.stop()
    print(f"nothing was lost in {given.rounds} times without Kafka: {ledger.counts()}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
