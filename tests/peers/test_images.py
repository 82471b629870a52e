"""Frames of stored images as JPEG, by signed addresses: they look as DCMTK shows them, and no file takes the node down."""

from __future__ import annotations

import base64
import os
import signal
import subprocess
from pathlib import Path

import numpy
import pydicom
import pytest
import requests
from pydicom.data import get_testdata_file
from pydicom.dataset import Dataset
from pydicom.uid import generate_uid

from support import netdicom
from support.archive import Archive
from support.exams import new_exam, study_of
from support.instances import raw_of
from support.registry import STUDY_ONLY

# Of 255, on the average over all pixels: JPEG's own loss, twice where the reference is a JPEG as well.
DIFFERENCE_LIMIT = 3.0


def pixels_of(pnm: bytes) -> numpy.ndarray:
    """A binary PGM or PPM, as DCMTK writes them, with three samples a pixel."""
    kind, *numbers = [word for line in pnm.split(b"\n")[:4] if not line.startswith(b"#") for word in line.split()][:4]
    columns, rows = int(numbers[0]), int(numbers[1])
    samples = {b"P5": 1, b"P6": 3}[kind]
    data = numpy.frombuffer(pnm[-rows * columns * samples:], dtype=numpy.uint8)
    return numpy.broadcast_to(data.reshape(rows, columns, samples), (rows, columns, 3)).astype(int)


def shown_by_dcmtk(path: Path, *options: str) -> numpy.ndarray:
    done = subprocess.run(["dcmj2pnm", *options, path], capture_output=True, check=True, timeout=60)
    return pixels_of(done.stdout)


def decoded(jpeg: bytes, folder: Path) -> numpy.ndarray:
    assert jpeg.startswith(b"\xff\xd8")
    picture, wrapped = folder / "picture.jpg", folder / "picture.dcm"
    picture.write_bytes(jpeg)
    subprocess.run(["img2dcm", "-q", picture, wrapped], check=True, timeout=60)
    return shown_by_dcmtk(wrapped)


def test_file(name: str) -> Dataset:
    return pydicom.dcmread(get_testdata_file(name))


test_file.__test__ = False  # a helper, whatever its name


def exam_of(archive: Archive, dataset: Dataset) -> dict:
    """A pushed exam whose only image the data set is, named by its report as a key image; the image is stored."""
    exam = new_exam(hospital=STUDY_ONLY, images=1)
    uid = generate_uid()
    exam["reportList"][0]["reportImage"] = [{"rptImgType": "DICOM", "sopInstanceUID": uid}]
    dataset.StudyInstanceUID = study_of(exam)
    dataset.SeriesInstanceUID = generate_uid()
    dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = uid
    archive.client().pushed(exam)
    netdicom.stored(archive.dicom, [raw_of(dataset)])
    return exam


def cited(archive: Archive, exam: dict, **more: object) -> dict:
    """The only key image of an exam, as its citation tells it."""
    question = {"hospitalCode": exam["hospitalCode"], "examNo": exam["examNo"], "reason": "visit", **more}
    answer = archive.client("demo-reader").post("report/citation", question)
    assert answer.status == 0, answer
    [image] = answer.result["exams"][0]["keyImages"]["images"]
    return image


def frame(archive: Archive, dataset: Dataset, more: str = "") -> requests.Response:
    return requests.get(cited(archive, exam_of(archive, dataset))["url"] + more, timeout=60)


@pytest.mark.parametrize(
    ("name", "reference", "options"),
    [
        ("CT_small.dcm", "CT_small.dcm", ["+Wm"]),
        ("MR_small.dcm", "MR_small.dcm", ["+Wi", "1"]),
        ("MR_small_bigendian.dcm", "MR_small.dcm", ["+Wi", "1"]),
        ("MR_small_RLE.dcm", "MR_small.dcm", ["+Wi", "1"]),
        ("MR_small_jp2klossless.dcm", "MR_small.dcm", ["+Wi", "1"]),
        ("image_dfl.dcm", "image_dfl.dcm", ["+Wm"]),
        ("SC_rgb_rle_16bit.dcm", "SC_rgb_rle_16bit.dcm", []),
        ("SC_rgb_jpeg_dcmtk.dcm", "SC_rgb_jpeg_dcmtk.dcm", []),
        ("SC_rgb_dcmtk_+eb+cy+s4.dcm", "SC_rgb_dcmtk_+eb+cy+s4.dcm", []),
        ("SC_ybr_full_422_uncompressed.dcm", "SC_ybr_full_422_uncompressed.dcm", []),
        ("examples_palette.dcm", "examples_palette.dcm", []),
    ],
)
def test_a_frame_looks_as_dcmtk_shows_it(archive: Archive, tmp_path: Path, name: str, reference: str, options: list[str]) -> None:
    answer = frame(archive, test_file(name), "&side=4096")
    assert answer.status_code == 200, answer.text
    assert answer.headers["Content-Type"] == "image/jpeg"
    assert answer.headers["Cache-Control"].startswith("private")
    wanted = shown_by_dcmtk(Path(get_testdata_file(reference)), *options)
    found = decoded(answer.content, tmp_path)
    assert found.shape == wanted.shape
    assert abs(found - wanted).mean() < DIFFERENCE_LIMIT


