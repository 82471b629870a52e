//! A HIS's receiver of status notices (`SynStatusInfo`, contract §3.2), for those who try an archive: shows each notice
//! in words, and answers as it is told.

use std::io::Write;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context;
use clap::Args;
use futures::future::BoxFuture;
use tokio::io::AsyncWriteExt;
use tokio::sync::Mutex;
use yingku_api::receiver::{Posted, Replied, receive};
use yingku_core::contract::xml::{Element, escape};
use yingku_core::registry::NoticeCharset;
use yingku_core::time::{LocalDateTime, Zone};

use crate::soap::answer::charset_of;
use crate::soap::request::{self, Request};
use crate::table::printable;

#[derive(Debug, Args)]
pub struct StatusReceiver {
    /// 监听地址 (where to listen)
    #[arg(long, default_value = "127.0.0.1:8090", value_name = "地址:端口")]
    listen: SocketAddr,
    /// 答复的代码：0 收下，其余拒收 (the code that is answered: 0 takes it, anything else refuses)
    #[arg(
        long,
        default_value_t = 0,
        allow_negative_numbers = true,
        value_name = "代码"
    )]
    answer: i32,
    /// 请求原文附加到文件 (append requests as they came to a file)
    #[arg(long, value_name = "文件")]
    log: Option<PathBuf>,
}

struct Receiving {
    answer: i32,
    log: Option<Mutex<tokio::fs::File>>,
}

impl StatusReceiver {
    /// Listens until it is interrupted.
    pub async fn run(self) -> anyhow::Result<bool> {
        let log = match &self.log {
            Some(path) => Some(Mutex::new(opened(path).await?)),
            None => None,
        };
        let receiving = Arc::new(Receiving {
            answer: self.answer,
            log,
        });
        let listener = tokio::net::TcpListener::bind(self.listen)
            .await
            .with_context(|| format!("{}: 监听不了 (cannot listen)", self.listen))?;
        say(&format!(
            "监听 (listening): http://{}/",
            listener.local_addr()?
        ))?;
        let stop = async {
            // Without the signal the process ends by itself, too.
            let _ = tokio::signal::ctrl_c().await;
        };
        let answer = move |posted| -> BoxFuture<'static, Replied> {
            let receiving = Arc::clone(&receiving);
            Box::pin(async move { receiving.take(posted).await })
        };
        receive(listener, Arc::new(answer), stop).await?;
        Ok(true)
    }
}

async fn opened(path: &Path) -> anyhow::Result<tokio::fs::File> {
    let mut options = tokio::fs::File::options();
    options
        .create(true)
        .append(true)
        .open(path)
        .await
        .with_context(|| format!("{} 写不了 (cannot be written)", path.display()))
}

impl Receiving {
    async fn take(&self, posted: Posted) -> Replied {
        if let Err(error) = self.keep(&posted.body).await {
            eprintln!("--log: {error}");
        }
        let now_ms = jiff::Timestamp::now().as_millisecond();
        let now = LocalDateTime::from_unix_ms(now_ms, &Zone::default());
        let now = now.map(|now| now.to_string()).unwrap_or_default();
        let charset = posted.content_type.as_deref().and_then(charset_of);
        let read = request::read(&posted.body, charset);
        let words = match &read {
            Ok(Request {
                document: Some(document),
                ..
            }) => words(document),
            Ok(_) => {
                "不是状态通知：没有 XmlDocument (no notice: there is no XmlDocument)".to_owned()
            }
            Err(error) => error.to_string(),
        };
        // Nobody reads on: it goes on receiving.
        let _ = say(&format!("{now} {}", printable(words)));
        match read {
            Ok(request) => answered(&request, charset, self.answer),
            Err(error) => Replied {
                is_understood: false,
                content_type: "text/plain; charset=UTF-8".to_owned(),
                body: error.to_string().into_bytes(),
            },
        }
    }

