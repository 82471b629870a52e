//! Bytes of every event kind and version, as a release wrote them, must decode for ever.
//!
//! `YINGKU_WRITE_GOLDEN=1 cargo test --release --test it golden` writes the files that are missing. One that is there
//! is never written again: a body that changes gets a new version and a file of its own, and one that gains optional
//! fields a further file of its version (`12-v1-ruled`).

use std::collections::BTreeSet;
use std::path::PathBuf;

use serde_json::{Value, json};
use yingku_core::apply_form::FormSource;
use yingku_core::contract::apply_form::{self, FormContext};
use yingku_core::contract::policy::ValidationPolicy;
use yingku_core::contract::push::of_form::{Registration, of_form};
use yingku_core::contract::push::{self, Flags, PushContext};
use yingku_core::contract::xml;
use yingku_core::dictionaries::{ClassAliases, Placeholders};
use yingku_core::event::{ApplyFormReceived, Event, EventError, ExamRegistered, RegisteredBy};
use yingku_core::ids::{ExamNo, FormKey, Position, StudyUid};
use yingku_core::instance::{InstancesMoved, InstancesStored};
use yingku_core::registry::{Registry, RegistryChange};
use yingku_core::time::LocalDateTime;

/// A national imaging index.
const INDEX: &str =
    "10000000000000000708463177-202411221430-000000000-0000000000000-123502004266007916";
const WRITE: &str = "YINGKU_WRITE_GOLDEN";
/// Numbers of kinds that are looked at: more than there are.
const KINDS: std::ops::RangeInclusive<u16> = 0..=200;

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/events")
}

/// Kinds that this release knows in version 1: those whose damaged body is called a damaged body.
fn known_kinds() -> Vec<u16> {
    let known = |kind: &u16| {
        !matches!(
            Event::decode_body(*kind, 1, &[0xFF; 3]),
            Err(EventError::Unknown { .. })
        )
    };
    KINDS.filter(known).collect()
}

/// What an event says, so that a change of meaning shows although the bytes still decode.
fn meaning(event: &Event, body: &[u8]) -> Value {
    match event {
        Event::ExamPushed(pushed) => json!({
            "digest": pushed.digest,
            "flags": pushed.flags.names().collect::<Vec<_>>(),
            "warnings": serde_json::to_value(&pushed.warnings).unwrap(),
            "exam": serde_json::from_slice::<Value>(&pushed.json).unwrap(),
        }),
        Event::InstancesStored(stored) | Event::InstancesReplaced(stored) => {
            serde_json::to_value(stored).unwrap()
        }
        Event::InstancesMoved(moved) => serde_json::to_value(moved).unwrap(),
        Event::ExamRegistered(registered) => serde_json::to_value(registered).unwrap(),
        Event::ApplyFormReceived(form) => serde_json::to_value(form).unwrap(),
        _ => serde_json::from_slice(body).unwrap(),
    }
}

#[test]
fn golden_events_decode_to_what_they_said_and_encode_to_the_same_bytes() {
    if std::env::var_os(WRITE).is_some() {
        write_missing();
    }
    for name in names() {
        let kind: u16 = name[..2].parse().unwrap();
        let read = |ending: &str| {
            let path = folder().join(format!("{name}.{ending}"));
            std::fs::read(&path)
                .unwrap_or_else(|_| panic!("{} is missing; see this test's head", path.display()))
        };
        let bytes = read("bin");
        let event =
            Event::decode_body(kind, 1, &bytes).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(event.kind(), (kind, 1));
        let said: Value = serde_json::from_slice(&read("json")).unwrap();
        assert_eq!(meaning(&event, &bytes), said, "{name}");
        assert!(
            event.encode_body().unwrap() == bytes,
            "{name}: other bytes than before"
        );
    }
}

#[test]
fn no_golden_event_was_forgotten_or_has_no_kind() {
    let kinds = |names: Vec<String>| -> BTreeSet<String> {
        names.into_iter().map(|name| name[..5].to_owned()).collect()
    };
    let known = known_kinds()
        .into_iter()
        .map(|kind| format!("{kind:02}-v1"));
    let known: Vec<String> = known.collect();
    let there = names();
    for name in &known {
        assert!(there.contains(name), "{name} is missing");
    }
    assert_eq!(kinds(there), kinds(known));
}

