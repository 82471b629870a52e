//! Messages that are one array of rows, taken or refused as a whole (R5): statistics and detail.

use super::check::{Check, Step, Trail};
use super::fault::{Fault, Findings, Refused, Rule};
use super::fields::Field;
use super::json::{self, Json};
use super::policy::ValidationPolicy;
use super::push::json_fault;
use crate::dictionaries::ClassAliases;
use crate::ids::HospitalCode;
use crate::registry::Closed;
use crate::time::LocalDate;

/// The most rows of one message: a county's townships with all classes of a few days. With every text at its limit
/// they still fit a record of the log (1 MiB).
pub const ROWS_LIMIT: usize = 2_000;

/// What the check of rows needs to know beside the message.
#[derive(Clone, Copy)]
pub struct RowsContext<'c> {
    pub aliases: &'c ClassAliases,
    /// No row may be of a later day.
    pub last_day: LocalDate,
    /// Why nothing is taken of a hospital.
    pub closed: &'c dyn Fn(&HospitalCode) -> Option<Closed>,
}

/// Reads an array (or a single object) and checks each row against the table, and that its hospital may send it. `also` adds the rules of a row that
/// no table can say; it sees rows whose known fields have been brought into the canonical form.
pub(super) fn read<T>(
    bytes: &[u8],
    charset: Option<&str>,
    table: &Field,
    context: RowsContext<'_>,
    mut also: impl FnMut(&Json<'_>, usize, &mut Findings) -> Option<T>,
) -> Result<Vec<T>, Box<Refused>> {
    let text = json::decode(bytes, charset).map_err(|error| json_fault(&error))?;
    let items = match Json::parse(&text).map_err(|error| json_fault(&error))? {
        Json::Array(items) => items,
        single @ Json::Object(_) => vec![single],
        other => {
            let found = other.kind();
            let message = format!("应为数组 […]，实为 {found} (must be an array, found {found})");
            return Err(Box::new(Refused::one(Fault::new("", Rule::Type, message))));
        }
    };
    if items.is_empty() {
        let message = "数组为空，至少一行 (the array is empty; at least one row)";
        return Err(Box::new(Refused::one(Fault::new(
            "",
            Rule::Required,
            message,
        ))));
    }
    if items.len() > ROWS_LIMIT {
        let found = items.len();
        let message = format!(
            "数组过长：最多 {ROWS_LIMIT} 行，实为 {found} 行 (at most {ROWS_LIMIT} rows, found {found})"
        );
        let fault = Fault::new("", Rule::Length, message).with_limit(ROWS_LIMIT);
        return Err(Box::new(Refused::one(fault)));
    }
    // Rows have no prose: every length rule refuses.
    let policy = ValidationPolicy::default();
    let mut check = Check::new(&policy);
    let (mut rows, mut hospital) = (Vec::with_capacity(items.len()), None);
    for (index, item) in items.into_iter().enumerate() {
        let trail = Trail::ROOT.to(Step::Index(index));
        let Json::Object(entries) = item else {
            let found = item.kind();
            let message =
                format!("应为对象 {{…}}，实为 {found} (must be an object, found {found})");
            check
                .findings
                .refuse(Fault::new(trail.path(), Rule::Type, message));
            continue;
        };
        let row = check.object(table, entries, &trail);
        let code = row
            .get("hospitalCode")
            .and_then(Json::as_text)
            .and_then(|code| HospitalCode::new(code).ok());
        if let Some(why) = code.as_ref().and_then(context.closed) {
            let path = format!("[{index}].hospitalCode");
            check.findings.refuse(Fault::of_hospital(path, why));
        }
        hospital = hospital.or(code);
        rows.extend(also(&row, index, &mut check.findings));
    }
    if check.findings.faults.is_empty() {
        Ok(rows)
    } else {
        Err(Box::new(Refused {
            hospital,
            ..check.findings.into_refused()
        }))
    }
}

/// The day that a row is of. Nobody declares what is to come: a later day is a mistyped year.
pub(super) fn day(
    row: &Json<'_>,
    index: usize,
    findings: &mut Findings,
    last_day: LocalDate,
) -> Option<LocalDate> {
    let date = typed(row, index, "examDate", findings, LocalDate::parse)?;
    if date <= last_day {
        return Some(date);
    }
    let message = format!(
        "检查日期晚于 {last_day}，尚未到来，请核对 (examDate is later than {last_day}: check the year)"
    );
    let path = format!("[{index}].examDate");
    findings.refuse(Fault::new(path, Rule::Consistency, message));
    None
}

/// The value of a field as its type; a value that breaks the type's own rules is a fault. An absent one is not: the
/// table has named it.
pub(super) fn typed<'j, T, E: std::fmt::Display>(
    row: &'j Json<'_>,
    index: usize,
    key: &str,
    findings: &mut Findings,
    read: impl FnOnce(&'j str) -> Result<T, E>,
) -> Option<T> {
    let text = row.get(key)?.as_text()?;
    let path = format!("[{index}].{key}");
    match read(text) {
        Ok(value) => Some(value),
        Err(_) if findings.has_fault_at(&path) => None,
        Err(error) => {
            findings.refuse(Fault::new(
                path,
                Rule::Format,
                format!("格式错误，请核对：{error}"),
            ));
            None
        }
    }
}
