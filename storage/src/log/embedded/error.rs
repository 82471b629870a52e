//! Why the log could not be opened, in words that say what to do.

use std::path::{Path, PathBuf};

/// Why the log could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum LogOpenError {
    #[error(
        "the event log in {} is damaged: {reason}. Nothing was changed. Keep a copy of the directory, \
         restore it from a backup if there is one, or run `yingku log repair`, which copies it \
         aside and keeps everything before the damage", dir.display()
    )]
    Damaged { dir: PathBuf, reason: String },
    #[error("the event log in {} is in use by another process", dir.display())]
    InUse { dir: PathBuf },
    #[error("the event log in {} could not be opened", dir.display())]
    Io {
        dir: PathBuf,
        source: std::io::Error,
    },
    #[error("the event log in {} could not be opened", dir.display())]
    Database {
        dir: PathBuf,
        source: rocksdb::Error,
    },
}

impl LogOpenError {
    pub(super) fn damaged(dir: &Path, reason: impl Into<String>) -> Self {
        Self::Damaged {
            dir: dir.to_owned(),
            reason: reason.into(),
        }
    }

    pub(super) fn io(dir: &Path, source: std::io::Error) -> Self {
        Self::Io {
            dir: dir.to_owned(),
            source,
        }
    }

    pub(super) fn database(dir: &Path, source: rocksdb::Error) -> Self {
        let text = source.to_string();
        match source.kind() {
            rocksdb::ErrorKind::Corruption => Self::damaged(dir, text),
            rocksdb::ErrorKind::IOError if text.contains("/LOCK") => Self::InUse {
                dir: dir.to_owned(),
            },
            // A file that the database lists and the directory lacks.
            rocksdb::ErrorKind::IOError if text.contains("No such file") => {
                Self::damaged(dir, text)
            }
            _ => Self::Database {
                dir: dir.to_owned(),
                source,
            },
        }
    }
}
