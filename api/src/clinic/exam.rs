//! One exam: whose it is, its report to read and to print, its versions, and how its images stand.

use askama::Template;
use yingku_core::contract::push::{ExamPush, Report, is_web_address};
use yingku_core::exam::{ExamFlag, ExamHistory, ExamRow, ExamStep, ReportState};
use yingku_core::ids::{Position, StudyKey};
use yingku_core::reconcile::StudyState;

use super::list::{Person, items};
use super::trouble::Trouble;
use super::{House, page, words};
use crate::call::local_time;
use crate::error::Failure;
use crate::rest::exam_row::Rows;

/// Characters of one text of a report: twenty times what the contract allows.
const TEXT_LIMIT: usize = 20_000;
/// Characters of any other field.
const FIELD_LIMIT: usize = 512;
/// Reports of one exam, its diagnoses, series of a study, studies, lines of its history: more than any exam has, so that no
/// push makes a page without end. Reports that are left out are said; of the history the newest lines are shown.
const ROWS_LIMIT: usize = 100;

#[derive(Template)]
#[template(path = "clinic/exam.html")]
struct ExamPage<'h> {
    style: &'static str,
    hospital: &'h str,
    /// The list that it stands in; empty: it is alone.
    list: String,
    number: String,
    head: Option<Head>,
    made: String,
}

