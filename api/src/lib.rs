//! Yingku's HTTP interfaces: the archive contract (§2), the reading interfaces in its style, and SOAP for apply forms (§3.1).
//!
//! One table of operations ([`operations::OPERATIONS`]) drives the router, the OpenAPI document and its page; the SOAP
//! service has an address and a description of its own, and so have the pages for clinicians ([`clinic`], §4).

mod auth;
mod body;
mod call;
mod caller_address;
mod clinic;
mod envelope;
mod error;
mod health;
pub mod images;
mod jiwei;
mod limits;
mod meters;
mod nodes;
mod openapi;
mod operations;
mod origin;
mod pages;
pub mod receiver;
mod rest;
mod router;
mod server;
mod soap;

pub use limits::ApiConfig;
pub use meters::Meters;
pub use router::router;
pub use server::serve;
pub use soap::SoapShape;
