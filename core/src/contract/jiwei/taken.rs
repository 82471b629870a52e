//! Forms of 基卫 as the archive takes them: what an event holds of a row, or why it holds nothing.
//!
//! | in the archive | from |
//! |---|---|
//! | 申请单号 | applycode, without a prefix that names the hospital (R15) |
//! | 病人ID | fkey, else repcode; without prefix |
//! | 诊疗卡号 | medicarecode, else the number that was asked for |
//! | 住院号, 门诊号 | cliniccode, by the patient's class |
//! | 病人类别 | businesstype, else as asked: 1 OU, 2 IN, 3 PE |
//! | 姓名, 性别, 年龄, 地址, 电话 | patname, gender, patage, address, tel |
//! | 出生日期 | birthday, else the one in idcard |
//! | 证件 | idcard, as an 居民身份证 |
//! | 检查类别 | ECG for type 1; 基卫 tells no class of images: empty |
//! | 项目 | checkprojectcode, checkproject of all rows of the number |
//! | 申请医师, 申请科室, 检查科室 | applydoc…, applydepartment…, checkdepartment… |
//! | 申请时间 | applydate, a day alone is its midnight |
//! | 检查时间 | exedate |
//! | 临床诊断 | clincdiagnose |
//! | 病历号 (保留字段1) | repcode |
//! | 申请院区 | the hospital's code |
//!
//! What §3 requires and 基卫 does not have (优先级别, fees) is empty; nothing is made up. What the row should have and
//! has not, or has in another form, is flagged. `regstate` is the state at 基卫 and no content: it is not kept, so that a
//! form whose state changes there is a repeat.

use std::collections::BTreeSet;

use super::told::{ECG, RESIDENT_CARD};
use super::{ApplyKind, ApplyQuery, BusinessType, JiweiForm};
use crate::contract::apply_form::{
    ApplyForm, ApplyFormBody, CODE_LIMIT, Coded, FormExam, FormItem, FormPatient, ITEMS_LIMIT,
    Identity, SEXES, number_of,
};
use crate::contract::fault::{Fault, Rule};
use crate::dictionaries::{PATIENT_CLASS, is_placeholder};
use crate::registry::{Hospital, Registry};
use crate::time::{LocalDate, LocalDateTime, TimeError};

/// What the check needs to know beside the rows.
#[derive(Clone, Copy)]
pub struct TakeContext<'c> {
    pub registry: &'c Registry,
    /// Whose forms were asked for.
    pub hospital: &'c Hospital,
    pub asked: &'c ApplyQuery,
}

/// A form that can be recorded.
pub struct TakenForm {
    pub body: ApplyFormBody,
    /// What is wrong without being refused.
    pub warnings: Vec<Fault>,
    /// `regstate` as 基卫 says it.
    pub reg_state: Option<String>,
}

/// A form that cannot.
pub struct RefusedForm {
    /// As it is written; empty if there is none.
    pub spelling: String,
    pub name: String,
    pub fault: Box<Fault>,
}

/// Takes the rows of an answer. Rows of one number are one form with several items: 基卫 has a row for each.
pub fn take(rows: &[JiweiForm], context: TakeContext<'_>) -> Vec<Result<TakenForm, RefusedForm>> {
    let mut groups: Vec<Group<'_>> = Vec::new();
    for row in rows {
        let spelling = row.apply_code.as_deref().unwrap_or_default();
        let number = apply_no(spelling, context);
        let known = |group: &&mut Group<'_>| match (&group.number, &number) {
            (Ok(known), Ok(number)) => known == number,
            _ => false,
        };
        match groups.iter_mut().find(known) {
            Some(group) => group.more.push(row),
            None => groups.push(Group {
                number,
                spelling,
                first: row,
                more: Vec::new(),
            }),
        }
    }
    let groups = groups.into_iter();
    groups.map(|group| group.take(context)).collect()
}

