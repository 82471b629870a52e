//! Fields of the feed's request and answer, as OpenAPI has them.

use serde_json::Value;

use super::super::exam_row::generation;
use super::super::{detail, reading, schema};
use super::cursor::CURSOR_LIMIT;
use super::{HOSPITALS_LIMIT, PAGE_SIZE_LIMIT, WAIT_LIMIT_SECONDS};

pub fn request_schema() -> Value {
    let text = schema::text;
    let mut fields = vec![
        (
            "cursor",
            false,
            text(
                CURSOR_LIMIT,
                "上一应答的 cursor；缺省从头开始 (the cursor of the answer before; without it from the beginning)",
            ),
        ),
        (
            "hospitalCode",
            false,
            schema::array(text(
                32,
                &format!(
                    "只要这些医院的检查，至多 {HOSPITALS_LIMIT} 家；缺省为可调阅的全部医院；改变后须从头开始"
                ),
            )),
        ),
        (
            "pageSize",
            false,
            schema::number(
                1..=PAGE_SIZE_LIMIT,
                "每页至多几个检查，缺省 100；内容多时一页会少于此数",
            ),
        ),
        (
            "waitSeconds",
            false,
            schema::number(
                0..=WAIT_LIMIT_SECONDS,
                "没有变更时至多等待的秒数，缺省 0 (how long to wait where nothing is new)",
            ),
        ),
    ];
    fields.extend(reading::request_schema());
    schema::object(&fields)
}

pub fn result_schema() -> Value {
    let text = schema::text;
    let mut exam = detail::exam_schema();
    if let Some(exam) = exam.as_object_mut() {
        let words = "检查现状，同 exam/detail；影像数为应答时的数，后续影像到达不另列出 (as exam/detail tells it; images are counted as of the answer, and further ones make no entry)";
        exam.insert("description".to_owned(), words.into());
    }
    let entry = schema::object(&[
        ("hospitalCode", true, text(32, "医院代码")),
        ("examNo", true, text(32, "检查唯一流水号")),
        ("generation", false, generation()),
        (
            "position",
            true,
            schema::integer("变更在日志中的位置 (log position of the change)"),
        ),
        ("time", true, text(19, "变更的时间")),
        ("exam", false, exam),
        (
            "gone",
            false,
            text(
                16,
                "检查已不可调阅，请从副本中删除：withdrawn 已撤回、superseded 已由推送代替、kept 医院自留、purged 测试数据已清除 (take it out of the copy)",
            ),
        ),
    ]);
    schema::object(&[
        ("entries", true, schema::array(entry)),
        (
            "cursor",
            true,
            text(
                CURSOR_LIMIT,
                "处理完本页后保存，下次从此继续 (keep it once this page is worked off, and go on from it)",
            ),
        ),
        (
            "more",
            true,
            schema::boolean(
                "还有变更未列出，请立即继续；可能为 true 而本页没有检查 (there is more: go on at once)",
            ),
        ),
        (
            "behind",
            true,
            schema::object(&[
                (
                    "records",
                    true,
                    schema::integer("此游标之后的日志记录数，不都是检查"),
                ),
                (
                    "seconds",
                    true,
                    schema::integer("其中最早一条距今的秒数；没有则为 0"),
                ),
            ]),
        ),
        (
            "beginAnew",
            true,
            schema::boolean(
                "自开始以来应用的权限或医院的自留规则变了：副本可能缺少或多出检查，请不带 cursor 从头重建；其间没有列出的检查应删除 (rights have changed since the beginning: build the copy anew)",
            ),
        ),
    ])
}
