//! What goes back: `{"status", "message", "page", "result"}` (contract §2.1), in the shape that an app has asked for (R2).

use axum::body::Body;
use axum::http::{Response, StatusCode, header};
use serde::Serialize;
use serde_json::Value;
use yingku_core::registry::{App, EnvelopeShape, HttpStatus, ResultShape, StatusType};

use crate::operations::Statuses;

/// Statuses of the contract (§2.1).
pub const DONE: u16 = 0;
pub const REFUSED: u16 = 1;
pub const INTERNAL: u16 = 500;
pub const OTHER: u16 = 999;

/// How an app wants to be answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Shape {
    pub envelope: EnvelopeShape,
    pub status_type: StatusType,
    pub http_status: HttpStatus,
    pub result: ResultShape,
    /// Of the operation.
    pub statuses: Statuses,
}

impl Shape {
    pub fn of(app: &App, statuses: Statuses) -> Self {
        Self {
            statuses,
            envelope: app.envelope,
            status_type: app.status_type,
            http_status: app.http_status,
            result: app.result_shape,
        }
    }
}

/// `page` of an answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Page {
    pub page_no: u64,
    pub page_size: u64,
    pub total: u64,
    pub pages: u64,
    /// Leads to the following page at the same position of the log; absent on the last one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_page_token: Option<String>,
}

/// An answer before it has a shape.
pub struct Answer {
    /// Absent: done.
    pub status: Option<u16>,
    pub message: String,
    pub page: Option<Page>,
    pub result: Option<Value>,
    /// Of an app that only the operation itself has made out.
    pub shape: Option<Shape>,
    /// What goes out in place of the envelope: enciphered text (contract §1).
    pub enciphered: Option<String>,
    /// A file that goes out in place of the envelope.
    pub download: Option<Download>,
}

/// A file.
pub struct Download {
    pub content_type: &'static str,
    /// ASCII.
    pub name: String,
    pub bytes: Vec<u8>,
}

impl Answer {
    pub fn new(message: impl Into<String>) -> Self {
        Self {
            status: None,
            message: message.into(),
            page: None,
            result: None,
            shape: None,
            enciphered: None,
            download: None,
        }
    }

    pub fn with_download(mut self, download: Download) -> Self {
        self.download = Some(download);
        self
    }

    pub fn with_result(mut self, result: Value) -> Self {
        self.result = Some(result);
        self
    }

    pub fn with_page(mut self, page: Page) -> Self {
        self.page = Some(page);
        self
    }
}

/// An answer on its way out.
pub struct Reply {
    pub http: StatusCode,
    pub status: u16,
    pub message: String,
    pub page: Option<Page>,
    pub result: Option<Value>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Status {
    Number(u16),
    Text(String),
}

#[derive(Serialize)]
struct Flat<'a> {
    status: Status,
    message: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    page: Option<&'a Page>,
    #[serde(skip_serializing_if = "Option::is_none")]
    result: Option<&'a Value>,
}

#[derive(Serialize)]
struct Wrapped<'a> {
    content: Flat<'a>,
}

impl Reply {
    pub fn into_response(self, shape: Shape) -> Response<Body> {
        let result = match (self.result, shape.result) {
            (Some(single @ Value::Object(_)), ResultShape::Array) => {
                Some(Value::Array(vec![single]))
            }
            (result, _) => result,
        };
        let flat = Flat {
            status: match shape.status_type {
                StatusType::Number => Status::Number(self.status),
                StatusType::Text => Status::Text(self.status.to_string()),
            },
            message: &self.message,
            page: self.page.as_ref(),
            result: result.as_ref(),
        };
        let bytes = match shape.envelope {
            EnvelopeShape::Flat => serde_json::to_vec(&flat),
            EnvelopeShape::Content => serde_json::to_vec(&Wrapped { content: flat }),
        };
        match bytes {
            Ok(bytes) => json_response(self.http, bytes),
            Err(error) => {
                tracing::error!(%error, "an answer cannot be encoded");
                json_response(
                    StatusCode::INTERNAL_SERVER_ERROR,
                    br#"{"status":500,"message":"\u5185\u90e8\u9519\u8bef (internal error)"}"#
                        .to_vec(),
                )
            }
        }
    }
}

/// JSON as it goes out everywhere.
pub fn json_response(http: StatusCode, bytes: Vec<u8>) -> Response<Body> {
    response(http, "application/json;charset=UTF-8", bytes)
}

/// Enciphered text: Base64, and nothing around it.
pub fn enciphered_response(http: StatusCode, text: String) -> Response<Body> {
    response(http, "text/plain;charset=UTF-8", text.into_bytes())
}

/// A file, to be kept under its name.
pub fn download_response(file: Download) -> Response<Body> {
    let mut response = response(StatusCode::OK, file.content_type, file.bytes);
    let disposition = format!("attachment; filename=\"{}\"", file.name);
    if let Ok(value) = header::HeaderValue::from_str(&disposition) {
        response
            .headers_mut()
            .insert(header::CONTENT_DISPOSITION, value);
    }
    response
}

fn response(http: StatusCode, content_type: &'static str, bytes: Vec<u8>) -> Response<Body> {
    let mut response = Response::new(Body::from(bytes));
    *response.status_mut() = http;
    let headers = response.headers_mut();
    headers.insert(
        header::CONTENT_TYPE,
        header::HeaderValue::from_static(content_type),
    );
    headers.insert(
        header::CACHE_CONTROL,
        header::HeaderValue::from_static("no-store"),
    );
    response
}
