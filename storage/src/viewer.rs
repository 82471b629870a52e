//! The address that opens an exam's images in the region's viewer, signed until it expires: status notices carry it, and
//! citations of reports.

use url::form_urlencoded::byte_serialize;
use yingku_core::exam::ExamRow;
use yingku_core::registry::Registry;

use crate::keys::ClusterKey;

const DAY_MS: i64 = 24 * 3_600_000;

/// Where images open, and for how long.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ViewerAddress {
    pub url: String,
    /// Unix seconds.
    pub expires: i64,
}

/// Of the exam's first study, valid for the registry's `image_url.valid_days` from `time_ms` on; `None`: the registry names no
/// viewer, or the exam has no study of its own.
pub fn viewer_address(
    registry: &Registry,
    key: &ClusterKey,
    row: &ExamRow,
    time_ms: i64,
) -> Option<ViewerAddress> {
    let settings = registry.settings.image_url.as_ref()?;
    let study = row.own_studies().next()?;
    let expires = (time_ms + i64::from(settings.valid_days) * DAY_MS) / 1000;
    let (hospital, exam_no) = (row.key.hospital.as_str(), row.key.exam_no.as_str());
    // A line each: none of them holds a control character, so no two say the same otherwise.
    let said = format!("images\n{hospital}\n{exam_no}\n{study}\n{expires}");
    let signature = key.sign_address(&said);
    let until = expires.to_string();
    let mut url = settings.pattern.clone();
    for (place, value) in [
        ("{studyUID}", study.as_str()),
        ("{examNo}", exam_no),
        ("{hospitalCode}", hospital),
        ("{expires}", &until),
        ("{signature}", &signature),
    ] {
        let encoded: String = byte_serialize(value.as_bytes()).collect();
        url = url.replace(place, &encoded);
    }
    Some(ViewerAddress { url, expires })
}
