//! The form's field table (`core/data/fields/syn_apply_info.tsv`) by the elements that hold the fields, and what R13
//! says beside it: which texts are numbers, and which of them may be longer than the table has it.

use std::sync::LazyLock;

use super::super::fields::Format;

static TABLE: &str = include_str!("../../../data/fields/syn_apply_info.tsv");

/// R13: a number with its hospital's prefix, and a licence, are longer than the table allows.
const LONGER: [&str; 3] = ["License", "SickNo", "ApplyNo"];
pub(super) const LONGER_LIMIT: usize = 64;

/// Numbers and codes: one that is cut or too long is another one, so it is refused (R13). All other texts are prose.
const NUMBERS: [&str; 18] = [
    "Action",
    "License",
    "SickNo",
    "CardNo",
    "SiCard",
    "MiCard",
    "HealthCard",
    "InPatientNo",
    "BedNo",
    "OutPatientNo",
    "Number",
    "ApplyNo",
    "OutRegNo",
    "ItemCode",
    "OrderNo",
    "BarcodeNo",
    "PackageNo",
    "ChargeFlag",
];

/// Elements with an attribute `code`. The table says so of all but the technician, whose code the sample has.
const CODED: [&str; 8] = [
    "PatientClass",
    "HospitalName",
    "PerformDept",
    "Technican",
    "ReqHospital",
    "ReqWard",
    "ReqDept",
    "ReqPhysician",
];

/// What becomes of a text that is longer than the table has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Overlong {
    Refused,
    /// Kept and flagged, up to [`super::PROSE_LIMIT`].
    Flagged,
}

/// One field.
#[derive(Debug, Clone)]
pub(super) struct Row {
    /// The element's name, `SickNo`.
    pub name: &'static str,
    pub format: Format,
    pub required: bool,
    /// For messages: 病人ID.
    pub title: &'static str,
    pub overlong: Overlong,
    pub coded: bool,
    /// A text that means that there is none.
    pub none: Option<&'static str>,
}

/// The fields that stand directly in one element.
#[derive(Debug)]
pub(super) struct Scope {
    pub rows: Vec<Row>,
}

impl Scope {
    fn of(element: &str) -> Self {
        let rows = TABLE.lines().skip(1).filter_map(|line| {
            let mut cells = line.split('\t');
            let mut cell = || cells.next().unwrap_or_default();
            let (path, format, presence, title, meaning) = (cell(), cell(), cell(), cell(), cell());
            let (parent, name) = path.rsplit_once('/')?;
            // The other way to write an item is no field of the first way.
            (parent == element && format != "node" && presence != "alternative")
                .then(|| Row::new(name, format, presence == "required", title, meaning))
        });
        Self {
            rows: rows.collect(),
        }
    }

    /// Some of its fields; only those of `required` must be there.
    fn part(&self, names: &[&str], required: &[&str]) -> Self {
        let rows = self.rows.iter().filter(|row| names.contains(&row.name));
        Self {
            rows: rows
                .map(|row| Row {
                    required: required.contains(&row.name),
                    ..row.clone()
                })
                .collect(),
        }
    }

    pub fn row(&self, name: &str) -> Option<&Row> {
        self.rows.iter().find(|row| row.name == name)
    }
}

impl Row {
    fn new(
        name: &'static str,
        format: &str,
        required: bool,
        title: &'static str,
        meaning: &str,
    ) -> Self {
        let format = if meaning.contains("HH24:MI:SS") {
            Format::Time
        } else if LONGER.contains(&name) {
            Format::AtMost(LONGER_LIMIT)
        } else {
            Format::parse(format)
        };
        let prose = matches!(format, Format::AtMost(_)) && !NUMBERS.contains(&name);
        Self {
            name,
            format,
            required,
            title,
            overlong: if prose {
                Overlong::Flagged
            } else {
                Overlong::Refused
            },
            coded: CODED.contains(&name),
            none: (name == "LastMensesDate").then_some("0"),
        }
    }

    /// A number or code, which is one word.
    pub fn is_number(&self) -> bool {
        NUMBERS.contains(&self.name)
    }
}

macro_rules! scopes {
    ($($name:ident: $element:literal,)*) => {
        $(pub(super) static $name: LazyLock<Scope> = LazyLock::new(|| Scope::of($element));)*
    };
}
scopes! {
    HEADER: "Header",
    PATIENT: "Patient",
    IDENTITY: "Patient/Identity",
    EXAM: "Exam",
    ITEM: "Exam/ExamItems/ExamItem",
    ORGAN: "Exam/ExamOrgan",
    SAMPLE: "Exam/Samples/SampleInfo",
}
/// What a deletion says of its form (R13): the number, and who deletes it, where it is said.
pub(super) static DELETED: LazyLock<Scope> =
    LazyLock::new(|| EXAM.part(&["ApplyNo", "ReqHospital", "ReqPhysician"], &["ApplyNo"]));

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn all() -> Vec<&'static Row> {
        [&HEADER, &PATIENT, &IDENTITY, &EXAM, &ITEM, &ORGAN, &SAMPLE]
            .into_iter()
            .flat_map(|scope| &scope.rows)
            .collect()
    }

    #[test]
    fn every_row_but_nodes_and_the_other_way_to_write_an_item_is_a_field() {
        let rows = TABLE.lines().skip(1);
        let nodes = rows
            .clone()
            .filter(|row| row.contains("\tnode\t") || row.contains("\talternative\t"));
        assert_eq!(nodes.clone().count(), 4);
        assert_eq!(all().len(), rows.count() - nodes.count());
        for row in all() {
            assert!(!row.title.is_empty(), "{}", row.name);
            assert!(
                !matches!(row.format, Format::AtMost(0) | Format::Exactly(0)),
                "{}",
                row.name
            );
        }
    }

    #[test]
    fn every_name_of_the_lists_is_in_the_table() {
        for name in LONGER.iter().chain(&NUMBERS).chain(&CODED) {
            assert!(all().iter().any(|row| row.name == *name), "{name}");
        }
    }

    #[test]
    fn a_field_is_found_with_its_format() {
        let format = |scope: &Scope, name| scope.row(name).unwrap().format;
        assert_eq!(format(&EXAM, "ReqTime"), Format::Time);
        assert_eq!(format(&PATIENT, "BirthDate"), Format::Date);
        assert_eq!(format(&PATIENT, "SickNo"), Format::AtMost(64));
        assert_eq!(format(&PATIENT, "MensesStatus"), Format::Exactly(1));
        let money = Format::Decimal {
            precision: 10,
            scale: 2,
        };
        assert_eq!(format(&ITEM, "ItemCost"), money);
        assert!(EXAM.row("ReqHospital").unwrap().required);
        assert!(!DELETED.row("ReqHospital").unwrap().required);
        assert!(DELETED.row("ApplyNo").unwrap().required);
    }
}
