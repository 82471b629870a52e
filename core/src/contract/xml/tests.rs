#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]
use std::time::{Duration, Instant};

use super::*;

const APPLY: &str = include_str!("../../../../tests/fixtures/contract/syn_apply_info.xml");
const STATUS: &str = include_str!("../../../../tests/fixtures/contract/syn_status_info.xml");

fn error(text: &str) -> XmlError {
    read(text).expect_err("an error")
}

fn text_of(text: &str) -> String {
    read(text).unwrap().text
}

#[test]
fn the_contracts_samples_are_read_with_their_stray_text() {
    let form = read(APPLY).unwrap();
    let text = |path: &str| form.at(path).unwrap().text.as_str();
    assert_eq!(form.name, "XmlDocument");
    assert_eq!(text("Header/License"), "0A1B2C3D4E5F60718293A4B5C6D7E8F9");
    assert_eq!(text("Patient"), "(加医院ID前缀有下划线)");
    assert_eq!(text("Patient/SickNo"), "7173_C0001");
    assert_eq!(text("Exam/ClinSymp"), "胸闷");
    assert_eq!(text("Exam/Technican"), "");
    let class = form.at("Patient/PatientClass").unwrap();
    assert_eq!(
        (class.attribute("code"), &*class.text),
        (Some("OU"), "门诊")
    );
    assert!(form.at("Exam/Nothing/ItemCode").is_none());
    let status = read(STATUS).unwrap();
    let status = status.at("Exam/ExamStatus").unwrap();
    assert_eq!(status.attribute("code"), Some("70"));
}

#[test]
fn what_vendors_write_is_forgiven() {
    for (written, name) in [
        ("< ApplyNo > 7173_1 </ ApplyNo >", "blanks within tags"),
        ("<ApplyNo>7173_1< / ApplyNo>", "a blank before the slash"),
        (
            "<ApplyNo\n>\u{3000}7173_1\u{A0}</ApplyNo\r\n>",
            "wide blanks",
        ),
        (
            "<a:ApplyNo xmlns:a='urn:x'>7173_1</a:ApplyNo>",
            "a namespace",
        ),
        ("<a:ApplyNo>7173_1</a:ApplyNo>", "a prefix of no namespace"),
        (
            "<ApplyNo><![CDATA[7173]]>_<!-- -- -->&#49;</ApplyNo>",
            "pieces",
        ),
        (
            "\u{FEFF}\r\n <?xml version=\"1.0\" encoding=\"GBK\"?><ApplyNo>7173_1</ApplyNo>\n",
            "a mark and blanks before the declaration",
        ),
        (
            "<?xml version='1.0' encoding='utf-16' standalone='yes'?><?x y?><ApplyNo>7173_1</ApplyNo><!-- end -->",
            "another encoding",
        ),
    ] {
        let element = read(written).unwrap();
        assert_eq!(
            (&*element.name, &*element.text),
            ("ApplyNo", "7173_1"),
            "{name}"
        );
    }
    let empty = read("<a>< b / ><c/ ><d code = ' 1\n2 ' Code='3'/></a>").unwrap();
    let names: Vec<&str> = empty.children.iter().map(|it| it.name.as_str()).collect();
    assert_eq!(names, ["b", "c", "d"]);
    assert_eq!(empty.children[2].attribute("CODE"), Some("1 2"));
}

#[test]
fn namespaces_follow_their_declarations() {
    let root = read(
        "<p:a xmlns:p='urn:p' xmlns='urn:d' p:x='1'><b/><p:c/><d xmlns=''><e/></d><f/><q:g/></p:a>",
    )
    .unwrap();
    let of = |name: &str| root.child(name).unwrap().namespace();
    assert_eq!(root.namespace(), Some("urn:p"));
    assert_eq!(root.attributes, [("x".to_owned(), "1".to_owned())]);
    assert_eq!(
        (of("b"), of("c"), of("d")),
        (Some("urn:d"), Some("urn:p"), None)
    );
    assert_eq!(root.at("d/e").unwrap().namespace(), None);
    assert_eq!((of("f"), of("g")), (Some("urn:d"), None));
}

#[test]
fn references_are_decoded_once() {
    assert_eq!(
        text_of("<a>&amp;lt;&lt;&gt;&quot;&apos;&#x4E2D;&#25991;</a>"),
        "&lt;<>\"'中文"
    );
    assert_eq!(text_of("<a><![CDATA[&amp;<b>]]></a>"), "&amp;<b>");
    let element = read("<a code='&amp;&#x41;&lt;'/>").unwrap();
    assert_eq!(element.attribute("code"), Some("&A<"));
    assert_eq!(text_of("<a>1\r\n2\r3&#13;4</a>"), "1\n2\n3\r4");
}

