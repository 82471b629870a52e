//! `POST /v1/patient/records`: one patient's exams over all hospitals, and which number joined what.
//!
//! Asked by an exam, by a hospital's own patient number, or by a document or card. Only exams that this reader may see are
//! found, join and lead on (`yingku_core::identity`). Numbers of documents are in no answer and in no record of readings.

mod shape;

use std::cell::RefCell;
use std::collections::BTreeSet;

use serde_json::{Value, json};
use yingku_core::contract::Rule;
use yingku_core::event::SUPERVISION_SINCE_RULES;
use yingku_core::exam::ExamRow;
use yingku_core::identity::{Exams, JoinKey, Joined, Look, Person, PersonKey, Start, join};
use yingku_core::ids::{ExamKey, ExamNo, HospitalCode, Position};
use yingku_core::outcome::{ErrorKind, Refusal};
use yingku_core::registry::Registry;
use yingku_storage::views::{Views, ViewsError};

use super::detail::no_exam;
use super::exam_row::Rows;
use super::paging::Paging;
use super::params::{NO_PAST, Params, incomplete, text};
use super::reading::{self, Reading, Shown, wants_reason};
use crate::call::{Call, allow, blocking};
use crate::envelope::{Answer, Page};
use crate::error::Failure;

pub use shape::{request_schema, result_schema};

/// Characters of a patient's, document's or card's number.
const NUMBER_LIMIT: usize = 64;
/// Characters of `idType`.
const TYPE_LIMIT: usize = 2;
/// Characters of a name.
const NAME_LIMIT: usize = 64;

pub const EXAMPLE: &str =
    r#"{"hospitalCode":"350006","examNo":"CT20260704001","reason":"visit","user":"d001"}"#;

/// From where the patient is known.
enum Known {
    Exam(HospitalCode, ExamNo, Option<u16>),
    /// 院内患者id, and of which numbering; the hospital's present one where none is given.
    Patient(HospitalCode, String, Option<u16>),
    /// A document or card, and what is known of whose it is.
    Document(PersonKey),
}

struct Asked {
    known: Known,
    /// What the request says of the patient: it narrows, and finds nobody.
    person: Person,
    reading: Reading,
    paging: Paging,
}

/// What a question came to.
struct Found {
    joined: Joined,
    /// Of the page, newest first.
    rows: Vec<ExamRow>,
    page: Page,
    /// Exams whose documents are not known.
    unknown: BTreeSet<ExamKey>,
}

pub async fn handle(call: Call) -> Result<Answer, Failure> {
    let asked = read(&call)?;
    if call.registry.rules < SUPERVISION_SINCE_RULES {
        return Err(no_rules());
    }
    call.archive().settle().await?;
    let reading = asked.reading.clone();
    let hospital = asked.known.hospital().cloned();
    let by = asked.known.said();
    let (call, found) = blocking(move || {
        let found = find(&call, &asked)?;
        Ok((call, found))
    })
    .await?;
    // Whose data leaves is on record before it does; the number that was asked for is not.
    let exams = found.rows.iter().map(|row| row.key.to_string());
    let target: Vec<String> = std::iter::once(by).chain(exams).collect();
    let target = target.join(" ");
    reading
        .audit(&call, "patientRecords", hospital.as_ref(), &target)
        .await?;
    blocking(move || answer(&call, found)).await
}

impl Known {
    fn hospital(&self) -> Option<&HospitalCode> {
        match self {
            Self::Exam(hospital, ..) | Self::Patient(hospital, ..) => Some(hospital),
            Self::Document(_) => None,
        }
    }

    /// How it was asked, for the record: no number of a patient.
    fn said(&self) -> String {
        match self {
            Self::Exam(hospital, exam_no, _) => format!("examNo:{hospital}/{exam_no}"),
            Self::Patient(..) => "patientNo".to_owned(),
            Self::Document(key) => key.kind().map_or("idNumber", |kind| kind.code()).to_owned(),
        }
    }
}

