//! What corrections do, and how they are undone.

use std::collections::BTreeSet;

use yingku_core::correction::{CorrectionAction, ReuseRuling};
use yingku_core::ids::ExamKey;

use super::ownership::{Ruling, is_of};
use super::{Exam, ExamNumber, Image, Recount};

/// What corrections do, and pushes beside what they bring.
pub const HAPPENINGS: [&str; 19] = [
    "joined",
    "a guest",
    "parted",
    "chosen",
    "no longer chosen",
    "set aside",
    "brought back",
    "withdrawn",
    "hidden",
    "moved to another hospital",
    "moved within its hospital",
    "ruled to another hospital",
    "ruled within its hospital",
    "released",
    "made a version",
    "shown again",
    "given back",
    "made no version again",
    "taken over",
];

pub(super) enum Correction {
    Withdrawn(ExamNumber),
    Hidden,
    /// Study and SOP instance, the bytes that are seen and those that were, and whether it was on the list.
    Chosen {
        study: String,
        sop: String,
        chosen: [u8; 16],
        before: [u8; 16],
        listed: bool,
    },
    /// Whose this study is; the exam whose images were ruled to be, and whose they had been.
    Ruled(String, Option<(ExamNumber, Option<ExamNumber>)>),
    /// The push that was refused became a version of the exam, which was this before.
    Version(u64, ExamNumber, Box<Exam>),
}

fn number(exam: &ExamKey) -> ExamNumber {
    let hospital = exam.hospital.as_str().to_owned();
    (hospital, exam.exam_no.as_str().to_owned())
}

impl Recount {
    pub(super) fn correct(
        &mut self,
        position: u64,
        time_ms: i64,
        actor: &str,
        action: &CorrectionAction,
    ) {
        let made = match action {
            CorrectionAction::WithdrawExam { exam } => {
                let number = number(exam);
                let by_operator = !actor.starts_with("app:");
                match self.exams.get_mut(&number) {
                    Some(exam) if exam.withdrawn.values().all(|other| !other && by_operator) => {
                        exam.withdrawn.insert(position, by_operator);
                    }
                    _ => return,
                }
                self.claim(position, &number);
                self.happened.insert("withdrawn");
                Some(Correction::Withdrawn(number))
            }
            CorrectionAction::HideInstances { study, instances } => {
                let chosen: BTreeSet<&str> = instances.iter().map(|sop| sop.as_str()).collect();
                let (hospital, uid) = (study.hospital.as_str(), study.study.as_str());
                let mut changed = BTreeSet::new();
                let mut seen = false;
                for image in &self.shown {
                    let here = image.hospital == hospital && image.study == uid && image.lot == 0;
                    let meant = chosen.is_empty() || chosen.contains(image.sop.as_str());
                    if here && meant {
                        seen |= image.hidden.is_empty();
                        changed.insert(image.sop.clone());
                    }
                }
                if !seen {
                    return;
                }
                for image in &mut self.shown {
                    let here = image.hospital == hospital && image.study == uid && image.lot == 0;
                    if here && changed.contains(&image.sop) {
                        image.hidden.insert(position);
                    }
                }
                self.happened.insert("hidden");
                Some(Correction::Hidden)
            }
            CorrectionAction::ChooseVersion {
                study,
                instance,
                digest,
            } => {
                let digest = u128::from_str_radix(digest, 16).unwrap().to_be_bytes();
                let home = (study.hospital.as_str(), 0);
                self.choose(home, study.study.as_str(), instance.as_str(), digest)
            }
            CorrectionAction::MoveStudy { study, to } => {
                let (from, to) = (study.hospital.as_str(), number(to));
                self.move_study(position, study.study.as_str(), from, to)
            }
            CorrectionAction::RuleConflict { study, exam } => {
                self.rule(position, study.as_str(), number(exam))
            }
            CorrectionAction::ReleaseUid { study, exam } => {
                let (uid, exam) = (study.as_str(), number(exam));
                let claimants = self.claimants(uid);
                let claims = claimants.iter().any(|(claimant, _)| **claimant == exam);
                claims.then(|| self.stand(position, uid, Ruling::Released(exam), None))
            }
            CorrectionAction::RuleReuse { refused, ruling } => {
                assert_eq!(*ruling, ReuseRuling::Correction);
                self.rule_reuse(position, time_ms, refused.0)
            }
            CorrectionAction::LegalHold { .. } => return,
            CorrectionAction::Undo { correction } => {
                self.undo(position, correction.0);
                None
            }
        };
        if let Some(made) = made {
            self.corrections.insert(position, made);
        }
    }

