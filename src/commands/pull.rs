//! `yingku pull …`: studies that are fetched from hospitals' gateways.

use std::process::ExitCode;

use clap::Subcommand;
use yingku_core::ids::HospitalCode;

use super::Place;
use super::correct::{NamedExam, exam};
use super::hospital;
use crate::operate::Operation;

#[derive(Debug, Subcommand)]
pub enum PullCommand {
    /// 各医院网关与待取的检查 (gateways, and what is to be fetched)
    List {
        /// 只看一家医院 (of one hospital)
        #[arg(long, value_parser = hospital, value_name = "医院代码")]
        hospital: Option<HospitalCode>,
        /// 已取的也列 (also what was fetched)
        #[arg(long)]
        all: bool,
        #[command(flatten)]
        place: Place,
    },
    /// 立即调取检查的影像 (fetch exams' images now)
    Now {
        #[arg(required = true, value_parser = exam, value_name = "医院代码/流水号[#代]")]
        exams: Vec<NamedExam>,
        #[command(flatten)]
        place: Place,
    },
    /// 恢复一家医院的调取 (have a hospital's studies fetched again)
    Start {
        #[arg(value_parser = hospital, value_name = "医院代码")]
        hospital: HospitalCode,
        #[command(flatten)]
        place: Place,
    },
    /// 停止一家医院的调取；待取的留着 (fetch nothing of a hospital; what is due waits)
    Stop {
        #[arg(value_parser = hospital, value_name = "医院代码")]
        hospital: HospitalCode,
        #[command(flatten)]
        place: Place,
    },
}

impl PullCommand {
    pub async fn run(self) -> anyhow::Result<ExitCode> {
        match self {
            Self::List {
                hospital,
                all,
                place,
            } => place.run(Operation::PullList { hospital, all }).await,
            Self::Now { exams, place } => {
                let exams = exams.into_iter().map(|it| (it.key, it.latest)).collect();
                place.run(Operation::PullNow { exams }).await
            }
            Self::Start { hospital, place } => {
                let on = true;
                place.run(Operation::PullSwitch { hospital, on }).await
            }
            Self::Stop { hospital, place } => {
                let on = false;
                place.run(Operation::PullSwitch { hospital, on }).await
            }
        }
    }
}
