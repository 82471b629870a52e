//! A second, naive reading of the log: plain lists, walked whole for every question. What reconciliation answers from
//! the views must equal what this counts from the records.

#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use serde_json::Value;
use yingku_core::correction::CorrectionAction;
use yingku_core::dictionaries::canonical_class;
use yingku_core::event::{DetailRow, Event};
use yingku_core::instance::is_image_class;
use yingku_core::reconcile::Reconciliation;
use yingku_core::registry::{HospitalMode, Registry};

use crate::projector::Decoded;

/// Names of [`Tally`]'s numbers.
pub const COUNTS: [&str; 20] = [
    "declared",
    "registered",
    "confirmed",
    "complete",
    "partly",
    "missing",
    "noneDeclared",
    "linked",
    "refused",
    "held",
    "identityDoubts",
    "conflicts",
    "late",
    "placeholder",
    "withdrawn",
    "test",
    "deficit",
    "surplus",
    "suspectedReuse",
    "detailDiffers",
];

/// Numbers by hospital, date and class; a cell of zeros is no cell.
pub type Tally = BTreeMap<(String, String, String), [i64; 20]>;

/// The same numbers of an answer.
pub fn tally_of(answer: &Reconciliation) -> Tally {
    let cells = answer.cells.iter().map(|cell| {
        let c = &cell.counts;
        let some = |number: Option<u32>| number.map_or(0, i64::from);
        let key = (
            cell.hospital_code.clone(),
            cell.date.clone(),
            cell.class.clone(),
        );
        let images = &c.images;
        let counts = [
            some(c.declared),
            c.registered.into(),
            c.confirmed.into(),
            images.complete.into(),
            images.partly.into(),
            images.missing.into(),
            images.none_declared.into(),
            images.linked.into(),
            c.refused.into(),
            c.held.into(),
            c.identity_doubts.into(),
            c.conflicts.into(),
            c.late.into(),
            c.placeholder_apply_no.into(),
            c.withdrawn.into(),
            c.test_exams.into(),
            some(c.deficit),
            c.surplus.into(),
            c.suspected_reuse.into(),
            c.detail_differs.into(),
        ];
        (key, counts)
    });
    cells
        .filter(|(_, counts)| counts.iter().any(|count| *count != 0))
        .collect()
}

type ExamNumber = (String, String);

struct Study {
    uid: String,
    accession: Option<String>,
    count: Option<u32>,
    linked: bool,
}

struct Content {
    sick_id: String,
    name: String,
    patient_id: String,
    apply_no: String,
    status: u8,
    date: String,
    class: String,
    studies: Vec<Study>,
}

struct Exam {
    now: Content,
    digest: [u8; 16],
    last_digest: [u8; 16],
    confirmed_ms: i64,
    /// By an operator?
    withdrawn: Option<bool>,
    test: bool,
    late: bool,
}

#[derive(Clone)]
struct Image {
    hospital: String,
    study: String,
    sop: String,
    is_image: bool,
    in_series_zero: bool,
    frames: u32,
    digest: [u8; 16],
    patient_id: String,
    patient_name: String,
    accession: String,
    date: String,
    modality: String,
    position: u64,
    hidden: bool,
}

#[derive(Default)]
pub struct Recount {
    registry: Registry,
    exams: BTreeMap<ExamNumber, Exam>,
    /// (study, exam) → since when; only claims in force.
    claims: BTreeMap<(String, ExamNumber), u64>,
    released: HashSet<(String, ExamNumber)>,
    shown: Vec<Image>,
    held: Vec<Image>,
    declared: BTreeMap<(String, String, String), (u32, i64)>,
    /// The latest list of each hospital, day and class.
    details: BTreeMap<(String, String, String), Vec<DetailRow>>,
    refused: Vec<((String, String, String), u32)>,
    corrections: HashMap<u64, Correction>,
    /// Each push once, however often it was sent.
    reuse: BTreeSet<(ExamNumber, [u8; 16])>,
}

