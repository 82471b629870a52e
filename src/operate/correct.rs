//! Rulings of a person about exams and images.

use yingku_core::correction::{CorrectionAction, CorrectionMade, REASON_LIMIT, ReuseRuling};
use yingku_core::event::Event;
use yingku_core::outcome::Outcome;
use yingku_storage::archive::{Archive, Submission};

use crate::control::Output;

/// Longest name of a person, in bytes: with its prefix it is the record's actor (255 bytes).
const AUTHOR_LIMIT_BYTES: usize = 200;

pub async fn correct(
    archive: &Archive,
    made: CorrectionMade,
    output: &Output,
) -> anyhow::Result<bool> {
    let author = made.author.trim();
    anyhow::ensure!(
        !author.is_empty() && author.len() <= AUTHOR_LIMIT_BYTES,
        "--author: 1 至 {AUTHOR_LIMIT_BYTES} 字节 (bytes)"
    );
    anyhow::ensure!(
        !made.reason.trim().is_empty() && made.reason.chars().count() <= REASON_LIMIT,
        "--reason: 1 至 {REASON_LIMIT} 字 (characters)"
    );
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
        actor: format!("operator:{author}"),
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
