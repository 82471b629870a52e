#!/usr/bin/env python3
"""The figures that stock DICOM peers can measure, with other archives in the same run.

    bench.py store     C-STORE by dcmsend: one, four and eight associations; Orthanc and dcmqrscp beside it
    bench.py move      C-MOVE of that study to a discarding storescp
    bench.py pull      a study fetched from a gateway by C-GET, beside movescu from it to a discarding sink with our sockets
    bench.py push      durable pushes over 64 connections
    bench.py forms     apply forms by SOAP over 32 connections
    bench.py worklist  C-FIND of the worklist over 100,000 open forms, of 20 hospitals and of one
    bench.py notices   status notices to three receivers of which one is dead, 50,000 and more queued
    bench.py kafka     the same pushes with the log in a Kafka broker on this machine, and C-STORE beside the embedded log's
    bench.py ack       C-STORE that the object store acknowledges, one and sixteen associations
    bench.py uploads   how fast a backlog goes to the object store
    bench.py join      a new node of an archive of 1,000,000 exams and 20,000,000 instances, from a snapshot
    bench.py search    search over HTTP of 1,000,000 exams, 200 questions a second while 100 exams/s are pushed
    bench.py memory    resident memory: idle, and while a 2 GB instance is stored and moved

Options: --scratch DIR (on the disk to be measured), --rounds N (the median of N is reported).
"""

from __future__ import annotations

import argparse
import asyncio
import json
import re
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

import images  # noqa: E402  (both beside this file)
import requests  # noqa: E402
from pynetdicom import build_context  # noqa: E402
from pynetdicom.sop_class import StudyRootQueryRetrieveInformationModelFind  # noqa: E402
import other_archives  # noqa: E402

import support.archive  # noqa: E402
from support.archive import REPOSITORY, Archive, binary, free_port  # noqa: E402
from support.contract import Client  # noqa: E402
from support.exams import new_exam, study_of  # noqa: E402
from support import forms  # noqa: E402
from support.gateways import AE, GATEWAYS  # noqa: E402
from support.kafka import Kafka  # noqa: E402
from support.listening import reach, wait_until_listening  # noqa: E402
from support.netdicom import associate, query  # noqa: E402
from support.objects import ACCOUNT, S3, standing  # noqa: E402
from support.registry import COUNTY, Registry  # noqa: E402

EXAMS_SEARCHED = 1_000_000
SLICES = 400
SLICE_SIDE = 512  # 512 × 512 pixels of 16 bits: 512 KB
SMALL_SIDE = 24  # 24 × 24 pixels of 16 bits and a kilobyte of header: 2 KB
SLICES_OF_EACH_OF_FOUR = 200
SMALL_OF_EACH_OF_EIGHT = 500
BIG_FRAMES = 4000  # of 512 KB: 2.1 GB

PUSH_CONNECTIONS = 64
PUSH_SECONDS = 10
FORM_CONNECTIONS = 32
NUMBER_DIGITS = 12  # as post_load.rs replaces
QUEUED_NOTICES = 50_000
DRAIN_LIMIT_S = 300

ACK_SLICES = 60
ACK_SLICES_OF_EACH = 20
UPLOADED_SLICES_OF_EACH = 512  # 1 GB together
JOIN_LIMIT_S = 900

IDLE_LIMIT_MB = 200
BIG_LIMIT_MB = 400


@dataclass(frozen=True)
class Figure:
    """One line of the result: what, how much, and the aim if there is one."""

    what: str
    value: float
    unit: str
    aim: str = ""

    def row(self) -> str:
        return f"| {self.what} | {self.value:,.1f} {self.unit} | {self.aim} |"


@dataclass
class Result:
    figures: list[Figure] = field(default_factory=list)

    def add(self, *figure: object) -> float:
        one = Figure(*figure)  # type: ignore[arg-type]
        self.figures.append(one)
        print(one.row(), flush=True)
        return one.value


def seconds(work: Callable[[], None]) -> float:
    began = time.monotonic()
    work()
    return time.monotonic() - began


