//! The form of a registry file. `deploy/registry.toml` explains it key by key.

use std::collections::BTreeSet;

use anyhow::Context;
use serde::{Deserialize, Serialize};
use yingku_core::ids::{AeTitle, AppId, HospitalCode};
use yingku_core::registry::{
    App, EnvelopeShape, Hospital, HttpStatus, Peer, Registry, ResultShape, Right, Scope, Sealed,
    Settings, StatusType, default_time_window_minutes,
};
use yingku_core::time::Zone;

#[derive(Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RegistryFile {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub settings: Option<Settings>,
    #[serde(rename = "hospital")]
    pub hospitals: Vec<Hospital>,
    #[serde(rename = "app")]
    pub apps: Vec<AppEntry>,
    #[serde(rename = "peer")]
    pub peers: Vec<Peer>,
}

/// An app; its license in clear, or its secrets as another node with the same cluster key exported them.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AppEntry {
    pub id: AppId,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub license: Option<String>,
    pub org: HospitalCode,
    pub rights: BTreeSet<Right>,
    pub hospitals: Scope,
    #[serde(default = "enabled")]
    pub enabled: bool,
    #[serde(default)]
    pub envelope: EnvelopeShape,
    #[serde(default)]
    pub status_type: StatusType,
    #[serde(default)]
    pub http_status: HttpStatus,
    #[serde(default)]
    pub result_shape: ResultShape,
    #[serde(default)]
    pub require_time: bool,
    #[serde(default = "default_time_window_minutes")]
    pub time_window_minutes: u16,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sealed: Option<SealedSecrets>,
}

fn enabled() -> bool {
    true
}

#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SealedSecrets {
    pub license: Sealed,
    pub private_key: Sealed,
    pub public_key: String,
}

impl RegistryFile {
    pub fn parse(text: &str) -> anyhow::Result<Self> {
        let mut file: Self = toml::from_str(text)?;
        file.check()?;
        Ok(file)
    }

    /// Identifiers as the archive compares them: trimmed, and within their limits.
    fn check(&mut self) -> anyhow::Result<()> {
        for hospital in &mut self.hospitals {
            hospital.code = HospitalCode::new(&hospital.code)
                .with_context(|| format!("hospital {:?}", hospital.code.as_str()))?;
        }
        for app in &mut self.apps {
            let named = format!("app {:?}", app.id.as_str());
            app.id = AppId::new(&app.id).with_context(|| named.clone())?;
            app.org = HospitalCode::new(&app.org).with_context(|| named.clone())?;
            check_scope(&app.hospitals).with_context(|| named.clone())?;
            anyhow::ensure!(
                app.license.as_deref() != Some(""),
                "{named}: license 不能为空 (must not be empty)"
            );
        }
        for peer in &mut self.peers {
            let named = format!("peer {:?}", peer.ae.as_str());
            peer.ae = AeTitle::new(&peer.ae).with_context(|| named.clone())?;
            check_scope(&peer.hospitals).with_context(|| named.clone())?;
        }
        if let Some(settings) = &self.settings {
            Zone::named(&settings.time_zone).with_context(|| {
                format!(
                    "settings.time_zone {:?}: 不是 IANA 时区名 (no IANA name)",
                    settings.time_zone
                )
            })?;
        }
        once("hospital", self.hospitals.iter().map(|it| it.code.as_str()))?;
        once("app", self.apps.iter().map(|it| it.id.as_str()))?;
        once("peer", self.peers.iter().map(|it| it.ae.as_str()))
    }
}

fn check_scope(scope: &Scope) -> anyhow::Result<()> {
    for code in scope.codes().filter(|code| *code != "*") {
        let same = HospitalCode::new(code)?;
        anyhow::ensure!(
            same.as_str() == code,
            "hospitals: {code:?} 带有空格 (has blanks)"
        );
    }
    Ok(())
}

fn once<'a>(what: &str, names: impl Iterator<Item = &'a str>) -> anyhow::Result<()> {
    let mut seen = BTreeSet::new();
    for name in names {
        anyhow::ensure!(
            seen.insert(name),
            "{what} {name:?} 出现两次 (is there twice)"
        );
    }
    Ok(())
}

/// The registry in force as a file. Licenses never leave in clear: with `sealed` as they lie in the log, for an archive
/// with the same cluster key.
pub fn export(registry: &Registry, sealed: bool) -> anyhow::Result<String> {
    let entry = |app: &App| AppEntry {
        id: app.id.clone(),
        license: None,
        org: app.org.clone(),
        rights: app.rights.clone(),
        hospitals: app.hospitals.clone(),
        enabled: app.enabled,
        envelope: app.envelope,
        status_type: app.status_type,
        http_status: app.http_status,
        result_shape: app.result_shape,
        require_time: app.require_time,
        time_window_minutes: app.time_window_minutes,
        sealed: sealed.then(|| SealedSecrets {
            license: app.license.clone(),
            private_key: app.private_key.clone(),
            public_key: app.public_key.clone(),
        }),
    };
    let file = RegistryFile {
        settings: Some(registry.settings.clone()),
        hospitals: registry.hospitals.values().cloned().collect(),
        apps: registry.apps.values().map(entry).collect(),
        peers: registry.peers.values().cloned().collect(),
    };
    Ok(toml::to_string(&file)?)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn the_documented_registry_and_the_demo_s_are_valid() {
        let documented = RegistryFile::parse(include_str!("../../deploy/registry.toml")).unwrap();
        assert_eq!(documented.hospitals.len(), 1);
        let demo = RegistryFile::parse(include_str!("../../deploy/demo/registry.toml")).unwrap();
        assert_eq!(
            (demo.hospitals.len(), demo.apps.len(), demo.peers.len()),
            (2, 2, 2)
        );
    }

    #[test]
    fn what_is_wrong_is_named() {
        let cases = [
            (
                "[[hospital]]\ncode = \"1\"\nname = \"a\"\n[[hospital]]\ncode = \"1\"\nname = \"b\"",
                "twice",
            ),
            (
                "[[hospital]]\ncode = \"1\"\nname = \"a\"\ncolour = 1",
                "colour",
            ),
            (
                "[[peer]]\nae = \"A TITLE THAT IS TOO LONG\"\nhost = \"h\"\nport = 1",
                "AE title",
            ),
            ("[settings]\ntime_zone = \"Nowhere\"", "Nowhere"),
        ];
        for (text, named) in cases {
            let error = RegistryFile::parse(text).err().unwrap();
            assert!(format!("{error:#}").contains(named), "{error:#}");
        }
    }
}
