//! Whose a study is: what pushes claim, and the corrections that stand.

use std::collections::BTreeSet;

use super::{ExamNumber, Image, Recount};

/// A correction of whose a study is.
#[derive(Clone)]
pub(super) enum Ruling {
    Moved {
        to: ExamNumber,
        from: String,
    },
    Ruled {
        exam: ExamNumber,
        /// The hospital whose images went to the exam's.
        from: Option<String>,
    },
    Released(ExamNumber),
}

/// Whether an image was taken in for a person: hospital and sickId.
pub(super) fn is_of(image: &Image, (exam, sick_id): &(ExamNumber, String)) -> bool {
    let taken_for = image.taken_for.as_ref();
    taken_for.is_some_and(|(known, known_id)| known.0 == exam.0 && known_id == sick_id)
}

/// The one that is seen of several versions before the others.
fn seen_first(images: Vec<Image>) -> Vec<Image> {
    let mut known = BTreeSet::new();
    let (first, others): (Vec<_>, Vec<_>) = images
        .into_iter()
        .partition(|image| known.insert(image.sop.clone()));
    first.into_iter().chain(others).collect()
}

impl Recount {
    fn rulings(&self, uid: &str) -> &[(u64, Ruling)] {
        self.rulings.get(uid).map_or(&[], Vec::as_slice)
    }

    /// The exam that a ruling made the owner, and the exam that the study was moved to.
    pub(super) fn ruled(&self, uid: &str) -> (Option<&ExamNumber>, Option<&ExamNumber>) {
        let (mut ruled, mut given) = (None, None);
        for (_, ruling) in self.rulings(uid) {
            match ruling {
                Ruling::Moved { to, .. } => (ruled, given) = (Some(to), Some(to)),
                Ruling::Ruled { exam, .. } => {
                    ruled = Some(exam);
                    given = given.filter(|given| *given == exam);
                }
                Ruling::Released(exam) => {
                    ruled = ruled.filter(|ruled| *ruled != exam);
                    given = given.filter(|given| *given != exam);
                }
            }
        }
        (ruled, given)
    }

    /// Exams that claim the study, and since when.
    pub(super) fn claimants(&self, uid: &str) -> Vec<(&ExamNumber, u64)> {
        let released = |exam: &ExamNumber, since: u64| {
            self.rulings(uid).iter().any(|(at, ruling)| {
                since < *at
                    && match ruling {
                        Ruling::Moved { to, .. } => to != exam,
                        Ruling::Ruled { .. } => false,
                        Ruling::Released(released) => released == exam,
                    }
            })
        };
        let claims = self.claims.iter().filter(|((study, _), _)| study == uid);
        let mut claimants: Vec<_> = claims
            .map(|((_, exam), since)| (exam, *since))
            .filter(|(exam, since)| !released(exam, *since))
            .collect();
        if let (_, Some(given)) = self.ruled(uid)
            && self.exams[given].withdrawn.is_empty()
            && !claimants.iter().any(|(exam, _)| *exam == given)
        {
            claimants.push((given, u64::MAX));
        }
        claimants
    }

    pub(super) fn owner(&self, uid: &str) -> Option<&ExamNumber> {
        let claimants = self.claimants(uid);
        match self.ruled(uid).0 {
            Some(ruled) => claimants
                .iter()
                .map(|(exam, _)| *exam)
                .find(|exam| *exam == ruled),
            None => {
                let trial = |exam: &ExamNumber| self.exams[exam].test;
                let first = claimants
                    .iter()
                    .min_by_key(|(exam, since)| (trial(exam), *since));
                first.map(|(exam, _)| *exam)
            }
        }
    }

    pub(super) fn owns(&self, number: &ExamNumber, uid: &str) -> bool {
        self.claimants(uid).iter().any(|(exam, _)| *exam == number)
            && self.owner(uid).is_some_and(|owner| {
                owner.0 == number.0
                    && self.exams[owner].now.sick_id == self.exams[number].now.sick_id
            })
    }

    /// The hospital where an image is shown.
    pub(super) fn destination(&self, image: &Image) -> Option<String> {
        let owner = self.owner(&image.study)?;
        let is_ruled = self.ruled(&image.study).0.is_some();
        let is_seen = is_ruled
            && self.are_his(&owner.0, &image.study)
            && self.has_numbers_of(&owner.0, image, |_| true);
        let fits =
            |number: &ExamNumber| self.owns(number, &image.study) && self.fits(number, image);
        let claimants = self.claimants(&image.study);
        let is_taken = is_seen || claimants.iter().any(|(exam, _)| fits(exam));
        is_taken.then(|| owner.0.clone())
    }

