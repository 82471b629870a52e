//! The clinic page (contract §4, R18, R19): who may open it, what it finds, and what it shows of an exam in each state.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use axum::body::Body;
use axum::extract::ConnectInfo;
use axum::http::{HeaderMap, Request};
use futures::TryStreamExt;
use serde_json::{Value, json};
use tower::ServiceExt;
use yingku_api::ApiConfig;
use yingku_core::contract::clinic::link;
use yingku_core::ids::Position;
use yingku_core::registry::{App, Hospital, HospitalMode, RegistryChange, Right, Scope};
use yingku_storage::archive::AuditEntry;
use yingku_storage::keys::Purpose;

use crate::house::{House, code, hospital, push_with};

const PAGE: &str = "/clinic/html/query.htm";
/// On the list of 350006.
const INSIDE: &str = "10.35.0.8";
/// On the lists of both hospitals.
const SHARED: &str = "10.40.0.8";
const OUTSIDE: &str = "10.36.0.8";
const PROXY: &str = "10.9.0.1";
const LICENSE: &str = "county-clinic-license";
/// The sample's.
const EXAM: &str = "exam_no=E20260704001";

struct Ward {
    house: House,
    pacs: String,
}

struct Page {
    http: u16,
    headers: HeaderMap,
    html: String,
}

impl Page {
    fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |it| it.to_str().unwrap())
    }

    /// Addresses that its links lead to.
    fn links(&self) -> Vec<String> {
        let parts = self.html.split("href=\"").skip(1);
        let links = parts.map(|part| part.split('"').next().unwrap());
        links
            .map(|link| link.replace("&#38;", "&").replace("&amp;", "&"))
            .collect()
    }

    fn has(&self, text: &str) -> bool {
        self.html.contains(text)
    }

    fn shows(&self, text: &str) {
        assert_eq!(self.http, 200, "{}", self.html);
        assert!(self.has(text), "{text} is missing: {}", self.html);
    }

    fn refuses(&self, http: u16, word: &str) {
        assert_eq!(self.http, http, "{}", self.html);
        assert!(self.has(word), "{word} is missing: {}", self.html);
        assert!(!self.has("肖萍"), "{}", self.html);
    }
}

fn of_clinic(code: &str, prefix: &str, addresses: &[&str]) -> Hospital {
    let mut made = hospital(code, HospitalMode::Live);
    made.prefix = Some(prefix.to_owned());
    made.clinic.addresses = addresses.iter().map(|it| it.parse().unwrap()).collect();
    made
}

impl Ward {
    async fn open() -> Self {
        let config = ApiConfig {
            proxies: vec![PROXY.parse().unwrap()],
            ..ApiConfig::default()
        };
        let house = House::with(config).await;
        let app = |id: &str, license: &str, hospitals: Scope| App {
            rights: BTreeSet::from([Right::Read]),
            license: house
                .archive
                .key()
                .seal(Purpose::License, license.as_bytes())
                .unwrap(),
            ..house.app(id, hospitals)
        };
        let both = Scope::of([&code("350006"), &code("350007")]);
        let pusher = App {
            rights: BTreeSet::from([Right::Push]),
            ..app("pusher", LICENSE, both.clone())
        };
        house
            .change(vec![
                RegistryChange::PutHospital(of_clinic("350006", "7173", &["10.35.0.0/16", SHARED])),
                RegistryChange::PutHospital(of_clinic("350007", "7174", &[SHARED])),
                RegistryChange::PutApp(app("his", LICENSE, both)),
                RegistryChange::PutApp(app("short", "too-short", Scope::all())),
                RegistryChange::PutApp(pusher),
            ])
            .await;
        let pacs = house.token("demo-pacs").await;
        Self { house, pacs }
    }

    /// With the sample exam in it.
    async fn with_sample() -> Self {
        let ward = Self::open().await;
        ward.push(&[]).await;
        ward
    }

    async fn push(&self, fields: &[(&str, Value)]) {
        let response = self
            .house
            .post("/v1/exam/push", &self.pacs, push_with(fields))
            .await;
        assert_eq!(response.status(), 0, "{}", response.json);
    }

    async fn withdraw(&self) {
        let body = json!({"hospitalCode": "350006", "examNo": "E20260704001", "reason": "误传", "author": "王"});
        let response = self
            .house
            .post("/v1/exam/withdraw", &self.pacs, body.to_string())
            .await;
        assert_eq!(response.status(), 0, "{}", response.json);
    }

