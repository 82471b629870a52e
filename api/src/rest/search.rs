//! `POST /v1/exam/search`: one text box over names, pinyin, numbers, codes and reports, with filters and facets.
//!
//! The index leads to exams; each is held against the views as they stand, and what they do not show this reader is left out.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};
use yingku_core::contract::Rule;
use yingku_core::contract::push::ExamPush;
use yingku_core::dictionaries::canonical_class;
use yingku_core::event::CHANGES_SINCE_RULES;
use yingku_core::exam::{ExamRow, ReportState};
use yingku_core::ids::{HospitalCode, Position};
use yingku_core::outcome::ErrorKind;
use yingku_core::registry::Registry;
use yingku_indexer::{
    FOUND_LIMIT, Facet, Filters, Found, Hidden, Index, IndexError, Marker, Question, Sort,
    TEXT_LIMIT, day_number,
};

use super::exam_row::{Rows, row_schema};
use super::paging::{self, Paging};
use super::params::{NO_PAST, Params, text};
use super::reading::{self, Reading, Shown};
use super::schema;
use crate::call::{Call, allow, blocking};
use crate::envelope::Answer;
use crate::error::Failure;

/// Values of one filter: a region's hospitals.
const VALUES_LIMIT: usize = 200;
/// Characters of a filter's value.
const VALUE_LIMIT: usize = 64;

pub const EXAMPLE: &str = r#"{"q":"肺结节","filters":{"from":"2026-01-01"},"facets":true,"reason":"visit","pageSize":20}"#;

pub fn request_schema() -> Value {
    let texts = |description: &str| schema::array(schema::text(VALUE_LIMIT, description));
    let filters = schema::object(&[
        (
            "hospitalCode",
            false,
            texts("医院代码；缺省为可调阅的全部医院"),
        ),
        ("examClass", false, texts("检查类别，按别名表比较")),
        ("bodyPart", false, texts("检查部位，全文相同")),
        ("examStatus", false, texts("20, 50, 60, 65, 70")),
        ("device", false, texts("检查设备，全文相同")),
        ("doctor", false, texts("报告或审核医生，全文相同")),
        ("positive", false, schema::boolean("报告为阳性")),
        ("from", false, schema::text(10, "检查日期起，含")),
        ("to", false, schema::text(10, "检查日期止，含")),
    ]);
    let mut fields = vec![
        (
            "q",
            false,
            schema::text(
                TEXT_LIMIT,
                "姓名、拼音或首字母、任何号码（可带医院前缀）、ICD 编码、报告词句；空格隔开的须全部符合 (names, pinyin, numbers, codes, words of reports; all must be met)",
            ),
        ),
        ("filters", false, filters),
        (
            "sort",
            false,
            schema::text(
                16,
                "relevance 按符合程度（缺省），newest 按首次收到从新到旧，翻页不漏不重",
            ),
        ),
        (
            "facets",
            false,
            schema::boolean("返回各医院、类别、部位、状态、阳性、设备、医生的检查数"),
        ),
    ];
    fields.extend(reading::request_schema());
    fields.extend(paging::request_schema());
    schema::object(&fields)
}

pub fn result_schema() -> Value {
    let mut row = row_schema();
    let highlight = schema::object(&[
        (
            "field",
            true,
            schema::text(32, "所在字段 (where it stands)"),
        ),
        ("text", true, schema::text(80, "原文片段")),
        (
            "marks",
            true,
            schema::array(schema::array(schema::integer(
                "起始字与字数 (first character, count)",
            ))),
        ),
    ]);
    if let Some(properties) = row.get_mut("properties").and_then(Value::as_object_mut) {
        properties.insert("highlights".to_owned(), schema::array(highlight));
    }
    let count = schema::object(&[
        ("value", true, schema::text(VALUE_LIMIT, "值")),
        ("exams", true, schema::integer("检查数")),
    ]);
    schema::object(&[
        ("exams", true, schema::array(row)),
        (
            "forgiven",
            true,
            schema::boolean(
                "没有完全符合的，所列为相近的（号码的开头、读音相近的姓名等） (nothing met the words as typed: these come near)",
            ),
        ),
        (
            "hasMoreThanTotal",
            true,
            schema::boolean(
                "检查可能多于 total：只数到 10000，带 facets 时数全 (there may be more exams than total says: it counts to 10000, and all with facets)",
            ),
        ),
        (
            "facets",
            false,
            json!({ "type": "object", "additionalProperties": schema::array(count) }),
        ),
        (
            "indexedTo",
            true,
            schema::integer("索引已到的日志位置 (log position that the index has come to)"),
        ),
    ])
}

