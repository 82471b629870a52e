//! The registry as a file: read by `yingku registry import` and at the first start, written by `export`.

mod consistent;
mod file;
mod import;
mod jiwei;
mod keys;

pub use file::{RegistryFile, export};
pub use import::{import, remove};
pub use keys::write_public_keys;
