//! C-MOVE (PS3.4 annex C): has the archive send what matches to a node that it knows.

use clap::Args;
use yingku_core::ids::AeTitle;
use yingku_dicom_node::scu::{Outcome, service_context};

use super::find::{Level, identifier};
use super::node::{self, Address};

#[derive(Debug, Args)]
pub struct Move {
    #[command(flatten)]
    address: Address,
    /// 目的 AE，须已登记 (destination, registered with the archive)
    #[arg(long, value_name = "AE")]
    to: String,
    /// 层级 (level)
    #[arg(
        long,
        value_enum,
        ignore_case = true,
        default_value = "STUDY",
        value_name = "层级"
    )]
    level: Level,
    /// 取什么，如 StudyInstanceUID=1.2.3 (what to retrieve)
    #[arg(required = true, value_name = "关键字=值")]
    keys: Vec<String>,
}

impl Move {
    pub async fn run(self) -> anyhow::Result<bool> {
        let to = AeTitle::new(&self.to)?;
        let model = self.level.model();
        let keys = identifier(self.level, &self.keys)?;
        let mut scu = self
            .address
            .connect(vec![service_context(model.retrieve_by_move())])
            .await?;
        let outcome = scu
            .retrieve_to(model, &keys, to.as_str(), |counts| {
                eprintln!(
                    "已送 (sent) {}, 余 (remaining) {}",
                    counts.completed, counts.remaining
                );
            })
            .await?;
        scu.release().await?;
        Ok(report(&outcome))
    }
}

/// Says how a retrieve ended, and whether all of it came.
pub fn report(outcome: &Outcome) -> bool {
    let counts = outcome.counts;
    println!(
        "{}: 完成 (completed) {}, 警告 (warnings) {}, 失败 (failed) {}",
        node::words(outcome),
        counts.completed,
        counts.warning,
        counts.failed
    );
    for instance in &outcome.failed {
        println!("  失败 (failed): {instance}");
    }
    outcome.status.is_done() && counts.failed == 0
}
