//! `SynApplyInfo` (contract §3.1): an apply form as a HIS sends it, and the answer's code in words.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context;
use clap::{Args, ValueEnum};
use url::Url;
use yingku_core::contract::xml::{self, Element};
use yingku_core::registry::{Escaping, NoticeCharset, SoapVersion};

use super::Credentials;
use crate::soap::answer::{self, Answer};
use crate::soap::request::Manner;

/// The contract's own form.
const SAMPLE: &str = include_str!("../../deploy/demo/samples/syn_apply_info.xml");
/// Where the service lies, if the address does not say.
const SERVICE: &str = "/YlzSynInfoService/services/service";
const OPERATION: &str = "SynApplyInfo";
const PARAMETER: &str = "req";
const ANSWER_TIMEOUT: Duration = Duration::from_secs(60);
/// Longest answer that is read.
const ANSWER_LIMIT_BYTES: u64 = 1 << 20;

#[derive(Debug, Args)]
pub struct Apply {
    /// 申请单 XML 文件 (files of forms)
    #[arg(value_name = "文件", required_unless_present = "sample")]
    files: Vec<PathBuf>,
    /// 发送契约的样例 (the contract's sample)
    #[arg(long, conflicts_with = "files")]
    sample: bool,
    /// SOAP 版本 (version)
    #[arg(long, value_enum, default_value = "1.1", value_name = "版本")]
    soap: Soap,
    /// 编码 (encoding)
    #[arg(
        long,
        value_enum,
        ignore_case = true,
        default_value = "UTF-8",
        value_name = "编码"
    )]
    charset: Charset,
    /// 以 CDATA 代替转义 (in a CDATA section)
    #[arg(long)]
    cdata: bool,
    /// 命名空间；空则没有 (namespace; empty: none)
    #[arg(long, default_value = "urn:yingku:syn-info", value_name = "URI")]
    namespace: String,
    /// 代替文件中的 Header/Action (in place of the file's)
    #[arg(long, value_enum, ignore_case = true, value_name = "动作")]
    action: Option<Action>,
    /// 代替文件中的 Exam/ApplyNo，带前缀 (in place of the file's, with its prefix)
    #[arg(long, value_name = "申请单号")]
    apply_no: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Soap {
    #[value(name = "1.1")]
    Soap11,
    #[value(name = "1.2")]
    Soap12,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Charset {
    #[value(name = "UTF-8")]
    Utf8,
    #[value(name = "GBK")]
    Gbk,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "UPPER")]
pub enum Action {
    Insert,
    Update,
    Delete,
}

impl Action {
    fn name(self) -> &'static str {
        match self {
            Self::Insert => "INSERT",
            Self::Update => "UPDATE",
            Self::Delete => "DELETE",
        }
    }
}

impl Apply {
    /// Sends the forms one by one; blocks. Whether all were taken.
    pub fn run(&self, credentials: &Credentials) -> anyhow::Result<bool> {
        let url = service(credentials.url.as_deref())?;
        let license = credentials.license.as_deref();
        let agent = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .timeout_global(Some(ANSWER_TIMEOUT))
            .build()
            .new_agent();
        let mut done = true;
        for (name, text) in self.forms()? {
            let document = self
                .document(&text, license)
                .with_context(|| name.clone())?;
            let answer = self.send(&agent, &url, &document)?;
            done &= answer.is_taken();
            println!("{name}: {}", words(&answer));
        }
        Ok(done)
    }

    /// Names and texts.
    fn forms(&self) -> anyhow::Result<Vec<(String, String)>> {
        if self.sample {
            return Ok(vec![("样例 (sample)".to_owned(), SAMPLE.to_owned())]);
        }
        let read = |file: &PathBuf| {
            let name = file.display().to_string();
            let bytes =
                std::fs::read(file).with_context(|| format!("{name} 读不到 (cannot be read)"))?;
            let text = xml::decode(&bytes, None).with_context(|| name.clone())?;
            Ok((name, text.into_owned()))
        };
        self.files.iter().map(read).collect()
    }

