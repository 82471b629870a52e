//! Declarations: kept whole, the latest one counts (R10).

use std::collections::BTreeMap;

use super::Context;
use crate::event::{DetailDeclared, StatisticsDeclared};
use crate::outcome::{ErrorKind, Outcome, Refusal};
use crate::state::{State, StateError, Work};
use crate::statistics::{DECLARATION_LIMIT, DayKey, DeclaredCount, DeclaredDetail, DetailLine};

fn unknown_hospital(index: usize) -> Outcome {
    Outcome::Refused(Refusal::new(
        ErrorKind::Invalid,
        "hospital-unknown",
        &format!("[{index}].hospitalCode"),
        "医院代码未在平台登记，整批未接收 (hospitalCode is not registered: nothing of the array was taken)",
    ))
}

pub fn declared<S: State>(
    work: &mut Work<'_, S>,
    context: Context<'_>,
    body: &StatisticsDeclared,
) -> Result<Outcome, StateError> {
    let hospitals = &work.registry().hospitals;
    if let Some(at) = body
        .rows
        .iter()
        .position(|row| !hospitals.contains_key(&row.hospital_code))
    {
        return Ok(unknown_hospital(at));
    }
    for row in &body.rows {
        let day = DayKey {
            hospital: row.hospital_code.clone(),
            date: row.exam_date.clone(),
            class: row.exam_class.clone(),
        };
        let mut declaration = work.declaration(&day)?;
        if declaration.counts.len() >= DECLARATION_LIMIT {
            declaration.counts.remove(0);
        }
        declaration.counts.push(DeclaredCount {
            position: context.position,
            time_ms: context.time_ms,
            count: row.accord_count,
        });
        work.put_declaration(day, declaration);
    }
    Ok(Outcome::Done)
}

pub fn detailed<S: State>(
    work: &mut Work<'_, S>,
    context: Context<'_>,
    body: &DetailDeclared,
) -> Result<Outcome, StateError> {
    let hospitals = &work.registry().hospitals;
    if let Some(at) = body
        .rows
        .iter()
        .position(|row| !hospitals.contains_key(&row.hospital_code))
    {
        return Ok(unknown_hospital(at));
    }
    let mut days: BTreeMap<DayKey, Vec<DetailLine>> = BTreeMap::new();
    for row in &body.rows {
        let day = DayKey {
            hospital: row.hospital_code.clone(),
            date: row.exam_date.clone(),
            class: row.exam_class.clone(),
        };
        days.entry(day).or_default().push(DetailLine {
            exam_no: row.exam_no.as_str().to_owned(),
            apply_no: row.apply_no.clone(),
            study_uid: row.study_uid.clone(),
            image_count: row.image_count,
        });
    }
    for (day, lines) in days {
        let mut declaration = work.declaration(&day)?;
        declaration.details.push(DeclaredDetail {
            position: context.position,
            time_ms: context.time_ms,
            lines,
        });
        declaration.forget_old_details();
        work.put_declaration(day, declaration);
    }
    Ok(Outcome::Done)
}
