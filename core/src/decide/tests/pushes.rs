//! R6: repetition, order and reuse of numbers.

use super::*;

fn e1(status: u8) -> Push {
    Push::new("350006", "E1", "王一", status, "1.2.1")
}

#[test]
fn the_same_push_again_is_one_version() {
    let mut house = House::new();
    assert_eq!(step(&house.push(&e1(70))), PushStep::Registered);
    for _ in 0..10 {
        assert_eq!(step(&house.push(&e1(70))), PushStep::Repeated);
    }
    assert_eq!(house.row("350006", "E1").version, 1);
}

#[test]
fn a_b_a_are_three_versions() {
    let mut house = House::new();
    let b = e1(70).with("/examInfo/applyNo", "F2");
    for (push, expected) in [
        (&e1(70), PushStep::Registered),
        (&b, PushStep::Changed),
        (&e1(70), PushStep::Changed),
    ] {
        assert_eq!(step(&house.push(push)), expected);
    }
    let row = house.row("350006", "E1");
    assert_eq!((row.version, row.report), (3, ReportState::Revised));
}

#[test]
fn a_late_status_stays_in_the_history() {
    // Given a confirmed exam
    let mut house = House::new();
    house.push(&e1(70));
    // When a preliminary report comes late, twice
    assert_eq!(step(&house.push(&e1(60))), PushStep::Late);
    assert_eq!(step(&house.push(&e1(60))), PushStep::Repeated);
    // Then the exam is as it was, but marked
    let row = house.row("350006", "E1");
    assert_eq!(
        (row.status, row.report, row.version),
        (70, ReportState::Confirmed, 2)
    );
    assert!(row.has(ExamFlag::LateStatus));
    assert_eq!(step(&house.push(&e1(70))), PushStep::Repeated);
}

#[test]
fn sent_back_takes_the_report_back_and_a_new_one_is_revised() {
    let mut house = House::new();
    house.push(&e1(70));
    let confirmed_ms = house.row("350006", "E1").confirmed_ms;
    house.push(&e1(65));
    assert_eq!(house.row("350006", "E1").report, ReportState::Returned);
    assert!(!house.row("350006", "E1").is_accordant());
    house.push(&e1(70).with("/examInfo/applyNo", "F2"));
    let row = house.row("350006", "E1");
    assert_eq!(
        (row.report, row.confirmed_ms),
        (ReportState::Revised, confirmed_ms)
    );
}

#[test]
fn a_report_that_comes_back_unchanged_is_shown_as_it_was() {
    let mut house = House::new();
    let revised = e1(70).with("/examInfo/applyNo", "F2");
    for (push, shown) in [
        (e1(70), ReportState::Confirmed),
        (e1(65), ReportState::Returned),
        (e1(70), ReportState::Confirmed),
        (revised.clone(), ReportState::Revised),
        (e1(65), ReportState::Returned),
        (revised, ReportState::Revised),
        (e1(70), ReportState::Revised),
    ] {
        house.push(&push);
        assert_eq!(house.row("350006", "E1").report, shown);
    }
}

/// A push without `imageList`.
fn bare(exam_no: &str, person: &str, status: u8) -> Push {
    let mut push = Push::new("350006", exam_no, person, status, "1.2.1");
    push.0.as_object_mut().unwrap().remove("imageList");
    push
}

#[test]
fn an_unknown_patient_of_the_emergency_room_is_identified() {
    for identified in [bare("E1", "李四", 70), e1(70)] {
        let mut house = House::new();
        house.push(&bare("E1", "无名氏", 50));
        assert_eq!(step(&house.push(&identified)), PushStep::Changed);
        assert_eq!(house.row("350006", "E1").version, 2);
    }
}

