//! Studies that are fetched from gateways: which are due, and what becomes of them (contract §2.5).

use super::*;
use crate::event::{GatewaySwept, PULLS_SINCE_RULES, PullsAsked, PullsTried};
use crate::pull::{PullLine, PullState, PullWhy, TriedPull, UnpushedStudy};

const STUDY: &str = "1.2.1";

impl House {
    fn with_gateway(images: &str) -> Self {
        let mut house = Self::new();
        house.put_gateway(images, "live");
        house
    }

    fn put_gateway(&mut self, images: &str, mode: &str) {
        let json = json!({
            "code": "350006", "name": "示例医院", "mode": mode, "images": images,
            "gateway": { "ae": "GATE", "host": "127.0.0.1", "port": 104 },
        });
        let entry: crate::registry::Hospital = serde_json::from_value(json).unwrap();
        self.registry.hospitals.insert(entry.code.clone(), entry);
    }

    fn pull_of(&self, study: &str) -> Option<&PullRow> {
        self.pulls.get(&StudyKey::new(code("350006"), uid(study)))
    }

    fn stands(&self) -> Option<(PullState, PullWhy)> {
        self.pull_of(STUDY).map(|row| (row.state, row.why))
    }

    fn try_pull(&mut self, state: PullState, tries: u32) -> Outcome {
        let since = self.pull_of(STUDY).unwrap().since;
        self.try_pull_since(since, state, tries)
    }

    fn try_pull_since(&mut self, since: Position, state: PullState, tries: u32) -> Outcome {
        let tried = TriedPull {
            study: uid(STUDY),
            since,
            state,
            tries,
            next_ms: 9_000,
            expected: Some(5),
            got: Some(2),
            words: "说明".repeat(400),
        };
        let event = PullsTried {
            hospital: code("350006"),
            tried: vec![tried],
            epoch: None,
        };
        self.take("node:0", Event::PullsTried(event))
    }

    fn ask(&mut self, exam_no: &str, backfill: bool) {
        let exams = vec![key("350006", exam_no, 0)];
        let asked = Event::PullsAsked(PullsAsked { exams, backfill });
        assert_eq!(self.take("operator:o", asked), Outcome::Done);
    }
}

/// An exam at 70 of one study.
fn exam(images: &str) -> Push {
    Push::new("350006", "E1", "王一", 70, STUDY).with_images(images)
}

fn images(sops: std::ops::Range<u32>) -> Images<'static> {
    Images::new(STUDY, "C-E1", sops)
}

impl Push {
    fn with_images(&self, count: &str) -> Self {
        self.with("/imageList/0/imageCount", count)
    }
}

const OPEN: Option<(PullState, PullWhy)> = Some((PullState::Open, PullWhy::Pushed));
const DONE: Option<(PullState, PullWhy)> = Some((PullState::Done, PullWhy::Pushed));

#[test]
fn a_push_makes_a_pull_due_that_is_done_when_the_declared_images_are_here() {
    let mut house = House::with_gateway("pull");
    house.push(&exam("3"));
    let row = house.pull_of(STUDY).unwrap().clone();
    assert_eq!(house.stands(), OPEN);
    assert_eq!((row.tries, row.next_ms), (0, row.since_ms));
    house.store(&images(0..2));
    assert_eq!(house.stands(), OPEN);
    house.store(&images(2..3));
    assert_eq!(house.stands(), DONE);
}

#[test]
fn nothing_is_due_where_images_are_sent_or_linked_or_the_rules_do_not_know_it() {
    for way in ["store", "link"] {
        let mut house = House::with_gateway(way);
        house.push(&exam("3"));
        assert_eq!(house.stands(), None, "{way}");
    }
    let mut house = House::with_gateway("pull");
    house.push(&exam("3").with("/imageList/0/imageUrl", "http://pacs/1"));
    assert_eq!(house.stands(), None);
    house.registry.rules = PULLS_SINCE_RULES - 1;
    house.push(&Push::new("350006", "E2", "王二", 70, "1.2.2"));
    assert!(house.pulls.is_empty());
}

#[test]
fn what_is_here_already_is_not_fetched_and_a_higher_count_makes_it_due_again() {
    let mut house = House::with_gateway("store");
    house.push(&exam("2"));
    house.store(&images(0..2));
    house.put_gateway("pull", "live");
    house.push(&exam("2").with("/patientInfo/name", "王一一"));
    assert_eq!(house.stands(), None);
    house.push(&exam("3").with("/patientInfo/name", "王一一"));
    assert_eq!(house.stands(), OPEN);
    house.store(&images(2..3));
    assert_eq!(house.stands(), DONE);
    house.push(&exam("4").with("/patientInfo/name", "王一一"));
    assert_eq!(house.stands(), OPEN);
}

#[test]
fn a_study_without_a_count_is_fetched_while_nothing_of_it_is_here() {
    let mut house = House::with_gateway("pull");
    house.push(&exam(""));
    assert_eq!(house.stands(), OPEN);
    house.store(&images(0..2));
    assert_eq!(house.stands(), OPEN);
    // When whoever fetches it says that this is all
    house.try_pull(PullState::Done, 1);
    assert_eq!(house.stands(), DONE);
    house.store(&images(2..3));
    assert_eq!(house.stands(), DONE);
}

