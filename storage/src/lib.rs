//! Yingku's log, packs, projector and views.

pub mod log;
pub mod packs;
pub mod space;
