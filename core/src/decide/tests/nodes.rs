//! Nodes and their duties: numbers, runs and leases in log order.

use super::*;
use crate::decide::DUTIES;
use crate::event::{
    HoldExpired, LeaseTaken, NodeJoined, NodeStarted, RULES_VERSION, RulesActivated,
};
use uuid::Uuid;

fn id(number: u128) -> Uuid {
    Uuid::from_u128(number)
}

fn house() -> House {
    let mut house = House::new();
    house.registry.rules = RULES_VERSION;
    house
}

fn join(house: &mut House, of: u128, packs_of: Option<u16>) -> Outcome {
    let joined = NodeJoined {
        id: id(of),
        packs_of,
    };
    house.take("node:new", Event::NodeJoined(joined))
}

fn number(house: &House, of: u128) -> Option<u16> {
    house.registry.node_of(&id(of)).map(|node| node.number)
}

fn start(house: &mut House, node: u16, of: u128, run: u128) -> Outcome {
    let started = NodeStarted {
        node,
        release: "1".to_owned(),
        http: String::new(),
        dicom: String::new(),
        id: Some(id(of)),
        run: Some(id(run)),
        address: "http://10.0.0.1:8080".to_owned(),
    };
    house.take("node:x", Event::NodeStarted(started))
}

fn lease(house: &mut House, run: u128, epoch: u64, ttl_ms: u32) -> Outcome {
    let taken = LeaseTaken {
        duty: DUTIES.to_owned(),
        node: 0,
        run: id(run),
        epoch,
        ttl_ms,
    };
    house.take("node:x", Event::LeaseTaken(taken))
}

#[test]
fn each_data_directory_gets_a_number_that_no_other_ever_had() {
    let mut house = house();
    assert_eq!(join(&mut house, 7, None), Outcome::Done);
    assert_eq!(join(&mut house, 8, None), Outcome::Done);
    assert_eq!(join(&mut house, 7, None), Outcome::Done);
    assert_eq!((number(&house, 7), number(&house, 8)), (Some(0), Some(1)));
    // One whose packs have a number keeps it, if nobody else has it
    assert_eq!(rule(&join(&mut house, 9, Some(1))), "node-number");
    assert_eq!(join(&mut house, 9, Some(5)), Outcome::Done);
    assert_eq!(join(&mut house, 10, None), Outcome::Done);
    assert_eq!((number(&house, 9), number(&house, 10)), (Some(5), Some(6)));
}

#[test]
fn the_last_number_is_given_once() {
    let mut house = house();
    join(&mut house, 7, Some(u16::MAX));
    assert_eq!(rule(&join(&mut house, 8, None)), "node-numbers");
}

#[test]
fn the_run_that_started_last_is_the_node_and_another_directory_never_is() {
    let mut house = house();
    join(&mut house, 7, None);
    assert_eq!(start(&mut house, 0, 7, 100), Outcome::Done);
    assert_eq!(start(&mut house, 0, 7, 101), Outcome::Done);
    assert_eq!(house.registry.nodes[&0].run, Some(id(101)));
    assert_eq!(rule(&start(&mut house, 0, 8, 102)), "node-number");
    assert_eq!(rule(&start(&mut house, 1, 8, 103)), "node-number");
    assert_eq!(house.registry.nodes[&0].run, Some(id(101)));
}

#[test]
fn before_rules_version_2_nodes_leave_no_trace() {
    let mut house = house();
    house.registry.rules = 1;
    assert_eq!(rule(&join(&mut house, 7, None)), "rules-version");
    assert_eq!(start(&mut house, 0, 7, 100), Outcome::Done);
    assert!(house.registry.nodes.is_empty());
}

#[test]
fn the_number_of_the_one_node_there_was_is_kept_for_it() {
    let mut house = house();
    house.registry.rules = 1;
    let activated = Event::RulesActivated(RulesActivated {
        rules: RULES_VERSION,
    });
    house.take("operator:o", activated);
    house.registry.rules = RULES_VERSION;
    // A new node comes before that one has started again
    assert_eq!(join(&mut house, 8, None), Outcome::Done);
    assert_eq!(join(&mut house, 7, Some(0)), Outcome::Done);
    assert_eq!((number(&house, 7), number(&house, 8)), (Some(0), Some(1)));
}

#[test]
fn a_duty_is_one_holders_until_its_time_is_over() {
    // Given a lease of 5 ms; the log's time goes on by 1 ms with each record
    let mut house = house();
    assert_eq!(lease(&mut house, 1, 1, 5), Outcome::Done);
    // Others do not get it, its holder keeps it
    assert_eq!(rule(&lease(&mut house, 2, 2, 5)), "lease-held");
    assert_eq!(rule(&lease(&mut house, 2, 1, 5)), "lease-held");
    assert_eq!(lease(&mut house, 1, 1, 5), Outcome::Done);
    for _ in 0..4 {
        assert_eq!(rule(&lease(&mut house, 2, 2, 5)), "lease-held");
    }
    // Its time is over
    assert_eq!(lease(&mut house, 2, 2, 5), Outcome::Done);
    // Who had it before is told, and what it found out meanwhile does not count
    assert_eq!(rule(&lease(&mut house, 1, 1, 5)), "lease-held");
    let expired = |epoch| {
        Event::HoldExpired(HoldExpired {
            study: uid("1.2.1"),
            hospital: code("350006"),
            up_to: Position(100),
            epoch,
        })
    };
    house.store(&Images::new("1.2.1", "C-E1", 0..3));
    assert_eq!(rule(&house.take("node:0", expired(Some(1)))), "lease-past");
    assert_eq!(house.held("1.2.1"), 3);
    assert_eq!(house.take("node:1", expired(Some(2))), Outcome::Done);
    assert_eq!(house.held("1.2.1"), 0);
    // A lease that is given back is free at once
    assert_eq!(lease(&mut house, 2, 2, 0), Outcome::Done);
    assert_eq!(lease(&mut house, 3, 3, 5), Outcome::Done);
}
