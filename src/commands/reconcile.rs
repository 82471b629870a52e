//! `yingku reconcile`: by the archive's own hand, or through its interface with an app's right.

use std::process::ExitCode;

use anyhow::Context;
use clap::Args;
use serde_json::{Value, json};
use yingku_core::ids::HospitalCode;

use super::{Place, hospital};
use crate::client::{Credentials, Session};
use crate::operate::{Operation, Reconciling};
use crate::table::Table;

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
    /// JSON
    #[arg(long)]
    json: bool,
    /// 数据目录 (data directory)；不用接口时
    #[arg(long, env = "YINGKU_DATA", value_name = "目录", conflicts_with = "url")]
    data: Option<std::path::PathBuf>,
    /// 服务的配置文件 (the server's settings)
    #[arg(long, env = "YINGKU_CONFIG", value_name = "文件")]
    config: Option<std::path::PathBuf>,
    #[command(flatten)]
    credentials: Credentials,
}

/// Columns: heading, and where the value lies in a row of the interface.
const COLUMNS: [(&str, &[&str]); 15] = [
    ("医院", &["/hospitalCode"]),
    ("名称", &["/hospitalName"]),
    ("日期", &["/examDate", "/date"]),
    ("类别", &["/examClass", "/class"]),
    ("应上传", &["/declared"]),
    ("登记", &["/registered"]),
    ("确认", &["/confirmed"]),
    ("缺口", &["/shortfall", "/deficit"]),
    ("齐全", &["/images/complete"]),
    ("不全", &["/images/partly"]),
    ("缺失", &["/images/missing"]),
    ("未声明", &["/images/noneDeclared"]),
    ("链接", &["/images/linked"]),
    ("拒收", &["/refused"]),
    ("暂存", &["/held"]),
];

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
        println!("{}", table(&answer.result));
    }
    Ok(ExitCode::SUCCESS)
}

fn table(result: &Value) -> String {
    let rows = result
        .as_array()
        .map(Vec::as_slice)
        .unwrap_or(std::slice::from_ref(result));
    let mut table = Table::new(COLUMNS.map(|(heading, _)| heading));
    for row in rows {
        table.row(COLUMNS.iter().map(|(_, places)| {
            match places.iter().find_map(|place| row.pointer(place)) {
                Some(Value::String(text)) => text.clone(),
                Some(Value::Null) | None => String::new(),
                Some(other) => other.to_string(),
            }
        }));
    }
    table.render()
}
