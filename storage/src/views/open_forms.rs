//! Open forms as a worklist looks for them: by day and class, and by name. Only since the rules that write their lines are
//! in force (`OPEN_FORMS_SINCE_RULES`); before, [`Views::visit_open_forms`] shows them day by day.

use rocksdb::ReadOptions;
use yingku_core::ids::HospitalCode;

pub use super::keys::open_forms::{OpenForm, OpenLine};

use super::keys::open_forms;
use super::{View, Views, ViewsError, Walk, after_prefix};

/// Days of a hospital's forms, `YYYY-MM-DD`, both included.
#[derive(Debug, Clone, Copy)]
pub struct OpenDays<'a> {
    pub hospital: &'a HospitalCode,
    pub from: &'a str,
    pub to: &'a str,
}

/// How a walk over lines goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NextLine {
    On,
    /// Past the rest of this day's forms of this class.
    PastClass,
    Stop,
}

type VisitLine<'v> = dyn FnMut(OpenLine<'_>, OpenForm<'_>) -> Result<NextLine, ViewsError> + 'v;

impl Views {
    /// Shows the lines of open forms that are planned for some days, in the order of day and class, until the visitor stops.
    pub fn visit_open_lines(
        &self,
        days: OpenDays<'_>,
        visit: &mut VisitLine<'_>,
    ) -> Result<(), ViewsError> {
        self.noted(self.walk_open_lines(days, visit))
    }

    fn walk_open_lines(
        &self,
        days: OpenDays<'_>,
        visit: &mut VisitLine<'_>,
    ) -> Result<(), ViewsError> {
        let mut options = ReadOptions::default();
        options.set_total_order_seek(true);
        if let Some(end) = after_prefix(&open_forms::days(days.hospital)) {
            options.set_iterate_upper_bound(end);
        }
        let family = self.family(View::OpenForms)?;
        let mut lines = self.db.raw_iterator_cf_opt(family, options);
        lines.seek(open_forms::day(days.hospital, days.from));
        while let Some((key, value)) = lines.item() {
            let line = open_forms::of_day_line(key).ok_or_else(|| damaged("key"))?;
            if line.day > days.to {
                return Ok(());
            }
            let (day, class) = (line.day, line.class);
            let form = postcard::from_bytes(value).map_err(damaged)?;
            match visit(line, form)? {
                NextLine::On => lines.next(),
                NextLine::PastClass => {
                    let next = open_forms::behind_class(days.hospital, day, class);
                    lines.seek(next);
                }
                NextLine::Stop => return Ok(()),
            }
        }
        Ok(lines.status()?)
    }

    /// Shows number and generation of a hospital's open forms of which a group of the name, joined
    /// ([`yingku_core::query::joined_name`]), begins so, in the order of names and days, until the visitor stops. A form may
    /// come twice.
    pub fn visit_open_names(
        &self,
        hospital: &HospitalCode,
        beginning: &str,
        visit: &mut dyn FnMut(&str, u16) -> Result<Walk, ViewsError>,
    ) -> Result<(), ViewsError> {
        let prefix = open_forms::named(hospital, beginning);
        self.scan(View::OpenForms, &prefix, &[], |key, _| {
            let form = open_forms::form_of_name_line(key).ok_or_else(|| damaged("key"))?;
            visit(form.0, form.1)
        })
    }
}

fn damaged(source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> ViewsError {
    ViewsError::Row {
        view: View::OpenForms.name(),
        source: source.into(),
    }
}
