//! Packs that nobody can read any more: their instances are missing from then on, and new when they are sent again.

use std::collections::BTreeSet;

use anyhow::Context;
use yingku_core::event::{Event, PackLost, RULINGS_SINCE_RULES};
use yingku_core::ids::{PackId, StudyKey, StudyUid};
use yingku_core::outcome::Outcome;
use yingku_storage::archive::{Archive, Submission};
use yingku_storage::packs::PackError;
use yingku_storage::views::{Views, Walk};

use super::Ruling;
use crate::control::Output;

/// Packs or studies of one record: their keys take at most some 150 KB of the log's 1 MiB.
const LINES_OF_RECORD: usize = 1_000;

/// Which packs are meant.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Lost {
    pub packs: Vec<PackId>,
    /// Those of this node that cannot be read.
    pub node: Option<u16>,
    /// Says what would be, and changes nothing.
    pub dry_run: bool,
}

/// What lay in lost packs.
#[derive(Default)]
struct Found {
    studies: Vec<StudyKey>,
    held: Vec<StudyUid>,
    instances: u64,
}

pub async fn lost(
    archive: &Archive,
    meant: Lost,
    ruling: Ruling,
    output: &Output,
) -> anyhow::Result<bool> {
    let ruling = Ruling::new(&ruling.reason, &ruling.author)?;
    anyhow::ensure!(
        archive.registry().rules >= RULINGS_SINCE_RULES,
        "须先启用规则版本 {RULINGS_SINCE_RULES}：yingku activate-rules (activate the rules of this release first)"
    );
    archive.settle().await?;
    let (of, teller, dry_run) = (archive.clone(), output.clone(), meant.dry_run);
    let looked = tokio::task::spawn_blocking(move || {
        let packs = unreadable(&of, &meant, &teller)?;
        let found = find(&of.views(), &packs, &teller)?;
        anyhow::Ok((packs, found))
    });
    let (packs, found) = looked.await??;
    let packs: Vec<PackId> = packs.into_iter().collect();
    if !dry_run {
        register(archive, &packs, &found, &ruling).await?;
    }
    output
        .line(format!(
            "{}: 影像包 (packs) {}, 影像 (instances) {}, Study {}{}",
            if dry_run {
                "将登记为丢失，尚未登记 (would be registered as lost; nothing was changed)"
            } else {
                "已登记为丢失 (registered as lost)"
            },
            packs.len(),
            found.instances,
            found.studies.len().saturating_add(found.held.len()),
            match (dry_run, found.instances) {
                (false, 1..) =>
                    "；缺少的影像见 yingku reconcile，请医院重发 (reconciliation names what is missing: have it sent again)",
                _ => "",
            }
        ))
        .await?;
    Ok(true)
}

/// Of the packs that are meant, those that the log knows and nobody can read. One that can be read is not lost.
fn unreadable(
    archive: &Archive,
    meant: &Lost,
    output: &Output,
) -> anyhow::Result<BTreeSet<PackId>> {
    let views = archive.views();
    let mut candidates: BTreeSet<PackId> = meant.packs.iter().copied().collect();
    if let Some(node) = meant.node {
        candidates.extend(views.logged_packs(node)?);
    }
    let mut lost = BTreeSet::new();
    for pack in candidates {
        let Some(first) = views.logged_offsets(pack)?.into_iter().next() else {
            anyhow::ensure!(
                !meant.packs.contains(&pack),
                "{pack}: 日志中没有此影像包的影像 (the log tells of no instance in this pack)"
            );
            continue;
        };
        match archive.packs().reader(pack, first) {
            Err(PackError::Missing { .. } | PackError::AtNode { .. }) => {
                output.blocking_line(format!("影像包 (pack) {pack}: 读不到 (cannot be read)"))?;
                lost.insert(pack);
            }
            // Whether it is lost shows when its store, or this disk, is whole again.
            Err(error @ (PackError::Remote { .. } | PackError::Read { .. })) => {
                return Err(error).with_context(|| {
                    format!("{pack}: 现在无法判断是否丢失，请先恢复存储 (whether it is lost cannot be told now)")
                });
            }
            Ok(_) | Err(_) => anyhow::ensure!(
                !meant.packs.contains(&pack),
                "{pack}: 可以读到，未丢失；有损坏时请医院重发 (it is there, and not lost; what is damaged heals when it is sent again)"
            ),
        }
    }
    Ok(lost)
}

fn find(views: &Views, packs: &BTreeSet<PackId>, output: &Output) -> anyhow::Result<Found> {
    let mut found = Found::default();
    if packs.is_empty() {
        return Ok(found);
    }
    let mut keys = Vec::new();
    views.visit_all_studies(&mut |row| keys.push(row.key))?;
    for key in keys {
        let Some(study) = views.study(&key)? else {
            continue;
        };
        let mut here = 0;
        for series in 0..study.series.len() {
            let entries = views.all_instances(&study, series)?;
            here += entries
                .iter()
                .filter(|entry| packs.contains(&entry.pack))
                .count();
        }
        if here > 0 {
            output.blocking_line(format!("  {key}: {here}"))?;
            found.instances += here as u64;
            found.studies.push(key);
        }
    }
    let mut held = BTreeSet::new();
    views.visit_held(&mut |group| {
        if packs.contains(&group.pack) {
            found.instances += u64::from(group.count());
            held.insert(group.group.study_uid);
        }
        Walk::On
    })?;
    found.held = held.into_iter().collect();
    Ok(found)
}

/// The packs' own lines go with the last of their studies, so that one that was broken off is taken up again.
async fn register(
    archive: &Archive,
    packs: &[PackId],
    found: &Found,
    ruling: &Ruling,
) -> anyhow::Result<()> {
    let record = |packs: &[PackId], studies: &[StudyKey], held: &[StudyUid], is_last| PackLost {
        packs: packs.to_vec(),
        studies: studies.to_vec(),
        held: held.to_vec(),
        is_last,
        reason: ruling.reason.clone(),
        author: ruling.author.clone(),
    };
    for packs in packs.chunks(LINES_OF_RECORD) {
        let studies = found.studies.chunks(LINES_OF_RECORD);
        let held = found.held.chunks(LINES_OF_RECORD);
        let records = studies
            .map(|part| record(packs, part, &[], false))
            .chain(held.map(|part| record(packs, &[], part, false)))
            .chain([record(packs, &[], &[], true)]);
        for body in records {
            let submission = Submission {
                hospital: None,
                actor: ruling.actor(),
                event: Event::PackLost(body),
            };
            if let Outcome::Refused(refusal) = archive.submit(submission).await?.outcome {
                anyhow::bail!(refusal.message);
            }
        }
    }
    Ok(())
}
