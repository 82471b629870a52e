"""Scenario 3 (R16): a hospital pushes nothing; its exams are registered from apply forms, and a report may come later.

Machines are DCMTK's findscu and dcmsend and pynetdicom, the HIS is a SOAP sender and a receiver of notices.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from pydicom.dataset import Dataset
from pydicom.uid import generate_uid
from pynetdicom import build_context
from pynetdicom.sop_class import ModalityPerformedProcedureStep

from peers.test_worklist import _begun, _changed, ask, findscu, question
from support import forms, netdicom
from support.archive import Archive, free_port
from support.contract import Answer
from support.dcmtk import AET, run
from support.exams import new_exam
from support.instances import ct_slices, raw_of, save_all
from support.listening import reach
from support.receiver import Receiver
from support.registry import COUNTY, HOLDING, Registry

WHO = ("--reason", "设备无工作列表", "--author", "王医生")
UNREGISTERED = 0xC001
DIFFERS = 0xA900


def number_of(exam: dict) -> str:
    """Its form's."""
    return exam["imageList"][0]["accessionNo"]


class House:
    """The archive, the HIS's receiver, and machines CT01 of the county and CT02 of two hospitals."""

    def __init__(self, archive: Archive, receiver: Receiver) -> None:
        self.archive, self.receiver = archive, receiver

    def form(self, **person: str) -> dict:
        """Has the HIS send a form; the exam that its images would be of, which nobody pushes."""
        exam = new_exam(**person)
        number, sick_id = exam["examInfo"]["applyNo"], exam["patientInfo"]["sickId"]
        exam["examNo"] = f"F:{number}"
        exam["imageList"][0].update({"accessionNo": number, "patientID": sick_id})
        sent = forms.send(
            self.archive.http, apply_no=f"7173_{number}", license_="his-license",
            SickNo=f"7173_{sick_id}", PatientName=exam["patientInfo"]["name"], ScheduledTime="2026-07-04 10:30:00",
        )
        assert sent[0] == 0, sent
        return exam

    def entry(self, exam: dict) -> Dataset:
        [entry] = findscu(self.archive, f"AccessionNumber={number_of(exam)}", "StudyInstanceUID", "PatientID", "PatientName")
        return entry

    def with_worklist(self, **person: str) -> dict:
        """As a machine does it that takes patient and study UID from the worklist."""
        exam = self.form(**person)
        exam["imageList"][0]["studyUID"] = str(self.entry(exam).StudyInstanceUID)
        return exam

    def send(self, exam: dict, count: int = 2, calling: str = "CT01", **attributes: str) -> list[int]:
        slices = ct_slices(exam, count)
        for one in slices:
            for keyword, value in attributes.items():
                setattr(one, keyword, value)
        return [answer.Status for answer in netdicom.store(self.archive.dicom, [raw_of(one) for one in slices], calling)]

    def asked(self, path: str, exam: dict) -> Answer:
        return self.archive.client("demo-reader").post(path, {"hospitalCode": COUNTY, "examNo": exam["examNo"]})

    def row(self, exam: dict) -> dict:
        [row] = self.asked("exam/query", exam).rows
        return row

    def found(self, exam: dict) -> list[str]:
        """Instances that a C-FIND shows of the exam's study, as numbers in text."""
        answers = netdicom.find(
            self.archive.dicom, netdicom.query("STUDY", StudyInstanceUID=exam["imageList"][0]["studyUID"], NumberOfStudyRelatedInstances="")
        )
        return [str(answer.NumberOfStudyRelatedInstances) for answer in answers]

    def reach_told(self, exam: dict, statuses: list[str]) -> None:
        reach(lambda: self.receiver.told(exam) == statuses, lambda: (self.receiver.told(exam), self.receiver.wrong))


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    receiver = Receiver()
    receiver.port = free_port()
    registry = Registry(
        his=[{"id": "county-his", "license": "his-license", "hospitals": [COUNTY], "receiver": {"url": receiver.url}}],
        peers={"CT01": free_port(), "CT02": free_port()},
        rights={"CT01": {"services": ["store", "worklist", "mpps"], "hospitals": [COUNTY]},
                "CT02": {"services": ["store"], "hospitals": [COUNTY, "350007"]}},
    )
    registry.hospitals[0]["exams"] = "forms"
    archive = Archive(tmp_path_factory.mktemp("registration"), registry).start()
    with receiver:
        yield House(archive, receiver)
    assert archive.stop() == 0


