//! Status notices: which are due, in which order, and what becomes of them (contract §3.2, R17).

use super::forms::document;
use super::*;
use crate::event::{NoticesAgain, NoticesTried, WaitingNotices};
use crate::notice::{NoticeState, TriedNotice};
use crate::registry::RegistryChange;

impl House {
    pub(super) fn with_receiver() -> Self {
        let mut house = Self::form_house();
        house.put_his(
            "his-a",
            json!(["350006"]),
            json!({ "url": "http://127.0.0.1/" }),
        );
        house
    }

    fn put_his(&mut self, id: &str, hospitals: Value, receiver: Value) {
        let his = json!({
            "id": id, "hospitals": hospitals, "enabled": true, "license": "", "receiver": receiver,
        });
        let his = serde_json::from_value(his).unwrap();
        self.registry.apply(RegistryChange::PutHis(his));
    }

    /// Codes of a HIS's notices in the order in which they are sent.
    fn told_to(&self, his: &str) -> Vec<&'static str> {
        let mut rows: Vec<_> = self.notices.values().collect();
        rows.retain(|row| row.his.as_str() == his);
        rows.sort_by_key(|row| row.id);
        rows.iter().map(|row| row.status.code()).collect()
    }

    pub(super) fn told_codes(&self) -> Vec<&'static str> {
        self.told_to("his-a")
    }
}

fn exam(status: u8) -> Push {
    Push::new("350006", "E1", "王一", status, "1.2.1")
}

#[test]
fn a_first_push_at_70_tells_20_then_70_and_its_images_nothing_more() {
    let mut house = House::with_receiver();
    house.push(&exam(70));
    house.store(&Images::new("1.2.1", "C-E1", 0..2));
    assert_eq!(house.told_codes(), ["20", "70"]);
}

#[test]
fn each_step_is_told_once() {
    let mut house = House::with_receiver();
    house.push(&exam(60));
    assert_eq!(house.told_codes(), ["20"]);
    house.store(&Images::new("1.2.1", "C-E1", 0..2));
    house.store(&Images::new("1.2.1", "C-E1", 2..4));
    house.push(&exam(50));
    house.push(&exam(70));
    house.push(&exam(70).with("/patientInfo/name", "王一一"));
    assert_eq!(house.told_codes(), ["20", "50", "70"]);
}

#[test]
fn a_push_at_50_tells_of_images() {
    let mut house = House::with_receiver();
    house.push(&exam(50));
    house.store(&Images::new("1.2.1", "C-E1", 0..2));
    assert_eq!(house.told_codes(), ["20", "50"]);
}

#[test]
fn a_report_that_was_taken_back_is_told_again_when_it_is_confirmed() {
    let mut house = House::with_receiver();
    for status in [70, 65, 70] {
        house.push(&exam(status));
    }
    assert_eq!(house.told_codes(), ["20", "70", "70"]);
}

#[test]
fn a_cancellation_is_told_and_what_comes_back_is_told_anew() {
    let mut house = House::with_receiver();
    house.push(&exam(70));
    let exam = key("350006", "E1", 0);
    let (_, withdrawal) = house.correct(CorrectionAction::WithdrawExam { exam });
    assert_eq!(house.told_codes(), ["20", "70", "00"]);
    house.undo(withdrawal);
    assert_eq!(house.told_codes(), ["20", "70", "00", "20", "70"]);
}

#[test]
fn an_exam_that_names_another_form_is_told_of_under_that_and_cancelled_under_the_former() {
    let mut house = House::with_receiver();
    let of = |exam_no, form: &str| {
        Push::new("350006", exam_no, "王一", 70, "1.2.1").with("/examInfo/applyNo", form)
    };
    let told = |house: &House| {
        let mut rows: Vec<_> = house.notices.values().collect();
        rows.sort_by_key(|row| row.id);
        let line = |row: &&crate::notice::NoticeRow| {
            format!("{} {}", row.form.apply_no, row.status.code())
        };
        rows.iter().map(line).collect::<Vec<_>>()
    };
    house.push(&of("E1", "A"));
    house.push(&of("E1", "B"));
    assert_eq!(told(&house), ["A 20", "A 70", "A 00", "B 20", "B 70"]);
    // Another exam has the former one: it is not cancelled
    house.push(&of("E2", "B"));
    house.push(&of("E1", "A"));
    assert_eq!(told(&house)[5..], ["B 20", "B 70", "A 20", "A 70"]);
    // No real form any more, and one again
    house.push(&of("E1", "0"));
    assert_eq!(told(&house)[9..], ["A 00"]);
    house.push(&of("E1", "A"));
    assert_eq!(told(&house)[10..], ["A 20", "A 70"]);
}

