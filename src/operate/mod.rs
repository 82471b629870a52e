//! What an operator can ask of an archive, the same whether a server runs or not.

mod backfill;
mod backup;
mod compact;
mod correct;
mod digest;
mod export;
mod findings;
mod forms;
mod health;
mod index;
mod log;
mod lost;
mod notices;
mod operator;
mod pull;
mod purge;
mod reconcile;
mod registration;
mod registry;
mod report;
mod retention;
mod rules;
mod ruling;
mod unusual;
mod versions;

use std::path::PathBuf;

use anyhow::Context;
use serde::{Deserialize, Serialize};
use yingku_core::correction::CorrectionMade;
use yingku_core::finding::FindingKind;
use yingku_core::ids::{ExamKey, HisId, HospitalCode};
use yingku_storage::archive::{Archive, AuditEntry};

use crate::control::Output;

pub use backfill::Past;
pub use compact::Compacting;
pub use forms::{FormsAsked, OpenAfter, TurnaroundAsked};
pub use index::{Exporting, Forming};
pub use log::Range;
pub use lost::Lost;
pub use notices::{Again, NoticesAsked};
pub use operator::Operator;
pub use reconcile::Reconciling;
pub use registration::FormRegistered;
pub use report::{Reporting, yesterday};
pub use ruling::Ruling;
pub use unusual::UnusualAsked;

/// One operation, as it travels over the control socket.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(
    tag = "operation",
    rename_all = "camelCase",
    rename_all_fields = "camelCase"
)]
pub enum Operation {
    RegistryImport {
        toml: String,
    },
    RegistryExport {
        sealed: bool,
    },
    RegistryShow,
    RegistryRemove {
        kind: String,
        name: String,
    },
    AppList,
    AppKey {
        app: String,
    },
    AppErrors {
        app: String,
    },
    LogTail {
        from: Option<u64>,
        follow: bool,
    },
    LogShow {
        position: u64,
    },
    LogExport {
        range: Range,
    },
    Correct {
        made: CorrectionMade,
        /// Its exam was named without a generation: the latest that has the number is meant.
        latest_generation: bool,
    },
    PurgeTestData {
        hospital: HospitalCode,
        ruling: Ruling,
    },
    PackLost {
        meant: Lost,
        ruling: Ruling,
    },
    Findings {
        kind: Option<FindingKind>,
        hospital: Option<HospitalCode>,
    },
    Forms {
        asked: FormsAsked,
    },
    Turnaround {
        asked: TurnaroundAsked,
    },
    FormRegister {
        form: FormRegistered,
        ruling: Ruling,
    },
    Notices {
        asked: NoticesAsked,
    },
    NoticesAgain {
        his: HisId,
        which: Again,
    },
    Reconcile {
        asked: Reconciling,
    },
    ReportDaily {
        asked: Reporting,
    },
    AuditUnusual {
        asked: UnusualAsked,
    },
    Status,
    Verify,
    Rescan {
        copies: bool,
    },
    Compact {
        how: Compacting,
    },
    Retention {
        dry_run: bool,
    },
    Rebuild,
    Digest,
    Snapshot,
    Backup {
        to: PathBuf,
        once: bool,
    },
    Export {
        hospital: HospitalCode,
        to: PathBuf,
    },
    ActivateRules {
        /// Nodes that are not waited for.
        #[serde(default)]
        gone: Vec<u16>,
    },
    PullList {
        hospital: Option<HospitalCode>,
        all: bool,
    },
    PullNow {
        /// And whether it was named without a generation: the latest that has the number is meant.
        exams: Vec<(ExamKey, bool)>,
    },
    PullSwitch {
        hospital: HospitalCode,
        on: bool,
    },
    Backfill {
        hospital: HospitalCode,
        past: Past,
        dry_run: bool,
    },
    IndexForm {
        asked: Forming,
    },
    IndexExport {
        asked: Exporting,
    },
    IndexAnswers {
        file: PathBuf,
    },
}

