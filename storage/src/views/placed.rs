//! Where instances lie, whoever may see them: what the care of packs asks. All of it is of one moment.

use rocksdb::{IteratorMode, ReadOptions};
use yingku_core::ids::{PackId, StudyKey, StudyUid};
use yingku_core::instance::{
    Chunk, HeldGroup, HeldInstance, InPack, PackRow, StoredInstance, StudyRow,
};
use yingku_core::state::ChunkKey;

use super::{Frozen, View, Views, ViewsError, decode, keys};

impl Views {
    /// What the log tells of a pack.
    pub fn pack(&self, pack: PackId) -> Result<Option<PackRow>, ViewsError> {
        self.get(View::Packs, &keys::pack(pack))
    }

    /// A node's packs of which the log ever told, in order.
    pub fn packs(&self, node: u16) -> Result<Vec<(PackId, PackRow)>, ViewsError> {
        let mut packs = Vec::new();
        let prefix = keys::packs_of(node);
        self.scan(View::Packs, &prefix, &[], |key, value| {
            if let Some(pack) = keys::pack_of(key) {
                packs.push((pack, decode(View::Packs, value)?));
            }
            Ok(super::Walk::On)
        })?;
        Ok(packs)
    }

    /// The pack in which an instance with these bytes lies, whoever may see it; `None`: it is nowhere.
    pub fn place_of(
        &self,
        study: &StudyUid,
        instance: &StoredInstance,
    ) -> Result<Option<PackId>, ViewsError> {
        let held = HeldInstance::of(study, instance);
        if let Some((pack, _)) = self.held_place(&held)? {
            return Ok(Some(pack));
        }
        for home in self.claims(study)?.unwrap_or_default().homes(study) {
            let Some(row) = self.study(&home)? else {
                continue;
            };
            for at in ChunkKey::all_of(&row) {
                let chunk = self.chunk(&at)?.unwrap_or_default();
                let found = chunk.take(&instance.image.sop_instance, &instance.digest);
                if let Some(entry) = found {
                    return Ok(Some(entry.pack));
                }
            }
        }
        Ok(None)
    }
}

impl Frozen<'_> {
    /// Shows where the instances of every chunk lie, series by series: shown, hidden and set aside ones. Held ones are in
    /// [`Frozen::visit_held`].
    pub fn visit_places(
        &self,
        mut visit: impl FnMut(&StudyKey, &[InPack]) -> Result<(), ViewsError>,
    ) -> Result<(), ViewsError> {
        self.walk(View::Chunks, |key, value| {
            let study = keys::study_of_chunk(key);
            let places = Chunk::places(value);
            let damaged = |source: Box<dyn std::error::Error + Send + Sync>| ViewsError::Row {
                view: View::Chunks.name(),
                source,
            };
            let study = study.ok_or_else(|| damaged("key".into()))?;
            visit(&study, &places.map_err(|error| damaged(error.into()))?)
        })
    }

    pub fn visit_held(&self, visit: &mut dyn FnMut(HeldGroup)) -> Result<(), ViewsError> {
        self.walk(View::HeldGroups, |_, value| {
            visit(decode(View::HeldGroups, value)?);
            Ok(())
        })
    }

    pub fn study(&self, key: &StudyKey) -> Result<Option<StudyRow>, ViewsError> {
        let family = self.views.family(View::Studies)?;
        let found = self.snapshot.get_pinned_cf(family, keys::study(key))?;
        found.map(|bytes| decode(View::Studies, &bytes)).transpose()
    }

    fn walk(
        &self,
        view: View,
        mut visit: impl FnMut(&[u8], &[u8]) -> Result<(), ViewsError>,
    ) -> Result<(), ViewsError> {
        let mut options = ReadOptions::default();
        options.fill_cache(false);
        options.set_total_order_seek(true);
        let rows = self.views.family(view).and_then(|family| {
            let rows = self
                .snapshot
                .iterator_cf_opt(family, options, IteratorMode::Start);
            for row in rows {
                let (key, value) = row?;
                visit(&key, &value)?;
            }
            Ok(())
        });
        self.views.noted(rows)
    }
}
