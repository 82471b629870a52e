//! Repeat examinations 重复检查: the same patient, class and body part within some days at another hospital.
//!
//! A patient is known by documents and cards only, and never where sex or birth date say otherwise. An exam is a repeat once,
//! of the nearest one before it.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::group::Seen;
use crate::identity::PersonKey;
use crate::time::LocalDate;

/// Days between two exams at most.
pub const DAYS_LIMIT: u32 = 90;

/// Exams that one question keeps in memory at most: some 200 bytes each.
pub const EXAMS_LIMIT: usize = 2_000_000;

/// Exams with one number at most: what more have is no patient's.
pub const EXAMS_OF_ONE_LIMIT: usize = 200;

/// Pairs of exam numbers that each line names.
pub const EXAMPLES: usize = 5;

/// Two hospitals and a class.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct PairKey {
    pub first: String,
    /// Where it was done again.
    pub second: String,
    pub class: String,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Pair {
    pub repeats: u32,
    /// Numbers of the exam before and of the repeat; [`EXAMPLES`] at most.
    pub examples: Vec<(String, String)>,
}

/// The answer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Repeats {
    /// Counted exams of the days asked for.
    pub exams: u32,
    pub repeats: u32,
    /// Of the exams those that no document or card tells the patient of, and those that tell no part: they are compared with none.
    pub unknown_person: u32,
    pub unknown_part: u32,
    /// Came before rules version 7: compared with none.
    pub unknown: u32,
    /// Numbers that more exams have than one patient's would.
    pub shared_numbers: u32,
    pub pairs: Vec<(PairKey, Pair)>,
}

struct Kept {
    exam_no: Box<str>,
    hospital: u32,
    class: u32,
    /// By which it is in the order of time: day, then second of it.
    at: (u32, u32),
    /// Days since some day.
    day: i64,
    parts: Box<[u32]>,
    sex: u8,
    birth: u32,
    /// It is of the days asked for, and at a hospital asked about.
    asked: bool,
}

/// Texts by number: an archive has few hospitals, classes and parts.
#[derive(Default)]
struct Names(HashMap<String, u32>, Vec<String>);

impl Names {
    fn of(&mut self, name: &str) -> u32 {
        if let Some(number) = self.0.get(name) {
            return *number;
        }
        let number = u32::try_from(self.1.len()).unwrap_or(u32::MAX);
        self.1.push(name.to_owned());
        self.0.insert(name.to_owned(), number);
        number
    }

    fn name(&self, number: u32) -> String {
        self.1.get(number as usize).cloned().unwrap_or_default()
    }
}

/// Adds up exams, in any order.
pub struct Tally {
    days: u32,
    names: Names,
    exams: Vec<Kept>,
    persons: HashMap<PersonKey, Vec<u32>>,
    answer: Repeats,
}

impl Tally {
    /// `days`: between two exams at most.
    pub fn new(days: u32) -> Self {
        Self {
            days,
            names: Names::default(),
            exams: Vec::new(),
            persons: HashMap::new(),
            answer: Repeats::default(),
        }
    }

    /// `asked`: whether it may be a repeat; others are what it may be one of. False: there are too many.
    pub fn add(&mut self, seen: Seen<'_>, asked: bool) -> bool {
        if !seen.row.counted {
            return true;
        }
        let more = |count: &mut u32| *count = count.saturating_add(u32::from(asked));
        more(&mut self.answer.exams);
        let Some(content) = &seen.row.content else {
            more(&mut self.answer.unknown);
            return true;
        };
        if content.persons.is_empty() {
            more(&mut self.answer.unknown_person);
            return true;
        }
        let Some(examined) = seen.row.examined.filter(|_| !content.parts.is_empty()) else {
            more(&mut self.answer.unknown_part);
            return true;
        };
        let (hour, minute, second) = examined.time();
        let second = u32::from(hour) * 3_600 + u32::from(minute) * 60 + u32::from(second);
        let number = u32::try_from(self.exams.len()).unwrap_or(u32::MAX);
        let parts = content.parts.iter().map(|part| self.names.of(part));
        let parts = parts.collect();
        self.exams.push(Kept {
            exam_no: seen.key.exam_no.as_str().into(),
            hospital: self.names.of(seen.key.hospital.as_str()),
            class: self.names.of(seen.class),
            at: (examined.date().number(), second),
            day: days_of(examined.date()),
            parts,
            sex: content.sex,
            birth: content.birth,
            asked,
        });
        for person in &content.persons {
            self.persons.entry(*person).or_default().push(number);
        }
        self.exams.len() <= EXAMS_LIMIT
    }

