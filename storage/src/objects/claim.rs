//! To whom a place in the object store belongs.
//!
//! Two archives in one place would overwrite each other's packs, so the place carries the name of its archive, and the
//! data directory remembers the place. The name of an archive is the id of the first record of its log: the same on all
//! nodes that follow the log, and on no other archive.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use uuid::Uuid;

use super::bucket::Bucket;
use super::error::{ObjectsError, ObjectsErrorKind};
use super::location::{Location, LocationError};

/// Object that names the archive.
const ARCHIVE: &str = "archive";
/// File of the data directory that names the place.
const REMEMBERED: &str = "objects.location";

#[derive(Debug, thiserror::Error)]
pub enum ClaimError {
    #[error("the object store {location} cannot be used: {source}")]
    Unusable {
        location: String,
        source: ObjectsError,
    },
    #[error(
        "the object store {location} belongs to another archive ({found}, this one is {own}): give this archive a bucket \
         or a prefix of its own"
    )]
    OtherArchive {
        location: String,
        found: String,
        own: Uuid,
    },
    #[error(
        "this archive keeps its packs in {remembered}, not in {configured}: set objects.location back, or copy the \
         objects there first, `archive` included"
    )]
    OtherPlace {
        remembered: String,
        configured: String,
    },
    #[error("the file {} that names the object store cannot be used", file.display())]
    File { file: PathBuf, source: io::Error },
    #[error("the file {} does not name an object store: {source}", file.display())]
    Content {
        file: PathBuf,
        source: LocationError,
    },
}

impl ClaimError {
    /// The place may be all right: it could not be asked.
    pub(crate) fn is_away(&self) -> bool {
        matches!(self, Self::Unusable { source, .. } if source.kind == ObjectsErrorKind::Away)
    }
}

/// The place that the archive in `dir` uses.
pub fn remembered(dir: &Path) -> Result<Option<Location>, ClaimError> {
    let file = dir.join(REMEMBERED);
    match fs::read_to_string(&file) {
        Ok(text) => match text.trim().parse() {
            Ok(location) => Ok(Some(location)),
            Err(source) => Err(ClaimError::Content { file, source }),
        },
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(ClaimError::File { file, source }),
    }
}

/// Durable on return.
pub fn remember(dir: &Path, location: &Location) -> Result<(), ClaimError> {
    let file = dir.join(REMEMBERED);
    let staged = dir.join(format!("{REMEMBERED}.new"));
    let written = File::create(&staged)
        .and_then(|mut out| {
            writeln!(out, "{location}")?;
            out.sync_all()
        })
        .and_then(|()| fs::rename(&staged, &file))
        .and_then(|()| File::open(dir)?.sync_all());
    written.map_err(|source| ClaimError::File { file, source })
}

/// From now on the archive has no place in an object store. Durable on return.
pub fn forget(dir: &Path) -> Result<(), ClaimError> {
    let file = dir.join(REMEMBERED);
    let removed = match fs::remove_file(&file) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => File::open(dir).and_then(|dir| dir.sync_all()),
    };
    removed.map_err(|source| ClaimError::File { file, source })
}

/// Whether the place is this archive's already.
pub async fn belongs_to(bucket: &Bucket, archive: Uuid) -> Result<bool, ObjectsError> {
    let found = bucket.get(ARCHIVE).await?;
    Ok(found.is_some_and(|found| found == format!("{archive}\n").as_bytes()))
}

/// Checks that the place answers, takes what it is given and belongs to this archive; an empty one is taken.
pub async fn claim(
    bucket: &Bucket,
    archive: Uuid,
    node: u16,
    remembered: Option<&Location>,
) -> Result<(), ClaimError> {
    let configured = bucket.location();
    let unusable = |source| ClaimError::Unusable {
        location: configured.to_string(),
        source,
    };
    let elsewhere = remembered.filter(|known| !known.is_same_place(configured));
    let own = format!("{archive}\n");
    let mut found = bucket.get(ARCHIVE).await.map_err(unusable)?;
    if found.is_none() && elsewhere.is_none() {
        match bucket.put_new(ARCHIVE, Bytes::from(own.clone())).await {
            // Somebody was faster: another node, or another archive.
            Err(error) if error.kind == ObjectsErrorKind::Exists => {}
            other => other.map_err(unusable)?,
        }
        found = bucket.get(ARCHIVE).await.map_err(unusable)?;
    }
    match (found, elsewhere) {
        (Some(found), _) if found == own.as_bytes() => {}
        (Some(found), _) => {
            let found = String::from_utf8_lossy(&found);
            return Err(ClaimError::OtherArchive {
                location: configured.to_string(),
                found: found.trim().chars().take(36).collect(),
                own: archive,
            });
        }
        (None, Some(remembered)) => {
            return Err(ClaimError::OtherPlace {
                remembered: remembered.to_string(),
                configured: configured.to_string(),
            });
        }
        (None, None) => {
            let words = "it does not keep what it was given";
            let source = ObjectsError::new(ObjectsErrorKind::Refused, words);
            return Err(unusable(source));
        }
    }
    let node = format!("nodes/{node:04x}");
    bucket
        .put(&node, Bytes::from_static(b"started\n"))
        .await
        .map_err(unusable)
}
