//! Numbers of documents and cards, as digests.

use serde::{Deserialize, Serialize};

/// Digest of a document's or card's number; its first byte says of which kind. It stays within the views: answers have none.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PersonKey([u8; 16]);

impl std::fmt::Debug for PersonKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("PersonKey")
    }
}

/// What the digests are keyed with: the same on every node and in every replay, and for this use only.
const CONTEXT: &str = "Yingku 影库 supervision 2026-11 person key";

/// Characters of a card's number at least: shorter ones are a hospital's own.
const CARD_CHARACTERS: usize = 8;

/// Which kind of number it is: equal digits of two kinds are two persons'.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum PersonKind {
    /// 居民身份证.
    Citizen = 1,
    /// 社保号, 医保号, 医保卡: hospitals write either card's number into either field.
    Insurance = 2,
    /// 市民卡.
    City = 3,
    /// 港澳居民来往内地通行证, 台湾居民来往大陆通行证, 护照, 军官证, 出生证.
    HongKongMacao = 16,
    Taiwan = 17,
    Passport = 18,
    Officer = 19,
    Birth = 20,
}

impl PersonKind {
    const ALL: [Self; 8] = [
        Self::Citizen,
        Self::Insurance,
        Self::City,
        Self::HongKongMacao,
        Self::Taiwan,
        Self::Passport,
        Self::Officer,
        Self::Birth,
    ];

    pub fn code(self) -> &'static str {
        match self {
            Self::Citizen => "identityCard",
            Self::Insurance => "insuranceCard",
            Self::City => "citizenCard",
            Self::HongKongMacao => "hongKongMacaoPermit",
            Self::Taiwan => "taiwanPermit",
            Self::Passport => "passport",
            Self::Officer => "officerCard",
            Self::Birth => "birthCertificate",
        }
    }

    pub fn name(self) -> &'static str {
        match self {
            Self::Citizen => "居民身份证",
            Self::Insurance => "医保卡、社保卡",
            Self::City => "市民卡",
            Self::HongKongMacao => "港澳居民来往内地通行证",
            Self::Taiwan => "台湾居民来往大陆通行证",
            Self::Passport => "护照",
            Self::Officer => "军官证",
            Self::Birth => "出生证",
        }
    }
}

impl PersonKey {
    /// The key of one document or card; `None` joins nobody: a wrong check character, a placeholder, a kind that is no
    /// person's, a hospital's own short number. `kind`: `idType` as pushed (contract §2.3).
    pub fn of_document(kind: &str, number: &str) -> Option<Self> {
        of_document(kind.trim(), number)
    }

    pub fn kind(self) -> Option<PersonKind> {
        let [kind, ..] = self.0;
        PersonKind::ALL.into_iter().find(|it| *it as u8 == kind)
    }

    pub fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

/// `idType`: 居民身份证, 医保卡, 市民卡 (contract §2.3).
const CITIZEN_TYPES: [&str; 2] = ["1", "01"];
const INSURANCE_TYPES: [&str; 2] = ["9", "09"];
const CITY_TYPE: &str = "10";
/// Numbers of one person each, with or without a zero in front.
const PERSONAL_TYPES: [(&str, PersonKind); 5] = [
    ("2", PersonKind::HongKongMacao),
    ("3", PersonKind::Taiwan),
    ("4", PersonKind::Passport),
    ("5", PersonKind::Officer),
    ("6", PersonKind::Birth),
];

/// The keys of a patient. `identities`: idType and idNumber; `cards`: siCard and miCard.
pub fn persons<'a>(
    identities: impl IntoIterator<Item = (&'a str, &'a str)>,
    cards: impl IntoIterator<Item = &'a str>,
) -> Vec<PersonKey> {
    let of_type = |(kind, number): (&str, &str)| of_document(kind, number);
    let documents = identities.into_iter().filter_map(of_type);
    let cards = cards.into_iter().filter_map(of_card);
    let mut keys: Vec<PersonKey> = documents.chain(cards).collect();
    keys.sort_unstable();
    keys.dedup();
    keys
}

fn of_document(kind: &str, number: &str) -> Option<PersonKey> {
    let number = plain(number);
    if is_citizen_number(&number) && (kind.is_empty() || CITIZEN_TYPES.contains(&kind)) {
        return Some(key(PersonKind::Citizen, &number));
    }
    if INSURANCE_TYPES.contains(&kind) {
        return of_card(&number);
    }
    if is_placeholder(&number) {
        return None;
    }
    if kind == CITY_TYPE {
        return Some(key(PersonKind::City, &number));
    }
    let kind = kind.strip_prefix('0').unwrap_or(kind);
    let mut personal = PERSONAL_TYPES.iter();
    let (_, personal) = personal.find(|(known, _)| *known == kind)?;
    Some(key(*personal, &number))
}

fn of_card(number: &str) -> Option<PersonKey> {
    let number = plain(number);
    // 社会保障号 is the number of the identity document.
    if is_citizen_number(&number) {
        return Some(key(PersonKind::Citizen, &number));
    }
    (!is_placeholder(&number)).then(|| key(PersonKind::Insurance, &number))
}

fn plain(number: &str) -> String {
    let kept = number.chars().filter(|c| !c.is_whitespace() && *c != '-');
    kept.flat_map(char::to_uppercase).collect()
}

