//! Copies that a broken-off run left: the log does not tell of them, and their instances lie where they lay.

use yingku_core::event::{CARE_SINCE_RULES, Event, PacksCompacted};
use yingku_core::exam::ExamFlag;
use yingku_core::ids::{PackId, Position, StudyUid};

use super::{CompactError, RECORD_PACKS, blocking, listed};
use crate::archive::Archive;
use crate::archive::intake::decode_facts;
use crate::packs::{PackError, Packs};
use crate::views::{Views, ViewsError};

impl Archive {
    /// Gives up the copies of which the log never told, because a crash or whoever waited for a run kept it from that: their
    /// instances lie elsewhere. By an event, since a record that tells of them may still be on its way.
    pub async fn give_up_unfinished(&self) -> Result<(), CompactError> {
        if self.registry().rules < CARE_SINCE_RULES {
            return Ok(());
        }
        let running = self.inner.compacting.try_lock();
        let _running = running.map_err(|_| CompactError::Running)?;
        self.give_up_unfinished_alone().await
    }

    pub(super) async fn give_up_unfinished_alone(&self) -> Result<(), CompactError> {
        self.settle().await?;
        let archive = self.clone();
        let (packs, as_of) = blocking(move || archive.unfinished()).await?;
        if packs.is_empty() {
            return Ok(());
        }
        tracing::info!(
            packs = packs.len(),
            "packs that were made of others, and of which the log does not tell, are given up"
        );
        match self
            .record(Event::PacksCompacted(PacksCompacted { packs, as_of }))
            .await
        {
            // The log told of one after all.
            Err(CompactError::Refused(_)) => Ok(()),
            recorded => recorded,
        }
    }

    /// Packs of copies of which the log did not tell by a position, and whose instances lie elsewhere. Blocks.
    fn unfinished(&self) -> Result<(Vec<PackId>, Position), CompactError> {
        let views = self.views();
        let as_of = views.cursor()?.next;
        let packs = self.packs();
        let mut unfinished = Vec::new();
        for info in packs.list().map_err(listed)? {
            let pack = info.pack;
            let is_told = pack.node() != self.node() || views.pack(pack)?.is_some();
            if !info.sealed || is_told || !is_copied(packs, pack)? {
                continue;
            }
            if self.lies_elsewhere(&views, pack)? {
                unfinished.push(pack);
            } else {
                tracing::error!(%pack, "a pack that was made of others has instances that nothing else has, and stays; if the log has lost records, run `yingku rescan --copies`");
            }
        }
        unfinished.truncate(RECORD_PACKS);
        Ok((unfinished, as_of))
    }

    /// Whether the instances of a pack of which the log does not tell lie in other packs. Blocks.
    pub(super) fn lies_elsewhere(&self, views: &Views, pack: PackId) -> Result<bool, CompactError> {
        let told = views.logged_offsets(pack)?;
        for record in self.packs().records(pack)? {
            let Ok(record) = record else {
                return Ok(false);
            };
            if told.contains(&record.offset) {
                continue;
            }
            let Some(stored) = decode_facts(pack, &record) else {
                return Ok(false);
            };
            for instance in &stored.group.instances {
                let study = &stored.group.study_uid;
                let lies_elsewhere = match views.place_of(study, instance)? {
                    Some(other) => other != pack && self.packs().has(other),
                    None => is_deleted(views, study)?,
                };
                if !lies_elsewhere {
                    return Ok(false);
                }
            }
        }
        Ok(true)
    }
}

/// Whether a retention rule deleted images of a study.
fn is_deleted(views: &Views, study: &StudyUid) -> Result<bool, ViewsError> {
    for claim in views.claims(study)?.unwrap_or_default().claims {
        let exam = views.exam(&claim.exam)?;
        if exam.is_some_and(|exam| exam.has(ExamFlag::ImagesDeleted)) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Whether a pack was made of others; one whose header is damaged is not known to be.
pub(super) fn is_copied(packs: &Packs, pack: PackId) -> Result<bool, PackError> {
    match packs.is_copied(pack) {
        Err(PackError::Damaged { .. } | PackError::Missing { .. }) => Ok(false),
        is_copied => is_copied,
    }
}
