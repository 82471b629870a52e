//! What a ruling on a study admits, what its undoing leaves to whom, and who is in conflict with it.

use super::*;
use crate::instance::covers;

const STUDY: &str = "1.2.1";

/// Two patients' exams of one hospital claim the study; the first one's images are there.
fn contested() -> House {
    let mut house = House::new();
    house.push(&Push::new("350006", "E1", "王一", 70, STUDY));
    house.push(&Push::new("350006", "E2", "李四", 70, STUDY));
    house.store(&images("C-E1", 0..2));
    house
}

fn images(patient_id: &str, sops: std::ops::Range<u32>) -> Images<'_> {
    Images::new(STUDY, patient_id, sops)
}

fn rule_for(house: &mut House, exam: &str) -> Position {
    let (study, exam) = (uid(STUDY), key("350006", exam, 0));
    let (outcome, position) = house.correct(CorrectionAction::RuleConflict { study, exam });
    assert_eq!(outcome, Outcome::Done);
    position
}

/// Exam that is answered, and the images that are seen under it.
fn seen(house: &House) -> (String, Vec<String>) {
    let study = StudyKey::new(code("350006"), uid(STUDY));
    let claims = &house.claims[&uid(STUDY)];
    let row = house.studies.get(&study);
    let Some(row) = row.filter(|row| covers(&house.registry, claims, row)) else {
        return Default::default();
    };
    let chunks = ChunkKey::all_of(row).map(|at| house.chunks[&at].clone());
    let entries = chunks.flat_map(|chunk| chunk.entries);
    let visible = entries.filter(|entry| entry.is_visible());
    let mut sops: Vec<_> = visible
        .map(|entry| {
            let sop = entry.image().sop_instance.as_str();
            sop.rsplit_once('.').unwrap().1.to_owned()
        })
        .collect();
    sops.sort();
    assert_eq!(row.visible_instances() as usize, sops.len());
    (claims.owner().unwrap().exam.exam_no.to_string(), sops)
}

fn is(exam: &str, sops: &[&str]) -> (String, Vec<String>) {
    let sops = sops.iter().map(|sop| (*sop).to_owned());
    (exam.to_owned(), sops.collect())
}

#[test]
fn a_third_patients_images_are_not_taken_for_the_one_ruled_for() {
    for moved in [false, true] {
        let mut house = contested();
        if moved {
            let study = StudyKey::new(code("350006"), uid(STUDY));
            let to = key("350006", "E2", 0);
            house.correct(CorrectionAction::MoveStudy { study, to });
        } else {
            rule_for(&mut house, "E2");
        }
        // Those with the numbers of the images that were ruled on come on, and those of the exam itself
        house.store(&images("C-E1", 2..3));
        house.store(&images("C-E2", 3..4));
        assert_eq!(seen(&house), is("E2", &["0", "1", "2", "3"]));
        // Anybody else's do not
        house.store(&images("C-OTHER", 4..6));
        assert_eq!(seen(&house), is("E2", &["0", "1", "2", "3"]));
        assert_eq!(house.held(STUDY), 2);
    }
}

#[test]
fn the_losers_images_are_not_adopted_where_none_of_them_were_ruled_on() {
    // Given a conflict of which nothing is there but what is held of the second
    let mut house = House::new();
    house.push(&Push::new("350006", "E1", "王一", 70, STUDY));
    house.push(&Push::new("350006", "E2", "李四", 70, STUDY));
    house.store(&images("C-E2", 0..2));
    assert_eq!(house.held(STUDY), 2);
    // When it is ruled to be the second's, then those come, and what the first sends is held
    let ruled = rule_for(&mut house, "E2");
    assert_eq!(seen(&house), is("E2", &["0", "1"]));
    house.store(&images("C-E1", 2..3));
    assert_eq!(seen(&house), is("E2", &["0", "1"]));
    // When that is undone, then each has his own
    house.undo(ruled);
    assert_eq!(seen(&house), is("E1", &["2"]));
    rule_for(&mut house, "E2");
    assert_eq!(seen(&house).0, "E2");
}

