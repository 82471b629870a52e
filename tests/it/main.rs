//! Tests of the whole: the binary as a process, files that must stay readable, and the shape of the source.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

mod commands;
mod forms;
mod golden_events;
mod layering;
mod process;
mod rendering;