    async fn get_with(&self, from: &str, query: &str, forwarded: Option<&str>) -> Page {
        let mut request = Request::get(format!("{PAGE}?{query}"));
        if let Some(forwarded) = forwarded {
            request = request.header("X-Forwarded-For", forwarded);
        }
        let mut request = request.body(Body::empty()).unwrap();
        let peer = SocketAddr::new(from.parse().unwrap(), 40_000);
        request.extensions_mut().insert(ConnectInfo(peer));
        let response = self.house.router.clone().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let chunks: Vec<_> = body.into_data_stream().try_collect().await.unwrap();
        Page {
            http: parts.status.as_u16(),
            headers: parts.headers,
            html: String::from_utf8(chunks.concat()).unwrap(),
        }
    }

    async fn get(&self, from: &str, query: &str) -> Page {
        self.get_with(from, query, None).await
    }

    async fn inside(&self, query: &str) -> Page {
        self.get(INSIDE, query).await
    }

    async fn outside(&self, query: &str) -> Page {
        self.get(OUTSIDE, query).await
    }

    fn audited(&self) -> Vec<AuditEntry> {
        let records = self
            .house
            .archive
            .audit_log()
            .read(Position(0), 1_000, 1 << 20)
            .unwrap();
        let entries = records
            .iter()
            .map(|it| serde_json::from_slice(&it.bytes).unwrap());
        entries
            .filter(|it: &AuditEntry| it.operation == "clinic")
            .collect()
    }
}

fn now_s() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    i64::try_from(since.unwrap().as_secs()).unwrap()
}

fn link(pairs: &[(&str, &str)]) -> String {
    link_of("his", LICENSE, pairs, now_s() + 600)
}

fn link_of(app: &str, license: &str, pairs: &[(&str, &str)], expires_s: i64) -> String {
    link::compose(license.as_bytes(), pairs.iter().copied(), app, expires_s)
}

/// The query of a link on the page.
fn query_of(link: &str) -> &str {
    link.strip_prefix('?').unwrap()
}

#[tokio::test]
async fn the_page_opens_from_an_address_on_the_hospital_s_list_and_from_no_other() {
    let ward = Ward::with_sample().await;
    for query in [EXAM, "exam_no=7173_E20260704001", "exam_no=350006_00000001"] {
        ward.inside(query).await.shows("右肺下叶炎症");
    }
    let refused = ward.outside(EXAM).await;
    refused.refuses(403, OUTSIDE);
    assert!(refused.has("信息科"));
    // The hospital's own network opens no other hospital's
    ward.inside("exam_no=7174_E20260704001")
        .await
        .refuses(403, INSIDE);
}

#[tokio::test]
async fn nobody_s_word_on_an_address_is_believed_but_a_proxy_s() {
    let ward = Ward::with_sample().await;
    let forged = ward.get_with(OUTSIDE, EXAM, Some(INSIDE)).await;
    forged.refuses(403, OUTSIDE);
    let through = ward.get_with(PROXY, EXAM, Some(INSIDE)).await;
    through.shows("肖萍");
    // What a caller wrote himself stands before what the proxy heard
    let forged = format!("{INSIDE}, {OUTSIDE}");
    ward.get_with(PROXY, EXAM, Some(&forged))
        .await
        .refuses(403, OUTSIDE);
    ward.get(PROXY, EXAM).await.refuses(403, "代理");
}

#[tokio::test]
async fn a_signed_link_opens_what_it_names_until_it_expires() {
    let ward = Ward::with_sample().await;
    let number = [("exam_no", "7173_E20260704001")];
    ward.outside(&link(&number)).await.shows("右肺下叶炎症");
    // A bare number is of the app's own hospital, or of the one that the link names
    ward.outside(&link(&[("exam_no", "E20260704001")]))
        .await
        .shows("肖萍");
    let named = [("exam_no", "E20260704001"), ("hospital", "350007")];
    ward.outside(&link(&named)).await.refuses(404, "没有找到");

    let expired = link_of("his", LICENSE, &number, now_s() - 1);
    ward.outside(&expired).await.refuses(403, "已过期");
    let for_ever = link_of("his", LICENSE, &number, now_s() + 90_000);
    ward.outside(&for_ever).await.refuses(403, "24 小时");
    for wrong in [
        link(&number).replace("E20260704001", "E20260704002"),
        format!("{}&sick_id=1", link(&number)),
        link_of("his", "another-license-of-it", &number, now_s() + 600),
        link_of("nobody", LICENSE, &number, now_s() + 600),
        link_of("pusher", LICENSE, &number, now_s() + 600),
        link_of("short", "too-short", &number, now_s() + 600),
        format!("{EXAM}&app=his&expires={}", now_s() + 600),
        format!("{EXAM}&signature={}", "0".repeat(64)),
    ] {
        ward.outside(&wrong).await.refuses(403, "链接无效");
    }
    // A wrong link is wrong from inside, too: else nobody would learn that his HIS makes such
    ward.inside(&expired).await.refuses(403, "已过期");
}