def test_images_with_the_study_uid_of_the_worklist_register_the_exam(house: House, tmp_path: Path) -> None:
    exam = house.with_worklist()
    save_all(ct_slices(exam, 3), tmp_path)
    sent = run("dcmsend", "-aet", "CT01", "-aec", AET, *house.archive.dicom, "+sd", tmp_path)
    assert sent.code == 0, sent.output
    row = house.row(exam)
    assert (row["examStatus"], row["flags"]) == ("20", ["withoutPush"])
    assert house.found(exam) == ["3"]
    house.reach_told(exam, ["20", "50"])
    # It is off the worklist, its HIS can change nothing more, and the content is the form's
    assert findscu(house.archive, f"AccessionNumber={number_of(exam)}") == []
    assert forms.send(house.archive.http, "DELETE", f"7173_{number_of(exam)}", license_="his-license")[0] == -88
    detail = house.asked("exam/detail", exam).rows[0]
    content = detail["content"]
    assert content["patientInfo"]["name"] == exam["patientInfo"]["name"]
    assert (content["examInfo"]["applyNo"], content["examInfo"]["examStatus"]) == (number_of(exam), "20")


def test_a_report_without_a_form_s_number_meets_the_form_whose_study_it_has(house: House) -> None:
    exam = house.with_worklist()
    # The report comes before the images, with the department's PatientID, and knows no form
    report = copy.deepcopy(exam)
    report["examNo"] = f"N{number_of(exam)}"
    report["examInfo"].update({"applyNo": "无", "patientID": f"D{number_of(exam)}"})
    report["imageList"][0]["patientID"] = f"D{number_of(exam)}"
    house.archive.client().pushed(report)
    assert len(findscu(house.archive, f"AccessionNumber={number_of(exam)}")) == 1
    # The machine's images are of both
    assert house.send(exam) == [0, 0]
    assert house.found(exam) == ["2"]
    assert findscu(house.archive, f"AccessionNumber={number_of(exam)}") == []
    assert house.row(report)["applyNo"] == number_of(exam)
    assert house.asked("exam/query", exam).rows == []
    house.reach_told(report, ["20", "70"])
    # and later ones are taken as they are
    assert house.send(exam, 1) == [0]
    assert house.send(report, 1) == [0]


def test_a_machine_without_a_worklist_registers_it_by_accession_number(house: House) -> None:
    exam = house.form()
    assert house.send(exam) == [0, 0]
    assert house.found(exam) == ["2"]
    house.reach_told(exam, ["20", "50"])
    # Images under a further study UID are not the first: an operator gives them to the exam
    further = copy.deepcopy(exam)
    further["imageList"][0]["studyUID"] = generate_uid()
    assert house.send(further, 1) == [UNREGISTERED]
    said = house.archive.command(
        "forms", "register", COUNTY, number_of(exam), "--study", further["imageList"][0]["studyUID"], *WHO, "--data", house.archive.data
    )
    assert exam["examNo"] in said.stdout
    assert house.send(further, 1) == [0]
    assert house.found(further) == ["1"]


def test_a_number_that_was_mistyped_shows_nobody_another_s_images(house: House) -> None:
    exam = house.form(name="李四")
    other = {"PatientID": "TYPED", "PatientName": "Wang^Wu=王五", "PatientSex": "M"}
    assert house.send(exam, 1, **other) == [DIFFERS]
    # A machine's own number for the same person is no reason
    assert house.send(exam, 1, PatientID="TYPED", PatientName="LI^SI") == [0]
    assert house.found(exam) == ["1"]


def test_a_number_registers_only_for_a_sender_of_one_hospital_and_one_form(house: House) -> None:
    exam = house.form()
    assert house.send(exam, 1, calling="CT02") == [UNREGISTERED]
    assert house.send(exam, 1, AccessionNumber=number_of(exam) + "X") == [UNREGISTERED]
    # Two forms whose numbers are one in the 16 characters that images have
    for ending in ("A", "B"):
        sent = forms.send(house.archive.http, apply_no=f"7173_LONGNUMBER12345{ending}6", license_="his-license", SickNo="7173_L1")
        assert sent[0] == 0
    cut = "LONGNUMBER12345A"
    assert house.send(exam, 1, AccessionNumber=cut, PatientID="L1", PatientName="Xiao^Ping=肖萍") == [0]
    both = [forms.send(house.archive.http, apply_no=f"7173_SAMEBEGINNING123{end}", license_="his-license", SickNo="7173_L2") for end in "AB"]
    assert [code for code, _ in both] == [0, 0]
    again = house.form()
    assert house.send(again, 1, AccessionNumber="SAMEBEGINNING123", PatientID="L2", PatientName="Xiao^Ping=肖萍") == [UNREGISTERED]


