//! What a start finds in packs that were not sealed.
//!
//! Every record is read and checked. An incomplete last record, which is what a crash leaves, is moved aside into
//! `damaged/` and cut off. Bytes that are no record but have records behind them are damage, and so is a last record of
//! which the event log tells: kept where they are, reported, never served. New instances go into new packs; an unsealed one is sealed as soon as the archive says that
//! the event log has all of its records.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use yingku_core::ids::PackId;

use super::disk::is_full;
use super::error::PackError;
use super::format::HEADER_BYTES;
use super::record::PackFile;
use super::shared::{Shared, UNSEALED, Unsealed, WHOLE};

/// Folder for what was cut off, beside the packs.
const ASIDE: &str = "damaged";
/// Bytes that are kept there, the newest piece in any case: older pieces go when more comes.
const ASIDE_BYTES: u64 = 1 << 30;
/// Pieces cut off at the same place of the same pack; there is at most one for each start that failed halfway.
const MAX_ASIDE: u32 = 1000;

/// Unsealed packs as a start found them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Recovered {
    /// Unsealed packs that hold records: the event log may lack some. Read them with `Packs::records`, append what is
    /// missing, then call `Packs::all_logged`.
    pub packs: Vec<RecoveredPack>,
    pub cut: Vec<CutRecord>,
    pub damage: Vec<DamagedRange>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecoveredPack {
    pub pack: PackId,
    pub records: u64,
}

/// An incomplete last record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CutRecord {
    pub pack: PackId,
    pub offset: u64,
    pub bytes: u64,
    /// All of its bytes were there and some were wrong, and the event log does not tell of it: a power loss amid its sync,
    /// or damage to an instance that was stored in the last moment.
    pub whole_length: bool,
    /// Where its bytes lie now; `None` if there was no room, then they are still in the pack.
    pub moved_to: Option<PathBuf>,
}

/// Bytes of a pack that are not what was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DamagedRange {
    pub pack: PackId,
    pub range: Range<u64>,
    pub reason: String,
}

/// Reads all unsealed packs and enters them in the ledger.
pub fn recover(
    shared: &Shared,
    is_logged: &dyn Fn(PackId, u64) -> bool,
) -> Result<Recovered, PackError> {
    let mut recovered = Recovered::default();
    let failed = |pack| move |e| PackError::read(pack, e);
    for id in shared.ids(WHOLE).map_err(failed(PackId(0)))? {
        // A crash while it was written: nothing of it was acknowledged.
        fs::remove_file(shared.path(id, WHOLE)).map_err(failed(id))?;
    }
    let unsealed = shared.ids(UNSEALED).map_err(failed(PackId(0)))?;
    for id in unsealed {
        let path = shared.path(id, UNSEALED);
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .open(&path)
            .map_err(failed(id))?;
        let pack = Arc::new(PackFile::local(id, file));
        if pack.len()? <= HEADER_BYTES as u64 {
            // A crash while it was made: no record was ever in it.
            fs::remove_file(&path).map_err(failed(id))?;
            continue;
        }
        recover_pack(shared, pack, is_logged, &mut recovered)?;
    }
    Ok(recovered)
}

fn recover_pack(
    shared: &Shared,
    pack: Arc<PackFile>,
    is_logged: &dyn Fn(PackId, u64) -> bool,
    recovered: &mut Recovered,
) -> Result<(), PackError> {
    let id = pack.id;
    let mut damage = |range: Range<u64>, reason: &str| {
        tracing::error!(pack = %id, from = range.start, to = range.end, reason, "damage in a pack");
        recovered.damage.push(DamagedRange {
            pack: id,
            range,
            reason: reason.to_owned(),
        });
    };
    match pack.check_header() {
        Ok(_) => {}
        Err(PackError::Damaged { reason, .. }) => damage(0..HEADER_BYTES as u64, reason),
        Err(error) => return Err(error),
    }
    let file_len = pack.len()?;
    let scan = pack.scan(file_len)?;
    for range in scan.damage {
        damage(range, "no valid record, with valid ones behind it");
    }
    let mut whole = true;
    if scan.end < file_len && is_logged(id, scan.end) {
        whole = false;
        damage(
            scan.end..file_len,
            "a stored instance, the last of its pack, is not as it was written",
        );
    } else if scan.end < file_len {
        let cut = cut_tail(shared, &pack, scan.end, file_len)?;
        whole = cut.as_ref().is_none_or(|cut| cut.moved_to.is_some());
        recovered.cut.extend(cut);
    }
    let records = scan.entries.len() as u64;
    if records > 0 {
        recovered.packs.push(RecoveredPack { pack: id, records });
    }
    let unsealed = Unsealed {
        index: scan.entries,
        end: scan.end,
        // What could not be moved aside must not be overwritten by an index.
        sealing: !whole,
        ..Unsealed::new(pack)
    };
    shared.ledger.lock().insert(id, unsealed);
    shared.retire(id);
    Ok(())
}

