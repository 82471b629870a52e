//! One try to fetch one study, and how it ended, in words for people.

use yingku_core::pull::{PullRow, PullState};
use yingku_core::registry::PullMethod;
use yingku_dicom_node::gateway::{Depth, Found, Gateway, GatewayError};
use yingku_dicom_node::scp::{Came, Scp};
use yingku_dicom_node::scu::{Outcome, ScuError};
use yingku_storage::archive::Archive;

/// What one try needs.
pub struct Attempt {
    pub archive: Archive,
    pub scp: Scp,
    pub gateway: Gateway,
    pub method: PullMethod,
    pub row: PullRow,
}

/// How a try ended.
#[derive(Debug)]
pub enum Ended {
    /// Nobody answered: that says nothing of the study.
    Unreached(String),
    /// The association broke off.
    Broken(Given),
    /// The gateway answered, and the study is not whole, as far as it says.
    Lacking(Given),
    /// The images are here.
    Whole(Given),
    /// The archive's own trouble.
    Failed(String),
}

/// What a gateway gave.
#[derive(Debug, Default)]
pub struct Given {
    pub expected: Option<u32>,
    /// As [`PullRow::got`].
    pub got: Option<u32>,
    /// Readers see more images than before.
    pub has_come: bool,
    pub words: String,
}

impl Attempt {
    pub async fn run(self) -> Ended {
        let before = self.images();
        // Counting what a gateway does not count itself may take as long as a tenth of the images: that is done where
        // the count decides, before a study is fetched again of which all was given, and below.
        let depth = match (self.row.got, self.method) {
            (Some(_), _) => Depth::Count,
            (None, PullMethod::Get) => Depth::Classes,
            (None, PullMethod::Move) => Depth::Presence,
        };
        let mut found = match self.look(depth).await {
            Ok(found) => found,
            Err(error) => return self.not_answered(before, &error),
        };
        if let Some(nothing) = self.nothing_to_fetch(&found) {
            return Ended::Lacking(nothing);
        }
        let (fetched, came) = self.fetch(&found).await;
        // What came is in the views before anybody says what became of it.
        if let Err(error) = self.archive.settle().await {
            return Ended::Failed(error.to_string());
        }
        let outcome = match fetched {
            Ok(outcome) => outcome,
            Err(error) => return self.not_answered(before, &error),
        };
        let is_done = match self.archive.views().pull(&self.row.study) {
            // The log says so as soon as the declared images are here.
            Ok(Some(pull)) => pull.state == PullState::Done,
            Ok(None) => true,
            Err(error) => return Ended::Failed(error.to_string()),
        };
        if !is_done && found.instances.is_none() {
            found = match self.look(Depth::Count).await {
                Ok(found) => found,
                Err(error) => return self.not_answered(before, &error),
            };
        }
        self.judge(before, is_done, &found, &outcome, came.as_ref())
    }

    async fn look(&self, depth: Depth) -> Result<Found, GatewayError> {
        let study = &self.row.study.study;
        match self.gateway.look(study, depth).await {
            // Who does not answer queries may send the study nevertheless. Its comment may name a patient.
            Err(GatewayError::Refused { status, .. }) => {
                tracing::info!(%study, %status, "a gateway does not say what it has");
                Ok(Found::default())
            }
            other => other,
        }
    }

    /// Images of the study that readers see.
    fn images(&self) -> u32 {
        let row = self.archive.views().study(&self.row.study);
        let row = row.ok().flatten();
        row.map_or(0, |row| row.counts().instances)
    }

    fn nothing_to_fetch(&self, found: &Found) -> Option<Given> {
        let lacking = |words: String| Given {
            expected: found.instances,
            got: self.row.got,
            has_come: false,
            words,
        };
        match (found.instances, self.row.got) {
            (Some(0), _) => Some(lacking(
                "网关没有该检查 (the gateway does not have this study)".to_owned(),
            )),
            (Some(has), Some(got)) if has <= got => Some(lacking(format!(
                "网关仍只有 {has} 幅，均已取过 (the gateway still has {has} instances only, all of them were fetched)"
            ))),
            _ => None,
        }
    }

