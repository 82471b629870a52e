//! Counts of exams' images, now and at a past position.

use std::collections::{HashMap, HashSet};

use yingku_core::exam::{DeclaredStudy, ExamRow};
use yingku_core::ids::{Position, StudyKey};
use yingku_core::instance::{ImageCounts, StudyRow};
use yingku_core::reconcile::{ImageState, Why, differences, images_of};
use yingku_core::statistics::DetailLine;

use super::super::{View, Views, ViewsError, Walk, decode, keys};

/// Counts of the studies that some exams of one hospital own, by study UID.
pub(super) struct Images(HashMap<String, ImageCounts>);

impl Images {
    pub(super) fn of(
        views: &Views,
        as_of: Option<Position>,
        exams: &[ExamRow],
    ) -> Result<Self, ViewsError> {
        let owned: HashSet<StudyKey> = exams
            .iter()
            .flat_map(|exam| {
                exam.own_studies()
                    .map(|uid| StudyKey::new(exam.key.hospital.clone(), uid.clone()))
            })
            .collect();
        let mut images = HashMap::with_capacity(owned.len());
        if as_of.is_some() {
            for key in owned {
                let counts = views.image_counts(&key, as_of)?;
                images.insert(key.study.as_str().to_owned(), counts);
            }
        } else {
            let rows: Vec<StudyRow> =
                views.get_many(View::Studies, owned.iter().map(keys::study))?;
            for row in rows {
                images.insert(row.key.study.as_str().to_owned(), row.counts());
            }
        }
        Ok(Self(images))
    }

    pub(super) fn state(&self, exam: &ExamRow) -> ImageState {
        let studies = exam.studies.iter();
        let declared: Vec<_> = studies.map(|study| (study, self.declared(study))).collect();
        images_of(exam, &declared, self.given(exam)).1
    }

    /// In what an exam is not as lines of `uploadDetail` tell.
    pub(super) fn differences(&self, lines: &[DetailLine], exam: &ExamRow) -> Vec<Why> {
        differences(lines, exam, |study| self.declared(study), self.given(exam))
    }

    /// Those of a declared study: none of one that is another's.
    fn declared(&self, study: &DeclaredStudy) -> ImageCounts {
        match study.foreign {
            true => ImageCounts::default(),
            false => self.counts(study.uid.as_str()),
        }
    }

    fn given(&self, exam: &ExamRow) -> ImageCounts {
        exam.given().map(|uid| self.counts(uid.as_str())).sum()
    }

    fn counts(&self, uid: &str) -> ImageCounts {
        self.0.get(uid).copied().unwrap_or_default()
    }
}

impl Views {
    /// How an exam's images stand (R9), now.
    pub fn image_state(&self, exam: &ExamRow) -> Result<ImageState, ViewsError> {
        let images = Images::of(self, None, std::slice::from_ref(exam))?;
        Ok(images.state(exam))
    }

    /// A study's images, before a position or now: those that readers saw, wherever they are today.
    pub fn image_counts(
        &self,
        key: &StudyKey,
        as_of: Option<Position>,
    ) -> Result<ImageCounts, ViewsError> {
        let row = self.study(key)?;
        let Some(as_of) = as_of else {
            return Ok(row.map(|row| row.counts()).unwrap_or_default());
        };
        let (mut kept, mut is_whole) = (None, false);
        self.scan(View::Counted, &keys::study(key), &[], |line, value| {
            let Some(position) = keys::position_of_counted(line) else {
                return Ok(Walk::On);
            };
            if position >= as_of {
                // Lines are kept without gaps: nothing came between the last before the position and this one.
                is_whole = true;
                return Ok(Walk::Stop);
            }
            kept = Some((position, decode(View::Counted, value)?));
            Ok(Walk::On)
        })?;
        let (since, counts) = match kept {
            Some((position, counts)) => (Some(position), counts),
            None => (None, ImageCounts::default()),
        };
        match row {
            Some(row) if !is_whole => Ok(counts.and(self.arrived(&row, since, as_of)?)),
            _ => Ok(counts),
        }
    }

    /// Instances that came to a study between two records and are seen.
    fn arrived(
        &self,
        row: &StudyRow,
        after: Option<Position>,
        before: Position,
    ) -> Result<ImageCounts, ViewsError> {
        let mut counts = ImageCounts::default();
        for (index, series) in row.series.iter().enumerate() {
            for entry in self.instances(row, index)? {
                if after.is_none_or(|after| entry.position > after) && entry.position < before {
                    counts.add(&entry, series.is_zero());
                }
            }
        }
        Ok(counts)
    }
}
