//! 姓: where a Chinese name is divided, and how its family name is read.

use std::collections::HashMap;
use std::sync::LazyLock;

use super::{is_between, read_or_unreadable, reading_of};

/// Surnames whose reading is not that of their characters, and those of several characters.
static SURNAMES: LazyLock<HashMap<&'static str, &'static str>> = LazyLock::new(|| {
    let table = include_str!("../../data/names/surnames.tsv");
    table
        .lines()
        .skip(1)
        .filter_map(|line| line.split_once('\t'))
        .collect()
});
/// Characters of the longest surname of the table.
const LONGEST: usize = 4;
/// Characters behind a surname at most: what is longer is of peoples who have no family name in front.
const GIVEN_CHARACTERS: usize = 3;

/// A Chinese name, divided.
pub(super) struct Surname {
    /// In large letters.
    pub reading: String,
    /// The other readings that a HIS may have taken.
    usual: String,
    pub characters: usize,
    pub given: String,
}

impl Surname {
    /// `None`: the name is not one that begins with a family name.
    pub fn of(name: &str) -> Option<Self> {
        let characters: Vec<char> = name.chars().collect();
        let is_chinese = |c: &char| reading_of(*c).is_some() || !c.is_ascii();
        let is_divided = characters.iter().any(|c| is_between(*c));
        let reads = characters.first().is_some_and(|c| reading_of(*c).is_some());
        if !reads || is_divided || !characters.iter().all(is_chinese) {
            return None;
        }
        // A surname of several characters has a given name behind it: 尉迟 alone is Wei Chi.
        let longest = LONGEST.min(characters.len().saturating_sub(1));
        let compound = (2..=longest).rev().find_map(|count| {
            let surname: String = characters.iter().take(count).collect();
            let reading = SURNAMES.get(surname.as_str())?;
            Some((count, *reading))
        });
        let (count, reading) = match compound {
            Some((count, reading)) => (count, Some(reading)),
            None => {
                let single = characters.first().map(char::to_string).unwrap_or_default();
                (1, SURNAMES.get(single.as_str()).copied())
            }
        };
        if characters.len() > count + GIVEN_CHARACTERS {
            return None;
        }
        let surname = characters.iter().take(count).copied();
        let usual: String = surname.map(read_or_unreadable).collect();
        Some(Self {
            reading: reading.map_or_else(|| usual.clone(), str::to_owned),
            usual,
            characters: count,
            given: characters.iter().skip(count).collect(),
        })
    }

    /// A reading in words, divided where this name is: `OU YANG XIU`, `OUYANG XIU` and `OUYANGXIU` are `OUYANG^XIU`. Empty:
    /// these are its initials.
    pub fn divide_words(&self, words: &[String]) -> String {
        let all = self.characters + self.given.chars().count();
        let letters: usize = words.iter().map(String::len).sum();
        if letters <= all {
            return String::new();
        }
        if let [word] = words {
            let readings = [self.reading.as_str(), self.usual.as_str()];
            let mut rests = readings.iter().filter_map(|family| {
                let rest = word.strip_prefix(family)?.trim_start_matches(['\'', '-']);
                (!rest.is_empty()).then(|| format!("{family}^{rest}"))
            });
            return rests.next().unwrap_or_else(|| word.clone());
        }
        let family = if words.len() == all {
            self.characters
        } else {
            1
        };
        let (family, given) = words.split_at(family.min(words.len()));
        match given {
            [] => family.concat(),
            given => format!("{}^{}", family.concat(), given.concat()),
        }
    }
}
