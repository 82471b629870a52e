//! A link to the clinic page (contract §4, R19), signed as a HIS signs it: to try one, and for whoever writes that program to
//! hold his own against.

use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::Context;
use clap::Args;
use url::Url;
use yingku_core::contract::clinic::ROUTE;
use yingku_core::contract::clinic::link::{LIFE_LIMIT_S, SECRET_SHORTEST, compose};

use super::Credentials;

/// The contract's parameters.
const NUMBERS: [&str; 5] = [
    "exam_no",
    "sick_id",
    "pat_local_id",
    "inpatient_no",
    "outpatient_no",
];

#[derive(Debug, Args)]
pub struct Link {
    /// 号码，如 exam_no=7173_yjdjh0；可多个 (numbers; several narrow)
    #[arg(required = true, value_name = "参数=号码", value_parser = number)]
    numbers: Vec<(&'static str, String)>,
    /// 为哪家医院调阅；无前缀的号码属于它；省略则为应用的机构 (for which hospital; bare numbers are its)
    #[arg(long, value_name = "医院代码")]
    hospital: Option<String>,
    /// 调阅人工号 (code of who reads)
    #[arg(long, value_name = "工号")]
    user: Option<String>,
    /// 跨院调阅理由 (why another hospital's exams are read)
    #[arg(long, value_parser = ["visit", "consent", "emergency"], value_name = "理由")]
    reason: Option<String>,
    /// 有效分钟数 (minutes that it is good for)
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(i64).range(1..=LIFE_LIMIT_S / 60), value_name = "分钟")]
    minutes: i64,
}

impl Link {
    /// Prints it; nothing is sent.
    pub fn run(&self, credentials: &Credentials) -> anyhow::Result<bool> {
        let (Some(url), Some(app), Some(license)) =
            (&credentials.url, &credentials.app, &credentials.license)
        else {
            anyhow::bail!("须给出 --url、--app、--license (are needed)");
        };
        anyhow::ensure!(
            license.chars().count() >= SECRET_SHORTEST,
            "许可证少于 {SECRET_SHORTEST} 个字符，平台不认其签名 (the license is too short to sign links)"
        );
        let now = SystemTime::now().duration_since(UNIX_EPOCH)?;
        let expires_s = i64::try_from(now.as_secs())? + self.minutes * 60;
        let numbers = self
            .numbers
            .iter()
            .map(|(name, number)| (*name, number.as_str()));
        let more = [
            ("hospital", &self.hospital),
            ("user", &self.user),
            ("reason", &self.reason),
        ];
        let more = more
            .into_iter()
            .filter_map(|(name, value)| Some((name, value.as_deref()?)));
        let query = compose(license.as_bytes(), numbers.chain(more), app, expires_s);
        let base = Url::parse(url).with_context(|| format!("--url {url}"))?;
        let mut page = base.join(ROUTE)?;
        page.set_query(Some(&query));
        println!("{page}");
        Ok(true)
    }
}

fn number(text: &str) -> Result<(&'static str, String), String> {
    let (name, number) = text.split_once('=').unwrap_or((text, ""));
    let known = NUMBERS.iter().find(|known| **known == name);
    match (known, number.is_empty()) {
        (Some(known), false) => Ok((known, number.to_owned())),
        _ => Err(format!(
            "应为 {} 之一、等号和号码 (must be one of these, an equals sign and a number)",
            NUMBERS.join("、")
        )),
    }
}
