//! Studies as readers find them: only what a claim covers, only instances that nobody hid.

use std::collections::{BTreeSet, HashSet};

use yingku_core::ids::{PackId, SopInstanceUid, StudyKey, StudyUid};
use yingku_core::instance::{
    Chunk, ChunkEntry, HeldGroup, HeldGroupKey, HeldInstance, HeldStudy, InstanceKey, StudyClaims,
    StudyRow, covers,
};
use yingku_core::registry::Registry;
use yingku_core::state::ChunkKey;

use super::keys::{self, StudyAttribute};
use super::{View, Views, ViewsError, Walk};

/// Which index leads to the studies; the caller compares the rest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StudySelector {
    Uids(Vec<StudyUid>),
    /// Any of these AccessionNumbers.
    Accessions(Vec<String>),
    /// Any of these PatientIDs.
    PatientIds(Vec<String>),
    /// Joined names ([`yingku_core::query::joined_name`]) or their beginnings.
    NamePrefixes(Vec<String>),
    /// Ranges of days, `YYYYMMDD`, both included; empty: open.
    Dates(Vec<(String, String)>),
    All,
}

/// Lines of the index that lead to studies.
struct Lines<'a> {
    prefix: Vec<u8>,
    /// Where to begin, if not with the first of them.
    start: Vec<u8>,
    /// The last value; empty: no end.
    to: &'a str,
    /// Whether a study has several of them: each group of a name has its own.
    repeats: bool,
}

impl Lines<'_> {
    fn with(attribute: StudyAttribute, value: &str) -> Self {
        Self {
            prefix: keys::studies_with(attribute, value),
            start: Vec::new(),
            to: "",
            repeats: false,
        }
    }
}

impl Views {
    pub fn claims(&self, study: &StudyUid) -> Result<Option<StudyClaims>, ViewsError> {
        self.get(View::Claims, &keys::claims(study))
    }

    pub fn held(&self, study: &StudyUid) -> Result<Option<HeldStudy>, ViewsError> {
        self.get(View::Held, &keys::claims(study))
    }

    /// Where the record of a held instance with the same bytes lies.
    pub fn held_place(&self, instance: &HeldInstance) -> Result<Option<(PackId, u64)>, ViewsError> {
        let key = keys::held_instance(instance);
        let Some(number) = self.get(View::HeldInstances, &key)? else {
            return Ok(None);
        };
        let at = HeldGroupKey {
            study: instance.study.clone(),
            number,
        };
        let held: Option<HeldGroup> = self.get(View::HeldGroups, &keys::held_group(&at))?;
        Ok(held.and_then(|held| {
            let mut stored = held.group.instances.iter();
            let stored = stored.find(|stored| instance.is(stored))?;
            Some((held.pack, stored.offset))
        }))
    }

    /// The instance with the same bytes among those that the study has while a claim in force covers it: another
    /// patient's images are no copy of this one's. Chunks are searched for the digest before one is decoded: nearly
    /// always it is in none.
    pub fn covered_instance(
        &self,
        registry: &Registry,
        study: &StudyKey,
        sop_instance: &SopInstanceUid,
        digest: &[u8; 16],
    ) -> Result<Option<ChunkEntry>, ViewsError> {
        let Some(row) = self.study(study)? else {
            return Ok(None);
        };
        let claims = self.claims(&study.study)?;
        if !is_visible(registry, claims.as_ref(), &row) {
            return Ok(None);
        }
        if row.is_listed() {
            return self.listed_instance(study, sop_instance, digest);
        }
        for at in ChunkKey::all_of(&row) {
            let look = |bytes: &[u8]| match memchr::memmem::find(bytes, digest) {
                Some(_) => Ok(decode_chunk(bytes)?.take(sop_instance, digest)),
                None => Ok(None),
            };
            if let Some(entry) = self.read(View::Chunks, &keys::chunk(&at), look)?.flatten() {
                return Ok(Some(entry));
            }
        }
        Ok(None)
    }

