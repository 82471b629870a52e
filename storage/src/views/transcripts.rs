//! What every rules version decided, for ever: records as they were written, and what each came to.
//!
//! `YINGKU_WRITE_GOLDEN=1 cargo test --release -p yingku-storage transcripts` writes those that are
//! missing. One that is there is never written again: rules that decide otherwise are a new version.

#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use yingku_core::apply_form::FormSource;
use yingku_core::contract::apply_form::{FormContext, parse};
use yingku_core::contract::push::of_form::{Registration, of_form};
use yingku_core::contract::push::{ExamPushedBody, Flags};
use yingku_core::contract::xml;
use yingku_core::decide::registered_exam_no;
use yingku_core::envelope::{Cipher, Envelope};
use yingku_core::event::{
    ApplyFormReceived, CARE_SINCE_RULES, Event, ExamRegistered, FORMS_SINCE_RULES,
    REGISTRATION_SINCE_RULES, RULES_VERSION, RegisteredBy,
};
use yingku_core::ids::{FormKey, HospitalCode, PackId, Position, StudyUid};
use yingku_core::instance::{InstancesMoved, MovedInstance, MovedStudy};
use yingku_core::notice::{NoticeRow, NoticeState};
use yingku_core::registry::{Registry, RegistryChange};
use yingku_core::time::{LocalDate, LocalDateTime};

use super::histories::Generator;
use super::reconcile::{Question, reconcile};
use super::{Cursor, Views, Walk};
use crate::log::LogRecord;
use crate::projector::{self, Batch};

const WRITE: &str = "YINGKU_WRITE_GOLDEN";
/// A history that meets every kind of correction.
const SEED: u64 = 7;
const LENGTH: usize = 500;
/// 2026-07-04 08:00 in the demo's zone.
const BEGIN_MS: i64 = 1_783_123_200_000;
const BETWEEN_RECORDS_MS: i64 = 1_500;

fn path(rules: u32) -> PathBuf {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/rules");
    folder.join(format!("v{rules}.jsonl"))
}

#[test]
fn every_rules_version_decides_as_it_did() {
    let writes = std::env::var_os(WRITE).is_some();
    for rules in 1..=RULES_VERSION {
        if writes && !path(rules).exists() {
            write(rules);
        }
        let path = path(rules);
        let text = std::fs::read_to_string(&path)
            .unwrap_or_else(|_| panic!("{} is missing; see this test's head", path.display()));
        let mut lines: Vec<Value> = text
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        let said_at_end = lines.pop().unwrap();
        let records: Vec<LogRecord> = lines.iter().zip(0..).map(record_of).collect();
        let (outcomes, at_end) = decide(&records);
        assert_eq!(outcomes.len(), lines.len());
        for ((line, outcome), at) in lines.iter().zip(&outcomes).zip(0..) {
            let said = &line["outcome"];
            assert!(
                tells(outcome, said),
                "rules {rules}, record {at}: decided {outcome}, before {said}"
            );
        }
        assert!(
            tells(&at_end, &said_at_end),
            "rules {rules}: the end is another than before"
        );
    }
}

/// Whether an answer says all that was said before; what was added since says nothing else.
fn tells(now: &Value, before: &Value) -> bool {
    match (now, before) {
        (Value::Object(now), Value::Object(before)) => before
            .iter()
            .all(|(key, before)| now.get(key).is_some_and(|now| tells(now, before))),
        (Value::Array(now), Value::Array(before)) => {
            now.len() == before.len() && now.iter().zip(before).all(|(n, b)| tells(n, b))
        }
        (now, before) => now == before,
    }
}

fn record_of((line, position): (&Value, u64)) -> LogRecord {
    let bytes = STANDARD.decode(line["record"].as_str().unwrap()).unwrap();
    LogRecord {
        position: Position(position),
        time_ms: BEGIN_MS + BETWEEN_RECORDS_MS * i64::try_from(position).unwrap(),
        bytes: bytes.into(),
    }
}

/// The outcome of each record, and what is answered afterwards.
fn decide(records: &[LogRecord]) -> (Vec<Value>, Value) {
    let folder = tempfile::tempdir().unwrap();
    let views = Views::open(folder.path()).unwrap();
    let batch = Batch {
        records: records
            .iter()
            .map(|record| projector::decode(record).unwrap())
            .collect(),
        failure: None,
    };
    let registry = Arc::new(Registry::default());
    let applied = projector::apply_batch(&views, &registry, Cursor::default(), batch).unwrap();
    if let Some(failure) = applied.failure {
        panic!("{failure}");
    }
    let outcomes = applied.outcomes.iter();
    let outcomes = outcomes.map(|(_, decided)| serde_json::to_value(&decided.outcome).unwrap());
    (
        outcomes.collect(),
        answers(&views, &applied.registry.unwrap()),
    )
}

