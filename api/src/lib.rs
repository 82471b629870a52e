//! Yingku's HTTP interfaces: the archive contract (§2), and the reading interfaces in its style.
//!
//! One table of operations ([`operations::OPERATIONS`]) drives the router, the OpenAPI document and its page.

mod auth;
mod body;
mod call;
mod envelope;
mod error;
mod health;
mod limits;
mod meters;
mod nodes;
mod openapi;
mod operations;
mod pages;
pub mod receiver;
mod rest;
mod router;
mod server;

pub use limits::ApiConfig;
pub use meters::Meters;
pub use router::router;
pub use server::serve;
