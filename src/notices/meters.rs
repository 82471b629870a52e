//! What becomes of notices, counted for `/metrics`. Of a HIS only the id that the platform gave it is told.

use yingku_core::ids::HisId;

/// What came of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Taken.
    Sent,
    Refused,
    /// Nobody answered.
    Unreached,
}

impl Outcome {
    fn name(self) -> &'static str {
        match self {
            Self::Sent => "sent",
            Self::Refused => "refused",
            Self::Unreached => "unreached",
        }
    }
}

pub fn tried(his: &HisId, outcome: Outcome) {
    metrics::counter!(
        "yingku_notices_tried_total",
        "his" => his.as_str().to_owned(),
        "outcome" => outcome.name(),
    )
    .increment(1);
}
