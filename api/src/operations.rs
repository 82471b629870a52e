//! The one table of operations: addresses, who may call them, what does the work, and what OpenAPI says of them.

use futures::future::BoxFuture;
use serde_json::Value;
use yingku_core::registry::Right;

use crate::call::Call;
use crate::envelope::Answer;
use crate::error::Failure;
use crate::rest::supervision::{completeness, load, missing, positive, repeat, timeliness};
use crate::rest::{
    apply_fetch, apply_list, apply_query, apply_turnaround, citation, detail, feed, get_token,
    history, index_list, index_query, index_resolve, patient_records, push, query, reconcile,
    search, upload_detail, upload_statistics, validate, withdraw,
};

/// Who may call an operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    Open,
    /// Who has an app's key of 基卫: bodies are enciphered both ways (contract §1), and the address may go on with the
    /// app's id (R11).
    Key,
    /// With one of these rights.
    Token(&'static [Right]),
}

const PUSH: Access = Access::Token(&[Right::Push]);
const READ: Access = Access::Token(&[Right::Read]);
const PUSH_OR_READ: Access = Access::Token(&[Right::Push, Right::Read]);
/// Whom statistics are for: who may read an exam, and supervision.
const READ_OR_SUPERVISE: Access = Access::Token(&[Right::Read, Right::Supervise]);

const CITE: Access = Access::Token(&[Right::Cite]);
const READ_OR_CITE: Access = Access::Token(&[Right::Read, Right::Cite]);
const SUPERVISE: Access = Access::Token(&[Right::Supervise]);

/// Which HTTP statuses answers have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Statuses {
    /// As R2 says: 200 throughout, but for a few.
    #[default]
    Contract,
    /// HTTP's own: of the interfaces for readers, whose clients are new.
    Http,
}

type Handler = fn(Call) -> BoxFuture<'static, Result<Answer, Failure>>;

pub struct Operation {
    /// Without context.
    pub path: &'static str,
    pub title: &'static str,
    /// What it does, Chinese first.
    pub summary: &'static str,
    pub access: Access,
    pub statuses: Statuses,
    pub handler: Handler,
    /// JSON schemas of the request and of `result`; of enciphered bodies, of their clear texts.
    pub request: fn() -> Value,
    pub result: fn() -> Value,
    /// A request that works in the demo.
    pub example: &'static str,
    /// It may be answered by a file.
    pub downloads: bool,
}

macro_rules! operation {
    ($path:literal, $title:literal, $access:expr, $module:ident, $summary:literal) => {
        Operation {
            path: $path,
            title: $title,
            summary: $summary,
            access: $access,
            statuses: Statuses::Contract,
            handler: |call| Box::pin($module::handle(call)),
            request: $module::request_schema,
            result: $module::result_schema,
            example: $module::EXAMPLE,
            downloads: false,
        }
    };
}

/// A question of supervision.
macro_rules! supervision {
    ($path:literal, $title:literal, $module:ident, $summary:literal) => {
        Operation {
            statuses: Statuses::Http,
            downloads: true,
            ..operation!($path, $title, SUPERVISE, $module, $summary)
        }
    };
}

