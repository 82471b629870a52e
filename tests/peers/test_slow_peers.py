"""Peers that crawl, hang, lie or stay silent do not keep the others waiting."""

from __future__ import annotations

import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import ExitStack, contextmanager

import pytest
from pydicom.dataset import Dataset
from pynetdicom import dsutils

from support import netdicom
from support.archive import Archive, free_port
from support.exams import new_exam
from support.instances import RawInstance, ct_slices, raw_of
from support.registry import Registry

IDLE_ASSOCIATIONS = 500
# While slow peers hang on, an echo and a push must still be answered within this.
OTHERS_LIMIT_S = 5.0
SLOW_PEERS = 20
BYTE_EVERY_S = 10.0
CRAWLERS = 8
STREAMING_OF_ONE_AE = 2
SMALL_IMAGES = 40
# A piece of a data set, below the longest PDU that the archive takes.
PIECE = 128 * 1024


def associate_request(
    called: str = "YINGKU", calling: str = "SLOW", abstract: str = "1.2.840.10008.1.1", transfer: str = "1.2.840.10008.1.2"
) -> bytes:
    """An A-ASSOCIATE-RQ for one service, Verification if nothing else is said (PS3.8 9.3.2)."""

    def item(kind: int, body: bytes) -> bytes:
        return struct.pack(">BxH", kind, len(body)) + body

    application = item(0x10, b"1.2.840.10008.3.1.1.1")
    context = item(0x20, b"\x01\x00\x00\x00" + item(0x30, abstract.encode()) + item(0x40, transfer.encode()))
    user = item(0x50, item(0x51, struct.pack(">I", 16384)) + item(0x52, b"1.2.826.0.1.3680043.8.498.9"))
    body = struct.pack(">HH16s16s32x", 1, 0, called.ljust(16).encode(), calling.ljust(16).encode())
    body += application + context + user
    return struct.pack(">BxI", 1, len(body)) + body


def receive_pdu(connection: socket.socket) -> tuple[int, bytes]:
    head = receive_exactly(connection, 6)
    kind, length = struct.unpack(">BxI", head)
    return kind, receive_exactly(connection, length)


def receive_exactly(connection: socket.socket, count: int) -> bytes:
    data = b""
    while len(data) < count:
        piece = connection.recv(count - len(data))
        if not piece:
            raise ConnectionError("closed by the archive")
        data += piece
    return data


def open_association(archive: Archive, **more: str) -> socket.socket:
    connection = socket.create_connection(archive.dicom, 30)
    connection.sendall(associate_request(**more))
    kind, _ = receive_pdu(connection)
    assert kind == 2, f"A-ASSOCIATE-AC expected, PDU type {kind} came"
    return connection


def say_and_listen(connection: socket.socket, content: bytes) -> None:
    """Sends, says no more, and reads until the archive ends the connection; it must not be left open."""
    connection.settimeout(30)
    try:
        connection.sendall(content)
        connection.shutdown(socket.SHUT_WR)
        while connection.recv(4096):
            pass  # an A-ABORT or a rejection, then the end
    except TimeoutError:
        raise AssertionError("the archive keeps a broken connection open") from None
    except OSError:
        pass  # reset: ended as well


def others_are_served(archive: Archive) -> None:
    began = time.monotonic()
    assert netdicom.echo(archive.dicom) == 0x0000
    archive.client().pushed(new_exam())
    assert time.monotonic() - began < OTHERS_LIMIT_S


@contextmanager
def crawling(connections: list[socket.socket], content: bytes) -> Iterator[None]:
    """Sends `content` on every connection, a byte every ten seconds, meanwhile."""
    stop = threading.Event()

    def crawl(connection: socket.socket) -> None:
        for byte in content:
            try:
                connection.sendall(bytes([byte]))
            except OSError:
                return  # the archive had enough: as good
            if stop.wait(BYTE_EVERY_S):
                return

    threads = [threading.Thread(target=crawl, args=(connection,)) for connection in connections]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stop.set()
        for connection in connections:
            connection.close()
        for thread in threads:
            thread.join()


def test_slow_dicom_peers_do_not_keep_others_waiting(archive: Archive) -> None:
    connections = [socket.create_connection(archive.dicom, 10) for _ in range(SLOW_PEERS)]
    with crawling(connections, associate_request()):
        others_are_served(archive)


def test_slow_http_peers_do_not_keep_others_waiting(archive: Archive) -> None:
    host, port = archive.http.removeprefix("http://").split(":")
    head = f"POST /openapi/v1/exam/push HTTP/1.1\r\nHost: slow\r\ntoken: {archive.client().token}\r\nContent-Length: 1000\r\n\r\n"
    # Half of them are slow with the head already, half with a body that the archive waits for
    heads, bodies = ([socket.create_connection((host, int(port)), 10) for _ in range(SLOW_PEERS)] for _ in range(2))
    for connection in bodies:
        connection.sendall(head.encode())
    with crawling(heads, head.encode()), crawling(bodies, b'{"examNo":'):
        others_are_served(archive)
        for connection in bodies:
            connection.setblocking(False)
            with pytest.raises(BlockingIOError):
                connection.recv(1)  # neither answered nor closed: it is being waited for


