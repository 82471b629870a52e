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

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use yingku_core::event::{CARE_SINCE_RULES, Event, PacksCompacted};
use yingku_core::exam::ExamFlag;
use yingku_core::ids::{HospitalCode, PackId, Position, StudyKey, StudyUid};
use yingku_core::instance::{InPack, InstancesMoved, MovedInstance, MovedStudy, StudyFacts};
use yingku_core::outcome::Outcome;
use yingku_core::registry::Registry;

use super::intake::decode_facts;
use super::{Archive, Submission, SubmitError};
use crate::log::unix_ms;
use crate::packs::{CopiedPack, PackError, Packs, Placed, WrittenPack};
use crate::views::{Frozen, Views, ViewsError};

/// Instances of one run at most: some 60 MB of memory. The next run takes the rest.
const RUN_INSTANCES: u64 = 1_000_000;
/// Instances of one record at most: some 60 KB.
const RECORD_INSTANCES: usize = 2_000;
/// Packs that one record gives up at most.
const RECORD_PACKS: usize = 1_000;
/// Of a hundred instances of a pack so many must be needed nowhere before it is worth while to copy the others.
const DEAD_PERCENT: u64 = 25;
/// Bytes of images that a rule deleted stay so long where little else in their pack is needed nowhere: a hospital's month
/// falls due day by day, and is not copied as often.
const DELETED_STAYS_MS: i64 = 30 * 24 * 3_600_000;
/// A hospital's month begins a pack of its own when the one at hand has this part of its size.
const WORTH_A_PACK: u64 = 4;
/// So many small packs are put together.
const SMALL_PACKS: usize = 8;

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
        let (mut removed, mut bytes) = (0u64, 0u64);
        for info in self.packs().list().map_err(listed)? {
            let row = views.pack(info.pack)?;
            let compacted = row.and_then(|row| row.compacted);
            if info.pack.node() == self.node()
                && compacted.is_some_and(|compacted| compacted.time_ms <= until_ms)
            {
                self.packs().remove(info.pack)?;
                tracing::info!(pack = %info.pack, bytes = info.bytes, "a pack that was compacted is removed");
                removed += 1;
                bytes += info.bytes;
            }
        }
        Ok((removed, bytes))
    }

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

    async fn give_up_unfinished_alone(&self) -> Result<(), CompactError> {
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
    fn lies_elsewhere(&self, views: &Views, pack: PackId) -> Result<bool, CompactError> {
        let told = views.logged_offsets(pack)?;
        for record in self.packs().records(pack)? {
            let Ok(record) = record else {
                return Ok(false);
            };
            if told.contains(&record.offset) {
                continue;
            }
            let place = Placed {
                pack,
                offset: record.offset,
                length: record.data_len,
            };
            let Some(stored) = decode_facts(&record.facts, place) else {
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

/// Where instances belong together.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Shelf {
    /// A retention rule says that they may lie on slower storage.
    is_cold: bool,
    hospital: HospitalCode,
    /// `YYYYMM` of the study; empty where its images have no date.
    month: String,
    study: StudyUid,
}

impl Shelf {
    /// Whether what is on them may share a pack whatever its size.
    fn is_same_month(&self, other: &Self) -> bool {
        self.hospital == other.hospital && self.month == other.month
    }
}

/// Which studies are cold, asked study by study; nothing is where there is no other place for it.
struct Warmth<'v> {
    views: &'v Views,
    registry: Arc<Registry>,
    now_ms: i64,
    asks: bool,
    last: Option<(StudyKey, bool)>,
}

impl<'v> Warmth<'v> {
    fn new(archive: &Archive, views: &'v Views) -> Self {
        let registry = archive.registry();
        let mut rules = registry.settings.retention.iter();
        let asks = rules.any(|rule| rule.cold_after_months.is_some())
            && archive.packs().objects_options().is_some();
        Self {
            views,
            registry,
            now_ms: unix_ms(),
            asks,
            last: None,
        }
    }

    /// One scan of several forms is as warm as the warmest of them.
    fn is_cold(&mut self, study: &StudyKey) -> Result<bool, ViewsError> {
        if !self.asks {
            return Ok(false);
        }
        if let Some((_, is_cold)) = self.last.as_ref().filter(|(last, _)| last == study) {
            return Ok(*is_cold);
        }
        let is_cold = self.ask(study)?;
        self.last = Some((study.clone(), is_cold));
        Ok(is_cold)
    }

    fn ask(&self, study: &StudyKey) -> Result<bool, ViewsError> {
        let claims = self.views.claims(&study.study)?.unwrap_or_default();
        let row = self.views.study(study)?;
        let taken_for = row.and_then(|row| row.taken_for).map(|it| it.exam);
        let owning = claims.owning().map(|claim| claim.exam.clone());
        let mut any = false;
        for key in owning.chain(taken_for) {
            if let Some(exam) = self.views.exam(&key)? {
                any = true;
                if !self.registry.settings.is_cold(&exam, self.now_ms) {
                    return Ok(false);
                }
            }
        }
        Ok(any)
    }
}

/// One run over some packs.
struct Run {
    archive: Archive,
    packs: Packs,
    what: Compaction,
    stop: Arc<AtomicBool>,
    /// What is compacted, and the bytes of each.
    chosen: HashMap<PackId, u64>,
    /// What is to be copied, in order.
    waiting: VecDeque<(Shelf, VecDeque<InPack>)>,
    /// When the pack at hand was begun.
    begun: Instant,
    report: CompactReport,
}

/// What the log told of a pack, and what leads to it.
struct Candidate {
    bytes: u64,
    made_of_others: bool,
    /// It was made of others, and the log does not tell of all that it has: a crash.
    is_partial: bool,
    told: u64,
    needed: u64,
    /// Of those that are needed.
    cold: u64,
    /// Something in it was deleted by a rule so long ago that its bytes are to go.
    is_overdue: bool,
}

impl Candidate {
    fn is_unneeded(&self) -> bool {
        self.needed == 0
    }

    fn is_sparse(&self) -> bool {
        (self.told - self.needed.min(self.told)) * 100 >= self.told * DEAD_PERCENT
    }

    /// Most of it may lie on slower storage.
    fn is_cooling(&self) -> bool {
        self.cold * 2 >= self.needed && self.cold > 0
    }

    fn is_small(&self, seal_bytes: u64) -> bool {
        self.bytes < seal_bytes / WORTH_A_PACK
    }
}

/// Packs to which nothing leads.
struct Unneeded {
    as_of: Position,
    packs: Vec<(PackId, u64)>,
}

/// A pack that was written, and what was copied into it.
type Written = (WrittenPack, Vec<MovedStudy>);

impl Run {
    fn plan(
        archive: Archive,
        what: Compaction,
        stop: Arc<AtomicBool>,
    ) -> Result<Self, CompactError> {
        let packs = archive.packs().clone();
        let mut run = Self {
            archive,
            packs,
            what,
            stop,
            chosen: HashMap::new(),
            waiting: VecDeque::new(),
            begun: Instant::now(),
            report: CompactReport::default(),
        };
        let views = run.archive.views();
        let frozen = views.freeze();
        let candidates = run.candidates(&views, &frozen)?;
        run.report.looked_at = candidates.len() as u64;
        run.choose(&candidates);
        run.fetch_places(&frozen)?;
        drop(frozen);
        Ok(run)
    }

    fn go_on(&self) -> Result<(), CompactError> {
        match self.stop.load(Ordering::Relaxed) {
            true => Err(CompactError::Closed),
            false => Ok(()),
        }
    }

    /// This node's sealed packs that are old enough.
    fn candidates(
        &self,
        views: &Views,
        frozen: &Frozen<'_>,
    ) -> Result<BTreeMap<PackId, Candidate>, CompactError> {
        let after_ms = self.what.after.as_millis().try_into().unwrap_or(i64::MAX);
        let now_ms = unix_ms();
        let until_ms = now_ms.saturating_sub(after_ms);
        let mut candidates = BTreeMap::new();
        for info in self.packs.list().map_err(listed)? {
            if !info.sealed || info.pack.node() != self.archive.node() {
                continue;
            }
            let Some(row) = views.pack(info.pack)? else {
                continue;
            };
            if row.compacted.is_none() && row.last_time_ms <= until_ms {
                let candidate = Candidate {
                    bytes: info.bytes,
                    made_of_others: row.made_of_others,
                    is_partial: row.made_of_others && !row.is_whole,
                    told: views.logged_offsets(info.pack)?.len() as u64,
                    needed: 0,
                    cold: 0,
                    is_overdue: row
                        .deleted_since_ms
                        .is_some_and(|since_ms| now_ms - since_ms >= DELETED_STAYS_MS),
                };
                candidates.insert(info.pack, candidate);
            }
        }
        let mut warmth = Warmth::new(&self.archive, views);
        frozen.visit_places(|study, places| {
            for place in places {
                if let Some(candidate) = candidates.get_mut(&place.pack) {
                    candidate.needed += 1;
                    if !place.pack.is_cold() {
                        candidate.cold += u64::from(warmth.is_cold(study)?);
                    }
                }
            }
            Ok(())
        })?;
        frozen.visit_held(&mut |held| {
            if let Some(candidate) = candidates.get_mut(&held.pack) {
                candidate.needed += u64::from(held.count());
            }
        })?;
        self.go_on()?;
        Ok(candidates)
    }

    /// Of the packs that were chosen those to which the views lead.
    fn needed(&self, frozen: &Frozen<'_>) -> Result<HashSet<PackId>, CompactError> {
        let mut needed = HashSet::new();
        let mut note = |pack: PackId| {
            if self.chosen.contains_key(&pack) {
                needed.insert(pack);
            }
        };
        frozen.visit_places(|_, places| {
            places.iter().for_each(|place| note(place.pack));
            Ok(())
        })?;
        frozen.visit_held(&mut |held| note(held.pack))?;
        self.go_on()?;
        Ok(needed)
    }

    /// Those that gain by it, oldest first, as many as a run may copy.
    fn choose(&mut self, candidates: &BTreeMap<PackId, Candidate>) {
        let seal_bytes = self.packs.seal_bytes();
        let is_worth = |candidate: &&Candidate| !candidate.is_unneeded();
        let worth = || candidates.values().filter(is_worth);
        let mixed = worth().filter(|it| !it.made_of_others).count();
        let small = worth().filter(|it| it.is_small(seal_bytes)).count();
        let (mut bytes, mut instances) = (0u64, 0u64);
        let mut is_full = false;
        for (pack, candidate) in candidates {
            let is_chosen = candidate.is_unneeded()
                || candidate.is_partial
                || candidate.is_overdue
                || candidate.is_sparse()
                || candidate.is_cooling()
                // One pack by itself has nothing to be grouped with.
                || !candidate.made_of_others && mixed > 1
                || candidate.is_small(seal_bytes) && small >= SMALL_PACKS;
            if !is_chosen {
                continue;
            }
            if !candidate.is_unneeded() {
                bytes = bytes.saturating_add(candidate.bytes);
                instances = instances.saturating_add(candidate.needed);
                is_full |= bytes > self.what.max_bytes || instances > RUN_INSTANCES;
                if is_full {
                    continue;
                }
                self.report.packs += 1;
            }
            self.chosen.insert(*pack, candidate.bytes);
        }
    }

    /// Where the instances lie that are to be copied, put in order.
    fn fetch_places(&mut self, frozen: &Frozen<'_>) -> Result<(), CompactError> {
        let chosen = &self.chosen;
        let mut shelves: BTreeMap<Shelf, VecDeque<InPack>> = BTreeMap::new();
        let mut studies: Vec<(StudyKey, Vec<InPack>)> = Vec::new();
        frozen.visit_places(|study, places| {
            let places = places.iter().filter(|it| chosen.contains_key(&it.pack));
            let places: Vec<InPack> = places.copied().collect();
            match studies.last_mut() {
                _ if places.is_empty() => {}
                Some((last, known)) if last == study => known.extend(places),
                _ => studies.push((study.clone(), places)),
            }
            Ok(())
        })?;
        let views = self.archive.views();
        let mut warmth = Warmth::new(&self.archive, &views);
        for (key, places) in studies {
            let month = frozen.study(&key)?.map(|row| month_of(&row.study));
            let shelf = Shelf {
                is_cold: warmth.is_cold(&key)?,
                hospital: key.hospital,
                month: month.unwrap_or_default(),
                study: key.study,
            };
            shelves.entry(shelf).or_default().extend(places);
        }
        frozen.visit_held(&mut |held| {
            if !chosen.contains_key(&held.pack) {
                return;
            }
            let shelf = Shelf {
                is_cold: false,
                hospital: held.group.hospital,
                month: month_of(&held.group.study),
                study: held.group.study_uid,
            };
            let places = held.group.instances.iter().map(|instance| InPack {
                pack: held.pack,
                offset: instance.offset,
                length: instance.length,
            });
            shelves.entry(shelf).or_default().extend(places);
        })?;
        for places in shelves.values() {
            self.report.instances += places.len() as u64;
            self.report.bytes += places.iter().map(|place| place.length).sum::<u64>();
        }
        self.waiting = shelves.into_iter().collect();
        Ok(())
    }

    /// Writes the next pack; `None`: all is copied.
    fn write_pack(&mut self) -> Result<Option<Written>, CompactError> {
        let Some((first, _)) = self.waiting.front() else {
            return Ok(None);
        };
        let mut last = first.clone();
        let seal_bytes = self.packs.seal_bytes();
        let mut pack = self.packs.copied_pack(last.is_cold)?;
        self.begun = Instant::now();
        let mut written: Vec<MovedStudy> = Vec::new();
        while let Some((shelf, mut places)) = self.waiting.pop_front() {
            let is_worth_a_pack = pack.bytes() >= seal_bytes / WORTH_A_PACK;
            if shelf.is_cold != last.is_cold || is_worth_a_pack && !shelf.is_same_month(&last) {
                self.waiting.push_front((shelf, places));
                break;
            }
            let mut instances = Vec::with_capacity(places.len());
            while pack.bytes() < seal_bytes
                && let Some(place) = places.pop_front()
            {
                instances.extend(self.copy(&mut pack, place)?);
            }
            if !instances.is_empty() {
                written.push(MovedStudy {
                    study: shelf.study.clone(),
                    instances,
                });
            }
            if !places.is_empty() {
                self.waiting.push_front((shelf, places));
                break;
            }
            last = shelf;
        }
        match written.is_empty() {
            // Nothing of it could be read: the next pack, or the end.
            true => self.write_pack(),
            false => Ok(Some((pack.finish()?, written))),
        }
    }

    fn copy(
        &mut self,
        pack: &mut CopiedPack,
        place: InPack,
    ) -> Result<Option<MovedInstance>, CompactError> {
        self.go_on()?;
        self.pace(pack.bytes());
        match pack.copy(place.pack, place.offset) {
            Ok(offset) => Ok(Some(MovedInstance {
                from: place.pack,
                from_offset: place.offset,
                offset,
            })),
            Err(
                error @ (PackError::Damaged { .. }
                | PackError::TooLarge { .. }
                | PackError::Missing { .. }),
            ) => {
                tracing::error!(pack = %place.pack, offset = place.offset, %error, "an instance cannot be read and stays where it is; run `yingku verify`");
                self.report.unreadable += 1;
                Ok(None)
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Not faster than it may be: each pack by itself, so that what an upload took is not made good.
    fn pace(&self, written: u64) {
        if self.what.bytes_per_second == 0 {
            return;
        }
        let due = Duration::from_secs_f64(written as f64 / self.what.bytes_per_second as f64);
        std::thread::sleep(due.saturating_sub(self.begun.elapsed()));
    }

    /// Of the packs that were compacted, those to which nothing leads any more and of which the log knows everything.
    fn unneeded(&self) -> Result<Unneeded, CompactError> {
        let views = self.archive.views();
        let frozen = views.freeze();
        let as_of = frozen.cursor()?.next;
        let needed = self.needed(&frozen)?;
        let mut packs = Vec::new();
        for (&pack, &bytes) in &self.chosen {
            if needed.contains(&pack) {
                continue;
            }
            let told = views.logged_offsets(pack)?;
            let there = match self.packs.offsets(pack) {
                // Nothing is given up that cannot be looked at.
                Err(error) => {
                    tracing::warn!(%pack, %error, "a pack that was compacted cannot be looked at, and stays");
                    continue;
                }
                Ok(there) => there,
            };
            if there.is_subset(&told)
                || is_copied(&self.packs, pack)? && self.archive.lies_elsewhere(&views, pack)?
            {
                packs.push((pack, bytes));
            } else {
                tracing::error!(%pack, "a pack has instances of which the log does not tell, and stays; run `yingku rescan`");
            }
        }
        packs.sort_unstable();
        Ok(Unneeded { as_of, packs })
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
fn is_copied(packs: &Packs, pack: PackId) -> Result<bool, PackError> {
    match packs.is_copied(pack) {
        Err(PackError::Damaged { .. } | PackError::Missing { .. }) => Ok(false),
        is_copied => is_copied,
    }
}

fn month_of(study: &StudyFacts) -> String {
    let digits = study.date.trim();
    let is_month = |month: &&str| month.bytes().all(|byte| byte.is_ascii_digit());
    digits.get(..6).filter(is_month).unwrap_or("").to_owned()
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

#[cfg(test)]
#[path = "compact_tests.rs"]
mod tests;