#[tokio::test]
async fn links_of_a_page_lead_on_and_no_further_than_its_own_link() {
    // Given two exams of one patient, and one of another
    let ward = Ward::with_sample().await;
    ward.push(&[
        ("/examNo", json!("E2")),
        ("/imageList/0/studyUID", json!("1.2.3")),
    ])
    .await;
    ward.push(&[
        ("/examNo", json!("OTHER")),
        ("/patientInfo/sickId", json!("C0002")),
        ("/imageList/0/studyUID", json!("1.2.4")),
    ])
    .await;
    let list = ward.outside(&link(&[("sick_id", "7173_C0001")])).await;
    list.shows("共 2 个检查");
    let links = list.links();
    assert_eq!(links.len(), 2, "{links:?}");
    for link in &links {
        assert!(!link.contains("C0001"), "{link}");
        ward.outside(query_of(link)).await.shows("右肺下叶炎症");
    }
    // When the other exam is put into such a link, or the ticket is changed
    let other = links[0]
        .replace("exam=E2", "exam=OTHER")
        .replace("exam=E20260704001", "exam=OTHER");
    assert!(other.contains("exam=OTHER"));
    ward.outside(query_of(&other))
        .await
        .refuses(404, "没有找到");
    let forged = links[0].replacen("ticket=", "ticket=A", 1);
    ward.outside(query_of(&forged)).await.refuses(403, "已过期");

    // When the app is disabled, its pages lead on no more
    let mut app = ward
        .house
        .archive
        .registry()
        .apps
        .values()
        .find(|it| it.id.as_str() == "his")
        .unwrap()
        .clone();
    app.enabled = false;
    ward.house.change(vec![RegistryChange::PutApp(app)]).await;
    ward.outside(query_of(&links[0]))
        .await
        .refuses(403, "已过期");
}

#[tokio::test]
async fn another_hospital_s_exam_needs_a_reason_and_what_is_kept_stays_kept() {
    let ward = Ward::open().await;
    ward.push(&[("/hospitalCode", json!("350007"))]).await;
    let number = ("exam_no", "7174_E20260704001");
    ward.outside(&link(&[number])).await.refuses(403, "reason");
    ward.outside(&link(&[number, ("reason", "curiosity")]))
        .await
        .refuses(400, "reason");
    let visit = [number, ("reason", "visit"), ("user", "1024")];
    ward.outside(&link(&visit)).await.shows("肖萍");
    let entry = ward.audited().pop().unwrap();
    assert_eq!(
        (entry.reason.as_str(), entry.user.as_str()),
        ("visit", "1024")
    );
    assert_eq!(
        (entry.hospital.as_str(), entry.read_for.as_str()),
        ("350007", "350006")
    );
    // For its own readers it needs none
    ward.outside(&link(&[number, ("hospital", "350007")]))
        .await
        .shows("肖萍");

    let mut kept = of_clinic("350007", "7174", &[SHARED]);
    kept.own_only.patients = BTreeSet::from(["门诊".to_owned()]);
    ward.house
        .change(vec![RegistryChange::PutHospital(kept)])
        .await;
    ward.outside(&link(&visit)).await.refuses(404, "没有找到");
    ward.get(SHARED, "exam_no=7174_E20260704001")
        .await
        .shows("肖萍");
    // An app of other hospitals has no right at all
    let foreign = link(&[("exam_no", "350008_1"), ("reason", "visit")]);
    ward.outside(&foreign).await.refuses(403, "无权调阅");
}

