//! Which status notices a record makes due (contract §3.2, R17), and what came of those that were sent.
//!
//! | told | when |
//! |---|---|
//! | 20 | an exam is registered, or shown again after it was withdrawn |
//! | 50 | its first image, or a push at 50; never after 70 |
//! | 70 | its report is confirmed; again after it was taken back (65) |
//! | 00 | its form is deleted, or it is withdrawn, or names another form now and no other exam has the former one |
//!
//! An exam that names another form is told of from the beginning under that one.
//! An exam that names no real form has none to tell of. What was told is kept for each exam whose hospital has a receiver.

use std::collections::BTreeSet;

use super::Context;
use crate::event::{
    MEETINGS_SINCE_RULES, NoticesAgain, NoticesTried, PURGED_NOTICES_SINCE_RULES,
    REGISTRATION_SINCE_RULES, WaitingNotices,
};
use crate::exam::{ExamFlag, ExamRow};
use crate::ids::{ExamKey, FormKey, HospitalCode, StudyKey};
use crate::notice::{ANSWER_LIMIT, Answered, NoticeId, NoticeRow, NoticeState, NoticeStatus, Told};
use crate::outcome::Outcome;
use crate::pull::PullWhy;
use crate::state::{State, StateError, Work};

use super::exam::form_key;

/// Lists what the record made due.
pub(super) fn follow<S: State>(
    work: &mut Work<'_, S>,
    context: Context<'_>,
) -> Result<(), StateError> {
    let registry = work.registry();
    if registry.his.values().all(|his| his.receiver.is_none()) {
        return Ok(());
    }
    let mut due = Due::new(context);
    for form in deleted_forms(work) {
        due.tell(work, NoticeStatus::Cancelled, &form, None);
    }
    for key in touched(work)? {
        let Some(row) = work.exam(&key)? else {
            continue;
        };
        let is_told = NoticeStatus::ALL
            .iter()
            .any(|status| registry.told_of(&key.hospital, *status).next().is_some());
        // An exam that is registered only is told of until a push is, and while an operator or nobody withdrew it.
        let is_shadow = row.has(ExamFlag::WithoutPush)
            && (row.has(ExamFlag::Superseded) || row.withdrawn.app.is_some());
        if !is_told || is_shadow {
            continue;
        }
        let known = work.told(&key)?;
        let mut told = known;
        if let Some(former) = under_another_form(work, &row) {
            let form = form_of(work, &former)?;
            let was_told = work.told_before(&key)?;
            let had_form = !former.has(ExamFlag::PlaceholderApplyNo);
            if was_told.registered && had_form && !is_named(work, &former, &form)? {
                due.tell(work, NoticeStatus::Cancelled, &form, Some(&former));
            }
            // What was told of the new form's exam, in whose place it stands now, is told already.
            if !work.changes.told.contains_key(&key) {
                told = Told::default();
            }
        }
        if !row.has(ExamFlag::PlaceholderApplyNo) && !speaks_for_live_form(work, &row)? {
            let statuses;
            (told, statuses) = told_after(work, &row, told)?;
            let form = form_of(work, &row)?;
            for status in statuses {
                due.tell(work, status, &form, Some(&row));
            }
        }
        if told != known {
            work.put_told(key, told);
        }
    }
    Ok(())
}

/// The exam as it was before this record, if it named another form then.
fn under_another_form<S: State>(work: &Work<'_, S>, row: &ExamRow) -> Option<ExamRow> {
    let before = work.changes.exams.get(&row.key)?.before.as_ref()?;
    let knows = work.registry().rules >= REGISTRATION_SINCE_RULES;
    (knows && before.apply_no != row.apply_no).then(|| before.clone())
}

/// What is tried out says nothing of a form that is live.
fn speaks_for_live_form<S: State>(work: &Work<'_, S>, row: &ExamRow) -> Result<bool, StateError> {
    let knows = work.registry().rules >= REGISTRATION_SINCE_RULES;
    if !knows || !row.has(ExamFlag::Test) {
        return Ok(false);
    }
    let form = work.apply_form(&form_of(work, row)?)?;
    Ok(form.is_some_and(|form| !form.test))
}

