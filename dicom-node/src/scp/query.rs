//! What a query or retrieval asks for: model, level, keys, and which index leads to the studies.

use std::borrow::Cow;

use dicom_core::Tag;
use dicom_dictionary_std::{tags, uids};
use yingku_core::ids::StudyUid;
use yingku_core::instance::StudyRow;
use yingku_core::query::{DATE_DIGITS, joined_name};
use yingku_core::registry::Scope;
use yingku_storage::views::studies::StudySelector;

use super::access::Denied;
use super::answer::study_value;
use super::matching::{bounds, is_too_long, is_universal, is_wildcard, meets, values};
use crate::dataset::{Identifier, keyword_of, vr_of};
use crate::status::Status;

/// Keys of one query: each comes back in every answer. A caller that asks for all that is known asks for some 50.
const KEY_LIMIT: usize = 512;

/// Query/Retrieve Level (0008,0052).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    Patient,
    Study,
    Series,
    Image,
}

impl Level {
    pub fn name(self) -> &'static str {
        match self {
            Self::Patient => "PATIENT",
            Self::Study => "STUDY",
            Self::Series => "SERIES",
            Self::Image => "IMAGE",
        }
    }
}

/// A query, checked.
pub struct Query {
    pub level: Level,
    pub keys: Identifier,
}

impl Query {
    pub fn new(sop_class: &str, keys: Identifier) -> Result<Self, Denied> {
        let wrong = |comment: &str| Denied::new(Status::MISMATCH, comment);
        let patient_root = [
            uids::PATIENT_ROOT_QUERY_RETRIEVE_INFORMATION_MODEL_FIND,
            uids::PATIENT_ROOT_QUERY_RETRIEVE_INFORMATION_MODEL_MOVE,
            uids::PATIENT_ROOT_QUERY_RETRIEVE_INFORMATION_MODEL_GET,
        ]
        .contains(&sop_class);
        let level = match keys.get(tags::QUERY_RETRIEVE_LEVEL).map(str::trim) {
            Some("PATIENT") if patient_root => Level::Patient,
            Some("PATIENT") => return Err(wrong("level PATIENT needs the Patient Root model")),
            Some("STUDY") => Level::Study,
            Some("SERIES") => Level::Series,
            Some("IMAGE") => Level::Image,
            _ => {
                return Err(wrong(
                    "QueryRetrieveLevel must be PATIENT, STUDY, SERIES or IMAGE",
                ));
            }
        };
        if level >= Level::Series && keys.list(tags::STUDY_INSTANCE_UID).is_empty() {
            return Err(wrong("levels SERIES and IMAGE need StudyInstanceUID"));
        }
        if keys.tags().count() > KEY_LIMIT {
            return Err(wrong(&format!(
                "a query has at most {KEY_LIMIT} keys: ask for less"
            )));
        }
        let too_long = |tag: &Tag| {
            let key = keys.get(*tag).unwrap_or_default();
            is_too_long(vr_of(*tag), key)
        };
        if let Some(tag) = keys.tags().find(too_long) {
            let keyword = keyword_of(tag);
            return Err(wrong(&format!(
                "key {keyword} is longer than its VR allows"
            )));
        }
        Ok(Self { level, keys })
    }

    /// The index that narrows the search most.
    pub fn selector(&self) -> StudySelector {
        if let Some(uids) = self.asked(tags::STUDY_INSTANCE_UID) {
            // What is no UID names no study.
            let uids = values(uids).filter_map(|uid| StudyUid::new(uid).ok());
            return StudySelector::Uids(uids.collect());
        }
        if let Some(numbers) = self.numbers(tags::ACCESSION_NUMBER) {
            return StudySelector::Accessions(numbers);
        }
        if let Some(numbers) = self.numbers(tags::PATIENT_ID) {
            return StudySelector::PatientIds(numbers);
        }
        if let Some(prefixes) = self.name_prefixes() {
            return StudySelector::NamePrefixes(prefixes);
        }
        if let Some(dates) = self.asked(tags::STUDY_DATE) {
            let ranges = values(dates).filter_map(|date| bounds(date, DATE_DIGITS));
            return StudySelector::Dates(ranges.collect());
        }
        StudySelector::All
    }

    /// A key that does not ask for everything.
    fn asked(&self, tag: Tag) -> Option<&str> {
        let key = self.keys.get(tag)?;
        (!is_universal(vr_of(tag), key)).then_some(key)
    }

    /// The values of a key without wildcards.
    fn numbers(&self, tag: Tag) -> Option<Vec<String>> {
        let key = self.asked(tag).filter(|key| !is_wildcard(key))?;
        Some(values(key).map(str::to_owned).collect())
    }

    /// For each value of the key the beginning of the joined name that its matches have, if each gives one.
    fn name_prefixes(&self) -> Option<Vec<String>> {
        let beginning = |group: &str| {
            let group = joined_name(group);
            let wild = group.find(['*', '?']).unwrap_or(group.len());
            group.get(..wild).unwrap_or_default().to_owned()
        };
        let prefix = |value: &str| {
            let mut groups = value.split('=').map(beginning);
            groups.find(|prefix| !prefix.is_empty())
        };
        values(self.asked(tags::PATIENT_NAME)?)
            .map(prefix)
            .collect()
    }

    /// The study as it meets the keys of the patient and study levels, under the numbers of whichever of its exams; `None`
    /// if it does not, or lies outside the caller's hospitals.
    pub fn meeting<'a>(&self, scope: &Scope, row: &'a StudyRow) -> Option<Cow<'a, StudyRow>> {
        if !scope.has(&row.key.hospital) {
            return None;
        }
        row.faces().find(|face| self.study_meets(face))
    }

    fn study_meets(&self, row: &StudyRow) -> bool {
        self.keys.tags().all(|tag| {
            let key = self.keys.get(tag).unwrap_or_default();
            if key.is_empty() {
                return true;
            }
            match study_value(tag, row) {
                Some(value) => meets(vr_of(tag), key, &value),
                // Keys of lower levels, and those that are not supported, do not narrow studies.
                None => true,
            }
        })
    }

    /// Whether a value of a lower level meets its key.
    pub fn value_meets(&self, tag: Tag, value: &str) -> bool {
        meets(vr_of(tag), self.keys.get(tag).unwrap_or_default(), value)
    }
}