def test_a_procedure_step_registers_it_and_takes_it_back_when_it_is_broken_off(house: House) -> None:
    exam = house.form()
    asked = question(AccessionNumber=number_of(exam))
    _, [entry] = ask(house.archive, asked)
    exam["imageList"][0]["studyUID"] = str(entry.StudyInstanceUID)
    sop_class = ModalityPerformedProcedureStep
    with netdicom.associate(house.archive.dicom, [build_context(sop_class)], "CT01") as association:
        step = generate_uid()
        assert association.send_n_create(_begun(entry), sop_class, step)[0].Status == 0
        house.reach_told(exam, ["20"])
        assert house.row(exam)["flags"] == ["withoutPush"]
        assert association.send_n_set(_changed("DISCONTINUED"), sop_class, step)[0].Status == 0
        assert len(ask(house.archive, asked)[1]) == 1
        # Done again, and told of no second registration
        second = generate_uid()
        assert association.send_n_create(_begun(entry), sop_class, second)[0].Status == 0
        assert house.send(exam, 1) == [0]
        assert association.send_n_set(_changed("COMPLETED"), sop_class, second)[0].Status == 0
    assert house.found(exam) == ["1"]
    house.reach_told(exam, ["20", "50"])


@pytest.mark.parametrize("number", ["the form's", "the department's"])
def test_a_report_that_is_pushed_later_has_the_images_and_goes_on_where_notices_were(house: House, number: str) -> None:
    exam = house.with_worklist()
    assert house.send(exam) == [0, 0]
    house.reach_told(exam, ["20", "50"])
    report = copy.deepcopy(exam)
    report["examNo"] = number_of(exam) if number == "the form's" else f"R{number_of(exam)}"
    # The department has a PatientID and an accession number of its own, and a picture under another study UID
    report["examInfo"]["patientID"] = f"C{number_of(exam)}"
    report["imageList"][0].update({"studyUID": generate_uid(), "patientID": f"C{number_of(exam)}", "accessionNo": "DEPT1"})
    house.archive.client().pushed(report)
    row = house.row(report)
    assert row["examStatus"] == "70" and "withoutPush" not in row["flags"]
    assert exam["imageList"][0]["studyUID"] in [study["studyUID"] for study in row["studies"]]
    # One exam is left of the two
    assert house.asked("exam/query", exam).rows == []
    # Late images are taken as the first were, and those of the push as it says
    assert house.send(exam, 1) == [0]
    assert house.found(exam) == ["3"]
    assert house.send(report, 1) == [0]
    house.reach_told(report, ["70"])
    assert house.receiver.told(exam) == ["20", "50"]
    # Withdrawn, it is hidden with its images, and nothing registers it again
    said = house.archive.command(
        "correct", "withdraw", f"{COUNTY}/{report['examNo']}", *WHO, "--data", house.archive.data
    )
    assert house.found(exam) == []
    assert house.send(exam, 1) == [UNREGISTERED]
    undo = said.stdout.split("yingku correct undo ")[1].split()[0]
    house.archive.command("correct", "undo", undo, *WHO, "--data", house.archive.data)
    assert house.found(exam) == ["3"]


def test_an_image_is_not_lost_between_its_answer_and_a_step_that_is_broken_off_or_a_report(house: House) -> None:
    for what in ("step", "report"):
        exam = house.with_worklist()
        _, [entry] = ask(house.archive, question(AccessionNumber=number_of(exam)))
        sop_class = ModalityPerformedProcedureStep
        with netdicom.associate(house.archive.dicom, [build_context(sop_class)], "CT01") as steps:
            step = generate_uid()
            assert steps.send_n_create(_begun(entry), sop_class, step)[0].Status == 0
            [raw] = [raw_of(one) for one in ct_slices(exam, 1)]
            with netdicom.associate(house.archive.dicom, netdicom.contexts_for([raw]), "CT01") as images:
                assert netdicom.send_raw(images, raw).Status == 0
                if what == "step":
                    assert steps.send_n_set(_changed("DISCONTINUED"), sop_class, step)[0].Status == 0
                else:
                    report = copy.deepcopy(exam)
                    report["examNo"] = f"R{number_of(exam)}"
                    report["imageList"][0].update({"studyUID": generate_uid(), "patientID": report["examInfo"]["patientID"]})
                    house.archive.client().pushed(report)
        assert house.found(exam) == ["1"], what
        house.reach_told(exam, ["20", "50"] if what == "step" else ["20"])


def test_a_form_with_a_number_longer_than_an_exam_s_is_registered(house: House) -> None:
    number = "123e4567-e89b-12d3-a456-426614174000"
    sent = forms.send(house.archive.http, apply_no=f"7173_{number}", license_="his-license", SickNo="7173_LONG")
    assert sent[0] == 0, sent
    exam = new_exam()
    exam["imageList"][0].update({"accessionNo": number[:16], "patientID": "LONG"})
    assert house.send(exam, 1) == [0]
    assert house.found(exam) == ["1"]


def test_an_image_without_a_patient_id_does_not_keep_the_others_out(house: House) -> None:
    exam = house.form()
    assert house.send(exam, 1, PatientID="") == [DIFFERS]
    assert house.send(exam, 1) == [0]


