//! What somebody typed, as a query of typed parts. There is no grammar: words are between blanks and signs, each may be a number,
//! a name or a part of one, its reading or first letters, an ICD code, or prose; all of them must be met.

use std::collections::BTreeMap;

use tantivy::Term;
use tantivy::query::{
    BooleanQuery, BoostQuery, ConstScoreQuery, FuzzyTermQuery, Occur, PhraseQuery, Query, TermQuery,
};
use tantivy::schema::{Field, IndexRecordOption};

use crate::document::whole_name;
use crate::names;
use crate::schema::Fields;
use crate::words;

/// Characters that may be typed; what follows is not looked at.
pub const TEXT_LIMIT: usize = 256;
/// Words that are looked at; what follows narrows nothing.
pub const TERMS_LIMIT: usize = 16;

/// How sure a match is, from the surest: where several are met, the surest counts most.
const NUMBER: f32 = 100.0;
const WHOLE_NAME: f32 = 60.0;
const NAME_READ: f32 = 30.0;
const PART_OF_NAME: f32 = 25.0;
const CODE: f32 = 20.0;
const INITIALS: f32 = 12.0;
const PHRASE: f32 = 4.0;
const WORD: f32 = 1.0;
const GUESS: f32 = 0.5;

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

/// Words that were typed.
pub fn words_of(text: &str) -> Vec<String> {
    let text: String = text.chars().take(TEXT_LIMIT).collect();
    let text = words::folded(&text);
    let is_between =
        |c: char| c.is_whitespace() || "，,;；、。！!？?()（）[]【】\"“”'‘’".contains(c);
    let words = text.split(is_between).filter(|word| !word.is_empty());
    words.take(TERMS_LIMIT).map(str::to_owned).collect()
}

/// A word as a query; `None`: nothing can be looked for by it. `prefixes`: of the hospitals' own numbers (R15), prefix →
/// hospital.
pub fn of_word(
    word: &str,
    strictness: Strictness,
    prefixes: &BTreeMap<String, String>,
    fields: &Fields,
) -> Option<Box<dyn Query>> {
    let mut ways: Vec<Box<dyn Query>> = Vec::new();
    match word.chars().any(words::is_chinese) {
        true => chinese(word, strictness, fields, &mut ways),
        false => latin(word, strictness, prefixes, fields, &mut ways),
    }
    match ways.len() {
        0 => None,
        1 => ways.pop(),
        _ => Some(Box::new(BooleanQuery::union(ways))),
    }
}

fn chinese(word: &str, strictness: Strictness, fields: &Fields, ways: &mut Vec<Box<dyn Query>>) {
    let name = whole_name(word);
    ways.push(sure(WHOLE_NAME, term(fields.whole_name, &name)));
    if let Some(part) = in_sequence(fields.name, &words::characters(word)) {
        ways.push(sure(PART_OF_NAME, part));
    }
    ways.extend(prose(word, fields));
    if strictness == Strictness::Forgiving {
        // 张晓东 for 张小东
        for reading in names::readings(word) {
            ways.push(sure(GUESS, term(fields.pinyin, &reading)));
        }
        let characters = words::distinct_characters(std::iter::once(word));
        let characters = characters
            .into_iter()
            .map(|c| term(fields.character, &c.to_string()));
        let all = BooleanQuery::intersection(characters.collect());
        ways.push(sure(GUESS, Box::new(all)));
    }
}

fn latin(
    word: &str,
    strictness: Strictness,
    prefixes: &BTreeMap<String, String>,
    fields: &Fields,
    ways: &mut Vec<Box<dyn Query>>,
) {
    let number = words::number(word);
    ways.push(sure(NUMBER, term(fields.number, &number)));
    if let Some((prefix, rest)) = number.split_once('_')
        && let Some(hospital) = prefixes.get(prefix)
    {
        let both = vec![term(fields.number, rest), term(fields.hospital, hospital)];
        ways.push(sure(NUMBER, Box::new(BooleanQuery::intersection(both))));
    }
    ways.push(sure(CODE, term(fields.code, &number)));
    if words::characters(word).len() == word.chars().count() {
        ways.push(sure(WHOLE_NAME, term(fields.whole_name, word)));
    }
    ways.extend(prose(word, fields));
    let is_reading = word.chars().all(|c| c.is_ascii_lowercase());
    if is_reading {
        ways.push(sure(NAME_READ, term(fields.pinyin, word)));
        if (2..=INITIALS_LETTERS).contains(&word.len()) {
            ways.push(sure(INITIALS, term(fields.initials, word)));
        }
    }
    if strictness == Strictness::Exact {
        return;
    }
    if number.chars().any(|c| c.is_ascii_digit()) && number.chars().count() >= NUMBER_BEGINNING {
        let beginning = Term::from_field_text(fields.number, &number);
        ways.push(sure(
            GUESS,
            Box::new(FuzzyTermQuery::new_prefix(beginning, 0, false)),
        ));
    }
    if is_reading && word.len() >= READING_FORGIVEN {
        let reading = || Term::from_field_text(fields.pinyin, word);
        ways.push(sure(
            GUESS,
            Box::new(FuzzyTermQuery::new_prefix(reading(), 0, false)),
        ));
        ways.push(sure(
            GUESS,
            Box::new(FuzzyTermQuery::new(reading(), 1, true)),
        ));
    }
}

/// Every word of it, and as a phrase above all.
fn prose(text: &str, fields: &Fields) -> Option<Box<dyn Query>> {
    let words = words::asked(text);
    let clauses = words.iter().map(|word| {
        let found: Box<dyn Query> = sure(WORD, term(fields.prose, &word.text));
        (Occur::Must, found)
    });
    let mut clauses: Vec<_> = clauses.collect();
    if clauses.is_empty() {
        return None;
    }
    if words.len() > 1
        && let Some(phrase) = in_sequence(fields.prose, &words)
    {
        clauses.push((Occur::Should, sure(PHRASE, phrase)));
    }
    Some(Box::new(BooleanQuery::new(clauses)))
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

fn sure(score: f32, query: Box<dyn Query>) -> Box<dyn Query> {
    let found = ConstScoreQuery::new(query, 1.0);
    Box::new(BoostQuery::new(Box::new(found), score))
}
