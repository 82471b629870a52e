//! An apply form as an entry of the worklist: which attribute has what of it (PS3.4 table K.6-1).
//!
//! One form is one requested procedure with one scheduled step. Its number is Accession Number, Requested Procedure ID and
//! Scheduled Procedure Step ID, cut at the 16 characters that SH has, as images carry it and R8 compares it; Placer Order
//! Number has all of it, as its HIS writes it. Patient ID is the form's 病人ID without its hospital's prefix.

use std::borrow::Cow;

use dicom_core::Tag;
use dicom_dictionary_std::tags;
use yingku_core::apply_form::ApplyFormRow;
use yingku_core::contract::apply_form::Coded;
use yingku_core::names::PersonName;

/// VR SH (PS3.5 §6.2).
pub const SH_CHARACTERS: usize = 16;
/// A scheme that is nobody's but the hospital's (PS3.3 §8.2): codes of its HIS.
const OWN_SCHEME: &str = "99HIS";

/// What an attribute has.
pub enum Value<'a> {
    Text(Cow<'a, str>),
    Name(PersonName),
    /// Of a sequence: its items, one attribute after another.
    Items(Vec<Vec<(Tag, String)>>),
}

/// A form, and what the question makes of it.
pub struct Entry<'a> {
    pub row: &'a ApplyFormRow,
    /// 医院名称.
    pub hospital: &'a str,
    /// Scheduled Station AE Title.
    pub station: &'a str,
    /// Which of its class's.
    pub modality: &'a str,
}

/// Attributes that a step has in an answer whose question asks for all of them.
pub const OF_A_STEP: [Tag; 18] = [
    tags::MODALITY,
    tags::REQUESTED_CONTRAST_AGENT,
    tags::SCHEDULED_STATION_AE_TITLE,
    tags::SCHEDULED_PROCEDURE_STEP_START_DATE,
    tags::SCHEDULED_PROCEDURE_STEP_START_TIME,
    tags::SCHEDULED_PROCEDURE_STEP_END_DATE,
    tags::SCHEDULED_PROCEDURE_STEP_END_TIME,
    tags::SCHEDULED_PERFORMING_PHYSICIAN_NAME,
    tags::SCHEDULED_PROCEDURE_STEP_DESCRIPTION,
    tags::SCHEDULED_PROTOCOL_CODE_SEQUENCE,
    tags::SCHEDULED_PROCEDURE_STEP_ID,
    tags::SCHEDULED_STATION_NAME,
    tags::SCHEDULED_PROCEDURE_STEP_LOCATION,
    tags::PRE_MEDICATION,
    tags::SCHEDULED_PROCEDURE_STEP_STATUS,
    tags::COMMENTS_ON_THE_SCHEDULED_PROCEDURE_STEP,
    tags::SCHEDULED_PERFORMING_PHYSICIAN_IDENTIFICATION_SEQUENCE,
    tags::SCHEDULED_SPECIMEN_SEQUENCE,
];

impl<'a> Entry<'a> {
    /// The form's number as SH has room for it.
    pub fn number(&self) -> String {
        self.row.accession_no()
    }