/// Whether an exam that is not withdrawn names the form, live as the former one was, or a trial's.
fn is_named<S: State>(
    work: &Work<'_, S>,
    former: &ExamRow,
    form: &FormKey,
) -> Result<bool, StateError> {
    for exam in work.form(form)?.exams {
        let exam = work.exam(&exam)?;
        let names = |row: &ExamRow| {
            row.apply_no == form.apply_no
                && row.withdrawn.is_none()
                && row.has(ExamFlag::Test) == former.has(ExamFlag::Test)
        };
        if exam.as_ref().is_some_and(names) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Numbers the notices of one record.
struct Due<'a> {
    context: Context<'a>,
    index: u32,
}

impl<'a> Due<'a> {
    fn new(context: Context<'a>) -> Self {
        Self { context, index: 0 }
    }

    fn tell<S: State>(
        &mut self,
        work: &mut Work<'_, S>,
        status: NoticeStatus,
        form: &FormKey,
        exam: Option<&ExamRow>,
    ) {
        for his in work.registry().told_of(&form.hospital, status) {
            let row = NoticeRow {
                his: his.id.clone(),
                id: NoticeId {
                    position: self.context.position,
                    index: self.index,
                },
                state: NoticeState::Open,
                status,
                time_ms: self.context.time_ms,
                form: form.clone(),
                exam: exam.map(|row| row.key.clone()),
                content: exam.map(|row| row.position),
                tries: 0,
                last: None,
            };
            self.index = self.index.saturating_add(1);
            work.put_notice(None, row);
        }
    }
}

/// What there is to tell of an exam, in order.
fn told_after<S: State>(
    work: &Work<'_, S>,
    row: &ExamRow,
    mut told: Told,
) -> Result<(Told, Vec<NoticeStatus>), StateError> {
    let mut statuses = Vec::new();
    if row.withdrawn.is_some() {
        if told.registered {
            statuses.push(NoticeStatus::Cancelled);
        }
        return Ok((Told::default(), statuses));
    }
    if !told.registered {
        told.registered = true;
        statuses.push(NoticeStatus::Registered);
    }
    let is_confirmed = row.report.is_final();
    if is_confirmed && !told.confirmed {
        told.images = true;
        statuses.push(NoticeStatus::Confirmed);
    } else if !told.images && row.status == IMAGES_RECEIVED {
        told.images = true;
        statuses.push(NoticeStatus::ImagesReceived);
    } else if !told.images && has_images(work, row)? {
        told.images = true;
        // That images of the past are fetched is no news to anybody.
        if !is_backfilled(work, row)? {
            statuses.push(NoticeStatus::ImagesReceived);
        }
    }
    // A report that was taken back is told again when it is confirmed again.
    told.confirmed = is_confirmed;
    Ok((told, statuses))
}

/// `examStatus` 收到影像.
const IMAGES_RECEIVED: u8 = 50;

fn is_backfilled<S: State>(work: &Work<'_, S>, row: &ExamRow) -> Result<bool, StateError> {
    for uid in row.own_studies() {
        let study = StudyKey::new(row.key.hospital.clone(), uid.clone());
        let pull = work.pull(&study)?;
        if pull.is_some_and(|pull| pull.why == PullWhy::Backfill) {
            return Ok(true);
        }
    }
    Ok(false)
}

pub(super) fn has_images<S: State>(work: &Work<'_, S>, row: &ExamRow) -> Result<bool, StateError> {
    for uid in row.own_studies() {
        let study = StudyKey::new(row.key.hospital.clone(), uid.clone());
        if work.study(&study)?.is_some_and(|study| study.bytes > 0) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Exams that this record changed, or brought the first image of.
pub(super) fn touched<S: State>(work: &Work<'_, S>) -> Result<BTreeSet<ExamKey>, StateError> {
    let mut touched: BTreeSet<ExamKey> = work.changes.exams.keys().cloned().collect();
    for (key, study) in &work.changes.studies {
        let bytes = |row: &Option<_>| {
            row.as_ref()
                .map_or(0, |row: &crate::instance::StudyRow| row.bytes)
        };
        if key.lot != 0 || bytes(&study.before) > 0 || bytes(&study.after) == 0 {
            continue;
        }
        let claims = work.claims(&key.study)?;
        let owning = claims.owning().map(|claim| &claim.exam);
        touched.extend(owning.filter(|exam| exam.hospital == key.hospital).cloned());
    }
    Ok(touched)
}

fn deleted_forms<S: State>(work: &Work<'_, S>) -> Vec<FormKey> {
    let forms = work.changes.apply_forms.iter();
    let is_deleted = |row: &Option<crate::apply_form::ApplyFormRow>| {
        row.as_ref().is_some_and(|row| row.is_deleted())
    };
    forms
        .filter(|(_, form)| !is_deleted(&form.before) && is_deleted(&form.after))
        .map(|(key, _)| key.clone())
        .collect()
}

/// The form that an exam names: the one that is here, else as its number says.
pub(super) fn form_of<S: State>(work: &Work<'_, S>, row: &ExamRow) -> Result<FormKey, StateError> {
    let hospital: &HospitalCode = &row.key.hospital;
    let newest = work.registry().hospitals.get(hospital);
    let newest = newest.map_or(row.key.generation, |hospital| hospital.generation);
    if work.registry().rules >= MEETINGS_SINCE_RULES {
        for generation in (0..=newest).rev() {
            let key = form_key(hospital, &row.apply_no, generation);
            let has_it = work.form(&key)?.exams.contains(&row.key);
            if has_it && work.apply_form(&key)?.is_some() {
                return Ok(key);
            }
        }
        return Ok(form_key(hospital, &row.apply_no, row.key.generation));
    }
    for generation in (row.key.generation..=newest).rev() {
        let key = form_key(hospital, &row.apply_no, generation);
        if work.apply_form(&key)?.is_some() {
            return Ok(key);
        }
    }
    Ok(form_key(hospital, &row.apply_no, row.key.generation))
}

/// Notes what came of notices that were sent.
pub(super) fn tried<S: State>(
    work: &mut Work<'_, S>,
    context: Context<'_>,
    body: &NoticesTried,
) -> Result<Outcome, StateError> {
    for tried in &body.tried {
        let Some(before) = work.notice(&body.his, tried.id)? else {
            continue;
        };
        // What was on its way when it was dropped may have been taken; it is not sent once more.
        let is_late = before.state == NoticeState::Dropped && tried.state != NoticeState::Sent;
        if before.state == NoticeState::Sent || is_late {
            continue;
        }
        let row = NoticeRow {
            state: tried.state,
            tries: tried.tries,
            last: Some(Answered {
                time_ms: context.time_ms,
                code: tried.code.clone(),
                answer: tried.answer.chars().take(ANSWER_LIMIT).collect(),
            }),
            ..before.clone()
        };
        work.put_notice(Some(before), row);
    }
    Ok(Outcome::Done)
}

/// Why a notice was dropped, as operators read it.
const PURGED: &str = "测试数据已清除，不再发送 (its test data was purged: it is not sent)";

/// An exam that comes under a purged one's number is told of from the beginning.
pub(super) fn forget<S: State>(work: &mut Work<'_, S>, gone: &ExamKey) -> Result<(), StateError> {
    let knows = work.registry().rules >= PURGED_NOTICES_SINCE_RULES;
    if knows && work.told(gone)? != Told::default() {
        work.put_told(gone.clone(), Told::default());
    }
    Ok(())
}

/// Ends notices that wait about what a purge of test data took away.
pub(super) fn purged<S: State>(
    work: &mut Work<'_, S>,
    context: Context<'_>,
    named: &[WaitingNotices],
) -> Result<(), StateError> {
    for of_his in named {
        for id in &of_his.notices {
            let Some(before) = work.notice(&of_his.his, *id)? else {
                continue;
            };
            let exam = match &before.exam {
                Some(exam) => work.exam(exam)?,
                None => None,
            };
            let form = work.apply_form(&before.form)?;
            if before.state.is_past() || !before.is_of_purged(exam.as_ref(), form.as_ref()) {
                continue;
            }
            let row = NoticeRow {
                state: NoticeState::Dropped,
                last: Some(Answered {
                    time_ms: context.time_ms,
                    code: String::new(),
                    answer: PURGED.to_owned(),
                }),
                ..before.clone()
            };
            work.put_notice(Some(before), row);
        }
    }
    Ok(())
}

/// Opens notices again, behind all that is due: what its sender has passed stays passed. One that was taken stays on
/// record as it is, and one that was dropped stays so.
pub(super) fn again<S: State>(
    work: &mut Work<'_, S>,
    context: Context<'_>,
    body: &NoticesAgain,
) -> Result<Outcome, StateError> {
    for (id, index) in body.notices.iter().zip(0u32..) {
        let before = work.notice(&body.his, *id)?;
        let Some(before) = before.filter(|row| row.state != NoticeState::Dropped) else {
            continue;
        };
        let row = NoticeRow {
            id: NoticeId {
                position: context.position,
                index,
            },
            state: NoticeState::Open,
            tries: 0,
            ..before.clone()
        };
        if before.state != NoticeState::Sent {
            work.remove_notice(before);
        }
        work.put_notice(None, row);
    }
    Ok(Outcome::Done)
}
