//! `yingku registry …`

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use clap::{Subcommand, ValueEnum};

use super::Place;
use crate::operate::Operation;
use crate::registry::RegistryFile;

#[derive(Debug, Subcommand)]
pub enum RegistryCommand {
    /// 导入登记文件：文件中有的更新，没有的不动 (put what the file names)
    Import {
        /// 登记文件，格式见 deploy/registry.toml (the format is explained there)
        #[arg(value_name = "文件")]
        file: PathBuf,
        #[command(flatten)]
        place: Place,
    },
    /// 以登记文件的形式输出；不含许可证 (as a file, without licenses)
    Export {
        /// 连同密封的许可证和密钥，供同一集群密钥的归档导入 (with sealed secrets)
        #[arg(long)]
        sealed: bool,
        #[command(flatten)]
        place: Place,
    },
    /// 以表格显示 (as tables)
    Show(Place),
    /// 移除一项 (take one out)
    Remove {
        /// 种类：医院、应用、DICOM 节点、HIS (what it is)
        #[arg(value_enum, value_name = "种类")]
        kind: Entry,
        /// 医院代码、appId、AE 或 HIS 名 (its code, id or title)
        #[arg(value_name = "名称")]
        name: String,
        #[command(flatten)]
        place: Place,
    },
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum Entry {
    Hospital,
    App,
    Peer,
    His,
}

impl RegistryCommand {
    pub async fn run(self) -> anyhow::Result<ExitCode> {
        match self {
            Self::Import { file, place } => {
                let toml = std::fs::read_to_string(&file)
                    .with_context(|| format!("{} 读不到 (cannot be read)", file.display()))?;
                RegistryFile::parse(&toml)
                    .with_context(|| format!("{} 有误 (is not valid)", file.display()))?;
                place.run(Operation::RegistryImport { toml }).await
            }
            Self::Export { sealed, place } => place.run(Operation::RegistryExport { sealed }).await,
            Self::Show(place) => place.run(Operation::RegistryShow).await,
            Self::Remove { kind, name, place } => {
                let kind = match kind {
                    Entry::Hospital => "hospital",
                    Entry::App => "app",
                    Entry::Peer => "peer",
                    Entry::His => "his",
                };
                let kind = kind.to_owned();
                place.run(Operation::RegistryRemove { kind, name }).await
            }
        }
    }
}
