//! What is owed the authority goes into a file, and only then it is on record that it did.
//!
//! | step | what a crash after it leaves | what the next export does |
//! |---|---|---|
//! | the file and its manifest are written beside their names, and durable | unfinished files | writes them anew |
//! | a note in the data directory says so, with every line, and is durable | the note | gives the files their names, and goes on |
//! | the files have their names | the note | goes on |
//! | the lines are on record, record by record | the note | records them all again: that says nothing new |
//! | the note goes | nothing | begins anew |
//!
//! So no line is in two files, whatever name the second one has, and a file that was interrupted is finished as it was.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, BufWriter, Write};
use std::path::{Path, PathBuf};

use anyhow::Context;
use serde::{Deserialize, Serialize};
use serde_json::json;
use yingku_core::event::{Event, ExportedIndex, IndexExported};
use yingku_core::ids::Position;
use yingku_core::national_index::{IndexRow, OwedKind};
use yingku_core::registry::IndexSettings;
use yingku_core::time::{LocalDate, LocalDateTime, Zone};
use yingku_storage::archive::Archive;
use yingku_storage::views::Walk;

use super::super::Operator;
use super::{settings, submit};
use crate::control::Output;

/// Lines of one file: a province's of a day. They are some 300 bytes each while the command runs.
const LINES_LIMIT: usize = 1_000_000;
/// Lines of one record, some 250 bytes each of the log's 1 MiB.
const LINES_OF_RECORD: usize = 1_000;
/// Name of the note in the data directory.
const NOTE: &str = "index-export.pending";
const PARTIAL: &str = ".partial";
const MANIFEST: &str = ".manifest.json";
const HEAD: &str = "action,index,replaces,hospitalCode,examNo,changed";

/// Two at a time would tell the same twice.
static ONE_AT_A_TIME: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

/// Which file is written, and of what.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Exporting {
    pub to: PathBuf,
    /// Only what records from this position on changed.
    pub since: Option<u64>,
    /// Only what changed on this day, `YYYY-MM-DD`.
    pub day: Option<String>,
}

pub async fn export(
    archive: &Archive,
    asked: Exporting,
    operator: &Operator,
    output: &Output,
) -> anyhow::Result<bool> {
    let _one = ONE_AT_A_TIME.lock().await;
    archive.settle().await?;
    let settings = settings(archive)?;
    if let Some(note) = Note::read(archive.dir())? {
        finish(archive, &note, operator, output).await?;
        if note.head.to == asked.to {
            return Ok(true);
        }
    }
    let (archive_too, to) = (archive.clone(), asked.to.clone());
    let written =
        tokio::task::spawn_blocking(move || write(&archive_too, &settings, &asked)).await??;
    match written {
        Some(note) => finish(archive, &note, operator, output).await?,
        None => {
            output
                .line(format!(
                    "没有要报送的索引，未写 {} (nothing is owed, no file was written)",
                    to.display()
                ))
                .await?;
        }
    }
    Ok(true)
}

/// Gives the files their names and puts what is in them on record.
async fn finish(
    archive: &Archive,
    note: &Note,
    operator: &Operator,
    output: &Output,
) -> anyhow::Result<()> {
    let head = note.head.clone();
    tokio::task::spawn_blocking(move || publish(&head.to)).await??;
    for lines in note.lines.chunks(LINES_OF_RECORD) {
        let file = note.head.blake3.clone();
        let lines = lines.to_vec();
        submit(
            archive,
            operator,
            Event::IndexExported(IndexExported { file, lines }),
        )
        .await?;
    }
    let dir = archive.dir().to_owned();
    tokio::task::spawn_blocking(move || Note::remove(&dir)).await??;
    output
        .line(format!(
            "已导出 (exported): {}；{} 行 (lines)；BLAKE3 {}",
            note.head.to.display(),
            note.lines.len(),
            note.head.blake3
        ))
        .await?;
    Ok(())
}

