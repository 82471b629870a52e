//! Status notices: which wait and why, and sending them again (contract §3.2, R17).

use anyhow::Context;
use serde::{Deserialize, Serialize};
use yingku_core::dictionaries::EXAM_STATUS;
use yingku_core::event::{Event, FORMS_SINCE_RULES, NoticesAgain};
use yingku_core::ids::HisId;
use yingku_core::notice::{NoticeId, NoticeRow, NoticeState};
use yingku_core::outcome::Outcome;
use yingku_core::registry::{His, Registry};
use yingku_core::time::{LocalDateTime, Zone};
use yingku_storage::archive::{Archive, Submission};
use yingku_storage::views::{Views, ViewsError, Walk};

use super::Operator;
use crate::control::Output;
use crate::table::Table;

/// Notices of one record, some 35 bytes each of the log's 1 MiB; each becomes a row or two.
const NOTICES_OF_RECORD: usize = 4_000;
/// Ids that are named when they are not there.
const NAMED_LIMIT: usize = 10;

/// Which notices are listed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NoticesAsked {
    /// Of one HIS, else of all.
    pub his: Option<HisId>,
    /// In one state; else those that are not taken yet.
    pub state: Option<NoticeState>,
    /// Of each HIS and state.
    pub limit: usize,
}

/// Which notices are sent again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Again {
    Named(Vec<NoticeId>),
    /// All that wait for an operator.
    AllStopped,
    /// All that are tried on and on: at once, without the wait that they are in.
    AllOpen,
}

pub async fn list(archive: &Archive, asked: NoticesAsked, output: &Output) -> anyhow::Result<bool> {
    let registry = archive.registry();
    let chosen: Vec<HisId> = match &asked.his {
        Some(id) => vec![registered(&registry, id)?.id.clone()],
        None => registry.his.keys().cloned().collect(),
    };
    archive.settle().await?;
    let views = archive.views();
    let table = tokio::task::spawn_blocking(move || table(&views, &registry, &chosen, &asked));
    output.line(table.await??.render()).await?;
    Ok(true)
}

fn table(
    views: &Views,
    registry: &Registry,
    chosen: &[HisId],
    asked: &NoticesAsked,
) -> Result<Table, ViewsError> {
    let zone = Zone::named(&registry.settings.time_zone).unwrap_or_default();
    let mut table = Table::new([
        "HIS",
        "编号",
        "状态",
        "通知",
        "医院",
        "申请单",
        "检查",
        "时间",
        "次数",
        "最近答复",
    ]);
    let states = match asked.state {
        Some(state) => vec![state],
        None => vec![NoticeState::Stopped, NoticeState::Open],
    };
    for his in chosen {
        for state in &states {
            for row in rows(views, his, *state, asked.limit)? {
                table.row(cells(&row, &zone));
            }
        }
    }
    Ok(table)
}

/// What waits, the eldest first; what is past, the latest first.
fn rows(
    views: &Views,
    his: &HisId,
    state: NoticeState,
    limit: usize,
) -> Result<Vec<NoticeRow>, ViewsError> {
    if state.is_past() {
        return views.latest_notices(his, state, limit);
    }
    let mut rows = Vec::new();
    views.visit_notices(his, state, None, &mut |row| {
        if rows.len() >= limit {
            return Walk::Stop;
        }
        rows.push(row);
        Walk::On
    })?;
    Ok(rows)
}

fn cells(row: &NoticeRow, zone: &Zone) -> [String; 10] {
    let code = row.status.code();
    let name = EXAM_STATUS.name(code).unwrap_or_default();
    let exam = row.exam.as_ref().map(|exam| exam.exam_no.to_string());
    let answer = row.last.as_ref().map(|last| {
        let at = local(last.time_ms, zone);
        match last.code.as_str() {
            "" if row.state == NoticeState::Dropped => format!("{at} {}", last.answer),
            "" => format!("{at} 无答复 (no answer): {}", last.answer),
            code => format!("{at} {code} {}", last.answer),
        }
    });
    [
        row.his.to_string(),
        row.id.to_string(),
        state_words(row.state).to_owned(),
        format!("{code} {name}"),
        row.form.hospital.to_string(),
        row.form.apply_no.clone(),
        exam.unwrap_or_default(),
        local(row.time_ms, zone),
        row.tries.to_string(),
        answer.unwrap_or_default(),
    ]
}

fn local(time_ms: i64, zone: &Zone) -> String {
    LocalDateTime::from_unix_ms(time_ms, zone)
        .map(|time| time.to_string())
        .unwrap_or_default()
}

