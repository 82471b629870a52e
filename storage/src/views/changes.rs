//! Which exams changed, in the order of the log: what an index or a reader's own copy follows.

use yingku_core::ids::{ExamKey, Position};

use super::{View, Views, ViewsError, Walk, keys};

impl Views {
    /// Shows the exams that records from a position on changed, or brought the first image of, in the order of the log, until
    /// the visitor stops. An exam may be gone since. Of what was before the rules that keep these lines, each exam's last
    /// change is shown.
    pub fn visit_changes(
        &self,
        from: Position,
        visit: &mut dyn FnMut(Position, ExamKey) -> Walk,
    ) -> Result<(), ViewsError> {
        let start = keys::changes::from(from);
        self.scan(View::Changes, &[], &start, |key, _| {
            Ok(match keys::changes::read(key) {
                Some((position, exam)) => visit(position, exam),
                None => Walk::On,
            })
        })
    }
}
