//! What came of an exam's images.

use std::collections::{HashMap, HashSet};

use super::{ExamNumber, Image, Recount};

impl Recount {
    pub(super) fn arrive(&mut self, image: Image) {
        let same = |other: &Image| {
            other.study == image.study && other.sop == image.sop && other.digest == image.digest
        };
        match self.destination(&image) {
            Some(hospital) => {
                if !self
                    .shown
                    .iter()
                    .any(|other| other.hospital == hospital && same(other))
                {
                    self.shown.push(Image { hospital, ..image });
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
        let shown = self.shown.iter();
        shown.filter(move |image| image.hospital == number.0 && image.study == uid)
    }

    /// How many images of a study an exam has.
    fn images(&self, number: &ExamNumber, uid: &str) -> (u32, u32, u32) {
        let mut seen = HashSet::new();
        let (mut instances, mut images, mut frames) = (0, 0, 0);
        for image in self.here(number, uid) {
            if seen.insert(&image.sop) && !image.hidden {
                instances += 1;
                if image.is_image {
                    images += 1;
                    frames += image.frames;
                }
            }
        }
        (instances, images, frames)
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
        let mut own: Vec<&str> = declared.filter(|uid| self.owns(number, uid)).collect();
        own.extend(self.given(number));
        own
    }

    /// Of the exam's images: 3 complete, 4 partly, 5 missing, 6 none declared, 7 linked (places in
    /// [`COUNTS`](super::COUNTS)).
    pub(super) fn image_state(&self, number: &ExamNumber) -> usize {
        let (mut met, mut wanted, mut some, mut linked) = (0, 0, false, false);
        let (mut images_given, mut frames_given) = (0, 0);
        for uid in self.given(number) {
            let (_, images, frames) = self.images(number, uid);
            images_given += images;
            frames_given += frames;
        }
        let mut left = images_given.max(frames_given);
        for study in &self.exams[number].now.studies {
            let (instances, images, frames) = match self.owns(number, &study.uid) {
                true => self.images(number, &study.uid),
                false => (0, 0, 0),
            };
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

    pub(super) fn is_doubtful(&self, number: &ExamNumber) -> bool {
        let now = &self.exams[number].now;
        now.studies
            .iter()
            .filter(|study| self.owns(number, &study.uid))
            .any(|study| {
                let mut images = self.here(number, &study.uid);
                images.any(|image| image.patient_name != now.name)
            })
    }

    /// SOP instances of the exam's own studies that came with other bytes as well.
    pub(super) fn further_versions(&self, number: &ExamNumber) -> usize {
        let further = |uid: &str| {
            let mut versions: HashMap<&str, u32> = HashMap::new();
            for image in self.here(number, uid) {
                *versions.entry(&image.sop).or_default() += 1;
            }
            versions.values().filter(|versions| **versions > 1).count()
        };
        self.own(number).into_iter().map(further).sum()
    }
}
