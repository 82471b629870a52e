//! 状态回传: sends the notices that the log made due to the HIS that want them (contract §3.2, R17).
//!
//! It is done by the node that has the duties. Each HIS has a worker of its own, so one that is slow or dead delays nobody
//! else. What is due lies in the views; a worker holds a bounded window of it, and what came of it is an event, so neither
//! a restart nor another node forgets a notice. A notice may be sent twice, and never too few times.

mod line;
mod message;
mod meters;
mod pace;
mod request;
mod worker;

use std::collections::BTreeMap;

use tokio::task::JoinSet;
use yingku_core::ids::HisId;
use yingku_storage::archive::Archive;

use worker::Worker;

/// Sends until it is dropped.
pub async fn run(archive: &Archive, epoch: Option<u64>) {
    let http = match request::client() {
        Ok(http) => http,
        Err(error) => {
            tracing::error!(%error, "status notices cannot be sent");
            return;
        }
    };
    let mut projected = archive.watch_projected();
    let mut workers = JoinSet::new();
    let mut running: BTreeMap<HisId, tokio::task::Id> = BTreeMap::new();
    loop {
        let registry = archive.registry();
        for his in registry.his.values().filter(|his| his.receiver.is_some()) {
            if !running.contains_key(&his.id) {
                let worker = Worker::new(archive.clone(), his.id.clone(), epoch, http.clone());
                let task = workers.spawn(worker.run());
                running.insert(his.id.clone(), task.id());
            }
        }
        tokio::select! {
            // Workers live as long as the archive follows its log; one that ends begins anew.
            Some(ended) = workers.join_next_with_id(), if !workers.is_empty() => {
                let id = match ended {
                    Ok((id, ())) => id,
                    Err(error) => {
                        tracing::error!(%error, "a sender of notices ended");
                        error.id()
                    }
                };
                running.retain(|_, task| *task != id);
            }
            changed = projected.changed() => {
                if changed.is_err() {
                    return;
                }
            }
        }
    }
}