#[test]
fn the_two_halves_of_a_rare_character_are_one() {
    let halves = "&#xd842;&#xdfb7;";
    assert_eq!(
        text_of(&format!("<a>欧阳{halves}&#55362;&#57271;</a>")),
        "欧阳𠮷𠮷"
    );
    assert_eq!(text_of("<a>&#xd842;&#xdfb7;&lt;</a>"), "𠮷<");
    let element = read(&format!("<a code='{halves}{halves}王'/>")).unwrap();
    assert_eq!(element.attribute("code"), Some("𠮷𠮷王"));
    // Halves that do not belong together, or that something stands between, are none.
    for text in [
        "<a>&#xdfb7;&#xd842;</a>",
        "<a>&#xd842;&#xd842;&#xdfb7;</a>",
        "<a>&#xd842; &#xdfb7;</a>",
        "<a>&#xd842;王</a>",
        "<a>&#xd842;&#x41;</a>",
        "<a>&#xd842;<b/>&#xdfb7;</a>",
        "<a>&#xd842;&#x0000000000000000dfb7;</a>",
        "<a b='&#xd842;'/>",
    ] {
        assert!(
            matches!(error(text), XmlError::Character { .. }),
            "{text:?}"
        );
    }
}

#[test]
fn what_reaches_outside_the_text_is_refused() {
    for text in [
        "<!DOCTYPE a [<!ENTITY x SYSTEM 'file:///etc/passwd'>]><a>&x;</a>",
        "<!DOCTYPE a SYSTEM 'http://127.0.0.1/x.dtd'><a/>",
        "<!doctype a><a/>",
        "<!DOCTYPE><a/>",
        "<!DOCTYPE a [",
        "<a><!DOCTYPE b></a>",
    ] {
        assert!(matches!(error(text), XmlError::Dtd { .. }), "{text}");
    }
    for text in [
        "<a>&x;</a>",
        "<a>&nbsp;</a>",
        "<a>b & c</a>",
        "<a b='&x;'/>",
        "<a b='&'/>",
        "<a>&",
        "<a>&;</a>",
    ] {
        assert!(matches!(error(text), XmlError::Entity { .. }), "{text}");
    }
}

#[test]
fn billion_laughs_ends_at_its_first_line() {
    let mut text = "<!DOCTYPE lolz [<!ENTITY lol0 \"lol\">".to_owned();
    for i in 1..10 {
        let entity = format!("&lol{};", i - 1).repeat(10);
        text.push_str(&format!("<!ENTITY lol{i} \"{entity}\">"));
    }
    text.push_str("]><lolz>&lol9;</lolz>");
    assert_eq!(
        error(&text),
        XmlError::Dtd {
            place: Place { line: 1, offset: 0 }
        }
    );
}

#[test]
fn characters_that_xml_does_not_allow_are_refused_written_out_or_not() {
    for text in [
        "<a>\0</a>",
        "<a>\u{1B}[31m</a>",
        "<a>\u{FFFE}</a>",
        "<a b='\u{8}'/>",
        "<a>&#0;</a>",
        "<a>&#x1B;</a>",
        "<a>&#xD800;</a>",
        "<a>&#x110000;</a>",
        "<a>&#99999999999999999999;</a>",
        "<a>&#;</a>",
        "<a>&#x;</a>",
        "<a>&#+65;</a>",
        "<a>&#xFFFF;</a>",
        "<a b='&#1;'/>",
    ] {
        assert!(
            matches!(error(text), XmlError::Character { .. }),
            "{text:?}"
        );
    }
    assert_eq!(
        text_of("<a>\u{85}\u{10FFFF}</a>"),
        "\u{85}\u{10FFFF}".trim()
    );
}