/// Files' names without their ending: kind and version, and what was added since where a body got a new field.
fn names() -> Vec<String> {
    let files = std::fs::read_dir(folder()).unwrap();
    let names = files.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<String> = names
        .filter_map(|name| name.strip_suffix(".bin").map(str::to_owned))
        .collect();
    names.sort();
    names
}

fn write_missing() {
    let first = samples().into_iter().map(|event| ("", event));
    for (added, event) in first.chain(samples_of_new_fields()) {
        let (kind, version) = event.kind();
        let path = folder().join(format!("{kind:02}-v{version}{added}.bin"));
        if path.exists() {
            continue;
        }
        let bytes = event.encode_body().unwrap();
        std::fs::write(&path, &bytes).unwrap();
        let said = serde_json::to_string_pretty(&meaning(&event, &bytes)).unwrap();
        std::fs::write(path.with_extension("json"), said + "\n").unwrap();
    }
}

/// One event of each kind, every field filled.
fn samples() -> Vec<Event> {
    let exam = json!({ "hospital": "350006", "exam_no": "E1", "generation": 1 });
    let bodies = [
        (1, registry_changes()),
        (
            3,
            json!({ "rows": [{ "hospitalCode": "350006", "examDate": "2026-07-04", "examClass": "DR", "accordCount": 55 }] }),
        ),
        (
            4,
            json!({ "rows": [{
            "hospitalCode": "350006", "examDate": "2026-07-04", "examClass": "CT", "examNo": "E1",
            "applyNo": "A1", "studyUid": "1.2.3", "imageCount": 7
        }] }),
        ),
        (
            6,
            json!({ "refused": [{
            "hospital": "350006", "sender": "CT01", "study_uid": "1.2.3", "date": "2026-07-04", "class": "CT",
            "reason": "patientIdDiffers", "count": 3
        }] }),
        ),
        (
            7,
            json!({ "action": "ruleConflict", "study": "1.2.3", "exam": exam, "reason": "核对过", "author": "王" }),
        ),
        (
            8,
            json!({ "study": "1.2.3", "hospital": "350006", "upTo": 42 }),
        ),
        (
            9,
            json!({ "digest": "00112233445566778899aabbccddeeff", "expiresMs": 1_790_000_000_000_i64 }),
        ),
        (
            10,
            json!({ "node": 1, "release": "0.1.0", "http": "127.0.0.1:8080", "dicom": "127.0.0.1:11112" }),
        ),
        (11, json!({ "rules": 1 })),
        (12, json!({ "exams": [exam] })),
        (
            14,
            json!({ "id": "01890a5d-ac96-774b-bcce-b302099a8057", "packsOf": 3 }),
        ),
        (
            15,
            json!({
                "duty": "duties", "node": 3, "run": "01890a5d-ac96-774b-bcce-b302099a8058", "epoch": 2, "ttlMs": 12_000
            }),
        ),
        (
            16,
            json!({
                "packs": [7], "studies": [{ "hospital": "350006", "study": "1.2.3" }], "held": ["1.2.4"], "isLast": true,
                "reason": "节点 3 的盘已毁", "author": "王医生"
            }),
        ),
        (18, json!({ "packs": [7, 8], "asOf": 42 })),
        (
            19,
            json!({ "rule": "体检五年", "exams": [exam], "epoch": 2 }),
        ),
        (
            21,
            json!({
                "his": "demo-his", "epoch": 2,
                "tried": [
                    { "id": { "position": 42, "index": 1 }, "state": "stopped", "tries": 24, "code": "-1", "answer": "没有此申请单" },
                    { "id": { "position": 43, "index": 0 }, "state": "sent", "tries": 1, "code": "0" }
                ]
            }),
        ),
        (
            22,
            json!({ "his": "demo-his", "notices": [{ "position": 42, "index": 1 }] }),
        ),
        (
            23,
            json!({
                "step": "1.2.3.9", "isNew": true, "status": "inProgress", "sender": "CT01", "station": "CT01",
                "started": "2026-07-04 10:15:00", "ended": "2026-07-04 10:30:00", "studies": ["2.25.7"], "numbers": ["A1"],
                "forms": [{ "hospital": "350006", "apply_no": "A1", "generation": 1 }]
            }),
        ),
        (
            24,
            json!({ "hospital": "350006", "tried": [{
                "studyUID": "1.2.3", "since": 41, "state": "open", "tries": 2, "nextMs": 1_790_000_000_000_i64,
                "expected": 400, "got": 399, "words": "网关有 400 幅"
            }], "epoch": 2 }),
        ),
        (25, json!({ "exams": [exam], "backfill": true })),
        (
            28,
            json!({
                "exams": [{ "exam": exam, "content": 42, "person": "10000000000000000708463177" }], "again": true
            }),
        ),
        (
            29,
            json!({ "file": "00ff", "lines": [
                { "exam": exam, "index": INDEX, "asOf": 42 }, { "exam": exam, "asOf": 43 }
            ] }),
        ),
        (
            30,
            json!({ "answers": [
                { "index": INDEX, "isTaken": true }, { "index": INDEX, "isTaken": false, "reason": "无此人" }
            ] }),
        ),
        (
            26,
            json!({
                "hospital": "350006", "date": "2026-07-04", "studies": [{ "studyUID": "1.2.3", "modality": "CT" }],
                "epoch": 2
            }),
        ),
    ];
    let mut events: Vec<Event> = bodies
        .iter()
        .map(|(kind, body)| Event::decode_body(*kind, 1, body.to_string().as_bytes()).unwrap())
        .collect();
    events.push(exam_pushed());
    events.push(form_received());
    events.push(exam_registered());
    events.push(Event::InstancesMoved(instances_moved()));
    events.push(Event::InstancesStored(instances_stored()));
    events.push(Event::InstancesReplaced(instances_stored()));
    events
}

