//! Unusual reading: one pass through the audit stream, and the refusals that the error digest has counted.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use yingku_core::supervision::unusual::{Findings, Kind, Limits, Look, Unusual, Watch};
use yingku_core::time::{LocalDate, LocalDateTime, Zone};
use yingku_storage::archive::{Archive, AuditEntry};
use yingku_storage::log::EventLog;

use crate::table::{Table, printable};

/// Records and bytes that are read at once.
const READ_RECORDS: usize = 1_024;
const READ_BYTES: usize = 8 << 20;
const DAY_MS: i64 = 86_400_000;
/// Days that one question may go over.
const DAYS_LIMIT: i64 = 366;
/// Of the error digest: attempts to read what one has no right to, or gives no reason for.
const REFUSED_RULES: [&str; 9] = [
    "right",
    "hospital-forbidden",
    "reason-required",
    "image-address",
    "image-reader",
    "clinic-address",
    "clinic-address-unknown",
    "clinic-link",
    "clinic-link-hospital",
];

/// Days by the hospitals' clocks, both inclusive.
#[derive(Debug, Clone, Copy)]
pub struct Days {
    from_ms: i64,
    end_ms: i64,
    /// Days of the error digest, which are UTC's.
    utc: (u32, u32),
}

impl Days {
    /// Refuses what is no range, or too long a one.
    pub fn new(from: LocalDate, to: LocalDate, zone: &Zone) -> anyhow::Result<Self> {
        anyhow::ensure!(
            from <= to,
            "--from {from} 在 --to {to} 之后，请对调 (--from is after --to)"
        );
        let utc = |day: LocalDate| day.midnight().unix_ms(&Zone::utc()) / DAY_MS;
        anyhow::ensure!(
            utc(to) - utc(from) < DAYS_LIMIT,
            "一次最多 {DAYS_LIMIT} 天，请分段查 (at most {DAYS_LIMIT} days at once)"
        );
        let after = to.next().unwrap_or(LocalDate::LAST);
        Ok(Self {
            from_ms: from.midnight().unix_ms(zone),
            end_ms: after.midnight().unix_ms(zone),
            utc: (
                u32::try_from(utc(from)).unwrap_or(0),
                u32::try_from(utc(to)).unwrap_or(0),
            ),
        })
    }
}

/// Reads the stream of those days. `except`: readers that read much by their work. `on`: told how many readings were looked at;
/// an error of it ends the pass. Blocks on the log.
pub fn look(
    archive: &Archive,
    days: Days,
    limits: &Limits,
    except: &[String],
    on: &mut dyn FnMut(u64) -> anyhow::Result<()>,
) -> anyhow::Result<Findings> {
    let zone = Zone::named(&archive.registry().settings.time_zone).unwrap_or_default();
    let is_left_out = |reader: &str| except.iter().any(|it| it == reader);
    let found = read(
        &**archive.audit_log(),
        days,
        limits,
        &zone,
        &is_left_out,
        on,
    )?;
    Ok(found.with(refused(archive, days, limits.refused_day, &is_left_out)?))
}

fn read(
    log: &dyn EventLog,
    days: Days,
    limits: &Limits,
    zone: &Zone,
    is_left_out: &dyn Fn(&str) -> bool,
    on: &mut dyn FnMut(u64) -> anyhow::Result<()>,
) -> anyhow::Result<Findings> {
    let mut watch = Watch::new(limits.clone());
    let mut next = log.first_after(days.from_ms - 1)?;
    let (mut readings, mut time_ms) = (0, days.from_ms);
    loop {
        let records = log.read(next, READ_RECORDS, READ_BYTES)?;
        let Some(last) = records.last() else {
            return Ok(watch.finish());
        };
        next = last.position.next();
        for record in &records {
            // A broker's clock may step back.
            time_ms = time_ms.max(record.time_ms);
            if time_ms >= days.end_ms {
                return Ok(watch.finish());
            }
            let local = LocalDateTime::from_unix_ms(time_ms, zone);
            // What a later release writes is read as far as it is known: every field may be absent.
            let entry = serde_json::from_slice::<AuditEntry>(&record.bytes).ok();
            let (Some(local), Some(entry)) = (local, entry) else {
                continue;
            };
            if !is_left_out(&entry.reader) {
                watch.look(&looked(&entry, local));
            }
        }
        readings += records.len() as u64;
        on(readings)?;
    }
}

