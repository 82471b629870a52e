//! Which packs of this node are in the object store: `uploaded.journal` beside the packs, a line for each, only appended.
//!
//! ```text
//! 0001-00000000002a 268435712 5f3c0a91
//! ```
//!
//! Pack, bytes of the object, CRC-32C of both as they stand there; `gone` instead of the bytes: it was taken out again. A
//! line that a crash cut is cut off; a pack without a line is uploaded again, which changes nothing.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use parking_lot::Mutex;
use yingku_core::ids::PackId;

const NAME: &str = "uploaded.journal";
/// Instead of its bytes, where an object was removed.
const GONE: &str = "gone";

pub struct Journal {
    path: PathBuf,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    packs: BTreeMap<PackId, u64>,
    /// Absent until the object store was used for the first time.
    file: Option<File>,
}

impl Journal {
    /// Reads what is there.
    pub fn open(dir: &Path) -> io::Result<Self> {
        let path = dir.join(NAME);
        let opened = OpenOptions::new().read(true).write(true).open(&path);
        let state = match opened {
            Ok(file) => State::read(file)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => State::default(),
            Err(error) => return Err(error),
        };
        Ok(Self {
            path,
            state: Mutex::new(state),
        })
    }

    /// Takes the file away. Durable on return.
    pub fn remove(dir: &Path) -> io::Result<()> {
        match std::fs::remove_file(dir.join(NAME)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => File::open(dir)?.sync_all(),
        }
    }

    /// Whether the object store was used before.
    pub fn existed(&self) -> bool {
        self.state.lock().file.is_some()
    }

    /// Makes the file, with packs that were found in the object store.
    pub fn begin(&self, found: impl Iterator<Item = (PackId, u64)>) -> io::Result<()> {
        let packs: BTreeMap<PackId, u64> = found.collect();
        let text: String = packs
            .iter()
            .map(|(pack, size)| line(*pack, *size))
            .collect();
        let staged = self.path.with_extension("new");
        let mut file = File::create(&staged)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        std::fs::rename(&staged, &self.path)?;
        if let Some(dir) = self.path.parent() {
            File::open(dir)?.sync_all()?;
        }
        *self.state.lock() = State {
            packs,
            file: Some(file),
        };
        Ok(())
    }

    /// Enters an uploaded pack. Durable on return.
    pub fn enter(&self, pack: PackId, size: u64) -> io::Result<()> {
        let mut state = self.state.lock();
        let file = state.file.as_mut();
        let file = file.ok_or_else(|| io::Error::other("the journal was not begun"))?;
        file.write_all(line(pack, size).as_bytes())?;
        file.sync_data()?;
        state.packs.insert(pack, size);
        Ok(())
    }

    /// The object was removed. Durable on return.
    pub fn leave(&self, pack: PackId) -> io::Result<()> {
        let mut state = self.state.lock();
        let file = state.file.as_mut();
        let file = file.ok_or_else(|| io::Error::other("the journal was not begun"))?;
        file.write_all(with_crc(&format!("{pack} {GONE}")).as_bytes())?;
        file.sync_data()?;
        state.packs.remove(&pack);
        Ok(())
    }

    /// The object is gone, or another. Until a restart, which finds out again.
    pub fn withdraw(&self, pack: PackId) {
        self.state.lock().packs.remove(&pack);
    }

    /// Bytes of the object; `None` if it is not there.
    pub fn size(&self, pack: PackId) -> Option<u64> {
        self.state.lock().packs.get(&pack).copied()
    }

    pub fn count(&self) -> u64 {
        self.state.lock().packs.len() as u64
    }

    pub fn packs(&self) -> Vec<(PackId, u64)> {
        let state = self.state.lock();
        state
            .packs
            .iter()
            .map(|(pack, size)| (*pack, *size))
            .collect()
    }
}

