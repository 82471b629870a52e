//! The notices of one exam and its form in order: only the first is sent, and the next when it is taken or given up.

use std::collections::{HashMap, VecDeque};

use tokio::time::Instant;
use yingku_core::ids::{ExamKey, FormKey};
use yingku_core::notice::{NoticeRow, NoticeState};

use super::pace;

/// Number of a line.
pub type LineId = u64;

/// The lines of one receiver, each found by the exams and the forms that its notices are about: what is told of an exam, and of
/// the form that it has, is one story, also where the form was deleted before the exam came.
#[derive(Default)]
pub struct Lines {
    lines: HashMap<LineId, Line>,
    of_exam: HashMap<ExamKey, LineId>,
    of_form: HashMap<FormKey, LineId>,
    next: LineId,
}

impl Lines {
    /// Takes a notice in. Whether there is one more now.
    pub fn put(&mut self, row: NoticeRow) -> bool {
        let known = row.exam.as_ref().and_then(|exam| self.of_exam.get(exam));
        let id = match known.or_else(|| self.of_form.get(&row.form)) {
            Some(id) => *id,
            None => {
                self.next += 1;
                self.next
            }
        };
        let line = self.lines.entry(id).or_default();
        if let Some(exam) = row
            .exam
            .as_ref()
            .filter(|exam| !self.of_exam.contains_key(exam))
        {
            self.of_exam.insert(exam.clone(), id);
            line.exams.push(exam.clone());
        }
        if !self.of_form.contains_key(&row.form) {
            self.of_form.insert(row.form.clone(), id);
            line.forms.push(row.form.clone());
        }
        line.put(row)
    }

    pub fn get_mut(&mut self, id: LineId) -> Option<&mut Line> {
        self.lines.get_mut(&id)
    }

    pub fn iter(&self) -> impl Iterator<Item = (LineId, &Line)> {
        self.lines.iter().map(|(id, line)| (*id, line))
    }

    /// What came of a line's notice is in the log; a line that is done with goes.
    pub fn recorded(&mut self, id: LineId) {
        let Some(line) = self.lines.get_mut(&id) else {
            return;
        };
        line.is_unrecorded = false;
        if !line.notices.is_empty() {
            return;
        }
        if let Some(line) = self.lines.remove(&id) {
            for exam in &line.exams {
                self.of_exam.remove(exam);
            }
            for form in &line.forms {
                self.of_form.remove(form);
            }
        }
    }
}

/// What is in memory of one exam and its form.
#[derive(Default)]
pub struct Line {
    /// In order; the first is the one that is sent.
    notices: VecDeque<NoticeRow>,
    /// By which the line is found.
    exams: Vec<ExamKey>,
    forms: Vec<FormKey>,
    is_sending: bool,
    /// What came of the one before is not in the log yet: after a crash it would be sent again, behind this one.
    is_unrecorded: bool,
    /// Refusals of the first one.
    refusals: u32,
    /// Tries of the first one in a row that nobody answered.
    unreached: u32,
    /// Until when the first one waits.
    not_before: Option<Instant>,
}

impl Line {
    /// Takes a notice in, in the order in which they became due. One that an operator has sent again takes the place that it
    /// has here already, and waits no longer. Whether there is one more now.
    fn put(&mut self, row: NoticeRow) -> bool {
        let what = |it: &NoticeRow| (it.time_ms, it.status, it.content);
        let mut rows = self.notices.iter();
        let known = rows.position(|it| what(it) == what(&row) && it.form == row.form);
        let place = known.unwrap_or_else(|| self.place_of(&row));
        if place == 0 {
            self.begin(row.tries);
        }
        match known.and_then(|known| self.notices.get_mut(known)) {
            Some(former) => *former = row,
            None => self.notices.insert(place, row),
        }
        known.is_none()
    }

