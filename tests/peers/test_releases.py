"""Two releases of one archive: side by side until the new rules are activated, and what activation waits for.

The release before this one is the one that `deploy/dev/release.sh` builds. Where this release brings no rules of its own,
nothing can be activated and those tests are skipped.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from pydicom.dataset import Dataset
from pydicom.uid import generate_uid
from pynetdicom import build_context
from pynetdicom.sop_class import ModalityPerformedProcedureStep

from support import forms, netdicom
from support.archive import Archive
from support.cluster import Cluster, command, digest, number_of, same_views
from support.exams import accession_of, new_exam, patient_id_of, study_of
from support.instances import RawInstance, ct_slices, raw_of
from support.kafka import Kafka
from support.listening import reach
from support.netdicom import Destination, associate, find, query
from support.registry import COUNTY, HOLD, HOLDING, STUDY_ONLY, TEST_MODE, TOWN, Registry
from support.releases import release_before, releases, rules, tells

DAY = "2014-03-04"
WHY = ("--reason", "示例", "--author", "王医生")
RETENTION = """[settings]
[[settings.retention]]
name = "乡镇体检五年"
hospitals = ["350007"]
patients = ["PE"]
delete_after_months = 60
grace_days = 0
"""
PACKS = ("[keys]", "[storage]\npack_bytes = 1048576\n\n[keys]")
# One pack of 1 MB and the beginning of another.
FILLS_A_PACK = 36


@pytest.fixture
def pair(kafka: Kafka, tmp_path: Path, sink: int, request: pytest.FixtureRequest) -> Iterator[tuple[Archive, Archive]]:
    """A node of the release before, which has begun the archive, and one of this release."""
    registry = Registry(peers={"SINK": sink, "HOLDER": sink}, rights={"HOLDER": {"hospitals": [HOLD]}})
    registry.hospitals.append(HOLDING)
    registry.app("demo-pacs")["hospitals"] = ["*"]
    cluster = Cluster(tmp_path / "cluster", kafka, request.node.name, registry=registry, settings=(PACKS,))
    try:
        yield cluster.add(program=release_before()), cluster.add()
    finally:
        cluster.end()


@pytest.fixture
def rules_to_activate(pair: tuple[Archive, Archive]) -> int:
    """The rules version that only this release has."""
    in_force, own = rules(pair[1])
    if own == in_force:
        pytest.skip(f"this release brings no rules of its own: version {own} is that of the release before")
    return own


def images(exam: dict, count: int = 2) -> list[RawInstance]:
    return [raw_of(one) for one in ct_slices(exam, count)]


def corrected(node: Archive, *words: str) -> str:
    """Makes a correction; its position."""
    return command(node, "correct", *words, *WHY).split("(position) ")[1].split(";")[0].strip()


def all_found_at(node: Archive) -> Callable[[], set[str]]:
    reader = node.client("demo-reader")

    def found() -> set[str]:
        answer = reader.post("exam/search", {"reason": "visit", "pageSize": 200})
        return {row["examNo"] for row in answer.result["exams"]}

    return found


def named(exam: dict) -> str:
    return f"{exam['hospitalCode']}/{exam['examNo']}"


class History:
    """What happens in an archive, each step at one of two nodes and what follows from it at the other."""

    def __init__(self, one: Archive, other: Archive) -> None:
        self.one, self.other = one, other
        self.exams: list[dict] = []

    def pushed(self, **about: object) -> dict:
        exam = self.one.client().pushed(new_exam(day=DAY, **about))
        self.exams.append(exam)
        return exam

    def stored(self, exam: dict, count: int = 2) -> list[RawInstance]:
        sent = images(exam, count)
        netdicom.stored(self.other.dicom, sent)
        return sent

    def exams_and_images(self) -> None:
        exam = self.pushed()
        sent = self.stored(exam)
        # A repeat of both, a new version, a draft that comes late, other bytes under a known UID
        self.other.client().pushed(exam)
        netdicom.stored(self.one.dicom, sent)
        for path, value in (("examStatus", "70"), ("examStatus", "60")):
            later = copy.deepcopy(exam)
            later["reportList"][0]["impression"] = f"修订 {value}"
            later[path] = value
            self.other.client().pushed(later)
        [further] = ct_slices(exam, 1, name="Other^Bytes")
        further.SOPInstanceUID = further.file_meta.MediaStorageSOPInstanceUID = sent[0].sop_instance
        netdicom.stored(self.one.dicom, [raw_of(further)])
        # Too few images, none declared, and one that is not the exam's
        self.stored(self.pushed(images=2), 1)
        undeclared = new_exam(day=DAY)
        del undeclared["imageList"]
        self.exams.append(self.one.client().pushed(undeclared))
        [stranger] = ct_slices(exam, 1)
        stranger.PatientID = "OTHER"
        assert [answer.Status for answer in netdicom.store(self.other.dicom, [raw_of(stranger)])] == [0xA900]

    def corrections(self) -> None:
        withdrawn, hidden, wrong, right = (self.pushed() for _ in range(4))
        for exam in (withdrawn, hidden, wrong):
            self.stored(exam)
        corrected(self.one, "withdraw", named(withdrawn))
        again = self.pushed()
        self.stored(again)
        corrected(self.other, "undo", corrected(self.one, "withdraw", named(again)))
        corrected(self.other, "hide", f"{COUNTY}/{study_of(hidden)}")
        corrected(self.one, "move-study", f"{COUNTY}/{study_of(wrong)}", named(right))
        # The same study claimed by two hospitals, and an operator's ruling
        first = self.pushed()
        second = self.pushed(hospital=TOWN, study_uid=study_of(first))
        self.stored(first)
        corrected(self.other, "rule-conflict", study_of(first), named(second))
        self.stored(second)
        # Suspected reuse of a number
        reused = new_exam(day=DAY, study_uid=str(generate_uid()), name="李四")
        reused["examNo"] = first["examNo"]
        assert self.one.client().push(reused).status == 1

    def held(self) -> None:
        for pushed in (True, False):
            exam = new_exam(hospital=HOLD, day=DAY)
            netdicom.stored(self.other.dicom, images(exam), calling="HOLDER")
            if pushed:
                self.exams.append(self.one.client().pushed(exam))
        self.stored(self.pushed(hospital=STUDY_ONLY))

    def declarations(self) -> None:
        for node, count in ((self.one, "9"), (self.other, "5")):
            row = {"hospitalCode": COUNTY, "examDate": DAY, "examClass": "CT", "accordCount": count}
            assert node.client().upload_statistics([row, {**row, "examClass": "DR"}]).status == 0
        lines = [
            {"hospitalCode": COUNTY, "examDate": DAY, "examClass": "CT", "examNo": number, "imageCount": "3"}
            for number in (self.exams[0]["examNo"], "E-never")
        ]
        assert self.other.client().post("exam/uploadDetail", lines).status == 0

    def trial(self) -> None:
        self.stored(self.pushed(hospital=TEST_MODE))
        command(self.other, "purge-test-data", TEST_MODE, *WHY)
        self.stored(self.pushed(hospital=TEST_MODE))

    def care(self, folder: Path) -> None:
        """Images that a rule deletes, others under legal hold, and packs of two hospitals that are regrouped."""
        due, kept = (self.pushed(hospital=TOWN, patientSource="体检") for _ in range(2))
        for exam in (due, kept):
            self.stored(exam)
        corrected(self.one, "legal-hold", named(kept))
        file = folder / "rules.toml"
        file.write_text(RETENTION, encoding="utf-8")
        command(self.other, "registry", "import", str(file))
        command(self.one, "retention")
        for hospital in (COUNTY, TOWN):
            self.stored(self.pushed(hospital=hospital, images=FILLS_A_PACK), FILLS_A_PACK)
        command(self.other, "compact", "--after-hours", "0", "--keep-hours", "0")

    def forms(self) -> None:
        """Forms that come, change and go, one that an exam has, and one that a machine does."""
        numbers = [accession_of(new_exam()) for _ in range(4)]
        for number in numbers:
            assert forms.send(self.one.http, apply_no=f"7173_{number}")[0] == 0
        assert forms.send(self.other.http, "UPDATE", f"7173_{numbers[0]}", ClinDiag="肺炎")[0] == 0
        assert forms.send(self.one.http, "DELETE", f"7173_{numbers[1]}")[0] == 0
        exam = new_exam(day=DAY)
        exam["examInfo"]["applyNo"] = numbers[2]
        self.exams.append(self.one.client().pushed(exam))
        assert forms.send(self.other.http, "DELETE", f"7173_{numbers[2]}")[0] == -88
        scheduled = Dataset()
        scheduled.AccessionNumber, scheduled.StudyInstanceUID = numbers[3], generate_uid()
        step = Dataset()
        step.PerformedProcedureStepStatus = "IN PROGRESS"
        step.PerformedStationAETitle = "SINK"
        step.PerformedProcedureStepStartDate, step.PerformedProcedureStepStartTime = "20260704", "101500"
        step.PerformedProcedureStepID, step.Modality = "1", "CT"
        step.ScheduledStepAttributesSequence = [scheduled]
        sop_class = ModalityPerformedProcedureStep
        with associate(self.other.dicom, [build_context(sop_class)], "SINK") as association:
            assert association.send_n_create(step, sop_class, generate_uid())[0].Status == 0x0000

    def happens(self, folder: Path) -> None:
        self.forms()
        self.exams_and_images()
        self.corrections()
        self.held()
        self.declarations()
        self.trial()
        self.care(folder)


def answers(node: Archive, exams: list[dict]) -> dict[str, object]:
    """What readers are told, by question."""
    reader = node.client("demo-reader")

    def asked(operation: str, **about: object) -> object:
        answer = reader.post(operation, about)
        assert answer.http == 200, answer
        return answer.body

    told: dict[str, object] = {"reconcile": reader.reconcile(DAY)}
    for hospital in (COUNTY, TOWN, STUDY_ONLY, HOLD, TEST_MODE):
        told[f"query {hospital}"] = asked(
            "exam/query", hospitalCode=hospital, **{"from": DAY, "to": DAY}, includeWithdrawn=True, pageSize=200
        )
    for exam in exams:
        number = {"hospitalCode": exam["hospitalCode"], "examNo": exam["examNo"]}
        for operation in ("exam/detail", "exam/history"):
            told[f"{operation} {named(exam)}"] = asked(operation, **number)
        if "imageList" in exam:
            told |= found(node, exam)
    for kind in ("study-conflict", "number-reuse", "identity-doubt", "further-version", "legal-hold"):
        told[kind] = command(node, "findings", kind)
    told["forms"] = command(node, "forms", "list", COUNTY, "--from", "2026-07-01", "--to", "2026-07-31")
    return told


def found(node: Archive, exam: dict) -> dict[str, object]:
    """An exam's study by each of its keys, with its series and instances."""
    study = study_of(exam)
    rest = {"PatientName": "", "PatientSex": "", "StudyDate": "", "NumberOfStudyRelatedInstances": "", "ModalitiesInStudy": ""}
    told: dict[str, object] = {}
    for key, value in (("StudyInstanceUID", study), ("AccessionNumber", accession_of(exam)), ("PatientID", patient_id_of(exam))):
        keys = {"StudyInstanceUID": "", "AccessionNumber": "", "PatientID": "", **rest, key: value}
        told[f"{key} {value}"] = sorted(map(str, find(node.dicom, query("STUDY", **keys))))
    for match in find(node.dicom, query("SERIES", StudyInstanceUID=study, SeriesInstanceUID="", SeriesNumber="")):
        series = match.SeriesInstanceUID
        keys = {"StudyInstanceUID": study, "SeriesInstanceUID": series, "SOPInstanceUID": "", "InstanceNumber": ""}
        told[f"series {series}"] = sorted(map(str, find(node.dicom, query("IMAGE", **keys))))
    return told


