//! The form of a registry file. `deploy/registry.toml` explains it key by key.

use std::collections::BTreeSet;

use anyhow::Context;
use serde::{Deserialize, Serialize};
use url::Url;
use yingku_core::contract::fields::EXAM_PUSH;
use yingku_core::dictionaries::EXAM_CLASS;
use yingku_core::ids::{AeTitle, AppId, HisId, HospitalCode};
use yingku_core::national_index::CreditCode;
use yingku_core::registry::{
    App, EnvelopeShape, GATEWAY_ASSOCIATIONS_LIMIT, His, Hospital, HttpStatus, ID_TYPE_LIMIT,
    ImageWay, Peer, RULES_LIMIT, Receiver, Registry, ResultShape, RetentionRule, Right,
    SHORTEST_MONTHS, Scope, Sealed, Settings, StatusType, default_time_window_minutes,
};
use yingku_core::time::Zone;

use super::jiwei::{AppJiweiEntry, HisJiweiEntry};

/// `Header/License` may have so many characters (R13).
const LICENSE_LIMIT: usize = 64;

/// Longest name of a retention rule, in characters.
const RULE_NAME_LIMIT: usize = 64;

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
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub his: Vec<HisEntry>,
}

/// A HIS; its license in clear, or sealed as another node with the same cluster key exported it.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HisEntry {
    pub id: HisId,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub license: Option<String>,
    pub hospitals: Scope,
    #[serde(default = "enabled")]
    pub enabled: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sealed_license: Option<Sealed>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub receiver: Option<Receiver>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jiwei: Option<HisJiweiEntry>,
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
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jiwei: Option<AppJiweiEntry>,
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
            check_lengths(hospital)?;
            if let Some(code) = &mut hospital.credit_code {
                *code = CreditCode::new(code.as_str())
                    .with_context(|| format!("hospital {}: credit_code", hospital.code))?;
            }
            check_gateway(hospital).with_context(|| format!("hospital {}", hospital.code))?;
            let clinic = hospital.clinic.check();
            clinic.with_context(|| format!("hospital {}: clinic", hospital.code))?;
        }
        for app in &mut self.apps {
            let named = format!("app {:?}", app.id.as_str());
            app.id = AppId::new(&app.id).with_context(|| named.clone())?;
            app.org = HospitalCode::new(&app.org).with_context(|| named.clone())?;
            check_scope(&app.hospitals).with_context(|| named.clone())?;
            if let Some(license) = &app.license {
                check_license(license).with_context(|| named.clone())?;
            }
            if let Some(jiwei) = &mut app.jiwei {
                jiwei.check().with_context(|| named.clone())?;
            }
            anyhow::ensure!(
                app.time_window_minutes > 0,
                "{named}: time_window_minutes 至少为 1，否则没有 sign 合时 (must be 1 at least, or no sign is in time)"
            );
        }
        for peer in &mut self.peers {
            let named = format!("peer {:?}", peer.ae.as_str());
            peer.ae = AeTitle::new(&peer.ae).with_context(|| named.clone())?;
            check_scope(&peer.hospitals).with_context(|| named.clone())?;
            anyhow::ensure!(
                !peer.host.trim().is_empty() && peer.port > 0,
                "{named}: host 与 port 须为对方的地址，空与 0 无法送达；只存不取的设备也请填写 (host and port must be its address, not empty and 0)"
            );
        }
        if let Some(settings) = &self.settings {
            Zone::named(&settings.time_zone).with_context(|| {
                format!(
                    "settings.time_zone {:?}: 不是 IANA 时区名 (no IANA name)",
                    settings.time_zone
                )
            })?;
            for (text, code) in settings.class_aliases.iter() {
                anyhow::ensure!(
                    EXAM_CLASS.contains(code),
                    "settings.class_aliases {text:?} = {code:?}: 检查类别字典中没有此代码 (no code of the dictionary of classes)"
                );
            }
        }
        for his in &mut self.his {
            let named = format!("his {:?}", his.id.as_str());
            his.id = HisId::new(&his.id).with_context(|| named.clone())?;
            check_his(his).with_context(|| named)?;
        }
        if let Some(settings) = &self.settings {
            check_retention(&settings.retention)?;
            check_image_url(settings)?;
            check_national_index(settings)?;
        }
        once("hospital", self.hospitals.iter().map(|it| it.code.as_str()))?;
        once("app", self.apps.iter().map(|it| it.id.as_str()))?;
        once("peer", self.peers.iter().map(|it| it.ae.as_str()))?;
        once("his", self.his.iter().map(|it| it.id.as_str()))
    }
}

