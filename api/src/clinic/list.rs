//! The list of a patient's exams, newest first.

use askama::Template;
use yingku_core::contract::push::ExamPush;
use yingku_core::exam::{ExamFlag, ExamRow, ReportState};

use super::trouble::Trouble;
use super::{House, page, words};
use crate::error::Failure;
use crate::rest::exam_row::Rows;

/// Exams on one page: what is read of each is its whole push.
const PAGE_SIZE: usize = 20;
/// Characters of a cell: items of an exam may be many.
const CELL_LIMIT: usize = 120;

#[derive(Template)]
#[template(path = "clinic/list.html")]
struct ListPage<'h> {
    style: &'static str,
    hospital: &'h str,
    person: Option<Person>,
    lines: Vec<Line>,
    total: usize,
    page_no: usize,
    pages: usize,
    before: Option<String>,
    after: Option<String>,
}

/// Whose exams they are.
pub struct Person {
    pub name: String,
    pub sex: String,
    pub birth_date: String,
    pub sick_id: String,
}

impl Person {
    pub fn of(row: &ExamRow) -> Self {
        Self {
            name: row.name.clone(),
            sex: row.sex.clone(),
            birth_date: row.birth_date.clone(),
            sick_id: row.sick_id.clone(),
        }
    }
}

/// One exam.
#[derive(Default)]
struct Line {
    number: String,
    /// Nothing else is shown then.
    withdrawn: bool,
    address: String,
    time: String,
    class: String,
    items: String,
    department: String,
    status: &'static str,
    report: &'static str,
    /// Drawn as one to take care with: not confirmed, revised, taken back.
    is_doubtful: bool,
    abnormal: bool,
    images: &'static str,
    is_test: bool,
}

/// `page_no`: from 1; one that is not there is the last.
pub fn render(house: &House, found: &[ExamRow], page_no: usize) -> Result<String, Trouble> {
    let pages = found.len().div_ceil(PAGE_SIZE).max(1);
    let page_no = page_no.min(pages);
    let start = (page_no - 1) * PAGE_SIZE;
    let mut lines = Vec::with_capacity(PAGE_SIZE);
    for row in found.iter().skip(start).take(PAGE_SIZE) {
        lines.push(line(house, row)?);
    }
    let person = found.iter().find(|row| row.withdrawn.is_none());
    let turned = |to: usize| format!("?{}&page={to}", house.opening.base);
    let page = ListPage {
        style: page::STYLE,
        hospital: house.hospital_name(),
        person: person.map(Person::of),
        lines,
        total: found.len(),
        page_no,
        pages,
        before: (page_no > 1).then(|| turned(page_no - 1)),
        after: (page_no < pages).then(|| turned(page_no + 1)),
    };
    Ok(page::html(&page)?)
}

fn line(house: &House, row: &ExamRow) -> Result<Line, Failure> {
    let number = row.key.exam_no.to_string();
    if row.withdrawn.is_some() {
        return Ok(Line {
            number,
            withdrawn: true,
            ..Line::default()
        });
    }
    let body = house.archive.pushed_content(row.position)?;
    let push = ExamPush::from_canonical(&body.json);
    let rows = Rows {
        views: &house.views,
        registry: &house.registry,
        zone: house.zone.clone(),
        as_of: None,
    };
    let images = rows.images(row)?.state;
    let is_final = row.report.is_final();
    let of_push = |text: fn(&ExamPush) -> String| push.as_ref().map(text).unwrap_or_default();
    let reports = push.iter().flat_map(|push| &push.report_list);
    let mut flags = reports.map(|report| report.ab_normal_flag.as_deref());
    Ok(Line {
        number,
        withdrawn: false,
        address: format!("?{}", house.exam_address(row)),
        time: row.exam_time.clone(),
        class: words::class(row, &house.registry),
        items: of_push(items),
        department: of_push(|push| push.exam_info.perform_dept_name.clone().unwrap_or_default()),
        status: words::status(row),
        report: words::report(row.report),
        is_doubtful: row.report != ReportState::Confirmed,
        abnormal: is_final && flags.any(|flag| flag == Some("1")),
        images: words::images(images),
        is_test: row.has(ExamFlag::Test),
    })
}

/// Items, else body parts: what a clinician knows an exam by.
pub fn items(push: &ExamPush) -> String {
    let exam = &push.exam_info;
    let items = exam
        .exam_item_list
        .iter()
        .map(|item| item.item_name.as_str());
    let mut named: Vec<&str> = items.collect();
    if named.is_empty() {
        let organs = exam.exam_organ_list.iter();
        named = organs.map(|organ| organ.organ_name.as_str()).collect();
    }
    words::within(&named.join("；"), CELL_LIMIT)
}
