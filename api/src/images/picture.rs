//! One frame as JPEG: the stored bytes on their way to a process that decodes them.

use std::io;

use tokio::sync::mpsc;
use yingku_core::instance::ChunkEntry;
use yingku_core::outcome::ErrorKind;
use yingku_rendering::{Asked, RenderError, Rendered, Renderer};
use yingku_storage::packs::{PackError, Packs};

use crate::call::Api;
use crate::error::Failure;

/// Pieces of an instance (1 MB each) that are read before the process takes them.
const READ_AHEAD: usize = 2;

#[derive(Debug, thiserror::Error)]
pub enum PictureError {
    #[error("本节点未启用图像转换 (this node makes no pictures)")]
    Off,
    #[error(transparent)]
    Render(#[from] RenderError),
}

/// Makes the picture, or says in words why there is none. The instance is read while it is handed over, and checked: of one
/// whose checksum is wrong nothing is shown.
pub async fn picture_of(
    api: &Api,
    entry: &ChunkEntry,
    asked: &Asked,
) -> Result<Rendered, PictureError> {
    let renderer: &Renderer = api.config.renderer.as_ref().ok_or(PictureError::Off)?;
    let packs = api.archive.packs().clone();
    let (sender, pieces) = mpsc::channel(READ_AHEAD);
    let (place, digest) = ((entry.pack, entry.stored.offset), entry.stored.digest);
    tokio::task::spawn_blocking(move || {
        if let Err(error) = read(&packs, place, digest, &sender) {
            // Nobody listens any more if the picture has failed by itself.
            let _ = sender.blocking_send(Err(io::Error::other(error)));
        }
    });
    Ok(renderer.render(entry.stored.length, pieces, asked).await?)
}

fn read(
    packs: &Packs,
    (pack, offset): (yingku_core::ids::PackId, u64),
    digest: [u8; 16],
    sender: &mpsc::Sender<io::Result<bytes::Bytes>>,
) -> Result<(), PackError> {
    let mut reader = packs.reader(pack, offset)?;
    // A sound record may still be another archive's, in a pack of the same number.
    if !reader.info().digest.starts_with(&digest) {
        return Err(PackError::Damaged {
            pack,
            offset,
            reason: "it holds another instance than the log says",
        });
    }
    while let Some(piece) = reader.next_chunk()? {
        if sender.blocking_send(Ok(piece)).is_err() {
            return Ok(());
        }
    }
    Ok(())
}

impl PictureError {
    /// Whether it is of the image itself: asking again brings the same.
    pub fn is_of_image(&self) -> bool {
        matches!(
            self,
            Self::Render(RenderError::Fault(_) | RenderError::TimedOut | RenderError::Died)
        )
    }
}

impl From<PictureError> for Failure {
    fn from(error: PictureError) -> Self {
        let (kind, rule) = match &error {
            PictureError::Off => (ErrorKind::Unavailable, "pictures-off"),
            PictureError::Render(RenderError::Busy) => (ErrorKind::TooMany, "concurrency"),
            PictureError::Render(RenderError::Source(_) | RenderError::Start(_)) => {
                tracing::error!(error = ?error, "a picture cannot be made");
                (ErrorKind::Unavailable, "image-unreadable")
            }
            PictureError::Render(_) => (ErrorKind::Invalid, "image-not-shown"),
        };
        Self::new(kind, rule, error.to_string())
    }
}
