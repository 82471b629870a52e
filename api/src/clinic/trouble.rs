//! Why there is no page, in words that a clinician understands, with whom to ask; the true reason goes to the operator's
//! error digest.

use axum::body::Body;
use axum::http::{Response, StatusCode};
use yingku_core::contract::clinic::{NumberFault, QueryFault};
use yingku_core::outcome::ErrorKind;

use super::page::{self, Frames};
use crate::error::{Failure, Note, http_of};

/// What stands in the way of a page.
#[derive(Debug)]
pub enum Trouble {
    /// Only GET and HEAD.
    Method,
    /// The address was written wrongly; what is wrong, Chinese first.
    Question {
        rule: &'static str,
        said: String,
    },
    /// A number without prefix, and nothing says whose it is.
    NoHospital,
    /// Behind a proxy that does not say from where.
    AddressUnknown,
    /// On no list; shown, so that it can be put on one.
    AddressForbidden {
        address: String,
        hospital: String,
    },
    /// The signature does not fit, or its app may not; why goes to the digest.
    LinkWrong {
        app: String,
        why: &'static str,
    },
    LinkExpired {
        server_time: String,
    },
    /// Good for longer than a link may be.
    LinkTooLong {
        app: String,
    },
    /// The link's app has nothing to do with the hospital.
    LinkForbidden {
        app: String,
        hospital: String,
    },
    /// Another hospital's exams, and the link does not say why.
    WantsReason,
    NoExam,
    SeveralPatients,
    TooManyExams,
    NoImages,
    NoVersion,
    Busy,
    Failed(Box<Failure>),
}

/// What a page of trouble says.
pub struct Said {
    pub http: StatusCode,
    pub title: &'static str,
    pub what: String,
    /// What to do, or whom to ask.
    pub next: &'static str,
}

const ASK_IT: &str = "请联系本院信息科；由信息科与区域影像平台管理员核对。";
const ASK_VENDOR: &str =
    "请从 HIS 或电子病历重新打开；仍不行请告知本院信息科，由 HIS 厂商核对调阅地址。";

impl Trouble {
    pub fn query(fault: QueryFault) -> Self {
        Self::Question {
            rule: "clinic-query",
            said: fault.to_string(),
        }
    }

    pub fn number(fault: NumberFault) -> Self {
        Self::Question {
            rule: "clinic-number",
            said: fault.to_string(),
        }
    }

    pub fn response(&self, frames: &Frames) -> Response<Body> {
        let said = self.said();
        let http = said.http;
        page::response(http, page::trouble(&said), frames)
    }

