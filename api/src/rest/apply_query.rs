//! `POST /v1/apply/query` and `/v1/apply/query/<app>`: a hospital's PACS asks the archive for apply forms as it asks its
//! 基卫 (contract §1, R11), and hears of those that are here, whatever way they came.
//!
//! An app with a key may ask for the forms of the hospitals that it pushes or reads for: a PACS that will push an exam
//! needs the form that it belongs to. Who has no key to be answered with hears so in clear text, with HTTP 401; all else
//! is enciphered, failures too.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use tokio::time::Instant;
use yingku_core::apply_form::ApplyFormRow;
use yingku_core::contract::jiwei::{
    ANSWER_LIMIT_BYTES, ApplyKind, ApplyQuery, BusinessType, JiweiError, JiweiForm, JiweiKey,
    REQUEST_LIMIT_BYTES, ROWS_LIMIT, ToldForm, answer,
};
use yingku_core::dictionaries::is_placeholder;
use yingku_core::ids::{AppId, HospitalCode, Position};
use yingku_core::outcome::ErrorKind;
use yingku_core::registry::{App, Hospital, HospitalMode, HttpStatus, Right, Sealed};
use yingku_storage::archive::AuditEntry;
use yingku_storage::keys::Purpose;
use yingku_storage::views::keys::FormIndexKind;
use yingku_storage::views::{Views, Walk};

use super::schema;
use crate::auth::attempts::next_floor;
use crate::call::{Call, blocking};
use crate::envelope::{Answer, Shape};
use crate::error::{Enciphered, Failure};

/// Forms of one answer: the newest. A patient has some dozens.
const FORMS_LIMIT: usize = 200;
const _: () = assert!(FORMS_LIMIT <= ROWS_LIMIT);
/// Forms that are looked at for one answer: so many under one number are not one patient's.
const SEEN_LIMIT: usize = 5_000;

/// Numbers by which a patient's forms are found.
const FOUND_BY: [FormIndexKind; 4] = [
    FormIndexKind::CardNo,
    FormIndexKind::InpatientNo,
    FormIndexKind::OutpatientNo,
    FormIndexKind::OtherCard,
];

const NOBODY: &str = "没有可用的密钥，无法应答：请核对地址中的应用代码与来源地址，并确认平台已为其登记基卫密钥 \
     (no key to answer with: check the app in the address and the caller's address, and that a key is registered for them)";

/// Of the clear text.
pub const EXAMPLE: &str =
    r#"{"medicarecode":"C0001","yyid00":"6930","businesstype":"1","type":"2"}"#;

/// Of the clear text.
pub fn request_schema() -> Value {
    schema::object(&[
        (
            "medicarecode",
            true,
            schema::text(64, "病人卡号；亦可为住院号、门诊号、健康卡号"),
        ),
        (
            "yyid00",
            true,
            schema::text(64, "医院在基卫中的代码；亦可为医院ID或医院代码"),
        ),
        (
            "businesstype",
            true,
            schema::text(1, "1 门诊（含急诊）、2 住院、3 体检"),
        ),
        ("type", true, schema::text(1, "1 心电、2 影像（其余各类）")),
    ])
}

/// Of the clear text.
pub fn result_schema() -> Value {
    let text = |title| json!({ "type": "string", "description": title });
    let row: Vec<(&str, bool, Value)> = JiweiForm::fields()
        .map(|(name, title)| (name, false, text(title)))
        .collect();
    schema::object(&[
        ("content", false, schema::array(schema::object(&row))),
        ("success", true, schema::text(5, "true 或 false")),
        ("errorCode", false, schema::text(2, "失败时为 98")),
        ("errorMsg", false, schema::text(300, "失败原因")),
    ])
}

pub async fn handle(call: Call) -> Result<Answer, Failure> {
    let came = Instant::now();
    let attempts = &call.api.question_attempts;
    let Some(asker) = Asker::of(&call)? else {
        attempts.begin(call.address, None).await?;
        attempts.failed(call.address, None);
        tokio::time::sleep_until(next_floor(came)).await;
        return Err(nobody());
    };
    let answered = asker.answer(&call, came).await;
    answered.map_err(|failure| asker.encipher(failure))
}

/// HTTP 401 with the envelope: whoever asks here reads neither, and his operator the status.
fn nobody() -> Failure {
    Failure::new(ErrorKind::Unauthenticated, "jiwei-app", NOBODY).with_shape(Shape {
        http_status: HttpStatus::Real,
        ..Shape::default()
    })
}

/// An app that may be answered.
struct Asker {
    app: AppId,
    key: JiweiKey,
}

