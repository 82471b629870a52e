//! `POST /v1/statistics/…` for supervision 监管: counts of many exams over a range of days, of the app's hospitals. No answer
//! names a patient, so no reason is asked for; each question is audited once.

pub mod completeness;
pub mod download;
pub mod load;
pub mod missing;
pub mod positive;
mod question;
pub mod repeat;
mod sheet;
pub mod timeliness;
mod workbook;

use sheet::{Cell, Column, Sheet};

/// Lines of one answer at most: what is longer is asked for by fewer dimensions, days or hospitals.
const LINES_LIMIT: usize = 50_000;