    /// The form as it is, so that what is tried is what a HIS would send; only what the command names is put in.
    fn document(&self, text: &str, license: Option<&str>) -> anyhow::Result<String> {
        let action = self.action.map(Action::name);
        let apply_no = self.apply_no.as_deref();
        if action.is_none() && license.is_none() && apply_no.is_none() {
            return Ok(text.to_owned());
        }
        let mut root = xml::read(text)?;
        for (parent, name, value) in [
            ("Header", "Action", action),
            ("Header", "License", license),
            ("Exam", "ApplyNo", apply_no),
        ] {
            let Some(value) = value else { continue };
            let mut children = root.children.iter_mut();
            let parent = children
                .find(|child| child.name == parent)
                .with_context(|| format!("没有 {parent} 元素 (there is no element {parent})"))?;
            set(parent, name, value);
        }
        Ok(format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>{}",
            root.to_text()
        ))
    }

    fn send(&self, agent: &ureq::Agent, url: &Url, document: &str) -> anyhow::Result<Answer> {
        let message = Manner {
            soap: match self.soap {
                Soap::Soap11 => SoapVersion::Soap11,
                Soap::Soap12 => SoapVersion::Soap12,
            },
            namespace: &self.namespace,
            operation: OPERATION,
            parameter: PARAMETER,
            qualified: false,
            action: "",
            escaping: match self.cdata {
                true => Escaping::Cdata,
                false => Escaping::Escaped,
            },
            charset: match self.charset {
                Charset::Utf8 => NoticeCharset::Utf8,
                Charset::Gbk => NoticeCharset::Gbk,
            },
        }
        .message(document);
        let mut request = agent
            .post(url.as_str())
            .header("Content-Type", &message.content_type);
        if let Some(action) = &message.action {
            request = request.header("SOAPAction", action);
        }
        let mut response = request
            .send(&message.body[..])
            .with_context(|| format!("{url}: 没有应答 (no answer)"))?;
        let http = response.status().as_u16();
        let kind = response.headers().get("Content-Type");
        let kind = kind.and_then(|kind| kind.to_str().ok()).map(str::to_owned);
        let bytes = response
            .body_mut()
            .with_config()
            .limit(ANSWER_LIMIT_BYTES)
            .read_to_vec()
            .with_context(|| format!("{url}: 应答中断 (the answer broke off)"))?;
        let charset = kind.as_deref().and_then(answer::charset_of);
        let mut answer = answer::read(&bytes, charset);
        if answer.code.is_empty() {
            answer.desc = format!("HTTP {http}: {}", answer.desc);
        }
        Ok(answer)
    }
}

/// The service's address: the one that is given, or the contract's place on that host.
fn service(url: Option<&str>) -> anyhow::Result<Url> {
    let url = url.context("须给出 --url 或环境变量 YINGKU_URL (is required)")?;
    let mut url = Url::parse(url).with_context(|| format!("--url {url}"))?;
    if url.path() == "/" {
        url.set_path(SERVICE);
    }
    Ok(url)
}

fn set(parent: &mut Element, name: &str, value: &str) {
    match parent.children.iter_mut().find(|child| child.name == name) {
        Some(child) => {
            value.clone_into(&mut child.text);
            child.children.clear();
        }
        None => {
            let mut child = parent.clone();
            name.clone_into(&mut child.name);
            value.clone_into(&mut child.text);
            child.attributes.clear();
            child.children.clear();
            parent.children.push(child);
        }
    }
}

/// What a code says (contract §3.1).
fn words(answer: &Answer) -> String {
    let meaning = match answer.code.as_str() {
        "" => "没有可读的答复 (no answer that can be read)",
        "0" => "成功 (done)",
        "-1" => "写入申请单失败 (writing the form failed)",
        "-2" => "删除失败 (deleting failed)",
        "-3" => "报文有误 (the message is wrong)",
        "-88" => "已登记、已检查或已出报告，未作改动 (its exam is registered: not changed)",
        "-99" => "没有此申请单，或已删除 (no such form, or already deleted)",
        _ => "契约中没有的代码 (no code of the contract)",
    };
    format!("{} {meaning} {}", answer.code, answer.desc)
        .trim()
        .to_owned()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn apply(action: Option<Action>) -> Apply {
        Apply {
            files: Vec::new(),
            sample: true,
            soap: Soap::Soap11,
            charset: Charset::Utf8,
            cdata: false,
            namespace: String::new(),
            action,
            apply_no: None,
        }
    }

    #[test]
    fn only_what_the_command_names_is_put_into_the_form() {
        assert_eq!(apply(None).document(SAMPLE, None).unwrap(), SAMPLE);
        let changed = apply(Some(Action::Delete)).document(SAMPLE, Some("x<y"));
        let root = xml::read(&changed.unwrap()).unwrap();
        let text = |path| root.at(path).unwrap().text.as_str();
        assert_eq!(text("Header/Action"), "DELETE");
        assert_eq!(text("Header/License"), "x<y");
        assert_eq!(text("Header/Application"), "HIS");
        assert_eq!(text("Exam/ApplyNo"), "7173_00000001");
        let bare = "<XmlDocument><Header/></XmlDocument>";
        let added = apply(None).document(bare, Some("x")).unwrap();
        assert_eq!(
            xml::read(&added)
                .unwrap()
                .at("Header/License")
                .unwrap()
                .text,
            "x"
        );
    }

    #[test]
    fn the_contract_s_place_is_added_to_a_bare_host() {
        let url = |url| service(Some(url)).unwrap().to_string();
        assert_eq!(
            url("http://127.0.0.1:8080"),
            format!("http://127.0.0.1:8080{SERVICE}")
        );
        assert_eq!(
            url("http://127.0.0.1:8080/a?wsdl"),
            "http://127.0.0.1:8080/a?wsdl"
        );
    }
}
