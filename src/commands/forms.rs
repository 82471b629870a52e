//! `yingku forms …`

use std::process::ExitCode;

use clap::{Args, Subcommand};
use yingku_core::ids::{HospitalCode, StudyUid};

use super::{Place, hospital, study_uid};
use crate::operate::{FormRegistered, FormsAsked, OpenAfter, Operation, Ruling, TurnaroundAsked};

#[derive(Debug, Subcommand)]
pub enum FormsCommand {
    /// 申请单及其进展 (forms and how far they have come)
    List(ListAsked),
    /// 由申请单登记检查，或给已如此登记的检查添一个 Study (register a form's exam without a push, or add a study to it)
    ///
    /// 用于没有推送的医院（场景三）：影像的检查号或 Study UID 与申请单对不上时。医院此后推送该检查，即为其内容。
    /// (For hospitals that push nothing, where images match no form by themselves. A push that comes later is the exam's content.)
    Register(RegisterAsked),
    /// 从申请到检查、报告要多久，按申请日期 (how long it takes to exam and report, by day of request)
    ///
    /// 申请：申请单上的申请时间。登记：第一次推送到达的时间，只推送完成检查的医院会晚。检查：推送内容中的检查时间。
    /// 报告：报告确认的推送到达的时间。(Requested: as the form says. Registered: when the first push came, which is late for
    /// hospitals that push finished exams only. Examined: as the push says. Reported: when the push of the confirmed report
    /// came. Median and 90th percentile in minutes.)
    Turnaround {
        #[arg(value_parser = hospital, value_name = "医院代码")]
        hospital: HospitalCode,
        /// 申请日期，首日 (first day) YYYY-MM-DD
        #[arg(long, value_name = "日期")]
        from: String,
        /// 末日，含 (last day, inclusive)
        #[arg(long, value_name = "日期")]
        to: String,
        /// 输出 CSV (as CSV)
        #[arg(long)]
        csv: bool,
        #[command(flatten)]
        place: Place,
    },
}

#[derive(Debug, Args)]
pub struct ListAsked {
    #[arg(value_parser = hospital, value_name = "医院代码")]
    hospital: HospitalCode,
    /// 申请日期，首日 (first day of the request)；与 --open-after 同用时为计划日期 (of the plan, with --open-after)
    #[arg(long, value_name = "日期", requires = "to")]
    from: Option<String>,
    /// 末日，含 (last day, inclusive)
    #[arg(long, value_name = "日期", requires = "from")]
    to: Option<String>,
    /// 只列计划时间过后若干小时仍无检查的；不写小时数则按登记的 form_overdue_hours (only those without an exam so many hours
    /// after the planned time; none: as the registry has it)
    #[arg(long, value_name = "小时", num_args = 0..=1)]
    open_after: Option<Option<u32>>,
    #[command(flatten)]
    place: Place,
}

#[derive(Debug, Args)]
pub struct RegisterAsked {
    #[arg(value_parser = hospital, value_name = "医院代码")]
    hospital: HospitalCode,
    /// 申请单号，不带前缀 (without its prefix)
    #[arg(value_name = "申请单号")]
    apply_no: String,
    /// 影像的 Study UID；不写即工作列表给出的那个 (of its images; none: the one that the worklist gives out)
    #[arg(long, value_parser = study_uid, value_name = "STUDY_UID")]
    study: Option<StudyUid>,
    /// 影像的 PatientID；不写即申请单的病人ID (of its images; none: the patient's number of the form)
    #[arg(long, value_name = "PATIENT_ID")]
    patient_id: Option<String>,
    /// 理由 (why)
    #[arg(long, value_name = "理由")]
    reason: String,
    /// 登记人 (who registers it)
    #[arg(long, value_name = "姓名")]
    author: String,
    #[command(flatten)]
    place: Place,
}

impl FormsCommand {
    pub async fn run(self) -> anyhow::Result<ExitCode> {
        match self {
            Self::List(list) => {
                let asked = FormsAsked {
                    hospital: list.hospital,
                    days: list.from.zip(list.to),
                    open_after: list.open_after.map(|hours| match hours {
                        Some(hours) => OpenAfter::Hours(hours),
                        None => OpenAfter::Usual,
                    }),
                };
                list.place.run(Operation::Forms { asked }).await
            }
            Self::Register(asked) => {
                let ruling = Ruling::new(&asked.reason, &asked.author)?;
                let form = FormRegistered {
                    hospital: asked.hospital,
                    apply_no: asked.apply_no,
                    study: asked.study,
                    patient_id: asked.patient_id,
                };
                asked
                    .place
                    .run(Operation::FormRegister { form, ruling })
                    .await
            }
            Self::Turnaround {
                hospital,
                from,
                to,
                csv,
                place,
            } => {
                let asked = TurnaroundAsked {
                    hospital,
                    from,
                    to,
                    csv,
                };
                place.run(Operation::Turnaround { asked }).await
            }
        }
    }
}