    pub fn finish(mut self) -> Repeats {
        let mut nearest: HashMap<u32, u32> = HashMap::new();
        for numbers in self.persons.values() {
            if numbers.len() > EXAMS_OF_ONE_LIMIT {
                self.answer.shared_numbers = self.answer.shared_numbers.saturating_add(1);
                continue;
            }
            for later in numbers.iter().filter(|number| self.is_asked(**number)) {
                for earlier in numbers {
                    if self.is_repeat(*earlier, *later)
                        && nearest
                            .get(later)
                            .is_none_or(|known| self.at(*known) < self.at(*earlier))
                    {
                        nearest.insert(*later, *earlier);
                    }
                }
            }
        }
        let mut pairs: BTreeMap<PairKey, Pair> = BTreeMap::new();
        let mut repeats: Vec<(u32, u32)> = nearest.into_iter().collect();
        repeats.sort_unstable_by_key(|(later, _)| (self.at(*later), *later));
        let count = u32::try_from(repeats.len()).unwrap_or(u32::MAX);
        for (later, earlier) in repeats {
            let (Some(first), Some(second)) = (self.exam(earlier), self.exam(later)) else {
                continue;
            };
            let pair = pairs.entry(PairKey {
                first: self.names.name(first.hospital),
                second: self.names.name(second.hospital),
                class: self.names.name(second.class),
            });
            let pair = pair.or_default();
            pair.repeats = pair.repeats.saturating_add(1);
            if pair.examples.len() < EXAMPLES {
                let numbers = (first.exam_no.to_string(), second.exam_no.to_string());
                pair.examples.push(numbers);
            }
        }
        self.answer.repeats = count;
        self.answer.pairs = pairs.into_iter().collect();
        self.answer
    }

    fn exam(&self, number: u32) -> Option<&Kept> {
        self.exams.get(number as usize)
    }

    fn is_asked(&self, number: u32) -> bool {
        self.exam(number).is_some_and(|exam| exam.asked)
    }

    /// In the order of time; of one moment by hospital and number, so that the answer is one.
    fn at(&self, number: u32) -> Option<((u32, u32), String, &str)> {
        let exam = self.exam(number)?;
        Some((exam.at, self.names.name(exam.hospital), &exam.exam_no))
    }

    fn is_repeat(&self, earlier: u32, later: u32) -> bool {
        let (Some(first), Some(second)) = (self.exam(earlier), self.exam(later)) else {
            return false;
        };
        let differs = |a: u32, b: u32| a != 0 && b != 0 && a != b;
        let is_other_person =
            differs(first.sex.into(), second.sex.into()) || differs(first.birth, second.birth);
        let parts: HashSet<&u32> = first.parts.iter().collect();
        first.hospital != second.hospital
            && first.class == second.class
            && self.at(earlier) < self.at(later)
            && second.day - first.day <= i64::from(self.days)
            && !is_other_person
            && second.parts.iter().any(|part| parts.contains(part))
    }
}

/// Days of the calendar since the year 0 (Howard Hinnant's days from civil).
fn days_of(date: LocalDate) -> i64 {
    let (month, day) = (i64::from(date.month()), i64::from(date.day()));
    let year = i64::from(date.year()) - i64::from(month <= 2);
    let era = year.div_euclid(400);
    let of_era = year.rem_euclid(400);
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year
}

#[cfg(test)]
mod tests {
    use super::super::tests_support::Exam;
    use super::*;

    fn exam(hospital: &str, number: &str, day: &str) -> Exam {
        let at = format!("{day} 08:00:00");
        Exam::new(hospital, number)
            .at(&at)
            .of_person(&["E12983745"])
            .parts(&["胸部"])
    }

