//! Declarations of hospitals that are suspended or in trial.

use super::*;
use crate::event::{DetailDeclared, StatisticsDeclared};

fn statistics(hospital: &str, count: u32) -> Event {
    let row = json!({
        "hospitalCode": hospital, "examDate": "2026-07-04", "examClass": "CT", "accordCount": count,
    });
    let rows = vec![serde_json::from_value(row).unwrap()];
    Event::StatisticsDeclared(StatisticsDeclared { rows })
}

fn detail(hospital: &str) -> Event {
    let row = json!({
        "hospitalCode": hospital, "examDate": "2026-07-04", "examClass": "CT", "examNo": "E1",
    });
    let rows = vec![serde_json::from_value(row).unwrap()];
    Event::DetailDeclared(DetailDeclared { rows })
}

fn day(hospital: &str) -> DayKey {
    DayKey {
        hospital: code(hospital),
        date: "2026-07-04".to_owned(),
        class: "CT".to_owned(),
    }
}

#[test]
fn a_suspended_hospital_declares_nothing() {
    let mut house = House::new();
    house.put_hospital("350007", HospitalMode::Suspended);
    for event in [statistics("350007", 5), detail("350007")] {
        let Outcome::Refused(refusal) = house.take("app:demo-pacs", event) else {
            panic!("taken")
        };
        assert_eq!(refusal.rule, "hospital-suspended");
        assert_eq!(refusal.path, "[0].hospitalCode");
    }
    assert!(house.declarations.is_empty());
}

#[test]
fn a_purge_takes_what_was_declared_in_trial_and_what_lists_say_of_it() {
    // Given a trial: declarations, and a push that uses a number again
    let mut house = House::new();
    house.put_hospital("350007", HospitalMode::Test);
    house.take("app:demo-pacs", statistics("350007", 5));
    house.take("app:demo-pacs", detail("350007"));
    house.push(&Push::new("350007", "T1", "王一", 70, "1.2.7"));
    let refused = Push::new("350007", "T1", "李四", 70, "1.2.8");
    assert_eq!(rule(&house.push(&refused)), "number-reuse");
    // And a declaration after it, which counts
    house.put_hospital("350007", HospitalMode::Live);
    house.take("app:demo-pacs", statistics("350007", 8));
    let findings: Vec<FindingKey> = house.findings.keys().cloned().collect();
    let lists = |findings| {
        Event::TestDataPurged(TestDataPurged {
            declarations: vec![day("350007")],
            findings,
            ..TestDataPurged::default()
        })
    };
    // A line stays as long as its exam does
    house.take("operator:o", lists(findings.clone()));
    assert_eq!(house.refused_pushes.len(), 1);
    house.take("operator:o", purge(vec![key("350007", "T1", 0)]));
    house.take("operator:o", lists(findings));
    assert!(house.refused_pushes.is_empty());
    assert_eq!(house.listed(FindingKind::NumberReuse), 0);
    let declared = &house.declarations[&day("350007")];
    assert_eq!(declared.details, []);
    let counts: Vec<u32> = declared.counts.iter().map(|it| it.count).collect();
    assert_eq!(counts, [8]);
}
