//! `POST /v1/feed` 变更订阅: what changed since a cursor, in the order of the log, for a health record's own copy of the region.
//!
//! Each entry tells an exam as it stands now, or that it is gone for this reader. A cursor moves only when its reader sends it
//! back, so a page that was lost is told again: at least once, and an exam that changed several times often once only.
//! Rights are looked at afresh with every page; of an exam that this reader never could see, not even the number is told.

mod cursor;
mod page;
mod shape;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::{Instant, sleep, timeout_at};
use yingku_core::contract::Rule;
use yingku_core::event::CHANGES_SINCE_RULES;
use yingku_core::ids::{HospitalCode, Position};
use yingku_core::outcome::{ErrorKind, Refusal};
use yingku_core::registry::Registry;

use super::params::{Params, text};
use super::reading::{Reading, wants_reason};
use crate::call::{Call, allow, blocking, now_ms};
use crate::envelope::Answer;
use crate::error::Failure;
use cursor::{CURSOR_LIMIT, Cursor, Place};
use page::Page;

pub use shape::{request_schema, result_schema};

const PAGE_SIZE: u64 = 100;
/// Exams of one page at most; 500 of usual size are two megabytes.
const PAGE_SIZE_LIMIT: u64 = 500;
/// Hospitals that are named at once: a region's.
const HOSPITALS_LIMIT: usize = 200;
/// Characters of a hospital's code.
const HOSPITAL_LIMIT: usize = 32;
/// Longest wait: less than a node that is told to stop gives to requests at work (10 s).
const WAIT_LIMIT_SECONDS: u64 = 8;
/// Rest between looks while waiting: most records of a busy archive are images, and change no exam.
const LOOK_AGAIN_AFTER: Duration = Duration::from_millis(250);

pub const EXAMPLE: &str = r#"{"reason":"consent","pageSize":100}"#;

struct Asked {
    reading: Reading,
    /// Empty: all that may be read.
    hospitals: BTreeSet<HospitalCode>,
    cursor: Option<Cursor>,
    /// Of the app and what it asks for.
    question: u64,
    size: usize,
    wait: Duration,
}

pub async fn handle(call: Call) -> Result<Answer, Failure> {
    let asked = Arc::new(read(&call)?);
    if call.registry.rules < CHANGES_SINCE_RULES {
        return Err(no_rules());
    }
    let call = Arc::new(call);
    // Images that are here count, and a cursor may be of another node that was ahead of this one.
    call.archive().settle().await?;
    let place = {
        let (call, asked) = (Arc::clone(&call), Arc::clone(&asked));
        blocking(move || begin(&call, &asked)).await?
    };
    let page = look(&call, &asked, place).await?;
    if !page.entries.is_empty() {
        audit(&call, &asked, &page).await?;
    }
    blocking(move || answer(&call, &asked, page)).await
}

fn read(call: &Call) -> Result<Asked, Failure> {
    let body = text(&call.body, call.charset.as_deref())?;
    let mut params = Params::read(&body)?;
    let reading = Reading::read(&mut params, call)?;
    let mut hospitals = BTreeSet::new();
    for text in params.texts("hospitalCode", HOSPITAL_LIMIT, HOSPITALS_LIMIT) {
        match HospitalCode::new(&text) {
            Ok(code) => {
                hospitals.insert(code);
            }
            Err(error) => {
                let message = format!("格式错误，请改正：{}", error.reason());
                params.fault("hospitalCode", Rule::Format, message);
            }
        }
    }
    let question = digest(&json!([
        call.caller()?.id.as_str(),
        reading.read_for,
        reading.reason.is_some(),
        hospitals,
    ]));
    let cursor = params.text("cursor", CURSOR_LIMIT);
    let cursor = cursor.and_then(|text| {
        let cursor = Cursor::open(call.archive().key(), &text);
        let of_this = cursor.filter(|cursor| cursor.question == question);
        if of_this.is_none() {
            params.fault("cursor", Rule::Format, FOREIGN_CURSOR.to_owned());
        }
        of_this
    });
    let size = params.number("pageSize", 1..=PAGE_SIZE_LIMIT);
    let wait = params.number("waitSeconds", 0..=WAIT_LIMIT_SECONDS);
    params.finish()?;
    for hospital in &hospitals {
        allow(&call.caller()?.app()?.hospitals, hospital)?;
        call.registered(hospital)?;
        if *hospital != reading.read_for && reading.reason.is_none() {
            return Err(wants_reason());
        }
    }
    Ok(Asked {
        reading,
        hospitals,
        cursor,
        question,
        size: usize::try_from(size.unwrap_or(PAGE_SIZE)).unwrap_or(usize::MAX),
        wait: Duration::from_secs(wait.unwrap_or_default()),
    })
}

/// Where the first look begins. Reads the log, so it blocks.
fn begin(call: &Call, asked: &Asked) -> Result<Place, Failure> {
    match &asked.cursor {
        None => Ok(Place::default()),
        Some(cursor) if cursor.is_of(&**call.archive().log())? => Ok(cursor.place.clone()),
        Some(_) => Err(another_log()),
    }
}

