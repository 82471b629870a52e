//! What a form has several of: items in either written form, organs, samples.

use super::super::fault::{Fault, Rule};
use super::super::xml::Element;
use super::reader::Reader;
use super::record::record;
use super::table::{ITEM, ORGAN, Row, SAMPLE};
use super::values::{Value, Values};

/// The most items of one form. A form has a handful; what an event holds must stay bounded.
pub const ITEMS_LIMIT: usize = 200;
/// The most samples of one form: a large resection comes in some dozens.
pub const SAMPLES_LIMIT: usize = 200;
/// The most organs of one form: the dictionary has 30, and each may have two sides.
pub const ORGANS_LIMIT: usize = 100;

record! {
    /// 检查项目. The contract's two ways to write one name money differently; here it is by what it means (R13).
    FormItem {
        /// 项目编码: `ItemCode`, `Item/@code`
        code: Option<String> = "ItemCode",
        /// 项目名称: `ItemName`, the text of `Item`
        name: String = "ItemName",
        /// 标准费用 `ItemCost`, 单价 `Item/@Charge`: yuan with two decimals
        price: Option<String> = "ItemCost",
        /// 应收费用 `ItemCharge`, 总费用 `Item/@Cost`: yuan with two decimals
        due: Option<String> = "ItemCharge",
        /// 医嘱号: `OrderNo`, `Item/@OrderNo`
        order_no: Option<String> = "OrderNo",
        /// 执行次数: `Count`, `Item/@Count`
        count: Option<u32> = "Count",
    }
}

record! {
    /// 标本
    Sample {
        /// 标本序号
        number: Option<u32> = "SampleNo",
        /// 标本条码号
        barcode_no: Option<String> = "BarcodeNo",
        /// 标本打包号
        package_no: Option<String> = "PackageNo",
        /// 标本名称
        name: Option<String> = "SampleName",
        /// 标本部位
        part: Option<String> = "SamplePart",
        /// 标本来源
        source: Option<String> = "SampleSource",
    }
}

/// The attributes of `Item`, and the field of the other form that means the same.
const ITEM_ATTRIBUTES: [(&str, &str); 5] = [
    ("code", "ItemCode"),
    ("Cost", "ItemCharge"),
    ("Charge", "ItemCost"),
    ("OrderNo", "OrderNo"),
    ("Count", "Count"),
];

pub(super) fn read(reader: &mut Reader, exam: &Element, values: &mut Values) {
    if let Some(items) = items(reader, exam) {
        if items.is_empty() {
            let message = "至少一个检查项目：ExamItem 内的 ItemName，或 Item 的文本 (at least one item: ItemName within ExamItem, or the text of Item)";
            reader.refuse("Exam/ExamItems/ExamItem", Rule::Required, message);
        }
        values.put("ExamItems", Value::Nodes(items));
    }
    values.put("ExamOrgan", Value::Texts(organs(reader, exam)));
    let samples = samples(reader, exam);
    values.put("Samples", Value::Nodes(samples));
}

/// The elements within all nodes of a name, whatever the sender put into one node and what into several.
fn within<'e>(exam: &'e Element, node: &'e str) -> impl Iterator<Item = &'e Element> {
    exam.children
        .iter()
        .filter(move |child| child.name == node)
        .flat_map(|child| &child.children)
}

/// False, and named, if there are too many of something.
fn is_bounded(reader: &mut Reader, path: &str, found: usize, limit: usize) -> bool {
    if found > limit {
        let message =
            format!("过多：最多 {limit} 个，实为 {found} 个 (more than {limit}, found {found})");
        let fault = Fault::new(path, Rule::Length, message);
        reader.findings.refuse(fault.with_limit(limit));
    }
    found <= limit
}