#[test]
fn what_becomes_of_the_exam_becomes_of_its_pull() {
    let mut house = House::with_gateway("pull");
    house.push(&exam("3"));
    let named = key("350006", "E1", 0);
    let (_, withdrawal) = house.correct(CorrectionAction::WithdrawExam { exam: named });
    assert_eq!(house.stands(), None);
    house.undo(withdrawal);
    assert_eq!(
        house.stands(),
        Some((PullState::Open, PullWhy::MissingAgain))
    );
    // Another patient's exam that claims the study does not have it fetched
    house.push(&Push::new("350006", "E2", "王二", 70, STUDY).with_images("9"));
    house.store(&images(0..3));
    assert_eq!(
        house.stands(),
        Some((PullState::Done, PullWhy::MissingAgain))
    );
    // And a purge leaves nothing
    let mut house = House::with_gateway("pull");
    house.put_gateway("pull", "test");
    house.push(&exam("3"));
    assert_eq!(house.stands(), OPEN);
    house.take("operator:o", purge(vec![key("350006", "E1", 0)]));
    assert_eq!(house.stands(), None);
}

#[test]
fn lost_images_are_fetched_again() {
    let mut house = House::with_gateway("pull");
    house.push(&exam("2"));
    house.store(&images(0..2));
    assert_eq!(house.stands(), DONE);
    let lost = PackLost {
        packs: vec![PackId::new(0, 1)],
        studies: vec![StudyKey::new(code("350006"), uid(STUDY))],
        is_last: true,
        ..PackLost::default()
    };
    house.take("operator:o", Event::PackLost(lost));
    assert_eq!(
        house.stands(),
        Some((PullState::Open, PullWhy::MissingAgain))
    );
}

#[test]
fn what_came_of_a_try_is_kept_and_one_that_is_stopped_waits_for_a_push_or_an_operator() {
    let mut house = House::with_gateway("pull");
    house.push(&exam("3"));
    house.try_pull(PullState::Open, 4);
    let row = house.pull_of(STUDY).unwrap();
    assert_eq!((row.tries, row.next_ms), (4, 9_000));
    assert_eq!((row.expected, row.got), (Some(5), Some(2)));
    assert_eq!(row.last.as_ref().unwrap().words.chars().count(), 300);
    house.try_pull(PullState::Stopped, 20);
    assert_eq!(house.stands(), Some((PullState::Stopped, PullWhy::Pushed)));
    assert_eq!(house.pull_of(STUDY).unwrap().line(), PullLine::Stopped);
    // What comes by itself does not open it again
    house.store(&images(0..1));
    assert_eq!(house.stands(), Some((PullState::Stopped, PullWhy::Pushed)));
    // An operator does
    house.ask("E1", false);
    assert_eq!(house.stands(), Some((PullState::Open, PullWhy::Asked)));
    let row = house.pull_of(STUDY).unwrap();
    assert_eq!((row.tries, row.got), (0, None));
    // And so does a push
    house.try_pull(PullState::Stopped, 20);
    house.push(&exam("4"));
    assert_eq!(house.stands(), OPEN);
}

#[test]
fn a_result_of_an_earlier_opening_says_nothing_of_this_one() {
    let mut house = House::with_gateway("pull");
    house.push(&exam("3"));
    let earlier = house.pull_of(STUDY).unwrap().since;
    house.push(&exam("4"));
    house.try_pull_since(earlier, PullState::Stopped, 20);
    let row = house.pull_of(STUDY).unwrap();
    assert_eq!((row.state, row.tries), (PullState::Open, 0));
}

#[test]
fn the_log_does_not_believe_that_a_study_is_whole_that_lacks_declared_images() {
    let mut house = House::with_gateway("pull");
    house.push(&exam("3"));
    house.store(&images(0..2));
    house.try_pull(PullState::Done, 1);
    assert_eq!(house.stands(), OPEN);
    assert_eq!(house.pull_of(STUDY).unwrap().next_ms, 9_000);
}

#[test]
fn a_backfill_waits_behind_what_is_pushed_and_an_operator_may_ask_where_images_are_sent() {
    let mut house = House::with_gateway("store");
    house.push(&exam("3"));
    house.ask("E1", true);
    assert_eq!(house.stands(), Some((PullState::Open, PullWhy::Backfill)));
    assert_eq!(house.pull_of(STUDY).unwrap().line(), PullLine::Backfill);
    house.ask("E1", false);
    assert_eq!(house.pull_of(STUDY).unwrap().line(), PullLine::Live);
    // A backfill does not put it back
    house.ask("E1", true);
    assert_eq!(house.pull_of(STUDY).unwrap().line(), PullLine::Live);
    house.store(&images(0..3));
    house.ask("E1", false);
    assert_eq!(house.stands(), Some((PullState::Done, PullWhy::Asked)));
}

#[test]
fn what_a_gateway_has_and_nobody_pushed_is_listed_until_it_is_pushed() {
    let mut house = House::with_gateway("pull");
    house.push(&exam("3"));
    let unpushed = |study: &str| UnpushedStudy {
        study: uid(study),
        modality: "CT".to_owned(),
    };
    let swept = GatewaySwept {
        hospital: code("350006"),
        date: "2026-07-04".to_owned(),
        studies: vec![unpushed(STUDY), unpushed("1.2.2")],
        epoch: None,
    };
    for _ in 0..2 {
        house.take("node:0", Event::GatewaySwept(swept.clone()));
        assert_eq!(house.listed(FindingKind::NotPushed), 1);
    }
    house.push(&Push::new("350006", "E2", "王二", 70, "1.2.2"));
    assert_eq!(house.listed(FindingKind::NotPushed), 0);
}
