//! The archive contract and the reading interfaces: one file an operation, each parse, call, encode.

pub mod get_token;
mod params;
pub mod push;
pub mod schema;
pub mod upload_detail;
pub mod upload_statistics;
