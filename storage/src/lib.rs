//! Yingku's log, packs, projector and views.

pub mod log;
pub mod space;
