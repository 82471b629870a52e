"""Data sets and PDUs that break naive readers: refused or kept exactly, the node serving on (design 8)."""

from __future__ import annotations

import socket
import struct
import time

import pytest
from pydicom.uid import generate_uid

from peers.test_slow_peers import associate_request, open_association, receive_pdu
from support import netdicom
from support.archive import Archive
from support.exams import new_exam, study_of
from support.instances import RawInstance, ct_slices, encoded, raw_of
from support.netdicom import query

# One refusal may not cost more memory than this, whatever length it announced.
GROWTH_LIMIT_BYTES = 64 * 1024 * 1024
# A connection on which nothing comes is closed within this.
SILENCE_LIMIT_S = 90.0
PIXEL_DATA = struct.pack("<HH2sH", 0x7FE0, 0x0010, b"OW", 0)
UNDEFINED = 0xFFFFFFFF


def element(group: int, number: int, vr: bytes, value: bytes, length: int | None = None) -> bytes:
    """An element of Explicit VR Little Endian, with a true or a lying length (PS3.5 7.1.2)."""
    length = len(value) if length is None else length
    if vr in (b"OB", b"OW", b"SQ", b"UN", b"UT", b"UC", b"OV"):
        return struct.pack("<HH2sHI", group, number, vr, 0, length) + value
    return struct.pack("<HH2sH", group, number, vr, length) + value


def nested(depth: int) -> bytes:
    """Sequences in sequences, all of undefined length, properly closed."""
    opened = element(0x0040, 0xA730, b"SQ", b"", UNDEFINED) + struct.pack("<HHI", 0xFFFE, 0xE000, UNDEFINED)
    closed = struct.pack("<HHIHHI", 0xFFFE, 0xE00D, 0, 0xFFFE, 0xE0DD, 0)
    return opened * depth + closed * depth


@pytest.fixture
def image(archive: Archive) -> RawInstance:
    """A good slice of a pushed exam, to be spoiled."""
    exam = archive.client().pushed(new_exam(images=1))
    [one] = ct_slices(exam, 1)
    raw = raw_of(one)
    assert PIXEL_DATA in raw.data
    return raw


def spoiled(image: RawInstance, data: bytes) -> RawInstance:
    return RawInstance(image.sop_class, image.sop_instance, image.transfer_syntax, image.study, data)


def refused_or_gone(archive: Archive, raw: RawInstance) -> None:
    """The instance is refused with words (or its association ends), and nothing of it is kept or lost to others."""
    before = archive.resident_bytes()
    with netdicom.associate(archive.dicom, netdicom.contexts_for([raw])) as association:
        answer = netdicom.send_raw(association, raw)
    assert answer is None or (answer.Status != 0x0000 and answer.get("ErrorComment")), answer
    assert archive.resident_bytes() - before < GROWTH_LIMIT_BYTES
    assert netdicom.echo(archive.dicom) == 0x0000
    assert netdicom.find(archive.dicom, query("IMAGE", StudyInstanceUID=raw.study, SeriesInstanceUID="", SOPInstanceUID="")) == []


@pytest.mark.parametrize("length", [0xFFFFFFFE, 0x7FFFFFFE, 0x00FFFFFE])
def test_a_length_beyond_the_end_is_refused_before_it_is_allocated(archive: Archive, image: RawInstance, length: int) -> None:
    at = image.data.index(PIXEL_DATA)
    refused_or_gone(archive, spoiled(image, image.data[:at] + element(0x7FE0, 0x0010, b"OW", b"\x00" * 100, length)))


@pytest.mark.parametrize("depth", [65, 1_000, 50_000])
def test_sequences_nested_too_deep_are_refused(archive: Archive, image: RawInstance, depth: int) -> None:
    at = image.data.index(PIXEL_DATA)
    refused_or_gone(archive, spoiled(image, image.data[:at] + nested(depth) + image.data[at:]))


def test_sequences_nested_deep_but_within_the_limit_are_kept(archive: Archive, image: RawInstance) -> None:
    at = image.data.index(PIXEL_DATA)
    netdicom.stored(archive.dicom, [spoiled(image, image.data[:at] + nested(60) + image.data[at:])])


@pytest.mark.parametrize("keep", [0, 1, 7, 100, 3000])
def test_a_data_set_that_is_cut_off_is_refused(archive: Archive, image: RawInstance, keep: int) -> None:
    refused_or_gone(archive, spoiled(image, image.data[:keep]))


def test_pixels_that_are_cut_off_are_refused(archive: Archive, image: RawInstance) -> None:
    refused_or_gone(archive, spoiled(image, image.data[:-1000]))


def test_a_text_of_many_megabytes_is_refused(archive: Archive, image: RawInstance) -> None:
    at = image.data.index(PIXEL_DATA)
    text = element(0x0040, 0xA160, b"UT", b"x" * (8 << 20))
    raw = spoiled(image, image.data[:at] + text + image.data[at:])
    # A long text that nothing is looked up by may also be kept as it came: either is an answer.
    [answer] = netdicom.store(archive.dicom, [raw])
    assert answer.Status == 0x0000 or answer.get("ErrorComment"), answer
    assert netdicom.echo(archive.dicom) == 0x0000


