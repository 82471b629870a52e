//! What came of an exam's images.

use std::collections::{HashMap, HashSet};

use yingku_core::event::DetailRow;

use super::content::is_placeholder;
use super::{ExamNumber, Image, Recount};

impl Recount {
    pub(super) fn arrive(&mut self, image: Image) {
        let same = |other: &Image| {
            other.study == image.study && other.sop == image.sop && other.digest == image.digest
        };
        match self.destination(&image) {
            Some(hospital) => {
                self.align(&image.study, true);
                let there = self.here_at(&hospital, &image.study).next();
                let (taken_for, mark) = match there {
                    Some(other) => (other.taken_for.clone(), other.mark.clone()),
                    None => (self.person(&image.study), None),
                };
                let known = self.here_at(&hospital, &image.study).any(same);
                let guest = self.guest(&hospital, &image);
                if !known {
                    if guest.is_some() {
                        self.happened.insert("a guest");
                    }
                    self.shown.push(Image {
                        hospital,
                        taken_for,
                        mark,
                        guest,
                        ..image
                    });
                }
            }
            None => {
                if !self.held.iter().any(same) {
                    self.held.push(image);
                }
            }
        }
    }

    /// Whatever is held and fits is shown.
    pub(super) fn adopt(&mut self) {
        for image in std::mem::take(&mut self.held) {
            self.arrive(image);
        }
    }

