//! Whether an instance belongs to a pushed exam (contract §2.4, R7, R8).

use std::borrow::Cow;

use super::study::{Claim, StudyClaims, StudyRow, TakenFor};
use crate::event::RULINGS_SINCE_RULES;
use crate::ids::HospitalCode;
use crate::registry::{HospitalMode, Matching, Registry, Scope};

/// VR SH holds at most 16 characters (PS3.5 §6.2), so a longer accessionNo was cut on its way into the images.
pub(super) const ACCESSION_CHARACTERS: usize = 16;

/// What a comparison came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Match {
    /// It is one of this hospital's.
    Hospital(HospitalCode),
    /// No exam with this study UID was pushed, or none that the sender may send for.
    Unregistered,
    /// The exam is registered, this attribute of the instance differs.
    Mismatch {
        hospital: HospitalCode,
        attribute: &'static str,
    },
    /// It is one of this hospital's, which takes nothing at present.
    Suspended(HospitalCode),
    /// It is of a live exam of this hospital, which is trying out at present.
    LiveInTrial(HospitalCode),
}

/// Compares an instance's identifiers with the claims on its study UID. `there` is the study as the owner's hospital has it;
/// it is looked at only after a ruling ([`StudyClaims::ruled_home`]).
pub fn match_instance(
    registry: &Registry,
    claims: Option<&StudyClaims>,
    there: Option<&StudyRow>,
    scope: &Scope,
    patient_id: &str,
    accession_no: &str,
) -> Match {
    let Some((claims, owner)) = claims.and_then(|claims| claims.owner().map(|own| (claims, own)))
    else {
        return Match::Unregistered;
    };
    let hospital = owner.exam.hospital.clone();
    if !scope.has(&hospital) {
        return Match::Unregistered;
    }
    let Some(entry) = registry.hospitals.get(&hospital) else {
        return Match::Unregistered;
    };
    let carried = (patient_id, accession_no);
    let is_narrow = registry.rules >= RULINGS_SINCE_RULES;
    let mut differing = Some("PatientID");
    if claims.ruled_for.is_some() && !is_narrow {
        differing = None;
    }
    for claim in claims.owning() {
        if differing.is_none() {
            break;
        }
        differing = differs(entry.matching, claim, patient_id, accession_no);
    }
    // An operator ruled on the study: further images keep the numbers that those had which he saw.
    if let Some(row) =
        there.filter(|row| claims.ruled_for.is_some() && covers(registry, claims, row))
        && (row
            .numbers()
            .any(|has| carries(entry.matching, has, carried))
            || guests_like(registry, row, patient_id, accession_no).is_some())
    {
        differing = None;
    }
    match (differing, entry.mode) {
        (Some(attribute), _) => Match::Mismatch {
            hospital,
            attribute,
        },
        (None, HospitalMode::Suspended) => Match::Suspended(hospital),
        (None, HospitalMode::Test) if is_narrow && !owner.trial => Match::LiveInTrial(hospital),
        (None, _) => Match::Hospital(hospital),
    }
}

/// Whether an instance comes to images of another patient, because an operator ruled that those are its exam's. It is told
/// apart from them, for the ruling may be undone.
pub fn is_guest(
    registry: &Registry,
    claims: &StudyClaims,
    row: &StudyRow,
    patient_id: &str,
    accession_no: &str,
) -> bool {
    let Some(owner) = claims.owner().filter(|_| claims.ruled_for.is_some()) else {
        return false;
    };
    let is_his = |taken_for: &TakenFor| taken_for.is_same_person(owner);
    // However the hospital compares: what has both's numbers is the one's whose the study is.
    let matching = told_apart_by(registry, &row.key.hospital);
    let carried = (patient_id, accession_no);
    let mut owning = claims.owning();
    registry.rules >= RULINGS_SINCE_RULES
        && !row.taken_for.as_ref().is_some_and(is_his)
        && (owning.any(|claim| differs(matching, claim, patient_id, accession_no).is_none())
            || !row.numbers().any(|has| carries(matching, has, carried)))
}

/// Whether an image of the study has the claim's numbers, and of none of the others'.
pub fn is_bound(registry: &Registry, row: &StudyRow, claim: &Claim, others: &[&Claim]) -> bool {
    let matching = told_apart_by(registry, &row.key.hospital);
    let mut numbers = row.numbers();
    numbers.any(|(patient_id, accession_no)| {
        let is_of = |claim: &Claim| differs(matching, claim, patient_id, accession_no).is_none();
        is_of(claim) && !others.iter().any(|other| is_of(other))
    })
}

/// The guests of a study whose numbers an instance has.
pub fn guests_like(
    registry: &Registry,
    row: &StudyRow,
    patient_id: &str,
    accession_no: &str,
) -> Option<usize> {
    let matching = told_apart_by(registry, &row.key.hospital);
    row.guests.iter().position(|guests| {
        let has = (
            guests.patient.id.as_str(),
            guests.study.accession_no.as_str(),
        );
        carries(matching, has, (patient_id, accession_no))
    })
}

