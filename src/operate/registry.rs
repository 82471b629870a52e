//! Hospitals, apps and peers.

use anyhow::Context;
use yingku_core::ids::AppId;
use yingku_core::registry::{AppJiwei, Registry, Right, Scope};
use yingku_storage::archive::Archive;
use yingku_storage::keys::PublicKeyForms;

use super::ACTOR;
use crate::control::Output;
use crate::registry::{self, RegistryFile};
use crate::table::Table;

pub async fn import_file(archive: &Archive, toml: &str, output: &Output) -> anyhow::Result<bool> {
    let file = RegistryFile::parse(toml)?;
    let report = registry::import(archive, file, ACTOR).await?;
    registry::write_public_keys(archive)?;
    for name in &report.added {
        output.line(format!("已新增 (added): {name}")).await?;
    }
    for name in &report.changed {
        output.line(format!("已更新 (changed): {name}")).await?;
    }
    output
        .line(format!("未变 (unchanged): {}", report.unchanged))
        .await?;
    Ok(true)
}

pub async fn export(archive: &Archive, sealed: bool, output: &Output) -> anyhow::Result<bool> {
    output
        .line(registry::export(&archive.registry(), sealed)?)
        .await?;
    Ok(true)
}

pub async fn remove_entry(
    archive: &Archive,
    kind: &str,
    name: &str,
    output: &Output,
) -> anyhow::Result<bool> {
    registry::remove(archive, kind, name, ACTOR).await?;
    output
        .line(format!("已移除 (removed): {kind} {name}"))
        .await?;
    Ok(true)
}

pub async fn show(archive: &Archive, output: &Output) -> anyhow::Result<bool> {
    let registry = archive.registry();
    output.line(hospitals(&registry).render()).await?;
    output.line(app_table(&registry).render()).await?;
    output.line(peers(&registry).render()).await?;
    if registry.hospitals.values().any(|it| it.gateway.is_some()) {
        output.line(gateways(&registry).render()).await?;
    }
    if registry.hospitals.values().any(|it| !it.clinic.is_empty()) {
        output.line(clinics(&registry).render()).await?;
    }
    if !registry.his.is_empty() {
        output.line(his_table(&registry).render()).await?;
    }
    let settings = &registry.settings;
    output
        .line(format!(
            "时区 (time zone): {}   检查类型别名 (class aliases): {}   申请单占位 (placeholders): {}   保存规则 (retention rules): {}",
            settings.time_zone,
            settings.class_aliases.iter().count(),
            settings.placeholder_apply_nos.iter().count(),
            settings.retention.len(),
        ))
        .await?;
    Ok(true)
}

pub async fn apps(archive: &Archive, output: &Output) -> anyhow::Result<bool> {
    output.line(app_table(&archive.registry()).render()).await?;
    Ok(true)
}

/// An app's public key, as its vendor's platform takes it.
pub async fn key(archive: &Archive, app: &str, output: &Output) -> anyhow::Result<bool> {
    let registry = archive.registry();
    let known = AppId::new(app)
        .ok()
        .and_then(|id| registry.apps.get(&id))
        .with_context(|| format!("没有登记应用 {app} (is not registered)"))?;
    let forms = PublicKeyForms::of(&known.public_key)?;
    for (title, text) in [
        ("PEM (OpenSSL, Python)", &forms.pem),
        ("Base64 DER (Java)", &forms.der_base64),
        ("XML (.NET)", &forms.xml),
    ] {
        output
            .line(format!("{title}:\n{}\n", text.trim_end()))
            .await?;
    }
    Ok(true)
}

fn hospitals(registry: &Registry) -> Table {
    let mut table = Table::new([
        "医院代码",
        "名称",
        "医院ID",
        "基卫",
        "状态",
        "比对",
        "暂存天数",
    ]);
    for it in registry.hospitals.values() {
        table.row([
            it.code.to_string(),
            it.name.clone(),
            it.prefix.clone().unwrap_or_default(),
            it.yyid00.clone().unwrap_or_default(),
            word(&it.mode),
            word(&it.matching),
            it.hold_days
                .map(|days| days.to_string())
                .unwrap_or_default(),
        ]);
    }
    table
}

