//! How an exam's national imaging index stands, as the three operations about it write it.

use serde_json::{Map, Value, json};
use yingku_core::ids::ExamKey;
use yingku_core::national_index::{Holding, INDEX_CHARACTERS, IndexRow, IndexState};
use yingku_core::time::Zone;

use super::exam_row::{fields, generation, names};
use super::schema;
use crate::call::local_time;

/// Of an exam that has none, and of which nothing is known yet.
pub const NONE: (&str, &str) = ("none", "未建立");

/// Fields of [`standing`].
pub fn standing_schema() -> Vec<(&'static str, bool, Value)> {
    let text = schema::text;
    vec![
        ("hospitalCode", true, text(32, "医院代码")),
        ("examNo", true, text(32, "检查唯一流水号")),
        ("generation", false, generation()),
        (
            "state",
            true,
            text(
                16,
                "incomplete 不完整, formed 已形成, exported 已导出, acknowledged 已确认, refused 被拒, withdrawn 已收回, none 未建立",
            ),
        ),
        ("stateName", true, text(16, "状态名称")),
        (
            "lacks",
            true,
            schema::array(schema::object(&[
                (
                    "part",
                    true,
                    text(16, "personCode, wrongPersonCode, creditCode"),
                ),
                ("message", true, text(256, "缺什么，怎么办 (what lacks)")),
            ])),
        ),
        (
            "collides",
            true,
            schema::boolean("另有检查是同一索引，不报送，待处理 (another exam has the same index)"),
        ),
        (
            "reason",
            false,
            text(200, "被拒的原因 (why the authority refused it)"),
        ),
        ("changedTime", false, text(19, "进入该状态的时间")),
    ]
}

pub fn index_schema() -> Value {
    schema::text(INDEX_CHARACTERS, "医保影像云索引 (national imaging index)")
}

/// Where an exam's index stands, without the index itself.
pub fn standing(exam: &ExamKey, row: Option<&IndexRow>, zone: &Zone) -> Map<String, Value> {
    let mut out = names(exam);
    let (state, name) = row.map_or(NONE, |row| (row.state.code(), row.state.name()));
    let lacks = row.map(|row| row.lacks.as_slice()).unwrap_or_default();
    let lacks = lacks
        .iter()
        .map(|lack| json!({ "part": lack.code(), "message": lack.words() }));
    out.extend(fields(json!({
        "state": state,
        "stateName": name,
        "lacks": lacks.collect::<Vec<_>>(),
        "collides": row.is_some_and(|row| row.collides),
    })));
    if let Some(row) = row {
        let time = local_time(row.time_ms, zone);
        out.insert("changedTime".to_owned(), time.into());
        if row.state == IndexState::Refused {
            out.insert("reason".to_owned(), row.reason.as_str().into());
        }
    }
    out
}

/// Code and name of how an index stands to an exam.
pub fn holding(holding: Holding) -> (&'static str, &'static str) {
    match holding {
        Holding::InForce => ("inForce", "有效"),
        Holding::Replaced => ("replaced", "已被替换"),
        Holding::Withdrawn => ("withdrawn", "检查已撤回，索引已收回"),
    }
}