/// Who is recorded as having done it, where nobody gave a name.
const ACTOR: &str = "operator:cli";

/// A hospital that nobody registered is mistyped.
fn ensure_registered(archive: &Archive, hospital: &HospitalCode) -> anyhow::Result<()> {
    anyhow::ensure!(
        archive.registry().hospitals.contains_key(hospital),
        "没有登记医院 {hospital} (is not registered)"
    );
    Ok(())
}

impl Operation {
    /// What the audit stream says of an operation that shows what was pushed, or whose images came: its name, the
    /// hospital and the target.
    fn reading(&self) -> Option<(&'static str, String, String)> {
        let all = String::new;
        let text = |position: Option<u64>| position.map(|it| it.to_string()).unwrap_or_default();
        match self {
            Self::LogTail { from, .. } => Some(("logTail", all(), format!("{}-", text(*from)))),
            Self::LogShow { position } => Some(("logShow", all(), position.to_string())),
            Self::LogExport { range } => {
                let target = format!("{}-{}", range.from, text(range.to));
                Some(("logExport", all(), target))
            }
            Self::Findings { hospital, .. } => {
                let hospital = hospital.as_ref().map(ToString::to_string);
                Some(("findings", hospital.unwrap_or_default(), all()))
            }
            Self::Forms { asked } => {
                let days = asked.days.as_ref();
                let target = days.map(|(from, to)| format!("{from}-{to}"));
                let hospital = asked.hospital.to_string();
                Some(("forms", hospital, target.unwrap_or_default()))
            }
            Self::Notices { asked } => {
                let his = asked.his.as_ref().map(ToString::to_string);
                Some(("notices", all(), his.unwrap_or_default()))
            }
            Self::PullList { hospital, .. } => {
                let hospital = hospital.as_ref().map(ToString::to_string);
                Some(("pullList", hospital.unwrap_or_default(), all()))
            }
            Self::Backfill { hospital, .. } => Some(("backfill", hospital.to_string(), all())),
            Self::IndexExport { asked } => {
                let name = asked.to.file_name().unwrap_or_default();
                Some(("indexExport", all(), name.to_string_lossy().into_owned()))
            }
            Self::Export { hospital, .. } => Some(("export", hospital.to_string(), all())),
            Self::Reconcile { asked } => {
                let hospital = asked.hospital.as_ref().map(ToString::to_string);
                let target = format!("{}-{}", asked.from, asked.to);
                Some(("reconcile", hospital.unwrap_or_default(), target))
            }
            Self::ReportDaily { asked } => {
                let hospital = asked.hospital.as_ref().map(ToString::to_string);
                let day = asked.day.clone().unwrap_or_default();
                Some(("reportDaily", hospital.unwrap_or_default(), day))
            }
            Self::AuditUnusual { asked } => {
                let target = format!("{}-{}", asked.from, asked.to);
                Some(("auditUnusual", all(), target))
            }
            Self::RegistryImport { .. }
            | Self::RegistryExport { .. }
            | Self::RegistryShow
            | Self::RegistryRemove { .. }
            | Self::AppList
            | Self::AppKey { .. }
            | Self::AppErrors { .. }
            | Self::Correct { .. }
            | Self::PurgeTestData { .. }
            | Self::PackLost { .. }
            | Self::NoticesAgain { .. }
            | Self::Turnaround { .. }
            | Self::FormRegister { .. }
            | Self::Status
            | Self::Verify
            | Self::Rescan { .. }
            | Self::Compact { .. }
            | Self::Retention { .. }
            | Self::Rebuild
            | Self::Digest
            | Self::Snapshot
            | Self::Backup { .. }
            | Self::ActivateRules { .. }
            | Self::PullNow { .. }
            | Self::IndexForm { .. }
            | Self::IndexAnswers { .. }
            | Self::PullSwitch { .. } => None,
        }
    }
}

