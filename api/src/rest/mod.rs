//! The archive contract and the reading interfaces: one file an operation, each parse, call, encode.

pub mod apply_fetch;
pub mod apply_list;
pub mod apply_query;
pub mod apply_turnaround;
pub mod citation;
pub mod detail;
pub mod exam_row;
pub mod get_token;
pub mod history;
pub mod index_list;
pub mod index_query;
pub mod index_resolve;
mod national_index;
mod paging;
mod params;
pub mod patient_records;
pub mod push;
pub mod query;
pub mod reading;
pub mod reconcile;
pub mod schema;
pub mod search;
pub mod supervision;
pub mod upload_detail;
pub mod upload_statistics;
pub mod validate;
pub mod withdraw;
