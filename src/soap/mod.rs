//! SOAP from the side that calls, and as a receiver of notices reads it (contract §3, R12): envelopes around a document,
//! the documents and answers within them.

pub mod answer;
pub mod request;
mod within;
