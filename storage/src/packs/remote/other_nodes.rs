//! What other nodes hold of their packs and have not uploaded yet.

use std::ops::Range;

use bytes::Bytes;
use futures::future::BoxFuture;
use yingku_core::ids::PackId;

/// Asks the node that wrote a pack.
pub trait OtherNodes: Send + Sync + 'static {
    /// What it has of `range`, and how far the pack goes there; an open pack grows. An empty range asks for the size alone.
    fn range(
        &self,
        pack: PackId,
        range: Range<u64>,
    ) -> BoxFuture<'static, Result<NodePart, NodeError>>;
}

/// A part of a pack as its node has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodePart {
    pub bytes: Bytes,
    /// Bytes of the whole pack that can be read at present.
    pub size: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NodeError {
    /// It does not have the pack, or there is no such node.
    #[error("it is not there")]
    Missing,
    /// No answer, or one that says nothing of the pack: the same may succeed later.
    #[error("{0}")]
    Away(String),
}
