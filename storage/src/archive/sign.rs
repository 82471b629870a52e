//! Timed signs work once (R3): using one is a record, so every node agrees which use came first.

use yingku_core::event::{Event, SignUsed};
use yingku_core::outcome::Decided;

use super::{Archive, Submission, SubmitError};

/// Old marks that one use looks at: more than one on average, so that they do not pile up.
const MARKS_LOOKED_AT: usize = 8;

impl Archive {
    /// Uses a sign up. Refused if it was used before and its time window is not over.
    pub async fn use_sign(
        &self,
        actor: String,
        digest: [u8; 16],
        now_ms: i64,
        expires_ms: i64,
    ) -> Result<Decided, SubmitError> {
        // Marks that cannot be read are forgotten another time.
        let old = self.views().expired_signs(&digest, now_ms, MARKS_LOOKED_AT);
        let hex = |digest: [u8; 16]| format!("{:032x}", u128::from_be_bytes(digest));
        let event = Event::SignUsed(SignUsed {
            digest: hex(digest),
            expires_ms,
            forget: old.unwrap_or_default().into_iter().map(hex).collect(),
        });
        self.submit(Submission {
            hospital: None,
            actor,
            event,
        })
        .await
    }
}
