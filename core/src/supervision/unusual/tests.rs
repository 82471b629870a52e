#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use super::*;

const DOCTOR: Look<'static> = Look {
    reader: "app:record",
    user: "D007",
    read_for: "350001",
    operation: "citation",
    target: "350001/E1",
    reason: "",
    date: LocalDate::LAST,
    hour: 10,
};

fn day(text: &str) -> LocalDate {
    LocalDate::parse(text).unwrap()
}

/// Limits of which only those that a test sets are on.
fn none() -> Limits {
    Limits {
        opened_hour: 0,
        opened_day: 0,
        listed_day: 0,
        night: (22, 6),
        night_least: 0,
        night_times: 2,
        emergencies_day: 0,
        lookers: 0,
        lookers_days: 7,
        refused_day: 0,
    }
}

fn told(findings: &Findings) -> Vec<(Kind, &str, u32, Option<u32>, u32)> {
    let lines = findings.lines.iter();
    lines
        .map(|it| (it.kind, &*it.at, it.count, it.of, it.times))
        .collect()
}

#[test]
fn who_opens_many_exams_in_an_hour_or_a_day_is_told_once_with_the_most() {
    // Given three exams in one hour and two in the next, and the same exams again the day after but for one
    let mut watch = Watch::new(Limits {
        opened_hour: 3,
        opened_day: 4,
        ..none()
    });
    let look = |date: &str, hour, target: &'static str| Look {
        target,
        date: day(date),
        hour,
        ..DOCTOR
    };
    for (date, hour, exam) in [
        ("2026-07-04", 10, "350001/E1"),
        ("2026-07-04", 10, "350001/E2"),
        ("2026-07-04", 10, "350001/E2"),
        ("2026-07-04", 10, "350001/E3"),
        ("2026-07-04", 11, "350001/E4"),
        ("2026-07-04", 11, "350001/E5"),
        ("2026-07-05", 8, "350001/E1"),
        ("2026-07-05", 9, "350001/E2"),
        ("2026-07-05", 10, "350001/E3"),
        ("2026-07-05", 11, "350001/E4"),
    ] {
        watch.look(&look(date, hour, exam));
    }
    // and another user of the same app who opens less
    watch.look(&Look {
        user: "D008",
        ..look("2026-07-05", 12, "350001/E9")
    });
    // When it is over
    let findings = watch.finish();
    // Then each exam counts once in its hour and in its day, and both days came to the limit
    assert_eq!(
        told(&findings),
        [
            (Kind::OpenedHour, "2026-07-04 10:00", 3, None, 1),
            (Kind::OpenedDay, "2026-07-04", 5, None, 2),
        ]
    );
    assert!(findings.lines.iter().all(|line| line.user == "D007"));
    assert_eq!((findings.readings, findings.is_partial), (11, false));
}

#[test]
fn exams_in_lists_count_apart_from_those_that_are_opened() {
    let mut watch = Watch::new(Limits {
        opened_day: 2,
        listed_day: 3,
        ..none()
    });
    for (operation, target) in [
        ("search", "350001/E1 350001/E2 350002/E1"),
        ("citation", "350001/E1"),
        // not exams: a range of days, forms, a study whose exams are named beside it
        ("statistics.load", "2026-07-01/2026-07-02"),
        ("applyFetch", "1/2 3/4"),
        ("citation", "1.2.826.0.1"),
        ("clinic", "3 exams"),
    ] {
        watch.look(&Look {
            operation,
            target,
            ..DOCTOR
        });
    }
    let day = LocalDate::LAST.to_string();
    let findings = watch.finish();
    assert_eq!(told(&findings), [(Kind::ListedDay, &*day, 3, None, 1)]);
}

#[test]
fn studies_that_an_ae_fetches_are_exams_that_it_opens() {
    let mut watch = Watch::new(Limits {
        opened_day: 2,
        ..none()
    });
    for target in ["1.2.826.0.1", "1.2.826.0.2", ""] {
        watch.look(&Look {
            reader: "ae:WS1",
            operation: "move",
            target,
            ..DOCTOR
        });
    }
    assert_eq!(watch.finish().lines.len(), 1);
}