#[test]
fn a_deleted_form_is_told_of_without_an_exam() {
    let mut house = House::with_receiver();
    house
        .send_document(&document("INSERT", "1", "王一"))
        .unwrap();
    assert!(house.told_codes().is_empty());
    house
        .send_document(&document("DELETE", "1", "王一"))
        .unwrap();
    assert_eq!(house.told_codes(), ["00"]);
    let notice = house.notices.values().next().unwrap();
    assert_eq!(
        (notice.exam.as_ref(), notice.form.apply_no.as_str()),
        (None, "1")
    );
}

#[test]
fn each_receiver_is_told_what_it_wants_of_its_own_hospitals() {
    let mut house = House::with_receiver();
    let only_reports = json!({ "url": "http://127.0.0.1/", "statuses": ["70"] });
    house.put_his("his-b", json!(["*"]), only_reports);
    let off = json!({ "url": "http://127.0.0.1/", "enabled": false });
    house.put_his("his-c", json!(["*"]), off);
    house.push(&exam(70));
    house.push(&Push::new("350007", "E2", "王二", 70, "1.2.2"));
    assert_eq!(house.told_codes(), ["20", "70"]);
    assert_eq!(house.told_to("his-b"), ["70", "70"]);
    assert!(house.told_to("his-c").is_empty());
}

#[test]
fn an_exam_without_a_real_form_has_nothing_to_tell() {
    let mut house = House::with_receiver();
    house.push(&exam(70).with("/examInfo/applyNo", "无"));
    assert!(house.notices.is_empty());
}

#[test]
fn before_the_rules_are_activated_nothing_is_due() {
    let mut house = House::with_receiver();
    house.registry.rules = crate::event::FORMS_SINCE_RULES - 1;
    house.push(&exam(70));
    assert!(house.notices.is_empty() && house.told.is_empty());
}

#[test]
fn what_came_of_a_notice_is_kept_and_an_operator_sends_it_again() {
    // Given two notices, of which one was taken and one was refused for good
    let mut house = House::with_receiver();
    house.push(&exam(70));
    let mut ids: Vec<NoticeId> = house.notices.keys().map(|(_, id)| *id).collect();
    ids.sort();
    let tried = |id, state, code: &str| TriedNotice {
        id,
        state,
        tries: 3,
        code: code.to_owned(),
        answer: "说明".repeat(400),
    };
    let his = HisId::new("his-a").unwrap();
    let event = |tried| {
        Event::NoticesTried(NoticesTried {
            his: his.clone(),
            tried,
            epoch: None,
        })
    };
    let results = vec![
        tried(ids[0], NoticeState::Sent, "0"),
        tried(ids[1], NoticeState::Stopped, "-1"),
    ];
    house.take("node:0", event(results));
    let row = |house: &House, id| house.notices[&(his.clone(), id)].clone();
    assert_eq!(row(&house, ids[0]).state, NoticeState::Sent);
    let stopped = row(&house, ids[1]);
    assert_eq!((stopped.state, stopped.tries), (NoticeState::Stopped, 3));
    let last = stopped.last.unwrap();
    assert_eq!(
        (last.code.as_str(), last.answer.chars().count()),
        ("-1", 300)
    );
    // A late result takes nothing back
    house.take("node:0", event(vec![tried(ids[0], NoticeState::Open, "")]));
    assert_eq!(row(&house, ids[0]).state, NoticeState::Sent);
    // When both are to be sent again, they are behind all that is due
    let position = Position(house.next);
    let again = NoticesAgain {
        his: his.clone(),
        notices: ids.clone(),
    };
    house.take("operator:o", Event::NoticesAgain(again));
    let open: Vec<_> = house
        .notices
        .values()
        .filter(|row| row.state == NoticeState::Open)
        .collect();
    assert_eq!(open.len(), 2);
    assert!(
        open.iter()
            .all(|row| row.id.position == position && row.tries == 0)
    );
    // What was taken stays on record
    assert_eq!(row(&house, ids[0]).state, NoticeState::Sent);
    assert!(!house.notices.contains_key(&(his.clone(), ids[1])));
}

/// A trial's exam of which 20 and 70 wait, and its deleted form of which 00 waits.
fn tried_out() -> House {
    let mut house = House::with_receiver();
    house.put_mode(HospitalMode::Test);
    house
        .send_document(&document("INSERT", "1", "王一"))
        .unwrap();
    house
        .send_document(&document("DELETE", "1", "王一"))
        .unwrap();
    house.push(&exam(70));
    assert_eq!(house.told_codes(), ["00", "20", "70"]);
    house
}

