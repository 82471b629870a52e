//! One notice as its receiver gets it: the contract's document (§3.2, `fields/syn_status_info.tsv`), in the envelope that
//! the receiver wants.

use std::fmt::Write;

use yingku_core::contract::push::{ExamPush, Image, is_web_address};
use yingku_core::contract::xml::escape;
use yingku_core::dictionaries::{EXAM_STATUS, PATIENT_CLASS};
use yingku_core::exam::ExamRow;
use yingku_core::ids::HospitalCode;
use yingku_core::notice::{NoticeRow, NoticeStatus};
use yingku_core::registry::{Receiver, Registry};
use yingku_core::time::{LocalDateTime, Zone};
use yingku_storage::archive::{Archive, ContentError};
use yingku_storage::viewer::viewer_address;
use yingku_storage::views::ViewsError;

use crate::soap::request::{Manner, Message};

#[derive(Debug, thiserror::Error)]
pub enum MessageError {
    #[error(transparent)]
    Views(#[from] ViewsError),
    #[error(transparent)]
    Content(#[from] ContentError),
}

/// Composes a notice; reads views and log, so it blocks.
pub fn compose(
    archive: &Archive,
    notice: &NoticeRow,
    receiver: &Receiver,
) -> Result<Message, MessageError> {
    let document = document(&Told::of(archive, notice)?);
    Ok(Manner::of(receiver).message(&document))
}

#[derive(Default)]
struct Coded {
    code: String,
    name: String,
}

/// What a notice says, one field an element.
#[derive(Default)]
struct Told {
    exam_no: String,
    apply_no: String,
    order_no: String,
    sick_no: String,
    patient_source: String,
    status: Coded,
    perform_dept: Coded,
    time: Option<LocalDateTime>,
    operator: Coded,
    image_url: String,
}

impl Told {
    fn of(archive: &Archive, notice: &NoticeRow) -> Result<Self, MessageError> {
        let registry = archive.registry();
        let views = archive.views();
        let code = notice.status.code();
        let zone = Zone::named(&registry.settings.time_zone).unwrap_or_default();
        let mut told = Self {
            // R15: notices repeat the form's own spelling.
            apply_no: prefixed(&registry, &notice.form.hospital, &notice.form.apply_no),
            status: Coded {
                code: code.to_owned(),
                name: EXAM_STATUS.name(code).unwrap_or_default().to_owned(),
            },
            time: LocalDateTime::from_unix_ms(notice.time_ms, &zone),
            ..Self::default()
        };
        if let Some(key) = &notice.exam
            && let Some(row) = views.exam(key)?
        {
            told.take_exam(archive, &registry, notice, &row)?;
        }
        if let Some(form) = views.apply_form(&notice.form)? {
            // Who deleted it, as far as its HIS says.
            if notice.exam.is_none()
                && form.is_deleted()
                && let Some(who) = archive.form_content(form.position)?.body.operator
            {
                told.operator = Coded {
                    code: who.code.unwrap_or_default(),
                    name: who.name,
                };
            }
            let content = &form.content;
            told.apply_no = form.spelling;
            told.sick_no.clone_from(&content.sick_spelling);
            let orders = content
                .items
                .iter()
                .filter_map(|item| item.order_no.as_deref());
            told.order_no = orders.collect::<Vec<_>>().join(",");
            if told.patient_source.is_empty() {
                told.patient_source.clone_from(&content.patient_class.name);
            }
            if told.perform_dept.name.is_empty() {
                told.perform_dept = Coded {
                    code: content.perform_dept.code.clone().unwrap_or_default(),
                    name: content.perform_dept.name.clone(),
                };
            }
        }
        Ok(told)
    }

    fn take_exam(
        &mut self,
        archive: &Archive,
        registry: &Registry,
        notice: &NoticeRow,
        row: &ExamRow,
    ) -> Result<(), MessageError> {
        row.key.exam_no.as_str().clone_into(&mut self.exam_no);
        self.sick_no = prefixed(registry, &row.key.hospital, &row.sick_id);
        let source = row.patient_source.as_str();
        self.patient_source = PATIENT_CLASS.name(source).unwrap_or(source).to_owned();
        let Some(position) = notice.content else {
            return Ok(());
        };
        let body = archive.pushed_content(position)?;
        let Some(push) = ExamPush::from_canonical(&body.json) else {
            return Ok(());
        };
        // Images that are at the hospital open there (contract §2.3, link).
        let is_linked = |image: &&Image| {
            let mut studies = row.studies.iter();
            studies.any(|study| study.linked && study.uid == image.study_uid)
        };
        let mut linked = push.image_list.iter().filter(is_linked);
        let linked =
            linked.find_map(|image| image.image_url.clone().filter(|it| is_web_address(it)));
        self.image_url = match linked {
            Some(linked) => linked,
            None => viewer_address(registry, archive.key(), row, notice.time_ms)
                .map(|address| address.url)
                .unwrap_or_default(),
        };
        let text = |text: &Option<String>| text.clone().unwrap_or_default();
        let exam = &push.exam_info;
        self.perform_dept = Coded {
            code: text(&exam.perform_dept_code),
            name: text(&exam.perform_dept_name),
        };
        let orders = exam
            .exam_item_list
            .iter()
            .filter_map(|item| item.order_no.as_deref());
        self.order_no = orders.collect::<Vec<_>>().join(",");
        self.operator = match notice.status {
            // Who confirmed the report; the contract's push gives a name only.
            NoticeStatus::Confirmed => {
                let confirmed = push.report_list.iter().rev();
                let name = confirmed
                    .filter_map(|report| report.affirm_reporter.clone())
                    .next();
                Coded {
                    code: String::new(),
                    name: name.unwrap_or_default(),
                }
            }
            NoticeStatus::Registered | NoticeStatus::ImagesReceived => Coded {
                code: text(&exam.technican_code),
                name: text(&exam.technican_name),
            },
            NoticeStatus::Cancelled => withdrawn_by(archive, row)?,
        };
        Ok(())
    }
}

/// The operator who withdrew an exam, as long as that stands.
fn withdrawn_by(archive: &Archive, row: &ExamRow) -> Result<Coded, MessageError> {
    let Some(withdrawal) = row.withdrawn.operator else {
        return Ok(Coded::default());
    };
    Ok(Coded {
        code: String::new(),
        name: archive.correction_author(withdrawal)?,
    })
}

/// A number with its hospital's prefix, as other systems write it; bare where the hospital has none.
fn prefixed(registry: &Registry, hospital: &HospitalCode, number: &str) -> String {
    let hospital = registry.hospitals.get(hospital);
    match hospital.and_then(|hospital| hospital.prefix.as_deref()) {
        Some(prefix) => format!("{prefix}_{number}"),
        None => number.to_owned(),
    }
}

fn document(told: &Told) -> String {
    let mut out = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?><XmlDocument><Exam>");
    element(&mut out, "ExamNo", &told.exam_no);
    element(&mut out, "ApplyNo", &told.apply_no);
    element(&mut out, "OrderNo", &told.order_no);
    element(&mut out, "SickNo", &told.sick_no);
    element(&mut out, "PatientSource", &told.patient_source);
    coded(&mut out, "ExamStatus", &told.status);
    coded(&mut out, "PerformDept", &told.perform_dept);
    let time = told.time.map(|time| time.to_string()).unwrap_or_default();
    let (date, time) = time.split_once(' ').unwrap_or_default();
    element(&mut out, "OperateDate", date);
    element(&mut out, "OperateTime", time);
    coded(&mut out, "Operater", &told.operator);
    element(&mut out, "ImageUrl", &told.image_url);
    out.push_str("</Exam></XmlDocument>");
    out
}

// Writing to a String cannot fail.
fn element(out: &mut String, name: &str, text: &str) {
    let _ = write!(out, "<{name}>{}</{name}>", escape(text));
}

fn coded(out: &mut String, name: &str, value: &Coded) {
    let (code, text) = (escape(&value.code), escape(&value.name));
    let _ = write!(out, "<{name} code=\"{code}\">{text}</{name}>");
}
