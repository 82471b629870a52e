#!/usr/bin/env python3
"""Makes the demo's DICOM files from pydicom's CT_small.dcm (a real CT slice, MIT licence).

Two slices and one scanned apply form (series 0) of the exam in samples/exam_push.json. The results
are kept in the repository; run this only to make them again.
"""

import json
from pathlib import Path

import numpy
import pydicom
from pydicom.data import get_testdata_file
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, SecondaryCaptureImageStorage

SAMPLES = Path(__file__).parent / "samples"
PUSH = json.loads((SAMPLES / "exam_push.json").read_text(encoding="utf-8"))
IMAGES = PUSH["imageList"][0]
STUDY_UID = IMAGES["studyUID"]


def identify(dataset: Dataset) -> None:
    """Gives a data set the identity that the push promised (contract 2.4)."""
    person = PUSH["patientInfo"]
    dataset.SpecificCharacterSet = "ISO_IR 192"
    dataset.PatientName = f"Xiao^Ping={person['name']}"
    dataset.PatientID = IMAGES["patientID"]
    dataset.PatientSex = "F"
    dataset.PatientBirthDate = person["birthDate"].replace("-", "")
    dataset.PatientAge = "046Y"
    dataset.AccessionNumber = IMAGES["accessionNo"]
    dataset.StudyInstanceUID = STUDY_UID
    dataset.StudyID = "1"
    dataset.StudyDate = "20260704"
    dataset.StudyTime = "105432"
    dataset.ContentDate = "20260704"
    dataset.ContentTime = "105432"


def slice_of(number: int) -> Dataset:
    dataset = pydicom.dcmread(get_testdata_file("CT_small.dcm"))
    # DCMTK's senders leave it out: sent by them and by others, an image would come in two versions.
    del dataset.DataSetTrailingPadding
    identify(dataset)
    dataset.SeriesDate = dataset.AcquisitionDate = "20260704"
    dataset.StudyDescription = "胸部CT平扫"
    dataset.SeriesInstanceUID = f"{STUDY_UID}.100"
    dataset.SeriesNumber = 1
    dataset.InstanceNumber = number
    dataset.SOPInstanceUID = f"{STUDY_UID}.{number}"
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    return dataset


def scanned_form() -> Dataset:
    dataset = Dataset()
    identify(dataset)
    dataset.SOPClassUID = SecondaryCaptureImageStorage
    dataset.SOPInstanceUID = f"{STUDY_UID}.9001"
    dataset.SeriesInstanceUID = f"{STUDY_UID}.9000"
    dataset.Modality = "OT"
    dataset.ConversionType = "SD"
    dataset.SeriesNumber = 0
    dataset.SeriesDescription = "申请单"
    dataset.InstanceNumber = 1
    dataset.ReferringPhysicianName = ""
    dataset.PatientOrientation = ""
    dataset.SamplesPerPixel = 1
    dataset.PhotometricInterpretation = "MONOCHROME2"
    dataset.Rows, dataset.Columns = 128, 96
    dataset.BitsAllocated = dataset.BitsStored = 8
    dataset.HighBit = 7
    dataset.PixelRepresentation = 0
    page = numpy.full((dataset.Rows, dataset.Columns), 255, dtype=numpy.uint8)
    page[16:112:8, 12:84] = 32  # lines of writing
    dataset.PixelData = page.tobytes()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    return dataset


def main() -> None:
    folder = SAMPLES / "dicom"
    folder.mkdir(exist_ok=True)
    for name, dataset in {
        "slice-1.dcm": slice_of(1),
        "slice-2.dcm": slice_of(2),
        "apply-form.dcm": scanned_form(),
    }.items():
        dataset.save_as(folder / name, enforce_file_format=True)


if __name__ == "__main__":
    main()
