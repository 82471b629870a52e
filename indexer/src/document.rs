//! An exam as a document.

use std::collections::BTreeSet;

use tantivy::TantivyDocument;
use yingku_core::contract::push::{ExamPush, Report};
use yingku_core::dictionaries::canonical_class;
use yingku_core::exam::{ExamRow, ReportState};
use yingku_core::ids::ExamKey;
use yingku_core::registry::{Settings, canonical_source};

use crate::names;
use crate::schema::Fields;
use crate::words;

/// Characters of a term that is counted; devices and names of people are far shorter.
const TERM_CHARACTERS: usize = 64;
/// Characters of one exam's prose that are found; the longest reports have a few thousand.
const PROSE_CHARACTERS: usize = 20_000;

/// What an exam is found by.
pub struct Exam {
    pub row: ExamRow,
    /// As it was pushed; of an exam that was registered from its form, what was made of that.
    pub content: ExamPush,
}

/// The term by which an exam's document is replaced.
pub fn term_of(key: &ExamKey) -> String {
    format!("{}/{}/{}", key.hospital, key.generation, key.exam_no)
}

pub fn document(exam: &Exam, settings: &Settings, fields: &Fields) -> TantivyDocument {
    let (row, push) = (&exam.row, &exam.content);
    let mut out = TantivyDocument::default();
    let key = serde_json::to_vec(&row.key).unwrap_or_default();
    out.add_text(fields.exam, term_of(&row.key));
    out.add_bytes(fields.key, &key);
    out.add_text(fields.hospital, row.key.hospital.as_str());
    let class = canonical_class(&settings.class_aliases, &row.class).code;
    out.add_text(fields.class, class);
    out.add_text(fields.status, row.status.to_string());
    out.add_text(fields.source, canonical_source(&row.patient_source));
    out.add_u64(fields.first, row.first_position.0);
    out.add_u64(fields.day, day_number(row.exam_date()));
    for organ in &push.exam_info.exam_organ_list {
        out.add_text(fields.body_part, cut(&organ.organ_name));
    }
    if let Some(device) = &push.exam_info.device {
        out.add_text(fields.device, cut(device));
    }
    for number in numbers(row, push) {
        out.add_text(fields.number, number);
    }
    for run in words::runs(&words::folded(&row.name)) {
        out.add_text(fields.name, run);
    }
    out.add_text(fields.whole_name, whole_name(&row.name));
    let pieces = names::pieces(&row.name);
    for pinyin in &pieces.pinyin {
        out.add_text(fields.pinyin, pinyin);
    }
    for initials in &pieces.initials {
        out.add_text(fields.initials, initials);
    }
    let reports = shown_reports(exam);
    for report in reports {
        describe(report, fields, &mut out);
    }
    let prose = prose(push, reports);
    let mut left = PROSE_CHARACTERS;
    let texts: Vec<String> = prose
        .into_iter()
        .map(|text| {
            let kept: String = text.chars().take(left).collect();
            left -= kept.chars().count();
            kept
        })
        .filter(|text| !text.is_empty())
        .collect();
    let texts = || texts.iter().map(String::as_str);
    out.add_pre_tokenized_text(fields.prose, words::prose(texts()));
    for character in words::distinct_characters(texts()) {
        out.add_text(fields.character, character.to_string());
    }
    out
}

/// R6: a report that was taken back is never shown, so it is not found either.
fn shown_reports(exam: &Exam) -> &[Report] {
    match exam.row.report {
        ReportState::Returned => &[],
        _ => &exam.content.report_list,
    }
}

fn describe(report: &Report, fields: &Fields, out: &mut TantivyDocument) {
    if let Some(flag @ ("0" | "1")) = report.ab_normal_flag.as_deref() {
        out.add_text(fields.positive, flag);
    }
    let doctors = [&report.reporter, &report.affirm_reporter];
    let doctors: BTreeSet<&String> = doctors.into_iter().flatten().collect();
    for doctor in doctors {
        out.add_text(fields.doctor, cut(doctor));
    }
    for code in report.category.iter().filter_map(|it| it.ca_code.as_ref()) {
        let code = words::number(code);
        if let Some((group, _)) = code.split_once('.') {
            out.add_text(fields.code, cut(group));
        }
        out.add_text(fields.code, cut(&code));
    }
}

/// Every number by which somebody looks for an exam or its patient, once each.
fn numbers(row: &ExamRow, push: &ExamPush) -> BTreeSet<String> {
    let patient = &push.patient_info;
    let own = [
        row.key.exam_no.as_str(),
        &row.apply_no,
        &row.sick_id,
        &row.patient_id,
        &row.card_no,
        &row.inpatient_no,
        &row.outpatient_no,
    ];
    let cards = [&patient.si_card, &patient.mi_card];
    let identities = patient
        .identity
        .iter()
        .filter_map(|it| it.id_number.as_deref());
    let reports = push
        .report_list
        .iter()
        .filter_map(|it| it.report_no.as_deref());
    let orders = push.exam_info.exam_item_list.iter();
    let orders = orders.filter_map(|it| it.order_no.as_deref());
    let accessions = row
        .studies
        .iter()
        .filter_map(|it| it.accession_no.as_deref());
    let studies = row.studies.iter().map(|it| it.uid.as_str());
    own.into_iter()
        .chain(cards.into_iter().flatten().map(String::as_str))
        .chain(identities)
        .chain(reports)
        .chain(orders)
        .chain(accessions)
        .chain(studies)
        .map(|number| cut(&words::number(number)))
        .filter(|number| !number.is_empty())
        .collect()
}

/// Texts of which somebody may remember words.
fn prose<'a>(push: &'a ExamPush, reports: &'a [Report]) -> Vec<&'a str> {
    let exam = &push.exam_info;
    let mut texts: Vec<&str> = Vec::new();
    texts.push(&exam.exam_class);
    texts.extend(
        exam.exam_item_list
            .iter()
            .map(|item| item.item_name.as_str()),
    );
    texts.extend(
        exam.exam_organ_list
            .iter()
            .map(|organ| organ.organ_name.as_str()),
    );
    let others = [
        &exam.exam_sub_class,
        &exam.common_name,
        &exam.device,
        &exam.perform_dept_name,
        &exam.req_dept_name,
        &exam.req_physician_name,
        &exam.clin_symp,
        &exam.clin_diag,
        &exam.phys_sign,
    ];
    texts.extend(others.into_iter().flatten().map(String::as_str));
    for report in reports {
        let parts = [
            &report.description,
            &report.impression,
            &report.recommendation,
            &report.reporter,
            &report.affirm_reporter,
        ];
        texts.extend(parts.into_iter().flatten().map(String::as_str));
        let categories = report.category.iter();
        texts.extend(categories.filter_map(|it| it.ca_name.as_deref()));
    }
    texts
}

/// A name without what stands between its parts.
pub fn whole_name(name: &str) -> String {
    let characters = words::characters(&words::folded(name)).into_iter();
    characters.map(|it| it.text).collect()
}

/// `2026-07-04` → 20260704; what is no day is 0.
pub fn day_number(day: &str) -> u64 {
    let digits: String = day.chars().filter(char::is_ascii_digit).collect();
    digits.parse().unwrap_or_default()
}

pub fn cut(text: &str) -> String {
    text.trim().chars().take(TERM_CHARACTERS).collect()
}