/// Bodies that have got a field since their golden file was written.
fn samples_of_new_fields() -> Vec<(&'static str, Event)> {
    let declared = json!({
        "exams": [],
        "declarations": [{ "hospital": "350006", "date": "2026-07-04", "class": "CT" }],
        "findings": [{ "kind": "numberReuse", "hospital": "350006", "subject": "E1/00ff" }],
    });
    let exam = json!({ "hospital": "350006", "exam_no": "E1", "generation": 1 });
    let ruled = json!({ "exams": [exam], "reason": "上线前清理", "author": "王医生" });
    let started = json!({
        "node": 3, "release": "0.1.0", "http": "127.0.0.1:8080", "dicom": "127.0.0.1:11112",
        "id": "01890a5d-ac96-774b-bcce-b302099a8057", "run": "01890a5d-ac96-774b-bcce-b302099a8058",
        "address": "http://127.0.0.1:8080"
    });
    let expired = json!({ "study": "1.2.3", "hospital": "350006", "upTo": 42, "epoch": 2 });
    let chosen = json!({
        "action": "chooseVersion", "study": { "hospital": "350006", "study": "1.2.3" }, "instance": "1.2.3.4.5",
        "digest": "00112233445566778899aabbccddeeff", "reason": "设备重传的完整版", "author": "王"
    });
    let hold = json!({
        "action": "legalHold", "exam": { "hospital": "350006", "exam_no": "E1", "generation": 1 }, "reason": "诉讼",
        "author": "王"
    });
    let retention = json!({ "changes": [{ "change": "putSettings", "value": {
        "time_zone": "Asia/Shanghai", "class_aliases": {}, "placeholder_apply_nos": [],
        "retention": [{
            "name": "体检五年", "hospitals": ["350006"], "patients": ["PE"], "delete_after_months": 60,
            "grace_days": 30, "cold_after_months": 12
        }]
    } }] });
    let his = json!({ "changes": [
        { "change": "putHis", "value": {
            "id": "demo-his", "hospitals": ["350006"], "enabled": true, "license": "00ff", "receiver": {
                "url": "http://127.0.0.1:8090/status", "enabled": false, "soap": "1.2", "namespace": "urn:his",
                "operation": "SynStatusInfo", "parameter": "in0", "action": "urn:his#SynStatusInfo", "escaping": "cdata",
                "charset": "GBK", "statuses": ["00", "70"]
            }
        } },
        { "change": "removeHis", "value": "old-his" },
        { "change": "putSettings", "value": {
            "time_zone": "Asia/Shanghai", "class_aliases": {}, "placeholder_apply_nos": [], "project_prefix": "3500",
            "image_url": { "pattern": "https://archive.example/{studyUID}", "valid_days": 30 }
        } }
    ] });
    let purged_forms = json!({
        "exams": [], "forms": [{ "hospital": "350006", "apply_no": "A1", "generation": 1 }],
    });
    let purged_notices = json!({
        "exams": [], "notices": [{ "his": "demo-his", "notices": [{ "position": 42, "index": 1 }] }],
    });
    let pulled = json!({ "changes": [{ "change": "putHospital", "value": {
        "code": "350006", "name": "示例县医院", "mode": "live", "matching": "exact", "generation": 0,
        "validation": { "length_default": "warn", "length": {}, "pathology": "warn" }, "images": "pull",
        "gateway": {
            "ae": "GATE", "host": "10.35.0.8", "port": 104, "calling_ae": "YINGKU", "method": "move", "associations": 3,
            "megabytes_per_second": 20, "hours": ["19:00-07:00"], "sweep": true, "enabled": false
        }
    } }] });
    let event = |kind, body: serde_json::Value| {
        Event::decode_body(kind, 1, body.to_string().as_bytes()).unwrap()
    };
    let registered_by_forms = json!({ "changes": [{ "change": "putHospital", "value": {
        "code": "350006", "name": "示例县医院", "mode": "live", "matching": "exact", "generation": 0,
        "validation": { "length_default": "warn", "length": {}, "pathology": "warn" }, "exams": "forms"
    } }] });
    let indexed = json!({ "changes": [
        { "change": "putSettings", "value": {
            "time_zone": "Asia/Shanghai", "class_aliases": {}, "placeholder_apply_nos": [],
            "national_index": { "template": 1, "person_id_type": "88" }
        } },
        { "change": "putHospital", "value": {
            "code": "350006", "name": "示例县医院", "mode": "live", "matching": "exact", "generation": 0,
            "validation": { "length_default": "warn", "length": {}, "pathology": "warn" },
            "credit_code": "123502004266007916"
        } }
    ] });
    let opened_by_clinicians = json!({ "changes": [{ "change": "putHospital", "value": {
        "code": "350006", "name": "示例县医院", "mode": "live", "matching": "exact", "generation": 0,
        "validation": { "length_default": "warn", "length": {}, "pathology": "warn" },
        "own_only": { "patients": ["体检"], "classes": ["PATH"] },
        "clinic": { "addresses": ["10.35.0.0/16", "192.0.2.7"], "embed": ["http://his.example:8080"] }
    } }] });
    vec![
        ("-national-index", event(1, indexed)),
        ("-clinic", event(1, opened_by_clinicians)),
        ("-exams-of-forms", event(1, registered_by_forms)),
        ("-gateway", event(1, pulled)),
        ("-hold", event(7, hold)),
        ("-retention", event(1, retention)),
        ("-his", event(1, his)),
        ("-forms", event(12, purged_forms)),
        ("-notices", event(12, purged_notices)),
        ("-declarations", event(12, declared)),
        ("-ruled", event(12, ruled)),
        ("-node", event(10, started)),
        ("-epoch", event(8, expired)),
        ("-version", event(7, chosen)),
    ]
}

