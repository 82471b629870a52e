//! `POST /v1/report/citation` 影像结果引用 (contract §5): an exam's result for an electronic record that cites it.
//!
//! By exam, by form or by study UID; a form and a study may have several exams. Whose the result is, how far it is confirmed
//! and which version it is stand beside it. Of what was taken back no text leaves the archive, as of whichever moment.

mod content;
mod key_images;
mod shape;

use std::sync::Arc;

use serde_json::{Value, json};
use yingku_core::contract::Rule;
use yingku_core::exam::ExamRow;
use yingku_core::ids::{ExamKey, ExamNo, HospitalCode, Position, StudyUid};
use yingku_core::outcome::{ErrorKind, Refusal};
use yingku_core::registry::Registry;
use yingku_storage::views::Views;
use yingku_storage::views::exams::ExamSelector;
use yingku_storage::views::keys::NumberKind;

use super::detail::no_exam;
use super::exam_row::names;
use super::params::{Params, incomplete, text};
use super::reading::{Reading, Shown, wants_reason};
use crate::call::{Call, allow, blocking, local_time};
use crate::envelope::Answer;
use crate::error::Failure;
use content::Cited;

pub use shape::{request_schema, result_schema};

/// Exams of one form or study that are answered at once: one scan has a few forms.
const EXAMS_LIMIT: usize = 32;
/// Minutes for which addresses of key images open, where nobody asks for others; a week at most.
const VALID_MINUTES: u64 = 60;
const VALID_MINUTES_LIMIT: u64 = 7 * 24 * 60;
/// Characters of an apply form's number (R13).
const APPLY_NO_LIMIT: usize = 64;

pub const EXAMPLE: &str = r#"{"hospitalCode":"350006","examNo":"E20260704001","user":"d001"}"#;

/// Which exams are cited.
enum Named {
    Exam(HospitalCode, ExamNo, Option<u16>),
    Form(HospitalCode, String),
    Study(StudyUid, Option<HospitalCode>),
}

struct Asked {
    named: Named,
    reading: Reading,
    as_of_ms: Option<i64>,
    with_images: bool,
    valid_minutes: u64,
}

/// One exam that may be cited.
struct Found {
    /// As it stands.
    now: ExamRow,
    /// As it stood at the moment asked for.
    then: ExamRow,
}

/// What a question came to.
#[derive(Default)]
struct Exams {
    cited: Vec<Found>,
    /// Of these nothing but their numbers is told.
    withdrawn: Vec<ExamKey>,
    want_reason: bool,
}

pub async fn handle(call: Call) -> Result<Answer, Failure> {
    let asked = Arc::new(read(&call)?);
    let call = Arc::new(call);
    let (hospital, target) = asked.named.target();
    let reading = &asked.reading;
    reading.audit(&call, "citation", hospital, &target).await?;
    call.archive().settle().await?;
    let exams = {
        let (call, asked) = (Arc::clone(&call), Arc::clone(&asked));
        blocking(move || find(&call, &asked)).await?
    };
    if exams.cited.is_empty() {
        return Err(nothing(&asked.named, &exams));
    }
    let mut cited = Vec::with_capacity(exams.cited.len());
    for found in exams.cited {
        // What a form or a study led to is on record by its own name.
        let key = found.now.key.clone();
        let exam = format!("{}/{}", key.hospital, key.exam_no);
        if exam != target {
            let hospital = Some(&key.hospital);
            reading.audit(&call, "citation", hospital, &exam).await?;
        }
        let (of_call, of_asked) = (Arc::clone(&call), Arc::clone(&asked));
        let made = blocking(move || content::cite(&of_call, &of_asked, &found)).await?;
        cited.push(finish(&call, &asked, made).await?);
    }
    let withdrawn: Vec<Value> = exams
        .withdrawn
        .iter()
        .map(|key| Value::Object(names(key)))
        .collect();
    let mut result = json!({ "exams": cited, "withdrawn": withdrawn });
    if let (Some(ms), Some(result)) = (asked.as_of_ms, result.as_object_mut()) {
        let moment = local_time(ms, &call.zone());
        result.insert("asOf".to_owned(), moment.into());
    }
    Ok(Answer::new("成功 (done)").with_result(result))
}

/// Adds the pictures, where they are asked for.
async fn finish(call: &Call, asked: &Asked, made: Cited) -> Result<Value, Failure> {
    let Cited {
        mut fields,
        key_images,
    } = made;
    let key_images = key_images.told(call, asked.with_images).await?;
    fields.insert("keyImages".to_owned(), key_images);
    Ok(Value::Object(fields))
}

