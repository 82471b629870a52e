//! `/openapi.json`: OpenAPI 3.1, made of the one table of operations.

use axum::body::Body;
use axum::http::{Response, StatusCode};
use serde_json::{Map, Value, json};

use crate::call::Api;
use crate::envelope::json_response;
use crate::operations::{Access, OPERATIONS, Operation};
use crate::rest::schema;

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
    let paths: Map<String, Value> = OPERATIONS
        .iter()
        .map(|operation| {
            (
                operation.path.to_owned(),
                json!({ "post": describe(operation) }),
            )
        })
        .collect();
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

fn describe(operation: &Operation) -> Value {
    let example: Value = serde_json::from_str(operation.example).unwrap_or_default();
    let security = match operation.access {
        Access::Open => json!([]),
        Access::Token(_) | Access::Any(_) => json!([{ "token": [] }, { "bearer": [] }]),
    };
    let refused = |description: &str| {
        json!({
            "description": description,
            "content": { "application/json": { "schema": { "$ref": "#/components/schemas/Refusal" } } },
        })
    };
    let mut description = json!({
        "operationId": operation.path.rsplit('/').next().unwrap_or_default(),
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
    if let (true, Some(responses)) = (
        operation.access.needs_token(),
        description
            .get_mut("responses")
            .and_then(Value::as_object_mut),
    ) {
        for (http, words) in [
            (
                "401",
                "令牌缺失、有误或过期，仅 http_status=real 的应用 (no valid token; only for apps with http_status real)",
            ),
            (
                "403",
                "无权限，仅 http_status=real 的应用 (no right; only for apps with http_status real)",
            ),
        ] {
            responses.insert(http.to_owned(), refused(words));
        }
    }
    description
}
