//! Every night each gateway is asked what it has of the last days: what nobody pushed is named (`yingku findings`).

use std::collections::BTreeMap;
use std::time::Duration;

use yingku_core::event::{Event, GatewaySwept, PULLS_SINCE_RULES};
use yingku_core::finding::FindingKind;
use yingku_core::ids::HospitalCode;
use yingku_core::pull::UnpushedStudy;
use yingku_core::registry::Gateway;
use yingku_core::time::{LocalDate, LocalDateTime, Zone};
use yingku_dicom_node::gateway::Listed;
use yingku_dicom_node::scp::Scp;
use yingku_storage::archive::{Archive, Submission};

use super::worker::called;

/// How often it is looked whether a night has come.
const LOOK_EVERY: Duration = Duration::from_secs(60);
/// Local hour from which on a gateway is asked; after a start at once.
const NIGHT_HOUR: u8 = 2;
/// Days before today that are looked at: a push may be a day or two late, and a sweep be missed.
const DAYS: i64 = 4;
const DAY_MS: i64 = 24 * 3_600_000;
/// Studies of one record: some 50 KB.
const STUDIES_OF_RECORD: usize = 500;
/// Studies of one hospital that are listed: one that pushes nothing needs no longer list to say so.
const LISTED_LIMIT: usize = 10_000;

/// Asks until it is dropped.
pub async fn run(archive: &Archive, scp: &Scp, epoch: Option<u64>) {
    let mut looks = tokio::time::interval(LOOK_EVERY);
    let mut projected = archive.watch_projected();
    let mut swept: BTreeMap<HospitalCode, (LocalDate, Gateway)> = BTreeMap::new();
    loop {
        let registry = archive.registry();
        let zone = Zone::named(&registry.settings.time_zone).unwrap_or_default();
        let now_ms = jiff::Timestamp::now().as_millisecond();
        let now = LocalDateTime::from_unix_ms(now_ms, &zone);
        let is_active = registry.rules >= PULLS_SINCE_RULES;
        for hospital in registry.hospitals.values().filter(|_| is_active) {
            let gateway = hospital.gateway.as_ref();
            let is_on = registry.closed(&hospital.code).is_none();
            let gateway = gateway.filter(|it| is_on && it.enabled && it.sweep);
            let (Some(gateway), Some(now)) = (gateway, now) else {
                continue;
            };
            let is_due = match swept.get(&hospital.code) {
                // It may answer by now.
                Some((_, asked)) if asked != gateway => true,
                Some((day, _)) => *day != now.date() && now.time().0 >= NIGHT_HOUR,
                None => true,
            };
            if !is_due {
                continue;
            }
            swept.insert(hospital.code.clone(), (now.date(), gateway.clone()));
            for day in (1..=DAYS).rev() {
                let day = LocalDateTime::from_unix_ms(now_ms - day * DAY_MS, &zone);
                let Some(day) = day.map(LocalDateTime::date) else {
                    continue;
                };
                if let Err(error) = sweep(archive, scp, &hospital.code, gateway, day, epoch).await {
                    tracing::warn!(hospital = %hospital.code, %day, error = format!("{error:#}"), "a gateway is not asked what nobody pushed");
                    break;
                }
            }
        }
        tokio::select! {
            _ = looks.tick() => {}
            changed = projected.changed() => {
                if changed.is_err() {
                    return;
                }
            }
        }
    }
}

async fn sweep(
    archive: &Archive,
    scp: &Scp,
    hospital: &HospitalCode,
    gateway: &Gateway,
    day: LocalDate,
    epoch: Option<u64>,
) -> anyhow::Result<()> {
    let date = day.to_string();
    let asked = called(gateway, scp, None);
    let listed = asked.studies_of(&date.replace('-', "")).await?;
    let unpushed = unpushed(archive, hospital, listed).await?;
    for studies in unpushed.chunks(STUDIES_OF_RECORD) {
        let submission = Submission {
            hospital: Some(hospital.clone()),
            actor: archive.node_actor(),
            event: Event::GatewaySwept(GatewaySwept {
                hospital: hospital.clone(),
                date: date.clone(),
                studies: studies.to_vec(),
                epoch,
            }),
        };
        archive.submit(submission).await?;
    }
    Ok(())
}

/// Those that no exam of the hospital declares, and that are not listed yet.
async fn unpushed(
    archive: &Archive,
    hospital: &HospitalCode,
    listed: Vec<Listed>,
) -> anyhow::Result<Vec<UnpushedStudy>> {
    archive.settle().await?;
    let (views, hospital) = (archive.views(), hospital.clone());
    let look = move || {
        let known = views.findings(FindingKind::NotPushed, Some(&hospital), LISTED_LIMIT)?;
        let room = LISTED_LIMIT.saturating_sub(known.len());
        let mut unpushed = Vec::new();
        for Listed { study, modality } in listed {
            let claims = views.claims(&study)?.unwrap_or_default();
            let is_claimed = claims.active().any(|claim| claim.exam.hospital == hospital);
            let is_known = known.iter().any(|(key, _)| key.subject == study.as_str());
            if !is_claimed && !is_known && unpushed.len() < room {
                unpushed.push(UnpushedStudy { study, modality });
            }
        }
        Ok(unpushed)
    };
    tokio::task::spawn_blocking(look).await?
}