    /// Places of an instance's versions in a row; the first is the one that is seen.
    fn versions(&self, (hospital, lot): (&str, u16), study: &str, sop: &str) -> Vec<usize> {
        let is_meant = |image: &Image| {
            (image.hospital.as_str(), image.lot) == (hospital, lot)
                && (image.study.as_str(), image.sop.as_str()) == (study, sop)
        };
        let shown = self.shown.iter().enumerate();
        let meant = shown.filter(|(_, image)| is_meant(image));
        meant.map(|(at, _)| at).collect()
    }

    fn choose(
        &mut self,
        home: (&str, u16),
        study: &str,
        sop: &str,
        digest: [u8; 16],
    ) -> Option<Correction> {
        let versions = self.versions(home, study, sop);
        let chosen = versions
            .iter()
            .position(|at| self.shown[*at].digest == digest)?;
        let before = self.shown[versions[0]].digest;
        let listed = versions.len() > 1 && versions.iter().any(|at| !self.shown[*at].ruled);
        if chosen == 0 && !listed {
            return None;
        }
        self.shown.swap(versions[0], versions[chosen]);
        for at in versions {
            self.shown[at].ruled = true;
        }
        self.happened.insert("chosen");
        Some(Correction::Chosen {
            study: study.to_owned(),
            sop: sop.to_owned(),
            chosen: digest,
            before,
            listed,
        })
    }

    /// Notes that the images of a row were ruled to be an exam's.
    fn mark(
        &mut self,
        hospital: &str,
        uid: &str,
        exam: &ExamNumber,
    ) -> Option<(ExamNumber, Option<ExamNumber>)> {
        let mut earlier = None;
        for image in &mut self.shown {
            if image.hospital == hospital && image.study == uid && image.lot == 0 {
                earlier = Some(image.mark.replace(exam.clone()));
            }
        }
        earlier.map(|earlier| (exam.clone(), earlier))
    }

    fn stand(
        &mut self,
        position: u64,
        uid: &str,
        ruling: Ruling,
        marked: Option<(ExamNumber, Option<ExamNumber>)>,
    ) -> Correction {
        let homes = match &ruling {
            Ruling::Moved { to, from } => Some((from.clone(), to.0.clone())),
            Ruling::Ruled { exam, from } => from.clone().map(|from| (from, exam.0.clone())),
            Ruling::Released(_) => None,
        };
        self.happened.insert(match &ruling {
            Ruling::Moved { to, from } if to.0 != *from => "moved to another hospital",
            Ruling::Moved { .. } => "moved within its hospital",
            Ruling::Ruled { from: Some(_), .. } => "ruled to another hospital",
            Ruling::Ruled { .. } => "ruled within its hospital",
            Ruling::Released(_) => "released",
        });
        let rulings = self.rulings.entry(uid.to_owned()).or_default();
        rulings.push((position, ruling));
        self.part(uid);
        if let Some((from, to)) = homes.filter(|(from, to)| from != to) {
            self.rehome(uid, &from, &to);
        }
        self.align(uid, false);
        self.join(uid);
        Correction::Ruled(uid.to_owned(), marked)
    }

    fn move_study(
        &mut self,
        position: u64,
        uid: &str,
        from: &str,
        to: ExamNumber,
    ) -> Option<Correction> {
        let is_here = self.exams.get(&to)?.withdrawn.is_empty() && self.holds(from, uid);
        let meets_others = from != to.0 && self.holds(&to.0, uid);
        if self.is_live_for_a_trial(from, uid, &to) {
            return None;
        }
        if !is_here || meets_others || self.ruled(uid).1 == Some(&to) {
            return None;
        }
        let marked = self.mark(from, uid, &to);
        let from = from.to_owned();
        Some(self.stand(position, uid, Ruling::Moved { to, from }, marked))
    }

    /// Whether the images are a live exam's and the exam is a trial's.
    fn is_live_for_a_trial(&self, hospital: &str, uid: &str, exam: &ExamNumber) -> bool {
        let first = self.here_at(hospital, uid).next();
        let taken_for = first.and_then(|first| first.taken_for.as_ref());
        let is_trials = |number: &ExamNumber| self.exams.get(number).is_some_and(|exam| exam.test);
        is_trials(exam) && taken_for.is_some_and(|(exam, _)| !is_trials(exam))
    }

