//! Sends one HIS's notices: an exam's in order, exams side by side, again until each is taken.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::Instant;
use yingku_core::event::{Event, NoticesTried};
use yingku_core::ids::{ExamKey, FormKey, HisId};
use yingku_core::notice::{ANSWER_LIMIT, NoticeId, NoticeRow, NoticeState, TriedNotice};
use yingku_core::registry::{Receiver, SoapVersion};
use yingku_storage::archive::{Archive, Submission};
use yingku_storage::views::{ViewsError, Walk};

use super::answer::{self, Answer};
use super::message::{self, Message};
use super::pace;

/// Notices of one receiver that are in memory; the rest waits in the views.
const WINDOW: usize = 1_000;
/// Requests to one receiver at once.
const AT_ONCE: usize = 8;
/// Results of one record: some 50 KB.
const RESULTS_OF_RECORD: usize = 200;
/// So long a result waits for others while requests are under way: a crash sends its notice again.
const RESULTS_WAIT: Duration = Duration::from_secs(1);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);
/// Bytes of an answer that are read; it has a code and a sentence.
const ANSWER_BYTES: usize = 256 << 10;

pub fn client() -> reqwest::Result<reqwest::Client> {
    reqwest::Client::builder()
        .connect_timeout(CONNECT_TIMEOUT)
        .timeout(REQUEST_TIMEOUT)
        .redirect(reqwest::redirect::Policy::none())
        .build()
}

/// Notices of one exam, or of a form that no exam has, keep their order.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Subject {
    Exam(ExamKey),
    Form(FormKey),
}

impl Subject {
    fn of(notice: &NoticeRow) -> Self {
        match &notice.exam {
            Some(exam) => Self::Exam(exam.clone()),
            None => Self::Form(notice.form.clone()),
        }
    }
}

/// What is in memory of one subject.
#[derive(Default)]
struct Line {
    /// In order; the first is the one that is sent.
    notices: VecDeque<NoticeRow>,
    is_sending: bool,
    /// Refusals of the first one.
    refusals: u32,
    /// Until when the first one waits.
    not_before: Option<Instant>,
}

/// What came of one request.
enum Sent {
    Answered(Answer),
    /// Nobody answered: that says nothing of the notice.
    Unreached(String),
    /// The archive's own trouble.
    NotSent(String),
}

pub struct Worker {
    archive: Archive,
    his: HisId,
    epoch: Option<u64>,
    http: reqwest::Client,
    lines: HashMap<Subject, Line>,
    in_memory: usize,
    /// The last notice that was taken into memory.
    seen: Option<NoticeId>,
    has_more: bool,
    results: Vec<TriedNotice>,
    /// Since when the first of them waits for the log.
    results_since: Instant,
    unreached: u32,
    pause_until: Option<Instant>,
}

impl Worker {
    pub fn new(archive: Archive, his: HisId, epoch: Option<u64>, http: reqwest::Client) -> Self {
        Self {
            archive,
            his,
            epoch,
            http,
            lines: HashMap::new(),
            in_memory: 0,
            seen: None,
            has_more: true,
            results: Vec::new(),
            results_since: Instant::now(),
            unreached: 0,
            pause_until: None,
        }
    }

    /// Ends when the HIS has no receiver any more, or the archive is closed.
    pub async fn run(mut self) {
        let mut projected = self.archive.watch_projected();
        let mut sending: JoinSet<(Subject, Sent)> = JoinSet::new();
        loop {
            let registry = self.archive.registry();
            let his = registry.his.get(&self.his);
            let Some(receiver) = his.and_then(|his| his.receiver.clone()) else {
                return;
            };
            let is_on = his.is_some_and(|his| his.enabled) && receiver.enabled;
            if let Err(error) = self.load().await {
                tracing::warn!(his = %self.his, %error, "status notices cannot be read");
            }
            if is_on {
                self.begin(&receiver, &mut sending);
            }
            if self.is_time_to_record(sending.is_empty()) {
                self.record().await;
                continue;
            }
            let wake = self.next_wake().filter(|_| is_on);
            tokio::select! {
                Some(done) = sending.join_next(), if !sending.is_empty() => match done {
                    Ok((subject, sent)) => self.settle(subject, sent),
                    Err(error) => {
                        // Who holds the line is not known: all begin anew from the views.
                        tracing::error!(his = %self.his, %error, "sending a notice failed");
                        return;
                    }
                },
                changed = projected.changed() => {
                    if changed.is_err() {
                        return;
                    }
                    self.has_more = true;
                }
                () = sleep_until(wake) => {}
            }
        }
    }