impl State {
    fn read(mut file: File) -> io::Result<Self> {
        let mut text = String::new();
        file.read_to_string(&mut text)?;
        let mut packs = BTreeMap::new();
        let mut whole = 0;
        for line in text.split_inclusive('\n') {
            match parsed(line) {
                Some((pack, Some(size))) => {
                    packs.insert(pack, size);
                }
                Some((pack, None)) => {
                    packs.remove(&pack);
                }
                None if line.ends_with('\n') => {
                    tracing::warn!(
                        "a line of the journal of uploads is damaged; its pack is uploaded again if it is here"
                    );
                }
                None => break,
            }
            whole += line.len() as u64;
        }
        file.set_len(whole)?;
        file.seek(SeekFrom::Start(whole))?;
        Ok(Self {
            packs,
            file: Some(file),
        })
    }
}

fn line(pack: PackId, size: u64) -> String {
    with_crc(&format!("{pack} {size}"))
}

fn with_crc(content: &str) -> String {
    let crc = crc32c::crc32c(content.as_bytes());
    format!("{content} {crc:08x}\n")
}

/// A pack, and the bytes of its object unless it is gone.
fn parsed(text: &str) -> Option<(PackId, Option<u64>)> {
    let (content, _) = text.strip_suffix('\n')?.rsplit_once(' ')?;
    if with_crc(content) != text {
        return None;
    }
    let (pack, size) = content.split_once(' ')?;
    let pack = PackId::parse(pack)?;
    match size {
        GONE => Some((pack, None)),
        size => Some((pack, Some(size.parse().ok()?))),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn begun(dir: &Path) -> Journal {
        let journal = Journal::open(dir).unwrap();
        journal.begin(std::iter::empty()).unwrap();
        journal
    }

    #[test]
    fn what_was_entered_is_there_after_a_restart_and_a_cut_line_is_not() {
        let dir = tempfile::TempDir::new().unwrap();
        let journal = begun(dir.path());
        for number in 1..=3 {
            journal
                .enter(PackId::new(7, number), 1000 + number)
                .unwrap();
        }
        let path = dir.path().join(NAME);
        let whole = std::fs::read_to_string(&path).unwrap();
        let third = whole.lines().nth(2).unwrap().len() + 1;
        for cut in 1..=third {
            std::fs::write(&path, &whole[..whole.len() - cut]).unwrap();
            let journal = Journal::open(dir.path()).unwrap();
            assert_eq!(journal.packs().len(), 2, "cut by {cut}");
            journal.enter(PackId::new(7, 9), 5).unwrap();
            assert_eq!(Journal::open(dir.path()).unwrap().packs().len(), 3);
        }
    }

    #[test]
    fn what_was_removed_is_gone_after_a_restart_and_may_come_again() {
        let dir = tempfile::TempDir::new().unwrap();
        let journal = begun(dir.path());
        let (one, other) = (PackId::new(7, 1), PackId::new(7, 2));
        journal.enter(one, 1000).unwrap();
        journal.enter(other, 2000).unwrap();
        journal.leave(one).unwrap();
        let again = Journal::open(dir.path()).unwrap();
        assert_eq!(again.packs(), [(other, 2000)]);
        again.enter(one, 3000).unwrap();
        assert_eq!(Journal::open(dir.path()).unwrap().size(one), Some(3000));
    }

    #[test]
    fn a_damaged_line_counts_as_not_uploaded() {
        let dir = tempfile::TempDir::new().unwrap();
        let journal = begun(dir.path());
        journal.enter(PackId::new(7, 1), 1000).unwrap();
        journal.enter(PackId::new(7, 2), 2000).unwrap();
        let path = dir.path().join(NAME);
        let changed = std::fs::read_to_string(&path)
            .unwrap()
            .replace(" 1000 ", " 1001 ");
        std::fs::write(&path, changed).unwrap();
        let journal = Journal::open(dir.path()).unwrap();
        assert_eq!(journal.size(PackId::new(7, 1)), None);
        assert_eq!(journal.size(PackId::new(7, 2)), Some(2000));
    }
}
