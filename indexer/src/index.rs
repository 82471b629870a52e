//! The index on disk: opened, or made anew where it cannot be used; written by one thread; read by many.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use tantivy::{
    IndexReader, IndexSortByField, IndexWriter, Order, ReloadPolicy, Searcher, TantivyDocument,
    Term,
};
use yingku_core::ids::{ExamKey, Position};
use yingku_core::registry::Settings;

use crate::document::{Exam, document, term_of};
use crate::schema::{FIRST, Fields, VERSION, schema};

/// Memory in which documents are gathered before they are a segment.
const WRITER_BYTES: usize = 64 << 20;
/// Of blocks of stored keys: small, since a hit reads one.
const DOCSTORE_BLOCK_BYTES: usize = 4 << 10;

#[derive(Debug, thiserror::Error)]
pub enum IndexError {
    #[error("the index cannot be used")]
    Tantivy(#[from] tantivy::TantivyError),
    #[error("the index's directory cannot be used")]
    Io(#[from] std::io::Error),
    #[error("a document of the index cannot be read")]
    Document,
    #[error("the index is not open for writing")]
    Closed,
    #[error("a page beyond the first {limit} exams that are found")]
    TooFar { limit: usize },
}

/// What a commit carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Payload {
    version: u32,
    /// Position of the log that comes next.
    next: u64,
}

/// The index. Cheap to clone.
#[derive(Clone)]
pub struct Index {
    inner: Arc<Inner>,
}

struct Inner {
    fields: Fields,
    index: tantivy::Index,
    reader: IndexReader,
    /// `None`: it failed, and could not be opened again so far.
    writer: Mutex<Option<IndexWriter>>,
    /// Why the index does not follow.
    problem: Mutex<Option<String>>,
    /// Position that the last commit has come to.
    next: AtomicU64,
    dir: PathBuf,
}

impl std::fmt::Debug for Index {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let next = self.next();
        f.debug_struct("Index")
            .field("next", &next)
            .finish_non_exhaustive()
    }
}