    fn listed_instance(
        &self,
        study: &StudyKey,
        sop_instance: &SopInstanceUid,
        digest: &[u8; 16],
    ) -> Result<Option<ChunkEntry>, ViewsError> {
        let first = InstanceKey::first(study, sop_instance);
        let Some(place) = self.get(View::Places, &keys::place(&first))? else {
            return Ok(None);
        };
        let version = InstanceKey {
            version: Some(*digest),
            ..first
        };
        let further = self.get(View::Places, &keys::place(&version))?;
        for place in std::iter::once(place).chain(further) {
            let chunk = self.chunk(&ChunkKey::of(study, place))?;
            if let Some(entry) = chunk.and_then(|chunk| chunk.take(sop_instance, digest)) {
                return Ok(Some(entry));
            }
        }
        Ok(None)
    }

    /// The row, whether or not readers may see it.
    pub fn study(&self, key: &StudyKey) -> Result<Option<StudyRow>, ViewsError> {
        self.get(View::Studies, &keys::study(key))
    }

    /// The row, if a claim in force covers it: withdrawn and released studies are hidden at once.
    pub fn visible_study(
        &self,
        registry: &Registry,
        key: &StudyKey,
    ) -> Result<Option<StudyRow>, ViewsError> {
        let Some(row) = self.study(key)? else {
            return Ok(None);
        };
        let claims = self.claims(&key.study)?;
        let visible = is_visible(registry, claims.as_ref(), &row) && row.visible_instances() > 0;
        Ok(visible.then_some(row))
    }

    /// Visits the visible studies that an index leads to, each once. `unheard` is asked at every row, visible or not:
    /// a walk over a whole archive ends when nobody waits for it any more.
    pub fn visit_studies(
        &self,
        registry: &Registry,
        selector: &StudySelector,
        unheard: &dyn Fn() -> bool,
        visit: &mut dyn FnMut(StudyRow) -> Walk,
    ) -> Result<(), ViewsError> {
        match selector {
            StudySelector::Uids(uids) => {
                for uid in uids.iter().collect::<BTreeSet<_>>() {
                    let holders = self.claims(uid)?.map(|claims| claims.holders);
                    for hospital in holders.unwrap_or_default() {
                        let key = StudyKey::new(hospital, uid.clone());
                        if unheard() {
                            return Ok(());
                        }
                        if let Some(row) = self.visible_study(registry, &key)?
                            && visit(row) == Walk::Stop
                        {
                            return Ok(());
                        }
                    }
                }
                Ok(())
            }
            StudySelector::Accessions(numbers) => {
                let lines = numbers.iter();
                let lines = lines.map(|number| Lines::with(StudyAttribute::Accession, number));
                self.visit_indexed(registry, lines.collect(), unheard, visit)
            }
            StudySelector::PatientIds(numbers) => {
                let lines = numbers.iter();
                let lines = lines.map(|number| Lines::with(StudyAttribute::PatientId, number));
                self.visit_indexed(registry, lines.collect(), unheard, visit)
            }
            StudySelector::NamePrefixes(names) => {
                let lines = names.iter().map(|name| Lines {
                    prefix: keys::studies_from(StudyAttribute::Name, name),
                    start: Vec::new(),
                    to: "",
                    repeats: true,
                });
                self.visit_indexed(registry, lines.collect(), unheard, visit)
            }
            StudySelector::Dates(ranges) => {
                let lines = ranges.iter().map(|(from, to)| Lines {
                    prefix: keys::studies_from(StudyAttribute::Date, ""),
                    start: keys::studies_from(StudyAttribute::Date, from),
                    to,
                    repeats: false,
                });
                self.visit_indexed(registry, lines.collect(), unheard, visit)
            }
            StudySelector::All => self.scan(View::Studies, &[], &[], |_, value| {
                if unheard() {
                    return Ok(Walk::Stop);
                }
                let row: StudyRow = super::decode(View::Studies, value)?;
                let claims = self.claims(&row.key.study)?;
                if !is_visible(registry, claims.as_ref(), &row) || row.visible_instances() == 0 {
                    return Ok(Walk::On);
                }
                Ok(visit(row))
            }),
        }
    }

