//! The lines of open forms follow from the forms, whenever and however they were written.

#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use std::collections::BTreeMap;
use std::sync::atomic::AtomicBool;

use yingku_core::apply_form::FormSource;
use yingku_core::contract::apply_form::{FormContext, parse};
use yingku_core::contract::xml;
use yingku_core::event::{ApplyFormReceived, Event, OPEN_FORMS_SINCE_RULES, RulesActivated};
use yingku_core::ids::HospitalCode;
use yingku_core::names::PersonName;
use yingku_core::registry::{Registry, RegistryChange};

use super::histories::Generator;
use super::keys::open_forms;
use super::recount_tests::{log_of, replay, replay_to};
use super::transcripts;
use super::{View, Views, Walk};
use crate::log::EventLog;

const SAMPLE: &str = include_str!("../../../tests/fixtures/contract/syn_apply_info.xml");
const HOSPITALS: [&str; 2] = ["350006", "350007"];
const FORMS: u32 = 40;

/// A message of a HIS about one of its forms.
fn message(action: &str, hospital: &str, number: u32, name: &str) -> Event {
    let mut registry = Registry::default();
    let prefix = format!("P{hospital}");
    let value = serde_json::json!({ "code": hospital, "name": hospital, "prefix": prefix });
    registry.apply(RegistryChange::PutHospital(
        serde_json::from_value(value).unwrap(),
    ));
    let document = SAMPLE
        .replace(">INSERT<", &format!(">{action}<"))
        .replace("code=\"350006\"", &format!("code=\"{hospital}\""))
        .replace("7173_00000001", &format!("{prefix}_A{number}"))
        .replace("7173_C0001", &format!("{prefix}_C{number}"))
        .replace("肖萍", name)
        .replace("xiaoping", "-");
    let registry = &registry;
    let parsed = parse(&xml::read(&document).unwrap(), FormContext { registry }).unwrap();
    Event::ApplyFormReceived(ApplyFormReceived {
        hospital: parsed.hospital,
        source: FormSource::Soap,
        body: parsed.body,
    })
}

fn activated(rules: u32) -> Event {
    Event::RulesActivated(RulesActivated { rules })
}

/// Forms come, are changed, deleted and taken under earlier rules, then the lines' rules are activated and it goes on. With
/// the number of records before that.
fn history() -> (Vec<(String, Event)>, u64) {
    let by = |actor: &str, event| (actor.to_owned(), event);
    let begin = vec![by("node:0", activated(OPEN_FORMS_SINCE_RULES - 1))];
    let mut history = Generator::history_after(begin, 11, 300);
    let pushed = history.clone();
    let all = |history: &mut Vec<(String, Event)>| {
        let forms = transcripts::forms(&pushed).into_iter();
        history.extend(forms.map(|event| by("his:a", event)));
    };
    let some = |history: &mut Vec<(String, Event)>, action: &str, from: u32, name: &str| {
        for number in (from..FORMS).step_by(3) {
            for hospital in HOSPITALS {
                history.push(by("his:a", message(action, hospital, number, name)));
            }
        }
    };
    all(&mut history);
    some(&mut history, "INSERT", 0, "张小东");
    some(&mut history, "INSERT", 1, "John Smith");
    some(&mut history, "DELETE", 1, "John Smith");
    let earlier = history.len() as u64;
    history.push(by("operator:o", activated(OPEN_FORMS_SINCE_RULES)));
    some(&mut history, "INSERT", 2, "买买提·艾力");
    some(&mut history, "UPDATE", 0, "欧阳修");
    some(&mut history, "INSERT", 1, "李雷");
    some(&mut history, "DELETE", 2, "买买提·艾力");
    all(&mut history);
    (history, earlier)
}

type Lines = BTreeMap<Vec<u8>, Vec<u8>>;

fn lines_of(views: &Views) -> Lines {
    let mut lines = Lines::new();
    let mut take = |key: &[u8], value: &[u8]| {
        lines.insert(key.to_vec(), value.to_vec());
        Ok(Walk::On)
    };
    views.scan(View::OpenForms, &[], &[], &mut take).unwrap();
    lines
}

fn lines_of_forms(views: &Views) -> Lines {
    let mut lines = Lines::new();
    for hospital in HOSPITALS {
        let hospital = HospitalCode::new(hospital).unwrap();
        let mut take = |row| {
            lines.extend(open_forms::lines(&row).unwrap());
            Walk::On
        };
        views.visit_apply_forms(&hospital, &mut take).unwrap();
    }
    lines
}

#[tokio::test]
async fn every_open_form_has_its_lines_once_their_rules_are_activated() {
    let (history, earlier) = history();
    let log = log_of(&history).await;
    // Given an archive of earlier rules, then there are none
    let earlier = yingku_core::ids::Position(earlier);
    let (_folder, before, _) = replay_to(&log, earlier, 100);
    assert!(lines_of(&before).is_empty());
    let open = lines_of_forms(&before);
    assert!(open.len() > FORMS as usize, "{}", open.len());
    // When they are activated, then the forms that are open have them
    let (_folder, views, _) = replay_to(&log, earlier.next(), 100);
    assert_eq!(lines_of(&views), open);
    // And they follow what becomes of the forms
    let (_folder, views, _) = replay(&log, 100);
    assert_ne!(lines_of(&views), open);
    assert_eq!(lines_of(&views), lines_of_forms(&views));
}

#[tokio::test]
async fn the_lines_are_the_same_however_views_are_made() {
    let (history, _) = history();
    let log = log_of(&history).await;
    let (_folder, views, _) = replay(&log, 100);
    let digest = views.digest().unwrap();
    for records in [1, 7, 1_000] {
        let (_folder, other, _) = replay(&log, records);
        assert_eq!(other.digest().unwrap(), digest, "{records}");
    }
    for piece_bytes in [1, 10_000, usize::MAX] {
        let folder = tempfile::tempdir().unwrap();
        let other = Views::open(folder.path()).unwrap();
        let (end, stop) = (log.end().unwrap(), AtomicBool::new(false));
        crate::archive::replay::replay(&other, &log, end, piece_bytes, &stop).unwrap();
        assert_eq!(other.digest().unwrap(), digest, "{piece_bytes}");
    }
}

#[test]
fn readings_are_those_that_the_lines_hold() {
    // Given the readings of every character, alone and behind a surname
    let mut hasher = blake3::Hasher::new();
    for c in ('\u{4e00}'..='\u{9fff}').chain("·üêАя".chars()) {
        for name in [
            format!("{c}"),
            format!("{c}伟"),
            format!("王{c}"),
            format!("欧阳{c}"),
        ] {
            hasher.update(PersonName::new(&name, "").both().as_bytes());
            hasher.update(&[0]);
        }
    }
    // Then they are what they were: who changes one raises ROWS_VERSION, and then this digest
    let known = "d2811ae976085d0296d866c65fdf400443f925854460122565bda7b581483829";
    assert_eq!(hasher.finalize().to_hex().as_str(), known);
}