fn check_gateway(hospital: &Hospital) -> anyhow::Result<()> {
    let Some(gateway) = &hospital.gateway else {
        anyhow::ensure!(
            hospital.images != ImageWay::Pull,
            "images = \"pull\" 须有 [hospital.gateway] (needs a gateway)"
        );
        return Ok(());
    };
    let is_address = !gateway.host.trim().is_empty() && gateway.host.trim() == gateway.host;
    anyhow::ensure!(
        is_address && gateway.port > 0,
        "gateway.host 与 gateway.port 须为网关的地址 (must be the gateway's address)"
    );
    for (key, ae) in [
        ("ae", Some(&gateway.ae)),
        ("calling_ae", gateway.calling_ae.as_ref()),
    ] {
        if let Some(ae) = ae {
            let same = AeTitle::new(ae).with_context(|| format!("gateway.{key}"))?;
            anyhow::ensure!(
                same == *ae,
                "gateway.{key} {:?} 首尾不能有空格 (must have no blanks at its ends)",
                ae.as_str()
            );
        }
    }
    anyhow::ensure!(
        (1..=GATEWAY_ASSOCIATIONS_LIMIT).contains(&gateway.associations),
        "gateway.associations 须为 1 至 {GATEWAY_ASSOCIATIONS_LIMIT} (must be 1 to {GATEWAY_ASSOCIATIONS_LIMIT})"
    );
    anyhow::ensure!(
        gateway.megabytes_per_second != Some(0),
        "gateway.megabytes_per_second 至少为 1；不限请省略 (must be 1 at least; leave it out for no limit)"
    );
    Ok(())
}

fn check_his(his: &HisEntry) -> anyhow::Result<()> {
    check_scope(&his.hospitals)?;
    if let Some(license) = &his.license {
        let count = license.chars().count();
        anyhow::ensure!(
            license.trim() == license && (1..=LICENSE_LIMIT).contains(&count),
            "license 须为 1 至 {LICENSE_LIMIT} 字，首尾无空格 (must have 1 to {LICENSE_LIMIT} characters, and no blanks at its ends)"
        );
    }
    if let Some(jiwei) = &his.jiwei {
        jiwei.check()?;
    }
    let Some(receiver) = &his.receiver else {
        return Ok(());
    };
    let url = Url::parse(&receiver.url).context("receiver.url")?;
    anyhow::ensure!(
        matches!(url.scheme(), "http" | "https") && url.has_host(),
        "receiver.url 须为 http:// 或 https:// 地址 (must be an http or https address)"
    );
    for (key, name) in [
        ("operation", &receiver.operation),
        ("parameter", &receiver.parameter),
    ] {
        let mut characters = name.chars();
        let begins = characters
            .next()
            .is_some_and(|c| c.is_alphabetic() || c == '_');
        let is_name = characters.all(|c| c.is_alphanumeric() || matches!(c, '_' | '-' | '.'));
        anyhow::ensure!(
            begins && is_name,
            "receiver.{key} {name:?} 不是 XML 元素名 (is no name of an XML element)"
        );
    }
    // It stands between quotes in a header.
    let is_action = |c: char| c.is_ascii_graphic() && !matches!(c, '"' | '\\');
    anyhow::ensure!(
        receiver.action.chars().all(is_action),
        "receiver.action {:?} 只能有 ASCII 可见字符，不含引号与反斜杠 (must be visible ASCII without quotes and backslashes)",
        receiver.action
    );
    Ok(())
}

fn check_image_url(settings: &Settings) -> anyhow::Result<()> {
    let Some(image_url) = &settings.image_url else {
        return Ok(());
    };
    let pattern = &image_url.pattern;
    let unknown = yingku_core::registry::unknown_place_of(pattern);
    anyhow::ensure!(
        unknown.is_none(),
        "settings.image_url.pattern: 不认识的占位 {{{}}} (is no place that is known)",
        unknown.unwrap_or_default()
    );
    anyhow::ensure!(
        pattern.starts_with("http://") || pattern.starts_with("https://"),
        "settings.image_url.pattern 须为 http:// 或 https:// 地址 (must be an http or https address)"
    );
    Ok(())
}

fn check_national_index(settings: &Settings) -> anyhow::Result<()> {
    let Some(index) = &settings.national_index else {
        return Ok(());
    };
    let id_type = &index.person_id_type;
    let is_code = id_type.bytes().all(|b| b.is_ascii_alphanumeric());
    anyhow::ensure!(
        is_code && (1..=ID_TYPE_LIMIT).contains(&id_type.len()),
        "settings.national_index.person_id_type 须为 1 至 {ID_TYPE_LIMIT} 位数字或字母 (must be 1 to {ID_TYPE_LIMIT} digits or letters)"
    );
    Ok(())
}

