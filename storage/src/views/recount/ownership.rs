//! Whose a study is: what pushes claim, and the corrections that stand.

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
                let first = claimants.iter().min_by_key(|(_, since)| *since);
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
        let fits = |number: &ExamNumber| {
            let now = &self.exams[number].now;
            let study = now.studies.iter().find(|study| study.uid == image.study);
            self.owns(number, &image.study)
                && (is_ruled
                    || now.patient_id == image.patient_id
                        && study.is_some_and(|study| {
                            let declared = study.accession.as_ref();
                            declared.is_none_or(|no| *no == image.accession)
                        }))
        };
        let claimants = self.claimants(&image.study);
        claimants
            .iter()
            .any(|(exam, _)| fits(exam))
            .then(|| owner.0.clone())
    }

    pub(super) fn is_contested(&self, number: &ExamNumber) -> bool {
        self.exams[number].now.studies.iter().any(|study| {
            let claimants = self.claimants(&study.uid);
            self.ruled(&study.uid).0.is_none()
                && claimants.iter().any(|(exam, _)| *exam == number)
                && claimants
                    .iter()
                    .any(|(exam, _)| !self.owns(exam, &study.uid))
        })
    }

    /// Whether a hospital has images of a study, also hidden ones.
    pub(super) fn holds(&self, hospital: &str, uid: &str) -> bool {
        let mut shown = self.shown.iter();
        shown.any(|image| image.hospital == hospital && image.study == uid)
    }

    pub(super) fn rehome(&mut self, uid: &str, from: &str, to: &str) {
        for image in &mut self.shown {
            if image.study == uid && image.hospital == from {
                to.clone_into(&mut image.hospital);
            }
        }
    }
}
