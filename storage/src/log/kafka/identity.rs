//! What the data directory remembers of its topic, so that another one under the same name is told apart.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::error::KafkaOpenError;

/// Which topic it is. The first record stands for the topic: one that was deleted and made again has another.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    pub cluster: String,
    pub topic: String,
    /// BLAKE3 of record 0, in hex; absent while there is none.
    pub first_record: Option<String>,
}

impl Identity {
    /// Why this is not the remembered one.
    fn differs(&self, remembered: &Self) -> Option<String> {
        if self.cluster != remembered.cluster {
            return Some(format!(
                "its cluster is {} and was {}",
                self.cluster, remembered.cluster
            ));
        }
        if self.topic != remembered.topic {
            return Some(format!("it was {}", remembered.topic));
        }
        match (&self.first_record, &remembered.first_record) {
            (_, None) => None,
            (None, Some(_)) => Some("it is empty and was not: it was made anew".to_owned()),
            (Some(now), Some(then)) if now != then => {
                Some("its first record is another one: it was made anew".to_owned())
            }
            _ => None,
        }
    }

    /// Compares with what `path` remembers, and remembers what it did not know yet.
    pub fn confirm(&self, path: &Path) -> Result<(), KafkaOpenError> {
        let remembered = Self::load(path)?;
        if let Some(reason) = remembered.as_ref().and_then(|known| self.differs(known)) {
            return Err(KafkaOpenError::Foreign {
                topic: self.topic.clone(),
                reason,
                remembered: path.to_owned(),
            });
        }
        if remembered.as_ref() != Some(self) {
            self.save(path).map_err(|source| KafkaOpenError::Remember {
                path: path.to_owned(),
                source,
            })?;
        }
        Ok(())
    }

    fn load(path: &Path) -> Result<Option<Self>, KafkaOpenError> {
        let unreadable = |source| KafkaOpenError::Remembered {
            path: path.to_owned(),
            source,
        };
        let bytes = match fs::read(path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(unreadable(error)),
        };
        serde_json::from_slice(&bytes)
            .map(Some)
            .map_err(|error| unreadable(error.into()))
    }

    fn save(&self, path: &Path) -> io::Result<()> {
        let staged = path.with_extension("new");
        let mut file = File::create(&staged)?;
        file.write_all(&serde_json::to_vec_pretty(self)?)?;
        file.sync_all()?;
        fs::rename(&staged, path)?;
        match path.parent() {
            Some(dir) => File::open(dir)?.sync_all(),
            None => Ok(()),
        }
    }
}
