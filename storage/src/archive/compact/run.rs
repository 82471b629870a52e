//! One run: which packs gain by being copied, and the copying.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use yingku_core::ids::{PackId, Position, StudyKey};
use yingku_core::instance::{InPack, MovedInstance, MovedStudy};

use super::leftovers::is_copied;
use super::shelf::{Shelf, Warmth, month_of};
use super::{CompactError, CompactReport, Compaction, listed};
use crate::archive::Archive;
use crate::log::unix_ms;
use crate::packs::{CopiedPack, PackError, Packs, WrittenPack};
use crate::views::{Frozen, Views};

/// Instances of one run at most: some 60 MB of memory. The next run takes the rest.
const RUN_INSTANCES: u64 = 1_000_000;
/// Of a hundred instances of a pack so many must be needed nowhere before it is worth while to copy the others.
const DEAD_PERCENT: u64 = 25;
/// Bytes of images that a rule deleted stay so long where little else in their pack is needed nowhere: a hospital's month
/// falls due day by day, and is not copied as often.
const DELETED_STAYS_MS: i64 = 30 * 24 * 3_600_000;
/// A hospital's month begins a pack of its own when the one at hand has this part of its size.
const WORTH_A_PACK: u64 = 4;
/// A run takes this part of the room that there is: what is given up stays a while, and instances go on coming.
const ROOM_PART: u64 = 4;
/// So many small packs are put together.
const SMALL_PACKS: usize = 8;

/// One run over some packs.
pub(super) struct Run {
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
    pub(super) report: CompactReport,
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
pub(super) struct Unneeded {
    pub(super) as_of: Position,
    pub(super) packs: Vec<(PackId, u64)>,
}

/// A pack that was written, and what was copied into it.
pub(super) type Written = (WrittenPack, Vec<MovedStudy>);

impl Run {
    pub(super) fn plan(
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
        let room = self.packs.room() / ROOM_PART;
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
                is_full |= bytes > self.what.max_bytes.min(room) || instances > RUN_INSTANCES;
                self.report.short |= bytes > room;
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
    pub(super) fn write_pack(&mut self) -> Result<Option<Written>, CompactError> {
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
    pub(super) fn unneeded(&self) -> Result<Unneeded, CompactError> {
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
