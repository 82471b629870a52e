//! Every row of `exam_push.tsv`, tested from the table itself: absent, too long, of the wrong kind.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

use serde_json::{Map, Value, json};

use super::super::fields::{EXAM_PUSH, Field, Format, Kind};
use super::tests::parse_value;
use super::*;

/// A push with every field of the table.
fn full() -> Value {
    fn object(field: &Field) -> Value {
        Value::Object(
            field
                .children
                .iter()
                .map(|child| (child.name.clone(), value(child)))
                .collect::<Map<_, _>>(),
        )
    }
    fn value(field: &Field) -> Value {
        match field.kind {
            Kind::Object => object(field),
            Kind::Array => json!([object(field)]),
            Kind::Text(_) if field.name == "examStatus" => json!("70"),
            Kind::Text(_) if field.name == "studyUID" => json!("1.2.3"),
            Kind::Text(Format::Time) => json!("2026-07-04 10:54:32"),
            Kind::Text(Format::Date) => json!("2026-07-04"),
            Kind::Text(Format::Decimal { .. } | Format::Exactly(1)) => json!("1"),
            Kind::Text(Format::AtMost(limit)) => json!("1".repeat(limit)),
            Kind::Text(Format::Exactly(count)) => json!("1".repeat(count)),
        }
    }
    object(&EXAM_PUSH)
}

/// Every field of the table with its place in [`full`]: `reportList[0].reporter`.
fn places() -> Vec<(&'static Field, String)> {
    fn below(table: &'static Field, at: &str, places: &mut Vec<(&'static Field, String)>) {
        for field in &table.children {
            let path = if at.is_empty() {
                field.name.clone()
            } else {
                format!("{at}.{}", field.name)
            };
            let inside = if field.kind == Kind::Array {
                format!("{path}[0]")
            } else {
                path.clone()
            };
            places.push((field, path));
            below(field, &inside, places);
        }
    }
    let mut places = Vec::new();
    below(&EXAM_PUSH, "", &mut places);
    places
}

/// [`full`] with the value at a place put in its stead, or taken away.
fn with(path: &str, value: Option<Value>) -> Value {
    let mut push = full();
    let pointer = format!("/{}", path.replace("[0]", "/0").replace('.', "/"));
    let (parent, key) = pointer.rsplit_once('/').unwrap();
    let parent = push.pointer_mut(parent).unwrap().as_object_mut().unwrap();
    match value {
        Some(value) => parent.insert(key.to_owned(), value),
        None => parent.remove(key),
    };
    push
}

fn check_fault(path: &str, value: Option<Value>, rule: Rule) {
    let shown = value
        .as_ref()
        .map(|value| value.to_string().chars().take(40).collect::<String>());
    let refused = parse_value(&ValidationPolicy::default(), &with(path, value));
    let refused = refused
        .err()
        .unwrap_or_else(|| panic!("{path} {rule:?} was taken with {shown:?}"));
    let found = refused
        .faults
        .iter()
        .any(|fault| fault.path == path && fault.rule == rule);
    assert!(
        found,
        "{path} {rule:?} with {shown:?}: {:?}",
        refused.faults
    );
}

#[test]
fn a_push_with_every_field_at_its_limit_is_taken() {
    let parsed = parse_value(&ValidationPolicy::default(), &full());
    assert!(
        parsed.is_ok(),
        "{:?}",
        parsed.err().map(|refused| refused.faults)
    );
    assert_eq!(places().len(), 107);
}

#[test]
fn a_required_field_that_is_absent_null_or_empty_is_named() {
    let mut count = 0;
    for (field, path) in places() {
        if field.required {
            count += 1;
            check_fault(&path, None, Rule::Required);
            check_fault(&path, Some(Value::Null), Rule::Required);
            check_fault(&path, Some(json!("")), Rule::Required);
        } else if let Err(refused) = parse_value(&ValidationPolicy::default(), &with(&path, None)) {
            panic!("{path} is optional: {:?}", refused.faults);
        }
    }
    assert_eq!(count, 18);
}

#[test]
fn a_text_beyond_its_limit_is_named() {
    for (field, path) in places() {
        let Kind::Text(format) = field.kind else {
            continue;
        };
        let (longer, rule) = match format {
            Format::AtMost(limit) => ("1".repeat(limit + 1), Rule::Length),
            Format::Exactly(count) => ("1".repeat(count + 1), Rule::Length),
            Format::Decimal { precision, .. } => ("1".repeat(precision + 1), Rule::Length),
            Format::Time => ("2026-07-04 10:54:320".to_owned(), Rule::Format),
            Format::Date => ("2026-07-041".to_owned(), Rule::Format),
        };
        check_fault(&path, Some(json!(longer)), rule);
    }
}

#[test]
fn what_is_no_time_date_or_number_is_named() {
    for (field, path) in places() {
        match field.kind {
            Kind::Text(Format::Time) => {
                check_fault(&path, Some(json!("2026-02-30 10:00:00")), Rule::Format);
                check_fault(&path, Some(json!("2026-07-04")), Rule::Format);
            }
            Kind::Text(Format::Date) => {
                check_fault(&path, Some(json!("2026-07-04 10:00:00")), Rule::Format)
            }
            Kind::Text(Format::Decimal { scale, .. }) => {
                check_fault(&path, Some(json!("1e1")), Rule::Number);
                check_fault(&path, Some(json!("一")), Rule::Number);
                if scale > 0 {
                    check_fault(&path, Some(json!("1.005")), Rule::Length);
                } else {
                    check_fault(&path, Some(json!(-1)), Rule::Number);
                }
            }
            _ => {}
        }
    }
}

#[test]
fn a_value_of_the_wrong_kind_is_named() {
    for (field, path) in places() {
        let wrong = match field.kind {
            Kind::Text(_) => [json!({}), json!(["1"]), json!(true)],
            Kind::Object => [json!("x"), json!([{}]), json!(7)],
            Kind::Array => [json!(false), json!(true), json!(false)],
        };
        for value in wrong {
            check_fault(&path, Some(value), Rule::Type);
        }
        if field.kind == Kind::Array {
            let refused = parse_value(
                &ValidationPolicy::default(),
                &with(&path, Some(json!([[1]]))),
            );
            let refused = refused
                .err()
                .unwrap_or_else(|| panic!("{path} took a list in a list"));
            assert!(
                refused
                    .faults
                    .iter()
                    .any(|fault| fault.path == format!("{path}[0]") && fault.rule == Rule::Type)
            );
        }
    }
}