    fn visit_indexed(
        &self,
        registry: &Registry,
        lines: Vec<Lines<'_>>,
        unheard: &dyn Fn() -> bool,
        visit: &mut dyn FnMut(StudyRow) -> Walk,
    ) -> Result<(), ViewsError> {
        let repeats = lines.len() > 1 || lines.iter().any(|lines| lines.repeats);
        let mut seen = HashSet::new();
        let mut walk = Walk::On;
        for lines in lines {
            self.scan(View::StudyIndex, &lines.prefix, &lines.start, |key, _| {
                if unheard() {
                    walk = Walk::Stop;
                    return Ok(walk);
                }
                let Some((value, study)) = keys::study_of_index(key) else {
                    return Ok(Walk::On);
                };
                if !lines.to.is_empty() && value > lines.to {
                    return Ok(Walk::Stop);
                }
                if repeats && !seen.insert(study.clone()) {
                    return Ok(Walk::On);
                }
                if let Some(row) = self.visible_study(registry, &study)? {
                    walk = visit(row);
                }
                Ok(walk)
            })?;
            if walk == Walk::Stop {
                break;
            }
        }
        Ok(())
    }

    pub fn chunk(&self, at: &ChunkKey) -> Result<Option<Chunk>, ViewsError> {
        self.read(View::Chunks, &keys::chunk(at), decode_chunk)
    }

    /// Instances of one series, hidden and further ones included, in order of arrival.
    pub fn all_instances(
        &self,
        study: &StudyRow,
        series: usize,
    ) -> Result<Vec<ChunkEntry>, ViewsError> {
        let Some(row) = study.series.get(series) else {
            return Ok(Vec::new());
        };
        let mut entries = Vec::new();
        for chunk in 0..row.chunks {
            let at = ChunkKey {
                study: study.key.clone(),
                series: u32::try_from(series).unwrap_or(u32::MAX),
                chunk,
            };
            entries.extend(self.chunk(&at)?.unwrap_or_default().entries);
        }
        Ok(entries)
    }

    /// Instances of one series that readers see.
    pub fn instances(
        &self,
        study: &StudyRow,
        series: usize,
    ) -> Result<Vec<ChunkEntry>, ViewsError> {
        let mut entries = self.all_instances(study, series)?;
        entries.retain(ChunkEntry::is_visible);
        Ok(entries)
    }

    /// An instance of a study that readers see, and the index of its series.
    pub fn visible_instance(
        &self,
        study: &StudyRow,
        sop_instance: &SopInstanceUid,
    ) -> Result<Option<(usize, ChunkEntry)>, ViewsError> {
        let is_it =
            |entry: &ChunkEntry| entry.is_visible() && entry.image().sop_instance == *sop_instance;
        if study.is_listed() {
            let first = InstanceKey::first(&study.key, sop_instance);
            let Some(place) = self.get(View::Places, &keys::place(&first))? else {
                return Ok(None);
            };
            let at = ChunkKey::of(&study.key, place);
            let series = usize::try_from(at.series).unwrap_or(usize::MAX);
            let chunk = self.chunk(&at)?.unwrap_or_default();
            let entry = chunk.entries.into_iter().find(is_it);
            return Ok(entry.map(|entry| (series, entry)));
        }
        for at in ChunkKey::all_of(study) {
            let chunk = self.chunk(&at)?.unwrap_or_default();
            if let Some(entry) = chunk.entries.into_iter().find(is_it) {
                let series = usize::try_from(at.series).unwrap_or(usize::MAX);
                return Ok(Some((series, entry)));
            }
        }
        Ok(None)
    }

    /// Every study row, visible or not: for recounts.
    pub fn visit_all_studies(&self, visit: &mut dyn FnMut(StudyRow)) -> Result<(), ViewsError> {
        self.scan(View::Studies, &[], &[], |_, value| {
            visit(super::decode(View::Studies, value)?);
            Ok(Walk::On)
        })
    }
}

pub(super) fn decode_chunk(bytes: &[u8]) -> Result<Chunk, ViewsError> {
    Chunk::decode(bytes).map_err(|source| ViewsError::Row {
        view: View::Chunks.name(),
        source: Box::new(source),
    })
}

/// Whether a claim in force covers the study. What a suspended hospital has stays readable, and what one has that is no
/// longer registered.
pub fn is_visible(registry: &Registry, claims: Option<&StudyClaims>, row: &StudyRow) -> bool {
    claims.is_some_and(|claims| covers(registry, claims, row))
}