#[test]
fn what_came_under_a_ruling_with_the_exams_own_numbers_goes_with_it() {
    let mut house = contested();
    house.store(&images("C-E2", 5..7));
    assert_eq!(
        (seen(&house), house.held(STUDY)),
        (is("E1", &["0", "1"]), 2)
    );
    // Given a ruling under which the second's images join the first's
    let ruled = rule_for(&mut house, "E2");
    assert_eq!(seen(&house), is("E2", &["0", "1", "5", "6"]));
    house.store(&images("C-E2", 7..8));
    // When it is undone, then the first has what was the first's
    assert_eq!(house.undo(ruled), Outcome::Done);
    assert_eq!(seen(&house), is("E1", &["0", "1"]));
    // And the second gets the others back once the first lets go
    let exam = key("350006", "E1", 0);
    house.correct(CorrectionAction::WithdrawExam { exam });
    assert_eq!(seen(&house), is("E2", &["5", "6", "7"]));
    let row = &house.studies[&StudyKey::new(code("350006"), uid(STUDY))];
    assert_eq!(row.patient.id, "C-E2");
}

#[test]
fn a_release_of_the_exam_ruled_for_leaves_the_first_what_was_the_firsts() {
    let mut house = contested();
    rule_for(&mut house, "E2");
    house.store(&images("C-E2", 5..6));
    let (study, exam) = (uid(STUDY), key("350006", "E2", 0));
    house.correct(CorrectionAction::ReleaseUid { study, exam });
    assert_eq!(seen(&house), is("E1", &["0", "1"]));
}

#[test]
fn a_version_that_leaves_with_a_ruling_leaves_the_other_one_seen() {
    // Given that the second's bytes under one UID were chosen while it was ruled the second's
    let mut house = contested();
    let ruled = rule_for(&mut house, "E2");
    house.store(&Images {
        bytes: 7,
        ..images("C-E2", 1..2)
    });
    assert_eq!(house.listed(FindingKind::FurtherVersion), 1);
    let (_, chosen) = house.correct(CorrectionAction::ChooseVersion {
        study: StudyKey::new(code("350006"), uid(STUDY)),
        instance: SopInstanceUid::new(format!("{STUDY}.1.1")).unwrap(),
        digest: format!("{:032x}", u128::from_be_bytes([7; 16])),
    });
    // When the ruling is undone, then the first's are all seen again
    house.undo(ruled);
    assert_eq!(seen(&house), is("E1", &["0", "1"]));
    assert_eq!(house.listed(FindingKind::FurtherVersion), 0);
    // And the choice has nothing to go back to
    assert!(matches!(house.undo(chosen), Outcome::Refused(_)));
    assert_eq!(seen(&house), is("E1", &["0", "1"]));
}

#[test]
fn who_claims_a_study_after_a_ruling_is_told_so() {
    let mut house = contested();
    rule_for(&mut house, "E2");
    assert_eq!(house.listed(FindingKind::StudyConflict), 0);
    house.push(&Push::new("350007", "E9", "赵六", 70, STUDY));
    assert!(house.row("350007", "E9").has(ExamFlag::StudyConflict));
    assert!(house.row("350007", "E9").studies[0].foreign);
    assert_eq!(house.listed(FindingKind::StudyConflict), 2);
    // A further ruling settles it for all
    rule_for(&mut house, "E2");
    assert_eq!(house.listed(FindingKind::StudyConflict), 0);
    assert!(!house.row("350007", "E9").has(ExamFlag::StudyConflict));
}

#[test]
fn each_hiding_stands_by_itself() {
    let mut house = contested();
    house.store(&images("C-E1", 2..3));
    let hide = |house: &mut House, sops: [u32; 2]| {
        let sops = sops.map(|sop| SopInstanceUid::new(format!("{STUDY}.1.{sop}")).unwrap());
        let (outcome, position) = house.correct(CorrectionAction::HideInstances {
            study: StudyKey::new(code("350006"), uid(STUDY)),
            instances: sops.to_vec(),
        });
        assert_eq!(outcome, Outcome::Done);
        position
    };
    let first = hide(&mut house, [0, 1]);
    let second = hide(&mut house, [1, 2]);
    house.undo(first);
    assert_eq!(seen(&house), is("E1", &["0"]));
    house.undo(second);
    assert_eq!(seen(&house), is("E1", &["0", "1", "2"]));
}

#[test]
fn rules_that_were_in_force_before_admit_whatever_comes_after_a_ruling() {
    let mut house = contested();
    house.registry.rules = RULINGS_SINCE_RULES - 1;
    rule_for(&mut house, "E2");
    house.store(&images("C-OTHER", 4..6));
    assert_eq!(seen(&house), is("E2", &["0", "1", "4", "5"]));
    house.push(&Push::new("350007", "E9", "赵六", 70, STUDY));
    assert_eq!(house.listed(FindingKind::StudyConflict), 0);
}

