//! Views: every table that is derived from the log, in one RocksDB, one column family a view.
//!
//! Written without sync: what a crash loses is replayed from the log. The cursor is written with the rows, in the same
//! batch. Views of which a row cannot be read are thrown away and made anew, never repaired: every read notes the first
//! damage it meets ([`Views::damage`]), and who follows the log waits for that.

mod batch;
mod bulk;
pub mod changes;
mod digest;
pub mod exams;
pub mod form_lists;
mod forms;
#[cfg(test)]
mod histories;
pub mod keys;
pub mod lists;
mod national_index;
mod notices;
pub mod open_forms;
#[cfg(test)]
mod open_forms_tests;
mod patients;
mod placed;
mod pulls;
pub mod reconcile;
#[cfg(test)]
mod recount;
#[cfg(test)]
mod recount_tests;
mod rows;
pub mod studies;
pub mod supervised;
#[cfg(test)]
mod supervised_tests;
#[cfg(test)]
mod transcripts;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rocksdb::checkpoint::Checkpoint;
use rocksdb::{
    BlockBasedIndexType, BlockBasedOptions, Cache, ColumnFamily, ColumnFamilyDescriptor, DB,
    DBCompressionType, DBRecoveryMode, Direction, ErrorKind, IteratorMode, Options, ReadOptions,
    WriteBatch,
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use tokio::sync::watch;
use yingku_core::ids::{PackId, Position};
use yingku_core::registry::Registry;
use yingku_core::state::StateError;

pub use batch::BatchState;
pub use bulk::SEGMENT_BYTES;
pub use keys::View;
pub use rows::Rows;

/// Memory for blocks that were read, all views together.
const BLOCK_CACHE_BYTES: usize = 64 << 20;
/// Memory for rows not yet in files, all views together; also how much a crash makes the views replay at most.
const WRITE_BUFFERS_BYTES: usize = 48 << 20;
/// Rows of one view that are gathered in memory before they go to a file.
const WRITE_BUFFER_BYTES: usize = 16 << 20;
/// One block of an index or a filter.
const METADATA_BLOCK_BYTES: usize = 4 << 10;
/// Version of the rows' encodings; views of another one are made anew.
pub const ROWS_VERSION: u32 = 11;

#[derive(Debug, thiserror::Error)]
pub enum ViewsError {
    #[error("views cannot be opened or read; they are rebuilt from the log")]
    Database(#[from] rocksdb::Error),
    #[error("a row of view {view} is not readable; the views are rebuilt from the log")]
    Row {
        view: &'static str,
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    #[error(
        "涉及超过 {limit} 行，请缩小日期、医院或号码范围 (more than {limit} rows: narrow it by date, hospital or number)"
    )]
    TooMany { limit: usize },
    #[error(
        "日期范围须从早到晚且不超过 {limit} 天 (the days must run forward and be {limit} at most)"
    )]
    Days { limit: usize },
}

impl From<ViewsError> for StateError {
    fn from(error: ViewsError) -> Self {
        Self(Box::new(error))
    }
}

impl ViewsError {
    /// Whether the views are at fault, not the question: rows or files that cannot be read.
    fn is_damage(&self) -> bool {
        match self {
            Self::Database(error) => {
                matches!(error.kind(), ErrorKind::Corruption | ErrorKind::IOError)
            }
            Self::Row { .. } => true,
            Self::TooMany { .. } | Self::Days { .. } => false,
        }
    }
}

/// How far the views have followed the log: the last record they hold, by position and id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cursor {
    pub rows_version: u32,
    /// The position that comes next.
    pub next: Position,
    /// Id of the record before it; zeros if there is none.
    pub last_id: [u8; 16],
    pub last_time_ms: i64,
}

impl Default for Cursor {
    fn default() -> Self {
        Self {
            rows_version: ROWS_VERSION,
            next: Position(0),
            last_id: [0; 16],
            last_time_ms: 0,
        }
    }
}

/// One set of views in one directory.
pub struct Views {
    // Closed before its directory may go: until then the database goes on making files there.
    db: DB,
    dir: Directory,
    damage: watch::Sender<Option<Arc<str>>>,
}

