//! `yingku serve`: opens the archive, brings the registry in, and hands it to the edges until a signal ends it.

use std::io::Write;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use serde::Serialize;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use yingku_core::registry::Registry;
use yingku_dicom_node::scp::Doors;
use yingku_dicom_node::tls;
use yingku_storage::archive::{Archive, Reached};

use crate::config::Config;
use crate::control::ControlServer;
use crate::duties::{self, Duties};
use crate::registry::{self, RegistryFile};
use crate::{RELEASE, care, edges, indexing, open_files, shutdown};

/// How long associations and requests have to end after a signal; then they are broken off. What was answered is
/// durable at any moment.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(20);

#[derive(Debug, clap::Args)]
pub struct Serve {
    /// 配置文件 (settings)；省略则用默认值
    #[arg(long, value_name = "文件")]
    config: Option<PathBuf>,
    /// 数据目录 (data directory)
    #[arg(long, value_name = "目录")]
    data: PathBuf,
    /// HTTP 监听地址，覆盖配置 (overrides http.listen)；端口 0 为任意空闲端口
    #[arg(long, value_name = "地址")]
    http: Option<String>,
    /// DICOM 监听地址，覆盖配置 (overrides dicom.listen)；端口 0 为任意空闲端口
    #[arg(long, value_name = "地址")]
    dicom: Option<String>,
    /// 事件日志所在，覆盖配置 (overrides log.place)：embedded 或 kafka://主机:端口/主题
    #[arg(long, value_name = "位置")]
    log: Option<String>,
    /// 封存影像包的去处，覆盖配置 (overrides objects.location)：s3://桶/前缀?endpoint=http://主机:端口
    #[arg(long, value_name = "位置")]
    objects: Option<String>,
}

pub async fn serve(arguments: Serve) -> anyhow::Result<ExitCode> {
    // Before anything else, so that a signal during a long start ends it.
    let signal = shutdown::signal()?;
    open_files::raise_limit();
    let mut config = Config::load(arguments.config.as_deref())?;
    config.http.listen = arguments.http.unwrap_or(config.http.listen);
    config.dicom.listen = arguments.dicom.unwrap_or(config.dicom.listen);
    config.log.place = arguments.log.unwrap_or(config.log.place);
    config.objects.location = arguments.objects.or(config.objects.location);
    open_files::warn_if_short(config.dicom.max_associations);
    let archive = tokio::select! {
        opened = open(&config, &arguments.data) => opened?,
        () = signal.cancelled() => return Ok(ExitCode::SUCCESS),
    };
    let served = run(&archive, &config, &signal).await;
    archive.close().await;
    served.map(|()| ExitCode::SUCCESS)
}

async fn open(config: &Config, data: &Path) -> anyhow::Result<Archive> {
    std::fs::create_dir_all(data)
        .with_context(|| format!("数据目录 {} 无法建立 (data directory)", data.display()))?;
    let data = data.canonicalize()?;
    config.check_ack(&data)?;
    let key = config.cluster_key(&data)?;
    let archive = Archive::open(&data, config.archive_options(&data)?, key)
        .await
        .with_context(|| {
            format!(
                "归档 {} 打不开 (the archive cannot be opened)",
                data.display()
            )
        })?;
    bootstrap(&archive, config).await?;
    registry::write_public_keys(&archive)?;
    Ok(archive)
}

/// An empty registry is filled from a file; later it is changed by `yingku registry` only.
async fn bootstrap(archive: &Archive, config: &Config) -> anyhow::Result<()> {
    let Some(file) = &config.registry.bootstrap else {
        return Ok(());
    };
    if !is_empty(&archive.registry()) {
        return Ok(());
    }
    let named = || format!("登记文件 {} (registry.bootstrap)", file.display());
    let text = std::fs::read_to_string(file).with_context(named)?;
    let parsed = RegistryFile::parse(&text).with_context(named)?;
    let report = registry::import(archive, parsed, &archive.node_actor())
        .await
        .with_context(named)?;
    tracing::info!(entries = report.added.len() + report.changed.len(), file = %file.display(), "the registry was filled");
    Ok(())
}

