//! What people type, from the first start on.

use std::path::Path;

use serde_json::{Value, json};

use crate::process::{Archive, failure, path, repository, text};

const STUDY: &str = "1.2.826.0.1.3680043.8.498.1";

fn sample(name: &str) -> String {
    path(&repository().join("deploy/demo/samples").join(name)).to_owned()
}

fn log(archive: &Archive) -> Vec<Value> {
    let lines = archive.said(&["log", "export"]);
    lines
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

fn count(log: &[Value], title: &str) -> usize {
    log.iter()
        .filter(|it| it["event"]["title"] == title)
        .count()
}

#[test]
fn an_exam_its_images_and_a_declaration_survive_a_kill() {
    // Given an exam with its images, and a declaration
    let mut archive = Archive::start();
    text(&archive.contract(&["push", &sample("exam_push.json")]));
    let sent = text(&archive.node("send", &[&sample("dicom")]));
    assert!(sent.contains("(stored): 3"), "{sent}");
    text(&archive.contract(&["statistics", &sample("upload_statistics.json")]));

    // When the process is killed and started again
    archive.kill();
    archive.start_again();

    // Then all of it is there
    let found = text(&archive.node(
        "find",
        &[
            "--json",
            "StudyInstanceUID",
            "AccessionNumber=A0001",
            "NumberOfStudyRelatedInstances",
        ],
    ));
    let row: Value = serde_json::from_str(found.lines().next().unwrap()).unwrap();
    assert_eq!(row["StudyInstanceUID"], STUDY);
    assert_eq!(row["NumberOfStudyRelatedInstances"], "3");
    let table = archive.said(&["reconcile", "--from", "2026-07-04", "--to", "2026-07-04"]);
    assert!(table.contains("55"), "{table}");
    let log = log(&archive);
    assert_eq!(count(&log, "exam-pushed"), 1);
    assert_eq!(count(&log, "statistics-declared"), 1);
    assert_eq!(count(&log, "node-started"), 2);
    assert!(archive.said(&["verify"]).contains("3 份影像"));
    // and the images come back as files
    let out = tempfile::tempdir().unwrap();
    text(&archive.node(
        "get",
        &[
            "--out",
            path(out.path()),
            &format!("StudyInstanceUID={STUDY}"),
        ],
    ));
    assert_eq!(out.path().read_dir().unwrap().count(), 3);
    assert!(archive.stop().success());
}

#[test]
fn commands_do_the_same_with_and_without_a_server() {
    let mut archive = Archive::start();
    let commands: [&[&str]; 5] = [
        &["registry", "show"],
        &["registry", "export"],
        &["app", "list"],
        &["findings"],
        &["log", "export"],
    ];
    let served: Vec<String> = commands.iter().map(|it| archive.said(it)).collect();
    assert!(archive.stop().success());
    let alone: Vec<String> = commands.iter().map(|it| archive.said(it)).collect();
    assert_eq!(served, alone);
}

#[test]
fn who_looked_at_pushes_is_on_record_with_and_without_a_server() {
    // Given an archive with an exam
    let mut archive = Archive::start();
    text(&archive.contract(&["push", &sample("exam_push.json")]));
    // When an operator looks at it: while it is served, and after
    archive.said(&["log", "tail"]);
    archive.said(&["log", "show", "1"]);
    archive.said(&["findings", "--hospital", "350006"]);
    archive.said(&["notices", "list"]);
    archive.said(&["status"]);
    assert!(archive.stop().success());
    archive.said(&["log", "export", "--from", "1", "--to", "2"]);
    archive.said(&["reconcile", "--from", "2026-07-04", "--to", "2026-07-05"]);
    archive.said(&["forms", "list", "350006", "--open-after"]);
    // Then each look at patients is on record with the system's user, and the others are not
    let user = text(
        &std::process::Command::new("id")
            .arg("-un")
            .output()
            .unwrap(),
    );
    let reader = format!("operator:{}", user.trim());
    let looks = [
        ("logTail", "", "-"),
        ("logShow", "", "1"),
        ("findings", "350006", ""),
        ("notices", "", ""),
        ("logExport", "", "1-2"),
        ("reconcile", "", "2026-07-04-2026-07-05"),
        ("forms", "350006", ""),
    ];
    let expected = looks.map(|(operation, hospital, target)| {
        json!({"reader": reader, "operation": operation, "hospital": hospital, "target": target})
    });
    assert_eq!(archive.audited(), expected);
}

#[test]
fn refusals_end_with_words_and_a_failure() {
    let archive = Archive::start();
    // an image whose exam was not pushed
    let said = failure(&archive.node("send", &[&sample("dicom/slice-1.dcm")]));
    assert!(said.contains("exam not pushed"), "{said}");
    // a push without its required fields
    let empty = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(empty.path(), "{}").unwrap();
    let said = failure(&archive.contract(&["push", path(empty.path())]));
    assert!(said.contains("examNo"), "{said}");
    let digest = archive.said(&["app", "errors", "demo-pacs"]);
    assert!(digest.contains("examNo"), "{digest}");
    // a correction of an exam that is not there
    let withdraw = [
        "correct",
        "withdraw",
        "350006/NONE",
        "--reason",
        "试",
        "--author",
        "王",
    ];
    assert!(failure(&archive.command(&withdraw)).contains("no such exam"));
}

#[test]
fn a_withdrawn_exam_comes_back_when_that_is_undone() {
    let archive = Archive::start();
    text(&archive.contract(&["push", &sample("exam_push.json")]));
    text(&archive.node("send", &[&sample("dicom")]));
    let studies = || {
        let query = ["--json", "StudyInstanceUID", "AccessionNumber=A0001"];
        text(&archive.node("find", &query)).lines().count()
    };
    assert_eq!(studies(), 1);

    let ruled = ["--reason", "核对", "--author", "王"];
    let withdraw = ["correct", "withdraw", "350006/E20260704001"];
    archive.said(&[&withdraw[..], &ruled].concat());
    assert_eq!(studies(), 0);

    let log = log(&archive);
    let made = log
        .iter()
        .rfind(|it| it["event"]["title"] == "correction-made")
        .unwrap();
    assert_eq!(made["actor"], "operator:王");
    let position = made["position"].to_string();
    archive.said(&[&["correct", "undo", &position][..], &ruled].concat());
    assert_eq!(studies(), 1);
}

/// The contract's sample with other values.
fn sample_with(folder: &Path, name: &str, values: &[(&str, &str)]) -> String {
    let mut exam: Value =
        serde_json::from_str(&std::fs::read_to_string(sample("exam_push.json")).unwrap()).unwrap();
    for (pointer, value) in values {
        *exam.pointer_mut(pointer).unwrap() = (*value).into();
    }
    let file = folder.join(name);
    std::fs::write(&file, exam.to_string()).unwrap();
    path(&file).to_owned()
}

#[test]
fn a_number_without_generation_is_that_of_the_latest_one() {
    // Given a number that is used again for another person, which an operator has ruled to be a new generation
    let archive = Archive::start();
    let folder = tempfile::tempdir().unwrap();
    text(&archive.contract(&["push", &sample("exam_push.json")]));
    let other = [
        ("/patientInfo/sickId", "S-OTHER"),
        ("/patientInfo/name", "李四"),
        ("/imageList/0/studyUID", "1.2.3.99"),
        ("/examInfo/examStatus", "65"),
    ];
    let other = sample_with(folder.path(), "other.json", &other);
    let said = failure(&archive.contract(&["push", &other]));
    let listed = said.split("登记号 ").nth(1).unwrap();
    let listed: String = listed.chars().take_while(char::is_ascii_digit).collect();
    let ruled = ["--reason", "核对", "--author", "王"];
    archive.said(
        &[
            &["correct", "rule-reuse", &listed, "new-generation"][..],
            &ruled,
        ]
        .concat(),
    );
    // Then a reconciliation names it by the hospital's number, its generation apart
    let days = ["reconcile", "--from", "2026-07-04", "--to", "2026-07-04"];
    let answer = archive.said(&[&days[..], &["--json"]].concat());
    let answer: Value = serde_json::from_str(&answer).unwrap();
    let cell = &answer["cells"][0];
    let named = cell["unfinished"].as_array().unwrap();
    let newest = named.iter().find(|named| named["generation"] == 1).unwrap();
    assert_eq!(newest["examNo"], "E20260704001");
    assert!(archive.said(&days).contains("E20260704001#1"));
    // When it is withdrawn by its plain number, then that is the newest one; the first is named with #0
    for named in ["350006/E20260704001", "350006/E20260704001#0"] {
        archive.said(&[&["correct", "withdraw", named][..], &ruled].concat());
    }
    let withdraw = ["correct", "withdraw", "350006/E20260704001#2"];
    let said = failure(&archive.command(&[&withdraw[..], &ruled].concat()));
    assert!(said.contains("#代"), "{said}");
}

#[test]
fn undoing_a_withdrawal_tells_which_studies_have_gone_to_others() {
    // Given a withdrawn exam whose study another patient's exam has claimed meanwhile
    let archive = Archive::start();
    let folder = tempfile::tempdir().unwrap();
    text(&archive.contract(&["push", &sample("exam_push.json")]));
    let ruled = ["--reason", "核对", "--author", "王"];
    let withdraw = ["correct", "withdraw", "350006/E20260704001"];
    let said = archive.said(&[&withdraw[..], &ruled].concat());
    let position = said.rsplit(' ').next().unwrap().trim();
    let other = [
        ("/examNo", "E2"),
        ("/patientInfo/sickId", "S-OTHER"),
        ("/patientInfo/name", "李四"),
        ("/examInfo/applyNo", "F-OTHER"),
    ];
    let other = sample_with(folder.path(), "other.json", &other);
    text(&archive.contract(&["push", &other]));
    // When the withdrawal is undone, then the answer names the study and whose it is, and the list has it
    let said = archive.said(&[&["correct", "undo", position][..], &ruled].concat());
    assert!(
        said.contains(STUDY) && said.contains("仍归 350006/E2"),
        "{said}"
    );
    let listed = archive.said(&["findings", "study-conflict"]);
    assert!(listed.contains(STUDY), "{listed}");
}

#[test]
fn a_registry_that_is_imported_again_changes_what_differs_only() {
    let archive = Archive::start();
    let demo = std::fs::read_to_string(repository().join("deploy/demo/registry.toml")).unwrap();
    let file = tempfile::NamedTempFile::new().unwrap();
    let import = |toml: &str| {
        std::fs::write(file.path(), toml).unwrap();
        archive.said(&["registry", "import", path(file.path())])
    };
    assert!(!import(&demo).contains("changed): app"));
    let said = import(&demo.replacen("license = \"demo-license\"", "license = \"another\"", 1));
    assert_eq!(said.matches("(changed): ").count(), 1, "{said}");
    // the old license opens nothing any more
    failure(&archive.contract(&["token"]));
}

#[test]
fn new_entries_are_added_and_contradictions_are_refused_with_both_names() {
    let archive = Archive::start();
    let file = tempfile::NamedTempFile::new().unwrap();
    let import = |toml: &str| {
        std::fs::write(file.path(), toml).unwrap();
        archive.command(&["registry", "import", path(file.path())])
    };
    let hospital = "[[hospital]]\ncode = \"350099\"\nname = \"新\"\n";
    let said = text(&import(hospital));
    assert!(said.contains("(added): hospital 350099"), "{said}");
    // the demo's county has this prefix
    let said = failure(&import(&format!("{hospital}prefix = \"7173\"\n")));
    assert!(said.contains("350099") && said.contains("350006"), "{said}");
    let app = "[[app]]\nid = \"stray\"\nlicense = \"x\"\norg = \"999\"\nrights = [\"read\"]\nhospitals = [\"*\"]\n";
    let said = failure(&import(app));
    assert!(said.contains("stray") && said.contains("999"), "{said}");
}

#[test]
fn names_that_nobody_registered_are_refused() {
    let archive = Archive::start();
    let days = ["--from", "2026-07-04", "--to", "2026-07-04"];
    let commands: [&[&str]; 5] = [
        &["app", "errors", "nobody"],
        &["app", "errors", "ae:NOBODY"],
        &["app", "key", "nobody"],
        &["findings", "--hospital", "999999"],
        &[&["reconcile", "--hospital", "999999"][..], &days].concat(),
    ];
    for command in commands {
        let said = failure(&archive.command(command));
        assert!(said.contains("没有登记"), "{command:?} {said}");
    }
    // one that is there and was never refused is no mistake
    archive.said(&["app", "errors", "demo-reader"]);
}

#[test]
fn commands_say_what_form_of_a_date_they_take() {
    let archive = Archive::start();
    for (from, to, as_of, words) in [
        (
            "2026-07-05",
            "2026-07-04",
            None,
            "--from 2026-07-05 在 --to 2026-07-04 之后",
        ),
        ("5/7/2026", "2026-07-04", None, "--from 应为 YYYY-MM-DD"),
        (
            "2026-07-04",
            "2026-07-04",
            Some("2026-07-04"),
            "--as-of 应为",
        ),
    ] {
        let mut command = vec!["reconcile", "--from", from, "--to", to];
        command.extend(as_of.iter().flat_map(|time| ["--as-of", *time]));
        let said = failure(&archive.command(&command));
        assert!(said.contains(words), "{said}");
    }
}

#[test]
fn a_purge_asks_who_and_why_and_keeps_it() {
    let archive = Archive::start();
    let purge = ["purge-test-data", "350006"];
    let asked = archive.command(&purge);
    assert_eq!(asked.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&asked.stderr).contains("--reason"));
    let demo = std::fs::read_to_string(repository().join("deploy/demo/registry.toml")).unwrap();
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), demo.replacen("\"live\"", "\"test\"", 1)).unwrap();
    archive.said(&["registry", "import", path(file.path())]);
    text(&archive.contract(&["push", &sample("exam_push.json")]));
    let ruled = ["--reason", "上线", "--author", "王"];
    let said = archive.said(&[&purge[..], &ruled].concat());
    assert!(said.contains(": 1"), "{said}");
    let log = log(&archive);
    let purged = log
        .iter()
        .find(|it| it["event"]["title"] == "test-data-purged")
        .unwrap();
    assert_eq!(purged["actor"], "operator:王");
    assert!(purged.to_string().contains("上线"), "{purged}");
}