#[tokio::test]
async fn several_numbers_mean_and_and_a_bare_one_is_of_one_hospital() {
    let ward = Ward::with_sample().await;
    for (query, is_there) in [
        ("exam_no=00000001", true),
        ("sick_id=C0001", true),
        ("pat_local_id=CT000001", true),
        ("outpatient_no=O000017", true),
        ("inpatient_no=O000017", false),
        ("sick_id=CT000001", false),
        (
            "exam_no=00000001&sick_id=C0001&pat_local_id=CT000001&inpatient_no=&outpatient_no=",
            true,
        ),
        ("OUTPATIENT_NO=O000017&t=1", true),
        ("exam_no=00000001&sick_id=C0002", false),
        ("sick_id=7173_C0001&exam_no=00000001", true),
    ] {
        let page = ward.inside(query).await;
        assert_eq!(page.http, if is_there { 200 } else { 404 }, "{query}");
    }
    for (query, word) in [
        ("", "没有给出号码"),
        ("exam_no=", "没有给出号码"),
        ("sick_id=7173_C0001&exam_no=7174_1", "同一医院"),
        ("sick_id=1&sick_id=2", "出现多次"),
        (&format!("sick_id={}", "1".repeat(65)), "过长"),
        (&format!("sick_id=1&x={}", "1".repeat(5_000)), "过长"),
        ("sick_id=%FF%FF", "编码"),
        ("sick_id=C0001&page=x", "page"),
        ("sick_id=C0001&user=%E7%8E%8B", "user"),
    ] {
        ward.inside(query).await.refuses(400, word);
    }
    // Where an address stands for two hospitals, a number must say whose it is
    ward.push(&[
        ("/hospitalCode", json!("350007")),
        ("/imageList/0/studyUID", json!("1.2.7")),
    ])
    .await;
    ward.get(SHARED, EXAM).await.refuses(400, "哪家医院");
    ward.get(SHARED, "exam_no=7173_E20260704001")
        .await
        .shows("医院350006");
    ward.get(SHARED, "exam_no=7174_E20260704001")
        .await
        .shows("医院350007");
    ward.inside("sick_id=C0001").await.shows("共 1 个检查");
}

#[tokio::test]
async fn numbers_of_two_patients_show_neither() {
    let ward = Ward::with_sample().await;
    ward.push(&[
        ("/examNo", json!("E2")),
        ("/patientInfo/sickId", json!("C0002")),
        ("/patientInfo/name", json!("李四")),
        ("/examInfo/applyNo", json!("2")),
        ("/imageList/0/studyUID", json!("1.2.3")),
    ])
    .await;
    let page = ward.inside("outpatient_no=O000017").await;
    page.refuses(409, "多位患者");
    assert!(!page.has("李四"));
    ward.inside("outpatient_no=O000017&sick_id=C0002")
        .await
        .shows("李四");
}

#[tokio::test]
async fn a_his_that_writes_gbk_finds_what_one_that_writes_utf_8_finds() {
    let ward = Ward::open().await;
    ward.push(&[("/patientInfo/outPatientNo", json!("门诊001"))])
        .await;
    for query in [
        "outpatient_no=%E9%97%A8%E8%AF%8A001",
        "outpatient_no=%c3%c5%d5%ef001",
        "outpatient_no=7173_%C3%C5%D5%EF001",
    ] {
        ward.inside(query).await.shows("肖萍");
    }
}

/// What a page shows of the sample's report at each status.
#[tokio::test]
async fn a_report_is_shown_as_what_it_is() {
    let ward = Ward::open().await;
    let status = |code: &str| ("/examInfo/examStatus", json!(code));
    ward.push(&[status("50")]).await;
    let page = ward.inside(EXAM).await;
    page.shows("尚未出报告");
    assert!(!page.has("右肺下叶炎症"));

    ward.push(&[status("60")]).await;
    let page = ward.inside(EXAM).await;
    page.shows("未经审核确认");
    page.shows("草稿");
    page.shows("右肺下叶炎症");

    ward.push(&[status("70")]).await;
    let page = ward.inside(EXAM).await;
    page.shows("报告状态：已确认");
    page.shows("右肺下叶炎症");
    for absent in ["草稿", "已修订", "未经审核确认", "历史版本"] {
        assert!(!page.has(absent), "{absent}");
    }

    ward.push(&[
        status("70"),
        ("/reportList/0/impression", json!("右肺下叶结核。")),
    ])
    .await;
    let page = ward.inside(EXAM).await;
    page.shows("已修订");
    page.shows("右肺下叶结核");
    assert!(!page.has("右肺下叶炎症"));
    // Both earlier reports can be read, and say that they are earlier ones
    let earlier: Vec<String> = page
        .links()
        .into_iter()
        .filter(|it| it.contains("version="))
        .collect();
    assert_eq!(earlier.len(), 3, "{earlier:?}");
    let page = ward.inside(query_of(&earlier[0])).await;
    page.shows("历史版本");
    page.shows("右肺下叶炎症");
    assert!(!page.has("结核"));
    ward.inside(query_of(&earlier[1])).await.shows("草稿");

    ward.push(&[status("65")]).await;
    let page = ward.inside(EXAM).await;
    page.shows("报告已撤回");
    for absent in ["右肺下叶", "草稿", "version="] {
        assert!(!page.has(absent), "{absent}");
    }
    ward.inside(query_of(&earlier[0]))
        .await
        .refuses(404, "版本");
}

