//! Sends one HIS's notices: those of an exam and its form in order, exams side by side, again until each is taken.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::Instant;
use yingku_core::event::{Event, NoticesTried};
use yingku_core::ids::HisId;
use yingku_core::notice::{ANSWER_LIMIT, NoticeId, NoticeState, TriedNotice};
use yingku_core::registry::Receiver;
use yingku_storage::archive::{Archive, Submission};
use yingku_storage::views::{ViewsError, Walk};

use super::line::{Line, LineId, Lines};
use super::meters::{self, Outcome};
use super::pace;
use super::request::{self, Sent};

/// Notices of one receiver that are in memory, some 400 bytes each; the rest waits in the views. Those that are refused
/// wait for hours, and must leave room for others.
const WINDOW: usize = 10_000;
/// Requests to one receiver at once.
const AT_ONCE: usize = 8;
/// Results of one record: some 50 KB.
const RESULTS_OF_RECORD: usize = 200;
/// So long a result waits for others while requests are under way: a crash sends its notice again.
const RESULTS_WAIT: Duration = Duration::from_secs(1);
/// Between two looks for what is due: the views may follow thousands of records a second that tell of no notice.
const LOOK_EVERY: Duration = Duration::from_millis(100);

pub struct Worker {
    archive: Archive,
    his: HisId,
    epoch: Option<u64>,
    http: reqwest::Client,
    lines: Lines,
    in_memory: usize,
    /// The last notice that was taken into memory.
    seen: Option<NoticeId>,
    has_more: bool,
    /// When notices are looked for again, at the earliest.
    next_look: Instant,
    results: Vec<TriedNotice>,
    /// Lines whose next notice waits until these results are in the log.
    unrecorded: Vec<LineId>,
    /// Since when the first of them waits for the log.
    results_since: Instant,
    /// Looks in a row at which the receiver was not reached.
    unreached: u32,
    pause_until: Option<Instant>,
}

impl Worker {
    pub fn new(archive: Archive, his: HisId, epoch: Option<u64>, http: reqwest::Client) -> Self {
        let now = Instant::now();
        Self {
            archive,
            his,
            epoch,
            http,
            lines: Lines::default(),
            in_memory: 0,
            seen: None,
            has_more: true,
            next_look: now,
            results: Vec::new(),
            unrecorded: Vec::new(),
            results_since: now,
            unreached: 0,
            pause_until: None,
        }
    }

