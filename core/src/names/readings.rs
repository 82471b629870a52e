//! Every way in which a name may be read, for those who type it: 单 as dan, shan and chan, 吕 as lv, lyu and lu.
//!
//! Not what the views hold: an index made of these is made anew when they change.

use std::collections::BTreeSet;

use pinyin::{ToPinyin, ToPinyinMulti};

use super::is_between;
use super::surname::Surname;

/// Readings of one character that are kept: the most that any has.
const OF_CHARACTER: usize = 8;

/// The syllables of a name, character by character, each in small letters without tones, with all its readings. A word in
/// Latin letters is one syllable; what cannot be read is left out.
pub fn syllables(name: &str) -> Vec<BTreeSet<String>> {
    let mut syllables: Vec<BTreeSet<String>> = Vec::new();
    let mut word = String::new();
    for c in name.chars() {
        if c.is_ascii_alphanumeric() {
            word.push(c.to_ascii_lowercase());
            continue;
        }
        if !word.is_empty() {
            syllables.push(BTreeSet::from([std::mem::take(&mut word)]));
        }
        let read = of_character(c);
        if !read.is_empty() {
            syllables.push(read);
        }
    }
    if !word.is_empty() {
        syllables.push(BTreeSet::from([word]));
    }
    add_surname(name, &mut syllables);
    syllables
}

/// 单 Shan, 乐 Yue: a surname has a reading that its character may have nowhere else.
fn add_surname(name: &str, syllables: &mut [BTreeSet<String>]) {
    let Some(surname) = Surname::of(name) else {
        return;
    };
    if let Some(first) = syllables.first_mut()
        && surname.characters == 1
    {
        first.insert(surname.reading.to_ascii_lowercase());
    }
}

fn of_character(c: char) -> BTreeSet<String> {
    let mut readings = BTreeSet::new();
    if is_between(c) {
        return readings;
    }
    let all = c.to_pinyin_multi().into_iter().flatten();
    for reading in all.chain(c.to_pinyin()).take(OF_CHARACTER) {
        let plain = reading.plain();
        match plain.contains('ü') {
            true => readings.extend(["v", "yu", "u"].map(|typed| plain.replace('ü', typed))),
            false if plain.is_ascii() => {
                readings.insert(plain.to_owned());
            }
            false => {
                readings.insert(plain.replace('ê', "e"));
            }
        }
    }
    readings.retain(|reading| reading.is_ascii());
    readings
}

#[cfg(test)]
mod tests {
    #![allow(clippy::indexing_slicing)]
    use super::*;

    fn joined(name: &str) -> Vec<String> {
        let syllables = syllables(name).into_iter();
        syllables
            .map(|readings| readings.into_iter().collect::<Vec<_>>().join("/"))
            .collect()
    }

    #[test]
    fn a_character_has_every_reading_and_a_surname_its_own() {
        assert_eq!(joined("张小东"), ["zhang", "xiao", "dong"]);
        assert!(syllables("单雄信")[0].contains("shan"));
        assert!(syllables("乐嘉")[0].contains("yue") && syllables("乐嘉")[0].contains("le"));
        assert_eq!(joined("吕")[0], "lu/lv/lyu");
    }

    #[test]
    fn signs_between_are_left_out_and_words_stay_words() {
        assert_eq!(joined("买买提·艾力")[..2], ["mai", "mai"]);
        assert_eq!(syllables("买买提·艾力").len(), 5);
        assert_eq!(joined("John Smith"), ["john", "smith"]);
        assert!(syllables("").is_empty());
    }
}
