//! The feed: a copy that follows it is the archive's, and nobody is told of exams that are not for him.

use std::collections::{BTreeMap, BTreeSet};

use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use rand::{Rng, SeedableRng};
use serde_json::{Value, json};
use yingku_core::correction::{CorrectionAction, CorrectionMade};
use yingku_core::event::{Event, TestDataPurged};
use yingku_core::ids::{ExamKey, ExamNo, Position, StudyUid};
use yingku_core::outcome::{Decided, Outcome};
use yingku_core::registry::{App, Hospital, HospitalMode, OwnOnly, RegistryChange, Right, Scope};
use yingku_storage::archive::{AuditEntry, Submission};

use crate::house::{House, Response, code, hospital, push_with, sign};

const FEED: &str = "/v1/feed";
/// The last two: one keeps its check-ups to itself, one is being tried out.
const HOSPITALS: [&str; 4] = ["350006", "350007", "350009", "350008"];
const KEEPS: &str = "350009";
const TRIAL: &str = "350008";

/// An archive of four hospitals, and an app that pushes for them all.
struct Region {
    house: House,
    pacs: String,
}

fn keeps(own_only: OwnOnly) -> RegistryChange {
    RegistryChange::PutHospital(Hospital {
        own_only,
        ..hospital(KEEPS, HospitalMode::Live)
    })
}

fn check_ups() -> OwnOnly {
    OwnOnly {
        patients: ["体检".to_owned()].into(),
        ..OwnOnly::default()
    }
}

async fn region() -> Region {
    let house = House::open().await;
    let all = house.app("all-pacs", Scope::all());
    house
        .change(vec![keeps(check_ups()), RegistryChange::PutApp(all)])
        .await;
    let pacs = house.token("all-pacs").await;
    Region { house, pacs }
}

fn key_of(hospital: &str, exam_no: &str) -> ExamKey {
    ExamKey {
        hospital: code(hospital),
        exam_no: ExamNo::new(exam_no).unwrap(),
        generation: 0,
    }
}

/// A push of the exam with this number, which has a patient and a study of its own.
fn push(hospital: &str, number: usize, source: &str, impression: &str, status: &str) -> String {
    let patient = json!(format!("CT{number:06}"));
    push_with(&[
        ("/hospitalCode", json!(hospital)),
        ("/examNo", json!(format!("E{number}"))),
        ("/patientInfo/sickId", json!(format!("C{number}"))),
        ("/patientInfo/patientSource", json!(source)),
        ("/examInfo/applyNo", json!(format!("A{number}"))),
        ("/examInfo/patientID", patient.clone()),
        ("/examInfo/examStatus", json!(status)),
        ("/reportList/0/impression", json!(impression)),
        ("/imageList/0/patientID", patient),
        (
            "/imageList/0/studyUID",
            json!(format!("1.2.3.{}", number + 1)),
        ),
    ])
}

impl Region {
    async fn push(&self, body: String) -> bool {
        let response = self.house.post("/v1/exam/push", &self.pacs, body).await;
        response.status() == 0
    }

    async fn pushed(&self, hospital: &str, number: usize, source: &str, impression: &str) {
        assert!(
            self.push(push(hospital, number, source, impression, "70"))
                .await
        );
    }

    async fn submit(&self, event: Event) -> Decided {
        let submission = Submission {
            hospital: None,
            actor: "operator:test".to_owned(),
            event,
        };
        self.house.archive.submit(submission).await.unwrap()
    }

    /// Where the correction is, if it was made.
    async fn correct(&self, action: CorrectionAction) -> Option<Position> {
        let made = CorrectionMade {
            action,
            reason: "误传".to_owned(),
            author: "tester".to_owned(),
        };
        let decided = self.submit(Event::CorrectionMade(made)).await;
        matches!(decided.outcome, Outcome::Done).then_some(decided.position)
    }

    async fn withdraw(&self, hospital: &str, number: usize) -> Option<Position> {
        let exam = key_of(hospital, &format!("E{number}"));
        self.correct(CorrectionAction::WithdrawExam { exam }).await
    }

    async fn reader(&self, id: &str, org: &str, hospitals: Scope) -> String {
        self.put_reader(id, org, hospitals).await;
        let sign = sign(&format!("{id},{org},demo-license"));
        let token = self.house.get_token(&sign).await;
        token.result()["token"].as_str().unwrap().to_owned()
    }