/// The second claims the study in the same hospital, or in another one.
fn contested_by(hospital: &str) -> House {
    let mut house = House::new();
    house.push(&Push::new("350006", "E1", "王一", 70, STUDY));
    house.push(&Push::new(hospital, "E2", "李四", 70, STUDY));
    house.store(&images("C-E1", 0..2));
    house
}

fn rule(house: &mut House, hospital: &str, exam: &str) -> Position {
    let (study, exam) = (uid(STUDY), key(hospital, exam, 0));
    let (outcome, position) = house.correct(CorrectionAction::RuleConflict { study, exam });
    assert_eq!(outcome, Outcome::Done);
    position
}

fn seen_at(house: &House, hospital: &str) -> Vec<String> {
    let study = StudyKey::new(code(hospital), uid(STUDY));
    let claims = &house.claims[&uid(STUDY)];
    let row = house.studies.get(&study);
    let Some(row) = row.filter(|row| covers(&house.registry, claims, row)) else {
        return Vec::new();
    };
    let chunks = ChunkKey::all_of(row).map(|at| house.chunks[&at].clone());
    let entries = chunks.flat_map(|chunk| chunk.entries);
    let visible = entries.filter(|entry| entry.is_visible());
    let sops = visible.map(|entry| entry.image().sop_instance.to_string());
    let mut sops: Vec<_> = sops
        .map(|sop| sop.rsplit_once('.').unwrap().1.to_owned())
        .collect();
    sops.sort();
    sops
}

#[test]
fn a_ruling_back_gives_each_his_own() {
    for hospital in ["350006", "350007"] {
        let mut house = contested_by(hospital);
        rule(&mut house, hospital, "E2");
        house.store(&images("C-E2", 5..6));
        assert_eq!(seen_at(&house, hospital), ["0", "1", "5"]);
        // When it is ruled to be the first's after all, then he has his own, and gets no more of the second's
        let back = rule(&mut house, "350006", "E1");
        assert_eq!(seen_at(&house, "350006"), ["0", "1"], "{hospital}");
        house.store(&images("C-E2", 6..7));
        assert_eq!(seen_at(&house, "350006"), ["0", "1"], "{hospital}");
        // When that is undone, then all is as it was, with what came meanwhile
        house.undo(back);
        assert_eq!(
            seen_at(&house, hospital),
            ["0", "1", "5", "6"],
            "{hospital}"
        );
    }
}

#[test]
fn a_ruling_for_one_whose_own_images_are_aside_brings_those() {
    for hospital in ["350006", "350007"] {
        // Given that the second took the study while the first was withdrawn
        let mut house = House::new();
        house.push(&Push::new("350006", "E1", "王一", 70, STUDY));
        house.store(&images("C-E1", 0..2));
        let exam = key("350006", "E1", 0);
        let (_, withdrawn) = house.correct(CorrectionAction::WithdrawExam { exam });
        house.push(&Push::new(hospital, "E2", "李四", 70, STUDY));
        house.store(&images("C-E2", 5..6));
        house.undo(withdrawn);
        assert_eq!(seen_at(&house, hospital), ["5"]);
        // When it is ruled to be the first's, then he has his own, alone
        let ruled = rule(&mut house, "350006", "E1");
        assert_eq!(seen_at(&house, "350006"), ["0", "1"], "{hospital}");
        house.undo(ruled);
        assert_eq!(seen_at(&house, hospital), ["5"], "{hospital}");
    }
}

#[test]
fn a_ruling_made_again_shows_the_winners_own_images_again() {
    for hospital in ["350006", "350007"] {
        let mut house = contested_by(hospital);
        let ruled = rule(&mut house, hospital, "E2");
        house.store(&images("C-E2", 5..6));
        let (study, exam) = (uid(STUDY), key(hospital, "E2", 0));
        let (_, released) = house.correct(CorrectionAction::ReleaseUid { study, exam });
        assert_eq!(seen_at(&house, "350006"), ["0", "1"], "{hospital}");
        house.undo(released);
        assert_eq!(seen_at(&house, hospital), ["0", "1", "5"], "{hospital}");
        house.undo(ruled);
        assert_eq!(seen_at(&house, "350006"), ["0", "1"], "{hospital}");
    }
}

