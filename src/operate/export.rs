//! All that is a hospital's own, as files that it can read without this archive.
//!
//! | file | what, one JSON object a line |
//! |---|---|
//! | `manifest.json` | of what it is, and how many of each; written last, so that a folder without it is unfinished |
//! | `pushes.jsonl` | every push as it came, with its position in the log and its time; of an exam that was registered from its form the content that it has of that |
//! | `forms.jsonl` | every message about an apply form |
//! | `exams.jsonl` | every exam as it stands: the position of its current push, state, studies, withdrawals |
//! | `declarations.jsonl`, `details.jsonl`, `refusals.jsonl`, `corrections.jsonl` | what was declared, refused and ruled |
//! | `images.jsonl` | every instance: its UIDs, where it lies here, and whether it is shown, hidden, further, held or set aside |
//! | `images/D…/S…/E…/I…` | the instances, Part 10 files as they came; names are file IDs (PS3.10 §8.2), so that a DICOMDIR can be made |

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use anyhow::Context;
use serde::Serialize;
use serde_json::{Value, json};
use yingku_core::envelope::Envelope;
use yingku_core::event::Event;
use yingku_core::exam::ExamRow;
use yingku_core::ids::{HospitalCode, PackId, Position, SeriesUid, StudyUid};
use yingku_core::instance::{ImageFacts, StoredInstance};
use yingku_core::national_index::IndexRow;
use yingku_storage::archive::Archive;
use yingku_storage::log::LogRecord;
use yingku_storage::packs::PackError;
use yingku_storage::views::{Views, Walk};

use super::ensure_registered;
use crate::control::Output;

/// Records and bytes that are read at once.
const READ_RECORDS: usize = 1_024;
const READ_BYTES: usize = 8 << 20;
/// Studies of one folder.
const STUDIES_OF_FOLDER: u64 = 1_000;
/// Studies between two words about how far it is.
const TELL_EVERY: u64 = 100;

pub async fn export(
    archive: &Archive,
    hospital: HospitalCode,
    to: &Path,
    output: &Output,
) -> anyhow::Result<bool> {
    ensure_registered(archive, &hospital)?;
    anyhow::ensure!(
        !to.exists(),
        "{} 已存在，请另给目录 (is there already: give a directory that does not exist)",
        to.display()
    );
    archive.settle().await?;
    let (archive, to, output) = (archive.clone(), to.to_owned(), output.clone());
    tokio::task::spawn_blocking(move || Export::begin(archive, hospital, to, output)?.run()).await?
}

/// How many there are of each.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct Counts {
    pushes: u64,
    forms: u64,
    exams: u64,
    declarations: u64,
    details: u64,
    refusals: u64,
    corrections: u64,
    studies: u64,
    images: u64,
    image_bytes: u64,
    /// Instances that cannot be read; `images.jsonl` says why.
    unreadable: u64,
}

struct Export {
    archive: Archive,
    hospital: HospitalCode,
    to: PathBuf,
    output: Output,
    /// What comes later is left out.
    end: Position,
    counts: Counts,
}

type Lines = BufWriter<File>;

impl Export {
    fn begin(
        archive: Archive,
        hospital: HospitalCode,
        to: PathBuf,
        output: Output,
    ) -> anyhow::Result<Self> {
        fs::create_dir_all(&to)
            .with_context(|| format!("{} 无法建立 (cannot be made)", to.display()))?;
        let end = archive.log().end()?;
        Ok(Self {
            archive,
            hospital,
            to,
            output,
            end,
            counts: Counts::default(),
        })
    }

    fn run(mut self) -> anyhow::Result<bool> {
        self.records()?;
        let views = self.archive.views();
        self.exams(&views)?;
        self.images(&views)?;
        let manifest = json!({
            "hospital": self.hospital.as_str(),
            "before": self.end.0,
            "counts": self.counts,
        });
        let mut file = File::create(self.to.join("manifest.json"))?;
        file.write_all(&serde_json::to_vec_pretty(&manifest)?)?;
        file.sync_all()?;
        let Counts {
            exams,
            pushes,
            images,
            image_bytes,
            unreadable,
            ..
        } = self.counts;
        self.output.blocking_line(format!(
            "已导出 (exported): 检查 (exams) {exams}, 推送 (pushes) {pushes}, 影像 (instances) {images}, {image_bytes} 字节 (bytes); 读不出 (unreadable) {unreadable}"
        ))?;
        Ok(unreadable == 0)
    }

