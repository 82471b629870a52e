//! Looking into the event log.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::task::spawn_blocking;
use yingku_core::contract::push::{ExamPushedBody, FieldWarning};
use yingku_core::envelope::Envelope;
use yingku_core::event::Event;
use yingku_core::ids::Position;
use yingku_core::instance::{InstancesStored, SeriesGroup};
use yingku_core::registry::RegistryChange;
use yingku_storage::archive::Archive;
use yingku_storage::log::LogRecord;

use crate::control::Output;

/// Records and bytes that are read at once.
const READ_RECORDS: usize = 256;
const READ_BYTES: usize = 4 << 20;
/// Records that `tail` shows when it is not told where to begin.
const TAIL_RECORDS: u64 = 20;

/// Positions, the last one included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Range {
    pub from: u64,
    pub to: Option<u64>,
}

pub async fn tail(
    archive: &Archive,
    from: Option<u64>,
    follow: bool,
    output: &Output,
) -> anyhow::Result<bool> {
    let log = archive.log();
    let mut ends = log.watch_end();
    let mut next = match from {
        Some(from) => Position(from),
        None => Position(log.end()?.0.saturating_sub(TAIL_RECORDS)),
    };
    loop {
        let read = log.clone();
        let records = spawn_blocking(move || read.read(next, READ_RECORDS, READ_BYTES)).await??;
        for record in &records {
            output.line(head(record)).await?;
            next = record.position.next();
        }
        if !records.is_empty() {
            continue;
        }
        if !follow {
            return Ok(true);
        }
        tokio::select! {
            moved = ends.wait_for(|end| *end > next) => drop(moved?),
            () = output.gone() => return Ok(true),
        }
    }
}

pub async fn show(archive: &Archive, position: u64, output: &Output) -> anyhow::Result<bool> {
    let log = archive.log().clone();
    let Some(record) = spawn_blocking(move || log.get(Position(position))).await?? else {
        let end = archive.log().end()?;
        anyhow::bail!(
            "没有位置 {position} (no such position); 日志止于 (the log ends before) {end}"
        );
    };
    output
        .line(serde_json::to_string_pretty(&describe(&record))?)
        .await?;
    Ok(true)
}

pub async fn export(archive: &Archive, range: Range, output: &Output) -> anyhow::Result<bool> {
    let (log, output) = (archive.log().clone(), output.clone());
    spawn_blocking(move || {
        // What comes while it is exported is left out, so that it ends.
        let end = log.end()?.0;
        let end = range.to.map_or(end, |to| end.min(to.saturating_add(1)));
        let mut next = range.from;
        while next < end {
            let wanted = usize::try_from(end - next)
                .unwrap_or(READ_RECORDS)
                .min(READ_RECORDS);
            for record in log.read(Position(next), wanted, READ_BYTES)? {
                output.blocking_line(describe(&record).to_string())?;
                next = record.position.next().0;
            }
        }
        Ok(true)
    })
    .await?
}

/// One line: position, time, kind, hospital, actor.
fn head(record: &LogRecord) -> String {
    let time = time_text(record.time_ms);
    match Envelope::decode(&record.bytes) {
        Ok(envelope) => {
            let kind = Event::decode(&envelope).map_or_else(
                |_| format!("kind {} version {}", envelope.kind, envelope.version),
                |event| event.title().to_owned(),
            );
            let hospital = envelope.hospital.as_ref().map_or("-", |code| code.as_str());
            format!(
                "{:>10}  {time}  {kind:<20}  {hospital:<10}  {}",
                record.position, envelope.actor
            )
        }
        Err(error) => format!("{:>10}  {time}  {error}", record.position),
    }
}

/// UTC, so that it means the same everywhere.
fn time_text(time_ms: i64) -> String {
    jiff::Timestamp::from_millisecond(time_ms)
        .map_or_else(|_| time_ms.to_string(), |time| format!("{time:.3}"))
}

/// A record as JSON, whatever its kind.
fn describe(record: &LogRecord) -> Value {
    let mut out = json!({
        "position": record.position.0,
        "time": time_text(record.time_ms),
        "timeMs": record.time_ms,
        "bytes": record.bytes.len(),
    });
    let more = match Envelope::decode(&record.bytes) {
        Ok(envelope) => json!({
            "id": envelope.id.to_string(),
            "kind": envelope.kind,
            "version": envelope.version,
            "rules": envelope.rules,
            "hospital": envelope.hospital.as_ref().map(|code| code.as_str()),
            "actor": envelope.actor,
            "event": match Event::decode(&envelope) {
                Ok(event) => json!({ "title": event.title(), "body": body(&event, envelope.body) }),
                Err(error) => json!({ "error": error.to_string() }),
            },
        }),
        Err(error) => json!({ "error": error.to_string() }),
    };
    if let (Value::Object(out), Value::Object(more)) = (&mut out, more) {
        out.extend(more);
    }
    out
}

fn body(event: &Event, bytes: &[u8]) -> Value {
    match event {
        Event::ExamPushed(pushed) => pushed_json(pushed),
        Event::ExamRegistered(registered) => json!({
            "form": registered.form.to_string(),
            "content": registered.content.0,
            "by": registered.by,
            "reason": registered.reason,
            "exam": serde_json::from_str::<Value>(&registered.json).unwrap_or(Value::Null),
        }),
        Event::ApplyFormReceived(form) => serde_json::to_value(form).unwrap_or(Value::Null),
        Event::InstancesMoved(moved) => serde_json::to_value(moved).unwrap_or(Value::Null),
        Event::InstancesStored(stored) | Event::InstancesReplaced(stored) => stored_json(stored),
        Event::RegistryChanged(changed) => {
            Value::Array(changed.changes.iter().map(change_json).collect())
        }
        _ => serde_json::from_slice(bytes).unwrap_or(Value::Null),
    }
}

/// Sealed secrets stay in the log: `log show` is pasted into tickets.
fn change_json(change: &RegistryChange) -> Value {
    let mut value = serde_json::to_value(change).unwrap_or(Value::Null);
    if let Some(Value::Object(app)) = value.get_mut("value") {
        app.remove("license");
        app.remove("private_key");
    }
    value
}

fn pushed_json(pushed: &ExamPushedBody<'_>) -> Value {
    let warning = |it: &FieldWarning| serde_json::to_value(it).unwrap_or(Value::Null);
    json!({
        "exam": serde_json::from_slice::<Value>(&pushed.json).unwrap_or(Value::Null),
        "warnings": pushed.warnings.iter().map(warning).collect::<Vec<_>>(),
        "flags": pushed.flags.names().collect::<Vec<_>>(),
    })
}

fn stored_json(stored: &InstancesStored) -> Value {
    let group = |it: &SeriesGroup| serde_json::to_value(it).unwrap_or(Value::Null);
    json!({
        "pack": stored.pack.to_string(),
        "factsVersion": stored.facts_version,
        "groups": stored.groups.iter().map(group).collect::<Vec<_>>(),
    })
}
