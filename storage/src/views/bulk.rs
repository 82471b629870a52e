//! Loading empty views from a long log: rows go to files in large sorted pieces, past write-ahead log and memory
//! tables, while the next piece is being decided.

use rocksdb::{Cache, IngestExternalFileOptions, SstFileWriter};

use super::rows::Rows;
use super::{Cursor, View, Views, ViewsError, encode, family_options, keys};

/// Memory of one piece. Larger ones make fewer files to merge; four of them are alive at most.
pub const SEGMENT_BYTES: usize = 32 << 20;
/// In place of the rows' version while a load is under way: whoever opens such views makes them anew.
const LOADING: u32 = 0;
/// Files that are written need no cache of their own.
const NO_CACHE_BYTES: usize = 1 << 10;

impl Views {
    /// Marks empty views as unfinished, durably, until a cursor is written.
    pub fn begin_load(&self) -> Result<(), ViewsError> {
        let unfinished = Cursor {
            rows_version: LOADING,
            ..Cursor::default()
        };
        let row = encode(View::Meta, &unfinished)?;
        self.db
            .put_cf(self.family(View::Meta)?, keys::CURSOR, row)?;
        Ok(self.db.flush_cf(self.family(View::Meta)?)?)
    }

    /// Writes a piece as files of the views.
    pub fn load(&self, rows: &Rows) -> Result<(), ViewsError> {
        let cache = Cache::new_lru_cache(NO_CACHE_BYTES);
        for rows in rows.sorted().chunk_by(|a, b| a.0 == b.0) {
            let Some((view, ..)) = rows.first() else {
                continue;
            };
            let path = self.path().join(format!("{}.load", view.name()));
            let options = family_options(*view, &cache, false);
            let mut file = SstFileWriter::create(&options);
            file.open(&path)?;
            for (_, key, row) in rows {
                match row {
                    Some(bytes) => file.put(key, bytes)?,
                    None => file.delete(key)?,
                }
            }
            file.finish()?;
            let mut ingest = IngestExternalFileOptions::default();
            ingest.set_move_files(true);
            // Nobody reads these views yet.
            ingest.set_snapshot_consistency(false);
            let family = self.family(*view)?;
            self.db
                .ingest_external_file_cf_opts(family, &ingest, vec![&path])?;
        }
        Ok(())
    }
}