/// How images of two patients are told apart, also where the hospital compares nothing but the study UID.
fn told_apart_by(registry: &Registry, hospital: &HospitalCode) -> Matching {
    match matching_of(registry, hospital) {
        Matching::Study => Matching::Normalised,
        compared => compared,
    }
}

fn matching_of(registry: &Registry, hospital: &HospitalCode) -> Matching {
    let hospital = registry.hospitals.get(hospital);
    hospital.map_or_else(Matching::default, |hospital| hospital.matching)
}

/// Whether the images of a row are those of the one whose the study is, and so are shown: they were taken for that patient,
/// or for the same exam, whose patient was corrected since and whose numbers they still have. What an operator ruled on is
/// the exam's, whatever identifiers it has.
pub fn covers(registry: &Registry, claims: &StudyClaims, row: &StudyRow) -> bool {
    let Some(owner) = claims.owner() else {
        return false;
    };
    if row.key.lot > 0 || owner.exam.hospital != row.key.hospital {
        return false;
    }
    let matching = matching_of(registry, &row.key.hospital);
    let (patient_id, accession_no) = (&row.patient.id, &row.study.accession_no);
    if claims.ruled_for.is_some()
        && (registry.rules < RULINGS_SINCE_RULES || row.ruled_for == claims.ruled_for)
    {
        return true;
    }
    let Some(taken_for) = &row.taken_for else {
        return false;
    };
    claims.owning().any(|claim| {
        taken_for.is_same_person(claim)
            || taken_for.exam == claim.exam
                && differs(matching, claim, patient_id, accession_no).is_none()
    })
}

/// Whether two PatientIDs are one, as a hospital compares them; one that compares study UIDs only has others to go by.
pub fn is_same_patient_id(matching: Matching, one: &str, other: &str) -> bool {
    match matching {
        Matching::Exact => one == other,
        Matching::Normalised | Matching::Study => normalised(one) == normalised(other),
    }
}

/// Whether a study's first images have the numbers of a claim.
pub fn has_numbers_of(registry: &Registry, claim: &Claim, row: &StudyRow) -> bool {
    let matching = matching_of(registry, &row.key.hospital);
    differs(matching, claim, &row.patient.id, &row.study.accession_no).is_none()
}

/// The first attribute that keeps an instance from a claim.
fn differs(
    matching: Matching,
    claim: &Claim,
    patient_id: &str,
    accession_no: &str,
) -> Option<&'static str> {
    match matching {
        Matching::Study => None,
        Matching::Exact => {
            if claim.patient_id != patient_id {
                return Some("PatientID");
            }
            (claim.accession_no.as_deref().unwrap_or("") != accession_no)
                .then_some("AccessionNumber")
        }
        Matching::Normalised => {
            if normalised(&claim.patient_id) != normalised(patient_id) {
                return Some("PatientID");
            }
            let declared = claim.accession_no.as_deref()?;
            (!same_accession(declared, accession_no)).then_some("AccessionNumber")
        }
    }
}

/// Whether an instance has the PatientID and AccessionNumber of images that are there; of images without an
/// AccessionNumber it is not compared.
fn carries(matching: Matching, has: (&str, &str), carried: (&str, &str)) -> bool {
    match matching {
        Matching::Study => true,
        Matching::Exact => has == carried,
        Matching::Normalised => {
            normalised(has.0) == normalised(carried.0)
                && (has.1.is_empty() || same_accession(has.1, carried.1))
        }
    }
}

/// Blanks and leading zeros aside; a number of zeros only is `0`.
fn normalised(text: &str) -> Cow<'_, str> {
    let text = if text.contains(char::is_whitespace) {
        Cow::Owned(text.split_whitespace().collect::<String>())
    } else {
        Cow::Borrowed(text)
    };
    let kept = text.trim_start_matches('0').len();
    if kept == 0 && !text.is_empty() {
        return Cow::Borrowed("0");
    }
    match text {
        Cow::Borrowed(t) => Cow::Borrowed(t.trim_start_matches('0')),
        Cow::Owned(t) => Cow::Owned(t.trim_start_matches('0').to_owned()),
    }
}

