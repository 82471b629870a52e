//! What a worklist's question asks for (PS3.4 §K.4.1): its keys, which index leads to the forms, and whether one meets it.

use dicom_core::{Tag, VR};
use dicom_dictionary_std::tags;
use yingku_core::ids::StudyUid;
use yingku_core::query::joined_name;
use yingku_storage::views::open_forms::OpenForm;

use super::entry::{Entry, OF_A_STEP, Value};
use super::planned::Planned;
use crate::dataset::{Nested, keyword_of, vr_of};
use crate::scp::access::Denied;
use crate::scp::matching::{NameKey, is_too_long, is_universal, is_wildcard, meets, values};
use crate::status::Status;

/// Keys of one question, those of its items too: each comes back in every answer. Machines ask for some 50.
const KEY_LIMIT: usize = 512;

const STEP: Tag = tags::SCHEDULED_PROCEDURE_STEP_SEQUENCE;

/// A question, checked.
pub struct Question {
    pub keys: Nested,
    /// Of the scheduled step; empty if none are asked for.
    pub step: Nested,
    /// What an answer has.
    pub asked: Vec<(Tag, VR)>,
    /// … in its step.
    pub asked_of_step: Vec<(Tag, VR)>,
    planned: Planned,
    narrowing: Vec<Narrowing>,
}

/// A key that does not ask for everything. Date, time and modality are asked for apart.
struct Narrowing {
    of_step: bool,
    tag: Tag,
    vr: VR,
    key: String,
    /// Of a name.
    names: Vec<NameKey>,
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
        let narrowing = narrowing(&step, true).chain(narrowing(&keys, false));
        let with_vr = |tag: Tag| (tag, vr_of(tag));
        // A step of which nothing is asked is asked for whole (PS3.4 §C.2.2.2.6).
        let asked_of_step = match step.is_empty() {
            true => OF_A_STEP.map(with_vr).to_vec(),
            false => step.tags().map(with_vr).collect(),
        };
        Ok(Self {
            asked: keys.tags().map(with_vr).collect(),
            asked_of_step,
            planned: Planned::new(&step),
            narrowing: narrowing.collect(),
            keys,
            step,
        })
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
        let (from, to) = self.planned.days();
        Selector::Days(from, to)
    }

    /// Beginnings of names, joined, of which a group of the patient's has one; `None` where days lead to fewer forms, or the
    /// key gives no beginning.
    pub fn name_beginnings(&self) -> Option<Vec<String>> {
        let key = self.keys.text(tags::PATIENT_NAME);
        if is_universal(VR::PN, key) || is_wildcard(key) && self.planned.is_bounded() {
            return None;
        }
        let beginning = |group: &str| {
            let group = joined_name(group);
            let wild = group.find(['*', '?']).unwrap_or(group.len());
            group.get(..wild).unwrap_or_default().to_owned()
        };
        let longest = |value: &str| {
            let groups = value.split('=').map(beginning);
            let groups = groups.filter(|beginning| !beginning.is_empty());
            groups.max_by_key(String::len)
        };
        values(key).map(longest).collect()
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

    /// Whether a form may meet the keys, as far as its line tells; `station`: where it is to be done.
    pub fn may_meet(&self, form: &OpenForm<'_>, station: &str) -> bool {
        self.is_planned_so(form.planned)
            && self.narrowing.iter().all(|it| match (it.of_step, it.tag) {
                (false, tags::PATIENT_NAME) => {
                    it.is_met_by_name([form.alphabetic, form.ideographic])
                }
                (false, tags::PATIENT_ID) => it.is_met_by(form.sick_id),
                (true, tags::SCHEDULED_STATION_AE_TITLE) => it.is_met_by(station),
                _ => true,
            })
    }

    /// Whether a form is planned for when the question asks; `planned` as forms have it.
    pub fn is_planned_so(&self, planned: &str) -> bool {
        self.planned.is_met_by(planned)
    }

    /// Whether the form meets the other keys.
    pub fn meets(&self, entry: &Entry<'_>) -> bool {
        self.narrowing.iter().all(|it| match (it.of_step, it.tag) {
            (true, tags::SCHEDULED_PROCEDURE_STEP_ID)
            | (false, tags::ACCESSION_NUMBER | tags::REQUESTED_PROCEDURE_ID) => {
                // It may be asked for whole, though it is answered cut.
                it.is_met_by(&entry.row.key.apply_no) || it.is_met_by(&entry.number())
            }
            (true, tag) => it.is_met_by_value(entry.of_step(tag)),
            (false, tag) => it.is_met_by_value(entry.of_root(tag)),
        })
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

fn narrowing(keys: &Nested, of_step: bool) -> impl Iterator<Item = Narrowing> {
    let narrows = move |tag: &Tag| match *tag {
        tags::MODALITY
        | tags::SCHEDULED_PROCEDURE_STEP_START_DATE
        | tags::SCHEDULED_PROCEDURE_STEP_START_TIME => !of_step,
        _ => !is_universal(vr_of(*tag), keys.text(*tag)),
    };
    keys.tags().filter(narrows).map(move |tag| {
        let (vr, key) = (vr_of(tag), keys.text(tag).to_owned());
        let names = if vr == VR::PN {
            values(&key)
        } else {
            values("")
        };
        Narrowing {
            of_step,
            tag,
            vr,
            names: names.map(NameKey::new).collect(),
            key,
        }
    })
}

impl Narrowing {
    fn is_met_by(&self, value: &str) -> bool {
        meets(self.vr, &self.key, value)
    }

    fn is_met_by_name(&self, groups: [&str; 2]) -> bool {
        let mut names = self.names.iter();
        names.any(|name| name.is_met_by(groups.into_iter()))
    }

    fn is_met_by_value(&self, value: Option<Value<'_>>) -> bool {
        match value {
            Some(Value::Text(value)) => self.is_met_by(&value),
            Some(Value::Name(name)) => self.is_met_by_name([&name.alphabetic, &name.ideographic]),
            // Keys within other sequences, and those that are not supported, do not narrow.
            Some(Value::Items(_)) | None => true,
        }
    }
}