impl Index {
    /// Opens the index of a directory. One that is damaged, of another version, or ahead of `views` is made anew, empty.
    pub fn open(dir: &Path, views: Position) -> Result<Self, IndexError> {
        if let Some(index) = Self::open_as_it_is(dir, views) {
            return Ok(index);
        }
        match std::fs::remove_dir_all(dir) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error.into()),
            _ => {}
        }
        std::fs::create_dir_all(dir)?;
        let (schema, fields) = schema();
        let settings = tantivy::IndexSettings {
            docstore_blocksize: DOCSTORE_BLOCK_BYTES,
            // The newest first, so that who looks for them is done early.
            sort_by_field: Some(IndexSortByField {
                field: FIRST.to_owned(),
                order: Order::Desc,
            }),
            ..tantivy::IndexSettings::default()
        };
        let builder = tantivy::Index::builder().schema(schema).settings(settings);
        let index = builder.create_in_dir(dir)?;
        Self::with(&index, fields, Position(0), dir)
    }

    fn open_as_it_is(dir: &Path, views: Position) -> Option<Self> {
        if !dir.exists() {
            return None;
        }
        let opened = || -> Result<Option<Self>, IndexError> {
            let index = tantivy::Index::open_in_dir(dir)?;
            let (schema, fields) = schema();
            let payload = index.load_metas()?.payload.unwrap_or_default();
            let payload = serde_json::from_str::<Payload>(&payload).ok();
            let next = payload.filter(|it| it.version == VERSION && it.next <= views.0);
            match next {
                Some(payload) if index.schema() == schema => {
                    Self::with(&index, fields, Position(payload.next), dir).map(Some)
                }
                _ => Ok(None),
            }
        };
        match opened() {
            Ok(Some(index)) => return Some(index),
            Ok(None) => {
                tracing::info!("the index is another's, or of another version: it is made anew")
            }
            Err(error) => tracing::error!(%error, "the index is damaged and made anew"),
        }
        None
    }

    fn with(
        index: &tantivy::Index,
        fields: Fields,
        next: Position,
        dir: &Path,
    ) -> Result<Self, IndexError> {
        let reader = index
            .reader_builder()
            .reload_policy(ReloadPolicy::Manual)
            .try_into()?;
        let writer = index.writer_with_num_threads(1, WRITER_BYTES)?;
        Ok(Self {
            inner: Arc::new(Inner {
                fields,
                index: index.clone(),
                reader,
                writer: Mutex::new(Some(writer)),
                problem: Mutex::new(None),
                next: AtomicU64::new(next.0),
                dir: dir.to_owned(),
            }),
        })
    }

    /// Position of the log up to which exams are found as they stand.
    pub fn next(&self) -> Position {
        Position(self.inner.next.load(Ordering::Acquire))
    }

    /// Why it does not follow and is behind, if so. It goes on by itself when that has passed.
    pub fn problem(&self) -> Option<String> {
        self.inner.problem.lock().clone()
    }

    pub(crate) fn failed(&self, problem: String) {
        *self.inner.problem.lock() = Some(problem);
    }

    /// After a failure: what was not committed is forgotten, and writing goes on at the last commit. A writer that failed once
    /// takes nothing more.
    pub(crate) fn renew(&self) -> Result<(), IndexError> {
        let inner = &self.inner;
        if inner.problem.lock().is_none() {
            return Ok(());
        }
        let mut writer = inner.writer.lock();
        // It holds the lock of the directory.
        drop(writer.take());
        let payload = inner.index.load_metas()?.payload.unwrap_or_default();
        // A new index has none.
        let next = serde_json::from_str::<Payload>(&payload).map_or(0, |it| it.next);
        *writer = Some(inner.index.writer_with_num_threads(1, WRITER_BYTES)?);
        inner.next.store(next, Ordering::Release);
        Ok(())
    }

    /// Bytes on disk.
    pub fn bytes(&self) -> u64 {
        let entries = std::fs::read_dir(&self.inner.dir).into_iter().flatten();
        let sizes = entries.flatten().filter_map(|entry| entry.metadata().ok());
        sizes.map(|file| file.len()).sum()
    }

    /// Exams that are found.
    pub fn exams(&self) -> u64 {
        self.searcher().num_docs()
    }

    pub(crate) fn fields(&self) -> &Fields {
        &self.inner.fields
    }

    pub(crate) fn searcher(&self) -> Searcher {
        self.inner.reader.searcher()
    }

    pub(crate) fn document(&self, exam: &Exam, settings: &Settings) -> TantivyDocument {
        document(exam, settings, &self.inner.fields)
    }

    /// Puts exams in place of what is found of them so far; `None`: nothing is found any more. Seen by nobody before
    /// [`Self::commit`].
    pub(crate) fn replace(
        &self,
        exams: Vec<(ExamKey, Option<TantivyDocument>)>,
    ) -> Result<(), IndexError> {
        let writer = self.inner.writer.lock();
        let writer = writer.as_ref().ok_or(IndexError::Closed)?;
        for (key, document) in exams {
            writer.delete_term(Term::from_field_text(
                self.inner.fields.exam,
                &term_of(&key),
            ));
            if let Some(document) = document {
                writer.add_document(document)?;
            }
        }
        Ok(())
    }

    /// Records up to `next` changed no exam: that is noted with the next commit.
    pub(crate) fn passed(&self, next: Position) {
        self.inner.next.store(next.0, Ordering::Release);
    }

    /// Makes what was replaced durable and found, and notes how far that is.
    pub(crate) fn commit(&self, next: Position) -> Result<(), IndexError> {
        let payload = Payload {
            version: VERSION,
            next: next.0,
        };
        let mut guard = self.inner.writer.lock();
        let writer = guard.as_mut().ok_or(IndexError::Closed)?;
        let mut commit = writer.prepare_commit()?;
        commit.set_payload(&serde_json::to_string(&payload).unwrap_or_default());
        commit.commit()?;
        drop(guard);
        self.inner.reader.reload()?;
        self.inner.next.store(next.0, Ordering::Release);
        *self.inner.problem.lock() = None;
        Ok(())
    }
}
