//! What the page's own links carry on of a link that a HIS signed: who reads, for whom, by which numbers, sealed under the
//! cluster key, so that every node opens it. In the address and not in a cookie, because a browser withholds cookies from a
//! page that stands in another's frame, which is where HIS put it.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use yingku_core::contract::clinic::Numbers;
use yingku_core::ids::HospitalCode;
use yingku_storage::keys::{ClusterKey, KeyError, Purpose};

/// For how long the links of an opened page lead on: a visit, or a case conference.
pub const LIFE_S: i64 = 3_600;
/// The same for the addresses of its images.
pub const LIFE: Duration = Duration::from_secs(LIFE_S.unsigned_abs());

#[derive(Serialize, Deserialize)]
pub struct Ticket {
    pub app: String,
    /// Of the app when its link was opened: a new license, or disabling it, ends its pages too.
    pub epoch: u32,
    /// Whose exams they are.
    pub hospital: HospitalCode,
    pub read_for: HospitalCode,
    /// Code of the reason; empty: none.
    pub reason: String,
    pub user: String,
    pub numbers: Numbers,
    /// Unix seconds.
    pub until_s: i64,
}

pub fn seal(key: &ClusterKey, ticket: &Ticket) -> Result<String, KeyError> {
    // It is texts and numbers, so it always encodes.
    let json = serde_json::to_vec(ticket).unwrap_or_default();
    let sealed = key.seal_bytes(Purpose::Clinic, &json)?;
    Ok(URL_SAFE_NO_PAD.encode(sealed))
}

/// `None`: it is not ours, or its time is over.
pub fn open(key: &ClusterKey, text: &str, now_s: i64) -> Option<Ticket> {
    let sealed = URL_SAFE_NO_PAD.decode(text).ok()?;
    let json = key.open_bytes(Purpose::Clinic, &sealed).ok()?;
    let ticket: Ticket = serde_json::from_slice(&json).ok()?;
    (ticket.until_s > now_s).then_some(ticket)
}
