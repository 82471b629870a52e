//! 医保影像云索引 in log order: which index each exam has, which of them another exam has too, and what the authority was
//! told and has answered.
//!
//! | what the record leaves | the exam's index is |
//! |---|---|
//! | person code, exam time and the unit's credit code are known | formed |
//! | … and is another one than before | formed; the former one is replaced |
//! | a part is not known | incomplete, and says which |
//! | the exam is withdrawn, or another stands in its place | withdrawn |
//! | it is in a file, the authority takes it, refuses it | exported, acknowledged, refused |
//!
//! An exam gets its index when it changes; those of before are named by an operator's record ([`IndexAsked`]), since no record
//! may compute millions. A change of the registry (a credit code) reaches them in the same way.

use super::{Context, settle_finding};
use crate::event::{INDEX_SINCE_RULES, IndexAnswered, IndexAsked, IndexExported};
use crate::exam::{ExamFlag, ExamRow};
use crate::finding::{FindingKey, FindingKind, FindingRow};
use crate::ids::ExamKey;
use crate::national_index::{
    Holding, IndexRow, IndexState, Lack, NationalIndex, PersonCode, REASON_LIMIT,
};
use crate::outcome::{ErrorKind, Outcome, Refusal};
use crate::registry::IndexSettings;
use crate::state::{State, StateError, Work};
use crate::time::LocalDateTime;

/// Brings the indexes of the exams that this record changed up to date.
pub(super) fn follow<S: State>(
    work: &mut Work<'_, S>,
    context: Context<'_>,
) -> Result<(), StateError> {
    let changed: Vec<ExamKey> = work.changes.exams.keys().cloned().collect();
    for key in changed {
        keep(work, context, &key, Asked::default())?;
    }
    Ok(())
}

/// What an operator's record says of an exam.
#[derive(Default)]
struct Asked {
    /// A person code of a table, or of the exam's content.
    person: Option<PersonCode>,
    /// What was refused is to be told again.
    again: bool,
}

/// Gives exams their indexes that have not changed since there are any.
pub(super) fn asked<S: State>(
    work: &mut Work<'_, S>,
    context: Context<'_>,
    body: &IndexAsked,
) -> Result<Outcome, StateError> {
    if let Some(refused) = not_yet(work) {
        return Ok(refused);
    }
    for named in &body.exams {
        // The exam has other content since: its own record has seen to it.
        let exam = work.exam(&named.exam)?;
        let is_same = exam.is_some_and(|row| row.position == named.content);
        let asked = Asked {
            person: named.person.clone().filter(|_| is_same),
            again: body.again,
        };
        keep(work, context, &named.exam, asked)?;
    }
    Ok(Outcome::Done)
}

fn not_yet<S: State>(work: &Work<'_, S>) -> Option<Outcome> {
    let registry = work.registry();
    if registry.rules >= INDEX_SINCE_RULES {
        return None;
    }
    Some(Outcome::Refused(Refusal::new(
        ErrorKind::Conflict,
        "rules",
        "",
        "须先启用本版本的规则：yingku activate-rules (activate the rules of this release first)",
    )))
}

fn keep<S: State>(
    work: &mut Work<'_, S>,
    context: Context<'_>,
    key: &ExamKey,
    asked: Asked,
) -> Result<(), StateError> {
    let known = work.index(key)?;
    let registry = work.registry();
    let settings = registry.settings.national_index.as_ref();
    if known.is_none() && settings.is_none() {
        return Ok(());
    }
    let Some(exam) = work.exam(key)? else {
        return match known {
            Some(known) => remove(work, context, known),
            None => Ok(()),
        };
    };
    let is_there = exam.withdrawn.is_none() && !exam.has(ExamFlag::Superseded);
    if exam.has(ExamFlag::Test) || known.is_none() && !is_there {
        return Ok(());
    }
    let mut row = known.clone().unwrap_or_else(|| IndexRow::new(key.clone()));
    if let Some(settings) = settings {
        note_person(work, settings, &exam, &mut row, &asked);
    }
    let before = (row.state, row.index.clone(), row.lacks.clone());
    match (is_there, settings) {
        (false, _) => withdraw(work, context, &mut row)?,
        // Nobody wants further ones made; what is there stays.
        (true, None) => return Ok(()),
        (true, Some(settings)) => match index_of(work, settings, &exam, &row) {
            Ok(index) => form(work, context, &mut row, index, asked.again)?,
            Err(lacks) => {
                let former = row.index.take();
                leave(work, context, key, former, Holding::Replaced)?;
                row.state = IndexState::Incomplete;
                row.lacks = lacks;
            }
        },
    }
    if known.is_none() || before != (row.state, row.index.clone(), row.lacks.clone()) {
        row.position = context.position;
        row.time_ms = context.time_ms;
    }
    if !row.state.is_in_force() {
        row.collides = false;
    }
    let index = row.index.clone();
    if known.as_ref() != Some(&row) {
        work.put_index(known, Some(row));
    }
    match index {
        Some(index) => compare(work, context, &index),
        None => Ok(()),
    }
}

