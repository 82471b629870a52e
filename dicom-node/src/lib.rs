//! Yingku's DICOM node: associations, messages and the bounded look at what arrives.
//!
//! A connection becomes a [`stream`], its bytes PDUs ([`pdu`]), those an [`association`] that carries DIMSE
//! [`message`]s. An instance passes the [`scan`] before anything else looks at it; [`store`] hands it on.
//! This crate is the only one that speaks DICOM's upper layer protocol; it knows the archive only through traits.

pub mod association;
pub mod dataset;
pub mod door;
pub mod gateway;
pub mod message;
mod meters;
pub mod part10;
pub mod pdu;
pub mod scan;
pub mod scp;
pub mod scu;
pub mod server;
pub mod status;
pub mod store;
pub mod stream;
pub mod text;
pub mod tls;
pub mod transcode;

/// (0002,0012) and the negotiation's implementation class: a UUID-derived UID (PS3.5 §B.2).
pub const IMPLEMENTATION_CLASS_UID: &str = "2.25.263458124076219650213508318902411187641";
/// (0002,0013), at most 16 characters.
pub const IMPLEMENTATION_VERSION: &str = concat!("YINGKU_", env!("CARGO_PKG_VERSION"));