/// Moves the bytes from `offset` on aside and cuts them off. Zeros are only cut off: they hold nothing.
fn cut_tail(
    shared: &Shared,
    pack: &PackFile,
    offset: u64,
    file_len: u64,
) -> Result<Option<CutRecord>, PackError> {
    let failed = |e| PackError::read(pack.id, e);
    let header = pack.header_at(offset)?;
    let mut cut = CutRecord {
        pack: pack.id,
        offset,
        bytes: file_len - offset,
        whole_length: header.is_some_and(|header| {
            header.complete && offset.saturating_add(header.record_len()) <= file_len
        }),
        moved_to: None,
    };
    let zeros = only_zeros(&pack.file, offset).map_err(failed)?;
    if !zeros {
        match copy_aside(&shared.dir, pack, offset) {
            Ok(path) => cut.moved_to = Some(path),
            Err(error) if is_full(&error) => {
                tracing::warn!(pack = %pack.id, "no room to move an incomplete record aside; it stays");
                return Ok(Some(cut));
            }
            Err(error) => return Err(failed(error)),
        }
    }
    let disk = &shared.options.disk;
    disk.truncate(&pack.file, offset)
        .and_then(|()| disk.sync_data(&pack.file))
        .map_err(|e| shared.latch("cutting off an incomplete record", &e))?;
    tracing::warn!(pack = %pack.id, offset, bytes = cut.bytes, "cut off an incomplete record");
    Ok((!zeros).then_some(cut))
}

fn only_zeros(file: &File, offset: u64) -> io::Result<bool> {
    let mut reader = file;
    reader.seek(SeekFrom::Start(offset))?;
    let mut buffer = vec![0; 1024 * 1024];
    loop {
        let read = reader.read(&mut buffer)?;
        if read == 0 {
            return Ok(true);
        }
        if buffer.iter().take(read).any(|byte| *byte != 0) {
            return Ok(false);
        }
    }
}

/// Removes the oldest files of a folder until the others have at most `bytes`.
fn drop_oldest(folder: &Path, bytes: u64) -> io::Result<()> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let metadata = entry.metadata()?;
        files.push((metadata.modified()?, metadata.len(), entry.path()));
    }
    files.sort_unstable_by(|a, b| b.cmp(a));
    let mut kept = 0u64;
    for (_, length, path) in files {
        kept = kept.saturating_add(length);
        if kept > bytes {
            tracing::warn!(file = %path.display(), "an old incomplete record is removed: too much was kept of them");
            fs::remove_file(path)?;
        }
    }
    Ok(())
}

fn copy_aside(dir: &Path, pack: &PackFile, offset: u64) -> io::Result<PathBuf> {
    let aside = dir.join(ASIDE);
    fs::create_dir_all(&aside)?;
    drop_oldest(
        &aside,
        ASIDE_BYTES.saturating_sub(pack.file.metadata()?.len() - offset),
    )?;
    let path = (0..MAX_ASIDE)
        .map(|n| aside.join(format!("{}-{offset}-{n}.tail", pack.id)))
        .find(|path| !path.exists())
        .ok_or_else(|| io::Error::other("too many pieces lie aside; clear the folder"))?;
    let mut out = OpenOptions::new()
        .write(true)
        .create_new(true)
        .open(&path)?;
    let mut from = &pack.file;
    from.seek(SeekFrom::Start(offset))?;
    let copied = io::copy(&mut from, &mut out).and_then(|_| out.sync_all());
    if let Err(error) = copied {
        let _ = fs::remove_file(&path);
        return Err(error);
    }
    File::open(&aside)?.sync_all()?;
    Ok(path)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn of_what_lies_aside_the_oldest_goes_first() {
        let dir = tempfile::TempDir::new().unwrap();
        for (age, name) in ["newest", "older", "oldest"].iter().enumerate() {
            let path = dir.path().join(name);
            fs::write(&path, [0; 100]).unwrap();
            let time = std::time::UNIX_EPOCH + std::time::Duration::from_secs(1_000 - age as u64);
            File::open(&path).unwrap().set_modified(time).unwrap();
        }
        let left = || {
            let names = fs::read_dir(dir.path()).unwrap();
            let mut names: Vec<_> = names.map(|entry| entry.unwrap().file_name()).collect();
            names.sort();
            names
        };
        drop_oldest(dir.path(), 250).unwrap();
        assert_eq!(left(), ["newest", "older"]);
        drop_oldest(dir.path(), 50).unwrap();
        assert!(left().is_empty());
    }
}
