//! Packs that are regrouped: instances move to copies of themselves in other packs, and packs that nothing leads to any
//! more go.
//!
//! Only where an instance lies changes. One that is elsewhere by now, or gone, is left alone, so that a record may come
//! late, or twice.

use std::collections::HashMap;

use super::{Context, held};
use crate::event::PacksCompacted;
use crate::ids::{PackId, StudyKey};
use crate::instance::{CompactedAt, InstancesMoved, MovedStudy, PackRow};
use crate::outcome::{ErrorKind, Outcome, Refusal};
use crate::state::{ChunkKey, Logged, State, StateError, Work};

/// Where the copies of a study's instances lie in their pack, by where the instances lay.
type Copies = HashMap<(PackId, u64), u64>;

pub(super) fn moved<S: State>(
    work: &mut Work<'_, S>,
    context: Context<'_>,
    body: &InstancesMoved,
) -> Result<Outcome, StateError> {
    if work.pack(body.pack)?.compacted.is_some() {
        // It came so late that its copies were given up: the instances lie where they lay.
        return Ok(Outcome::Done);
    }
    let mut offsets = Vec::new();
    for study in &body.studies {
        let copies = copies(study);
        offsets.extend(copies.values().copied());
        for home in work.claims(&study.study)?.homes(&study.study) {
            shown(work, &home, body.pack, &copies)?;
        }
        let place = |pack, offset| copies.get(&(pack, offset)).copied();
        held::relocate(work, &study.study, body.pack, place)?;
    }
    offsets.sort_unstable();
    work.changes.logged = Some(Logged {
        pack: body.pack,
        position: context.position,
        offsets,
    });
    let told = told_of(work, context, body.pack)?;
    let row = PackRow {
        made_of_others: true,
        is_whole: told.is_whole || body.is_last,
        ..told
    };
    work.put_pack(body.pack, row);
    Ok(Outcome::Done)
}

fn copies(study: &MovedStudy) -> Copies {
    let instances = study.instances.iter();
    instances
        .map(|moved| ((moved.from, moved.from_offset), moved.offset))
        .collect()
}

fn shown<S: State>(
    work: &mut Work<'_, S>,
    home: &StudyKey,
    pack: PackId,
    copies: &Copies,
) -> Result<(), StateError> {
    let Some(row) = work.study(home)? else {
        return Ok(());
    };
    let chunks: Vec<ChunkKey> = ChunkKey::all_of(&row).collect();
    for at in chunks {
        let Some(mut chunk) = work.chunk(&at)? else {
            continue;
        };
        let mut any = false;
        for entry in &mut chunk.entries {
            if let Some(offset) = copies.get(&(entry.pack, entry.stored.offset)) {
                entry.pack = pack;
                entry.stored.offset = *offset;
                any = true;
            }
        }
        if any {
            work.put_chunk(at, Some(chunk));
        }
    }
    Ok(())
}

/// The row of a pack of which the record at hand tells.
pub(super) fn told_of<S: State>(
    work: &Work<'_, S>,
    context: Context<'_>,
    pack: PackId,
) -> Result<PackRow, StateError> {
    Ok(PackRow {
        last: context.position,
        last_time_ms: context.time_ms,
        ..work.pack(pack)?
    })
}

/// All or none: what came into one of the packs since somebody looked is not lost sight of.
pub(super) fn compacted<S: State>(
    work: &mut Work<'_, S>,
    context: Context<'_>,
    body: &PacksCompacted,
) -> Result<Outcome, StateError> {
    let mut rows = Vec::new();
    for &pack in &body.packs {
        let row = work.pack(pack)?;
        if row.last >= body.as_of {
            return Ok(Outcome::Refused(Refusal::new(
                ErrorKind::Conflict,
                "pack-in-use",
                "packs",
                format!(
                    "影像包 {pack} 在检查之后又有记录，请重新整理 (the log told of {pack} again since it was looked at: compact again)"
                ),
            )));
        }
        if row.compacted.is_none() {
            rows.push((pack, row));
        }
    }
    for (pack, row) in rows {
        let compacted = Some(CompactedAt {
            position: context.position,
            time_ms: context.time_ms,
        });
        work.put_pack(pack, PackRow { compacted, ..row });
        work.changes.lost.push(pack);
    }
    Ok(Outcome::Done)
}