/// Rows of one number.
struct Group<'r> {
    number: Result<&'r str, Fault>,
    spelling: &'r str,
    first: &'r JiweiForm,
    more: Vec<&'r JiweiForm>,
}

impl<'r> Group<'r> {
    fn take(self, context: TakeContext<'_>) -> Result<TakenForm, RefusedForm> {
        let refused = |fault: Fault| RefusedForm {
            spelling: self.spelling.to_owned(),
            name: self.first.name.clone().unwrap_or_default(),
            fault: Box::new(fault),
        };
        let number = self.number.clone().map_err(refused)?;
        let mut warnings = Vec::new();
        let form = self.form(context, &mut warnings).map_err(refused)?;
        let doctor = &form.exam.req_physician;
        let operator = (doctor.code.is_some() || !doctor.name.is_empty()).then(|| doctor.clone());
        let body = ApplyFormBody::inserted(number, self.spelling, form, operator, &warnings);
        Ok(TakenForm {
            body: body.map_err(refused)?,
            warnings,
            reg_state: self.first.reg_state.clone(),
        })
    }

    fn form(
        &self,
        context: TakeContext<'_>,
        warnings: &mut Vec<Fault>,
    ) -> Result<ApplyForm, Fault> {
        for row in std::iter::once(&self.first).chain(&self.more) {
            check_numbers(row)?;
            check_hospital(row, context)?;
        }
        self.is_one_patient_s()?;
        let row = self.first;
        let mut reader = Reader { row, warnings };
        let items = self.items(&mut reader)?;
        let written = row.fkey.as_ref().or(row.rep_code.as_ref());
        let sick_spelling = written.cloned().unwrap_or_default();
        let sick_no = number_of(context.registry, context.hospital, &sick_spelling)
            .map_err(|_| of_another_hospital("fkey"))?;
        if sick_no.is_empty() && row.name.is_none() {
            let message =
                "既无病人号也无姓名，无法辨认患者 (has neither a number nor a name of a patient)";
            return Err(Fault::new("fkey", Rule::Required, message));
        }
        reader.required(context.asked);
        let business_type = reader.business_type(context.asked);
        let kind = reader.kind(context.asked);
        Ok(ApplyForm {
            patient: reader.patient(sick_no, business_type, context.asked),
            exam: reader.exam(items, kind, context.hospital),
            sick_no_spelling: sick_spelling,
        })
    }

    /// By number or by name: either may be missing, or written differently.
    fn is_one_patient_s(&self) -> Result<(), Fault> {
        let first = self.first;
        let same = |row: &&JiweiForm| {
            (row.fkey.is_some() && row.fkey == first.fkey)
                || (row.name.is_some() && row.name == first.name)
        };
        if self.more.iter().all(same) {
            return Ok(());
        }
        let message = "同一申请单号在应答中属于不同的患者 (one number is of different patients in the answer)";
        Err(Fault::new("applycode", Rule::Consistency, message))
    }

    /// Each once, in the order of the answer.
    fn items(&self, reader: &mut Reader<'_>) -> Result<Vec<FormItem>, Fault> {
        let rows = std::iter::once(&self.first).chain(&self.more);
        let mut seen = BTreeSet::new();
        let mut items = Vec::new();
        for row in rows {
            let (code, name) = (&row.project_code, &row.project);
            if (code.is_none() && name.is_none()) || !seen.insert((code, name)) {
                continue;
            }
            items.push(FormItem {
                code: code.clone(),
                name: name.clone().unwrap_or_default(),
                price: None,
                due: None,
                order_no: None,
                count: None,
            });
        }
        if items.len() > ITEMS_LIMIT {
            let message = format!(
                "检查项目过多：最多 {ITEMS_LIMIT} 个，实为 {} 个 (more than {ITEMS_LIMIT} items, found {})",
                items.len(),
                items.len()
            );
            return Err(Fault::new("checkproject", Rule::Length, message));
        }
        if items.iter().all(|item| item.name.is_empty()) {
            reader.absent("checkproject");
        }
        let but_items = |row: &JiweiForm| JiweiForm {
            project_code: None,
            project: None,
            reg_state: None,
            ..row.clone()
        };
        let first = but_items(self.first);
        if self.more.iter().any(|row| but_items(row) != first) {
            let message = "同号的几行除项目外还有不同，取第一行 (rows of this number differ in more than their items; the first is taken)";
            reader.warn("applycode", Rule::Consistency, message);
        }
        Ok(items)
    }
}