struct Directory {
    path: PathBuf,
    is_obsolete: AtomicBool,
}

impl Drop for Directory {
    fn drop(&mut self) {
        if self.is_obsolete.load(Ordering::Acquire)
            && let Err(error) = std::fs::remove_dir_all(&self.path)
        {
            tracing::warn!(%error, "old views stay until the next start");
        }
    }
}

impl Views {
    /// Opens the views in a directory, empty ones if there are none.
    pub fn open(path: &Path) -> Result<Self, ViewsError> {
        let cache = Cache::new_lru_cache(BLOCK_CACHE_BYTES);
        let families = View::ALL.iter().map(|view| {
            ColumnFamilyDescriptor::new(view.name(), family_options(*view, &cache, true))
        });
        let mut options = Options::default();
        options.create_if_missing(true);
        options.create_missing_column_families(true);
        options.set_db_write_buffer_size(WRITE_BUFFERS_BYTES);
        options.set_max_total_wal_size(WRITE_BUFFERS_BYTES as u64);
        options.set_wal_recovery_mode(DBRecoveryMode::PointInTime);
        options.set_max_background_jobs(2);
        options.set_max_open_files(512);
        options.set_keep_log_file_num(2);
        options.set_bytes_per_sync(1 << 20);
        options.set_avoid_unnecessary_blocking_io(true);
        let db = DB::open_cf_descriptors(&options, path, families)?;
        Ok(Self {
            db,
            dir: Directory {
                path: path.to_owned(),
                is_obsolete: AtomicBool::new(false),
            },
            damage: watch::Sender::new(None),
        })
    }

    pub fn path(&self) -> &Path {
        &self.dir.path
    }

    /// A copy of the views as they are now in a directory that is not there yet; files are linked where that is possible.
    pub fn checkpoint(&self, path: &Path) -> Result<(), ViewsError> {
        Ok(Checkpoint::new(&self.db)?.create_checkpoint(path)?)
    }

    /// Removes the directory as soon as the last reader lets go of these views.
    pub fn remove_when_closed(&self) {
        self.dir.is_obsolete.store(true, Ordering::Release);
    }

    /// Tells as soon as a reader has met something that cannot be read: these views are to be made anew.
    pub fn damage(&self) -> watch::Receiver<Option<Arc<str>>> {
        self.damage.subscribe()
    }

    /// Notes the damage if that is why nothing was read.
    fn noted<T>(&self, read: Result<T, ViewsError>) -> Result<T, ViewsError> {
        if let Err(error) = &read
            && error.is_damage()
        {
            self.damage.send_if_modified(|known| {
                let is_first = known.is_none();
                known.get_or_insert_with(|| full_text(error).into());
                is_first
            });
        }
        read
    }

    fn family(&self, view: View) -> Result<&ColumnFamily, ViewsError> {
        self.db
            .cf_handle(view.name())
            .ok_or_else(|| ViewsError::Row {
                view: view.name(),
                source: "the view is missing".into(),
            })
    }

    fn get<T: DeserializeOwned>(&self, view: View, key: &[u8]) -> Result<Option<T>, ViewsError> {
        self.read(view, key, |bytes| decode(view, bytes))
    }

    fn read<T>(
        &self,
        view: View,
        key: &[u8],
        read: impl FnOnce(&[u8]) -> Result<T, ViewsError>,
    ) -> Result<Option<T>, ViewsError> {
        let found = self.family(view).and_then(|family| {
            let bytes = self.db.get_pinned_cf(family, key)?;
            bytes.map(|bytes| read(&bytes)).transpose()
        });
        self.noted(found)
    }

    fn write(&self, batch: WriteBatch) -> Result<(), ViewsError> {
        match self.db.write(batch) {
            // The database writes no more once it met damage while it merged files; a full disk is no damage.
            Err(error) if error.kind() == ErrorKind::Corruption => self.noted(Err(error.into())),
            written => Ok(written?),
        }
    }

    /// Walks the rows whose keys start with a prefix, from `start` on, until the visitor says stop.
    fn scan(
        &self,
        view: View,
        prefix: &[u8],
        start: &[u8],
        visit: impl FnMut(&[u8], &[u8]) -> Result<Walk, ViewsError>,
    ) -> Result<(), ViewsError> {
        self.noted(self.walk(view, prefix, start, visit))
    }

