//! Content that was sent: it stays in the log, and the views only say where.

use yingku_core::contract::push::ExamPushedBody;
use yingku_core::correction::{CorrectionAction, CorrectionMade};
use yingku_core::envelope::Envelope;
use yingku_core::event::{ApplyFormReceived, Event};
use yingku_core::ids::Position;

use super::Archive;
use crate::log::LogError;

#[derive(Debug, thiserror::Error)]
pub enum ContentError {
    #[error(transparent)]
    Log(#[from] LogError),
    #[error("position {0} of the log holds no record")]
    Absent(Position),
    #[error("the record at position {0} holds no such content")]
    Other(Position),
    #[error("the record at position {position} is not readable")]
    Unreadable {
        position: Position,
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

impl Archive {
    /// What the record at a position brought: a push, an exam that was registered from its form, or an operator's ruling
    /// that a refused push counts.
    pub fn pushed_content(
        &self,
        position: Position,
    ) -> Result<ExamPushedBody<'static>, ContentError> {
        match self.event_at(position)? {
            Event::ExamPushed(body) => Ok(body),
            Event::ExamRegistered(body) => Ok(body.content_as_pushed().into_owned()),
            Event::CorrectionMade(CorrectionMade {
                action: CorrectionAction::RuleReuse { refused, .. },
                ..
            }) => match self.event_at(refused)? {
                Event::ExamPushed(body) => Ok(body),
                _ => Err(ContentError::Other(refused)),
            },
            _ => Err(ContentError::Other(position)),
        }
    }

    /// Who ruled by the correction at a position.
    pub fn correction_author(&self, position: Position) -> Result<String, ContentError> {
        match self.event_at(position)? {
            Event::CorrectionMade(made) => Ok(made.author),
            _ => Err(ContentError::Other(position)),
        }
    }

    /// The apply form's message at a position.
    pub fn form_content(&self, position: Position) -> Result<ApplyFormReceived, ContentError> {
        match self.event_at(position)? {
            Event::ApplyFormReceived(body) => Ok(body),
            _ => Err(ContentError::Other(position)),
        }
    }

    fn event_at(&self, position: Position) -> Result<Event, ContentError> {
        let record = self
            .log()
            .get(position)?
            .ok_or(ContentError::Absent(position))?;
        let unreadable = |source: Box<dyn std::error::Error + Send + Sync>| {
            ContentError::Unreadable { position, source }
        };
        let envelope = Envelope::decode(&record.bytes).map_err(|e| unreadable(e.into()))?;
        Event::decode(&envelope).map_err(|e| unreadable(e.into()))
    }
}
