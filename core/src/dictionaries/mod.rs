//! The contract's dictionaries (§2.7): codes and their names, compiled in from `core/data/dictionaries`.
//!
//! A code is shown with its name and never found by it: 子宫颈 and 其他 stand twice, two exam classes share the code
//! X-Ray, and BPH and EOS look swapped. Codes are case-sensitive (`T` and `t` would be two specimens).

mod class;
mod modality;
mod placeholder;

use std::collections::HashMap;
use std::sync::LazyLock;

pub use class::{ClassAliases, ClassCode, canonical_class};
pub use modality::modalities_of;
pub use placeholder::{Placeholders, is_placeholder};

/// One table: every code with the names it has, in the order of the table.
pub struct Dictionary {
    rows: Vec<(&'static str, &'static str)>,
    first: HashMap<&'static str, usize>,
}

impl Dictionary {
    fn parse(table: &'static str) -> Self {
        let mut rows = Vec::new();
        let mut first = HashMap::new();
        for line in table.lines().skip(1) {
            let mut cells = line.split('\t');
            if let (Some(code), Some(name)) = (cells.next(), cells.next()) {
                first.entry(code).or_insert(rows.len());
                rows.push((code, name));
            }
        }
        Self { rows, first }
    }

    /// The name that goes with a code; of two rows with one code (X-Ray) the first.
    pub fn name(&self, code: &str) -> Option<&'static str> {
        let row = *self.first.get(code)?;
        self.rows.get(row).map(|(_, name)| *name)
    }

    pub fn contains(&self, code: &str) -> bool {
        self.first.contains_key(code)
    }

    /// All rows `(code, name)` as the table has them.
    pub fn rows(&self) -> &[(&'static str, &'static str)] {
        &self.rows
    }
}

macro_rules! dictionary {
    ($(#[$doc:meta])* $name:ident, $file:literal) => {
        $(#[$doc])*
        pub static $name: LazyLock<Dictionary> =
            LazyLock::new(|| Dictionary::parse(include_str!(concat!("../../data/dictionaries/", $file))));
    };
}

dictionary!(
    /// 检查类别 WNCV5103_01
    EXAM_CLASS, "exam_class.tsv"
);
dictionary!(
    /// 检查部位
    BODY_PART, "body_part.tsv"
);
dictionary!(
    /// 检验标本类别
    SPECIMEN_CATEGORY, "specimen_category.tsv"
);
dictionary!(
    /// 费别
    CHARGE_TYPE, "charge_type.tsv"
);
dictionary!(
    /// 证件类型
    ID_TYPE, "id_type.tsv"
);
dictionary!(
    /// 婚姻状况; 不详 has no code (contract, rulings on dictionaries).
    MARITAL_STATUS, "marital_status.tsv"
);
dictionary!(
    /// 月经状态 (§3)
    MENSES_STATUS, "menses_status.tsv"
);
dictionary!(
    /// 就诊类型 (§3)
    PATIENT_CLASS, "patient_class.tsv"
);
dictionary!(
    /// 检查状态 of pushes and of status notices; which of them a push may carry is `contract::push::ExamStatus`.
    EXAM_STATUS, "exam_status.tsv"
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_case_sensitive_and_names_find_nothing() {
        assert_eq!(EXAM_CLASS.name("CT"), Some("计算机X线断层摄影"));
        assert_eq!(EXAM_CLASS.name("ct"), None);
        assert_eq!(EXAM_CLASS.name("检查"), None);
        assert!(!EXAM_CLASS.contains("超声检查"));
        assert!(SPECIMEN_CATEGORY.contains("\\"));
        assert!(SPECIMEN_CATEGORY.contains("d") && !SPECIMEN_CATEGORY.contains("D"));
    }

    #[test]
    fn every_row_of_every_table_is_there() {
        let counts = [
            (&EXAM_CLASS, 11),
            (&BODY_PART, 30),
            (&SPECIMEN_CATEGORY, 134),
            (&CHARGE_TYPE, 5),
            (&ID_TYPE, 12),
            (&MARITAL_STATUS, 2),
            (&MENSES_STATUS, 4),
            (&PATIENT_CLASS, 5),
            (&EXAM_STATUS, 6),
        ];
        for (dictionary, rows) in counts {
            assert_eq!(dictionary.rows().len(), rows);
            assert!(
                dictionary
                    .rows()
                    .iter()
                    .all(|(code, name)| !code.is_empty() && !name.is_empty())
            );
        }
        assert_eq!(
            EXAM_CLASS
                .rows()
                .iter()
                .filter(|(code, _)| *code == "X-Ray")
                .count(),
            2
        );
    }
}