    fn walk(
        &self,
        view: View,
        prefix: &[u8],
        start: &[u8],
        mut visit: impl FnMut(&[u8], &[u8]) -> Result<Walk, ViewsError>,
    ) -> Result<(), ViewsError> {
        let mut options = ReadOptions::default();
        options.set_total_order_seek(true);
        if let Some(end) = after_prefix(prefix) {
            options.set_iterate_upper_bound(end);
        }
        let from = if start.is_empty() { prefix } else { start };
        let mode = if from.is_empty() {
            IteratorMode::Start
        } else {
            IteratorMode::From(from, Direction::Forward)
        };
        for item in self.db.iterator_cf_opt(self.family(view)?, options, mode) {
            let (key, value) = item?;
            if matches!(visit(&key, &value)?, Walk::Stop) {
                break;
            }
        }
        Ok(())
    }

    pub fn cursor(&self) -> Result<Cursor, ViewsError> {
        Ok(self.get(View::Meta, keys::CURSOR)?.unwrap_or_default())
    }

    pub fn registry(&self) -> Result<Registry, ViewsError> {
        let registry = self.read(View::Meta, keys::REGISTRY, |bytes| {
            serde_json::from_slice(bytes).map_err(|source| ViewsError::Row {
                view: View::Meta.name(),
                source: Box::new(source),
            })
        });
        Ok(registry?.unwrap_or_default())
    }

    /// A node's packs of which the log tells, in order: one look for each, however many instances it has.
    pub fn logged_packs(&self, node: u16) -> Result<Vec<PackId>, ViewsError> {
        self.noted(self.packs_of_log(node))
    }

    fn packs_of_log(&self, node: u16) -> Result<Vec<PackId>, ViewsError> {
        let mut options = ReadOptions::default();
        options.set_total_order_seek(true);
        let mut lines = self
            .db
            .raw_iterator_cf_opt(self.family(View::Logged)?, options);
        let mut packs = Vec::new();
        let mut next = PackId::new(node, 0);
        loop {
            lines.seek(keys::pack(next));
            let found = lines.key().and_then(keys::pack_of);
            let Some(pack) = found.filter(|pack| pack.node() == node) else {
                lines.status()?;
                return Ok(packs);
            };
            packs.push(pack);
            next = PackId::new(node, pack.number() + 1);
            if next < pack {
                return Ok(packs);
            }
        }
    }

    /// Where in a pack the instances lie of which the log tells.
    pub fn logged_offsets(&self, pack: PackId) -> Result<BTreeSet<u64>, ViewsError> {
        let mut offsets = BTreeSet::new();
        self.scan(View::Logged, &keys::pack(pack), &[], |_, value| {
            let distances: Vec<u64> = decode(View::Logged, value)?;
            let mut at = 0u64;
            for distance in distances {
                at = at.saturating_add(distance);
                offsets.insert(at);
            }
            Ok(Walk::On)
        })?;
        Ok(offsets)
    }

    /// Writes everything in memory to files; ends a rebuild.
    pub fn flush(&self) -> Result<(), ViewsError> {
        for view in View::ALL {
            self.db.flush_cf(self.family(view)?)?;
        }
        Ok(())
    }

    /// Digest over every row of every view, in key order: two replays of one log agree on it, and so do nodes of two
    /// releases while the rules of the earlier one are in force.
    pub fn digest(&self) -> Result<[u8; 32], ViewsError> {
        self.freeze().digest()
    }

    /// The views as they are now, whatever is written later.
    pub fn freeze(&self) -> Frozen<'_> {
        Frozen {
            views: self,
            snapshot: self.db.snapshot(),
        }
    }

    /// Reads every block of every view, checksums included.
    pub fn verify(&self) -> Result<u64, ViewsError> {
        let mut rows = 0u64;
        for view in View::ALL {
            self.scan(view, &[], &[], |_, _| {
                rows += 1;
                Ok(Walk::On)
            })?;
        }
        Ok(rows)
    }

    /// Bytes of the views' files.
    pub fn file_bytes(&self) -> u64 {
        View::ALL.iter().map(|view| self.view_bytes(*view)).sum()
    }

    /// Bytes of one view's files.
    pub fn view_bytes(&self, view: View) -> u64 {
        let property = "rocksdb.total-sst-files-size";
        let family = self.family(view).ok();
        let bytes =
            family.and_then(|family| self.db.property_int_value_cf(family, property).ok()?);
        bytes.unwrap_or_default()
    }
}

