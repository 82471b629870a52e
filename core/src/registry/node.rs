//! 节点: the machines that run the archive, as the log knows them.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// A duty that must run once (an expired hold, a notice), and who has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Lease {
    pub node: u16,
    pub run: Uuid,
    /// Raised when another holder takes it: results of an earlier one are ignored.
    pub epoch: u64,
    /// Log time from which somebody else may take it, unix milliseconds.
    pub until_ms: i64,
    /// For how long the last record took it.
    pub ttl_ms: u32,
}

/// One node. Its number is the upper part of its packs' ids and is never given to another data directory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Node {
    pub number: u16,
    /// Its data directory. Absent: it started before nodes had numbers of their own, and is the directory whose packs have
    /// this number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<Uuid>,
    /// The run that started last; an earlier one of the same directory must not store anything any more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<Uuid>,
    #[serde(default)]
    pub release: String,
    /// Where other nodes reach it: `http://HOST:PORT`. Empty: nowhere.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub address: String,
}
