//! `yingku audit …`

use std::process::ExitCode;

use clap::{Args, Subcommand};
use yingku_core::supervision::unusual::Limits;

use super::Place;
use crate::operate::{Operation, UnusualAsked};

#[derive(Debug, Subcommand)]
pub enum AuditCommand {
    /// 异常调阅：看得多、夜间、急诊理由多、多人看同一检查、被拒多 (many exams, by night, many emergencies, many users at one exam,
    /// many refused attempts)
    Unusual {
        /// 调阅日期，首日 (first day of the reading) YYYY-MM-DD
        #[arg(long, value_name = "日期")]
        from: String,
        /// 末日，含 (last day, inclusive)
        #[arg(long, value_name = "日期")]
        to: String,
        /// 不看此调阅方，如 app:代码、ae:名称，可多次 (leave out a reader; may be given again)
        #[arg(long, value_name = "调阅方")]
        except: Vec<String>,
        #[command(flatten)]
        limits: LimitFlags,
        /// 输出 JSON (as JSON)
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        place: Place,
    },
}

/// [`Limits`], flag by flag.
#[derive(Debug, Args)]
pub struct LimitFlags {
    /// 一小时内打开的不同检查；以下各限 0 为不查 (exams opened in an hour; 0 here and below: not looked for)
    #[arg(long, value_name = "个", default_value_t = Limits::default().opened_hour)]
    hour_exams: u32,
    /// 一天内打开的不同检查 (exams opened in a day)
    #[arg(long, value_name = "个", default_value_t = Limits::default().opened_day)]
    day_exams: u32,
    /// 一天内在列表中看到的不同检查 (exams seen in lists in a day)
    #[arg(long, value_name = "个", default_value_t = Limits::default().listed_day)]
    day_listed: u32,
    /// 夜间自几时至几时 (the night's hours) 22-6
    #[arg(long, value_parser = night, value_name = "时-时", default_value = "22-6")]
    night: (u8, u8),
    /// 夜间调阅次数 (readings by night)
    #[arg(long, value_name = "次", default_value_t = Limits::default().night_least)]
    night_readings: u32,
    /// 夜间每小时为其白天每小时的几倍以上 (so many times as many an hour as by day)
    #[arg(long, value_name = "倍", default_value_t = Limits::default().night_times)]
    night_times: u32,
    /// 一天内以急诊为理由的次数 (readings for an emergency in a day)
    #[arg(long, value_name = "次", default_value_t = Limits::default().emergencies_day)]
    day_emergencies: u32,
    /// 打开同一检查的外院用户数 (users of other hospitals at one exam)
    #[arg(long, value_name = "人", default_value_t = Limits::default().lookers)]
    exam_users: u32,
    /// 在几天之内 (within so many days)
    #[arg(long, value_name = "天", default_value_t = Limits::default().lookers_days)]
    exam_days: u32,
    /// 一天内因无权限或无理由被拒的次数 (refused attempts in a day)
    #[arg(long, value_name = "次", default_value_t = Limits::default().refused_day)]
    day_refused: u32,
}

impl From<LimitFlags> for Limits {
    fn from(flags: LimitFlags) -> Self {
        Self {
            opened_hour: flags.hour_exams,
            opened_day: flags.day_exams,
            listed_day: flags.day_listed,
            night: flags.night,
            night_least: flags.night_readings,
            night_times: flags.night_times,
            emergencies_day: flags.day_emergencies,
            lookers: flags.exam_users,
            lookers_days: flags.exam_days,
            refused_day: flags.day_refused,
        }
    }
}

fn night(text: &str) -> Result<(u8, u8), String> {
    let hours = text.split_once('-').and_then(|(from, to)| {
        let hour = |text: &str| text.parse::<u8>().ok().filter(|hour| *hour < 24);
        Some((hour(from)?, hour(to)?))
    });
    hours
        .filter(|(from, to)| from != to)
        .ok_or_else(|| "应为两个不同的整点，如 22-6 (must be two different hours, 22-6)".to_owned())
}

impl AuditCommand {
    pub async fn run(self) -> anyhow::Result<ExitCode> {
        let Self::Unusual {
            from,
            to,
            except,
            limits,
            json,
            place,
        } = self;
        let asked = UnusualAsked {
            from,
            to,
            limits: limits.into(),
            except,
            json,
        };
        place.run(Operation::AuditUnusual { asked }).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_night_is_two_different_hours_of_a_day() {
        assert_eq!(night("22-6"), Ok((22, 6)));
        assert_eq!(night("0-5"), Ok((0, 5)));
        for wrong in ["22", "22-24", "6-6", "a-b", "-1-5"] {
            assert!(night(wrong).is_err(), "{wrong}");
        }
    }
}
