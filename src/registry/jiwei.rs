//! 基卫 in a registry file (contract §1): its keys in clear, or sealed as another node with the same cluster key exported
//! them. An entry without a key keeps the one that is registered.

use std::collections::BTreeSet;
use std::net::IpAddr;

use anyhow::{Context, bail, ensure};
use serde::{Deserialize, Serialize};
use url::Url;
use yingku_core::contract::jiwei::{Carrier, JiweiKey};
use yingku_core::registry::{AppJiwei, HisJiwei, Registry, Sealed};
use yingku_storage::keys::{ClusterKey, Purpose};

use super::file::RegistryFile;

/// With what an app asks the platform.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AppJiweiEntry {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sealed_key: Option<Sealed>,
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub addresses: BTreeSet<IpAddr>,
}

/// Where the platform asks.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HisJiweiEntry {
    pub url: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sealed_key: Option<Sealed>,
    #[serde(default)]
    pub carrier: Carrier,
    #[serde(default = "enabled")]
    pub enabled: bool,
}

fn enabled() -> bool {
    true
}

impl AppJiweiEntry {
    pub(super) fn check(&mut self) -> anyhow::Result<()> {
        // An IPv4 address as a socket of IPv6 shows it is the same caller.
        self.addresses = self.addresses.iter().map(IpAddr::to_canonical).collect();
        check_key(self.key.as_deref())
    }

    pub(super) fn of(jiwei: &AppJiwei, sealed: bool) -> Self {
        Self {
            key: None,
            sealed_key: sealed.then(|| jiwei.key.clone()),
            addresses: jiwei.addresses.clone(),
        }
    }

    pub(super) fn seal(
        self,
        known: Option<&AppJiwei>,
        key: &ClusterKey,
    ) -> anyhow::Result<AppJiwei> {
        let known = known.map(|known| &known.key);
        Ok(AppJiwei {
            key: key_of(self.key, self.sealed_key, known, key)?,
            addresses: self.addresses,
        })
    }
}

impl HisJiweiEntry {
    pub(super) fn check(&self) -> anyhow::Result<()> {
        let url = Url::parse(&self.url).context("jiwei.url")?;
        ensure!(
            matches!(url.scheme(), "http" | "https") && url.has_host(),
            "jiwei.url 须为 http:// 或 https:// 地址 (must be an http or https address)"
        );
        check_key(self.key.as_deref())
    }

    pub(super) fn of(jiwei: &HisJiwei, sealed: bool) -> Self {
        Self {
            url: jiwei.url.clone(),
            key: None,
            sealed_key: sealed.then(|| jiwei.key.clone()),
            carrier: jiwei.carrier,
            enabled: jiwei.enabled,
        }
    }

    pub(super) fn seal(
        self,
        known: Option<&HisJiwei>,
        key: &ClusterKey,
    ) -> anyhow::Result<HisJiwei> {
        let known = known.map(|known| &known.key);
        Ok(HisJiwei {
            url: self.url,
            key: key_of(self.key, self.sealed_key, known, key)?,
            carrier: self.carrier,
            enabled: self.enabled,
        })
    }
}

fn check_key(key: Option<&str>) -> anyhow::Result<()> {
    if let Some(key) = key {
        JiweiKey::new(key).context("jiwei.key")?;
    }
    Ok(())
}

fn key_of(
    clear: Option<String>,
    sealed: Option<Sealed>,
    known: Option<&Sealed>,
    key: &ClusterKey,
) -> anyhow::Result<Sealed> {
    if let Some(sealed) = sealed {
        key.open(Purpose::Jiwei, &sealed)?;
        return Ok(sealed);
    }
    let Some(clear) = clear else {
        return match known {
            Some(known) => Ok(known.clone()),
            None => bail!("jiwei: 须给出 key，16 个字符 (needs a key of 16 characters)"),
        };
    };
    // Sealing differs each time: the same key must not look like a new one.
    if let Some(known) = known
        && key.open(Purpose::Jiwei, known)?.as_slice() == clear.as_bytes()
    {
        return Ok(known.clone());
    }
    Ok(key.seal(Purpose::Jiwei, clear.as_bytes())?)
}

