//! The walk: from an exam, or from a number, over the numbers of the exams that are found.
//!
//! Only exams that the reader may see join and lead on, so nothing is told of what others have. How many persons have a
//! number is counted over all of them: it says whether the number is one patient's. Every step is bounded, and an answer
//! that a bound ended says so.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::{Conflict, Person, PersonKey};
use crate::exam::ExamRow;
use crate::ids::{ExamKey, HospitalCode};

/// Exams of one patient in an answer: years of a patient who comes every week.
pub const EXAMS_LIMIT: usize = 500;
/// Exams under one number that are looked at: what more have is no patient's.
pub const LINES_LIMIT: usize = 500;
/// Persons who may have one number, by a slip or as a family's card; a number that more have joins nobody.
pub const PERSONS_LIMIT: usize = 3;
/// Numbers that are followed for one answer: some of each hospital.
pub const KEYS_LIMIT: usize = 64;
/// Numbers one behind the other: further away nobody would follow by hand.
pub const HOPS_LIMIT: u8 = 4;
/// Exams that are named as not joined.
pub const VETOED_LIMIT: usize = 50;

/// What joins exams.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum JoinKey {
    /// A document's or a card's number, over all hospitals.
    Person(PersonKey),
    /// 院内患者id, within its hospital and one numbering of that.
    Patient {
        hospital: HospitalCode,
        generation: u16,
        sick_id: String,
    },
}

impl std::fmt::Debug for JoinKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Person(_) => f.write_str("Person"),
            Self::Patient { hospital, .. } => write!(f, "Patient of {hospital}"),
        }
    }
}

/// An exam that counts (neither withdrawn, nor a trial's, nor another's shadow).
#[derive(Debug, Clone)]
pub struct Look {
    pub row: ExamRow,
    /// This reader may see it.
    pub shown: bool,
}

/// Where exams stand, and who reads.
pub trait Exams {
    type Error;
    /// `None`: it does not count, or is gone.
    fn look(&self, exam: &ExamKey) -> Result<Option<Look>, Self::Error>;
    /// Documents and cards of an exam that counts.
    fn persons(&self, exam: &ExamRow) -> Result<Vec<PersonKey>, Self::Error>;
    /// Exams that have a number, in order; `limit` at most.
    fn under(&self, key: &JoinKey, limit: usize) -> Result<Vec<ExamKey>, Self::Error>;
}

/// From where the walk begins.
#[derive(Debug, Clone)]
pub enum Start {
    /// An exam that this reader may see.
    Exam(Box<ExamRow>),
    /// A number, and what is known of whose it is.
    Key(JoinKey, Person),
}

/// Whether a number was used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyState {
    Used,
    /// More than [`LINES_LIMIT`] exams have it.
    ManyExams,
    /// More than [`PERSONS_LIMIT`] persons have it.
    ManyPersons,
}

#[derive(Debug, Clone)]
pub struct KeyUse {
    pub key: JoinKey,
    pub state: KeyState,
}

#[derive(Debug, Clone)]
pub struct JoinedExam {
    pub row: ExamRow,
    /// Which of the answer's keys it has, by their places.
    pub by: BTreeSet<usize>,
}

/// An exam that has one of the numbers and is another person's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Vetoed {
    pub exam: ExamKey,
    /// Place of the key.
    pub by: usize,
    pub conflicts: Vec<Conflict>,
}

/// The answer.
#[derive(Debug, Clone, Default)]
pub struct Joined {
    pub exams: BTreeMap<ExamKey, JoinedExam>,
    pub keys: Vec<KeyUse>,
    pub vetoed: Vec<Vetoed>,
    /// A bound ended the walk: there may be more.
    pub is_cut: bool,
    /// The number that was asked for is several persons', so nobody's exams are told.
    pub is_several: bool,
}

struct Walk<'e, E> {
    exams: &'e E,
    person: Person,
    answer: Joined,
    places: BTreeMap<JoinKey, usize>,
    queue: VecDeque<(JoinKey, u8)>,
}

/// Joins what belongs to one patient.
pub fn join<E: Exams>(exams: &E, start: Start) -> Result<Joined, E::Error> {
    let mut walk = Walk {
        exams,
        person: Person::default(),
        answer: Joined::default(),
        places: BTreeMap::new(),
        queue: VecDeque::new(),
    };
    match start {
        Start::Exam(row) => walk.take(*row, 0)?,
        Start::Key(key, person) => {
            walk.person = person;
            walk.place(key.clone());
            let looks = walk.looks(&key)?;
            let fits = |look: &&Look| walk.fits(&look.row);
            let shown = looks.iter().filter(|look| look.shown).filter(fits);
            if groups(shown) > 1 {
                walk.answer.is_several = true;
                return Ok(walk.answer);
            }
            walk.queue.push_back((key, 0));
        }
    }
    while let Some((key, hop)) = walk.queue.pop_front() {
        walk.follow(&key, hop)?;
    }
    Ok(walk.answer)
}

