//! Instances that move from pack to pack, and packs that go.

use super::*;
use crate::event::PacksCompacted;
use crate::instance::{InstancesMoved, MovedInstance, MovedStudy};

const OLD: PackId = PackId(1);
const NEW: PackId = PackId(9);

/// Copies of the old pack's instances lie in the new one, each a thousand bytes further on.
fn moved(studies: &[(&str, &[u64])]) -> Event {
    let studies = studies.iter().map(|(study, offsets)| MovedStudy {
        study: uid(study),
        instances: offsets
            .iter()
            .map(|&from_offset| MovedInstance {
                from: OLD,
                from_offset,
                offset: from_offset + 1_000,
            })
            .collect(),
    });
    Event::InstancesMoved(InstancesMoved {
        pack: NEW,
        studies: studies.collect(),
        is_last: true,
    })
}

fn compacted(as_of: u64) -> Event {
    Event::PacksCompacted(PacksCompacted {
        packs: vec![OLD],
        as_of: Position(as_of),
    })
}

impl House {
    /// Where every instance lies, shown, hidden, set aside and held ones.
    fn places(&self) -> Vec<(PackId, u64)> {
        let shown = self.chunks.values().flat_map(|chunk| &chunk.entries);
        let shown = shown.map(|entry| (entry.pack, entry.stored.offset));
        let held = self.held_groups.values().flat_map(|held| {
            let instances = held.group.instances.iter();
            instances.map(|instance| (held.pack, instance.offset))
        });
        let mut places: Vec<_> = shown.chain(held).collect();
        places.sort_unstable();
        places
    }
}

#[test]
fn moved_instances_lie_elsewhere_and_nothing_else_of_them_changes() {
    // Given instances that are shown, hidden, a further version, set aside and held
    let mut house = House::new();
    house.push(&Push::new("350006", "E1", "王一", 70, "1.2.1"));
    house.store(&Images::new("1.2.1", "C-E1", 0..4));
    let mut further = Images::new("1.2.1", "C-E1", 0..1).event();
    if let Event::InstancesStored(body) = &mut further {
        body.groups[0].instances[0].offset = 50;
        body.groups[0].instances[0].digest = [7; 16];
    }
    house.take("ae:PACS", further);
    let study = StudyKey::new(code("350006"), uid("1.2.1"));
    house.correct(CorrectionAction::HideInstances {
        study: study.clone(),
        instances: vec![SopInstanceUid::new("1.2.1.1.3").unwrap()],
    });
    house.store(&Images::new("1.2.5", "C-E5", 10..13));
    let before = house.places();
    let counts = (house.shown("350006", "1.2.1"), house.held("1.2.5"));
    let chunk = house.chunks.values().next().unwrap().entries.clone();
    let history = house.history.len();
    // When copies of all but one shown and one held instance lie in another pack
    let event = moved(&[("1.2.1", &[0, 1, 3, 50]), ("1.2.5", &[10, 12])]);
    assert_eq!(house.take("node:0", event.clone()), Outcome::Done);
    // Then those lie there, and the others where they lay
    let expected = |(pack, offset): (PackId, u64)| match offset {
        2 | 11 => (pack, offset),
        _ => (NEW, offset + 1_000),
    };
    let mut expected: Vec<_> = before.into_iter().map(expected).collect();
    expected.sort_unstable();
    assert_eq!(house.places(), expected);
    // and they are the same instances otherwise
    let after = &house.chunks.values().next().unwrap().entries;
    for (before, after) in chunk.iter().zip(after) {
        let mut back = after.clone();
        back.pack = before.pack;
        back.stored.offset = before.stored.offset;
        assert!(&back == before);
    }
    assert_eq!(
        (house.shown("350006", "1.2.1"), house.held("1.2.5")),
        counts
    );
    assert_eq!(house.history.len(), history);
    // A record that comes twice changes nothing more
    house.take("node:0", event);
    assert_eq!(house.places(), expected);
    // And what was held in two packs by then is shown with its push
    house.push(&Push::new("350006", "E5", "李五", 70, "1.2.5"));
    assert_eq!(
        (house.shown("350006", "1.2.5"), house.held("1.2.5")),
        (3, 0)
    );
    assert_eq!(house.places(), expected);
}

