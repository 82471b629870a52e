//! The Modality Worklist over apply forms (PS3.4 annex K).

use dicom_dictionary_std::tags;
use yingku_dicom_node::dataset::{DataSetWriter, Nested};
use yingku_dicom_node::message::{Command, Operation};
use yingku_dicom_node::status::Status;
use yingku_dicom_node::text::CharacterSet;

use crate::dcmtk::tool;
use crate::ward::{Form, WORKLIST, Ward};

const STEP: dicom_core::Tag = tags::SCHEDULED_PROCEDURE_STEP_SEQUENCE;

/// Keys at the root and of the step; a day and nothing else is what machines ask for.
fn asked(root: &[(dicom_core::Tag, &str)], step: &[(dicom_core::Tag, &str)]) -> DataSetWriter {
    let mut item = DataSetWriter::new();
    for (tag, key) in step {
        item.put(*tag, *key);
    }
    let mut keys = DataSetWriter::new();
    keys.put(tags::ACCESSION_NUMBER, "")
        .put(tags::PATIENT_NAME, "")
        .put_items(STEP, vec![item]);
    for (tag, key) in root {
        keys.put(*tag, *key);
    }
    keys
}

fn on(day: &str) -> DataSetWriter {
    asked(&[], &[(tags::SCHEDULED_PROCEDURE_STEP_START_DATE, day)])
}

