//! The rules one by one, on a state of maps.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet, HashMap};

use serde_json::{Value, json};

use super::{Context, decide};
use crate::apply_form::ApplyFormRow;
use crate::contract::push::{ExamPushedBody, Flags};
use crate::correction::{CorrectionAction, CorrectionMade, CorrectionRow, ReuseRuling};
use crate::event::{Event, PackLost, RULES_VERSION, RULINGS_SINCE_RULES, SignUsed, TestDataPurged};
use crate::exam::{
    ExamFlag, ExamHistory, ExamRow, ExamStep, FormRow, RegisteredRow, ReportState, WithdrawnBy,
};
use crate::finding::{FindingKey, FindingKind, FindingRow};
use crate::identity::PersonKey;
use crate::ids::{
    AeTitle, ExamKey, ExamNo, FormKey, HisId, HospitalCode, PackId, Position, SeriesUid,
    SopInstanceUid, StudyKey, StudyUid, Uid,
};
use crate::instance::{
    Chunk, HeldGroup, HeldGroupKey, HeldInstance, HeldStudy, ImageFacts, InstanceKey,
    InstancesStored, PackRow, PatientFacts, Place, SeriesFacts, SeriesGroup, StoredInstance,
    StudyClaims, StudyFacts, StudyRow,
};
use crate::national_index::{IndexHolders, IndexRow, NationalIndex};
use crate::notice::{NoticeId, NoticeRow, Told};
use crate::outcome::{Outcome, PushStep};
use crate::performed::StepRow;
use crate::pull::PullRow;
use crate::registry::{HospitalMode, Registry};
use crate::state::{ChunkKey, State, StateError};
use crate::statistics::{DayKey, DeclarationRow};
use crate::supervision::{SupervisedKey, SupervisedRow};

type Read<T> = Result<Option<T>, StateError>;

#[derive(Default)]
struct House {
    registry: Registry,
    exams: HashMap<ExamKey, ExamRow>,
    forms: HashMap<FormKey, FormRow>,
    claims: HashMap<StudyUid, StudyClaims>,
    studies: HashMap<StudyKey, StudyRow>,
    chunks: HashMap<ChunkKey, Chunk>,
    places: HashMap<InstanceKey, Place>,
    packs: HashMap<PackId, PackRow>,
    held: HashMap<StudyUid, HeldStudy>,
    held_groups: HashMap<HeldGroupKey, HeldGroup>,
    held_instances: HashMap<HeldInstance, u32>,
    /// Rows of instances that the rules have read.
    read: Cell<usize>,
    declarations: HashMap<DayKey, DeclarationRow>,
    /// Lines that records have written in exams' histories.
    history: Vec<ExamHistory>,
    findings: HashMap<FindingKey, FindingRow>,
    corrections: HashMap<Position, CorrectionRow>,
    refused_pushes: HashMap<Position, Vec<u8>>,
    signs: HashMap<[u8; 16], i64>,
    apply_forms: HashMap<FormKey, ApplyFormRow>,
    notices: HashMap<(HisId, NoticeId), NoticeRow>,
    told: HashMap<ExamKey, Told>,
    steps: HashMap<SopInstanceUid, StepRow>,
    pulls: HashMap<StudyKey, PullRow>,
    registered: HashMap<ExamKey, RegisteredRow>,
    supervised: BTreeMap<SupervisedKey, SupervisedRow>,
    patient_keys: BTreeSet<(PersonKey, ExamKey)>,
    indexes: HashMap<ExamKey, IndexRow>,
    index_holders: HashMap<NationalIndex, IndexHolders>,
    next: u64,
}