/// The views at one moment.
pub struct Frozen<'v> {
    views: &'v Views,
    snapshot: rocksdb::Snapshot<'v>,
}

impl Frozen<'_> {
    /// How far these views had followed the log.
    pub fn cursor(&self) -> Result<Cursor, ViewsError> {
        let family = self.views.family(View::Meta)?;
        match self.snapshot.get_pinned_cf(family, keys::CURSOR)? {
            Some(bytes) => decode(View::Meta, &bytes),
            None => Ok(Cursor::default()),
        }
    }

    /// As [`Views::digest`].
    pub fn digest(&self) -> Result<[u8; 32], ViewsError> {
        self.views.noted(self.hash())
    }

    fn hash(&self) -> Result<[u8; 32], ViewsError> {
        digest::of(View::ALL.iter().map(|view| {
            let mut options = ReadOptions::default();
            options.fill_cache(false);
            options.set_total_order_seek(true);
            let family = self.views.family(*view)?;
            let rows = self
                .snapshot
                .iterator_cf_opt(family, options, IteratorMode::Start);
            Ok(digest::Part {
                name: view.name(),
                since_rules: view.since_rules(),
                rows: rows.map(|row| Ok::<_, ViewsError>(row?)),
            })
        }))
    }
}

/// Whether a walk over rows goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Walk {
    On,
    Stop,
}

/// `settled`: rows at rest, which are worth the time that zstd takes.
fn family_options(view: View, cache: &Cache, settled: bool) -> Options {
    let mut table = BlockBasedOptions::default();
    table.set_block_cache(cache);
    table.set_block_size(16 << 10);
    table.set_format_version(5);
    table.set_bloom_filter(10.0, false);
    // In small blocks, so that a look-up in a large file reads what it needs of its index and filter, not megabytes.
    table.set_index_type(BlockBasedIndexType::TwoLevelIndexSearch);
    table.set_partition_filters(true);
    table.set_metadata_block_size(METADATA_BLOCK_BYTES);
    table.set_pin_top_level_index_and_filter(true);
    table.set_cache_index_and_filter_blocks(true);
    table.set_pin_l0_filter_and_index_blocks_in_cache(true);
    let mut options = Options::default();
    options.set_block_based_table_factory(&table);
    options.set_write_buffer_size(match view {
        View::Signs | View::Corrections | View::RefusedPushes | View::Meta => 1 << 20,
        _ => WRITE_BUFFER_BYTES,
    });
    options.set_compression_type(DBCompressionType::Lz4);
    if settled {
        options.set_bottommost_compression_type(DBCompressionType::Zstd);
    }
    options.set_level_compaction_dynamic_level_bytes(true);
    options
}

/// An error with what is behind it.
fn full_text(error: &ViewsError) -> String {
    match std::error::Error::source(error) {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    }
}

/// The first key behind everything that starts with the prefix.
fn after_prefix(prefix: &[u8]) -> Option<Vec<u8>> {
    let mut end = prefix.to_vec();
    while let Some(last) = end.pop() {
        if last < u8::MAX {
            end.push(last + 1);
            return Some(end);
        }
    }
    None
}

fn encode<T: Serialize>(view: View, row: &T) -> Result<Vec<u8>, ViewsError> {
    postcard::to_stdvec(row).map_err(|source| ViewsError::Row {
        view: view.name(),
        source: Box::new(source),
    })
}

fn decode<T: DeserializeOwned>(view: View, bytes: &[u8]) -> Result<T, ViewsError> {
    postcard::from_bytes(bytes).map_err(|source| ViewsError::Row {
        view: view.name(),
        source: Box::new(source),
    })
}
