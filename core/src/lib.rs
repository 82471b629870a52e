//! What Yingku knows without touching a disk or a socket: identifiers, events, the rules that accept or refuse
//! them, and the rows that follow from them.

pub mod contract;
pub mod dictionaries;
pub mod ids;
pub mod instance;
pub mod time;
