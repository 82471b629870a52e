//! `yingku reconcile`: by the archive's own hand, or through its interface with an app's right.

use std::process::ExitCode;

use anyhow::Context;
use clap::Args;
use serde_json::{Value, json};
use yingku_core::ids::HospitalCode;
use yingku_core::reconcile::Reconciliation;

use super::{Place, hospital};
use crate::client::{Credentials, Session};
use crate::operate::{Operation, Reconciling};
use crate::reconciliation;

#[derive(Debug, Args)]
pub struct Reconcile {
    /// 只看一家医院 (of one hospital)
    #[arg(long, value_parser = hospital, value_name = "医院代码")]
    hospital: Option<HospitalCode>,
    /// 检查日期，首日 (first day) YYYY-MM-DD
    #[arg(long, value_name = "日期")]
    from: String,
    /// 末日，含 (last day, inclusive)
    #[arg(long, value_name = "日期")]
    to: String,
    /// 当时的情形 (as it was at) "YYYY-MM-DD HH:MM:SS"
    #[arg(long, value_name = "时间")]
    as_of: Option<String>,
    /// 输出 JSON (as JSON)
    #[arg(long)]
    json: bool,
    /// 数据目录 (data directory)；不用接口时
    #[arg(long, env = "YINGKU_DATA", value_name = "目录", conflicts_with = "url")]
    data: Option<std::path::PathBuf>,
    /// 服务的配置文件 (the server's settings)
    #[arg(long, env = "YINGKU_CONFIG", value_name = "文件")]
    config: Option<std::path::PathBuf>,
    /// 事件日志所在，覆盖配置 (overrides log.place)
    #[arg(long, value_name = "位置")]
    log: Option<String>,
    /// 对象存储，覆盖配置 (overrides objects.location)
    #[arg(long, value_name = "位置")]
    objects: Option<String>,
    #[command(flatten)]
    credentials: Credentials,
}

impl Reconcile {
    pub async fn run(self) -> anyhow::Result<ExitCode> {
        let asked = Reconciling {
            hospital: self.hospital,
            from: self.from,
            to: self.to,
            as_of: self.as_of,
            json: self.json,
        };
        if let Some(data) = self.data {
            let place = Place {
                data,
                config: self.config,
                log: self.log,
                objects: self.objects,
            };
            return place.run(Operation::Reconcile { asked }).await;
        }
        let credentials = self.credentials;
        tokio::task::spawn_blocking(move || by_interface(&credentials, &asked)).await?
    }
}

fn by_interface(credentials: &Credentials, asked: &Reconciling) -> anyhow::Result<ExitCode> {
    let session = Session::open(credentials)
        .context("也可用 --data 直接对数据目录 (or name the data directory with --data)")?;
    let mut body = json!({ "from": asked.from, "to": asked.to });
    if let Value::Object(body) = &mut body {
        if let Some(hospital) = &asked.hospital {
            body.insert("hospitalCode".to_owned(), json!(hospital.as_str()));
        }
        if let Some(as_of) = &asked.as_of {
            body.insert("asOf".to_owned(), json!(as_of));
        }
    }
    let answer = session.post("/v1/statistics/reconcile", body.to_string().as_bytes())?;
    anyhow::ensure!(answer.is_done(), "{answer}");
    if asked.json {
        println!("{:#}", answer.result);
    } else {
        let found: Reconciliation = serde_json::from_value(answer.result)
            .context("答复不是对账结果 (the answer is no reconciliation)")?;
        print!("{}", reconciliation::text(&found));
    }
    Ok(ExitCode::SUCCESS)
}
