//! Every night each gateway is asked what it has of the last days: what nobody pushed is named (`yingku findings`). That is
//! done within its hours, and takes one of its places as a study does that is fetched.

use std::collections::BTreeSet;
use std::time::Duration;

use tokio::time::Instant;
use yingku_core::event::{Event, GatewaySwept};
use yingku_core::finding::FindingKind;
use yingku_core::ids::HospitalCode;
use yingku_core::pull::UnpushedStudy;
use yingku_core::registry::Gateway;
use yingku_core::time::{LocalDate, LocalDateTime};
use yingku_dicom_node::gateway::Listed;
use yingku_dicom_node::scp::Scp;
use yingku_storage::archive::{Archive, Submission};

use super::hours::{is_open, local};
use super::worker::called;

/// How often it is looked whether a night has come.
pub const LOOK_EVERY: Duration = Duration::from_secs(60);
/// Local hour from which on a gateway is asked that is open then; others when they open. After a start at once.
const NIGHT_HOUR: u8 = 2;
/// Days before today that are looked at: a push may be a day or two late, and a sweep be missed.
const DAYS: i64 = 4;
const DAY_MS: i64 = 24 * 3_600_000;
/// One day's list that takes longer is given up.
const DAY_TIMEOUT: Duration = Duration::from_secs(3600);
/// A gateway that did not answer is asked again after this.
const AGAIN_AFTER: Duration = Duration::from_secs(3600);
/// Studies of one record: some 50 KB.
const STUDIES_OF_RECORD: usize = 500;
/// Studies of one hospital that are listed: one that pushes nothing needs no longer list to say so.
const LISTED_LIMIT: usize = 10_000;

/// When one gateway was asked, and is again.
#[derive(Default)]
pub struct Nights {
    asked: Option<(LocalDate, Gateway)>,
    again_at: Option<Instant>,
}

impl Nights {
    /// Whether a gateway that is open now is to be asked.
    pub fn is_due(&self, gateway: &Gateway, now: &LocalDateTime) -> bool {
        if !gateway.sweep || self.again_at.is_some_and(|at| at > Instant::now()) {
            return false;
        }
        match &self.asked {
            // It may answer by now.
            Some((_, asked)) if asked != gateway => true,
            Some((day, _)) => *day != now.date() && is_night(gateway, now),
            None => true,
        }
    }

    pub fn begun(&mut self, gateway: &Gateway, now: &LocalDateTime) {
        self.asked = Some((now.date(), gateway.clone()));
        self.again_at = None;
    }

    pub fn failed(&mut self) {
        self.asked = None;
        self.again_at = Some(Instant::now() + AGAIN_AFTER);
    }
}

fn is_night(gateway: &Gateway, now: &LocalDateTime) -> bool {
    let is_open_at_night = gateway.is_open_at(u16::from(NIGHT_HOUR) * 60);
    !is_open_at_night || now.time().0 >= NIGHT_HOUR
}

/// Asks for day after day, as long as the gateway is open.
pub async fn sweep(
    archive: &Archive,
    scp: &Scp,
    hospital: &HospitalCode,
    gateway: &Gateway,
    epoch: Option<u64>,
) -> anyhow::Result<()> {
    let begun_ms = jiff::Timestamp::now().as_millisecond();
    for day in (1..=DAYS).rev() {
        let now_ms = jiff::Timestamp::now().as_millisecond();
        let registry = archive.registry();
        if !is_open(gateway, local(&registry, now_ms).as_ref()) {
            return Ok(());
        }
        let Some(day) = local(&registry, begun_ms - day * DAY_MS) else {
            continue;
        };
        let asked = sweep_day(archive, scp, hospital, gateway, day.date(), epoch);
        tokio::time::timeout(DAY_TIMEOUT, asked).await??;
    }
    Ok(())
}

async fn sweep_day(
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
        let known: BTreeSet<String> = known.into_iter().map(|(key, _)| key.subject).collect();
        let mut unpushed = Vec::new();
        for Listed { study, modality } in listed {
            let claims = views.claims(&study)?.unwrap_or_default();
            let is_claimed = claims.active().any(|claim| claim.exam.hospital == hospital);
            if !is_claimed && !known.contains(study.as_str()) && unpushed.len() < room {
                unpushed.push(UnpushedStudy { study, modality });
            }
        }
        Ok(unpushed)
    };
    tokio::task::spawn_blocking(look).await?
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn gateway(hours: &[&str]) -> Gateway {
        let json = serde_json::json!({
            "ae": "GATE", "host": "127.0.0.1", "port": 104, "sweep": true, "hours": hours,
        });
        serde_json::from_value(json).unwrap()
    }

    /// Hours of the 5th at which a gateway is asked that was asked on the 4th.
    fn asked_at(gateway: &Gateway) -> Vec<u8> {
        let at = |text: &str| LocalDateTime::parse(text).unwrap();
        let mut nights = Nights::default();
        nights.begun(gateway, &at("2026-07-04 23:00:00"));
        (0..24)
            .filter(|hour| {
                let now = at(&format!("2026-07-05 {hour:02}:30:00"));
                is_open(gateway, Some(&now)) && nights.is_due(gateway, &now)
            })
            .collect()
    }

    #[test]
    fn a_gateway_is_asked_at_night_or_else_when_it_opens() {
        let first = |hours: &[&str]| asked_at(&gateway(hours)).first().copied();
        assert_eq!(first(&[]), Some(2));
        assert_eq!(first(&["19:00-07:00"]), Some(2));
        assert_eq!(first(&["12:00-13:30"]), Some(12));
        assert_eq!(first(&["00:00-01:40"]), Some(0));
    }

    #[test]
    fn a_gateway_is_asked_once_a_day_and_again_when_it_is_set_anew_or_did_not_answer() {
        let (always, now) = (
            gateway(&[]),
            LocalDateTime::parse("2026-07-05 02:30:00").unwrap(),
        );
        let mut nights = Nights::default();
        assert!(nights.is_due(&always, &now));
        nights.begun(&always, &now);
        assert!(!nights.is_due(&always, &now));
        assert!(nights.is_due(&gateway(&["00:00-24:00"]), &now));
        nights.failed();
        assert!(!nights.is_due(&always, &now));
        nights.again_at = Some(Instant::now());
        assert!(nights.is_due(&always, &now));
        assert!(!nights.is_due(
            &Gateway {
                sweep: false,
                ..always
            },
            &now
        ));
    }
}