/// The form's number without its prefix.
fn apply_no<'r>(spelling: &'r str, context: TakeContext<'_>) -> Result<&'r str, Fault> {
    let path = "applycode";
    is_number(path, Some(spelling))?;
    let bare = number_of(context.registry, context.hospital, spelling)
        .map_err(|_| of_another_hospital(path))?;
    if is_placeholder(&context.registry.settings.placeholder_apply_nos, bare) {
        let message =
            "没有申请单号，或为占位值，无法收下 (no number, or a placeholder: it cannot be taken)";
        return Err(Fault::new(path, Rule::Placeholder, message));
    }
    Ok(bare)
}

fn of_another_hospital(path: &str) -> Fault {
    let message = "属于另一家医院，不是所查询的医院 (of another hospital than the one asked for)";
    Fault::new(path, Rule::Consistency, message)
}

/// A number that is cut or too long is another one (R13).
fn check_numbers(row: &JiweiForm) -> Result<(), Fault> {
    for (path, text) in [
        ("fkey", &row.fkey),
        ("repcode", &row.rep_code),
        ("medicarecode", &row.medicare_code),
        ("cliniccode", &row.clinic_code),
        ("idcard", &row.id_card),
        ("applydoccode", &row.doctor_code),
        ("applydepartmentcode", &row.department_code),
        ("checkprojectcode", &row.project_code),
        ("checkdepartmentcode", &row.check_department_code),
    ] {
        is_number(path, text.as_deref())?;
    }
    Ok(())
}

fn is_number(path: &str, text: Option<&str>) -> Result<(), Fault> {
    let Some(text) = text else { return Ok(()) };
    let found = text.chars().count();
    if found > CODE_LIMIT {
        let message = format!(
            "超长：最多 {CODE_LIMIT} 个字符，实为 {found} 个 (at most {CODE_LIMIT} characters, found {found})"
        );
        return Err(Fault::new(path, Rule::Length, message).with_limit(CODE_LIMIT));
    }
    if text.chars().any(char::is_control) {
        let message = "含有换行或其他控制字符 (holds a line break or another control character)";
        return Err(Fault::new(path, Rule::Format, message));
    }
    Ok(())
}

fn check_hospital(row: &JiweiForm, context: TakeContext<'_>) -> Result<(), Fault> {
    let Some(yyid00) = row.yyid00.as_deref() else {
        return Ok(());
    };
    let named = context.registry.hospital_of_yyid00(yyid00);
    let is_own = named.is_some_and(|named| named.code == context.hospital.code);
    match is_own || yyid00 == context.asked.yyid00 {
        true => Ok(()),
        false => Err(of_another_hospital("yyid00")),
    }
}

/// Makes parts of a form of one row, and notes what is wrong with it.
struct Reader<'r> {
    row: &'r JiweiForm,
    warnings: &'r mut Vec<Fault>,
}

