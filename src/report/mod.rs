//! The daily report 日报: who is silent, what lacks, what is refused, what waits, and when the disk is full. It names
//! hospitals, apps and counts; no patient.

pub mod daily;
pub mod send;
mod text;

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use serde::Serialize;
use yingku_core::ids::HospitalCode;
use yingku_core::pull::PullLine;
use yingku_core::reconcile::Counts;
use yingku_core::registry::{HospitalMode, Registry};
use yingku_core::supervision::daily::{Flow, Silence, WEEKS, full_on};
use yingku_core::supervision::group::Seen;
use yingku_core::supervision::unusual::Limits;
use yingku_core::time::{LocalDate, LocalDateTime, Zone};
use yingku_storage::archive::Archive;
use yingku_storage::views::form_lists;
use yingku_storage::views::reconcile::{Question, reconcile};
use yingku_storage::views::{Views, ViewsError, Walk};

use crate::unusual::{self, Days};

pub use text::Format;

/// Exams that were pushed so many days after they were made still tell that their hospital is alive.
const PUSHED_WITHIN_DAYS: u32 = 2;
const DAYS_OF_WEEK: u32 = 7;
/// Days over which the growth of packs is averaged.
const GROWTH_DAYS: u64 = 14;
const DAY_MS: i64 = 86_400_000;
/// Pulls of a hospital that are counted one by one; more are more than anybody works off.
const PULLS_COUNTED: usize = 1_000_000;
/// Lines of refusals that a report has, the most frequent first.
const REFUSALS_LIMIT: usize = 200;

/// One day's report.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// `YYYY-MM-DD`
    pub day: String,
    pub made: String,
    /// Whose disk and refusals it tells of.
    pub node: u16,
    pub hospitals: Vec<HospitalDay>,
    pub refusals: Vec<Refused>,
    pub notices: Vec<Notices>,
    /// Findings of unusual reading for which somebody should ask, of all hospitals; absent: the audit stream cannot be read.
    pub unusual_readings: Option<usize>,
    pub disk: Disk,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct HospitalDay {
    pub hospital_code: String,
    pub hospital_name: String,
    pub test: bool,
    #[serde(flatten)]
    pub came: Came,
    /// By the app that pushed an exam last.
    pub apps: Vec<AppDay>,
    /// As reconciliation counts the day's exams.
    pub declared: Option<u32>,
    pub registered: u32,
    pub confirmed: u32,
    pub missing: Option<u32>,
    pub images_missing: u32,
    pub images_partly: u32,
    /// Now.
    pub pulls_open: usize,
    pub pulls_stopped: usize,
    pub images_held: u64,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct AppDay {
    pub app: String,
    #[serde(flatten)]
    pub came: Came,
}

/// Exams that were first pushed on the day, against the same weekday of the last weeks.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Came {
    #[serde(flatten)]
    pub flow: Flow,
    pub usual: u32,
    pub silence: Silence,
}

impl From<Flow> for Came {
    fn from(flow: Flow) -> Self {
        Self {
            flow,
            usual: flow.usual(),
            silence: flow.silence(),
        }
    }
}

