//! For when a question asks: keys of date and time of the scheduled step (PS3.4 table K.6-1).

use dicom_core::VR;
use dicom_dictionary_std::tags;
use yingku_core::query::DATE_DIGITS;

use crate::dataset::Nested;
use crate::scp::matching::{TIME_DIGITS, bounds, in_bounds, is_universal, meets, values};

/// Day before and behind all that forms may be planned for.
const ALL_DAYS: (&str, &str) = ("", "9999-99-99");

/// The keys, read once for many forms.
pub struct Planned {
    date: String,
    time: String,
    /// First and last moment, where a range of days and a range of times are asked for together.
    moments: Option<(String, String)>,
}

impl Planned {
    pub fn new(step: &Nested) -> Self {
        let date = step.text(tags::SCHEDULED_PROCEDURE_STEP_START_DATE);
        let time = step.text(tags::SCHEDULED_PROCEDURE_STEP_START_TIME);
        Self {
            moments: moments(date, time),
            date: date.to_owned(),
            time: time.to_owned(),
        }
    }

    /// From the first to the last day that is asked for, `YYYY-MM-DD`.
    pub fn days(&self) -> (String, String) {
        let (all_from, all_to) = ALL_DAYS;
        if is_universal(VR::DA, &self.date) {
            return (all_from.to_owned(), all_to.to_owned());
        }
        let ranges = || values(&self.date).filter_map(|date| bounds(date, DATE_DIGITS));
        let from = ranges().map(|(from, _)| day(&from, all_from)).min();
        let to = ranges().map(|(_, to)| day(&to, all_to)).max();
        // What is no date is met by none.
        (
            from.unwrap_or_else(|| all_to.to_owned()),
            to.unwrap_or_default(),
        )
    }

    /// Whether the days have a first and a last.
    pub fn is_bounded(&self) -> bool {
        let (from, to) = self.days();
        from != ALL_DAYS.0 && to != ALL_DAYS.1
    }

    /// Whether a form is planned for when the question asks; `planned` as forms have it: `YYYY-MM-DD HH:MM:SS`.
    pub fn is_met_by(&self, planned: &str) -> bool {
        let digits = |text: Option<&str>| -> String {
            let text = text.unwrap_or_default().chars();
            text.filter(char::is_ascii_digit).collect()
        };
        let (date, time) = (planned.get(..10), planned.get(11..));
        match &self.moments {
            // From one moment to another (PS3.4 table K.6-1), not these hours of each day.
            Some((from, to)) => {
                let moment = format!("{}{:0<TIME_DIGITS$}", digits(date), digits(time));
                in_bounds(&moment, from, to)
            }
            None => {
                (is_universal(VR::DA, &self.date) || meets(VR::DA, &self.date, &digits(date)))
                    && (is_universal(VR::TM, &self.time)
                        || meets(VR::TM, &self.time, &digits(time)))
            }
        }
    }
}

/// `YYYYMMDD` as forms have their days; empty: `open`.
fn day(digits: &str, open: &str) -> String {
    match (digits.get(..4), digits.get(4..6), digits.get(6..8)) {
        (Some(year), Some(month), Some(day)) => format!("{year}-{month}-{day}"),
        _ => open.to_owned(),
    }
}

fn moments(date_key: &str, time_key: &str) -> Option<(String, String)> {
    let is_range = |key: &str| key.contains('-') && !key.contains('\\');
    if !is_range(date_key) || !is_range(time_key) {
        return None;
    }
    let (from_day, to_day) = bounds(date_key, DATE_DIGITS)?;
    let (from_time, to_time) = bounds(time_key, TIME_DIGITS)?;
    let from = match from_day.as_str() {
        "" => String::new(),
        day => format!("{day}{from_time:0<TIME_DIGITS$}"),
    };
    let to = match to_day.as_str() {
        "" => String::new(),
        day => format!("{day}{to_time:9<TIME_DIGITS$}"),
    };
    Some((from, to))
}
