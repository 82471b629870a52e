//! The bounded look at a data set, before any parser sees it (design: "What went wrong elsewhere").
//!
//! [`Scanner`] is fed with a data set's bytes as they arrive and keeps nothing but the values that
//! [`InstanceFacts`](yingku_core::instance::InstanceFacts) needs: a 2 GB instance takes no more memory than a small
//! one, and a large value is passed over without being looked at. It walks sequences with its own stack, so nesting
//! cannot exhaust the thread's; a length is believed only as far as it fits in what encloses it; nothing is allocated
//! from one. A data set must end exactly where an element ends, with every sequence closed: whatever passes can be
//! read by a simple parser without surprises.

mod element;
mod facts;
mod inflate;
mod root;
mod tree;
mod walk;

use dicom_core::Tag;
use yingku_core::instance::InstanceFacts;

pub use element::{EXPLICIT_VR_BIG_ENDIAN, Encoding};
pub(crate) use element::{
    Header, ITEM, ITEM_END, Kind, SEQUENCE_END, UNDEFINED, has_short_length, parse_header,
};
pub(crate) use root::read_root;
pub(crate) use tree::{RawItem, RawValue, read_tree};

use crate::text::Undeclared;
use inflate::Inflater;
use walk::Walker;

/// Sequences within sequences: real reports use some 10.
pub const DEPTH_LIMIT: usize = 64;
/// Longest text value, in bytes: reports fit, a parser that decodes it is not overwhelmed.
pub const TEXT_LIMIT: u32 = 1024 * 1024;
/// Elements and items of one data set: an enhanced multi-frame image of 10,000 frames has under a million.
pub const ELEMENT_LIMIT: u64 = 4_000_000;
/// Bytes of one data set: also what a deflated one may grow to.
pub const DATA_SET_LIMIT: u64 = 16 * 1024 * 1024 * 1024;
/// A deflated data set may become so many times larger: images deflate to a half or a tenth, blank ones to less …
pub const INFLATED_RATIO: u64 = 100;
/// … so up to this size it may be as blank as it likes.
pub const INFLATED_FREELY: u64 = 64 * 1024 * 1024;
/// Bytes kept of a value that becomes a fact: the longest that the standard allows there is 64 characters, in three
/// groups for a name.
pub const KEPT_VALUE_LIMIT: usize = 4 * 1024;

/// Why a data set is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ScanError {
    #[error("data set is empty")]
    Empty,
    #[error("data set is cut at byte {0}, within an element or an open sequence")]
    Truncated(u64),
    #[error("{tag} at byte {at} is longer than what encloses it")]
    TooLong { tag: Tag, at: u64 },
    #[error("data set is longer than {DATA_SET_LIMIT} bytes")]
    DataSetTooLong,
    #[error("{tag} at byte {at}: text of {length} bytes, at most {TEXT_LIMIT} are taken")]
    TextTooLong { tag: Tag, at: u64, length: u32 },
    #[error("sequences are nested deeper than {DEPTH_LIMIT} at byte {0}")]
    TooDeep(u64),
    #[error("data set has more than {ELEMENT_LIMIT} elements")]
    TooManyElements,
    #[error("{tag} at byte {at} has no valid VR")]
    Vr { tag: Tag, at: u64 },
    #[error("{tag} at byte {at} may not have an undefined length")]
    UndefinedLength { tag: Tag, at: u64 },
    #[error("{tag} at byte {at} is out of place")]
    OutOfPlace { tag: Tag, at: u64 },
    #[error("{0} occurs twice with different values")]
    Contradiction(Tag),
    #[error("deflated data set is damaged at byte {0}")]
    Deflate(u64),
    #[error("data set inflates to more than {INFLATED_RATIO} times its size")]
    InflatesTooMuch,
    #[error("{0} is missing or empty")]
    Missing(&'static str),
    #[error("{what} {}", reason.reason())]
    Invalid {
        what: &'static str,
        reason: yingku_core::ids::IdError,
    },
}

enum Input {
    Plain(Walker),
    Deflated(Box<Inflater>),
}

/// Scans one data set as it arrives.
pub struct Scanner {
    input: Input,
    transfer_syntax: String,
    undeclared: Undeclared,
    failed: Option<ScanError>,
}

impl Scanner {
    /// For a data set in `transfer_syntax`; an unknown one is taken for an encapsulated one, which is Explicit VR
    /// Little Endian (PS3.5 §A.4).
    pub fn new(transfer_syntax: &str, undeclared: Undeclared) -> Self {
        let walker = Walker::new(Encoding::of(transfer_syntax), DATA_SET_LIMIT);
        Self {
            input: if Encoding::is_deflated(transfer_syntax) {
                Input::Deflated(Box::new(Inflater::new(walker)))
            } else {
                Input::Plain(walker)
            },
            transfer_syntax: transfer_syntax.to_owned(),
            undeclared,
            failed: None,
        }
    }

    /// Whether the data set comes deflated: a piece of it may take long.
    pub fn is_inflating(&self) -> bool {
        matches!(self.input, Input::Deflated(_))
    }

    /// Takes the next bytes. After a fault all further bytes are ignored and the same fault is returned.
    pub fn feed(&mut self, bytes: &[u8]) -> Result<(), ScanError> {
        if let Some(error) = &self.failed {
            return Err(error.clone());
        }
        let outcome = match &mut self.input {
            Input::Plain(walker) => walker.feed(bytes),
            Input::Deflated(inflater) => inflater.feed(bytes),
        };
        if let Err(error) = &outcome {
            self.failed = Some(error.clone());
        }
        outcome
    }

    /// The data set is complete: its facts, or why it is refused.
    pub fn finish(self) -> Result<InstanceFacts, ScanError> {
        if let Some(error) = self.failed {
            return Err(error);
        }
        let kept = match self.input {
            Input::Plain(walker) => walker.finish()?,
            Input::Deflated(inflater) => inflater.finish()?,
        };
        facts::facts(&kept, &self.transfer_syntax, self.undeclared)
    }
}

/// Scans a data set that lies in memory whole.
pub fn scan(
    transfer_syntax: &str,
    data_set: &[u8],
    undeclared: Undeclared,
) -> Result<InstanceFacts, ScanError> {
    let mut scanner = Scanner::new(transfer_syntax, undeclared);
    scanner.feed(data_set)?;
    scanner.finish()
}

#[cfg(test)]
mod tests;
