//! Q/R 调取: fetches studies from their hospitals' gateways after the push (contract §2.5).
//!
//! It is done by the node that has the duties. Each hospital has a worker of its own, so a gateway that is slow or dead
//! delays nobody else's. What is due lies in the views, and what came of it is an event: neither a restart nor another node
//! forgets a study, and images that came before either are here. A study may be asked for twice, and never too few times.

mod attempt;
mod hours;
mod meters;
mod pace;
mod sweep;
mod worker;

use std::collections::BTreeMap;

use tokio::task::JoinSet;
use yingku_core::event::PULLS_SINCE_RULES;
use yingku_core::ids::HospitalCode;
use yingku_dicom_node::scp::Scp;
use yingku_storage::archive::Archive;

use worker::Worker;

/// Fetches, and looks what nobody pushed, until it is dropped.
pub async fn run(archive: &Archive, scp: &Scp, epoch: Option<u64>) {
    let mut projected = archive.watch_projected();
    let mut workers = JoinSet::new();
    let mut running: BTreeMap<HospitalCode, tokio::task::Id> = BTreeMap::new();
    loop {
        let registry = archive.registry();
        let is_active = registry.rules >= PULLS_SINCE_RULES;
        let hospitals = registry.hospitals.values();
        for hospital in hospitals.filter(|it| is_active && it.gateway.is_some()) {
            if !running.contains_key(&hospital.code) {
                let code = hospital.code.clone();
                let worker = Worker::new(archive.clone(), scp.clone(), code.clone(), epoch);
                let task = workers.spawn(worker.run());
                running.insert(code, task.id());
            }
        }
        tokio::select! {
            // Workers live as long as the archive follows its log; one that ends begins anew.
            Some(ended) = workers.join_next_with_id(), if !workers.is_empty() => {
                let id = match ended {
                    Ok((id, ())) => id,
                    Err(error) => {
                        tracing::error!(%error, "whoever fetches a hospital's studies ended");
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