#[test]
fn a_confirmed_report_goes_to_no_other_person_and_the_refusal_tells_the_true_reason() {
    let with_studies = |person| Push::new("350006", "E1", person, 70, "1.2.9");
    for (first, second, reason) in [
        (
            bare("E1", "王一", 70),
            bare("E1", "李四", 70),
            "均无检查UID",
        ),
        (
            bare("E1", "王一", 70),
            with_studies("李四"),
            "原检查报告已确认",
        ),
        (
            with_studies("王一"),
            bare("E1", "李四", 70),
            "没有原检查的任何检查UID",
        ),
        (e1(70), with_studies("李四"), "检查UID全部不同"),
    ] {
        let mut house = House::new();
        house.push(&first);
        let Outcome::Refused(refusal) = house.push(&second) else {
            panic!("taken")
        };
        assert_eq!(refusal.rule, "number-reuse");
        assert!(refusal.message.contains(reason), "{}", refusal.message);
    }
}

#[test]
fn an_exam_that_was_under_way_when_numbers_started_anew_goes_on() {
    // Given an exam without images so far, and a new generation of numbers opened for another one
    let mut house = House::new();
    house.push(&bare("E7", "赵六", 50));
    house.push(&e1(70));
    let refused = Position(house.next);
    house.push(&Push::new("350006", "E1", "李四", 70, "1.2.9"));
    let ruling = ReuseRuling::NewGeneration;
    house.correct(CorrectionAction::RuleReuse { refused, ruling });
    // When its report comes, with images or without, then it is that exam's next version
    house.push(&bare("E7", "赵六", 60));
    house.push(&Push::new("350006", "E7", "赵六", 70, "1.2.7"));
    assert_eq!(house.row("350006", "E7").version, 3);
    assert!(!house.exams.contains_key(&key("350006", "E7", 1)));
    // And the number is free for another person
    let other = Push::new("350006", "E7", "孙七", 70, "1.2.8");
    assert_eq!(step(&house.push(&other)), PushStep::Registered);
    assert_eq!(house.exams[&key("350006", "E7", 1)].name, "孙七");
}

#[test]
fn only_who_differs_from_the_first_claimant_is_told_of_a_conflict() {
    let mut house = House::new();
    let told = |outcome: &Outcome| match outcome {
        Outcome::Push(push) => push.contested,
        other => panic!("not a push: {other:?}"),
    };
    let claim = |exam, person| Push::new("350006", exam, person, 70, "1.2.1");
    assert!(!told(&house.push(&claim("A", "王一"))));
    assert!(told(&house.push(&claim("B", "李四"))));
    assert!(!told(&house.push(&claim("C", "王一"))));
    assert!(!told(&house.push(&claim("A", "王一").status(65))));
    assert!(told(&house.push(&claim("B", "李四").status(65))));
}

#[test]
fn another_person_with_other_studies_is_suspected_reuse() {
    let mut house = House::new();
    house.push(&e1(70));
    let other = Push::new("350006", "E1", "李四", 70, "1.2.9");
    assert_eq!(rule(&house.push(&other)), "number-reuse");
    assert_eq!(house.listed(FindingKind::NumberReuse), 1);
    assert_eq!(house.row("350006", "E1").name, "王一");
    // A changed name alone, or a changed study alone, is a correction.
    assert_eq!(
        step(&house.push(&e1(70).with("/patientInfo/name", "王壹"))),
        PushStep::Changed
    );
}

#[test]
fn a_ruling_makes_the_suspected_push_the_next_version() {
    let mut house = House::new();
    house.push(&e1(70));
    let refused = Position(house.next);
    house.push(&Push::new("350006", "E1", "李四", 70, "1.2.9"));
    let ruling = ReuseRuling::Correction;
    assert_eq!(
        house
            .correct(CorrectionAction::RuleReuse { refused, ruling })
            .0,
        Outcome::Done
    );
    let row = house.row("350006", "E1");
    assert_eq!((row.name.as_str(), row.version), ("李四", 2));
    assert_eq!(house.listed(FindingKind::NumberReuse), 0);
    // And only once.
    let again = house
        .correct(CorrectionAction::RuleReuse { refused, ruling })
        .0;
    assert_eq!(rule(&again), "not-found");
}

