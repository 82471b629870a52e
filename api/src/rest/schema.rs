//! JSON schemas of requests and answers, for OpenAPI: made from the contract's field tables where there is one.

use std::ops::RangeInclusive;

use serde_json::{Map, Value, json};
use yingku_core::contract::fields::{Field, Format, Kind};

use super::params::PAGE_NO_LIMIT;

/// An object with its properties: name, required, schema.
pub fn object(properties: &[(&str, bool, Value)]) -> Value {
    let required: Vec<&str> = properties
        .iter()
        .filter(|(_, required, _)| *required)
        .map(|(name, ..)| *name)
        .collect();
    let properties: Map<String, Value> = properties
        .iter()
        .map(|(name, _, schema)| ((*name).to_owned(), schema.clone()))
        .collect();
    json!({ "type": "object", "properties": properties, "required": required })
}

pub fn array(items: Value) -> Value {
    json!({ "type": "array", "items": items })
}

pub fn text(limit: usize, description: &str) -> Value {
    json!({ "type": "string", "maxLength": limit, "description": description })
}

pub fn integer(description: &str) -> Value {
    json!({ "type": "integer", "description": description })
}

/// Of a member that is null where it does not apply.
pub fn or_null(mut schema: Value) -> Value {
    if let Some(kind) = schema.get_mut("type") {
        *kind = json!([kind.take(), "null"]);
    }
    schema
}

/// A whole number within a range, both ends included.
pub fn number(range: RangeInclusive<u64>, description: &str) -> Value {
    let (least, most) = range.into_inner();
    json!({ "type": "integer", "minimum": least, "maximum": most, "description": description })
}

pub fn page_no() -> Value {
    number(1..=PAGE_NO_LIMIT, "页号，从 1 起，缺省 1")
}

pub fn generation() -> Value {
    number(
        0..=u64::from(u16::MAX),
        "流水号代次，首代为 0；缺省为最新一代 (generation of numbers)",
    )
}

pub fn boolean(description: &str) -> Value {
    json!({ "type": "boolean", "description": description })
}

/// One line of a refusal's `result`.
pub fn fault() -> Value {
    object(&[
        ("path", true, text(256, "JSON 路径 (JSON path)")),
        ("rule", true, text(32, "规则 (rule)")),
        ("message", true, text(512, "说明 (what was found)")),
        (
            "limit",
            false,
            text(32, "合同规定的限值 (the contract's limit)"),
        ),
        (
            "serverTime",
            false,
            text(
                19,
                "服务器时间，仅 getToken 的时间错误 (for errors of a sign's time)",
            ),
        ),
    ])
}

/// A row of the contract's table and everything below it.
pub fn of_table(field: &Field) -> Value {
    match field.kind {
        Kind::Text(format) => match field.also {
            None => of_format(format, &field.title),
            Some(also) => json!({ "anyOf": [of_format(format, &field.title), { "const": also }] }),
        },
        Kind::Array => {
            // One object may stand for an array of one (R5).
            let item = of_children(field);
            json!({ "type": "array", "items": item, "title": field.title })
        }
        Kind::Object => {
            let mut schema = of_children(field);
            if let Some(schema) = schema.as_object_mut().filter(|_| !field.title.is_empty()) {
                schema.insert("title".to_owned(), Value::String(field.title.clone()));
            }
            schema
        }
    }
}

fn of_children(field: &Field) -> Value {
    let properties: Vec<(&str, bool, Value)> = field
        .children
        .iter()
        .map(|child| (child.name.as_str(), child.required, of_table(child)))
        .collect();
    object(&properties)
}

fn of_format(format: Format, title: &str) -> Value {
    let description = format!("{title}，{format}");
    match format {
        Format::AtMost(limit) => {
            json!({ "type": "string", "maxLength": limit, "description": description })
        }
        Format::Exactly(count) => {
            json!({ "type": "string", "minLength": count, "maxLength": count, "description": description })
        }
        Format::Time => {
            json!({ "type": "string", "description": description, "examples": ["2026-07-04 10:54:32"] })
        }
        Format::Date => {
            json!({ "type": "string", "description": description, "examples": ["2026-07-04"] })
        }
        Format::Decimal { .. } => {
            json!({ "type": ["string", "number"], "description": description })
        }
    }
}
