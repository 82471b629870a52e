//! Seeded random histories: few exams and studies, so that everything meets everything.

#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use std::collections::VecDeque;

use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use rand::{Rng, SeedableRng};
use serde_json::{Value, json};
use yingku_core::contract::push::{ExamPushedBody, Flags};
use yingku_core::correction::{CorrectionAction, CorrectionMade, ReuseRuling};
use yingku_core::event::{
    DeclaredRow, DetailDeclared, DetailRow, Event, HoldExpired, InstancesRefused, RULES_VERSION,
    RegistryChanged, RulesActivated, StatisticsDeclared,
};
use yingku_core::ids::{
    AeTitle, ExamKey, ExamNo, HospitalCode, PackId, Position, SeriesUid, SopInstanceUid, StudyKey,
    StudyUid, Uid,
};
use yingku_core::instance::{
    ImageFacts, InstancesStored, PatientFacts, SeriesFacts, SeriesGroup, StoredInstance, StudyFacts,
};
use yingku_core::refusal::{RefusalReason, RefusedInstances};
use yingku_core::registry::RegistryChange;

const HOSPITALS: [&str; 3] = ["350006", "350007", "350008"];
const CLASSES: [&str; 5] = ["CT", "DR", "CR", "磁共振", "骨密度"];
const DATES: [&str; 3] = ["2026-07-03", "2026-07-04", "2026-07-05"];
const CT: &str = "1.2.840.10008.5.1.4.1.1.2";
const SR: &str = "1.2.840.10008.5.1.4.1.1.88.11";

/// Makes one history.
pub struct Generator {
    random: StdRng,
    events: Vec<(String, Event)>,
    offset: u64,
    /// Pushes that name another person than their exam's number is of.
    suspects: Vec<Position>,
    /// Instances that came with other bytes than the usual.
    versions: Vec<(StudyKey, SopInstanceUid)>,
    /// What follows, soon.
    next: VecDeque<Step>,
}

enum Step {
    Event(Box<Event>),
    /// Takes the last ruling on a study back.
    Unrule(StudyUid),
}

fn hospital(code: &str, mode: &str) -> RegistryChange {
    let json = json!({"code": code, "name": format!("医院{code}"), "mode": mode, "hold_days": 3});
    RegistryChange::PutHospital(serde_json::from_value(json).unwrap())
}

fn registered(changes: Vec<RegistryChange>) -> Event {
    Event::RegistryChanged(RegistryChanged { changes })
}

fn correction(action: CorrectionAction) -> Event {
    Event::CorrectionMade(CorrectionMade {
        action,
        reason: "示例".to_owned(),
        author: "tester".to_owned(),
    })
}

/// Person of an exam: two exams of a hospital are one person's.
fn person(exam: u32) -> (String, String) {
    (format!("S{}", exam / 2), format!("王{}", exam / 2))
}

impl Generator {
    pub fn history(seed: u64, length: usize) -> Vec<(String, Event)> {
        let rules = Event::RulesActivated(RulesActivated {
            rules: RULES_VERSION,
        });
        Self::history_after(vec![("node:0".to_owned(), rules)], seed, length)
    }

