"""DICOM instances of pushed exams, and the bytes that must come back."""

from __future__ import annotations

import io
import zlib
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pydicom
from pydicom.data import get_testdata_file
from pydicom.dataset import Dataset
from pydicom.filebase import DicomBytesIO
from pydicom.filereader import _read_file_meta_info, read_preamble
from pydicom.filewriter import write_dataset
from pydicom.uid import UID, ExplicitVRLittleEndian, ImplicitVRLittleEndian, generate_uid

from support.exams import accession_of, patient_id_of, study_of


@cache
def _ct_file() -> bytes:
    return Path(get_testdata_file("CT_small.dcm")).read_bytes()


def ct_slices(exam: dict, count: int = 2, series_number: int = 1, name: str | None = None, charset: str = "ISO_IR 192") -> list[Dataset]:
    """One series of CT slices that match the exam's push."""
    series = generate_uid()
    slices = []
    for number in range(1, count + 1):
        dataset = pydicom.dcmread(io.BytesIO(_ct_file()))
        # DCMTK's senders leave the padding out: what they send would not be what lies in the file.
        del dataset.DataSetTrailingPadding
        dataset.SpecificCharacterSet = charset
        dataset.PatientName = name or f"Xiao^Ping={exam['patientInfo']['name']}"
        dataset.PatientID = patient_id_of(exam)
        dataset.PatientSex = "F"
        dataset.PatientBirthDate = "19800101"
        dataset.AccessionNumber = accession_of(exam)
        dataset.StudyInstanceUID = study_of(exam)
        dataset.StudyDate = exam["examInfo"]["examTime"][:10].replace("-", "")
        dataset.SeriesInstanceUID = series
        dataset.SeriesNumber = series_number
        dataset.InstanceNumber = number
        dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = generate_uid()
        slices.append(dataset)
    return slices


def save_all(datasets: list[Dataset], folder: Path) -> list[Path]:
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for number, dataset in enumerate(datasets):
        path = folder / f"{number:05d}.dcm"
        dataset.save_as(path, enforce_file_format=True)
        paths.append(path)
    return paths


def encoded(dataset: Dataset) -> bytes:
    """The data set as bytes in its own transfer syntax, without group 0002."""
    syntax = dataset.file_meta.TransferSyntaxUID
    out = DicomBytesIO()
    out.is_little_endian = syntax.is_little_endian
    out.is_implicit_VR = syntax.is_implicit_VR
    write_dataset(out, dataset)
    if not syntax.is_deflated:
        return out.getvalue()
    deflate = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return deflate.compress(out.getvalue()) + deflate.flush()


@dataclass(frozen=True)
class RawInstance:
    """What goes into one C-STORE: the identifiers and the data set's bytes as they lie in a file."""

    sop_class: str
    sop_instance: str
    transfer_syntax: str
    study: str | None
    data: bytes


def raw_of(dataset: Dataset) -> RawInstance:
    return RawInstance(
        str(dataset.SOPClassUID),
        str(dataset.SOPInstanceUID),
        str(dataset.file_meta.TransferSyntaxUID),
        str(dataset.StudyInstanceUID),
        encoded(dataset),
    )


def raw_of_file(path: Path) -> RawInstance:
    """Any file, odd and broken ones too: what can be read of it is used, the rest is made up."""
    content = path.read_bytes()
    body, meta, dataset = content, Dataset(), Dataset()
    try:
        file = io.BytesIO(content)
        read_preamble(file, force=True)
        meta = _read_file_meta_info(file)
        body = content[file.tell():]
        dataset = pydicom.dcmread(io.BytesIO(content), force=True, stop_before_pixels=True)
    except Exception:  # a broken file is what this is for: it is sent as it is
        pass
    syntax = _text(meta, "TransferSyntaxUID")
    if syntax is None:
        implicit = getattr(dataset, "is_implicit_VR", None)
        syntax = ExplicitVRLittleEndian if implicit is False else ImplicitVRLittleEndian
    return RawInstance(
        _text(dataset, "SOPClassUID") or _text(meta, "MediaStorageSOPClassUID") or "1.2.840.10008.5.1.4.1.1.7",
        _text(dataset, "SOPInstanceUID") or _text(meta, "MediaStorageSOPInstanceUID") or str(generate_uid()),
        str(syntax),
        _text(dataset, "StudyInstanceUID"),
        body,
    )


def _text(dataset: Dataset, keyword: str) -> str | None:
    try:
        value = dataset.get(keyword)
    except Exception:  # a value that cannot be decoded counts as absent
        return None
    text = str(value) if value else None
    return text if text and UID(text).is_valid else None
