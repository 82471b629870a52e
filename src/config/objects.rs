//! `[objects]`: where sealed packs go.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use serde::Deserialize;
use yingku_storage::objects::{Credentials, Location, ObjectsOptions, remembered};
use yingku_storage::packs::Ack;

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Objects {
    /// `s3://BUCKET/PREFIX?endpoint=URL`.
    pub location: Option<String>,
    pub region: String,
    pub path_style: bool,
    pub checksums: bool,
    /// Relative to the data directory.
    pub credentials_file: Option<PathBuf>,
    pub connect_timeout_s: u64,
    pub request_timeout_s: u64,
    pub upload_timeout_s: u64,
    pub cache_bytes: u64,
    /// 0: none but those that an operator makes.
    pub snapshot_hours: u16,
    pub ack: AckOf,
    /// What a lost node had not uploaded is lost.
    pub accept_node_loss: bool,
}

/// What has to have an image before it is acknowledged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AckOf {
    Local,
    Object,
}

impl From<AckOf> for Ack {
    fn from(ack: AckOf) -> Self {
        match ack {
            AckOf::Local => Self::Local,
            AckOf::Object => Self::Object,
        }
    }
}

impl Default for Objects {
    fn default() -> Self {
        Self {
            location: None,
            region: "us-east-1".to_owned(),
            path_style: true,
            checksums: true,
            credentials_file: None,
            connect_timeout_s: 5,
            request_timeout_s: 15,
            upload_timeout_s: 120,
            cache_bytes: 100 << 30,
            snapshot_hours: 24,
            ack: AckOf::Local,
            accept_node_loss: false,
        }
    }
}

impl Objects {
    pub fn check(&self) -> anyhow::Result<()> {
        let timeouts = [
            ("connect_timeout_s", self.connect_timeout_s),
            ("request_timeout_s", self.request_timeout_s),
            ("upload_timeout_s", self.upload_timeout_s),
        ];
        for (name, seconds) in timeouts {
            anyhow::ensure!(
                (1..=3600).contains(&seconds),
                "objects.{name}: 1 至 3600 秒 (1 to 3600 seconds)"
            );
        }
        self.location().map(drop)
    }

    fn location(&self) -> anyhow::Result<Option<Location>> {
        let parsed = self.location.as_deref().map(str::parse).transpose();
        parsed.context("objects.location: 对象存储位置有误 (is not valid)")
    }

    /// The object store of the archive in `data`: the one of the settings, else the one that the archive uses.
    pub fn options(&self, data: &Path) -> anyhow::Result<Option<ObjectsOptions>> {
        let Some(location) = self
            .location()?
            .map_or_else(|| remembered(data), |it| Ok(Some(it)))?
        else {
            return Ok(None);
        };
        let file = self.credentials_file.as_ref().map(|file| data.join(file));
        let credentials = Credentials::load(file.as_deref())
            .with_context(|| format!("对象存储 {location} 的账号 (its account)"))?;
        Ok(Some(ObjectsOptions {
            location,
            region: self.region.clone(),
            path_style: self.path_style,
            checksums: self.checksums,
            credentials,
            connect_timeout: Duration::from_secs(self.connect_timeout_s),
            request_timeout: Duration::from_secs(self.request_timeout_s),
            upload_timeout: Duration::from_secs(self.upload_timeout_s),
            cache_bytes: self.cache_bytes,
        }))
    }
}