impl State for House {
    fn registry(&self) -> &Registry {
        &self.registry
    }
    fn exam(&self, key: &ExamKey) -> Read<ExamRow> {
        Ok(self.exams.get(key).cloned())
    }
    fn form(&self, key: &FormKey) -> Read<FormRow> {
        Ok(self.forms.get(key).cloned())
    }
    fn claims(&self, study: &StudyUid) -> Read<StudyClaims> {
        Ok(self.claims.get(study).cloned())
    }
    fn study(&self, key: &StudyKey) -> Read<StudyRow> {
        Ok(self.studies.get(key).cloned())
    }
    fn chunk(&self, at: &ChunkKey) -> Read<Chunk> {
        self.read.set(self.read.get() + 1);
        Ok(self.chunks.get(at).cloned())
    }
    fn pack(&self, pack: PackId) -> Read<PackRow> {
        Ok(self.packs.get(&pack).copied())
    }
    fn held(&self, study: &StudyUid) -> Read<HeldStudy> {
        Ok(self.held.get(study).copied())
    }
    fn held_group(&self, at: &HeldGroupKey) -> Read<HeldGroup> {
        self.read.set(self.read.get() + 1);
        Ok(self.held_groups.get(at).cloned())
    }
    fn held_in(&self, instance: &HeldInstance) -> Read<u32> {
        Ok(self.held_instances.get(instance).copied())
    }
    fn place(&self, at: &InstanceKey) -> Read<Place> {
        Ok(self.places.get(at).copied())
    }
    fn declaration(&self, day: &DayKey) -> Read<DeclarationRow> {
        Ok(self.declarations.get(day).cloned())
    }
    fn finding(&self, key: &FindingKey) -> Read<FindingRow> {
        Ok(self.findings.get(key).cloned())
    }
    fn correction(&self, position: Position) -> Read<CorrectionRow> {
        Ok(self.corrections.get(&position).cloned())
    }
    fn refused_push(&self, position: Position) -> Read<Vec<u8>> {
        Ok(self.refused_pushes.get(&position).cloned())
    }
    fn sign(&self, digest: &[u8; 16]) -> Read<i64> {
        Ok(self.signs.get(digest).copied())
    }
    fn apply_form(&self, key: &FormKey) -> Read<ApplyFormRow> {
        Ok(self.apply_forms.get(key).cloned())
    }
    fn notice(&self, his: &HisId, id: NoticeId) -> Read<NoticeRow> {
        Ok(self.notices.get(&(his.clone(), id)).cloned())
    }
    fn told(&self, exam: &ExamKey) -> Read<Told> {
        Ok(self.told.get(exam).copied())
    }
    fn step(&self, step: &SopInstanceUid) -> Read<StepRow> {
        Ok(self.steps.get(step).cloned())
    }
    fn pull(&self, study: &StudyKey) -> Read<PullRow> {
        Ok(self.pulls.get(study).cloned())
    }
    fn registered(&self, exam: &ExamKey) -> Read<RegisteredRow> {
        Ok(self.registered.get(exam).cloned())
    }
    fn supervised(&self, key: &SupervisedKey) -> Read<SupervisedRow> {
        Ok(self.supervised.get(key).cloned())
    }
    fn index(&self, exam: &ExamKey) -> Read<IndexRow> {
        Ok(self.indexes.get(exam).cloned())
    }
    fn index_holders(&self, index: &NationalIndex) -> Read<IndexHolders> {
        Ok(self.index_holders.get(index).cloned())
    }
}

/// Applies changes whose `None` removes.
fn merge<K: std::hash::Hash + Eq, V>(
    map: &mut HashMap<K, V>,
    changes: impl IntoIterator<Item = (K, Option<V>)>,
) {
    for (key, value) in changes {
        match value {
            Some(value) => map.insert(key, value),
            None => map.remove(&key),
        };
    }
}

impl House {
    /// Two live hospitals that hold what does not match.
    fn new() -> Self {
        let mut house = Self::default();
        house.registry.rules = RULES_VERSION;
        for code in ["350006", "350007"] {
            house.put_hospital(code, HospitalMode::Live);
        }
        house
    }

    fn put_hospital(&mut self, code: &str, mode: HospitalMode) {
        let json = json!({"code": code, "name": "示例医院", "mode": mode, "hold_days": 3});
        let entry: crate::registry::Hospital = serde_json::from_value(json).unwrap();
        self.registry.hospitals.insert(entry.code.clone(), entry);
    }

    fn take(&mut self, actor: &str, event: Event) -> Outcome {
        self.take_at(1_000 + self.next as i64, actor, event)
    }

