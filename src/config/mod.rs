//! `yingku.toml`: what one node is told. Every key is documented in `deploy/yingku.toml`, and unknown ones are refused.
//!
//! Hospitals, apps, peers and the settings that rules read are not here but in the registry, since all nodes and every
//! replay must agree on them.

mod care;
mod log;
mod node;
mod objects;
mod report;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::{Path, PathBuf};

use anyhow::Context;
use serde::Deserialize;
use yingku_api::SoapShape;
use yingku_core::ids::AeTitle;
use yingku_core::registry::Network;
use yingku_dicom_node::tls::TlsFiles;
use yingku_storage::archive::ArchiveOptions;
use yingku_storage::keys::ClusterKey;
use yingku_storage::log::EmbeddedLogOptions;
use yingku_storage::packs::PackOptions;

pub use care::Care;
pub use log::Log;
pub use node::Node;
pub use objects::{AckOf, Objects};
pub use report::{Report, TimeOfDay};

/// The smallest pack: smaller ones would be files of single instances.
const SMALLEST_PACK_BYTES: u64 = 1 << 20;

/// Space that is the log's alone: facts of stored instances that wait for it take some MB.
const FACTS_ROOM_BYTES: u64 = 256 << 20;

#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    pub http: Http,
    pub dicom: Dicom,
    pub storage: Storage,
    pub log: Log,
    pub objects: Objects,
    pub node: Node,
    pub care: Care,
    pub report: Report,
    pub keys: Keys,
    pub registry: Bootstrap,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Http {
    pub listen: String,
    pub context: String,
    pub max_body_bytes: usize,
    /// Who may read `/metrics`.
    pub metrics_readers: Vec<IpAddr>,
    /// Reverse proxies whose `X-Forwarded-For` is believed.
    pub proxies: Vec<Network>,
    /// How answers to `SynApplyInfo` are made.
    pub soap: Soap,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Soap {
    /// Element that holds the answer.
    pub return_name: String,
    /// Of the service; empty: the caller's own, and in the description the project's.
    pub namespace: String,
}

impl Default for Soap {
    fn default() -> Self {
        Self {
            return_name: "return".to_owned(),
            namespace: String::new(),
        }
    }
}

impl Soap {
    pub fn shape(&self) -> anyhow::Result<SoapShape> {
        let namespace = Some(self.namespace.clone());
        SoapShape::new(&self.return_name, namespace).with_context(|| {
            format!(
                "http.soap.return_name {:?} 不是 XML 元素名 (is no name of an XML element)",
                self.return_name
            )
        })
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Dicom {
    pub listen: String,
    pub ae_title: String,
    pub accept_any_calling_ae: bool,
    pub accept_private_storage: bool,
    pub max_associations: usize,
    /// DICOM over TLS, at an address of its own.
    pub tls: Option<DicomTls>,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DicomTls {
    pub listen: String,
    /// Relative to the data directory, as the other files.
    pub certificate: PathBuf,
    pub key: PathBuf,
    /// With it callers must have a certificate.
    pub client_ca: Option<PathBuf>,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Storage {
    pub reserve_bytes: u64,
    pub pack_bytes: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Keys {
    /// Relative to the data directory.
    pub cluster_key_file: PathBuf,
    pub generate: bool,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Bootstrap {
    /// Relative to the settings file.
    pub bootstrap: Option<PathBuf>,
}

impl Default for Http {
    fn default() -> Self {
        Self {
            listen: "0.0.0.0:8080".to_owned(),
            context: "openapi".to_owned(),
            max_body_bytes: 4 << 20,
            metrics_readers: vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()],
            proxies: Vec::new(),
            soap: Soap::default(),
        }
    }
}

impl Default for Dicom {
    fn default() -> Self {
        Self {
            listen: "0.0.0.0:11112".to_owned(),
            ae_title: "YINGKU".to_owned(),
            accept_any_calling_ae: false,
            accept_private_storage: true,
            max_associations: 1000,
            tls: None,
        }
    }
}

impl DicomTls {
    pub fn files(&self, data: &Path) -> TlsFiles {
        TlsFiles {
            certificate: data.join(&self.certificate),
            key: data.join(&self.key),
            client_ca: self.client_ca.as_ref().map(|path| data.join(path)),
        }
    }
}

impl Default for Storage {
    fn default() -> Self {
        let packs = PackOptions::default();
        Self {
            reserve_bytes: packs.reserve_bytes,
            pack_bytes: packs.seal_bytes,
        }
    }
}

impl Default for Keys {
    fn default() -> Self {
        Self {
            cluster_key_file: PathBuf::from("keys/cluster.key"),
            generate: false,
        }
    }
}

impl Config {
    /// Reads a settings file; without one, the defaults.
    pub fn load(file: Option<&Path>) -> anyhow::Result<Self> {
        let Some(file) = file else {
            return Ok(Self::default());
        };
        let text = std::fs::read_to_string(file)
            .with_context(|| format!("配置文件 {} 读不到 (cannot be read)", file.display()))?;
        let mut config = Self::parse(&text)
            .with_context(|| format!("配置文件 {} 有误 (is not valid)", file.display()))?;
        if let Some(bootstrap) = &mut config.registry.bootstrap {
            let beside = file.parent().unwrap_or(Path::new("."));
            *bootstrap = beside.join(&bootstrap);
        }
        Ok(config)
    }

    pub fn parse(text: &str) -> anyhow::Result<Self> {
        let config: Self = toml::from_str(text)?;
        AeTitle::new(&config.dicom.ae_title).context("dicom.ae_title")?;
        anyhow::ensure!(
            config.storage.pack_bytes >= SMALLEST_PACK_BYTES,
            "storage.pack_bytes: 至少 {SMALLEST_PACK_BYTES} 字节 (at least {SMALLEST_PACK_BYTES} bytes)"
        );
        anyhow::ensure!(
            config.dicom.max_associations > 0,
            "dicom.max_associations: 至少 1 (at least 1)"
        );
        config.objects.check()?;
        config.node.check()?;
        config.report.check()?;
        Ok(config)
    }

    /// Pushes are refused a little after images, so that on a shared disk the log still takes the facts of what was
    /// stored.
    pub fn archive_options(&self, data: &Path) -> anyhow::Result<ArchiveOptions> {
        let reserve = self.storage.reserve_bytes;
        let log = match self.log.kafka_options(data)? {
            Some(kafka) => kafka.into(),
            None => EmbeddedLogOptions {
                reserve_bytes: reserve.saturating_sub(FACTS_ROOM_BYTES.min(reserve / 8)),
                ..EmbeddedLogOptions::default()
            }
            .into(),
        };
        Ok(ArchiveOptions {
            log,
            packs: PackOptions {
                reserve_bytes: reserve,
                seal_bytes: self.storage.pack_bytes,
                ack: self.objects.ack.into(),
                objects: self.objects.options(data)?,
                ..PackOptions::default()
            },
        })
    }

    /// What an operator has to know that he chooses: where a node's disk alone has images, its loss is theirs.
    pub fn check_ack(&self, data: &Path) -> anyhow::Result<()> {
        let objects = &self.objects;
        anyhow::ensure!(
            objects.ack == AckOf::Local || objects.options(data)?.is_some(),
            "objects.ack = \"object\" 须有对象存储：请设 objects.location (needs an object store: set objects.location)"
        );
        anyhow::ensure!(
            objects.ack == AckOf::Object || objects.accept_node_loss || !self.log.is_shared(),
            "多节点的归档须选定：objects.ack = \"object\"（影像入对象存储后才应答），或 objects.accept_node_loss = true（节点磁盘损毁时，其未上传的影像丢失） \
             (an archive of several nodes must choose: images are acknowledged when the object store has them, or what a lost node had not uploaded is lost)"
        );
        Ok(())
    }

    pub fn cluster_key(&self, data: &Path) -> anyhow::Result<ClusterKey> {
        let file = data.join(&self.keys.cluster_key_file);
        ClusterKey::load(&file, self.keys.generate)
            .with_context(|| format!("集群密钥 {} 不可用 (cluster key)", file.display()))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn an_unknown_key_is_refused() {
        let error = Config::parse("[http]\nlisten_on = \"x\"\n").unwrap_err();
        assert!(format!("{error:#}").contains("listen_on"), "{error:#}");
    }

    #[test]
    fn the_documented_settings_are_the_defaults() {
        let documented = Config::parse(include_str!("../../deploy/yingku.toml")).unwrap();
        assert_eq!(documented, Config::default());
    }

    #[test]
    fn the_settings_of_a_node_of_several_are_taken() {
        let config = Config::parse(include_str!("../../deploy/cluster.toml")).unwrap();
        assert!(config.log.is_shared() && config.node.work);
        assert!(config.objects.location.is_some());
        let address = config.node.address_for("0.0.0.0:8080".parse().unwrap());
        assert_eq!(address.unwrap(), "http://node-1.example:8080");
    }

    #[test]
    fn tls_is_documented_as_it_is_read() {
        // The documented keys are comments, for there is no certificate that all archives have.
        let text = include_str!("../../deploy/yingku.toml").replace("# [dicom.tls]", "[dicom.tls]");
        let (before, section) = text.split_once("[dicom.tls]").unwrap();
        let (section, after) = section.split_once("\n\n").unwrap();
        let section = section.replace("\n# ", "\n");
        let keys: Vec<&str> = section
            .lines()
            .filter(|line| line.contains(" = "))
            .collect();
        let text = format!("{before}[dicom.tls]\n{}\n\n{after}", keys.join("\n"));
        let tls = Config::parse(&text).unwrap().dicom.tls.unwrap();
        assert_eq!(tls.listen, "0.0.0.0:2762");
        assert!(tls.client_ca.is_some());
    }

    /// The keys that a table takes, as its refusal of another one names them; `None`: it is no table.
    fn keys_of(table: &str) -> Option<Vec<String>> {
        let text = match table {
            "" => "no_such_key = 1".to_owned(),
            table => format!("[{table}]\nno_such_key = 1"),
        };
        let refused = format!("{:#}", Config::parse(&text).unwrap_err());
        let (_, expected) = refused.split_once("unknown field `no_such_key`, expected ")?;
        let names = expected.split('`').skip(1).step_by(2);
        Some(names.map(str::to_owned).collect())
    }

    fn assert_documented(table: &str, documented: &str) {
        for key in keys_of(table).unwrap() {
            let path = match table {
                "" => key.clone(),
                table => format!("{table}.{key}"),
            };
            let head = match keys_of(&path) {
                Some(_) => format!("[{path}]"),
                None => format!("{key} = "),
            };
            let named = |line: &str| line.trim_start_matches("# ").starts_with(&head);
            assert!(documented.lines().any(named), "{path}");
            if keys_of(&path).is_some() {
                assert_documented(&path, documented);
            }
        }
    }

    #[test]
    fn every_key_is_documented() {
        assert!(
            keys_of("http")
                .unwrap()
                .contains(&"metrics_readers".to_owned())
        );
        assert_documented("", include_str!("../../deploy/yingku.toml"));
    }
}