#[tokio::test]
async fn of_a_withdrawn_exam_only_that_is_shown() {
    let ward = Ward::with_sample().await;
    let status = ("/examInfo/examStatus", json!("70"));
    ward.push(&[
        status.clone(),
        ("/reportList/0/impression", json!("右肺下叶结核。")),
    ])
    .await;
    let earlier = ward
        .inside(EXAM)
        .await
        .links()
        .into_iter()
        .find(|it| it.contains("version="))
        .unwrap();
    ward.withdraw().await;
    let page = ward.inside(EXAM).await;
    page.shows("已撤回");
    let list = ward.inside("sick_id=C0001").await;
    list.shows("已撤回");
    for shown in [&page, &list, &ward.inside(query_of(&earlier)).await] {
        for absent in ["肖萍", "右肺", "胸部", "CT000001", "2026-07-04 10:54"] {
            assert!(!shown.has(absent), "{absent}: {}", shown.html);
        }
    }
    // When it is pushed anew, what was withdrawn is not to be read again
    ward.push(&[status, ("/reportList/0/impression", json!("未见异常。"))])
        .await;
    let page = ward.inside(EXAM).await;
    page.shows("未见异常");
    assert!(!page.has("version="), "{}", page.html);
    ward.inside(query_of(&earlier)).await.refuses(404, "版本");
}

#[tokio::test]
async fn whatever_a_push_holds_is_text_on_the_page() {
    let ward = Ward::open().await;
    let hostile = "</div><script>alert('1')</script>\"><img src=x onerror=alert(1)>&lt;{{7*7}}";
    ward.push(&[
        ("/patientInfo/name", json!("<b>肖</b>萍")),
        (
            "/reportList/0/description",
            json!(format!("第一行\n{hostile}")),
        ),
        ("/reportList/0/impression", json!(hostile)),
        ("/examInfo/examItemList/0/itemName", json!(hostile)),
        ("/examInfo/device", json!(hostile)),
        (
            "/imageList/0",
            json!({
                "patientID": "CT000001", "studyUID": "1.2.9",
                "imageUrl": "javascript:alert(1)", "imageCount": "2"
            }),
        ),
    ])
    .await;
    for query in [EXAM, "sick_id=C0001"] {
        let page = ward.inside(query).await;
        assert_eq!(page.http, 200);
        for live in ["<script", "<img", "<b>肖", "javascript:"] {
            assert!(!page.has(live), "{query} {live}: {}", page.html);
        }
        assert!(page.has("{{7*7}}"));
    }
    ward.inside(EXAM).await.shows("第一行\n");
    // nor is what stands in the address
    let page = ward.inside("exam_no=%3Cscript%3E&user=%3Cscript%3E").await;
    assert!(!page.has("<script"));
}

#[tokio::test]
async fn a_very_long_report_says_where_it_is_cut() {
    let ward = Ward::open().await;
    let mut lenient = of_clinic("350006", "7173", &["10.35.0.0/16"]);
    lenient.validation = serde_json::from_value(json!({"length_default": "warn"})).unwrap();
    ward.house
        .change(vec![RegistryChange::PutHospital(lenient)])
        .await;
    ward.push(&[("/reportList/0/description", json!("长".repeat(30_000)))])
        .await;
    let page = ward.inside(EXAM).await;
    page.shows("全文过长");
    assert_eq!(page.html.matches('长').count(), 20_001);
}

#[tokio::test]
async fn images_at_the_hospital_are_a_link_that_says_so() {
    let ward = Ward::open().await;
    let url = "http://pacs.county.example/view?a=1&b=\"2\"";
    ward.push(&[(
        "/imageList/0",
        json!({
            "patientID": "CT000001", "studyUID": "1.2.9", "imageUrl": url, "imageCount": "2"
        }),
    )])
    .await;
    let page = ward.inside(EXAM).await;
    page.shows("链接，平台未核实");
    let link = page
        .links()
        .into_iter()
        .find(|it| it.starts_with("http"))
        .unwrap();
    assert_eq!(link.replace("&#34;", "\""), url);
    assert!(page.has("noreferrer"));
}