    async fn keep(&self, body: &[u8]) -> std::io::Result<()> {
        let Some(log) = &self.log else {
            return Ok(());
        };
        let mut log = log.lock().await;
        log.write_all(&[body, b"\n"].concat()).await?;
        log.flush().await
    }
}

/// One line about a notice (`fields/syn_status_info.tsv`).
fn words(document: &Element) -> String {
    let text = |path: &str| document.at(path).map_or("", |it| it.text.as_str());
    let coded = |path: &str| {
        let element = document.at(path);
        let code = element.and_then(|it| it.attribute("code")).unwrap_or("");
        format!("{code} {}", text(path)).trim().to_owned()
    };
    let mut words = coded("Exam/ExamStatus");
    for (title, value) in [
        ("检查", text("Exam/ExamNo").to_owned()),
        ("申请单", text("Exam/ApplyNo").to_owned()),
        ("医嘱", text("Exam/OrderNo").to_owned()),
        ("病人", text("Exam/SickNo").to_owned()),
        ("来源", text("Exam/PatientSource").to_owned()),
        ("科室", coded("Exam/PerformDept")),
        (
            "操作",
            format!(
                "{} {} {}",
                text("Exam/OperateDate"),
                text("Exam/OperateTime"),
                coded("Exam/Operater")
            ),
        ),
        ("图像", text("Exam/ImageUrl").to_owned()),
    ] {
        if !value.trim().is_empty() {
            words = format!("{words} {title} {}", value.trim());
        }
    }
    words
}

/// As the request came: its SOAP, its namespace, its charset.
fn answered(request: &Request, charset: Option<&str>, code: i32) -> Replied {
    let words = if code == 0 { "成功" } else { "拒收" };
    let answer = format!("<response><code>{code}</code><desc>{words}</desc></response>");
    let operation = match request.operation.as_str() {
        "" => "SynStatusInfo",
        own => own,
    };
    let namespace = request.namespace.as_deref().unwrap_or_default();
    let text = format!(
        "<{operation}Response xmlns=\"{}\"><return xmlns=\"\">{}</return></{operation}Response>",
        escape(namespace),
        escape(&answer)
    );
    let is_gbk = charset.is_some_and(|charset| charset.to_ascii_uppercase().starts_with("GB"));
    let charset = match is_gbk {
        true => NoticeCharset::Gbk,
        false => NoticeCharset::Utf8,
    };
    let (content_type, body) = request::enveloped(request.soap, charset, &text);
    Replied {
        is_understood: true,
        content_type,
        body,
    }
}

fn say(line: &str) -> std::io::Result<()> {
    let mut out = std::io::stdout();
    writeln!(out, "{line}")?;
    out.flush()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::soap::answer;
    use yingku_core::contract::xml;
    use yingku_core::registry::SoapVersion;

    #[test]
    fn what_is_answered_is_read_by_who_asked() {
        for (soap, charset) in [
            (SoapVersion::Soap11, "UTF-8"),
            (SoapVersion::Soap12, "gb2312"),
        ] {
            let request = Request {
                soap,
                operation: "SynStatusInfo".to_owned(),
                namespace: Some("urn:a&b".to_owned()),
                document: None,
            };
            for code in [0, -1] {
                let response = answered(&request, Some(charset), code);
                let read = answer::read(&response.body, charset_of(&response.content_type));
                assert_eq!(read.code, code.to_string());
                assert_eq!(read.is_taken(), code == 0);
            }
        }
    }

    #[test]
    fn a_notice_is_shown_in_words() {
        let notice = include_str!("../../tests/fixtures/contract/syn_status_info.xml");
        let words = words(&xml::read(notice).unwrap());
        assert!(
            words.starts_with("70 确认报告 检查 E20260704001 申请单 7173_00000001"),
            "{words}"
        );
        assert!(
            words.contains("操作 2026-07-04 12:00:00 040002 陈主任"),
            "{words}"
        );
    }
}
