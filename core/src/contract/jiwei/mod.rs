//! 影像申请单接口 (contract §1, R11): a patient's apply forms by card number. The platform asks a hospital's 基卫 and is
//! asked by a hospital's PACS with the same wire, so both directions are here. Pure: bodies in, typed content out.
//!
//! A body's way in: [`carrier`] finds the Base64 in it, [`cipher`] makes clear text of that, and [`request`] or
//! [`answer`] reads the one JSON object that stands there. A body's way out is the same backwards. [`taken`] makes of an
//! answer's rows what events hold, and [`told`] rows of what they held. Which key belongs to whom, addresses and HTTP are
//! the edge's.
//!
//! The contract's cipher has no checksum: who holds no key cannot read a message, but may cut or put together blocks of
//! messages that were seen. Keep it inside the hospital network or TLS.

pub mod answer;
mod carrier;
mod cipher;
mod error;
mod fields;
mod form;
pub mod request;
mod taken;
#[cfg(test)]
mod taken_tests;
mod told;
#[cfg(test)]
mod vector_tests;

pub use answer::{Answer, UnreadableRow};
pub use carrier::Carrier;
pub use cipher::JiweiKey;
pub use error::{JiweiError, RemoteText};
pub use form::JiweiForm;
pub use request::{ApplyKind, ApplyQuery, BusinessType};
pub use taken::{RefusedForm, TakeContext, TakenForm, take};
pub use told::ToldForm;

/// The most bytes of a request's body. Four short fields are some 200 bytes; the rest is room for other fields, line
/// breaks and escapes.
pub const REQUEST_LIMIT_BYTES: usize = 64 * 1024;

/// The most bytes of an answer's body: [`ROWS_LIMIT`] rows of 3 KB each, in Base64.
pub const ANSWER_LIMIT_BYTES: usize = 4 * 1024 * 1024;

/// The most rows of an answer: one patient's apply forms of one kind. More than that is not one patient's.
pub const ROWS_LIMIT: usize = 1_000;

/// The most characters of a row's field. The longest is the clinical diagnosis, which §3 allows 600.
pub const FIELD_LIMIT_CHARS: usize = 2_000;
