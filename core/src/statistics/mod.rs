//! Declarations: how many exams a hospital says it should have uploaded (contract §2.6), and which ones (`uploadDetail`).

use serde::{Deserialize, Serialize};

use crate::ids::{HospitalCode, Position};

/// What one hospital declared for one day and class.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
pub struct DeclarationRow {
    /// Every declaration under this spelling of the class, oldest first; a later one replaces the earlier, both stay
    /// (R10).
    pub counts: Vec<DeclaredCount>,
    pub details: Vec<DeclaredDetail>,
}

/// Declarations kept for one hospital, day and class: two a day for a year and a half. Older ones stay in the log.
pub const DECLARATION_LIMIT: usize = 1_000;

impl DeclarationRow {
    /// Keeps the newest list and as many before it as the limits have room for.
    pub fn forget_old_details(&mut self) {
        let mut room = DETAIL_LINES_LIMIT;
        let kept = self.details.iter().rev().take(DECLARATION_LIMIT);
        let kept = kept.take_while(|detail| {
            room = room.saturating_sub(detail.lines.len());
            room > 0
        });
        let kept = kept.count().max(1);
        self.details
            .drain(..self.details.len().saturating_sub(kept));
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeclaredCount {
    pub position: Position,
    pub time_ms: i64,
    pub count: u32,
    /// The hospital was in mode `test`: uncounted, purgeable.
    pub test: bool,
}

/// Lines of `uploadDetail` kept for one hospital, day and class, in all its lists: some hundred exams named twice a day
/// for months. Beyond it the oldest lists go; they stay in the log.
pub const DETAIL_LINES_LIMIT: usize = 50_000;

/// The exams that one call of `uploadDetail` named.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeclaredDetail {
    pub position: Position,
    pub time_ms: i64,
    pub lines: Vec<DetailLine>,
    /// As [`DeclaredCount::test`].
    pub test: bool,
}

/// What one line tells of an exam, or of one study of it. Empty: it does not tell.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DetailLine {
    pub exam_no: String,
    pub apply_no: String,
    pub study_uid: String,
    pub image_count: Option<u32>,
}

/// Hospital, day and class: what reconciliation counts by.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct DayKey {
    pub hospital: HospitalCode,
    /// `YYYY-MM-DD`
    pub date: String,
    /// As declared; it compares by its canonical class (R10), which an administrator's aliases may change.
    pub class: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_lists_are_kept_as_far_as_there_is_room() {
        let list = |position, lines| DeclaredDetail {
            position: Position(position),
            time_ms: 0,
            test: false,
            lines: vec![
                DetailLine {
                    exam_no: "E1".to_owned(),
                    apply_no: String::new(),
                    study_uid: String::new(),
                    image_count: None,
                };
                lines
            ],
        };
        let kept = |details: Vec<DeclaredDetail>| {
            let mut row = DeclarationRow {
                details,
                ..DeclarationRow::default()
            };
            row.forget_old_details();
            let positions = row.details.iter().map(|detail| detail.position.0);
            positions.collect::<Vec<_>>()
        };
        let half = DETAIL_LINES_LIMIT / 2;
        assert_eq!(kept(vec![list(1, half), list(2, half - 1)]), [1, 2]);
        assert_eq!(
            kept(vec![list(1, half), list(2, half - 1), list(3, 1)]),
            [2, 3]
        );
        assert_eq!(kept(vec![list(1, 1), list(2, DETAIL_LINES_LIMIT * 2)]), [2]);
    }
}
