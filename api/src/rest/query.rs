//! `POST /v1/exam/query`: exams by number, study, date, class and status, newest first, page by page.

use serde_json::{Value, json};
use yingku_core::contract::Rule;
use yingku_core::dictionaries::canonical_class;
use yingku_core::exam::{ExamFlag, ExamRow};
use yingku_core::ids::{ExamNo, HospitalCode, StudyUid};
use yingku_core::registry::Scope;
use yingku_core::time::LocalDate;
use yingku_storage::archive::AuditEntry;
use yingku_storage::views::exams::ExamSelector;
use yingku_storage::views::keys::NumberKind;

use super::exam_row::{Rows, row_schema};
use super::paging::{self, Paging};
use super::params::{NO_PAST, Params, text};
use super::schema;
use crate::call::{Call, allow, blocking};
use crate::envelope::Answer;
use crate::error::Failure;

/// Characters of any number (R13 allows 64 for the longest).
const NUMBER_LIMIT: usize = 64;
/// What narrows a question.
const CONDITIONS: [&str; 11] = [
    "hospitalCode",
    "examNo",
    "applyNo",
    "patientNo",
    "sickId",
    "patientID",
    "studyUID",
    "from",
    "to",
    "examClass",
    "examStatus",
];
const FIRST_DAY: &str = "0000-00-00";
const LAST_DAY: &str = "9999-99-99";

pub const EXAMPLE: &str =
    r#"{"hospitalCode":"350006","from":"2026-07-01","to":"2026-07-31","pageSize":20}"#;

pub fn request_schema() -> Value {
    let text = schema::text;
    let mut fields = vec![
        (
            "hospitalCode",
            false,
            text(32, "医院代码；缺省为该应用的全部医院"),
        ),
        ("examNo", false, text(32, "检查唯一流水号")),
        ("applyNo", false, text(NUMBER_LIMIT, "申请单号")),
        (
            "patientNo",
            false,
            text(
                NUMBER_LIMIT,
                "患者号：sickId、patientID、诊疗卡号、住院号或门诊号",
            ),
        ),
        ("sickId", false, text(NUMBER_LIMIT, "院内患者id")),
        (
            "patientID",
            false,
            text(NUMBER_LIMIT, "检查号，即 DICOM PatientID"),
        ),
        ("studyUID", false, text(128, "Study 唯一号")),
        ("from", false, text(10, "检查日期起，含")),
        ("to", false, text(10, "检查日期止，含")),
        ("examClass", false, text(32, "检查类别，按别名表比较")),
        (
            "examStatus",
            false,
            text(2, "20（由申请单登记，尚无推送）, 50, 60, 65, 70"),
        ),
        (
            "includeWithdrawn",
            false,
            schema::boolean("含已撤回的检查，及已由推送替代的申请单登记"),
        ),
    ];
    fields.extend(paging::request_schema());
    schema::object(&fields)
}

pub fn result_schema() -> Value {
    schema::array(row_schema())
}

/// What is asked for.
#[derive(Default)]
struct Asked {
    hospital: Option<HospitalCode>,
    exam_no: Option<ExamNo>,
    apply_no: Option<String>,
    /// Any of the patient's numbers.
    patient_no: Option<String>,
    sick_id: Option<String>,
    patient_id: Option<String>,
    study: Option<StudyUid>,
    from: Option<String>,
    to: Option<String>,
    class: Option<String>,
    status: Option<u8>,
    include_withdrawn: bool,
}