fn is_empty(registry: &Registry) -> bool {
    registry.hospitals.is_empty() && registry.apps.is_empty() && registry.peers.is_empty()
}

async fn run(archive: &Archive, config: &Config, signal: &CancellationToken) -> anyhow::Result<()> {
    let http = listen(&config.http.listen, "HTTP").await?;
    let dicom = listen(&config.dicom.listen, "DICOM").await?;
    let tls = match &config.dicom.tls {
        None => None,
        Some(settings) => {
            let acceptor = tls::acceptor(&settings.files(archive.dir())).context("dicom.tls")?;
            Some((listen(&settings.listen, "DICOM TLS").await?, acceptor))
        }
    };
    let addresses = Addresses {
        http: http.local_addr()?,
        dicom: dicom.local_addr()?,
        dicom_tls: match &tls {
            None => None,
            Some((listener, _)) => Some(listener.local_addr()?),
        },
    };
    let dicom = Doors { clear: dicom, tls };
    let control = ControlServer::bind(archive).context("control.sock")?;
    let tasks = TaskTracker::new();
    announce(archive, config, &addresses).await;
    let scp = edges::scp(archive, config);
    // What cannot be searched must not keep anything from coming in.
    let index = indexing::open(archive, archive.dir())
        .inspect_err(
            |error| tracing::error!(%error, "the index cannot be opened: nothing is searched"),
        )
        .ok();
    if let Some(index) = &index {
        indexing::start(archive, index, signal, &tasks);
    }
    edges::start(
        archive,
        config,
        &scp,
        edges::Listeners { http, dicom },
        index,
        signal,
        &tasks,
    )?;
    tasks.spawn(control.run(archive.clone(), signal.clone()));
    if config.node.work {
        care::begin(archive).await;
        let snapshots = archive.packs().objects_options().is_some();
        let duties = Duties {
            shared: config.log.is_shared(),
            snapshot_hours: snapshots
                .then_some(config.objects.snapshot_hours)
                .filter(|hours| *hours > 0),
            scp,
            report: config.report.clone(),
        };
        tasks.spawn(duties::run(archive.clone(), duties, signal.clone()));
        tasks.spawn(care::run(
            archive.clone(),
            config.care.clone(),
            signal.clone(),
        ));
    }
    tasks.close();
    say_started(&addresses)?;
    signal.cancelled().await;
    tracing::info!("stopping: associations and requests end");
    if tokio::time::timeout(DRAIN_TIMEOUT, tasks.wait())
        .await
        .is_err()
    {
        tracing::warn!("some did not end in {DRAIN_TIMEOUT:?} and are broken off");
    }
    Ok(())
}

async fn listen(address: &str, what: &str) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address)
        .await
        .with_context(|| format!("{what} 无法监听 {address} (cannot listen); 换地址或停掉占用者"))
}

/// Where the archive is reached: the first line on standard output.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Addresses {
    http: SocketAddr,
    dicom: SocketAddr,
    #[serde(skip_serializing_if = "Option::is_none")]
    dicom_tls: Option<SocketAddr>,
}

/// The log learns who this is before anything is taken in.
async fn announce(archive: &Archive, config: &Config, addresses: &Addresses) {
    let address = config.node.address_for(addresses.http);
    if address.is_none() && config.log.is_shared() {
        tracing::warn!(
            "other nodes cannot read what this one has not uploaded: node.address is not set, and http.listen names no \
             address that they could use"
        );
    }
    let reached = Reached {
        release: RELEASE.to_owned(),
        http: addresses.http.to_string(),
        dicom: addresses.dicom.to_string(),
        address: address.unwrap_or_default(),
    };
    // A full disk must not keep readers from what is there.
    if let Err(error) = archive.announce(reached).await {
        tracing::warn!(%error, "the start is not recorded");
    }
}

/// For whoever waits on standard output.
fn say_started(addresses: &Addresses) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{}", serde_json::to_string(addresses)?)?;
    out.flush()?;
    Ok(())
}