def test_an_identifier_of_many_kilobytes_is_refused(archive: Archive) -> None:
    exam = archive.client().pushed(new_exam(images=1))
    [one] = ct_slices(exam, 1)
    data = encoded(one)
    number = exam["examInfo"]["patientID"].encode()
    at = data.index(struct.pack("<HH", 0x0010, 0x0020))
    length = struct.unpack_from("<H", data, at + 6)[0]
    data = data[:at] + element(0x0010, 0x0020, b"LO", number + b" " * 60_000) + data[at + 8 + length:]
    raw = raw_of(one)
    [answer] = netdicom.store(archive.dicom, [spoiled(raw, data)])
    # Blanks do not tell numbers apart (R8), so it may be taken; it may not hurt.
    assert answer.Status == 0x0000 or answer.get("ErrorComment"), answer
    assert netdicom.echo(archive.dicom) == 0x0000


def test_the_command_and_the_data_set_must_name_the_same_instance(archive: Archive, image: RawInstance) -> None:
    other = RawInstance(image.sop_class, str(generate_uid()), image.transfer_syntax, image.study, image.data)
    refused_or_gone(archive, other)


def test_a_wrong_transfer_syntax_is_refused(archive: Archive, image: RawInstance) -> None:
    """Explicit VR bytes announced as Implicit VR."""
    refused_or_gone(archive, RawInstance(image.sop_class, image.sop_instance, "1.2.840.10008.1.2", image.study, image.data))


@pytest.mark.parametrize("max_length", [1, 5, 6, 7, 11])
def test_a_peer_that_takes_tiny_pdus_only_does_not_break_the_node(archive: Archive, max_length: int) -> None:
    request = associate_request().replace(struct.pack(">BxHI", 0x51, 4, 16384), struct.pack(">BxHI", 0x51, 4, max_length))
    with socket.create_connection(archive.dicom, 10) as connection:
        connection.sendall(request)
        connection.settimeout(30)
        kind, _ = receive_pdu(connection)
        if kind == 2:
            connection.sendall(echo_request())
            try:
                while connection.recv(4096):
                    connection.sendall(b"\x07\x00\x00\x00\x00\x04\x00\x00\x00\x00")  # A-ABORT: enough seen
            except OSError:
                pass
    assert netdicom.echo(archive.dicom) == 0x0000


def echo_request() -> bytes:
    """A C-ECHO-RQ in one P-DATA-TF on context 1 (PS3.7 9.3.5)."""

    def command(number: int, value: bytes) -> bytes:
        return struct.pack("<HHI", 0x0000, number, len(value)) + value

    rest = command(0x0002, b"1.2.840.10008.1.1\x00") + command(0x0100, b"\x30\x00") + command(0x0110, b"\x01\x00") + command(0x0800, b"\x01\x01")
    body = command(0x0000, struct.pack("<I", len(rest))) + rest
    value = struct.pack(">IBB", len(body) + 2, 1, 3) + body
    return struct.pack(">BxI", 4, len(value)) + value


def test_a_pdu_longer_than_agreed_ends_its_association(archive: Archive) -> None:
    connection = open_association(archive)
    # More than any node agrees to: 64 MiB of fragments in one PDU, sent until the archive has had enough.
    connection.sendall(struct.pack(">BxI", 4, 64 << 20))
    before = archive.resident_bytes()
    connection.settimeout(30)
    try:
        for _ in range(64):
            connection.sendall(b"\x00" * (1 << 20))
        while connection.recv(4096):
            pass
    except OSError:
        pass
    connection.close()
    assert archive.resident_bytes() - before < GROWTH_LIMIT_BYTES
    assert netdicom.echo(archive.dicom) == 0x0000


def test_a_silent_connection_is_closed(archive: Archive) -> None:
    began = time.monotonic()
    with socket.create_connection(archive.dicom, 10) as connection:
        connection.settimeout(SILENCE_LIMIT_S)
        while connection.recv(4096):
            pass  # an A-ABORT may come first
    assert time.monotonic() - began < SILENCE_LIMIT_S


def test_fragments_out_of_order_end_their_association(archive: Archive) -> None:
    connection = open_association(archive)
    # A data set fragment without a command before it.
    connection.sendall(struct.pack(">BxIIBB", 4, 6 + 4, 6, 1, 2) + b"\x00" * 4)
    connection.settimeout(30)
    kind, _ = receive_pdu(connection)
    assert kind == 7, "an A-ABORT is expected"
    connection.close()
    assert netdicom.echo(archive.dicom) == 0x0000


def test_good_images_are_still_taken_afterwards(archive: Archive) -> None:
    exam = archive.client().pushed(new_exam(images=1))
    netdicom.stored(archive.dicom, [raw_of(one) for one in ct_slices(exam, 1)])
    assert len(netdicom.find(archive.dicom, query("STUDY", StudyInstanceUID=study_of(exam)))) == 1
