//! What an operator can ask of an archive, the same whether a server runs or not.

mod correct;
mod digest;
mod findings;
mod health;
mod log;
mod purge;
mod reconcile;
mod registry;

use serde::{Deserialize, Serialize};
use yingku_core::correction::CorrectionMade;
use yingku_core::finding::FindingKind;
use yingku_core::ids::HospitalCode;
use yingku_storage::archive::Archive;

use crate::control::Output;

pub use log::Range;
pub use reconcile::Reconciling;

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
    },
    Findings {
        kind: Option<FindingKind>,
        hospital: Option<HospitalCode>,
    },
    Reconcile {
        asked: Reconciling,
    },
    Status,
    Verify,
    Rebuild,
}

/// Who is recorded as having done it.
const ACTOR: &str = "operator:cli";

/// Does it. `Ok(false)`: done, and what was looked at is not as it should be.
pub async fn execute(
    archive: &Archive,
    operation: Operation,
    output: &Output,
) -> anyhow::Result<bool> {
    match operation {
        Operation::RegistryImport { toml } => registry::import_file(archive, &toml, output).await,
        Operation::RegistryExport { sealed } => registry::export(archive, sealed, output).await,
        Operation::RegistryShow => registry::show(archive, output).await,
        Operation::RegistryRemove { kind, name } => {
            registry::remove_entry(archive, &kind, &name, output).await
        }
        Operation::AppList => registry::apps(archive, output).await,
        Operation::AppErrors { app } => digest::errors(archive, &app, output).await,
        Operation::LogTail { from, follow } => log::tail(archive, from, follow, output).await,
        Operation::LogShow { position } => log::show(archive, position, output).await,
        Operation::LogExport { range } => log::export(archive, range, output).await,
        Operation::Correct {
            made,
            latest_generation,
        } => correct::correct(archive, made, latest_generation, output).await,
        Operation::PurgeTestData { hospital } => purge::purge(archive, hospital, output).await,
        Operation::Findings { kind, hospital } => {
            findings::findings(archive, kind, hospital, output).await
        }
        Operation::Reconcile { asked } => reconcile::reconcile(archive, asked, output).await,
        Operation::Status => health::status(archive, output).await,
        Operation::Verify => health::verify(archive, output).await,
        Operation::Rebuild => health::rebuild(archive, output).await,
    }
}
