//! The edges: HTTP and DICOM, each handed its listener and the archive. Here their settings are told to them.

use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use yingku_api::ApiConfig;
use yingku_dicom_node::association::NegotiationPolicy;
use yingku_dicom_node::pdu::Timeouts;
use yingku_dicom_node::scp::{self, Doors, Scp, ScpSettings};
use yingku_dicom_node::server::NodeConfig;
use yingku_dicom_node::text::Undeclared;
use yingku_indexer::Index;
use yingku_rendering::{Renderer, RendererOptions};
use yingku_storage::archive::Archive;

use crate::config::Config;
use crate::{commands, meters};

/// Of all associations, the percentage that one calling AE may have at a time, so that one cannot starve the others.
const SHARE_OF_ONE_AE_PERCENT: usize = 60;

pub struct Listeners {
    pub http: TcpListener,
    pub dicom: Doors,
}

/// Starts both; each ends after `stop`, once what it works on is done.
pub fn start(
    archive: &Archive,
    config: &Config,
    scp: &Scp,
    listeners: Listeners,
    index: Option<Index>,
    stop: &CancellationToken,
    tasks: &TaskTracker,
) -> anyhow::Result<()> {
    let (meters, upkeep) = meters::start(config.http.metrics_readers.clone(), stop.clone())?;
    tasks.spawn(upkeep);
    let api = ApiConfig {
        context: config.http.context.clone(),
        max_body_bytes: config.http.max_body_bytes,
        meters: Some(meters),
        soap: config.http.soap.shape()?,
        index,
        renderer: Some(Renderer::new(RendererOptions::of_this_program([
            commands::RENDER_WORKER,
        ]))),
        proxies: config.http.proxies.clone(),
        ..ApiConfig::default()
    };
    let router = yingku_api::router(archive.clone(), api.clone());
    let stopped = stop.clone();
    tasks.spawn(async move {
        let until = async move { stopped.cancelled().await };
        if let Err(error) = yingku_api::serve(listeners.http, router, api, until).await {
            tracing::error!(%error, "HTTP ended");
        }
    });
    let node = NodeConfig {
        policy: NegotiationPolicy {
            accept_private_storage: config.dicom.accept_private_storage,
        },
        max_associations: config.dicom.max_associations,
        ..NodeConfig::default()
    };
    let (scp, stop) = (scp.clone(), stop.clone());
    tasks.spawn(scp::serve(listeners.dicom, scp, node, stop));
    Ok(())
}

/// The archive as the DICOM edge serves it, and as studies are fetched into it.
pub fn scp(archive: &Archive, config: &Config) -> Scp {
    let settings = ScpSettings {
        ae_title: config.dicom.ae_title.trim().to_owned(),
        accept_any_calling_ae: config.dicom.accept_any_calling_ae,
        max_associations_per_ae: share_of_one_ae(config.dicom.max_associations),
        undeclared: Undeclared::default(),
        timeouts: Timeouts::default(),
    };
    Scp::new(archive.clone(), settings)
}

fn share_of_one_ae(all: usize) -> usize {
    all.saturating_mul(SHARE_OF_ONE_AE_PERCENT).div_ceil(100)
}
