"""An association of raw bytes, for peers that stop in the middle: they read nothing, or cancel when they like."""

from __future__ import annotations

import socket
import struct

IMPLICIT = "1.2.840.10008.1.2"
EXPLICIT = "1.2.840.10008.1.2.1"
CT = "1.2.840.10008.5.1.4.1.1.2"
STUDY_FIND = "1.2.840.10008.5.1.4.1.2.2.1"
STUDY_MOVE = "1.2.840.10008.5.1.4.1.2.2.2"
STUDY_GET = "1.2.840.10008.5.1.4.1.2.2.3"

C_FIND, C_MOVE, C_GET, C_CANCEL = 0x0020, 0x0021, 0x0010, 0x0FFF
_NO_DATA_SET, _DATA_SET = 0x0101, 0x0001


def _item(kind: int, body: bytes) -> bytes:
    return struct.pack(">BxH", kind, len(body)) + body


def _element(group: int, number: int, value: bytes) -> bytes:
    """Implicit VR Little Endian."""
    return struct.pack("<HHI", group, number, len(value)) + value


def _uid(text: str) -> bytes:
    return text.encode() + b"\0" * (len(text) % 2)


def _us(number: int) -> bytes:
    return struct.pack("<H", number)


def identifier(level: str, **keys: str) -> bytes:
    """A data set of STUDY level keys in Implicit VR Little Endian."""
    tags = {"StudyInstanceUID": (0x0020, 0x000D), "PatientName": (0x0010, 0x0010)}
    elements = {(0x0008, 0x0052): level.encode() + b" " * (len(level) % 2)}
    elements |= {tags[key]: _uid(value) for key, value in keys.items()}
    return b"".join(_element(*tag, value) for tag, value in sorted(elements.items()))


class RawAssociation:
    """Contexts 1, 3, … for the abstract syntaxes given; where we store too, we take the SCP's role."""

    def __init__(self, dicom: tuple[str, int], services: list[str], stores: list[str] | None = None,
                 calling: str = "RAW", receive_bytes: int | None = None) -> None:
        stores = stores or []
        self.connection = socket.socket()
        if receive_bytes is not None:
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
        self.connection.settimeout(60)
        self.connection.connect(dicom)
        contexts = b""
        for number, syntax in enumerate(services + stores):
            transfer = EXPLICIT if syntax in stores else IMPLICIT
            offered = _item(0x30, syntax.encode()) + _item(0x40, transfer.encode())
            contexts += _item(0x20, bytes([2 * number + 1, 0, 0, 0]) + offered)
        roles = b"".join(_item(0x54, struct.pack(">H", len(uid)) + uid.encode() + b"\x00\x01") for uid in stores)
        user = _item(0x50, _item(0x51, struct.pack(">I", 16384)) + _item(0x52, b"1.2.826.0.1.3680043.8.498.9") + roles)
        body = struct.pack(">HH16s16s32x", 1, 0, b"YINGKU".ljust(16), calling.ljust(16).encode())
        body += _item(0x10, b"1.2.840.10008.3.1.1.1") + contexts + user
        self.connection.sendall(struct.pack(">BxI", 1, len(body)) + body)
        kind, _ = self.receive_pdu()
        assert kind == 2, f"A-ASSOCIATE-AC expected, PDU type {kind} came"

    def __enter__(self) -> RawAssociation:
        return self

    def __exit__(self, *_: object) -> None:
        self.connection.close()

    def _exactly(self, count: int) -> bytes:
        data = b""
        while len(data) < count:
            piece = self.connection.recv(count - len(data))
            if not piece:
                raise ConnectionError("closed by the archive")
            data += piece
        return data

    def receive_pdu(self) -> tuple[int, bytes]:
        kind, length = struct.unpack(">BxI", self._exactly(6))
        return kind, self._exactly(length)

    def send_data(self, context: int, control: int, fragment: bytes) -> None:
        value = struct.pack(">IBB", len(fragment) + 2, context, control) + fragment
        self.connection.sendall(struct.pack(">BxI", 4, len(value)) + value)

    def request(self, command: int, sop_class: str, keys: bytes, destination: str | None = None, context: int = 1) -> None:
        """Message 1, with its identifier."""
        elements = _element(0, 0x0002, _uid(sop_class)) + _element(0, 0x0100, _us(command)) + _element(0, 0x0110, _us(1))
        if destination is not None:
            elements += _element(0, 0x0600, destination.encode() + b" " * (len(destination) % 2))
        elements += _element(0, 0x0700, _us(0)) + _element(0, 0x0800, _us(_DATA_SET))
        self.send_data(context, 3, _element(0, 0, struct.pack("<I", len(elements))) + elements)
        self.send_data(context, 2, keys)

    def cancel(self, context: int = 1) -> None:
        """Of message 1."""
        elements = _element(0, 0x0100, _us(C_CANCEL)) + _element(0, 0x0120, _us(1)) + _element(0, 0x0800, _us(_NO_DATA_SET))
        self.send_data(context, 3, _element(0, 0, struct.pack("<I", len(elements))) + elements)

    def status(self) -> int:
        """Of the next response that is not pending."""
        while True:
            kind, body = self.receive_pdu()
            assert kind == 4, f"P-DATA-TF expected, PDU type {kind} came"
            if not body[5] & 1:
                continue  # a data set
            status = _value(body[6:], 0x0900)
            if status is not None and status not in (0xFF00, 0xFF01):
                return status


def _value(command: bytes, element: int) -> int | None:
    at = 0
    while at + 8 <= len(command):
        _, number, length = struct.unpack_from("<HHI", command, at)
        if number == element:
            return struct.unpack_from("<H", command, at + 8)[0]
        at += 8 + length
    return None
