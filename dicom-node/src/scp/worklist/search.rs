//! The search for the forms that a question asks for: by whichever lines lead to the fewest.

use std::collections::{HashMap, HashSet};

use yingku_core::apply_form::{ApplyFormRow, accession_of};
use yingku_core::dictionaries::modalities_of;
use yingku_core::event::OPEN_FORMS_SINCE_RULES;
use yingku_core::ids::{AeTitle, FormKey, HospitalCode};
use yingku_core::registry::{Hospital, HospitalMode, Registry};
use yingku_storage::views::keys::FormIndexKind;
use yingku_storage::views::open_forms::{NextLine, OpenDays, OpenForm, OpenLine};
use yingku_storage::views::{Views, ViewsError, Walk};

use super::entry::Entry;
use super::question::Selector;
use super::{Asked, answer};
use crate::scp::delivery::Answers;
use crate::status::Status;

/// Answers to one question at most: a machine's screen is for a day's patients, not for a city's.
pub const ANSWER_LIMIT: usize = 5_000;
/// Forms that one question looks at, at most: some second of a thread on a loaded machine.
const ROWS_LIMIT: usize = 50_000;
/// Lines that refuse forms unseen, at most; as much time.
const LINES_LIMIT: usize = 500_000;

/// How a search ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    Whole,
    TooManyAnswers,
    TooManyRows,
}

pub struct Search<'a> {
    views: &'a Views,
    registry: &'a Registry,
    asked: Asked,
    /// Of forms that name none.
    station: String,
    answers: Answers,
    /// Of classes that were come by: under which of its modalities a form is answered, if the question asks for one.
    modalities: HashMap<String, Option<String>>,
    is_unsupported: Option<bool>,
    lines: usize,
    rows: usize,
    sent: usize,
    end: End,
}

/// A hospital that is searched.
#[derive(Clone, Copy)]
struct Place<'a> {
    code: &'a HospitalCode,
    name: &'a str,
    is_trial: bool,
}

impl<'a> Search<'a> {
    pub fn new(views: &'a Views, registry: &'a Registry, asked: Asked, answers: Answers) -> Self {
        Self {
            views,
            registry,
            station: asked.question.station(&asked.calling),
            asked,
            answers,
            modalities: HashMap::new(),
            is_unsupported: None,
            lines: 0,
            rows: 0,
            sent: 0,
            end: End::Whole,
        }
    }

    pub fn run(mut self) -> Result<End, ViewsError> {
        let registry = self.registry;
        let selector = self.asked.question.selector();
        for (code, hospital) in &registry.hospitals {
            if self.end == End::Whole
                && self.asked.scope.has(code)
                && self.asked.question.asks_for(code.as_str())
            {
                self.hospital(&selector, Place::of(code, hospital))?;
            }
        }
        self.answers.hand_over();
        Ok(self.end)
    }

    fn hospital(&mut self, selector: &Selector, place: Place<'_>) -> Result<(), ViewsError> {
        let views = self.views;
        let has_lines = self.registry.rules >= OPEN_FORMS_SINCE_RULES;
        let visit = &mut |row: ApplyFormRow| self.form(&row, place);
        let with = |kind, value: &str, visit: &mut dyn FnMut(ApplyFormRow) -> Walk| {
            views.visit_forms_with(kind, place.code, value, visit)
        };
        match selector {
            Selector::Days(from, to) if has_lines => match self.asked.question.name_beginnings() {
                Some(beginnings) => self.by_name(&beginnings, place),
                None => self.by_days(from, to, place),
            },
            Selector::Days(from, to) => views.visit_open_forms(place.code, from, to, visit),
            Selector::Studies(studies) => studies
                .iter()
                .try_for_each(|study| with(FormIndexKind::StudyUid, study.as_str(), visit)),
            Selector::SickIds(numbers) => numbers
                .iter()
                .try_for_each(|number| with(FormIndexKind::SickId, number, visit)),
            Selector::InpatientNos(numbers) => numbers
                .iter()
                .try_for_each(|number| with(FormIndexKind::InpatientNo, number, visit)),
            Selector::Numbers(numbers) => numbers.iter().try_for_each(|number| {
                views.visit_forms_of_accession(place.code, &accession_of(number), visit)
            }),
        }
    }

    fn by_days(&mut self, from: &str, to: &str, place: Place<'_>) -> Result<(), ViewsError> {
        let days = OpenDays {
            hospital: place.code,
            from,
            to,
        };
        let views = self.views;
        views.visit_open_lines(days, &mut |line, form| self.line(line, &form, place))
    }

