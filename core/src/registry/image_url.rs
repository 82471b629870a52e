//! The address that opens an exam's images.

use serde::{Deserialize, Serialize};

/// How an address of images is made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ImageUrl {
    pub pattern: String,
    /// For how long a signed address opens.
    #[serde(default = "usual_valid_days")]
    pub valid_days: u16,
}

fn usual_valid_days() -> u16 {
    30
}