enum Correction {
    Withdrawn(ExamNumber, bool),
    Hidden(String, String, BTreeSet<String>),
    Other,
}

fn text(value: &Value, path: &str) -> String {
    value
        .pointer(path)
        .and_then(Value::as_str)
        .unwrap_or("")
        .to_owned()
}

fn is_placeholder(apply_no: &str) -> bool {
    matches!(apply_no, "0" | "无")
}

fn content(json: &Value) -> Content {
    let mut studies: Vec<Study> = Vec::new();
    for image in json["imageList"].as_array().into_iter().flatten() {
        let row = Study {
            uid: text(image, "/studyUID"),
            accession: Some(text(image, "/accessionNo")).filter(|text| !text.is_empty()),
            count: text(image, "/imageCount").parse().ok(),
            linked: image.get("imageUrl").is_some(),
        };
        match studies.iter_mut().find(|study| study.uid == row.uid) {
            Some(study) => {
                study.linked &= row.linked;
                study.accession = study.accession.take().or(row.accession);
                if let Some(more) = row.count {
                    study.count = Some(study.count.unwrap_or(0) + more);
                }
            }
            None => studies.push(row),
        }
    }
    Content {
        sick_id: text(json, "/patientInfo/sickId"),
        name: text(json, "/patientInfo/name"),
        patient_id: text(json, "/examInfo/patientID"),
        apply_no: text(json, "/examInfo/applyNo"),
        status: text(json, "/examInfo/examStatus").parse().unwrap(),
        date: text(json, "/examInfo/examTime")[..10].to_owned(),
        class: text(json, "/examInfo/examClass"),
        studies,
    }
}