/// None if there are too many.
fn items(reader: &mut Reader, exam: &Element) -> Option<Vec<Values>> {
    let at = "Exam/ExamItems";
    let is_item = |child: &&Element| child.name == "Item";
    let found = within(exam, "ExamItems")
        .map(|child| match child.name.as_str() {
            "ExamItem" => {
                usize::from(is_fielded(child)) + child.children.iter().filter(is_item).count()
            }
            _ => usize::from(is_item(&child)),
        })
        .sum();
    if !is_bounded(reader, at, found, ITEMS_LIMIT) {
        return None;
    }
    let (mut items, mut fielded, mut direct) = (Vec::new(), 0, 0);
    for child in within(exam, "ExamItems") {
        match child.name.as_str() {
            "ExamItem" => {
                fielded += 1;
                let at = format!("{at}/ExamItem[{fielded}]");
                if is_fielded(child) {
                    items.push(reader.fields(&ITEM, child, &at));
                }
                for (index, item) in child.children.iter().filter(is_item).enumerate() {
                    let at = format!("{at}/Item[{}]", index + 1);
                    items.extend(attributed(reader, item, &at));
                }
            }
            "Item" => {
                direct += 1;
                items.extend(attributed(reader, child, &format!("{at}/Item[{direct}]")));
            }
            _ => {}
        }
    }
    Some(items)
}

/// Whether a sender wrote anything into fields of an `ExamItem`. A text of its own is a name in the wrong place: better
/// named than lost.
fn is_fielded(item: &Element) -> bool {
    let filled =
        |element: &Element| !element.text.trim().is_empty() || !element.children.is_empty();
    match item.children.is_empty() {
        true => filled(item),
        false => {
            (item.children.iter()).any(|child| ITEM.row(&child.name).is_some() && filled(child))
        }
    }
}

/// `<Item code="" Cost="" Charge="" OrderNo="" Count="">name</Item>`
fn attributed(reader: &mut Reader, element: &Element, at: &str) -> Option<Values> {
    let mut values = Values::new(at);
    for (attribute, name) in ITEM_ATTRIBUTES {
        let text = element.attribute(attribute).unwrap_or_default().trim();
        let row = ITEM.row(name).filter(|_| !text.is_empty());
        put(
            reader,
            &mut values,
            row,
            text,
            &format!("{at}/@{attribute}"),
        );
    }
    if !element.children.is_empty() {
        reader.not_text(at);
        return None;
    }
    let text = element.text.trim();
    let row = ITEM.row("ItemName").filter(|_| !text.is_empty());
    put(reader, &mut values, row, text, at);
    if row.is_none() && values.filled {
        let message = "有代码或费用而无项目名称，请补上 (has a code or money and no name)";
        reader.refuse(at, Rule::Required, message);
    }
    values.filled.then_some(values)
}

fn put(
    reader: &mut Reader,
    values: &mut Values,
    row: Option<&'static Row>,
    text: &str,
    path: &str,
) {
    if let Some(row) = row {
        values.filled = true;
        if let Some(text) = reader.text(row, text, path) {
            values.put(row.name, Value::Text(text));
        }
    }
}

/// Each in an element of its own; a single one may stand in the node itself.
fn organs(reader: &mut Reader, exam: &Element) -> Vec<String> {
    let (node, name) = ("ExamOrgan", "Organ");
    let is_organ = |element: &&Element| {
        element.name == name || (element.name == node && element.children.is_empty())
    };
    let organs: Vec<&Element> = (exam.children.iter())
        .filter(|child| child.name == node)
        .flat_map(|child| child.children.iter().chain([child]))
        .filter(is_organ)
        .collect();
    if !is_bounded(reader, "Exam/ExamOrgan", organs.len(), ORGANS_LIMIT) {
        return Vec::new();
    }
    let mut texts = Vec::with_capacity(organs.len());
    for (index, organ) in organs.into_iter().enumerate() {
        let path = format!("Exam/{node}/{name}[{}]", index + 1);
        let text = organ.text.trim();
        if !organ.children.is_empty() {
            reader.not_text(&path);
        } else if let Some(row) = ORGAN.row(name).filter(|_| !text.is_empty()) {
            texts.extend(reader.text(row, text, &path));
        }
    }
    texts
}

/// Those that say something: vendors send one with nothing in it.
fn samples(reader: &mut Reader, exam: &Element) -> Vec<Values> {
    let named = |child: &&Element| child.name == "SampleInfo";
    let found = within(exam, "Samples").filter(named).count();
    if !is_bounded(reader, "Exam/Samples", found, SAMPLES_LIMIT) {
        return Vec::new();
    }
    let samples = within(exam, "Samples").filter(named).enumerate();
    samples
        .map(|(index, sample)| {
            let at = format!("Exam/Samples/SampleInfo[{}]", index + 1);
            reader.fields(&SAMPLE, sample, &at)
        })
        .filter(|sample| sample.filled)
        .collect()
}