    /// One that goes on from events that were there before.
    pub fn history_after(
        events: Vec<(String, Event)>,
        seed: u64,
        length: usize,
    ) -> Vec<(String, Event)> {
        let mut generator = Self {
            random: StdRng::seed_from_u64(seed),
            events,
            offset: 0,
            suspects: Vec::new(),
            versions: Vec::new(),
            next: VecDeque::new(),
        };
        generator.events.push((
            "operator:o".to_owned(),
            registered(vec![
                hospital(HOSPITALS[0], "live"),
                hospital(HOSPITALS[1], "live"),
                hospital(HOSPITALS[2], "test"),
            ]),
        ));
        while generator.events.len() < length {
            if generator.next.is_empty() && generator.random.gen_bool(0.02) {
                generator.dispute();
            }
            let next = match generator.random.gen_bool(0.3) {
                true => generator.next.pop_front(),
                false => None,
            };
            if let Some(step) = next {
                let event = generator.step(step);
                generator.events.push(("operator:o".to_owned(), event));
                continue;
            }
            let event = match generator.random.gen_range(0..100) {
                0..=40 => generator.push(),
                41..=68 => generator.instances(),
                69..=71 => generator.declaration(),
                72..=74 => generator.detail(),
                75..=79 => generator.refusal(),
                80..=96 => generator.correction(),
                97..=98 => generator.expiry(),
                _ if generator.random.gen_bool(0.1) => {
                    registered(vec![hospital(HOSPITALS[2], "live")])
                }
                _ => generator.push(),
            };
            let app = generator.random.gen_bool(0.5);
            let actor = if app { "app:demo-pacs" } else { "operator:o" };
            generator.events.push((actor.to_owned(), event));
            // At least once: some records come again, at once or much later.
            if generator.random.gen_bool(0.1) {
                let known = generator.events.len();
                let again = generator.random.gen_range(0..known);
                let again = generator.events[again].clone();
                if !matches!(
                    again.1,
                    Event::CorrectionMade(_) | Event::RegistryChanged(_)
                ) {
                    generator.events.push(again);
                }
            }
        }
        generator.events
    }

