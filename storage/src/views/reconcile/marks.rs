//! Lists that mark exams: suspected reuse by exam, further versions by study.

use std::collections::HashMap;

use yingku_core::exam::ExamRow;
use yingku_core::finding::{FindingKey, FindingKind, FindingRow};
use yingku_core::ids::{HospitalCode, StudyKey};
use yingku_core::pull::PullState;
use yingku_core::reconcile::{ImageState, Marks, Why};

use super::super::ViewsError;
use super::Gathering;

/// Findings of one kind that marks are taken from; an operator is to work them off long before.
const FINDINGS_LIMIT: usize = 100_000;

#[derive(Default)]
pub(super) struct Lists {
    reuse: HashMap<String, u32>,
    further: HashMap<String, u32>,
}

impl Lists {
    pub(super) fn read(
        gathering: &Gathering<'_>,
        hospital: &HospitalCode,
    ) -> Result<Self, ViewsError> {
        let mut lists = Self::default();
        for kind in [FindingKind::NumberReuse, FindingKind::FurtherVersion] {
            let views = gathering.views;
            for (key, row) in views.findings(kind, Some(hospital), FINDINGS_LIMIT)? {
                if gathering.counts(row.since) {
                    lists.add(&key, row);
                }
            }
            let Some(as_of) = gathering.as_of else {
                continue;
            };
            views.visit_settled(kind, hospital, &mut |settled| {
                if settled.row.since < as_of && as_of <= settled.until {
                    lists.add(&settled.key, settled.row);
                }
            })?;
        }
        Ok(lists)
    }

    fn add(&mut self, key: &FindingKey, row: FindingRow) {
        if key.kind == FindingKind::NumberReuse {
            for exam in row.exams {
                *self.reuse.entry(exam).or_default() += 1;
            }
        } else if let Some(study) = key.subject.rsplit('/').nth(1) {
            // Subject: hospital/study/SOP instance; UIDs hold no slash.
            *self.further.entry(study.to_owned()).or_default() += 1;
        }
    }

    pub(super) fn marks(&self, row: &ExamRow) -> Marks {
        let mut marks = Marks::default();
        if !self.reuse.is_empty() {
            marks.suspected_reuse = self.reuse.get(&row.key.to_string()).copied().unwrap_or(0);
        }
        if !self.further.is_empty() {
            for study in row.own_studies() {
                let found = self.further.get(study.as_str()).copied();
                marks.further_versions += found.unwrap_or(0);
            }
        }
        marks
    }
}

impl Gathering<'_> {
    /// Where fetching what an exam lacks stands, of several studies the one that is furthest from coming. What is fetched is
    /// of today: the past is not asked.
    pub(super) fn pull_of(
        &self,
        row: &ExamRow,
        images: ImageState,
    ) -> Result<Option<Why>, ViewsError> {
        let lacks = matches!(images, ImageState::Missing | ImageState::Partly);
        let hospital = self.registry.hospitals.get(&row.key.hospital);
        let gateway = hospital.and_then(|hospital| hospital.gateway.as_ref());
        let Some(gateway) = gateway.filter(|_| lacks && self.as_of.is_none()) else {
            return Ok(None);
        };
        let mut stands = None;
        for declared in row.studies.iter().filter(|study| !study.foreign) {
            let study = StudyKey::new(row.key.hospital.clone(), declared.uid.clone());
            let why = self.views.pull(&study)?.and_then(|pull| match pull.state {
                PullState::Done => None,
                PullState::Stopped => Some(Why::PullStopped),
                PullState::Open if !gateway.enabled => Some(Why::PullStopped),
                PullState::Open if pull.tries == 0 => Some(Why::Pulling),
                PullState::Open => Some(Why::PullWaiting),
            });
            stands = stands.max(why);
        }
        Ok(stands)
    }
}
