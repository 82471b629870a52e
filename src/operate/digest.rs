//! The vendor's error digest: what an app's requests were refused for, the last 30 days.

use yingku_core::ids::{AeTitle, AppId, HisId};
use yingku_core::registry::Registry;
use yingku_core::time::{LocalDateTime, Zone};
use yingku_storage::archive::Archive;

use crate::control::Output;
use crate::table::Table;

pub async fn errors(archive: &Archive, app: &str, output: &Output) -> anyhow::Result<bool> {
    // A DICOM peer's are asked for as `ae:TITLE`, a HIS's as `his:ID`.
    let source = if app.contains(':') {
        app.to_owned()
    } else {
        format!("app:{app}")
    };
    let lines = archive.errors().lines(&source)?;
    if lines.is_empty() {
        ensure_known(&archive.registry(), &source)?;
        output
            .line(format!(
                "{source}: 30 天内没有被拒的请求 (no refused requests within 30 days)"
            ))
            .await?;
        return Ok(true);
    }
    let zone = Zone::named(&archive.registry().settings.time_zone).unwrap_or_default();
    let mut table = Table::new(["最近", "次数", "医院", "操作", "规则", "字段", "例", "原因"]);
    for line in lines {
        let last = LocalDateTime::from_unix_ms(line.last_ms, &zone);
        table.row([
            last.map(|time| time.to_string()).unwrap_or_default(),
            line.count.to_string(),
            line.hospital,
            line.key.operation,
            line.key.rule,
            line.key.path,
            line.example,
            line.reason,
        ]);
    }
    output.line(table.render()).await?;
    Ok(true)
}

/// What was removed may have left lines; a name that has none and never was one is mistyped.
fn ensure_known(registry: &Registry, source: &str) -> anyhow::Result<()> {
    let (known, what) = match source.split_once(':') {
        Some(("app", id)) => {
            let id = AppId::new(id);
            (id.is_ok_and(|id| registry.apps.contains_key(&id)), "应用")
        }
        Some(("ae", title)) => {
            let ae = AeTitle::new(title);
            let known = ae.is_ok_and(|ae| registry.peers.contains_key(&ae));
            (known, "DICOM 节点")
        }
        Some(("his", id)) => {
            let id = HisId::new(id);
            (id.is_ok_and(|id| registry.his.contains_key(&id)), "HIS")
        }
        _ => (true, ""),
    };
    anyhow::ensure!(known, "没有登记{what} {source} (is not registered)");
    Ok(())
}
