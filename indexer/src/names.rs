//! Pieces of a name's readings: every run of its syllables, in letters and in first letters, so that any part of a name finds
//! it by an exact term.

use std::collections::BTreeSet;

use yingku_core::names::syllables;

/// Readings of one run: a name of eight characters with two readings each has hundreds.
const OF_RUN: usize = 16;
/// Syllables of a name that are looked at; longer names are found by their first ones.
const SYLLABLES: usize = 12;

/// What a name is found by.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Pieces {
    pub pinyin: BTreeSet<String>,
    /// Of two syllables and more.
    pub initials: BTreeSet<String>,
}

pub fn pieces(name: &str) -> Pieces {
    let mut syllables = syllables(name);
    syllables.truncate(SYLLABLES);
    let first_letters: Vec<BTreeSet<String>> = syllables
        .iter()
        .map(|readings| {
            let letters = readings.iter().filter_map(|reading| reading.get(..1));
            letters.map(str::to_owned).collect()
        })
        .collect();
    let mut pieces = Pieces::default();
    for from in 0..syllables.len() {
        pieces.pinyin.extend(runs(&syllables, from, 1));
        pieces.initials.extend(runs(&first_letters, from, 2));
    }
    pieces
}

/// Every reading of a whole name.
pub fn readings(name: &str) -> Vec<String> {
    let mut syllables = syllables(name);
    syllables.truncate(SYLLABLES);
    let mut runs = vec![String::new()];
    for readings in &syllables {
        runs = longer(&runs, readings);
    }
    runs.retain(|run| !run.is_empty());
    runs
}

/// The runs from one syllable on that have so many at least.
fn runs(syllables: &[BTreeSet<String>], from: usize, least: usize) -> Vec<String> {
    let mut all = Vec::new();
    let mut runs = vec![String::new()];
    for (count, readings) in syllables.iter().skip(from).enumerate() {
        runs = longer(&runs, readings);
        if count + 1 >= least {
            all.extend(runs.iter().cloned());
        }
    }
    all
}

fn longer(runs: &[String], readings: &BTreeSet<String>) -> Vec<String> {
    let longer = runs.iter().flat_map(|run| {
        readings
            .iter()
            .map(move |reading| format!("{run}{reading}"))
    });
    longer.take(OF_RUN).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_part_of_a_name_is_a_piece() {
        let pieces = pieces("张小东");
        for pinyin in ["zhangxiaodong", "zhangxiao", "xiaodong", "zhang", "dong"] {
            assert!(pieces.pinyin.contains(pinyin), "{pinyin}");
        }
        assert_eq!(
            pieces.initials.into_iter().collect::<Vec<_>>(),
            ["xd", "zx", "zxd"]
        );
    }

    #[test]
    fn a_name_with_many_readings_has_a_bounded_number() {
        let long = "乐".repeat(40);
        let pieces = pieces(&long);
        assert!(pieces.pinyin.len() <= SYLLABLES * SYLLABLES * OF_RUN);
        assert!(readings(&long).len() <= OF_RUN);
        assert!(readings("").is_empty());
    }
}