    /// Takes notices into memory up to the window.
    async fn load(&mut self) -> Result<(), ViewsError> {
        let room = WINDOW.saturating_sub(self.in_memory);
        if !self.has_more || room == 0 {
            return Ok(());
        }
        let (views, his, seen) = (self.archive.views(), self.his.clone(), self.seen);
        let read = tokio::task::spawn_blocking(move || {
            let mut rows = Vec::new();
            let mut take = |row| {
                rows.push(row);
                if rows.len() < room {
                    Walk::On
                } else {
                    Walk::Stop
                }
            };
            views.visit_notices(&his, NoticeState::Open, seen, &mut take)?;
            Ok::<_, ViewsError>(rows)
        });
        let Ok(rows) = read.await else {
            return Ok(());
        };
        let rows = rows?;
        self.has_more = rows.len() >= room;
        for row in rows {
            self.seen = Some(row.id);
            self.in_memory += 1;
            let line = self.lines.entry(Subject::of(&row)).or_default();
            if line.notices.is_empty() {
                line.refusals = row.tries;
            }
            line.notices.push_back(row);
        }
        Ok(())
    }

    /// Sends the first notices of lines that may be sent; of a receiver that was not reached only one, to see.
    fn begin(&mut self, receiver: &Receiver, sending: &mut JoinSet<(Subject, Sent)>) {
        let now = Instant::now();
        if self.pause_until.is_some_and(|until| until > now) {
            return;
        }
        let at_once = if self.unreached > 0 { 1 } else { AT_ONCE };
        let free = at_once.saturating_sub(sending.len());
        if free == 0 {
            return;
        }
        let mut ready: BTreeMap<NoticeId, Subject> = BTreeMap::new();
        for (subject, line) in &self.lines {
            let waits = line.is_sending || line.not_before.is_some_and(|until| until > now);
            if let Some(first) = line.notices.front().filter(|_| !waits) {
                ready.insert(first.id, subject.clone());
                if ready.len() > free {
                    ready.pop_last();
                }
            }
        }
        for subject in ready.into_values() {
            let Some(line) = self.lines.get_mut(&subject) else {
                continue;
            };
            let Some(notice) = line.notices.front().cloned() else {
                continue;
            };
            line.is_sending = true;
            let (archive, http) = (self.archive.clone(), self.http.clone());
            let receiver = receiver.clone();
            sending.spawn(async move {
                let sent = send(archive, http, notice, receiver).await;
                (subject, sent)
            });
        }
    }

    /// Notes what came of a request.
    fn settle(&mut self, subject: Subject, sent: Sent) {
        let Some(line) = self.lines.get_mut(&subject) else {
            return;
        };
        line.is_sending = false;
        let Some(notice) = line.notices.front() else {
            return;
        };
        let id = notice.id;
        let (state, code, answer) = match sent {
            Sent::Answered(answer) if answer.is_taken() => {
                self.unreached = 0;
                (NoticeState::Sent, answer.code, answer.desc)
            }
            Sent::Answered(answer) => {
                self.unreached = 0;
                line.refusals = line.refusals.saturating_add(1);
                line.not_before = Some(Instant::now() + pace::after_refusals(line.refusals));
                let state = match line.refusals >= pace::REFUSALS_LIMIT {
                    true => NoticeState::Stopped,
                    false => NoticeState::Open,
                };
                (state, answer.code, answer.desc)
            }
            Sent::Unreached(why) => {
                self.unreached = self.unreached.saturating_add(1);
                self.pause_until = Some(Instant::now() + pace::after_unreached(self.unreached));
                tracing::warn!(his = %self.his, times = self.unreached, why, "a receiver of notices cannot be reached");
                // The log need not tell of each try: a receiver may be away for days.
                if !self.unreached.is_power_of_two() {
                    return;
                }
                (NoticeState::Open, String::new(), why)
            }
            Sent::NotSent(why) => {
                tracing::error!(his = %self.his, notice = %id, why, "a notice cannot be composed");
                line.not_before = Some(Instant::now() + pace::after_refusals(1));
                return;
            }
        };
        let tries = line.refusals + u32::from(state == NoticeState::Sent);
        if state != NoticeState::Open {
            line.notices.pop_front();
            line.refusals = line.notices.front().map_or(0, |next| next.tries);
            line.not_before = None;
            self.in_memory = self.in_memory.saturating_sub(1);
            if line.notices.is_empty() {
                self.lines.remove(&subject);
            }
        }
        if self.results.is_empty() {
            self.results_since = Instant::now();
        }
        self.results.push(TriedNotice {
            id,
            state,
            tries,
            code: cut(&code),
            answer: cut(&answer),
        });
    }