fn gateways(registry: &Registry) -> Table {
    let mut table = Table::new([
        "医院",
        "影像",
        "网关",
        "我方 AE",
        "方式",
        "连接数",
        "MB/s",
        "时段",
        "夜查",
        "启用",
    ]);
    let yes = |is: bool| if is { "是" } else { "否" }.to_owned();
    for it in registry.hospitals.values() {
        let Some(gateway) = &it.gateway else { continue };
        let hours: Vec<String> = gateway.hours.iter().map(ToString::to_string).collect();
        let speed = gateway.megabytes_per_second.map(|it| it.to_string());
        table.row([
            it.code.to_string(),
            word(&it.images),
            format!("{}@{}:{}", gateway.ae, gateway.host, gateway.port),
            gateway
                .calling_ae
                .as_ref()
                .map(ToString::to_string)
                .unwrap_or_default(),
            word(&gateway.method),
            gateway.associations.to_string(),
            speed.unwrap_or_default(),
            hours.join(" "),
            yes(gateway.sweep),
            yes(gateway.enabled),
        ]);
    }
    table
}

/// From where the clinic page opens without a link, and whose pages may embed it.
fn clinics(registry: &Registry) -> Table {
    let mut table = Table::new(["医院", "可调阅地址", "可嵌入页面"]);
    for it in registry
        .hospitals
        .values()
        .filter(|it| !it.clinic.is_empty())
    {
        let addresses: Vec<String> = it
            .clinic
            .addresses
            .iter()
            .map(ToString::to_string)
            .collect();
        let embed: Vec<&str> = it
            .clinic
            .embed
            .iter()
            .map(|origin| origin.as_str())
            .collect();
        table.row([it.code.to_string(), addresses.join(" "), embed.join(" ")]);
    }
    table
}

fn app_table(registry: &Registry) -> Table {
    let mut table = Table::new(["应用", "机构", "权限", "医院", "启用", "令牌代", "基卫查询"]);
    for it in registry.apps.values() {
        let rights: Vec<String> = it.rights.iter().map(word::<Right>).collect();
        table.row([
            it.id.to_string(),
            it.org.to_string(),
            rights.join(" "),
            scope(&it.hospitals),
            if it.enabled { "是" } else { "否" }.to_owned(),
            it.epoch.to_string(),
            it.jiwei.as_ref().map(may_ask).unwrap_or_default(),
        ]);
    }
    table
}

/// From where an app may ask for forms.
fn may_ask(jiwei: &AppJiwei) -> String {
    let addresses: Vec<String> = jiwei.addresses.iter().map(ToString::to_string).collect();
    match addresses.is_empty() {
        true => "不限地址".to_owned(),
        false => addresses.join(" "),
    }
}

fn peers(registry: &Registry) -> Table {
    let mut table = Table::new(["AE", "主机", "端口", "可来自", "服务", "医院"]);
    for it in registry.peers.values() {
        let services: Vec<String> = it.services.iter().map(word).collect();
        let addresses: Vec<String> = it.addresses.iter().map(ToString::to_string).collect();
        table.row([
            it.ae.to_string(),
            it.host.clone(),
            it.port.to_string(),
            addresses.join(" "),
            services.join(" "),
            scope(&it.hospitals),
        ]);
    }
    table
}

fn his_table(registry: &Registry) -> Table {
    let mut table = Table::new(["HIS", "医院", "启用", "状态回传", "通知", "基卫"]);
    let yes = |is: bool| if is { "是" } else { "否" }.to_owned();
    for it in registry.his.values() {
        let (url, statuses) = match &it.receiver {
            Some(receiver) if receiver.enabled => {
                let codes = receiver.statuses.iter().map(|status| status.code());
                (receiver.url.clone(), codes.collect::<Vec<_>>().join(" "))
            }
            Some(_) => ("停用".to_owned(), String::new()),
            None => Default::default(),
        };
        table.row([
            it.id.to_string(),
            scope(&it.hospitals),
            yes(it.enabled),
            url,
            statuses,
            match &it.jiwei {
                Some(jiwei) if jiwei.enabled => jiwei.url.clone(),
                Some(_) => "停用".to_owned(),
                None => String::new(),
            },
        ]);
    }
    table
}

fn scope(scope: &Scope) -> String {
    scope.codes().collect::<Vec<_>>().join(" ")
}

/// The word that a registry file has for it.
fn word<T: serde::Serialize>(value: &T) -> String {
    match serde_json::to_value(value) {
        Ok(serde_json::Value::String(word)) => word,
        _ => String::new(),
    }
}
