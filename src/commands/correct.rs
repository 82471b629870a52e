//! `yingku correct …`: every ruling has a reason and a person, and can be undone.

use std::process::ExitCode;

use clap::{Args, Subcommand, ValueEnum};
use yingku_core::correction::{CorrectionAction, CorrectionMade, HIDE_LIMIT, ReuseRuling};
use yingku_core::ids::{
    ExamKey, ExamNo, HospitalCode, Position, SopInstanceUid, StudyKey, StudyUid,
};

use super::{Place, study_uid};
use crate::operate::Operation;

#[derive(Debug, Args)]
pub struct Correct {
    /// 理由，记入检查历史 (shown in the exam's history)
    #[arg(long, global = true, required = false, value_name = "理由")]
    reason: Option<String>,
    /// 裁定人 (who rules)
    #[arg(long, global = true, required = false, value_name = "姓名")]
    author: Option<String>,
    /// 数据目录 (data directory)
    #[arg(long, global = true, env = "YINGKU_DATA", value_name = "目录")]
    data: Option<std::path::PathBuf>,
    /// 服务的配置文件 (the server's settings)
    #[arg(long, global = true, env = "YINGKU_CONFIG", value_name = "文件")]
    config: Option<std::path::PathBuf>,
    /// 事件日志所在，覆盖配置 (overrides log.place)
    #[arg(long, global = true, value_name = "位置")]
    log: Option<String>,
    /// 对象存储，覆盖配置 (overrides objects.location)
    #[arg(long, global = true, value_name = "位置")]
    objects: Option<String>,
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// 撤回一次检查 (hide an exam)
    Withdraw {
        #[arg(value_parser = exam, value_name = "医院代码/流水号[#代]")]
        exam: NamedExam,
    },
    /// 隐藏影像：不列 SOP UID 则隐藏该 Study 现有的全部影像 (hide instances of a study, or all that are there now)
    Hide {
        #[arg(value_parser = study, value_name = "医院代码/STUDY_UID")]
        study: StudyKey,
        #[arg(value_parser = instance, value_name = "SOP_UID")]
        instances: Vec<SopInstanceUid>,
    },
    /// 把影像归到另一次检查 (give a study's images to another exam)
    MoveStudy {
        #[arg(value_parser = study, value_name = "医院代码/STUDY_UID")]
        study: StudyKey,
        #[arg(value_parser = exam, value_name = "医院代码/流水号[#代]")]
        to: NamedExam,
    },
    /// 解除一次检查对 Study UID 的占用 (end an exam's claim)
    ReleaseUid {
        #[arg(value_parser = study_uid, value_name = "STUDY_UID")]
        study: StudyUid,
        #[arg(value_parser = exam, value_name = "医院代码/流水号[#代]")]
        exam: NamedExam,
    },
    /// 裁定有争议的 Study UID 归谁 (say whose a contested study is)
    RuleConflict {
        #[arg(value_parser = study_uid, value_name = "STUDY_UID")]
        study: StudyUid,
        #[arg(value_parser = exam, value_name = "医院代码/流水号[#代]")]
        exam: NamedExam,
    },
    /// 选定同一 SOP UID 的哪一版影像显示 (say which version of an instance is shown)
    ChooseVersion {
        #[arg(value_parser = study, value_name = "医院代码/STUDY_UID")]
        study: StudyKey,
        #[arg(value_parser = instance, value_name = "SOP_UID")]
        instance: SopInstanceUid,
        /// 摘要或其开头，见 yingku findings (its digest or the beginning of it)
        #[arg(value_name = "摘要")]
        digest: String,
    },
    /// 裁定疑似复用流水号的推送 (say what a refused push was)
    RuleReuse {
        /// 被拒推送的位置，见 yingku findings (position of the refused push)
        #[arg(value_name = "位置")]
        refused: u64,
        /// 裁定 (what it was)
        #[arg(value_enum, value_name = "裁定")]
        ruling: Ruling,
    },
    /// 依法保留一次检查的影像：任何保存规则都不删除 (legal hold: no retention rule deletes its images)
    LegalHold {
        #[arg(value_parser = exam, value_name = "医院代码/流水号[#代]")]
        exam: NamedExam,
    },
    /// 撤销一次更正 (take a correction back)
    Undo {
        /// 更正的位置，撤回与更正的答复给出，检查历史中也有 (its position)
        #[arg(value_name = "位置")]
        correction: u64,
    },
}