    /// Many results at once while there are many, and none long after it came.
    fn is_time_to_record(&self, is_idle: bool) -> bool {
        let is_full = self.results.len() >= RESULTS_OF_RECORD;
        let is_old = self.results_since.elapsed() >= RESULTS_WAIT;
        !self.results.is_empty() && (is_idle || is_full || is_old)
    }

    /// Brings results into the log. What cannot be recorded stays in memory, and a restart sends it again.
    async fn record(&mut self) {
        let tried = self.results.clone();
        let submission = Submission {
            hospital: None,
            actor: self.archive.node_actor(),
            event: Event::NoticesTried(NoticesTried {
                his: self.his.clone(),
                tried,
                epoch: self.epoch,
            }),
        };
        match self.archive.submit(submission).await {
            Ok(_) => self.results.clear(),
            Err(error) => {
                tracing::warn!(his = %self.his, %error, "results of notices wait for the log");
                tokio::time::sleep(pace::after_unreached(1)).await;
            }
        }
    }

    /// When something can be sent that cannot be now.
    fn next_wake(&self) -> Option<Instant> {
        let now = Instant::now();
        if let Some(until) = self.pause_until.filter(|until| *until > now) {
            return Some(until);
        }
        let waiting = self.lines.values().filter(|line| !line.is_sending);
        let next = waiting.filter_map(|line| line.not_before).min();
        let recorded_by = self.results_since + RESULTS_WAIT;
        match self.results.is_empty() {
            true => next,
            false => Some(next.map_or(recorded_by, |next| next.min(recorded_by))),
        }
    }
}

async fn sleep_until(wake: Option<Instant>) {
    match wake {
        Some(wake) => tokio::time::sleep_until(wake).await,
        None => std::future::pending().await,
    }
}

fn cut(text: &str) -> String {
    text.chars().take(ANSWER_LIMIT).collect()
}

async fn send(
    archive: Archive,
    http: reqwest::Client,
    notice: NoticeRow,
    receiver: Receiver,
) -> Sent {
    let (url, soap) = (receiver.url.clone(), receiver.soap);
    let action = receiver.action.clone();
    let composed =
        tokio::task::spawn_blocking(move || message::compose(&archive, &notice, &receiver));
    let message = match composed.await {
        Ok(Ok(message)) => message,
        Ok(Err(error)) => return Sent::NotSent(error.to_string()),
        Err(error) => return Sent::NotSent(error.to_string()),
    };
    match post(&http, &url, soap, &action, message).await {
        Ok(answer) => Sent::Answered(answer),
        Err(error) => Sent::Unreached(error.without_url().to_string()),
    }
}

async fn post(
    http: &reqwest::Client,
    url: &str,
    soap: SoapVersion,
    action: &str,
    message: Message,
) -> reqwest::Result<Answer> {
    let mut request = http
        .post(url)
        .header(reqwest::header::CONTENT_TYPE, message.content_type)
        .body(message.body);
    if soap == SoapVersion::Soap11 {
        request = request.header("SOAPAction", format!("\"{action}\""));
    }
    let mut response = request.send().await?;
    let status = response.status();
    // A gateway's 502 is no answer of the receiver; a SOAP fault comes with 500.
    let is_away = matches!(status.as_u16(), 404 | 408 | 429 | 502..=504);
    if is_away {
        response = response.error_for_status()?;
    }
    let charset = charset_of(&response);
    let mut body = Vec::new();
    while let Some(part) = response.chunk().await? {
        let room = ANSWER_BYTES.saturating_sub(body.len());
        body.extend(part.iter().take(room));
        if room <= part.len() {
            break;
        }
    }
    let mut answer = answer::read(&body, charset.as_deref());
    if answer.code.is_empty() && !status.is_success() {
        answer.desc = format!("HTTP {}: {}", status.as_u16(), answer.desc);
    }
    Ok(answer)
}

fn charset_of(response: &reqwest::Response) -> Option<String> {
    let kind = response.headers().get(reqwest::header::CONTENT_TYPE)?;
    let (_, rest) = kind.to_str().ok()?.split_once("charset=")?;
    let charset = rest.split(';').next()?.trim().trim_matches(['"', '\'']);
    Some(charset.to_owned())
}