    async fn fetch(&self, found: &Found) -> (Result<Outcome, GatewayError>, Option<Came>) {
        let study = &self.row.study.study;
        let Ok(ae) = yingku_core::ids::AeTitle::new(&self.gateway.called) else {
            return (Err(ScuError::NoContext(String::new()).into()), None);
        };
        match self.method {
            PullMethod::Get => {
                let store = self.scp.fetched_store(self.row.study.clone(), ae);
                let undeclared = self.scp.settings().undeclared;
                let fetched = self.gateway.get(study, found, &store, undeclared).await;
                (fetched, Some(store.settle().await))
            }
            PullMethod::Move => {
                let bandwidth = self.gateway.bandwidth.clone();
                let _awaited = self.scp.await_gateway(ae, bandwidth);
                let own = self.scp.settings().ae_title.clone();
                (self.gateway.move_to(study, &own).await, None)
            }
        }
    }

    fn not_answered(&self, before: u32, error: &GatewayError) -> Ended {
        let why = with_sources(error);
        let given = |words: String| Given {
            expected: self.row.expected,
            got: None,
            has_come: self.images() > before,
            words,
        };
        match error {
            GatewayError::Unreached(_) => {
                Ended::Unreached(format!("网关连接不上 (no association): {why}"))
            }
            GatewayError::Broken(ScuError::NoContext(_)) => {
                Ended::Lacking(given(format!("网关不提供所需服务 (not offered): {why}")))
            }
            GatewayError::Broken(_) | GatewayError::Refused { .. } => {
                Ended::Broken(given(format!("与网关的连接中断 (broken off): {why}")))
            }
        }
    }

    fn judge(
        &self,
        before: u32,
        is_done: bool,
        found: &Found,
        outcome: &Outcome,
        came: Option<&Came>,
    ) -> Ended {
        let counts = outcome.counts;
        let sent = match came {
            Some(came) => came.stored.saturating_add(came.refused),
            None => u32::from(counts.completed).saturating_add(u32::from(counts.warning)),
        };
        let gave_all = outcome.status.is_done()
            && counts.failed == 0
            // One that has none by now confirms nothing.
            && found.instances.is_none_or(|has| has > 0 && sent >= has);
        let is_refused = came.is_some_and(|came| came.refused > 0);
        let may_take_later = came.is_some_and(|came| came.refused_for_now > 0);
        let has = found.instances.or_else(|| meant(outcome, sent));
        let result = Given {
            expected: has,
            got: (gave_all && !may_take_later && sent > 0).then_some(sent),
            has_come: self.images() > before,
            words: words(has, outcome, came, sent),
        };
        // Where no count is declared the gateway's word is all there is; the log refuses it where one is.
        if is_done || (gave_all && !is_refused && self.images() > 0) {
            Ended::Whole(result)
        } else {
            Ended::Lacking(result)
        }
    }
}

/// How many instances it meant to send, as it counts its own sub-operations.
fn meant(outcome: &Outcome, sent: u32) -> Option<u32> {
    let counts = outcome.counts;
    let all = [
        counts.completed,
        counts.failed,
        counts.warning,
        counts.remaining,
    ];
    let meant: u32 = all.into_iter().map(u32::from).sum();
    // Its counts have 16 bits.
    let meant = meant.max(sent);
    (meant > 0).then_some(meant)
}

fn words(has: Option<u32>, outcome: &Outcome, came: Option<&Came>, sent: u32) -> String {
    let has = has.map_or_else(|| "?".to_owned(), |has| has.to_string());
    let mut words = format!("网关有 {has} 幅，送来 {sent} 幅 (sent {sent} of {has})");
    if let Some(came) = came
        && came.refused > 0
    {
        let (refused, why) = (came.refused, &came.last_refusal);
        words += &format!("；未收 {refused} 幅 (not taken): {why}");
    }
    let of_others = came.map_or(0, |came| came.of_others);
    if of_others > 0 {
        words += &format!("；另送来他检查 {of_others} 幅，未收 (of other studies, not taken)");
    }
    let failed = outcome.counts.failed;
    if failed > 0 || !outcome.status.is_done() {
        let (status, comment) = (outcome.status, &outcome.comment);
        words += &format!("；网关未送出 {failed} 幅 (not sent): {status} {comment}");
    }
    words
}

/// What failed, with what it comes from: an error of ours does not repeat its source.
fn with_sources(error: &GatewayError) -> String {
    let mut words = error.to_string();
    if let GatewayError::Refused { comment, .. } = error {
        words = format!("{words} {comment}");
    }
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        let cause_words = cause.to_string();
        if !words.contains(&cause_words) {
            words = format!("{words}: {cause_words}");
        }
        source = cause.source();
    }
    words
}