/// What hospitals are told, and every study that readers see.
fn answers(views: &Views, registry: &Registry) -> Value {
    let hospitals: Vec<HospitalCode> = registry.hospitals.keys().cloned().collect();
    let question = Question {
        hospitals: &hospitals,
        from: LocalDate::parse("2026-07-01").unwrap(),
        to: LocalDate::parse("2026-07-31").unwrap(),
        as_of: None,
        as_of_ms: None,
    };
    let mut studies = Vec::new();
    let mut rows = Vec::new();
    views.visit_all_studies(&mut |row| rows.push(row)).unwrap();
    for row in rows {
        let seen = views.visible_study(registry, &row.key).unwrap();
        let counts = seen.map(|row| serde_json::to_value(row.counts()).unwrap());
        studies.push(json!({ "study": row.key.to_string(), "seen": counts }));
    }
    let mut forms = Vec::new();
    for hospital in &hospitals {
        let mut rows = Vec::new();
        let mut take = |row| {
            rows.push(row);
            Walk::On
        };
        views.visit_apply_forms(hospital, &mut take).unwrap();
        for row in rows {
            let progress = views.form_progress(&row).unwrap();
            forms.push(json!({
                "form": row.key.to_string(), "study": row.study_uid.as_str(), "open": row.is_open(), "progress": progress,
            }));
        }
    }
    let mut notices = Vec::new();
    for his in registry.his.keys() {
        for state in NoticeState::ALL {
            let mut take = |row: NoticeRow| {
                let exam = row.exam.map(|exam| exam.to_string());
                notices.push(json!({
                    "his": his, "id": row.id.to_string(), "state": state, "status": row.status, "exam": exam,
                    "form": row.form.to_string(),
                }));
                Walk::On
            };
            views.visit_notices(his, state, None, &mut take).unwrap();
        }
    }
    json!({
        "forms": forms,
        "notices": notices,
        "reconciliation": reconcile(views, registry, question).unwrap(),
        "studies": studies,
        "nodes": registry.nodes.keys().collect::<Vec<_>>(),
        "leases": registry.leases.keys().collect::<Vec<_>>(),
    })
}

fn write(rules: u32) {
    let mut history = Generator::history_after(beginning(rules), SEED, LENGTH);
    if rules >= CARE_SINCE_RULES {
        let events = care(&history);
        history.extend(events.into_iter().map(|event| ("node:0".to_owned(), event)));
    }
    if rules >= FORMS_SINCE_RULES {
        let events = forms(&history);
        history.extend(events.into_iter().map(|event| ("his:a".to_owned(), event)));
    }
    if rules >= REGISTRATION_SINCE_RULES {
        let events = registrations(history.len());
        history.extend(
            events
                .into_iter()
                .map(|event| ("ae:CT01".to_owned(), event)),
        );
    }
    let lines: Vec<Value> = history
        .iter()
        .zip(1..)
        .map(|((actor, event), number)| {
            let (kind, version) = event.kind();
            let envelope = Envelope {
                id: uuid::Uuid::from_u128(number),
                kind,
                version,
                rules,
                cipher: Cipher::None,
                key_id: 0,
                hospital: None,
                actor,
                body: &event.encode_body().unwrap(),
            };
            json!({ "record": STANDARD.encode(envelope.encode().unwrap()) })
        })
        .collect();
    let records: Vec<LogRecord> = lines.iter().zip(0..).map(record_of).collect();
    let (outcomes, at_end) = decide(&records);
    let said = lines.into_iter().zip(outcomes).map(|(mut line, outcome)| {
        line["outcome"] = outcome;
        line
    });
    let text: String = said
        .chain([at_end])
        .map(|line| line.to_string() + "\n")
        .collect();
    std::fs::write(path(rules), text).unwrap();
}

