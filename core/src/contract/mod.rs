//! The contract's messages (§2.3, §2.6 and our extension; forms in XML, §3.1), read leniently (R5, R12) and checked by its
//! own field tables, every wrong field named at once (R2). Pure: bytes in, typed content or faults out.
//!
//! One message's way: [`json`] makes a value of the bytes, `check` holds it against the table in [`fields`] and brings
//! it into one canonical form, and [`push`], [`statistics`] and [`detail`] add the rules that no table can say.
//! A form's way: [`xml`] makes a tree of the text, and [`apply_form`] holds its elements against their own table.
//!
//! [`jiwei`] is §1, which has a wire of its own; [`clinic`] is §4, which has an address only.

pub mod apply_form;
pub mod changes;
mod charset;
mod check;
pub mod clinic;
mod decimal;
pub mod detail;
pub mod fault;
pub mod fields;
mod format;
pub mod jiwei;
pub mod json;
pub mod policy;
pub mod push;
mod rows;
pub mod sign;
pub mod statistics;
pub mod xml;

pub use fault::{Fault, Refused, Rule};
pub use policy::{Mode, ValidationPolicy};
pub use rows::RowsContext;