def assert_same(one: Archive, other: Archive, exams: list[dict], sink: int) -> None:
    """Equal digests at the same position, equal answers, and the same bytes of every study."""
    assert same_views([one, other])
    # Where one is of this release and the other is not, it is `one` that may say less.
    before, now = answers(one, exams), answers(other, exams)
    differing = [question for question, told in before.items() if not tells(now.get(question), told)]
    assert not differing and set(now) == set(before), [(it, before[it], now.get(it)) for it in differing]
    studies = {study_of(exam) for exam in exams if "imageList" in exam}
    with Destination(sink) as destination:

        def received(node: Archive, study: str) -> tuple[int, dict[str, bytes]]:
            last, _ = netdicom.move(node.dicom, "SINK", query("STUDY", StudyInstanceUID=study))[-1]
            return last.Status, {uid: raw.data for uid, raw in destination.take().items()}

        sent = {study: received(one, study) for study in studies}
        assert sent == {study: received(other, study) for study in studies}
    # Nearly all of them are shown, each with its images
    assert sum(status == 0 and len(data) > 0 for status, data in sent.values()) > len(studies) / 2


# Kinds of events that the release before would stop at.
NEW_KINDS = ("index-asked", "index-exported", "index-answered")


def uses_what_is_new(node: Archive, scratch: Path) -> None:
    """Asks for national imaging indexes of a hospital, for its clinic page, and for indexes of before: all are refused."""
    hospital = f'[[hospital]]\ncode = "{COUNTY}"\nname = "示例县医院"\nprefix = "7173"\n'
    files = [scratch / "credit.toml", scratch / "clinic.toml"]
    for file, new in zip(files, ('credit_code = "123502004266007916"', 'clinic = { addresses = ["10.35.0.0/16"] }'), strict=True):
        file.write_text(f"{hospital}{new}\n", encoding="utf-8")
    place = ("--config", node.home / "yingku.toml", "--data", node.data, "--log", node.log)
    asked = [("registry", "import", file) for file in files]
    for words in (*asked, ("index", "form", "--from", DAY, "--to", DAY)):
        refused = node.command(*words, *place, check=False)
        assert refused.returncode != 0 and "activate-rules" in refused.stderr, refused