fn registry_changes() -> Value {
    json!({ "changes": [
        { "change": "putHospital", "value": {
            "code": "350006", "name": "示例县医院", "prefix": "7173", "yyid00": "6930", "mode": "test",
            "matching": "exact", "hold_days": 7, "generation": 2,
            "validation": { "length_default": "warn", "length": { "reportList[].*": "refuse" }, "pathology": "warn" }
        } },
        { "change": "removeHospital", "value": "350007" },
        { "change": "putApp", "value": {
            "id": "demo", "org": "350006", "hospitals": ["*"], "rights": ["push", "read", "cite", "supervise"],
            "enabled": true, "epoch": 3, "license": "00ff", "private_key": "00ff", "public_key": "AAEC",
            "envelope": "content", "status_type": "text", "http_status": "real", "result_shape": "array",
            "require_time": true, "time_window_minutes": 5
        } },
        { "change": "removeApp", "value": "old" },
        { "change": "putPeer", "value": {
            "ae": "CT01", "host": "10.0.0.1", "port": 104, "addresses": ["10.0.0.1", "fe80::1"],
            "services": ["store", "find", "move", "get"], "hospitals": ["350006"]
        } },
        { "change": "removePeer", "value": "OLD" },
        { "change": "putSettings", "value": {
            "time_zone": "Asia/Urumqi", "class_aliases": { "DR": "X-Ray" }, "placeholder_apply_nos": ["0", "无"]
        } }
    ] })
}

