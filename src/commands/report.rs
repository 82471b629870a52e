//! `yingku report`.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Subcommand;
use yingku_core::ids::HospitalCode;

use super::{Place, hospital};
use crate::operate::{Operation, Reporting};
use crate::report::Format;

#[derive(Debug, Subcommand)]
pub enum ReportCommand {
    /// 日报：静默、缺失、被拒、积压、磁盘写满日 (one day: silence, what lacks, refusals, backlog, the disk)
    Daily {
        /// 日期，缺省为昨天 (a day; yesterday if not said) YYYY-MM-DD
        #[arg(long, value_name = "日期")]
        day: Option<String>,
        /// 只看一家医院 (of one hospital)
        #[arg(long, value_parser = hospital, value_name = "医院代码")]
        hospital: Option<HospitalCode>,
        /// text 为 Markdown (how it is written)
        #[arg(long, value_enum, default_value_t = Format::Text, value_name = "格式")]
        format: Format,
        /// 写入文件，由服务进程写 (to a file that the serving process writes)
        #[arg(long, value_name = "文件")]
        out: Option<PathBuf>,
        /// 以 JSON POST 到此地址 (post it there as JSON)
        #[arg(long, value_name = "地址")]
        webhook: Option<String>,
        #[command(flatten)]
        place: Place,
    },
}

impl ReportCommand {
    pub async fn run(self) -> anyhow::Result<ExitCode> {
        let Self::Daily {
            day,
            hospital,
            format,
            out,
            webhook,
            place,
        } = self;
        let out = out.map(std::path::absolute).transpose()?;
        let asked = Reporting {
            day,
            hospital,
            format,
            out,
            webhook,
        };
        place.run(Operation::ReportDaily { asked }).await
    }
}