#[test]
fn a_ruled_correction_is_never_late_and_can_be_undone() {
    for status in [50, 60] {
        // Given a confirmed exam, and a suspected push without a final report
        let mut house = House::new();
        house.push(&e1(70));
        let refused = Position(house.next);
        house.push(&Push::new("350006", "E1", "李四", status, "1.2.9"));
        // When it is ruled to be a correction
        let ruling = ReuseRuling::Correction;
        let (outcome, ruled) = house.correct(CorrectionAction::RuleReuse { refused, ruling });
        // Then the exam has its content
        assert_eq!(outcome, Outcome::Done);
        let row = house.row("350006", "E1");
        assert_eq!((row.name.as_str(), row.status), ("李四", status));
        assert!(!row.has(ExamFlag::LateStatus));
        // And the undoing gives back what was
        assert_eq!(house.undo(ruled), Outcome::Done);
        let row = house.row("350006", "E1");
        assert_eq!((row.name.as_str(), row.status), ("王一", 70));
        assert_eq!(house.listed(FindingKind::NumberReuse), 1);
    }
}

#[test]
fn a_new_generation_serves_all_reused_numbers_and_old_exams_are_still_found() {
    // Given two exams and two pushes that use their numbers for others
    let mut house = House::new();
    let old = |n: u32| {
        Push::new(
            "350006",
            &format!("E{n}"),
            &format!("王{n}"),
            70,
            &format!("1.2.{n}"),
        )
    };
    let new = |n: u32| {
        Push::new(
            "350006",
            &format!("E{n}"),
            &format!("李{n}"),
            70,
            &format!("1.3.{n}"),
        )
    };
    let mut refused = Vec::new();
    for n in [1, 2] {
        house.push(&old(n));
        refused.push(Position(house.next));
        assert_eq!(rule(&house.push(&new(n))), "number-reuse");
    }
    // When both are ruled to be of a new generation
    for refused in refused {
        let ruling = ReuseRuling::NewGeneration;
        house.correct(CorrectionAction::RuleReuse { refused, ruling });
    }
    // Then one generation was opened, not two
    assert_eq!(house.registry.hospitals[&code("350006")].generation, 1);
    assert_eq!(house.exams[&key("350006", "E2", 1)].name, "李2");
    // And pushes find the exam that they are of
    assert_eq!(step(&house.push(&new(1))), PushStep::Repeated);
    assert_eq!(step(&house.push(&old(1))), PushStep::Repeated);
    assert_eq!(step(&house.push(&old(2).status(65))), PushStep::Changed);
    assert_eq!(
        house.exams[&key("350006", "E2", 0)].report,
        ReportState::Returned
    );
}

#[test]
fn what_was_pushed_in_test_counts_when_it_is_pushed_again_live() {
    let mut house = House::new();
    house.put_hospital("350006", HospitalMode::Test);
    house.push(&e1(70));
    assert!(!house.row("350006", "E1").is_counted());
    house.put_hospital("350006", HospitalMode::Live);
    assert_eq!(step(&house.push(&e1(70))), PushStep::Changed);
    assert!(house.row("350006", "E1").is_counted());
    assert_eq!(step(&house.push(&e1(70))), PushStep::Repeated);
}

#[test]
fn a_trial_neither_marks_nor_changes_a_live_exam_and_a_purge_leaves_it() {
    // Given a live exam with its images, whose hospital goes into trial
    let mut house = House::new();
    house.push(&e1(70));
    house.store(&Images::new("1.2.1", "C-E1", 0..2));
    house.put_hospital("350006", HospitalMode::Test);
    // When it is pushed with other content, of the same person or another
    let other = Push::new("350006", "E1", "李四", 70, "1.2.9");
    for push in [&e1(65), &other] {
        assert_eq!(rule(&house.push(push)), "exam-live");
    }
    // Or its app withdraws it
    let exam = key("350006", "E1", 0);
    let withdrawn = house.correct_as("app:demo-pacs", CorrectionAction::WithdrawExam { exam });
    assert_eq!(rule(&withdrawn.0), "exam-live");
    // Then it counts as before, and is not purged
    house.take("operator:o", purge(vec![key("350006", "E1", 0)]));
    let row = house.row("350006", "E1");
    assert_eq!((row.version, row.is_accordant()), (1, true));
    assert_eq!(house.shown("350006", "1.2.1"), 2);
    assert_eq!(house.listed(FindingKind::NumberReuse), 0);
    // And what is pushed again unchanged is a repeat
    assert_eq!(step(&house.push(&e1(70))), PushStep::Repeated);
}