pub async fn handle(call: Call) -> Result<Answer, Failure> {
    let (asked, paging) = read(&call)?;
    let scope = call.caller()?.app()?.hospitals.clone();
    if let Some(hospital) = &asked.hospital {
        allow(&scope, hospital)?;
    }
    let text = |id: Option<&str>| id.unwrap_or_default().to_owned();
    let hospital = text(asked.hospital.as_ref().map(|code| code.as_str()));
    let target = match (&asked.exam_no, &asked.study) {
        (Some(number), _) => format!("{hospital}/{number}"),
        (None, study) => text(study.as_ref().map(|uid| uid.as_str())),
    };
    call.archive()
        .audit(AuditEntry {
            reader: call.caller()?.actor(),
            operation: "query".to_owned(),
            hospital,
            target,
            ..AuditEntry::default()
        })
        .await?;
    call.archive().settle().await?;
    blocking(move || answer(&call, &asked, &paging, &scope)).await
}

fn read(call: &Call) -> Result<(Asked, Paging), Failure> {
    let text = text(&call.body, call.charset.as_deref())?;
    let mut params = Params::read(&text)?;
    params.not_here("asOf", NO_PAST);
    let (from, to) = (params.date("from"), params.date("to"));
    params.in_order(from, to);
    let day = |date: Option<LocalDate>| date.map(|date| date.to_string());
    let asked = Asked {
        hospital: params.hospital(),
        exam_no: params.exam_no(),
        apply_no: params.text("applyNo", NUMBER_LIMIT),
        patient_no: params.text("patientNo", NUMBER_LIMIT),
        sick_id: params.text("sickId", NUMBER_LIMIT),
        patient_id: params.text("patientID", NUMBER_LIMIT),
        study: params.study_uid(),
        from: day(from),
        to: day(to),
        class: params.text("examClass", NUMBER_LIMIT),
        status: params.parsed("examStatus", |text| match text {
            "20" | "50" | "60" | "65" | "70" => Ok(text.parse().unwrap_or_default()),
            _ => Err("应为 20、50、60、65、70 之一 (must be 20, 50, 60, 65 or 70)"),
        }),
        include_withdrawn: params.flag("includeWithdrawn"),
    };
    if !asked.narrows() && !params.any_wrong(&CONDITIONS) {
        params.fault(
            "",
            Rule::Required,
            "至少给出一个条件：hospitalCode、examNo、applyNo、patientNo、sickId、patientID、studyUID、from/to、examClass 或 examStatus (give at least one condition)"
                .to_owned(),
        );
    }
    let filters = asked.filters(call.caller()?.id.as_str());
    let paging = Paging::read(&mut params, call.archive().key(), &filters);
    params.finish()?;
    Ok((asked, paging))
}

impl Asked {
    fn narrows(&self) -> bool {
        self.hospital.is_some()
            || self.exam_no.is_some()
            || self.apply_no.is_some()
            || self.patient_no.is_some()
            || self.sick_id.is_some()
            || self.patient_id.is_some()
            || self.study.is_some()
            || self.from.is_some()
            || self.to.is_some()
            || self.class.is_some()
            || self.status.is_some()
    }

    /// The index that narrows most.
    fn selector(&self, hospitals: impl Iterator<Item = HospitalCode>) -> ExamSelector {
        if let Some(uid) = &self.study {
            return ExamSelector::Study(uid.clone());
        }
        if let Some(number) = &self.exam_no {
            return ExamSelector::Number(number.as_str().to_owned(), vec![NumberKind::ExamNo]);
        }
        if let Some(number) = &self.apply_no {
            return ExamSelector::Number(number.clone(), vec![NumberKind::ApplyNo]);
        }
        for (number, kinds) in [
            (&self.patient_id, &[NumberKind::PatientId][..]),
            (&self.sick_id, &[NumberKind::SickId][..]),
            (&self.patient_no, &PATIENT_NUMBERS[..]),
        ] {
            if let Some(number) = number {
                return ExamSelector::Number(number.clone(), kinds.to_vec());
            }
        }
        ExamSelector::Days {
            hospitals: match &self.hospital {
                Some(hospital) => vec![hospital.clone()],
                None => hospitals.collect(),
            },
            from: self.from.as_deref().unwrap_or(FIRST_DAY).to_owned(),
            to: self.to.as_deref().unwrap_or(LAST_DAY).to_owned(),
        }
    }

