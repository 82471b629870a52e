//! Studies as readers find them: only what a claim covers, only instances that nobody hid.

use yingku_core::ids::{SopInstanceUid, StudyKey, StudyUid};
use yingku_core::instance::{
    Chunk, ChunkEntry, HeldInstance, HeldStudy, InstanceKey, Match, Place, StudyClaims, StudyRow,
    match_instance,
};
use yingku_core::registry::{Registry, Scope};
use yingku_core::state::ChunkKey;

use super::keys::{self, StudyAttribute};
use super::{View, Views, ViewsError, Walk};

/// Which index leads to the studies; the caller compares the rest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StudySelector {
    Uids(Vec<StudyUid>),
    Accession(String),
    PatientId(String),
    /// Joined name ([`yingku_core::query::joined_name`]) or its beginning.
    NamePrefix(String),
    /// `YYYYMMDD`, both included; empty: open.
    Dates {
        from: String,
        to: String,
    },
    All,
}

impl Views {
    pub fn claims(&self, study: &StudyUid) -> Result<Option<StudyClaims>, ViewsError> {
        self.get(View::Claims, &keys::claims(study))
    }

    pub fn held(&self, study: &StudyUid) -> Result<Option<HeldStudy>, ViewsError> {
        self.get(View::Held, &keys::claims(study))
    }

    /// Whether the instance is held with the same bytes.
    pub fn is_held(&self, instance: &HeldInstance) -> Result<bool, ViewsError> {
        let key = keys::held_instance(instance);
        Ok(self.get_raw(View::HeldInstances, &key)?.is_some())
    }

    /// Whether the study holds the instance with the same bytes. Chunks are searched for the digest before one is
    /// decoded: nearly always it is in none.
    pub fn has_instance(
        &self,
        study: &StudyKey,
        sop_instance: &SopInstanceUid,
        digest: &[u8; 16],
    ) -> Result<bool, ViewsError> {
        let first = InstanceKey::first(study, sop_instance);
        if let Some(place) = self.get(View::Places, &keys::place(&first))? {
            let version = InstanceKey {
                version: Some(*digest),
                ..first
            };
            let chunk = self.chunk(&ChunkKey::of(study, place))?;
            return Ok(chunk.is_some_and(|chunk| chunk.holds(sop_instance, digest))
                || self
                    .get_raw(View::Places, &keys::place(&version))?
                    .is_some());
        }
        let row = self.study(study)?.filter(|row| !row.is_listed());
        for at in row.iter().flat_map(chunks_of) {
            let Some(bytes) = self.get_raw(View::Chunks, &keys::chunk(&at))? else {
                continue;
            };
            if memchr::memmem::find(&bytes, digest).is_some()
                && decode_chunk(&bytes)?.holds(sop_instance, digest)
            {
                return Ok(true);
            }
        }
        Ok(false)
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
        let index = |attribute,
                     prefix: Vec<u8>,
                     start: Vec<u8>,
                     to: Option<&str>,
                     visit: &mut dyn FnMut(StudyRow) -> Walk| {
            let mut seen = std::collections::HashSet::new();
            self.scan(View::StudyIndex, &prefix, &start, |key, _| {
                if unheard() {
                    return Ok(Walk::Stop);
                }
                let Some((value, study)) = keys::study_of_index(key) else {
                    return Ok(Walk::On);
                };
                if to.is_some_and(|to| !to.is_empty() && value > to) {
                    return Ok(Walk::Stop);
                }
                // A name has up to three groups, each with its own line.
                if attribute == StudyAttribute::Name && !seen.insert(study.clone()) {
                    return Ok(Walk::On);
                }
                Ok(match self.visible_study(registry, &study)? {
                    Some(row) => visit(row),
                    None => Walk::On,
                })
            })
        };
        match selector {
            StudySelector::Uids(uids) => {
                for uid in uids {
                    let holders = self.claims(uid)?.map(|claims| claims.holders);
                    for hospital in holders.unwrap_or_default() {
                        let key = StudyKey {
                            hospital,
                            study: uid.clone(),
                        };
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
            StudySelector::Accession(number) => {
                let prefix = keys::studies_with(StudyAttribute::Accession, number);
                index(StudyAttribute::Accession, prefix, Vec::new(), None, visit)
            }
            StudySelector::PatientId(number) => {
                let prefix = keys::studies_with(StudyAttribute::PatientId, number);
                index(StudyAttribute::PatientId, prefix, Vec::new(), None, visit)
            }
            StudySelector::NamePrefix(name) => {
                let prefix = keys::studies_from(StudyAttribute::Name, name);
                index(StudyAttribute::Name, prefix, Vec::new(), None, visit)
            }
            StudySelector::Dates { from, to } => {
                let prefix = keys::studies_from(StudyAttribute::Date, "");
                let start = keys::studies_from(StudyAttribute::Date, from);
                index(StudyAttribute::Date, prefix, start, Some(to), visit)
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

    pub fn chunk(&self, at: &ChunkKey) -> Result<Option<Chunk>, ViewsError> {
        let bytes = self.get_raw(View::Chunks, &keys::chunk(at))?;
        bytes.as_deref().map(decode_chunk).transpose()
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

    /// Every study row, visible or not: for recounts.
    pub fn visit_all_studies(&self, visit: &mut dyn FnMut(StudyRow)) -> Result<(), ViewsError> {
        self.scan(View::Studies, &[], &[], |_, value| {
            visit(super::decode(View::Studies, value)?);
            Ok(Walk::On)
        })
    }
}

fn chunks_of(row: &StudyRow) -> impl Iterator<Item = ChunkKey> {
    row.series
        .iter()
        .zip(0u32..)
        .flat_map(move |(series, index)| {
            (0..series.chunks).map(move |chunk| {
                let place = Place {
                    series: index,
                    chunk,
                };
                ChunkKey::of(&row.key, place)
            })
        })
}

pub(super) fn decode_chunk(bytes: &[u8]) -> Result<Chunk, ViewsError> {
    Chunk::decode(bytes).map_err(|source| ViewsError::Row {
        view: View::Chunks.name(),
        source: Box::new(source),
    })
}

/// Whether a claim in force covers the study: the rule that took its images in, asked again.
pub fn is_visible(registry: &Registry, claims: Option<&StudyClaims>, row: &StudyRow) -> bool {
    let found = match_instance(
        registry,
        claims,
        &Scope::all(),
        &row.patient.id,
        &row.study.accession_no,
    );
    // A suspended hospital takes nothing new; what is there stays readable.
    matches!(found, Match::Hospital(h) | Match::Suspended(h) if h == row.key.hospital)
}