#[test]
fn broken_markup_is_refused_with_its_place_and_nothing_of_its_content() {
    for text in [
        "王芳 plain text",
        "{\"Name\":\"王芳\"}",
        "<王芳",
        "<a>王芳",
        "<a>王芳</b>",
        "<a>王芳</a></a>",
        "<a/><b>王芳</b>",
        "<a/>王芳",
        "王芳<a/>",
        "<a>血压<120 王芳</a>",
        "<a 王芳/>",
        "<a b=王芳/>",
        "<a b='王芳/>",
        "<a b='1' b='王芳'/>",
        "<a><![CDATA[王芳</a>",
        "<a><!-- 王芳</a>",
        "<a><?王芳</a>",
        "<a><!王芳></a>",
        "<a:b:c>王芳</a:b:c>",
        "<:a>王芳</:a>",
        "<>王芳</>",
        "<a></>王芳",
        "</a>王芳",
        "<!-- 王芳 -->",
        "<a\u{3000}b='王芳'/>",
        "<a>&王芳;</a>",
        "<a 1='王芳'/>",
    ] {
        let said = error(text).to_string();
        assert!(!said.contains("王芳"), "{text}: {said}");
        assert!(
            said.contains('第') && said.contains("line"),
            "{text}: {said}"
        );
    }
    assert_eq!(error(" \u{FEFF}\n"), XmlError::Empty);
    assert_eq!(
        error("<a>\n<b>\n</c></a>"),
        XmlError::Mismatch {
            start: Place { line: 2, offset: 4 },
            end: Place { line: 3, offset: 8 },
        }
    );
    assert_eq!(
        error("\n<a>\n  <b>").to_string(),
        "第 3 行（第 7 字节）的标签没有结束 (the tag is never closed, line 3, byte 7)"
    );
    let said = error("<a>\n血压<120</a>").to_string();
    assert!(said.contains("第 2 行") && said.contains("&lt;"), "{said}");
}

#[test]
fn every_limit_holds_at_its_edge() {
    let nested = |depth: usize| "<a>".repeat(depth) + &"</a>".repeat(depth);
    assert!(read(&nested(DEPTH_LIMIT)).is_ok());
    assert!(matches!(
        error(&nested(DEPTH_LIMIT + 1)),
        XmlError::Depth { .. }
    ));
    let wide = |children: usize| format!("<a>{}</a>", "<b/>".repeat(children));
    assert!(read(&wide(ELEMENTS_LIMIT - 1)).is_ok());
    assert!(matches!(
        error(&wide(ELEMENTS_LIMIT)),
        XmlError::Elements { .. }
    ));
    let attributes = |count: usize| (0..count).map(|i| format!(" b{i}=''")).collect::<String>();
    let one = |count: usize| format!("<a{}/>", attributes(count));
    assert!(read(&one(ATTRIBUTES_PER_ELEMENT_LIMIT)).is_ok());
    assert!(matches!(
        error(&one(ATTRIBUTES_PER_ELEMENT_LIMIT + 1)),
        XmlError::Attributes { .. }
    ));
    let many = |count: usize| format!("<a>{}</a>", format!("<b{}/>", attributes(50)).repeat(count));
    assert!(read(&many(ATTRIBUTES_LIMIT / 50)).is_ok());
    assert!(matches!(
        error(&many(ATTRIBUTES_LIMIT / 50 + 1)),
        XmlError::Attributes { .. }
    ));
    let long = |bytes: usize| format!("<a>{}</a>", "x".repeat(bytes - "<a></a>".len()));
    assert!(read(&long(TEXT_LIMIT)).is_ok());
    assert_eq!(
        error(&long(TEXT_LIMIT + 1)),
        XmlError::TooLarge { limit: TEXT_LIMIT }
    );
}

#[test]
fn hostile_text_takes_no_longer_than_plain_text() {
    // Each at the limit of size; quadratic work would take hours.
    let fill = |piece: &str| piece.repeat(TEXT_LIMIT / piece.len() - 1);
    let tags = |inner: String| {
        format!(
            "<a>{}</a>",
            inner.get(..inner.len() - 16).unwrap_or_default()
        )
    };
    let prefixes = |from: usize| {
        (from..from + 60)
            .map(|i| format!(" xmlns:p{i}='u'"))
            .collect::<String>()
    };
    let declared: String = (0..60)
        .map(|depth| format!("<a{}>", prefixes(depth * 60)))
        .collect();
    let since = Instant::now();
    for text in [
        fill("<a>"),
        fill("<a b=\""),
        fill("<!--"),
        fill("<![CDATA["),
        tags(fill("&amp;")),
        tags(fill("x<!---->")),
        tags(fill("<![CDATA[x]]>")),
        tags(fill("\r")),
        fill("&"),
        format!("<a b='{}'/>", fill("&lt;").get(16..).unwrap_or_default()),
        format!("<a b='{}'/>", fill("&").get(16..).unwrap_or_default()),
        format!("<a{}/>", fill(" b=''").get(20..).unwrap_or_default()),
        fill("</a "),
        fill("<?x "),
        fill("<!DOCTYPE "),
        fill("<!DOCTYPE a [<"),
        fill("\n<"),
        declared + &"<x:b/>".repeat(19_000),
    ] {
        let _ = read(&text);
    }
    assert!(
        since.elapsed() < Duration::from_secs(60),
        "{:?}",
        since.elapsed()
    );
    let huge = "<a>".repeat((10 << 20) / 3);
    assert_eq!(error(&huge), XmlError::TooLarge { limit: TEXT_LIMIT });
}

