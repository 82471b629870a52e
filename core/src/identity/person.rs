//! What an exam says of its patient beside numbers: it speaks against a join, never for one.

use super::key;
use crate::exam::ExamRow;
use crate::supervision::part_of;
use crate::time::LocalDate;

/// What differs between two exams' patients.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Conflict {
    Name,
    Sex,
    BirthDate,
}

impl Conflict {
    /// The field of a push that differs.
    pub fn field(self) -> &'static str {
        match self {
            Self::Name => "name",
            Self::Sex => "sex",
            Self::BirthDate => "birthDate",
        }
    }
}

/// A patient as far as it is known; what is not known contradicts nothing. `Debug` shows none of it.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Person {
    /// As it compares: without blanks, dots and width; empty: not known.
    name: String,
    /// 1 男, 2 女; 0: not known.
    sex: u8,
    /// `YYYYMMDD`; 0: not known.
    birth: u32,
}

impl Person {
    pub fn new(name: &str, sex: &str, birth_date: &str) -> Self {
        // 买买提·艾合买提 is written with many dots.
        let is_dot = |c: &char| ['·', '•', '.', '．', '・', '‧', '･', '˙'].contains(c);
        Self {
            name: part_of(name).chars().filter(|c| !is_dot(c)).collect(),
            sex: match sex {
                "男" => 1,
                "女" => 2,
                _ => 0,
            },
            birth: LocalDate::parse(birth_date).map_or(0, LocalDate::number),
        }
    }

    pub fn of(exam: &ExamRow) -> Self {
        Self::new(&exam.name, &exam.sex, &exam.birth_date)
    }

    /// What the number itself says: 居民身份证 has birth date and sex in it.
    pub fn of_document(kind: &str, number: &str) -> Self {
        let (birth, sex) = key::told_by(kind.trim(), number).unwrap_or_default();
        Self {
            birth,
            sex,
            ..Self::default()
        }
    }

    /// With a name that somebody gives.
    pub fn named(self, name: &str) -> Self {
        let name = Self::new(name, "", "").name;
        Self { name, ..self }
    }

    /// What differs, of what both know.
    pub fn conflicts(&self, other: &Self) -> Vec<Conflict> {
        let differ = |known: bool, differs: bool| known && differs;
        let both = [
            (
                Conflict::Name,
                differ(
                    !self.name.is_empty() && !other.name.is_empty(),
                    self.name != other.name,
                ),
            ),
            (
                Conflict::Sex,
                differ(self.sex > 0 && other.sex > 0, self.sex != other.sex),
            ),
            (
                Conflict::BirthDate,
                differ(self.birth > 0 && other.birth > 0, self.birth != other.birth),
            ),
        ];
        let both = both.into_iter();
        both.filter_map(|(what, differs)| differs.then_some(what))
            .collect()
    }

    /// Takes over what was not known.
    pub fn learn(&mut self, other: &Self) {
        if self.name.is_empty() {
            self.name.clone_from(&other.name);
        }
        if self.sex == 0 {
            self.sex = other.sex;
        }
        if self.birth == 0 {
            self.birth = other.birth;
        }
    }
}

impl std::fmt::Debug for Person {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Person").finish_non_exhaustive()
    }
}
