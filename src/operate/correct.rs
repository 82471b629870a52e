//! Rulings of a person about exams and images.

use yingku_core::correction::{CorrectionAction, CorrectionMade, ReuseRuling};
use yingku_core::event::{CARE_SINCE_RULES, Event, RULINGS_SINCE_RULES};
use yingku_core::ids::Position;
use yingku_core::outcome::Outcome;
use yingku_storage::archive::{Archive, Submission};

use super::Ruling;
use crate::control::Output;

/// Fewer digits of a digest name a version by accident.
const DIGEST_DIGITS: usize = 4;

pub async fn correct(
    archive: &Archive,
    mut made: CorrectionMade,
    latest_generation: bool,
    output: &Output,
) -> anyhow::Result<bool> {
    let actor = Ruling::new(&made.reason, &made.author)?.actor();
    // The rules refuse to undo these two, and say what to do instead.
    let can_be_undone = !matches!(
        made.action,
        CorrectionAction::RuleReuse {
            ruling: ReuseRuling::NewGeneration,
            ..
        } | CorrectionAction::Undo { .. }
    );
    // Images that came a moment ago are part of what is corrected.
    archive.settle().await?;
    if latest_generation {
        name_latest(archive, &mut made.action)?;
    }
    name_version(archive, &mut made.action)?;
    anyhow::ensure!(
        !matches!(made.action, CorrectionAction::LegalHold { .. })
            || archive.registry().rules >= CARE_SINCE_RULES,
        "须先启用规则版本 {CARE_SINCE_RULES}：yingku activate-rules (activate the rules of this release first)"
    );
    let action = made.action.clone();
    let submission = Submission {
        hospital: None,
        actor,
        event: Event::CorrectionMade(made),
    };
    let decided = archive.submit(submission).await?;
    match decided.outcome {
        Outcome::Refused(refusal) => anyhow::bail!(refusal.message),
        Outcome::Done | Outcome::Push(_) | Outcome::Form(_) => {
            let position = decided.position;
            let mut line = format!("已更正 (corrected): 位置 (position) {position}");
            if can_be_undone {
                line += &format!("; 撤销 (undo): yingku correct undo {position}");
            }
            output.line(line).await?;
            if let CorrectionAction::Undo { correction } = action {
                for line in still_not_shown(archive, correction)? {
                    output.line(line).await?;
                }
            }
            Ok(true)
        }
    }
}

/// Names the latest generation that has the exam's number; the rules say so if none has.
fn name_latest(archive: &Archive, action: &mut CorrectionAction) -> anyhow::Result<()> {
    if let CorrectionAction::WithdrawExam { exam }
    | CorrectionAction::LegalHold { exam }
    | CorrectionAction::MoveStudy { to: exam, .. }
    | CorrectionAction::ReleaseUid { exam, .. }
    | CorrectionAction::RuleConflict { exam, .. } = action
        && let Some(row) = archive.views().latest_exam(&exam.hospital, &exam.exam_no)?
    {
        *exam = row.key;
    }
    Ok(())
}

/// Names a version by its whole digest, of which an operator gives the beginning.
fn name_version(archive: &Archive, action: &mut CorrectionAction) -> anyhow::Result<()> {
    let CorrectionAction::ChooseVersion {
        study,
        instance,
        digest,
    } = action
    else {
        return Ok(());
    };
    anyhow::ensure!(
        archive.registry().rules >= RULINGS_SINCE_RULES,
        "须先启用规则版本 {RULINGS_SINCE_RULES}：yingku activate-rules (activate the rules of this release first)"
    );
    let begins = digest.to_ascii_lowercase();
    anyhow::ensure!(
        begins.len() >= DIGEST_DIGITS,
        "摘要至少写 {DIGEST_DIGITS} 位 (at least so many digits of the digest)"
    );
    let versions = super::versions::of(&archive.views(), study, instance)?;
    let mut meant = versions
        .iter()
        .filter(|version| version.digest.starts_with(&begins));
    match (meant.next(), meant.next()) {
        (Some(only), None) => {
            digest.clone_from(&only.digest);
            Ok(())
        }
        (Some(_), Some(_)) => {
            anyhow::bail!("摘要 {digest}: 不止一版，请多写几位 (several versions begin so)")
        }
        (None, _) => anyhow::bail!(
            "该检查中没有这份影像的这一版，见 yingku findings (the study has no such version of this instance)"
        ),
    }
}

/// What a withdrawal that was undone does not bring back: the exam while another withdrawal stands, and studies that
/// others have claimed meanwhile.
fn still_not_shown(archive: &Archive, undone: Position) -> anyhow::Result<Vec<String>> {
    let views = archive.views();
    let mut lines = Vec::new();
    let Some(correction) = views.correction(undone)? else {
        return Ok(lines);
    };
    let made: CorrectionMade = serde_json::from_str(&correction.made)?;
    let CorrectionAction::WithdrawExam { exam } = made.action else {
        return Ok(lines);
    };
    let Some(row) = views.exam(&exam)? else {
        return Ok(lines);
    };
    if let Some(standing) = row.withdrawn.operator.or(row.withdrawn.app) {
        lines.push(format!(
            "{exam} 仍不可见：另一次撤回（位置 {standing}）有效 (still hidden: withdrawal {standing} stands)"
        ));
        return Ok(lines);
    }
    for study in row.studies.iter().filter(|study| study.foreign) {
        let claims = views.claims(&study.uid)?.unwrap_or_default();
        let owner = match claims.owner() {
            Some(claim) => claim.exam.to_string(),
            None => "-".to_owned(),
        };
        lines.push(format!(
            "检查UID {} 的影像仍归 {owner}，见 yingku findings；归还：yingku correct rule-conflict (its images stay with that exam: rule on the conflict)",
            study.uid
        ));
    }
    Ok(lines)
}