#[test]
fn damaged_text_is_read_or_refused_and_what_is_read_can_be_written() {
    for at in (0..APPLY.len()).filter(|at| APPLY.is_char_boundary(*at)) {
        let _ = read(&APPLY[..at]);
        for piece in ["<", ">", "&", "\"", "/", "<!", "]]>", "\u{0}", " "] {
            let damaged = format!("{}{piece}{}", &APPLY[..at], &APPLY[at..]);
            if let Ok(tree) = read(&damaged) {
                assert!(read(&tree.to_text()).unwrap().children.len() == tree.children.len());
            }
        }
    }
}

#[test]
fn bytes_are_decoded_as_mark_transport_or_declaration_say() {
    let text = "<?xml version=\"1.0\" encoding=\"GBK\"?><a>诊</a>";
    let gbk = encoding_rs::GBK.encode(text).0;
    for charset in [None, Some("gb2312"), Some(" \"GBK\" "), Some("GB18030")] {
        assert_eq!(decode(&gbk, charset).unwrap(), text, "{charset:?}");
        assert!(is_gbk(&gbk, charset), "{charset:?}");
    }
    // the transport's word counts for more than the document's
    assert_eq!(decode(text.as_bytes(), Some("UTF-8")).unwrap(), text);
    let marked = [b"\xEF\xBB\xBF", text.as_bytes()].concat();
    assert_eq!(decode(&marked, Some("GBK")).unwrap(), text);
    assert!(!is_gbk(&marked, Some("GBK")) && !is_gbk(text.as_bytes(), Some("UTF-8")));
    let little: Vec<u8> = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
    let big: Vec<u8> = text.encode_utf16().flat_map(u16::to_be_bytes).collect();
    for bytes in [
        &little,
        &big,
        &[b"\xFF\xFE", &little[..]].concat(),
        &[b"\xFE\xFF", &big[..]].concat(),
    ] {
        assert_eq!(decode(bytes, None).unwrap(), text);
    }
    // UTF-8 under another name, as StringWriter of .NET and older HTTP clients write it
    let utf8 = "<?xml version='1.0' encoding='utf-16'?><a>诊</a>";
    assert_eq!(decode(utf8.as_bytes(), None).unwrap(), utf8);
    assert_eq!(decode(utf8.as_bytes(), Some("ISO-8859-1")).unwrap(), utf8);
    assert_eq!(decode(b"<a/>", Some("no-such-charset")).unwrap(), "<a/>");
}

#[test]
fn bytes_of_another_encoding_are_an_error_and_never_replaced() {
    assert_eq!(
        decode(b"\x1F\x8B\x08", Some("GBK")),
        Err(XmlError::Compressed)
    );
    let undeclared = encoding_rs::GBK.encode("<a>诊</a>").0;
    let wrong = |bytes: &[u8], charset| decode(bytes, charset).expect_err("an error");
    assert_eq!(
        wrong(&undeclared, None),
        XmlError::Charset {
            charset: "UTF-8",
            offset: 3
        }
    );
    assert_eq!(
        wrong(b"\xEF\xBB\xBF<a>\xFF</a>", None),
        XmlError::Charset {
            charset: "UTF-8",
            offset: 6
        }
    );
    assert!(matches!(
        wrong(b"<a>\xFF\xFF</a>", Some("GBK")),
        XmlError::Charset {
            charset: "GBK/GB18030",
            ..
        }
    ));
    assert!(matches!(
        wrong(b"\xFF\xFE<\0\0\xD8", None),
        XmlError::Charset {
            charset: "UTF-16LE",
            ..
        }
    ));
    assert_eq!(
        wrong(&undeclared, Some("big5")),
        XmlError::OtherCharset { charset: "Big5" }
    );
}

#[test]
fn written_text_is_read_as_it_was() {
    assert!(matches!(escape("肖萍 7173_1"), Cow::Borrowed(_)));
    let text = "a<b>&\"'\r\n\t诊\u{10000}";
    let element = read(&format!("<a b=\"{0}\">{0}</a>", escape(text))).unwrap();
    assert_eq!(element.text, text);
    assert_eq!(escape("\0\u{FFFF}x"), "\u{FFFD}\u{FFFD}x");
    let form = read(APPLY).unwrap();
    assert!(read(&form.to_text()).unwrap() == form);
}