struct Asked {
    reading: Reading,
    text: String,
    hospitals: Vec<HospitalCode>,
    filters: Filters,
    sort: Sort,
    facets: bool,
    paging: Paging,
}

pub async fn handle(call: Call) -> Result<Answer, Failure> {
    let asked = read(&call)?;
    let index = call.api.config.index.clone().ok_or_else(no_index)?;
    if call.registry.rules < CHANGES_SINCE_RULES {
        return Err(no_rules());
    }
    let api = std::sync::Arc::clone(&call.api);
    let reading = asked.reading.clone();
    let question = question(&call, &asked, &api)?;
    let (found, rows) = {
        let (archive, reading) = (call.archive().clone(), asked.reading.clone());
        let index = index.clone();
        blocking(move || {
            let found = index.search(&question)?;
            let rows = shown(&archive, &reading, &found)?;
            Ok((found, rows))
        })
        .await?
    };
    // Whose data leaves is on record before it does.
    let exams = rows.iter().map(|row| row.key.to_string());
    let target = exams.collect::<Vec<_>>().join(" ");
    reading.audit(&call, "search", None, &target).await?;
    blocking(move || answer(&call, &asked, &index, found, &rows)).await
}

fn read(call: &Call) -> Result<Asked, Failure> {
    let body = text(&call.body, call.charset.as_deref())?;
    let mut params = Params::read(&body)?;
    params.not_here("asOf", NO_PAST);
    let reading = Reading::read(&mut params, call)?;
    let text = params.text("q", TEXT_LIMIT).unwrap_or_default();
    let sort = params.parsed("sort", |text| match text {
        "relevance" => Ok(Sort::Relevance),
        "newest" => Ok(Sort::Newest),
        _ => Err("应为 relevance 或 newest (must be relevance or newest)"),
    });
    let facets = params.flag("facets");
    let narrowed = params.within("filters", |params| read_filters(params, call));
    let (hospitals, filters) = narrowed.unwrap_or_default();
    let app = call.caller()?.app()?;
    for hospital in &hospitals {
        allow(&app.hospitals, hospital)?;
        call.registered(hospital)?;
    }
    let question = json!([
        call.caller()?.id.as_str(),
        reading.read_for,
        reading.reason.map(reading::Reason::code),
        text,
        hospitals,
        format!("{filters:?}"),
        format!("{sort:?}"),
    ]);
    let paging = Paging::read(&mut params, call.archive().key(), &question);
    if paging.offset().saturating_add(paging.size()) > FOUND_LIMIT && paging.after().is_none() {
        params.fault(
            "pageNo",
            Rule::Number,
            format!(
                "只能翻到前 {FOUND_LIMIT} 个检查：请缩小条件，或以 sort=newest 按 nextPageToken 翻页 (only the first {FOUND_LIMIT} exams can be paged to: narrow the question, or go on by nextPageToken with sort newest)"
            ),
        );
    }
    params.finish()?;
    Ok(Asked {
        reading,
        text,
        hospitals,
        filters,
        sort: sort.unwrap_or_default(),
        facets,
        paging,
    })
}

