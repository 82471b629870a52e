//! Modality Performed Procedure Step over apply forms (PS3.4 annex F).

use dicom_core::Tag;
use dicom_dictionary_std::tags;
use yingku_dicom_node::dataset::DataSetWriter;
use yingku_dicom_node::message::Operation;
use yingku_dicom_node::status::Status;

use crate::ward::{Form, Machine, Ward};

const UID: &str = "1.2.826.0.1.3680043.8.498.77";

/// A machine's first report: what it is for, as the worklist said.
fn begin(part: &[(Tag, &str)], patient: &str) -> DataSetWriter {
    let mut scheduled = DataSetWriter::new();
    for (tag, value) in part {
        scheduled.put(*tag, *value);
    }
    let mut report = DataSetWriter::new();
    report
        .put(tags::PATIENT_ID, patient)
        .put(tags::PERFORMED_STATION_AE_TITLE, "CT01")
        .put(tags::PERFORMED_PROCEDURE_STEP_START_DATE, "20260704")
        .put(tags::PERFORMED_PROCEDURE_STEP_START_TIME, "101500.5")
        .put(tags::PERFORMED_PROCEDURE_STEP_STATUS, "IN PROGRESS")
        .put_items(tags::SCHEDULED_STEP_ATTRIBUTES_SEQUENCE, vec![scheduled]);
    report
}

fn change(status: &str) -> DataSetWriter {
    let mut report = DataSetWriter::new();
    report.put(tags::PERFORMED_PROCEDURE_STEP_STATUS, status);
    report
}

async fn asked(machine: &mut Machine) -> Vec<String> {
    let mut keys = DataSetWriter::new();
    keys.put(tags::ACCESSION_NUMBER, "");
    let found = machine.find(&keys, "").await;
    found.numbers().into_iter().map(str::to_owned).collect()
}

#[tokio::test]
async fn a_step_takes_its_form_off_the_worklist_and_brings_it_back_if_it_is_broken_off() {
    let ward = Ward::open().await;
    ward.send("INSERT", &Form::default()).await.unwrap();
    let study = ward.row("A1").study_uid.to_string();
    let mut machine = ward.machine("CT01").await;
    // When the machine begins
    let report = begin(&[(tags::STUDY_INSTANCE_UID, &study)], "P1");
    let created = machine.report(Operation::Create, Some(UID), &report).await;
    assert_eq!(created.status, Some(Status::SUCCESS));
    assert_eq!(created.sop_instance.as_deref(), Some(UID));
    // Then nobody else is offered the patient, and the HIS changes nothing
    assert!(asked(&mut machine).await.is_empty());
    let changed = Form {
        name: "张小西",
        ..Form::default()
    };
    for action in ["UPDATE", "DELETE"] {
        let refused = ward.send(action, &changed).await;
        assert_eq!(refused, Err("form-taken".to_owned()));
    }
    // When it is broken off he is offered again, under the same study UID
    let set = machine
        .report(Operation::Set, Some(UID), &change("DISCONTINUED"))
        .await;
    assert_eq!(set.status, Some(Status::SUCCESS));
    assert_eq!(asked(&mut machine).await, ["A1"]);
    assert_eq!(ward.row("A1").study_uid.as_str(), study);
    // When it is done he is not
    let again = format!("{UID}.2");
    for (operation, report) in [
        (Operation::Create, report),
        (Operation::Set, change("")),
        (Operation::Set, change("COMPLETED")),
    ] {
        let answer = machine.report(operation, Some(&again), &report).await;
        assert_eq!(answer.status, Some(Status::SUCCESS));
    }
    assert!(asked(&mut machine).await.is_empty());
    ward.close().await;
}

