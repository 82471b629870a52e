//! §4: the address by which a clinician's workstation opens a patient's reports. Its query in UTF-8 or GBK ([`Query`]), the
//! numbers in it (R18, [`Numbers`]), and links that a HIS signs (R19, [`link`]).

pub mod link;
mod numbers;
mod query;

pub use numbers::{NUMBER_LIMIT, NumberFault, Numbers};
pub use query::{QUERY_LIMIT_BYTES, Query, QueryFault};

/// The contract's address, without context.
pub const ROUTE: &str = "/clinic/html/query.htm";
