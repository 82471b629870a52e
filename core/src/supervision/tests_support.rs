//! Exams in few words, for tests of the tallies.
#![allow(clippy::unwrap_used)]

use super::group::Seen;
use super::{SupervisedContent, SupervisedKey, SupervisedRow, part_of};
use crate::identity::{PersonKey, persons};
use crate::ids::{ExamNo, HospitalCode};
use crate::time::{LocalDateTime, Zone};

#[derive(Clone)]
pub struct Exam {
    key: SupervisedKey,
    row: SupervisedRow,
}

const MINUTE_MS: i64 = 60_000;

impl Exam {
    /// A counted CT with a confirmed report, at 8:00 of 4 July, pushed when it was made.
    pub fn new(hospital: &str, exam_no: &str) -> Self {
        let key = SupervisedKey {
            hospital: HospitalCode::new(hospital).unwrap(),
            date: String::new(),
            exam_no: ExamNo::new(exam_no).unwrap(),
            generation: 0,
        };
        let row = SupervisedRow {
            counted: true,
            backfilled: false,
            reported: true,
            has_form: false,
            class: "CT".to_owned(),
            examined: None,
            applied: None,
            pushed_ms: 0,
            images_ms: 0,
            confirmed_ms: 0,
            content: Some(SupervisedContent::default()),
        };
        Self { key, row }.at("2026-07-04 08:00:00").pushed(0)
    }

    pub fn seen(&self) -> Seen<'_> {
        Seen {
            key: &self.key,
            class: &self.row.class,
            row: &self.row,
        }
    }

    fn change(mut self, change: impl FnOnce(&mut SupervisedRow)) -> Self {
        change(&mut self.row);
        self
    }

    fn tell(self, tell: impl FnOnce(&mut SupervisedContent)) -> Self {
        self.change(|row| tell(row.content.as_mut().unwrap()))
    }

    pub fn at(mut self, time: &str) -> Self {
        self.key.date = time.get(..10).unwrap().to_owned();
        self.row.examined = Some(LocalDateTime::parse(time).unwrap());
        self
    }

    pub fn at_hour(self, hour: u8) -> Self {
        self.at(&format!("2026-07-04 {hour:02}:00:00")).pushed(0)
    }

    fn after(&self, minutes: i64) -> i64 {
        self.row.examined.unwrap().unix_ms(&Zone::utc()) + minutes * MINUTE_MS
    }

    /// Minutes after the exam, here and below.
    pub fn pushed(self, minutes: i64) -> Self {
        let at = self.after(minutes);
        self.change(|row| row.pushed_ms = at)
    }

    pub fn images(self, minutes: i64) -> Self {
        let at = self.after(minutes);
        self.change(|row| row.images_ms = at)
    }

    pub fn confirmed(self, minutes: i64) -> Self {
        let at = self.after(minutes);
        self.change(|row| row.confirmed_ms = at)
    }

    pub fn applied(self, minutes: i64) -> Self {
        let at = LocalDateTime::from_unix_ms(self.after(minutes), &Zone::utc());
        self.change(|row| row.applied = at)
    }

    pub fn backfilled(self) -> Self {
        self.change(|row| row.backfilled = true)
    }

    pub fn unreported(self) -> Self {
        self.change(|row| row.reported = false)
    }

    pub fn withdrawn(self) -> Self {
        self.change(|row| row.counted = false)
    }

    /// Its content came before the rules that keep what is asked.
    pub fn of_before(self) -> Self {
        self.change(|row| row.content = None)
    }

    pub fn class(self, class: &str) -> Self {
        self.change(|row| row.class = class.to_owned())
    }

    pub fn positive(self, flag: Option<bool>) -> Self {
        self.tell(|content| content.positive = flag)
    }

    pub fn device(self, device: &str) -> Self {
        self.tell(|content| content.device = device.to_owned())
    }

    /// Affirmed by somebody at an hour of its day.
    pub fn affirmed(self, who: &str, hour: Option<u8>) -> Self {
        let date = self.row.examined.unwrap().date();
        self.tell(|content| {
            content.affirmer = who.to_owned();
            content.affirmed = hour.map(|hour| LocalDateTime::new(date, hour, 0, 0).unwrap());
        })
    }

    /// By passport numbers.
    pub fn of_person(self, numbers: &[&str]) -> Self {
        let numbers = numbers.iter().map(|number| ("4", *number));
        let keys: Vec<PersonKey> = persons(numbers, []);
        self.tell(|content| content.persons = keys)
    }

    pub fn born(self, birth: u32, sex: u8) -> Self {
        self.tell(|content| (content.birth, content.sex) = (birth, sex))
    }

    pub fn parts(self, parts: &[&str]) -> Self {
        let parts = parts.iter().map(|part| part_of(part)).collect();
        self.tell(|content| content.parts = parts)
    }
}