fn read(call: &Call) -> Result<Asked, Failure> {
    let text = text(&call.body, call.charset.as_deref())?;
    let mut params = Params::read(&text)?;
    let study = params.study_uid();
    let apply_no = params.text("applyNo", APPLY_NO_LIMIT);
    let by_study = study.is_some() || params.any_wrong(&["studyUID"]);
    let by_form = !by_study && (apply_no.is_some() || params.any_wrong(&["applyNo"]));
    let exam_no = params.exam_no();
    let generation = params.generation();
    if exam_no.is_some() && (by_study || by_form) || by_study && apply_no.is_some() {
        let words =
            "examNo、applyNo、studyUID 只给一种 (give only one of examNo, applyNo and studyUID)";
        params.fault("", Rule::Consistency, words.to_owned());
    }
    let hospital = match by_study {
        true => params.hospital(),
        false => params.required("hospitalCode", Params::hospital),
    };
    if !by_study && !by_form && exam_no.is_none() && !params.any_wrong(&["examNo"]) {
        let words = "examNo、applyNo、studyUID 须给其一 (give examNo, applyNo or studyUID)";
        params.fault("examNo", Rule::Required, words.to_owned());
    }
    let reading = Reading::read(&mut params, call)?;
    let as_of_ms = params.moment("asOf", &call.zone());
    let with_images = params.flag("withImages");
    let valid_minutes = params.number("validMinutes", 1..=VALID_MINUTES_LIMIT);
    params.finish()?;
    let named = match (study, hospital, apply_no, exam_no) {
        (Some(study), hospital, ..) => Named::Study(study, hospital),
        (None, Some(hospital), Some(apply_no), _) => Named::Form(hospital, apply_no),
        (None, Some(hospital), None, Some(exam_no)) => Named::Exam(hospital, exam_no, generation),
        _ => return Err(incomplete()),
    };
    if let Some(hospital) = named.hospital() {
        allow(&call.caller()?.app()?.hospitals, hospital)?;
    }
    Ok(Asked {
        named,
        reading,
        as_of_ms,
        with_images,
        valid_minutes: valid_minutes.unwrap_or(VALID_MINUTES),
    })
}

impl Named {
    fn hospital(&self) -> Option<&HospitalCode> {
        match self {
            Self::Exam(hospital, ..) | Self::Form(hospital, _) => Some(hospital),
            Self::Study(_, hospital) => hospital.as_ref(),
        }
    }

    /// The field that names it.
    fn path(&self) -> &'static str {
        match self {
            Self::Exam(..) => "examNo",
            Self::Form(..) => "applyNo",
            Self::Study(..) => "studyUID",
        }
    }

    /// For the record: hospital, and exam, form or study.
    fn target(&self) -> (Option<&HospitalCode>, String) {
        let target = match self {
            Self::Exam(hospital, exam_no, _) => format!("{hospital}/{exam_no}"),
            Self::Form(hospital, apply_no) => format!("{hospital}/{apply_no}"),
            Self::Study(study, _) => study.to_string(),
        };
        (self.hospital(), target)
    }

    /// Every exam that is meant, withdrawn or not.
    fn rows(&self, views: &Views) -> Result<Vec<ExamRow>, Failure> {
        let mut rows = match self {
            Self::Exam(hospital, exam_no, None) => {
                views.latest_exam(hospital, exam_no)?.into_iter().collect()
            }
            Self::Exam(hospital, exam_no, Some(generation)) => {
                let key = ExamKey {
                    hospital: hospital.clone(),
                    exam_no: exam_no.clone(),
                    generation: *generation,
                };
                views.exam(&key)?.into_iter().collect()
            }
            Self::Form(_, apply_no) => {
                let kinds = vec![NumberKind::ApplyNo];
                views.exams(&ExamSelector::Number(apply_no.clone(), kinds))?
            }
            Self::Study(study, _) => views.exams(&ExamSelector::Study(study.clone()))?,
        };
        // An index may lead to rows that have changed since.
        rows.retain(|row| {
            let is_named = match self {
                Self::Exam(..) => true,
                Self::Form(_, apply_no) => row.apply_no == *apply_no,
                Self::Study(study, _) => row.has_study(study),
            };
            is_named && self.hospital().is_none_or(|it| *it == row.key.hospital)
        });
        Ok(rows)
    }
}

fn find(call: &Call, asked: &Asked) -> Result<Exams, Failure> {
    let archive = call.archive();
    let (views, registry) = (archive.views(), archive.registry());
    let as_of = asked
        .as_of_ms
        .map(|ms| archive.position_at(ms))
        .transpose()?;
    let mut exams = Exams::default();
    for now in asked.named.rows(&views)? {
        if exams.cited.len() >= EXAMS_LIMIT {
            break;
        }
        sort(&mut exams, &views, &registry, &asked.reading, as_of, now)?;
    }
    Ok(exams)
}

/// Where an exam belongs: both what it is and what it was are held against the reader's rights.
fn sort(
    exams: &mut Exams,
    views: &Views,
    registry: &Registry,
    reading: &Reading,
    as_of: Option<Position>,
    now: ExamRow,
) -> Result<(), Failure> {
    let Some(then) = views.exam_as_of(&now.key, as_of)? else {
        return Ok(());
    };
    // A withdrawal is told to whom the exam would be shown, and to nobody else.
    let shown = |row: &ExamRow| {
        let mut row = row.clone();
        row.withdrawn = Default::default();
        reading.shows(&row, registry)
    };
    match (shown(&now), shown(&then)) {
        (Shown::No, _) | (_, Shown::No) => {}
        (Shown::WantsReason, _) | (_, Shown::WantsReason) => exams.want_reason = true,
        (Shown::Yes, Shown::Yes) if now.withdrawn.is_some() || then.withdrawn.is_some() => {
            exams.withdrawn.push(now.key);
        }
        (Shown::Yes, Shown::Yes) => exams.cited.push(Found { now, then }),
    }
    Ok(())
}

/// Why there is nothing to cite.
fn nothing(named: &Named, exams: &Exams) -> Failure {
    if let Some(key) = exams.withdrawn.first() {
        let words = "此检查已撤回，结果不可引用；已引用的请按撤回处理 (this exam is withdrawn: its result must not be cited)";
        let refusal = Refusal::new(ErrorKind::NotFound, "withdrawn", named.path(), words);
        return Failure::from(refusal).about(key.hospital.as_str(), key.exam_no.as_str());
    }
    match exams.want_reason {
        true => wants_reason(),
        false => no_exam(named.path()),
    }
}
