//! The numbers by which exams are asked for (R18): `exam_no` is examNo or applyNo, `sick_id` sickId, `pat_local_id`
//! examInfo.patientID, and inpatient and outpatient numbers are themselves. Several mean AND. They are split at registered
//! prefixes only (R15).

use std::fmt;

use serde::{Deserialize, Serialize};

use super::super::apply_form::{hospital_by_number_prefix, is_project};
use super::query::{Query, QueryFault};
use crate::exam::ExamRow;
use crate::ids::HospitalCode;
use crate::registry::Registry;

/// Characters of a number, as R13 allows the longest; its prefix comes on top.
pub const NUMBER_LIMIT: usize = 64;

/// Characters of a number with its prefix.
const SPELLING_LIMIT: usize = NUMBER_LIMIT + HospitalCode::LIMIT + 1;

/// Numbers without prefix; at least one is there.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Numbers {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exam_no: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sick_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pat_local_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub inpatient_no: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub outpatient_no: Option<String>,
}

/// Why numbers cannot be asked for; none of them is repeated.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NumberFault {
    #[error(transparent)]
    Query(#[from] QueryFault),
    #[error(
        "没有给出号码：须有 exam_no、sick_id、pat_local_id、inpatient_no、outpatient_no 之一 (no number is given)"
    )]
    None,
    #[error(
        "{0} 过长：最多 {NUMBER_LIMIT} 个字符 ({0} is too long: {NUMBER_LIMIT} characters at most)"
    )]
    Length(&'static str),
    #[error("{0} 含有不允许的字符 ({0} holds a control character)")]
    Character(&'static str),
    #[error("{0} 的医院前缀之后没有号码 (nothing follows the prefix of {0})")]
    Empty(&'static str),
    #[error(
        "各号码的医院前缀不一致，须属同一医院 (the numbers' prefixes name different hospitals)"
    )]
    TwoHospitals,
}

impl Numbers {
    /// Reads the numbers of a query, and the hospital that their prefixes name; `None`: they are all bare.
    pub fn read(
        query: &Query,
        registry: &Registry,
    ) -> Result<(Self, Option<HospitalCode>), NumberFault> {
        let mut named = None;
        let mut number = |name| -> Result<Option<String>, NumberFault> {
            let Some(spelling) = query.get(name)? else {
                return Ok(None);
            };
            let (hospital, bare) = split(registry, name, spelling)?;
            if let Some(hospital) = hospital
                && named
                    .replace(hospital.clone())
                    .is_some_and(|it: HospitalCode| it != hospital)
            {
                return Err(NumberFault::TwoHospitals);
            }
            Ok(Some(bare))
        };
        let numbers = Self {
            exam_no: number("exam_no")?,
            sick_id: number("sick_id")?,
            pat_local_id: number("pat_local_id")?,
            inpatient_no: number("inpatient_no")?,
            outpatient_no: number("outpatient_no")?,
        };
        match numbers == Self::default() {
            true => Err(NumberFault::None),
            false => Ok((numbers, named)),
        }
    }

    /// Whether an exam has all of these numbers; whose it is the caller knows.
    pub fn fit(&self, row: &ExamRow) -> bool {
        let is = |asked: &Option<String>, own: &[&str]| {
            asked.as_deref().is_none_or(|number| own.contains(&number))
        };
        is(&self.exam_no, &[row.key.exam_no.as_str(), &row.apply_no])
            && is(&self.sick_id, &[&row.sick_id])
            && is(&self.pat_local_id, &[&row.patient_id])
            && is(&self.inpatient_no, &[&row.inpatient_no])
            && is(&self.outpatient_no, &[&row.outpatient_no])
    }

    /// As parameters of an address, without prefixes.
    pub fn pairs(&self) -> impl Iterator<Item = (&'static str, &str)> {
        let all = [
            ("exam_no", &self.exam_no),
            ("sick_id", &self.sick_id),
            ("pat_local_id", &self.pat_local_id),
            ("inpatient_no", &self.inpatient_no),
            ("outpatient_no", &self.outpatient_no),
        ];
        all.into_iter()
            .filter_map(|(name, value)| Some((name, value.as_deref()?)))
    }
}

/// A patient's numbers are in no log.
impl fmt::Debug for Numbers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = self.pairs().map(|(name, _)| name);
        f.debug_list().entries(names).finish()
    }
}

