//! `Exam`: what is to be examined, by whom, and for whom. Money is named by what it means (R13): `Charge` is what is
//! due here, and `Cost` what was paid.

use super::super::xml::Element;
use super::items::{self, FormItem, Sample};
use super::reader::Reader;
use super::record::{Coded, record};
use super::table::EXAM;
use super::values::Values;
use crate::time::LocalDateTime;

record! {
    /// 检查申请; its number is [`super::ApplyFormBody::apply_no`].
    FormExam {
        /// 就诊医院名称, with the code of its 院区
        hospital_name: Option<Coded> = "HospitalName",
        /// 挂号号
        out_reg_no: Option<String> = "OutRegNo",
        /// 检查时间
        exam_time: Option<LocalDateTime> = "ExamTime",
        /// 检查类别, as written
        exam_class: String = "ExamClass",
        /// 检查子类
        exam_sub_class: Option<String> = "ExamSubClass",
        /// 优先级别, in words
        priority_order: String = "PriorityOrder",
        /// 检查项目, at least one
        items: Vec<FormItem> = "ExamItems",
        /// 检查部位
        organs: Vec<String> = "ExamOrgan",
        /// 标本, without those that say nothing
        samples: Vec<Sample> = "Samples",
        /// 检查设备
        device: Option<String> = "Device",
        /// 检查组
        exam_group: Option<String> = "ExamGroup",
        /// 检查科室
        perform_dept: Option<Coded> = "PerformDept",
        /// 检查技师
        technician: Option<Coded> = "Technican",
        /// 申请院区
        req_hospital: Coded = "ReqHospital",
        /// 申请病区
        req_ward: Option<Coded> = "ReqWard",
        /// 申请科室
        req_dept: Coded = "ReqDept",
        /// 申请医师, with 工号
        req_physician: Coded = "ReqPhysician",
        /// 预约时间
        scheduled_time: Option<LocalDateTime> = "ScheduledTime",
        /// 申请时间; none only of forms of 基卫, which may leave it out.
        #[serde(with = "crate::time::optional")]
        req_time: Option<LocalDateTime> = "ReqTime",
        /// 体征
        phys_sign: Option<String> = "PhysSign",
        /// 临床症状
        clin_symp: Option<String> = "ClinSymp",
        /// 临床诊断
        clin_diag: Option<String> = "ClinDiag",
        /// 随访记录
        revisit: Option<String> = "Revisit",
        /// 应收费用, yuan with two decimals
        due: String = "Charge",
        /// 实收费用, yuan with two decimals
        paid: String = "Cost",
        /// 收费标识: 0 未收费, 1 已收费
        charge_flag: String = "ChargeFlag",
        /// 检查备注
        memo: Option<String> = "Memo",
        /// 检查记录
        exam_record: Option<String> = "ExamRecord",
        /// 其他诊断
        relevant_diag: Option<String> = "RelevantDiag",
        /// 相关化验结果
        relevant_lab_test: Option<String> = "RelavantLabTest",
        /// 检查目的
        exam_motive: Option<String> = "ExamMotive",
        /// 病史病历
        med_record: Option<String> = "MedRecord",
        /// 运送工具
        trans_tool: Option<String> = "TransTool",
        /// 是否病重: `1` is yes, whatever else no.
        is_critical: Option<String> = "IsCritical",
        /// 保留字段1
        reserve1: Option<String> = "Reserve1",
        /// 保留字段2
        reserve2: Option<String> = "Reserve2",
        /// 保留字段3
        reserve3: Option<String> = "Reserve3",
    }
}

/// Reads all of it; `ApplyNo` is among the values, too.
pub(super) fn read(reader: &mut Reader, element: &Element) -> Values {
    let mut values = reader.fields(&EXAM, element, "Exam");
    items::read(reader, element, &mut values);
    values
}
