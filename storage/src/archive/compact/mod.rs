//! Packs are regrouped by hospital, month and study, and what nobody needs any more gives its space back.
//!
//! A node compacts the sealed packs that it wrote itself. Instances that the views lead to are copied into new packs,
//! which are durable, and in the object store if there is one, before the log tells that the instances lie there now.
//! When nothing leads to a pack any more and the log knows all that it had, an event says that it may go; its file stays a
//! while, for readers that are at it and nodes that are behind. Whatever dies in between leaves copies that nothing leads
//! to, never an instance without a place.
//!
//! Images that a retention rule calls cold go into packs of their own, which lie in a folder of their own in the object store:
//! a rule of the bucket may keep that on slower storage.
//!
//! What cannot be read stays where it is, and its pack with it.

mod leftovers;
mod run;
mod shelf;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use yingku_core::event::{CARE_SINCE_RULES, Event, PacksCompacted};
use yingku_core::ids::PackId;
use yingku_core::instance::{InstancesMoved, MovedStudy};
use yingku_core::outcome::Outcome;

use self::run::{Run, Written};
use super::{Archive, Submission, SubmitError};
use crate::log::unix_ms;
use crate::packs::PackError;
use crate::views::ViewsError;

/// Instances of one record at most: some 60 KB.
const RECORD_INSTANCES: usize = 2_000;
/// Packs that one record gives up at most.
const RECORD_PACKS: usize = 1_000;

/// What a run may do.
#[derive(Debug, Clone, Copy)]
pub struct Compaction {
    /// Packs are left alone until nothing came into them for so long.
    pub after: Duration,
    /// Bytes that are copied at most.
    pub max_bytes: u64,
    /// How fast; 0: as fast as the disk.
    pub bytes_per_second: u64,
    /// Says what would be, and changes nothing.
    pub dry_run: bool,
}

/// What a run did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CompactReport {
    /// Packs that were looked at, those of them whose instances were copied, and the packs that were made of them.
    pub looked_at: u64,
    pub packs: u64,
    pub made: u64,
    pub instances: u64,
    pub bytes: u64,
    /// Packs that may go, and their bytes.
    pub given_up: u64,
    pub given_up_bytes: u64,
    /// Instances that could not be read: they stay where they are.
    pub unreadable: u64,
    /// There was no room for more copies: what was left is for a later run.
    pub short: bool,
}

