//! Where Yingku keeps what it must not lose: the log, the packs, and the views that follow from the log.
//!
//! [`archive::Archive`] is the only way to write.

pub mod archive;
pub mod keys;
pub mod log;
pub mod objects;
pub mod packs;
mod projector;
pub mod space;
pub mod viewer;
pub mod views;
