//! Why a pack did not take or give what was asked.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use yingku_core::ids::PackId;

use super::remote::NodeError;
use crate::objects::{ClaimError, ObjectsError};
use crate::space::Shortage;

#[derive(Debug, Clone, thiserror::Error)]
pub enum PackError {
    /// Nothing was written; it succeeds again when space returns.
    #[error("no room to store images: {0}; free space, then send again")]
    Full(Shortage),
    /// Until a restart nothing more is stored. Whether the instance at hand is stored is unknown.
    #[error("storing images stopped after a failed write ({reason}); check the disk, then restart")]
    Latched { reason: Arc<str> },
    #[error("{waiting} instances wait to be stored already; send again later")]
    Busy { waiting: usize },
    #[error("{what} of {bytes} bytes is larger than the limit of {limit} bytes")]
    TooLarge {
        what: &'static str,
        bytes: u64,
        limit: u64,
    },
    #[error("pack {pack} is damaged at byte {offset}: {reason}; run `yingku verify`")]
    Damaged {
        pack: PackId,
        offset: u64,
        reason: &'static str,
    },
    #[error("pack {pack} is not here")]
    Missing { pack: PackId },
    #[error("pack {pack} could not be read")]
    Read {
        pack: PackId,
        source: Arc<io::Error>,
    },
    #[error("pack {pack} is in the object store, which does not give it: {source}")]
    Remote {
        pack: PackId,
        source: Arc<ObjectsError>,
    },
    #[error("pack {pack} is at node {node} only, which does not give it: {source}")]
    AtNode {
        pack: PackId,
        node: u16,
        source: Arc<NodeError>,
    },
    #[error("a new pack could not be created")]
    Create { source: Arc<io::Error> },
    #[error("the packs are closed")]
    Closed,
}

impl PackError {
    pub(super) fn damaged(pack: PackId, offset: u64, reason: &'static str) -> Self {
        Self::Damaged {
            pack,
            offset,
            reason,
        }
    }

    pub(super) fn read(pack: PackId, source: io::Error) -> Self {
        Self::Read {
            pack,
            source: Arc::new(source),
        }
    }
}

/// Why the packs could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum PackOpenError {
    #[error("the packs in {} are in use by another process", dir.display())]
    InUse { dir: PathBuf },
    #[error("the packs in {} could not be opened", dir.display())]
    Io { dir: PathBuf, source: io::Error },
    #[error("reading the unsealed packs in {} failed", dir.display())]
    Recovery { dir: PathBuf, source: PackError },
    #[error(transparent)]
    Objects(#[from] ClaimError),
    #[error(
        "this archive keeps its packs in {location}, and the settings name no object store: set objects.location"
    )]
    ObjectsNotConfigured { location: String },
}
