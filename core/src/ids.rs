//! Identifiers, checked once at the edge and carried as their own types from there on.
//!
//! Their text may appear in logs and errors: they are codes of hospitals, exams and DICOM objects, never of people.
//! [`SickId`] and other patient numbers are not here on purpose; rows that hold them print them masked.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// Why a text is not an identifier.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IdError {
    #[error("{what} 为空，请填写 (is empty)")]
    Empty { what: &'static str },
    #[error(
        "{what} 超长：最多 {limit} 个字符，实为 {found} 个，请缩短 (at most {limit} characters, found {found})"
    )]
    TooLong {
        what: &'static str,
        limit: usize,
        found: usize,
    },
    #[error("{what} 含有不允许的字符：{allowed}")]
    Character {
        what: &'static str,
        /// What it may hold, in words.
        allowed: &'static str,
    },
}

impl IdError {
    /// In ASCII, for DICOM's Error Comment.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Empty { .. } => "is empty",
            Self::TooLong { .. } => "is too long",
            Self::Character { .. } => "holds a character that is not allowed",
        }
    }
}

macro_rules! text_id {
    ($(#[$doc:meta])* $name:ident, $what:literal, $limit:literal, $allowed:expr, $words:expr) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
        #[serde(transparent)]
        pub struct $name(Arc<str>);

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                deserializer.deserialize_str(SharedText).map(Self)
            }
        }

        impl $name {
            /// The most characters that it may have.
            pub const LIMIT: usize = $limit;

            /// Takes a trimmed text that keeps the rules of this identifier.
            pub fn new(text: impl AsRef<str>) -> Result<Self, IdError> {
                let text = text.as_ref().trim();
                if text.is_empty() {
                    return Err(IdError::Empty { what: $what });
                }
                let found = text.chars().count();
                if found > $limit {
                    return Err(IdError::TooLong { what: $what, limit: $limit, found });
                }
                let allowed: fn(char) -> bool = $allowed;
                if !text.chars().all(allowed) {
                    return Err(IdError::Character { what: $what, allowed: $words });
                }
                Ok(Self(text.into()))
            }

            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }
    };
}

/// Text that many rows share: rules copy identifiers all the time.
struct SharedText;

impl de::Visitor<'_> for SharedText {
    type Value = Arc<str>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an identifier")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Self::Value, E> {
        Ok(text.into())
    }
}

const PRINTABLE: &str = "不能有控制字符 (no control characters)";
const DIGITS_AND_DOTS: &str = "只能由数字和点组成 (a UID holds only digits and dots)";

fn printable(c: char) -> bool {
    !c.is_control()
}

fn uid_character(c: char) -> bool {
    c.is_ascii_digit() || c == '.'
}

fn ae_character(c: char) -> bool {
    (' '..='~').contains(&c) && c != '\\'
}

text_id!(
    /// 医院代码: the code that the platform gives a hospital (contract §2.3 `hospitalCode`, VC(32)).
    HospitalCode, "hospitalCode", 32, printable, PRINTABLE
);
text_id!(
    /// 检查唯一流水号: a hospital's own number of an examination (contract §2.3 `examNo`, VC(32)).
    ExamNo, "examNo", 32, printable, PRINTABLE
);
text_id!(
    /// 申请单号: a hospital's own number of an apply form (contract §2.3 `applyNo`; R13 allows 64).
    ApplyNo, "applyNo", 64, printable, PRINTABLE
);
text_id!(
    /// The name that the platform gives a client of its interfaces (contract §2.2 `appId`).
    AppId, "appId", 64, |c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'),
    "只能有字母、数字和 - _ . (letters, digits, - _ . only)"
);
text_id!(
    /// The name that the platform gives a HIS, which sends apply forms and takes notices (contract §3).
    HisId, "HIS", 64, |c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'),
    "只能有字母、数字和 - _ . (letters, digits, - _ . only)"
);
text_id!(
    /// Study Instance UID (0020,000D). The contract allows 128 characters where PS3.5 §9 allows 64.
    StudyUid, "StudyInstanceUID", 128, uid_character, DIGITS_AND_DOTS
);
text_id!(
    /// Series Instance UID (0020,000E).
    SeriesUid, "SeriesInstanceUID", 128, uid_character, DIGITS_AND_DOTS
);
text_id!(
    /// SOP Instance UID (0008,0018).
    SopInstanceUid, "SOPInstanceUID", 128, uid_character, DIGITS_AND_DOTS
);
text_id!(
    /// A UID of the standard or of a vendor: SOP class, transfer syntax (PS3.5 §9).
    Uid, "UID", 64, uid_character, DIGITS_AND_DOTS
);
text_id!(
    /// Application Entity title (PS3.5 §6.2, VR AE: at most 16 characters, blanks around it not significant).
    AeTitle, "AE title", 16, ae_character,
    "只能有可打印的 ASCII 字符，且无反斜线 (printable ASCII without a backslash)"
);

/// An examination: a hospital and its own number of the exam (R7).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ExamKey {
    pub hospital: HospitalCode,
    pub exam_no: ExamNo,
    /// A hospital that starts its numbers anew opens a new generation of them (R6); the first is 0.
    pub generation: u16,
}

