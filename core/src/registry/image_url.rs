//! The address that opens an exam's images, and what its signature signs.

use form_urlencoded::byte_serialize;
use serde::{Deserialize, Serialize};

use crate::exam::ExamRow;

const DAY_MS: i64 = 24 * 3_600_000;

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

impl ImageUrl {
    /// The address of the exam's first study, valid from a moment on (unix milliseconds); none of an exam without a study.
    /// `sign` signs what it says, in hex.
    pub fn of(
        &self,
        exam: &ExamRow,
        now_ms: i64,
        sign: impl FnOnce(&str) -> String,
    ) -> Option<String> {
        let study = exam.own_studies().next()?;
        let expires = (now_ms + i64::from(self.valid_days) * DAY_MS) / 1000;
        let (hospital, exam_no) = (exam.key.hospital.as_str(), exam.key.exam_no.as_str());
        // A line each: none of them holds a control character, so no two say the same otherwise.
        let signature = sign(&format!(
            "images\n{hospital}\n{exam_no}\n{study}\n{expires}"
        ));
        let expires = expires.to_string();
        let mut url = self.pattern.clone();
        for (place, value) in [
            ("{studyUID}", study.as_str()),
            ("{examNo}", exam_no),
            ("{hospitalCode}", hospital),
            ("{expires}", &expires),
            ("{signature}", &signature),
        ] {
            let encoded: String = byte_serialize(value.as_bytes()).collect();
            url = url.replace(place, &encoded);
        }
        Some(url)
    }
}
