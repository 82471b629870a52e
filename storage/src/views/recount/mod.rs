//! A second, naive reading of the log: plain lists, walked whole for every question. What reconciliation answers from
//! the views must equal what this counts from the records.

#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

mod content;
mod corrections;
mod images;
mod ownership;
mod tally;

use std::collections::{BTreeMap, BTreeSet, HashMap};

use serde_json::Value;
use yingku_core::contract::push::ExamPushedBody;
use yingku_core::event::{DetailRow, Event};
use yingku_core::instance::is_image_class;
use yingku_core::registry::{HospitalMode, Registry};

use content::{Content, content, text};
use corrections::Correction;
pub use corrections::HAPPENINGS;
use ownership::Ruling;
pub use tally::{COUNTS, Tally, tally_of};

use crate::projector::Decoded;

type ExamNumber = (String, String);

#[derive(Clone)]
struct Exam {
    now: Content,
    /// The record that brought it.
    position: u64,
    digest: [u8; 16],
    last_digest: [u8; 16],
    confirmed_ms: i64,
    /// Withdrawals in force, and whether by an operator.
    withdrawn: BTreeMap<u64, bool>,
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
    /// Corrections that hide it.
    hidden: BTreeSet<u64>,
    /// It came to another's images under a ruling, for this exam and person.
    guest: Option<(ExamNumber, String)>,
    /// The exam whose an operator ruled it to be.
    mark: Option<ExamNumber>,
    /// Somebody has ruled on which of its versions is seen.
    ruled: bool,
    /// 0 is the row that is seen, others are set aside.
    lot: u16,
    /// Exam and person for whom the row was taken in.
    taken_for: Option<(ExamNumber, String)>,
}

#[derive(Default)]
pub struct Recount {
    registry: Registry,
    exams: BTreeMap<ExamNumber, Exam>,
    /// (study, exam) → since when the exam, which is not withdrawn, declares the study.
    claims: BTreeMap<(String, ExamNumber), u64>,
    /// Corrections of whose a study is that are not undone, oldest first.
    rulings: HashMap<String, Vec<(u64, Ruling)>>,
    shown: Vec<Image>,
    held: Vec<Image>,
    declared: Vec<Declared>,
    /// Every line of a list, with the list's position.
    details: Vec<(u64, DetailRow)>,
    refused: Vec<((String, String, String), u32)>,
    corrections: HashMap<u64, Correction>,
    /// Each push once, however often it was sent.
    reuse: BTreeMap<(ExamNumber, [u8; 16]), u64>,
    /// Pushes that were refused as reuse, by position.
    /// Of [`HAPPENINGS`], what took effect.
    pub happened: BTreeSet<&'static str>,
    refused_pushes: HashMap<u64, (ExamNumber, [u8; 16], Content)>,
}

struct Declared {
    hospital: String,
    date: String,
    class: String,
    count: u32,
    position: u64,
    time_ms: i64,
    test: bool,
}

