//! Settings of the embedded log and of the database below it.

use std::io;
use std::sync::Arc;

use rocksdb::{
    BlockBasedOptions, Cache, DBCompressionType, DBRecoveryMode, LogLevel, Options, ReadOptions,
};

use crate::log::unix_ms;
use crate::space::{FileSystem, FreeSpace};

pub type Clock = Arc<dyn Fn() -> i64 + Send + Sync>;
pub type WriteFault = Arc<dyn Fn() -> io::Result<()> + Send + Sync>;

/// How the embedded log runs. The last three are there for tests.
#[derive(Clone)]
pub struct EmbeddedLogOptions {
    /// Appends are refused when less than this would stay free.
    pub reserve_bytes: u64,
    pub free_space: Arc<dyn FreeSpace>,
    /// Milliseconds of the Unix epoch.
    pub clock: Clock,
    /// Asked before every write; its error stands for the disk's.
    pub write_fault: WriteFault,
}

impl Default for EmbeddedLogOptions {
    fn default() -> Self {
        Self {
            // Days of pushes of a city, so that the log outlives the refusal of images by far.
            reserve_bytes: 1024 * 1024 * 1024,
            free_space: Arc::new(FileSystem),
            clock: Arc::new(unix_ms),
            write_fault: Arc::new(|| Ok(())),
        }
    }
}

/// Memory that recent records may take before they are written as a table; also the size of a write-ahead log.
const WRITE_BUFFER_BYTES: usize = 16 * 1024 * 1024;
/// The log is read in order, so that a cache holds little that is read twice.
const BLOCK_CACHE_BYTES: usize = 8 * 1024 * 1024;
const BLOCK_BYTES: usize = 32 * 1024;
/// Tables kept open; each costs its index in memory.
const OPEN_FILES: i32 = 256;

/// Options of the log's database.
pub fn database() -> Options {
    let mut options = Options::default();
    options.create_if_missing(true);
    options.set_wal_recovery_mode(DBRecoveryMode::TolerateCorruptedTailRecords);
    options.set_track_and_verify_wals_in_manifest(true);
    options.set_paranoid_checks(true);
    options.set_manual_wal_flush(false);
    options.set_recycle_log_file_num(0);
    options.set_write_buffer_size(WRITE_BUFFER_BYTES);
    options.set_max_write_buffer_number(2);
    options.set_max_background_jobs(2);
    options.set_max_open_files(OPEN_FILES);
    options.set_compression_type(DBCompressionType::Lz4);
    options.set_log_level(LogLevel::Warn);
    options.set_keep_log_file_num(4);
    options.set_stats_dump_period_sec(0);
    let mut tables = BlockBasedOptions::default();
    tables.set_block_size(BLOCK_BYTES);
    tables.set_block_cache(&Cache::new_lru_cache(BLOCK_CACHE_BYTES));
    options.set_block_based_table_factory(&tables);
    options
}

/// As [`database`], but reads what it can of a damaged one: everything before the first bad record.
pub fn salvage() -> Options {
    let mut options = database();
    options.create_if_missing(false);
    options.set_wal_recovery_mode(DBRecoveryMode::PointInTime);
    options.set_track_and_verify_wals_in_manifest(false);
    options.set_paranoid_checks(false);
    options
}

pub fn reading() -> ReadOptions {
    let mut options = ReadOptions::default();
    options.set_verify_checksums(true);
    options
}
