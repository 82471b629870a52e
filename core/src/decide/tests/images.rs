//! R7, R8: whose images they are, what is held, what is in doubt.

use std::collections::BTreeMap;

use super::*;
use crate::instance::ChunkEntry;

fn e1() -> Push {
    Push::new("350006", "E1", "王一", 70, "1.2.1")
}

#[test]
fn held_instances_are_shown_when_their_exam_is_pushed() {
    let mut house = House::new();
    house.store(&Images::new("1.2.1", "C-E1", 0..3));
    assert_eq!(
        (house.held("1.2.1"), house.shown("350006", "1.2.1")),
        (3, 0)
    );
    let Outcome::Push(push) = house.push(&e1()) else {
        panic!("refused")
    };
    assert_eq!(push.adopted, 3);
    assert_eq!(
        (house.held("1.2.1"), house.shown("350006", "1.2.1")),
        (0, 3)
    );
}

#[test]
fn an_instance_comes_once_and_other_bytes_are_a_further_version() {
    let mut house = House::new();
    house.push(&e1());
    for _ in 0..10 {
        house.store(&Images::new("1.2.1", "C-E1", 0..200));
    }
    assert_eq!(house.shown("350006", "1.2.1"), 200);
    assert_eq!(house.listed(FindingKind::FurtherVersion), 0);
    house.store(&Images {
        bytes: 1,
        ..Images::new("1.2.1", "C-E1", 7..8)
    });
    assert_eq!(house.shown("350006", "1.2.1"), 200);
    assert_eq!(house.listed(FindingKind::FurtherVersion), 1);
}

#[test]
fn an_instance_twice_in_one_record_is_one_also_across_chunks() {
    let mut house = House::new();
    house.push(&e1());
    let mut event = Images::new("1.2.1", "C-E1", 0..200).event();
    if let Event::InstancesStored(body) = &mut event {
        let group = &mut body.groups[0];
        group.instances.extend(group.instances.clone());
    }
    house.take("ae:PACS", event);
    assert_eq!(house.shown("350006", "1.2.1"), 200);
    assert_eq!(house.listed(FindingKind::FurtherVersion), 0);
}

#[test]
fn a_doubt_is_listed_and_leaves_with_the_push_that_corrects_it() {
    let mut house = House::new();
    house.push(&e1());
    house.store(&Images {
        name: "王二",
        ..Images::new("1.2.1", "C-E1", 0..1)
    });
    assert!(house.row("350006", "E1").has(ExamFlag::IdentityDoubt));
    house.push(&e1().with("/patientInfo/name", "王二"));
    assert!(!house.row("350006", "E1").has(ExamFlag::IdentityDoubt));
    assert_eq!(house.listed(FindingKind::IdentityDoubt), 0);
}

#[test]
fn two_claimants_are_both_flagged_and_the_images_are_the_firsts() {
    let mut house = House::new();
    house.push(&e1());
    house.push(&Push::new("350007", "E9", "李四", 70, "1.2.1"));
    for (hospital, exam) in [("350006", "E1"), ("350007", "E9")] {
        assert!(house.row(hospital, exam).has(ExamFlag::StudyConflict));
    }
    // Each hospital sees the conflict on its list
    assert_eq!(house.listed(FindingKind::StudyConflict), 2);
    let foreign = |house: &House, hospital, exam| house.row(hospital, exam).studies[0].foreign;
    assert!(!foreign(&house, "350006", "E1") && foreign(&house, "350007", "E9"));
    // When the first gives the study up, the other's is it, and its held images come
    house.store(&Images::new("1.2.1", "C-E9", 0..2));
    assert_eq!(house.held("1.2.1"), 2);
    house.push(&e1().with("/imageList/0/studyUID", "1.2.5"));
    assert_eq!(
        (house.held("1.2.1"), house.shown("350007", "1.2.1")),
        (0, 2)
    );
    assert!(!foreign(&house, "350007", "E9"));
    assert!(!house.row("350007", "E9").has(ExamFlag::StudyConflict));
    assert_eq!(house.listed(FindingKind::StudyConflict), 0);
}

