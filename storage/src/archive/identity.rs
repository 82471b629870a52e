//! Whose packs they are: a file beside them names the log that speaks of them.
//!
//! Another archive's packs have the same numbers and sound records: nothing else would tell them apart.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use uuid::Uuid;
use yingku_core::envelope::Envelope;
use yingku_core::ids::Position;

use crate::log::{EventLog, LogError};

/// Holds the id of the log's first record.
pub(super) const FILE: &str = "archive";

#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    #[error(
        "the packs in {} are another archive's: they belong to log {theirs}, this is log {ours}. \
         Put the right directory back, or remove its file {FILE:?} to take these packs as this archive's", dir.display()
    )]
    Foreign {
        dir: PathBuf,
        theirs: String,
        ours: Uuid,
    },
    #[error("the packs' directory {} cannot be used", dir.display())]
    Io { dir: PathBuf, source: io::Error },
    #[error(transparent)]
    Log(#[from] LogError),
}

/// The archive that a log makes: the same on all nodes that follow it. `None`: it has not begun.
pub fn of(log: &dyn EventLog) -> Result<Option<Uuid>, LogError> {
    let first = log.get(Position(0))?;
    Ok(first.and_then(|first| Envelope::id_of(&first.bytes).map(Uuid::from_bytes)))
}

/// Compares the packs' directory with the log; one that belongs to none yet is this log's from now on.
pub fn check(dir: &Path, log: &dyn EventLog) -> Result<(), IdentityError> {
    let Some(ours) = of(log)? else {
        return Ok(());
    };
    let failed = |source| IdentityError::Io {
        dir: dir.to_owned(),
        source,
    };
    match fs::read_to_string(dir.join(FILE)) {
        Ok(theirs) if theirs.trim() == ours.to_string() => Ok(()),
        Ok(theirs) => Err(IdentityError::Foreign {
            dir: dir.to_owned(),
            theirs: theirs.trim().to_owned(),
            ours,
        }),
        Err(e) if e.kind() == io::ErrorKind::NotFound => write(dir, ours).map_err(failed),
        Err(e) => Err(failed(e)),
    }
}

fn write(dir: &Path, ours: Uuid) -> io::Result<()> {
    fs::create_dir_all(dir)?;
    let staged = dir.join(format!("{FILE}.new"));
    let mut file = File::create(&staged)?;
    writeln!(file, "{ours}")?;
    file.sync_all()?;
    fs::rename(&staged, dir.join(FILE))?;
    File::open(dir)?.sync_all()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use yingku_core::envelope::Cipher;

    use super::*;
    use crate::log::MemoryLog;

    async fn log_of_one_record() -> MemoryLog {
        let record = Envelope {
            id: Uuid::now_v7(),
            kind: 1,
            version: 1,
            rules: 1,
            cipher: Cipher::None,
            key_id: 0,
            hospital: None,
            actor: "node:0",
            body: &[],
        };
        let log = MemoryLog::default();
        log.append(record.encode().unwrap().into()).await.unwrap();
        log
    }

    #[tokio::test]
    async fn packs_of_another_archive_are_refused() {
        let dir = tempfile::TempDir::new().unwrap();
        let packs = dir.path().join("packs");
        let (ours, other) = (log_of_one_record().await, log_of_one_record().await);
        // A log that is empty has no packs yet, and says nothing
        check(&packs, &MemoryLog::default()).unwrap();
        check(&packs, &ours).unwrap();
        check(&packs, &ours).unwrap();
        let refused = check(&packs, &other).unwrap_err();
        assert!(matches!(refused, IdentityError::Foreign { .. }));
        // Unless an operator says that they are
        fs::remove_file(packs.join(FILE)).unwrap();
        check(&packs, &other).unwrap();
    }
}