    fn take_at(&mut self, time_ms: i64, actor: &str, event: Event) -> Outcome {
        let context = Context {
            position: Position(self.next),
            time_ms,
            actor,
        };
        let (outcome, changes) = decide(self, context, &event).unwrap();
        merge(
            &mut self.exams,
            changes.exams.into_iter().map(|(k, r)| (k, r.after)),
        );
        merge(
            &mut self.claims,
            changes.claims.into_iter().map(|(k, v)| (k, Some(v))),
        );
        merge(
            &mut self.studies,
            changes.studies.into_iter().map(|(k, r)| (k, r.after)),
        );
        merge(&mut self.chunks, changes.chunks);
        merge(&mut self.places, changes.places);
        self.packs.extend(changes.packs);
        let held = changes.held.into_iter();
        merge(
            &mut self.held,
            held.map(|(k, v)| (k, (v.instances > 0).then_some(v))),
        );
        merge(&mut self.registered, changes.registered);
        for (key, row) in changes.supervised {
            match row {
                Some(row) => self.supervised.insert(key, row),
                None => self.supervised.remove(&key),
            };
        }
        for (line, is_there) in changes.patient_keys {
            match is_there {
                true => assert!(self.patient_keys.insert(line)),
                false => assert!(self.patient_keys.remove(&line)),
            }
        }
        let indexes = changes.indexes.into_iter();
        merge(&mut self.indexes, indexes.map(|(k, r)| (k, r.after)));
        self.index_holders.extend(changes.index_holders);
        merge(&mut self.held_groups, changes.held_groups);
        merge(&mut self.held_instances, changes.held_instances);
        self.forms.extend(changes.forms);
        self.declarations.extend(changes.declarations);
        self.history.extend(changes.history);
        merge(&mut self.findings, changes.findings);
        merge(
            &mut self.corrections,
            changes.corrections.into_iter().map(|(k, v)| (k, Some(v))),
        );
        merge(&mut self.refused_pushes, changes.refused_pushes);
        merge(&mut self.signs, changes.signs);
        let apply_forms = changes.apply_forms.into_iter();
        merge(
            &mut self.apply_forms,
            apply_forms.map(|(k, r)| (k, r.after)),
        );
        let notices = changes.notices.into_iter();
        merge(&mut self.notices, notices.map(|(k, r)| (k, r.after)));
        self.told.extend(changes.told);
        self.steps.extend(changes.steps);
        let pulls = changes.pulls.into_iter();
        merge(&mut self.pulls, pulls.map(|(k, r)| (k, r.after)));
        for change in changes.registry {
            self.registry.apply(change);
        }
        if let Some(node) = changes.node {
            self.registry.nodes.insert(node.number, node);
        }
        self.registry.leases.extend(changes.lease);
        self.next += 1;
        outcome
    }

    fn push(&mut self, push: &Push) -> Outcome {
        self.take("app:demo-pacs", push.event())
    }

    fn correct(&mut self, action: CorrectionAction) -> (Outcome, Position) {
        self.correct_as("operator:o", action)
    }

    fn correct_as(&mut self, actor: &str, action: CorrectionAction) -> (Outcome, Position) {
        let position = Position(self.next);
        let (reason, author) = ("示例".to_owned(), "tester".to_owned());
        let made = CorrectionMade {
            action,
            reason,
            author,
        };
        (self.take(actor, Event::CorrectionMade(made)), position)
    }

    fn undo(&mut self, correction: Position) -> Outcome {
        self.correct(CorrectionAction::Undo { correction }).0
    }

    fn row(&self, hospital: &str, exam_no: &str) -> &ExamRow {
        &self.exams[&key(hospital, exam_no, 0)]
    }

    fn store(&mut self, images: &Images<'_>) {
        assert_eq!(self.take("ae:PACS", images.event()), Outcome::Done);
    }

    /// Visible instances of a study at a hospital.
    fn shown(&self, hospital: &str, study: &str) -> u32 {
        let key = StudyKey::new(code(hospital), uid(study));
        self.studies
            .get(&key)
            .map_or(0, StudyRow::visible_instances)
    }

