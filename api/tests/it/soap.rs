//! The SOAP service as an HIS meets it: whatever its toolkit makes of SOAP is answered with a code, and what is no
//! request with a fault.

use axum::body::Body;
use axum::http::Request;
use tower::ServiceExt;
use yingku_api::ApiConfig;
use yingku_core::contract::xml::{self, Element};

use crate::house::House;

const ROUTE: &str = "/YlzSynInfoService/services/service";
const SOAP12: &str = "http://www.w3.org/2003/05/soap-envelope";
/// Cannot be read; what is said of it tells that it came as it was written, for a byte more or less would be counted.
const BROKEN: &str = "<?xml version=\"1.0\" encoding=\"GBK\"?>\n<XmlDocument>诊<A code=\"&amp;\">&lt;</B></XmlDocument>";

struct Answered {
    http: u16,
    kind: String,
    text: String,
}

impl Answered {
    /// The first element of the body.
    fn body(&self) -> Element {
        let envelope = xml::read(&self.text).expect(&self.text);
        assert_eq!(envelope.name, "Envelope", "{}", self.text);
        envelope.at("Body").unwrap().children[0].clone()
    }

    fn code(&self) -> (i16, String) {
        assert_eq!(self.http, 200, "{}", self.text);
        let response = self.body();
        assert_eq!(response.name, "SynApplyInfoResponse", "{}", self.text);
        let within = xml::read(&response.child("return").unwrap().text).unwrap();
        let of = |name: &str| within.child(name).unwrap().text.clone();
        (of("code").parse().unwrap(), of("desc"))
    }

    fn fault(&self) -> String {
        let fault = self.body();
        assert_eq!(fault.name, "Fault", "{}", self.text);
        let said = fault.child("faultstring").or(fault.at("Reason/Text"));
        said.unwrap().text.clone()
    }
}

async fn send(house: &House, request: Request<Body>) -> Answered {
    let response = house.router.clone().oneshot(request).await.unwrap();
    let http = response.status().as_u16();
    let kind = response.headers()["content-type"]
        .to_str()
        .unwrap()
        .to_owned();
    let bytes = axum::body::to_bytes(response.into_body(), 1 << 20)
        .await
        .unwrap();
    let charset = kind.split("charset=").nth(1).unwrap();
    let text = xml::decode(&bytes, Some(charset)).unwrap().into_owned();
    Answered { http, kind, text }
}

async fn post(house: &House, kind: &str, body: impl Into<Body>) -> Answered {
    let request = Request::post(ROUTE).header("Content-Type", kind);
    send(house, request.body(body.into()).unwrap()).await
}

