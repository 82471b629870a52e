//! `yingku app …`

use std::process::ExitCode;

use clap::Subcommand;

use super::Place;
use crate::operate::Operation;

#[derive(Debug, Subcommand)]
pub enum AppCommand {
    /// 已登记的应用 (registered apps)
    List(Place),
    /// 某应用的公钥：PEM、Base64 DER、.NET XML，交给厂商 (its public key in every form, for its vendor)
    Key {
        #[arg(value_name = "应用")]
        app: String,
        #[command(flatten)]
        place: Place,
    },
    /// 某应用 30 天内被拒的请求；DICOM 节点写作 ae:名称 (what its requests were refused for)
    Errors {
        #[arg(value_name = "应用")]
        app: String,
        #[command(flatten)]
        place: Place,
    },
}

impl AppCommand {
    pub async fn run(self) -> anyhow::Result<ExitCode> {
        match self {
            Self::List(place) => place.run(Operation::AppList).await,
            Self::Key { app, place } => place.run(Operation::AppKey { app }).await,
            Self::Errors { app, place } => place.run(Operation::AppErrors { app }).await,
        }
    }
}
