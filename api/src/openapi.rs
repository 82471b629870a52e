//! `/openapi.json`: OpenAPI 3.1, made of the one table of operations.

use axum::body::Body;
use axum::http::{Response, StatusCode};
use serde_json::{Map, Value, json};
use yingku_core::contract::jiwei;

use crate::call::Api;
use crate::envelope::json_response;
use crate::images;
use crate::operations::{Access, OPERATIONS, Operation, Statuses};
use crate::rest::supervision::download;
use crate::rest::{apply_query, schema};

pub fn document_response(api: &Api) -> Response<Body> {
    json_response(
        StatusCode::OK,
        document(&api.config.context).to_string().into_bytes(),
    )
}

/// The whole document. Addresses stand under the context; they answer without it as well (R1).
pub fn document(context: &str) -> Value {
    let base = match context.trim_matches('/') {
        "" => "/".to_owned(),
        context => format!("/{context}"),
    };
    let mut paths: Map<String, Value> = OPERATIONS
        .iter()
        .flat_map(|operation| match operation.access {
            Access::Key => enciphered(operation),
            Access::Open | Access::Token(_) => {
                vec![(operation.path.to_owned(), describe(operation))]
            }
        })
        .map(|(path, described)| (path, json!({ "post": described })))
        .collect();
    let frame = json!({ "get": images::describe() });
    paths.insert(images::FRAME.to_owned(), frame);
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "影库 Yingku 影像归档接口",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "区域影像归档接口。status：0 成功，1 拒绝或失败，500 内部错误，999 其他（令牌、权限）。除 413、429、500、503 外 HTTP 状态均为 200，登记为 http_status=real 的应用另有 401、403；接口路径下未知的地址也答 200、status 1，其他未知的地址答 404。(Statuses are in the body. HTTP's are 200, 413, 429, 500 and 503, and 401 and 403 for apps registered with http_status real; an unknown address below the interfaces' answers 200 with status 1, any other 404.)",
        },
        "servers": [{ "url": base }],
        "paths": paths,
        "components": {
            "securitySchemes": {
                "token": { "type": "apiKey", "in": "header", "name": "token" },
                "bearer": { "type": "http", "scheme": "bearer" },
            },
            "schemas": {
                "Fault": schema::fault(),
                "Page": page(),
                "Refusal": envelope(json!({
                    "type": "array",
                    "items": { "$ref": "#/components/schemas/Fault" },
                })),
            },
        },
    })
}

fn page() -> Value {
    schema::object(&[
        ("pageNo", true, schema::integer("页号，从 1 起")),
        ("pageSize", true, schema::integer("每页行数")),
        ("total", true, schema::integer("总行数")),
        ("pages", true, schema::integer("总页数")),
        (
            "nextPageToken",
            false,
            schema::text(512, "下一页的 pageToken，末页无"),
        ),
    ])
}

fn envelope(result: Value) -> Value {
    schema::object(&[
        ("status", true, json!({ "type": ["integer", "string"] })),
        ("message", true, json!({ "type": "string" })),
        (
            "page",
            false,
            json!({ "$ref": "#/components/schemas/Page" }),
        ),
        ("result", false, result),
    ])
}

fn refused(description: &str) -> Value {
    json!({
        "description": description,
        "content": { "application/json": { "schema": { "$ref": "#/components/schemas/Refusal" } } },
    })
}

