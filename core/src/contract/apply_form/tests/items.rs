//! What a form has several of, and how much of it.

use super::*;

#[test]
fn an_item_is_read_in_either_written_form() {
    let attributed = "<Item code=\"001\" Cost=\"306.9\" Charge=\"153.45\" OrderNo=\"123456\" Count=\"2\"> 胸部CT平扫 </Item>";
    let fielded = ITEM_ELEMENT
        .replace("<ItemCharge>153.45", "<ItemCharge>306.90")
        .replace("<Count>1", "<Count>2");
    let expected = taken(&with(ITEM_ELEMENT, &fielded));
    let item = &form(&expected).exam.items[0];
    assert!(item.price.as_deref() == Some("153.45") && item.due.as_deref() == Some("306.90"));
    for written in [
        attributed.to_owned(),
        format!("<ExamItem>{attributed}</ExamItem>"),
        format!("<ExamItem><ItemName/>{attributed}</ExamItem>"),
    ] {
        let parsed = taken(&with(ITEM_ELEMENT, &written));
        assert_eq!(parsed.body.digest, expected.body.digest, "{written}");
    }
}

#[test]
fn items_of_both_forms_may_stand_together_and_each_has_its_place() {
    let written = format!(
        "<ExamItem><Item>甲</Item><Item Count=\"x\">乙</Item></ExamItem>{ITEM_ELEMENT}<Item>丙</Item>"
    );
    let text = with(ITEM_ELEMENT, &written);
    let place = "Exam/ExamItems/ExamItem[1]/Item[2]/@Count";
    assert_eq!(places(&refused(&text).faults), [(place, Rule::Number)]);
    let parsed = taken(&text.replace("Count=\"x\"", "Count=\"2.0\""));
    let items = &form(&parsed).exam.items;
    let names: Vec<&str> = items.iter().map(|item| item.name.as_str()).collect();
    assert!(names == ["甲", "乙", "胸部CT平扫", "丙"]);
    assert!(items[1].count == Some(2));
}

#[test]
fn a_form_without_an_item_is_refused() {
    for items in [
        "",
        "<ExamItem/>",
        "<Item/>",
        "<ExamItem><ItemName/></ExamItem>",
        "<Other>甲</Other>",
    ] {
        assert_eq!(
            places(&refused(&with(ITEM_ELEMENT, items)).faults),
            [("Exam/ExamItems/ExamItem", Rule::Required)],
            "{items}"
        );
    }
    for (items, path) in [
        ("<Item code=\"1\"/>", "Exam/ExamItems/Item[1]"),
        (
            "<ExamItem>甲</ExamItem>",
            "Exam/ExamItems/ExamItem[1]/ItemName",
        ),
    ] {
        let refusal = refused(&with(ITEM_ELEMENT, items));
        assert_eq!(places(&refusal.faults), [(path, Rule::Required)]);
    }
    let within = refused(&with(ITEM_ELEMENT, "<Item><ItemName>甲</ItemName></Item>"));
    assert_eq!(within.faults[0].path, "Exam/ExamItems/Item[1]");
    assert_eq!(within.faults[0].rule, Rule::Type);
}

#[test]
fn what_repeats_is_bounded() {
    let organ = "<Organ>胸部</Organ>";
    for (element, place, many, limit) in [
        (
            ITEM_ELEMENT,
            "Exam/ExamItems",
            "<Item>甲</Item>",
            ITEMS_LIMIT,
        ),
        (ITEM_ELEMENT, "Exam/ExamItems", ITEM_ELEMENT, ITEMS_LIMIT),
        (organ, "Exam/ExamOrgan", organ, ORGANS_LIMIT),
        (
            SAMPLE_ELEMENT,
            "Exam/Samples",
            SAMPLE_ELEMENT,
            SAMPLES_LIMIT,
        ),
    ] {
        taken(&with(element, &many.repeat(limit)));
        let refusal = refused(&with(element, &many.repeat(limit + 1)));
        assert_eq!(places(&refusal.faults), [(place, Rule::Length)]);
    }
}

#[test]
fn items_within_items_count_too() {
    let many = format!("<ExamItem>{}</ExamItem>", "<Item>甲</Item>".repeat(101)).repeat(2);
    let refusal = refused(&with(ITEM_ELEMENT, &many));
    assert_eq!(places(&refusal.faults), [("Exam/ExamItems", Rule::Length)]);
}

#[test]
fn a_form_that_no_record_of_the_log_could_hold_is_refused() {
    let item = format!("<Item>{}</Item>", "长".repeat(PROSE_LIMIT));
    let refusal = refused(&with(ITEM_ELEMENT, &item.repeat(40)));
    assert_eq!(places(&refusal.faults), [("", Rule::Length)]);
    assert_eq!(refusal.faults[0].limit.as_deref(), Some("983040"));
    assert_eq!(refusal.warnings.len(), 40);
}

#[test]
fn a_single_organ_may_stand_in_its_node() {
    let text = with("<Organ>胸部</Organ>", " 胸部 ");
    assert_eq!(taken(&text).body.digest, taken(SAMPLE).body.digest);
    let text = with("<ExamOrgan><Organ>胸部</Organ></ExamOrgan>", "");
    assert!(form(&taken(&text)).exam.organs.is_empty());
}