#[tokio::test]
async fn a_long_list_comes_page_by_page_newest_first() {
    let ward = Ward::open().await;
    for day in 1..=28 {
        ward.push(&[
            ("/examNo", json!(format!("N{day}"))),
            (
                "/examInfo/examTime",
                json!(format!("2026-06-{day:02} 08:00:00")),
            ),
            ("/imageList/0/studyUID", json!(format!("1.2.3.{day}"))),
        ])
        .await;
    }
    let mut days = Vec::new();
    let mut query = "sick_id=C0001".to_owned();
    for page_no in 1..=2 {
        let page = ward.inside(&query).await;
        page.shows(&format!("第 {page_no} / 2 页"));
        let parts = page.html.split("2026-06-").skip(1);
        days.extend(parts.map(|part| part[..2].parse::<u32>().unwrap()));
        let next = page.links().into_iter().find(|it| it.ends_with("page=2"));
        query = next.map_or(query, |next| query_of(&next).to_owned());
    }
    let expected: Vec<u32> = (1..=28).rev().collect();
    assert_eq!(days, expected);
    ward.inside("sick_id=C0001&page=99")
        .await
        .shows("第 2 / 2 页");
}

#[tokio::test]
async fn every_opening_is_on_record_and_names_no_patient() {
    let ward = Ward::with_sample().await;
    ward.inside("sick_id=C0001&user=D17").await.shows("肖萍");
    ward.inside(EXAM).await.shows("肖萍");
    ward.outside(&link(&[("exam_no", "7173_00000001")]))
        .await
        .shows("肖萍");
    let all: Vec<_> = ward
        .audited()
        .into_iter()
        .map(|it| (it.reader, it.hospital, it.target, it.read_for, it.user))
        .collect();
    let inside = format!("clinic:{INSIDE}");
    let entry = |reader: &str, target: &str, user: &str| {
        let own = || "350006".to_owned();
        (
            reader.to_owned(),
            own(),
            target.to_owned(),
            own(),
            user.to_owned(),
        )
    };
    assert_eq!(
        all,
        [
            entry(&inside, "1 exams", "D17"),
            entry(&inside, "350006/E20260704001", ""),
            entry("link:his", "350006/E20260704001", ""),
        ]
    );
    // What was refused is in the digest, without numbers
    ward.outside("sick_id=C0001").await.refuses(403, OUTSIDE);
    let noted = format!(
        "{:?}",
        ward.house
            .archive
            .errors()
            .lines(&format!("address:{OUTSIDE}"))
            .unwrap()
    );
    assert!(
        noted.contains("clinic-address") && !noted.contains("C0001"),
        "{noted}"
    );
}

#[tokio::test]
async fn a_page_keeps_to_itself() {
    let ward = Ward::with_sample().await;
    for page in [ward.inside(EXAM).await, ward.outside(EXAM).await] {
        assert_eq!(page.header("cache-control"), "no-store");
        assert_eq!(page.header("referrer-policy"), "no-referrer");
        assert_eq!(page.header("x-content-type-options"), "nosniff");
        assert_eq!(page.header("x-frame-options"), "DENY");
        let policy = page.header("content-security-policy");
        assert!(policy.contains("default-src 'none'") && policy.contains("frame-ancestors 'none'"));
        assert!(!policy.contains("unsafe"), "{policy}");
        assert!(!page.has("style="), "the policy forbids it");
        assert!(!page.has("<script"));
    }
    // A HIS that embeds it is named
    let mut embedding = of_clinic("350006", "7173", &["10.35.0.0/16"]);
    embedding.clinic.embed = BTreeSet::from(["http://his.example:8080".parse().unwrap()]);
    ward.house
        .change(vec![RegistryChange::PutHospital(embedding)])
        .await;
    let page = ward.inside(EXAM).await;
    assert!(
        page.header("content-security-policy")
            .ends_with("frame-ancestors http://his.example:8080")
    );
    assert_eq!(page.header("x-frame-options"), "");
}

#[tokio::test]
async fn the_page_is_read_and_nothing_else() {
    let ward = Ward::with_sample().await;
    let request = Request::post(format!("{PAGE}?{EXAM}"))
        .body(Body::empty())
        .unwrap();
    let response = ward.house.router.clone().oneshot(request).await.unwrap();
    assert_eq!(response.status(), 405);
}