    fn lines(&self, name: &str) -> anyhow::Result<Lines> {
        let path = self.to.join(name);
        let file = File::create(&path)
            .with_context(|| format!("{} 无法写 (cannot be written)", path.display()))?;
        Ok(BufWriter::new(file))
    }

    /// What the log has of the hospital, in order.
    fn records(&mut self) -> anyhow::Result<()> {
        let mut files = Records {
            pushes: self.lines("pushes.jsonl")?,
            forms: self.lines("forms.jsonl")?,
            declarations: self.lines("declarations.jsonl")?,
            details: self.lines("details.jsonl")?,
            refusals: self.lines("refusals.jsonl")?,
            corrections: self.lines("corrections.jsonl")?,
            own: BTreeSet::new(),
        };
        let mut next = Position(0);
        while next < self.end {
            let records = self.archive.log().read(next, READ_RECORDS, READ_BYTES)?;
            for record in &records {
                next = record.position.next();
                if record.position < self.end {
                    self.record(record, &mut files)?;
                }
            }
            if records.is_empty() {
                break;
            }
        }
        for mut file in [
            files.pushes,
            files.forms,
            files.declarations,
            files.details,
            files.refusals,
            files.corrections,
        ] {
            file.flush()?;
        }
        Ok(())
    }

    fn record(&mut self, record: &LogRecord, files: &mut Records) -> anyhow::Result<()> {
        let envelope = Envelope::decode(&record.bytes)?;
        let event = Event::decode(&envelope)?;
        let (position, time_ms) = (record.position.0, record.time_ms);
        let head = |more: Value| {
            let mut line =
                json!({ "position": position, "timeMs": time_ms, "actor": envelope.actor });
            if let (Value::Object(line), Value::Object(more)) = (&mut line, more) {
                line.extend(more);
            }
            line
        };
        let hospital = &self.hospital;
        match &event {
            Event::ExamPushed(pushed) => {
                let content: Value = serde_json::from_slice(&pushed.json)?;
                if content.get("hospitalCode").and_then(Value::as_str) == Some(hospital.as_str()) {
                    files.own.insert(position);
                    put(&mut files.pushes, &head(json!({ "content": content })))?;
                    self.counts.pushes += 1;
                }
            }
            Event::ExamRegistered(body) if body.form.hospital == *hospital => {
                let content: Value = serde_json::from_str(&body.json)?;
                files.own.insert(position);
                let from =
                    json!({ "content": content, "form": body.form, "registeredBy": body.by });
                put(&mut files.pushes, &head(from))?;
                self.counts.pushes += 1;
            }
            Event::ApplyFormReceived(body) if body.hospital == *hospital => {
                put(&mut files.forms, &head(serde_json::to_value(body)?))?;
                self.counts.forms += 1;
            }
            Event::StatisticsDeclared(body) => {
                let own = body
                    .rows
                    .iter()
                    .filter(|row| row.hospital_code == *hospital);
                self.counts.declarations += put_all(&mut files.declarations, own, head)?;
            }
            Event::DetailDeclared(body) => {
                let own = body
                    .rows
                    .iter()
                    .filter(|row| row.hospital_code == *hospital);
                self.counts.details += put_all(&mut files.details, own, head)?;
            }
            Event::InstancesRefused(body) => {
                let refused = body.refused.iter();
                let own = refused.filter(|row| row.hospital.as_ref() == Some(hospital));
                self.counts.refusals += put_all(&mut files.refusals, own, head)?;
            }
            Event::CorrectionMade(made) => {
                let body = serde_json::to_value(made)?;
                if files.concerns(&body, hospital) {
                    files.own.insert(position);
                    put(&mut files.corrections, &head(body))?;
                    self.counts.corrections += 1;
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn exams(&mut self, views: &Views) -> anyhow::Result<()> {
        let mut file = self.lines("exams.jsonl")?;
        let (mut exams, mut failure) = (0, None);
        let hospital = &self.hospital;
        views.visit_all_exams(&mut |row| {
            if row.key.hospital != *hospital {
                return Walk::On;
            }
            exams += 1;
            let written = views.national_index(&row.key);
            let written = written.map_err(anyhow::Error::from);
            let written =
                written.and_then(|index| put(&mut file, &exam_line(&row, index.as_ref())));
            match written {
                Ok(()) => Walk::On,
                Err(error) => {
                    failure = Some(error);
                    Walk::Stop
                }
            }
        })?;
        failure.map_or(Ok(()), Err)?;
        self.counts.exams = exams;
        Ok(file.flush()?)
    }

    fn images(&mut self, views: &Views) -> anyhow::Result<()> {
        let mut lines = self.lines("images.jsonl")?;
        let mut studies = Vec::new();
        views.visit_all_studies(&mut |row| {
            if row.key.hospital == self.hospital {
                studies.push(row.key);
            }
        })?;
        let mut folders = Folders::new(&self.to);
        for key in &studies {
            let Some(study) = views.study(key)? else {
                continue;
            };
            folders.study();
            self.counts.studies += 1;
            if self.counts.studies.is_multiple_of(TELL_EVERY) {
                self.output.blocking_note(format!(
                    "Study {} / {}",
                    self.counts.studies,
                    studies.len()
                ))?;
            }
            for (index, series) in study.series.iter().enumerate() {
                folders.series()?;
                for entry in views.all_instances(&study, index)? {
                    let state = match (key.lot > 0, entry.hidden > 0, entry.further) {
                        (true, ..) => "setAside",
                        (_, true, _) => "hidden",
                        (_, _, true) => "further",
                        _ => "shown",
                    };
                    let image = Image {
                        study: &key.study,
                        series: &series.uid,
                        stored: &entry.stored,
                        pack: entry.pack,
                        state,
                    };
                    self.image(&image, folders.image(), &mut lines)?;
                }
            }
        }
        let mut held = Vec::new();
        views.visit_held(&mut |group| {
            if group.group.hospital == self.hospital {
                held.push((group.pack, group.group));
            }
            Walk::On
        })?;
        for (pack, group) in &held {
            folders.study();
            folders.series()?;
            for stored in &group.instances {
                let image = Image {
                    study: &group.study_uid,
                    series: &group.series_uid,
                    stored,
                    pack: *pack,
                    state: "held",
                };
                self.image(&image, folders.image(), &mut lines)?;
            }
        }
        Ok(lines.flush()?)
    }

    /// Writes one instance, and the line that tells of it.
    fn image(&mut self, image: &Image<'_>, path: PathBuf, lines: &mut Lines) -> anyhow::Result<()> {
        if let Some(short) = self.archive.packs().health().short {
            anyhow::bail!("空间不足，导出中止 (space runs short, the export ends): {short}");
        }
        let place = path
            .strip_prefix(&self.to)
            .unwrap_or(&path)
            .display()
            .to_string();
        let problem = match self.copy(image, &path)? {
            Ok(bytes) => {
                self.counts.images += 1;
                self.counts.image_bytes += bytes;
                None
            }
            Err(error) => {
                self.counts.unreadable += 1;
                // What was written of it is not what came.
                let _ = fs::remove_file(&path);
                Some(error.to_string())
            }
        };
        let ImageFacts {
            sop_instance,
            sop_class,
            transfer_syntax,
            ..
        } = &image.stored.image;
        let line = json!({
            "studyUID": image.study.as_str(),
            "seriesUID": image.series.as_str(),
            "sopInstanceUID": sop_instance.as_str(),
            "sopClassUID": sop_class.as_str(),
            "transferSyntaxUID": transfer_syntax.as_str(),
            "state": image.state,
            "bytes": image.stored.length,
            "digest": format!("{:032x}", u128::from_be_bytes(image.stored.digest)),
            "file": problem.is_none().then_some(place),
            "problem": problem,
        });
        put(lines, &line)
    }

    /// `Ok(Err)`: it cannot be read.
    fn copy(&self, image: &Image<'_>, path: &Path) -> anyhow::Result<Result<u64, PackError>> {
        let mut reader = match self.archive.packs().reader(image.pack, image.stored.offset) {
            Ok(reader) => reader,
            Err(error) => return Ok(Err(error)),
        };
        let mut file = BufWriter::new(File::create(path)?);
        let mut bytes = 0u64;
        loop {
            match reader.next_chunk() {
                Ok(Some(chunk)) => {
                    bytes += chunk.len() as u64;
                    file.write_all(&chunk)?;
                }
                Ok(None) => break,
                Err(error) => return Ok(Err(error)),
            }
        }
        file.into_inner()
            .map_err(|error| error.into_error())?
            .sync_all()?;
        Ok(Ok(bytes))
    }
}

/// An instance of the hospital.
struct Image<'a> {
    study: &'a StudyUid,
    series: &'a SeriesUid,
    stored: &'a StoredInstance,
    pack: PackId,
    state: &'static str,
}

/// Files of what the log tells.
struct Records {
    pushes: Lines,
    forms: Lines,
    declarations: Lines,
    details: Lines,
    refusals: Lines,
    corrections: Lines,
    /// Positions of pushes and corrections that are the hospital's: others refer to them.
    own: BTreeSet<u64>,
}

impl Records {
    /// Whether a correction is of the hospital's exams or studies, or of a record that is its own.
    fn concerns(&self, made: &Value, hospital: &HospitalCode) -> bool {
        let named = ["/exam/hospital", "/study/hospital", "/to/hospital"];
        let names =
            |path: &&str| made.pointer(path).and_then(Value::as_str) == Some(hospital.as_str());
        let refers = |key: &str| {
            let position = made.get(key).and_then(Value::as_u64);
            position.is_some_and(|position| self.own.contains(&position))
        };
        named.iter().any(names) || refers("refused") || refers("correction")
    }
}

/// Names of folders and files, eight characters each.
struct Folders {
    images: PathBuf,
    studies: u64,
    series: u64,
    images_of_series: u64,
}

impl Folders {
    fn new(to: &Path) -> Self {
        Self {
            images: to.join("images"),
            studies: 0,
            series: 0,
            images_of_series: 0,
        }
    }

    fn study(&mut self) {
        self.studies += 1;
        self.series = 0;
    }

    fn series(&mut self) -> std::io::Result<()> {
        self.series += 1;
        self.images_of_series = 0;
        fs::create_dir_all(self.folder())
    }

    fn folder(&self) -> PathBuf {
        self.images
            .join(format!("D{:07}", self.studies / STUDIES_OF_FOLDER))
            .join(format!("S{:07}", self.studies))
            .join(format!("E{:07}", self.series))
    }

    fn image(&mut self) -> PathBuf {
        self.images_of_series += 1;
        self.folder().join(format!("I{:07}", self.images_of_series))
    }
}

fn exam_line(row: &ExamRow, index: Option<&IndexRow>) -> Value {
    let position = |position: Option<Position>| position.map(|position| position.0);
    json!({
        "examNo": row.key.exam_no.as_str(),
        "generation": row.key.generation,
        "position": row.position.0,
        "firstPosition": row.first_position.0,
        "versions": row.version,
        "examStatus": row.status,
        "flags": row.flags,
        "studies": row.studies.iter().map(|study| study.uid.as_str()).collect::<Vec<_>>(),
        "givenStudies": row.moved.iter().map(StudyUid::as_str).collect::<Vec<_>>(),
        "withdrawnByApp": position(row.withdrawn.app),
        "withdrawnByOperator": position(row.withdrawn.operator),
        "nationalIndex": index.and_then(|it| it.index.as_ref()),
        "nationalIndexState": index.map(|it| it.state.code()),
    })
}

/// Writes what a message has of the hospital, each with the message's head. How many.
fn put_all<'a, T: Serialize + 'a>(
    lines: &mut Lines,
    own: impl Iterator<Item = &'a T>,
    head: impl Fn(Value) -> Value,
) -> anyhow::Result<u64> {
    let mut count = 0;
    for row in own {
        put(lines, &head(serde_json::to_value(row)?))?;
        count += 1;
    }
    Ok(count)
}

fn put(lines: &mut Lines, line: &Value) -> anyhow::Result<()> {
    serde_json::to_writer(&mut *lines, line)?;
    Ok(lines.write_all(b"\n")?)
}