fn looked(entry: &AuditEntry, local: LocalDateTime) -> Look<'_> {
    Look {
        reader: &entry.reader,
        user: &entry.user,
        read_for: &entry.read_for,
        operation: &entry.operation,
        target: &entry.target,
        reason: &entry.reason,
        date: local.date(),
        hour: local.time().0,
    }
}

/// Of each source its worst day. On this node, and as far back as the digest goes.
fn refused(
    archive: &Archive,
    days: Days,
    limit: u32,
    is_left_out: &dyn Fn(&str) -> bool,
) -> anyhow::Result<Vec<Unusual>> {
    if limit == 0 {
        return Ok(Vec::new());
    }
    let mut sources: BTreeMap<String, Unusual> = BTreeMap::new();
    for (day, source, count) in refused_by_day(archive, days)? {
        if count < u64::from(limit) || is_left_out(&source) {
            continue;
        }
        let count = u32::try_from(count).unwrap_or(u32::MAX);
        let midnight_ms = i64::from(day) * DAY_MS;
        let date = LocalDateTime::from_unix_ms(midnight_ms, &Zone::utc()).map(LocalDateTime::date);
        let at = date.map(|date| date.to_string()).unwrap_or_default();
        let new = || Unusual {
            kind: Kind::Refused,
            reader: source.clone(),
            user: String::new(),
            read_for: String::new(),
            exam: String::new(),
            at: String::new(),
            count: 0,
            of: None,
            times: 0,
        };
        let line = sources.entry(source.clone()).or_insert_with(new);
        line.times += 1;
        if count > line.count {
            (line.count, line.at) = (count, at);
        }
    }
    Ok(sources.into_values().collect())
}

/// Day, source and count.
fn refused_by_day(archive: &Archive, days: Days) -> anyhow::Result<Vec<(u32, String, u64)>> {
    let mut counts: BTreeMap<(u32, String), u64> = BTreeMap::new();
    let (first, last) = days.utc;
    for line in archive.errors().lines_of_days(first..=last)? {
        if REFUSED_RULES.contains(&&*line.key.rule) {
            *counts.entry((line.key.day, line.key.source)).or_default() += line.count;
        }
    }
    let counts = counts.into_iter();
    Ok(counts
        .map(|((day, source), count)| (day, source, count))
        .collect())
}

/// As people read it, ending with a line break.
pub fn text(found: &Findings) -> String {
    let mut text = format!(
        "调阅 {} 次，异常 {} 条 ({} readings, {} unusual)\n",
        found.readings, found.total, found.readings, found.total
    );
    if found.is_partial {
        text += "调阅人或检查多于可记数，可能还有未列出的：请缩短日期范围 (more readers or exams than are remembered: there may be more; ask for fewer days)\n";
    }
    if found.total > found.lines.len() {
        let _ = writeln!(
            text,
            "每种只列最多的，另有 {} 条未列 (the largest of each kind; {} more)",
            found.total - found.lines.len(),
            found.total - found.lines.len()
        );
    }
    if found.lines.is_empty() {
        return text;
    }
    let head = [
        "异常",
        "调阅方",
        "工号",
        "为医院",
        "检查",
        "何时最多",
        "次数",
        "对照",
        "达到次数",
    ];
    let mut table = Table::new(head).with_numbers(6..9);
    for line in &found.lines {
        let of = line.of.map(|of| of.to_string());
        table.row([
            title(line.kind).to_owned(),
            line.reader.clone(),
            line.user.clone(),
            line.read_for.clone(),
            printable(line.exam.clone()),
            line.at.clone(),
            line.count.to_string(),
            of.unwrap_or_default(),
            line.times.to_string(),
        ]);
    }
    text + &table.render()
}