@pytest.mark.parametrize("encode", [["dcmcjpeg", "+e1"], ["dcmcjpeg", "+el"], ["dcmcrle"]])
def test_what_dcmtk_compressed_without_loss_looks_as_before(archive: Archive, tmp_path: Path, encode: list[str]) -> None:
    original, compressed = Path(get_testdata_file("CT_small.dcm")), tmp_path / "compressed.dcm"
    subprocess.run([*encode, original, compressed], check=True, timeout=60)
    answer = frame(archive, pydicom.dcmread(compressed), "&window=40,400")
    assert answer.status_code == 200, answer.text
    wanted = shown_by_dcmtk(original, "+Ww", "40", "400")
    assert abs(decoded(answer.content, tmp_path) - wanted).mean() < DIFFERENCE_LIMIT


def test_a_frame_is_scaled_down_and_comes_as_base64_as_well(archive: Archive, tmp_path: Path) -> None:
    exam = exam_of(archive, test_file("examples_palette.dcm"))
    image = cited(archive, exam, withImages=True)
    whole = decoded(base64.b64decode(image["jpeg"]), tmp_path)
    small = decoded(requests.get(image["url"] + "&side=100", timeout=60).content, tmp_path)
    assert (whole.shape, small.shape) == ((350, 800, 3), (43, 100, 3))


@pytest.mark.parametrize(
    ("name", "words"),
    [("MR_small_jpeg_ls_lossless.dcm", "JPEG-LS"), ("JPGExtended.dcm", "12 bit")],
)
def test_what_has_no_codec_is_told_by_name(archive: Archive, name: str, words: str) -> None:
    answer = frame(archive, test_file(name))
    assert answer.status_code == 422
    assert words in answer.json()["message"]


def test_what_is_no_image_is_told_so(archive: Archive) -> None:
    answer = frame(archive, test_file("test-SR.dcm"))
    assert answer.status_code == 422
    assert "结构化报告" in answer.json()["message"]


def truncated() -> Dataset:
    dataset = test_file("CT_small.dcm")
    dataset.PixelData = dataset.PixelData[:100]
    return dataset


def larger_than_it_says() -> Dataset:
    dataset = test_file("SC_rgb_jpeg_dcmtk.dcm")
    dataset.Rows = 50
    return dataset


def smaller_than_it_says() -> Dataset:
    dataset = test_file("SC_rgb_jpeg_dcmtk.dcm")
    dataset.Rows = dataset.Columns = 6_000
    return dataset


def huge() -> Dataset:
    dataset = test_file("CT_small.dcm")
    dataset.Rows = dataset.Columns = 65_535
    return dataset


@pytest.mark.parametrize("hostile", [truncated, larger_than_it_says, smaller_than_it_says, huge])
def test_after_a_hostile_file_the_node_serves_on(archive: Archive, hostile) -> None:
    answer = frame(archive, hostile())
    assert answer.status_code == 422, answer.text
    assert frame(archive, test_file("CT_small.dcm")).status_code == 200


def test_a_worker_that_is_killed_is_replaced(archive: Archive) -> None:
    image = cited(archive, exam_of(archive, test_file("CT_small.dcm")))
    assert requests.get(image["url"], timeout=60).status_code == 200
    children = [
        int(entry.name)
        for entry in Path("/proc").iterdir()
        if entry.name.isdigit() and _is_worker(entry, archive.pid)
    ]
    assert children
    for pid in children:
        os.kill(pid, signal.SIGKILL)
    assert requests.get(image["url"], timeout=60).status_code in (200, 422)
    assert requests.get(image["url"], timeout=60).status_code == 200


def _is_worker(process: Path, parent: int) -> bool:
    try:
        return (
            b"render-worker" in (process / "cmdline").read_bytes()
            and f"PPid:\t{parent}\n" in (process / "status").read_text()
        )
    except OSError:  # it ended meanwhile
        return False


def test_an_address_ends_with_the_exam_and_says_nothing(archive: Archive) -> None:
    exam = exam_of(archive, test_file("CT_small.dcm"))
    url = cited(archive, exam)["url"]
    assert study_of(exam) not in url and exam["examNo"] not in url
    assert requests.get(url, timeout=60).status_code == 200
    forged = url[:-1] + ("A" if url[-1] != "A" else "B")
    assert requests.get(forged, timeout=60).status_code == 403
    why = {"reason": "误传", "author": "王医生"}
    withdrawn = archive.client().post("exam/withdraw", {"hospitalCode": STUDY_ONLY, "examNo": exam["examNo"], **why})
    assert withdrawn.status == 0, withdrawn
    assert requests.get(url, timeout=60).status_code == 404