/// Refusals of one app or AE for one reason, on this node; the digest's days are UTC's.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Refused {
    pub source: String,
    /// That was named last.
    pub hospital: String,
    pub operation: String,
    pub rule: String,
    pub path: String,
    pub count: u64,
    pub reason: String,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Notices {
    pub his: String,
    pub open: u64,
    pub stopped: u64,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Disk {
    /// That images may still take here.
    pub room_bytes: u64,
    /// Of packs that were written in the last [`GROWTH_DAYS`] days.
    pub grown_bytes: u64,
    pub of_days: u64,
    /// Absent: not within ten years, or nothing came.
    pub full_on: Option<String>,
    /// Packs go to an object store: what is here are copies that make room.
    pub in_object_store: bool,
}

/// Makes a day's report. `hospital`: of that one only. Blocks on views and disk.
pub fn of_day(
    archive: &Archive,
    day: LocalDate,
    hospital: Option<&HospitalCode>,
) -> anyhow::Result<Report> {
    let (views, registry) = (archive.views(), archive.registry());
    let zone = Zone::named(&registry.settings.time_zone).unwrap_or_default();
    let now_ms = jiff::Timestamp::now().as_millisecond();
    let local = |ms| LocalDateTime::from_unix_ms(ms, &zone).map(|time| time.to_string());
    let hospitals: Vec<HospitalCode> = match hospital {
        Some(hospital) => vec![hospital.clone()],
        None => registry.hospitals.keys().cloned().collect(),
    };
    let looking = Looking {
        views: &views,
        registry: &registry,
        zone: &zone,
        day,
        counts: counts(&views, &registry, &hospitals, day)?,
        held: held(&views)?,
    };
    let told = hospitals.iter().map(|code| looking.of_hospital(code));
    let told = told.collect::<Result<Vec<_>, ViewsError>>()?;
    Ok(Report {
        day: day.to_string(),
        made: local(now_ms).unwrap_or_default(),
        node: archive.node(),
        hospitals: told,
        refusals: refusals(archive, day, hospital)?,
        notices: notices(&views, &registry)?,
        unusual_readings: unusual_readings(archive, day, &zone),
        disk: disk(archive, &zone, now_ms)?,
    })
}

/// What the lines of hospitals are made of.
struct Looking<'a> {
    views: &'a Views,
    registry: &'a Registry,
    zone: &'a Zone,
    day: LocalDate,
    counts: BTreeMap<String, Counts>,
    held: BTreeMap<HospitalCode, u64>,
}

impl Looking<'_> {
    fn of_hospital(&self, code: &HospitalCode) -> Result<HospitalDay, ViewsError> {
        let entry = self.registry.hospitals.get(code);
        let counts = self.counts.get(code.as_str()).copied().unwrap_or_default();
        let (flow, apps) = self.flows(code)?;
        let apps = apps.into_iter();
        let pulls = |line| self.views.count_pulls(code, line, PULLS_COUNTED);
        Ok(HospitalDay {
            hospital_code: code.to_string(),
            hospital_name: entry.map(|entry| entry.name.clone()).unwrap_or_default(),
            test: entry.is_some_and(|entry| entry.mode == HospitalMode::Test),
            came: flow.into(),
            apps: apps
                .map(|(app, flow)| AppDay {
                    app,
                    came: flow.into(),
                })
                .collect(),
            declared: counts.declared,
            registered: counts.registered,
            confirmed: counts.confirmed,
            missing: counts.deficit,
            images_missing: counts.images.missing,
            images_partly: counts.images.partly,
            pulls_open: pulls(PullLine::Live)?,
            pulls_stopped: pulls(PullLine::Stopped)?,
            images_held: self.held.get(code).copied().unwrap_or_default(),
        })
    }

    /// What came on the day and on the same weekday before, of the hospital and of each app that pushes for it.
    fn flows(&self, hospital: &HospitalCode) -> Result<(Flow, BTreeMap<String, Flow>), ViewsError> {
        let mut flow = Flow::default();
        let mut apps: BTreeMap<String, Flow> = BTreeMap::new();
        let mut weekday = self.day;
        for weeks_before in 0..=WEEKS {
            let days = form_lists::Days {
                from: weekday.days_before(PUSHED_WITHIN_DAYS),
                to: weekday,
            };
            let hospitals = std::slice::from_ref(hospital);
            let visit = &mut |seen: Seen<'_>| {
                let came = LocalDateTime::from_unix_ms(seen.row.pushed_ms, self.zone);
                if came.is_some_and(|came| came.date() == weekday) {
                    flow.add(weeks_before);
                    let content = seen.row.content.as_ref();
                    let sender = content.and_then(|content| content.sender.strip_prefix("app:"));
                    if let Some(app) = sender {
                        apps.entry(app.to_owned()).or_default().add(weeks_before);
                    }
                }
                Ok(Walk::On)
            };
            self.views
                .visit_supervised(self.registry, hospitals, days, visit)?;
            weekday = weekday.days_before(DAYS_OF_WEEK);
        }
        Ok((flow, apps))
    }
}