/// The page from a place on; where that is empty, the first that is not within the time to wait.
async fn look(call: &Arc<Call>, asked: &Arc<Asked>, mut place: Place) -> Result<Page, Failure> {
    let deadline = Instant::now() + asked.wait;
    let turn = match asked.wait.is_zero() {
        true => None,
        false => Arc::clone(&call.api.awaiting).try_acquire_owned().ok(),
    };
    loop {
        let page = {
            let (call, asked) = (Arc::clone(call), Arc::clone(asked));
            blocking(move || page_from(&call, &asked, &place)).await?
        };
        let is_enough = !page.entries.is_empty() || !page.is_whole;
        if is_enough || turn.is_none() || !moved_on(call, page.place.next, deadline).await {
            return Ok(page);
        }
        // Who has other rights by now asks again, and is let in or not.
        let id = &call.caller()?.id;
        let now = call.archive().registry();
        if now.apps.get(id) != call.registry.apps.get(id) {
            return Ok(page);
        }
        place = page.place;
    }
}

fn page_from(call: &Call, asked: &Asked, place: &Place) -> Result<Page, Failure> {
    let registry = call.archive().registry();
    let page = page::Asked {
        call,
        reading: &asked.reading,
        hospitals: told(asked, &registry),
        size: asked.size,
    };
    page.page(place)
}

/// Waits for records from a position on. `false`: there are none in time.
async fn moved_on(call: &Call, next: Position, deadline: Instant) -> bool {
    let mut projected = call.archive().watch_projected();
    // Only the fact goes over the rest: what is seen of the position is locked while it is held.
    let is_moved = {
        let moved = projected.wait_for(|position| *position > next);
        matches!(timeout_at(deadline, moved).await, Ok(Ok(_)))
    };
    if is_moved {
        sleep(LOOK_AGAIN_AFTER).await;
    }
    is_moved
}

/// Hospitals whose exams are told.
fn told(asked: &Asked, registry: &Registry) -> BTreeSet<HospitalCode> {
    let is_asked =
        |code: &&HospitalCode| asked.hospitals.is_empty() || asked.hospitals.contains(code);
    let readable = asked.reading.hospitals(registry);
    readable.filter(is_asked).cloned().collect()
}

/// One page is one reading: exams and hospitals are counted, not named, and where the page ends tells it from others.
async fn audit(call: &Call, asked: &Asked, page: &Page) -> Result<(), Failure> {
    let mut counts: BTreeMap<&HospitalCode, usize> = BTreeMap::new();
    for hospital in &page.exams {
        *counts.entry(hospital).or_default() += 1;
    }
    let only = match counts.len() {
        1 => counts.keys().next().copied(),
        _ => None,
    };
    let by_hospital: Vec<String> = counts
        .iter()
        .map(|(hospital, exams)| format!("{hospital}: {exams}"))
        .collect();
    let target = format!(
        "{} exams ({}), {} gone, to {}",
        page.exams.len(),
        by_hospital.join(", "),
        page.gone,
        page.place.next.0
    );
    asked.reading.audit(call, "feed", only, &target).await
}

fn answer(call: &Call, asked: &Asked, page: Page) -> Result<Answer, Failure> {
    let archive = call.archive();
    let rights = rights(call, asked, &archive.registry())?;
    // The beginning's rights stay in the cursor, so that a change of them is told until the copy is begun anew.
    let began = asked.cursor.as_ref().map_or(rights, |cursor| cursor.rights);
    let end = archive.views().cursor()?.next;
    let records = end.0.saturating_sub(page.place.next.0);
    let waiting = match records {
        0 => None,
        _ => archive.log().get(page.place.next)?,
    };
    let seconds = waiting.map_or(0, |record| (now_ms() - record.time_ms).max(0) / 1_000);
    let (entries, more) = (page.entries, !page.is_whole);
    let cursor = Cursor::at(page.place, &**archive.log(), asked.question, began)?;
    let (exams, gone) = (page.exams.len(), page.gone);
    let message = format!("成功，{exams} 个检查，{gone} 个撤销 ({exams} exams, {gone} gone)");
    Ok(Answer::new(message).with_result(json!({
        "entries": entries,
        "cursor": cursor.seal(archive.key())?,
        "more": more,
        "behind": { "records": records, "seconds": seconds },
        "beginAnew": began != rights,
    })))
}

/// Of what may be seen at all: the app's hospitals, and what the others keep to themselves.
fn rights(call: &Call, asked: &Asked, registry: &Registry) -> Result<u64, Failure> {
    let others = registry.hospitals.values();
    let others = others.filter(|it| it.code != asked.reading.read_for && !it.own_only.is_empty());
    let kept: Vec<Value> = others
        .map(|it| json!([it.code, it.own_only.patients, it.own_only.classes]))
        .collect();
    let scope = &call.caller()?.app()?.hospitals;
    Ok(digest(&json!([scope, kept])))
}

fn digest(said: &Value) -> u64 {
    let digest = blake3::hash(said.to_string().as_bytes());
    let first = digest.as_bytes().first_chunk();
    first.map_or(0, |bytes| u64::from_le_bytes(*bytes))
}

const FOREIGN_CURSOR: &str = "cursor 无效：抄写有误，属于另一平台、另一应用，或 readFor、hospitalCode、有无 reason 已改变；请不带 cursor 从头开始 (not a cursor of this archive and question: begin anew without one)";

fn another_log() -> Failure {
    Refusal::new(
        ErrorKind::Conflict,
        "cursor-log",
        "cursor",
        "cursor 属于另一份日志：平台的日志已从备份恢复或已更换；请不带 cursor 从头开始，重建副本 (the cursor is of another log, since this one was restored or replaced: begin anew without one)",
    )
    .into()
}

fn no_rules() -> Failure {
    Failure::new(
        ErrorKind::Unavailable,
        "rules",
        "变更订阅尚未启用：请平台管理员执行 yingku activate-rules (the feed begins when the operator activates this release's rules)",
    )
}
