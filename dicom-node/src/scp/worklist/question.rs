//! What a worklist's question asks for (PS3.4 §K.4.1): its keys, which index leads to the forms, and whether one meets it.

use dicom_core::Tag;
use dicom_dictionary_std::tags;
use yingku_core::apply_form::ApplyFormRow;
use yingku_core::ids::StudyUid;
use yingku_core::query::DATE_DIGITS;

use super::entry::{Entry, Value};
use crate::dataset::{Nested, keyword_of, vr_of};
use crate::scp::access::Denied;
use crate::scp::matching::{
    TIME_DIGITS, bounds, in_bounds, is_too_long, is_universal, is_wildcard, meets, values,
};
use crate::status::Status;

/// Keys of one question, those of its items too: each comes back in every answer. Machines ask for some 50.
const KEY_LIMIT: usize = 512;
/// Day before and behind all that forms may be planned for.
const ALL_DAYS: (&str, &str) = ("", "9999-99-99");

const STEP: Tag = tags::SCHEDULED_PROCEDURE_STEP_SEQUENCE;

/// A question, checked.
pub struct Question {
    pub keys: Nested,
    /// Of the scheduled step; empty if none are asked for.
    pub step: Nested,
}

/// What leads to the forms.
#[derive(Debug, PartialEq, Eq)]
pub enum Selector {
    Studies(Vec<StudyUid>),
    /// By number: whole ones, and beginnings of those that SH has no room for.
    Numbers(Vec<String>),
    SickIds(Vec<String>),
    InpatientNos(Vec<String>),
    /// First and last day, `YYYY-MM-DD`.
    Days(String, String),
}

impl Question {
    pub fn new(keys: Nested) -> Result<Self, Denied> {
        let wrong = |comment: String| Denied::new(Status::MISMATCH, comment);
        let (mut count, mut too_long) = (0, None);
        keys.walk(&mut |tag, key| {
            count += 1;
            if is_too_long(vr_of(tag), key) {
                too_long = Some(tag);
            }
        });
        if count > KEY_LIMIT {
            return Err(wrong(format!(
                "a question has at most {KEY_LIMIT} keys: ask for less"
            )));
        }
        if let Some(tag) = too_long {
            let keyword = keyword_of(tag);
            return Err(wrong(format!("key {keyword} is longer than its VR allows")));
        }
        let step = match keys.items(STEP) {
            [] => Nested::default(),
            [step] => step.clone(),
            _ => {
                return Err(wrong(
                    "ScheduledProcedureStepSequence has one item at most".to_owned(),
                ));
            }
        };
        Ok(Self { keys, step })
    }

    /// The index that narrows the search most.
    pub fn selector(&self) -> Selector {
        if let Some(uids) = exact(&self.keys, tags::STUDY_INSTANCE_UID) {
            // What is no UID names no study.
            let uids = uids.iter().filter_map(|uid| StudyUid::new(uid).ok());
            return Selector::Studies(uids.collect());
        }
        let numbers = exact(&self.keys, tags::ACCESSION_NUMBER)
            .or_else(|| exact(&self.keys, tags::REQUESTED_PROCEDURE_ID))
            .or_else(|| exact(&self.step, tags::SCHEDULED_PROCEDURE_STEP_ID));
        if let Some(numbers) = numbers {
            return Selector::Numbers(numbers);
        }
        if let Some(numbers) = exact(&self.keys, tags::PATIENT_ID) {
            return Selector::SickIds(numbers);
        }
        if let Some(numbers) = exact(&self.keys, tags::ADMISSION_ID) {
            return Selector::InpatientNos(numbers);
        }
        let (from, to) = self.days();
        Selector::Days(from, to)
    }

    /// From the first to the last day that is asked for.
    fn days(&self) -> (String, String) {
        let key = self.step.text(tags::SCHEDULED_PROCEDURE_STEP_START_DATE);
        let (all_from, all_to) = ALL_DAYS;
        if is_universal(dicom_core::VR::DA, key) {
            return (all_from.to_owned(), all_to.to_owned());
        }
        let ranges = || values(key).filter_map(|date| bounds(date, DATE_DIGITS));
        let from = ranges().map(|(from, _)| day(&from, all_from)).min();
        let to = ranges().map(|(_, to)| day(&to, all_to)).max();
        // What is no date is met by none.
        (
            from.unwrap_or_else(|| all_to.to_owned()),
            to.unwrap_or_default(),
        )
    }

    /// Whether a key asks for the hospital, as issuer of the patient's number.
    pub fn asks_for(&self, hospital: &str) -> bool {
        let tag = tags::ISSUER_OF_PATIENT_ID;
        meets(vr_of(tag), self.keys.text(tag), hospital)
    }