    async fn put_reader(&self, id: &str, org: &str, hospitals: Scope) {
        let app = App {
            rights: [Right::Read].into(),
            org: code(org),
            ..self.house.app(id, hospitals)
        };
        self.house.change(vec![RegistryChange::PutApp(app)]).await;
    }

    async fn ask(&self, token: &str, question: &Value, cursor: Option<&str>) -> Response {
        let mut question = question.clone();
        if let Some(cursor) = cursor {
            question["cursor"] = json!(cursor);
        }
        self.house.post(FEED, token, question.to_string()).await
    }

    async fn page(&self, token: &str, question: &Value, cursor: Option<&str>) -> Value {
        let answer = self.ask(token, question, cursor).await;
        assert_eq!(answer.http.as_u16(), 200, "{}", answer.json);
        answer.result().clone()
    }

    /// All entries from a cursor to the end, and where that is.
    async fn follow(
        &self,
        token: &str,
        question: &Value,
        mut cursor: Option<String>,
    ) -> (Vec<Value>, String) {
        let mut entries = Vec::new();
        loop {
            let page = self.page(token, question, cursor.as_deref()).await;
            let size = question["pageSize"].as_u64().unwrap_or(100);
            let told = page["entries"].as_array().unwrap();
            assert!(told.len() as u64 <= size);
            entries.extend(told.iter().cloned());
            let next = page["cursor"].as_str().unwrap().to_owned();
            if page["more"] == json!(false) {
                return (entries, next);
            }
            cursor = Some(next);
        }
    }
}

fn rule(answer: &Response) -> &str {
    answer.result()[0]["rule"].as_str().unwrap_or_default()
}

fn name_of(entry: &Value) -> (String, String) {
    let text = |field: &str| entry[field].as_str().unwrap().to_owned();
    (text("hospitalCode"), text("examNo"))
}

/// What the test knows of an exam that was pushed.
#[derive(Default)]
struct Known {
    /// Whether each version was a check-up.
    check_ups: Vec<bool>,
    withdrawn: bool,
}

/// Some pushes, new and changed, and withdrawals, of all hospitals.
async fn fill(region: &Region, random: &mut StdRng) -> BTreeMap<(String, String), Known> {
    let mut known: BTreeMap<(String, String), Known> = BTreeMap::new();
    for _ in 0..60 {
        let number = random.gen_range(0..24);
        let hospital = HOSPITALS[number % HOSPITALS.len()];
        let name = (hospital.to_owned(), format!("E{number}"));
        if random.gen_bool(0.2) {
            if region.withdraw(hospital, number).await.is_some() {
                known.get_mut(&name).unwrap().withdrawn = true;
            }
            continue;
        }
        let is_check_up = random.gen_bool(0.4);
        let source = ["门诊", "体检"][usize::from(is_check_up)];
        let impression = format!("所见{}。", random.gen_range(0..100));
        let body = push(hospital, number, source, &impression, "70");
        if region.push(body).await {
            known.entry(name).or_default().check_ups.push(is_check_up);
        }
    }
    known
}

/// Whom a reader is, as the registry and its request say.
struct Rights {
    scope: BTreeSet<&'static str>,
    read_for: &'static str,
    has_reason: bool,
}

impl Rights {
    fn random(random: &mut StdRng) -> Self {
        let count = random.gen_range(1..=HOSPITALS.len());
        let scope: BTreeSet<&'static str> =
            HOSPITALS.choose_multiple(random, count).copied().collect();
        let mut inside: Vec<&'static str> = scope.iter().copied().collect();
        inside.shuffle(random);
        Self {
            read_for: inside[0],
            scope,
            has_reason: random.gen_bool(0.7),
        }
    }

    fn scope(&self) -> Scope {
        let codes: Vec<_> = self.scope.iter().map(|text| code(text)).collect();
        Scope::of(&codes)
    }

    fn may_see(&self, hospital: &str, is_check_up: bool) -> bool {
        let is_own = hospital == self.read_for;
        let is_kept = hospital == KEEPS && is_check_up || hospital == TRIAL;
        self.scope.contains(hospital) && (is_own || self.has_reason && !is_kept)
    }
}