    fn answer(days: u32, exams: &[(Exam, bool)]) -> Repeats {
        let mut tally = Tally::new(days);
        for (exam, asked) in exams {
            assert!(tally.add(exam.seen(), *asked));
        }
        tally.finish()
    }

    #[test]
    fn days_are_those_of_the_calendar() {
        let day = |text: &str| LocalDate::parse(text).map(days_of).unwrap_or_default();
        assert_eq!(day("2024-03-01") - day("2024-02-28"), 2);
        assert_eq!(day("2026-01-01") - day("2025-01-01"), 365);
        assert_eq!(day("2026-03-01") - day("2026-02-28"), 1);
    }

    #[test]
    fn an_exam_is_a_repeat_of_the_nearest_one_before_it_at_another_hospital() {
        // Given a CT of the thorax on 1 June at A, on 28 June at A, on 4 July at B, and again at B
        let exams = [
            (exam("A", "A1", "2026-06-01"), false),
            (exam("A", "A2", "2026-06-28"), false),
            (exam("B", "B1", "2026-07-04"), true),
            (exam("B", "B2", "2026-07-05"), true),
        ];
        let found = answer(14, &exams);
        // Then both of B are repeats of that of 28 June
        let key = PairKey {
            first: "A".into(),
            second: "B".into(),
            class: "CT".into(),
        };
        let pair = Pair {
            repeats: 2,
            examples: vec![("A2".into(), "B1".into()), ("A2".into(), "B2".into())],
        };
        assert_eq!((found.exams, found.repeats), (2, 2));
        assert_eq!(found.pairs, [(key, pair)]);
        // Within five days there is none
        assert_eq!(answer(5, &exams).repeats, 0);
        assert_eq!(answer(6, &exams).repeats, 1);
    }

    #[test]
    fn another_part_class_person_or_hospital_is_no_repeat() {
        let first = exam("A", "A1", "2026-07-01");
        let repeats = |second: Exam| answer(30, &[(first.clone(), true), (second, true)]).repeats;
        let second = || exam("B", "B1", "2026-07-04");
        assert_eq!(repeats(second()), 1);
        assert_eq!(repeats(second().parts(&["腹部", "胸部"])), 1);
        for other in [
            second().parts(&["腹部"]),
            second().parts(&[]),
            second().class("MR"),
            second().of_person(&["E99983745"]),
            second().withdrawn(),
            second().of_before(),
            exam("A", "B1", "2026-07-04"),
            exam("B", "B1", "2026-06-30")
                .unreported()
                .at("2026-08-30 08:00:00"),
        ] {
            assert_eq!(repeats(other), 0);
        }
    }

    #[test]
    fn who_differs_in_sex_or_birth_is_not_joined_and_two_numbers_join_once() {
        let first = exam("A", "A1", "2026-07-01").of_person(&["E12983745", "F12983745"]);
        let repeats = |first: &Exam, second: Exam| {
            answer(30, &[(first.clone(), true), (second, true)]).repeats
        };
        let second = || exam("B", "B1", "2026-07-04").of_person(&["E12983745", "F12983745"]);
        assert_eq!(repeats(&first, second()), 1);
        let known = first.born(19_800_101, 1);
        assert_eq!(repeats(&known, second()), 1);
        assert_eq!(repeats(&known, second().born(19_800_101, 1)), 1);
        assert_eq!(repeats(&known, second().born(19_800_102, 1)), 0);
        assert_eq!(repeats(&known, second().born(19_800_101, 2)), 0);
    }

    #[test]
    fn a_number_that_many_exams_have_joins_none() {
        let of_day = |number: usize| (exam("A", &format!("A{number}"), "2026-07-01"), true);
        let mut exams: Vec<(Exam, bool)> = (0..EXAMS_OF_ONE_LIMIT).map(of_day).collect();
        exams.push((exam("B", "B1", "2026-07-04"), true));
        let found = answer(30, &exams);
        assert_eq!((found.repeats, found.shared_numbers), (0, 1));
    }
}