#[test]
fn exams_of_one_person_share_a_study_without_conflict() {
    let mut house = House::new();
    house.push(&e1());
    house.push(&Push::new("350006", "E2", "王一", 70, "1.2.1"));
    house.store(&Images::new("1.2.1", "C-E2", 0..1));
    assert_eq!(house.shown("350006", "1.2.1"), 1);
    assert_eq!(house.listed(FindingKind::StudyConflict), 0);
    assert!(!house.row("350006", "E2").studies[0].foreign);
}

#[test]
fn one_more_instance_costs_the_same_in_a_study_of_any_size() {
    let mut house = House::new();
    house.push(&e1());
    let read: Vec<_> = (0..60u32)
        .map(|n| house.rows_read_for(&Images::new("1.2.1", "C-E1", n * 200..(n + 1) * 200)))
        .collect();
    assert_eq!(house.shown("350006", "1.2.1"), 12_000);
    // Its chunks are looked through while they are few (and once more to list them), then only the last is read
    assert!(read.iter().all(|rows| *rows <= 9), "{read:?}");
    assert!(read[10..].iter().all(|rows| *rows <= 1), "{read:?}");
}

#[test]
fn in_a_large_study_the_same_bytes_come_once_and_other_bytes_are_a_further_version() {
    // Given a study that grows large with its third record, and an instance that had a further version before
    let mut house = House::new();
    house.push(&e1());
    let further = |bytes, sops| Images {
        bytes,
        ..Images::new("1.2.1", "C-E1", sops)
    };
    house.store(&further(0, 0..200));
    house.store(&further(1, 7..8));
    house.store(&further(0, 200..900));
    assert_eq!(house.places.len(), 901);
    // When all of it comes again, before and after it has grown further
    let again = |house: &mut House| {
        house.store(&further(0, 0..900));
        house.store(&further(1, 7..8));
    };
    again(&mut house);
    house.store(&further(0, 900..2_000));
    again(&mut house);
    // Then nothing is added
    assert_eq!(house.shown("350006", "1.2.1"), 2_000);
    assert_eq!(house.listed(FindingKind::FurtherVersion), 1);
    // And other bytes are a further version, in another series of the study too
    house.store(&further(2, 1_500..1_501));
    let mut elsewhere = further(3, 20..21).event();
    if let Event::InstancesStored(body) = &mut elsewhere {
        body.groups[0].series_uid = SeriesUid::new("1.2.1.99").unwrap();
    }
    house.take("ae:PACS", elsewhere.clone());
    house.take("ae:PACS", elsewhere);
    assert_eq!(house.shown("350006", "1.2.1"), 2_000);
    assert_eq!(house.listed(FindingKind::FurtherVersion), 3);
    assert_eq!(house.places.len(), 2_003);
}

#[test]
fn a_large_study_leaves_no_line_behind_where_it_moves_away() {
    let mut house = House::new();
    house.push(&e1());
    house.push(&Push::new("350007", "E9", "李四", 70, "1.2.9"));
    house.store(&Images::new("1.2.1", "C-E1", 0..1_000));
    let study = StudyKey::new(code("350006"), uid("1.2.1"));
    let to = key("350007", "E9", 0);
    house.correct(CorrectionAction::MoveStudy { study, to });
    assert_eq!(house.shown("350007", "1.2.1"), 1_000);
    assert_eq!(house.places.len(), 1_000);
    assert!(
        house
            .places
            .keys()
            .all(|line| line.study.hospital == code("350007"))
    );
}

#[test]
fn one_more_held_instance_costs_the_same_however_many_are_held() {
    let mut house = House::new();
    for n in 0..50 {
        let read = house.rows_read_for(&Images::new("1.2.1", "C-E1", n * 10..(n + 1) * 10));
        assert_eq!(read, 0, "group {n}");
    }
    assert_eq!((house.held("1.2.1"), house.held_groups.len()), (500, 50));
    // What is held already is not held twice
    house.store(&Images::new("1.2.1", "C-E1", 0..500));
    assert_eq!((house.held("1.2.1"), house.held_groups.len()), (500, 50));
    house.push(&e1());
    assert_eq!(house.shown("350006", "1.2.1"), 500);
    assert!(house.held.is_empty() && house.held_groups.is_empty());
    assert!(house.held_instances.is_empty());
}