fn read(call: &Call) -> Result<Asked, Failure> {
    let text = text(&call.body, call.charset.as_deref())?;
    let mut params = Params::read(&text)?;
    params.not_here("asOf", NO_PAST);
    let exam_no = params.exam_no();
    let patient_no = params.text("patientNo", NUMBER_LIMIT);
    let id_type = params.text("idType", TYPE_LIMIT).unwrap_or_default();
    let id_number = params.text("idNumber", NUMBER_LIMIT);
    let name = params.text("name", NAME_LIMIT);
    let generation = params.generation();
    let ways = [exam_no.is_some(), patient_no.is_some(), id_number.is_some()];
    let is_wrong = params.any_wrong(&["examNo", "patientNo", "idNumber"]);
    let ways = ways.into_iter().filter(|given| *given).count();
    if ways != 1 && !is_wrong {
        let words = "examNo、patientNo、idNumber 须给且只给一种 (give one of examNo, patientNo and idNumber)";
        let (path, rule) = match ways {
            0 => ("examNo", Rule::Required),
            _ => ("", Rule::Consistency),
        };
        params.fault(path, rule, words.to_owned());
    }
    let hospital = match id_number.is_some() {
        true => None,
        false => params.required("hospitalCode", Params::hospital),
    };
    let person = match &id_number {
        Some(number) => Person::of_document(&id_type, number),
        None => Person::default(),
    };
    let person = match &name {
        Some(name) => person.named(name),
        None => person,
    };
    let document = id_number.and_then(|number| document(&mut params, &id_type, &number));
    let reading = Reading::read(&mut params, call)?;
    let question = json!([
        call.caller()?.id.as_str(),
        reading.read_for,
        reading.reason.map(reading::Reason::code),
        hospital,
        generation,
        exam_no,
        patient_no,
        document.as_ref().map(PersonKey::as_bytes),
        name,
    ]);
    let paging = Paging::read(&mut params, call.archive().key(), &question);
    params.finish()?;
    let known = match (document, hospital, exam_no, patient_no) {
        (Some(document), ..) => Known::Document(document),
        (None, Some(hospital), Some(exam_no), _) => Known::Exam(hospital, exam_no, generation),
        (None, Some(hospital), None, Some(number)) => Known::Patient(hospital, number, generation),
        _ => return Err(incomplete()),
    };
    if let Some(hospital) = known.hospital() {
        allow(&call.caller()?.app()?.hospitals, hospital)?;
        call.registered(hospital)?;
    }
    Ok(Asked {
        known,
        person,
        reading,
        paging,
    })
}

fn document(params: &mut Params<'_>, kind: &str, number: &str) -> Option<PersonKey> {
    let key = PersonKey::of_document(kind, number);
    if key.is_none() {
        let words = "不能作为患者的标识：校验位有误、占位号码、过短，或 idType 不是个人证件；可改按 examNo 或 patientNo 查询 (not a number of one person: a wrong check character, a placeholder, too short, or no personal idType; ask by examNo or patientNo)";
        params.fault("idNumber", Rule::Format, words.to_owned());
    }
    key
}

/// The exams as this reader may see them.
struct Shelf<'a> {
    views: &'a Views,
    registry: &'a Registry,
    reading: &'a Reading,
    unknown: RefCell<BTreeSet<ExamKey>>,
}

impl Exams for Shelf<'_> {
    type Error = ViewsError;

    fn look(&self, exam: &ExamKey) -> Result<Option<Look>, ViewsError> {
        let row = self.views.exam(exam)?.filter(ExamRow::is_counted);
        Ok(row.map(|row| Look {
            shown: self.reading.shows(&row, self.registry) == Shown::Yes,
            row,
        }))
    }

    fn persons(&self, exam: &ExamRow) -> Result<Vec<PersonKey>, ViewsError> {
        let (persons, is_known) = self.views.persons_of(exam)?;
        if !is_known {
            self.unknown.borrow_mut().insert(exam.key.clone());
        }
        Ok(persons)
    }

    fn under(&self, key: &JoinKey, limit: usize) -> Result<Vec<ExamKey>, ViewsError> {
        self.views.exams_joined_by(key, limit)
    }
}

