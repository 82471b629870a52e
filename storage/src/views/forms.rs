//! Apply forms as readers look them up: by key, by a number of the patient, by the day for which they are planned.

use yingku_core::apply_form::ApplyFormRow;
use yingku_core::apply_form::progress::{FormProgress, Meeting, progress};
use yingku_core::exam::ExamRow;
use yingku_core::ids::{FormKey, HospitalCode, SopInstanceUid, StudyKey};
use yingku_core::performed::StepRow;

use super::keys::{self, FormIndexKind};
use super::{View, Views, ViewsError, Walk, decode};

impl Views {
    pub fn apply_form(&self, key: &FormKey) -> Result<Option<ApplyFormRow>, ViewsError> {
        self.get(View::ApplyForms, &keys::form(key))
    }

    /// A procedure step that a machine performs.
    pub fn step(&self, step: &SopInstanceUid) -> Result<Option<StepRow>, ViewsError> {
        self.get(View::Steps, &keys::step(step))
    }

    /// Shows a hospital's forms with a value, deleted ones left out, until the visitor stops.
    pub fn visit_forms_with(
        &self,
        kind: FormIndexKind,
        hospital: &HospitalCode,
        value: &str,
        visit: &mut dyn FnMut(ApplyFormRow) -> Walk,
    ) -> Result<(), ViewsError> {
        let prefix = keys::forms_with(kind, hospital, value);
        self.scan(View::FormIndex, &prefix, &[], |line, _| {
            self.form_of_line(line, visit)
        })
    }

    /// Shows a hospital's forms with an accession number, which is cut where a form's number is longer; deleted ones too,
    /// until the visitor stops.
    pub fn visit_forms_of_accession(
        &self,
        hospital: &HospitalCode,
        accession_no: &str,
        visit: &mut dyn FnMut(ApplyFormRow) -> Walk,
    ) -> Result<(), ViewsError> {
        let prefix = keys::forms_numbered(hospital, accession_no);
        self.scan(View::ApplyForms, &prefix, &[], |_, value| {
            let row: ApplyFormRow = decode(View::ApplyForms, value)?;
            // In the order of their numbers: what is cut to this one comes before what only begins with it.
            if row.accession_no() != accession_no {
                return Ok(Walk::Stop);
            }
            Ok(visit(row))
        })
    }

    /// Shows a hospital's open forms that are planned from one day to another (`YYYY-MM-DD`, both included), day by day,
    /// until the visitor stops.
    pub fn visit_open_forms(
        &self,
        hospital: &HospitalCode,
        from: &str,
        to: &str,
        visit: &mut dyn FnMut(ApplyFormRow) -> Walk,
    ) -> Result<(), ViewsError> {
        self.visit_forms_of_days(FormIndexKind::OpenDay, hospital, from, to, &mut |row| {
            match row.is_open() {
                true => Ok(visit(row)),
                // It changed while this was read.
                false => Ok(Walk::On),
            }
        })
    }

    /// As [`Views::visit_open_forms`], by an index of days.
    pub(super) fn visit_forms_of_days(
        &self,
        kind: FormIndexKind,
        hospital: &HospitalCode,
        from: &str,
        to: &str,
        visit: &mut dyn FnMut(ApplyFormRow) -> Result<Walk, ViewsError>,
    ) -> Result<(), ViewsError> {
        let prefix = keys::forms_by(kind, hospital);
        let start = keys::forms_with(kind, hospital, from);
        self.scan(View::FormIndex, &prefix, &start, |line, _| {
            let Some((day, key)) = keys::form_of_line(line) else {
                return Ok(Walk::On);
            };
            if day > to {
                return Ok(Walk::Stop);
            }
            // A row that is gone changed while this was read.
            self.apply_form(&key)?.map_or(Ok(Walk::On), &mut *visit)
        })
    }

    fn form_of_line(
        &self,
        line: &[u8],
        visit: &mut dyn FnMut(ApplyFormRow) -> Walk,
    ) -> Result<Walk, ViewsError> {
        let Some((_, key)) = keys::form_of_line(line) else {
            return Ok(Walk::On);
        };
        match self.apply_form(&key)? {
            Some(row) if !row.is_deleted() => Ok(visit(row)),
            // It changed while this was read.
            _ => Ok(Walk::On),
        }
    }

    /// Shows every form of a hospital, deleted ones too, in the order of their numbers, until the visitor stops.
    pub fn visit_apply_forms(
        &self,
        hospital: &HospitalCode,
        visit: &mut dyn FnMut(ApplyFormRow) -> Walk,
    ) -> Result<(), ViewsError> {
        let prefix = keys::hospital(hospital.as_str());
        self.scan(View::ApplyForms, &prefix, &[], |_, value| {
            Ok(visit(decode(View::ApplyForms, value)?))
        })
    }

    /// Exams that have a form: they name it, and are not withdrawn.
    pub fn exams_of_form(&self, key: &FormKey) -> Result<Vec<ExamRow>, ViewsError> {
        let named: Option<yingku_core::exam::FormRow> = self.get(View::Forms, &keys::form(key))?;
        let mut exams = Vec::new();
        for exam in named.unwrap_or_default().exams {
            let row = self.exam(&exam)?;
            let has_it = |row: &ExamRow| row.apply_no == key.apply_no && row.withdrawn.is_none();
            exams.extend(row.filter(has_it));
        }
        Ok(exams)
    }

    /// Where a form stands.
    pub fn form_progress(&self, form: &ApplyFormRow) -> Result<FormProgress, ViewsError> {
        let exams = self.exams_of_form(&form.key)?;
        let mut meetings = Vec::with_capacity(exams.len());
        for exam in &exams {
            let mut first_image_ms: Option<i64> = None;
            for uid in exam.own_studies() {
                let study = StudyKey::new(exam.key.hospital.clone(), uid.clone());
                let row = self.study(&study)?.filter(|row| row.bytes > 0);
                let first = row.map(|row| row.first_time_ms);
                first_image_ms = first_image_ms.into_iter().chain(first).min();
            }
            meetings.push(Meeting {
                exam,
                first_image_ms,
            });
        }
        Ok(progress(form, &meetings))
    }
}