#[tokio::test]
async fn whatever_the_rights_a_feed_tells_the_exams_they_cover_and_no_others() {
    for seed in 0..6 {
        let mut random = StdRng::seed_from_u64(seed);
        let region = region().await;
        let known = fill(&region, &mut random).await;
        for reader in 0..8 {
            // given a reader with random rights
            let mut rights = Rights::random(&mut random);
            let id = format!("reader-{reader}");
            let org = rights.read_for;
            let token = region.reader(&id, org, rights.scope()).await;
            let mut question = json!({"pageSize": random.gen_range(1..10)});
            if rights.has_reason {
                question["reason"] = json!("visit");
            }
            // when it begins, and goes on with fewer rights than it began with
            let first = region.page(&token, &question, None).await;
            let mut told = first["entries"].as_array().unwrap().clone();
            check(&rights, &known, &told);
            let mut cursor = first["cursor"].as_str().unwrap().to_owned();
            if rights.scope.len() > 1 && random.gen_bool(0.5) {
                let lost = *rights.scope.iter().find(|it| **it != org).unwrap();
                rights.scope.remove(lost);
                region.put_reader(&id, org, rights.scope()).await;
                let again = region.page(&token, &question, Some(&cursor)).await;
                assert_eq!(again["beginAnew"], json!(true), "{seed}");
                // The rest of its copy is of what it may see now.
                told.retain(|entry| entry["hospitalCode"] != json!(lost));
            }
            let (rest, end) = region.follow(&token, &question, Some(cursor)).await;
            // then nothing of others' is told, and all of its own
            check(&rights, &known, &rest);
            told.extend(rest);
            let copy = copy_of(&told);
            let expected = known.iter().filter(|((hospital, _), exam)| {
                let last = *exam.check_ups.last().unwrap();
                !exam.withdrawn && rights.may_see(hospital, last)
            });
            let expected: BTreeSet<_> = expected.map(|(name, _)| name.clone()).collect();
            let names: BTreeSet<_> = copy.into_keys().collect();
            assert_eq!(names, expected, "seed {seed}, {id}");
            cursor = end;
            let nothing = region.page(&token, &question, Some(&cursor)).await;
            assert_eq!(nothing["entries"], json!([]));
        }
    }
}

fn check(rights: &Rights, known: &BTreeMap<(String, String), Known>, entries: &[Value]) {
    for entry in entries {
        let name = name_of(entry);
        let exam = &known[&name];
        let may_see = |is_check_up: &bool| rights.may_see(&name.0, *is_check_up);
        let is_told = match entry.get("gone") {
            // Only who could see it once is told that it is gone.
            Some(_) => exam.check_ups.iter().any(may_see),
            None => exam.check_ups.last().is_some_and(may_see) && !exam.withdrawn,
        };
        assert!(is_told, "{entry}");
    }
}

fn copy_of(entries: &[Value]) -> BTreeMap<(String, String), Value> {
    let mut copy = BTreeMap::new();
    apply(&mut copy, entries);
    copy
}

fn apply(copy: &mut BTreeMap<(String, String), Value>, entries: &[Value]) {
    for entry in entries {
        match entry.get("exam") {
            Some(exam) => copy.insert(name_of(entry), exam.clone()),
            None => copy.remove(&name_of(entry)),
        };
    }
}

/// Something happens to an exam.
async fn happen(region: &Region, random: &mut StdRng, made: &mut Vec<Position>) {
    let number = random.gen_range(0..20);
    let hospital = HOSPITALS[number % 2];
    let exam = key_of(hospital, &format!("E{number}"));
    let study = StudyUid::new(format!("1.2.3.{}", random.gen_range(0..20) + 1)).unwrap();
    let action = match random.gen_range(0..10) {
        0 | 1 => CorrectionAction::WithdrawExam { exam },
        2 => CorrectionAction::ReleaseUid { study, exam },
        3 => CorrectionAction::RuleConflict { study, exam },
        4 | 5 => match made.pop() {
            Some(correction) => CorrectionAction::Undo { correction },
            None => return,
        },
        _ => {
            let status = *["50", "60", "65", "70", "70"].choose(random).unwrap();
            let impression = format!("所见{}。", random.gen_range(0..100));
            let mut body: Value =
                serde_json::from_str(&push(hospital, number, "门诊", &impression, status)).unwrap();
            // At times two exams declare one study.
            if random.gen_bool(0.2) {
                body["imageList"][0]["studyUID"] = json!(study);
            }
            region.push(body.to_string()).await;
            return;
        }
    };
    let undoes = matches!(action, CorrectionAction::Undo { .. });
    let position = region.correct(action).await;
    made.extend(position.filter(|_| !undoes));
}

