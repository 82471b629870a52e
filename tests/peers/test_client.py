"""The vendor's tool, the demo and its settings, as a newcomer uses them."""

from __future__ import annotations

import json
import os
import subprocess
import tomllib
from pathlib import Path

from support import dcmtk
from support.archive import DEMO, REPOSITORY, Archive, binary
from support.exams import STATISTICS, accession_of, new_exam, patient_id_of, study_of
from support.instances import ct_slices, save_all
from support.registry import COUNTY, Registry


def credentials(archive: Archive, app: str = "demo-pacs") -> list[str | Path]:
    known = archive.registry.app(app)
    return [
        "--url", archive.http, "--app", app, "--license", known["license"], "--org", known["org"], "--key", archive.key(app)
    ]


def node(archive: Archive) -> str:
    host, port = archive.dicom
    return f"YINGKU@{host}:{port}"


def test_a_token_is_printed(archive: Archive) -> None:
    printed = archive.command("client", *credentials(archive), "token").stdout.strip()
    assert archive.client().post("exam/validate", new_exam(), token=printed.split()[-1]).status == 0


def test_an_app_whose_signs_must_have_a_time_signs_in(fresh_archive) -> None:
    registry = Registry()
    timed = {"id": "timed", "license": "timed-license", "org": COUNTY, "rights": ["push"], "hospitals": [COUNTY]}
    registry.apps.append({**timed, "require_time": True})
    registry.apps.append({**timed, "id": "shaped", "require_time": True, "envelope": "content", "result_shape": "array"})
    archive = fresh_archive(registry=registry)
    for app in ("timed", "shaped"):
        printed = archive.command("client", *credentials(archive, app), "token").stdout.strip()
        answer = archive.client().post("exam/push", {}, token=printed.split()[-1]).body
        assert int(answer.get("content", answer)["status"]) == 1, answer


def test_push_send_find_move(archive: Archive, sink_port: int, tmp_path: Path) -> None:
    exam = new_exam(images=2)
    slices = ct_slices(exam, 2)
    save_all(slices, tmp_path / "images")
    body = tmp_path / "exam.json"
    body.write_text(json.dumps(exam, ensure_ascii=False), encoding="utf-8")

    archive.command("client", *credentials(archive), "validate", body)
    archive.command("client", *credentials(archive), "push", body)
    archive.command("client", "send", "--dicom", node(archive), "--calling", "VENDOR", tmp_path / "images")
    found = archive.command(
        "client", "find", "--dicom", node(archive), "--level", "STUDY",
        f"AccessionNumber={accession_of(exam)}", "StudyInstanceUID",
    ).stdout
    assert study_of(exam) in found

    with dcmtk.StoreScp(sink_port, tmp_path / "moved") as sink:
        archive.command("client", "move", "--dicom", node(archive), "--to", "SINK", f"StudyInstanceUID={study_of(exam)}")
        assert sink.received() == {one.SOPInstanceUID: one for one in slices}


def test_get_of_a_patient_fetches_all_of_its_studies(archive: Archive, tmp_path: Path) -> None:
    first = new_exam(images=2)
    second = new_exam(images=1)
    second["examInfo"]["patientID"] = second["imageList"][0]["patientID"] = first["examInfo"]["patientID"]
    second["patientInfo"] = first["patientInfo"]
    slices = [*ct_slices(first, 2), *ct_slices(second, 1)]
    for exam in (first, second):
        archive.client().pushed(exam)
    save_all(slices, tmp_path / "images")
    archive.command("client", "send", "--dicom", node(archive), "--calling", "VENDOR", tmp_path / "images")

    archive.command(
        "client", "get", "--dicom", node(archive), "--out", tmp_path / "got", "--level", "PATIENT",
        f"PatientID={patient_id_of(first)}",
    )

    got = {path.stem for path in (tmp_path / "got").iterdir()}
    assert got == {one.SOPInstanceUID for one in slices}


