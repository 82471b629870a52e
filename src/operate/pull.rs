//! Studies that are fetched from gateways: where they stand, and having them fetched.

use anyhow::Context;
use yingku_core::event::{Event, PULLS_SINCE_RULES, PullsAsked, RegistryChanged};
use yingku_core::ids::{ExamKey, HospitalCode};
use yingku_core::outcome::Outcome;
use yingku_core::pull::{PullLine, PullRow, PullState, PullWhy};
use yingku_core::registry::{Gateway, Hospital, RegistryChange};
use yingku_core::time::{LocalDateTime, Zone};
use yingku_storage::archive::{Archive, Submission};
use yingku_storage::views::Walk;

use super::{ACTOR, ensure_registered};
use crate::control::Output;
use crate::table::Table;

/// Lines of one hospital and state; what is done makes room for the next.
const LINES_LIMIT: usize = 200;
/// What is counted at most.
const COUNT_LIMIT: usize = 100_000;

/// Shows each hospital's gateway, and the studies that are not here yet; with `all` those that are, too.
pub async fn list(
    archive: &Archive,
    hospital: Option<HospitalCode>,
    all: bool,
    output: &Output,
) -> anyhow::Result<bool> {
    if let Some(code) = &hospital {
        ensure_registered(archive, code)?;
    }
    archive.settle().await?;
    let registry = archive.registry();
    let zone = Zone::named(&registry.settings.time_zone).unwrap_or_default();
    let asked = |it: &&Hospital| hospital.as_ref().is_none_or(|code| it.code == *code);
    let hospitals = registry.hospitals.values().filter(asked);
    let mut any = false;
    for hospital in hospitals {
        let Some(gateway) = &hospital.gateway else {
            continue;
        };
        any = true;
        output.line(heading(archive, hospital, gateway)?).await?;
        let table = table(archive, &hospital.code, all, &zone)?;
        if let Some(table) = table {
            output.line(table.render()).await?;
        }
    }
    if !any {
        output
            .line(
                "没有登记网关 (no gateway is registered): deploy/registry.toml [hospital.gateway]"
                    .to_owned(),
            )
            .await?;
    }
    Ok(true)
}

fn heading(archive: &Archive, hospital: &Hospital, gateway: &Gateway) -> anyhow::Result<String> {
    let mut counts = Vec::new();
    for (line, title) in [
        (PullLine::Live, "待取 (open)"),
        (PullLine::Backfill, "补取 (backfill)"),
        (PullLine::Stopped, "停下 (stopped)"),
        (PullLine::Done, "已取 (done)"),
    ] {
        let count = archive
            .views()
            .count_pulls(&hospital.code, line, COUNT_LIMIT)?;
        let more = if count >= COUNT_LIMIT { "+" } else { "" };
        counts.push(format!("{title} {count}{more}"));
    }
    let is_on = match (gateway.enabled, hospital.is_pulled()) {
        (false, _) => "  已停用 (disabled)",
        (true, true) => "",
        (true, false) => "  仅按要求 (only what is asked for)",
    };
    let Gateway { ae, host, port, .. } = gateway;
    let code = &hospital.code;
    Ok(format!(
        "{code}  {ae}@{host}:{port}{is_on}  {}",
        counts.join("  ")
    ))
}

fn table(
    archive: &Archive,
    hospital: &HospitalCode,
    all: bool,
    zone: &Zone,
) -> anyhow::Result<Option<Table>> {
    let mut rows: Vec<PullRow> = Vec::new();
    for line in PullLine::ALL {
        if line == PullLine::Done && !all {
            continue;
        }
        let mut of_line = 0;
        let mut visit = |row| {
            rows.push(row);
            of_line += 1;
            match of_line < LINES_LIMIT {
                true => Walk::On,
                false => Walk::Stop,
            }
        };
        archive.views().visit_pulls(hospital, line, &mut visit)?;
    }
    if rows.is_empty() {
        return Ok(None);
    }
    let mut table = Table::new([
        "检查",
        "Study UID",
        "缘由",
        "状态",
        "次数",
        "网关有",
        "下次/结束",
        "最近",
    ]);
    for row in rows {
        let time = LocalDateTime::from_unix_ms(row.next_ms, zone);
        table.row([
            row.exam.to_string(),
            row.study.study.to_string(),
            why(row.why).to_owned(),
            state(&row).to_owned(),
            row.tries.to_string(),
            row.expected.map(|it| it.to_string()).unwrap_or_default(),
            time.map(|time| time.to_string()).unwrap_or_default(),
            row.last.map(|last| last.words).unwrap_or_default(),
        ]);
    }
    Ok(Some(table))
}

