//! What belongs together in a pack.

use std::sync::Arc;

use yingku_core::ids::{HospitalCode, StudyKey, StudyUid};
use yingku_core::instance::StudyFacts;
use yingku_core::registry::Registry;

use crate::archive::Archive;
use crate::log::unix_ms;
use crate::views::{Views, ViewsError};

/// Where instances belong together.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Shelf {
    /// A retention rule says that they may lie on slower storage.
    pub(super) is_cold: bool,
    pub(super) hospital: HospitalCode,
    /// `YYYYMM` of the study; empty where its images have no date.
    pub(super) month: String,
    pub(super) study: StudyUid,
}

impl Shelf {
    /// Whether what is on them may share a pack whatever its size.
    pub(super) fn is_same_month(&self, other: &Self) -> bool {
        self.hospital == other.hospital && self.month == other.month
    }
}

/// Which studies are cold, asked study by study; nothing is where there is no other place for it.
pub(super) struct Warmth<'v> {
    views: &'v Views,
    registry: Arc<Registry>,
    now_ms: i64,
    asks: bool,
    last: Option<(StudyKey, bool)>,
}

impl<'v> Warmth<'v> {
    pub(super) fn new(archive: &Archive, views: &'v Views) -> Self {
        let registry = archive.registry();
        let mut rules = registry.settings.retention.iter();
        let asks = rules.any(|rule| rule.cold_after_months.is_some())
            && archive.packs().objects_options().is_some();
        Self {
            views,
            registry,
            now_ms: unix_ms(),
            asks,
            last: None,
        }
    }

    /// One scan of several forms is as warm as the warmest of them.
    pub(super) fn is_cold(&mut self, study: &StudyKey) -> Result<bool, ViewsError> {
        if !self.asks {
            return Ok(false);
        }
        if let Some((_, is_cold)) = self.last.as_ref().filter(|(last, _)| last == study) {
            return Ok(*is_cold);
        }
        let is_cold = self.ask(study)?;
        self.last = Some((study.clone(), is_cold));
        Ok(is_cold)
    }

    fn ask(&self, study: &StudyKey) -> Result<bool, ViewsError> {
        let claims = self.views.claims(&study.study)?.unwrap_or_default();
        let row = self.views.study(study)?;
        let taken_for = row.and_then(|row| row.taken_for).map(|it| it.exam);
        let owning = claims.owning().map(|claim| claim.exam.clone());
        let mut any = false;
        for key in owning.chain(taken_for) {
            if let Some(exam) = self.views.exam(&key)? {
                any = true;
                if !self.registry.settings.is_cold(&exam, self.now_ms) {
                    return Ok(false);
                }
            }
        }
        Ok(any)
    }
}

pub(super) fn month_of(study: &StudyFacts) -> String {
    let digits = study.date.trim();
    let is_month = |month: &&str| month.bytes().all(|byte| byte.is_ascii_digit());
    digits.get(..6).filter(is_month).unwrap_or("").to_owned()
}