/// Whom the exam is of. A push that gives no code takes none away, as long as the patient is the same.
fn note_person<S: State>(
    work: &Work<'_, S>,
    settings: &IndexSettings,
    exam: &ExamRow,
    row: &mut IndexRow,
    asked: &Asked,
) {
    let change = work.changes.exams.get(&exam.key);
    let before = change.and_then(|change| change.before.as_ref());
    if before.is_some_and(|before| before.sick_id != exam.sick_id) {
        row.person = None;
        row.is_person_wrong = false;
    }
    let pushed = work.identities.get(&exam.key);
    let mut given = pushed
        .into_iter()
        .flatten()
        .filter(|identity| settings.is_person(&identity.id_type))
        .map(|identity| PersonCode::new(&identity.number))
        .peekable();
    if given.peek().is_some() {
        row.person = given.find_map(Result::ok);
        row.is_person_wrong = row.person.is_none();
    }
    if asked.person.is_some() {
        row.person.clone_from(&asked.person);
        row.is_person_wrong = false;
    }
}

/// The exam's index, or what lacks.
fn index_of<S: State>(
    work: &Work<'_, S>,
    settings: &IndexSettings,
    exam: &ExamRow,
    row: &IndexRow,
) -> Result<NationalIndex, Vec<Lack>> {
    let hospital = work.registry().hospitals.get(&exam.key.hospital);
    let unit = hospital.and_then(|hospital| hospital.credit_code.as_ref());
    // A push without a time is refused, so every exam has one.
    let time = LocalDateTime::parse(&exam.exam_time).ok();
    if let (Some(person), Some(time), Some(unit)) = (&row.person, time, unit) {
        return Ok(settings.template.compose(person, time, unit));
    }
    let mut lacks = Vec::new();
    match (&row.person, row.is_person_wrong) {
        (Some(_), _) => {}
        (None, true) => lacks.push(Lack::WrongPersonCode),
        (None, false) => lacks.push(Lack::PersonCode),
    }
    if unit.is_none() {
        lacks.push(Lack::CreditCode);
    }
    Err(lacks)
}

fn form<S: State>(
    work: &mut Work<'_, S>,
    context: Context<'_>,
    row: &mut IndexRow,
    index: NationalIndex,
    again: bool,
) -> Result<(), StateError> {
    row.lacks.clear();
    if row.in_force() == Some(&index) {
        if again && row.state == IndexState::Refused {
            row.state = IndexState::Formed;
            row.told = None;
        }
        return Ok(());
    }
    let former = row.index.take().filter(|former| *former != index);
    leave(work, context, &row.exam, former, Holding::Replaced)?;
    // That it was taken back the authority was never told: it has it.
    row.state = match row.told.as_ref() == Some(&index) {
        true => IndexState::Exported,
        false => IndexState::Formed,
    };
    row.reason.clear();
    let mut holders = work.index_holders(&index)?;
    // More than are listed collide all the more.
    row.collides = !holders.put(&row.exam, Holding::InForce, context.time_ms);
    work.put_index_holders(index.clone(), holders);
    row.index = Some(index);
    Ok(())
}

fn withdraw<S: State>(
    work: &mut Work<'_, S>,
    context: Context<'_>,
    row: &mut IndexRow,
) -> Result<(), StateError> {
    let index = row.index.clone();
    leave(work, context, &row.exam, index, Holding::Withdrawn)?;
    row.state = IndexState::Withdrawn;
    row.lacks.clear();
    Ok(())
}

/// An index leads to the exam no longer.
fn leave<S: State>(
    work: &mut Work<'_, S>,
    context: Context<'_>,
    exam: &ExamKey,
    index: Option<NationalIndex>,
    holding: Holding,
) -> Result<(), StateError> {
    let Some(index) = index else {
        return Ok(());
    };
    settle_finding(work, context, collision(exam))?;
    let mut holders = work.index_holders(&index)?;
    holders.put(exam, holding, context.time_ms);
    work.put_index_holders(index.clone(), holders);
    compare(work, context, &index)
}