/// What a file has, until it is on record.
struct Note {
    head: NoteHead,
    lines: Vec<ExportedIndex>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct NoteHead {
    to: PathBuf,
    blake3: String,
    /// Fewer: the note is damaged.
    lines: usize,
}

impl Note {
    fn read(dir: &Path) -> anyhow::Result<Option<Self>> {
        let path = dir.join(NOTE);
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error).context(path.display().to_string()),
        };
        let damaged = || format!("{} 已损坏 (is damaged)", path.display());
        let mut lines = BufReader::new(file).lines();
        let head = lines.next().transpose()?.unwrap_or_default();
        let head: NoteHead = serde_json::from_str(&head).with_context(damaged)?;
        let lines = lines
            .map(|line| Ok(serde_json::from_str(&line?)?))
            .collect::<anyhow::Result<Vec<ExportedIndex>>>()
            .with_context(damaged)?;
        anyhow::ensure!(lines.len() == head.lines, damaged());
        Ok(Some(Self { head, lines }))
    }

    fn write(&self, dir: &Path) -> anyhow::Result<()> {
        let new = dir.join(format!("{NOTE}.new"));
        let mut file = BufWriter::new(File::create(&new)?);
        writeln!(file, "{}", serde_json::to_string(&self.head)?)?;
        for line in &self.lines {
            writeln!(file, "{}", serde_json::to_string(line)?)?;
        }
        durable(file)?;
        fs::rename(&new, dir.join(NOTE))?;
        sync_folder(dir)
    }

    fn remove(dir: &Path) -> anyhow::Result<()> {
        fs::remove_file(dir.join(NOTE))?;
        sync_folder(dir)
    }
}

/// Writes what is owed beside the file's name, and the note. `None`: nothing is owed.
fn write(
    archive: &Archive,
    settings: &IndexSettings,
    asked: &Exporting,
) -> anyhow::Result<Option<Note>> {
    for path in [&asked.to, &beside(&asked.to, MANIFEST)] {
        anyhow::ensure!(
            !path.exists(),
            "{} 已存在，请另给文件名 (is there already: give another name)",
            path.display()
        );
    }
    let zone = Zone::named(&archive.registry().settings.time_zone).unwrap_or_default();
    let rows = owed(archive, asked, &zone)?;
    if rows.is_empty() {
        return Ok(None);
    }
    let mut text = format!("\u{feff}{HEAD}\r\n");
    let mut lines = Vec::with_capacity(rows.len());
    let mut counts = [0usize; 3];
    for row in &rows {
        let Some(owed) = row.owed() else { continue };
        let count = match owed.kind {
            OwedKind::New => counts.first_mut(),
            OwedKind::Replaced => counts.get_mut(1),
            OwedKind::TakenBack => counts.get_mut(2),
        };
        count.into_iter().for_each(|count| *count += 1);
        let changed = LocalDateTime::from_unix_ms(row.time_ms, &zone);
        let changed = changed.map(|time| time.to_string()).unwrap_or_default();
        let replaces = owed.replaces.as_ref().map(|index| index.as_str());
        text += &format!(
            "{},{},{},{},{},{changed}\r\n",
            owed.kind.code(),
            owed.index,
            replaces.unwrap_or_default(),
            quoted(row.exam.hospital.as_str()),
            quoted(row.exam.exam_no.as_str()),
        );
        lines.push(ExportedIndex {
            exam: row.exam.clone(),
            index: (owed.kind != OwedKind::TakenBack).then_some(owed.index),
            as_of: row.position,
        });
    }
    let blake3 = blake3::hash(text.as_bytes()).to_hex().to_string();
    let [new, replaced, withdrawn] = counts;
    let made = LocalDateTime::from_unix_ms(jiff::Timestamp::now().as_millisecond(), &zone);
    let name = asked.to.file_name().map(|name| name.to_string_lossy());
    let manifest = json!({
        "file": name,
        "template": u16::from(settings.template),
        "lines": lines.len(),
        "new": new,
        "replace": replaced,
        "withdraw": withdrawn,
        "bytes": text.len(),
        "blake3": blake3,
        "made": made.map(|time| time.to_string()),
    });
    write_beside(&asked.to, text.as_bytes())?;
    let manifest = serde_json::to_vec_pretty(&manifest)?;
    write_beside(&beside(&asked.to, MANIFEST), &manifest)?;
    sync_folder(folder_of(&asked.to))?;
    let head = NoteHead {
        to: asked.to.clone(),
        blake3,
        lines: lines.len(),
    };
    let note = Note { head, lines };
    note.write(archive.dir())?;
    Ok(Some(note))
}

