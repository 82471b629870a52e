//! 登记: an operator registers an exam from its apply form, where nothing is pushed and nothing else told that it is done
//! (R16), or gives it a further study.

use anyhow::Context;
use serde::{Deserialize, Serialize};
use yingku_core::event::{REGISTRATION_SINCE_RULES, RegisteredBy};
use yingku_core::ids::{FormKey, HospitalCode, StudyUid};
use yingku_core::outcome::{Outcome, PushStep};
use yingku_storage::archive::{Archive, Registering};

use super::{Ruling, ensure_registered};
use crate::control::Output;

/// Which form's exam is registered, and under which study.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FormRegistered {
    pub hospital: HospitalCode,
    pub apply_no: String,
    pub study: Option<StudyUid>,
    pub patient_id: Option<String>,
}

pub async fn register(
    archive: &Archive,
    asked: FormRegistered,
    ruling: Ruling,
    output: &Output,
) -> anyhow::Result<bool> {
    // What came over the control socket is checked as what was typed is.
    let ruling = Ruling::new(&ruling.reason, &ruling.author)?;
    ensure_registered(archive, &asked.hospital)?;
    anyhow::ensure!(
        archive.registry().rules >= REGISTRATION_SINCE_RULES,
        "须先启用规则版本 {REGISTRATION_SINCE_RULES}：yingku activate-rules (activate the rules of this release first)"
    );
    archive.settle().await?;
    let form = newest(archive, &asked)?;
    let what = Registering {
        form,
        by: RegisteredBy::Operator,
        study: asked.study,
        patient_id: asked.patient_id,
        accession_no: None,
        actor: ruling.actor(),
        reason: ruling.reason,
    };
    let decided = archive.register_form(&what).await?;
    let push = match decided.outcome {
        Outcome::Push(push) => push,
        Outcome::Refused(refusal) => anyhow::bail!(refusal.message),
        Outcome::Done | Outcome::Form(_) => anyhow::bail!("没有登记 (nothing was registered)"),
    };
    let done = match push.step {
        PushStep::Registered => "已登记检查 (registered)",
        PushStep::Repeated => "该 Study 已登记，未作改动 (registered with this study already)",
        _ => "已更新检查 (changed)",
    };
    let (exam, adopted, position) = (push.exam, push.adopted, decided.position);
    let line = format!("{done}: {exam}; 位置 (position) {position}");
    output.line(line).await?;
    if adopted > 0 {
        let line = format!("收入暂存影像 (held images adopted): {adopted}");
        output.line(line).await?;
    }
    Ok(true)
}

/// The form of the latest generation of numbers that has one.
fn newest(archive: &Archive, asked: &FormRegistered) -> anyhow::Result<FormKey> {
    let registry = archive.registry();
    let views = archive.views();
    let hospital = registry.hospitals.get(&asked.hospital);
    for generation in (0..=hospital.map_or(0, |it| it.generation)).rev() {
        let key = FormKey {
            hospital: asked.hospital.clone(),
            apply_no: asked.apply_no.clone(),
            generation,
        };
        if views.apply_form(&key)?.is_some_and(|row| !row.is_deleted()) {
            return Ok(key);
        }
    }
    None.context("没有此申请单，或已删除：请核对医院与申请单号，见 yingku forms list (no such form, or it is deleted: see yingku forms list)")
}
