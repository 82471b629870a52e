//! 医保影像云索引: exams of before get theirs, what is owed goes to the authority in files, and its answers come back.

mod answers;
mod export;
mod form;
mod persons;
#[cfg(test)]
mod tests;

use std::path::Path;

use anyhow::Context;
use yingku_core::event::{Event, INDEX_SINCE_RULES};
use yingku_core::outcome::Outcome;
use yingku_core::registry::IndexSettings;
use yingku_storage::archive::{Archive, Submission};

use super::Operator;

pub use answers::take_answers;
pub use export::{Exporting, export};
pub use form::{Forming, form};

/// How the index is made, where it is.
fn settings(archive: &Archive) -> anyhow::Result<IndexSettings> {
    let registry = archive.registry();
    anyhow::ensure!(
        registry.rules >= INDEX_SINCE_RULES,
        "须先启用规则版本 {INDEX_SINCE_RULES}：yingku activate-rules (activate the rules of this release first)"
    );
    registry.settings.national_index.clone().context(
        "尚未设置影像云索引：deploy/registry.toml [settings.national_index] (no national index is set in the registry)",
    )
}

async fn submit(archive: &Archive, operator: &Operator, event: Event) -> anyhow::Result<()> {
    let submission = Submission {
        hospital: None,
        actor: operator.reader(),
        event,
    };
    if let Outcome::Refused(refusal) = archive.submit(submission).await?.outcome {
        anyhow::bail!(refusal.message);
    }
    Ok(())
}

/// Lines of a file in UTF-8, with or without a BOM; the file is bounded.
fn read_text(path: &Path, limit_bytes: u64) -> anyhow::Result<String> {
    let named = || format!("{} 读不到 (cannot be read)", path.display());
    let bytes = std::fs::metadata(path).with_context(named)?.len();
    anyhow::ensure!(
        bytes <= limit_bytes,
        "{}: 至多 {limit_bytes} 字节，请分成几个文件 (bytes at most: divide it)",
        path.display()
    );
    let bytes = std::fs::read(path).with_context(named)?;
    let text = String::from_utf8(bytes)
        .map_err(|_| anyhow::anyhow!("{} 须为 UTF-8 (must be UTF-8)", path.display()))?;
    Ok(text.trim_start_matches('\u{feff}').to_owned())
}

/// Cells of a line of CSV, quotes taken off.
fn cells(line: &str) -> Vec<String> {
    let mut cells = vec![String::new()];
    let mut in_quotes = false;
    let mut characters = line.chars().peekable();
    while let Some(character) = characters.next() {
        match character {
            '"' if in_quotes && characters.peek() == Some(&'"') => {
                characters.next();
                push(&mut cells, '"');
            }
            '"' => in_quotes = !in_quotes,
            ',' if !in_quotes => cells.push(String::new()),
            other => push(&mut cells, other),
        }
    }
    cells.iter().map(|cell| cell.trim().to_owned()).collect()
}

fn push(cells: &mut [String], character: char) {
    if let Some(cell) = cells.last_mut() {
        cell.push(character);
    }
}
