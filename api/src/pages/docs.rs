//! `/docs`: the OpenAPI document as a page to browse.

use std::fmt::Write;

use axum::body::Body;
use axum::http::Response;
use serde_json::Value;

use super::{escape, page};
use crate::call::Api;
use crate::operations::{Access, OPERATIONS, Operation};

pub fn docs(api: &Api) -> Response<Body> {
    let context = api.config.context.trim_matches('/');
    let mut body = String::from(
        "<h1>影库接口说明 <small>Yingku interfaces</small></h1>\
         <p>均为 POST，请求与应答均为 JSON；令牌置于请求头 <code>token</code>（或 <code>Authorization: Bearer</code>）。\
         <code>status</code>：0 成功，1 拒绝或失败（<code>result</code> 列出全部错误），500 内部错误，999 令牌或权限。\
         <br>All are POST with JSON; the token goes into the header <code>token</code>. \
         <a href=\"/openapi.json\">OpenAPI 3.1</a></p><ul>",
    );
    for operation in OPERATIONS {
        // Writing to a String does not fail.
        let _ = write!(
            body,
            "<li><a href=\"#{path}\">{title} <code>{path}</code></a></li>",
            path = operation.path,
            title = operation.title
        );
    }
    body.push_str("</ul>");
    for operation in OPERATIONS {
        section(&mut body, context, operation);
    }
    page("影库接口说明", &body)
}

fn section(body: &mut String, context: &str, operation: &Operation) {
    let context = if context.is_empty() {
        String::new()
    } else {
        format!("/{context}")
    };
    let token = match operation.access {
        Access::Open => "",
        Access::Token(_) | Access::Any(_) => " \\\n  -H \"token: $TOKEN\"",
    };
    let curl = format!(
        "curl -s http://127.0.0.1:8080{context}{} \\\n  -H 'Content-Type: application/json'{token} \\\n  -d '{}'",
        operation.path,
        operation.example.trim()
    );
    let _ = write!(
        body,
        "<h2 id=\"{path}\">{title} <code>{path}</code></h2><p>{summary}</p><h3>请求 (request)</h3>",
        path = operation.path,
        title = operation.title,
        summary = escape(operation.summary),
    );
    table(body, &(operation.request)());
    body.push_str("<h3>应答 result</h3>");
    table(body, &(operation.result)());
    let _ = write!(body, "<h3>示例 (example)</h3><pre>{}</pre>", escape(&curl));
}

fn table(body: &mut String, schema: &Value) {
    body.push_str("<table><tr><th>字段</th><th>必填</th><th>类型</th><th>说明</th></tr>");
    rows(body, schema, "");
    body.push_str("</table>");
}

/// The properties of a schema, nested ones by their path.
fn rows(body: &mut String, schema: &Value, path: &str) {
    // One or several of the same.
    if let Some(one) = schema.pointer("/anyOf/0") {
        return rows(body, one, path);
    }
    if let Some(items) = schema.get("items") {
        return rows(body, items, &format!("{path}[]"));
    }
    let required: Vec<&str> = schema
        .get("required")
        .and_then(Value::as_array)
        .map(|names| names.iter().filter_map(Value::as_str).collect())
        .unwrap_or_default();
    let Some(properties) = schema.get("properties").and_then(Value::as_object) else {
        return;
    };
    for (name, property) in properties {
        let path = if path.is_empty() {
            name.clone()
        } else {
            format!("{path}.{name}")
        };
        let words = |key| {
            property
                .get(key)
                .and_then(Value::as_str)
                .unwrap_or_default()
        };
        let kind = match property.get("type") {
            Some(Value::String(kind)) => kind.clone(),
            Some(Value::Array(kinds)) => kinds
                .iter()
                .filter_map(Value::as_str)
                .collect::<Vec<_>>()
                .join(" / "),
            _ => String::new(),
        };
        let meaning = match words("description") {
            "" => words("title"),
            meaning => meaning,
        };
        let _ = write!(
            body,
            "<tr><td><code>{}</code></td><td>{}</td><td>{}</td><td>{}</td></tr>",
            escape(&path),
            if required.contains(&name.as_str()) {
                "是"
            } else {
                ""
            },
            escape(&kind),
            escape(meaning)
        );
        rows(body, property, &path);
    }
}