#[test]
fn an_instance_that_was_stored_anew_meanwhile_stays_where_it_is() {
    let mut house = House::new();
    house.push(&Push::new("350006", "E1", "王一", 70, "1.2.1"));
    house.store(&Images::new("1.2.1", "C-E1", 0..2));
    let mut anew = Images::new("1.2.1", "C-E1", 1..2).event();
    if let Event::InstancesStored(body) = &mut anew {
        body.pack = PackId(5);
        anew = Event::InstancesReplaced(body.clone());
    }
    house.take("ae:PACS", anew);
    house.take("node:0", moved(&[("1.2.1", &[0, 1])]));
    assert_eq!(house.places(), [(PackId(5), 1), (NEW, 1_000)]);
}

#[test]
fn images_that_are_set_aside_move_too() {
    // Given images of a patient whose study has become another's
    let mut house = House::new();
    house.push(&Push::new("350006", "E1", "王一", 70, "1.2.1"));
    house.store(&Images::new("1.2.1", "C-E1", 0..2));
    let exam = key("350006", "E1", 0);
    house.correct(CorrectionAction::WithdrawExam { exam });
    house.push(&Push::new("350006", "E2", "李四", 70, "1.2.1"));
    let mut others = Images::new("1.2.1", "C-E2", 7..8).event();
    if let Event::InstancesStored(body) = &mut others {
        body.pack = PackId(5);
    }
    house.take("ae:PACS", others);
    assert!(house.chunks.keys().any(|at| at.study.lot > 0));
    // When they are copied
    house.take("node:0", moved(&[("1.2.1", &[0, 1])]));
    // Then they lie in the new pack, the others' image where it was
    assert_eq!(house.places(), [(PackId(5), 7), (NEW, 1_000), (NEW, 1_001)]);
}

#[test]
fn a_pack_goes_only_if_nothing_came_into_it_since_it_was_looked_at() {
    let mut house = House::new();
    house.push(&Push::new("350006", "E1", "王一", 70, "1.2.1"));
    let looked_at = house.next;
    house.store(&Images::new("1.2.1", "C-E1", 0..2));
    // Given that somebody looked at it before its last record
    assert_eq!(
        rule(&house.take("node:0", compacted(looked_at))),
        "pack-in-use"
    );
    assert_eq!(house.packs[&OLD].compacted, None);
    // When it is looked at after that
    house.take("node:0", moved(&[("1.2.1", &[0, 1])]));
    assert_eq!(house.take("node:0", compacted(house.next)), Outcome::Done);
    assert!(house.packs[&OLD].compacted.is_some());
    // Then what is told of it again is nothing new: neither as known instances nor as others
    house.store(&Images::new("1.2.1", "C-E1", 0..2));
    house.store(&Images::new("1.2.1", "C-E1", 5..6));
    assert_eq!(house.shown("350006", "1.2.1"), 2);
    assert_eq!(house.places(), [(NEW, 1_000), (NEW, 1_001)]);
    // And once is enough
    let at = house.packs[&OLD].compacted;
    assert_eq!(house.take("node:0", compacted(house.next)), Outcome::Done);
    assert_eq!(house.packs[&OLD].compacted, at);
}

#[test]
fn nothing_goes_into_a_pack_that_was_given_up() {
    // Given copies of which the log did not tell when their pack was given up
    let mut house = House::new();
    house.push(&Push::new("350006", "E1", "王一", 70, "1.2.1"));
    house.store(&Images::new("1.2.1", "C-E1", 0..2));
    let before = house.places();
    let given_up = Event::PacksCompacted(PacksCompacted {
        packs: vec![NEW],
        as_of: Position(house.next),
    });
    assert_eq!(house.take("node:0", given_up), Outcome::Done);
    // When records come late that lead there, as copies or as instances that were stored anew
    house.take("node:0", moved(&[("1.2.1", &[0, 1])]));
    let mut anew = Images::new("1.2.1", "C-E1", 0..2).event();
    if let Event::InstancesStored(body) = &mut anew {
        body.pack = NEW;
        anew = Event::InstancesReplaced(body.clone());
    }
    house.take("ae:PACS", anew);
    // Then the instances lie where they lay
    assert_eq!(house.places(), before);
}