/// R11: where an address stands for an app, it stands for one.
pub(super) fn one_app_each(registry: &Registry, file: &RegistryFile) -> anyhow::Result<()> {
    let replaced = |id| file.apps.iter().any(|entry| entry.id == id);
    let kept = registry.apps.values();
    let kept = kept.filter(|app| !replaced(app.id.clone()));
    let kept = kept.filter_map(|app| Some((&app.id, &app.jiwei.as_ref()?.addresses)));
    let new = file.apps.iter();
    let new = new.filter_map(|app| Some((&app.id, &app.jiwei.as_ref()?.addresses)));
    let mut seen = std::collections::BTreeMap::new();
    for (id, addresses) in kept.chain(new) {
        for address in addresses {
            if let Some(other) = seen.insert(address, id) {
                bail!(
                    "应用 {other} 与 {id} 的 jiwei.addresses 都有 {address}，无从分辨，请改正 (apps {other} and {id} both call from {address})"
                );
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::super::export;
    use super::super::import::plan;
    use super::*;
    use yingku_core::event::FORMS_SINCE_RULES;
    use yingku_core::ids::{AppId, HisId};

    const KEY: &str = "0123456789abcdef";

    fn cluster_key() -> ClusterKey {
        ClusterKey::from_hex(&"ab".repeat(32)).unwrap()
    }

    fn file(app: &str, his: &str) -> anyhow::Result<RegistryFile> {
        RegistryFile::parse(&format!(
            "[[hospital]]\ncode = \"1\"\nname = \"甲\"\n\
             [[app]]\nid = \"pacs\"\nlicense = \"x\"\norg = \"1\"\nrights = [\"push\"]\nhospitals = [\"1\"]\n{app}\n\
             [[his]]\nid = \"jw\"\nhospitals = [\"1\"]\n{his}\n"
        ))
    }

    fn whole() -> RegistryFile {
        let app = format!("[app.jiwei]\nkey = \"{KEY}\"\naddresses = [\"::ffff:192.0.2.1\"]");
        let his = format!(
            "[his.jiwei]\nurl = \"https://jw.example/apply\"\nkey = \"{KEY}\"\ncarrier = \"jsonParam\""
        );
        file(&app, &his).unwrap()
    }

    fn active() -> Registry {
        Registry {
            rules: FORMS_SINCE_RULES,
            ..Registry::default()
        }
    }

    fn imported(registry: &Registry, file: RegistryFile) -> anyhow::Result<(Registry, usize)> {
        let (changes, report) = plan(registry, &cluster_key(), file, 1)?;
        let mut next = registry.clone();
        changes.into_iter().for_each(|change| next.apply(change));
        Ok((next, report.unchanged))
    }

    fn key_in(sealed: &Sealed) -> Vec<u8> {
        cluster_key().open(Purpose::Jiwei, sealed).unwrap().to_vec()
    }

    #[test]
    fn settings_are_sealed_and_come_back_from_an_export() {
        let (registry, _) = imported(&active(), whole()).unwrap();
        let app = registry.apps[&AppId::new("pacs").unwrap()]
            .jiwei
            .clone()
            .unwrap();
        assert_eq!(key_in(&app.key), KEY.as_bytes());
        assert!(app.addresses.contains(&"192.0.2.1".parse().unwrap()));
        let his = registry.his[&HisId::new("jw").unwrap()]
            .jiwei
            .clone()
            .unwrap();
        assert_eq!(key_in(&his.key), KEY.as_bytes());
        assert_eq!((his.carrier, his.enabled), (Carrier::JsonParam, true));
        // The same file, and an export with or without the keys, change nothing; none shows a key
        for text in [
            export(&registry, false).unwrap(),
            export(&registry, true).unwrap(),
        ] {
            assert!(!text.contains(KEY), "{text}");
            let file = RegistryFile::parse(&text).unwrap();
            assert_eq!(imported(&registry, file).unwrap(), (registry.clone(), 4));
        }
        assert_eq!(imported(&registry, whole()).unwrap(), (registry.clone(), 3));
        // And a sealed one makes the same registry elsewhere
        let text = export(&registry, true).unwrap();
        let (copy, _) = imported(&active(), RegistryFile::parse(&text).unwrap()).unwrap();
        assert_eq!((copy.apps, copy.his), (registry.apps, registry.his));
    }

    #[test]
    fn an_app_without_it_is_registered_in_the_bytes_of_earlier_releases() {
        let (registry, _) = imported(&active(), file("", "license = \"y\"").unwrap()).unwrap();
        let text = serde_json::to_string(&registry).unwrap();
        assert!(!text.contains("jiwei"), "{text}");
    }

    #[test]
    fn it_waits_for_the_rules_that_know_it() {
        let app = format!("[app.jiwei]\nkey = \"{KEY}\"");
        let text = format!(
            "[[hospital]]\ncode = \"1\"\nname = \"甲\"\n[[app]]\nid = \"pacs\"\nlicense = \"x\"\norg = \"1\"\nrights = [\"push\"]\nhospitals = [\"1\"]\n{app}"
        );
        let earlier = Registry {
            rules: FORMS_SINCE_RULES - 1,
            ..Registry::default()
        };
        let parsed = || RegistryFile::parse(&text).unwrap();
        let error = imported(&earlier, parsed()).err().unwrap();
        assert!(format!("{error:#}").contains("activate-rules"), "{error:#}");
        imported(&active(), parsed()).unwrap();
    }

    #[test]
    fn a_his_that_is_only_asked_needs_no_license_and_none_fits_it() {
        let (registry, _) = imported(&active(), whole()).unwrap();
        let license = &registry.his[&HisId::new("jw").unwrap()].license;
        let secret = cluster_key().open(Purpose::License, license).unwrap();
        assert!(secret.len() >= 32);
        let error = imported(&active(), file("", "").unwrap()).err().unwrap();
        assert!(format!("{error:#}").contains("license"));
    }

    #[test]
    fn what_is_wrong_is_named_and_no_key_shown() {
        let key = |key: &str| format!("key = \"{key}\"");
        let his = |url: &str, key: &str| format!("[his.jiwei]\nurl = \"{url}\"\n{key}");
        let url = "http://127.0.0.1:1/";
        for (app, his, named) in [
            (
                "[app.jiwei]\nkey = \"0123456789abcde\"".to_owned(),
                String::new(),
                "15",
            ),
            (String::new(), his(url, &key("0123456789abcdef0")), "17"),
            (String::new(), his("ftp://h/", &key(KEY)), "jiwei.url"),
            (String::new(), his(url, "colour = 1"), "colour"),
        ] {
            let error = format!("{:#}", file(&app, &his).err().unwrap());
            assert!(
                error.contains(named) && !error.contains("0123456789"),
                "{error}"
            );
        }
        let without = file("[app.jiwei]", &his(url, &key(KEY))).unwrap();
        let error = format!("{:#}", imported(&active(), without).err().unwrap());
        assert!(
            error.contains("app pacs") && error.contains("key"),
            "{error}"
        );
    }

    #[test]
    fn two_apps_do_not_call_from_one_address() {
        let (registry, _) = imported(&active(), whole()).unwrap();
        let other = |address: &str| {
            RegistryFile::parse(&format!(
                "[[app]]\nid = \"other\"\nlicense = \"x\"\norg = \"1\"\nrights = [\"push\"]\nhospitals = [\"1\"]\n[app.jiwei]\nkey = \"{KEY}\"\naddresses = [\"{address}\"]"
            ))
            .unwrap()
        };
        let error = format!(
            "{:#}",
            imported(&registry, other("192.0.2.1")).err().unwrap()
        );
        assert!(error.contains("pacs") && error.contains("other"), "{error}");
        imported(&registry, other("192.0.2.2")).unwrap();
    }
}
