//! Every row of `syn_apply_info.tsv`, tested from the table itself: absent, at its limit, too long, of the wrong kind.

use std::collections::BTreeMap;

use super::*;

static TABLE: &str = include_str!("../../../../data/fields/syn_apply_info.tsv");

/// Fields that are numbers or codes by R13, beside those that the table writes as `Number` or `CHAR`.
const NUMBERS: [&str; 18] = [
    "Header/License",
    "Header/Action",
    "Patient/SickNo",
    "Patient/CardNo",
    "Patient/SiCard",
    "Patient/MiCard",
    "Patient/HealthCard",
    "Patient/InPatientNo",
    "Patient/BedNo",
    "Patient/OutPatientNo",
    "Patient/Identity/Number",
    "Exam/ApplyNo",
    "Exam/OutRegNo",
    "Exam/ExamItems/ExamItem/ItemCode",
    "Exam/ExamItems/ExamItem/OrderNo",
    "Exam/Samples/SampleInfo/BarcodeNo",
    "Exam/Samples/SampleInfo/PackageNo",
    "Exam/ChargeFlag",
];

struct Row {
    path: &'static str,
    format: &'static str,
    presence: &'static str,
    meaning: &'static str,
}

impl Row {
    fn is_time(&self) -> bool {
        self.meaning.contains("HH24:MI:SS")
    }

    fn is_date(&self) -> bool {
        self.format == "CHAR(10)"
    }

    fn is_decimal(&self) -> bool {
        self.format.to_ascii_lowercase().starts_with("number")
    }

    /// A text that may have up to [`Row::limit`] characters.
    fn is_text(&self) -> bool {
        self.format.starts_with("VARCHAR") && !self.is_time()
    }

    fn is_prose(&self) -> bool {
        self.is_text() && !NUMBERS.contains(&self.path)
    }

    /// Characters or digits.
    fn limit(&self) -> usize {
        if ["Header/License", "Patient/SickNo", "Exam/ApplyNo"].contains(&self.path) {
            return 64;
        }
        let (_, inner) = self.format.split_once('(').unwrap();
        let digits = inner.trim_end_matches(')').split(',').next().unwrap();
        digits.parse().unwrap()
    }

    fn at_limit(&self) -> String {
        match self.path {
            "Header/Action" => "INSERT".to_owned(),
            // With a prefix, so that the form's hospital is known whatever else is wrong.
            "Patient/SickNo" | "Exam/ApplyNo" => format!("7173_{}", "1".repeat(59)),
            _ if self.is_time() => "2026-07-04 10:54:32".to_owned(),
            _ if self.is_date() => "2026-07-04".to_owned(),
            _ if self.format.ends_with(",2)") => format!("{}.99", "9".repeat(self.limit() - 2)),
            _ if self.is_decimal() => "9".repeat(self.limit()),
            _ => "1".repeat(self.limit()),
        }
    }

    /// Where a fault of it is named.
    fn place(&self) -> String {
        ["ExamItem", "SampleInfo", "Organ"]
            .iter()
            .fold(self.path.to_owned(), |path, name| {
                let steps = path.split('/');
                let steps: Vec<String> = steps
                    .map(|step| match step == *name {
                        true => format!("{step}[1]"),
                        false => step.to_owned(),
                    })
                    .collect();
                steps.join("/")
            })
    }
}

/// All fields; the other way to write an item is tested by itself.
fn rows() -> Vec<Row> {
    let rows = TABLE.lines().skip(1).map(|line| {
        let cells: Vec<&str> = line.split('\t').collect();
        Row {
            path: cells[0],
            format: cells[1],
            presence: cells[2],
            meaning: cells[4],
        }
    });
    rows.filter(|row| row.format != "node" && row.presence != "alternative")
        .collect()
}

#[derive(Default)]
struct Node {
    text: String,
    children: BTreeMap<String, Node>,
}

impl Node {
    fn put(&mut self, path: &str, text: String) {
        let node = path.split('/').fold(self, |node, step| {
            node.children.entry(step.to_owned()).or_default()
        });
        node.text = text;
    }

    fn remove(&mut self, path: &str) {
        match path.split_once('/') {
            Some((step, rest)) => self.children.get_mut(step).unwrap().remove(rest),
            None => drop(self.children.remove(path).unwrap()),
        }
    }