#[tokio::test]
async fn a_step_is_for_the_one_form_of_the_patient_s_that_has_its_number() {
    let ward = Ward::open().await;
    ward.peer("CT02", &["worklist", "mpps"], &["350006", "350007"])
        .await;
    let long = "2026070400000000017";
    for apply_no in ["A1", "A2", long] {
        let form = Form {
            apply_no,
            ..Form::default()
        };
        ward.send("INSERT", &form).await.unwrap();
    }
    let elsewhere = Form {
        prefix: "7174",
        apply_no: "A2",
        ..Form::default()
    };
    ward.send("INSERT", &elsewhere).await.unwrap();
    let accession = tags::ACCESSION_NUMBER;
    for (title, part, patient, is_marked) in [
        // The number of another patient's form, and one that nobody has
        ("CT01", [(accession, "A1")], "P9", None),
        ("CT01", [(accession, "A9")], "P1", None),
        // Two hospitals have this one
        ("CT02", [(accession, "A2")], "P1", None),
        ("CT01", [(accession, "A2")], "P1", Some("A2")),
        (
            "CT01",
            [(tags::REQUESTED_PROCEDURE_ID, "A1")],
            "",
            Some("A1"),
        ),
        ("CT01", [(accession, "2026070400000000")], "P1", Some(long)),
    ] {
        let mut machine = ward.machine(title).await;
        let answer = machine
            .report(Operation::Create, None, &begin(&part, patient))
            .await;
        // It is taken, and has a UID of the archive's
        assert_eq!(answer.status, Some(Status::SUCCESS));
        let step = answer.sop_instance.unwrap();
        assert!(step.starts_with("2.25."), "{step}");
        let marked = ["A1", "A2", long].into_iter().filter(|apply_no| {
            let steps = ward.row(apply_no).steps;
            steps.iter().any(|it| it.step.as_str() == step)
        });
        assert_eq!(
            marked.collect::<Vec<_>>(),
            Vec::from_iter(is_marked),
            "{part:?}"
        );
    }
    ward.close().await;
}

#[tokio::test]
async fn what_may_not_be_is_refused_with_the_standard_s_status() {
    let ward = Ward::open().await;
    ward.peer("STORES", &["store"], &["350006"]).await;
    ward.peer("CT02", &["mpps"], &["350006"]).await;
    let mut machine = ward.machine("CT01").await;
    let report = begin(&[], "P1");
    let status = |answer: yingku_dicom_node::message::Command| answer.status.unwrap();
    let (create, set) = (Operation::Create, Operation::Set);
    // There is none yet
    let none = machine.report(set, Some(UID), &change("COMPLETED")).await;
    assert_eq!(status(none), Status::NO_SUCH_SOP_INSTANCE);
    // It begins in progress
    let done = machine
        .report(create, Some(UID), &change("COMPLETED"))
        .await;
    assert_eq!(status(done), Status::INVALID_ATTRIBUTE_VALUE);
    let empty = machine.report(create, Some(UID), &change("")).await;
    assert_eq!(status(empty), Status::MISSING_ATTRIBUTE);
    let odd = machine.report(create, Some("no uid"), &report).await;
    assert_eq!(status(odd), Status::INVALID_OBJECT_INSTANCE);
    // It begins once
    let first = machine.report(create, Some(UID), &report).await;
    assert_eq!(status(first), Status::SUCCESS);
    let second = machine.report(create, Some(UID), &report).await;
    assert_eq!(status(second), Status::DUPLICATE_SOP_INSTANCE);
    // It is its creator's
    let mut other = ward.machine("CT02").await;
    let others = other.report(set, Some(UID), &change("COMPLETED")).await;
    assert_eq!(status(others), Status::NO_SUCH_SOP_INSTANCE);
    let mut stores = ward.machine("STORES").await;
    let not_allowed = stores.report(create, Some("1.2.3"), &report).await;
    assert_eq!(status(not_allowed), Status::NOT_AUTHORISED);
    // It ends once
    let wrong = machine.report(set, Some(UID), &change("DONE")).await;
    assert_eq!(status(wrong), Status::INVALID_ATTRIBUTE_VALUE);
    let ended = machine.report(set, Some(UID), &change("COMPLETED")).await;
    assert_eq!(status(ended), Status::SUCCESS);
    let after = machine
        .report(set, Some(UID), &change("DISCONTINUED"))
        .await;
    assert_eq!(after.error_id, Some(0xA710));
    assert_eq!(status(after), Status::PROCESSING_FAILURE);
    ward.close().await;
}