impl Recount {
    /// Reads records in their order, those before a position.
    pub fn of<'a>(records: impl IntoIterator<Item = &'a Decoded>, before: u64) -> Self {
        let mut recount = Self::default();
        for record in records
            .into_iter()
            .filter(|record| record.position.0 < before)
        {
            recount.take(record);
        }
        recount
    }

    fn take(&mut self, record: &Decoded) {
        let (position, time_ms) = (record.position.0, record.time_ms);
        match record.event.event() {
            Event::RegistryChanged(body) => {
                for change in &body.changes {
                    self.registry.apply(change.clone());
                }
            }
            Event::ExamPushed(body) => self.push(position, time_ms, body.digest, &body.json),
            Event::StatisticsDeclared(body) => {
                for row in &body.rows {
                    let hospital = row.hospital_code.as_str().to_owned();
                    let key = (hospital, row.exam_date.clone(), row.exam_class.clone());
                    self.declared.insert(key, (row.accord_count, time_ms));
                }
            }
            Event::DetailDeclared(body) => {
                let key = |row: &DetailRow| {
                    let hospital = row.hospital_code.as_str().to_owned();
                    (hospital, row.exam_date.clone(), row.exam_class.clone())
                };
                for row in &body.rows {
                    self.details.insert(key(row), Vec::new());
                }
                for row in &body.rows {
                    self.details.entry(key(row)).or_default().push(row.clone());
                }
            }
            Event::InstancesRefused(body) => {
                for row in &body.refused {
                    let hospital = row.hospital.as_ref().map_or("", |code| code.as_str());
                    let key = (hospital.to_owned(), row.date.clone(), row.class.clone());
                    self.refused.push((key, row.count));
                }
            }
            Event::InstancesStored(body) => {
                for group in &body.groups {
                    for stored in &group.instances {
                        let date = &group.study.date;
                        self.arrive(Image {
                            hospital: group.hospital.as_str().to_owned(),
                            study: group.study_uid.as_str().to_owned(),
                            sop: stored.image.sop_instance.as_str().to_owned(),
                            is_image: is_image_class(&stored.image.sop_class),
                            in_series_zero: group.series.number == "0",
                            frames: stored.image.frames,
                            digest: stored.digest,
                            patient_id: group.patient.id.clone(),
                            patient_name: group.patient.name.clone(),
                            accession: group.study.accession_no.clone(),
                            date: format!("{}-{}-{}", &date[..4], &date[4..6], &date[6..]),
                            modality: group.series.modality.clone(),
                            position,
                            hidden: false,
                        });
                    }
                }
            }
            Event::HoldExpired(body) => self.held.retain(|image| {
                image.study != body.study.as_str()
                    || image.hospital != body.hospital.as_str()
                    || image.position > body.up_to.0
            }),
            Event::CorrectionMade(body) => self.correct(position, &record.actor, &body.action),
            _ => {}
        }
        self.adopt();
    }

    fn push(&mut self, position: u64, time_ms: i64, digest: [u8; 16], json: &[u8]) {
        let json: Value = serde_json::from_slice(json).unwrap();
        let number = (text(&json, "/hospitalCode"), text(&json, "/examNo"));
        let hospitals = self.registry.hospitals.values();
        let Some(hospital) = hospitals.into_iter().find(|h| h.code.as_str() == number.0) else {
            return;
        };
        let now = content(&json);
        let mode = hospital.mode;
        let is_final = now.status == 70;
        let Some(exam) = self.exams.get_mut(&number) else {
            let exam = Exam {
                digest,
                last_digest: digest,
                confirmed_ms: if is_final { time_ms } else { 0 },
                withdrawn: None,
                test: mode == HospitalMode::Test,
                late: false,
                now,
            };
            self.exams.insert(number.clone(), exam);
            return self.claim(position, &number);
        };
        let goes_live = exam.test && mode == HospitalMode::Live;
        if !goes_live && (digest == exam.digest || digest == exam.last_digest) {
            return;
        }
        let shares = now
            .studies
            .iter()
            .any(|s| exam.now.studies.iter().any(|o| o.uid == s.uid));
        if now.sick_id != exam.now.sick_id && now.name != exam.now.name && !shares {
            self.reuse.insert((number, digest));
            return;
        }
        exam.last_digest = digest;
        let was_confirmed = exam.confirmed_ms > 0;
        if was_confirmed && now.status == 50 || exam.now.status == 70 && now.status == 60 {
            exam.late = true;
            return;
        }
        exam.now = now;
        exam.digest = digest;
        exam.late = false;
        exam.test = mode == HospitalMode::Test;
        exam.withdrawn = exam.withdrawn.filter(|by_operator| *by_operator);
        if is_final && exam.confirmed_ms == 0 {
            exam.confirmed_ms = time_ms;
        }
        self.claim(position, &number);
    }

    /// Claims of an exam as its content and state have it.
    fn claim(&mut self, position: u64, number: &ExamNumber) {
        let exam = &self.exams[number];
        let wanted: BTreeSet<String> = match exam.withdrawn {
            None => exam
                .now
                .studies
                .iter()
                .map(|study| study.uid.clone())
                .collect(),
            Some(_) => BTreeSet::new(),
        };
        self.released
            .retain(|(uid, of)| of != number || wanted.contains(uid));
        self.claims
            .retain(|(uid, of), _| of != number || wanted.contains(uid));
        for uid in wanted {
            let key = (uid, number.clone());
            if !self.released.contains(&key) {
                self.claims.entry(key).or_insert(position);
            }
        }
    }

    fn correct(&mut self, position: u64, actor: &str, action: &CorrectionAction) {
        let made = match action {
            CorrectionAction::WithdrawExam { exam } => {
                let number = (
                    exam.hospital.as_str().to_owned(),
                    exam.exam_no.as_str().to_owned(),
                );
                let by_operator = !actor.starts_with("app:");
                match self.exams.get_mut(&number) {
                    Some(exam)
                        if exam.withdrawn != Some(true) && exam.withdrawn != Some(by_operator) =>
                    {
                        exam.withdrawn = Some(by_operator);
                    }
                    _ => return,
                }
                self.claim(position, &number);
                Correction::Withdrawn(number, by_operator)
            }
            CorrectionAction::HideInstances { study, instances } => {
                let chosen: BTreeSet<&str> = instances.iter().map(|sop| sop.as_str()).collect();
                let (hospital, uid) = (study.hospital.as_str(), study.study.as_str());
                let mut changed = BTreeSet::new();
                for image in &mut self.shown {
                    let here = image.hospital == hospital && image.study == uid;
                    let meant = chosen.is_empty() || chosen.contains(image.sop.as_str());
                    if here && meant && !image.hidden {
                        image.hidden = true;
                        changed.insert(image.sop.clone());
                    }
                }
                if changed.is_empty() {
                    return;
                }
                Correction::Hidden(hospital.to_owned(), uid.to_owned(), changed)
            }
            CorrectionAction::ReleaseUid { study, exam } => {
                let number = (
                    exam.hospital.as_str().to_owned(),
                    exam.exam_no.as_str().to_owned(),
                );
                let key = (study.as_str().to_owned(), number);
                if self.claims.remove(&key).is_none() {
                    return;
                }
                self.released.insert(key);
                Correction::Other
            }
            CorrectionAction::Undo { correction } => {
                match self.corrections.remove(&correction.0) {
                    Some(Correction::Withdrawn(number, by_operator)) => {
                        let exam = self.exams.get_mut(&number).unwrap();
                        if exam.withdrawn == Some(by_operator) {
                            exam.withdrawn = None;
                            self.claim(position, &number);
                        }
                    }
                    Some(Correction::Hidden(hospital, uid, sops)) => {
                        for image in &mut self.shown {
                            let here = image.hospital == hospital && image.study == uid;
                            if here && sops.contains(&image.sop) {
                                image.hidden = false;
                            }
                        }
                    }
                    Some(Correction::Other) => unreachable!("the generator undoes no release"),
                    None => {}
                }
                return;
            }
            _ => unreachable!("the generator makes no such correction"),
        };
        self.corrections.insert(position, made);
    }

    fn owner(&self, uid: &str) -> Option<&ExamNumber> {
        let claims = self.claims.iter().filter(|((study, _), _)| study == uid);
        claims
            .min_by_key(|(_, since)| **since)
            .map(|((_, exam), _)| exam)
    }

    fn owns(&self, number: &ExamNumber, uid: &str) -> bool {
        self.claims.contains_key(&(uid.to_owned(), number.clone()))
            && self.owner(uid).is_some_and(|owner| {
                owner.0 == number.0
                    && self.exams[owner].now.sick_id == self.exams[number].now.sick_id
            })
    }

    fn destination(&self, image: &Image) -> Option<String> {
        let owner = self.owner(&image.study)?;
        let fits = |((uid, number), _): &(&(String, ExamNumber), &u64)| {
            if *uid != image.study || !self.owns(number, uid) {
                return false;
            }
            let now = &self.exams[number].now;
            let study = now.studies.iter().find(|study| study.uid == *uid).unwrap();
            now.patient_id == image.patient_id
                && study
                    .accession
                    .as_ref()
                    .is_none_or(|no| *no == image.accession)
        };
        self.claims
            .iter()
            .any(|claim| fits(&claim))
            .then(|| owner.0.clone())
    }

    fn arrive(&mut self, image: Image) {
        let same = |other: &Image| {
            other.study == image.study && other.sop == image.sop && other.digest == image.digest
        };
        match self.destination(&image) {
            Some(hospital) => {
                if !self
                    .shown
                    .iter()
                    .any(|other| other.hospital == hospital && same(other))
                {
                    self.shown.push(Image { hospital, ..image });
                }
            }
            None => {
                if !self.held.iter().any(same) {
                    self.held.push(image);
                }
            }
        }
    }

    /// Whatever is held and fits is shown.
    fn adopt(&mut self) {
        for image in std::mem::take(&mut self.held) {
            self.arrive(image);
        }
    }

    /// How many images of a study an exam has: instances, images, their frames, images outside of series 0.
    fn images(&self, number: &ExamNumber, uid: &str) -> [u32; 4] {
        let mut seen = HashSet::new();
        let (mut instances, mut images, mut frames, mut outside) = (0, 0, 0, 0);
        if !self.owns(number, uid) {
            return [0; 4];
        }
        for image in &self.shown {
            let here = image.hospital == number.0 && image.study == uid;
            if here && seen.insert(&image.sop) && !image.hidden {
                instances += 1;
                if image.is_image {
                    images += 1;
                    frames += image.frames;
                    outside += u32::from(!image.in_series_zero);
                }
            }
        }
        [instances, images, frames, outside]
    }

    /// Of the exam's images: 3 complete, 4 partly, 5 missing, 6 none declared, 7 linked (places in [`COUNTS`]).
    fn image_state(&self, number: &ExamNumber) -> usize {
        let (mut met, mut wanted, mut some, mut linked) = (0, 0, false, false);
        for study in &self.exams[number].now.studies {
            let [instances, images, frames, _] = self.images(number, &study.uid);
            if study.linked && instances == 0 {
                linked = true;
            } else if let Some(count) = study.count.filter(|count| *count > 0) {
                wanted += 1;
                met += u32::from(images >= count || frames >= count);
                some |= images > 0;
            }
        }
        match (wanted, met) {
            (0, _) if linked => 7,
            (0, _) => 6,
            (wanted, met) if wanted == met => 3,
            _ if some => 4,
            _ => 5,
        }
    }

    /// Whether an exam is not as a line of a list tells.
    fn differs(&self, number: &ExamNumber, told: &DetailRow) -> bool {
        let now = &self.exams[number].now;
        let form_differs = told.apply_no != now.apply_no;
        if form_differs && !told.apply_no.is_empty() && !is_placeholder(&now.apply_no) {
            return true;
        }
        let any = told.study_uid.is_empty();
        let studies = now.studies.iter();
        let studies: Vec<_> = studies.filter(|s| any || s.uid == told.study_uid).collect();
        if studies.is_empty() && !any {
            return true;
        }
        let mut sums = [0; 4];
        for study in &studies {
            let counts = self.images(number, &study.uid);
            sums = std::array::from_fn(|index| sums[index] + counts[index]);
        }
        let [instances, images, frames, outside] = sums;
        let unverified = instances == 0 && studies.iter().any(|study| study.linked);
        told.image_count.is_some_and(|count| {
            count > 0 && !unverified && (images.max(frames) < count || outside > count)
        })
    }

    fn is_doubtful(&self, number: &ExamNumber) -> bool {
        let now = &self.exams[number].now;
        now.studies
            .iter()
            .filter(|study| self.owns(number, &study.uid))
            .any(|study| {
                let mut images = self.shown.iter();
                let first = images.find(|i| i.hospital == number.0 && i.study == study.uid);
                first.is_some_and(|image| image.patient_name != now.name)
            })
    }

    fn is_contested(&self, number: &ExamNumber) -> bool {
        self.exams[number].now.studies.iter().any(|study| {
            let claims = self.claims.keys().filter(|(uid, _)| *uid == study.uid);
            self.claims
                .contains_key(&(study.uid.clone(), number.clone()))
                && claims
                    .into_iter()
                    .any(|(uid, other)| !self.owns(other, uid))
        })
    }

    fn class(&self, text: &str) -> String {
        canonical_class(&self.registry.settings.class_aliases, text).code
    }

    /// The numbers; of held instances those that `end` still holds.
    pub fn tally(&self, end: &Recount) -> Tally {
        let mut tally = Tally::new();
        let mut add = |(hospital, date, class): (&str, &str, &str), count: usize, by: i64| {
            let key = (hospital.to_owned(), date.to_owned(), end.class(class));
            tally.entry(key).or_insert([0; 20])[count] += by;
        };
        let mut confirmed = Vec::new();
        for (number, exam) in &self.exams {
            let at = (
                number.0.as_str(),
                exam.now.date.as_str(),
                exam.now.class.as_str(),
            );
            if exam.test {
                add(at, 15, 1);
                continue;
            }
            if exam.withdrawn.is_some() {
                add(at, 14, 1);
                continue;
            }
            add(at, 1, 1);
            let placeholder = is_placeholder(&exam.now.apply_no);
            if exam.now.status == 70 && !placeholder {
                add(at, 2, 1);
                confirmed.push((at, exam.confirmed_ms));
            }
            add(at, self.image_state(number), 1);
            add(at, 10, i64::from(self.is_doubtful(number)));
            add(at, 11, i64::from(self.is_contested(number)));
            add(at, 12, i64::from(exam.late));
            add(at, 13, i64::from(placeholder));
        }
        for (number, _) in &self.reuse {
            let exam = &self.exams[number];
            let at = (
                number.0.as_str(),
                exam.now.date.as_str(),
                exam.now.class.as_str(),
            );
            add(at, 18, i64::from(!exam.test));
        }
        let mut named: BTreeMap<(&str, &str, &str), (&str, Vec<&DetailRow>)> = BTreeMap::new();
        for ((hospital, date, class), rows) in &self.details {
            for row in rows {
                let key = (hospital.as_str(), row.exam_no.as_str(), date.as_str());
                named.entry(key).or_insert((class, Vec::new())).1.push(row);
            }
        }
        for ((hospital, exam_no, date), (class, rows)) in named {
            let number = (hospital.to_owned(), exam_no.to_owned());
            let Some(exam) = self.exams.get(&number).filter(|exam| !exam.test) else {
                continue;
            };
            if exam.now.date != date {
                add((hospital, date, class), 19, 1);
            } else if exam.withdrawn.is_none() {
                let differs = rows.iter().any(|row| self.differs(&number, row));
                add((hospital, date, &exam.now.class), 19, i64::from(differs));
            }
        }
        for ((hospital, date, class), count) in &self.refused {
            add((hospital, date, class), 8, i64::from(*count));
        }
        for image in &self.held {
            let still = end.held.iter().any(|other| {
                (&other.study, &other.sop, other.digest, other.position)
                    == (&image.study, &image.sop, image.digest, image.position)
            });
            let at = (
                image.hospital.as_str(),
                image.date.as_str(),
                image.modality.as_str(),
            );
            add(at, 9, i64::from(still));
        }
        let mut declared: BTreeMap<(&str, &str, String), (i64, i64)> = BTreeMap::new();
        for ((hospital, date, class), (count, time_ms)) in &self.declared {
            let sum = declared
                .entry((hospital, date, end.class(class)))
                .or_insert((0, i64::MAX));
            *sum = (sum.0 + i64::from(*count), sum.1.min(*time_ms));
        }
        for ((hospital, date, class), (count, time_ms)) in declared {
            let of_cell: Vec<i64> = confirmed
                .iter()
                .filter(|((h, d, c), _)| (*h, *d) == (hospital, date) && end.class(c) == class)
                .map(|(_, confirmed_ms)| *confirmed_ms)
                .collect();
            let in_time = of_cell.iter().filter(|ms| **ms <= time_ms).count() as i64;
            let at = (hospital, date, class.as_str());
            add(at, 0, count);
            add(at, 16, (count - of_cell.len() as i64).max(0));
            add(at, 17, (in_time - count).max(0));
        }
        tally.retain(|_, counts| counts.iter().any(|count| *count != 0));
        tally
    }
}