    fn write(&self, out: &mut String) {
        out.push_str(&self.text);
        for (name, node) in &self.children {
            let code = match name.as_str() {
                "PatientClass" => " code=\"OU\"",
                "ReqHospital" => " code=\"350006\"",
                _ => "",
            };
            out.push_str(&format!("<{name}{code}>"));
            node.write(out);
            out.push_str(&format!("</{name}>"));
        }
    }

    fn parse(&self) -> Result<ParsedForm, Box<FormRefused>> {
        let mut text = String::new();
        self.write(&mut text);
        parse_xml(&format!("<XmlDocument>{text}</XmlDocument>"))
    }
}

/// A form with every field at its limit.
fn full() -> Node {
    let mut root = Node::default();
    for row in rows() {
        root.put(row.path, row.at_limit());
    }
    root
}

fn with(row: &Row, text: &str) -> Result<ParsedForm, Box<FormRefused>> {
    let mut root = full();
    root.put(row.path, text.to_owned());
    root.parse()
}

fn check_fault(row: &Row, result: Result<ParsedForm, Box<FormRefused>>, rule: Rule) {
    let refused = result.expect_err(row.path);
    let found: Vec<_> = refused
        .faults
        .iter()
        .map(|fault| (fault.path.as_str(), fault.rule))
        .collect();
    assert_eq!(
        found,
        [(row.place().as_str(), rule)],
        "{:?}",
        refused.faults
    );
}

/// Warnings of lengths.
fn overlong(parsed: &ParsedForm) -> Vec<&str> {
    let warnings = parsed.warnings.iter();
    warnings
        .filter(|fault| fault.rule == Rule::Length)
        .map(|fault| fault.path.as_str())
        .collect()
}

#[test]
fn a_form_with_every_field_at_its_limit_is_taken() {
    let parsed = full().parse().unwrap();
    assert_eq!(overlong(&parsed), [""; 0]);
    assert_eq!(rows().len(), 83);
}

#[test]
fn a_field_that_is_absent_or_empty_is_named_if_it_is_required() {
    for row in rows() {
        let mut absent = full();
        absent.remove(row.path);
        for result in [absent.parse(), with(&row, ""), with(&row, " \u{3000}\n")] {
            // The form is an outpatient's with an identity, so all that those need is required of it.
            let conditional = row.presence == "conditional"
                && row.path != "Patient/InPatientNo"
                && !row.path.starts_with("Exam/Samples");
            if row.presence == "required" || conditional {
                check_fault(&row, result, Rule::Required);
            } else {
                result.expect(row.path);
            }
        }
    }
}

#[test]
fn a_number_beyond_its_limit_is_refused_and_prose_is_kept_and_flagged() {
    for row in rows() {
        let longer = match row.path {
            "Header/Action" => "INSERT     1".to_owned(),
            _ => "1".repeat(row.limit() + 1),
        };
        let result = with(&row, &longer);
        if row.is_prose() {
            let parsed = result.expect(row.path);
            assert_eq!(overlong(&parsed), [row.place()], "{}", row.path);
        } else if row.is_time() || row.is_date() {
            check_fault(&row, result, Rule::Format);
        } else {
            check_fault(&row, result, Rule::Length);
        }
    }
}

#[test]
fn prose_that_is_far_too_long_is_refused() {
    for row in rows().iter().filter(|row| row.is_prose()) {
        let parsed = with(row, &"长".repeat(PROSE_LIMIT)).expect(row.path);
        assert_eq!(overlong(&parsed), [row.place()]);
        check_fault(row, with(row, &"长".repeat(PROSE_LIMIT + 1)), Rule::Length);
    }
}

#[test]
fn what_is_no_time_date_or_number_is_named() {
    for row in rows() {
        let (wrong, rule): (&[&str], Rule) = if row.is_time() {
            (
                &["2026-02-30 10:00:00", "2026-07-04", "today"],
                Rule::Format,
            )
        } else if row.is_date() {
            (&["2026-02-30", "2026-07-04 10:00:00"], Rule::Format)
        } else if row.format.ends_with(",2)") {
            (&["1e1", "一", "1,5"], Rule::Number)
        } else if row.is_decimal() {
            (&["1e1", "一", "-1", "1.5"], Rule::Number)
        } else {
            continue;
        };
        for text in wrong {
            check_fault(&row, with(&row, text), rule);
        }
        if row.format.ends_with(",2)") {
            check_fault(&row, with(&row, "1.005"), Rule::Length);
        }
    }
}

