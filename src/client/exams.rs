//! Examinations and declarations from files.

use std::path::PathBuf;

use anyhow::Context;
use clap::Args;

use super::Session;

#[derive(Debug, Clone, Default, Args)]
pub struct Files {
    /// JSON 文件 (JSON files)
    #[arg(required = true, value_name = "文件")]
    files: Vec<PathBuf>,
}

pub fn token(session: &Session, _: Files) -> anyhow::Result<bool> {
    println!("{}", session.token());
    Ok(true)
}

pub fn push(session: &Session, files: Files) -> anyhow::Result<bool> {
    post(session, "/v1/exam/push", files)
}

pub fn validate(session: &Session, files: Files) -> anyhow::Result<bool> {
    post(session, "/v1/exam/validate", files)
}

pub fn statistics(session: &Session, files: Files) -> anyhow::Result<bool> {
    post(session, "/v1/exam/uploadStatistics", files)
}

pub fn detail(session: &Session, files: Files) -> anyhow::Result<bool> {
    post(session, "/v1/exam/uploadDetail", files)
}

/// Each file as it is, so that what is tried is what a vendor's program would send.
fn post(session: &Session, path: &str, files: Files) -> anyhow::Result<bool> {
    let mut done = true;
    for file in files.files {
        let body = std::fs::read(&file)
            .with_context(|| format!("{} 读不到 (cannot be read)", file.display()))?;
        let answer = session.post(path, &body)?;
        done &= answer.is_done();
        let word = if answer.is_done() {
            "成功 (done)"
        } else {
            "被拒 (refused)"
        };
        println!("{word} {}: {answer}", file.display());
    }
    Ok(done)
}