fn key(kind: PersonKind, number: &str) -> PersonKey {
    let mut hasher = blake3::Hasher::new_derive_key(CONTEXT);
    hasher.update(&[kind as u8]);
    hasher.update(number.as_bytes());
    let mut digest = [0; 16];
    hasher.finalize_xof().fill(&mut digest);
    let [first, ..] = &mut digest;
    *first = kind as u8;
    PersonKey(digest)
}

/// Birth date (`YYYYMMDD`) and sex (1 男, 2 女) that a document's or card's number tells: only 居民身份证's does.
pub(super) fn told_by(kind: &str, number: &str) -> Option<(u32, u8)> {
    let key = of_document(kind, number)?;
    let number = plain(number);
    let birth = number
        .get(6..14)
        .filter(|_| key.kind() == Some(PersonKind::Citizen))?;
    let order = number.as_bytes().get(16)?;
    // 顺序码 is odd for men.
    let sex = if order % 2 == 1 { 1 } else { 2 };
    Some((birth.parse().ok()?, sex))
}

/// GB 11643: 17 digits and a check character, with a day of birth that there is.
fn is_citizen_number(number: &str) -> bool {
    const WEIGHTS: [u32; 17] = [7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2];
    const CHECKS: &[u8; 11] = b"10X98765432";
    let bytes = number.as_bytes();
    let Some((check, digits)) = bytes.split_last().filter(|_| bytes.len() == 18) else {
        return false;
    };
    if !digits.iter().all(u8::is_ascii_digit) || digits.starts_with(b"0") {
        return false;
    }
    let sum: u32 = digits
        .iter()
        .zip(WEIGHTS)
        .map(|(digit, weight)| u32::from(digit - b'0') * weight)
        .sum();
    let is_checked = CHECKS.get((sum % 11) as usize) == Some(check);
    let birth = number.get(6..14).unwrap_or_default();
    let birth = birth.parse().ok().map(crate::time::LocalDate::from_number);
    is_checked && matches!(birth, Some(Ok(_)))
}

/// Too short, of one character, or counted up: what is written where there is no number.
fn is_placeholder(number: &str) -> bool {
    let bytes = number.as_bytes();
    let is_plain = bytes.iter().all(u8::is_ascii_alphanumeric);
    let of_one = bytes
        .windows(2)
        .all(|pair| matches!(pair, [a, b] if a == b));
    let counted = "1234567890".repeat(4);
    let zeros = bytes.iter().filter(|byte| **byte == b'0').count();
    let is_empty = bytes.len() - zeros < 3;
    number.chars().count() < CARD_CHARACTERS
        || !is_plain
        || of_one
        || is_empty
        || counted.starts_with(number)
        || counted
            .get(9..)
            .is_some_and(|counted| counted.starts_with(number))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    /// A number that the standard's own text has as an example.
    const CITIZEN: &str = "11010519491231002X";

    #[test]
    fn an_identity_document_counts_with_its_check_character_and_birth_only() {
        for (number, valid) in [
            (CITIZEN, true),
            ("440524188001010015", false),
            ("110105194912310021", false),
            ("11010519491331002X", false),
            ("111111111111111111", false),
            ("1101051949123100", false),
            ("", false),
        ] {
            assert_eq!(is_citizen_number(number), valid, "{number}");
        }
    }

    #[test]
    fn one_patient_is_known_by_the_same_number_however_written_and_wherever() {
        let known = persons([("1", CITIZEN)], []);
        assert_eq!(known.len(), 1);
        assert_eq!(persons([("1", " 110105 19491231 002x ")], []), known);
        assert_eq!(persons([("", CITIZEN)], [CITIZEN]), known);
        assert_eq!(persons([("9", CITIZEN)], [""]), known);
        let card = persons([], ["A12893745"]);
        assert_eq!(persons([("9", "a12893745")], []), card);
        assert_ne!(persons([("4", "A12893745")], []), card);
    }

    #[test]
    fn placeholders_and_numbers_of_a_hospital_s_own_join_nobody() {
        let numbers = [
            "11111111",
            "00000000",
            "12345678",
            "123456789",
            "01234567",
            "0000000012",
            "无",
            "N/A",
            "12345",
            "０００００００００",
            "",
        ];
        for number in numbers {
            assert_eq!(
                persons([("1", number), ("9", number), ("4", number)], [number]),
                []
            );
        }
        // Another kind of document, and one that fails its check
        assert_eq!(
            persons([("11", "A12893745"), ("1", "110105194912310021")], []),
            []
        );
    }

    #[test]
    fn a_key_tells_its_kind() {
        for (kind, number, of) in [
            ("1", CITIZEN, PersonKind::Citizen),
            ("9", "A12893745", PersonKind::Insurance),
            ("10", "A12893745", PersonKind::City),
            ("04", "A12893745", PersonKind::Passport),
            ("6", "A12893745", PersonKind::Birth),
        ] {
            let key = PersonKey::of_document(kind, number).unwrap();
            assert_eq!(key.kind(), Some(of));
        }
    }

    #[test]
    fn nothing_of_a_number_is_shown() {
        let keys = persons([("1", CITIZEN)], []);
        assert_eq!(format!("{keys:?}"), "[PersonKey]");
    }
}