impl Reader<'_> {
    fn warn(&mut self, path: &str, rule: Rule, message: &str) {
        self.warnings.push(Fault::new(path, rule, message));
    }

    fn absent(&mut self, path: &str) {
        let message = "缺失，已留空并标记 (absent: left empty and flagged)";
        self.warn(path, Rule::Required, message);
    }

    /// What the contract requires, and what a worklist cannot well do without.
    fn required(&mut self, asked: &ApplyQuery) {
        let row = self.row;
        for name in row.missing() {
            self.absent(name);
        }
        for (path, text) in [
            ("fkey", &row.fkey),
            ("patname", &row.name),
            ("gender", &row.gender),
        ] {
            if text.is_none() {
                self.absent(path);
            }
        }
        if row.gender.as_deref().is_some_and(|it| !SEXES.contains(&it)) {
            self.unknown_code("gender");
        }
        let other_card = |card: &str| card != asked.medicare_code;
        if row.medicare_code.as_deref().is_some_and(other_card) {
            let message = "与所查询的卡号不同，请核对是否同一患者 (another card than was asked for: see whether it is the same patient)";
            self.warn("medicarecode", Rule::Consistency, message);
        }
    }

    fn unknown_code(&mut self, path: &str) {
        let message = "代码不在约定之内，已标记 (unknown code, flagged)";
        self.warn(path, Rule::Code, message);
    }

    fn business_type(&mut self, asked: &ApplyQuery) -> BusinessType {
        let code = self.row.business_type.as_deref();
        let read = code.and_then(BusinessType::of_code);
        if code.is_some() && read.is_none() {
            self.unknown_code("businesstype");
        }
        self.as_asked("businesstype", read, asked.business_type)
    }

    fn kind(&mut self, asked: &ApplyQuery) -> ApplyKind {
        let code = self.row.kind.as_deref();
        let read = code.and_then(ApplyKind::of_code);
        if code.is_some() && read.is_none() {
            self.unknown_code("type");
        }
        self.as_asked("type", read, asked.kind)
    }

    fn as_asked<T: Copy + PartialEq>(&mut self, path: &str, read: Option<T>, asked: T) -> T {
        if read.is_some_and(|read| read != asked) {
            let message = "与所查询的不同 (another than was asked for)";
            self.warn(path, Rule::Consistency, message);
        }
        read.unwrap_or(asked)
    }

    /// A field that is to be read; what is there and is none of its kind is flagged.
    fn read<T>(
        &mut self,
        path: &str,
        text: Option<&str>,
        read: impl Fn(&str) -> Result<T, TimeError>,
    ) -> Option<T> {
        match read(text?) {
            Ok(value) => Some(value),
            Err(_) => {
                let message =
                    "不是日期或时间，已留空并标记 (no date or time: left empty and flagged)";
                self.warn(path, Rule::Format, message);
                None
            }
        }
    }

    fn patient(
        &mut self,
        sick_no: &str,
        business_type: BusinessType,
        asked: &ApplyQuery,
    ) -> FormPatient {
        let row = self.row;
        let birthday = row.birthday.as_deref();
        let id_card = row.id_card.as_deref();
        let birth_date = self
            .read("birthday", birthday, |text| {
                LocalDate::parse(text)
                    .or_else(|_| LocalDateTime::parse(text).map(LocalDateTime::date))
            })
            .or_else(|| birth_date_of(id_card?));
        if birth_date.is_none() && birthday.is_none() {
            self.absent("birthday");
        }
        let class = match business_type {
            BusinessType::Outpatient => "OU",
            BusinessType::Inpatient => "IN",
            BusinessType::Checkup => "PE",
        };
        let is_inpatient = business_type == BusinessType::Inpatient;
        let clinic_code = |is_meant: bool| row.clinic_code.clone().filter(|_| is_meant);
        let card = row.medicare_code.as_ref().unwrap_or(&asked.medicare_code);
        FormPatient {
            sick_no: sick_no.to_owned(),
            card_no: Some(card.clone()),
            si_card: None,
            mi_card: None,
            health_card: None,
            patient_class: Coded {
                code: Some(class.to_owned()),
                name: PATIENT_CLASS.name(class).unwrap_or_default().to_owned(),
            },
            in_patient_no: clinic_code(is_inpatient),
            visit_id: None,
            bed_no: None,
            out_patient_no: clinic_code(!is_inpatient),
            name: row.name.clone().unwrap_or_default(),
            phoneticize: None,
            birth_date,
            sex: row.gender.clone().unwrap_or_default(),
            age: row.age.clone().unwrap_or_default(),
            height: None,
            weight: None,
            native_place: None,
            nationality: None,
            nation: None,
            address: row.address.clone(),
            zip_code: None,
            phone_number: row.tel.clone().unwrap_or_default(),
            marital_status: None,
            identity: id_card.map(|number| Identity {
                kind: RESIDENT_CARD.0.to_owned(),
                name: RESIDENT_CARD.1.to_owned(),
                number: number.to_owned(),
            }),
            degree: None,
            charge_type: None,
            memo: None,
            menses_status: None,
            last_menses_date: None,
        }
    }

    fn exam(&mut self, items: Vec<FormItem>, kind: ApplyKind, hospital: &Hospital) -> FormExam {
        let row = self.row;
        if row.apply_date.is_none() {
            self.absent("applydate");
        }
        let day_or_time = |text: &str| {
            LocalDateTime::parse(text).or_else(|_| LocalDate::parse(text).map(LocalDate::midnight))
        };
        let req_time = self.read("applydate", row.apply_date.as_deref(), day_or_time);
        let exam_time = self.read("exedate", row.exe_date.as_deref(), day_or_time);
        let perform_dept = coded(&row.check_department_code, &row.check_department);
        let is_named = perform_dept.code.is_some() || !perform_dept.name.is_empty();
        FormExam {
            hospital_name: None,
            out_reg_no: None,
            exam_time,
            exam_class: match kind {
                ApplyKind::Ecg => ECG.to_owned(),
                ApplyKind::Imaging => String::new(),
            },
            exam_sub_class: None,
            priority_order: String::new(),
            items,
            organs: Vec::new(),
            samples: Vec::new(),
            device: None,
            exam_group: None,
            perform_dept: is_named.then_some(perform_dept),
            technician: None,
            req_hospital: Coded {
                code: Some(hospital.code.as_str().to_owned()),
                name: String::new(),
            },
            req_ward: None,
            req_dept: coded(&row.department_code, &row.department),
            req_physician: coded(&row.doctor_code, &row.doctor),
            scheduled_time: None,
            req_time,
            phys_sign: None,
            clin_symp: None,
            clin_diag: row.diagnosis.clone(),
            revisit: None,
            due: String::new(),
            paid: String::new(),
            charge_flag: String::new(),
            memo: None,
            exam_record: None,
            relevant_diag: None,
            relevant_lab_test: None,
            exam_motive: None,
            med_record: None,
            trans_tool: None,
            is_critical: None,
            reserve1: row.rep_code.clone(),
            reserve2: None,
            reserve3: None,
        }
    }
}

fn coded(code: &Option<String>, name: &Option<String>) -> Coded {
    Coded {
        code: code.clone(),
        name: name.clone().unwrap_or_default(),
    }
}

/// The day in a resident's number of 18 characters (GB 11643), if its check digit is right.
fn birth_date_of(id_card: &str) -> Option<LocalDate> {
    const WEIGHTS: [u32; 17] = [7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2];
    const CHECKS: [char; 11] = ['1', '0', 'X', '9', '8', '7', '6', '5', '4', '3', '2'];
    let digits: Option<Vec<u32>> = id_card.chars().take(17).map(|c| c.to_digit(10)).collect();
    let check = id_card.chars().nth(17)?.to_ascii_uppercase();
    let sum: u32 = digits?.iter().zip(WEIGHTS).map(|(d, w)| d * w).sum();
    let is_right = id_card.chars().count() == 18 && CHECKS.get(sum as usize % 11) == Some(&check);
    let day = id_card.get(6..14).filter(|_| is_right)?;
    LocalDate::parse(day).ok()
}
