//! C-STORE (PS3.4 annex B): sends files and folders, and says what was refused and why.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use anyhow::Context;
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use yingku_dicom_node::association::ProposedContext;
use yingku_dicom_node::scu::Scu;

use super::files::{self, Instance};
use super::node::{self, Address};

/// Presentation contexts of one association (PS3.8 §9.3.2.2: odd numbers up to 255).
const CONTEXTS_LIMIT: usize = 128;
/// Refused instances that are named for each reason.
const NAMED_LIMIT: usize = 20;

#[derive(Debug, Args)]
pub struct Send {
    #[command(flatten)]
    address: Address,
    /// 文件或目录，目录连同下级 (files and folders, folders with all below)
    #[arg(required = true, value_name = "路径")]
    paths: Vec<PathBuf>,
}

/// What became of the files.
#[derive(Default)]
struct Report {
    sent: usize,
    /// By reason.
    refused: BTreeMap<String, Vec<String>>,
}

impl Send {
    pub async fn run(self) -> anyhow::Result<bool> {
        let found = files::find(&self.paths)?;
        for (path, words) in &found.others {
            eprintln!("跳过 (skipped) {}: {words}", path.display());
        }
        anyhow::ensure!(
            !found.instances.is_empty(),
            "没有 DICOM 文件 (no DICOM files)"
        );
        let progress = ProgressBar::new(found.instances.len() as u64).with_style(
            ProgressStyle::with_template("{bar:40} {pos}/{len} {per_sec} {eta}")
                .unwrap_or_else(|_| ProgressStyle::default_bar()),
        );
        let mut report = Report::default();
        for batch in batches(found.instances) {
            self.send(&batch, &progress, &mut report).await?;
        }
        progress.finish_and_clear();
        Ok(report.print())
    }

    /// Sends what one association has contexts for; after a failure in the middle it opens another for the rest.
    async fn send(
        &self,
        batch: &[Instance],
        progress: &ProgressBar,
        report: &mut Report,
    ) -> anyhow::Result<()> {
        let mut open: Option<Scu> = None;
        for instance in batch {
            let mut scu = match open.take() {
                Some(scu) => scu,
                None => self.address.connect(contexts(batch)).await?,
            };
            let outgoing = &instance.outgoing;
            if scu
                .store_context(&outgoing.sop_class, &outgoing.transfer_syntax)
                .is_none()
            {
                let words = format!(
                    "对方不收此类或此传输语法 (not taken in this class and transfer syntax): {} {}",
                    outgoing.sop_class, outgoing.transfer_syntax
                );
                report.refuse(words, instance);
                open = Some(scu);
            } else {
                let mut source = instance
                    .open()
                    .with_context(|| instance.path.display().to_string())?;
                match scu.store(outgoing, &mut source).await {
                    Ok(outcome) => {
                        report.answered(&outcome, instance);
                        open = Some(scu);
                    }
                    Err(error) => {
                        report.refuse(format!("{:#}", anyhow::Error::from(error)), instance);
                        scu.abort().await;
                    }
                }
            }
            progress.inc(1);
        }
        if let Some(scu) = open {
            scu.release().await?;
        }
        Ok(())
    }
}

/// Instances in runs that need no more contexts than an association has.
fn batches(instances: Vec<Instance>) -> Vec<Vec<Instance>> {
    let mut batches = Vec::new();
    let mut batch = Vec::new();
    let mut kinds = BTreeSet::new();
    for instance in instances {
        let outgoing = &instance.outgoing;
        let kind = (outgoing.sop_class.clone(), outgoing.transfer_syntax.clone());
        if !kinds.contains(&kind) && kinds.len() >= CONTEXTS_LIMIT {
            batches.push(std::mem::take(&mut batch));
            kinds.clear();
        }
        kinds.insert(kind);
        batch.push(instance);
    }
    batches.push(batch);
    batches
}

/// One context for each class and transfer syntax, so that each file can go as it is.
fn contexts(batch: &[Instance]) -> Vec<ProposedContext> {
    let kinds: BTreeSet<(&str, &str)> = batch
        .iter()
        .map(|it| {
            (
                it.outgoing.sop_class.as_str(),
                it.outgoing.transfer_syntax.as_str(),
            )
        })
        .collect();
    kinds
        .into_iter()
        .map(|(class, syntax)| ProposedContext {
            abstract_syntax: class.to_owned(),
            transfer_syntaxes: vec![syntax.to_owned()],
            we_are_scp: false,
        })
        .collect()
}

impl Report {
    fn answered(&mut self, outcome: &yingku_dicom_node::scu::Outcome, instance: &Instance) {
        if outcome.status.is_done() {
            self.sent += 1;
        } else {
            self.refuse(node::words(outcome), instance);
        }
    }

    fn refuse(&mut self, words: String, instance: &Instance) {
        let name = format!(
            "{} {}",
            instance.path.display(),
            instance.outgoing.sop_instance
        );
        self.refused.entry(words).or_default().push(name);
    }

    fn print(&self) -> bool {
        println!("已存 (stored): {}", self.sent);
        for (words, names) in &self.refused {
            println!("被拒 (refused): {} — {words}", names.len());
            for name in names.iter().take(NAMED_LIMIT) {
                println!("  {name}");
            }
            if names.len() > NAMED_LIMIT {
                println!("  … {}", names.len() - NAMED_LIMIT);
            }
        }
        self.refused.is_empty()
    }
}