fn title(kind: Kind) -> &'static str {
    match kind {
        Kind::OpenedHour => "一小时打开检查多 (many exams in an hour)",
        Kind::OpenedDay => "一天打开检查多 (many exams in a day)",
        Kind::ListedDay => "一天列出检查多 (many exams in lists)",
        Kind::Night => "夜间多于白天 (more by night than by day)",
        Kind::Emergencies => "急诊理由多 (many emergencies)",
        Kind::WellKnown => "多人看同一检查 (many look at one exam)",
        Kind::Refused => "被拒多 (many refused attempts)",
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::sync::Arc;

    use yingku_storage::log::MemoryLog;

    use super::*;

    fn entry(user: &str, target: &str) -> AuditEntry {
        AuditEntry {
            reader: "app:record".to_owned(),
            operation: "citation".to_owned(),
            hospital: "350001".to_owned(),
            target: target.to_owned(),
            read_for: "350002".to_owned(),
            user: user.to_owned(),
            reason: "emergency".to_owned(),
        }
    }

    async fn log(entries: &[AuditEntry]) -> Arc<dyn EventLog> {
        let log = MemoryLog::new();
        for entry in entries {
            let bytes = serde_json::to_vec(entry).unwrap();
            log.append(bytes.into()).await.unwrap();
        }
        log.append(b"not an entry".as_slice().into()).await.unwrap();
        Arc::new(log)
    }

    fn today_and(days_before: u32) -> LocalDate {
        let now_ms = jiff::Timestamp::now().as_millisecond();
        let today = LocalDateTime::from_unix_ms(now_ms, &Zone::default()).unwrap();
        today.date().days_before(days_before)
    }

    fn found(log: &dyn EventLog, from: LocalDate, to: LocalDate, except: &str) -> Findings {
        let limits = Limits {
            opened_day: 2,
            lookers: 2,
            night_least: 0,
            ..Limits::default()
        };
        let zone = Zone::default();
        let days = Days::new(from, to, &zone).unwrap();
        let is_left_out = |reader: &str| reader == except;
        read(log, days, &limits, &zone, &is_left_out, &mut |_| Ok(())).unwrap()
    }

    #[tokio::test]
    async fn entries_of_the_days_asked_for_are_looked_at_and_shown_without_more_than_numbers() {
        // Given a user who opens two exams, and one who opens one of them
        let log = log(&[
            entry("D1", "350001/E1"),
            entry("D1", "350001/E2"),
            entry("D2", "350001/E1"),
        ])
        .await;
        // When the last two days are asked for, since a test may run at midnight
        let told = found(&*log, today_and(1), today_and(0), "");
        // Then both findings are told
        assert_eq!(told.readings, 3);
        let text = text(&told);
        for (said, also) in [("一天打开检查多", "D1"), ("多人看同一检查", "350001/E1")]
        {
            let line = text.lines().find(|line| line.starts_with(said)).unwrap();
            assert!(line.contains(also), "{text}");
        }
        // and nothing of days that are past, or of a reader that is left out
        let past = found(&*log, today_and(9), today_and(2), "");
        assert_eq!((past.readings, past.total), (0, 0));
        let rest = found(&*log, today_and(1), today_and(0), "app:record");
        assert_eq!((rest.readings, rest.total), (0, 0));
    }

    #[test]
    fn a_range_that_is_none_or_too_long_is_refused_in_words() {
        let day = |text| LocalDate::parse(text).unwrap();
        for (from, to, said) in [
            ("2026-07-05", "2026-07-04", "请对调"),
            ("2025-07-01", "2026-07-04", "366"),
        ] {
            let error = Days::new(day(from), day(to), &Zone::default()).unwrap_err();
            assert!(error.to_string().contains(said), "{error}");
        }
    }
}