    /// An attribute of the scheduled step; `None` if it is not known here.
    pub fn of_step(&self, tag: Tag) -> Option<Value<'a>> {
        let content = &self.row.content;
        Some(text(match tag {
            tags::MODALITY => self.modality,
            tags::SCHEDULED_STATION_AE_TITLE => self.station,
            tags::SCHEDULED_PROCEDURE_STEP_START_DATE => {
                return Some(date(self.row.planned_time()));
            }
            tags::SCHEDULED_PROCEDURE_STEP_START_TIME => {
                return Some(time(self.row.planned_time()));
            }
            tags::SCHEDULED_PERFORMING_PHYSICIAN_NAME => return Some(name(&content.technician)),
            tags::SCHEDULED_PROCEDURE_STEP_DESCRIPTION => {
                return Some(Value::Text(self.description().into()));
            }
            tags::SCHEDULED_PROTOCOL_CODE_SEQUENCE => return Some(self.code()),
            tags::SCHEDULED_PROCEDURE_STEP_ID => return Some(Value::Text(self.number().into())),
            tags::SCHEDULED_STATION_NAME => &content.device,
            tags::SCHEDULED_PROCEDURE_STEP_LOCATION => &content.perform_dept.name,
            tags::SCHEDULED_PROCEDURE_STEP_STATUS => "SCHEDULED",
            tags::REQUESTED_CONTRAST_AGENT
            | tags::SCHEDULED_PROCEDURE_STEP_END_DATE
            | tags::SCHEDULED_PROCEDURE_STEP_END_TIME
            | tags::PRE_MEDICATION
            | tags::COMMENTS_ON_THE_SCHEDULED_PROCEDURE_STEP => "",
            tags::SCHEDULED_PERFORMING_PHYSICIAN_IDENTIFICATION_SEQUENCE
            | tags::SCHEDULED_SPECIMEN_SEQUENCE => return Some(Value::Items(Vec::new())),
            _ => return None,
        }))
    }

    /// An attribute of patient, visit, request or procedure; `None` if it is not known here.
    pub fn of_root(&self, tag: Tag) -> Option<Value<'a>> {
        self.of_request(tag)
            .or_else(|| self.of_patient(tag))
            .or_else(|| unknown_to_forms(tag))
    }

    fn of_request(&self, tag: Tag) -> Option<Value<'a>> {
        let content = &self.row.content;
        Some(match tag {
            tags::ACCESSION_NUMBER | tags::REQUESTED_PROCEDURE_ID => {
                Value::Text(self.number().into())
            }
            tags::STUDY_INSTANCE_UID => text(self.row.study_uid.as_str()),
            tags::INSTITUTION_NAME => text(self.hospital),
            tags::REFERRING_PHYSICIAN_NAME | tags::REQUESTING_PHYSICIAN => {
                name(&content.req_physician.name)
            }
            tags::REQUESTING_SERVICE => text(&content.req_dept.name),
            tags::REQUESTED_PROCEDURE_DESCRIPTION => Value::Text(self.description().into()),
            tags::REQUESTED_PROCEDURE_CODE_SEQUENCE => self.code(),
            tags::REASON_FOR_THE_REQUESTED_PROCEDURE => text(&content.reason),
            tags::REQUESTED_PROCEDURE_PRIORITY => text(priority(&content.priority)),
            tags::PLACER_ORDER_NUMBER_IMAGING_SERVICE_REQUEST => text(&self.row.spelling),
            tags::ISSUE_DATE_OF_IMAGING_SERVICE_REQUEST => date(&content.req_time),
            tags::ISSUE_TIME_OF_IMAGING_SERVICE_REQUEST => time(&content.req_time),
            _ => return None,
        })
    }

    fn of_patient(&self, tag: Tag) -> Option<Value<'a>> {
        let content = &self.row.content;
        Some(match tag {
            tags::PATIENT_NAME => Value::Name(PersonName::new(&content.name, &content.phonetic)),
            tags::PATIENT_ID => text(&content.sick_id),
            tags::ISSUER_OF_PATIENT_ID => text(self.row.key.hospital.as_str()),
            tags::PATIENT_BIRTH_DATE => date(&content.birth_date),
            tags::PATIENT_SEX => text(match content.sex.as_str() {
                "男" => "M",
                "女" => "F",
                _ => "O",
            }),
            tags::ADMISSION_ID => text(&content.inpatient_no),
            tags::CURRENT_PATIENT_LOCATION => Value::Text(self.location().into()),
            _ => return None,
        })
    }

    /// Items, else organs: what there is to be done.
    fn description(&self) -> String {
        let content = &self.row.content;
        let items: Vec<&str> = content
            .items
            .iter()
            .map(|item| item.name.as_str())
            .collect();
        if items.iter().any(|item| !item.is_empty()) {
            items.join("+")
        } else {
            content.organs.join("+")
        }
    }

    /// A procedure has one code (PS3.3 §10.6), so of several items there is none.
    fn code(&self) -> Value<'a> {
        let code = match self.row.content.items.as_slice() {
            [item] => item.code.as_ref().map(|code| (code, &item.name)),
            _ => None,
        };
        let fits = code.filter(|(code, _)| code.chars().count() <= SH_CHARACTERS);
        let item = fits.map(|(code, name)| {
            vec![
                (tags::CODE_VALUE, code.clone()),
                (tags::CODING_SCHEME_DESIGNATOR, OWN_SCHEME.to_owned()),
                (tags::CODE_MEANING, name.clone()),
            ]
        });
        Value::Items(item.into_iter().collect())
    }

    /// 住院 外科三病区 12床; of whom lies nowhere, the class and where it was asked for.
    fn location(&self) -> String {
        let content = &self.row.content;
        let Coded { name: class, .. } = &content.patient_class;
        let at = match content.ward.as_str() {
            "" => &content.req_dept.name,
            ward => ward,
        };
        let parts = [class.as_str(), at, &content.bed_no];
        let parts: Vec<&str> = parts.into_iter().filter(|part| !part.is_empty()).collect();
        parts.join(" ")
    }
}

