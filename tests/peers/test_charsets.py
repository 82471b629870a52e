"""Names in UTF-8, GB18030 and GBK, stored in each and found by each other's spelling."""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest

from support import netdicom
from support.archive import Archive
from support.exams import new_exam, study_of
from support.instances import RawInstance, ct_slices, encoded, raw_of
from support.netdicom import find, query

CHARSETS = {"ISO_IR 192": "utf-8", "GB18030": "gb18030", "GBK": "gbk"}

# 診 誠 運 have the byte 0x5C (the value separator of DICOM) in GBK and GB18030.
NAMES = ["肖^萍", "診^誠", "運^錦", "买买提·艾合买提", "𠮷^田"]


def spelled(exam: dict, name: str, charset: str) -> RawInstance:
    """One slice whose PatientName is written in `charset`, byte for byte as a hospital's device writes it."""
    # The name is put in as a placeholder of equal length, then as bytes, so that no library's opinion of 0x5C matters.
    written = f"Anon={name}".encode(CHARSETS[charset])
    written += b" " * (len(written) % 2)
    placeholder = "X" * len(written)
    [image] = ct_slices(exam, 1, name=placeholder, charset=charset)
    raw = raw_of(image)
    data = encoded(image)
    assert data.count(placeholder.encode()) == 1
    return RawInstance(raw.sop_class, raw.sop_instance, raw.transfer_syntax, raw.study, data.replace(placeholder.encode(), written))


def can_spell(name: str, charset: str) -> bool:
    try:
        name.encode(CHARSETS[charset])
    except UnicodeEncodeError:
        return False
    return True


@pytest.mark.parametrize("name", NAMES)
def test_a_name_is_found_by_every_spelling(archive: Archive, name: str) -> None:
    usable = [charset for charset in CHARSETS if can_spell(name, charset)]
    day = "2017-05-05"
    exams = {}
    # Given one study for each way to write the name
    for charset in usable:
        exam = archive.client().pushed(new_exam(images=1, day=day))
        netdicom.stored(archive.dicom, [spelled(exam, name, charset)])
        exams[charset] = exam

    for stored_as, asked_as in itertools.product(usable, usable):
        # When it is asked for in each spelling
        identifier = query(
            "STUDY", SpecificCharacterSet=asked_as, PatientName=name, StudyInstanceUID=study_of(exams[stored_as])
        )
        matches = find(archive.dicom, identifier)

        # Then it is found, and the answer shows the same name
        assert len(matches) == 1, f"stored as {stored_as}, asked as {asked_as}"


@pytest.mark.parametrize("charset", CHARSETS)
def test_the_answer_can_be_read_in_the_charset_it_names(archive: Archive, charset: str) -> None:
    exam = archive.client().pushed(new_exam(images=1))
    netdicom.stored(archive.dicom, [spelled(exam, "肖^萍", charset)])

    [match] = find(archive.dicom, query("STUDY", StudyInstanceUID=study_of(exam), PatientName=""))

    assert match.PatientName.ideographic == "肖^萍"


@pytest.mark.parametrize("charset", ["GB18030", "GBK"])
def test_a_backslash_byte_inside_a_character_survives_move(archive: Archive, sink_port: int, charset: str) -> None:
    exam = archive.client().pushed(new_exam(images=1))
    raw = spelled(exam, "診^誠", charset)
    netdicom.stored(archive.dicom, [raw])

    with netdicom.Destination(sink_port) as sink:
        netdicom.move(archive.dicom, "SINK", query("STUDY", StudyInstanceUID=study_of(exam)))

    assert sink.received[raw.sop_instance].data == raw.data


@pytest.mark.parametrize("name", ["毛伟", "郑伟", "谢强", "肖伟"])
def test_an_undeclared_gbk_name_that_passes_for_utf8_is_found(archive: Archive, name: str) -> None:
    exam = archive.client().pushed(new_exam(images=1, name=name))
    raw = spelled(exam, name, "GBK")
    declared = b"\x08\x00\x05\x00CS\x04\x00GBK "
    assert raw.data.count(declared) == 1
    netdicom.stored(archive.dicom, [replace(raw, data=raw.data.replace(declared, b""))])

    # It is found by its declared spelling, and by its own bytes without a declaration
    declared_key = query("STUDY", PatientName=name, StudyInstanceUID=study_of(exam))
    undeclared_key = query("STUDY", PatientName=name.encode("gbk").decode("latin-1"), StudyInstanceUID=study_of(exam))
    del undeclared_key.SpecificCharacterSet
    for identifier in (declared_key, undeclared_key):
        assert [str(match.PatientName) for match in find(archive.dicom, identifier)] == [f"Anon={name}"]