#[test]
fn what_was_hidden_under_a_ruling_is_shown_again_wherever_it_went() {
    for hospital in ["350006", "350007"] {
        let mut house = contested_by(hospital);
        let ruled = rule(&mut house, hospital, "E2");
        house.store(&images("C-E2", 5..6));
        let (outcome, hidden) = house.correct(CorrectionAction::HideInstances {
            study: StudyKey::new(code(hospital), uid(STUDY)),
            instances: Vec::new(),
        });
        assert_eq!(outcome, Outcome::Done);
        house.undo(ruled);
        assert!(seen_at(&house, "350006").is_empty(), "{hospital}");
        house.undo(hidden);
        assert_eq!(seen_at(&house, "350006"), ["0", "1"], "{hospital}");
        let exam = key("350006", "E1", 0);
        house.correct(CorrectionAction::WithdrawExam { exam });
        assert_eq!(seen_at(&house, hospital), ["5"], "{hospital}");
    }
}

#[test]
fn guests_are_told_apart_where_the_hospital_compares_nothing_and_where_both_have_one_number() {
    for (matching, number) in [("study", "C-E2"), ("normalised", "C-E1")] {
        let mut house = House::new();
        let json = json!({"code": "350007", "name": "示例医院", "matching": matching});
        let entry: crate::registry::Hospital = serde_json::from_value(json).unwrap();
        house.registry.hospitals.insert(entry.code.clone(), entry);
        house.push(&Push::new("350006", "E1", "王一", 70, STUDY));
        let second = Push::new("350007", "E2", "李四", 70, STUDY);
        house.push(&second.with("/examInfo/patientID", number));
        house.store(&images("C-E1", 0..2));
        let ruled = rule(&mut house, "350007", "E2");
        house.store(&images(number, 5..6));
        assert_eq!(seen_at(&house, "350007"), ["0", "1", "5"], "{matching}");
        house.undo(ruled);
        assert_eq!(seen_at(&house, "350006"), ["0", "1"], "{matching}");
    }
}

#[test]
fn a_release_of_another_exam_does_not_settle_a_later_conflict() {
    let mut house = contested();
    rule_for(&mut house, "E2");
    house.push(&Push::new("350007", "E9", "赵六", 70, STUDY));
    let (study, exam) = (uid(STUDY), key("350006", "E1", 0));
    house.correct(CorrectionAction::ReleaseUid { study, exam });
    assert!(house.row("350007", "E9").has(ExamFlag::StudyConflict));
    assert_eq!(house.listed(FindingKind::StudyConflict), 2);
}

#[test]
fn a_purge_takes_what_came_to_a_trials_images_as_a_guest() {
    // Given a trial's images that were given to another trial's exam, whose own came to them
    let mut house = House::new();
    house.put_hospital("350007", HospitalMode::Test);
    house.push(&Push::new("350007", "T1", "测一", 70, STUDY));
    house.push(&Push::new("350007", "T2", "测二", 70, STUDY));
    house.store(&images("C-T1", 0..1));
    rule(&mut house, "350007", "T2");
    house.store(&images("C-T2", 5..6));
    assert_eq!(seen_at(&house, "350007"), ["0", "5"]);
    // When they are purged, then nothing of them comes back with the next exam
    let exams = vec![key("350007", "T2", 0), key("350007", "T1", 0)];
    house.take("operator:o", purge(exams));
    house.push(&Push::new("350007", "T3", "测二", 70, STUDY));
    assert!(seen_at(&house, "350007").is_empty());
    assert!(house.claims[&uid(STUDY)].aside.is_empty());
}

#[test]
fn a_ruling_admits_every_number_that_images_there_had() {
    // Given images without and with an AccessionNumber
    let mut house = House::new();
    house.push(&Push::new("350006", "E1", "王一", 70, STUDY));
    house.push(&Push::new("350006", "E2", "李四", 70, STUDY));
    let with = |accession: &str, sop| {
        let Event::InstancesStored(mut stored) = images("C-E1", sop..sop + 1).event() else {
            panic!()
        };
        stored.groups[0].study.accession_no = accession.to_owned();
        Event::InstancesStored(stored)
    };
    house.take("ae:PACS", with("", 0));
    house.take("ae:PACS", with("A9", 1));
    rule_for(&mut house, "E2");
    house.take("ae:PACS", with("", 2));
    house.take("ae:PACS", with("A9", 3));
    assert_eq!(seen_at(&house, "350006"), ["0", "1", "2", "3"]);
}