#[tokio::test]
async fn a_copy_that_follows_the_feed_with_interruptions_is_the_archives() {
    for seed in 0..6 {
        // given
        let mut random = StdRng::seed_from_u64(seed);
        let region = region().await;
        let token = region.house.token("demo-reader").await;
        let (mut copy, mut cursor) = (BTreeMap::new(), None::<String>);
        let mut made = Vec::new();
        // when things happen while a reader follows, whose pages get lost or are applied and not noted
        for _ in 0..150 {
            happen(&region, &mut random, &mut made).await;
            if random.gen_bool(0.4) {
                let question = json!({"reason": "consent", "pageSize": random.gen_range(1..6)});
                let page = region.page(&token, &question, cursor.as_deref()).await;
                let is_lost = random.gen_bool(0.3);
                if !is_lost {
                    apply(&mut copy, page["entries"].as_array().unwrap());
                }
                if !is_lost && random.gen_bool(0.7) {
                    cursor = page["cursor"].as_str().map(str::to_owned);
                }
            }
        }
        let question = json!({"reason": "consent", "pageSize": 3});
        let (rest, _) = region.follow(&token, &question, cursor).await;
        apply(&mut copy, &rest);
        // then
        assert!(copy.len() > 5, "{}", copy.len());
        for number in 0..20 {
            let name = (HOSPITALS[number % 2].to_owned(), format!("E{number}"));
            let asked = json!({"hospitalCode": name.0, "examNo": name.1}).to_string();
            let detail = region.house.post("/v1/exam/detail", &token, asked).await;
            let there = (detail.status() == 0).then(|| detail.result());
            assert_eq!(copy.get(&name), there, "seed {seed}: {name:?}");
        }
        // and who begins anew comes to the same
        let (all, _) = region.follow(&token, &question, None).await;
        assert_eq!(copy_of(&all), copy, "seed {seed}");
    }
}

#[tokio::test]
async fn an_exam_that_was_pushed_often_is_told_once_to_who_is_behind() {
    let region = region().await;
    let token = region.house.token("demo-reader").await;
    for impression in ["一。", "二。", "三。"] {
        for number in [0, 4] {
            region.pushed("350006", number, "门诊", impression).await;
        }
    }
    let (entries, cursor) = region.follow(&token, &json!({"pageSize": 1}), None).await;
    let told: Vec<_> = entries
        .iter()
        .map(|entry| {
            (
                entry["examNo"].clone(),
                entry["exam"]["content"]["reportList"][0]["impression"].clone(),
            )
        })
        .collect();
    assert_eq!(
        told,
        [(json!("E0"), json!("三。")), (json!("E4"), json!("三。"))]
    );
    // and one that is at the end is told so
    let page = region
        .page(&token, &json!({"pageSize": 1}), Some(&cursor))
        .await;
    assert_eq!(page["entries"], json!([]));
    assert_eq!(page["behind"], json!({"records": 0, "seconds": 0}));
    let again = page["cursor"].as_str().unwrap();
    region.pushed("350006", 8, "门诊", "四。").await;
    let page = region
        .page(&token, &json!({"pageSize": 1}), Some(again))
        .await;
    assert_eq!(page["entries"][0]["examNo"], "E8");
}