/// The same instances, stored anew in another pack.
fn anew(images: &Images<'_>) -> Event {
    let Event::InstancesStored(mut body) = images.event() else {
        panic!("no instances")
    };
    body.pack = PackId::new(0, 2);
    for instance in &mut body.groups[0].instances {
        (instance.offset, instance.length) = (instance.offset + 5_000, 11);
    }
    Event::InstancesReplaced(body)
}

/// UID's last number, pack and offset of every instance.
fn places(house: &House) -> BTreeMap<u32, (u64, u64)> {
    let entries = house.chunks.values().flat_map(|chunk| &chunk.entries);
    let number = |entry: &ChunkEntry| entry.image().number.parse().unwrap();
    entries
        .map(|entry| (number(entry), (entry.pack.number(), entry.stored.offset)))
        .collect()
}

#[test]
fn an_instance_that_is_stored_anew_is_read_from_its_new_place() {
    for count in [3, 1_000] {
        // Given a study, small or large, of which one instance is damaged
        let mut house = House::new();
        house.push(&e1());
        house.store(&Images::new("1.2.1", "C-E1", 0..count));
        // When it comes again, as what replaces it
        let one = Images::new("1.2.1", "C-E1", 2..3);
        house.take("ae:PACS", anew(&one));
        // Then it lies where it came, the others where they were, and nothing is counted twice
        let found = places(&house);
        assert_eq!(found.len(), count as usize);
        assert_eq!((found[&2], found[&1]), ((2, 5_002), (1, 1)));
        assert_eq!(house.shown("350006", "1.2.1"), count);
        assert_eq!(
            house.studies.values().next().unwrap().bytes,
            u64::from(count) * 10 + 1
        );
        assert_eq!(house.listed(FindingKind::FurtherVersion), 0);
        // And a mere repeat moves nothing
        house.store(&Images::new("1.2.1", "C-E1", 0..count));
        assert_eq!(places(&house), found);
    }
}

#[test]
fn a_held_instance_that_is_stored_anew_is_shown_from_its_new_place() {
    for replaced in [2..3, 0..3] {
        let mut house = House::new();
        house.store(&Images::new("1.2.1", "C-E1", 0..3));
        house.take("ae:PACS", anew(&Images::new("1.2.1", "C-E1", replaced)));
        assert_eq!(house.held("1.2.1"), 3);
        house.push(&e1());
        assert_eq!(
            (house.held("1.2.1"), house.shown("350006", "1.2.1")),
            (0, 3)
        );
        assert_eq!(places(&house)[&2], (2, 5_002));
        assert!(house.held.is_empty() && house.held_groups.is_empty());
    }
}

#[test]
fn what_replaces_an_instance_that_is_gone_meanwhile_comes_as_any_other() {
    let mut house = House::new();
    house.push(&e1());
    house.take("ae:PACS", anew(&Images::new("1.2.1", "C-E1", 0..2)));
    assert_eq!(house.shown("350006", "1.2.1"), 2);
}

#[test]
fn the_wrong_patients_image_is_a_doubt_whenever_it_comes() {
    let named = |name, sops| Images {
        name,
        ..Images::new("1.2.1", "C-E1", sops)
    };
    let orders = [["王一", "王二"], ["王二", "王一"], ["", "王二"]];
    for order in orders {
        let mut house = House::new();
        house.push(&e1());
        house.store(&named(order[0], 0..1));
        house.store(&named(order[1], 1..2));
        assert!(
            house.row("350006", "E1").has(ExamFlag::IdentityDoubt),
            "{order:?}"
        );
    }
    // What names the same person, or nobody, is none
    let mut house = House::new();
    house.push(&e1());
    for (number, name) in (0..).zip(["王一", "", "Wang^Yi=王^一"]) {
        house.store(&named(name, number..number + 1));
    }
    assert!(!house.row("350006", "E1").has(ExamFlag::IdentityDoubt));
}

#[test]
fn every_person_of_a_study_goes_with_it_to_another_hospital() {
    let mut house = House::new();
    house.push(&e1());
    house.push(&Push::new("350007", "E9", "王一", 70, "1.2.1"));
    for (number, name) in (0..).zip(["王一", "王二"]) {
        let images = Images::new("1.2.1", "C-E1", number..number + 1);
        house.store(&Images { name, ..images });
    }
    let study = StudyKey::new(code("350006"), uid("1.2.1"));
    let to = key("350007", "E9", 0);
    house.correct(CorrectionAction::MoveStudy { study, to });
    assert!(house.row("350007", "E9").has(ExamFlag::IdentityDoubt));
}

