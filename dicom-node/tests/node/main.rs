//! The node on a real port, against DCMTK, against itself, and against peers that mean harm.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

mod dcmtk;
mod gateway;
mod hostile;
mod own_peer;
mod performed;
mod support;
mod ward;
mod worklist;