/// A rule that deletes too soon cannot be taken back.
fn check_retention(rules: &[RetentionRule]) -> anyhow::Result<()> {
    anyhow::ensure!(
        rules.len() <= RULES_LIMIT,
        "settings.retention: 至多 {RULES_LIMIT} 条 (rules at most)"
    );
    for rule in rules {
        let named = format!("settings.retention {:?}", rule.name);
        anyhow::ensure!(
            !rule.name.trim().is_empty() && rule.name.chars().count() <= RULE_NAME_LIMIT,
            "{named}: name 须为 1 至 {RULE_NAME_LIMIT} 字 (must have 1 to {RULE_NAME_LIMIT} characters)"
        );
        check_scope(&rule.hospitals).with_context(|| named.clone())?;
        if let Some(months) = rule.delete_after_months {
            anyhow::ensure!(
                months >= SHORTEST_MONTHS,
                "{named}: delete_after_months 至少 {SHORTEST_MONTHS} 个月 (at least {SHORTEST_MONTHS})"
            );
        }
        let cold = rule.cold_after_months.filter(|cold| {
            let delete = rule.delete_after_months;
            *cold == 0 || delete.is_some_and(|delete| *cold >= delete)
        });
        anyhow::ensure!(
            cold.is_none(),
            "{named}: cold_after_months 须大于 0 且早于删除 (must be more than 0, and before they are deleted)"
        );
    }
    once(
        "settings.retention",
        rules.iter().map(|rule| rule.name.as_str()),
    )
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

/// A license as a sign can hold it: its plaintext is parts between commas, and blanks around a part say nothing.
fn check_license(license: &str) -> anyhow::Result<()> {
    anyhow::ensure!(!license.is_empty(), "license 不能为空 (must not be empty)");
    anyhow::ensure!(
        license.trim() == license && !license.contains([',', '，']),
        "license 不能含逗号，首尾不能有空格，否则没有 sign 能与之相符 (must have no comma, and no blanks at its ends: no sign would match it)"
    );
    Ok(())
}

/// Every length rule that is named must be a field's of a push, or of some below a `*`.
fn check_lengths(hospital: &Hospital) -> anyhow::Result<()> {
    let mut paths = Vec::new();
    EXAM_PUSH.walk(&mut |field| paths.push(field.path.clone()));
    for pattern in hospital.validation.length.keys() {
        let fits = match pattern.strip_suffix('*') {
            Some(prefix) => paths.iter().any(|path| path.starts_with(prefix)),
            None => paths.contains(pattern),
        };
        anyhow::ensure!(
            fits,
            "hospital {}: validation.length {pattern:?} 不是推送中任何字段的路径 (no field of a push has this path)",
            hospital.code
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
        jiwei: app.jiwei.as_ref().map(|it| AppJiweiEntry::of(it, sealed)),
    };
    let file = RegistryFile {
        settings: Some(registry.settings.clone()),
        hospitals: registry.hospitals.values().cloned().collect(),
        apps: registry.apps.values().map(entry).collect(),
        peers: registry.peers.values().cloned().collect(),
        his: registry
            .his
            .values()
            .map(|his| his_entry(his, sealed))
            .collect(),
    };
    Ok(toml::to_string(&file)?)
}

fn his_entry(his: &His, sealed: bool) -> HisEntry {
    HisEntry {
        id: his.id.clone(),
        license: None,
        hospitals: his.hospitals.clone(),
        enabled: his.enabled,
        sealed_license: sealed.then(|| his.license.clone()),
        receiver: his.receiver.clone(),
        jiwei: his.jiwei.as_ref().map(|it| HisJiweiEntry::of(it, sealed)),
    }
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
            (2, 3, 2)
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
        refused_by_name(&cases);
    }

    #[test]
    fn a_retention_rule_that_deletes_too_soon_or_says_two_things_is_refused() {
        let rules = |bodies: &[&str]| {
            let rules = bodies
                .iter()
                .map(|body| format!("[[settings.retention]]\n{body}\n"));
            format!("[settings]\n{}", rules.collect::<String>())
        };
        let months = |delete, cold| {
            format!("name = \"a\"\ndelete_after_months = {delete}\ncold_after_months = {cold}")
        };
        RegistryFile::parse(&rules(&[&months(12, 6), "name = \"b\""])).unwrap();
        let too_soon = rules(&[&months(11, 6)]);
        let cold_too_late = rules(&[&months(12, 12)]);
        let twice = rules(&["name = \"a\"", "name = \"a\""]);
        let unnamed = rules(&["name = \" \""]);
        let unknown = rules(&["name = \"a\"\ndelete_after_years = 5"]);
        refused_by_name(&[
            (&too_soon, "delete_after_months"),
            (&cold_too_late, "cold_after_months"),
            (&twice, "twice"),
            (&unnamed, "name"),
            (&unknown, "delete_after_years"),
        ]);
    }

    #[test]
    fn an_entry_that_could_never_work_is_named() {
        let app = |more: &str| {
            format!(
                "[[app]]\nid = \"vendor\"\norg = \"1\"\nrights = [\"push\"]\nhospitals = [\"1\"]\n{more}"
            )
        };
        let peer = |more: &str| format!("[[peer]]\nae = \"CT\"\n{more}");
        let length = |path: &str| {
            format!(
                "[[hospital]]\ncode = \"350008\"\nname = \"a\"\n[hospital.validation]\nlength = {{ \"{path}\" = \"warn\" }}"
            )
        };
        let receiver = |more: &str| {
            format!(
                "[[his]]\nid = \"his\"\nlicense = \"a\"\nhospitals = [\"1\"]\n[his.receiver]\nurl = \"http://h/\"\n{more}"
            )
        };
        let alias = |code: &str| format!("[settings.class_aliases]\n\"骨密度\" = \"{code}\"");
        for (text, named) in [
            (app("license = \"a,b\""), "vendor"),
            (app("license = \"a，b\""), "vendor"),
            (app("license = \" a\""), "vendor"),
            (
                app("license = \"a\"\ntime_window_minutes = 0"),
                "time_window_minutes",
            ),
            (peer("host = \" \"\nport = 104"), "CT"),
            (peer("host = \"h\"\nport = 0"), "CT"),
            (alias("NOPE"), "骨密度"),
            (length("reportList[].nope"), "reportList[].nope"),
            (receiver("action = \"urn:a\\\"b\""), "receiver.action"),
            (receiver("action = \"状态\""), "receiver.action"),
            (receiver("parameter = \"1st\""), "receiver.parameter"),
            (length("reportList[].nope*"), "reportList[].nope*"),
        ] {
            refused_by_name(&[(&text, named)]);
        }
        for text in [
            app("license = \"a b\"\ntime_window_minutes = 1"),
            peer("host = \"h\"\nport = 104"),
            alias("X-Ray"),
            receiver("action = \"http://tempuri.org/SynStatusInfo\"\nqualified = true"),
            length("reportList[].*"),
            length("examInfo.examItemList[].itemName"),
            length("*"),
        ] {
            RegistryFile::parse(&text).unwrap();
        }
    }

    #[test]
    fn a_gateway_that_could_not_be_asked_is_named() {
        let hospital = |more: &str| format!("[[hospital]]\ncode = \"1\"\nname = \"a\"\n{more}");
        let gateway = |more: &str| {
            let gateway = "[hospital.gateway]\nae = \"GATE\"\n";
            hospital(&format!("images = \"pull\"\n{gateway}{more}"))
        };
        RegistryFile::parse(&gateway("host = \"h\"\nport = 104")).unwrap();
        RegistryFile::parse(&hospital("images = \"link\"")).unwrap();
        for (more, named) in [
            ("host = \"\"\nport = 104", "gateway.host"),
            ("host = \"h\"\nport = 0", "gateway.port"),
            ("host = \"h\"\nport = 1\nassociations = 0", "associations"),
            ("host = \"h\"\nport = 1\nassociations = 9", "associations"),
            (
                "host = \"h\"\nport = 1\nmegabytes_per_second = 0",
                "megabytes",
            ),
            ("host = \"h\"\nport = 1\nhours = [\"19-7\"]", "19-7"),
            ("host = \"h\"\nport = 1\ncalling_ae = \" A\"", "calling_ae"),
            ("host = \"h\"\nport = 1\nspeed = 1", "speed"),
        ] {
            refused_by_name(&[(&gateway(more), named)]);
        }
        refused_by_name(&[(&hospital("images = \"pull\""), "gateway")]);
    }

    #[test]
    fn who_opens_the_clinic_page_is_written_so_that_it_means_one_thing() {
        let clinic = |more: &str| {
            format!("[[hospital]]\ncode = \"1\"\nname = \"a\"\n[hospital.clinic]\n{more}")
        };
        RegistryFile::parse(&clinic("addresses = [\"10.35.0.0/16\", \"::1\"]")).unwrap();
        let many: Vec<String> = (0..257)
            .map(|n| format!("\"10.0.{}.{}\"", n / 256, n % 256))
            .collect();
        let many = format!("addresses = [{}]", many.join(","));
        for (more, named) in [
            ("addresses = [\"10.35.0.1/16\"]", "10.35.0.0/16"),
            ("addresses = [\"0.0.0.0/0\"]", "0.0.0.0/0"),
            ("addresses = [\"his.example\"]", "his.example"),
            (
                "embed = [\"http://his.example/page\"]",
                "http://his.example/page",
            ),
            ("networks = []", "networks"),
            (&many, "addresses"),
        ] {
            refused_by_name(&[(&clinic(more), named)]);
        }
    }

    fn refused_by_name(cases: &[(&str, &str)]) {
        for (text, named) in cases {
            let error = RegistryFile::parse(text).err().unwrap();
            assert!(format!("{error:#}").contains(named), "{error:#}");
        }
    }
}
