//! What somebody typed, as a query of typed parts. There is no grammar: words are between blanks and signs, each may be a number,
//! a name or a part of one, its reading or first letters, an ICD code, or prose; all of them must be met.

use std::collections::BTreeMap;

use tantivy::Term;
use tantivy::query::{BooleanQuery, FuzzyTermQuery, PhraseQuery, Query, TermQuery};
use tantivy::schema::{Field, IndexRecordOption};

use crate::document::whole_name;
use crate::names;
use crate::schema::Fields;
use crate::words;

/// Characters that may be typed; what follows is not looked at.
pub const TEXT_LIMIT: usize = 256;
/// Words that are looked at; what follows narrows nothing.
pub const TERMS_LIMIT: usize = 16;

/// How sure a match is, from the surest, in points: of several ways in which a word is met the surest counts.
const NUMBER: u32 = 200;
const WHOLE_NAME: u32 = 120;
const NAME_READ: u32 = 60;
const PART_OF_NAME: u32 = 50;
const CODE: u32 = 40;
const INITIALS: u32 = 24;
/// What words of prose have more that stand in sequence.
const PHRASE: u32 = 8;
const PROSE: u32 = 2;
const GUESS: u32 = 1;

/// A beginning of a number that is looked for; shorter ones are met by too many.
const NUMBER_BEGINNING: usize = 4;
/// Letters of a reading in which a slip is forgiven.
const READING_FORGIVEN: usize = 5;
/// Initials of the longest names.
const INITIALS_LETTERS: usize = 8;

/// How strictly words are taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Strictness {
    Exact,
    /// Beginnings of numbers and readings, readings with a slip, characters of prose in any order, names that are read alike.
    Forgiving,
}

/// One way in which a word may be met.
pub struct Way {
    pub points: u32,
    pub query: Box<dyn Query>,
    /// What has more points where it is met too.
    pub phrase: Option<Phrase>,
}

pub struct Phrase {
    pub more: u32,
    pub query: Box<dyn Query>,
}

impl Way {
    pub fn new(points: u32, query: Box<dyn Query>) -> Self {
        Self {
            points,
            query,
            phrase: None,
        }
    }
}

/// Words that were typed.
pub fn words_of(text: &str) -> Vec<String> {
    let text: String = text.chars().take(TEXT_LIMIT).collect();
    let text = words::folded(&text);
    let is_between =
        |c: char| c.is_whitespace() || "，,;；、。！!？?()（）[]【】\"“”'‘’".contains(c);
    let words = text.split(is_between).filter(|word| !word.is_empty());
    words.take(TERMS_LIMIT).map(str::to_owned).collect()
}

/// The ways in which a word may be met; none: nothing can be looked for by it. `prefixes`: of the hospitals' own numbers (R15),
/// prefix → hospital.
pub fn ways(
    word: &str,
    strictness: Strictness,
    prefixes: &BTreeMap<String, String>,
    fields: &Fields,
) -> Vec<Way> {
    let mut ways = Vec::new();
    match word.chars().any(words::is_chinese) {
        true => chinese(word, strictness, fields, &mut ways),
        false => latin(word, strictness, prefixes, fields, &mut ways),
    }
    ways
}

fn chinese(word: &str, strictness: Strictness, fields: &Fields, ways: &mut Vec<Way>) {
    let name = whole_name(word);
    ways.push(Way::new(WHOLE_NAME, term(fields.whole_name, &name)));
    ways.push(Way::new(PART_OF_NAME, term(fields.name, &name)));
    ways.extend(prose(word, fields));
    if strictness == Strictness::Forgiving {
        // 张晓东 for 张小东
        for reading in names::readings(word) {
            ways.push(Way::new(GUESS, term(fields.pinyin, &reading)));
        }
        let characters = words::distinct_characters(std::iter::once(word));
        let characters = characters
            .into_iter()
            .map(|c| term(fields.character, &c.to_string()));
        let all = BooleanQuery::intersection(characters.collect());
        ways.push(Way::new(GUESS, Box::new(all)));
    }
}

fn latin(
    word: &str,
    strictness: Strictness,
    prefixes: &BTreeMap<String, String>,
    fields: &Fields,
    ways: &mut Vec<Way>,
) {
    let number = words::number(word);
    ways.push(Way::new(NUMBER, term(fields.number, &number)));
    if let Some((prefix, rest)) = number.split_once('_')
        && let Some(hospital) = prefixes.get(prefix)
    {
        let both = vec![term(fields.number, rest), term(fields.hospital, hospital)];
        ways.push(Way::new(NUMBER, Box::new(BooleanQuery::intersection(both))));
    }
    ways.push(Way::new(CODE, term(fields.code, &number)));
    if words::characters(word).len() == word.chars().count() {
        ways.push(Way::new(WHOLE_NAME, term(fields.whole_name, word)));
    }
    ways.extend(prose(word, fields));
    let is_reading = word.chars().all(|c| c.is_ascii_lowercase());
    if is_reading {
        ways.push(Way::new(NAME_READ, term(fields.pinyin, word)));
        if (2..=INITIALS_LETTERS).contains(&word.len()) {
            ways.push(Way::new(INITIALS, term(fields.initials, word)));
        }
    }
    if strictness == Strictness::Exact {
        return;
    }
    if number.chars().any(|c| c.is_ascii_digit()) && number.chars().count() >= NUMBER_BEGINNING {
        let beginning = Term::from_field_text(fields.number, &number);
        ways.push(Way::new(
            GUESS,
            Box::new(FuzzyTermQuery::new_prefix(beginning, 0, false)),
        ));
    }
    if is_reading && word.len() >= READING_FORGIVEN {
        let reading = || Term::from_field_text(fields.pinyin, word);
        ways.push(Way::new(
            GUESS,
            Box::new(FuzzyTermQuery::new_prefix(reading(), 0, false)),
        ));
        ways.push(Way::new(
            GUESS,
            Box::new(FuzzyTermQuery::new(reading(), 1, true)),
        ));
    }
}

/// Every word of it, and as a phrase above all.
fn prose(text: &str, fields: &Fields) -> Option<Way> {
    let words = words::asked(text);
    let terms = words.iter().map(|word| term(fields.prose, &word.text));
    let mut terms: Vec<_> = terms.collect();
    if terms.len() < 2 {
        return terms.pop().map(|only| Way::new(PROSE, only));
    }
    let phrase = in_sequence(fields.prose, &words).map(|query| Phrase {
        more: PHRASE,
        query,
    });
    Some(Way {
        phrase,
        ..Way::new(PROSE, Box::new(BooleanQuery::intersection(terms)))
    })
}

/// Words at their distances from each other.
fn in_sequence(field: Field, words: &[words::Word]) -> Option<Box<dyn Query>> {
    match words {
        [] => None,
        [only] => Some(term(field, &only.text)),
        [first, ..] => {
            let from = first.place;
            let terms = words
                .iter()
                .map(|word| (word.place - from, Term::from_field_text(field, &word.text)));
            Some(Box::new(PhraseQuery::new_with_offset(terms.collect())))
        }
    }
}

pub fn term(field: Field, text: &str) -> Box<dyn Query> {
    let term = Term::from_field_text(field, text);
    Box::new(TermQuery::new(term, IndexRecordOption::Basic))
}