    /// Held instances of a study.
    fn held(&self, study: &str) -> u32 {
        self.held.get(&uid(study)).map_or(0, |held| held.instances)
    }

    /// Rows of instances that the rules read for these.
    fn rows_read_for(&mut self, images: &Images<'_>) -> usize {
        self.read.set(0);
        self.store(images);
        self.read.get()
    }

    fn listed(&self, kind: FindingKind) -> usize {
        self.findings.keys().filter(|key| key.kind == kind).count()
    }
}

fn code(code: &str) -> HospitalCode {
    HospitalCode::new(code).unwrap()
}

fn uid(text: &str) -> StudyUid {
    StudyUid::new(text).unwrap()
}

fn key(hospital: &str, exam_no: &str, generation: u16) -> ExamKey {
    ExamKey {
        hospital: code(hospital),
        exam_no: ExamNo::new(exam_no).unwrap(),
        generation,
    }
}

/// A push in few words.
#[derive(Clone)]
struct Push(Value);

impl Push {
    fn new(hospital: &str, exam_no: &str, person: &str, status: u8, study: &str) -> Self {
        Self(json!({
            "hospitalCode": hospital,
            "examNo": exam_no,
            "patientInfo": {"sickId": format!("S-{person}"), "name": person},
            "examInfo": {
                "applyNo": format!("F-{person}"),
                "patientID": format!("C-{exam_no}"),
                "examStatus": status.to_string(),
                "examTime": "2026-07-04 08:00:00",
                "examClass": "CT",
            },
            "imageList": [{"studyUID": study, "imageCount": "1"}],
        }))
    }

    fn with(&self, path: &str, value: &str) -> Self {
        let mut json = self.0.clone();
        let (parent, field) = path.rsplit_once('/').unwrap();
        json.pointer_mut(parent).unwrap()[field] = value.into();
        Self(json)
    }

    fn without(&self, field: &str) -> Self {
        let mut json = self.0.clone();
        json.as_object_mut().unwrap().remove(field);
        Self(json)
    }

    fn status(&self, status: u8) -> Self {
        self.with("/examInfo/examStatus", &status.to_string())
    }

    fn event(&self) -> Event {
        let json = serde_json::to_vec(&self.0).unwrap();
        let mut digest = [0; 16];
        digest.copy_from_slice(&blake3::hash(&json).as_bytes()[..16]);
        Event::ExamPushed(ExamPushedBody {
            digest,
            flags: Flags::default(),
            warnings: Vec::new(),
            json: json.into(),
        })
    }
}

/// Instances of one series.
struct Images<'a> {
    study: &'a str,
    patient_id: &'a str,
    name: &'a str,
    sops: std::ops::Range<u32>,
    bytes: u8,
}

impl<'a> Images<'a> {
    fn new(study: &'a str, patient_id: &'a str, sops: std::ops::Range<u32>) -> Self {
        Self {
            study,
            patient_id,
            name: "",
            sops,
            bytes: 0,
        }
    }

    fn event(&self) -> Event {
        let instances = self.sops.clone().map(|number| StoredInstance {
            image: ImageFacts {
                sop_instance: SopInstanceUid::new(format!("{}.1.{number}", self.study)).unwrap(),
                sop_class: Uid::new("1.2.840.10008.5.1.4.1.1.2").unwrap(),
                transfer_syntax: Uid::new("1.2.840.10008.1.2.1").unwrap(),
                number: number.to_string(),
                rows: 512,
                columns: 512,
                bits_allocated: 16,
                frames: 1,
            },
            offset: u64::from(number),
            length: 10,
            digest: [self.bytes; 16],
        });
        let group = SeriesGroup {
            hospital: code("350006"),
            sender: AeTitle::new("PACS").unwrap(),
            study_uid: uid(self.study),
            series_uid: SeriesUid::new(format!("{}.1", self.study)).unwrap(),
            patient: PatientFacts {
                name: self.name.to_owned(),
                id: self.patient_id.to_owned(),
                ..PatientFacts::default()
            },
            study: StudyFacts::default(),
            series: SeriesFacts {
                number: "1".to_owned(),
                ..SeriesFacts::default()
            },
            instances: instances.collect(),
        };
        let pack = PackId::new(0, 1);
        Event::InstancesStored(InstancesStored {
            facts_version: 1,
            pack,
            groups: vec![group],
        })
    }
}