    /// Under which of its class's modalities a form is answered: the first that the key names; `None` if there is none.
    pub fn modality<'a>(&self, modalities: &'a [String]) -> Option<&'a str> {
        let key = self.step.text(tags::MODALITY);
        let meets = |modality: &&String| meets(vr_of(tags::MODALITY), key, modality);
        modalities.iter().find(meets).map(String::as_str)
    }

    /// The station of a form that none is named in: whichever asks may do it, or whichever it asks for.
    pub fn station(&self, caller: &str) -> String {
        let key = self.step.text(tags::SCHEDULED_STATION_AE_TITLE);
        let mut named = values(key);
        match (named.next(), named.next()) {
            (Some(station), None) if !is_wildcard(station) => station.to_owned(),
            _ => caller.to_owned(),
        }
    }

    /// Whether the form is planned for when the question asks: cheap, so it is asked first.
    pub fn is_planned_so(&self, row: &ApplyFormRow) -> bool {
        let digits = |text: Option<&str>| -> String {
            let text = text.unwrap_or_default().chars();
            text.filter(char::is_ascii_digit).collect()
        };
        let planned = row.planned_time();
        let (date, time) = (digits(planned.get(..10)), digits(planned.get(11..)));
        let date_key = self.step.text(tags::SCHEDULED_PROCEDURE_STEP_START_DATE);
        let time_key = self.step.text(tags::SCHEDULED_PROCEDURE_STEP_START_TIME);
        match moments(date_key, time_key) {
            // From one moment to another (PS3.4 table K.6-1), not these hours of each day.
            Some((from, to)) => {
                let moment = format!("{date}{:0<TIME_DIGITS$}", time);
                in_bounds(&moment, &from, &to)
            }
            None => {
                meets(dicom_core::VR::DA, date_key, &date)
                    && meets(dicom_core::VR::TM, time_key, &time)
            }
        }
    }

    /// Whether the form meets the other keys.
    pub fn meets(&self, entry: &Entry<'_>) -> bool {
        let of_step = |tag: Tag| match tag {
            tags::SCHEDULED_PROCEDURE_STEP_START_DATE
            | tags::SCHEDULED_PROCEDURE_STEP_START_TIME
            | tags::MODALITY => true,
            tags::SCHEDULED_PROCEDURE_STEP_ID => self.number_meets(&self.step, tag, entry),
            _ => key_meets(&self.step, tag, || entry.of_step(tag)),
        };
        let of_root = |tag: Tag| match tag {
            tags::ACCESSION_NUMBER | tags::REQUESTED_PROCEDURE_ID => {
                self.number_meets(&self.keys, tag, entry)
            }
            _ => key_meets(&self.keys, tag, || entry.of_root(tag)),
        };
        self.step.tags().all(of_step) && self.keys.tags().all(of_root)
    }

    /// A number may be asked for whole, though it is answered cut.
    fn number_meets(&self, keys: &Nested, tag: Tag, entry: &Entry<'_>) -> bool {
        let key = keys.text(tag);
        meets(vr_of(tag), key, &entry.row.key.apply_no) || meets(vr_of(tag), key, &entry.number())
    }

    /// Whether it has keys that are not known here: an answer says so (0xFF01).
    pub fn has_unsupported(&self, entry: &Entry<'_>) -> bool {
        let is_known = |tag: Tag| {
            tag == STEP || tag == tags::TIMEZONE_OFFSET_FROM_UTC || entry.of_root(tag).is_some()
        };
        !self.keys.tags().all(is_known) || !self.step.tags().all(|tag| entry.of_step(tag).is_some())
    }
}

/// The values of a key that asks for just these.
fn exact(keys: &Nested, tag: Tag) -> Option<Vec<String>> {
    let key = keys.text(tag);
    if is_universal(vr_of(tag), key) || is_wildcard(key) {
        return None;
    }
    let mut values: Vec<String> = values(key).map(str::to_owned).collect();
    values.sort();
    values.dedup();
    Some(values)
}

fn key_meets(keys: &Nested, tag: Tag, value: impl FnOnce() -> Option<Value>) -> bool {
    let key = keys.text(tag);
    if is_universal(vr_of(tag), key) {
        return true;
    }
    match value() {
        Some(Value::Text(value)) => meets(vr_of(tag), key, &value),
        Some(Value::Name(name)) => meets(vr_of(tag), key, &name.both()),
        // Keys within other sequences, and those that are not supported, do not narrow.
        Some(Value::Items(_)) | None => true,
    }
}

/// `YYYYMMDD` as forms have their days; empty: `open`.
fn day(digits: &str, open: &str) -> String {
    match (digits.get(..4), digits.get(4..6), digits.get(6..8)) {
        (Some(year), Some(month), Some(day)) => format!("{year}-{month}-{day}"),
        _ => open.to_owned(),
    }
}

/// First and last moment, where a range of days and a range of times are asked for together.
fn moments(date_key: &str, time_key: &str) -> Option<(String, String)> {
    let is_range = |key: &str| key.contains('-') && !key.contains('\\');
    if !is_range(date_key) || !is_range(time_key) {
        return None;
    }
    let (from_day, to_day) = bounds(date_key, DATE_DIGITS)?;
    let (from_time, to_time) = bounds(time_key, TIME_DIGITS)?;
    let from = match from_day.as_str() {
        "" => String::new(),
        day => format!("{day}{from_time:0<TIME_DIGITS$}"),
    };
    let to = match to_day.as_str() {
        "" => String::new(),
        day => format!("{day}{to_time:9<TIME_DIGITS$}"),
    };
    Some((from, to))
}