/// Attributes that machines ask for and no form has: supported, and empty.
fn unknown_to_forms(tag: Tag) -> Option<Value<'static>> {
    match tag {
        tags::PATIENT_AGE
        | tags::PATIENT_SIZE
        | tags::PATIENT_WEIGHT
        | tags::MEDICAL_ALERTS
        | tags::ALLERGIES
        | tags::ADDITIONAL_PATIENT_HISTORY
        | tags::PREGNANCY_STATUS
        | tags::PATIENT_COMMENTS
        | tags::SPECIAL_NEEDS
        | tags::PATIENT_STATE
        | tags::PATIENT_TRANSPORT_ARRANGEMENTS
        | tags::REQUESTED_PROCEDURE_LOCATION
        | tags::REQUESTED_PROCEDURE_COMMENTS
        | tags::NAMES_OF_INTENDED_RECIPIENTS_OF_RESULTS
        | tags::FILLER_ORDER_NUMBER_IMAGING_SERVICE_REQUEST
        | tags::IMAGING_SERVICE_REQUEST_COMMENTS
        | tags::CONFIDENTIALITY_CONSTRAINT_ON_PATIENT_DATA_DESCRIPTION => Some(text("")),
        tags::REFERENCED_STUDY_SEQUENCE | tags::REFERENCED_PATIENT_SEQUENCE => {
            Some(Value::Items(Vec::new()))
        }
        _ => None,
    }
}

/// 急诊, 优先 and what is less, as PS3.3 §C.4.11 has them.
fn priority(written: &str) -> &'static str {
    match written {
        "" => "",
        urgent if urgent.contains('急') => "STAT",
        early if early.contains("优先") => "HIGH",
        _ => "ROUTINE",
    }
}

fn text(text: &str) -> Value<'_> {
    Value::Text(text.into())
}

/// Nobody's name is empty, not unreadable.
fn name(written: &str) -> Value<'static> {
    Value::Name(PersonName::new(written, ""))
}

/// `YYYY-MM-DD…` as DA.
fn date(written: &str) -> Value<'static> {
    digits(written.get(..10))
}

/// `YYYY-MM-DD HH:MM:SS` as TM.
fn time(written: &str) -> Value<'static> {
    digits(written.get(11..))
}

fn digits(part: Option<&str>) -> Value<'static> {
    let digits = part.unwrap_or_default().chars();
    Value::Text(
        digits
            .filter(char::is_ascii_digit)
            .collect::<String>()
            .into(),
    )
}
