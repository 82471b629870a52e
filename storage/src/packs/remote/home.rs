//! Bringing packs out of the object store, all of them, for an archive that is to do without.

use std::fs::{self, File};
use std::path::Path;

use uuid::Uuid;
use yingku_core::ids::PackId;

use super::journal::Journal;
use super::{cache, key, list};
use crate::objects::{self, Bucket, ClaimError, ObjectsError, ObjectsErrorKind, ObjectsOptions};
use crate::packs::shared::SEALED;
use crate::packs::{PackOpenError, PacksDirectory};

/// What was brought.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct BroughtHome {
    pub packs: u64,
    pub bytes: u64,
}

/// Fetches every pack that the object store has and the locked directory has not, and forgets that there was an object
/// store. What lies there stays. `progress` gets each pack before it is fetched, with how many are left.
pub async fn bring_home(
    directory: &PacksDirectory,
    archive_dir: &Path,
    options: &ObjectsOptions,
    archive: Uuid,
    mut progress: impl FnMut(PackId, usize),
) -> Result<BroughtHome, PackOpenError> {
    let dir = directory.path();
    let io = |source| PackOpenError::Io {
        dir: dir.to_owned(),
        source,
    };
    let unusable = |source| ClaimError::Unusable {
        location: options.location.to_string(),
        source,
    };
    let bucket = Bucket::open(options).map_err(unusable)?;
    if !objects::belongs_to(&bucket, archive)
        .await
        .map_err(unusable)?
    {
        let words = "it is not this archive's";
        let source = ObjectsError::new(ObjectsErrorKind::Refused, words);
        return Err(unusable(source).into());
    }
    cache::clear(dir).map_err(io)?;
    let mut wanted = list(&bucket).await.map_err(unusable)?;
    wanted.retain(|(pack, _)| !dir.join(format!("{pack}.{SEALED}")).exists());
    let mut brought = BroughtHome::default();
    for (index, (pack, size)) in wanted.iter().enumerate() {
        progress(*pack, wanted.len() - index);
        let staged = dir.join(format!("{pack}.fetched"));
        let fetched = bucket.get_file(&key(*pack), *size, &staged).await;
        fetched.map_err(unusable)?;
        fs::rename(&staged, dir.join(format!("{pack}.{SEALED}"))).map_err(io)?;
        brought.packs += 1;
        brought.bytes += size;
    }
    File::open(dir).and_then(|dir| dir.sync_all()).map_err(io)?;
    // From here on nobody looks there any more.
    Journal::remove(dir).map_err(io)?;
    objects::forget(archive_dir)?;
    Ok(brought)
}