fn read_filters(params: &mut Params<'_>, call: &Call) -> (Vec<HospitalCode>, Filters) {
    let mut values = |key: &str| params.texts(key, VALUE_LIMIT, VALUES_LIMIT);
    let hospitals = values("hospitalCode");
    let aliases = &call.registry.settings.class_aliases;
    let classes = values("examClass").into_iter();
    let mut filters = Filters {
        classes: classes
            .map(|text| canonical_class(aliases, &text).code)
            .collect(),
        body_parts: values("bodyPart"),
        statuses: values("examStatus"),
        devices: values("device"),
        doctors: values("doctor"),
        ..Filters::default()
    };
    let (from, to) = (params.date("from"), params.date("to"));
    params.in_order(from, to);
    filters.from = from.map(|day| day_number(&day.to_string()));
    filters.to = to.map(|day| day_number(&day.to_string()));
    let is_asked = params.text("positive", VALUE_LIMIT).is_some();
    let positive = params.flag("positive");
    filters.positive = is_asked.then_some(positive);
    let mut codes = Vec::new();
    for text in hospitals {
        match HospitalCode::new(&text) {
            Ok(code) => codes.push(code),
            Err(error) => {
                let message = format!("格式错误，请改正：{}", error.reason());
                params.fault("hospitalCode", Rule::Format, message);
            }
        }
    }
    (codes, filters)
}

fn question(call: &Call, asked: &Asked, api: &crate::call::Api) -> Result<Question, Failure> {
    let registry = &call.registry;
    let position = asked.paging.position(api.archive.views().cursor()?.next);
    let is_asked =
        |code: &&HospitalCode| asked.hospitals.is_empty() || asked.hospitals.contains(code);
    let hospitals = asked.reading.hospitals(registry).filter(is_asked);
    let after = asked.paging.after().filter(|_| asked.sort == Sort::Newest);
    Ok(Question {
        text: asked.text.clone(),
        hospitals: hospitals.cloned().collect(),
        hidden: hidden(registry, &asked.reading),
        prefixes: prefixes(registry),
        filters: asked.filters.clone(),
        sort: asked.sort,
        before: position,
        after,
        offset: match after {
            Some(_) => 0,
            None => asked.paging.offset(),
        },
        limit: asked.paging.size(),
        facets: asked.facets,
    })
}

/// What other hospitals keep to themselves.
fn hidden(registry: &Registry, reading: &Reading) -> Vec<Hidden> {
    let others = registry.hospitals.values();
    let others = others.filter(|it| it.code != reading.read_for && !it.own_only.is_empty());
    let aliases = &registry.settings.class_aliases;
    others
        .map(|it| Hidden {
            hospital: it.code.clone(),
            sources: it.own_only.patients.iter().cloned().collect(),
            classes: it
                .own_only
                .classes
                .iter()
                .map(|class| canonical_class(aliases, class).code)
                .collect(),
        })
        .collect()
}

/// R15: prefix of a hospital's numbers → hospital.
fn prefixes(registry: &Registry) -> BTreeMap<String, String> {
    let hospitals = registry.hospitals.values();
    hospitals
        .filter_map(|it| Some((it.prefix.clone()?.to_uppercase(), it.code.to_string())))
        .collect()
}

/// Rows of what was found that this reader may see, in the order in which they were found.
fn shown(
    archive: &yingku_storage::archive::Archive,
    reading: &Reading,
    found: &Found,
) -> Result<Vec<ExamRow>, Failure> {
    let (views, registry) = (archive.views(), archive.registry());
    let mut rows = Vec::with_capacity(found.hits.len());
    for hit in &found.hits {
        if let Some(row) = views.exam(&hit.exam)?
            && reading.shows(&row, &registry) == Shown::Yes
        {
            rows.push(row);
        }
    }
    Ok(rows)
}