def dcmsend(port: int, *folders: Path) -> None:
    """One stock dcmsend for each folder, side by side; every image must be taken. What they print goes into files: a pipe
    would have this process take turns with them on the processors."""
    with ExitStack() as stack:
        outputs = [stack.enter_context(tempfile.TemporaryFile("w+")) for _ in folders]
        running = [
            subprocess.Popen(
                ["dcmsend", "-v", "-aec", "YINGKU", "127.0.0.1", str(port), "--scan-directories", str(folder)],
                stdout=output, stderr=subprocess.STDOUT,
            )
            for folder, output in zip(folders, outputs, strict=True)
        ]
        for one in running:
            one.wait()
        for one, folder, output in zip(running, folders, outputs, strict=True):
            output.seek(0)
            printed = output.read()
            sent = printed.count("Received C-STORE Response (Success)")
            wanted = sum(1 for _ in folder.iterdir())
            if one.returncode != 0 or sent != wanted:
                raise SystemExit(f"dcmsend: {sent} of {wanted} images were taken\n{printed[-2000:]}")


@contextmanager
def yingku(
    scratch: Path, sink: int = 0, log: str = "", objects: S3 | None = None, prefix: str = "", ack: str = "local"
) -> Iterator[Archive]:
    location = objects.location.replace("?", f"/{prefix}?") if objects and prefix else objects and objects.location
    archive = Archive(
        scratch / "yingku",
        Registry(peers={"SINK": sink} if sink else {}),
        settings=(("accept_node_loss", f'ack = "{ack}"\naccept_node_loss'),),
        log=log,
        arguments=("--objects", location) if location else (),
        environment=ACCOUNT if location else {},
    ).start()
    try:
        yield archive
    finally:
        archive.kill()


def push_and_make(archive: Archive, scratch: Path, name: str, count: int, side: int) -> Path:
    """Pushes an exam and makes the images of its study; their folder."""
    exam = archive.client().pushed(new_exam(images=count))
    return images.make(exam, scratch / name, count, side)


def median_rate(count: int, rounds: int, work: Callable[[int], None]) -> float:
    return count / statistics.median(seconds(lambda number=number: work(number)) for number in range(rounds))


def bench_store(scratch: Path, rounds: int, result: Result) -> None:
    with yingku(scratch) as archive:
        port = archive.dicom[1]
        ones = [push_and_make(archive, scratch, f"one{turn}", SLICES, SLICE_SIDE) for turn in range(rounds)]
        rate = median_rate(SLICES, rounds, lambda turn: dcmsend(port, ones[turn]))
        result.add("C-STORE, 512 KB, one association", rate, "images/s", "≥ 700")

        fours = [
            [push_and_make(archive, scratch, f"four{turn}-{part}", SLICES_OF_EACH_OF_FOUR, SLICE_SIDE) for part in range(4)]
            for turn in range(rounds)
        ]
        four = median_rate(4 * SLICES_OF_EACH_OF_FOUR, rounds, lambda turn: dcmsend(port, *fours[turn]))
        result.add("C-STORE, 512 KB, four associations", four, "images/s", "≥ 1,300")

        eights = [
            [push_and_make(archive, scratch, f"eight{turn}-{part}", SMALL_OF_EACH_OF_EIGHT, SMALL_SIDE) for part in range(8)]
            for turn in range(rounds)
        ]
        eight = median_rate(8 * SMALL_OF_EACH_OF_EIGHT, rounds, lambda turn: dcmsend(port, *eights[turn]))
        result.add("C-STORE, 2 KB, eight associations", eight, "images/s", "≥ 3,000")

    # The others, same files, same disk. `storescp --ignore` throws everything away: the tool's own limit.
    for name, peer, aim in (
        ("storescp --ignore", other_archives.ignoring_storescp(free_port()), ""),
        ("Orthanc", other_archives.orthanc(scratch / "orthanc", free_port()), "≥ 30"),
        ("dcmqrscp", other_archives.dcmqrscp(scratch / "dcmqrscp", free_port()), "≥ 30"),
    ):
        with peer as other_port:
            other = SLICES / seconds(lambda: dcmsend(other_port, ones[0]))
        result.add(f"the same to {name}", other, "images/s")
        result.add(f"Yingku / {name}", rate / other, "×", aim)


def movescu(port: int, study: str) -> None:
    done = subprocess.run(
        ["movescu", "-v", "-S", "-aec", "YINGKU", "-aem", "SINK", "-k", "QueryRetrieveLevel=STUDY",
         "-k", f"StudyInstanceUID={study}", "127.0.0.1", str(port)],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )
    if done.returncode != 0 or "Received Final Move Response (Success)" not in done.stdout:
        raise SystemExit(f"movescu failed:\n{done.stdout[-2000:]}")