impl<E: Exams> Walk<'_, E> {
    fn fits(&self, row: &ExamRow) -> bool {
        self.person.conflicts(&Person::of(row)).is_empty()
    }

    /// The key's place in the answer; `None`: it has one already, or there are too many.
    fn place(&mut self, key: JoinKey) -> Option<usize> {
        if self.places.contains_key(&key) {
            return None;
        }
        if self.places.len() == KEYS_LIMIT {
            self.answer.is_cut = true;
            return None;
        }
        let place = self.answer.keys.len();
        let state = KeyState::Used;
        self.answer.keys.push(KeyUse {
            key: key.clone(),
            state,
        });
        self.places.insert(key, place);
        Some(place)
    }

    /// Makes an exam the patient's, and its numbers such that are followed.
    fn take(&mut self, row: ExamRow, hop: u8) -> Result<(), E::Error> {
        self.person.learn(&Person::of(&row));
        let exam = row.key.clone();
        // A trial's numbers are made up, and lead nowhere.
        let keys = match row.is_counted() {
            true => keys_of(self.exams, &row)?,
            false => Vec::new(),
        };
        let by = BTreeSet::new();
        self.answer.exams.insert(exam, JoinedExam { row, by });
        for key in keys {
            if self.places.contains_key(&key) {
                continue;
            }
            if hop == HOPS_LIMIT {
                self.answer.is_cut = true;
                continue;
            }
            if self.place(key.clone()).is_some() {
                self.queue.push_back((key, hop + 1));
            }
        }
        Ok(())
    }

    fn looks(&mut self, key: &JoinKey) -> Result<Vec<Look>, E::Error> {
        let exams = self.exams.under(key, LINES_LIMIT + 1)?;
        if exams.len() > LINES_LIMIT {
            self.leave(key, KeyState::ManyExams);
            return Ok(Vec::new());
        }
        let mut looks = Vec::with_capacity(exams.len());
        for exam in exams {
            looks.extend(self.exams.look(&exam)?);
        }
        if groups(looks.iter()) > PERSONS_LIMIT {
            self.leave(key, KeyState::ManyPersons);
            looks.clear();
        }
        Ok(looks)
    }

    fn leave(&mut self, key: &JoinKey, why: KeyState) {
        let place = self.places.get(key);
        if let Some(known) = place.and_then(|place| self.answer.keys.get_mut(*place)) {
            known.state = why;
        }
    }

    fn follow(&mut self, key: &JoinKey, hop: u8) -> Result<(), E::Error> {
        let Some(place) = self.places.get(key).copied() else {
            return Ok(());
        };
        let looks = self.looks(key)?;
        for look in looks.into_iter().filter(|look| look.shown) {
            let exam = look.row.key.clone();
            if !self.answer.exams.contains_key(&exam) {
                let conflicts = self.person.conflicts(&Person::of(&look.row));
                if !conflicts.is_empty() {
                    self.veto(exam, place, conflicts);
                    continue;
                }
                if self.answer.exams.len() == EXAMS_LIMIT {
                    self.answer.is_cut = true;
                    continue;
                }
                self.take(look.row, hop)?;
            }
            if let Some(joined) = self.answer.exams.get_mut(&exam) {
                joined.by.insert(place);
            }
        }
        Ok(())
    }

    fn veto(&mut self, exam: ExamKey, by: usize, conflicts: Vec<Conflict>) {
        let known = &mut self.answer.vetoed;
        if known.iter().any(|vetoed| vetoed.exam == exam) {
            return;
        }
        match known.len() < VETOED_LIMIT {
            true => known.push(Vetoed {
                exam,
                by,
                conflicts,
            }),
            false => self.answer.is_cut = true,
        }
    }
}

fn keys_of<E: Exams>(exams: &E, row: &ExamRow) -> Result<Vec<JoinKey>, E::Error> {
    let persons = exams.persons(row)?.into_iter();
    let mut keys: Vec<JoinKey> = persons.map(JoinKey::Person).collect();
    if !row.sick_id.is_empty() {
        keys.push(JoinKey::Patient {
            hospital: row.key.hospital.clone(),
            generation: row.key.generation,
            sick_id: row.sick_id.clone(),
        });
    }
    Ok(keys)
}

/// How many persons exams are of, as far as they contradict each other.
fn groups<'a>(looks: impl Iterator<Item = &'a Look>) -> usize {
    let mut persons: Vec<Person> = Vec::new();
    for look in looks {
        let person = Person::of(&look.row);
        let mut known = persons.iter_mut();
        match known.find(|known| known.conflicts(&person).is_empty()) {
            Some(known) => known.learn(&person),
            None => persons.push(person),
        }
        // More are as bad as this.
        if persons.len() > PERSONS_LIMIT {
            break;
        }
    }
    persons.len()
}