fn why(why: PullWhy) -> &'static str {
    match why {
        PullWhy::Pushed => "推送 (pushed)",
        PullWhy::MissingAgain => "又缺 (missing again)",
        PullWhy::Asked => "要求 (asked)",
        PullWhy::Backfill => "补取 (backfill)",
    }
}

fn state(row: &PullRow) -> &'static str {
    match row.state {
        PullState::Open if row.tries == 0 => "待取 (open)",
        PullState::Open => "再试 (waiting)",
        PullState::Stopped => "停下 (stopped)",
        PullState::Done => "已取 (done)",
    }
}

/// Has exams' studies fetched now; those named without a generation are the latest that have the number.
pub async fn now(
    archive: &Archive,
    exams: Vec<(ExamKey, bool)>,
    output: &Output,
) -> anyhow::Result<bool> {
    archive.settle().await?;
    ensure_rules(archive)?;
    let views = archive.views();
    let mut named = Vec::with_capacity(exams.len());
    for (key, is_latest) in exams {
        let row = match is_latest {
            true => views.latest_exam(&key.hospital, &key.exam_no)?,
            false => views.exam(&key)?,
        };
        let row = row.with_context(|| format!("没有检查 {key} (there is no such exam)"))?;
        gateway_of(archive, &row.key.hospital)?;
        named.push(row.key);
    }
    submit(
        archive,
        Event::PullsAsked(PullsAsked {
            exams: named.clone(),
            backfill: false,
        }),
    )
    .await?;
    for key in named {
        let studies = views.exam(&key)?.map(|row| row.studies).unwrap_or_default();
        let mut open = 0;
        for declared in studies {
            let study = yingku_core::ids::StudyKey::new(key.hospital.clone(), declared.uid);
            let pull = archive.views().pull(&study)?;
            open += usize::from(pull.is_some_and(|pull| pull.state == PullState::Open));
        }
        output
            .line(match open {
                0 => format!(
                    "{key}: 没有要取的 (nothing to fetch: its images are here, or it has none)"
                ),
                open => format!(
                    "{key}: 即取 {open} 个 Study (studies are fetched now); yingku pull list"
                ),
            })
            .await?;
    }
    Ok(true)
}

/// Lets a hospital's gateway be asked, or not.
pub async fn switch(
    archive: &Archive,
    hospital: HospitalCode,
    on: bool,
    output: &Output,
) -> anyhow::Result<bool> {
    archive.catch_up().await?;
    ensure_rules(archive)?;
    ensure_registered(archive, &hospital)?;
    let gateway = gateway_of(archive, &hospital)?;
    let said = match on {
        true => "调取已开 (fetching is on)",
        false => "调取已停，待取的留着 (fetching is off; what is due waits)",
    };
    if gateway.enabled != on {
        let registry = archive.registry();
        let entry = registry.hospitals.get(&hospital).cloned();
        let mut entry = entry.context("hospital")?;
        entry.gateway = Some(Gateway {
            enabled: on,
            ..gateway
        });
        let changes = vec![RegistryChange::PutHospital(entry)];
        submit(archive, Event::RegistryChanged(RegistryChanged { changes })).await?;
    }
    output.line(format!("{hospital}: {said}")).await?;
    Ok(true)
}

pub(super) fn gateway_of(archive: &Archive, hospital: &HospitalCode) -> anyhow::Result<Gateway> {
    let registry = archive.registry();
    let entry = registry.hospitals.get(hospital);
    let gateway = entry.and_then(|entry| entry.gateway.clone());
    gateway.with_context(|| {
        format!(
            "医院 {hospital} 没有登记网关 (has no gateway): deploy/registry.toml [hospital.gateway]"
        )
    })
}

pub(super) fn ensure_rules(archive: &Archive) -> anyhow::Result<()> {
    anyhow::ensure!(
        archive.registry().rules >= PULLS_SINCE_RULES,
        "须先启用规则版本 {PULLS_SINCE_RULES}：yingku activate-rules (activate the rules of this release first)"
    );
    Ok(())
}

pub(super) async fn submit(archive: &Archive, event: Event) -> anyhow::Result<()> {
    let submission = Submission {
        hospital: None,
        actor: ACTOR.to_owned(),
        event,
    };
    if let Outcome::Refused(refusal) = archive.submit(submission).await?.outcome {
        anyhow::bail!(refusal.message);
    }
    Ok(())
}
