//! `Patient`: 病人, with one document of identity 证件 at most.

use super::super::xml::Element;
use super::reader::Reader;
use super::record::{Coded, FromValue, FromValues, record};
use super::table::{IDENTITY, PATIENT};
use super::values::{Value, Values};
use crate::time::LocalDate;

record! {
    /// 病人
    FormPatient {
        /// 病人ID, without its prefix; [`super::ApplyForm::sick_no_spelling`] has it as written.
        sick_no: String = "SickNo",
        /// 诊疗卡号
        card_no: Option<String> = "CardNo",
        /// 社保卡号
        si_card: Option<String> = "SiCard",
        /// 医保卡号
        mi_card: Option<String> = "MiCard",
        /// 健康卡号
        health_card: Option<String> = "HealthCard",
        /// 病人类别/来源: OU 门诊, IN 住院, …
        patient_class: Coded = "PatientClass",
        /// 住院号
        in_patient_no: Option<String> = "InPatientNo",
        /// 住院次数标识
        visit_id: Option<u32> = "VisitID",
        /// 床号
        bed_no: Option<String> = "BedNo",
        /// 门诊号
        out_patient_no: Option<String> = "OutPatientNo",
        /// 病人姓名
        name: String = "PatientName",
        /// 病人姓名拼音
        phoneticize: Option<String> = "Phoneticize",
        /// 出生日期; none only of forms of 基卫, which may leave it out.
        #[serde(with = "crate::time::optional")]
        birth_date: Option<LocalDate> = "BirthDate",
        /// 性别: 男, 女, 其他; anything else is flagged.
        sex: String = "Sex",
        /// 年龄, 7岁/7月/7天
        age: String = "Age",
        /// 身高
        height: Option<String> = "Height",
        /// 体重
        weight: Option<String> = "Weight",
        /// 籍贯
        native_place: Option<String> = "NativePlace",
        /// 国籍
        nationality: Option<String> = "Nationality",
        /// 民族
        nation: Option<String> = "Nation",
        /// 地址
        address: Option<String> = "Address",
        /// 邮编
        zip_code: Option<String> = "ZipCode",
        /// 电话号码
        phone_number: String = "PhoneNumber",
        /// 婚姻状况, in words
        marital_status: Option<String> = "MaritalStatus",
        /// 证件信息
        identity: Option<Identity> = "Identity",
        /// 病人身份
        degree: Option<String> = "Degree",
        /// 病人费别, in words
        charge_type: Option<String> = "ChargeType",
        /// 病人备注信息
        memo: Option<String> = "Memo",
        /// 月经情况, code of `menses_status.tsv`
        menses_status: Option<String> = "MensesStatus",
        /// 末次月经
        last_menses_date: Option<LocalDate> = "LastMensesDate",
    }
}

record! {
    /// 证件: all three or none.
    Identity {
        /// 证件类型
        kind: String = "Type",
        /// 证件名称
        name: String = "Name",
        /// 证件号
        number: String = "Number",
    }
}

impl FromValue for Identity {
    fn from_value(value: Option<Value>) -> Option<Self> {
        match value? {
            Value::Nodes(nodes) => nodes.into_iter().next().and_then(Self::from_values),
            Value::Text(_) | Value::Coded(_) | Value::Texts(_) => None,
        }
    }
}

pub(super) fn read(reader: &mut Reader, root: &Element) -> Values {
    let Some(element) = reader.required_node(root, "Patient") else {
        return Values::new("Patient");
    };
    let mut values = reader.fields(&PATIENT, element, "Patient");
    let at = values.path("Identity");
    if let Some(identity) = reader.node(element, "Identity", &at) {
        let identity = reader.fields(&IDENTITY, identity, &at);
        if identity.filled {
            values.put("Identity", Value::Nodes(vec![identity]));
        }
    }
    values
}
