#![allow(clippy::unwrap_used, clippy::indexing_slicing)]
use super::*;
use crate::ids::{ExamKey, ExamNo, HospitalCode};

const EXAMPLE: &str =
    "10000000000000000708463177-202411221430-000000000-0000000000000-123502004266007916";

/// Numbers that look random and are the same in every run (xorshift).
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit
    }

    fn text(&mut self, alphabet: &[u8], count: usize) -> String {
        let one = |_| alphabet[self.below(alphabet.len() as u64) as usize] as char;
        (0..count).map(one).collect()
    }
}

const CODE_ALPHABET: &[u8] = b"0123456789ABCDEFGHJKLMNPQRTUWXY";

/// A code with each check character tried: exactly one is right.
fn credit_code(numbers: &mut Numbers) -> CreditCode {
    let body = numbers.text(CODE_ALPHABET, 17);
    let tried = CODE_ALPHABET.iter();
    let tried = tried.map(|check| CreditCode::new(&format!("{body}{}", *check as char)));
    let mut right: Vec<CreditCode> = tried.filter_map(Result::ok).collect();
    assert_eq!(right.len(), 1, "{body}");
    right.remove(0)
}

#[test]
fn the_contracts_example_is_made_of_its_parts_and_read_back() {
    let person = PersonCode::new("10000000000000000708463177").unwrap();
    let time = LocalDateTime::parse("2024-11-22 14:30:59").unwrap();
    let unit = CreditCode::new("123502004266007916").unwrap();
    let index = IndexTemplate::First.compose(&person, time, &unit);
    assert_eq!(index.as_str(), EXAMPLE);
    assert_eq!(EXAMPLE.len(), INDEX_CHARACTERS);
    assert_eq!(NationalIndex::parse(&format!(" {EXAMPLE} ")), Ok(index));
}

#[test]
fn what_is_composed_of_any_parts_is_read_back_and_one_changed_character_of_the_unit_is_noticed() {
    let mut numbers = Numbers(0x0dd0_5eed);
    for _ in 0..500 {
        let digits = format!("1{}", numbers.text(b"0123456789", 25));
        let person = PersonCode::new(&digits).unwrap();
        let time = format!(
            "{}-{:02}-{:02} {:02}:{:02}:{:02}",
            1900 + numbers.below(200),
            1 + numbers.below(12),
            1 + numbers.below(28),
            numbers.below(24),
            numbers.below(60),
            numbers.below(60)
        );
        let unit = credit_code(&mut numbers);
        let time = LocalDateTime::parse(&time).unwrap();
        let index = IndexTemplate::First.compose(&person, time, &unit);
        let read = NationalIndex::parse(index.as_str()).unwrap();
        assert_eq!(read, index);
        // Another character at one place of the unit's code
        let mut wrong = index.as_str().as_bytes().to_vec();
        let at = wrong.len() - 1 - numbers.below(18) as usize;
        let other = CODE_ALPHABET[numbers.below(31) as usize];
        let is_same = wrong[at] == other;
        wrong[at] = other;
        let read = NationalIndex::parse(std::str::from_utf8(&wrong).unwrap());
        assert_eq!(read.is_ok(), is_same, "place {at}");
    }
}

#[test]
fn each_wrong_part_is_named() {
    for (from, to, part) in [
        (
            "10000000000000000708463177",
            "1000000000000000070846317",
            Part::Person,
        ),
        (
            "10000000000000000708463177",
            "1000000000000000070846317X",
            Part::Person,
        ),
        (
            "10000000000000000708463177",
            "00000000000000000000000000",
            Part::Person,
        ),
        ("202411221430", "202411311430", Part::Time),
        ("202411221430", "202411222430", Part::Time),
        ("202411221430", "20241122143", Part::Time),
        ("202411221430", "2024112214３0", Part::Time),
        ("-000000000-", "-000000001-", Part::BodyPart),
        ("-000000000-", "-00000000-", Part::BodyPart),
        ("-0000000000000-", "-000000000000A-", Part::Device),
        ("123502004266007916", "123502004266007917", Part::Unit),
        ("123502004266007916", "12350200426600791", Part::Unit),
    ] {
        let text = EXAMPLE.replacen(from, to, 1);
        assert_eq!(
            NationalIndex::parse(&text),
            Err(IndexError::Part(part)),
            "{to}"
        );
    }
    for text in [
        "",
        "-",
        &EXAMPLE.replacen('-', "", 1),
        &format!("{EXAMPLE}-"),
        &EXAMPLE.replacen('-', " -", 1),
    ] {
        assert_eq!(NationalIndex::parse(text), Err(IndexError::Parts));
    }
}

#[test]
fn a_credit_code_says_what_is_wrong_with_it() {
    for (text, error) in [
        ("", CreditCodeError::Length),
        ("1235020042660079160", CreditCodeError::Length),
        ("12350200426600791é", CreditCodeError::Length),
        ("I23502004266007916", CreditCodeError::Character),
        ("12350200426600791z", CreditCodeError::Character),
        ("123502004266007961", CreditCodeError::Check),
    ] {
        assert_eq!(CreditCode::new(text), Err(error), "{text}");
    }
}

#[test]
fn no_person_is_seen_in_debug_or_errors_and_other_templates_are_not_known() {
    let index = NationalIndex::parse(EXAMPLE).unwrap();
    let row = IndexRow {
        person: Some(PersonCode::new("10000000000000000708463177").unwrap()),
        told: Some(index.clone()),
        index: Some(index),
        ..IndexRow::new(exam(1))
    };
    assert!(!format!("{row:?}").contains("708463177"));
    let wrong = EXAMPLE.replacen("7-2024", "X-2024", 1);
    let error = serde_json::from_value::<NationalIndex>(wrong.into()).unwrap_err();
    assert!(!error.to_string().contains("708463"), "{error}");
    assert!(serde_json::from_value::<IndexTemplate>(2.into()).is_err());
}

fn exam(number: usize) -> ExamKey {
    ExamKey {
        hospital: HospitalCode::new("350006").unwrap(),
        exam_no: ExamNo::new(format!("E{number}")).unwrap(),
        generation: 0,
    }
}

#[test]
fn former_holders_make_room_for_later_ones_and_those_in_force_do_not() {
    let mut held = IndexHolders::default();
    for number in 0..HOLDERS_LIMIT {
        assert!(held.put(&exam(number), Holding::InForce, 1));
    }
    assert!(!held.put(&exam(100), Holding::InForce, 2));
    held.put(&exam(3), Holding::Replaced, 3);
    assert!(held.put(&exam(100), Holding::InForce, 4));
    assert!(!held.in_force().any(|key| *key == exam(3)));
    assert_eq!(held.holders.len(), HOLDERS_LIMIT);
}