async fn with_forms(forms: &[Form<'_>]) -> Ward {
    let ward = Ward::open().await;
    for form in forms {
        ward.send("INSERT", form).await.unwrap();
    }
    ward
}

fn form<'a>(apply_no: &'a str, name: &'a str) -> Form<'a> {
    Form {
        apply_no,
        name,
        sick_no: apply_no,
        ..Form::default()
    }
}

#[tokio::test]
async fn an_entry_has_what_a_machine_needs_of_its_form() {
    // Given a form
    let ward = with_forms(&[Form {
        sick_no: "C0001",
        ..Form::default()
    }])
    .await;
    // When all is asked for
    let keys = asked(
        &[
            (tags::PATIENT_ID, ""),
            (tags::ISSUER_OF_PATIENT_ID, ""),
            (tags::PATIENT_BIRTH_DATE, ""),
            (tags::PATIENT_SEX, ""),
            (tags::REFERRING_PHYSICIAN_NAME, ""),
            (tags::REQUESTING_PHYSICIAN, ""),
            (tags::REQUESTING_SERVICE, ""),
            (tags::STUDY_INSTANCE_UID, ""),
            (tags::REQUESTED_PROCEDURE_ID, ""),
            (tags::REQUESTED_PROCEDURE_DESCRIPTION, ""),
            (tags::REASON_FOR_THE_REQUESTED_PROCEDURE, ""),
            (tags::REQUESTED_PROCEDURE_PRIORITY, ""),
            (tags::PLACER_ORDER_NUMBER_IMAGING_SERVICE_REQUEST, ""),
            (tags::INSTITUTION_NAME, ""),
            (tags::CURRENT_PATIENT_LOCATION, ""),
            (tags::PATIENT_WEIGHT, ""),
            (tags::REQUESTED_PROCEDURE_CODE_SEQUENCE, ""),
        ],
        &[],
    );
    let mut machine = ward.machine("CT01").await;
    let found = machine.find(&keys, "GB18030").await;
    // Then it is there
    assert_eq!(found.status, Status::SUCCESS);
    assert_eq!(found.pending, [Status::PENDING]);
    assert_eq!(found.charset, "GB18030");
    let [entry] = found.entries.as_slice() else {
        panic!("{}", found.entries.len());
    };
    for (tag, value) in [
        (tags::ACCESSION_NUMBER, "A1"),
        (tags::PATIENT_NAME, "ZHANG^XIAODONG=张小东"),
        (tags::PATIENT_ID, "C0001"),
        (tags::ISSUER_OF_PATIENT_ID, "350006"),
        (tags::PATIENT_BIRTH_DATE, "19800101"),
        (tags::PATIENT_SEX, "F"),
        (tags::REFERRING_PHYSICIAN_NAME, "WANG^YISHENG=王医生"),
        (tags::REQUESTING_PHYSICIAN, "WANG^YISHENG=王医生"),
        (tags::REQUESTING_SERVICE, "呼吸科"),
        (tags::STUDY_INSTANCE_UID, ward.row("A1").study_uid.as_str()),
        (tags::REQUESTED_PROCEDURE_ID, "A1"),
        (tags::REQUESTED_PROCEDURE_DESCRIPTION, "胸部CT平扫"),
        (tags::REASON_FOR_THE_REQUESTED_PROCEDURE, "待查"),
        (tags::REQUESTED_PROCEDURE_PRIORITY, "ROUTINE"),
        (tags::PLACER_ORDER_NUMBER_IMAGING_SERVICE_REQUEST, "7173_A1"),
        (tags::INSTITUTION_NAME, "示例县医院"),
        (tags::CURRENT_PATIENT_LOCATION, "门诊 呼吸科"),
        (tags::PATIENT_WEIGHT, ""),
    ] {
        assert_eq!(entry.text(tag), value, "{tag}");
    }
    let code = &entry.items(tags::REQUESTED_PROCEDURE_CODE_SEQUENCE)[0];
    assert_eq!(code.text(tags::CODE_VALUE), "001");
    assert_eq!(code.text(tags::CODE_MEANING), "胸部CT平扫");
    // A step of which nothing is asked comes whole
    let step = &entry.items(STEP)[0];
    for (tag, value) in [
        (tags::MODALITY, "CT"),
        (tags::SCHEDULED_STATION_AE_TITLE, "CT01"),
        (tags::SCHEDULED_PROCEDURE_STEP_START_DATE, "20260704"),
        (tags::SCHEDULED_PROCEDURE_STEP_START_TIME, "103000"),
        (tags::SCHEDULED_PROCEDURE_STEP_DESCRIPTION, "胸部CT平扫"),
        (tags::SCHEDULED_PROCEDURE_STEP_ID, "A1"),
        (tags::SCHEDULED_PROCEDURE_STEP_LOCATION, "放射科"),
        (tags::SCHEDULED_PROCEDURE_STEP_STATUS, "SCHEDULED"),
    ] {
        assert_eq!(step.text(tag), value, "{tag}");
    }
    ward.close().await;
}

#[tokio::test]
async fn keys_narrow_what_is_found() {
    let ward = with_forms(&[
        form("A1", "张小东"),
        Form {
            scheduled: "2026-07-05 08:00:00",
            class: "放射",
            ..form("A2", "单雄信")
        },
        Form {
            scheduled: "2026-07-06 17:00:00",
            class: "磁共振",
            device: "MR01",
            ..form("A3", "买买提·艾力")
        },
        Form {
            apply_no: "2026070400000000017",
            sick_no: "P4",
            scheduled: "2026-07-07 09:00:00",
            ..Form::default()
        },
    ])
    .await;
    ward.peer("MR01", &["worklist"], &["350006"]).await;
    let mut machine = ward.machine("CT01").await;
    let date = tags::SCHEDULED_PROCEDURE_STEP_START_DATE;
    let time = tags::SCHEDULED_PROCEDURE_STEP_START_TIME;
    let station = tags::SCHEDULED_STATION_AE_TITLE;
    let modality = tags::MODALITY;
    const CUT: &str = "2026070400000000";
    let uid = ward.row("A2").study_uid.to_string();
    let cases: Vec<(DataSetWriter, &[&str])> = vec![
        (asked(&[], &[]), &["A1", "A2", "A3", CUT]),
        (on("20260704"), &["A1"]),
        (on("20260705-20260706"), &["A2", "A3"]),
        (on("20260706-"), &["A3", CUT]),
        (on("-20260704"), &["A1"]),
        (on("202607"), &["A1", "A2", "A3", CUT]),
        (on("garbage"), &[]),
        (on("20260801"), &[]),
        // A range of days with one of times is from one moment to another
        (
            asked(&[], &[(date, "20260704-20260706"), (time, "1000-1600")]),
            &["A1", "A2"],
        ),
        // A time alone is of any day
        (asked(&[], &[(time, "0700-0900")]), &["A2", CUT]),
        (asked(&[], &[(date, "20260704"), (time, "1100-1200")]), &[]),
        // A class has several modalities, and is answered under the one that is asked for
        (asked(&[], &[(modality, "CT")]), &["A1", CUT]),
        (asked(&[], &[(modality, "CR")]), &["A2"]),
        (asked(&[], &[(modality, "DX")]), &["A2"]),
        (asked(&[], &[(modality, "US")]), &[]),
        // Whom no station is named in comes for whichever asks; another's only for it
        (asked(&[], &[(station, "CT01")]), &["A1", "A2", CUT]),
        (asked(&[], &[(station, "MR01")]), &["A1", "A2", "A3", CUT]),
        (asked(&[(tags::PATIENT_ID, "A1")], &[]), &["A1"]),
        (asked(&[(tags::PATIENT_ID, "A*")], &[]), &["A1", "A2", "A3"]),
        (asked(&[(tags::ACCESSION_NUMBER, "A2")], &[]), &["A2"]),
        (asked(&[(tags::ACCESSION_NUMBER, "A")], &[]), &[]),
        (
            asked(&[(tags::ACCESSION_NUMBER, "A?")], &[]),
            &["A1", "A2", "A3"],
        ),
        // What SH has no room for is found by what is left of it, and by all of it
        (asked(&[(tags::ACCESSION_NUMBER, CUT)], &[]), &[CUT]),
        (
            asked(&[(tags::ACCESSION_NUMBER, "2026070400000000017")], &[]),
            &[CUT],
        ),
        (
            asked(&[(tags::ACCESSION_NUMBER, "2026070400000000018")], &[]),
            &[],
        ),
        (asked(&[(tags::REQUESTED_PROCEDURE_ID, "A3")], &[]), &["A3"]),
        (
            asked(&[], &[(tags::SCHEDULED_PROCEDURE_STEP_ID, "A3")]),
            &["A3"],
        ),
        (asked(&[(tags::STUDY_INSTANCE_UID, &uid)], &[]), &["A2"]),
        (asked(&[(tags::STUDY_INSTANCE_UID, "1.2.3")], &[]), &[]),
        (
            asked(&[(tags::ISSUER_OF_PATIENT_ID, "350006")], &[]),
            &["A1", "A2", "A3", CUT],
        ),
        (asked(&[(tags::ISSUER_OF_PATIENT_ID, "350007")], &[]), &[]),
        // By name, in either group
        (asked(&[(tags::PATIENT_NAME, "ZHANG*")], &[]), &["A1", CUT]),
        (asked(&[(tags::PATIENT_NAME, "张*")], &[]), &["A1", CUT]),
        (asked(&[(tags::PATIENT_NAME, "张^小东")], &[]), &["A1", CUT]),
        (
            asked(&[(tags::PATIENT_NAME, "shan^xiongxin")], &[]),
            &["A2"],
        ),
        (asked(&[(tags::PATIENT_NAME, "*AILI*")], &[]), &["A3"]),
        (asked(&[(tags::PATIENT_NAME, "王*")], &[]), &[]),
        (
            asked(
                &[(tags::PATIENT_NAME, "ZHANG*")],
                &[(date, "20260704"), (modality, "CT")],
            ),
            &["A1"],
        ),
    ];
    for (number, (keys, expected)) in cases.iter().enumerate() {
        let found = machine.find(keys, "ISO_IR 192").await;
        assert_eq!(found.status, Status::SUCCESS, "case {number}");
        assert_eq!(&found.numbers(), expected, "case {number}");
    }
    ward.close().await;
}

#[tokio::test]
async fn the_modality_and_station_that_are_asked_for_are_answered() {
    let ward = with_forms(&[Form {
        class: "放射",
        ..Form::default()
    }])
    .await;
    let mut machine = ward.machine("CT01").await;
    let step = |entry: &Nested| {
        let step = &entry.items(STEP)[0];
        let text = |tag| step.text(tag).to_owned();
        (text(tags::MODALITY), text(tags::SCHEDULED_STATION_AE_TITLE))
    };
    for (modality, station, answered) in [
        ("", "", ("DX", "CT01")),
        ("CR", "DR77", ("CR", "DR77")),
        ("MG", "D*", ("MG", "CT01")),
    ] {
        let keys = asked(
            &[],
            &[
                (tags::MODALITY, modality),
                (tags::SCHEDULED_STATION_AE_TITLE, station),
            ],
        );
        let found = machine.find(&keys, "").await;
        // `D*` asks for a title that the caller has not
        if station == "D*" {
            assert!(found.entries.is_empty());
            continue;
        }
        let (modality, station) = step(&found.entries[0]);
        assert_eq!((modality.as_str(), station.as_str()), answered);
    }
    ward.close().await;
}

#[tokio::test]
async fn text_comes_in_the_set_that_was_asked_in_and_never_as_question_marks() {
    // Given a name of GB 2312, one of GBK and one of GB 18030 alone
    let ward = with_forms(&[form("A1", "张小东"), form("A2", "陶喆"), form("A3", "李㐂")]).await;
    let mut machine = ward.machine("CT01").await;
    let both = ["ZHANG^XIAODONG=张小东", "TAO^ZHE=陶喆"];
    for (charset, names) in [
        ("GB18030", [both[0], both[1], "LI^X=李㐂"]),
        ("ISO_IR 192", [both[0], both[1], "LI^X=李㐂"]),
        ("GBK", [both[0], both[1], "LI^X"]),
        ("\\ISO 2022 IR 58", [both[0], "TAO^ZHE", "LI^X"]),
        ("ISO_IR 100", ["ZHANG^XIAODONG", "TAO^ZHE", "LI^X"]),
        ("", ["ZHANG^XIAODONG", "TAO^ZHE", "LI^X"]),
        ("ISO_IR 13", ["ZHANG^XIAODONG", "TAO^ZHE", "LI^X"]),
    ] {
        let keys = asked(&[(tags::REQUESTED_PROCEDURE_DESCRIPTION, "")], &[]);
        let found = machine.find(&keys, charset).await;
        assert_eq!(found.charset, charset);
        let answered: Vec<&str> = found
            .entries
            .iter()
            .map(|entry| entry.text(tags::PATIENT_NAME))
            .collect();
        let readable = |name: &str| name.split_once('^').map(|(family, _)| family.to_owned());
        assert_eq!(answered[..2], names[..2], "{charset}");
        assert_eq!(readable(answered[2]), readable(names[2]), "{charset}");
        assert_eq!(
            answered[2].contains('李'),
            names[2].contains('李'),
            "{charset}"
        );
        assert!(!found.raw.contains(&b'?'), "{charset}");
        let described = found.entries[0].text(tags::REQUESTED_PROCEDURE_DESCRIPTION);
        let is_chinese = names[0].contains('张');
        let expected = if is_chinese {
            "胸部CT平扫"
        } else {
            "XIONG BU CT PING SAO"
        };
        assert_eq!(described, expected, "{charset}");
    }
    ward.close().await;
}

#[tokio::test]
async fn only_open_forms_of_the_caller_s_hospitals_are_shown_and_their_study_uid_stays() {
    // Given forms of two hospitals under one number
    let other = Form {
        prefix: "7174",
        ..Form::default()
    };
    let ward = with_forms(&[Form::default(), other.clone()]).await;
    ward.peer("WIDE", &["worklist"], &["*"]).await;
    ward.peer("STORES", &["store", "find"], &["350006"]).await;
    ward.peer("ALL4", &["store", "find", "move", "get"], &["350007"])
        .await;
    let all = asked(&[(tags::STUDY_INSTANCE_UID, "")], &[]);
    // Then each peer sees those of its own
    let mut machine = ward.machine("CT01").await;
    assert_eq!(machine.find(&all, "").await.entries.len(), 1);
    let uid = machine.find(&all, "").await.entries[0]
        .text(tags::STUDY_INSTANCE_UID)
        .to_owned();
    let mut wide = ward.machine("WIDE").await;
    assert_eq!(wide.find(&all, "").await.entries.len(), 2);
    let mut all4 = ward.machine("ALL4").await;
    assert_eq!(all4.find(&all, "").await.entries.len(), 1);
    // And who may not ask is told so
    let mut stores = ward.machine("STORES").await;
    let refused = stores.find(&all, "").await;
    assert_eq!(refused.status, Status::NOT_AUTHORISED);
    assert!(refused.entries.is_empty() && refused.comment.contains("worklist"));
    // When the form is changed its study UID is what it was
    let changed = Form {
        scheduled: "2026-07-09 10:00:00",
        ..Form::default()
    };
    ward.send("UPDATE", &changed).await.unwrap();
    let found = machine.find(&all, "").await;
    assert_eq!(found.entries[0].text(tags::STUDY_INSTANCE_UID), uid);
    assert!(machine.find(&on("20260704"), "").await.entries.is_empty());
    assert_eq!(machine.find(&on("20260709"), "").await.entries.len(), 1);
    // When it is deleted it is gone, by whichever key
    ward.send("DELETE", &changed).await.unwrap();
    for keys in [
        all.clone(),
        on("20260709"),
        asked(&[(tags::PATIENT_ID, "P1")], &[]),
        asked(&[(tags::ACCESSION_NUMBER, "A1")], &[]),
        asked(&[(tags::STUDY_INSTANCE_UID, &uid)], &[]),
    ] {
        assert!(machine.find(&keys, "").await.entries.is_empty());
    }
    // What was tried out is not shown once its hospital is live
    ward.hospital("350006", "7173", "test").await;
    ward.send("INSERT", &form("T1", "测试")).await.unwrap();
    assert_eq!(machine.find(&all, "").await.numbers(), ["T1"]);
    ward.hospital("350006", "7173", "live").await;
    assert!(machine.find(&all, "").await.entries.is_empty());
    ward.close().await;
}

#[tokio::test]
async fn what_is_asked_wrongly_is_refused_and_what_is_not_known_is_flagged() {
    let ward = with_forms(&[Form::default()]).await;
    let mut machine = ward.machine("CT01").await;
    // A key that is not known comes back empty, and the answer says so
    let unknown = asked(&[(tags::SERIES_DESCRIPTION, "x")], &[]);
    let found = machine.find(&unknown, "").await;
    assert_eq!(found.pending, [Status::PENDING_UNSUPPORTED_KEYS]);
    assert_eq!(found.entries[0].text(tags::SERIES_DESCRIPTION), "");
    // Two items of the step, and a key that is too long
    let mut two = DataSetWriter::new();
    two.put_items(STEP, vec![DataSetWriter::new(), DataSetWriter::new()]);
    let long = asked(&[(tags::PATIENT_NAME, &"张".repeat(65))], &[]);
    for keys in [two, long] {
        let found = machine.find(&keys, "ISO_IR 192").await;
        assert_eq!(found.status, Status::MISMATCH);
        assert!(!found.comment.is_empty());
    }
    // No data set that can be read, and the association goes on
    let (context, _) = machine.context(WORKLIST);
    let request = Command::request(Operation::Find, 99, WORKLIST).with_data_set();
    machine
        .association
        .send_with(context, &request, b"\x08\x00\x50\x00SH\xff\x00")
        .await
        .unwrap();
    let answer = machine.answer().await;
    assert_eq!(answer.status, Some(Status::CANNOT_UNDERSTAND));
    assert_eq!(machine.find(&on("20260704"), "").await.numbers(), ["A1"]);
    ward.close().await;
}

#[tokio::test]
async fn a_machine_that_has_enough_cancels() {
    // Given more forms than are answered before their caller takes them
    let ward = Ward::open().await;
    let numbers: Vec<String> = (0..400).map(|number| format!("N{number:03}")).collect();
    for number in &numbers {
        ward.send("INSERT", &form(number, "张小东")).await.unwrap();
    }
    let mut machine = ward.machine("CT01").await;
    let (context, syntax) = machine.context(WORKLIST);
    let request = Command::request(Operation::Find, 1, WORKLIST).with_data_set();
    let mut keys = on("20260704");
    for tag in [
        tags::REQUESTED_PROCEDURE_DESCRIPTION,
        tags::STUDY_INSTANCE_UID,
    ] {
        keys.put(tag, "");
    }
    let keys = keys.encode(&syntax, &CharacterSet::utf8());
    // When it cancels with its question
    machine
        .association
        .send_with(context, &request, &keys)
        .await
        .unwrap();
    let cancel = Command::cancel(1);
    machine.association.send(context, &cancel).await.unwrap();
    // Then it hears how many there were by then, and that this is all
    let mut answers = 0;
    let last = loop {
        let answer = machine.answer().await;
        if answer.status != Some(Status::PENDING) {
            break answer.status;
        }
        machine.data_set().await;
        answers += 1;
    };
    assert!(answers <= numbers.len());
    assert!(
        matches!(last, Some(Status::CANCELLED | Status::SUCCESS)),
        "{last:?}"
    );
    // And asks for the next
    assert_eq!(machine.find(&on("20260704"), "").await.entries.len(), 400);
    ward.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dcmtk_asks_for_a_day_and_reads_what_comes() {
    let ward = with_forms(&[
        form("A1", "张小东"),
        Form {
            scheduled: "2026-07-05 08:00:00",
            ..form("A2", "单雄信")
        },
    ])
    .await;
    let folder = tempfile::tempdir().unwrap();
    let port = ward.address.port().to_string();
    let keys = [
        "SpecificCharacterSet=GB18030",
        "PatientName",
        "PatientID",
        "ScheduledProcedureStepSequence[0].Modality=CT",
        "ScheduledProcedureStepSequence[0].ScheduledProcedureStepStartDate=20260705",
        "ScheduledProcedureStepSequence[0].ScheduledStationAETitle",
    ];
    let mut arguments = vec!["-W", "-aet", "CT01", "-aec", "YINGKU", "-X", "-od"];
    arguments.push(folder.path().to_str().unwrap());
    for key in &keys {
        arguments.extend(["-k", key]);
    }
    arguments.extend(["127.0.0.1", &port]);
    let asked = tool("findscu", arguments).await;
    assert!(
        asked.status.success(),
        "{}",
        String::from_utf8_lossy(&asked.stderr)
    );
    let files: Vec<_> = std::fs::read_dir(folder.path()).unwrap().collect();
    assert_eq!(files.len(), 1);
    let dumped = tool("dcmdump", ["+U8".into(), files[0].as_ref().unwrap().path()]).await;
    let dumped = String::from_utf8_lossy(&dumped.stdout).into_owned();
    for value in [
        "[SHAN^XIONGXIN=单雄信]",
        "[A2]",
        "[20260705]",
        "[CT01]",
        "[CT]",
    ] {
        assert!(dumped.contains(value), "{value} is not in {dumped}");
    }
    ward.close().await;
}
