//! Instances that came with other bytes under one SOP Instance UID, as an operator tells them apart.

use yingku_core::ids::{SopInstanceUid, StudyKey, StudyUid};
use yingku_storage::views::{Views, ViewsError};

/// Digits of a digest that a list shows: enough to tell versions apart.
const SHOWN_DIGITS: usize = 12;

pub struct Version {
    /// 32 hexadecimal digits.
    pub digest: String,
    pub is_current: bool,
    pub sender: String,
    pub bytes: u64,
}

/// In order of arrival.
pub fn of(
    views: &Views,
    study: &StudyKey,
    instance: &SopInstanceUid,
) -> Result<Vec<Version>, ViewsError> {
    let Some(row) = views.study(study)? else {
        return Ok(Vec::new());
    };
    let mut versions = Vec::new();
    for series in 0..row.series.len() {
        let entries = views.all_instances(&row, series)?.into_iter();
        let entries = entries.filter(|entry| entry.image().sop_instance == *instance);
        versions.extend(entries.map(|entry| {
            let version = Version {
                digest: format!("{:032x}", u128::from_be_bytes(entry.stored.digest)),
                is_current: !entry.further,
                sender: entry.sender.to_string(),
                bytes: entry.stored.length,
            };
            (entry.position, version)
        }));
    }
    versions.sort_by_key(|(position, _)| *position);
    Ok(versions.into_iter().map(|(_, version)| version).collect())
}

/// The versions of a line on the list of further ones; empty if there are none any more.
pub fn of_line(views: &Views, subject: &str) -> Result<String, ViewsError> {
    let mut parts = subject.split('/');
    let hospital = parts.next().map(yingku_core::ids::HospitalCode::new);
    let study = parts.next().map(StudyUid::new);
    let instance = parts.next().map(SopInstanceUid::new);
    let (Some(Ok(hospital)), Some(Ok(study)), Some(Ok(instance))) = (hospital, study, instance)
    else {
        return Ok(String::new());
    };
    let versions = of(views, &StudyKey::new(hospital, study), &instance)?;
    let shown = versions.iter().map(|version| {
        let current = if version.is_current { "*" } else { "" };
        let digest = version.digest.get(..SHOWN_DIGITS).unwrap_or_default();
        format!("{digest}{current} {} {} B", version.sender, version.bytes)
    });
    Ok(shown.collect::<Vec<_>>().join("; "))
}