/// Rows of which the authority is to be told, in the order of the log.
fn owed(archive: &Archive, asked: &Exporting, zone: &Zone) -> anyhow::Result<Vec<IndexRow>> {
    let day = match &asked.day {
        Some(text) => {
            Some(LocalDate::parse(text).context("--day 应为 YYYY-MM-DD (must be a date)")?)
        }
        None => None,
    };
    let is_of_day = |row: &IndexRow| {
        let time = LocalDateTime::from_unix_ms(row.time_ms, zone);
        day.is_none_or(|day| time.is_some_and(|time| time.date() == day))
    };
    let mut rows = Vec::new();
    let from = Position(asked.since.unwrap_or_default());
    archive.views().visit_owed_indexes(from, &mut |row| {
        if is_of_day(&row) {
            rows.push(row);
        }
        match rows.len() <= LINES_LIMIT {
            true => Walk::On,
            false => Walk::Stop,
        }
    })?;
    // The rest is owed still, and in the next file.
    rows.truncate(LINES_LIMIT);
    Ok(rows)
}

/// The manifest has its name last: a file without one is unfinished.
fn publish(to: &Path) -> anyhow::Result<()> {
    for path in [to, &beside(to, MANIFEST)] {
        let partial = beside(path, PARTIAL);
        if !partial.exists() {
            // It had its name before, and may have been taken since.
            continue;
        }
        anyhow::ensure!(
            !path.exists(),
            "{} 已存在：请移走后再导出，以便完成上次中断的导出 (is there already: take it away, so that the interrupted export can be finished)",
            path.display()
        );
        fs::rename(&partial, path)?;
    }
    sync_folder(folder_of(to))
}

fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(ending);
    name.into()
}

fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}

fn write_beside(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    let partial = beside(path, PARTIAL);
    let mut file = File::create(&partial)
        .map(BufWriter::new)
        .with_context(|| format!("{} 无法写 (cannot be written)", partial.display()))?;
    file.write_all(bytes)?;
    durable(file)
}

fn durable(file: BufWriter<File>) -> anyhow::Result<()> {
    let file = file.into_inner().map_err(|error| error.into_error())?;
    Ok(file.sync_all()?)
}

fn sync_folder(folder: &Path) -> anyhow::Result<()> {
    let named = || format!("{} 无法写 (cannot be written)", folder.display());
    Ok(File::open(folder).with_context(named)?.sync_all()?)
}

/// A hospital's or exam's number as a cell of CSV.
fn quoted(text: &str) -> String {
    match text.contains([',', '"']) {
        true => format!("\"{}\"", text.replace('"', "\"\"")),
        false => text.to_owned(),
    }
}

/// An export that ends after a step, as a crash ends it.
#[cfg(test)]
pub(super) mod steps {
    #![allow(clippy::unwrap_used)]
    use super::*;

    /// 0: the files are written, and no note; 1: and the note; 2: and they have their names; 3: and a record was appended.
    pub async fn until(archive: &Archive, asked: &Exporting, step: u32, operator: &Operator) {
        let settings = settings(archive).unwrap();
        let note = write(archive, &settings, asked).unwrap().unwrap();
        if step == 0 {
            return Note::remove(archive.dir()).unwrap();
        }
        if step >= 2 {
            publish(&asked.to).unwrap();
        }
        if step >= 3 {
            let file = note.head.blake3.clone();
            let lines = note.lines.into_iter().take(1).collect();
            let event = Event::IndexExported(IndexExported { file, lines });
            submit(archive, operator, event).await.unwrap();
        }
    }
}