/// The day's cells of each hospital, added up.
fn counts(
    views: &Views,
    registry: &Registry,
    hospitals: &[HospitalCode],
    day: LocalDate,
) -> Result<BTreeMap<String, Counts>, ViewsError> {
    let question = Question {
        hospitals,
        from: day,
        to: day,
        as_of: None,
        as_of_ms: None,
    };
    let mut counts: BTreeMap<String, Counts> = BTreeMap::new();
    for cell in reconcile(views, registry, question)?.cells {
        let code = cell.hospital_code;
        counts.entry(code).or_default().add(&cell.counts);
    }
    Ok(counts)
}

/// Held instances of each hospital.
fn held(views: &Views) -> Result<BTreeMap<HospitalCode, u64>, ViewsError> {
    let mut held: BTreeMap<HospitalCode, u64> = BTreeMap::new();
    views.visit_held(&mut |group| {
        let instances = group.group.instances.len() as u64;
        *held.entry(group.group.hospital).or_default() += instances;
        Walk::On
    })?;
    Ok(held)
}

/// Of the UTC day that has most of the hospitals' day.
fn refusals(
    archive: &Archive,
    day: LocalDate,
    hospital: Option<&HospitalCode>,
) -> anyhow::Result<Vec<Refused>> {
    let day_ms = day.midnight().unix_ms(&Zone::utc());
    let mut lines = archive
        .errors()
        .lines_of_day(u32::try_from(day_ms / DAY_MS)?)?;
    if let Some(hospital) = hospital {
        lines.retain(|line| line.hospital == hospital.as_str());
    }
    lines.sort_by(|a, b| {
        let names = || (&a.key.source, &a.key.rule).cmp(&(&b.key.source, &b.key.rule));
        b.count.cmp(&a.count).then_with(names)
    });
    lines.truncate(REFUSALS_LIMIT);
    let refused = lines.into_iter().map(|line| Refused {
        source: line.key.source,
        hospital: line.hospital,
        operation: line.key.operation,
        rule: line.key.rule,
        path: line.key.path,
        count: line.count,
        reason: line.reason,
    });
    Ok(refused.collect())
}

fn notices(views: &Views, registry: &Registry) -> Result<Vec<Notices>, ViewsError> {
    let his = registry.his.values().filter(|his| his.receiver.is_some());
    let standing = his.map(|his| {
        let standing = views.notices_standing(&his.id)?;
        Ok(Notices {
            his: his.id.to_string(),
            open: standing.open,
            stopped: standing.stopped,
        })
    });
    standing.collect()
}

/// With the limits that hold where none are said. A report without it is better than none.
fn unusual_readings(archive: &Archive, day: LocalDate, zone: &Zone) -> Option<usize> {
    let days = Days::new(day, day, zone);
    let found = days
        .and_then(|days| unusual::look(archive, days, &Limits::default(), &[], &mut |_| Ok(())));
    found
        .inspect_err(|error| tracing::warn!(%error, "unusual readings cannot be counted"))
        .ok()
        .map(|found| found.total)
}

fn disk(archive: &Archive, zone: &Zone, now_ms: i64) -> anyhow::Result<Disk> {
    let packs = archive.packs();
    let since = SystemTime::now() - Duration::from_secs(GROWTH_DAYS * 86_400);
    let (room_bytes, grown_bytes) = (packs.room(), packs.written_since(since)?);
    let in_object_store = packs.objects_health().is_some();
    let today = LocalDateTime::from_unix_ms(now_ms, zone).map(LocalDateTime::date);
    let full = today.filter(|_| !in_object_store);
    let full = full.and_then(|today| full_on(today, room_bytes, grown_bytes, GROWTH_DAYS));
    Ok(Disk {
        room_bytes,
        grown_bytes,
        of_days: GROWTH_DAYS,
        full_on: full.map(|day| day.to_string()),
        in_object_store,
    })
}