def fragment(content: bytes, control: int) -> bytes:
    """A P-DATA with one fragment: control 3 ends a command, 0 goes on with a data set (PS3.8 9.3.5, annex E)."""
    return struct.pack(">BxIIBB", 4, len(content) + 6, len(content) + 2, 1, control) + content


def open_store(archive: Archive, calling: str, raw: RawInstance) -> socket.socket:
    """An association on which the instance is announced, and nothing of it has come."""
    command = Dataset()
    command.AffectedSOPClassUID = raw.sop_class
    command.CommandField = 1
    command.MessageID = 1
    command.Priority = 0
    command.CommandDataSetType = 1
    command.AffectedSOPInstanceUID = raw.sop_instance
    encoded = dsutils.encode(command, True, True)
    connection = open_association(archive, calling=calling, abstract=raw.sop_class, transfer=raw.transfer_syntax)
    connection.settimeout(None)
    connection.sendall(fragment(struct.pack("<HHII", 0, 0, 4, len(encoded)) + encoded, 3))
    return connection


def bring(connection: socket.socket, content: bytes) -> None:
    """Sends a part of a data set, as quickly as it is taken."""
    try:
        for at in range(0, len(content), PIECE):
            connection.sendall(fragment(content[at : at + PIECE], 0))
    except OSError:
        pass  # the test is over


def large_slice(exam: dict) -> RawInstance:
    (dataset,) = ct_slices(exam, 1)
    dataset.Rows, dataset.Columns = 20 * 1024, 1024
    dataset.PixelData = bytes(40 << 20)
    return raw_of(dataset)


def test_a_crawling_ae_takes_nothing_from_another(fresh_archive: Callable[..., Archive]) -> None:
    # Given how long another AE takes for its images when it is alone
    archive = fresh_archive(registry=Registry(peers={"CRAWLER": free_port(), "PROMPT": free_port()}))
    client = archive.client()

    def stored_in() -> float:
        exam = client.pushed(new_exam())
        images = [raw_of(one) for one in ct_slices(exam, SMALL_IMAGES)]
        began = time.monotonic()
        netdicom.stored(archive.dicom, images, calling="PROMPT")
        return time.monotonic() - began

    alone = min(stored_in() for _ in range(3))

    # When eight associations of one AE bring all but the end of images too large to be held in memory: as many as may
    # stream bring it, the others wait for them
    crawled = large_slice(client.pushed(new_exam()))
    with ThreadPoolExecutor(CRAWLERS) as senders, ExitStack() as stack:
        crawlers = [open_store(archive, "CRAWLER", crawled) for _ in range(CRAWLERS)]
        for crawler in crawlers:
            stack.callback(crawler.shutdown, socket.SHUT_RDWR)
        bringing = [senders.submit(bring, crawler, crawled.data[: -(1 << 20)]) for crawler in crawlers]
        streaming = as_completed(bringing)
        for _ in range(STREAMING_OF_ONE_AE):
            next(streaming).result()

        # Then the other stores as before, small images and one as large
        assert min(stored_in() for _ in range(3)) < 2 * alone + 0.2
        large = large_slice(client.pushed(new_exam()))
        began = time.monotonic()
        netdicom.stored(archive.dicom, [large], calling="PROMPT")
        assert time.monotonic() - began < OTHERS_LIMIT_S


def test_500_idle_associations_leave_room_for_work(archive: Archive) -> None:
    with ExitStack() as stack:
        # Given 500 associations that do nothing
        for _ in range(IDLE_ASSOCIATIONS):
            stack.callback(open_association(archive).close)

        # When others work, they are served
        others_are_served(archive)
        exam = archive.client().pushed(new_exam())
        netdicom.stored(archive.dicom, [raw_of(one) for one in ct_slices(exam, 2)])

        # and memory stays bounded
        assert archive.resident_bytes() < 400 * 1024 * 1024


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"GET / HTTP/1.1\r\n\r\n",
        b"\x01\x00\xff\xff\xff\xff",
        b"\x01\x00\x00\x00\x00\x04\x00\x01\x00\x00",
        b"\x04\x00\x00\x00\x00\x06\x00\x00\x00\x02\x01\x03",
        b"\x63" * 4096,
        associate_request()[:-7],
        associate_request().replace(b"\x51\x00\x00\x04", b"\x51\x00\xff\xff"),
    ],
    ids=["nothing", "http", "4-gib-pdu", "tiny-associate", "data-first", "unknown-pdu", "cut", "lying-length"],
)
def test_broken_beginnings_end_that_connection_only(archive: Archive, content: bytes) -> None:
    with socket.create_connection(archive.dicom, 10) as connection:
        say_and_listen(connection, content)
    assert netdicom.echo(archive.dicom) == 0x0000


@pytest.mark.parametrize("length", [0xFFFFFFFF, 0x7FFFFFFF, 1 << 20])
def test_a_data_pdu_that_announces_too_much_ends_its_association(archive: Archive, length: int) -> None:
    before = archive.resident_bytes()
    connection = open_association(archive)
    say_and_listen(connection, struct.pack(">BxI", 4, length) + b"\x00" * 1000)
    connection.close()
    assert archive.resident_bytes() - before < 64 * 1024 * 1024
    assert netdicom.echo(archive.dicom) == 0x0000
