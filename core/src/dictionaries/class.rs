//! 检查类别: classes compare by dictionary code after an alias table that an administrator can edit (R10).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::EXAM_CLASS;

/// What hospitals write where the dictionary has a code.
const DEFAULTS: &[(&str, &[&str])] = &[
    (
        "X-Ray",
        &[
            "DR",
            "CR",
            "DX",
            "RF",
            "RG",
            "MG",
            "PX",
            "IO",
            "XR",
            "XRAY",
            "DR检查",
            "CR检查",
            "放射",
            "放射检查",
            "X线",
            "X光",
            "X射线",
            "普放",
            "普通放射",
            "X线检查",
            "X光检查",
            "钼靶",
            "乳腺钼靶",
            "胃肠造影",
            "造影",
        ],
    ),
    ("CT", &["CT检查", "计算机断层", "X线计算机断层", "CTA"]),
    (
        "MR",
        &[
            "MRI",
            "MRA",
            "NMR",
            "磁共振",
            "核磁",
            "核磁共振",
            "磁共振检查",
            "MR检查",
            "MRI检查",
        ],
    ),
    (
        "DSA",
        &["XA", "介入", "介入放射", "血管造影", "DSA检查", "介入检查"],
    ),
    (
        "US",
        &[
            "超声",
            "B超",
            "彩超",
            "UIS",
            "IVUS",
            "超声检查",
            "心脏彩超",
            "心超",
            "UCG",
            "多普勒",
        ],
    ),
    (
        "Microscopy",
        &[
            "病理",
            "病理检查",
            "PIS",
            "SM",
            "GM",
            "PATH",
            "PATHOLOGY",
            "细胞学",
            "显微镜",
        ],
    ),
    (
        "ES",
        &[
            "内镜",
            "內镜",
            "内窥镜",
            "內窥镜",
            "胃镜",
            "肠镜",
            "胃肠镜",
            "内镜检查",
            "EIS",
            "ENDOSCOPY",
        ],
    ),
    (
        "NM",
        &[
            "核医学",
            "核医学检查",
            "PT",
            "PET",
            "PETCT",
            "PET-CT",
            "PET/CT",
            "PETMR",
            "PET-MR",
            "PET/MR",
            "SPECT",
            "SPECT/CT",
            "SPECT-CT",
            "ECT",
        ],
    ),
    (
        "ECG",
        &["心电", "心电图", "心电检查", "EKG", "动态心电图", "HOLTER"],
    ),
    ("OT", &["其他", "其它"]),
];

/// An exam class as classes are compared.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ClassCode {
    /// The dictionary's code, or the text itself where the class is unknown.
    pub code: String,
    pub known: bool,
}

/// From what a hospital writes to the dictionary's code. Keys are held folded: without blanks, ASCII letters large,
/// full-width letters made half-width.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "BTreeMap<String, String>", into = "BTreeMap<String, String>")]
pub struct ClassAliases {
    folded: BTreeMap<String, String>,
}

impl ClassAliases {
    pub fn get(&self, text: &str) -> Option<&str> {
        self.folded.get(&fold(text)).map(String::as_str)
    }

    /// Adds an alias or replaces one.
    pub fn set(&mut self, text: &str, code: &str) {
        self.folded.insert(fold(text), code.trim().to_owned());
    }

    pub fn remove(&mut self, text: &str) -> bool {
        self.folded.remove(&fold(text)).is_some()
    }

    /// `(folded alias, code)` in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.folded
            .iter()
            .map(|(alias, code)| (alias.as_str(), code.as_str()))
    }
}

impl Default for ClassAliases {
    fn default() -> Self {
        let pairs = DEFAULTS.iter().flat_map(|(code, aliases)| {
            aliases
                .iter()
                .map(|alias| (fold(alias), (*code).to_owned()))
        });
        Self {
            folded: pairs.collect(),
        }
    }
}

impl From<BTreeMap<String, String>> for ClassAliases {
    fn from(map: BTreeMap<String, String>) -> Self {
        Self {
            folded: map
                .into_iter()
                .map(|(alias, code)| (fold(&alias), code))
                .collect(),
        }
    }
}

impl From<ClassAliases> for BTreeMap<String, String> {
    fn from(aliases: ClassAliases) -> Self {
        aliases.folded
    }
}

/// The code by which a class is compared: the dictionary's own, else by alias, else the dictionary's in other
/// letters (`ct`, `x-ray`), else the text itself, unknown.
pub fn canonical_class(aliases: &ClassAliases, text: &str) -> ClassCode {
    let text = text.trim();
    let known = |code: &str| ClassCode {
        code: code.to_owned(),
        known: true,
    };
    if EXAM_CLASS.contains(text) {
        return known(text);
    }
    let folded = fold(text);
    if let Some(code) = aliases.folded.get(&folded) {
        return ClassCode {
            code: code.clone(),
            known: EXAM_CLASS.contains(code),
        };
    }
    match EXAM_CLASS
        .rows()
        .iter()
        .find(|(code, _)| fold(code) == folded)
    {
        Some((code, _)) => known(code),
        None => ClassCode {
            code: text.to_owned(),
            known: false,
        },
    }
}

pub(super) fn fold(text: &str) -> String {
    text.chars()
        .filter(|c| !c.is_whitespace())
        .map(|c| match c {
            '\u{FF01}'..='\u{FF5E}' => char::from_u32(u32::from(c) - 0xFEE0).unwrap_or(c),
            _ => c,
        })
        .map(|c| c.to_ascii_uppercase())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_hospitals_write_finds_the_dictionary_code() {
        let aliases = ClassAliases::default();
        for (text, code) in [
            ("CT", "CT"),
            ("ct", "CT"),
            ("ＣＴ", "CT"),
            ("DR", "X-Ray"),
            ("放射", "X-Ray"),
            ("X-Ray", "X-Ray"),
            ("x-ray", "X-Ray"),
            ("磁共振", "MR"),
            ("MRI", "MR"),
            ("介入", "DSA"),
            ("XA", "DSA"),
            ("超声", "US"),
            ("病理", "Microscopy"),
            ("内镜", "ES"),
            ("核医学", "NM"),
            ("pet", "NM"),
            (" 心电 ", "ECG"),
        ] {
            assert_eq!(
                canonical_class(&aliases, text),
                ClassCode {
                    code: code.into(),
                    known: true
                },
                "{text}"
            );
        }
    }

    #[test]
    fn an_unknown_class_compares_as_itself() {
        let class = canonical_class(&ClassAliases::default(), " 骨密度 ");
        assert_eq!(
            class,
            ClassCode {
                code: "骨密度".into(),
                known: false
            }
        );
    }

    #[test]
    fn every_default_leads_to_a_code_and_an_edit_wins() {
        let mut aliases = ClassAliases::default();
        assert!(aliases.iter().all(|(_, code)| EXAM_CLASS.contains(code)));
        aliases.set("骨密度", "X-Ray");
        assert_eq!(canonical_class(&aliases, "骨密度").code, "X-Ray");
        assert!(aliases.remove("骨密度"));
        assert!(!canonical_class(&aliases, "骨密度").known);
    }
}
