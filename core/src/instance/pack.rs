//! What the log tells of a pack beside the instances in it. A row stays for ever: a pack's number is never used again.

use serde::{Deserialize, Serialize};

use crate::ids::Position;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct PackRow {
    /// The last record that tells of instances in it, and its log time in unix milliseconds.
    pub last: Position,
    pub last_time_ms: i64,
    /// Its instances were copied from other packs.
    pub made_of_others: bool,
    /// The log tells of all of those.
    pub is_whole: bool,
    /// Log time of the first record by which a retention rule deleted something that lies in it, unix milliseconds.
    pub deleted_since_ms: Option<i64>,
    /// Its instances lie elsewhere by now, or are nowhere needed: nothing leads to it any more.
    pub compacted: Option<CompactedAt>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct CompactedAt {
    pub position: Position,
    /// Log time, unix milliseconds.
    pub time_ms: i64,
}
