//! What a query or retrieval asks for: model, level, keys, and which index leads to the studies.

use dicom_core::Tag;
use dicom_dictionary_std::{tags, uids};
use yingku_core::ids::StudyUid;
use yingku_core::instance::StudyRow;
use yingku_core::query::joined_name;
use yingku_core::registry::Scope;
use yingku_storage::views::studies::StudySelector;

use super::access::Denied;
use super::answer::study_value;
use super::matching::{date_bounds, is_wildcard, meets};
use crate::dataset::{Identifier, vr_of};
use crate::status::Status;

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
        Ok(Self { level, keys })
    }

    /// The index that narrows the search most.
    pub fn selector(&self) -> StudySelector {
        let single = |tag| {
            let value = self.keys.get(tag).unwrap_or_default().trim();
            (!value.is_empty() && !is_wildcard(value)).then(|| value.to_owned())
        };
        let uids = self.keys.list(tags::STUDY_INSTANCE_UID);
        if !uids.is_empty() {
            // What is no UID names no study.
            return StudySelector::Uids(
                uids.into_iter()
                    .filter_map(|uid| StudyUid::new(uid).ok())
                    .collect(),
            );
        }
        if let Some(number) = single(tags::ACCESSION_NUMBER) {
            return StudySelector::Accession(number);
        }
        if let Some(number) = single(tags::PATIENT_ID) {
            return StudySelector::PatientId(number);
        }
        if let Some(prefix) = self.name_prefix() {
            return StudySelector::NamePrefix(prefix);
        }
        let dates = self.keys.get(tags::STUDY_DATE).unwrap_or_default();
        if !dates.is_empty() && !is_wildcard(dates) {
            let (from, to) = date_bounds(dates);
            return StudySelector::Dates { from, to };
        }
        StudySelector::All
    }

    /// The beginning of the joined name that every match has, if the key gives one.
    fn name_prefix(&self) -> Option<String> {
        let key = self.keys.get(tags::PATIENT_NAME)?;
        let group = key
            .split('=')
            .map(joined_name)
            .find(|group| !group.is_empty())?;
        let prefix: String = group
            .chars()
            .take_while(|c| !matches!(c, '*' | '?'))
            .collect();
        (!prefix.is_empty()).then_some(prefix)
    }

    /// Whether a study meets the keys of the patient and study levels, and lies within the caller's hospitals.
    pub fn study_meets(&self, scope: &Scope, row: &StudyRow) -> bool {
        if !scope.has(&row.key.hospital) {
            return false;
        }
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