/// The hospital that a number's prefix names, and the number without it. What stands before the first underscore and is not
/// registered is part of the number.
fn split(
    registry: &Registry,
    name: &'static str,
    spelling: &str,
) -> Result<(Option<HospitalCode>, String), NumberFault> {
    if spelling.chars().count() > SPELLING_LIMIT {
        return Err(NumberFault::Length(name));
    }
    if spelling.chars().any(char::is_control) {
        return Err(NumberFault::Character(name));
    }
    let (hospital, bare) = match spelling.split_once('_') {
        // R15: the project's own code says nothing of the hospital.
        Some((prefix, rest)) if is_project(registry, prefix.trim()) => (None, rest),
        Some((prefix, rest)) => match hospital_by_number_prefix(registry, prefix.trim()) {
            Some(hospital) => (Some(hospital.code.clone()), rest),
            None => (None, spelling),
        },
        None => (None, spelling),
    };
    let bare = bare.trim();
    match bare.chars().count() {
        0 => Err(NumberFault::Empty(name)),
        count if count > NUMBER_LIMIT => Err(NumberFault::Length(name)),
        _ => Ok((hospital, bare.to_owned())),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::registry::{Hospital, RegistryChange, Settings};

    fn registry() -> Registry {
        let mut registry = Registry::default();
        for (code, prefix) in [("350006", "7173"), ("350007", "7174")] {
            let json = format!(r#"{{"code":"{code}","name":"甲","prefix":"{prefix}"}}"#);
            let hospital: Hospital = serde_json::from_str(&json).unwrap();
            registry.apply(RegistryChange::PutHospital(hospital));
        }
        registry.apply(RegistryChange::PutSettings(Settings {
            project_prefix: Some("3500".to_owned()),
            ..Settings::default()
        }));
        registry
    }

    fn read(raw: &str) -> Result<(Numbers, Option<HospitalCode>), NumberFault> {
        Numbers::read(&Query::parse(raw).unwrap(), &registry())
    }

    #[test]
    fn numbers_are_split_at_registered_prefixes_only() {
        let hospital = HospitalCode::new("350006").unwrap();
        for (raw, number, named) in [
            ("exam_no=7173_yjdjh0", "yjdjh0", Some(&hospital)),
            ("exam_no=350006_yjdjh0", "yjdjh0", Some(&hospital)),
            ("exam_no=7173_a_b", "a_b", Some(&hospital)),
            ("exam_no=3500_yjdjh0", "yjdjh0", None),
            ("exam_no=9999_yjdjh0", "9999_yjdjh0", None),
            ("exam_no=yjdjh0", "yjdjh0", None),
        ] {
            let (numbers, found) = read(raw).unwrap();
            assert_eq!(numbers.exam_no.as_deref(), Some(number), "{raw}");
            assert_eq!(found.as_ref(), named, "{raw}");
        }
    }

    #[test]
    fn all_numbers_are_of_one_hospital() {
        let (numbers, named) = read("sick_id=7173_brid00&exam_no=1").unwrap();
        assert_eq!(named.unwrap().as_str(), "350006");
        assert_eq!(numbers.pairs().count(), 2);
        assert_eq!(
            read("sick_id=7173_1&exam_no=7174_1").err(),
            Some(NumberFault::TwoHospitals)
        );
    }

    #[test]
    fn a_query_without_a_number_or_with_one_that_is_none_is_refused() {
        let long = "1".repeat(NUMBER_LIMIT + 1);
        for (raw, fault) in [
            ("", NumberFault::None),
            ("exam_no=&t=1", NumberFault::None),
            ("exam_no=7173_", NumberFault::Empty("exam_no")),
            (&format!("sick_id={long}"), NumberFault::Length("sick_id")),
            (
                &format!("sick_id=7173_{long}"),
                NumberFault::Length("sick_id"),
            ),
            ("sick_id=1%00", NumberFault::Character("sick_id")),
            (
                "sick_id=1&sick_id=2",
                NumberFault::Query(QueryFault::Twice("sick_id")),
            ),
        ] {
            assert_eq!(read(raw).err(), Some(fault), "{raw}");
        }
    }

    #[test]
    fn debug_shows_no_number() {
        let (numbers, _) = read("sick_id=secret").unwrap();
        assert!(!format!("{numbers:?}").contains("secret"));
    }
}