/// Everything but of an exam that was withdrawn.
struct Head {
    person: Person,
    facts: Vec<(&'static str, String)>,
    state: ReportState,
    state_name: &'static str,
    /// Of an earlier version: when it came, and what it was. Then it says nothing of images.
    earlier: Option<(String, &'static str)>,
    /// The exam in its current version.
    current: String,
    is_test: bool,
    /// When the report was changed last, if it was after it had been confirmed.
    revised: String,
    reports: Vec<ReportView>,
    reports_left_out: usize,
    studies: Vec<StudyView>,
    /// Where its images are paged through; empty: none has come.
    images: String,
    versions: Vec<VersionView>,
}

impl Head {
    fn is_draft(&self) -> bool {
        self.state == ReportState::Preliminary
    }

    fn is_returned(&self) -> bool {
        self.state == ReportState::Returned
    }

    fn is_none(&self) -> bool {
        self.state == ReportState::None
    }

    fn is_revised(&self) -> bool {
        self.state == ReportState::Revised
    }
}

struct ReportView {
    number: String,
    findings: String,
    impression: String,
    recommendation: String,
    abnormal: &'static str,
    diagnoses: String,
    reporter: String,
    report_time: String,
    confirmer: String,
    confirm_time: String,
}

struct StudyView {
    state: &'static str,
    declared: String,
    received: u32,
    is_foreign: bool,
    series: Vec<SeriesView>,
    /// Where it opens at the hospital.
    links: Vec<String>,
}

struct SeriesView {
    number: String,
    modality: String,
    description: String,
    instances: u32,
    /// Scanned apply forms (contract §2.4).
    is_form: bool,
}

struct VersionView {
    time: String,
    step: &'static str,
    report: &'static str,
    is_current: bool,
    /// Empty: it cannot be looked at.
    address: String,
}

/// `version`: the record of an earlier version.
pub fn render(
    house: &House,
    row: &ExamRow,
    found: &[ExamRow],
    version: Option<Position>,
) -> Result<String, Trouble> {
    let head = match row.withdrawn.is_some() {
        true => None,
        false => Some(head(house, row, version)?),
    };
    let page = ExamPage {
        style: page::STYLE,
        hospital: house.hospital_name(),
        list: match found.len() {
            1 => String::new(),
            _ => format!("?{}", house.opening.base),
        },
        number: row.key.exam_no.to_string(),
        head,
        made: local_time(house.now_ms, &house.zone),
    };
    Ok(page::html(&page)?)
}

fn head(house: &House, row: &ExamRow, version: Option<Position>) -> Result<Head, Trouble> {
    let lines = house.views.history(&row.key, None).map_err(Failure::from)?;
    let version = version.filter(|version| *version != row.position);
    let earlier = match version {
        None => None,
        Some(version) => {
            let mut open = lines.iter().filter(|line| opens(line, &lines, row));
            let line = open.find(|line| line.content == Some(version));
            Some(line.ok_or(Trouble::NoVersion)?)
        }
    };
    let shown = earlier.map_or(row, |line| &line.row);
    let state = shown.report;
    let body = house.archive.pushed_content(shown.position);
    let body = body.map_err(Failure::from)?;
    let push = ExamPush::from_canonical(&body.json);
    let shows_report = !matches!(state, ReportState::None | ReportState::Returned);
    // R6: a report that was taken back is never shown, not even as a draft.
    let reports = push.iter().filter(|_| shows_report);
    let reports: Vec<&Report> = reports.flat_map(|push| &push.report_list).collect();
    let is_revised = state == ReportState::Revised;
    let studies = match earlier {
        None => studies(house, row, push.as_ref())?,
        Some(_) => Vec::new(),
    };
    let has_images = studies.iter().any(|study| !study.series.is_empty());
    Ok(Head {
        person: Person::of(shown),
        facts: push
            .as_ref()
            .map(|push| facts(house, shown, push))
            .unwrap_or_default(),
        state,
        state_name: words::report(state),
        earlier: earlier.map(|line| (local_time(line.time_ms, &house.zone), words::step(line))),
        current: format!("?{}", house.exam_address(row)),
        is_test: row.has(ExamFlag::Test),
        revised: match is_revised {
            true => local_time(shown.time_ms, &house.zone),
            false => String::new(),
        },
        reports: reports
            .iter()
            .take(ROWS_LIMIT)
            .map(|report| report_view(report))
            .collect(),
        reports_left_out: reports.len().saturating_sub(ROWS_LIMIT),
        studies,
        images: match has_images {
            true => format!("?{}&series=0", house.exam_address(row)),
            false => String::new(),
        },
        versions: versions(house, row, &lines),
    })
}

fn text(text: Option<&String>, limit: usize) -> String {
    text.map(|text| words::within(text, limit))
        .unwrap_or_default()
}

/// Whose exam it is and what was done, in a report's usual order; what the push does not say is left out.
fn facts(house: &House, row: &ExamRow, push: &ExamPush) -> Vec<(&'static str, String)> {
    let (patient, exam) = (&push.patient_info, &push.exam_info);
    let field = |value: &Option<String>| text(value.as_ref(), FIELD_LIMIT);
    let organs: Vec<&str> = exam
        .exam_organ_list
        .iter()
        .map(|organ| organ.organ_name.as_str())
        .collect();
    let mut facts = vec![
        ("年龄", field(&patient.age)),
        ("来源", field(&patient.patient_source)),
        ("门诊号", field(&patient.out_patient_no)),
        ("住院号", field(&patient.inpatient_no)),
        ("床号", field(&patient.bedno)),
        ("检查号", row.patient_id.clone()),
        ("申请单号", row.apply_no.clone()),
        ("检查类别", words::class(row, &house.registry)),
        ("检查项目", items(push)),
        ("检查部位", words::within(&organs.join("；"), FIELD_LIMIT)),
        ("检查时间", row.exam_time.clone()),
        ("检查设备", field(&exam.device)),
        ("检查科室", field(&exam.perform_dept_name)),
        (
            "申请医院",
            words::within(&exam.req_hospital_name, FIELD_LIMIT),
        ),
        ("申请科室", field(&exam.req_dept_name)),
        ("申请医生", field(&exam.req_physician_name)),
        ("临床症状", field(&exam.clin_symp)),
        ("临床诊断", field(&exam.clin_diag)),
    ];
    facts.retain(|(_, value)| !value.is_empty());
    facts
}

fn report_view(report: &Report) -> ReportView {
    let time = |time: Option<yingku_core::time::LocalDateTime>| {
        time.map(|time| time.to_string()).unwrap_or_default()
    };
    let diagnoses = report.category.iter().take(ROWS_LIMIT).map(|category| {
        let parts = [&category.ca_name, &category.ca_code];
        let parts: Vec<&str> = parts.iter().filter_map(|part| part.as_deref()).collect();
        parts.join(" ")
    });
    let diagnoses: Vec<String> = diagnoses.filter(|it| !it.is_empty()).collect();
    ReportView {
        number: text(report.report_no.as_ref(), FIELD_LIMIT),
        findings: text(report.description.as_ref(), TEXT_LIMIT),
        impression: text(report.impression.as_ref(), TEXT_LIMIT),
        recommendation: text(report.recommendation.as_ref(), TEXT_LIMIT),
        abnormal: words::abnormal(report.ab_normal_flag.as_deref()),
        diagnoses: words::within(&diagnoses.join("；"), TEXT_LIMIT),
        reporter: text(report.reporter.as_ref(), FIELD_LIMIT),
        report_time: time(report.report_time),
        confirmer: text(report.affirm_reporter.as_ref(), FIELD_LIMIT),
        confirm_time: time(report.affirm_time),
    }
}

/// How the exam's images stand: series and their counts, and where they open that are at the hospital (R9).
fn studies(
    house: &House,
    row: &ExamRow,
    push: Option<&ExamPush>,
) -> Result<Vec<StudyView>, Failure> {
    let rows = Rows {
        views: &house.views,
        registry: &house.registry,
        zone: house.zone.clone(),
        as_of: None,
    };
    let mut views = Vec::new();
    for study in rows.images(row)?.studies.into_iter().take(ROWS_LIMIT) {
        let key = StudyKey::new(row.key.hospital.clone(), study.uid.clone());
        let stored = match study.foreign {
            true => None,
            false => house.views.study(&key)?,
        };
        let series = stored.iter().flat_map(|study| &study.series);
        let mut series: Vec<SeriesView> = series
            .filter(|one| one.instances > 0)
            .take(ROWS_LIMIT)
            .map(|one| SeriesView {
                is_form: one.facts.number.trim().parse::<i64>() == Ok(0),
                number: one.facts.number.trim().to_owned(),
                modality: one.facts.modality.clone(),
                description: words::within(&one.facts.description, FIELD_LIMIT),
                instances: one.instances,
            })
            .collect();
        series.sort_by_key(|one| one.number.parse::<i64>().unwrap_or(i64::MAX));
        let linked = push.iter().flat_map(|push| &push.image_list);
        let linked = linked
            .filter(|image| study.state == StudyState::Linked && image.study_uid == *study.uid);
        let urls = linked.filter_map(|image| image.image_url.clone());
        views.push(StudyView {
            state: words::study(study.state),
            declared: study
                .declared
                .map(|count| count.to_string())
                .unwrap_or_default(),
            received: study.received.images,
            is_foreign: study.foreign,
            series,
            links: urls
                .filter(|url| is_web_address(url))
                .take(ROWS_LIMIT)
                .collect(),
        });
    }
    Ok(views)
}

/// What became of the exam, newest first.
fn versions(house: &House, row: &ExamRow, lines: &[ExamHistory]) -> Vec<VersionView> {
    let newest = lines.iter().rev().take(ROWS_LIMIT);
    let view = |line: &ExamHistory| {
        let is_current = line.content == Some(row.position);
        let address = match (line.content, opens(line, lines, row)) {
            (Some(version), true) if !is_current => {
                format!("?{}&version={}", house.exam_address(row), version.0)
            }
            _ => String::new(),
        };
        VersionView {
            time: local_time(line.time_ms, &house.zone),
            step: words::step(line),
            report: words::report(line.row.report),
            is_current,
            address,
        }
    };
    newest.map(view).collect()
}

/// Whether an earlier version may be looked at: not while the report is taken back, nor what was taken back itself, nor what
/// stood before the exam was withdrawn, nor what was another person's (R6: whose number and name both differ).
fn opens(line: &ExamHistory, lines: &[ExamHistory], row: &ExamRow) -> bool {
    let withdrawn = lines
        .iter()
        .rev()
        .find(|line| line.step == ExamStep::Withdrawn);
    let is_after = withdrawn.is_none_or(|withdrawn| line.position > withdrawn.position);
    let is_version = matches!(
        line.step,
        ExamStep::Registered | ExamStep::Changed | ExamStep::Restored
    );
    let is_taken_back = |state| state == ReportState::Returned;
    line.content.is_some()
        && is_version
        && is_after
        && (line.row.sick_id == row.sick_id || line.row.name == row.name)
        && !is_taken_back(line.row.report)
        && !is_taken_back(row.report)
}