fn state_words(state: NoticeState) -> &'static str {
    match state {
        NoticeState::Open => "待送 (open)",
        NoticeState::Stopped => "停发 (stopped)",
        NoticeState::Sent => "已送 (sent)",
        NoticeState::Dropped => "作废 (dropped)",
    }
}

/// Has notices sent again, in the order in which they came due.
pub async fn again(
    archive: &Archive,
    his: &HisId,
    which: Again,
    operator: &Operator,
    output: &Output,
) -> anyhow::Result<bool> {
    let registry = archive.registry();
    anyhow::ensure!(
        registry.rules >= FORMS_SINCE_RULES,
        "须先启用规则版本 {FORMS_SINCE_RULES}：yingku activate-rules (activate the rules of this release first)"
    );
    let is_on = is_told(registered(&registry, his)?);
    archive.settle().await?;
    let (views, of) = (archive.views(), his.clone());
    let notices = tokio::task::spawn_blocking(move || meant(&views, &of, which)).await??;
    for part in notices.chunks(NOTICES_OF_RECORD) {
        let submission = Submission {
            hospital: None,
            actor: operator.reader(),
            event: Event::NoticesAgain(NoticesAgain {
                his: his.clone(),
                notices: part.to_vec(),
            }),
        };
        if let Outcome::Refused(refusal) = archive.submit(submission).await?.outcome {
            anyhow::bail!(refusal.message);
        }
    }
    output
        .line(format!(
            "{his}: 将重新发送 (to be sent again): {}",
            notices.len()
        ))
        .await?;
    if !is_on {
        output
            .note(format!(
                "{his} 已停用或没有接收地址，启用后才发送 (is disabled or has no receiver: nothing is sent until that is changed)"
            ))
            .await?;
    }
    Ok(true)
}

fn registered<'r>(registry: &'r Registry, his: &HisId) -> anyhow::Result<&'r His> {
    registry.his.get(his).with_context(|| {
        format!("没有登记 HIS {his}，见 yingku registry show (is not registered; see yingku registry show)")
    })
}

fn is_told(his: &His) -> bool {
    his.enabled && his.receiver.as_ref().is_some_and(|it| it.enabled)
}

fn meant(views: &Views, his: &HisId, which: Again) -> anyhow::Result<Vec<NoticeId>> {
    let state = match which {
        Again::Named(named) => return all_there(views, his, named),
        Again::AllStopped => NoticeState::Stopped,
        Again::AllOpen => NoticeState::Open,
    };
    let mut notices = Vec::new();
    views.visit_notices(his, state, None, &mut |row| {
        notices.push(row.id);
        Walk::On
    })?;
    Ok(notices)
}

/// The notices that are named, in their order, each once; nothing is sent again if one of them is mistyped, or was dropped.
fn all_there(
    views: &Views,
    his: &HisId,
    mut named: Vec<NoticeId>,
) -> anyhow::Result<Vec<NoticeId>> {
    named.sort_unstable();
    named.dedup();
    let mut missing = Vec::new();
    for id in &named {
        let mut found = false;
        for state in NoticeState::ALL {
            let is_there = views.notice(his, state, *id)?.is_some();
            anyhow::ensure!(
                !is_there || state != NoticeState::Dropped,
                "通知 {id} 已作废，不能重发，未作改动；见 yingku notices list --his {his} --state dropped (notice {id} was dropped and is not sent again: nothing was changed)"
            );
            found |= is_there;
        }
        if !found {
            missing.push(id.to_string());
        }
    }
    missing.truncate(NAMED_LIMIT);
    anyhow::ensure!(
        missing.is_empty(),
        "{his} 没有通知 {0}，未作改动；见 yingku notices list --his {his} (has no notice {0}: nothing was changed; see yingku notices list)",
        missing.join(" ")
    );
    Ok(named)
}

/// A line for each HIS that is told of exams.
pub fn standing(archive: &Archive) -> Result<Vec<String>, ViewsError> {
    let registry = archive.registry();
    let views = archive.views();
    let zone = Zone::named(&registry.settings.time_zone).unwrap_or_default();
    let mut lines = Vec::new();
    for his in registry.his.values().filter(|his| his.receiver.is_some()) {
        let standing = views.notices_standing(&his.id)?;
        let since = standing
            .oldest_ms
            .map(|oldest_ms| format!("，最早 (oldest) {}", local(oldest_ms, &zone)));
        let off = if is_told(his) {
            ""
        } else {
            "，已停用 (disabled)"
        };
        lines.push(format!(
            "状态回传 (notices) {}: 待送 (open) {}{}，停发 (stopped) {}{off}",
            his.id,
            standing.open,
            since.unwrap_or_default(),
            standing.stopped
        ));
    }
    Ok(lines)
}