/// A number may have been cut with its leading zeros or after they were dropped.
fn same_accession(declared: &str, image: &str) -> bool {
    fn cut(text: &str) -> String {
        text.trim().chars().take(ACCESSION_CHARACTERS).collect()
    }
    normalised(&cut(declared)) == normalised(&cut(image))
        || cut(&normalised(declared)) == cut(&normalised(image))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::ids::{ExamKey, ExamNo, Position};
    use crate::registry::Hospital;

    fn hospital(code: &str, matching: &str) -> Hospital {
        serde_json::from_value(
            serde_json::json!({"code": code, "name": "示例医院", "matching": matching}),
        )
        .unwrap()
    }

    fn claim(hospital: &str, exam: &str, sick_id: &str, patient_id: &str, position: u64) -> Claim {
        Claim {
            exam: ExamKey {
                hospital: HospitalCode::new(hospital).unwrap(),
                exam_no: ExamNo::new(exam).unwrap(),
                generation: 0,
            },
            position: Position(position),
            sick_id: sick_id.to_owned(),
            patient_id: patient_id.to_owned(),
            accession_no: Some("A0001".to_owned()),
            released: false,
            trial: false,
        }
    }

    fn check(matching: &str, claims: Vec<Claim>, patient_id: &str, accession_no: &str) -> Match {
        let mut registry = Registry::default();
        for code in ["350006", "350007"] {
            let entry = hospital(code, matching);
            registry.hospitals.insert(entry.code.clone(), entry);
        }
        let claims = StudyClaims {
            claims,
            ..StudyClaims::default()
        };
        match_instance(
            &registry,
            Some(&claims),
            None,
            &Scope::all(),
            patient_id,
            accession_no,
        )
    }

    fn is(code: &str) -> Match {
        Match::Hospital(HospitalCode::new(code).unwrap())
    }

    #[test]
    fn a_hospital_in_trial_sends_images_of_its_trials_only() {
        let mut registry = Registry {
            rules: RULINGS_SINCE_RULES,
            ..Registry::default()
        };
        let mut entry = hospital("350006", "exact");
        entry.mode = HospitalMode::Test;
        registry.hospitals.insert(entry.code.clone(), entry);
        for (trial, sent) in [
            (true, is("350006")),
            (
                false,
                Match::LiveInTrial(HospitalCode::new("350006").unwrap()),
            ),
        ] {
            let claims = StudyClaims {
                claims: vec![Claim {
                    trial,
                    ..claim("350006", "E1", "S1", "P1", 1)
                }],
                ..StudyClaims::default()
            };
            let found =
                match_instance(&registry, Some(&claims), None, &Scope::all(), "P1", "A0001");
            assert_eq!(found, sent);
        }
    }

    #[test]
    fn exact_takes_only_what_was_pushed() {
        let claims = || vec![claim("350006", "E1", "P1", "CT000001", 1)];
        assert_eq!(check("exact", claims(), "CT000001", "A0001"), is("350006"));
        assert!(matches!(
            check("exact", claims(), "CT000001", "A0001 "),
            Match::Mismatch {
                attribute: "AccessionNumber",
                ..
            }
        ));
    }

    #[test]
    fn normalised_forgives_blanks_leading_zeros_and_a_cut_accession_number() {
        let mut long = claim("350006", "E1", "P1", "00 12", 1);
        long.accession_no = Some("0012345678901234567".to_owned());
        assert_eq!(
            check("normalised", vec![long.clone()], "12", "0012345678901234"),
            is("350006")
        );
        long.accession_no = None;
        assert_eq!(
            check("normalised", vec![long], " 0012", "whatever"),
            is("350006")
        );
    }

    #[test]
    fn study_compares_the_study_uid_only() {
        let claims = vec![claim("350006", "E1", "P1", "CT000001", 1)];
        assert_eq!(check("study", claims, "somebody", "else"), is("350006"));
    }

    #[test]
    fn exams_of_one_patient_share_a_study() {
        let claims = vec![
            claim("350006", "E1", "P1", "CT1", 1),
            claim("350006", "E2", "P1", "CT2", 2),
        ];
        assert_eq!(check("normalised", claims, "CT2", "A0001"), is("350006"));
    }

    #[test]
    fn images_of_a_later_claimant_are_not_taken_for_the_first() {
        let claims = vec![
            claim("350006", "E1", "P1", "CT1", 1),
            claim("350007", "E9", "P7", "CT9", 2),
        ];
        assert!(matches!(
            check("normalised", claims, "CT9", "A0001"),
            Match::Mismatch {
                attribute: "PatientID",
                ..
            }
        ));
    }

    #[test]
    fn a_released_claim_gives_way() {
        let mut first = claim("350006", "E1", "P1", "CT1", 1);
        first.released = true;
        let claims = vec![first, claim("350007", "E9", "P7", "CT9", 2)];
        assert_eq!(check("normalised", claims, "CT9", "A0001"), is("350007"));
    }

    #[test]
    fn an_accession_number_is_cut_before_or_after_its_zeros_are_dropped() {
        for (declared, image, same) in [
            ("00A123456789012345", "A123456789012345", true),
            ("00A123456789012345", "00A1234567890123", true),
            ("A1234567890123456789", "A123456789012345", true),
            ("00A123456789012345", "A123456789012346", false),
            ("0012", "12", true),
            ("12", "13", false),
        ] {
            assert_eq!(same_accession(declared, image), same, "{declared} {image}");
        }
    }
}
