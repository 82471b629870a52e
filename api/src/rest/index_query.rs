//! `POST /v1/index/query`: an exam's national imaging index, how it stands, and why it is incomplete.

use serde_json::{Value, json};
use yingku_core::exam::{ExamFlag, ExamRow};
use yingku_core::ids::{ExamNo, HospitalCode, StudyUid};
use yingku_core::national_index::IndexState;
use yingku_storage::views::Views;
use yingku_storage::views::exams::ExamSelector;

use super::detail::no_exam;
use super::national_index::{index_schema, standing, standing_schema};
use super::params::{NO_PAST, Params, incomplete, text};
use super::reading::{self, Reading, Shown, wants_reason};
use super::schema;
use crate::call::{Call, blocking};
use crate::envelope::Answer;
use crate::error::Failure;

/// Exams of one study that are answered at once: one scan has a few forms.
const SHARED_LIMIT: usize = 32;

pub const EXAMPLE: &str = r#"{"hospitalCode":"350006","examNo":"CT20260704001"}"#;

pub fn request_schema() -> Value {
    let mut fields = vec![
        (
            "hospitalCode",
            false,
            schema::text(32, "医院代码，与 examNo 同用时必填"),
        ),
        ("examNo", false, schema::text(32, "检查唯一流水号")),
        ("generation", false, schema::generation()),
        (
            "studyUID",
            false,
            schema::text(
                128,
                "Study 唯一号，可代替 hospitalCode 与 examNo (in place of them)",
            ),
        ),
    ];
    fields.extend(reading::request_schema());
    schema::object(&fields)
}

pub fn result_schema() -> Value {
    let mut fields = standing_schema();
    fields.push(("index", false, index_schema()));
    schema::array(schema::object(&fields))
}

/// Which exams a request means.
enum Asked {
    Exam(HospitalCode, ExamNo, Option<u16>),
    Study(StudyUid),
}

pub async fn handle(call: Call) -> Result<Answer, Failure> {
    let (asked, reading) = read(&call)?;
    let (hospital, target) = match &asked {
        Asked::Exam(hospital, exam_no, _) => (Some(hospital), format!("{hospital}/{exam_no}")),
        Asked::Study(uid) => (None, uid.to_string()),
    };
    reading
        .audit(&call, "indexQuery", hospital, &target)
        .await?;
    call.archive().settle().await?;
    blocking(move || answer(&call, &asked, &reading)).await
}

fn read(call: &Call) -> Result<(Asked, Reading), Failure> {
    let text = text(&call.body, call.charset.as_deref())?;
    let mut params = Params::read(&text)?;
    params.not_here("asOf", NO_PAST);
    let study = params.study_uid();
    let exam = match study.is_some() || params.any_wrong(&["studyUID"]) {
        true => None,
        false => params.exam(),
    };
    let generation = params.generation();
    let reading = Reading::read(&mut params, call)?;
    params.finish()?;
    let asked = match (study, exam) {
        (Some(study), _) => Asked::Study(study),
        (None, Some((hospital, exam_no))) => Asked::Exam(hospital, exam_no, generation),
        (None, None) => return Err(incomplete()),
    };
    Ok((asked, reading))
}

fn answer(call: &Call, asked: &Asked, reading: &Reading) -> Result<Answer, Failure> {
    let views = call.archive().views();
    let registry = call.archive().registry();
    let zone = call.zone();
    let mut found = Vec::new();
    let mut is_kept = false;
    for exam in exams(&views, asked)? {
        match reading.shows(&unhidden(&exam), &registry) {
            Shown::Yes => {}
            Shown::WantsReason => {
                is_kept = true;
                continue;
            }
            Shown::No => continue,
        }
        let row = views.national_index(&exam.key)?;
        let mut out = standing(&exam.key, row.as_ref(), &zone);
        // What was taken back is no index of the exam any more.
        let index = row.filter(|row| row.state != IndexState::Withdrawn);
        if let Some(index) = index.and_then(|row| row.index) {
            out.insert("index".to_owned(), json!(index));
        }
        found.push(Value::Object(out));
    }
    match (found.is_empty(), is_kept) {
        (false, _) => Ok(Answer::new("成功 (done)").with_result(Value::Array(found))),
        (true, true) => Err(wants_reason()),
        (true, false) => Err(no_exam(match asked {
            Asked::Exam(..) => "examNo",
            Asked::Study(_) => "studyUID",
        })),
    }
}

fn exams(views: &Views, asked: &Asked) -> Result<Vec<ExamRow>, Failure> {
    let exam = match asked {
        Asked::Study(uid) => {
            let mut rows = views.exams(&ExamSelector::Study(uid.clone()))?;
            rows.truncate(SHARED_LIMIT);
            return Ok(rows);
        }
        Asked::Exam(hospital, exam_no, None) => views.latest_exam(hospital, exam_no)?,
        Asked::Exam(hospital, exam_no, Some(generation)) => {
            views.exam(&yingku_core::ids::ExamKey {
                hospital: hospital.clone(),
                exam_no: exam_no.clone(),
                generation: *generation,
            })?
        }
    };
    Ok(exam.into_iter().collect())
}

/// The exam as if it were not withdrawn: that its index was taken back is told to whom the exam would be shown.
pub(super) fn unhidden(exam: &ExamRow) -> ExamRow {
    let mut exam = exam.clone();
    exam.withdrawn = Default::default();
    exam.set(ExamFlag::Superseded, false);
    exam
}