def test_a_refused_push_ends_with_words_and_a_failure(archive: Archive, tmp_path: Path) -> None:
    exam = new_exam()
    del exam["patientInfo"]["name"]
    body = tmp_path / "exam.json"
    body.write_text(json.dumps(exam, ensure_ascii=False), encoding="utf-8")

    done = archive.command("client", *credentials(archive), "push", body, check=False)

    assert done.returncode != 0
    assert "patientInfo.name" in done.stdout + done.stderr


def test_refused_images_end_with_words_and_a_failure(archive: Archive, tmp_path: Path) -> None:
    save_all(ct_slices(new_exam(), 1), tmp_path)

    done = archive.command("client", "send", "--dicom", node(archive), "--calling", "VENDOR", tmp_path, check=False)

    assert done.returncode != 0
    assert "exam not pushed" in done.stdout + done.stderr


def test_statistics_are_declared(archive: Archive, tmp_path: Path) -> None:
    body = tmp_path / "statistics.json"
    rows = [{**row, "examDate": "2013-01-02"} for row in STATISTICS]
    body.write_text(json.dumps(rows), encoding="utf-8")

    archive.command("client", *credentials(archive), "statistics", body)

    declared = {row["hospitalCode"]: row["declared"] for row in archive.client("demo-reader").reconcile("2013-01-02")}
    assert declared == {row["hospitalCode"]: int(row["accordCount"]) for row in rows}


def test_the_demo_runs_through_twice(fresh_archive) -> None:
    archive = fresh_archive()
    for _ in range(2):  # the second time everything is a repeat
        done = subprocess.run(
            [DEMO / "demo.sh", archive.data],
            env={**os.environ, "YINGKU": str(binary()), "YINGKU_URL": archive.http, "YINGKU_DICOM": node(archive)},
            capture_output=True, text=True, timeout=120,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        assert "1.2.826.0.1.3680043.8.498.1" in done.stdout
        assert "55" in done.stdout  # what the sample declares for the county hospital
    # Sent once more as the README does it, the images are the same ones.
    sent = dcmtk.storescu(archive.dicom, *sorted((DEMO / "samples/dicom").glob("*.dcm")))
    assert sent.code == 0, sent.output
    assert "(furtherVersion): 0" in archive.command("findings", "--data", archive.data).stdout


def test_the_documented_registry_can_be_imported(fresh_archive) -> None:
    documented = (REPOSITORY / "deploy" / "registry.toml").read_text(encoding="utf-8")
    archive = fresh_archive(registry=Registry(text=documented))
    assert archive.key("county-pacs").read_text().startswith("-----BEGIN PUBLIC KEY-----")


def test_the_demo_settings_are_the_documented_ones() -> None:
    settings = tomllib.loads((DEMO / "yingku.toml").read_text(encoding="utf-8"))
    assert settings["http"]["listen"] == "127.0.0.1:8080"
    assert settings["dicom"]["listen"] == "127.0.0.1:11112"
    assert settings["dicom"]["ae_title"] == "YINGKU"
    assert settings["dicom"]["accept_any_calling_ae"] is True
    registry = tomllib.loads((DEMO / "registry.toml").read_text(encoding="utf-8"))
    assert [(row["code"], row["prefix"]) for row in registry["hospital"]] == [("350006", "7173"), ("350007", "7174")]
    assert registry["hospital"][0]["yyid00"] == "6930"
    assert [(row["id"], row["license"], row["org"]) for row in registry["app"]] == [
        ("demo-pacs", "demo-license", "350006"),
        ("demo-reader", "demo-license", "350006"),
        ("demo-clinic", "demo-clinic-license", "350006"),
    ]
    assert {row["ae"]: (row["host"], row["port"]) for row in registry["peer"]} == {
        "SINK": ("127.0.0.1", 11113),
        "MOVER": ("127.0.0.1", 11114),
    }