#[test]
fn a_rebuild_without_a_server_leaves_one_set_of_views() {
    let mut archive = Archive::start();
    text(&archive.contract(&["push", &sample("exam_push.json")]));
    assert!(archive.stop().success());
    for _ in 0..5 {
        archive.said(&["rebuild"]);
        let views = archive.data().join("views").read_dir().unwrap();
        assert_eq!(views.count(), 2, "the views in use, and their name");
    }
}

#[test]
fn contested_studies_are_called_by_their_uid() {
    let archive = Archive::start();
    let said = archive.said(&["findings", "study-conflict"]);
    assert!(said.contains("检查UID冲突"), "{said}");
}

#[test]
fn a_second_server_is_refused_with_words() {
    let archive = Archive::start();
    let data = archive.data();
    let second = std::process::Command::new(env!("CARGO_BIN_EXE_yingku"))
        .args([
            "serve",
            "--data",
            path(&data),
            "--http",
            "127.0.0.1:0",
            "--dicom",
            "127.0.0.1:0",
        ])
        .output()
        .unwrap();
    assert!(failure(&second).contains("in use by another process"));
    // and the first still answers
    assert!(archive.said(&["status"]).contains("正常"));
}

#[test]
fn one_flipped_bit_is_found_and_its_image_named() {
    let mut archive = Archive::start();
    text(&archive.contract(&["push", &sample("exam_push.json")]));
    text(&archive.node("send", &[&sample("dicom")]));
    assert!(archive.stop().success());
    archive.said(&["verify"]);

    // Given one flipped bit in the last image's pixels
    let packs = archive.data().join("packs");
    let pack = packs
        .read_dir()
        .unwrap()
        .map(|it| it.unwrap().path())
        .find(|it| it.is_file())
        .unwrap();
    let image = std::fs::read(sample("dicom/slice-2.dcm")).unwrap();
    let mut bytes = std::fs::read(&pack).unwrap();
    let end = &image[image.len() - 64..];
    let at = bytes
        .windows(end.len())
        .rposition(|part| part == end)
        .unwrap();
    bytes[at] ^= 1;
    std::fs::write(&pack, bytes).unwrap();

    // Then verifying fails and says which image it is
    let said = failure(&archive.command(&["verify"]));
    assert!(
        said.contains("1.2.826.0.1.3680043.8.498.1.2 350006/"),
        "{said}"
    );
}