    /// Whether an image has the numbers of images that are seen.
    fn has_numbers_of(
        &self,
        hospital: &str,
        image: &Image,
        is_meant: impl Fn(&Image) -> bool,
    ) -> bool {
        let mut there = self
            .here_at(hospital, &image.study)
            .filter(|other| is_meant(other));
        there.any(|other| {
            (&other.patient_id, &other.accession) == (&image.patient_id, &image.accession)
        })
    }

    /// For whom an image comes to another's, under a ruling.
    pub(super) fn guest(&self, hospital: &str, image: &Image) -> Option<(ExamNumber, String)> {
        let uid = &image.study;
        self.ruled(uid).0?;
        let person = self.person(uid)?;
        if is_of(self.here_at(hospital, uid).next()?, &person) {
            return None;
        }
        let claimants = self.claimants(uid);
        let mut owning = claimants.iter().filter(|(exam, _)| self.owns(exam, uid));
        let is_his = owning.any(|(exam, _)| self.fits(exam, image));
        if !is_his && self.has_numbers_of(hospital, image, |other| other.guest.is_none()) {
            return None;
        }
        let mut others = self.here_at(hospital, uid).filter(|other| {
            (&other.patient_id, &other.accession) == (&image.patient_id, &image.accession)
        });
        let known = others.find_map(|other| other.guest.clone());
        known.or(Some(person))
    }

    /// Guests that are not of the one for whom it is ruled now are set aside for whom they came.
    pub(super) fn part(&mut self, uid: &str) {
        let ruled = self.ruled(uid).0.map(|exam| {
            let sick_id = self.exams[exam].now.sick_id.clone();
            (exam.0.clone(), sick_id)
        });
        let is_going = |image: &Image| {
            let guest = image.guest.as_ref();
            let guest = guest.map(|(exam, sick_id)| (exam.0.clone(), sick_id.clone()));
            image.study == uid && image.lot == 0 && guest.is_some() && guest != ruled
        };
        let (going, stay): (Vec<_>, Vec<_>) = std::mem::take(&mut self.shown)
            .into_iter()
            .partition(is_going);
        self.shown = stay;
        for mut image in seen_first(going) {
            let person = image.guest.take().unwrap();
            let hospital = person.0.0.clone();
            let lots = self.shown.iter();
            let lots = lots.filter(|it| it.hospital == hospital && it.study == uid);
            let own = lots.clone().find(|it| it.lot > 0 && is_of(it, &person));
            let own = own.map(|it| it.lot);
            let free = lots.map(|it| it.lot).max().unwrap_or(0) + 1;
            image.lot = own.unwrap_or(free);
            image.hospital = hospital;
            image.taken_for = Some(person);
            image.mark = None;
            image.ruled = false;
            self.happened.insert("parted");
            self.put(image);
        }
    }

    fn put(&mut self, image: Image) {
        let place = |it: &Image| (it.hospital.clone(), it.study.clone(), it.lot);
        let known = self.shown.iter().any(|other| {
            place(other) == place(&image)
                && (&other.sop, other.digest) == (&image.sop, image.digest)
        });
        if !known {
            self.shown.push(image);
        }
    }

    /// What was set aside for the one for whom it is ruled comes to the images that he was given.
    pub(super) fn join(&mut self, uid: &str) {
        let Some(person) = self.person(uid).filter(|_| self.ruled(uid).0.is_some()) else {
            return;
        };
        let hospital = person.0.0.clone();
        let own = self.shown.iter().find(|it| {
            it.study == uid && it.hospital == hospital && it.lot > 0 && is_of(it, &person)
        });
        let (Some(own), Some(first)) = (own, self.here_at(&hospital, uid).next()) else {
            return;
        };
        if !self.are_his(&hospital, uid) {
            return;
        }
        let (lot, is_his) = (own.lot, is_of(first, &person));
        let (taken_for, mark) = (first.taken_for.clone(), first.mark.clone());
        let is_coming = |it: &Image| it.study == uid && it.hospital == hospital && it.lot == lot;
        let (coming, stay): (Vec<_>, Vec<_>) = std::mem::take(&mut self.shown)
            .into_iter()
            .partition(is_coming);
        self.shown = stay;
        for mut image in seen_first(coming) {
            image.lot = 0;
            image.guest = (!is_his).then(|| person.clone());
            (image.taken_for, image.mark) = (taken_for.clone(), mark.clone());
            image.ruled = false;
            self.happened.insert("joined");
            self.put(image);
        }
    }

    /// Whether an image has an exam's numbers.
    fn fits(&self, number: &ExamNumber, image: &Image) -> bool {
        let now = &self.exams[number].now;
        let study = now.studies.iter().find(|study| study.uid == image.study);
        now.patient_id == image.patient_id
            && study.is_none_or(|study| {
                let declared = study.accession.as_ref();
                declared.is_none_or(|no| *no == image.accession)
            })
    }