fn find(call: &Call, asked: &Asked) -> Result<Found, Failure> {
    let archive = call.archive();
    let (views, registry) = (archive.views(), archive.registry());
    let start = start(&views, &registry, asked)?;
    let shelf = Shelf {
        views: &views,
        registry: &registry,
        reading: &asked.reading,
        unknown: RefCell::default(),
    };
    let joined = join(&shelf, start)?;
    if joined.is_several {
        return Err(several(&asked.known));
    }
    let now = views.cursor()?.next;
    let position = asked.paging.position(now);
    let first = |row: &&ExamRow| -> Position { row.first_position };
    let rows = joined.exams.values().map(|exam| &exam.row);
    let mut rows: Vec<&ExamRow> = rows.filter(|row| first(row) < position).collect();
    rows.sort_unstable_by_key(|row| std::cmp::Reverse(first(row)));
    let (rows, page) = asked.paging.cut(&rows, position, archive.key(), first)?;
    let rows = rows.into_iter().map(|row| (*row).clone()).collect();
    Ok(Found {
        rows,
        page,
        unknown: shelf.unknown.into_inner(),
        joined,
    })
}

fn start(views: &Views, registry: &Registry, asked: &Asked) -> Result<Start, Failure> {
    let reading = &asked.reading;
    let exam = match &asked.known {
        Known::Document(key) => return Ok(Start::Key(JoinKey::Person(*key), asked.person.clone())),
        Known::Patient(hospital, number, generation) => {
            if *hospital != reading.read_for && reading.reason.is_none() {
                return Err(wants_reason());
            }
            let entry = registry.hospitals.get(hospital);
            let present = entry.map_or(0, |entry| entry.generation);
            let key = JoinKey::Patient {
                hospital: hospital.clone(),
                generation: generation.unwrap_or(present),
                sick_id: number.clone(),
            };
            return Ok(Start::Key(key, asked.person.clone()));
        }
        Known::Exam(hospital, exam_no, None) => views.latest_exam(hospital, exam_no)?,
        Known::Exam(hospital, exam_no, Some(generation)) => views.exam(&ExamKey {
            hospital: hospital.clone(),
            exam_no: exam_no.clone(),
            generation: *generation,
        })?,
    };
    let exam = exam.ok_or_else(|| no_exam("examNo"))?;
    match reading.shows(&exam, registry) {
        Shown::Yes => {}
        Shown::WantsReason => return Err(wants_reason()),
        Shown::No => return Err(no_exam("examNo")),
    }
    // A name that somebody gives with a number guards against a slip.
    if !asked.person.conflicts(&Person::of(&exam)).is_empty() {
        return Err(no_exam("name"));
    }
    Ok(Start::Exam(Box::new(exam)))
}

fn answer(call: &Call, found: Found) -> Result<Answer, Failure> {
    let archive = call.archive();
    let (views, registry) = (archive.views(), archive.registry());
    let encode = Rows {
        views: &views,
        registry: &registry,
        zone: call.zone(),
        as_of: None,
    };
    let Found {
        joined,
        rows,
        page,
        unknown,
    } = found;
    let mut exams = Vec::with_capacity(rows.len());
    for row in &rows {
        let mut exam = encode.whole(row)?;
        if let Some(exam) = exam.as_object_mut() {
            let by = joined.exams.get(&row.key).map(|joined| &joined.by);
            exam.insert("joinedBy".to_owned(), shape::numbers(by));
            if unknown.contains(&row.key) {
                exam.insert("keysUnknown".to_owned(), Value::Bool(true));
            }
        }
        exams.push(exam);
    }
    let result = json!({
        "exams": exams,
        "keys": shape::keys(&joined),
        "notJoined": shape::not_joined(&joined),
        "complete": !joined.is_cut,
    });
    let total = page.total;
    Ok(
        Answer::new(format!("成功，共 {total} 个检查 ({total} exams)"))
            .with_result(result)
            .with_page(page),
    )
}

fn several(known: &Known) -> Failure {
    let path = match known {
        Known::Document(_) => "idNumber",
        _ => "patientNo",
    };
    Refusal::new(
        ErrorKind::Conflict,
        "several-persons",
        path,
        "此号码下有姓名、性别或出生日期不符的患者，无法确定是哪一位：请加 name（姓名），或按 examNo 查询 (several persons have this number: give the name as well, or ask by examNo)",
    )
    .into()
}

fn no_rules() -> Failure {
    Failure::new(
        ErrorKind::Unavailable,
        "rules",
        "跨院病历尚未启用：请平台管理员执行 yingku activate-rules (this begins when the operator activates this release's rules)",
    )
}
