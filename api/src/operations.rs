//! The one table of operations: addresses, who may call them, what does the work, and what OpenAPI says of them.

use futures::future::BoxFuture;
use serde_json::Value;
use yingku_core::registry::Right;

use crate::call::Call;
use crate::envelope::Answer;
use crate::error::Failure;
use crate::rest::{get_token, push, upload_detail, upload_statistics};

/// Who may call an operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    Open,
    Token(Right),
}

type Handler = fn(Call) -> BoxFuture<'static, Result<Answer, Failure>>;

pub struct Operation {
    /// Without context.
    pub path: &'static str,
    pub title: &'static str,
    /// What it does, Chinese first.
    pub summary: &'static str,
    pub access: Access,
    pub handler: Handler,
    /// JSON schemas of the request and of `result`.
    pub request: fn() -> Value,
    pub result: fn() -> Value,
    /// A request that works in the demo.
    pub example: &'static str,
}

macro_rules! operation {
    ($path:literal, $title:literal, $access:expr, $module:ident, $summary:literal) => {
        Operation {
            path: $path,
            title: $title,
            summary: $summary,
            access: $access,
            handler: |call| Box::pin($module::handle(call)),
            request: $module::request_schema,
            result: $module::result_schema,
            example: $module::EXAMPLE,
        }
    };
}

pub static OPERATIONS: &[Operation] = &[
    operation!(
        "/v1/auth/getToken",
        "获取令牌",
        Access::Open,
        get_token,
        "以 RSA 公钥加密的 sign 换取令牌，有效两小时 (a token for a sign; valid for two hours)"
    ),
    operation!(
        "/v1/exam/push",
        "检查归档",
        Access::Token(Right::Push),
        push,
        "推送一个检查及其患者、报告、影像信息 (one examination with its patient, reports and images)"
    ),
    operation!(
        "/v1/exam/uploadStatistics",
        "应上传统计",
        Access::Token(Right::Push),
        upload_statistics,
        "按医院、日期、检查类别申报应上传检查数，整批接收或整批拒绝 (how many exams should have come; taken or refused as a whole)"
    ),
    operation!(
        "/v1/exam/uploadDetail",
        "应上传明细",
        Access::Token(Right::Push),
        upload_detail,
        "申报统计所含的每个检查（扩展接口） (which exams a declaration counts; our extension)"
    ),
];
