//! One pack's way into the object store.
//!
//! Packs up to a part's size go in one request, larger ones in parts of 32 MiB. What the server has of them is kept in
//! `<id>.upload` after each part, so that a restart goes on there. Without that file, or when the server no longer knows
//! the upload, it begins again.

use std::fs::{self, File};
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use futures::StreamExt;
use futures::stream;
use yingku_core::ids::PackId;

use super::key;
use crate::objects::{Bucket, ClaimError, MultipartUpload, ObjectsError};
use crate::packs::error::PackError;
use crate::packs::record::PackFile;
use crate::packs::shared::{SEALED, Shared};

/// Bytes of one part, and of the largest pack that goes in one piece.
pub const PART_BYTES: u64 = 32 * 1024 * 1024;
/// A rest of a pack up to this size goes with the part before it instead of a request of its own.
const SMALL_REST_BYTES: u64 = 4 * 1024 * 1024;
/// Parts on their way at once: what a line with a long way to the server needs, and held in memory.
const PARTS_AT_ONCE: usize = 3;
/// What the server has of an upload.
const PROGRESS: &str = "upload";

#[derive(Debug, thiserror::Error)]
pub enum UploadError {
    #[error(transparent)]
    Objects(#[from] ObjectsError),
    #[error(transparent)]
    Claim(Box<ClaimError>),
    #[error(transparent)]
    Pack(#[from] PackError),
    #[error("the local file cannot be read: {0}")]
    Local(#[from] io::Error),
    #[error("the object is not what was uploaded; it is uploaded again")]
    Differs,
}

/// A pack to be uploaded.
pub struct Upload<'a> {
    shared: &'a Shared,
    bucket: &'a Bucket,
    id: PackId,
    file: Arc<File>,
    size: u64,
    /// Where the index begins.
    index_at: u64,
}

impl<'a> Upload<'a> {
    /// Opens the sealed pack. One without a valid index is damaged: it stays here.
    pub fn open(shared: &'a Shared, bucket: &'a Bucket, id: PackId) -> Result<Self, UploadError> {
        let file = File::open(shared.path(id, SEALED))?;
        let size = file.metadata()?.len();
        let (_, index_at) = PackFile::local(id, file.try_clone()?).index()?;
        Ok(Self {
            shared,
            bucket,
            id,
            file: Arc::new(file),
            size,
            index_at,
        })
    }

    /// Uploads it; the bytes of the object, which is then known to be whole.
    pub async fn run(self) -> Result<u64, UploadError> {
        let ranges = parts(self.size);
        if ranges.len() == 1 {
            let bytes = self.read(0..self.size).await?;
            self.bucket.put(&key(self.id), bytes).await?;
        } else {
            self.multipart(&ranges).await?;
        }
        self.verify().await?;
        forget(self.shared, self.id);
        Ok(self.size)
    }

    async fn multipart(&self, ranges: &[Range<u64>]) -> Result<(), UploadError> {
        let key = key(self.id);
        let known =
            progress(self.shared, self.id).filter(|known| known.parts.len() <= ranges.len());
        let mut upload = match known {
            Some(known) => known,
            None => {
                let begun = self.bucket.begin_upload(&key).await?;
                self.keep(&begun)?;
                begun
            }
        };
        let done = self.send_parts(&key, ranges, &mut upload).await;
        let done = match done {
            Ok(()) => self
                .bucket
                .complete_upload(&key, upload)
                .await
                .map_err(Into::into),
            Err(error) => Err(error),
        };
        match done {
            // Aborted by somebody, or completed by a run that did not hear of it; the comparison will tell.
            Err(UploadError::Objects(error)) if error.is_missing() => {
                forget(self.shared, self.id);
                match self.bucket.size(&key).await? {
                    Some(_) => Ok(()),
                    None => Err(error.into()),
                }
            }
            other => other,
        }
    }

    async fn send_parts(
        &self,
        key: &str,
        ranges: &[Range<u64>],
        upload: &mut MultipartUpload,
    ) -> Result<(), UploadError> {
        let id = upload.id.clone();
        let left = ranges.iter().cloned().enumerate().skip(upload.parts.len());
        let mut sent = stream::iter(left)
            .map(|(index, range)| {
                let id = &id;
                async move {
                    let bytes = self.read(range).await?;
                    let part = self.bucket.upload_part(key, id, index, bytes).await?;
                    Ok::<_, UploadError>(part)
                }
            })
            .buffered(PARTS_AT_ONCE);
        while let Some(part) = sent.next().await {
            upload.parts.push(part?);
            self.keep(upload)?;
        }
        Ok(())
    }

    /// The object has the size, and the index behind all records, that the file has.
    async fn verify(&self) -> Result<(), UploadError> {
        let tail = self.index_at..self.size;
        let own = self.read(tail.clone()).await?;
        let (found, size) = self.bucket.range(&key(self.id), tail).await?;
        if size != self.size || found != own {
            forget(self.shared, self.id);
            return Err(UploadError::Differs);
        }
        Ok(())
    }

    async fn read(&self, range: Range<u64>) -> io::Result<Bytes> {
        let file = Arc::clone(&self.file);
        tokio::task::spawn_blocking(move || {
            let length = usize::try_from(range.end - range.start).map_err(io::Error::other)?;
            let mut bytes = vec![0; length];
            file.read_exact_at(&mut bytes, range.start)?;
            Ok(Bytes::from(bytes))
        })
        .await
        .map_err(io::Error::other)?
    }

    /// Not synced: what a crash takes of it, the sweep of unknown uploads makes good.
    fn keep(&self, upload: &MultipartUpload) -> io::Result<()> {
        let path = progress_path(self.shared, self.id);
        let staged = path.with_extension("upload-new");
        fs::write(&staged, serde_json::to_vec(upload)?)?;
        fs::rename(staged, path)
    }
}

/// Uploads that will be gone on with.
pub fn known_uploads(shared: &Shared) -> io::Result<Vec<(PackId, String)>> {
    let ids = shared.ids(PROGRESS)?.into_iter();
    Ok(ids
        .filter_map(|pack| Some((pack, progress(shared, pack)?.id)))
        .collect())
}

/// What the server has of the pack, as far as it is known here.
fn progress(shared: &Shared, id: PackId) -> Option<MultipartUpload> {
    let bytes = fs::read(progress_path(shared, id)).ok()?;
    serde_json::from_slice(&bytes).ok()
}

/// The next upload of the pack begins from its beginning.
pub fn forget(shared: &Shared, id: PackId) {
    match fs::remove_file(progress_path(shared, id)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            tracing::warn!(pack = %id, %error, "the progress of an upload cannot be removed");
        }
        _ => {}
    }
}

fn progress_path(shared: &Shared, id: PackId) -> PathBuf {
    shared.path(id, PROGRESS)
}

/// The parts of a pack of so many bytes, in order.
fn parts(size: u64) -> Vec<Range<u64>> {
    let mut parts = Vec::new();
    let mut at = 0;
    while size - at > PART_BYTES + SMALL_REST_BYTES {
        parts.push(at..at + PART_BYTES);
        at += PART_BYTES;
    }
    parts.push(at..size);
    parts
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::*;

    #[test]
    fn parts_cover_a_pack_and_leave_no_small_rest() {
        const MIB: u64 = 1024 * 1024;
        for (size, count) in [
            (1, 1),
            (36 * MIB, 1),
            (36 * MIB + 1, 2),
            (256 * MIB + 70_000, 8),
            (256 * MIB + 5 * MIB, 9),
        ] {
            let parts = parts(size);
            assert_eq!(parts.len(), count, "{size}");
            assert_eq!(parts.first().unwrap().start, 0);
            assert_eq!(parts.last().unwrap().end, size);
            assert!(parts.windows(2).all(|pair| pair[0].end == pair[1].start));
            assert!(
                parts
                    .iter()
                    .rev()
                    .skip(1)
                    .all(|p| p.end - p.start == PART_BYTES)
            );
        }
    }
}
