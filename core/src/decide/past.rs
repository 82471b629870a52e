//! Counts of a study's images at past moments.
//!
//! The record that brought an instance to a study tells since when it counts, as long as instances only come. Before
//! instances are hidden, shown again or taken to another hospital, the counts so far are written down, line by line;
//! after it, the counts as they are then. A study that nobody corrects has no line.

use std::collections::BTreeMap;

use super::Context;
use super::instances::for_each_chunk;
use crate::ids::{Position, StudyKey};
use crate::instance::{CountedAt, ImageCounts};
use crate::state::{State, StateError, Work};

/// Writes down a study's counts up to now: what follows in this record changes them otherwise than by arrival.
pub(super) fn keep<S: State>(work: &mut Work<'_, S>, key: &StudyKey) -> Result<(), StateError> {
    if !work.corrected.insert(key.clone()) {
        return Ok(());
    }
    let Some(row) = work.study(key)? else {
        return Ok(());
    };
    let mut came: BTreeMap<Position, ImageCounts> = BTreeMap::new();
    for_each_chunk(work, &row, |at, chunk| {
        for entry in chunk.entries {
            let is_later = row
                .counted
                .is_none_or(|last| entry.position > last.position);
            if is_later && entry.is_visible() {
                let came = came.entry(entry.position).or_default();
                came.add(&entry, row.is_series_zero(at.series));
            }
        }
    })?;
    let mut counts = row
        .counted
        .map_or_else(ImageCounts::default, |last| last.counts);
    for (position, came) in came {
        counts = counts.and(came);
        work.changes.counted.insert((key.clone(), position), counts);
    }
    Ok(())
}

/// Writes down the counts of the studies that this record has corrected, as it leaves them.
pub(super) fn close<S: State>(
    work: &mut Work<'_, S>,
    context: Context<'_>,
) -> Result<(), StateError> {
    for key in std::mem::take(&mut work.corrected) {
        let before = work.study(&key)?;
        let counted = CountedAt {
            position: context.position,
            counts: before.as_ref().map(|row| row.counts()).unwrap_or_default(),
        };
        if let Some(before) = before {
            let mut row = before.clone();
            row.counted = Some(counted);
            work.put_study(Some(before), Some(row));
        }
        work.changes
            .counted
            .insert((key, context.position), counted.counts);
    }
    Ok(())
}
