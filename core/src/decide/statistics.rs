//! Declarations: kept whole, the latest one counts (R10).

use std::collections::BTreeMap;

use super::Context;
use super::exam::closed;
use crate::event::{DetailDeclared, StatisticsDeclared};
use crate::ids::HospitalCode;
use crate::outcome::{Outcome, Refusal};
use crate::registry::{HospitalMode, Registry};
use crate::state::{State, StateError, Work};
use crate::statistics::{DECLARATION_LIMIT, DayKey, DeclaredCount, DeclaredDetail, DetailLine};

/// Why declarations of these hospitals, row by row, are not taken: all or nothing (R5). The edge has named all of them
/// by the registry that it knew; this one may be newer.
fn refusal<'a>(
    registry: &Registry,
    hospitals: impl Iterator<Item = &'a HospitalCode>,
) -> Option<Refusal> {
    let mut rows = hospitals.enumerate();
    rows.find_map(|(index, code)| {
        let why = registry.closed(code)?;
        Some(closed(&format!("[{index}].hospitalCode"), why))
    })
}

fn is_test(registry: &Registry, hospital: &HospitalCode) -> bool {
    let hospital = registry.hospitals.get(hospital);
    hospital.is_some_and(|hospital| hospital.mode == HospitalMode::Test)
}

pub fn declared<S: State>(
    work: &mut Work<'_, S>,
    context: Context<'_>,
    body: &StatisticsDeclared,
) -> Result<Outcome, StateError> {
    let registry = work.registry();
    let hospitals = body.rows.iter().map(|row| &row.hospital_code);
    if let Some(refusal) = refusal(registry, hospitals) {
        return Ok(Outcome::Refused(refusal));
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
            test: is_test(registry, &row.hospital_code),
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
    let registry = work.registry();
    let hospitals = body.rows.iter().map(|row| &row.hospital_code);
    if let Some(refusal) = refusal(registry, hospitals) {
        return Ok(Outcome::Refused(refusal));
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
            test: is_test(registry, &day.hospital),
        });
        declaration.forget_old_details();
        work.put_declaration(day, declaration);
    }
    Ok(Outcome::Done)
}

/// Takes what a hospital declared in mode `test` out of the views.
pub fn purged<S: State>(work: &mut Work<'_, S>, day: &DayKey) -> Result<(), StateError> {
    let mut declaration = work.declaration(day)?;
    declaration.counts.retain(|declared| !declared.test);
    declaration.details.retain(|declared| !declared.test);
    work.put_declaration(day.clone(), declaration);
    Ok(())
}
