//! Where the archive stands, whether every byte is as it was written, and making the views anew.

use std::collections::BTreeSet;
use std::ops::Range;

use yingku_core::event::RULES_VERSION;
use yingku_core::ids::{PackId, Position};
use yingku_storage::archive::{Archive, Copies};
use yingku_storage::log::EventLog;
use yingku_storage::packs::{ObjectsHealth, PackError, VerifyReport};
use yingku_storage::views::ViewsError;

use super::notices;
use crate::RELEASE;
use crate::control::Output;

/// Records and bytes that are read at once.
const READ_RECORDS: usize = 1_024;
const READ_BYTES: usize = 8 << 20;

pub async fn status(archive: &Archive, output: &Output) -> anyhow::Result<bool> {
    let health = archive.health();
    let usage = archive.packs().usage()?;
    let registry = archive.registry();
    let state = |name: &str, problem: &Option<String>| match problem {
        Some(problem) => format!("{name}: {problem}"),
        None => format!("{name}: 正常 (ok)"),
    };
    let mut lines = vec![
        format!(
            "日志 (log): {} 条 (records); 视图至 (views at): {}",
            health.end, health.projected
        ),
        state("视图 (views)", &health.stopped),
        state("视图完好 (views intact)", &health.views_damaged),
        state("日志写入 (log writes)", &health.log_latched),
        state("日志连接 (log reachable)", &health.log_away),
        state("影像写入 (pack writes)", &health.packs_latched),
        state("空间 (space)", &health.full),
        format!(
            "影像包 (packs): {}; {} 字节 (bytes)",
            usage.packs, usage.bytes
        ),
        format!(
            "视图文件 (view files): {} 字节 (bytes)",
            archive.views().file_bytes()
        ),
        format!(
            "登记 (registry): 医院 {} 应用 {} DICOM 节点 {}",
            registry.hospitals.len(),
            registry.apps.len(),
            registry.peers.len(),
        ),
        format!(
            "规则版本 (rules): {} 已启用 (in force); 本版本 (this release) {RELEASE}: {RULES_VERSION}",
            registry.rules
        ),
    ];
    lines.extend(registry.nodes.values().map(|node| {
        let this = match node.number == archive.node() {
            true => " (本节点 this one)",
            false => "",
        };
        format!(
            "节点 (node) {}{this}: 版本 (release) {} {}",
            node.number, node.release, node.address
        )
    }));
    lines.extend(
        registry
            .leases
            .iter()
            .map(|(duty, lease)| format!("任务 (duty) {duty}: 节点 (node) {}", lease.node)),
    );
    lines.extend(
        archive
            .packs()
            .objects_health()
            .map(objects_lines)
            .into_iter()
            .flatten(),
    );
    lines.extend(notices::standing(archive)?);
    for line in lines {
        output.line(line).await?;
    }
    Ok(health.is_ready() && health.full.is_none())
}

fn objects_lines(objects: ObjectsHealth) -> [String; 2] {
    let state = objects.problem.unwrap_or_else(|| "正常 (ok)".to_owned());
    [
        format!("对象存储 (objects): {}: {state}", objects.location),
        format!(
            "待上传 (upload backlog): {} 包 (packs), {} 字节 (bytes); 本地 (local): {} 字节 (bytes)",
            objects.backlog_packs, objects.backlog_bytes, objects.local_bytes
        ),
    ]
}

pub async fn rebuild(archive: &Archive, output: &Output) -> anyhow::Result<bool> {
    output
        .note("正在重建视图，服务不停 (making new views while serving) …")
        .await?;
    let archive = archive.clone();
    let report = tokio::task::spawn_blocking(move || archive.rebuild()).await??;
    output
        .line(format!(
            "已重建 (rebuilt): {} 条 (records), {:.1} s, 摘要 (digest) {}",
            report.records,
            report.took.as_secs_f64(),
            hex(&report.digest)
        ))
        .await?;
    let same = match &report.replaced_digest {
        Some(replaced) if *replaced != report.digest => {
            output
                .line(format!(
                    "旧视图与新视图不同 (the old views differed): {}",
                    hex(replaced)
                ))
                .await?;
            false
        }
        _ => true,
    };
    Ok(same)
}

/// The digest of all rows as they are now, and the position that they are of.
pub async fn digest(archive: &Archive, output: &Output) -> anyhow::Result<bool> {
    let views = archive.views();
    let (cursor, digest) = tokio::task::spawn_blocking(move || {
        let frozen = views.freeze();
        Ok::<_, ViewsError>((frozen.cursor()?, frozen.digest()?))
    })
    .await??;
    let (position, digest) = (cursor.next, hex(&digest));
    output
        .line(format!(
            "位置 (position) {position}, 摘要 (digest) {digest}"
        ))
        .await?;
    Ok(true)
}

/// Puts a snapshot of the views into the object store.
pub async fn snapshot(archive: &Archive, output: &Output) -> anyhow::Result<bool> {
    let report = archive.snapshot().await?;
    output
        .line(format!(
            "快照 (snapshot): 位置 (position) {}, {} 个文件 (files), {} 字节 (bytes), {:.1} s",
            report.position,
            report.files,
            report.bytes,
            report.took.as_secs_f64()
        ))
        .await?;
    Ok(true)
}

/// As much of a digest as people compare.
fn hex(digest: &[u8; 32]) -> String {
    let head = digest.iter().take(8);
    head.map(|b| format!("{b:02x}")).collect()
}