impl Asker {
    /// The enabled app that the address names, else the one that calls from there. One that names the addresses that it
    /// calls from is answered nowhere else.
    fn of(call: &Call) -> Result<Option<Self>, Failure> {
        let registry = &call.registry;
        let address = call.address.to_canonical();
        let app = match &call.rest_of_path {
            None => registry.app_of_address(address),
            Some(id) => AppId::new(id).ok().and_then(|id| registry.apps.get(&id)),
        };
        let Some((app, jiwei)) = app
            .filter(|app| app.enabled)
            .and_then(|app| Some((app, app.jiwei.as_ref()?)))
        else {
            return Ok(None);
        };
        if !jiwei.addresses.is_empty() && !jiwei.addresses.contains(&address) {
            return Ok(None);
        }
        Ok(Some(Self {
            app: app.id.clone(),
            key: open_key(call, &jiwei.key)?,
        }))
    }

    async fn answer(&self, call: &Call, came: Instant) -> Result<Answer, Failure> {
        let attempts = &call.api.question_attempts;
        attempts.begin(call.address, Some(&self.app)).await?;
        attempts.opened(call.address, &self.app).await?;
        let asked = match ApplyQuery::read(&call.body, &self.key) {
            Ok(asked) => asked,
            Err(error @ JiweiError::NotReadable) => {
                attempts.failed(call.address, Some(&self.app));
                tokio::time::sleep_until(next_floor(came)).await;
                return Err(of_wire(&error));
            }
            Err(error) => return Err(of_wire(&error)),
        };
        attempts.succeeded(call.address, &self.app);
        let hospital = self.hospital(call, &asked)?;
        if is_placeholder(
            &call.registry.settings.placeholder_apply_nos,
            &asked.medicare_code,
        ) {
            let message =
                "medicarecode 为占位值，不是病人的号码 (a placeholder, not a patient's number)";
            return Err(Failure::new(ErrorKind::Invalid, "jiwei-value", message).at("medicarecode"));
        }
        call.archive().settle().await?;
        let archive = call.archive().clone();
        let (code, registry) = (hospital.code.clone(), call.registry.clone());
        let search = Search {
            is_trial: hospital.mode == HospitalMode::Test,
            hospital,
            asked,
        };
        let told = blocking(move || {
            let aliases = &registry.settings.class_aliases;
            let views = archive.views();
            let rows = search.rows(&views, |class| ApplyKind::of_class(aliases, class))?;
            rows.iter()
                .map(|row| search.told(&archive, &views, row))
                .collect::<Result<Vec<_>, Failure>>()
        })
        .await?;
        self.audit(call, &code, &told).await?;
        Ok(Answer {
            enciphered: Some(self.compose(&told)?),
            ..Answer::new("成功 (done)")
        })
    }

    /// The hospital that is meant, if the app has to do with it. Of others nothing shows, not even that they are there.
    fn hospital(&self, call: &Call, asked: &ApplyQuery) -> Result<Hospital, Failure> {
        let app = call.registry.apps.get(&self.app);
        let hospital = call.registry.hospital_of_yyid00(&asked.yyid00);
        let allowed = hospital.filter(|hospital| app.is_some_and(|app| may_ask(app, hospital)));
        allowed.cloned().ok_or_else(|| {
            let message = "无权限：该应用不能查询此医院的申请单，或 yyid00 有误 (no right for this hospital's forms, or a wrong yyid00)";
            Failure::new(ErrorKind::Forbidden, "hospital-forbidden", message).at("yyid00")
        })
    }

    /// Which forms were shown to whom, by their numbers.
    async fn audit(
        &self,
        call: &Call,
        hospital: &HospitalCode,
        told: &[JiweiForm],
    ) -> Result<(), Failure> {
        let numbers: Vec<&str> = told
            .iter()
            .filter_map(|form| form.apply_code.as_deref())
            .collect();
        let entry = AuditEntry {
            reader: format!("app:{}", self.app),
            operation: "applyQuery".to_owned(),
            hospital: hospital.as_str().to_owned(),
            target: numbers.join(" "),
            ..AuditEntry::default()
        };
        Ok(call.archive().audit(entry).await?)
    }

    /// As many of the forms, newest first, as one answer holds.
    fn compose(&self, told: &[JiweiForm]) -> Result<String, Failure> {
        let mut forms = told;
        loop {
            match answer::compose(forms, &self.key) {
                Err(JiweiError::AnswerTooLarge) if forms.len() > 1 => {
                    forms = forms.split_at(forms.len() / 2).0;
                }
                Err(error) => return Err(of_wire(&error)),
                Ok(text) => return Ok(text),
            }
        }
    }

    fn encipher(&self, mut failure: Failure) -> Failure {
        let text = answer::compose_failure(&failure.message, &self.key);
        failure.enciphered = Some(Box::new(Enciphered(text)));
        failure.source = Some(format!("app:{}", self.app));
        failure
    }
}