async fn get(house: &House, path: &str, headers: &[(&str, &str)]) -> Answered {
    let mut request = Request::get(path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    send(house, request.body(Body::empty()).unwrap()).await
}

/// SOAP 1.1 with a body of the caller's own.
fn envelope(body: &str) -> String {
    format!(
        "<soap:Envelope xmlns:soap=\"http://schemas.xmlsoap.org/soap/envelope/\"><soap:Body>{body}</soap:Body></soap:Envelope>"
    )
}

fn call_with(document: &str) -> String {
    let document = xml::escape(document);
    envelope(&format!(
        "<ser:SynApplyInfo xmlns:ser=\"http://service.his.example/\"><req>{document}</req></ser:SynApplyInfo>"
    ))
}

async fn assert_serving(house: &House) {
    let answer = post(house, "text/xml", call_with(BROKEN)).await;
    assert_eq!(answer.code().0, -3);
}

#[tokio::test]
async fn a_document_comes_through_every_kind_of_soap_as_it_was_written() {
    let house = House::open().await;
    let (end, start) = (BROKEN.find("</B").unwrap(), BROKEN.find("<A").unwrap());
    let reason =
        format!("第 2 行（第 {end} 字节）的结束标签与第 2 行（第 {start} 字节）的开始标签不符");
    let escaped = xml::escape(BROKEN);
    let call = call_with(BROKEN);
    let gbk = |text: &str| encoding_rs::GBK.encode(text).0.into_owned();
    let declared = format!("<?xml version=\"1.0\" encoding=\"gb2312\"?>{call}");
    let marked = [b"\xEF\xBB\xBF", call.as_bytes()].concat();
    for (name, kind, bytes) in [
        ("SOAP 1.1", "text/xml; charset=utf-8", call.clone().into_bytes()),
        (
            "SOAP 1.2",
            "application/soap+xml;charset=UTF-8;action=\"\"",
            call.replace("http://schemas.xmlsoap.org/soap/envelope/", SOAP12).into_bytes(),
        ),
        ("no kind that means XML", "application/x-www-form-urlencoded", call.clone().into_bytes()),
        ("a byte order mark", "text/xml", marked),
        ("GBK by the transport", "text/xml; charset=GBK", gbk(&call)),
        ("GBK by its declaration", "text/xml", gbk(&declared)),
        (
            "CDATA and arg0",
            "text/xml",
            envelope(&format!("<SynApplyInfo><arg0><![CDATA[{BROKEN}]]></arg0></SynApplyInfo>")).into(),
        ),
        (
            "no namespaces",
            "text/xml",
            format!("<Envelope><Body><SynApplyInfo><req>{escaped}</req></SynApplyInfo></Body></Envelope>").into(),
        ),
        (
            "a namespace of nobody's, and a header",
            "text/xml",
            format!(
                "<a:Envelope xmlns:a='urn:old'><a:Header><x a:mustUnderstand='1'/></a:Header><a:Body><b:SynApplyInfo xmlns:b='urn:b'><b:in0>{escaped}</b:in0></b:SynApplyInfo></a:Body></a:Envelope>"
            )
            .into(),
        ),
    ] {
        let answer = post(&house, kind, bytes).await;
        let (code, desc) = answer.code();
        assert_eq!(code, -3, "{name}");
        assert!(desc.contains(&reason), "{name}: {desc}");
        let in_gbk = name.starts_with("GBK");
        assert_eq!(answer.kind.contains("GBK"), in_gbk, "{name}: {}", answer.kind);
        let soap12 = name == "SOAP 1.2";
        assert_eq!(answer.kind.starts_with("application/soap+xml"), soap12, "{name}");
        assert_eq!(answer.text.contains(SOAP12), soap12, "{name}");
    }
}

#[tokio::test]
async fn a_request_without_a_content_type_and_at_any_spelling_of_the_address_is_answered() {
    let house = House::open().await;
    for path in [
        ROUTE,
        "//YlzSynInfoService//services/service/",
        "/openapi/YlzSynInfoService/services/service",
        "/YlzSynInfoService/services/service?wsdl",
    ] {
        for action in ["", "\"\"", "\"urn:anything\""] {
            let request = Request::post(path).header("SOAPAction", action);
            let answer = send(&house, request.body(call_with(BROKEN).into()).unwrap()).await;
            assert_eq!(answer.code().0, -3, "{path} {action}");
        }
    }
}

#[tokio::test]
async fn the_answer_is_in_the_namespace_of_the_call() {
    let house = House::open().await;
    let answer = post(&house, "text/xml", call_with(BROKEN)).await.body();
    assert_eq!(answer.namespace(), Some("http://service.his.example/"));
    assert_eq!(answer.child("return").unwrap().namespace(), None);
    let body = "<SynApplyInfo xmlns=\"http://tempuri.org/\"><req>x</req></SynApplyInfo>";
    let answer = post(&house, "text/xml", envelope(body)).await.body();
    let returned = answer.child("return").unwrap();
    assert_eq!(returned.namespace(), Some("http://tempuri.org/"));
}

#[tokio::test]
async fn elements_in_the_place_of_a_text_are_a_document_too() {
    let house = House::open().await;
    let document = "<XmlDocument><Header/></XmlDocument>";
    let nested = envelope(&format!(
        "<SynApplyInfo><req>{document}</req></SynApplyInfo>"
    ));
    let nested = post(&house, "text/xml", nested).await.code();
    let escaped = post(&house, "text/xml", call_with(document)).await.code();
    assert_eq!(nested, escaped);
}

#[tokio::test]
async fn a_document_that_cannot_be_read_is_minus_three_with_the_reason() {
    let house = House::open().await;
    let deep = "<a>".repeat(100_000);
    let wide = format!("<a>{}</a>", "<b/>".repeat(50_000));
    let long = format!("<a>{}</a>", "长".repeat(400_000));
    let twice = xml::escape(BROKEN);
    for (document, reason) in [
        ("", "内容为空"),
        ("{\"ApplyNo\":\"1\"}", "不是合法的 XML"),
        ("<!DOCTYPE a SYSTEM \"file:///etc/passwd\"><a/>", "DTD"),
        ("<!DOCTYPE a [<!ENTITY b \"bbbb\">]><a>&b;</a>", "DTD"),
        ("<a>&b;</a>", "实体"),
        ("<a>A & B</a>", "&amp;"),
        (&deep, "嵌套"),
        (&wide, "元素超过"),
        (&long, "超过 1048576 字节"),
        (&twice, "转义了两次"),
        ("<a>\u{1}</a>", ""),
    ] {
        let call = match document.contains('\u{1}') {
            true => call_with("<a>&#1;</a>"),
            false => call_with(document),
        };
        let (code, desc) = post(&house, "text/xml", call).await.code();
        assert_eq!(code, -3, "{reason}");
        assert!(desc.contains(reason), "{reason}: {desc}");
    }
    let lines = house.archive.errors().lines("address:0.0.0.0").unwrap();
    assert!(
        lines
            .iter()
            .any(|line| line.key.operation == ROUTE && line.key.rule == "xml")
    );
}

#[tokio::test]
async fn what_is_no_request_is_a_fault_of_its_version_and_the_service_goes_on() {
    let house = House::open().await;
    let laughs = format!(
        "<!DOCTYPE a [<!ENTITY b \"{}\">]>{}",
        "lol".repeat(99),
        call_with("&b;")
    );
    for (name, bytes) in [
        ("nothing", Vec::new()),
        ("JSON", b"{\"req\":\"\"}".to_vec()),
        ("the document alone", b"<XmlDocument/>".to_vec()),
        ("no operation", envelope("").into_bytes()),
        (
            "another operation",
            envelope("<SynStatusInfo/>").into_bytes(),
        ),
        ("a DTD", laughs.into_bytes()),
        (
            "an entity",
            envelope("<SynApplyInfo><req>&x;</req></SynApplyInfo>").into_bytes(),
        ),
        (
            "not UTF-8",
            encoding_rs::GBK.encode(&call_with(BROKEN)).0.into_owned(),
        ),
        ("cut off", call_with(BROKEN).as_bytes()[..200].to_vec()),
        ("deep", "<a>".repeat(500_000).into_bytes()),
        ("zeros", vec![0; 1000]),
        ("gzip", b"\x1F\x8B\x08\0\0\0".to_vec()),
    ] {
        let answer = post(&house, "text/xml", bytes.clone()).await;
        assert_eq!(answer.http, 500, "{name}");
        assert!(
            answer.text.contains("soap:Client"),
            "{name}: {}",
            answer.text
        );
        let said = answer.fault();
        assert!(
            said.chars().any(|c| ('\u{4E00}'..='\u{9FFF}').contains(&c)),
            "{name}: {said}"
        );
        let answer = post(&house, "application/soap+xml", bytes).await;
        let declared = answer.text.contains(SOAP12);
        let (http, code) = if declared {
            (400, "soap:Sender")
        } else {
            (500, "soap:Client")
        };
        assert_eq!(answer.http, http, "{name}");
        assert!(answer.text.contains(code), "{name}: {}", answer.text);
        assert_serving(&house).await;
    }
}

#[tokio::test]
async fn a_request_that_is_too_large_or_one_too_many_is_a_fault() {
    let house = House::open().await;
    let answer = post(&house, "text/xml", "x".repeat((2 << 20) + 1)).await;
    assert_eq!(answer.http, 413);
    assert!(
        answer.fault().contains("最多 2097152 字节"),
        "{}",
        answer.text
    );
    let full = House::with(ApiConfig {
        max_soap_requests_per_address: 0,
        ..ApiConfig::default()
    })
    .await;
    let answer = post(&full, "application/soap+xml", call_with(BROKEN)).await;
    assert_eq!(answer.http, 429);
    assert!(answer.text.contains("soap:Receiver"), "{}", answer.text);
}

#[tokio::test]
async fn the_description_names_the_address_that_the_caller_used() {
    let house = House::open().await;
    for query in ["wsdl", "WSDL", "Wsdl=", "singleWsdl", "x=1&wsdl"] {
        let path = format!("/openapi{ROUTE}?{query}");
        let headers = [
            ("Host", "backend:8080"),
            ("X-Forwarded-Host", "pacs.example"),
            ("X-Forwarded-Proto", "https"),
            ("X-Forwarded-Port", "8443"),
        ];
        let answer = get(&house, &path, &headers).await;
        assert_eq!(
            (answer.http, &*answer.kind),
            (200, "text/xml; charset=UTF-8")
        );
        let wsdl = xml::read(&answer.text).unwrap();
        let ports: Vec<&str> = wsdl
            .at("service")
            .unwrap()
            .children_named("port")
            .map(|port| {
                port.child("address")
                    .unwrap()
                    .attribute("location")
                    .unwrap()
            })
            .collect();
        let expected = format!("https://pacs.example:8443/openapi{ROUTE}");
        assert_eq!(ports, [&expected, &expected], "{query}");
        assert!(!answer.text.contains('{'), "{}", answer.text);
    }
}

#[tokio::test]
async fn a_hostile_host_is_not_repeated() {
    let house = House::open().await;
    for query in ["?wsdl", ""] {
        for name in [
            "Host",
            "X-Forwarded-Host",
            "X-Forwarded-Proto",
            "X-Forwarded-Port",
        ] {
            let hostile = "evil\"/><script>alert(1)</script>";
            let answer = get(&house, &format!("{ROUTE}{query}"), &[(name, hostile)]).await;
            assert_eq!(answer.http, 200);
            assert!(!answer.text.contains("evil"), "{}", answer.text);
        }
    }
}

#[tokio::test]
async fn a_browser_is_told_what_the_address_is_for() {
    let house = House::open().await;
    let answer = get(&house, ROUTE, &[("Host", "pacs:8080")]).await;
    assert_eq!(
        (answer.http, &*answer.kind),
        (200, "text/plain; charset=UTF-8")
    );
    assert!(
        answer
            .text
            .contains(&format!("http://pacs:8080{ROUTE}?wsdl")),
        "{}",
        answer.text
    );
    let request = Request::put(ROUTE).body(Body::empty()).unwrap();
    assert_eq!(send(&house, request).await.http, 405);
}
