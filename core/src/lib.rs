//! What Yingku knows without touching a disk or a socket: identifiers, events, the rules that accept or refuse
//! them, and the rows that follow from them.

pub mod apply_form;
pub mod contract;
pub mod correction;
pub mod decide;
pub mod dictionaries;
pub mod envelope;
pub mod event;
pub mod exam;
pub mod finding;
pub mod identity;
pub mod ids;
pub mod instance;
pub mod names;
pub mod national_index;
pub mod notice;
pub mod outcome;
pub mod performed;
pub mod pull;
pub mod query;
pub mod reconcile;
pub mod refusal;
pub mod registry;
pub mod state;
pub mod statistics;
pub mod supervision;
pub mod time;