pub static OPERATIONS: &[Operation] = &[
    operation!(
        "/v1/auth/getToken",
        "获取令牌",
        Access::Open,
        get_token,
        "以 RSA 公钥加密的 sign 换取令牌，有效两小时 (a token for a sign; valid for two hours)"
    ),
    operation!(
        "/v1/exam/push",
        "检查归档",
        PUSH,
        push,
        "推送一个检查及其患者、报告、影像信息 (one examination with its patient, reports and images)"
    ),
    operation!(
        "/v1/exam/validate",
        "检查归档预校验",
        PUSH,
        validate,
        "只校验不归档，列出全部错误与提醒 (a push's dry run: every fault and warning named)"
    ),
    operation!(
        "/v1/exam/uploadStatistics",
        "应上传统计",
        PUSH,
        upload_statistics,
        "按医院、日期、检查类别申报应上传检查数，整批接收或整批拒绝 (how many exams should have come; taken or refused as a whole)"
    ),
    operation!(
        "/v1/exam/uploadDetail",
        "应上传明细",
        PUSH,
        upload_detail,
        "申报统计所含的每个检查（扩展接口） (which exams a declaration counts; our extension)"
    ),
    operation!(
        "/v1/exam/query",
        "检查查询",
        READ,
        query,
        "按医院、检查号、申请单号、患者号、检查UID、日期、类别、状态分页查询 (exams by number, study, date, class, status; paged)"
    ),
    Operation {
        statuses: Statuses::Http,
        ..operation!(
            "/v1/exam/search",
            "检索",
            READ,
            search,
            "一个输入框：姓名、拼音、号码、ICD 编码、报告词句；可按医院、日期、类别等筛选与计数 (one text box over names, pinyin, numbers, codes and reports; filters and facets)"
        )
    },
    Operation {
        statuses: Statuses::Http,
        ..operation!(
            "/v1/patient/records",
            "患者跨院检查",
            READ,
            patient_records,
            "一个患者在各医院的检查：按检查、院内患者号或证件、卡号查询；只凭有效的证件与卡号跨院关联，姓名、性别、出生日期不符的不关联，并说明由哪个号码关联 (one patient's exams over all hospitals, and which number joined what)"
        )
    },
    operation!(
        "/v1/exam/detail",
        "检查内容",
        READ,
        detail,
        "一个检查的当前内容与影像状态 (one exam's current content and images)"
    ),
    operation!(
        "/v1/exam/history",
        "检查历史",
        READ,
        history,
        "一个检查的全部版本、到达时间与变更位置；asOf 指定时刻 (every version, when it came and what changed)"
    ),
    Operation {
        statuses: Statuses::Http,
        ..operation!(
            "/v1/report/citation",
            "影像结果引用",
            CITE,
            citation,
            "按检查、申请单或 Study 引用检查结果：报告、诊断、关键图像、调阅地址、版本与状态；asOf 指定时刻 (an exam's result to be cited: report, diagnoses, key images, viewer, version and state)"
        )
    },
    Operation {
        statuses: Statuses::Http,
        ..operation!(
            "/v1/feed",
            "变更订阅",
            READ,
            feed,
            "按日志顺序从游标起列出有变更的检查及其现状，撤回的只给检查号；据此可保有区域检查的副本，可续传，至少送达一次 (exams that changed since a cursor, as they stand now, and those that are gone: what a copy of the region follows; resumable, at least once)"
        )
    },
    operation!(
        "/v1/statistics/reconcile",
        "对账",
        READ,
        reconcile,
        "申报数与归档情况对比：按医院、日期、类别；asOf 指定时刻 (declared against archived, by hospital, date and class)"
    ),
    operation!(
        "/v1/apply/list",
        "申请单查询",
        READ_OR_SUPERVISE,
        apply_list,
        "按申请日期列出申请单及其进展，或列出超时未检的 (apply forms and how far they have come, or those without an exam after a set time; paged)"
    ),
    operation!(
        "/v1/apply/turnaround",
        "申请单时效",
        READ_OR_SUPERVISE,
        apply_turnaround,
        "按申请日期统计从申请到检查、报告的时间 (how long it takes from the form to exam and report, by day)"
    ),
    supervision!(
        "/v1/statistics/completeness",
        "完整性统计",
        completeness,
        "监管：申报、登记、报告、影像、申请单的数量，按日期、月份、医院、类别分组，口径同对账；可下载 CSV、XLSX (declared, archived, complete: as reconciliation counts; as a file too)"
    ),
    supervision!(
        "/v1/statistics/timeliness",
        "及时性统计",
        timeliness,
        "监管：申请、检查、推送、首图、报告之间的时间，分位数与时限内占比；补取的与时间有误的检查另计 (how long each step takes: percentiles, and the share within limits)"
    ),
    supervision!(
        "/v1/statistics/positive",
        "阳性率统计",
        positive,
        "监管：已确认报告的阳性率，可按医院、类别、设备、医生等分组 (positive rates of confirmed reports)"
    ),
    supervision!(
        "/v1/statistics/load",
        "工作量统计",
        load,
        "监管：设备、技师、医生的工作量，按时段；可再按日期、医院、类别分组 (what devices and persons did, by the hours of the day)"
    ),
    supervision!(
        "/v1/statistics/repeat",
        "重复检查统计",
        repeat,
        "监管：同一患者（按证件、医保卡）若干天内在另一医院做同类别同部位检查的数量，举例只给检查号 (the same patient, class and part within days at another hospital; exam numbers only)"
    ),
    supervision!(
        "/v1/statistics/missing",
        "缺失清单",
        missing,
        "监管：已申报而未推送、影像缺失或不全、逾时无确认报告的检查，分页 (declared and not here, without images, without a report after a set time; paged)"
    ),
    Operation {
        statuses: Statuses::Http,
        ..operation!(
            "/v1/index/query",
            "影像云索引查询",
            READ_OR_CITE,
            index_query,
            "一个检查的医保影像云索引、状态及不完整的原因 (an exam's national imaging index, how it stands and what lacks)"
        )
    },
    Operation {
        statuses: Statuses::Http,
        ..operation!(
            "/v1/index/resolve",
            "影像云索引解析",
            CITE,
            index_resolve,
            "由医保影像云索引找到检查与影像地址；已替换、已收回的如实说明 (the exam that an index leads to; replaced and withdrawn ones are said to be)"
        )
    },
    Operation {
        statuses: Statuses::Http,
        ..operation!(
            "/v1/index/list",
            "影像云索引统计",
            SUPERVISE,
            index_list,
            "按检查日期统计并列出索引各状态的检查 (how many exams are in each state, and which; paged)"
        )
    },
    operation!(
        "/v1/exam/withdraw",
        "撤回检查",
        PUSH,
        withdraw,
        "撤回一个检查：立即不可见，历史保留 (hides an exam at once; nothing is destroyed)"
    ),
    operation!(
        "/v1/apply/fetch",
        "向基卫取申请单",
        PUSH_OR_READ,
        apply_fetch,
        "平台按卡号向医院的基卫查询申请单，逐张归档并返回结果；已由 HIS 以 SOAP 发送的不被覆盖 (asks the hospital's 基卫 for a patient's apply forms and records each; those that a HIS has sent by SOAP stay as they are)"
    ),
    operation!(
        "/v1/apply/query",
        "申请单查询（基卫格式）",
        Access::Key,
        apply_query,
        "医院 PACS 按卡号查询申请单，报文与基卫影像申请单接口相同：AES/ECB/PKCS5Padding 加密后 Base64，应答与失败亦加密；密钥由地址中的应用代码或来源地址确定 (a PACS asks for apply forms by card number as it asks 基卫; the key is that of the app in the address, or of the caller's address)"
    ),
];

/// The operation of an address without context, and what follows it.
pub fn operation_of(path: &str) -> Option<(&'static Operation, Option<&str>)> {
    OPERATIONS.iter().find_map(|one| {
        let rest = path.strip_prefix(one.path)?;
        match rest.strip_prefix('/') {
            None if rest.is_empty() => Some((one, None)),
            Some(app) if one.access == Access::Key && !app.contains('/') => Some((one, Some(app))),
            _ => None,
        }
    })
}

impl Operation {
    /// One name for each: the last word of its address, where that is no other's.
    pub fn id(&self) -> String {
        let last = self.path.rsplit('/').next().unwrap_or_default();
        let module = ["apply", "index"].into_iter().find(|module| {
            let rest = self.path.strip_prefix("/v1/");
            rest.is_some_and(|rest| rest.split('/').next() == Some(*module))
        });
        match module {
            None => last.to_owned(),
            Some(module) => {
                let (first, rest) = last.split_at(1);
                format!("{module}{}{rest}", first.to_ascii_uppercase())
            }
        }
    }
}
