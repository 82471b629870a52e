//! `yingku notices …`

use std::process::ExitCode;

use clap::{Args, Subcommand, ValueEnum};
use yingku_core::ids::HisId;
use yingku_core::notice::{NoticeId, NoticeState};

use super::Place;
use crate::operate::{Again, NoticesAsked, Operation};

/// Notices that are listed of each HIS and state, if nobody says how many.
const LISTED: usize = 100;

#[derive(Debug, Subcommand)]
pub enum NoticesCommand {
    /// 待送与停发的通知，或已送、作废的 (what waits, or what was sent or dropped)
    List {
        /// 只看一个 HIS (of one HIS)
        #[arg(long, value_parser = his, value_name = "HIS")]
        his: Option<HisId>,
        /// 只看一种状态；省略则待送与停发 (in one state; none: open and stopped)
        #[arg(long, value_enum, value_name = "状态")]
        state: Option<State>,
        /// 每个 HIS、每种状态至多列多少条 (of each HIS and state, at most)
        #[arg(long, default_value_t = LISTED, value_name = "条数")]
        limit: usize,
        #[command(flatten)]
        place: Place,
    },
    /// 重新发送：停发的、待送的或已送的 (send again)
    Again(AgainAsked),
}

#[derive(Debug, Args)]
pub struct AgainAsked {
    #[arg(long, value_parser = his, value_name = "HIS")]
    his: HisId,
    /// 编号，见 notices list (as notices list names them)
    #[arg(value_parser = notice, value_name = "编号", required_unless_present_any = ["all_stopped", "all_open"])]
    notices: Vec<NoticeId>,
    /// 所有停发的 (all that are stopped)
    #[arg(long, conflicts_with = "notices")]
    all_stopped: bool,
    /// 所有待送的，不再等待 (all that are open, at once)
    #[arg(long, conflicts_with_all = ["notices", "all_stopped"])]
    all_open: bool,
    #[command(flatten)]
    place: Place,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum State {
    Open,
    Stopped,
    Sent,
    Dropped,
}

impl State {
    fn state(self) -> NoticeState {
        match self {
            Self::Open => NoticeState::Open,
            Self::Stopped => NoticeState::Stopped,
            Self::Sent => NoticeState::Sent,
            Self::Dropped => NoticeState::Dropped,
        }
    }
}

impl NoticesCommand {
    pub async fn run(self) -> anyhow::Result<ExitCode> {
        match self {
            Self::List {
                his,
                state,
                limit,
                place,
            } => {
                let asked = NoticesAsked {
                    his,
                    state: state.map(State::state),
                    limit,
                };
                place.run(Operation::Notices { asked }).await
            }
            Self::Again(asked) => {
                let which = match (asked.all_stopped, asked.all_open) {
                    (true, _) => Again::AllStopped,
                    (_, true) => Again::AllOpen,
                    _ => Again::Named(asked.notices),
                };
                let his = asked.his;
                asked
                    .place
                    .run(Operation::NoticesAgain { his, which })
                    .await
            }
        }
    }
}

fn his(text: &str) -> Result<HisId, String> {
    HisId::new(text).map_err(|error| error.to_string())
}

fn notice(text: &str) -> Result<NoticeId, String> {
    NoticeId::parse(text).ok_or_else(|| {
        "应如 1234.0，见 yingku notices list (as yingku notices list names them)".to_owned()
    })
}