#[test]
fn a_live_push_that_is_ruled_on_during_a_trial_stays_live() {
    let mut house = House::new();
    house.push(&e1(70));
    let refused = Position(house.next);
    house.push(&Push::new("350006", "E1", "李四", 70, "1.2.9"));
    house.put_hospital("350006", HospitalMode::Test);
    let ruling = ReuseRuling::Correction;
    house.correct(CorrectionAction::RuleReuse { refused, ruling });
    let row = house.row("350006", "E1");
    assert_eq!((row.name.as_str(), row.is_counted()), ("李四", true));
}

/// E1 of a trial with images of somebody else, and its hospital live.
fn tried() -> House {
    let mut house = House::new();
    house.put_hospital("350006", HospitalMode::Test);
    house.push(&e1(70));
    house.store(&Images {
        name: "张三",
        ..Images::new("1.2.1", "C-E1", 0..2)
    });
    house.put_hospital("350006", HospitalMode::Live);
    assert_eq!(house.listed(FindingKind::IdentityDoubt), 1);
    house
}

#[test]
fn a_trials_exam_gives_its_number_to_the_live_one_of_another_person() {
    // Given an exam of a trial
    let mut house = tried();
    let tried = house.row("350006", "E1").first_position;
    // When its number comes with another person and study
    let live = Push::new("350006", "E1", "李四", 60, "1.2.9");
    assert_eq!(step(&house.push(&live)), PushStep::Registered);
    // Then that is a first push, and nothing of the trial's exam is its own
    let row = house.row("350006", "E1");
    assert_eq!((row.name.as_str(), row.confirmed_ms), ("李四", 0));
    assert!(row.is_counted() && row.first_position > tried);
    for kind in [FindingKind::NumberReuse, FindingKind::IdentityDoubt] {
        assert_eq!(house.listed(kind), 0);
    }
    assert_eq!(house.claims[&uid("1.2.1")].active().count(), 0);
    // And the number's history has both
    let lines = house
        .history
        .iter()
        .map(|line| (line.step, line.row.name.as_str()));
    let mut registered = lines.filter(|(step, _)| *step == ExamStep::Registered);
    assert!(
        registered
            .by_ref()
            .map(|(_, name)| name)
            .eq(["王一", "李四"])
    );
    // But of the same person it is the trial's exam that goes live
    let mut house = self::tried();
    let same = Push::new("350006", "E1", "王一", 70, "1.2.8");
    assert_eq!(step(&house.push(&same)), PushStep::Changed);
}

#[test]
fn a_trials_exam_that_an_operator_ruled_on_does_not_give_way() {
    let mut house = tried();
    house.push(&Push::new("350007", "E9", "孙七", 70, "1.2.1"));
    house.correct(CorrectionAction::RuleConflict {
        study: uid("1.2.1"),
        exam: key("350006", "E1", 0),
    });
    let live = Push::new("350006", "E1", "李四", 70, "1.2.9");
    assert_eq!(rule(&house.push(&live)), "number-reuse");
}

#[test]
fn unknown_and_suspended_hospitals_push_nothing() {
    let mut house = House::new();
    house.put_hospital("350007", HospitalMode::Suspended);
    let other = |hospital| Push::new(hospital, "E1", "王一", 70, "1.2.1");
    assert_eq!(rule(&house.push(&other("999999"))), "hospital-unknown");
    assert_eq!(rule(&house.push(&other("350007"))), "hospital-suspended");
    assert!(house.exams.is_empty());
}