/// Reads everything again: log, views, packs.
pub async fn verify(archive: &Archive, output: &Output) -> anyhow::Result<bool> {
    // What is on its way into the log is verified, too.
    archive.settle().await?;
    let (archive, output) = (archive.clone(), output.clone());
    tokio::task::spawn_blocking(move || {
        let log = verify_log(&**archive.log(), "日志 (log)", &output)?;
        let audit = verify_log(&**archive.audit_log(), "调阅日志 (audit log)", &output)?;
        let views = verify_views(&archive, &output)?;
        let packs = verify_packs(&archive, &output)?;
        let both = views && verify_log_against_packs(&archive, &output)?;
        Ok(log && audit && packs && both)
    })
    .await?
}

fn verify_log(log: &dyn EventLog, title: &str, output: &Output) -> anyhow::Result<bool> {
    let end = log.end()?;
    let mut next = Position(0);
    let mut bytes = 0u64;
    while next < end {
        match log.read(next, READ_RECORDS, READ_BYTES) {
            Ok(records) => {
                for record in records {
                    bytes += record.bytes.len() as u64;
                    next = record.position.next();
                }
            }
            Err(error) => {
                output.blocking_line(format!("{title}: 损坏 (damaged): {error}"))?;
                return Ok(false);
            }
        }
    }
    output.blocking_line(format!(
        "{title}: {end} 条 (records), {bytes} 字节 (bytes), 完好 (intact)"
    ))?;
    Ok(true)
}

fn verify_views(archive: &Archive, output: &Output) -> anyhow::Result<bool> {
    match archive.views().verify() {
        Ok(rows) => {
            output.blocking_line(format!("视图 (views): {rows} 行 (rows), 完好 (intact)"))?;
            Ok(true)
        }
        Err(error) => {
            output.blocking_line(format!(
                "视图 (views): 损坏 (damaged): {error}; 运行中的服务自动重建 (a serving archive makes them anew)"
            ))?;
            Ok(false)
        }
    }
}

/// Every instance of this node that the log tells of lies in a pack.
fn verify_log_against_packs(archive: &Archive, output: &Output) -> anyhow::Result<bool> {
    let views = archive.views();
    let (mut told, mut missing) = (0usize, 0usize);
    for pack in views.logged_packs(archive.node())? {
        let logged = views.logged_offsets(pack)?;
        told += logged.len();
        let found = match archive.packs().offsets(pack) {
            Ok(found) => found,
            Err(PackError::Missing { .. }) => BTreeSet::new(),
            Err(error) => {
                output.blocking_line(format!("影像包 (pack) {pack}: {error}"))?;
                BTreeSet::new()
            }
        };
        let lost = logged.difference(&found).count();
        if lost > 0 {
            missing += lost;
            output.blocking_line(format!(
                "影像包 (pack) {pack}: 日志所列影像缺 {lost} 份，共 {} 份 (of {} instances that the log tells of {lost} are missing)",
                logged.len(),
                logged.len()
            ))?;
        }
    }
    let state = match missing {
        0 => "齐全 (all there)".to_owned(),
        missing => format!(
            "缺 (missing): {missing} 份；请放回影像包，或由医院重发 (put the packs back, or have the images sent again)"
        ),
    };
    output.blocking_line(format!(
        "日志所列影像 (instances that the log tells of): {told}, {state}"
    ))?;
    Ok(missing == 0)
}

/// Brings into the log what this node's packs hold and it lacks.
pub async fn rescan(archive: &Archive, copies: bool, output: &Output) -> anyhow::Result<bool> {
    let copies = if copies {
        Copies::Unknown
    } else {
        Copies::Known
    };
    let brought = archive.rescan(copies).await?;
    output
        .line(format!(
            "补入日志 (brought into the log): {brought} 份影像 (instances)"
        ))
        .await?;
    Ok(true)
}

fn verify_packs(archive: &Archive, output: &Output) -> anyhow::Result<bool> {
    let mut gone = false;
    let report = archive.packs().verify(|progress| {
        let note = format!(
            "影像包 (pack) {} {}/{}",
            progress.pack, progress.packs_done, progress.packs
        );
        gone = gone || output.blocking_note(note).is_err();
    })?;
    let counts = format!(
        "影像包 (packs): {} 包, {} 份影像 (instances), {} 字节 (bytes)",
        report.packs, report.records, report.bytes
    );
    if report.damaged == 0 {
        output.blocking_line(format!("{counts}, 完好 (intact)"))?;
        return Ok(true);
    }
    output.blocking_line(format!(
        "{counts}, 损坏 (damaged): {} 处 (places)",
        report.damaged
    ))?;
    for damage in &report.damage {
        output.blocking_line(format!(
            "  {} {}..{}: {}",
            damage.pack, damage.range.start, damage.range.end, damage.reason
        ))?;
    }
    name_damaged(archive, &report, output)?;
    Ok(false)
}

/// Which instances lie where the damage is.
fn name_damaged(archive: &Archive, report: &VerifyReport, output: &Output) -> anyhow::Result<()> {
    let views = archive.views();
    let hit = |pack: PackId, at: Range<u64>| {
        let overlaps = |range: &Range<u64>| range.start < at.end && at.start < range.end;
        report
            .damage
            .iter()
            .any(|damage| damage.pack == pack && overlaps(&damage.range))
    };
    let mut studies = Vec::new();
    views.visit_all_studies(&mut |study| studies.push(study.key))?;
    for key in studies {
        let Some(study) = views.study(&key)? else {
            continue;
        };
        for series in 0..study.series.len() {
            for entry in views.all_instances(&study, series)? {
                let end = entry.stored.offset.saturating_add(entry.stored.length);
                if hit(entry.pack, entry.stored.offset..end) {
                    output.blocking_line(format!(
                        "  受损影像 (damaged instance): {} {key}",
                        entry.stored.image.sop_instance
                    ))?;
                }
            }
        }
    }
    Ok(())
}