/// Opens a key of 基卫 that the registry holds.
pub fn open_key(call: &Call, sealed: &Sealed) -> Result<JiweiKey, Failure> {
    let secret = call.archive().key().open(Purpose::Jiwei, sealed)?;
    let text = std::str::from_utf8(&secret).unwrap_or_default();
    JiweiKey::new(text).map_err(|error| Failure::internal(&error))
}

fn may_ask(app: &App, hospital: &Hospital) -> bool {
    let rights = [Right::Push, Right::Read];
    rights.iter().any(|right| app.rights.contains(right)) && app.hospitals.has(&hospital.code)
}

/// What is wrong with a message of the wire.
fn of_wire(error: &JiweiError) -> Failure {
    let (kind, rule, path) = match error {
        JiweiError::NotReadable => (ErrorKind::Invalid, "jiwei-unreadable", ""),
        JiweiError::Missing { name } => (ErrorKind::Invalid, "jiwei-missing", *name),
        JiweiError::Value { name, .. } => (ErrorKind::Invalid, "jiwei-value", *name),
        JiweiError::TooLarge { .. } => (ErrorKind::TooLarge, "body-size", ""),
        _ => (ErrorKind::Internal, "internal", ""),
    };
    Failure::new(kind, rule, error.to_string()).at(path)
}

/// One question within a hospital.
struct Search {
    hospital: Hospital,
    is_trial: bool,
    asked: ApplyQuery,
}

impl Search {
    /// Forms that stand, of the asked number, class and kind, newest first. A trial's are of trials only.
    fn rows(
        &self,
        views: &Views,
        kind_of: impl Fn(&str) -> ApplyKind,
    ) -> Result<Vec<ApplyFormRow>, Failure> {
        let mut newest: BTreeMap<(String, Position), ApplyFormRow> = BTreeMap::new();
        let mut seen = 0;
        for found_by in FOUND_BY {
            let mut visit = |row: ApplyFormRow| {
                seen += 1;
                let content = &row.content;
                let is_asked = row.test == self.is_trial
                    && BusinessType::of_class(&content.patient_class) == self.asked.business_type
                    && kind_of(&content.exam_class) == self.asked.kind;
                if is_asked {
                    let time = match content.req_time.as_str() {
                        "" => row.came_on.clone(),
                        time => time.to_owned(),
                    };
                    newest.insert((time, row.first_position), row);
                    if newest.len() > FORMS_LIMIT {
                        newest.pop_first();
                    }
                }
                match seen < SEEN_LIMIT {
                    true => Walk::On,
                    false => Walk::Stop,
                }
            };
            let number = &self.asked.medicare_code;
            views.visit_forms_with(found_by, &self.hospital.code, number, &mut visit)?;
        }
        if seen >= SEEN_LIMIT {
            let message = format!(
                "此号码的申请单超过 {SEEN_LIMIT} 张，不是一个病人的号码 (more than {SEEN_LIMIT} forms have this number: it is not one patient's)"
            );
            return Err(Failure::new(ErrorKind::Invalid, "too-many", message).at("medicarecode"));
        }
        Ok(newest.into_values().rev().collect())
    }

    fn told(
        &self,
        archive: &yingku_storage::archive::Archive,
        views: &Views,
        row: &ApplyFormRow,
    ) -> Result<JiweiForm, Failure> {
        let content = archive.form_content(row.position)?;
        let exams = views.exams_of_form(&row.key)?;
        let times = exams.into_iter().map(|exam| exam.exam_time);
        let Some(form) = &content.body.form else {
            // The record of a form that stands brought its content.
            let error = yingku_storage::archive::ContentError::Other(row.position);
            return Err(error.into());
        };
        Ok(JiweiForm::of_archive(&ToldForm {
            form,
            apply_no: &row.key.apply_no,
            source: content.source,
            state: views.form_progress(row)?.state,
            exam_time: times.filter(|time| !time.is_empty()).min(),
            kind: self.asked.kind,
            asked: &self.asked,
        }))
    }
}

/// What the document says of the wire.
pub fn describe_wire() -> String {
    format!(
        "报文为 AES/ECB/PKCS5Padding 密文的 Base64：可为请求体本身、JSON 文本、{{\"param\":\"…\"}} 或表单字段 param；请求至多 {REQUEST_LIMIT_BYTES} 字节，应答至多 {ANSWER_LIMIT_BYTES} 字节、{FORMS_LIMIT} 张申请单，新者在前。明文格式见 x-clear-text。无可用密钥时答 HTTP 401 与明文 JSON。(Base64 of the cipher text: as the body, a JSON text, {{\"param\":…}} or the form field param. The clear texts are in x-clear-text. Without a key the answer is HTTP 401 in clear JSON.)"
    )
}
