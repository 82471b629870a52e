//! The notices of one exam in order: only the first is sent, and the next when it is taken or given up.

use std::collections::VecDeque;

use tokio::time::Instant;
use yingku_core::ids::{ExamKey, FormKey};
use yingku_core::notice::{NoticeRow, NoticeState};

use super::pace;

/// Notices of one exam, or of a form that no exam has, keep their order.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Subject {
    Exam(ExamKey),
    Form(FormKey),
}

impl Subject {
    pub fn of(notice: &NoticeRow) -> Self {
        match &notice.exam {
            Some(exam) => Self::Exam(exam.clone()),
            None => Self::Form(notice.form.clone()),
        }
    }
}

/// What is in memory of one subject.
#[derive(Default)]
pub struct Line {
    /// In order; the first is the one that is sent.
    notices: VecDeque<NoticeRow>,
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
    /// Takes a notice in. One that an operator has sent again takes the place that it has here already, and waits no
    /// longer. Whether there is one more now.
    pub fn put(&mut self, row: NoticeRow) -> bool {
        let what = |it: &NoticeRow| (it.time_ms, it.status, it.content);
        let place = self
            .notices
            .iter()
            .position(|it| what(it) == what(&row) && it.form == row.form);
        let is_first = place.unwrap_or(self.notices.len()) == 0;
        if is_first {
            self.begin(row.tries);
        }
        match place.and_then(|place| self.notices.get_mut(place)) {
            Some(former) => *former = row,
            None => self.notices.push_back(row),
        }
        place.is_none()
    }

    fn begin(&mut self, refusals: u32) {
        self.refusals = refusals;
        self.unreached = 0;
        self.not_before = None;
    }

    pub fn first(&self) -> Option<&NoticeRow> {
        self.notices.front()
    }

    pub fn is_empty(&self) -> bool {
        self.notices.is_empty()
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

    pub fn recorded(&mut self) {
        self.is_unrecorded = false;
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
    use yingku_core::ids::{HisId, HospitalCode, Position};
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
        line.recorded();
        assert_eq!(line.ready(Instant::now()).unwrap().id.position.0, 2);
    }
}
