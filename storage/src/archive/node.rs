//! Which node this data directory is, and that only one process is it.
//!
//! A directory makes itself an id and asks for a number by an event; the log's order gives each id its own, so that two
//! nodes never give a pack the same name. A process that starts as a node says so by an event too: whoever was that node
//! before, in a copy of the directory, reads it and stores nothing more.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use uuid::Uuid;
use yingku_core::decide::NODES_SINCE_RULES;
use yingku_core::event::{Event, NodeJoined, NodeStarted};
use yingku_core::outcome::Outcome;

use super::{Archive, Shared, Submission, SubmitError, submit};
use crate::log::EventLog;
use crate::packs::PacksDirectory;

/// Holds the id of the data directory.
pub(super) const FILE: &str = "node";

#[derive(Debug, thiserror::Error)]
pub enum NodeIdError {
    #[error("the file {} that says which node this is cannot be used", file.display())]
    File { file: PathBuf, source: io::Error },
    #[error(
        "the file {} does not hold a node's id; put the one of this directory back, or, if it has no packs, remove it",
        file.display()
    )]
    Content { file: PathBuf },
    #[error("this node gets no number: {0}")]
    Refused(String),
    #[error("this node's number cannot be asked for")]
    Submit(#[from] SubmitError),
    #[error("the packs' directory cannot be read")]
    Packs(#[source] io::Error),
}

/// This data directory among the nodes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct NodeId {
    /// Absent while the rules know of one node only.
    pub(super) id: Option<Uuid>,
    pub(super) number: u16,
}

/// Asks for a number, unless the log has given one. The views must have the whole log.
pub(super) async fn identify(
    dir: &Path,
    packs: &PacksDirectory,
    log: &dyn EventLog,
    shared: &Shared,
) -> Result<NodeId, NodeIdError> {
    let registry = Arc::clone(&shared.registry.read());
    if registry.rules < NODES_SINCE_RULES {
        return Ok(NodeId {
            id: None,
            number: 0,
        });
    }
    let id = own_id(dir)?;
    if registry.node_of(&id).is_none() {
        let joined = Submission {
            hospital: None,
            actor: format!("node:{id}"),
            event: Event::NodeJoined(NodeJoined {
                id,
                packs_of: packs.node().map_err(NodeIdError::Packs)?,
            }),
        };
        if let Outcome::Refused(refusal) = submit(log, shared, joined).await?.outcome {
            return Err(NodeIdError::Refused(refusal.message));
        }
    }
    let registry = shared.registry.read();
    let node = registry.node_of(&id).ok_or(SubmitError::Pending)?;
    Ok(NodeId {
        id: Some(id),
        number: node.number,
    })
}

fn own_id(dir: &Path) -> Result<Uuid, NodeIdError> {
    let file = dir.join(FILE);
    let failed = |source| NodeIdError::File {
        file: file.clone(),
        source,
    };
    match fs::read_to_string(&file) {
        Ok(text) => Uuid::parse_str(text.trim()).map_err(|_| NodeIdError::Content { file }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let id = Uuid::now_v7();
            write(dir, id).map_err(failed)?;
            Ok(id)
        }
        Err(error) => Err(failed(error)),
    }
}

/// Durable on return, so that a number that is given is not lost.
fn write(dir: &Path, id: Uuid) -> io::Result<()> {
    let staged = dir.join(format!("{FILE}.new"));
    let mut file = File::create(&staged)?;
    writeln!(file, "{id}")?;
    file.sync_all()?;
    fs::rename(&staged, dir.join(FILE))?;
    File::open(dir)?.sync_all()
}

/// Where a node is reached.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reached {
    pub release: String,
    pub http: String,
    pub dicom: String,
    /// `http://HOST:PORT` for other nodes; empty: they cannot reach it.
    pub address: String,
}

impl Archive {
    /// Tells the log that this process is the node from now on. A process that was it before stops storing.
    pub async fn announce(&self, reached: Reached) -> Result<(), SubmitError> {
        let run = Uuid::now_v7();
        let NodeId { id, number } = self.inner.node;
        let started = Submission {
            hospital: None,
            actor: self.node_actor(),
            event: Event::NodeStarted(NodeStarted {
                node: number,
                release: reached.release,
                http: reached.http,
                dicom: reached.dicom,
                id,
                run: id.map(|_| run),
                address: reached.address,
            }),
        };
        self.submit(started).await?;
        if id.is_some() {
            tokio::spawn(give_way(self.clone(), run));
        }
        Ok(())
    }
}

/// Stops this process once a later one says that it is the same node.
async fn give_way(archive: Archive, run: Uuid) {
    let number = archive.node();
    let mut projected = archive.inner.follower.shared.projected.subscribe();
    loop {
        let last = archive.registry().nodes.get(&number).and_then(|it| it.run);
        if last.is_some_and(|last| last != run) {
            let reason = format!(
                "another process started as node {number}, from a copy of this data directory; run one of them only"
            );
            archive.packs().stop(&reason);
            let stopped = &archive.inner.follower.shared.stopped;
            stopped.send_replace(Some(reason.into()));
            return;
        }
        if projected.changed().await.is_err() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_directory_keeps_its_id_and_does_not_make_up_for_a_spoilt_one() {
        let dir = tempfile::TempDir::new().unwrap();
        let id = own_id(dir.path()).unwrap();
        assert_eq!(own_id(dir.path()).unwrap(), id);
        fs::write(dir.path().join(FILE), "not an id").unwrap();
        assert!(matches!(
            own_id(dir.path()),
            Err(NodeIdError::Content { .. })
        ));
    }
}