    fn pick<'a>(&mut self, from: &[&'a str]) -> &'a str {
        from.choose(&mut self.random).unwrap()
    }

    fn hospital(&mut self) -> &'static str {
        self.pick(&HOSPITALS)
    }

    fn exam(&mut self) -> u32 {
        self.random.gen_range(0..14)
    }

    /// Mostly the exam's own study, at times one that others have too.
    fn study(&mut self, hospital: &str, exam: u32) -> String {
        match self.random.gen_range(0..10) {
            0 => format!("1.2.9.{}", self.random.gen_range(0..4)),
            1..=2 => format!("1.2.{hospital}.8.{}", exam / 2),
            3 => format!("1.2.{hospital}.7.{}", self.random.gen_range(0..14)),
            _ => format!("1.2.{hospital}.7.{exam}"),
        }
    }

    /// Two persons claim a study, images of both come, it is ruled the second's and images of both come again, and that
    /// is undone, or the second gives it up.
    fn dispute(&mut self) {
        let (hospital, first) = (self.pick(&HOSPITALS[..2]), self.exam());
        let (other, second) = (self.pick(&HOSPITALS[..2]), (first + 2) % 14);
        let uid = format!("1.2.{hospital}.6.{}", self.random.gen_range(0..3));
        let study = StudyUid::new(&uid).unwrap();
        let images = |it: &mut Self, hospital, exam| {
            let group = it.group_of(hospital, exam, &uid);
            it.stored(vec![group])
        };
        let mut events = Vec::new();
        for (hospital, exam) in [(hospital, first), (other, second)] {
            let image = json!({"studyUID": uid, "imageCount": "2"});
            events.push(self.push_of(hospital, exam, exam, vec![image]));
            events.push(images(self, hospital, exam));
        }
        let exam = ExamKey {
            hospital: HospitalCode::new(other).unwrap(),
            exam_no: ExamNo::new(format!("E{second}")).unwrap(),
            generation: 0,
        };
        events.push(correction(CorrectionAction::RuleConflict {
            study: study.clone(),
            exam: exam.clone(),
        }));
        events.push(images(self, other, second));
        events.push(images(self, hospital, first));
        let events = events.into_iter().map(|event| Step::Event(Box::new(event)));
        self.next.extend(events);
        self.next.push_back(match self.random.gen_bool(0.7) {
            true => Step::Unrule(study),
            false => {
                let released = CorrectionAction::ReleaseUid { study, exam };
                Step::Event(Box::new(correction(released)))
            }
        });
    }

    fn step(&mut self, step: Step) -> Event {
        let study = match step {
            Step::Event(event) => return *event,
            Step::Unrule(study) => study,
        };
        let is_ruling = |(_, event): &(String, Event)| {
            matches!(event, Event::CorrectionMade(CorrectionMade {
                action: CorrectionAction::RuleConflict { study: ruled, .. }, ..
            }) if *ruled == study)
        };
        let ruling = self.events.iter().rposition(is_ruling);
        let correction_at = Position(ruling.unwrap_or_default() as u64);
        correction(CorrectionAction::Undo {
            correction: correction_at,
        })
    }

    fn push(&mut self) -> Event {
        let hospital = if self.random.gen_bool(0.02) {
            "999999"
        } else {
            self.hospital()
        };
        let exam = self.exam();
        let of = match self.random.gen_bool(0.08) {
            true => self.exam(),
            false => exam,
        };
        if of / 2 != exam / 2 {
            self.suspects.push(Position(self.events.len() as u64));
        }
        let images: Vec<_> = (0..self.random.gen_range(0..3))
            .map(|_| {
                let mut row = json!({"studyUID": self.study(hospital, exam)});
                if self.random.gen_bool(0.8) {
                    row["imageCount"] = self.random.gen_range(0..5).to_string().into();
                }
                if self.random.gen_bool(0.2) {
                    row["imageUrl"] = "http://pacs.invalid/".into();
                }
                if self.random.gen_bool(0.3) {
                    row["accessionNo"] = format!("A{exam}").into();
                }
                row
            })
            .collect();
        self.push_of(hospital, exam, of, images)
    }

    fn push_of(&mut self, hospital: &str, exam: u32, of: u32, images: Vec<Value>) -> Event {
        let (sick_id, name) = person(of);
        // A form is one person's.
        let form = format!("F{}", of / 2);
        let apply_no = self
            .pick(&[form.as_str(), form.as_str(), "0", "无"])
            .to_owned();
        let json = json!({
            "hospitalCode": hospital,
            "examNo": format!("E{exam}"),
            "patientInfo": {"sickId": sick_id, "name": name, "sex": "男"},
            "examInfo": {
                "applyNo": apply_no,
                "patientID": format!("C{exam}"),
                "examStatus": self.pick(&["50", "60", "65", "70", "70", "70"]),
                "examTime": format!("{} 08:00:00", self.pick(&DATES)),
                "examClass": self.pick(&CLASSES),
            },
            "imageList": images,
        });
        let json = serde_json::to_vec(&json).unwrap();
        let mut digest = [0; 16];
        digest.copy_from_slice(&blake3::hash(&json).as_bytes()[..16]);
        let (mut flags, mut warnings) = (Flags::default(), Vec::new());
        if digest[0] < 16 {
            flags.insert(Flags::LENGTH);
            let warning = json!({"path": "examInfo.device", "rule": "length"});
            warnings.push(serde_json::from_value(warning).unwrap());
        }
        Event::ExamPushed(ExamPushedBody {
            digest,
            flags,
            warnings,
            json: json.into(),
        })
    }

    fn instances(&mut self) -> Event {
        let groups = (0..self.random.gen_range(1..4))
            .map(|_| self.group())
            .collect();
        self.stored(groups)
    }

    fn stored(&self, groups: Vec<SeriesGroup>) -> Event {
        let stored = InstancesStored {
            facts_version: 1,
            pack: PackId::new(0, 1),
            groups,
        };
        match self.offset.is_multiple_of(10_000) {
            true => Event::InstancesReplaced(stored),
            false => Event::InstancesStored(stored),
        }
    }

    fn group(&mut self) -> SeriesGroup {
        let (code, exam) = (self.hospital(), self.exam());
        let study = self.study(code, exam);
        self.group_of(code, exam, &study)
    }

    fn group_of(&mut self, code: &str, exam: u32, study: &str) -> SeriesGroup {
        let series = self.random.gen_range(0..3u32);
        let patient = if self.random.gen_bool(0.9) {
            exam
        } else {
            self.exam()
        };
        let (_, name) = person(if self.random.gen_bool(0.9) {
            exam
        } else {
            self.exam()
        });
        let instances = (0..self.random.gen_range(1..4))
            .map(|_| {
                let number = self.random.gen_range(0..4u32);
                // A document now and then; other bytes under a known UID now and then.
                let class = if number == 3 && series == 2 { SR } else { CT };
                let bytes = u8::from(self.random.gen_bool(0.1));
                self.offset += 1_000;
                let sop_instance =
                    SopInstanceUid::new(format!("{study}.{series}.{number}")).unwrap();
                if bytes > 0 {
                    let hospital = HospitalCode::new(code).unwrap();
                    let study = StudyKey::new(hospital, StudyUid::new(study).unwrap());
                    self.versions.push((study, sop_instance.clone()));
                }
                StoredInstance {
                    image: ImageFacts {
                        sop_instance,
                        sop_class: Uid::new(class).unwrap(),
                        transfer_syntax: Uid::new("1.2.840.10008.1.2.1").unwrap(),
                        number: number.to_string(),
                        rows: 512,
                        columns: 512,
                        bits_allocated: 16,
                        frames: if number == 2 { 3 + u32::from(bytes) } else { 1 },
                    },
                    offset: self.offset,
                    length: 1_000,
                    digest: [bytes; 16],
                }
            })
            .collect();
        SeriesGroup {
            hospital: HospitalCode::new(code).unwrap(),
            sender: AeTitle::new(self.pick(&["PACS1", "PACS2"])).unwrap(),
            study_uid: StudyUid::new(study).unwrap(),
            series_uid: SeriesUid::new(format!("{study}.{series}")).unwrap(),
            patient: PatientFacts {
                name,
                id: format!("C{patient}"),
                ..PatientFacts::default()
            },
            study: StudyFacts {
                date: self.pick(&["20260703", "20260704", "20260705"]).to_owned(),
                accession_no: format!("A{patient}"),
                ..StudyFacts::default()
            },
            series: SeriesFacts {
                modality: self.pick(&["CT", "DX", "MR"]).to_owned(),
                number: series.to_string(),
                ..SeriesFacts::default()
            },
            instances,
        }
    }

    fn declaration(&mut self) -> Event {
        let rows = (0..self.random.gen_range(1..3))
            .map(|_| DeclaredRow {
                hospital_code: HospitalCode::new(self.hospital()).unwrap(),
                exam_date: self.pick(&DATES).to_owned(),
                exam_class: self.pick(&CLASSES).to_owned(),
                accord_count: self.random.gen_range(0..6),
            })
            .collect();
        Event::StatisticsDeclared(StatisticsDeclared { rows })
    }

    /// What a hospital tells of some exams of a day, now and then with its eyes shut.
    fn detail(&mut self) -> Event {
        let (hospital, date) = (self.hospital(), self.pick(&DATES));
        let rows = (0..self.random.gen_range(1..6))
            .map(|_| {
                let exam = self.exam();
                let told = |some: bool, text: &str| match some {
                    true => text.to_owned(),
                    false => String::new(),
                };
                let study = self.study(hospital, exam);
                DetailRow {
                    hospital_code: HospitalCode::new(hospital).unwrap(),
                    exam_date: date.to_owned(),
                    exam_class: self.pick(&CLASSES).to_owned(),
                    exam_no: ExamNo::new(format!("E{exam}")).unwrap(),
                    apply_no: told(self.random.gen_bool(0.2), "F1"),
                    study_uid: told(self.random.gen_bool(0.5), &study),
                    image_count: self
                        .random
                        .gen_bool(0.5)
                        .then(|| self.random.gen_range(0..5)),
                }
            })
            .collect();
        Event::DetailDeclared(DetailDeclared { rows })
    }

    fn refusal(&mut self) -> Event {
        let known = self.random.gen_bool(0.8);
        let code = HospitalCode::new(self.hospital()).unwrap();
        let row = RefusedInstances {
            hospital: known.then_some(code),
            sender: AeTitle::new("PACS1").unwrap(),
            study_uid: None,
            date: self.pick(&DATES).to_owned(),
            class: self.pick(&["CT", "DX", ""]).to_owned(),
            reason: RefusalReason::Unregistered,
            count: self.random.gen_range(1..5),
        };
        Event::InstancesRefused(InstancesRefused { refused: vec![row] })
    }

    fn correction(&mut self) -> Event {
        let (code, number) = (self.hospital(), self.exam());
        let study = StudyUid::new(self.study(code, number)).unwrap();
        let hospital = HospitalCode::new(code).unwrap();
        let exam = ExamKey {
            hospital: hospital.clone(),
            exam_no: ExamNo::new(format!("E{number}")).unwrap(),
            generation: 0,
        };
        let study_of = |study| StudyKey::new(hospital.clone(), study);
        correction(match self.random.gen_range(0..20) {
            0..=2 => CorrectionAction::WithdrawExam { exam },
            3..=4 => CorrectionAction::ReleaseUid { study, exam },
            5..=7 => {
                let sop = |n: u32| SopInstanceUid::new(format!("{study}.{}.{}", n / 3, n % 3));
                let instances = (0..self.random.gen_range(0..6))
                    .map(|n| sop(n).unwrap())
                    .collect();
                CorrectionAction::HideInstances {
                    study: study_of(study),
                    instances,
                }
            }
            8..=10 => CorrectionAction::MoveStudy {
                study: study_of(study),
                to: self.exam_key(),
            },
            11..=13 => CorrectionAction::RuleConflict {
                // Of those that all hospitals claim.
                study: StudyUid::new(format!("1.2.9.{}", self.random.gen_range(0..4))).unwrap(),
                exam,
            },
            15..=16 => {
                let bytes = u8::from(self.random.gen_bool(0.6));
                if self.random.gen_bool(0.3) {
                    let correction_at = Position(self.events.len() as u64);
                    let undo = correction(CorrectionAction::Undo {
                        correction: correction_at,
                    });
                    self.next.push_back(Step::Event(Box::new(undo)));
                }
                let Some((study, instance)) = self.versions.choose(&mut self.random) else {
                    return self.correction();
                };
                CorrectionAction::ChooseVersion {
                    study: study.clone(),
                    instance: instance.clone(),
                    digest: format!("{:032x}", u128::from_be_bytes([bytes; 16])),
                }
            }
            14 => CorrectionAction::RuleReuse {
                refused: self.suspects.last().copied().unwrap_or_default(),
                ruling: ReuseRuling::Correction,
            },
            _ => self.undo(),
        })
    }

    fn exam_key(&mut self) -> ExamKey {
        ExamKey {
            hospital: HospitalCode::new(self.hospital()).unwrap(),
            exam_no: ExamNo::new(format!("E{}", self.exam())).unwrap(),
            generation: 0,
        }
    }

    /// Of a correction made before, mostly of one of the last.
    fn undo(&mut self) -> CorrectionAction {
        let made = self.events.iter().enumerate().rev();
        let corrections = made.filter_map(|(at, (_, event))| match event {
            Event::CorrectionMade(CorrectionMade { action, .. })
                if !matches!(action, CorrectionAction::Undo { .. }) =>
            {
                Some(Position(at as u64))
            }
            _ => None,
        });
        let among = if self.random.gen_bool(0.7) { 4 } else { 40 };
        let corrections: Vec<Position> = corrections.take(among).collect();
        let correction = corrections.choose(&mut self.random).copied();
        CorrectionAction::Undo {
            correction: correction.unwrap_or(Position(0)),
        }
    }

    fn expiry(&mut self) -> Event {
        let (code, exam) = (self.hospital(), self.exam());
        Event::HoldExpired(HoldExpired {
            study: StudyUid::new(self.study(code, exam)).unwrap(),
            hospital: HospitalCode::new(code).unwrap(),
            up_to: Position(self.random.gen_range(0..self.events.len() as u64)),
            epoch: None,
        })
    }
}
