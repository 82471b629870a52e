//! Rulings of a person about exams and images.

use yingku_core::correction::{CorrectionAction, CorrectionMade, ReuseRuling};
use yingku_core::event::Event;
use yingku_core::outcome::Outcome;
use yingku_storage::archive::{Archive, Submission};

use super::Ruling;
use crate::control::Output;

pub async fn correct(
    archive: &Archive,
    made: CorrectionMade,
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
    let submission = Submission {
        hospital: None,
        actor,
        event: Event::CorrectionMade(made),
    };
    let decided = archive.submit(submission).await?;
    match decided.outcome {
        Outcome::Refused(refusal) => anyhow::bail!(refusal.message),
        Outcome::Done | Outcome::Push(_) => {
            let position = decided.position;
            let mut line = format!("已更正 (corrected): 位置 (position) {position}");
            if can_be_undone {
                line += &format!("; 撤销 (undo): yingku correct undo {position}");
            }
            output.line(line).await?;
            Ok(true)
        }
    }
}