#[tokio::test]
async fn what_is_gone_says_why_to_who_could_see_it_and_to_nobody_else() {
    let region = region().await;
    let token = region.house.token("demo-reader").await;
    let question = json!({"reason": "visit"});
    region.pushed("350007", 1, "门诊", "一。").await;
    region.pushed(KEEPS, 2, "门诊", "二。").await;
    region.pushed(KEEPS, 6, "体检", "三。").await;
    let (entries, cursor) = region.follow(&token, &question, None).await;
    assert_eq!(entries.len(), 2);
    // when one is withdrawn, one becomes a check-up, and one that was a check-up is withdrawn
    region.withdraw("350007", 1).await.unwrap();
    region.pushed(KEEPS, 2, "体检", "二。").await;
    region.withdraw(KEEPS, 6).await.unwrap();
    // then
    let (entries, cursor) = region.follow(&token, &question, Some(cursor)).await;
    let told: Vec<_> = entries
        .iter()
        .map(|entry| (entry["examNo"].clone(), entry["gone"].clone()))
        .collect();
    assert_eq!(
        told,
        [
            (json!("E1"), json!("withdrawn")),
            (json!("E2"), json!("kept"))
        ]
    );
    assert!(entries.iter().all(|entry| entry.get("exam").is_none()));
    // when a hospital that is being tried out is purged, whose exam its own reader has
    let own = region
        .reader("trial", TRIAL, Scope::of([&code(TRIAL)]))
        .await;
    region.pushed(TRIAL, 3, "门诊", "试。").await;
    let (entries, of_trial) = region.follow(&own, &json!({}), None).await;
    assert_eq!(entries.len(), 1);
    assert!(
        region
            .follow(&token, &question, Some(cursor))
            .await
            .0
            .is_empty()
    );
    let purged = TestDataPurged {
        exams: vec![key_of(TRIAL, "E3")],
        ..TestDataPurged::default()
    };
    region.submit(Event::TestDataPurged(purged)).await;
    let (entries, _) = region.follow(&own, &json!({}), Some(of_trial)).await;
    assert_eq!(entries[0]["gone"], "purged");
}

#[tokio::test]
async fn a_report_that_was_taken_back_leaves_the_archive_in_no_entry() {
    let region = region().await;
    let token = region.house.token("demo-reader").await;
    region.pushed("350006", 0, "门诊", "右肺占位。").await;
    let (_, cursor) = region.follow(&token, &json!({}), None).await;
    assert!(
        region
            .push(push("350006", 0, "门诊", "右肺占位。", "65"))
            .await
    );
    let (entries, _) = region.follow(&token, &json!({}), Some(cursor)).await;
    assert_eq!(entries[0]["exam"]["reportState"], "returned");
    assert!(!json!(entries).to_string().contains("右肺"));
}

#[tokio::test]
async fn a_cursor_continues_its_own_question_in_its_own_log_only() {
    let (region, other) = (region().await, region().await);
    let token = region.house.token("demo-reader").await;
    region.pushed("350006", 0, "门诊", "一。").await;
    let question = json!({"reason": "visit"});
    let (_, cursor) = region.follow(&token, &question, None).await;
    // Another reason is the same question.
    let consent = json!({"reason": "consent", "pageSize": 7});
    assert_eq!(
        region
            .ask(&token, &consent, Some(&cursor))
            .await
            .http
            .as_u16(),
        200
    );
    let another = region.reader("another", "350006", Scope::all()).await;
    let mut changed = cursor.clone();
    changed.replace_range(20..21, if &cursor[20..21] == "A" { "B" } else { "A" });
    for (token, question, cursor) in [
        (&token, json!({}), cursor.as_str()),
        (
            &token,
            json!({"reason": "visit", "readFor": "350007"}),
            cursor.as_str(),
        ),
        (
            &token,
            json!({"reason": "visit", "hospitalCode": ["350006"]}),
            cursor.as_str(),
        ),
        (&another, question.clone(), cursor.as_str()),
        (&token, question.clone(), changed.as_str()),
        (&token, question.clone(), "none"),
    ] {
        let answer = region.ask(token, &question, Some(cursor)).await;
        assert_eq!(answer.http.as_u16(), 400, "{question}");
        assert_eq!(answer.result()[0]["path"], "cursor", "{question}");
        assert!(
            answer.result()[0]["message"]
                .as_str()
                .unwrap()
                .contains("从头开始")
        );
    }
    // An archive with the same key and another log: shorter, and as long.
    let elsewhere = other.house.token("demo-reader").await;
    for number in [4, 8, 12] {
        let answer = other.ask(&elsewhere, &question, Some(&cursor)).await;
        assert_eq!((answer.http.as_u16(), rule(&answer)), (409, "cursor-log"));
        other.pushed("350006", number, "门诊", "一。").await;
    }
}

