//! Apply forms as an operator lists them.

use yingku_core::apply_form::FormSource;
use yingku_core::contract::apply_form::{FormContext, parse};
use yingku_core::contract::xml;
use yingku_core::event::{ApplyFormReceived, Event};
use yingku_core::outcome::Outcome;
use yingku_storage::archive::{Archive as Opened, ArchiveOptions, Submission};
use yingku_storage::keys::ClusterKey;
use yingku_storage::log::EmbeddedLogOptions;
use yingku_storage::packs::PackOptions;

use crate::process::{Archive, failure, text};

const FORM: &str = include_str!("../fixtures/contract/syn_apply_info.xml");

/// Brings forms into a stopped archive, each by its number and the time of its request.
async fn bring(archive: &Archive, forms: &[(&str, &str)]) {
    let data = archive.data();
    let key = ClusterKey::load(&data.join("keys/cluster.key"), false).unwrap();
    let options = ArchiveOptions {
        log: EmbeddedLogOptions::default().into(),
        packs: PackOptions::default(),
    };
    let opened = Opened::open(&data, options, key).await.unwrap();
    for (apply_no, req_time) in forms {
        let document = FORM
            .replace("7173_00000001", &format!("7173_{apply_no}"))
            .replace("2026-07-04 09:30:00", req_time);
        let registry = opened.registry();
        let context = FormContext {
            registry: &registry,
        };
        let parsed = parse(&xml::read(&document).unwrap(), context).unwrap();
        let submission = Submission {
            hospital: None,
            actor: "his:test".to_owned(),
            event: Event::ApplyFormReceived(ApplyFormReceived {
                hospital: parsed.hospital,
                source: FormSource::Soap,
                body: parsed.body,
            }),
        };
        let outcome = opened.submit(submission).await.unwrap().outcome;
        assert!(matches!(outcome, Outcome::Form(_)), "{outcome:?}");
    }
    opened.close().await;
}

/// Numbers of the forms that a table lists.
fn numbers(table: &str) -> Vec<&str> {
    let rows = table.lines().skip(1);
    rows.filter_map(|row| row.split_whitespace().next())
        .collect()
}

#[tokio::test]
async fn an_operator_lists_forms_and_how_long_they_take() {
    // Given two forms of a day and one of the next, and an exam with a report for the first (the sample's)
    let mut archive = Archive::start();
    assert!(archive.stop().success());
    let forms = [
        ("00000001", "2026-07-04 09:30:00"),
        ("00000002", "2026-07-04 11:00:00"),
        ("00000003", "2026-07-05 08:00:00"),
    ];
    bring(&archive, &forms).await;
    archive.start_again();
    let sample = "deploy/demo/samples/exam_push.json";
    text(&archive.contract(&["push", sample]));
    // When they are listed, with a server and without
    let commands: [&[&str]; 4] = [
        &[
            "forms",
            "list",
            "350006",
            "--from",
            "2026-07-04",
            "--to",
            "2026-07-04",
        ],
        &["forms", "list", "350006", "--open-after"],
        &[
            "forms",
            "list",
            "350006",
            "--open-after",
            "1",
            "--from",
            "2026-07-05",
            "--to",
            "2026-07-06",
        ],
        &[
            "forms",
            "turnaround",
            "350006",
            "--from",
            "2026-07-04",
            "--to",
            "2026-07-05",
            "--csv",
        ],
    ];
    let served: Vec<String> = commands.iter().map(|it| archive.said(it)).collect();
    // Then
    assert_eq!(numbers(&served[0]), ["00000001", "00000002"]);
    assert!(served[0].contains("已报告 (reported)") && served[0].contains("E20260704001"));
    assert_eq!(numbers(&served[1]), ["00000002", "00000003"]);
    assert_eq!(numbers(&served[2]), ["00000003"]);
    let lines: Vec<Vec<&str>> = served[3]
        .lines()
        .map(|line| line.split(',').collect())
        .collect();
    let cell = |row: usize, name: &str| {
        let column = lines[0].iter().position(|it| *it == name).unwrap();
        lines[row][column]
    };
    assert_eq!(lines.len(), 3);
    assert_eq!(
        [cell(1, "date"), cell(1, "forms"), cell(1, "withReport")],
        ["2026-07-04", "2", "1"]
    );
    // from 09:30:00 to 10:54:32
    assert_eq!(
        [
            cell(1, "applyToExamCount"),
            cell(1, "applyToExamMedianMinutes")
        ],
        ["1", "84"]
    );
    assert_eq!(
        [cell(2, "forms"), cell(2, "applyToExamMedianMinutes")],
        ["1", ""]
    );
    assert!(archive.stop().success());
    let alone: Vec<String> = commands.iter().map(|it| archive.said(it)).collect();
    assert_eq!(served, alone);
}

#[test]
fn what_cannot_be_listed_is_refused_with_words() {
    let archive = Archive::start();
    for (arguments, words) in [
        (&["forms", "list", "350006"][..], "--open-after"),
        (&["forms", "list", "999999", "--open-after"], "999999"),
        (
            &[
                "forms",
                "turnaround",
                "350006",
                "--from",
                "2026-07-05",
                "--to",
                "2026-07-04",
            ],
            "400",
        ),
        (
            &[
                "forms",
                "turnaround",
                "350006",
                "--from",
                "7月",
                "--to",
                "2026-07-04",
            ],
            "--from",
        ),
        (
            &["notices", "again", "--his", "nobody", "--all-stopped"],
            "nobody",
        ),
    ] {
        let said = failure(&archive.command(arguments));
        assert!(said.contains(words), "{said}");
    }
}
