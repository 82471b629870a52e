//! `yingku index …`: 医保影像云索引.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Subcommand;
use yingku_core::ids::HospitalCode;

use super::{Place, hospital};
use crate::operate::{Exporting, Forming, Operation};

#[derive(Debug, Subcommand)]
pub enum IndexCommand {
    /// 为往日的检查补算索引：启用之前的、缺个人编码或信用代码的 (form the indexes of exams of before)
    Form {
        /// 只算一家医院 (of one hospital)
        #[arg(long, value_parser = hospital, value_name = "医院代码")]
        hospital: Option<HospitalCode>,
        /// 检查日期，首日 (first day of the exams) YYYY-MM-DD
        #[arg(long, value_name = "日期")]
        from: String,
        /// 末日，含 (last day, inclusive)
        #[arg(long, value_name = "日期")]
        to: String,
        /// 被拒的也重新报送 (tell the authority again what it refused)
        #[arg(long)]
        again: bool,
        /// 对照表：每行 证件号,个人编码；由服务进程读，用后不留 (a table, identity number and person code; read by the serving process)
        #[arg(long, value_name = "文件")]
        persons: Option<PathBuf>,
        #[command(flatten)]
        place: Place,
    },
    /// 导出要报送的索引：新的、改变的、收回的 (write what the authority is to be told into a file)
    Export {
        /// CSV 文件，须不存在，由服务进程写；清单在旁 (a file to be made by the serving process, with a manifest beside it)
        #[arg(long, value_name = "文件")]
        out: PathBuf,
        /// 只导出日志此位置起改变的 (only what changed from this position on)
        #[arg(long, value_name = "位置")]
        since: Option<u64>,
        /// 只导出这一天改变的 (only what changed on this day) YYYY-MM-DD
        #[arg(long, value_name = "日期", conflicts_with = "since")]
        day: Option<String>,
        #[command(flatten)]
        place: Place,
    },
    /// 导入主管方的回执：每行 索引,结果,原因；有未报送过的行时退出码 1 (take the authority's answers; index, result, reason)
    ImportResults {
        /// CSV 文件，由服务进程读 (read by the serving process)
        #[arg(value_name = "文件")]
        file: PathBuf,
        #[command(flatten)]
        place: Place,
    },
}

impl IndexCommand {
    pub async fn run(self) -> anyhow::Result<ExitCode> {
        match self {
            Self::Form {
                hospital,
                from,
                to,
                again,
                persons,
                place,
            } => {
                let persons = persons.map(std::path::absolute).transpose()?;
                let asked = Forming {
                    hospital,
                    from,
                    to,
                    again,
                    persons,
                };
                place.run(Operation::IndexForm { asked }).await
            }
            Self::Export {
                out,
                since,
                day,
                place,
            } => {
                let to = std::path::absolute(&out)?;
                let asked = Exporting { to, since, day };
                place.run(Operation::IndexExport { asked }).await
            }
            Self::ImportResults { file, place } => {
                let file = std::path::absolute(&file)?;
                place.run(Operation::IndexAnswers { file }).await
            }
        }
    }
}