#[test]
fn unknown_classes_and_placeholders_are_flagged() {
    let mut house = House::new();
    house.push(
        &e1(70)
            .with("/examInfo/examClass", "骨密度")
            .with("/examInfo/applyNo", "无"),
    );
    let row = house.row("350006", "E1");
    assert!(row.has(ExamFlag::UnknownClass) && row.has(ExamFlag::PlaceholderApplyNo));
    assert!(!row.is_accordant());
}

#[test]
fn a_report_that_was_taken_back_stays_so_when_a_late_50_comes() {
    let mut house = House::new();
    house.push(&e1(70));
    house.push(&e1(65));
    assert_eq!(step(&house.push(&e1(50))), PushStep::Late);
    assert_eq!(house.row("350006", "E1").report, ReportState::Returned);
    // A new draft is another matter
    assert_eq!(step(&house.push(&e1(60))), PushStep::Changed);
    assert_eq!(house.row("350006", "E1").report, ReportState::Preliminary);
}

/// Exam E1 of one person, and E2 of another with the first one's apply form.
fn reused_form() -> (House, Push, Position) {
    let mut house = House::new();
    house.push(&e1(70).with("/examInfo/applyNo", "F1"));
    let other = Push::new("350006", "E2", "李四", 70, "1.2.2").with("/examInfo/applyNo", "F1");
    let refused = Position(house.next);
    let Outcome::Refused(refusal) = house.push(&other) else {
        panic!("taken")
    };
    assert_eq!(refusal.rule, "number-reuse");
    assert_eq!(refusal.path, "examInfo.applyNo");
    assert!(!house.exams.contains_key(&key("350006", "E2", 0)));
    (house, other, refused)
}

#[test]
fn an_apply_form_that_is_used_for_another_person_is_listed_and_ruled_on() {
    // As a correction: it was this person's form
    let (mut house, other, refused) = reused_form();
    assert_eq!(house.listed(FindingKind::NumberReuse), 1);
    let ruling = ReuseRuling::Correction;
    house.correct(CorrectionAction::RuleReuse { refused, ruling });
    assert_eq!(house.row("350006", "E2").name, "李四");
    assert_eq!(step(&house.push(&other.status(65))), PushStep::Changed);
    // As a new generation: the hospital's numbers start anew
    let (mut house, other, refused) = reused_form();
    let ruling = ReuseRuling::NewGeneration;
    house.correct(CorrectionAction::RuleReuse { refused, ruling });
    assert_eq!(house.registry.hospitals[&code("350006")].generation, 1);
    assert_eq!(step(&house.push(&other)), PushStep::Repeated);
    assert_eq!(house.exams[&key("350006", "E2", 1)].name, "李四");
    assert_eq!(step(&house.push(&e1(65))), PushStep::Changed);
}

#[test]
fn an_exam_that_comes_to_name_anothers_form_is_refused() {
    let mut house = House::new();
    house.push(&e1(70));
    let other = Push::new("350006", "E2", "李四", 70, "1.2.2");
    house.push(&other);
    let taken = other.with("/examInfo/applyNo", "F-王一");
    assert_eq!(rule(&house.push(&taken)), "number-reuse");
}

#[test]
fn a_form_is_shared_by_one_persons_exams_and_free_again_when_they_are_withdrawn() {
    let form = |exam_no, person| {
        let study = format!("1.2.{exam_no}").replace('E', "");
        Push::new("350006", exam_no, person, 70, &study).with("/examInfo/applyNo", "F1")
    };
    let mut house = House::new();
    for exam in ["E1", "E2"] {
        assert_eq!(step(&house.push(&form(exam, "王一"))), PushStep::Registered);
    }
    for exam in ["E1", "E2"] {
        assert_eq!(rule(&house.push(&form("E3", "李四"))), "number-reuse");
        let exam = key("350006", exam, 0);
        house.correct(CorrectionAction::WithdrawExam { exam });
    }
    assert_eq!(step(&house.push(&form("E3", "李四"))), PushStep::Registered);
    // A placeholder is nobody's form
    let none = |exam_no, person| form(exam_no, person).with("/examInfo/applyNo", "无");
    house.push(&none("E5", "王一"));
    assert_eq!(step(&house.push(&none("E6", "李四"))), PushStep::Registered);
}