/// Instances of a scan, whose data sets say more than a scanned form's.
fn scan(sops: std::ops::Range<u32>) -> Event {
    let mut event = Images {
        name: "王一",
        ..Images::new("1.2.1", "C-E1", sops)
    }
    .event();
    if let Event::InstancesStored(body) = &mut event {
        let group = &mut body.groups[0];
        group.study.date = "20260704".to_owned();
        group.study.description = "胸部CT".to_owned();
        group.patient.sex = "F".to_owned();
    }
    event
}

#[test]
fn what_the_first_image_lacks_is_answered_as_a_later_one_has_it() {
    let form = || Images::new("1.2.1", "C-E1", 0..1).event();
    let answered = |events: [Event; 2]| {
        let mut house = House::new();
        house.push(&e1());
        for event in events {
            house.take("ae:PACS", event);
        }
        let row = house.studies.values().next().unwrap().clone();
        (row.patient, row.study)
    };
    // A scanned form before the scan or behind it makes no difference
    let (patient, study) = answered([form(), scan(1..3)]);
    assert_eq!(study.date, "20260704");
    assert_eq!((patient.name.as_str(), patient.sex.as_str()), ("王一", "F"));
    assert!((patient, study) == answered([scan(1..3), form()]));
    // What an image says is not overwritten by another
    let mut other = scan(5..6);
    if let Event::InstancesStored(body) = &mut other {
        body.groups[0].study.date = "20260705".to_owned();
    }
    assert_eq!(answered([scan(1..3), other]).1.date, "20260704");
}

#[test]
fn what_a_later_image_says_of_the_scan_is_answered_of_a_moved_study_too() {
    // Given a study that was moved when only its scanned form was there
    let mut house = House::new();
    house.push(&e1());
    house.push(&Push::new("350006", "E2", "李四", 70, "1.2.9"));
    house.store(&Images::new("1.2.1", "C-E1", 0..1));
    let study = StudyKey::new(code("350006"), uid("1.2.1"));
    let to = key("350006", "E2", 0);
    house.correct(CorrectionAction::MoveStudy {
        study: study.clone(),
        to,
    });
    // When the scan comes
    house.take("ae:PACS", scan(1..3));
    // Then its day is answered, of the patient whose the study is now
    let (patient, facts) = house.studies[&study].answered();
    assert_eq!(
        (patient.name.as_str(), facts.date.as_str()),
        ("李四", "20260704")
    );
}

#[test]
fn what_lay_in_a_lost_pack_is_missing_and_new_when_it_is_sent_again() {
    // Given an exam with images, one of them in two versions, and one that is held
    let mut house = House::new();
    house.push(&Push::new("350006", "E1", "王一", 70, "1.2.1"));
    house.store(&Images::new("1.2.1", "C-E1", 0..3));
    house.store(&Images {
        bytes: 1,
        ..Images::new("1.2.1", "C-E1", 0..1)
    });
    house.store(&Images::new("1.2.5", "C-E5", 0..1));
    // When their pack is lost
    let lost = |packs: Vec<PackId>| {
        Event::PackLost(PackLost {
            packs,
            studies: vec![StudyKey::new(code("350006"), uid("1.2.1"))],
            held: vec![uid("1.2.5")],
            is_last: true,
            ..PackLost::default()
        })
    };
    house.take("operator:o", lost(vec![PackId::new(0, 2)]));
    assert_eq!(house.shown("350006", "1.2.1"), 3);
    house.take("operator:o", lost(vec![PackId::new(0, 1)]));
    // Then nothing of it is there, and that stands in the exam's history
    assert_eq!(
        (house.shown("350006", "1.2.1"), house.held("1.2.5")),
        (0, 0)
    );
    assert_eq!(house.listed(FindingKind::FurtherVersion), 0);
    assert_eq!(
        house.history.last().map(|line| line.step),
        Some(ExamStep::Corrected)
    );
    // And it comes again as any image
    house.store(&Images::new("1.2.1", "C-E1", 0..3));
    assert_eq!(house.shown("350006", "1.2.1"), 3);
}
