//! What rules read of a push.

use super::super::DecideError;
use crate::contract::push::{ExamPushedBody, ExamSummary};
use crate::exam::{DeclaredStudy, ExamRow};
use crate::ids::{ExamKey, ExamNo, HospitalCode, StudyUid};
use crate::supervision::SupervisedContent;

/// A push on its own: it needs no state, so a replay reads it ahead.
pub(crate) struct Content {
    pub(super) hospital: HospitalCode,
    pub(super) exam_no: ExamNo,
    pub(super) digest: [u8; 16],
    pub(super) warned: bool,
    pub(super) studies: Vec<DeclaredStudy>,
    pub(super) summary: ExamSummary<'static>,
    pub(super) supervised: SupervisedContent,
    /// It is a form's, not a push's (R16).
    pub(super) without_push: bool,
}

impl Content {
    pub(crate) fn read(body: &ExamPushedBody<'_>) -> Result<Self, DecideError> {
        let unreadable = |what: &str| DecideError::Content(what.to_owned());
        let summary =
            ExamSummary::from_json(&body.json).map_err(|e| DecideError::Content(e.to_string()))?;
        let hospital =
            HospitalCode::new(&summary.hospital_code).map_err(|_| unreadable("hospitalCode"))?;
        let exam_no = ExamNo::new(&summary.exam_no).map_err(|_| unreadable("examNo"))?;
        let studies = declared_studies(&summary).map_err(|_| unreadable("studyUID"))?;
        let supervised = SupervisedContent::from_json(&body.json);
        Ok(Self {
            hospital,
            exam_no,
            digest: body.digest,
            warned: !body.warnings.is_empty(),
            studies,
            summary: summary.into_owned(),
            supervised: supervised.map_err(|e| DecideError::Content(e.to_string()))?,
            without_push: false,
        })
    }

    pub(super) fn key(&self, generation: u16) -> ExamKey {
        ExamKey {
            hospital: self.hospital.clone(),
            exam_no: self.exam_no.clone(),
            generation,
        }
    }

    pub(super) fn shares_study(&self, row: &ExamRow) -> bool {
        self.studies
            .iter()
            .any(|study| row.studies.iter().any(|known| known.uid == study.uid))
    }

    /// Whether it is of this exam beyond doubt: of the same scan, or of the same person under the same number.
    pub(super) fn is_plainly(&self, row: &ExamRow) -> bool {
        let same_person = self.summary.sick_id == row.sick_id && self.summary.name == row.name;
        same_person || self.shares_study(row)
    }
}

/// Rows of `imageList` with the same study UID add up (R9).
fn declared_studies(summary: &ExamSummary<'_>) -> Result<Vec<DeclaredStudy>, crate::ids::IdError> {
    let mut studies: Vec<DeclaredStudy> = Vec::with_capacity(summary.images.len());
    for image in &summary.images {
        let uid = StudyUid::new(&image.study_uid)?;
        let accession_no = Some(image.accession_no.as_ref()).filter(|text| !text.is_empty());
        match studies.iter_mut().find(|study| study.uid == uid) {
            Some(study) => {
                study.image_count = match (study.image_count, image.image_count) {
                    (Some(a), Some(b)) => Some(a.saturating_add(b)),
                    (a, b) => a.or(b),
                };
                study.linked &= image.has_image_url;
                if study.accession_no.is_none() {
                    study.accession_no = accession_no.map(str::to_owned);
                }
            }
            None => studies.push(DeclaredStudy {
                uid,
                accession_no: accession_no.map(str::to_owned),
                image_count: image.image_count,
                linked: image.has_image_url,
                foreign: false,
            }),
        }
    }
    Ok(studies)
}