/// An exam that was purged leaves no trace.
fn remove<S: State>(
    work: &mut Work<'_, S>,
    context: Context<'_>,
    known: IndexRow,
) -> Result<(), StateError> {
    work.put_finding(collision(&known.exam), None);
    let index = known.index.clone();
    let exam = known.exam.clone();
    work.put_index(Some(known), None);
    let Some(index) = index else {
        return Ok(());
    };
    let mut holders = work.index_holders(&index)?;
    holders.remove(&exam);
    work.put_index_holders(index.clone(), holders);
    compare(work, context, &index)
}

fn collision(exam: &ExamKey) -> FindingKey {
    FindingKey {
        kind: FindingKind::IndexCollision,
        hospital: exam.hospital.clone(),
        subject: exam.to_string(),
    }
}

/// Lists the exams that have one index, or takes them off their list when there is one only.
fn compare<S: State>(
    work: &mut Work<'_, S>,
    context: Context<'_>,
    index: &NationalIndex,
) -> Result<(), StateError> {
    let holders = work.index_holders(index)?;
    let holders: Vec<ExamKey> = holders.in_force().cloned().collect();
    let collides = holders.len() > 1;
    for exam in &holders {
        if let Some(known) = work.index(exam)?.filter(|row| row.collides != collides) {
            let row = IndexRow {
                collides,
                position: context.position,
                time_ms: context.time_ms,
                ..known.clone()
            };
            work.put_index(Some(known), Some(row));
        }
        let key = collision(exam);
        if !collides {
            settle_finding(work, context, key)?;
            continue;
        }
        let known = work.finding(&key)?;
        let others = holders.iter().filter(|other| *other != exam);
        let others: Vec<String> = others.map(ToString::to_string).collect();
        if known.as_ref().is_some_and(|known| known.exams == others) {
            continue;
        }
        let row = FindingRow {
            position: context.position,
            since: known.map_or(context.position, |known| known.since),
            time_ms: context.time_ms,
            exams: others,
            detail: Vec::new(),
        };
        work.put_finding(key, Some(row));
    }
    Ok(())
}

/// Notes what is in a file for the authority, which is durable by now.
pub(super) fn exported<S: State>(
    work: &mut Work<'_, S>,
    context: Context<'_>,
    body: &IndexExported,
) -> Result<Outcome, StateError> {
    if let Some(refused) = not_yet(work) {
        return Ok(refused);
    }
    for line in &body.lines {
        let Some(known) = work.index(&line.exam)? else {
            continue;
        };
        // This file, or an earlier one of which the log learns late.
        if known.told_as_of >= Some(line.as_of) {
            continue;
        }
        let mut row = known.clone();
        row.told.clone_from(&line.index);
        row.told_as_of = Some(line.as_of);
        if row.state == IndexState::Formed && row.told.is_some() && row.told == row.index {
            row.state = IndexState::Exported;
            row.position = context.position;
            row.time_ms = context.time_ms;
        }
        if row != known {
            work.put_index(Some(known), Some(row));
        }
    }
    Ok(Outcome::Done)
}

/// Notes what the authority says of indexes that it was told; the latest answer counts.
pub(super) fn answered<S: State>(
    work: &mut Work<'_, S>,
    context: Context<'_>,
    body: &IndexAnswered,
) -> Result<Outcome, StateError> {
    if let Some(refused) = not_yet(work) {
        return Ok(refused);
    }
    for answer in &body.answers {
        let exams: Vec<ExamKey> = work
            .index_holders(&answer.index)?
            .in_force()
            .cloned()
            .collect();
        for exam in exams {
            let known = work.index(&exam)?;
            let Some(known) = known.filter(|row| row.is_answered_by(&answer.index)) else {
                continue;
            };
            let (state, reason) = match answer.is_taken {
                true => (IndexState::Acknowledged, String::new()),
                false => (
                    IndexState::Refused,
                    answer.reason.chars().take(REASON_LIMIT).collect(),
                ),
            };
            if known.state == state && known.reason == reason {
                continue;
            }
            let row = IndexRow {
                state,
                reason,
                position: context.position,
                time_ms: context.time_ms,
                ..known.clone()
            };
            work.put_index(Some(known), Some(row));
        }
    }
    Ok(Outcome::Done)
}
