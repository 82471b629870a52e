//! What a modality calls itself (DICOM (0008,0060), PS3.3 §C.7.3.1.1.1) in a class of the contract, which knows fewer.
//!
//! Which of a class's modalities will do the exam is known to nobody before it is done: a form meets a worklist's key if the
//! key is one of its class's, and is answered under it.

use std::sync::LazyLock;

use super::class::fold;
use super::{ClassAliases, canonical_class};

/// VR CS (PS3.5 §6.2).
const CS_CHARACTERS: usize = 16;

struct Row {
    class: &'static str,
    modality: &'static str,
    /// What hospitals write who mean just this one, folded.
    written_as: Vec<String>,
}

static ROWS: LazyLock<Vec<Row>> = LazyLock::new(|| {
    let table = include_str!("../../data/dictionaries/class_modality.tsv");
    let row = |line: &'static str| {
        let mut cells = line.split('\t');
        let (class, modality) = (cells.next()?, cells.next()?);
        let written = cells.next().unwrap_or_default().split(',').map(fold);
        Some(Row {
            class,
            modality,
            written_as: written.filter(|text| !text.is_empty()).collect(),
        })
    };
    table.lines().skip(1).filter_map(row).collect()
});

/// The modalities that may do an exam whose class is written so, the likeliest first; never none. A class that the dictionary
/// does not have is taken for a modality if it can be one (`BMD`), else for `OT`.
pub fn modalities_of(aliases: &ClassAliases, written: &str) -> Vec<String> {
    let class = canonical_class(aliases, written);
    let folded = fold(written);
    let of_class = || ROWS.iter().filter(|row| row.class == class.code);
    let meant = of_class().filter(|row| row.written_as.contains(&folded));
    let others = of_class().filter(|row| !row.written_as.contains(&folded));
    let found: Vec<String> = meant
        .chain(others)
        .map(|row| row.modality.to_owned())
        .collect();
    if !found.is_empty() {
        return found;
    }
    let is_code = |c: char| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_';
    let may_be_modality =
        (2..=CS_CHARACTERS).contains(&folded.len()) && folded.chars().all(is_code);
    vec![if may_be_modality {
        folded
    } else {
        "OT".to_owned()
    }]
}

#[cfg(test)]
mod tests {
    use super::super::EXAM_CLASS;
    use super::*;

    #[test]
    fn a_class_leads_to_its_modalities_the_one_that_is_meant_first() {
        let aliases = ClassAliases::default();
        for (written, modalities) in [
            ("CT", "CT"),
            ("ct检查", "CT"),
            ("磁共振", "MR"),
            ("放射", "DX CR RF MG PX IO RG"),
            ("X-Ray", "DX CR RF MG PX IO RG"),
            ("CR", "CR DX RF MG PX IO RG"),
            ("钼靶", "MG DX CR RF PX IO RG"),
            ("介入", "XA"),
            ("超声", "US IVUS"),
            ("病理", "SM GM XC"),
            ("胃镜", "ES XC"),
            ("核医学", "NM PT"),
            ("pet/ct", "PT NM"),
            ("心电图", "ECG HD"),
            ("其他", "OT"),
            ("bmd", "BMD"),
            ("骨密度", "OT"),
        ] {
            assert_eq!(
                modalities_of(&aliases, written).join(" "),
                modalities,
                "{written}"
            );
        }
    }

    #[test]
    fn every_class_of_the_dictionary_has_a_modality_and_the_table_has_no_other() {
        for (class, _) in EXAM_CLASS.rows() {
            assert!(ROWS.iter().any(|row| row.class == *class), "{class}");
        }
        assert!(ROWS.iter().all(|row| EXAM_CLASS.contains(row.class)));
    }
}