impl House {
    fn put_mode(&mut self, mode: HospitalMode) {
        let hospital = self.registry.hospitals.get_mut(&code("350006"));
        hospital.unwrap().mode = mode;
    }

    /// States of a HIS's notices in the order in which they are sent.
    fn notice_states(&self) -> Vec<NoticeState> {
        let mut rows: Vec<_> = self.notices.values().collect();
        rows.sort_by_key(|row| row.id);
        rows.iter().map(|row| row.state).collect()
    }

    /// As an operator does: first what was tested, then the notices about it that wait.
    fn purge_all_and_name_notices(&mut self) {
        let form = self.apply_forms.keys().find(|key| key.apply_no == "1");
        let forms = form.cloned().into_iter().collect();
        let exams = vec![key("350006", "E1", 0)];
        let all = TestDataPurged {
            exams,
            forms,
            ..TestDataPurged::default()
        };
        self.take("operator:o", Event::TestDataPurged(all));
        self.name_notices();
    }

    fn name_notices(&mut self) {
        let named = WaitingNotices {
            his: HisId::new("his-a").unwrap(),
            notices: self.notices.keys().map(|(_, id)| *id).collect(),
        };
        let event = TestDataPurged {
            notices: vec![named],
            ..TestDataPurged::default()
        };
        self.take("operator:o", Event::TestDataPurged(event));
    }

    fn notice_tried(&mut self, id: NoticeId, state: NoticeState) {
        let (code, answer) = (String::new(), String::new());
        let tried = vec![TriedNotice {
            id,
            state,
            tries: 1,
            code,
            answer,
        }];
        let his = HisId::new("his-a").unwrap();
        let event = NoticesTried {
            his,
            tried,
            epoch: None,
        };
        self.take("node:0", Event::NoticesTried(event));
    }
}

#[test]
fn notices_that_wait_when_their_test_data_is_purged_are_dropped_and_say_why() {
    let mut house = tried_out();
    house.purge_all_and_name_notices();
    assert_eq!(house.notice_states(), [NoticeState::Dropped; 3]);
    let answers = house.notices.values().map(|row| row.last.clone().unwrap());
    assert!(answers.into_iter().all(|it| it.answer.contains("测试数据")));
    // The hospital is live: what was dropped is neither tried nor sent again
    house.put_mode(HospitalMode::Live);
    let ids: Vec<NoticeId> = house.notices.keys().map(|(_, id)| *id).collect();
    house.notice_tried(ids[0], NoticeState::Open);
    let his = HisId::new("his-a").unwrap();
    let again = NoticesAgain { his, notices: ids };
    house.take("operator:o", Event::NoticesAgain(again));
    assert_eq!(house.notice_states(), [NoticeState::Dropped; 3]);
    // and the same number's live exam is told of from the beginning
    house.push(&exam(70));
    assert_eq!(house.told_codes()[3..], ["20", "70"]);
}

#[test]
fn a_notice_that_was_taken_while_it_was_dropped_counts_as_taken() {
    let mut house = tried_out();
    let first = *house.notices.keys().map(|(_, id)| id).min().unwrap();
    house.purge_all_and_name_notices();
    house.notice_tried(first, NoticeState::Sent);
    let (sent, dropped) = (NoticeState::Sent, NoticeState::Dropped);
    assert_eq!(house.notice_states(), [sent, dropped, dropped]);
}

#[test]
fn a_purge_drops_no_notice_of_what_is_still_there_or_came_since() {
    // Given a live exam, and one of a trial that is not purged
    let mut house = House::with_receiver();
    house.push(&exam(70));
    house.put_mode(HospitalMode::Test);
    house.push(&Push::new("350006", "T1", "王二", 70, "1.2.2"));
    house.name_notices();
    assert_eq!(house.notice_states(), [NoticeState::Open; 4]);
    // When the trial's number is a live exam's by the time that its notices are named
    house.take("operator:o", purge(vec![key("350006", "T1", 0)]));
    house.put_mode(HospitalMode::Live);
    house.push(&Push::new("350006", "T1", "王三", 70, "1.2.3"));
    house.name_notices();
    // Then only the trial's are dropped
    let (open, dropped) = (NoticeState::Open, NoticeState::Dropped);
    assert_eq!(
        house.notice_states(),
        [open, open, dropped, dropped, open, open]
    );
}

#[test]
fn before_rules_7_a_purge_leaves_notices_as_they_are() {
    let mut house = tried_out();
    house.registry.rules = crate::event::PURGED_NOTICES_SINCE_RULES - 1;
    house.purge_all_and_name_notices();
    assert_eq!(house.notice_states(), [NoticeState::Open; 3]);
}