    /// Ends when the HIS has no receiver any more, or the archive is closed.
    pub async fn run(mut self) {
        let mut projected = self.archive.watch_projected();
        let mut sending: JoinSet<(LineId, Sent)> = JoinSet::new();
        loop {
            let registry = self.archive.registry();
            let his = registry.his.get(&self.his);
            let receiver = his.and_then(|his| his.receiver.clone());
            if self.is_time_to_record(sending.is_empty() || receiver.is_none()) {
                self.record().await;
                continue;
            }
            let Some(receiver) = receiver else {
                return;
            };
            let is_on = his.is_some_and(|his| his.enabled) && receiver.enabled;
            if let Err(error) = self.load().await {
                tracing::warn!(his = %self.his, %error, "status notices cannot be read");
            }
            if is_on {
                self.begin(&receiver, &mut sending);
            }
            let wake = self.next_wake(is_on);
            tokio::select! {
                Some(done) = sending.join_next(), if !sending.is_empty() => match done {
                    Ok((line, sent)) => self.settle(line, sent),
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
        let now = Instant::now();
        if !self.has_more || room == 0 || self.next_look > now {
            return Ok(());
        }
        self.next_look = now + LOOK_EVERY;
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
            self.in_memory += usize::from(self.lines.put(row));
        }
        Ok(())
    }

    /// Sends the first notices of lines that may be sent; of a receiver that was not reached only one, to see.
    fn begin(&mut self, receiver: &Receiver, sending: &mut JoinSet<(LineId, Sent)>) {
        let now = Instant::now();
        if self.pause_until.is_some_and(|until| until > now) {
            return;
        }
        let at_once = if self.unreached > 0 { 1 } else { AT_ONCE };
        let free = at_once.saturating_sub(sending.len());
        if free == 0 {
            return;
        }
        let mut ready: BTreeMap<NoticeId, LineId> = BTreeMap::new();
        for (id, line) in self.lines.iter() {
            if let Some(first) = line.ready(now) {
                ready.insert(first.id, id);
                if ready.len() > free {
                    ready.pop_last();
                }
            }
        }
        for id in ready.into_values() {
            let Some(line) = self.lines.get_mut(id) else {
                continue;
            };
            let Some(notice) = line.first().cloned() else {
                continue;
            };
            line.sending();
            let (archive, http) = (self.archive.clone(), self.http.clone());
            let receiver = receiver.clone();
            sending.spawn(async move {
                let sent = request::send(archive, http, notice, receiver).await;
                (id, sent)
            });
        }
    }

    /// Notes what came of a request.
    fn settle(&mut self, of: LineId, sent: Sent) {
        let Some(line) = self.lines.get_mut(of) else {
            return;
        };
        line.sent();
        let Some(id) = line.first().map(|notice| notice.id) else {
            return;
        };
        let (state, code, answer) = match sent {
            Sent::Answered(answer) if answer.is_taken() => {
                self.unreached = 0;
                meters::tried(&self.his, Outcome::Sent);
                (NoticeState::Sent, answer.code, answer.desc)
            }
            Sent::Answered(answer) => {
                self.unreached = 0;
                meters::tried(&self.his, Outcome::Refused);
                (line.refused(), answer.code, answer.desc)
            }
            Sent::Unreached(why) => {
                meters::tried(&self.his, Outcome::Unreached);
                let times = line.unreached();
                self.was_not_reached(&why);
                // The log need not tell of each try: a receiver may be away for days.
                if !times.is_power_of_two() {
                    return;
                }
                let why = format!("{why}；第 {times} 次未接通 (not reached, {times} times)");
                (NoticeState::Open, String::new(), why)
            }
            Sent::NotComposed(why) => {
                tracing::error!(his = %self.his, notice = %id, why, "a notice cannot be composed");
                line.not_sent();
                return;
            }
            Sent::Dropped(dropped) => {
                if dropped == id {
                    line.pop();
                    self.in_memory = self.in_memory.saturating_sub(1);
                    self.lines.recorded(of);
                }
                return;
            }
        };
        self.note(of, id, state, &code, &answer);
    }

    /// Pauses before the next look at the receiver. Requests that were under way together count as one look.
    fn was_not_reached(&mut self, why: &str) {
        let now = Instant::now();
        if self.pause_until.is_none_or(|until| until <= now) {
            self.unreached = self.unreached.saturating_add(1);
            self.pause_until = Some(now + pace::after_unreached(self.unreached));
            let times = self.unreached;
            tracing::warn!(his = %self.his, times, why, "a receiver of notices cannot be reached");
        }
    }

    /// Puts a result among those that go into the log; what is done with leaves its line.
    fn note(&mut self, of: LineId, id: NoticeId, state: NoticeState, code: &str, answer: &str) {
        let Some(line) = self.lines.get_mut(of) else {
            return;
        };
        let tries = line.refusals() + u32::from(state == NoticeState::Sent);
        if state != NoticeState::Open {
            line.pop();
            self.in_memory = self.in_memory.saturating_sub(1);
            self.unrecorded.push(of);
        }
        if self.results.is_empty() {
            self.results_since = Instant::now();
        }
        self.results.push(TriedNotice {
            id,
            state,
            tries,
            code: cut(code),
            answer: cut(answer),
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
            Ok(_) => self.recorded(),
            Err(error) => {
                tracing::warn!(his = %self.his, %error, "results of notices wait for the log");
                tokio::time::sleep(pace::after_unreached(1)).await;
            }
        }
    }

    fn recorded(&mut self) {
        self.results.clear();
        for of in self.unrecorded.drain(..) {
            self.lines.recorded(of);
        }
    }

    /// When there is something to do that cannot be done now.
    fn next_wake(&self, is_on: bool) -> Option<Instant> {
        let now = Instant::now();
        let recorded_by = (!self.results.is_empty()).then(|| self.results_since + RESULTS_WAIT);
        let has_room = self.in_memory < WINDOW;
        let look = (self.has_more && has_room).then_some(self.next_look);
        let pause = self.pause_until.filter(|until| *until > now);
        let lines = self
            .lines
            .iter()
            .filter_map(|(_, line)| Line::waits_until(line));
        // While it pauses, no line can begin.
        let begin = pause.or_else(|| lines.filter(|until| *until > now).min());
        let begin = begin.filter(|_| is_on);
        recorded_by.into_iter().chain(look).chain(begin).min()
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