def bench_move(scratch: Path, rounds: int, result: Result) -> None:
    sink = free_port()
    with ExitStack() as stack:
        stack.enter_context(other_archives.ignoring_storescp(sink))
        with yingku(scratch, sink) as archive:
            exam = archive.client().pushed(new_exam(images=SLICES))
            folder = images.make(exam, scratch / "study", SLICES, SLICE_SIDE)
            dcmsend(archive.dicom[1], folder)
            rate = median_rate(SLICES, rounds, lambda _: movescu(archive.dicom[1], study_of(exam)))
        result.add("C-MOVE, 512 KB, to storescp --ignore", rate, "images/s", "≥ 1,000")
        for name, peer in (
            ("Orthanc", other_archives.orthanc(scratch / "orthanc", free_port(), sink)),
            ("dcmqrscp", other_archives.dcmqrscp(scratch / "dcmqrscp", free_port(), sink)),
        ):
            with peer as port:
                dcmsend(port, folder)
                other = SLICES / seconds(lambda: movescu(port, study_of(exam)))
            result.add(f"the same from {name}", other, "images/s")
            result.add(f"Yingku / {name}", rate / other, "×")


def bench_pull(scratch: Path, rounds: int, result: Result) -> None:
    sink = free_port()
    # With the whole workspace, so that its dependencies are built with the features that they have already.
    example = ["cargo", "build", "--quiet", "--release", "--locked", "--workspace", "--example", "discard"]
    subprocess.run(example, cwd=REPOSITORY, check=True)
    discard = binary().parent / "examples" / "discard"
    process = subprocess.Popen([discard, f"127.0.0.1:{sink}"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        wait_until_listening(sink, process)
        for kind in ("dcmqrscp", "orthanc"):
            moved, fetched = [], []
            with GATEWAYS[kind](scratch / kind, ("127.0.0.1", sink)) as gateway:
                registry = Registry()
                county = next(row for row in registry.hospitals if row["code"] == COUNTY)
                county.update({"images": "pull", "gateway": {"ae": AE, "host": "127.0.0.1", "port": gateway.port}})
                archive = Archive(scratch / f"{kind}-archive", registry).start()
                try:
                    for turn in range(rounds):
                        exam = new_exam(images=SLICES)
                        folder = images.make(exam, scratch / f"{kind}{turn}", SLICES, SLICE_SIDE)
                        subprocess.run(["dcmsend", "-aec", AE, "127.0.0.1", str(gateway.port), "+sd", str(folder)], check=True)
                        moved.append(seconds(lambda: move_from(gateway.port, study_of(exam))))
                        client = archive.client()
                        fetched.append(seconds(lambda: (client.pushed(exam), wait_for_images(archive, exam, SLICES))))
                finally:
                    archive.kill()
            by_move, by_pull = (SLICES / statistics.median(took) for took in (moved, fetched))
            result.add(f"movescu from {kind} to the discarding sink", by_move, "images/s")
            result.add(f"fetched from {kind}, from the push on", by_pull, "images/s")
            result.add("fetched / moved", by_pull / by_move, "×", "≥ 0.9")
    finally:
        process.terminate()
        process.wait(30)


def move_from(port: int, study: str) -> None:
    keys = ["-k", "QueryRetrieveLevel=STUDY", "-k", f"StudyInstanceUID={study}"]
    subprocess.run(["movescu", "-S", "-aec", AE, "-aem", "YINGKU", "127.0.0.1", str(port), *keys], check=True)


def wait_for_images(archive: Archive, exam: dict, count: int) -> None:
    """Until readers see so many of the exam's study."""
    asked = query("STUDY", StudyInstanceUID=study_of(exam), NumberOfStudyRelatedInstances="")
    deadline = time.monotonic() + DRAIN_LIMIT_S
    # One association for all questions: to set one up in Python takes a third of the time of one of the two processors.
    with associate(archive.dicom, [build_context(StudyRootQueryRetrieveInformationModelFind)]) as association:
        while time.monotonic() < deadline:
            found = [match for _, match in association.send_c_find(asked, StudyRootQueryRetrieveInformationModelFind) if match]
            if found and int(found[0].NumberOfStudyRelatedInstances) >= count:
                return
            time.sleep(0.02)
    raise SystemExit("the study was not fetched")


def peak_mb(archive: Archive) -> float:
    """The highest resident memory since the last `forget_peak`."""
    for line in Path(f"/proc/{archive.pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024
    raise SystemExit("no VmHWM")


def forget_peak(archive: Archive) -> None:
    Path(f"/proc/{archive.pid}/clear_refs").write_text("5")


def bench_memory(scratch: Path, rounds: int, result: Result) -> None:
    sink = free_port()
    with other_archives.ignoring_storescp(sink), yingku(scratch, sink) as archive:
        exam = archive.client().pushed(new_exam(images=1))
        result.add("resident memory, idle", archive.resident_bytes() / 2**20, "MB", f"≤ {IDLE_LIMIT_MB}")
        folder = images.make_multiframe(exam, scratch / "big", BIG_FRAMES, SLICE_SIDE)
        forget_peak(archive)
        took = seconds(lambda: dcmsend(archive.dicom[1], folder))
        result.add("peak while a 2 GB instance is stored", peak_mb(archive), "MB", f"≤ {BIG_LIMIT_MB}")
        size_mb = sum(path.stat().st_size for path in folder.iterdir()) / 2**20
        result.add("storing it", size_mb / took, "MB/s")
        forget_peak(archive)
        took = seconds(lambda: movescu(archive.dicom[1], study_of(exam)))
        result.add("peak while it is moved", peak_mb(archive), "MB", f"≤ {BIG_LIMIT_MB}")
        result.add("moving it", size_mb / took, "MB/s")


def post_load(
    archive: Archive, path: str, headers: list[str], template: Path, accepted: str, connections: int, for_s: int = PUSH_SECONDS
) -> dict:
    """What the generator tells of messages with numbers of their own."""
    # The generator lies beside the other bench targets; cargo builds it if it is not there.
    load = ["cargo", "bench", "--quiet", "--locked", "--bench", "post_load", "--"]
    address = archive.http.removeprefix("http://")
    done = subprocess.run(
        [*load, address, path, "\n".join(headers), str(template), accepted, str(connections), str(for_s)],
        cwd=REPOSITORY, stdout=subprocess.PIPE, text=True, check=True,
    )
    return json.loads(done.stdout.splitlines()[-1])


def middle_of(runs: list[dict]) -> dict:
    return sorted(runs, key=lambda run: run["per_s"])[len(runs) // 2]


def push_load(scratch: Path, rounds: int, log_of: Callable[[int], str]) -> dict:
    """What the generator tells of the middle one of some rounds, each with an archive of its own."""
    template = push_template(scratch)
    runs = []
    for turn in range(rounds):
        with yingku(scratch / str(turn), log=log_of(turn)) as archive:
            runs.append(push_many(archive, template, PUSH_SECONDS))
    return middle_of(runs)


def push_template(scratch: Path) -> Path:
    template = scratch / "push.json"
    exam = new_exam()
    number = "@" * NUMBER_DIGITS
    exam["examNo"] = f"E{number}"
    exam["patientInfo"]["sickId"] = f"S{number}"
    exam["examInfo"].update({"applyNo": f"F{number}", "patientID": f"P{number}"})
    exam["imageList"][0].update({"patientID": f"P{number}", "accessionNo": f"A{number}", "studyUID": f"1.2.826.0.1.3680043.8.498.3.1{number}"})
    template.write_text(json.dumps(exam, ensure_ascii=False), encoding="utf-8")
    return template


def push_many(archive: Archive, template: Path, for_s: int) -> dict:
    headers = [f"token: {archive.client().token}", "Content-Type: application/json"]
    return post_load(archive, "/openapi/v1/exam/push", headers, template, '"status":0', PUSH_CONNECTIONS, for_s)


class TakingReceiver:
    """A HIS that takes every notice, and counts them: it must cost as little as it can."""

    ANSWER = (
        '<s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/"><s:Body><r><return>'
        "&lt;response&gt;&lt;code&gt;0&lt;/code&gt;&lt;desc/&gt;&lt;/response&gt;</return></r></s:Body></s:Envelope>"
    ).encode()

    def __init__(self, port: int) -> None:
        self.port = port
        self.taken = 0
        self.loop = asyncio.new_event_loop()
        threading.Thread(target=self.loop.run_forever, daemon=True).start()

    def start(self) -> None:
        asyncio.run_coroutine_threadsafe(asyncio.start_server(self.serve, "127.0.0.1", self.port), self.loop).result()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = b"HTTP/1.1 200 OK\r\nContent-Type: text/xml; charset=UTF-8\r\nContent-Length: %d\r\n\r\n" % len(self.ANSWER)
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                request = await reader.readuntil(b"\r\n\r\n")
                await reader.readexactly(int(re.search(rb"content-length: *(\d+)", request, re.IGNORECASE).group(1)))
                self.taken += 1
                writer.write(head + self.ANSWER)
                await writer.drain()
        writer.close()


def bench_notices(scratch: Path, rounds: int, result: Result) -> None:
    ports = [free_port() for _ in range(3)]
    his = [
        {"id": f"his-{n}", "license": f"license-{n}", "hospitals": ["*"], "receiver": {"url": f"http://127.0.0.1:{port}/"}}
        for n, port in enumerate(ports)
    ]
    archive = Archive(scratch / "yingku", Registry(his=his)).start()
    try:
        # Nobody listens yet: all that is due waits.
        pushed = 0
        while pushed * 2 * len(ports) < QUEUED_NOTICES:
            pushed += push_many(archive, push_template(scratch), 1)["posts"]
        due = pushed * 2
        before_mb = archive.resident_bytes() / 2**20
        live = [TakingReceiver(port) for port in ports[:2]]
        for receiver in live:
            receiver.start()
        # From the first that comes: until then the sender waits for its next look at the receiver.
        reach(lambda: all(receiver.taken for receiver in live), lambda: [receiver.taken for receiver in live])
        began, already, most_mb = time.monotonic(), sum(receiver.taken for receiver in live), before_mb
        while any(receiver.taken < due for receiver in live):
            most_mb = max(most_mb, archive.resident_bytes() / 2**20)
            time.sleep(0.05)
            assert time.monotonic() - began < DRAIN_LIMIT_S, [receiver.taken for receiver in live]
        took = time.monotonic() - began
        result.add("notices queued, three receivers, one of them dead", due * len(ports), "")
        result.add("the live two drained together at", (due * len(live) - already) / took, "/s", "≥ 500")
        result.add("resident memory before", before_mb, "MB")
        result.add("the most meanwhile", most_mb, "MB")
    finally:
        archive.kill()


def bench_forms(scratch: Path, rounds: int, result: Result) -> None:
    template = scratch / "form.xml"
    number = "@" * NUMBER_DIGITS
    template.write_bytes(forms.envelope(forms.document(apply_no=f"7173_{number}", SickNo=f"7173_{number}")))
    runs = []
    for turn in range(rounds):
        with yingku(scratch / str(turn)) as archive:
            headers = ["Content-Type: text/xml; charset=UTF-8", 'SOAPAction: ""']
            runs.append(post_load(archive, forms.ROUTE, headers, template, "&lt;code&gt;0&lt;/code&gt;", FORM_CONNECTIONS))
    middle = middle_of(runs)
    result.add(f"apply forms by SOAP, {FORM_CONNECTIONS} connections", middle["per_s"], "/s", "≥ 1,500")
    result.add("p50", middle["p50_ms"], "ms")
    result.add("p99", middle["p99_ms"], "ms", "≤ 50")


def bench_worklist(scratch: Path, rounds: int, result: Result) -> None:
    # It asks and prints by itself: a peer in Python would take longer to read an answer than the archive to find it.
    command = ["cargo", "bench", "--quiet", "--locked", "--bench", "worklist", "--", "--scratch", scratch]
    subprocess.run(command, cwd=REPOSITORY, check=True)


def bench_push(scratch: Path, rounds: int, result: Result) -> None:
    middle = push_load(scratch, rounds, lambda _: "")
    result.add(f"durable pushes, {PUSH_CONNECTIONS} connections", middle["per_s"], "/s", "≥ 3,000")
    result.add("p50", middle["p50_ms"], "ms")
    result.add("p99", middle["p99_ms"], "ms", "≤ 50")


def bench_kafka(scratch: Path, rounds: int, result: Result) -> None:
    kafka = Kafka(scratch / "kafka").start()
    try:
        middle = push_load(scratch, rounds, lambda turn: kafka.log(f"push-{turn}"))
        result.add(f"durable pushes through Kafka, {PUSH_CONNECTIONS} connections", middle["per_s"], "/s", "≥ 1,500")
        result.add("p50", middle["p50_ms"], "ms")
        result.add("p99", middle["p99_ms"], "ms", "≤ 100")
        rates = {}
        # By turns, so that what the machine does meanwhile meets both.
        with yingku(scratch / "with-kafka", log=kafka.log("store")) as one, yingku(scratch / "embedded") as other:
            for name, archive in (("Kafka", one), ("embedded", other)):
                folders = [push_and_make(archive, scratch, f"{name}{turn}", SLICES, SLICE_SIDE) for turn in range(rounds)]
                rates[name] = (archive, folders, [])
            for turn in range(rounds):
                for archive, folders, took in rates.values():
                    took.append(seconds(lambda: dcmsend(archive.dicom[1], folders[turn])))
        rate = {name: SLICES / statistics.median(took) for name, (_, _, took) in rates.items()}
        result.add("C-STORE, 512 KB, one association, log in Kafka", rate["Kafka"], "images/s")
        result.add("the same, embedded log", rate["embedded"], "images/s")
        result.add("Kafka / embedded", rate["Kafka"] / rate["embedded"], "×", "≥ 0.8")
    finally:
        kafka.stop()


def bench_ack(scratch: Path, rounds: int, result: Result) -> None:
    kafka = Kafka(scratch / "kafka").start()
    try:
        with S3(scratch / "s3") as s3, yingku(scratch, log=kafka.log("ack"), objects=s3, ack="object") as archive:
            for associations, count, aim in ((1, ACK_SLICES, "≥ 15"), (16, ACK_SLICES_OF_EACH, "≥ 150")):
                rates = []
                for turn in range(rounds):
                    folders = [
                        push_and_make(archive, scratch, f"ack{associations}-{turn}-{one}", count, SLICE_SIDE)
                        for one in range(associations)
                    ]
                    rates.append(associations * count / seconds(lambda: dcmsend(archive.dicom[1], *folders)))
                name = f"C-STORE, 512 KB, acknowledged by the object store, associations: {associations}"
                result.add(name, statistics.median(rates), "images/s", aim)
            objects, images_stored = len(s3.packs()), rounds * (ACK_SLICES + 16 * ACK_SLICES_OF_EACH)
            result.add("images in one object", images_stored / objects, "")
    finally:
        kafka.stop()


def bench_uploads(scratch: Path, rounds: int, result: Result) -> None:
    rates = []
    with S3(scratch / "s3") as s3:
        for turn in range(rounds):
            place = scratch / f"turn{turn}"
            with yingku(place) as archive:
                folders = [
                    push_and_make(archive, place, f"up{one}", UPLOADED_SLICES_OF_EACH, SLICE_SIDE) for one in range(4)
                ]
                dcmsend(archive.dicom[1], *folders)
            # A start seals what is open, and uploads all of it.
            with yingku(place, objects=s3, prefix=f"turn{turn}") as archive:
                began = time.monotonic()
                backlog = standing(archive)
                size = backlog["backlogBytes"]
                reach(lambda: standing(archive)["backlogBytes"] == 0, archive.log_tail)
                rates.append(size / 1e6 / (time.monotonic() - began))
    result.add("a backlog goes to the object store", statistics.median(rates), "MB/s", "≥ 100")


def bench_join(scratch: Path, rounds: int, result: Result, scale: int = 1) -> None:
    """A node that joins a full archive."""
    support.archive.START_LIMIT_S = JOIN_LIMIT_S
    full = scratch / "full"
    make = ["cargo", "bench", "--quiet", "--locked", "--bench", "million", "--", "--scale", str(scale), "--make", full / "data"]
    subprocess.run(make, check=True, cwd=REPOSITORY)
    kafka = Kafka(scratch / "kafka").start()
    try:
        with S3(scratch / "s3") as s3:
            first = Archive(full, log=kafka.log("join"), arguments=("--objects", s3.location), environment=ACCOUNT)
            settings = full / "yingku.toml"
            migrate = [binary(), "migrate", "--data", full / "data", "--config", settings, "--to", settings]

            def move() -> None:
                # The archive that was made has facts and no packs, so the move ends by naming all of them as missing.
                done = subprocess.run([*migrate, "--to-log", first.log], capture_output=True, text=True)
                assert done.returncode in (0, 1) and "视图摘要前后相同" in done.stdout, (done.stdout[-2000:], done.stderr[-2000:])

            moved = seconds(move)
            result.add("a full archive is moved to Kafka, and proved", moved, "s")
            first.start()
            place = ("--data", first.data, "--config", settings)
            made = seconds(lambda: first.command("snapshot", *place))
            result.add("a snapshot is made", made, "s")
            key = (full / "data" / "keys" / "cluster.key").read_bytes()
            second = Archive(
                scratch / "second", log=first.log, arguments=first.arguments, environment=ACCOUNT, cluster_key=key
            ).start()
            result.add("a new node serves after", second.ready_s, "s", "≤ 60")
            followed = re.search(r"^yingku_views_followed_records_total (\d+)", requests.get(f"{second.http}/metrics").text, re.M)
            # What came since the snapshot: starts, and duties that were taken.
            assert followed is not None and int(followed[1]) < 1_000, followed
            result.add("records that it read", int(followed[1]), f"of {second.readiness()['end']}")
            first.kill()
            second.kill()
    finally:
        kafka.stop()


def bench_search(scratch: Path, rounds: int, result: Result, exams: int = EXAMS_SEARCHED) -> None:
    """What a reader waits for: the served archive, its rights and its audit, over kept-alive connections."""
    bench = ["cargo", "bench", "--quiet", "--locked", "--bench", "search", "--", "--exams", str(exams)]
    home = scratch / "city"
    subprocess.run([*bench, "--make", home / "data"], check=True, cwd=REPOSITORY)
    support.archive.START_LIMIT_S = JOIN_LIMIT_S
    archive = Archive(home).start()
    try:
        # The registry of the log that was made has hospitals only.
        archive.command("registry", "import", archive.home / "registry.toml", "--data", archive.data)
        reader = archive.client("demo-reader")
        wait_for_index(archive, reader)
        tokens = ["--reader", reader.token, "--pacs", archive.client().token]
        address = archive.http.removeprefix("http://")
        runs = []
        for _ in range(rounds):
            done = subprocess.run([*bench, "--http", address, *tokens], cwd=REPOSITORY, stdout=subprocess.PIPE, text=True, check=True)
            runs.append(json.loads(done.stdout.splitlines()[-1]))
        run = sorted(runs, key=lambda run: run["p99_ms"])[rounds // 2]
        result.add(f"search over HTTP, {run['questions']} questions, p50", run["p50_ms"], "ms", "≤ 5")
        result.add("the same, p99", run["p99_ms"], "ms", "≤ 40")
        result.add(f"{run['pushes']} pushes meanwhile, p99", run["push_p99_ms"], "ms")
        result.add("resident memory", archive.resident_bytes() / 2**20, "MB", "≤ 1,024")
    finally:
        archive.kill()


def wait_for_index(archive: Archive, reader: Client) -> None:
    """Until search has come to where the log is now."""
    end = archive.readiness()["end"]
    deadline = time.monotonic() + JOIN_LIMIT_S
    while reader.post("exam/search", {"q": "无", "pageSize": 1}).result["indexedTo"] < end:
        assert time.monotonic() < deadline, "the index does not come to the end of the log"
        time.sleep(1)


QUESTIONS = {"search": bench_search, "ack": bench_ack, "uploads": bench_uploads, "join": bench_join, "store": bench_store, "move": bench_move, "pull": bench_pull, "push": bench_push, "forms": bench_forms, "worklist": bench_worklist, "notices": bench_notices, "kafka": bench_kafka, "memory": bench_memory}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("question", choices=QUESTIONS)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--exams", type=int, default=EXAMS_SEARCHED, help="of search")
    parser.add_argument("--scratch", type=Path, help="where data and images lie; on the disk to be measured")
    given = parser.parse_args()
    print(f"\n| {given.question} | measured | aim |\n|---|---|---|", flush=True)
    with tempfile.TemporaryDirectory(prefix="yingku-bench-", dir=given.scratch) as scratch:
        more = {"exams": given.exams} if given.question == "search" else {}
        QUESTIONS[given.question](Path(scratch), given.rounds, Result(), **more)


if __name__ == "__main__":
    main()