/// What becomes of a history's images when their packs are compacted and their time is over: some are under hold, some
/// are not due, and some were said to be due by another rule.
fn care(history: &[(String, Event)]) -> Vec<Event> {
    let stored = history.iter().filter_map(|(_, event)| match event {
        Event::InstancesStored(stored) => Some(stored),
        _ => None,
    });
    let to = PackId::new(0, 900);
    let mut offset = 0;
    let mut events = Vec::new();
    let mut old = BTreeSet::new();
    for stored in stored {
        old.insert(stored.pack);
        let studies = stored.groups.iter().map(|group| MovedStudy {
            study: group.study_uid.clone(),
            instances: group
                .instances
                .iter()
                .map(|instance| {
                    offset += 1_000;
                    MovedInstance {
                        from: stored.pack,
                        from_offset: instance.offset,
                        offset,
                    }
                })
                .collect(),
        });
        let studies = studies.collect();
        let is_last = false;
        events.push(Event::InstancesMoved(InstancesMoved {
            pack: to,
            studies,
            is_last,
        }));
    }
    let event =
        |kind, body: Value| Event::decode_body(kind, 1, body.to_string().as_bytes()).unwrap();
    let mut exams: BTreeMap<String, Value> = BTreeMap::new();
    for (_, pushed) in history {
        if let Event::ExamPushed(pushed) = pushed {
            let exam: Value = serde_json::from_slice(&pushed.json).unwrap();
            let key = json!({ "hospital": exam["hospitalCode"], "exam_no": exam["examNo"], "generation": 0 });
            exams.insert(key.to_string(), key);
        }
    }
    let exams: Vec<Value> = exams.into_values().collect();
    let held = exams.iter().step_by(3).map(|exam| {
        let hold = json!({ "action": "legalHold", "exam": exam, "reason": "诉讼", "author": "王" });
        event(7, hold)
    });
    let rules = json!([
        { "name": "甲", "hospitals": ["350006"], "delete_after_months": 0, "grace_days": 0 },
        { "name": "乙", "hospitals": ["*"], "delete_after_months": 0, "grace_days": 0 },
    ]);
    let settings = json!({ "time_zone": "Asia/Shanghai", "retention": rules });
    let compacted = |as_of: u64| event(18, json!({ "packs": old, "asOf": as_of }));
    events.extend(held);
    events.push(event(
        7,
        json!({ "action": "legalHold", "exam": exams[0], "reason": "诉讼", "author": "王" }),
    ));
    events.push(event(
        1,
        json!({ "changes": [{ "change": "putSettings", "value": settings }] }),
    ));
    events.push(event(19, json!({ "rule": "甲", "exams": exams })));
    events.push(event(
        19,
        json!({ "rule": "乙", "exams": exams, "epoch": 1 }),
    ));
    events.push(compacted(1));
    events.push(compacted(u64::MAX));
    // What is told of a pack that is gone is nothing new.
    let again = history
        .iter()
        .rev()
        .find(|(_, event)| matches!(event, Event::InstancesStored(_)));
    events.extend(again.map(|(_, event)| event.clone()));
    events
}

/// Exams that are registered from their forms at a hospital of scenario 3, and what is pushed and sent of them later.
fn registrations(begin: usize) -> Vec<Event> {
    let event =
        |kind, body: Value| Event::decode_body(kind, 1, body.to_string().as_bytes()).unwrap();
    let hospital = json!({
        "code": "350009", "name": "350009", "prefix": "P350009", "hold_days": 7, "exams": "forms"
    });
    let mut registry = Registry::default();
    registry.apply(RegistryChange::PutHospital(
        serde_json::from_value(hospital.clone()).unwrap(),
    ));
    let mut events = vec![event(
        1,
        json!({ "changes": [{ "change": "putHospital", "value": hospital }] }),
    )];
    let ways = [
        RegisteredBy::StudyUid,
        RegisteredBy::AccessionNumber,
        RegisteredBy::Step,
        RegisteredBy::Operator,
    ];
    for (by, number) in ways.into_iter().zip(8_001..) {
        let apply_no = number.to_string();
        let content = Position((begin + events.len()) as u64);
        let received = form_of(&registry, "INSERT", "350009", &apply_no, "待查");
        let form = FormKey {
            hospital: received.hospital.clone(),
            apply_no: apply_no.clone(),
            generation: 0,
        };
        let step = format!("1.2.84.{number}");
        let report = |is_new: bool, status: &str, forms: Value| {
            event(
                23,
                json!({
                    "step": step, "isNew": is_new, "status": status, "sender": "CT01", "numbers": [apply_no], "forms": forms,
                }),
            )
        };
        let study = StudyUid::new(format!("1.2.85.{number}")).unwrap();
        let registration = Registration {
            hospital: &received.hospital,
            hospital_name: "350009",
            apply_no: &apply_no,
            exam_no: &registered_exam_no(&apply_no, 1).unwrap(),
            exam_time: LocalDateTime::parse("2026-07-05 08:00:00").unwrap(),
            study: &study,
            patient_id: "C0001",
            accession_no: Some(&apply_no),
        };
        let (json, digest) = of_form(received.body.form.as_ref().unwrap(), &registration);
        let registered = ExamRegistered {
            form: form.clone(),
            content,
            by,
            reason: String::new(),
            digest,
            json: json.clone(),
        };
        let stale = ExamRegistered {
            content: Position(0),
            ..registered.clone()
        };
        events.push(Event::ApplyFormReceived(received));
        events.push(Event::ExamRegistered(stale));
        if by == RegisteredBy::Step {
            let forms = serde_json::to_value([&form]).unwrap();
            events.push(report(true, "inProgress", forms));
            events.push(Event::ExamRegistered(registered.clone()));
            events.push(report(false, "discontinued", json!([])));
        }
        events.push(Event::ExamRegistered(registered.clone()));
        events.push(Event::ExamRegistered(registered));
        events.push(image_of(&study, number));
        // A report, under the form's number or another one, with a PatientID of its own.
        let exam_no = match by {
            RegisteredBy::StudyUid | RegisteredBy::Step => apply_no.clone(),
            RegisteredBy::AccessionNumber | RegisteredBy::Operator => format!("R{apply_no}"),
        };
        let mut exam: Value = serde_json::from_str(&json).unwrap();
        exam["examNo"] = exam_no.into();
        exam["examInfo"]["patientID"] = "CT9".into();
        exam["examInfo"]["examStatus"] = "70".into();
        exam.as_object_mut().unwrap().remove("imageList");
        let json = serde_json::to_vec(&exam).unwrap();
        events.push(Event::ExamPushed(ExamPushedBody {
            digest: [number as u8; 16],
            flags: Flags::default(),
            warnings: Vec::new(),
            json: json.into(),
        }));
        events.push(image_of(&study, number + 100));
    }
    events
}

