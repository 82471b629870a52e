//! Taking a correction back.

use std::collections::HashMap;

use super::super::exam::registered;
use super::super::{Context, DecideError, deleted, exam, instances, settle_finding, versions};
use super::{
    Ruled, conflict, no_exam, not_found, ownership, record, record_for_owners, set_withdrawn,
};
use crate::correction::{Before, CorrectionAction, CorrectionMade};
use crate::event::RULINGS_SINCE_RULES;
use crate::exam::ExamStep;
use crate::finding::FindingRow;
use crate::ids::{ExamKey, HospitalCode, Position, SopInstanceUid, StudyKey, StudyUid};
use crate::instance::StudyClaims;
use crate::outcome::Refusal;
use crate::state::{State, StateError, Work};

pub(super) fn undo<S: State>(
    work: &mut Work<'_, S>,
    context: Context<'_>,
    position: Position,
) -> Result<Ruled, DecideError> {
    let Some(mut row) = work.correction(position)? else {
        return Ok(Err(not_found(
            "correction",
            "没有此更正记录 (no such correction)",
        )));
    };
    let refused = |message: String| Ok(Err(conflict("correction", message)));
    if row.undone.is_some() {
        return refused("该更正已撤销 (this correction is undone already)".to_owned());
    }
    if let Some(push) = row.lifted {
        return refused(format!(
            "该撤回已由此后的推送（位置 {push}）解除，无须撤销 (a later push with new content, record {push}, has ended this withdrawal)"
        ));
    }
    let made: CorrectionMade =
        serde_json::from_str(&row.made).map_err(|e| DecideError::Content(e.to_string()))?;
    let undone = match (&made.action, row.before.clone()) {
        (CorrectionAction::WithdrawExam { exam }, _) => {
            let Some(exam) = work.exam(exam)? else {
                return Ok(Err(no_exam()));
            };
            let Some(left) = exam.withdrawn.without(position) else {
                return refused(
                    "该撤回已不再生效，见检查历史 (this withdrawal is not in force any more: see the exam's history)"
                        .to_owned(),
                );
            };
            // The operator's withdrawal stands although the app's is taken back, and the other way round.
            let step = match left.is_none() {
                true => ExamStep::Restored,
                false => ExamStep::Corrected,
            };
            set_withdrawn(work, context, exam, left, step)?;
            Ok(())
        }
        (CorrectionAction::LegalHold { exam }, _) => {
            settle_finding(work, context, deleted::hold_of(exam))?;
            if let Some(row) = work.exam(exam)? {
                record(work, context, row.clone(), row, ExamStep::Corrected);
            }
            Ok(())
        }
        (CorrectionAction::HideInstances { study, .. }, Before::Hidden(_)) => {
            show_again(work, context, study, position)?;
            Ok(())
        }
        (
            action,
            Before::Claims {
                study,
                claims,
                given,
                from,
                marked,
            },
        ) => {
            let ruled_for = match action {
                CorrectionAction::MoveStudy { to: exam, .. }
                | CorrectionAction::RuleConflict { exam, .. } => Some(exam.clone()),
                _ => None,
            };
            // Where the images are, also if the exam that they went to is gone. Since rules version 3 they go by themselves
            // to the one whose they are.
            let is_narrow = work.registry().rules >= RULINGS_SINCE_RULES;
            let to = ruled_for.as_ref().filter(|_| !is_narrow);
            let to = to.map(|exam| exam.hospital.clone());
            let earlier = Earlier {
                claims,
                given,
                homes: to.zip(from),
                marked: ruled_for.zip(marked),
            };
            restore_claims(work, context, position, &study, earlier)?
        }
        (
            CorrectionAction::ChooseVersion {
                study,
                instance,
                digest,
            },
            Before::Shown {
                digest: shown,
                listed,
            },
        ) => {
            let chosen = Chosen {
                instance,
                digest,
                shown,
                listed,
            };
            unchoose(work, context, study, chosen)?
        }
        (_, Before::Version { listed, exam }) => {
            exam::restore(work, context, position, listed, *exam)?
        }
        (_, Before::Registered { exam }) => {
            return refused(format!(
                "该推送已登记为检查 {exam}，编号的新一代保持开启，不能撤销。若裁定有误：yingku correct withdraw {exam} 隐藏该检查；\
                 其影像以 yingku correct move-study 归到原检查；报告由医院按原检查的患者与检查UID重新推送 \
                 (the push is exam {exam} and the new generation of numbers stays open: withdraw that exam, move its images to the exam they belong to, and have the hospital push the report with that exam's patient and study UID)"
            ));
        }
        _ => {
            return refused(
                "撤销不能再撤销，请重新作该更正 (an undoing is not undone: make the correction again)"
                    .to_owned(),
            );
        }
    };
    if let Err(refusal) = undone {
        return Ok(Err(refusal));
    }
    row.undone = Some(context.position);
    work.changes.corrections.insert(position, row);
    Ok(Ok(Before::Nothing))
}

