//! One request to a receiver, and what came of it.

use std::error::Error;
use std::time::Duration;

use yingku_core::notice::{NoticeId, NoticeRow, NoticeState};
use yingku_core::registry::Receiver;
use yingku_storage::archive::Archive;

use super::message;
use crate::soap::answer::{self, Answer};
use crate::soap::request::Message;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);
/// Bytes of an answer that are read; it has a code and a sentence.
const ANSWER_BYTES: usize = 256 << 10;

/// What came of one request.
pub enum Sent {
    Answered(Answer),
    /// Nobody answered: that says nothing of the notice.
    Unreached(String),
    /// The archive's own trouble.
    NotComposed(String),
    /// The log dropped this one while it waited here: nothing was sent.
    Dropped(NoticeId),
}

pub fn client() -> reqwest::Result<reqwest::Client> {
    reqwest::Client::builder()
        .connect_timeout(CONNECT_TIMEOUT)
        .timeout(REQUEST_TIMEOUT)
        .redirect(reqwest::redirect::Policy::none())
        // What tells of patients goes to the receiver itself, whatever the environment says.
        .no_proxy()
        .build()
}

/// Composes a notice and sends it once.
pub async fn send(
    archive: Archive,
    http: reqwest::Client,
    notice: NoticeRow,
    receiver: Receiver,
) -> Sent {
    let url = receiver.url.clone();
    let id = notice.id;
    let composed = tokio::task::spawn_blocking(move || {
        // One that is not found is sent: views that are made anew may be behind, and no notice is lost.
        let views = archive.views();
        match views.notice(&notice.his, NoticeState::Dropped, id)? {
            Some(_) => Ok(None),
            None => message::compose(&archive, &notice, &receiver).map(Some),
        }
    });
    let message = match composed.await {
        Ok(Ok(Some(message))) => message,
        Ok(Ok(None)) => return Sent::Dropped(id),
        Ok(Err(error)) => return Sent::NotComposed(error.to_string()),
        Err(error) => return Sent::NotComposed(error.to_string()),
    };
    match post(&http, &url, message).await {
        Ok(answer) => Sent::Answered(answer),
        Err(error) => Sent::Unreached(words(&error.without_url())),
    }
}

async fn post(http: &reqwest::Client, url: &str, message: Message) -> reqwest::Result<Answer> {
    let mut request = http
        .post(url)
        .header(reqwest::header::CONTENT_TYPE, message.content_type)
        .body(message.body);
    if let Some(action) = message.action {
        request = request.header("SOAPAction", action);
    }
    let mut response = request.send().await?;
    let status = response.status();
    // A gateway's 502 is no answer of the receiver; a SOAP fault comes with 500.
    let is_away = matches!(status.as_u16(), 404 | 408 | 429 | 502..=504);
    if is_away {
        response = response.error_for_status()?;
    }
    let kind = response.headers().get(reqwest::header::CONTENT_TYPE);
    let kind = kind.and_then(|kind| kind.to_str().ok()).map(str::to_owned);
    let mut body = Vec::new();
    while let Some(part) = response.chunk().await? {
        let room = ANSWER_BYTES.saturating_sub(body.len());
        body.extend(part.iter().take(room));
        if room <= part.len() {
            break;
        }
    }
    let mut answer = answer::read(&body, kind.as_deref().and_then(answer::charset_of));
    if answer.code.is_empty() && !status.is_success() {
        answer.desc = format!("HTTP {}: {}", status.as_u16(), answer.desc);
    }
    Ok(answer)
}

/// An error with all that is behind it: the first alone says only that a request failed.
fn words(error: &reqwest::Error) -> String {
    let mut words = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        words = format!("{words}: {error}");
        source = error.source();
    }
    words
}
