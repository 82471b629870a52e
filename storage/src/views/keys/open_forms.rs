//! Lines of [`View::OpenForms`](super::View::OpenForms): what a worklist's question finds open forms by.
//!
//! A form has a line under its day and class, with what refuses it unseen, and one under each group of its name as a key is
//! compared with it. They hold readings of names (`yingku_core::names`): who changes those raises `ROWS_VERSION`.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use yingku_core::apply_form::ApplyFormRow;
use yingku_core::ids::{FormKey, HospitalCode};
use yingku_core::names::PersonName;
use yingku_core::query::joined_name;

use super::{Key, Parts};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
enum Kind {
    /// hospital, day, class as its HIS writes it, apply-form number, generation → [`OpenForm`]
    Day = 1,
    /// hospital, joined group of the name, day, apply-form number, generation → nothing
    Name = 2,
}

/// What a line by day tells of its form: what most questions narrow by. `Debug` would show a patient, so there is none.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OpenForm<'a> {
    /// `YYYY-MM-DD HH:MM:SS`, or the day alone.
    pub planned: &'a str,
    /// As [`PersonName::alphabetic`].
    pub alphabetic: &'a str,
    /// As [`PersonName::ideographic`].
    pub ideographic: &'a str,
    pub sick_id: &'a str,
    /// As its HIS writes it: it may name a station.
    pub device: &'a str,
    /// The hospital was in mode `test`.
    pub test: bool,
}

/// Where the line by day is, and what it tells.
pub struct OpenLine<'a> {
    pub day: &'a str,
    pub class: &'a str,
    pub apply_no: &'a str,
    pub generation: u16,
}

/// Key and value of a line.
pub type Line = (Vec<u8>, Vec<u8>);

/// The lines of a form; none if it is not open.
pub fn lines(row: &ApplyFormRow) -> Result<Vec<Line>, postcard::Error> {
    if !row.is_open() {
        return Ok(Vec::new());
    }
    let content = &row.content;
    let name = PersonName::new(&content.name, &content.phonetic);
    let told = OpenForm {
        planned: row.planned_time(),
        alphabetic: &name.alphabetic,
        ideographic: &name.ideographic,
        sick_id: &content.sick_id,
        device: &content.device,
        test: row.test,
    };
    let day = of_hospital(Kind::Day, &row.key.hospital)
        .text(row.planned_date())
        .text(&content.exam_class);
    let mut lines = vec![(of_form(day, &row.key), postcard::to_stdvec(&told)?)];
    let groups = [&name.alphabetic, &name.ideographic].map(|group| joined_name(group));
    for group in BTreeSet::from(groups) {
        if !group.is_empty() {
            let key = of_hospital(Kind::Name, &row.key.hospital)
                .text(&group)
                .text(row.planned_date());
            lines.push((of_form(key, &row.key), Vec::new()));
        }
    }
    Ok(lines)
}

fn of_hospital(kind: Kind, hospital: &HospitalCode) -> Key {
    Key::default().byte(kind as u8).text(hospital.as_str())
}

fn of_form(key: Key, form: &FormKey) -> Vec<u8> {
    key.text(&form.apply_no).u16(form.generation).done()
}

/// Beginning of a hospital's lines by day.
pub fn days(hospital: &HospitalCode) -> Vec<u8> {
    of_hospital(Kind::Day, hospital).done()
}

/// Beginning of a hospital's lines of a day.
pub fn day(hospital: &HospitalCode, day: &str) -> Vec<u8> {
    of_hospital(Kind::Day, hospital).text(day).done()
}

/// Behind the lines of a day and class, and before those of the next.
pub fn behind_class(hospital: &HospitalCode, day: &str, class: &str) -> Vec<u8> {
    let mut key = of_hospital(Kind::Day, hospital).text(day).prefix(class);
    key.push(1);
    key
}

/// Beginning of the lines of names that begin so, joined.
pub fn named(hospital: &HospitalCode, beginning: &str) -> Vec<u8> {
    of_hospital(Kind::Name, hospital).prefix(beginning)
}

/// A line by day.
pub fn of_day_line(key: &[u8]) -> Option<OpenLine<'_>> {
    let mut parts = Parts(key);
    parts.byte()?;
    parts.text()?;
    Some(OpenLine {
        day: parts.text()?,
        class: parts.text()?,
        apply_no: parts.text()?,
        generation: parts.u16()?,
    })
}

/// Number and generation of the form of a line by name.
pub fn form_of_name_line(key: &[u8]) -> Option<(&str, u16)> {
    let mut parts = Parts(key);
    parts.byte()?;
    for _ in ["hospital", "name", "day"] {
        parts.text()?;
    }
    Some((parts.text()?, parts.u16()?))
}
