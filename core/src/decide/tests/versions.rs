//! Which version of an instance is shown, as operators rule.

use super::*;
use crate::instance::InstanceKey;

const STUDY: &str = "1.2.1";

fn instance() -> SopInstanceUid {
    SopInstanceUid::new("1.2.1.1.7").unwrap()
}

fn study() -> StudyKey {
    StudyKey::new(code("350006"), uid(STUDY))
}

/// A study of so many instances, one of them with three versions.
fn house(instances: u32) -> House {
    let mut house = House::new();
    house.push(&Push::new("350006", "E1", "王一", 70, STUDY));
    house.store(&Images::new(STUDY, "C-E1", 0..instances));
    for bytes in [1, 2] {
        house.store(&Images {
            bytes,
            ..Images::new(STUDY, "C-E1", 7..8)
        });
    }
    house
}

impl House {
    fn choose(&mut self, bytes: u8) -> (Outcome, Position) {
        self.correct(CorrectionAction::ChooseVersion {
            study: study(),
            instance: instance(),
            digest: format!("{:032x}", u128::from_be_bytes([bytes; 16])),
        })
    }

    /// The bytes that readers see of the instance, wherever its study lies now.
    fn seen(&self) -> Vec<u8> {
        let entries = self.chunks.iter().filter(|(at, _)| at.study.lot == 0);
        let entries = entries.flat_map(|(_, chunk)| &chunk.entries);
        let meant = entries.filter(|e| e.image().sop_instance == instance() && e.is_visible());
        meant.map(|entry| entry.stored.digest[0]).collect()
    }
}

#[test]
fn the_version_that_is_chosen_is_shown_until_that_is_undone() {
    for instances in [20, 900] {
        let mut house = house(instances);
        // Given three versions, of which the first is shown and the others are listed
        assert_eq!(
            (house.seen(), house.listed(FindingKind::FurtherVersion)),
            (vec![0], 1)
        );
        // When another is chosen, then it is shown, counted once, and off the list
        let (outcome, first) = house.choose(2);
        assert_eq!(outcome, Outcome::Done);
        assert_eq!(
            (house.seen(), house.shown("350006", STUDY)),
            (vec![2], instances)
        );
        assert_eq!(house.listed(FindingKind::FurtherVersion), 0);
        // And each of them is still known when it comes again
        for bytes in 0..3 {
            let sops = 7..8;
            house.store(&Images {
                bytes,
                ..Images::new(STUDY, "C-E1", sops)
            });
        }
        assert_eq!(
            (house.seen(), house.shown("350006", STUDY)),
            (vec![2], instances)
        );
        // When a later choice stands, then the earlier is not undone
        let (_, second) = house.choose(1);
        assert_eq!(rule(&house.undo(first)), "conflict");
        assert_eq!(house.undo(second), Outcome::Done);
        assert_eq!(house.seen(), [2]);
        // And then it is, with its line on the list
        assert_eq!(house.undo(first), Outcome::Done);
        assert_eq!(
            (house.seen(), house.listed(FindingKind::FurtherVersion)),
            (vec![0], 1)
        );
        let listed = house
            .places
            .contains_key(&InstanceKey::first(&study(), &instance()));
        assert_eq!(listed, instances == 900);
    }
}

#[test]
fn the_first_version_can_be_confirmed_and_a_new_one_is_listed_again() {
    let mut house = house(20);
    assert_eq!(house.choose(0).0, Outcome::Done);
    assert_eq!(
        (house.seen(), house.listed(FindingKind::FurtherVersion)),
        (vec![0], 0)
    );
    assert_eq!(rule(&house.choose(0).0), "conflict");
    house.store(&Images {
        bytes: 3,
        ..Images::new(STUDY, "C-E1", 7..8)
    });
    assert_eq!(
        (house.seen(), house.listed(FindingKind::FurtherVersion)),
        (vec![0], 1)
    );
    assert_eq!(rule(&house.choose(9).0), "not-found");
}

#[test]
fn what_was_chosen_stays_chosen_when_the_study_goes_to_another_hospital_and_back() {
    // Given a version that was chosen
    let mut house = house(20);
    let (_, chosen) = house.choose(1);
    house.push(&Push::new("350007", "E9", "李四", 70, "1.2.9"));
    // When the study is moved, then that version is the one shown there, and nothing is to be ruled
    let (moved, position) = house.correct(CorrectionAction::MoveStudy {
        study: study(),
        to: key("350007", "E9", 0),
    });
    assert_eq!(moved, Outcome::Done);
    assert_eq!((house.seen(), house.shown("350007", STUDY)), (vec![1], 20));
    assert_eq!(house.listed(FindingKind::FurtherVersion), 0);
    // And it can be undone there, and here
    assert_eq!(house.undo(chosen), Outcome::Done);
    assert_eq!(
        (house.seen(), house.listed(FindingKind::FurtherVersion)),
        (vec![0], 1)
    );
    assert_eq!(house.undo(position), Outcome::Done);
    assert_eq!((house.seen(), house.shown("350006", STUDY)), (vec![0], 20));
}
