//! Reads every pack through and names what is not as it was written.

use yingku_core::ids::PackId;

use super::error::PackError;
use super::format::{HEADER_BYTES, IndexEntry};
use super::recover::DamagedRange;
use super::shared::{SEALED, Shared, UNSEALED};

/// Damaged places that a report names; a disk that is gone has no use for a longer list.
const MAX_NAMED: usize = 10_000;

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct VerifyReport {
    pub packs: u64,
    pub records: u64,
    /// Data and facts that were right.
    pub bytes: u64,
    /// The first 10,000 damaged places.
    pub damage: Vec<DamagedRange>,
    pub damaged: u64,
}

/// How far the verification is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct VerifyProgress {
    pub pack: PackId,
    pub packs_done: u64,
    pub packs: u64,
}

impl VerifyReport {
    fn damage(&mut self, pack: PackId, from: u64, to: u64, reason: impl Into<String>) {
        self.damaged += 1;
        if self.damage.len() < MAX_NAMED {
            self.damage.push(DamagedRange {
                pack,
                range: from..to,
                reason: reason.into(),
            });
        }
    }
}

pub fn verify(
    shared: &Shared,
    mut progress: impl FnMut(VerifyProgress),
) -> Result<VerifyReport, PackError> {
    let list = |extension| {
        shared
            .ids(extension)
            .map_err(|e| PackError::read(PackId(0), e))
    };
    // A pack sealed meanwhile is in the first list or found by its id; one made meanwhile was just checked by its writer.
    let mut ids = list(UNSEALED)?;
    ids.extend(list(SEALED)?);
    ids.extend(shared.journal.packs().into_iter().map(|(pack, _)| pack));
    ids.sort_unstable();
    ids.dedup();
    let mut report = VerifyReport::default();
    for (done, id) in ids.iter().enumerate() {
        progress(VerifyProgress {
            pack: *id,
            packs_done: done as u64,
            packs: ids.len() as u64,
        });
        verify_pack(shared, *id, &mut report)?;
    }
    Ok(report)
}

fn verify_pack(shared: &Shared, id: PackId, report: &mut VerifyReport) -> Result<(), PackError> {
    // The file may be sealed while it is read; records do not change by that.
    let unsealed = shared
        .ledger
        .lock()
        .get(&id)
        .map(|unsealed| (unsealed.index.clone(), unsealed.end));
    let pack = match shared.pack(id) {
        Ok(pack) => pack,
        // An empty pack, removed meanwhile.
        Err(PackError::Missing { .. }) => return Ok(()),
        Err(error) => return Err(error),
    };
    report.packs += 1;
    if let Err(error) = pack.check_header() {
        report.damage(id, 0, HEADER_BYTES as u64, words(error)?);
    }
    let (index, end) = match unsealed {
        Some(listed) => listed,
        None => match pack.index() {
            Ok(index) => index,
            Err(error) => {
                report.damage(id, 0, pack.len()?, words(error)?);
                let scan = pack.scan(pack.len()?)?;
                for range in scan.damage {
                    report.damage(id, range.start, range.end, "no valid record");
                }
                report.records += scan.entries.len() as u64;
                return Ok(());
            }
        },
    };
    let mut at = HEADER_BYTES as u64;
    for entry in &index {
        if entry.offset != at {
            report.damage(id, at, entry.offset, "no valid record");
        }
        at = entry.end();
        match pack.check(entry.offset) {
            Ok(found) if found == *entry => {
                report.records += 1;
                report.bytes += entry.data_len + u64::from(entry.facts_len);
            }
            Ok(_) => {
                let reason = "the record is not the one that the index lists";
                report.damage(id, entry.offset, at, reason);
            }
            Err(error) => report.damage(id, entry.offset, at, words(error)?),
        }
    }
    if at != end {
        report.damage(id, at, end, "no valid record");
    }
    Ok(())
}

/// Damage in words; any other error ends the verification.
fn words(error: PackError) -> Result<String, PackError> {
    match error {
        PackError::Damaged { reason, .. } => Ok(reason.to_owned()),
        PackError::TooLarge { .. } => Ok(error.to_string()),
        other => Err(other),
    }
}

/// The records of a pack: from the ledger, its index, or, where that is damaged, by reading it through.
pub fn entries(shared: &Shared, id: PackId) -> Result<Vec<IndexEntry>, PackError> {
    if let Some(unsealed) = shared.ledger.lock().get(&id) {
        return Ok(unsealed.index.clone());
    }
    let pack = shared.pack(id)?;
    match pack.index() {
        Ok((entries, _)) => Ok(entries),
        Err(PackError::Damaged { .. }) => Ok(pack.scan(pack.len()?)?.entries),
        Err(error) => Err(error),
    }
}