/// Does it. `Ok(false)`: done, and what was looked at is not as it should be.
pub async fn execute(
    archive: &Archive,
    operation: Operation,
    operator: &Operator,
    output: &Output,
) -> anyhow::Result<bool> {
    if let Some((name, hospital, target)) = operation.reading() {
        let entry = AuditEntry {
            reader: operator.reader(),
            operation: name.to_owned(),
            hospital,
            target,
            ..AuditEntry::default()
        };
        archive.audit(entry).await.context(
            "调阅记录不可写，因此不予显示 (the reading cannot be recorded, so nothing is shown)",
        )?;
    }
    match operation {
        Operation::RegistryImport { toml } => registry::import_file(archive, &toml, output).await,
        Operation::RegistryExport { sealed } => registry::export(archive, sealed, output).await,
        Operation::RegistryShow => registry::show(archive, output).await,
        Operation::RegistryRemove { kind, name } => {
            registry::remove_entry(archive, &kind, &name, output).await
        }
        Operation::AppList => registry::apps(archive, output).await,
        Operation::AppKey { app } => registry::key(archive, &app, output).await,
        Operation::AppErrors { app } => digest::errors(archive, &app, output).await,
        Operation::LogTail { from, follow } => log::tail(archive, from, follow, output).await,
        Operation::LogShow { position } => log::show(archive, position, output).await,
        Operation::LogExport { range } => log::export(archive, range, output).await,
        Operation::Correct {
            made,
            latest_generation,
        } => correct::correct(archive, made, latest_generation, output).await,
        Operation::PurgeTestData { hospital, ruling } => {
            purge::purge(archive, hospital, ruling, output).await
        }
        Operation::PackLost { meant, ruling } => lost::lost(archive, meant, ruling, output).await,
        Operation::Findings { kind, hospital } => {
            findings::findings(archive, kind, hospital, output).await
        }
        Operation::Forms { asked } => forms::list(archive, asked, output).await,
        Operation::Turnaround { asked } => forms::turnaround(archive, asked, output).await,
        Operation::FormRegister { form, ruling } => {
            registration::register(archive, form, ruling, output).await
        }
        Operation::Notices { asked } => notices::list(archive, asked, output).await,
        Operation::NoticesAgain { his, which } => {
            notices::again(archive, &his, which, operator, output).await
        }
        Operation::Reconcile { asked } => reconcile::reconcile(archive, asked, output).await,
        Operation::ReportDaily { asked } => report::daily(archive, asked, output).await,
        Operation::AuditUnusual { asked } => unusual::list(archive, asked, output).await,
        Operation::Status => health::status(archive, output).await,
        Operation::Verify => health::verify(archive, output).await,
        Operation::Rescan { copies } => health::rescan(archive, copies, output).await,
        Operation::Compact { how } => compact::compact(archive, how, output).await,
        Operation::Retention { dry_run } => retention::apply(archive, dry_run, output).await,
        Operation::Rebuild => health::rebuild(archive, output).await,
        Operation::Digest => health::digest(archive, output).await,
        Operation::Snapshot => health::snapshot(archive, output).await,
        Operation::Backup { to, once } => backup::backup(archive, &to, once, output).await,
        Operation::Export { hospital, to } => export::export(archive, hospital, &to, output).await,
        Operation::ActivateRules { gone } => rules::activate(archive, &gone, output).await,
        Operation::PullList { hospital, all } => pull::list(archive, hospital, all, output).await,
        Operation::Backfill {
            hospital,
            past,
            dry_run,
        } => backfill::backfill(archive, hospital, past, dry_run, output).await,
        Operation::IndexForm { asked } => index::form(archive, asked, operator, output).await,
        Operation::IndexExport { asked } => index::export(archive, asked, operator, output).await,
        Operation::IndexAnswers { file } => {
            index::take_answers(archive, file, operator, output).await
        }
        Operation::PullNow { exams } => pull::now(archive, exams, output).await,
        Operation::PullSwitch { hospital, on } => pull::switch(archive, hospital, on, output).await,
    }
}
