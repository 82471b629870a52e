//! Identity doubts: who the push says was examined against who the images say was (R8).

use crate::exam::ExamRow;
use crate::instance::PatientFacts;
use crate::instance::given::{birth_date, sex};

/// What differs; empty if nothing comparable does.
pub fn differences(exam: &ExamRow, patient: &PatientFacts) -> Vec<&'static str> {
    let told = Told {
        name: &exam.name,
        sex: &exam.sex,
        birth_date: &exam.birth_date,
    };
    differences_from(&told, patient)
}

/// Who a push or a form says is examined.
pub struct Told<'a> {
    pub name: &'a str,
    pub sex: &'a str,
    /// `YYYY-MM-DD`; empty: not known.
    pub birth_date: &'a str,
}

/// As [`differences`].
pub fn differences_from(told: &Told<'_>, patient: &PatientFacts) -> Vec<&'static str> {
    let mut found = Vec::new();
    if names_differ(told.name, &patient.name) {
        found.push("name");
    }
    if let (pushed @ ("M" | "F"), images @ ("M" | "F")) = (sex(told.sex), patient.sex.trim())
        && pushed != images
    {
        found.push("sex");
    }
    let (pushed, images) = (birth_date(told.birth_date), patient.birth_date.trim());
    if !pushed.is_empty() && images.len() == 8 && pushed != images {
        found.push("birthDate");
    }
    found
}

/// Names differ if a group of the DICOM name is in the script of the pushed name and none is equal to it.
/// A name in pinyin only says nothing about a name in Chinese.
fn names_differ(pushed: &str, dicom: &str) -> bool {
    let pushed = folded(pushed);
    if pushed.is_empty() {
        return false;
    }
    let mut comparable = false;
    for group in dicom
        .split('=')
        .map(folded)
        .filter(|group| !group.is_empty())
    {
        if group == pushed {
            return false;
        }
        comparable |= group.is_ascii() == pushed.is_ascii();
    }
    comparable
}

/// Whether a group of the DICOM name is one of these: a name, or a reading of it.
pub fn is_named(names: &[&str], dicom: &str) -> bool {
    let mut groups = dicom.split('=').map(folded);
    groups.any(|group| !group.is_empty() && names.iter().any(|name| folded(name) == group))
}

/// Separators and blanks aside, case aside.
fn folded(name: &str) -> String {
    name.chars()
        .filter(|c| c.is_alphanumeric())
        .flat_map(char::to_lowercase)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::names_differ;

    #[test]
    fn a_name_is_compared_in_its_own_script() {
        for (pushed, dicom, differ) in [
            ("肖萍", "肖^萍", false),
            ("肖萍", "Xiao^Ping=肖^萍", false),
            ("肖萍", "Xiao^Ping", false),
            ("肖萍", "Xiao^Ping=王^五", true),
            ("买买提·艾合买提", "买买提艾合买提", false),
            ("John Doe", "DOE^JOHN", true),
            ("肖萍", "", false),
        ] {
            assert_eq!(names_differ(pushed, dicom), differ, "{pushed} {dicom}");
        }
    }
}
