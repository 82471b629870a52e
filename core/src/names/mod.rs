//! Names of people as DICOM writes them: Chinese names and their readings (PS3.5 §6.2.1, annex K).
//!
//! A machine that shows no Chinese shows the reading, so one is always made: from what the HIS gives (拼音), else from the
//! name. Which reading a surname has is not what its character usually has (单 Shan, 解 Xie, 尉迟 Yuchi):
//! `core/data/names/surnames.tsv`.
//!
//! The views hold readings: who changes one raises their `ROWS_VERSION`, and a test of theirs says so.

mod readings;
mod surname;

use pinyin::ToPinyin;

use surname::Surname;

pub use readings::syllables;

/// Characters of one component group of a PN (PS3.5 §6.2).
const GROUP_CHARACTERS: usize = 64;
/// Stands for a character that nobody can read: a name is never empty.
const UNREADABLE: &str = "X";

/// A name in the groups of a PN. `Debug` shows none of it.
#[derive(Clone, PartialEq, Eq)]
pub struct PersonName {
    /// ASCII, large letters: `ZHANG^XIAODONG`. A name that is not divided is a family name as a whole.
    pub alphabetic: String,
    /// As it is written; empty where that is what the alphabetic group has.
    pub ideographic: String,
}

impl PersonName {
    /// `name` as it is written, `reading` as its HIS gives it; empty: none.
    pub fn new(name: &str, reading: &str) -> Self {
        let name = plain(name);
        let surname = Surname::of(&name);
        let given = Given::of(reading);
        let alphabetic = match (&surname, given) {
            (_, Given::Divided(name)) => name,
            (Some(surname), Given::Words(words)) => surname.divide_words(&words),
            (None, Given::Words(words)) => words.join(" "),
            (surname, Given::None) => made(&name, surname.as_ref()),
        };
        let alphabetic = if alphabetic.is_empty() {
            made(&name, surname.as_ref())
        } else {
            alphabetic
        };
        let ideographic = if name.is_ascii() { String::new() } else { name };
        Self {
            alphabetic: cut(&alphabetic),
            ideographic: cut(&ideographic),
        }
    }

    /// As a value of VR PN: `ZHANG^XIAODONG=张小东`.
    pub fn both(&self) -> String {
        match self.ideographic.as_str() {
            "" => self.alphabetic.clone(),
            ideographic => format!("{}={ideographic}", self.alphabetic),
        }
    }
}

impl std::fmt::Debug for PersonName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PersonName").finish_non_exhaustive()
    }
}

/// Any text in ASCII: Chinese by its readings, one word a character (`XIONG BU CT`), what cannot be read left out.
pub fn romanised(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut within_word = false;
    for c in text.chars() {
        if c.is_ascii() {
            if within_word && c.is_ascii_alphanumeric() {
                out.push(' ');
            }
            within_word = false;
            out.push(c);
        } else if let Some(reading) = reading_of(c) {
            if out.ends_with(|last: char| last.is_ascii_alphanumeric()) {
                out.push(' ');
            }
            within_word = true;
            out.push_str(&reading);
        } else {
            within_word = false;
            out.push(' ');
        }
    }
    out.trim().to_owned()
}

/// What a HIS gives as a name's reading.
enum Given {
    /// With `^` between its components.
    Divided(String),
    /// One word or several, large letters.
    Words(Vec<String>),
    /// Nothing, or nothing that is one.
    None,
}

impl Given {
    fn of(reading: &str) -> Self {
        let reading: String = reading
            .replace(['ü', 'Ü'], "YU")
            .to_ascii_uppercase()
            .replace(['=', '\\', ',', '·', '.'], " ");
        let is_letter = |c: char| c.is_ascii_alphabetic() || matches!(c, '^' | ' ' | '\'' | '-');
        if !reading.chars().all(is_letter) {
            return Self::None;
        }
        if reading.contains('^') {
            let components = reading.split('^').map(str::trim).collect::<Vec<_>>();
            let divided = components.join("^").trim_end_matches('^').to_owned();
            return if divided.is_empty() {
                Self::None
            } else {
                Self::Divided(divided)
            };
        }
        let words: Vec<String> = reading.split_whitespace().map(str::to_owned).collect();
        if words.is_empty() {
            Self::None
        } else {
            Self::Words(words)
        }
    }
}

/// The reading of a name, made from its characters.
fn made(name: &str, surname: Option<&Surname>) -> String {
    let Some(surname) = surname else {
        let read = romanised_whole(name);
        return read.to_ascii_uppercase();
    };
    let given: String = surname.given.chars().map(read_or_unreadable).collect();
    if given.is_empty() {
        surname.reading.clone()
    } else {
        format!("{}^{given}", surname.reading)
    }
}

/// A name that is not divided into family and given names: the parts between dots and blanks stay words.
fn romanised_whole(name: &str) -> String {
    let words = name.split(is_between).filter(|word| !word.is_empty());
    let words = words.map(|word| word.chars().map(read_or_unreadable).collect::<String>());
    words.collect::<Vec<_>>().join(" ")
}

fn read_or_unreadable(c: char) -> String {
    match reading_of(c) {
        Some(reading) => reading,
        None if c.is_ascii_graphic() => c.to_ascii_uppercase().to_string(),
        None => UNREADABLE.to_owned(),
    }
}

/// In large letters; ü is YU, as in passports (GB/T 28039-2011 §5.4).
fn reading_of(c: char) -> Option<String> {
    let reading = c.to_pinyin()?.plain();
    if reading.is_ascii() {
        return Some(reading.to_ascii_uppercase());
    }
    let ascii = reading.replace('ü', "yu").replace('ê', "e");
    ascii.is_ascii().then(|| ascii.to_ascii_uppercase())
}