def test_two_releases_side_by_side_show_the_same(pair: tuple[Archive, Archive], sink: int, tmp_path: Path) -> None:
    # Given a node of each release, which tell each other what they are
    before, this = pair
    assert len(set(releases(this))) == 2 == len(releases(this))
    # When everything that both know happens, each step at one of them and the next at the other
    histories = [History(before, this), History(this, before)]
    for history in histories:
        history.happens(tmp_path)
    kinds = command(this, "log", "tail", "--from", "0")
    for kind in ("apply-form-received", "procedure-step-reported", "instances-refused", "correction-made", "test-data-purged", "images-deleted", "instances-moved"):
        assert kind in kinds, kind
    # and somebody asks this release for what only later rules know
    uses_what_is_new(this, tmp_path)
    # Then nothing of that is in the log, their views are equal, and so is what they answer
    kinds = command(before, "log", "tail", "--from", "0")
    assert not [kind for kind in NEW_KINDS if kind in kinds]
    exams = [exam for history in histories for exam in history.exams]
    assert_same(before, this, exams, sink)

    # And the views that one has made are the other's: after an upgrade, and after the way back
    program = before.program
    for old, new in ((before, None), (this, program)):
        assert old.stop() == 0
        old.program = new
        old.start()
        assert same_views([before, this])
    assert len(set(releases(before))) == 2
    assert_same(this, before, exams, sink)
    for node in (before, this):
        command(node, "rebuild")  # which fails where new views differ from the old
    assert same_views([before, this])