/// An operation of enciphered bodies, at its address and at that of an app (R11). The schemas are of the clear texts.
fn enciphered(operation: &Operation) -> Vec<(String, Value)> {
    let base64 = |limit: usize| {
        json!({
            "type": "string",
            "maxLength": limit,
            "contentEncoding": "base64",
            "description": "AES/ECB/PKCS5Padding 密文的 Base64 (Base64 of the cipher text)",
        })
    };
    let question = base64(jiwei::REQUEST_LIMIT_BYTES);
    let param = schema::object(&[("param", true, question.clone())]);
    let text = json!({ "schema": base64(jiwei::ANSWER_LIMIT_BYTES) });
    // What fails once the key is known is enciphered, too.
    let failed = |description: &str| {
        let mut refused = refused(description);
        if let Some(content) = refused.get_mut("content").and_then(Value::as_object_mut) {
            content.insert("text/plain".to_owned(), text.clone());
        }
        refused
    };
    let clear: Value = serde_json::from_str(operation.example).unwrap_or_default();
    let described = json!({
        "operationId": operation.id(),
        "summary": operation.title,
        "description": format!("{}。{}", operation.summary, apply_query::describe_wire()),
        "security": [],
        "requestBody": {
            "required": true,
            "content": {
                "text/plain": { "schema": question },
                "application/json": { "schema": param, "example": { "param": "<Base64>" } },
                "application/x-www-form-urlencoded": { "schema": param },
            },
        },
        "responses": {
            "200": { "description": "密文：申请单，或 success 为 false 的失败 (enciphered: forms, or a failure)", "content": { "text/plain": text } },
            "401": refused("没有可用的密钥，明文应答 (no key to answer with: in clear)"),
            "413": failed("内容过大 (too large)"),
            "429": failed("请求过多 (too many)"),
            "500": failed("内部错误 (internal error)"),
            "503": failed("暂不可用，请重发 (send again)"),
        },
        "x-clear-text": {
            "request": (operation.request)(),
            "answer": (operation.result)(),
            "example": clear,
        },
    });
    let mut of_app = described.clone();
    if let Some(of_app) = of_app.as_object_mut() {
        of_app.insert(
            "operationId".to_owned(),
            format!("{}OfApp", operation.id()).into(),
        );
        of_app.insert(
            "parameters".to_owned(),
            json!([{
                "name": "app",
                "in": "path",
                "required": true,
                "schema": {
                    "type": "string",
                    "pattern": "^[A-Za-z0-9._-]{1,64}$",
                    "description": "应用代码，其基卫密钥用于加解密 (the app whose key it is)",
                },
            }]),
        );
    }
    vec![
        (operation.path.to_owned(), described),
        (format!("{}/{{app}}", operation.path), of_app),
    ]
}

fn describe(operation: &Operation) -> Value {
    let example: Value = serde_json::from_str(operation.example).unwrap_or_default();
    let security = match operation.access {
        Access::Open | Access::Key => json!([]),
        Access::Token(_) => json!([{ "token": [] }, { "bearer": [] }]),
    };
    let mut description = json!({
        "operationId": operation.id(),
        "summary": operation.title,
        "description": operation.summary,
        "security": security,
        "requestBody": {
            "required": true,
            "content": { "application/json": { "schema": (operation.request)(), "example": example } },
        },
        "responses": {
            "200": {
                "description": "status 0 成功；1 拒绝，result 为全部错误；999 令牌或权限 (0 done, 1 refused, 999 token or right)",
                "content": { "application/json": { "schema": {
                    "anyOf": [
                        envelope((operation.result)()),
                        { "$ref": "#/components/schemas/Refusal" },
                    ],
                } } },
            },
            "413": refused("内容过大 (too large)"),
            "429": refused("请求过多 (too many)"),
            "500": refused("内部错误 (internal error)"),
            "503": refused("暂不可用，请重发 (send again)"),
        },
    });
    if operation.downloads
        && let Some(Value::Object(content)) = description.pointer_mut("/responses/200/content")
    {
        let file = json!({ "schema": { "type": "string", "format": "binary" } });
        content.insert("text/csv".to_owned(), file.clone());
        content.insert(download::XLSX_TYPE.to_owned(), file);
    }
    if let (Access::Token(_), Some(responses)) = (
        operation.access,
        description
            .get_mut("responses")
            .and_then(Value::as_object_mut),
    ) {
        let refusals: &[(&str, &str)] = match operation.statuses {
            Statuses::Contract => &[
                (
                    "401",
                    "令牌缺失、有误或过期，仅 http_status=real 的应用 (no valid token; only for apps with http_status real)",
                ),
                (
                    "403",
                    "无权限，仅 http_status=real 的应用 (no right; only for apps with http_status real)",
                ),
            ],
            Statuses::Http => &[
                (
                    "400",
                    "请求有误，result 为全部错误 (a wrong request, with all faults in result)",
                ),
                ("401", "令牌缺失、有误或过期 (no valid token)"),
                (
                    "403",
                    "无权限，或缺跨院调阅理由 (no right, or no reason for another hospital's exam)",
                ),
                (
                    "404",
                    "没有此检查，或已撤回 (no such exam, or it is withdrawn)",
                ),
                ("409", "与现状不符 (not as things stand)"),
            ],
        };
        for (http, words) in refusals {
            responses.insert((*http).to_owned(), refused(words));
        }
    }
    description
}
