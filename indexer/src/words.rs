//! Text as it is compared, and prose in words.
//!
//! Prose is divided by jieba, with the shorter words that are within a longer one. A word's place is that of its first
//! character, so that a phrase is found whichever words it is made of.

use std::collections::BTreeSet;
use std::io::BufReader;
use std::sync::LazyLock;

use flate2::read::GzDecoder;
use jieba_rs::Jieba;
use tantivy::tokenizer::{PreTokenizedString, Token};

/// The dictionary of jieba (MIT, github.com/fxsjy/jieba): word, frequency, part of speech.
static DICTIONARY: &[u8] = include_bytes!("../data/jieba.txt.gz");

static JIEBA: LazyLock<Jieba> = LazyLock::new(|| {
    let mut dictionary = BufReader::new(GzDecoder::new(DICTIONARY));
    Jieba::with_dict(&mut dictionary).unwrap_or_else(|error| {
        // A test reads it. Prose would be found by its characters only.
        tracing::error!(%error, "the dictionary of Chinese words cannot be read");
        Jieba::empty()
    })
});

/// Between two texts of one field: no phrase runs from one into the next.
const GAP: usize = 16;

/// Bytes of the longest term that an index takes are far more; a longer run of letters is no word.
const WORD_CHARACTERS: usize = 64;

/// Characters of a name by whose runs it is found; longer names are found by their first ones.
const NAME_CHARACTERS: usize = 20;

/// Full-width letters, digits and signs as half-width ones, in small letters.
pub fn folded(text: &str) -> String {
    text.chars()
        .map(|c| match c {
            '\u{3000}' => ' ',
            '！'..='～' => {
                char::from_u32(u32::from(c) - u32::from('！') + u32::from('!')).unwrap_or(c)
            }
            c => c,
        })
        .flat_map(char::to_lowercase)
        .collect()
}

/// A number as numbers are compared: without blanks, in large letters.
pub fn number(text: &str) -> String {
    let folded = folded(text);
    let kept = folded.chars().filter(|c| !c.is_whitespace());
    kept.flat_map(char::to_uppercase).collect()
}

pub fn is_chinese(c: char) -> bool {
    matches!(c, '\u{3400}'..='\u{9fff}' | '\u{f900}'..='\u{faff}' | '\u{20000}'..='\u{3ffff}')
}

/// A word and the place of its first character.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Word {
    pub text: String,
    pub place: usize,
}

fn is_word(text: &str) -> bool {
    text.chars().any(char::is_alphanumeric) && text.chars().count() <= WORD_CHARACTERS
}

/// The words of a text, once each way of dividing it.
fn divided(text: &str) -> Vec<Word> {
    words_of(JIEBA.cut_for_search(text, true))
}

/// The words of what somebody typed, one way.
pub fn asked(text: &str) -> Vec<Word> {
    words_of(JIEBA.cut(text, true))
}

fn words_of(tokens: Vec<jieba_rs::Token<'_>>) -> Vec<Word> {
    let words = tokens.into_iter().filter(|token| is_word(token.word));
    words
        .map(|token| Word {
            text: token.word.to_owned(),
            place: token.start,
        })
        .collect()
}

/// Several texts in words, as a field takes them.
pub fn prose<'a>(texts: impl Iterator<Item = &'a str>) -> PreTokenizedString {
    let mut tokens = Vec::new();
    let mut from = 0;
    for text in texts {
        let text = folded(text);
        tokens.extend(divided(&text).into_iter().map(|word| Token {
            position: from + word.place,
            text: word.text,
            position_length: 1,
            ..Token::default()
        }));
        from += text.chars().count() + GAP;
    }
    PreTokenizedString {
        text: String::new(),
        tokens,
    }
}

/// Each character of a text and its place, signs aside.
pub fn characters(text: &str) -> Vec<Word> {
    let kept = text.chars().filter(|c| c.is_alphanumeric());
    kept.enumerate()
        .map(|(place, c)| Word {
            text: c.to_string(),
            place,
        })
        .collect()
}

/// Every run of a name's characters: `张小东`, `小东`, `东` …
pub fn runs(name: &str) -> BTreeSet<String> {
    let mut characters = characters(name);
    characters.truncate(NAME_CHARACTERS);
    let mut runs = BTreeSet::new();
    for from in 0..characters.len() {
        let mut run = String::new();
        for character in characters.iter().skip(from) {
            run.push_str(&character.text);
            runs.insert(run.clone());
        }
    }
    runs
}

/// Chinese characters of several texts, each once.
pub fn distinct_characters<'a>(texts: impl Iterator<Item = &'a str>) -> BTreeSet<char> {
    texts
        .flat_map(str::chars)
        .filter(|c| is_chinese(*c))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn full_width_and_large_letters_are_one_with_the_usual() {
        assert_eq!(folded("ＣＴ　平扫"), "ct 平扫");
        assert_eq!(number(" ct 2026０７ "), "CT202607");
    }

    #[test]
    fn a_long_word_is_found_by_the_shorter_ones_in_it() {
        let words: Vec<String> = divided("中国科学院")
            .into_iter()
            .map(|word| word.text)
            .collect();
        for word in ["中国", "科学", "科学院", "中国科学院"] {
            assert!(words.iter().any(|it| it == word), "{words:?}");
        }
    }

    #[test]
    fn a_place_counts_characters() {
        let places: Vec<usize> = asked("右肺CT").iter().map(|word| word.place).collect();
        assert_eq!(places.last(), Some(&2));
    }
}