/// One image with the numbers of a registered exam, or of none that it fits.
fn image_of(study: &StudyUid, number: u32) -> Event {
    let image = json!({
        "sop_instance": format!("1.2.86.{number}"), "sop_class": "1.2.840.10008.5.1.4.1.1.2",
        "transfer_syntax": "1.2.840.10008.1.2.1", "number": "1", "rows": 64, "columns": 64, "bits_allocated": 16,
        "frames": 1
    });
    let digest = [number as u8; 16];
    let stored = json!({
        "facts_version": 1,
        "pack": 77,
        "groups": [{
            "hospital": "350009", "sender": "CT01", "study_uid": study.as_str(), "series_uid": "1.2.87",
            "patient": { "id": "C0001", "name": "Xiao^Ping", "birth_date": "", "sex": "" },
            "study": {
                "date": "20260705", "time": "", "accession_no": (number % 8_100).to_string(), "id": "", "description": "",
                "referring_physician": "", "patient_age": "", "institution": ""
            },
            "series": {
                "modality": "CT", "number": "1", "description": "", "date": "", "time": "", "body_part": "", "protocol": "",
                "station": "", "manufacturer": "", "laterality": ""
            },
            "instances": [{ "image": image, "offset": u64::from(number) * 1_000, "length": 900, "digest": digest }]
        }]
    });
    Event::InstancesStored(serde_json::from_value(stored).unwrap())
}

/// The contract's sample under another number.
fn form_of(
    registry: &Registry,
    action: &str,
    hospital: &str,
    apply_no: &str,
    diagnosis: &str,
) -> ApplyFormReceived {
    let sample = include_str!("../../../tests/fixtures/contract/syn_apply_info.xml");
    let document = sample
        .replace(">INSERT<", &format!(">{action}<"))
        .replace("7173_00000001", &format!("P{hospital}_{apply_no}"))
        .replace("7173_C0001", &format!("P{hospital}_C0001"))
        .replace("待查", diagnosis);
    let parsed = parse(&xml::read(&document).unwrap(), FormContext { registry }).unwrap();
    ApplyFormReceived {
        hospital: parsed.hospital,
        source: FormSource::Soap,
        body: parsed.body,
    }
}