    /// Behind all that were due before it, and behind one that is on its way. An operator's `again` gives notices new numbers, which
    /// say nothing of when they were due; those of one record are in its order.
    fn place_of(&self, row: &NoticeRow) -> usize {
        let is_later = |it: &NoticeRow| match it.id.position == row.id.position {
            true => it.id.index > row.id.index,
            false => (it.time_ms, it.status.rank()) > (row.time_ms, row.status.rank()),
        };
        let later = self.notices.iter().position(is_later);
        let place = later.unwrap_or(self.notices.len());
        place.max(usize::from(self.is_sending && !self.notices.is_empty()))
    }

    fn begin(&mut self, refusals: u32) {
        self.refusals = refusals;
        self.unreached = 0;
        self.not_before = None;
    }

    pub fn first(&self) -> Option<&NoticeRow> {
        self.notices.front()
    }

    /// The first notice, if it may be sent.
    pub fn ready(&self, now: Instant) -> Option<&NoticeRow> {
        let waits = self.is_sending
            || self.is_unrecorded
            || self.not_before.is_some_and(|until| until > now);
        self.first().filter(|_| !waits)
    }

    /// Until when the first notice waits, if it is not on its way.
    pub fn waits_until(&self) -> Option<Instant> {
        self.not_before.filter(|_| !self.is_sending)
    }

    pub fn sending(&mut self) {
        self.is_sending = true;
    }

    pub fn sent(&mut self) {
        self.is_sending = false;
    }

    /// The first notice was refused: it waits, or is given up. Where it stands now.
    pub fn refused(&mut self) -> NoticeState {
        self.unreached = 0;
        self.refusals = self.refusals.saturating_add(1);
        self.not_before = Some(Instant::now() + pace::after_refusals(self.refusals));
        match self.refusals >= pace::REFUSALS_LIMIT {
            true => NoticeState::Stopped,
            false => NoticeState::Open,
        }
    }

    /// Nobody answered: other exams have their turn first, so one notice that its receiver never answers holds up
    /// nobody else's. How often in a row that was.
    pub fn unreached(&mut self) -> u32 {
        self.unreached = self.unreached.saturating_add(1);
        self.not_before = Some(Instant::now() + pace::after_unreached(self.unreached));
        self.unreached
    }

    /// The archive could not compose it.
    pub fn not_sent(&mut self) {
        self.not_before = Some(Instant::now() + pace::after_refusals(1));
    }

    /// Refusals of the first notice since it became open.
    pub fn refusals(&self) -> u32 {
        self.refusals
    }

