//! A push as types, one struct an object of `fields/exam_push.tsv`. Made of the canonical form only, so the making cannot
//! fail once the check has passed. No `Debug` but [`ExamPush`]'s, which shows numbers of hospital and exam.

use std::fmt;

use super::super::json::Json;
use super::status::ExamStatus;
use crate::ids::{ExamNo, HospitalCode, StudyUid};
use crate::time::{LocalDate, LocalDateTime};

/// How a type is made of a canonical value; none where a required one is absent or not of its form.
trait FromCanonical: Sized {
    fn from_canonical(value: Option<&Json<'_>>) -> Option<Self>;
}

/// Declares the struct of one object and how it is made.
macro_rules! record {
    ($(#[$doc:meta])* $name:ident { $($(#[$field_doc:meta])* $field:ident: $kind:ty = $key:literal,)* }) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq)]
        pub struct $name {
            $($(#[$field_doc])* pub $field: $kind,)*
        }

        impl $name {
            /// The contract's keys of this object.
            #[cfg(test)]
            const KEYS: &[&str] = &[$($key),*];
        }

        impl FromCanonical for $name {
            fn from_canonical(value: Option<&Json<'_>>) -> Option<Self> {
                let value = value?;
                Some(Self { $($field: FromCanonical::from_canonical(value.get($key))?,)* })
            }
        }
    };
}

record! {
    /// One examination with its patient, reports and images.
    ExamPush {
        /// 医院内部检查唯一流水号
        exam_no: ExamNo = "examNo",
        /// 数据来源医院，医院代码，由平台统一分配
        hospital_code: HospitalCode = "hospitalCode",
        /// 患者基本信息
        patient_info: PatientInfo = "patientInfo",
        /// 检查信息
        exam_info: ExamInfo = "examInfo",
        /// 报告信息
        report_list: Vec<Report> = "reportList",
        /// 检查影像信息,为json数组
        image_list: Vec<Image> = "imageList",
    }
}

record! {
    /// 患者基本信息
    PatientInfo {
        /// 院内患者id
        sick_id: String = "sickId",
        /// 诊疗卡号
        card_no: Option<String> = "cardNo",
        /// 社保号
        si_card: Option<String> = "siCard",
        /// 医保号
        mi_card: Option<String> = "miCard",
        /// 患者来源/就诊类型 门诊 急诊 住院 体检 其他
        patient_source: Option<String> = "patientSource",
        /// 住院号
        inpatient_no: Option<String> = "inpatientNo",
        /// 门诊号
        out_patient_no: Option<String> = "outPatientNo",
        /// 床号
        bedno: Option<String> = "bedno",
        /// 患者姓名
        name: String = "name",
        /// 性别 男、女、其他
        sex: String = "sex",
        /// 年龄 7岁/7月/7天
        age: Option<String> = "age",
        /// 病人出生日期(YYYY-MM-DD)
        birth_date: Option<LocalDate> = "birthDate",
        /// 身高 cm
        height: Option<String> = "height",
        /// 体重 kg
        weight: Option<String> = "weight",
        /// 籍贯，如广东省东莞市
        native_place: Option<String> = "nativePlace",
        /// 国籍，如中国
        nationality: Option<String> = "nationality",
        /// 民族
        nation: Option<String> = "nation",
        /// 地址
        address: Option<String> = "address",
        /// 邮编
        zip_code: Option<String> = "zipCode",
        /// 手机
        phone_number: Option<String> = "phoneNumber",
        /// 婚姻状况 0：未婚 1：已婚
        marital_status: Option<String> = "maritalStatus",
        /// ID号,多个为json数组
        identity: Vec<Identity> = "identity",
        /// 身份，如军人
        degree: Option<String> = "degree",
        /// 费别，使用代码，0：医保、1：公费、2：新农合、3：自费、4：其他
        charge_type: Option<String> = "chargeType",
        /// 备注信息，如：没有家族病史
        patient_memo: Option<String> = "patientMemo",
    }
}

record! {
    /// 证件
    Identity {
        /// 1.居民身份证 2.港澳居民来往内地通行证 3.台湾居民来往大陆通行证 4.护照 5.军官证 6.出生证 7.驾驶证 8.残疾证 9.医保卡 10.市民卡 11.其它 99.其他
        id_type: Option<String> = "idType",
        /// 如上如：居民身份证
        id_name: Option<String> = "idName",
        /// 号码：440786198001012839
        id_number: Option<String> = "idNumber",
    }
}

record! {
    /// 检查信息
    ExamInfo {
        /// 院内申请单号，如：00000001，必填，基卫通过申请单查看报告和影像
        apply_no: String = "applyNo",
        /// 检查号，如：CT000001
        patient_id: String = "patientID",
        /// 检查状态 收到影像(50) 初步报告(60) 审核退回(65) 确认报告(70)
        exam_status: ExamStatus = "examStatus",
        /// 检查时间 YYYY-MM-DD HH24:MI:SS
        exam_time: LocalDateTime = "examTime",
        /// 检查类别，如：CT
        exam_class: String = "examClass",
        /// 检查子类，如：脊椎
        exam_sub_class: Option<String> = "examSubClass",
        /// 见通用字典
        common_name: Option<String> = "commonName",
        /// 检查项目,多个为json数组
        exam_item_list: Vec<ExamItem> = "examItemList",
        /// 检查部位,多个为json数组，顺序与项目一致
        exam_organ_list: Vec<ExamOrgan> = "examOrganList",
        /// 检查设备,如：320排CT
        device: Option<String> = "device",
        /// 执行科室代码
        perform_dept_code: Option<String> = "performDeptCode",
        /// 执行科室名称
        perform_dept_name: Option<String> = "performDeptName",
        /// 技师工号
        technican_code: Option<String> = "technicanCode",
        /// 技师名称
        technican_name: Option<String> = "technicanName",
        /// 申请诊断医院代码，同hospitalCode
        req_hospital_code: String = "reqHospitalCode",
        /// 申请诊断医院名称
        req_hospital_name: String = "reqHospitalName",
        /// 申请诊断病区代码
        req_ward_code: Option<String> = "reqWardCode",
        /// 申请诊断病区名称
        req_ward_name: Option<String> = "reqWardName",
        /// 申请诊断科室代码
        req_dept_code: Option<String> = "reqDeptCode",
        /// 申请诊断科室名称
        req_dept_name: Option<String> = "reqDeptName",
        /// 申请诊断医生工号
        req_physician_code: Option<String> = "reqPhysicianCode",
        /// 申请诊断医生名称
        req_physician_name: Option<String> = "reqPhysicianName",
        /// 申请时间
        req_time: Option<LocalDateTime> = "reqTime",
        /// 预约检查
        scheduled_time: Option<LocalDateTime> = "scheduledTime",
        /// 体征，如：正常体征
        phys_sign: Option<String> = "physSign",
        /// 临床症状，如：胸闷
        clin_symp: Option<String> = "clinSymp",
        /// 临床诊断，如：正常
        clin_diag: Option<String> = "clinDiag",
        /// 临床诊断时间YYYY-MM-DD HH24:MI:SS
        clin_diag_time: Option<LocalDateTime> = "clinDiagTime",
        /// 应收费用
        cost: Option<String> = "cost",
        /// 实收费用
        charge: Option<String> = "charge",
        /// 收费标识 0未收费 1已收费
        charge_flag: Option<String> = "chargeFlag",
        /// 备注
        exam_memo: Option<String> = "examMemo",
        /// 标本编号，病理检查需上传
        specimen_number: Option<String> = "specimenNumber",
        /// 标本类别，病理检查需上传；参照检验标本类别字典表
        specimen_category: Option<String> = "specimenCategory",
        /// 标本采样日期时间，病理检查需上传，格式：YYYY-MM-DD HH24:MI:SS
        sample_time: Option<LocalDateTime> = "sampleTime",
        /// 接收标本日期时，病理检查需上传，格式YYYY-MM-DD HH24:MI:SS
        specimen_receive_time: Option<LocalDateTime> = "specimenReceiveTime",
        /// 标本固定液名称，病理检查需上传
        sample_fixative_name: Option<String> = "sampleFixativeName",
        /// 标本状态，理检查需上传
        specimen_status: Option<String> = "specimenStatus",
    }
}

record! {
    /// 检查项目
    ExamItem {
        /// 项目代码
        item_code: Option<String> = "itemCode",
        /// 项目名称
        item_name: String = "itemName",
        /// 项目价格,单价
        item_cost: Option<String> = "itemCost",
        /// 实收费用
        item_charge: Option<String> = "itemCharge",
        /// 医嘱号
        order_no: Option<String> = "orderNo",
    }
}

record! {
    /// 检查部位
    ExamOrgan {
        /// 部位名称
        organ_name: String = "organName",
    }
}

record! {
    /// 报告信息
    Report {
        /// 院内报告流水号
        report_no: Option<String> = "reportNo",
        /// 疾病信息,多个为json数组
        category: Vec<Category> = "category",
        /// 描述，检查所见
        description: Option<String> = "description",
        /// 印象(诊断)
        impression: Option<String> = "impression",
        /// 建议
        recommendation: Option<String> = "recommendation",
        /// 阳性标识 0为阴性；1为阳性
        ab_normal_flag: Option<String> = "abNormalFlag",
        /// 报告人 (姓名)
        reporter: Option<String> = "reporter",
        /// 报告时间 YYYY-MM-DD HH24:MI:SS
        report_time: Option<LocalDateTime> = "reportTime",
        /// 报告医生(姓名)
        affirm_reporter: Option<String> = "affirmReporter",
        /// 确认/审核时间 YYYY-MM-DD HH24:MI:SS
        affirm_time: Option<LocalDateTime> = "affirmTime",
        /// 打印时间 YYYY-MM-DD HH24:MI:SS
        print_time: Option<LocalDateTime> = "printTime",
        /// 报告图像,多张图像为json数组
        report_image: Vec<ReportImage> = "reportImage",
    }
}

record! {
    /// 疾病信息
    Category {
        /// 疾病ICD类型
        ca_type: Option<String> = "caType",
        /// 疾病ICD编码
        ca_code: Option<String> = "caCode",
        /// 疾病名称
        ca_name: Option<String> = "caName",
    }
}

record! {
    /// 报告图像
    ReportImage {
        /// BMP/JPG/DICOM
        rpt_img_type: Option<String> = "rptImgType",
        /// 图像相对路径，如RptImg0.jpg
        rpt_img_path: Option<String> = "rptImgPath",
        /// 图像部位，如胃体，胃底
        rpt_img_pos: Option<String> = "rptImgPos",
        /// 图像描述,如：溃疡
        rpt_img_desc: Option<String> = "rptImgDesc",
        /// 图像唯一号
        sop_instance_uid: Option<String> = "sopInstanceUID",
    }
}

record! {
    /// 检查影像信息
    Image {
        /// DICOM
        image_type: Option<String> = "imageType",
        /// 图像数量
        image_count: Option<u32> = "imageCount",
        /// 检查设备类型 DX/CT/MR/XA/NM/US/ES/GM
        modality: Option<String> = "modality",
        /// 检查号，如：CT000001，同examInfo中patientID
        patient_id: String = "patientID",
        /// Study唯一号,如：1.2.84.12345.6789，图像中的studyInstanceUid
        study_uid: StudyUid = "studyUID",
        /// 图像中的AccessionNumber
        accession_no: Option<String> = "accessionNo",
        /// 图像在第三方pacs存储中的相对路径（共享/FTP）
        store_path: Option<String> = "storePath",
        /// 图像在第三方pacs存储的影像库的代码（共享、ftp）
        store_code: Option<String> = "storeCode",
        /// 如有可以直接调阅的影像地址，填此项
        image_url: Option<String> = "imageUrl",
    }
}

impl ExamPush {
    /// Makes the types of canonical JSON that the check has passed.
    pub(super) fn from_json(json: &Json<'_>) -> Option<Self> {
        FromCanonical::from_canonical(Some(json))
    }

    /// Reads the JSON of an event again.
    pub fn from_canonical(json: &[u8]) -> Option<Self> {
        Self::from_json(&Json::parse(std::str::from_utf8(json).ok()?).ok()?)
    }
}

impl fmt::Debug for ExamPush {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ExamPush")
            .field("hospital", &self.hospital_code)
            .field("exam_no", &self.exam_no)
            .finish_non_exhaustive()
    }
}

impl FromCanonical for String {
    fn from_canonical(value: Option<&Json<'_>>) -> Option<Self> {
        value?.as_text().map(str::to_owned)
    }
}

macro_rules! from_text {
    ($($name:ty: $read:expr;)*) => {
        $(impl FromCanonical for $name {
            fn from_canonical(value: Option<&Json<'_>>) -> Option<Self> {
                let read: fn(&str) -> Option<Self> = $read;
                read(value?.as_text()?)
            }
        })*
    };
}
from_text! {
    LocalDateTime: |text| LocalDateTime::parse(text).ok();
    LocalDate: |text| LocalDate::parse(text).ok();
    HospitalCode: |text| HospitalCode::new(text).ok();
    ExamNo: |text| ExamNo::new(text).ok();
    StudyUid: |text| StudyUid::new(text).ok();
    ExamStatus: ExamStatus::from_recorded;
    u32: |text| text.parse().ok();
}

/// An absent value is none; so is one that a rule set to warn let through and that is not of its form.
impl<T: FromCanonical> FromCanonical for Option<T> {
    fn from_canonical(value: Option<&Json<'_>>) -> Option<Self> {
        Some(T::from_canonical(value))
    }
}

impl<T: FromCanonical> FromCanonical for Vec<T> {
    fn from_canonical(value: Option<&Json<'_>>) -> Option<Self> {
        value
            .map_or(&[][..], Json::items)
            .iter()
            .map(|item| T::from_canonical(Some(item)))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::fields::{EXAM_PUSH, Field};
    use super::*;

    fn keys_of(path: &str) -> Vec<String> {
        let below = |field: &Field| {
            field
                .children
                .iter()
                .map(|child| child.name.clone())
                .collect()
        };
        let mut keys: Vec<String> = below(&EXAM_PUSH);
        EXAM_PUSH.walk(&mut |field| {
            if field.path == path {
                keys = below(field);
            }
        });
        keys.sort();
        keys
    }

    #[test]
    fn every_field_of_the_table_has_its_place_in_the_types() {
        for (path, keys) in [
            ("", ExamPush::KEYS),
            ("patientInfo", PatientInfo::KEYS),
            ("patientInfo.identity", Identity::KEYS),
            ("examInfo", ExamInfo::KEYS),
            ("examInfo.examItemList", ExamItem::KEYS),
            ("examInfo.examOrganList", ExamOrgan::KEYS),
            ("reportList", Report::KEYS),
            ("reportList[].category", Category::KEYS),
            ("reportList[].reportImage", ReportImage::KEYS),
            ("imageList", Image::KEYS),
        ] {
            let mut keys = keys.to_vec();
            keys.sort_unstable();
            assert_eq!(keys, keys_of(path), "{path}");
        }
    }
}