    /// Looks the line's form up unless the line refuses it.
    fn line(
        &mut self,
        line: OpenLine<'_>,
        form: &OpenForm<'_>,
        place: Place<'_>,
    ) -> Result<NextLine, ViewsError> {
        if self.is_over_with_line() {
            return Ok(NextLine::Stop);
        }
        if self.modality(line.class).is_none() {
            return Ok(NextLine::PastClass);
        }
        let station = self.station_of(form.device);
        let station = station.as_ref().map_or(&*self.station, |it| it.as_str());
        if form.test != place.is_trial || !self.asked.question.may_meet(form, station) {
            return Ok(NextLine::On);
        }
        Ok(match self.look_up(line.apply_no, line.generation, place)? {
            Walk::On => NextLine::On,
            Walk::Stop => NextLine::Stop,
        })
    }

    fn by_name(&mut self, beginnings: &[String], place: Place<'_>) -> Result<(), ViewsError> {
        let views = self.views;
        // A form has several lines, and several beginnings may lead to one.
        let mut seen = HashSet::new();
        for beginning in beginnings {
            views.visit_open_names(place.code, beginning, &mut |apply_no, generation| {
                if self.is_over_with_line() {
                    return Ok(Walk::Stop);
                }
                match seen.insert((apply_no.to_owned(), generation)) {
                    true => self.look_up(apply_no, generation, place),
                    false => Ok(Walk::On),
                }
            })?;
        }
        Ok(())
    }

    fn look_up(
        &mut self,
        apply_no: &str,
        generation: u16,
        place: Place<'_>,
    ) -> Result<Walk, ViewsError> {
        let key = FormKey {
            hospital: place.code.clone(),
            apply_no: apply_no.to_owned(),
            generation,
        };
        // A row that is gone changed while this was read.
        Ok(match self.views.apply_form(&key)? {
            Some(row) => self.form(&row, place),
            None => Walk::On,
        })
    }

    /// Counts a line; whether the search is over.
    fn is_over_with_line(&mut self) -> bool {
        self.lines += 1;
        if self.lines > LINES_LIMIT || self.answers.is_unheard() {
            self.end = End::TooManyRows;
        }
        self.end != End::Whole
    }

    fn modality(&mut self, class: &str) -> Option<&str> {
        if !self.modalities.contains_key(class) {
            let modalities = modalities_of(&self.registry.settings.class_aliases, class);
            let modality = self.asked.question.modality(&modalities);
            self.modalities
                .insert(class.to_owned(), modality.map(str::to_owned));
        }
        self.modalities.get(class)?.as_deref()
    }

    /// The station that a device's name names, if it is a registered one.
    fn station_of(&self, device: &str) -> Option<AeTitle> {
        let title = AeTitle::new(device).ok();
        title.filter(|title| self.registry.peers.contains_key(title))
    }

    /// Answers a form if it is asked for.
    fn form(&mut self, row: &ApplyFormRow, place: Place<'_>) -> Walk {
        self.rows += 1;
        // Where nobody waits for the answers any more, how it ends is told to no one.
        if self.rows > ROWS_LIMIT || self.answers.is_unheard() {
            self.end = End::TooManyRows;
        }
        if self.end != End::Whole {
            return Walk::Stop;
        }
        // What was tried out is nobody's once the hospital is live.
        if row.test != place.is_trial
            || !row.is_open()
            || !self.asked.question.is_planned_so(row.planned_time())
        {
            return Walk::On;
        }
        let Some(modality) = self.modality(&row.content.exam_class).map(str::to_owned) else {
            return Walk::On;
        };
        let named = self.station_of(&row.content.device);
        let entry = Entry {
            row,
            hospital: place.name,
            station: named.as_ref().map_or(&self.station, |it| it.as_str()),
            modality: &modality,
        };
        let question = &self.asked.question;
        if !question.meets(&entry) {
            return Walk::On;
        }
        self.sent += 1;
        if self.sent > ANSWER_LIMIT {
            self.end = End::TooManyAnswers;
            return Walk::Stop;
        }
        let is_unsupported = self
            .is_unsupported
            .get_or_insert_with(|| question.has_unsupported(&entry));
        let status = if *is_unsupported {
            Status::PENDING_UNSUPPORTED_KEYS
        } else {
            Status::PENDING
        };
        let Asked {
            charset,
            transfer_syntax,
            ..
        } = &self.asked;
        let data_set = answer::encode(question, &entry, charset, transfer_syntax);
        let walk = self.answers.send(data_set, status);
        if walk == Walk::Stop {
            self.end = End::TooManyAnswers;
        }
        walk
    }
}

impl<'a> Place<'a> {
    fn of(code: &'a HospitalCode, hospital: &'a Hospital) -> Self {
        Self {
            code,
            name: &hospital.name,
            is_trial: hospital.mode == HospitalMode::Test,
        }
    }
}

#[cfg(test)]
mod tests;