    pub(super) fn is_contested(&self, number: &ExamNumber) -> bool {
        self.exams[number].now.studies.iter().any(|study| {
            let claimants = self.claimants(&study.uid);
            let ruled = self.ruled(&study.uid).0;
            let ruled_at = ruled
                .and(self.rulings(&study.uid).last())
                .map(|(at, _)| *at);
            claimants.iter().any(|(exam, _)| *exam == number)
                && claimants
                    .iter()
                    .filter(|(_, since)| ruled_at.is_none_or(|at| *since > at))
                    .filter(|(exam, _)| !(self.is_live(&study.uid) && self.exams[*exam].test))
                    .any(|(exam, _)| !self.owns(exam, &study.uid))
        })
    }

    /// Whether a study is of an exam that is no trial's.
    fn is_live(&self, uid: &str) -> bool {
        self.owner(uid).is_some_and(|owner| !self.exams[owner].test)
    }

    /// Whether a hospital has images of a study, also hidden ones.
    pub(super) fn holds(&self, hospital: &str, uid: &str) -> bool {
        self.here_at(hospital, uid).next().is_some()
    }

    /// The owner's exam and person.
    pub(super) fn person(&self, uid: &str) -> Option<(ExamNumber, String)> {
        let owner = self.owner(uid)?;
        Some((owner.clone(), self.exams[owner].now.sick_id.clone()))
    }

    /// Whether the row that is seen, if there is one, is of the one whose the study is.
    pub(super) fn are_his(&self, hospital: &str, uid: &str) -> bool {
        let Some(first) = self.here_at(hospital, uid).next() else {
            return true;
        };
        let Some(owner) = self.owner(uid).filter(|owner| owner.0 == hospital) else {
            return false;
        };
        let (exam, _) = first.taken_for.as_ref().unwrap();
        let ruled = self.ruled(uid).0;
        ruled.is_some() && first.mark.as_ref() == ruled
            || is_of(
                first,
                &(owner.clone(), self.exams[owner].now.sick_id.clone()),
            )
            || self.owns(exam, uid) && self.fits(exam, first)
    }

    /// Brings a study's rows in line with whose it is.
    pub(super) fn align(&mut self, uid: &str, room: bool) {
        let Some(person) = self.person(uid) else {
            return;
        };
        let hospital = person.0.0.clone();
        let seen = self.holds(&hospital, uid);
        if seen && self.are_his(&hospital, uid) {
            if self.ruled(uid).0.is_some() {
                return;
            }
            for image in &mut self.shown {
                let here = image.hospital == hospital && image.study == uid && image.lot == 0;
                if here && !is_of(image, &person) {
                    image.taken_for = Some(person.clone());
                }
            }
            return;
        }
        let ruled = self.ruled(uid).0.cloned();
        let rows = self.shown.iter().filter(|image| image.study == uid);
        let aside = rows.clone().filter(|image| image.lot > 0);
        let is_given = |it: &&Image| ruled.is_some() && it.mark == ruled;
        let elsewhere = rows
            .clone()
            .filter(|it| it.lot == 0 && it.hospital != hospital);
        let mut elsewhere: Vec<_> = elsewhere.collect();
        elsewhere.sort_by_key(|it| it.hospital.clone());
        let all: Vec<_> = aside.chain(elsewhere).collect();
        let given = all.iter().find(|it| is_given(it));
        let own = given.or(all.iter().find(|it| is_of(it, &person)));
        let own = own.map(|image| (image.hospital.clone(), image.lot));
        if own.is_none() && !(room && seen) {
            return;
        }
        let rows = rows.filter(|image| image.hospital == hospital);
        let free = rows.map(|image| image.lot).max().unwrap_or(0) + 1;
        for image in self.shown.iter_mut().filter(|image| image.study == uid) {
            if Some((image.hospital.clone(), image.lot)) == own {
                (image.hospital, image.lot) = (hospital.clone(), 0);
            } else if image.hospital == hospital && image.lot == 0 {
                image.lot = free;
            }
        }
        if seen {
            self.happened.insert("set aside");
        }
        if own.is_some() {
            self.happened.insert("brought back");
        }
    }

    pub(super) fn align_all(&mut self) {
        let studies: BTreeSet<_> = self.shown.iter().map(|it| it.study.clone()).collect();
        for uid in studies {
            self.align(&uid, false);
        }
    }

    pub(super) fn rehome(&mut self, uid: &str, from: &str, to: &str) {
        for image in &mut self.shown {
            if image.study == uid && image.hospital == from && image.lot == 0 {
                to.clone_into(&mut image.hospital);
            }
        }
    }
}