/// An exam as an operator names it.
#[derive(Debug, Clone)]
pub(super) struct NamedExam {
    pub(super) key: ExamKey,
    /// Without `#代`: of the latest generation that has the number.
    pub(super) latest: bool,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Ruling {
    /// 是同一次检查的修正 (the same exam, corrected)
    Correction,
    /// 医院重新编号，是新检查 (the hospital numbers anew)
    NewGeneration,
}

impl Correct {
    pub async fn run(self) -> anyhow::Result<ExitCode> {
        let missing = |name: &str| anyhow::anyhow!("须给出 {name} (is required)");
        let latest_generation = self.action.exam().is_some_and(|exam| exam.latest);
        let made = CorrectionMade {
            reason: self.reason.ok_or_else(|| missing("--reason"))?,
            author: self.author.ok_or_else(|| missing("--author"))?,
            action: self.action.correction()?,
        };
        let place = Place {
            data: self.data.ok_or_else(|| missing("--data"))?,
            config: self.config,
            log: self.log,
            objects: self.objects,
        };
        let operation = Operation::Correct {
            made,
            latest_generation,
        };
        place.run(operation).await
    }
}

impl Action {
    fn exam(&self) -> Option<&NamedExam> {
        match self {
            Self::Withdraw { exam }
            | Self::LegalHold { exam }
            | Self::MoveStudy { to: exam, .. }
            | Self::ReleaseUid { exam, .. }
            | Self::RuleConflict { exam, .. } => Some(exam),
            Self::Hide { .. }
            | Self::ChooseVersion { .. }
            | Self::RuleReuse { .. }
            | Self::Undo { .. } => None,
        }
    }

    fn correction(self) -> anyhow::Result<CorrectionAction> {
        Ok(match self {
            Self::Withdraw { exam } => CorrectionAction::WithdrawExam { exam: exam.key },
            Self::LegalHold { exam } => CorrectionAction::LegalHold { exam: exam.key },
            Self::Hide { study, instances } => {
                anyhow::ensure!(
                    instances.len() <= HIDE_LIMIT,
                    "一次至多隐藏 {HIDE_LIMIT} 份影像 (instances at once)"
                );
                CorrectionAction::HideInstances { study, instances }
            }
            Self::MoveStudy { study, to } => CorrectionAction::MoveStudy { study, to: to.key },
            Self::ReleaseUid { study, exam } => CorrectionAction::ReleaseUid {
                study,
                exam: exam.key,
            },
            Self::RuleConflict { study, exam } => CorrectionAction::RuleConflict {
                study,
                exam: exam.key,
            },
            Self::ChooseVersion {
                study,
                instance,
                digest,
            } => CorrectionAction::ChooseVersion {
                study,
                instance,
                digest,
            },
            Self::RuleReuse { refused, ruling } => CorrectionAction::RuleReuse {
                refused: Position(refused),
                ruling: match ruling {
                    Ruling::Correction => ReuseRuling::Correction,
                    Ruling::NewGeneration => ReuseRuling::NewGeneration,
                },
            },
            Self::Undo { correction } => CorrectionAction::Undo {
                correction: Position(correction),
            },
        })
    }
}

/// `350006/E0001`, or `350006/E0001#1` of a certain generation.
pub(super) fn exam(text: &str) -> Result<NamedExam, String> {
    let (hospital, number) = text
        .split_once('/')
        .ok_or("写作 医院代码/流水号[#代] (hospital/examNo[#generation])")?;
    let (number, generation) = match number.rsplit_once('#') {
        Some((number, generation)) => match generation.parse() {
            Ok(generation) => (number, Some(generation)),
            Err(_) => return Err(format!("#{generation}: 不是代数 (no generation)")),
        },
        None => (number, None),
    };
    Ok(NamedExam {
        key: ExamKey {
            hospital: HospitalCode::new(hospital).map_err(|e| e.to_string())?,
            exam_no: ExamNo::new(number).map_err(|e| e.to_string())?,
            generation: generation.unwrap_or_default(),
        },
        latest: generation.is_none(),
    })
}

/// `350006/1.2.3`
fn study(text: &str) -> Result<StudyKey, String> {
    let (hospital, uid) = text
        .split_once('/')
        .ok_or("写作 医院代码/StudyInstanceUID (hospital/UID)")?;
    Ok(StudyKey::new(
        HospitalCode::new(hospital).map_err(|e| e.to_string())?,
        study_uid(uid)?,
    ))
}

fn instance(text: &str) -> Result<SopInstanceUid, String> {
    SopInstanceUid::new(text).map_err(|e| e.to_string())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn an_exam_is_read_as_it_is_printed() {
        for (text, latest) in [("350006/E1", true), ("350006/E1#2", false)] {
            let named = exam(text).unwrap();
            assert_eq!(
                (named.key.to_string().as_str(), named.latest),
                (text, latest)
            );
        }
        assert!(!exam("350006/E1#0").unwrap().latest);
        for wrong in ["E1", "350006/", "350006/E1#x"] {
            assert!(exam(wrong).is_err(), "{wrong}");
        }
    }
}