    /// Whether a row is asked for. An index may lead to rows that have changed since.
    fn matches(&self, row: &ExamRow, class_of: impl Fn(&str) -> String) -> bool {
        let is =
            |asked: &Option<String>, found: &str| asked.as_deref().is_none_or(|no| no == found);
        let is_shown = row.withdrawn.is_none() && !row.has(ExamFlag::Superseded);
        (self.include_withdrawn || is_shown)
            && self
                .hospital
                .as_ref()
                .is_none_or(|code| *code == row.key.hospital)
            && self
                .exam_no
                .as_ref()
                .is_none_or(|no| *no == row.key.exam_no)
            && is(&self.apply_no, &row.apply_no)
            && is(&self.sick_id, &row.sick_id)
            && is(&self.patient_id, &row.patient_id)
            && self.patient_no.as_deref().is_none_or(|no| {
                [
                    &row.sick_id,
                    &row.patient_id,
                    &row.card_no,
                    &row.inpatient_no,
                    &row.outpatient_no,
                ]
                .iter()
                .any(|found| *found == no)
            })
            && self.study.as_ref().is_none_or(|uid| row.has_study(uid))
            && self
                .from
                .as_deref()
                .is_none_or(|from| from <= row.exam_date())
            && self.to.as_deref().is_none_or(|to| row.exam_date() <= to)
            && self.status.is_none_or(|status| status == row.status)
            && self
                .class
                .as_deref()
                .is_none_or(|class| class_of(class) == class_of(&row.class))
    }

    /// The app and all that narrows its question.
    fn filters(&self, app: &str) -> Value {
        json!([
            app,
            self.hospital,
            self.exam_no,
            self.apply_no,
            self.patient_no,
            self.sick_id,
            self.patient_id,
            self.study,
            self.from,
            self.to,
            self.class,
            self.status,
            self.include_withdrawn,
        ])
    }
}

const PATIENT_NUMBERS: [NumberKind; 5] = [
    NumberKind::SickId,
    NumberKind::PatientId,
    NumberKind::CardNo,
    NumberKind::InpatientNo,
    NumberKind::OutpatientNo,
];

fn answer(call: &Call, asked: &Asked, paging: &Paging, scope: &Scope) -> Result<Answer, Failure> {
    let archive = call.archive();
    let (views, registry) = (archive.views(), archive.registry());
    let position = paging.position(views.cursor()?.next);
    let hospitals = registry.hospitals.keys().filter(|code| scope.has(code));
    let mut rows = views.exams(&asked.selector(hospitals.cloned()))?;
    let aliases = &registry.settings.class_aliases;
    let class_of = |text: &str| canonical_class(aliases, text).code;
    rows.retain(|row| {
        row.first_position < position
            && scope.has(&row.key.hospital)
            && asked.matches(row, class_of)
    });
    rows.sort_by_key(|row| std::cmp::Reverse(row.first_position));
    let total = rows.len();
    // What a hospital pushed stays readable when it is no longer registered.
    if let (Some(hospital), 0) = (&asked.hospital, total) {
        call.registered(hospital)?;
    }
    let (page, said) = paging.cut(&rows, position, archive.key(), |row| row.first_position)?;
    let encode = Rows {
        views: &views,
        registry: &registry,
        zone: call.zone(),
        as_of: None,
    };
    let found = page
        .into_iter()
        .map(|row| match row.withdrawn.is_some() {
            // Withdrawn exams are named, their patients are not.
            true => encode.brief(row).map(Value::Object),
            false => encode.whole(row),
        })
        .collect::<Result<Vec<Value>, Failure>>()?;
    Ok(
        Answer::new(format!("成功，共 {total} 个检查 ({total} exams)"))
            .with_result(Value::Array(found))
            .with_page(said),
    )
}