/// What was hidden is shown wherever it is now: it may have gone to another hospital since, or have been set aside.
fn show_again<S: State>(
    work: &mut Work<'_, S>,
    context: Context<'_>,
    study: &StudyKey,
    hiding: Position,
) -> Result<(), StateError> {
    for home in work.claims(&study.study)?.homes(&study.study) {
        if instances::unhide(work, &home, hiding)? {
            record_for_owners(work, context, &home)?;
        }
    }
    Ok(())
}

/// Which bytes a correction made the ones that are shown of an instance.
struct Chosen<'a> {
    instance: &'a SopInstanceUid,
    digest: &'a str,
    /// Those that were shown before.
    shown: [u8; 16],
    listed: Option<FindingRow>,
}

/// Shows the bytes that were shown before, where the study is now.
fn unchoose<S: State>(
    work: &mut Work<'_, S>,
    context: Context<'_>,
    study: &StudyKey,
    chosen: Chosen<'_>,
) -> Result<Result<(), Refusal>, StateError> {
    let digest = u128::from_str_radix(chosen.digest, 16).map(u128::to_be_bytes);
    for home in work.claims(&study.study)?.homes(&study.study) {
        let there = versions::of(work, &home, chosen.instance)?;
        let is_here = there.current == Some(chosen.shown) || there.further.contains(&chosen.shown);
        if there.current != digest.clone().ok() || !is_here {
            continue;
        }
        if there.current != Some(chosen.shown) {
            let shown = HashMap::from([(chosen.instance.clone(), chosen.shown)]);
            versions::choose(work, &home, &shown)?;
        }
        let line = versions::line_of(&home, chosen.instance);
        if let Some(listed) = chosen.listed
            && work.finding(&line)?.is_none()
        {
            let since = context.position;
            work.put_finding(line, Some(FindingRow { since, ..listed }));
        }
        record_for_owners(work, context, &home)?;
        return Ok(Ok(()));
    }
    Ok(Err(conflict(
        "correction",
        "此后又另选了版本，或该影像已不在：请先撤销后来的更正 (another version was chosen since, or the instance is gone: undo that first)",
    )))
}

/// Whose a study was before a correction.
struct Earlier {
    claims: StudyClaims,
    given: Option<ExamKey>,
    /// Where the correction brought the images, and where they had been.
    homes: Option<(HospitalCode, HospitalCode)>,
    /// The exam whose the correction ruled images to be, and whose they had been ruled to be.
    marked: Option<(ExamKey, Option<ExamKey>)>,
}

fn restore_claims<S: State>(
    work: &mut Work<'_, S>,
    context: Context<'_>,
    position: Position,
    study: &StudyUid,
    earlier: Earlier,
) -> Result<Result<(), Refusal>, StateError> {
    let mut now = work.claims(study)?;
    if let Some(later) = now.corrected.filter(|later| *later != position) {
        return Ok(Err(conflict(
            "correction",
            format!(
                "此后对该 Study 另有更正，请先撤销：yingku correct undo {later} (a later correction of this study stands: undo that first)"
            ),
        )));
    }
    if let Some((exam, before)) = &earlier.marked {
        ownership::unmark(work, study, exam, before.as_ref())?;
    }
    if let Some(given) = ownership::given(work, study, &now)? {
        ownership::take_from(work, context, study, &given, &mut now)?;
    }
    if let Some(given) = &earlier.given {
        ownership::give(work, context, study, given)?;
    }
    let mut claims = earlier.claims;
    for claim in now.claims {
        let known = claims.claims.iter().position(|k| k.exam == claim.exam);
        match known.and_then(|at| claims.claims.get_mut(at)) {
            // It lapsed since and came back, behind those made meanwhile.
            Some(known) if claim.position > position => *known = claim,
            Some(_) => {}
            // It came since, by a push.
            None => claims.claims.push(claim),
        }
    }
    // What lapsed since stays lapsed, numbers that were corrected since stay corrected.
    let mut kept = Vec::with_capacity(claims.claims.len());
    for mut claim in claims.claims {
        let Some(exam) = work.exam(&claim.exam)? else {
            continue;
        };
        let declared = exam.studies.iter().find(|known| known.uid == *study);
        if let Some(declared) = declared {
            claim.accession_no.clone_from(&declared.accession_no);
        }
        claim.released |= exam.withdrawn.is_some() || !exam.has_study(study);
        claim.patient_id = registered::patient_id_of(work, &exam, study)?;
        claim.sick_id = exam.sick_id;
        kept.push(claim);
    }
    claims.claims = kept;
    // A trial that was ruled for may have been purged since.
    if let Some(ruled_for) = &claims.ruled_for
        && work.exam(ruled_for)?.is_none()
    {
        claims.ruled_for = None;
    }
    let homes = earlier.homes.as_ref().map(|(to, from)| (to, from));
    ownership::put(work, context, study, claims, homes)?;
    Ok(Ok(()))
}