fn answer(
    call: &Call,
    asked: &Asked,
    index: &Index,
    found: Found,
    rows: &[ExamRow],
) -> Result<Answer, Failure> {
    let archive = call.archive();
    let (views, registry) = (archive.views(), archive.registry());
    let encode = Rows {
        views: &views,
        registry: &registry,
        zone: call.zone(),
        as_of: None,
    };
    let marker = Marker::new(&asked.text);
    let mut exams = Vec::with_capacity(rows.len());
    for row in rows {
        let mut exam = encode.whole(row)?;
        let highlights = highlights(archive, row, &marker)?;
        if let (Some(exam), false) = (exam.as_object_mut(), highlights.is_empty()) {
            exam.insert("highlights".to_owned(), Value::Array(highlights));
        }
        exams.push(exam);
    }
    let position = asked.paging.position(views.cursor()?.next);
    let is_full = found.hits.len() == asked.paging.size();
    let last: Option<Position> = found.hits.last().filter(|_| is_full).map(|hit| hit.first);
    // Of the surest the next page is found by counting, not by where this one ends.
    let last = last.filter(|_| asked.sort == Sort::Newest);
    let page = asked
        .paging
        .said(found.total, last, position, archive.key())?;
    let mut result = json!({
        "exams": exams,
        "forgiven": found.forgiven,
        "hasMoreThanTotal": found.has_more,
        "indexedTo": index.next().0,
    });
    if let (Some(result), true) = (result.as_object_mut(), asked.facets) {
        result.insert("facets".to_owned(), facets(&found));
    }
    let total = found.total;
    let said = match found.has_more {
        true => format!("成功，至少 {total} 个检查 (at least {total} exams)"),
        false => format!("成功，共 {total} 个检查 ({total} exams)"),
    };
    Ok(Answer::new(said).with_result(result).with_page(page))
}

fn facets(found: &Found) -> Value {
    let facets = found.facets.iter().map(|(facet, counts)| {
        let counts = counts
            .iter()
            .map(|count| json!({ "value": count.value, "exams": count.exams }));
        (
            facet_name(*facet).to_owned(),
            Value::Array(counts.collect()),
        )
    });
    Value::Object(facets.collect::<Map<_, _>>())
}

fn facet_name(facet: Facet) -> &'static str {
    match facet {
        Facet::Hospital => "hospitalCode",
        Facet::Class => "examClass",
        Facet::BodyPart => "bodyPart",
        Facet::Status => "examStatus",
        Facet::Positive => "positive",
        Facet::Device => "device",
        Facet::Doctor => "doctor",
    }
}

/// Where in the report the words stand.
fn highlights(
    archive: &yingku_storage::archive::Archive,
    row: &ExamRow,
    marker: &Marker,
) -> Result<Vec<Value>, Failure> {
    // R6: a report that was taken back is never shown.
    if row.report == ReportState::Returned {
        return Ok(Vec::new());
    }
    let body = archive.pushed_content(row.position)?;
    let Some(push) = ExamPush::from_canonical(&body.json) else {
        return Ok(Vec::new());
    };
    let mut texts: Vec<(&str, &str)> = Vec::new();
    for report in &push.report_list {
        let parts = [
            ("description", &report.description),
            ("impression", &report.impression),
            ("recommendation", &report.recommendation),
        ];
        let parts = parts.into_iter();
        texts.extend(parts.filter_map(|(field, text)| Some((field, text.as_deref()?))));
    }
    let items = push.exam_info.exam_item_list.iter();
    texts.extend(items.map(|item| ("itemName", item.item_name.as_str())));
    let marked = texts.into_iter().filter_map(|(field, text)| {
        let found = marker.mark(text)?;
        Some(json!({ "field": field, "text": found.text, "marks": found.marks }))
    });
    Ok(marked.collect())
}

fn no_index() -> Failure {
    Failure::new(
        ErrorKind::Unavailable,
        "no-index",
        "本节点不提供检索，请向其他节点查询 (this node has no index: ask another)",
    )
}

fn no_rules() -> Failure {
    Failure::new(
        ErrorKind::Unavailable,
        "rules",
        "检索尚未启用：请平台管理员执行 yingku activate-rules (search begins when the operator activates this release's rules)",
    )
}

impl From<IndexError> for Failure {
    fn from(error: IndexError) -> Self {
        Self::internal(&error)
    }
}
