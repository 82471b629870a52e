"""Examinations to push: the contract's sample with numbers that no other test uses."""

from __future__ import annotations

import copy
import itertools
import json
import os

from pydicom.uid import generate_uid

from support.archive import DEMO
from support.registry import COUNTY

SAMPLE: dict = json.loads((DEMO / "samples" / "exam_push.json").read_text(encoding="utf-8"))
STATISTICS: list[dict] = json.loads((DEMO / "samples" / "upload_statistics.json").read_text(encoding="utf-8"))

_numbers = itertools.count(1)


def new_exam(hospital: str = COUNTY, images: int = 2, study_uid: str | None = None, day: str = "2026-07-04", **person: str) -> dict:
    """A finished examination like the sample, with its own numbers and study UID."""
    number = f"{os.getpid() % 100000:05d}{next(_numbers):05d}"
    exam = copy.deepcopy(SAMPLE)
    exam["examNo"] = f"E{number}"
    exam["hospitalCode"] = hospital
    exam["patientInfo"].update({"sickId": f"S{number}", **person})
    exam["examInfo"].update(
        {"applyNo": f"F{number}", "patientID": f"CT{number}", "examTime": f"{day} 10:54:32", "reqHospitalCode": hospital}
    )
    exam["imageList"] = [
        {
            "imageType": "DICOM",
            "imageCount": str(images),
            "modality": "CT",
            "patientID": f"CT{number}",
            "studyUID": study_uid or generate_uid(),
            "accessionNo": f"A{number}",
        }
    ]
    return exam


def study_of(exam: dict) -> str:
    return exam["imageList"][0]["studyUID"]


def accession_of(exam: dict) -> str:
    return exam["imageList"][0]["accessionNo"]


def patient_id_of(exam: dict) -> str:
    return exam["imageList"][0]["patientID"]