    fn here<'a>(&'a self, number: &'a ExamNumber, uid: &'a str) -> impl Iterator<Item = &'a Image> {
        self.here_at(&number.0, uid)
    }

    /// Images of a hospital's row that is seen.
    pub(super) fn here_at<'a>(
        &'a self,
        hospital: &'a str,
        uid: &'a str,
    ) -> impl Iterator<Item = &'a Image> {
        let shown = self.shown.iter();
        shown
            .filter(move |image| image.hospital == hospital && image.study == uid && image.lot == 0)
    }

    /// How many images of a study an exam has: instances, images, their frames, images outside of series 0.
    fn images(&self, number: &ExamNumber, uid: &str) -> [u32; 4] {
        let mut seen = HashSet::new();
        let (mut instances, mut images, mut frames, mut outside) = (0, 0, 0, 0);
        for image in self.here(number, uid) {
            if seen.insert(&image.sop) && image.hidden.is_empty() {
                instances += 1;
                if image.is_image {
                    images += 1;
                    frames += image.frames;
                    outside += u32::from(!image.in_series_zero);
                }
            }
        }
        [instances, images, frames, outside]
    }

    /// Those of several studies that are the exam's own.
    fn sum<'a>(&self, number: &ExamNumber, uids: impl IntoIterator<Item = &'a str>) -> [u32; 4] {
        let own = self.own(number);
        let uids = uids.into_iter().filter(|uid| own.contains(uid));
        uids.fold([0; 4], |sums, uid| {
            let counts = self.images(number, uid);
            std::array::from_fn(|index| sums[index] + counts[index])
        })
    }

    /// Studies that were moved to the exam and that it does not declare.
    fn given(&self, number: &ExamNumber) -> Vec<&str> {
        let declared = &self.exams[number].now.studies;
        let given = self.rulings.keys().map(String::as_str);
        given
            .filter(|uid| self.ruled(uid).1 == Some(number))
            .filter(|uid| !declared.iter().any(|study| study.uid == *uid))
            .collect()
    }

    fn own(&self, number: &ExamNumber) -> Vec<&str> {
        let declared = self.exams[number].now.studies.iter();
        let declared = declared.map(|study| study.uid.as_str());
        let mut own: Vec<&str> = declared
            .filter(|uid| self.owns(number, uid) && self.are_his(&number.0, uid))
            .collect();
        own.extend(self.given(number));
        own
    }

    /// Of the exam's images: 3 complete, 4 partly, 5 missing, 6 none declared, 7 linked (places in
    /// [`COUNTS`](super::COUNTS)).
    pub(super) fn image_state(&self, number: &ExamNumber) -> usize {
        let (mut met, mut wanted, mut some, mut linked) = (0, 0, false, false);
        let [_, images_given, frames_given, _] = self.sum(number, self.given(number));
        let mut left = images_given.max(frames_given);
        for study in &self.exams[number].now.studies {
            let [instances, images, frames, _] = self.sum(number, [study.uid.as_str()]);
            if study.linked && instances == 0 {
                linked = true;
            } else if let Some(count) = study.count.filter(|count| *count > 0) {
                wanted += 1;
                let mut here = images.max(frames);
                while here < count && left > 0 {
                    (here, left) = (here + 1, left - 1);
                }
                met += u32::from(here >= count);
                some |= here > 0;
            }
        }
        match (wanted, met) {
            (0, _) if linked => 7,
            (0, _) => 6,
            (wanted, met) if wanted == met => 3,
            _ if some => 4,
            _ => 5,
        }
    }

    /// Whether an exam whose images are complete has more of them than it declares.
    pub(super) fn has_surplus(&self, number: &ExamNumber) -> bool {
        let [_, images_given, frames_given, _] = self.sum(number, self.given(number));
        let mut lacking = 0;
        let mut more = false;
        for study in &self.exams[number].now.studies {
            let [instances, images, frames, outside] = self.sum(number, [study.uid.as_str()]);
            if study.linked && instances == 0 {
                continue;
            }
            if let Some(count) = study.count.filter(|count| *count > 0) {
                lacking += count.saturating_sub(images.max(frames));
                more |= outside > count;
            }
        }
        more || images_given.max(frames_given) > lacking
    }

    /// Whether an exam is not as a line of a list tells.
    pub(super) fn differs(&self, number: &ExamNumber, told: &DetailRow) -> bool {
        let now = &self.exams[number].now;
        let form_differs = told.apply_no != now.apply_no;
        if form_differs && !told.apply_no.is_empty() && !is_placeholder(&now.apply_no) {
            return true;
        }
        let any = told.study_uid.is_empty();
        let studies = now.studies.iter();
        let studies: Vec<_> = studies.filter(|s| any || s.uid == told.study_uid).collect();
        if studies.is_empty() && !any {
            return !self.given(number).contains(&told.study_uid.as_str());
        }
        let uids = studies.iter().map(|study| study.uid.as_str());
        let [instances, images, frames, outside] = self.sum(number, uids);
        let [_, images_given, frames_given, _] = self.sum(number, self.given(number));
        let unverified = instances == 0 && studies.iter().any(|study| study.linked);
        told.image_count.is_some_and(|count| {
            let fewer = images.max(frames) < count
                && (images + images_given).max(frames + frames_given) < count;
            let more = images.max(frames) >= count && outside > count;
            count > 0 && !unverified && (fewer || more)
        })
    }

    pub(super) fn is_doubtful(&self, number: &ExamNumber) -> bool {
        let now = &self.exams[number].now;
        now.studies
            .iter()
            .filter(|study| self.owns(number, &study.uid) && self.are_his(&number.0, &study.uid))
            .any(|study| {
                let mut images = self.here(number, &study.uid);
                images.any(|image| image.patient_name != now.name)
            })
    }

    /// SOP instances of the exam's own studies that came with other bytes as well.
    pub(super) fn further_versions(&self, number: &ExamNumber) -> usize {
        let further = |uid: &str| {
            let mut versions: HashMap<&str, (u32, bool)> = HashMap::new();
            for image in self.here(number, uid) {
                let (versions, ruled) = versions.entry(&image.sop).or_insert((0, true));
                (*versions, *ruled) = (*versions + 1, *ruled && image.ruled);
            }
            let versions = versions.values();
            versions
                .filter(|(versions, ruled)| *versions > 1 && !ruled)
                .count()
        };
        self.own(number).into_iter().map(further).sum()
    }
}