impl fmt::Display for ExamKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.hospital, self.exam_no)?;
        if self.generation > 0 {
            write!(f, "#{}", self.generation)?;
        }
        Ok(())
    }
}

/// 申请单号: an apply form by its hospital's own number.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct FormKey {
    pub hospital: HospitalCode,
    /// As pushed.
    pub apply_no: String,
    /// Of numbers, as [`ExamKey::generation`].
    pub generation: u16,
}

impl fmt::Display for FormKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.hospital, self.apply_no)?;
        if self.generation > 0 {
            write!(f, "#{}", self.generation)?;
        }
        Ok(())
    }
}

/// A study as one hospital holds it: the same UID at two hospitals is two studies (R7), and so it is of two patients of
/// one hospital.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StudyKey {
    pub hospital: HospitalCode,
    pub study: StudyUid,
    /// 0: the images of the one whose the study is. Others, which nobody sees, are set aside under a number of their own.
    pub lot: u16,
}

impl StudyKey {
    pub fn new(hospital: HospitalCode, study: StudyUid) -> Self {
        Self {
            hospital,
            study,
            lot: 0,
        }
    }

    /// The same study's images of another patient.
    pub fn with_lot(&self, lot: u16) -> Self {
        Self {
            lot,
            ..self.clone()
        }
    }
}

impl fmt::Display for StudyKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.hospital, self.study)?;
        if self.lot > 0 {
            write!(f, "#{}", self.lot)?;
        }
        Ok(())
    }
}

/// As events and people name it: without a lot, which is nobody's business.
#[derive(Serialize, Deserialize)]
struct NamedStudy {
    hospital: HospitalCode,
    study: StudyUid,
}

/// As rows hold it.
#[derive(Serialize, Deserialize)]
struct PackedStudy(HospitalCode, StudyUid, u16);

impl Serialize for StudyKey {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let (hospital, study) = (self.hospital.clone(), self.study.clone());
        match serializer.is_human_readable() {
            true => NamedStudy { hospital, study }.serialize(serializer),
            false => PackedStudy(hospital, study, self.lot).serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for StudyKey {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if deserializer.is_human_readable() {
            let NamedStudy { hospital, study } = NamedStudy::deserialize(deserializer)?;
            return Ok(Self::new(hospital, study));
        }
        let PackedStudy(hospital, study, lot) = PackedStudy::deserialize(deserializer)?;
        Ok(Self {
            hospital,
            study,
            lot,
        })
    }
}

/// Place of a record in the log: the first record has position 0, the next 1, without gaps.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, Default,
)]
#[serde(transparent)]
pub struct Position(pub u64);

impl Position {
    pub fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A pack file: the node that wrote it in the upper 16 bits, that node's running number in the lower 48.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, Default,
)]
#[serde(transparent)]
pub struct PackId(pub u64);

/// The highest bit of a pack's number.
const COLD: u64 = 1 << 47;

impl PackId {
    pub fn new(node: u16, number: u64) -> Self {
        Self((u64::from(node) << 48) | (number & 0xFFFF_FFFF_FFFF))
    }

    /// A pack of images that are wanted rarely: it lies in another folder of the object store, and its id says so.
    pub fn cold(node: u16, serial: u64) -> Self {
        Self::new(node, serial | COLD)
    }

    pub fn is_cold(self) -> bool {
        self.0 & COLD != 0
    }

    /// Which of its node's packs it is: no two have one, cold or not.
    pub fn serial(self) -> u64 {
        self.number() & !COLD
    }

    pub fn node(self) -> u16 {
        (self.0 >> 48) as u16
    }

    pub fn number(self) -> u64 {
        self.0 & 0xFFFF_FFFF_FFFF
    }

    /// `0001-00000000002a`, as it is shown.
    pub fn parse(text: &str) -> Option<Self> {
        let (node, number) = text.split_once('-')?;
        let id = Self::new(
            u16::from_str_radix(node, 16).ok()?,
            u64::from_str_radix(number, 16).ok()?,
        );
        (id.to_string() == text).then_some(id)
    }
}

impl fmt::Display for PackId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04x}-{:012x}", self.node(), self.number())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn an_identifier_is_trimmed_and_bounded() {
        assert_eq!(AeTitle::new(" SINK ").unwrap().as_str(), "SINK");
        assert!(matches!(
            ExamNo::new("x".repeat(33)),
            Err(IdError::TooLong {
                limit: 32,
                found: 33,
                ..
            })
        ));
        assert!(matches!(
            StudyUid::new("1.2.a"),
            Err(IdError::Character { .. })
        ));
        assert!(matches!(HospitalCode::new(" "), Err(IdError::Empty { .. })));
    }

    #[test]
    fn a_pack_keeps_its_node_and_number() {
        let pack = PackId::new(7, 9);
        assert_eq!((pack.node(), pack.number()), (7, 9));
        assert_eq!(pack.to_string(), "0007-000000000009");
        assert_eq!(PackId::parse("0007-000000000009"), Some(pack));
        assert_eq!(PackId::parse("7-9"), None);
        let cold = PackId::cold(7, 9);
        assert!(cold.is_cold() && !pack.is_cold() && cold != pack);
        assert_eq!((cold.node(), cold.serial(), pack.serial()), (7, 9, 9));
        assert_eq!(PackId::parse(&cold.to_string()), Some(cold));
    }
}