    /// The first notice is done with; the next begins when that is recorded.
    pub fn pop(&mut self) {
        self.notices.pop_front();
        self.is_unrecorded = true;
        self.begin(self.first().map_or(0, |next| next.tries));
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use yingku_core::ids::{ExamNo, HisId, HospitalCode, Position};
    use yingku_core::notice::{NoticeId, NoticeStatus};

    fn notice(position: u64, status: NoticeStatus, told_at: u64) -> NoticeRow {
        NoticeRow {
            his: HisId::new("his").unwrap(),
            id: NoticeId {
                position: Position(position),
                index: 0,
            },
            state: NoticeState::Open,
            status,
            time_ms: told_at as i64,
            form: FormKey {
                hospital: HospitalCode::new("350006").unwrap(),
                apply_no: "F1".to_owned(),
                generation: 0,
            },
            exam: None,
            content: Some(Position(told_at)),
            tries: 0,
            last: None,
        }
    }

    fn first(line: &Line) -> u64 {
        line.first().unwrap().id.position.0
    }

    #[test]
    fn a_notice_that_is_sent_again_takes_its_own_place_and_waits_no_longer() {
        // Given 20 that was refused, and 70 behind it
        let mut line = Line::default();
        assert!(line.put(notice(1, NoticeStatus::Registered, 1)));
        assert!(line.put(notice(2, NoticeStatus::Confirmed, 2)));
        assert_eq!(line.refused(), NoticeState::Open);
        assert!(line.ready(Instant::now()).is_none());
        // When an operator has both sent again
        assert!(!line.put(notice(9, NoticeStatus::Registered, 1)));
        assert!(!line.put(notice(10, NoticeStatus::Confirmed, 2)));
        // Then 20 goes at once, and 70 after it
        assert_eq!(line.ready(Instant::now()).unwrap().id.position.0, 9);
        assert_eq!(line.refusals(), 0);
        line.pop();
        assert_eq!(first(&line), 10);
    }

    #[test]
    fn who_is_not_answered_waits_longer_each_time_until_it_is_answered() {
        let mut line = Line::default();
        line.put(notice(1, NoticeStatus::Registered, 1));
        assert_eq!([line.unreached(), line.unreached()], [1, 2]);
        line.refused();
        assert_eq!(line.unreached(), 1);
    }

    #[test]
    fn a_notice_that_is_refused_to_the_limit_stops_and_the_next_begins() {
        let mut line = Line::default();
        line.put(notice(1, NoticeStatus::Registered, 1));
        line.put(notice(2, NoticeStatus::Confirmed, 2));
        for _ in 1..pace::REFUSALS_LIMIT {
            assert_eq!(line.refused(), NoticeState::Open);
        }
        assert_eq!(line.refused(), NoticeState::Stopped);
        line.pop();
        // A crash now would send the first again: the next waits until the log knows better.
        assert!(line.ready(Instant::now()).is_none());
        line.is_unrecorded = false;
        assert_eq!(line.ready(Instant::now()).unwrap().id.position.0, 2);
    }

    #[test]
    fn a_notice_that_came_open_again_stands_where_it_was_due() {
        // Given 20 and 70 of one record, of which an operator had 20 sent again, as they are read after a restart
        let mut line = Line::default();
        line.put(notice(2, NoticeStatus::Confirmed, 1));
        line.put(notice(9, NoticeStatus::Registered, 1));
        assert_eq!(first(&line), 9);
        // One that is on its way stays in front of what was due before it
        line.sending();
        line.put(notice(10, NoticeStatus::Registered, 0));
        assert_eq!(first(&line), 9);
        line.pop();
        assert_eq!(first(&line), 10);
    }

    #[test]
    fn notices_of_one_record_are_in_its_order() {
        // Given the former form's 00, and 20 and 70 of the new one
        let mut line = Line::default();
        let of = |index, status| NoticeRow {
            id: NoticeId {
                position: Position(5),
                index,
            },
            ..notice(5, status, 5)
        };
        line.put(of(2, NoticeStatus::Confirmed));
        line.put(of(0, NoticeStatus::Cancelled));
        line.put(of(1, NoticeStatus::Registered));
        for index in 0..3 {
            assert_eq!(line.first().unwrap().id.index, index);
            line.pop();
        }
    }

    #[test]
    fn an_exam_and_its_form_are_one_line_until_that_is_done_with() {
        let mut lines = Lines::default();
        let of_exam = |position: u64, exam_no: &str, form: &str| {
            let mut row = notice(position, NoticeStatus::Registered, position);
            row.form.apply_no = form.to_owned();
            row.exam = Some(ExamKey {
                hospital: HospitalCode::new("350006").unwrap(),
                exam_no: ExamNo::new(exam_no).unwrap(),
                generation: 0,
            });
            row
        };
        lines.put(notice(1, NoticeStatus::Cancelled, 1));
        lines.put(of_exam(2, "E1", "F1"));
        lines.put(of_exam(3, "E1", "F2"));
        lines.put(of_exam(4, "E2", "F3"));
        assert_eq!(lines.iter().count(), 2);
        let (id, _) = lines.iter().find(|(_, line)| first(line) == 1).unwrap();
        for _ in 0..3 {
            lines.get_mut(id).unwrap().pop();
        }
        lines.recorded(id);
        lines.put(of_exam(5, "E9", "F2"));
        assert_eq!(lines.iter().count(), 2);
    }
}