/// The contract's sample.
fn form_received() -> Event {
    let fixture = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("tests/fixtures/contract/syn_apply_info.xml");
    let root = xml::read(&std::fs::read_to_string(fixture).unwrap()).unwrap();
    let mut registry = Registry::default();
    let hospital = json!({ "code": "350006", "name": "示例县医院", "prefix": "7173" });
    registry.apply(RegistryChange::PutHospital(
        serde_json::from_value(hospital).unwrap(),
    ));
    let context = FormContext {
        registry: &registry,
    };
    let parsed = apply_form::parse(&root, context).unwrap();
    Event::ApplyFormReceived(ApplyFormReceived {
        hospital: parsed.hospital,
        source: FormSource::Soap,
        body: parsed.body,
    })
}

/// Made of the contract's sample form.
fn exam_registered() -> Event {
    let Event::ApplyFormReceived(received) = form_received() else {
        panic!("the sample is a form");
    };
    let exam_no = ExamNo::new("F:00000001").unwrap();
    let registration = Registration {
        hospital: &received.hospital,
        hospital_name: "示例县医院",
        apply_no: &received.body.apply_no,
        exam_no: &exam_no,
        exam_time: LocalDateTime::parse("2026-07-04 08:00:00").unwrap(),
        study: &StudyUid::new("1.2.3").unwrap(),
        patient_id: "C0001",
        accession_no: Some("00000001"),
    };
    let (json, digest) = of_form(&received.body.form.unwrap(), &registration);
    Event::ExamRegistered(ExamRegistered {
        form: FormKey {
            hospital: received.hospital,
            apply_no: received.body.apply_no,
            generation: 1,
        },
        content: Position(42),
        by: RegisteredBy::Operator,
        reason: "设备无工作列表".to_owned(),
        digest,
        json,
    })
}

fn exam_pushed() -> Event {
    let fixture =
        PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/contract/exam_push.json");
    let context = PushContext {
        policy: &ValidationPolicy::default(),
        aliases: &ClassAliases::default(),
        placeholders: &Placeholders::default(),
    };
    let parsed = push::parse(&std::fs::read(fixture).unwrap(), None, context)
        .unwrap_or_else(|_| panic!("the contract's sample is refused"));
    let mut body = parsed.body;
    body.flags.insert(Flags::LENGTH);
    body.warnings.push(
        serde_json::from_value(json!({ "path": "examInfo.device", "rule": "length" })).unwrap(),
    );
    Event::ExamPushed(body)
}

fn instances_stored() -> InstancesStored {
    let image = json!({
        "sop_instance": "1.2.3.4.5", "sop_class": "1.2.840.10008.5.1.4.1.1.2", "transfer_syntax": "1.2.840.10008.1.2.1",
        "number": "1", "rows": 512, "columns": 256, "bits_allocated": 16, "frames": 2
    });
    serde_json::from_value(json!({
        "facts_version": 1,
        "pack": 7,
        "groups": [{
            "hospital": "350006", "sender": "CT01", "study_uid": "1.2.3", "series_uid": "1.2.3.4",
            "patient": { "id": "CT1", "name": "Xiao^Ping=肖^萍", "birth_date": "19800101", "sex": "F" },
            "study": study_facts(),
            "series": {
                "modality": "CT", "number": "2", "description": "胸部", "date": "20260704", "time": "105432",
                "body_part": "CHEST", "protocol": "p", "station": "s", "manufacturer": "m", "laterality": "L"
            },
            "instances": [{ "image": image, "offset": 64, "length": 1024, "digest": (0..16).collect::<Vec<u8>>() }]
        }]
    }))
    .unwrap()
}

fn instances_moved() -> InstancesMoved {
    serde_json::from_value(json!({
        "pack": 9,
        "studies": [
            { "study": "1.2.3", "instances": [{ "from": 7, "from_offset": 64, "offset": 2_000_000 }] },
            { "study": "1.2.4", "instances": [{ "from": 8, "from_offset": 1_064, "offset": 64 }] }
        ],
        "is_last": true
    }))
    .unwrap()
}

fn study_facts() -> Value {
    json!({
        "date": "20260704", "time": "105432.5", "accession_no": "A0001", "id": "S1", "description": "胸部CT",
        "referring_physician": "Wang^=王^", "patient_age": "046Y", "institution": "示例县医院"
    })
}