#[derive(Debug, thiserror::Error)]
pub enum CompactError {
    #[error(
        "须先启用规则版本 {CARE_SINCE_RULES}：yingku activate-rules (activate the rules of this release first)"
    )]
    Rules,
    #[error("影像包正在整理 (packs are being compacted already)")]
    Running,
    #[error("{0}")]
    Refused(String),
    #[error("the archive is being closed")]
    Closed,
    #[error(transparent)]
    Submit(#[from] SubmitError),
    #[error(transparent)]
    Pack(#[from] PackError),
    #[error(transparent)]
    Views(#[from] ViewsError),
}

impl Archive {
    /// Regroups this node's packs once. Dropped meanwhile, it ends behind the instance at hand.
    pub async fn compact(&self, what: Compaction) -> Result<CompactReport, CompactError> {
        if self.registry().rules < CARE_SINCE_RULES {
            return Err(CompactError::Rules);
        }
        let running = self.inner.compacting.try_lock();
        let _running = running.map_err(|_| CompactError::Running)?;
        let stop = Stop(Arc::default());
        self.settle().await?;
        if !what.dry_run {
            self.give_up_unfinished_alone().await?;
        }
        let (archive, stopped) = (self.clone(), Arc::clone(&stop.0));
        let mut run = blocking(move || Run::plan(archive, what, stopped)).await?;
        if what.dry_run {
            return Ok(run.report);
        }
        let failed = loop {
            let (written, next) = blocking(move || {
                let written = run.write_pack();
                Ok((written, run))
            })
            .await?;
            run = next;
            match written {
                Ok(Some(written)) => match self.tell(written).await {
                    Ok(()) => run.report.made += 1,
                    Err(error) => break Some(error),
                },
                Ok(None) => break None,
                Err(CompactError::Pack(PackError::Full(shortage))) => {
                    tracing::warn!(%shortage, "no room to compact more packs");
                    run.report.short = true;
                    break None;
                }
                Err(error) => break Some(error),
            }
        };
        // Whatever ended it, what is needed nowhere by now gives its space back.
        let (unneeded, mut report) = blocking(move || {
            let unneeded = run.unneeded()?;
            Ok((unneeded, run.report))
        })
        .await?;
        for packs in unneeded.packs.chunks(RECORD_PACKS) {
            let packs: Vec<PackId> = packs.iter().map(|(pack, _)| *pack).collect();
            let as_of = unneeded.as_of;
            self.record(Event::PacksCompacted(PacksCompacted { packs, as_of }))
                .await?;
        }
        report.given_up = unneeded.packs.len() as u64;
        report.given_up_bytes = unneeded.packs.iter().map(|(_, bytes)| bytes).sum();
        metrics::counter!("yingku_packs_compacted_total").increment(report.given_up);
        metrics::counter!("yingku_compaction_copied_bytes_total").increment(report.bytes);
        failed.map_or(Ok(report), Err)
    }

    /// Tells the log where copies lie, once they are where they are to be.
    async fn tell(&self, (written, moved): Written) -> Result<(), CompactError> {
        let pack = written.id();
        written.stored().await?;
        for body in records_of(pack, moved) {
            self.record(Event::InstancesMoved(body)).await?;
        }
        Ok(())
    }

    async fn record(&self, event: Event) -> Result<(), CompactError> {
        let submission = Submission {
            hospital: None,
            actor: self.node_actor(),
            event,
        };
        match self.submit(submission).await?.outcome {
            Outcome::Refused(refusal) => Err(CompactError::Refused(refusal.message)),
            _ => Ok(()),
        }
    }

    /// Takes away the files and objects of this node's packs that were given up `kept` ago or earlier. How many, and their
    /// bytes. Blocks.
    pub fn remove_compacted(&self, kept: Duration) -> Result<(u64, u64), CompactError> {
        let until_ms = unix_ms().saturating_sub(kept.as_millis().try_into().unwrap_or(i64::MAX));
        let views = self.views();
        let (mut removed, mut bytes, mut failed) = (0u64, 0u64, None);
        for info in self.packs().list().map_err(listed)? {
            let row = views.pack(info.pack)?;
            let compacted = row.and_then(|row| row.compacted);
            if info.pack.node() == self.node()
                && compacted.is_some_and(|compacted| compacted.time_ms <= until_ms)
            {
                if let Err(error) = self.packs().remove(info.pack) {
                    failed = Some(error);
                    continue;
                }
                tracing::info!(pack = %info.pack, bytes = info.bytes, "a pack that was compacted is removed");
                removed += 1;
                bytes += info.bytes;
            }
        }
        failed.map_or(Ok((removed, bytes)), |error| Err(error.into()))
    }
}

fn listed(source: std::io::Error) -> PackError {
    PackError::Read {
        pack: PackId(0),
        source: Arc::new(source),
    }
}

/// Ends a run's work on another thread with whoever waits for it.
struct Stop(Arc<AtomicBool>);

impl Drop for Stop {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// The records that tell of a pack's instances.
fn records_of(pack: PackId, moved: Vec<MovedStudy>) -> Vec<InstancesMoved> {
    let mut records: Vec<InstancesMoved> = Vec::new();
    let mut room = 0;
    for MovedStudy { study, instances } in moved {
        let mut rest = instances.as_slice();
        while !rest.is_empty() {
            if room == 0 {
                records.push(InstancesMoved {
                    pack,
                    studies: Vec::new(),
                    is_last: false,
                });
                room = RECORD_INSTANCES;
            }
            let (part, others) = rest.split_at(rest.len().min(room));
            if let Some(record) = records.last_mut() {
                record.studies.push(MovedStudy {
                    study: study.clone(),
                    instances: part.to_vec(),
                });
            }
            room -= part.len();
            rest = others;
        }
    }
    if let Some(record) = records.last_mut() {
        record.is_last = true;
    }
    records
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, CompactError> + Send + 'static,
) -> Result<T, CompactError> {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or(Err(CompactError::Closed))
}
