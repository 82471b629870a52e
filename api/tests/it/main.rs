//! The interfaces as a client meets them: requests against the router of an archive in a directory of its own.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

mod apply_fetch;
mod apply_query;
mod citation;
mod clinic;
mod documents;
mod faults;
mod feed;
mod forms;
mod house;
mod national_index;
mod patient_records;
mod push;
mod reading;
mod serving;
mod soap;
mod supervision;
mod token;