def test_rules_are_activated_once_every_node_has_this_release(
    pair: tuple[Archive, Archive], rules_to_activate: int, sink: int
) -> None:
    before, this = pair
    history = History(before, this)
    history.exams_and_images()
    in_force, _ = rules(this)

    # Given a node of the release before, running or stopped for a moment: nothing is activated
    number = number_of(before)
    for running in (True, False):
        refused = activate(this, check=False)
        assert refused.returncode == 1 and f"(node) {number}: " in refused.stderr, refused
        assert f"--gone {number}" in refused.stderr and rules(this) == (in_force, rules_to_activate)
        if running:
            assert before.stop() == 0
    mistaken = activate(this, "--gone", "7", check=False)
    assert mistaken.returncode == 1 and "--gone" in mistaken.stderr, mistaken

    # When it is started with this release, on the same data
    program, before.program = before.program, None
    before.start()
    assert same_views([before, this])
    # then they are, at both nodes at once, and a second time does no harm
    assert f"{in_force} → {rules_to_activate}" in activate(before).stdout
    assert rules(this)[0] == rules_to_activate
    end = digest(this)
    assert "is in force already" in activate(this).stdout
    history.exams_and_images()
    assert digest(this)[0] > end[0]
    assert_same(before, this, history.exams, sink)
    # and what came before them is found as well as what came after
    numbers = {exam["examNo"] for exam in history.exams}
    for node in (before, this):
        found = all_found_at(node)
        reach(lambda: numbers <= found(), found)

    # And there is no way back
    assert before.stop() == 0
    before.program = program
    with pytest.raises(AssertionError, match=f"rules version {rules_to_activate} is activated"):
        before.start()


def test_a_node_that_was_wrongly_said_to_be_gone_stops_until_it_has_this_release(
    pair: tuple[Archive, Archive], rules_to_activate: int, sink: int
) -> None:
    before, this = pair
    history = History(this, before)
    history.exams_and_images()
    assert f"→ {rules_to_activate}" in activate(this, "--gone", str(number_of(before))).stdout
    reach(lambda: not before.readiness()["ready"], before.log_tail)
    assert "rules version" in before.readiness()["stopped"]
    # What it took is in the log; nothing more is decided there
    exam = this.client().pushed(new_exam(day=DAY))
    netdicom.stored(this.dicom, images(exam))

    assert before.stop() == 0
    before.program = None
    before.start()
    assert_same(before, this, [*history.exams, exam], sink)


def test_activating_what_is_in_force_does_no_harm(fresh_archive: Callable[..., Archive]) -> None:
    # A new archive begins with the rules of the release that made it
    archive = fresh_archive()
    before = archive.command("digest", "--data", archive.data).stdout
    said = archive.command("activate-rules", "--data", archive.data).stdout
    assert "is in force already" in said
    assert archive.command("digest", "--data", archive.data).stdout == before


def activate(node: Archive, *more: str, check: bool = True):
    place = ("--config", node.home / "yingku.toml", "--data", node.data, "--log", node.log)
    return node.command("activate-rules", *more, *place, check=check)
