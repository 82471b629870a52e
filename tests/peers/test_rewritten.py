"""Implicit VR written as Explicit VR for a peer that takes nothing else: the VRs are those that DCMTK finds."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pydicom
import pytest
from pydicom.dataset import Dataset
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian
from pynetdicom import build_context, build_role, evt
from pynetdicom.sop_class import StudyRootQueryRetrieveInformationModelGet as GET

from peers.test_odd_files import every_file
from support import dcmtk, netdicom
from support.archive import Archive
from support.exams import new_exam, study_of
from support.instances import RawInstance, ct_slices, raw_of, raw_of_file
from support.netdicom import query
from support.registry import STUDY_ONLY

# Either is right for the same bytes (PS3.5 annex A.2).
BYTES_OR_WORDS = {"OB", "OW", "US"}
REWRITTEN_AT_LEAST = 20
LUT_DESCRIPTOR = 0x00283002


def got_explicit(archive: Archive, raw: RawInstance) -> Dataset | None:
    """The instance by C-GET in Explicit VR Little Endian; None if the archive cannot write it so."""
    received: list[Dataset] = []

    def on_store(event: evt.Event) -> int:
        received.append(event.dataset)
        return 0x0000

    wanted = query("STUDY", StudyInstanceUID=raw.study)
    with netdicom.associate(
        archive.dicom,
        [build_context(GET), build_context(raw.sop_class, [ExplicitVRLittleEndian])],
        ext_neg=[build_role(raw.sop_class, scp_role=True)],
        evt_handlers=[(evt.EVT_C_STORE, on_store)],
    ) as association:
        list(association.send_c_get(wanted, GET))
    return next((one for one in received if one.SOPInstanceUID == raw.sop_instance), None)


def vrs(dataset: Dataset, path: str = "") -> Iterator[tuple[str, str]]:
    for tag in dataset.keys():
        raw = dataset.get_item(tag)
        here = f"{path}/{tag}"
        # Private attributes: DCMTK knows some vendors'. In an item DCMTK does not look for the image's Pixel Representation.
        if tag.group == 2 or tag.element == 0 or tag.is_private or (path and tag == LUT_DESCRIPTOR):
            continue
        yield here, raw.VR
        if raw.VR == "SQ":
            for number, item in enumerate(dataset[tag].value):
                yield from vrs(item, f"{here}[{number}]")


def converted(option: str, path: Path, to: Path) -> Path | None:
    """By dcmconv; None where it cannot: what is compressed, and what is no data set."""
    return to if dcmtk.run("dcmconv", option, path, to).code == 0 else None


@pytest.mark.timeout(300)
def test_vrs_are_those_of_dcmtk(archive: Archive, tmp_path: Path) -> None:
    compared = 0
    for number, path in enumerate(every_file()):
        implicit = converted("+ti", path, tmp_path / f"{number}-implicit.dcm")
        explicit = implicit and converted("+te", implicit, tmp_path / f"{number}-explicit.dcm")
        if implicit is None or explicit is None:
            continue
        raw = raw_of_file(implicit)
        if raw.study is None or raw.transfer_syntax != ImplicitVRLittleEndian:
            continue
        archive.client().push(new_exam(hospital=STUDY_ONLY, study_uid=raw.study))
        [answer] = netdicom.store(archive.dicom, [raw])
        ours = got_explicit(archive, raw) if answer.Status == 0x0000 else None
        if ours is None:
            continue
        expected = dict(vrs(pydicom.dcmread(explicit)))
        different = {
            tag: (vr, expected[tag])
            for tag, vr in vrs(ours)
            if tag in expected and vr != expected[tag] and not {vr, expected[tag]} <= BYTES_OR_WORDS
        }
        assert different == {}, path.name
        compared += 1
    assert compared >= REWRITTEN_AT_LEAST


def test_a_signed_image_keeps_its_negative_numbers(archive: Archive) -> None:
    exam = archive.client().pushed(new_exam(images=1))
    [image] = ct_slices(exam, 1)
    image.PixelRepresentation = 1
    image.add_new("PixelPaddingValue", "SS", -2000)
    image.add_new("SmallestImagePixelValue", "SS", -1000)
    table = Dataset()
    table.add_new("LUTDescriptor", "SS", [256, -1000, 16])
    table.ModalityLUTType = "HU"
    table.add_new("LUTData", "OW", bytes(512))
    image.ModalityLUTSequence = [table]
    image.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian
    raw = raw_of(image)
    assert raw.study == study_of(exam)
    netdicom.stored(archive.dicom, [raw])

    ours = got_explicit(archive, raw)

    assert ours is not None
    assert (ours.PixelPaddingValue, ours.SmallestImagePixelValue) == (-2000, -1000)
    assert list(ours.ModalityLUTSequence[0].LUTDescriptor) == [256, -1000, 16]


def large_slice(exam: dict, syntax: str) -> Dataset:
    """20 MB: more than is read whole. Something stands behind its pixels."""
    [image] = ct_slices(exam, 1)
    image.Rows, image.Columns = 20 * 512, 1024
    image.PixelData = os.urandom(20 << 20)
    image.DataSetTrailingPadding = bytes(126)
    image.file_meta.TransferSyntaxUID = syntax
    return image


def test_getscu_gets_a_large_implicit_image_in_explicit_vr(archive: Archive, tmp_path: Path) -> None:
    exam = archive.client().pushed(new_exam(images=1))
    image = large_slice(exam, ImplicitVRLittleEndian)
    netdicom.stored(archive.dicom, [raw_of(image)])

    ran = dcmtk.getscu(archive.dicom, tmp_path, "STUDY", f"StudyInstanceUID={study_of(exam)}", options=("+B",))

    assert ran.code == 0, ran.output
    [got] = [pydicom.dcmread(path) for path in tmp_path.iterdir()]
    assert got.file_meta.TransferSyntaxUID == ExplicitVRLittleEndian
    assert got.PixelData == image.PixelData
    assert got.keys() == image.keys()


def test_storescp_gets_a_large_explicit_image_in_implicit_vr(archive: Archive, sink_port: int, tmp_path: Path) -> None:
    exam = archive.client().pushed(new_exam(images=1))
    image = large_slice(exam, ExplicitVRLittleEndian)
    netdicom.stored(archive.dicom, [raw_of(image)])

    with dcmtk.StoreScp(sink_port, tmp_path, "+xi") as sink:
        ran = dcmtk.movescu(archive.dicom, "SINK", "STUDY", f"StudyInstanceUID={study_of(exam)}")
        assert ran.code == 0, ran.output
        [got] = sink.received().values()

    assert got.file_meta.TransferSyntaxUID == ImplicitVRLittleEndian
    assert got.PixelData == image.PixelData
    assert got.keys() == image.keys()