def test_an_operator_registers_what_nothing_else_does(house: House) -> None:
    exam = house.form()
    said = house.archive.command("forms", "register", COUNTY, number_of(exam), *WHO, "--data", house.archive.data)
    assert "registered" in said.stdout
    house.reach_told(exam, ["20"])
    again = house.archive.command("forms", "register", COUNTY, number_of(exam), *WHO, "--data", house.archive.data)
    assert "already" in again.stdout
    none = house.archive.command("forms", "register", COUNTY, "NOSUCH", *WHO, "--data", house.archive.data, check=False)
    assert none.returncode != 0 and "没有此申请单" in none.stderr


def test_images_that_were_held_are_shown_when_an_operator_registers_their_exam(fresh_archive: Callable[..., Archive]) -> None:
    registry = Registry(peers={"CT01": free_port()}, rights={"CT01": {"hospitals": [HOLDING["code"]]}})
    registry.hospitals.append({**HOLDING, "exams": "forms"})
    archive = fresh_archive(registry=registry)
    sent = forms.send(archive.http, apply_no=f"{HOLDING['prefix']}_H1", SickNo=f"{HOLDING['prefix']}_P1", **{"ReqHospital": "先存后推"})
    assert sent[0] == 0, sent
    exam = new_exam(hospital=HOLDING["code"])
    exam["imageList"][0].update({"accessionNo": "TYPED", "patientID": "P1"})
    netdicom.stored(archive.dicom, [raw_of(one) for one in ct_slices(exam, 2)], "CT01")
    said = archive.command(
        "forms", "register", HOLDING["code"], "H1", "--study", exam["imageList"][0]["studyUID"], *WHO, "--data", archive.data
    )
    assert "(held images adopted): 2" in said.stdout


def test_an_exam_registered_so_is_the_same_after_a_kill_and_in_new_views(fresh_archive: Callable[..., Archive]) -> None:
    registry = Registry(peers={"CT01": free_port()}, rights={"CT01": {"hospitals": [COUNTY]}})
    registry.hospitals[0]["exams"] = "forms"
    archive = fresh_archive(registry=registry)
    house = House(archive, Receiver())
    sent = forms.send(archive.http, apply_no="7173_K1", SickNo="7173_P1")
    assert sent[0] == 0, sent
    exam = new_exam()
    exam["examNo"] = "F:K1"
    exam["imageList"][0].update({"accessionNo": "K1", "patientID": "P1"})
    assert house.send(exam) == [0, 0]
    before = house.asked("exam/detail", exam).rows[0]
    archive.kill()
    archive.start()
    digest = archive.command("digest", "--data", archive.data).stdout
    assert house.asked("exam/detail", exam).rows[0] == before
    archive.command("rebuild", "--data", archive.data)
    assert archive.command("digest", "--data", archive.data).stdout == digest
    assert house.found(exam) == ["2"]
    # The log and what a hospital is handed of its own say so
    shown = [json.loads(line) for line in archive.command("log", "export", "--data", archive.data).stdout.splitlines()]
    [registered] = [line["event"]["body"] for line in shown if line["event"]["title"] == "exam-registered"]
    assert (registered["by"], registered["exam"]["examNo"]) == ("accessionNumber", "F:K1")
    [form] = [line["event"]["body"] for line in shown if line["event"]["title"] == "apply-form-received"]
    assert form["body"]["applyNo"] == "K1"
    to = archive.home / "handed-over"
    archive.command("export", "--hospital", COUNTY, "--to", to, "--data", archive.data)
    [push] = [json.loads(line) for line in (to / "pushes.jsonl").read_text(encoding="utf-8").splitlines()]
    assert (push["registeredBy"], push["content"]["examInfo"]["examStatus"]) == ("accessionNumber", "20")
    assert len((to / "forms.jsonl").read_text(encoding="utf-8").splitlines()) == 1


def test_a_step_of_a_cancelled_exam_registers_its_form_no_more(house: House) -> None:
    exam = house.form()
    asked = question(AccessionNumber=number_of(exam))
    _, [entry] = ask(house.archive, asked)
    sop_class = ModalityPerformedProcedureStep
    with netdicom.associate(house.archive.dicom, [build_context(sop_class)], "CT01") as association:
        step = generate_uid()
        assert association.send_n_create(_begun(entry), sop_class, step)[0].Status == 0
        house.archive.command("correct", "withdraw", f"{COUNTY}/{exam['examNo']}", *WHO, "--data", house.archive.data)
        assert association.send_n_set(_changed("COMPLETED"), sop_class, step)[0].Status == 0
    # The form is done again, under another study
    _, [anew] = ask(house.archive, asked)
    assert anew.StudyInstanceUID != entry.StudyInstanceUID
    house.reach_told(exam, ["20", "00"])