    /// What a clinician reads.
    fn said(&self) -> Said {
        let said = |http, title, what: &str, next| Said {
            http,
            title,
            what: what.to_owned(),
            next,
        };
        match self {
            Self::Method => said(
                StatusCode::METHOD_NOT_ALLOWED,
                "打开方式不对",
                "请以 GET 方式打开本页 (open this page with GET)。",
                ASK_VENDOR,
            ),
            Self::Question { said: what, .. } => {
                said(StatusCode::BAD_REQUEST, "调阅地址有误", what, ASK_VENDOR)
            }
            Self::NoHospital => said(
                StatusCode::BAD_REQUEST,
                "不知道是哪家医院的号码",
                "号码没有医院前缀（医院ID_号码），且无法由本机地址或链接得知医院。不跨医院按裸号查找 (the number has no prefix, and nothing says whose it is)。",
                ASK_VENDOR,
            ),
            Self::AddressUnknown => said(
                StatusCode::FORBIDDEN,
                "无法确认本机地址",
                "平台前的代理未告知访问者地址 (the proxy before the archive does not tell the caller's address)。",
                ASK_IT,
            ),
            Self::AddressForbidden { address, hospital } => {
                let whose = match hospital.is_empty() {
                    true => String::new(),
                    false => format!("{hospital}的"),
                };
                Said {
                    http: StatusCode::FORBIDDEN,
                    title: "本机不能直接调阅",
                    what: format!(
                        "本机地址 {address} 不在{whose}调阅地址名单中 (this address is not on the hospital's list)。"
                    ),
                    next: "请从 HIS 或电子病历中打开，或请本院信息科将本机网段报平台管理员登记。",
                }
            }
            Self::LinkWrong { .. } => said(
                StatusCode::FORBIDDEN,
                "链接无效",
                "链接的签名不符，或签发它的系统无权调阅 (the link is not valid)。",
                ASK_VENDOR,
            ),
            Self::LinkExpired { server_time } => Said {
                http: StatusCode::FORBIDDEN,
                title: "链接已过期",
                what: format!(
                    "为保护患者隐私，调阅链接只在短时间内有效；平台时间 {server_time} (the link has expired)。"
                ),
                next: "请回到 HIS 或电子病历重新打开。总是过期的，请告知本院信息科核对 HIS 服务器的时钟。",
            },
            Self::LinkTooLong { .. } => said(
                StatusCode::FORBIDDEN,
                "链接有效期过长",
                "链接的 expires 不得晚于 24 小时之后 (a link may be good for 24 hours at most)。",
                ASK_VENDOR,
            ),
            Self::LinkForbidden { .. } => said(
                StatusCode::FORBIDDEN,
                "无权调阅这家医院",
                "签发链接的系统没有调阅这家医院的权限 (the link's app has no right for this hospital)。",
                ASK_IT,
            ),
            Self::WantsReason => said(
                StatusCode::FORBIDDEN,
                "跨院调阅须说明理由",
                "这是其他医院的检查：链接须含 reason：visit 当前就诊、consent 患者同意、emergency 急诊抢救 (another hospital's exam: the link must say why)。",
                ASK_VENDOR,
            ),
            Self::NoExam => said(
                StatusCode::NOT_FOUND,
                "没有找到检查",
                "平台上没有与号码相符的检查：可能尚未检查，或检查科室尚未上传，或号码有误 (no exam has these numbers)。",
                "请核对号码，或向检查科室询问；刚做完的检查请稍后再看。",
            ),
            Self::SeveralPatients => said(
                StatusCode::CONFLICT,
                "号码对应多位患者",
                "所给号码对应一位以上患者，为免张冠李戴，不予显示 (the numbers lead to more than one patient)。",
                "请以患者ID（sick_id）或检查号（exam_no）重新打开，并将此情况告知本院信息科。",
            ),
            Self::TooManyExams => said(
                StatusCode::BAD_REQUEST,
                "检查过多",
                "与号码相符的检查过多，无法列出 (too many exams have these numbers)。",
                "请以检查号（exam_no）打开单个检查。",
            ),
            Self::NoImages => said(
                StatusCode::NOT_FOUND,
                "检查已撤回",
                "检查已撤回，影像不可调阅 (the exam is withdrawn)。",
                "有疑问请向检查科室询问。",
            ),
            Self::NoVersion => said(
                StatusCode::NOT_FOUND,
                "不能查看此版本",
                "没有这个版本，或它已撤回 (there is no such version, or it was taken back)。",
                "请返回查看当前版本。",
            ),
            Self::Busy => said(
                StatusCode::TOO_MANY_REQUESTS,
                "同时调阅的人过多",
                "请稍后刷新 (too many at once: reload later)。",
                "持续出现请联系平台管理员。",
            ),
            Self::Failed(failure) => Said {
                http: http_of(failure.kind),
                title: match failure.kind {
                    ErrorKind::Unavailable | ErrorKind::Full => "平台暂时不可用",
                    _ => "平台出错",
                },
                what: failure.message.clone(),
                next: "请稍后刷新；持续出现请联系平台管理员。急诊请直接致电检查科室。",
            },
        }
    }

    /// Lines for the error digest: no number of a patient is in them.
    pub fn notes(&self) -> Vec<Note> {
        let (rule, hospital, reason) = match self {
            Self::Question { rule, said } => (*rule, "", said.clone()),
            Self::NoHospital => ("clinic-hospital", "", self.said().what),
            Self::AddressUnknown => ("clinic-address-unknown", "", self.said().what),
            Self::AddressForbidden { hospital, .. } => {
                ("clinic-address", hospital.as_str(), self.said().what)
            }
            Self::LinkWrong { app, why } => ("clinic-link", "", format!("app {app:?}: {why}")),
            Self::LinkExpired { .. } => ("clinic-link-expired", "", self.said().what),
            Self::LinkTooLong { app } => (
                "clinic-link-life",
                "",
                format!("app {app}: {}", self.said().what),
            ),
            Self::LinkForbidden { app, hospital } => {
                let reason = format!("app {app}: {}", self.said().what);
                ("clinic-link-hospital", hospital.as_str(), reason)
            }
            Self::WantsReason => ("reason-required", "", self.said().what),
            Self::Busy => ("concurrency", "", self.said().what),
            Self::Failed(failure) => return failure.notes.clone(),
            // Somebody looked for what is not there: nothing is wrong with any system.
            Self::Method
            | Self::NoExam
            | Self::SeveralPatients
            | Self::TooManyExams
            | Self::NoImages
            | Self::NoVersion => {
                return Vec::new();
            }
        };
        vec![Note {
            rule: rule.to_owned(),
            path: String::new(),
            reason,
            hospital: hospital.to_owned(),
            example: String::new(),
        }]
    }
}

impl From<Failure> for Trouble {
    fn from(failure: Failure) -> Self {
        Self::Failed(Box::new(failure))
    }
}