/// Apply forms of exams that are there and of some that are not, and what becomes of them and of their notices.
pub(super) fn forms(history: &[(String, Event)]) -> Vec<Event> {
    let mut registry = Registry::default();
    for code in ["350006", "350007"] {
        let hospital = json!({ "code": code, "name": code, "prefix": format!("P{code}") });
        registry.apply(RegistryChange::PutHospital(
            serde_json::from_value(hospital).unwrap(),
        ));
    }
    let form = |action: &str, hospital: &str, apply_no: &str, diagnosis: &str| {
        Event::ApplyFormReceived(form_of(&registry, action, hospital, apply_no, diagnosis))
    };
    let event =
        |kind, body: Value| Event::decode_body(kind, 1, body.to_string().as_bytes()).unwrap();
    let his = json!({ "id": "a", "hospitals": ["*"], "enabled": true, "license": "", "receiver": { "url": "http://h/" } });
    let mut events = vec![event(
        1,
        json!({ "changes": [{ "change": "putHis", "value": his }] }),
    )];
    let pushes: Vec<&Event> = history
        .iter()
        .filter(|(_, event)| matches!(event, Event::ExamPushed(_)))
        .map(|(_, event)| event)
        .collect();
    let mut named = BTreeMap::new();
    for pushed in &pushes {
        let Event::ExamPushed(pushed) = pushed else {
            continue;
        };
        let exam: Value = serde_json::from_slice(&pushed.json).unwrap();
        let apply_no = exam["examInfo"]["applyNo"].as_str().unwrap().to_owned();
        let hospital = exam["hospitalCode"].as_str().unwrap().to_owned();
        if registry
            .hospitals
            .keys()
            .any(|code| code.as_str() == hospital)
            && !["无", "0"].contains(&apply_no.as_str())
        {
            let key = json!({ "hospital": hospital, "exam_no": exam["examNo"], "generation": 0 });
            named.insert((hospital, apply_no), key);
        }
    }
    for ((hospital, apply_no), exam) in named.iter().take(12) {
        events.push(form("INSERT", hospital, apply_no, "待查"));
        events.push(form("UPDATE", hospital, apply_no, "肺炎"));
        events.push(form("DELETE", hospital, apply_no, "肺炎"));
        let cancelled =
            json!({ "action": "withdrawExam", "exam": exam, "reason": "取消", "author": "王" });
        events.push(event(7, cancelled));
        events.push(form("INSERT", hospital, apply_no, "肺炎"));
    }
    for hospital in ["350006", "350007"] {
        for (action, diagnosis) in [
            ("DELETE", "待查"),
            ("INSERT", "待查"),
            ("INSERT", "待查"),
            ("UPDATE", "肺炎"),
            ("DELETE", "肺炎"),
            ("INSERT", "骨折"),
        ] {
            events.push(form(action, hospital, "9001", diagnosis));
        }
    }
    // Again, with a receiver that is told.
    events.extend(pushes.into_iter().cloned());
    let begin = u64::try_from(history.len()).unwrap();
    let ids: Vec<Value> = (begin..begin + 200)
        .map(|position| json!({ "position": position, "index": 0 }))
        .collect();
    for (state, half) in ["sent", "stopped"].iter().zip(ids.chunks(100)) {
        let tried: Vec<Value> = half
            .iter()
            .map(|id| json!({ "id": id, "state": state, "tries": 1, "code": "0" }))
            .collect();
        events.push(event(21, json!({ "his": "a", "tried": tried })));
    }
    events.push(event(22, json!({ "his": "a", "notices": ids })));
    events
}

/// What an archive of these rules begins with.
fn beginning(rules: u32) -> Vec<(String, Event)> {
    let mut bodies = vec![(11, json!({ "rules": rules }))];
    if rules >= 2 {
        let run = |node: u16| uuid::Uuid::from_u128(0x100 + u128::from(node));
        let lease = |node, epoch| json!({ "duty": "duties", "node": node, "run": run(node), "epoch": epoch, "ttlMs": 12_000 });
        for number in 0..3u128 {
            let id = uuid::Uuid::from_u128(0x200 + number);
            bodies.push((14, json!({ "id": id })));
        }
        for node in 0..3u16 {
            bodies.push((
                10,
                json!({
                    "node": node, "release": "0.1.0", "http": "127.0.0.1:8080", "dicom": "127.0.0.1:11112",
                    "id": uuid::Uuid::from_u128(0x200 + u128::from(node)), "run": run(node),
                    "address": format!("http://127.0.0.1:{}", 8_080 + node)
                }),
            ));
        }
        // Taken, kept, refused to another, and to one who is too late.
        bodies
            .extend([(1, 1), (1, 1), (2, 2), (1, 0)].map(|(node, epoch)| (15, lease(node, epoch))));
    }
    bodies
        .into_iter()
        .map(|(kind, body)| {
            let event = Event::decode_body(kind, 1, body.to_string().as_bytes()).unwrap();
            ("node:0".to_owned(), event)
        })
        .collect()
}