    fn rule(&mut self, position: u64, uid: &str, exam: ExamNumber) -> Option<Correction> {
        let claimants = self.claimants(uid);
        claimants.iter().find(|(claimant, _)| **claimant == exam)?;
        let person = (exam.clone(), self.exams[&exam].now.sick_id.clone());
        let rows = self.shown.iter().filter(|image| image.study == uid);
        let has_own = rows.clone().any(|image| is_of(image, &person));
        let home = self.ruled(uid).0.or(self.owner(uid));
        let from = home
            .map(|home| home.0.clone())
            .filter(|from| *from != exam.0 && self.holds(from, uid) && !has_own);
        if from.is_some() && self.holds(&exam.0, uid) {
            return None;
        }
        let home_now = from.clone().unwrap_or_else(|| exam.0.clone());
        if !has_own && self.is_live_for_a_trial(&home_now, uid, &exam) {
            return None;
        }
        let marked = match has_own {
            true => None,
            false => self.mark(&home_now, uid, &exam),
        };
        Some(self.stand(position, uid, Ruling::Ruled { exam, from }, marked))
    }

    fn rule_reuse(&mut self, position: u64, time_ms: i64, refused: u64) -> Option<Correction> {
        let (number, digest, content) = self.refused_pushes.get(&refused)?.clone();
        let key = (number.clone(), digest);
        if self.reuse.get(&key) != Some(&refused) {
            return None;
        }
        self.reuse.remove(&key);
        self.happened.insert("made a version");
        let before = Box::new(self.exams[&number].clone());
        self.next_version(position, time_ms, &number, digest, content);
        Some(Correction::Version(refused, number, before))
    }

    fn undo(&mut self, position: u64, correction: u64) {
        match self.corrections.remove(&correction) {
            Some(Correction::Withdrawn(number)) => {
                let exam = self.exams.get_mut(&number).unwrap();
                if exam.withdrawn.remove(&correction).is_some() {
                    self.claim(position, &number);
                }
            }
            Some(Correction::Hidden) => {
                self.happened.insert("shown again");
                for image in &mut self.shown {
                    image.hidden.remove(&correction);
                }
            }
            Some(Correction::Chosen {
                study,
                sop,
                chosen,
                before,
                listed,
            }) => {
                let rows = self.shown.iter().filter(|image| image.study == study);
                let rows = rows.map(|image| (image.lot > 0, image.hospital.clone(), image.lot));
                let rows: BTreeSet<_> = rows.collect();
                let versions = rows
                    .into_iter()
                    .map(|(_, hospital, lot)| self.versions((&hospital, lot), &study, &sop))
                    .find(|versions| {
                        let is = |at: &usize, digest| self.shown[*at].digest == digest;
                        versions.first().is_some_and(|at| is(at, chosen))
                            && versions.iter().any(|at| is(at, before))
                    });
                let Some(versions) = versions else {
                    let made = Correction::Chosen {
                        study,
                        sop,
                        chosen,
                        before,
                        listed,
                    };
                    self.corrections.insert(correction, made);
                    return;
                };
                let mut places = versions.iter();
                let earlier = places.position(|at| self.shown[*at].digest == before);
                self.shown.swap(versions[0], versions[earlier.unwrap()]);
                for at in versions {
                    self.shown[at].ruled &= !listed;
                }
                self.happened.insert("no longer chosen");
            }
            Some(Correction::Ruled(uid, marked)) => {
                let rulings = self.rulings.get_mut(&uid).unwrap();
                if rulings.last().is_none_or(|(last, _)| *last != correction) {
                    // Not while a later one stands.
                    let made = Correction::Ruled(uid, marked);
                    self.corrections.insert(correction, made);
                    return;
                }
                rulings.pop();
                if let Some((exam, earlier)) = marked {
                    self.happened.insert("given back");
                    let images = self.shown.iter_mut();
                    for image in images.filter(|it| it.study == uid) {
                        if image.mark.as_ref() == Some(&exam) {
                            image.mark.clone_from(&earlier);
                        }
                    }
                }
                self.part(&uid);
                self.align(&uid, false);
                self.join(&uid);
            }
            Some(Correction::Version(refused, number, before)) => {
                let now = &self.exams[&number];
                if now.position != correction {
                    let made = Correction::Version(refused, number, before);
                    self.corrections.insert(correction, made);
                    return;
                }
                let exam = Exam {
                    withdrawn: now.withdrawn.clone(),
                    test: now.test,
                    ..*before
                };
                self.happened.insert("made no version again");
                let (_, digest, _) = self.refused_pushes[&refused];
                self.reuse.insert((number.clone(), digest), refused);
                self.exams.insert(number.clone(), exam);
                self.claim(position, &number);
            }
            None => {}
        }
    }
}