impl Recount {
    fn is_test(&self, hospital: &str) -> bool {
        let mut hospitals = self.registry.hospitals.values();
        hospitals.any(|h| h.code.as_str() == hospital && h.mode == HospitalMode::Test)
    }

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
            Event::ExamPushed(body) => self.push(position, time_ms, body),
            Event::StatisticsDeclared(body) => {
                for row in &body.rows {
                    let hospital = row.hospital_code.as_str().to_owned();
                    let (date, class) = (row.exam_date.clone(), row.exam_class.clone());
                    let test = self.is_test(&hospital);
                    self.declared.retain(|d| {
                        (&d.hospital, &d.date, &d.class, d.test) != (&hospital, &date, &class, test)
                    });
                    self.declared.push(Declared {
                        hospital,
                        date,
                        class,
                        count: row.accord_count,
                        position,
                        time_ms,
                        test,
                    });
                }
            }
            Event::DetailDeclared(body) => {
                for row in &body.rows {
                    if !self.is_test(row.hospital_code.as_str()) {
                        self.details.push((position, row.clone()));
                    }
                }
            }
            Event::InstancesRefused(body) => {
                for row in &body.refused {
                    let hospital = row.hospital.as_ref().map_or("", |code| code.as_str());
                    let key = (hospital.to_owned(), row.date.clone(), row.class.clone());
                    self.refused.push((key, row.count));
                }
            }
            Event::InstancesStored(body) | Event::InstancesReplaced(body) => {
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
                            hidden: BTreeSet::new(),
                            guest: None,
                            mark: None,
                            ruled: false,
                            lot: 0,
                            taken_for: None,
                        });
                    }
                }
            }
            Event::HoldExpired(body) => self.held.retain(|image| {
                image.study != body.study.as_str()
                    || image.hospital != body.hospital.as_str()
                    || image.position > body.up_to.0
            }),
            Event::CorrectionMade(body) => {
                self.correct(position, time_ms, &record.actor, &body.action);
            }
            _ => {}
        }
        self.align_all();
        self.adopt();
    }

    fn push(&mut self, position: u64, time_ms: i64, body: &ExamPushedBody) {
        let json: Value = serde_json::from_slice(&body.json).unwrap();
        let digest = body.digest;
        let number = (text(&json, "/hospitalCode"), text(&json, "/examNo"));
        let hospitals = self.registry.hospitals.values();
        let Some(hospital) = hospitals.into_iter().find(|h| h.code.as_str() == number.0) else {
            return;
        };
        let now = content(&json, !body.warnings.is_empty());
        let mode = hospital.mode;
        let is_final = now.status == 70;
        let ruled_on = self.is_ruled_on(&number);
        let Some(exam) = self.exams.get_mut(&number) else {
            let exam = Exam {
                position,
                digest,
                last_digest: digest,
                confirmed_ms: if is_final { time_ms } else { 0 },
                withdrawn: BTreeMap::new(),
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
        if mode == HospitalMode::Test && !exam.test {
            return;
        }
        let shares = now
            .studies
            .iter()
            .any(|s| exam.now.studies.iter().any(|o| o.uid == s.uid));
        let is_begun = exam.now.studies.is_empty() && exam.confirmed_ms == 0;
        let is_other = now.sick_id != exam.now.sick_id && now.name != exam.now.name;
        let is_reuse = is_other && !shares && !is_begun;
        if is_reuse && goes_live && !ruled_on {
            // As a first push.
            self.claims.retain(|(_, of), _| *of != number);
            self.exams.remove(&number);
            self.happened.insert("taken over");
            return self.push(position, time_ms, body);
        }
        if is_reuse {
            let listed = self.reuse.entry((number.clone(), digest));
            if *listed.or_insert(position) == position {
                self.refused_pushes.insert(position, (number, digest, now));
            }
            return;
        }
        let was_confirmed = exam.confirmed_ms > 0;
        if was_confirmed && now.status == 50 || exam.now.status == 70 && now.status == 60 {
            exam.last_digest = digest;
            exam.late = true;
            return;
        }
        self.next_version(position, time_ms, &number, digest, now);
    }

    /// Whether an operator gave the exam images, or ruled that they are its.
    fn is_ruled_on(&self, number: &ExamNumber) -> bool {
        let exam = self.exams.get(number).into_iter();
        let studies = exam.flat_map(|exam| &exam.now.studies);
        let mut declared = studies.map(|study| self.ruled(&study.uid).0);
        declared.any(|ruled| ruled == Some(number))
            || self
                .rulings
                .keys()
                .any(|uid| self.ruled(uid).1 == Some(number))
    }

    fn next_version(
        &mut self,
        position: u64,
        time_ms: i64,
        number: &ExamNumber,
        digest: [u8; 16],
        now: Content,
    ) {
        let hospitals = self.registry.hospitals.values();
        let mut hospitals = hospitals.into_iter();
        let mode = hospitals
            .find(|h| h.code.as_str() == number.0)
            .unwrap()
            .mode;
        let exam = self.exams.get_mut(number).unwrap();
        exam.last_digest = digest;
        let is_final = now.status == 70;
        let before = std::mem::replace(&mut exam.now, now);
        if exam.now.studies.is_empty() {
            // It tells nothing of images: its studies are what they were, with no count.
            exam.now.studies = before.studies;
            for study in &mut exam.now.studies {
                (study.count, study.linked) = (None, false);
            }
        }
        exam.position = position;
        exam.digest = digest;
        exam.late = false;
        exam.test &= mode == HospitalMode::Test;
        exam.withdrawn.retain(|_, by_operator| *by_operator);
        if is_final && exam.confirmed_ms == 0 {
            exam.confirmed_ms = time_ms;
        }
        self.claim(position, number);
    }

    /// Claims of an exam as its content and state have it.
    fn claim(&mut self, position: u64, number: &ExamNumber) {
        let exam = &self.exams[number];
        let studies = exam.now.studies.iter();
        let wanted: BTreeSet<String> = match exam.withdrawn.is_empty() {
            true => studies.map(|study| study.uid.clone()).collect(),
            false => BTreeSet::new(),
        };
        self.claims
            .retain(|(uid, of), _| of != number || wanted.contains(uid));
        for uid in wanted {
            let key = (uid, number.clone());
            self.claims.entry(key).or_insert(position);
        }
    }
}