#[test]
fn a_control_character_in_a_number_is_named() {
    for row in rows() {
        if NUMBERS.contains(&row.path) && row.path != "Header/Action" {
            check_fault(&row, with(&row, "1\n2"), Rule::Format);
        } else if row.is_text() && row.path != "Header/Action" {
            with(&row, "1\n2").expect(row.path);
        }
    }
}

#[test]
fn elements_where_text_is_meant_are_named() {
    for row in rows() {
        let mut root = full();
        root.put(&format!("{}/b", row.path), "1".to_owned());
        check_fault(&row, root.parse(), Rule::Type);
    }
}

#[test]
fn a_code_has_a_limit_of_its_own() {
    for name in [
        "Patient/PatientClass",
        "Exam/HospitalName",
        "Exam/PerformDept",
        "Exam/Technican",
        "Exam/ReqHospital",
        "Exam/ReqWard",
        "Exam/ReqDept",
        "Exam/ReqPhysician",
    ] {
        let element = name.rsplit('/').next().unwrap();
        let mut text = String::new();
        full().write(&mut text);
        let coded = |code: &str| {
            let old = match element {
                "PatientClass" => "<PatientClass code=\"OU\">".to_owned(),
                "ReqHospital" => "<ReqHospital code=\"350006\">".to_owned(),
                other => format!("<{other}>"),
            };
            assert_eq!(text.matches(&old).count(), 1, "{old}");
            let text = text.replace(&old, &format!("<{element} code=\"{code}\">"));
            parse_xml(&format!("<XmlDocument>{text}</XmlDocument>"))
        };
        assert!(coded(&"1".repeat(CODE_LIMIT)).is_ok(), "{name}");
        let refused = coded(&"1".repeat(CODE_LIMIT + 1)).expect_err(name);
        assert_eq!(refused.faults[0].path, format!("{name}/@code"));
        assert_eq!(refused.faults[0].rule, Rule::Length);
    }
}

#[test]
fn the_other_way_to_write_an_item_has_the_same_limits() {
    let item = |attributes: &str, name: &str| {
        let mut root = full();
        root.remove("Exam/ExamItems");
        let item = format!("<ExamItems><Item {attributes}>{name}</Item></ExamItems>");
        root.put("Exam", item);
        root.parse()
    };
    let parsed = item("", &"1".repeat(101)).unwrap();
    assert_eq!(overlong(&parsed), ["Exam/ExamItems/Item[1]"]);
    for (attribute, longest, longer, rule) in [
        ("code", "1".repeat(32), "1".repeat(33), Rule::Length),
        ("OrderNo", "1".repeat(32), "1".repeat(33), Rule::Length),
        (
            "Cost",
            "99999999.99".to_owned(),
            "1.005".to_owned(),
            Rule::Length,
        ),
        (
            "Charge",
            "99999999.99".to_owned(),
            "x".to_owned(),
            Rule::Number,
        ),
        ("Count", "9999".to_owned(), "10000".to_owned(), Rule::Length),
    ] {
        let with = |text: &str| item(&format!("{attribute}=\"{text}\""), "胸部");
        assert!(with(&longest).is_ok(), "{attribute}");
        let refused = with(&longer).expect_err(attribute);
        assert_eq!(
            refused.faults[0].path,
            format!("Exam/ExamItems/Item[1]/@{attribute}")
        );
        assert_eq!(refused.faults[0].rule, rule);
    }
}

#[test]
fn every_field_of_the_table_has_its_place_in_the_types() {
    for (parent, elements, beside) in [
        ("Patient", FormPatient::ELEMENTS, &["Identity"][..]),
        ("Patient/Identity", Identity::ELEMENTS, &[]),
        ("Exam/ExamItems/ExamItem", FormItem::ELEMENTS, &[]),
        ("Exam/Samples/SampleInfo", Sample::ELEMENTS, &[]),
        (
            "Exam",
            FormExam::ELEMENTS,
            &["ExamItems", "ExamOrgan", "Samples"],
        ),
    ] {
        let rows = rows();
        let fields = rows.iter().filter_map(|row| {
            let (own, name) = row.path.rsplit_once('/')?;
            // The form's number stands beside the form.
            (own == parent && row.path != "Exam/ApplyNo").then_some(name)
        });
        let mut names: Vec<&str> = fields.chain(beside.iter().copied()).collect();
        let mut elements = elements.to_vec();
        names.sort_unstable();
        elements.sort_unstable();
        assert_eq!(elements, names, "{parent}");
    }
}
