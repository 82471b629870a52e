//! Pushed content: it stays in the log, and the views only say where.

use yingku_core::contract::push::ExamPushedBody;
use yingku_core::correction::{CorrectionAction, CorrectionMade};
use yingku_core::envelope::Envelope;
use yingku_core::event::Event;
use yingku_core::ids::Position;
use yingku_storage::archive::Archive;

use crate::error::Failure;

#[derive(Debug, thiserror::Error)]
enum ContentError {
    #[error("position {0} of the log holds no record")]
    Absent(Position),
    #[error("the record at position {0} holds no pushed content")]
    Other(Position),
    #[error("the record at position {position} is not readable")]
    Unreadable {
        position: Position,
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

/// What the record at a position brought: a push, or an operator's ruling that a refused push counts.
pub fn at(archive: &Archive, position: Position) -> Result<ExamPushedBody<'static>, Failure> {
    match event(archive, position)? {
        Event::ExamPushed(body) => Ok(body),
        Event::CorrectionMade(CorrectionMade {
            action: CorrectionAction::RuleReuse { refused, .. },
            ..
        }) => match event(archive, refused)? {
            Event::ExamPushed(body) => Ok(body),
            _ => Err(Failure::internal(&ContentError::Other(refused))),
        },
        _ => Err(Failure::internal(&ContentError::Other(position))),
    }
}

fn event(archive: &Archive, position: Position) -> Result<Event, Failure> {
    let record = archive
        .log()
        .get(position)?
        .ok_or_else(|| Failure::internal(&ContentError::Absent(position)))?;
    let unreadable = |source: Box<dyn std::error::Error + Send + Sync>| {
        Failure::internal(&ContentError::Unreadable { position, source })
    };
    let envelope = Envelope::decode(&record.bytes).map_err(|e| unreadable(e.into()))?;
    Event::decode(&envelope).map_err(|e| unreadable(e.into()))
}