#[test]
fn reading_in_the_night_is_held_against_the_reader_s_own_days() {
    // Given one with 4 readings in a night of 8 hours and 4 in a day of 16, and one who reads in the night only
    let limits = Limits {
        night_least: 4,
        ..none()
    };
    let mut watch = Watch::new(limits);
    for hour in [22, 23, 0, 5, 6, 12, 18, 21] {
        watch.look(&Look { hour, ..DOCTOR });
    }
    for hour in [22, 23, 0, 5] {
        let user = "D008";
        watch.look(&Look {
            hour,
            user,
            ..DOCTOR
        });
    }
    // Then twice as many an hour is as much as may be, and more is told
    let findings = watch.finish();
    assert_eq!(told(&findings), [(Kind::Night, "", 4, Some(0), 0)]);
    assert_eq!(findings.lines[0].user, "D008");
}

#[test]
fn many_emergencies_in_a_day_are_told_with_all_reasons_of_that_day() {
    let mut watch = Watch::new(Limits {
        emergencies_day: 2,
        ..none()
    });
    for (date, reason) in [
        ("2026-07-04", "emergency"),
        ("2026-07-05", "visit"),
        ("2026-07-05", "emergency"),
        ("2026-07-05", ""),
        ("2026-07-05", "emergency"),
    ] {
        watch.look(&Look {
            reason,
            date: day(date),
            ..DOCTOR
        });
    }
    assert_eq!(
        told(&watch.finish()),
        [(Kind::Emergencies, "2026-07-05", 2, Some(3), 1)]
    );
}

#[test]
fn an_exam_that_users_of_other_hospitals_open_within_days_is_named() {
    let mut watch = Watch::new(Limits {
        lookers: 3,
        lookers_days: 2,
        ..none()
    });
    let look = |date: &str, user, read_for, target| Look {
        date: day(date),
        user,
        read_for,
        target,
        ..DOCTOR
    };
    for (date, user, read_for, exam) in [
        // Given an exam at which three look within two days, one of them twice
        ("2026-07-04", "A", "350002", "350001/KNOWN"),
        ("2026-07-04", "A", "350002", "350001/KNOWN"),
        ("2026-07-05", "B", "350002", "350001/KNOWN"),
        ("2026-07-05", "A", "350003", "350001/KNOWN"),
        // one at which three look over more days
        ("2026-07-05", "A", "350002", "350001/OLD"),
        ("2026-07-06", "B", "350002", "350001/OLD"),
        ("2026-07-07", "C", "350002", "350001/OLD"),
        // and one at which its own hospital looks
        ("2026-07-07", "A", "350001", "350001/OWN"),
        ("2026-07-07", "B", "350001", "350001/OWN"),
        ("2026-07-07", "C", "350001", "350001/OWN"),
        ("2026-07-20", "C", "350001", "350001/OWN"),
    ] {
        watch.look(&look(date, user, read_for, exam));
    }
    // Then the first is named, long after as well
    let findings = watch.finish();
    assert_eq!(
        told(&findings),
        [(Kind::WellKnown, "2026-07-05", 3, None, 1)]
    );
    assert_eq!(findings.lines[0].exam, "350001/KNOWN");
}

#[test]
fn more_readers_than_are_told_apart_are_said_to_be_left_out() {
    let mut watch = Watch::new(Limits::default());
    for number in 0..=READERS_LIMIT {
        watch.look(&Look {
            user: &number.to_string(),
            ..DOCTOR
        });
    }
    assert!(watch.finish().is_partial);
}

#[test]
fn the_largest_of_a_kind_are_kept_and_all_are_counted() {
    let line = |count| Unusual {
        kind: Kind::Refused,
        reader: format!("app:{count}"),
        user: String::new(),
        read_for: String::new(),
        exam: String::new(),
        at: String::new(),
        count,
        of: None,
        times: 1,
    };
    let lines = (0..LINES_LIMIT as u32 + 5).map(line).collect();
    let findings = Findings::default().with(lines);
    assert_eq!(findings.total, LINES_LIMIT + 5);
    assert_eq!(findings.lines.len(), LINES_LIMIT);
    assert_eq!(findings.lines.last().unwrap().count, 5);
}