/// Between the parts of Uyghur, Kazakh and other names: 买买提·艾力. Writers take what their keyboards have.
fn is_between(c: char) -> bool {
    matches!(c, '·' | '•' | '‧' | '∙' | '・' | '.') || c.is_whitespace()
}

/// Without what separates groups, components and values of a PN, and without control characters.
fn plain(name: &str) -> String {
    let plain: String = name
        .chars()
        .map(|c| match c {
            '^' | '=' | '\\' => ' ',
            c if c.is_control() => ' ',
            c => c,
        })
        .collect();
    plain.trim().to_owned()
}

fn cut(group: &str) -> String {
    group.chars().take(GROUP_CHARACTERS).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn both(name: &str, reading: &str) -> String {
        PersonName::new(name, reading).both()
    }

    #[test]
    fn a_name_is_read_and_divided_by_its_surname() {
        for (name, expected) in [
            ("张小东", "ZHANG^XIAODONG=张小东"),
            ("王芳", "WANG^FANG=王芳"),
            ("单雄信", "SHAN^XIONGXIN=单雄信"),
            ("乐嘉", "YUE^JIA=乐嘉"),
            ("仇英", "QIU^YING=仇英"),
            ("曾国藩", "ZENG^GUOFAN=曾国藩"),
            ("解缙", "XIE^JIN=解缙"),
            ("查良镛", "ZHA^LIANGYONG=查良镛"),
            ("任我行", "REN^WOXING=任我行"),
            ("华佗", "HUA^TUO=华佗"),
            ("区志强", "OU^ZHIQIANG=区志强"),
            ("吕蒙", "LYU^MENG=吕蒙"),
            ("欧阳修", "OUYANG^XIU=欧阳修"),
            ("尉迟恭", "YUCHI^GONG=尉迟恭"),
            ("尉迟", "WEI^CHI=尉迟"),
            ("万俟卨", "MOQI^XIE=万俟卨"),
            ("司马相如", "SIMA^XIANGRU=司马相如"),
            ("张", "ZHANG=张"),
        ] {
            assert_eq!(both(name, ""), expected);
        }
    }

    #[test]
    fn what_the_his_gives_as_reading_goes_before_and_is_divided() {
        for (name, reading, alphabetic) in [
            ("肖萍", "xiaoping", "XIAO^PING"),
            ("张小东", "Zhang XiaoDong", "ZHANG^XIAODONG"),
            ("张小东", "zhang xiao dong", "ZHANG^XIAODONG"),
            ("欧阳修", "ou yang xiu", "OUYANG^XIU"),
            ("欧阳修", "ouyang xiu", "OUYANG^XIU"),
            ("欧阳修", "ouyangxiu", "OUYANG^XIU"),
            ("张小东", "Zhang^Xiao Dong", "ZHANG^XIAO DONG"),
            // As the HIS reads it, though another reading is likelier
            ("单雄信", "danxiongxin", "DAN^XIONGXIN"),
            ("吕蒙", "lv meng", "LV^MENG"),
            ("吕蒙", "lü meng", "LYU^MENG"),
            // Not to be divided
            ("李雷", "hanmeimei", "HANMEIMEI"),
            // Initials, and what is no reading, are none
            ("张小东", "ZXD", "ZHANG^XIAODONG"),
            ("张小东", "z x d", "ZHANG^XIAODONG"),
            ("张小东", "张小东", "ZHANG^XIAODONG"),
            ("张小东", "123", "ZHANG^XIAODONG"),
            ("张小东", "^", "ZHANG^XIAODONG"),
        ] {
            assert_eq!(
                PersonName::new(name, reading).alphabetic,
                alphabetic,
                "{name} {reading}"
            );
        }
    }

    #[test]
    fn names_of_other_peoples_are_family_names_as_a_whole() {
        for (name, reading, expected) in [
            ("买买提·艾力", "", "MAIMAITI AILI=买买提·艾力"),
            ("买买提•艾力", "maimaiti aili", "MAIMAITI AILI=买买提•艾力"),
            ("买买提.艾力", "maimaiti·aili", "MAIMAITI AILI=买买提.艾力"),
            ("John Smith", "", "JOHN SMITH"),
            ("阿依古丽", "", "A^YIGULI=阿依古丽"),
        ] {
            assert_eq!(both(name, reading), expected);
        }
    }

    #[test]
    fn no_name_is_empty_breaks_out_of_its_group_or_is_longer_than_a_group() {
        assert_eq!(both("张^小=东\\", ""), "ZHANG XIAO DONG=张 小 东");
        assert_eq!(both("\u{e000}", ""), "X=\u{e000}");
        assert_eq!(both("", ""), "");
        let long = PersonName::new(&"张".repeat(100), "");
        assert_eq!(long.alphabetic.chars().count(), 64);
        assert_eq!(long.ideographic.chars().count(), 64);
        assert!(long.both().is_char_boundary(64));
    }

    #[test]
    fn other_texts_are_read_word_by_word() {
        for (text, read) in [
            ("胸部CT平扫", "XIONG BU CT PING SAO"),
            ("CT 320排", "CT 320 PAI"),
            ("头颅+颈部（增强）", "TOU LU+JING BU ZENG QIANG"),
            ("chest", "chest"),
            ("", ""),
        ] {
            assert_eq!(romanised(text), read);
        }
    }
}
