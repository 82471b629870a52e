//! The DICOM node that a command talks to.

use std::str::FromStr;

use anyhow::Context;
use clap::Args;
use yingku_core::ids::AeTitle;
use yingku_dicom_node::association::{ProposedContext, Requestor};
use yingku_dicom_node::pdu::Timeouts;
use yingku_dicom_node::scu::{Outcome, Scu, service_context};

/// C-ECHO (PS3.4 annex A).
const VERIFICATION: &str = "1.2.840.10008.1.1";

#[derive(Debug, Clone, Args)]
pub struct Address {
    /// 对方节点，写作 AE@主机:端口 (the node, AE@host:port)
    #[arg(long, env = "YINGKU_DICOM", value_name = "AE@主机:端口")]
    dicom: Called,
    /// 我方 AE (our AE title)
    #[arg(
        long,
        env = "YINGKU_CALLING",
        default_value = "YINGKU_CLIENT",
        value_name = "AE"
    )]
    calling: String,
}

#[derive(Debug, Clone)]
struct Called {
    ae: String,
    address: String,
}

impl FromStr for Called {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (ae, address) = text
            .split_once('@')
            .filter(|(_, address)| address.contains(':'))
            .ok_or("写作 AE@主机:端口 (AE@host:port)")?;
        let ae = AeTitle::new(ae).map_err(|error| error.to_string())?;
        Ok(Self {
            ae: ae.as_str().to_owned(),
            address: address.to_owned(),
        })
    }
}

impl Address {
    pub async fn connect(&self, contexts: Vec<ProposedContext>) -> anyhow::Result<Scu> {
        let calling = AeTitle::new(&self.calling).context("--calling")?;
        let requestor = Requestor {
            calling: calling.as_str().to_owned(),
            called: self.dicom.ae.clone(),
            contexts,
            timeouts: Timeouts::default(),
        };
        let association = requestor
            .connect(&self.dicom.address)
            .await
            .with_context(|| {
                format!(
                    "{}@{} 连接不上 (no association)",
                    self.dicom.ae, self.dicom.address
                )
            })?;
        Ok(Scu::new(association))
    }
}

/// The peer's words, for people.
pub fn words(outcome: &Outcome) -> String {
    if outcome.comment.is_empty() {
        outcome.status.to_string()
    } else {
        format!("{} {}", outcome.status, outcome.comment)
    }
}

pub async fn echo(address: &Address) -> anyhow::Result<bool> {
    let mut scu = address.connect(vec![service_context(VERIFICATION)]).await?;
    let outcome = scu.echo().await?;
    scu.release().await?;
    println!("C-ECHO {}", words(&outcome));
    Ok(outcome.status.is_done())
}
