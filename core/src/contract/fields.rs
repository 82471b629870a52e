//! The contract's field tables (`core/data/fields/*.tsv`), read once into trees that the check walks along.

use std::sync::LazyLock;

pub use super::format::Format;

/// `VC(n)` with n at least this is prose: its blanks are kept as they came.
const PROSE_LIMIT: usize = 512;

/// 婚姻状况 has no code for what is not known: written in words, it is free text.
pub const MARITAL_UNKNOWN: &str = "不详";

/// What stands at a place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Text(Format),
    Object,
    /// An array of objects.
    Array,
}

/// One row of a table, with the rows below it.
#[derive(Debug)]
pub struct Field {
    /// As in the table, `examInfo.examItemList[].itemName`; an array without its brackets.
    pub path: String,
    /// The key, `itemName`.
    pub name: String,
    pub kind: Kind,
    pub required: bool,
    /// The first words of the table's meaning, for messages: 项目名称.
    pub title: String,
    /// In the order of length, then bytes, so that a key is found by halving.
    pub children: Vec<Field>,
    /// `examOrganList` may hold plain texts (R5): the key under which such a text is kept.
    pub plain_item: Option<&'static str>,
    /// A text that is taken although its format does not fit it.
    pub also: Option<&'static str>,
}

impl Field {
    /// Finds the field of a key, with its place among its neighbours.
    pub fn child(&self, key: &str) -> Option<(usize, &Field)> {
        let found = self
            .children
            .binary_search_by(|field| order(&field.name, key))
            .ok()?;
        self.children.get(found).map(|field| (found, field))
    }

    pub fn is_prose(&self) -> bool {
        matches!(self.kind, Kind::Text(Format::AtMost(limit)) if limit >= PROSE_LIMIT)
    }

    /// Every field below, depth first.
    pub fn walk(&self, visit: &mut impl FnMut(&Field)) {
        for child in &self.children {
            visit(child);
            child.walk(visit);
        }
    }

    fn parse(table: &str) -> Field {
        let mut root = Field::empty(String::new(), Kind::Object);
        for line in table.lines().skip(1) {
            let mut cells = line.split('\t');
            let mut cell = || cells.next().unwrap_or_default();
            let (path, kind, presence, format, meaning) = (cell(), cell(), cell(), cell(), cell());
            // Tables of statistics describe the rows of one array: the brackets at the front say nothing.
            let path = path.trim_start_matches("[].").trim_end_matches("[]");
            let kind = match kind {
                "object" => Kind::Object,
                "array" => Kind::Array,
                _ => Kind::Text(Format::parse(format)),
            };
            let mut field = Field::empty(path.to_owned(), kind);
            field.required = presence == "required";
            field.title = meaning
                .split(['，', ',', '：', ' ', '(', '（', ';', '；'])
                .next()
                .unwrap_or_default()
                .into();
            if path == "examInfo.examOrganList" {
                field.plain_item = Some("organName");
            }
            if path == "patientInfo.maritalStatus" {
                field.also = Some(MARITAL_UNKNOWN);
            }
            root.insert(path, field);
        }
        root
    }

    fn empty(path: String, kind: Kind) -> Self {
        let name = path.rsplit('.').next().unwrap_or_default().to_owned();
        Self {
            path,
            name,
            kind,
            required: false,
            title: String::new(),
            children: Vec::new(),
            plain_item: None,
            also: None,
        }
    }

    /// Puts a field below this one by what is left of its path. A path that stands twice keeps its first row.
    fn insert(&mut self, rest: &str, field: Field) {
        match rest.split_once('.') {
            Some((step, rest)) => {
                let step = step.trim_end_matches("[]");
                if let Some(child) = self.children.iter_mut().find(|child| child.name == step) {
                    child.insert(rest, field);
                }
            }
            None => {
                if let Err(place) = self
                    .children
                    .binary_search_by(|other| order(&other.name, &field.name))
                {
                    self.children.insert(place, field);
                }
            }
        }
    }
}

fn order(a: &str, b: &str) -> std::cmp::Ordering {
    a.len().cmp(&b.len()).then_with(|| a.cmp(b))
}

/// §2.3 `POST /v1/exam/push`
pub static EXAM_PUSH: LazyLock<Field> =
    LazyLock::new(|| Field::parse(include_str!("../../data/fields/exam_push.tsv")));
/// §2.6 `POST /v1/exam/uploadStatistics`: one row of the array.
pub static UPLOAD_STATISTICS: LazyLock<Field> =
    LazyLock::new(|| Field::parse(include_str!("../../data/fields/upload_statistics.tsv")));
/// R10's extension `POST /v1/exam/uploadDetail`: one row of the array.
pub static UPLOAD_DETAIL: LazyLock<Field> =
    LazyLock::new(|| Field::parse(include_str!("../../data/fields/upload_detail.tsv")));

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]
    use super::*;

    #[test]
    fn every_row_of_the_tables_has_its_place() {
        // 108 rows, and reqTime stands twice.
        for (table, rows) in [
            (&EXAM_PUSH, 107),
            (&UPLOAD_STATISTICS, 4),
            (&UPLOAD_DETAIL, 7),
        ] {
            let mut count = 0;
            table.walk(&mut |field| {
                count += 1;
                assert!(
                    field.children.len() <= 64,
                    "the check marks fields in 64 bits"
                );
                assert!(!field.title.is_empty(), "{}", field.path);
                assert!(
                    !matches!(
                        field.kind,
                        Kind::Text(Format::AtMost(0) | Format::Exactly(0))
                    ),
                    "{}",
                    field.path
                );
                assert_eq!(
                    field.children.is_empty(),
                    matches!(field.kind, Kind::Text(_)),
                    "{}",
                    field.path
                );
            });
            assert_eq!(count, rows);
        }
    }

    #[test]
    fn a_key_is_found_with_its_format() {
        let exam = EXAM_PUSH.child("examInfo").unwrap().1;
        assert_eq!(exam.kind, Kind::Object);
        assert!(exam.required);
        let kind = |key| exam.child(key).unwrap().1.kind;
        assert_eq!(kind("examTime"), Kind::Text(Format::Time));
        assert_eq!(
            kind("cost"),
            Kind::Text(Format::Decimal {
                precision: 8,
                scale: 2
            })
        );
        assert_eq!(kind("examItemList"), Kind::Array);
        assert_eq!(
            exam.child("examOrganList").unwrap().1.plain_item,
            Some("organName")
        );
        assert!(exam.child("examtime").is_none());
        let organ = exam
            .child("examOrganList")
            .unwrap()
            .1
            .child("organName")
            .unwrap()
            .1;
        assert_eq!(organ.path, "examInfo.examOrganList[].organName");
    }
}