#[tokio::test]
async fn other_rights_than_at_the_beginning_are_said_until_the_copy_is_begun_anew() {
    let region = region().await;
    let token = region.house.token("demo-reader").await;
    let question = json!({"reason": "visit"});
    region.pushed(KEEPS, 2, "门诊", "一。").await;
    let first = region.page(&token, &question, None).await;
    assert_eq!(first["beginAnew"], json!(false));
    let mut cursor = first["cursor"].as_str().unwrap().to_owned();
    // when the hospital keeps all of its CT to itself
    let classes = OwnOnly {
        classes: ["CT".to_owned()].into(),
        ..OwnOnly::default()
    };
    region.house.change(vec![keeps(classes)]).await;
    for _ in 0..2 {
        let page = region.page(&token, &question, Some(&cursor)).await;
        assert_eq!(page["beginAnew"], json!(true));
        cursor = page["cursor"].as_str().unwrap().to_owned();
    }
    // then it is so until there is no cursor, and the exam is nowhere
    let anew = region.page(&token, &question, None).await;
    assert_eq!(
        (&anew["beginAnew"], &anew["entries"]),
        (&json!(false), &json!([]))
    );
}

#[tokio::test]
async fn who_waits_is_answered_when_something_comes() {
    let region = region().await;
    let token = region.house.token("demo-reader").await;
    let (_, cursor) = region.follow(&token, &json!({}), None).await;
    let question = json!({"waitSeconds": 8});
    let (page, ()) = tokio::join!(
        region.page(&token, &question, Some(&cursor)),
        region.pushed("350006", 0, "门诊", "一。")
    );
    assert_eq!(page["entries"][0]["examNo"], "E0");
}

#[tokio::test]
async fn a_page_is_one_reading_on_record_that_names_no_exam() {
    let region = region().await;
    let token = region.house.token("demo-reader").await;
    for number in [0, 1, 4] {
        region
            .pushed(HOSPITALS[number % 2], number, "门诊", "一。")
            .await;
    }
    let question = json!({"reason": "consent", "user": "d001"});
    let (_, cursor) = region.follow(&token, &question, None).await;
    region.follow(&token, &question, Some(cursor)).await;
    let audit = region.house.archive.audit_log();
    let records = audit.read(Position(0), 100, 1 << 20).unwrap();
    let entries: Vec<AuditEntry> = records
        .iter()
        .map(|record| serde_json::from_slice(&record.bytes).unwrap())
        .collect();
    // Where nothing was told, nothing was read.
    let [entry] = entries.as_slice() else {
        panic!("{entries:?}");
    };
    assert_eq!(
        (entry.operation.as_str(), entry.hospital.as_str()),
        ("feed", "")
    );
    assert_eq!(
        (entry.reason.as_str(), entry.user.as_str()),
        ("consent", "d001")
    );
    assert!(
        entry
            .target
            .starts_with("3 exams (350006: 2, 350007: 1), 0 gone"),
        "{}",
        entry.target
    );
}

#[tokio::test]
async fn a_question_that_is_wrong_is_told_what_is_wrong() {
    let region = region().await;
    let token = region.house.token("demo-reader").await;
    for (question, path) in [
        (json!({"pageSize": 501}), "pageSize"),
        (json!({"waitSeconds": 9}), "waitSeconds"),
        (json!({"cursor": "x".repeat(2_000)}), "cursor"),
        (json!({"hospitalCode": [7, {}]}), "hospitalCode"),
        (json!({"reason": "curious"}), "reason"),
    ] {
        let answer = region.ask(&token, &question, None).await;
        assert_eq!(answer.http.as_u16(), 400, "{question}");
        assert_eq!(answer.result()[0]["path"], path, "{question}");
    }
    // Another hospital's without a reason, one that is not there, and one without a right
    let foreign = json!({"hospitalCode": "350007"});
    let answer = region.ask(&token, &foreign, None).await;
    assert_eq!(
        (answer.http.as_u16(), rule(&answer)),
        (403, "reason-required")
    );
    let unknown = json!({"hospitalCode": "350099", "reason": "visit"});
    let answer = region.ask(&token, &unknown, None).await;
    assert_eq!(
        (answer.http.as_u16(), rule(&answer)),
        (404, "hospital-unknown")
    );
    let narrow = region
        .reader("narrow", "350007", Scope::of([&code("350007")]))
        .await;
    let outside = json!({"hospitalCode": "350006", "reason": "visit"});
    assert_eq!(region.ask(&narrow, &outside, None).await.http.as_u16(), 403);
    // and an app that only pushes has no feed
    assert_eq!(
        region
            .ask(&region.pacs, &json!({}), None)
            .await
            .http
            .as_u16(),
        403
    );
}