fn purge(exams: Vec<ExamKey>) -> Event {
    Event::TestDataPurged(TestDataPurged {
        exams,
        ..TestDataPurged::default()
    })
}

fn step(outcome: &Outcome) -> PushStep {
    match outcome {
        Outcome::Push(push) => push.step,
        other => panic!("not a push: {other:?}"),
    }
}

fn rule(outcome: &Outcome) -> &str {
    match outcome {
        Outcome::Refused(refusal) => &refusal.rule,
        other => panic!("not refused: {other:?}"),
    }
}

mod compacted;
mod corrections;
mod declarations;
mod deleted;
mod forms;
mod generations;
mod images;
mod national_index;
mod nodes;
mod notices;
mod performed;
mod persons;
mod pulls;
mod pushes;
mod registered;
mod rulings;
mod supervision;
mod versions;

#[test]
fn a_sign_works_once_within_its_time() {
    let mut house = House::new();
    let sign = || {
        Event::SignUsed(SignUsed {
            digest: "0a".repeat(16),
            expires_ms: 1_001,
            forget: Vec::new(),
        })
    };
    assert_eq!(house.take("app:a", sign()), Outcome::Done);
    assert_eq!(rule(&house.take("app:a", sign())), "sign-used");
    // Past its window the time itself refuses it, so the mark may go.
    assert_eq!(house.take("app:a", sign()), Outcome::Done);
}

#[test]
fn a_purge_takes_test_exams_with_their_images_and_lists_and_no_others() {
    // Given a test exam with images of somebody else, and a live one
    let mut house = House::new();
    house.put_hospital("350007", HospitalMode::Test);
    house.push(&Push::new("350007", "T1", "王一", 70, "1.2.7"));
    house.push(&Push::new("350006", "E1", "王二", 70, "1.2.6"));
    house.store(&Images {
        name: "张三",
        ..Images::new("1.2.7", "C-T1", 0..2)
    });
    house.store(&Images::new("1.2.6", "C-E1", 0..2));
    assert_eq!(house.listed(FindingKind::IdentityDoubt), 1);
    // When both are named for the purge
    let exams = vec![key("350007", "T1", 0), key("350006", "E1", 0)];
    house.take("operator:o", purge(exams));
    // Then only the test exam is gone
    assert!(!house.exams.contains_key(&key("350007", "T1", 0)));
    assert_eq!((house.shown("350007", "1.2.7"), house.chunks.len()), (0, 1));
    assert_eq!(house.listed(FindingKind::IdentityDoubt), 0);
    assert_eq!(house.shown("350006", "1.2.6"), 2);
}

#[test]
fn a_ruling_for_a_trials_exam_ends_with_its_purge() {
    // Given a trial's exam and a live one under one study UID, which an operator ruled to be the trial's
    let mut house = House::new();
    house.put_hospital("350007", HospitalMode::Test);
    house.push(&Push::new("350007", "T1", "测试", 70, "1.2.7"));
    house.push(&Push::new("350006", "E1", "王二", 70, "1.2.7"));
    let rule_for = |hospital, exam| CorrectionAction::RuleConflict {
        study: uid("1.2.7"),
        exam: key(hospital, exam, 0),
    };
    house.correct(rule_for("350007", "T1"));
    let (_, second) = house.correct(rule_for("350006", "E1"));
    house.correct(rule_for("350007", "T1"));
    // When the trial's is purged
    house.take("operator:o", purge(vec![key("350007", "T1", 0)]));
    // Then the study is the live exam's
    assert_eq!(house.claims[&uid("1.2.7")].ruled_for, None);
    house.store(&Images::new("1.2.7", "C-E1", 0..2));
    assert_eq!(house.shown("350006", "1.2.7"), 2);
    // And no undoing brings the ruling for it back
    house.undo(second);
    assert_eq!(house.claims[&uid("1.2.7")].ruled_for, None);
}
