//! The command line.

mod app;
mod audit;
mod backfill;
mod backup;
mod correct;
mod forms;
mod index;
mod log;
mod migrate;
mod notices;
mod pull;
mod reconcile;
mod registry;
mod report;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand, ValueEnum};
use yingku_core::finding::FindingKind;
use yingku_core::ids::{HospitalCode, PackId, StudyUid};

use crate::client::Client;
use crate::config::Config;
use crate::control;
use crate::operate::{Compacting, Lost, Operation, Ruling};
use crate::serve::{self, Serve};

/// 影库：区域医学影像归档 (a regional medical imaging archive)
#[derive(Debug, Parser)]
#[command(name = "yingku", version, disable_help_subcommand = true)]
pub struct Yingku {
    #[command(subcommand)]
    command: Command,
}

/// How `yingku serve` starts its own processes that make pictures.
pub const RENDER_WORKER: &str = "render-worker";

#[derive(Debug, Subcommand)]
enum Command {
    /// Answers `yingku serve` on standard input and output.
    #[command(name = RENDER_WORKER, hide = true)]
    RenderWorker,
    /// 运行归档 (run the archive)
    Serve(Serve),
    /// 医院、应用、DICOM 节点的登记 (hospitals, apps, peers)
    #[command(subcommand)]
    Registry(registry::RegistryCommand),
    /// 应用：列表与被拒请求 (apps and why their requests were refused)
    #[command(subcommand)]
    App(app::AppCommand),
    /// 更正：撤回、隐藏、移动、释放、裁定、撤销 (corrections)
    Correct(correct::Correct),
    /// 事件日志 (the event log)
    #[command(subcommand)]
    Log(log::LogCommand),
    /// 申请单：进展、超时未检、时效 (apply forms: how far they have come, and how long it takes)
    #[command(subcommand)]
    Forms(forms::FormsCommand),
    /// 状态回传：待送、停发、重发 (status notices to HIS)
    #[command(subcommand)]
    Notices(notices::NoticesCommand),
    /// 调取：从医院网关取影像 (studies that are fetched from gateways)
    #[command(subcommand)]
    Pull(pull::PullCommand),
    /// 调阅记录：异常调阅 (who read what: unusual reading)
    #[command(subcommand)]
    Audit(audit::AuditCommand),
    /// 医保影像云索引：补算、导出、导入回执 (the national imaging index: form, export, take answers)
    #[command(subcommand)]
    Index(index::IndexCommand),
    /// 补取：一家医院往日检查的影像 (fetch the images of a hospital's past exams)
    Backfill(backfill::Backfill),
    /// 对账：应上传与已归档 (declared against what came)
    Reconcile(reconcile::Reconcile),
    /// 报表：日报 (reports: one day)
    #[command(subcommand)]
    Report(report::ReportCommand),
    /// 接口的对端，供厂商试接 (the other side of the interfaces)
    Client(Client),
    /// 待处理清单 (what an operator should look at)
    Findings {
        /// 种类；省略则全部 (one kind only)
        #[arg(value_enum, value_name = "种类")]
        kind: Option<Kind>,
        /// 只看一家医院 (of one hospital)
        #[arg(long, value_parser = hospital, value_name = "医院代码")]
        hospital: Option<HospitalCode>,
        #[command(flatten)]
        place: Place,
    },
    /// 清除一家医院的测试检查 (purge a hospital's test exams)
    PurgeTestData {
        /// 处于或曾处于测试模式的医院 (a hospital in mode test, or that was)
        #[arg(value_parser = hospital, value_name = "医院代码")]
        hospital: HospitalCode,
        /// 理由，记入日志 (why; kept in the log)
        #[arg(long, value_name = "理由")]
        reason: String,
        /// 裁定人 (who rules)
        #[arg(long, value_name = "姓名")]
        author: String,
        #[command(flatten)]
        place: Place,
    },
    /// 登记丢失的影像包：盘已毁、别处也没有；其影像从此算缺失，重发即重新入库 (packs that nobody can read any more)
    PackLost {
        /// 影像包；省略则该节点所有读不到的影像包 (packs; none: all of the node that cannot be read)
        #[arg(value_parser = pack, value_name = "影像包", required_unless_present = "node")]
        packs: Vec<PackId>,
        /// 节点编号 (whose packs)
        #[arg(long, value_name = "编号", conflicts_with = "packs")]
        node: Option<u16>,
        /// 只列出，不登记 (say what would be, change nothing)
        #[arg(long)]
        dry_run: bool,
        /// 理由，记入日志 (why; kept in the log)
        #[arg(long, value_name = "理由")]
        reason: String,
        /// 裁定人 (who rules)
        #[arg(long, value_name = "姓名")]
        author: String,
        #[command(flatten)]
        place: Place,
    },
    /// 运行状况 (where the archive stands)
    Status(Place),
    /// 逐字节复核；有损坏时退出码 1 (read every byte again; exit status 1 if damaged)
    Verify(Place),
    /// 重读本节点的全部影像包，把日志缺的补入 (read all packs again and bring what the log lacks into it)
    Rescan {
        /// 连日志一无所知的抄写份也补入：日志丢失过记录时用；此间已删除的影像也会回来 (also copies of which nothing is known: for a log
        /// that has lost records; what was deleted since comes back, too)
        #[arg(long)]
        copies: bool,
        #[command(flatten)]
        place: Place,
    },
    /// 整理本节点的影像包：按医院、月份、检查归拢，收回不再需要的空间 (regroup this node's packs; give space back)
    Compact {
        /// 多少小时没有新影像的包才整理 (leave packs alone into which something came within so many hours)
        #[arg(long, value_name = "小时", default_value_t = 1)]
        after_hours: u32,
        /// 不再需要的包再留多少小时 (keep what is given up for so many hours; readers may be at it)
        #[arg(long, value_name = "小时", default_value_t = 24)]
        keep_hours: u32,
        /// 一次最多抄写多少字节 (bytes that are copied at most)
        #[arg(long, value_name = "字节", default_value_t = 64 << 30)]
        max_bytes: u64,
        /// 只列出，不改动 (say what would be, change nothing)
        #[arg(long)]
        dry_run: bool,
        #[command(flatten)]
        place: Place,
    },
    /// 按保存规则删除到期影像；平时每天自动进行 (delete images whose time is over; done daily by itself)
    Retention {
        /// 只列出，不删除 (say what is due, change nothing)
        #[arg(long)]
        dry_run: bool,
        #[command(flatten)]
        place: Place,
    },
    /// 重建全部视图，不停服务 (make all views anew, while serving)
    Rebuild(Place),
    /// 把视图快照存入对象存储，新节点由此启动 (a snapshot of the views, from which a new node starts)
    Snapshot(Place),
    /// 视图的位置与摘要：两个节点在同一位置应相同 (position and digest of the views: nodes agree at the same position)
    Digest(Place),
    /// 备份日志与影像包到另一处，持续进行，并示落后多少 (copy log and packs to another place, continuously)
    Backup(backup::Backup),
    /// 由备份还原，并以摘要核对 (make an archive from a copy, and prove it by digest)
    Restore(backup::Restore),
    /// 把一家医院的全部资料与影像写成文件 (hand a hospital all that is its own)
    Export {
        /// 医院代码 (hospital)
        #[arg(long, value_parser = hospital, value_name = "医院代码")]
        hospital: HospitalCode,
        /// 目录，须不存在，由服务进程写 (a directory to be made by the serving process)
        #[arg(long, value_name = "目录")]
        to: PathBuf,
        #[command(flatten)]
        place: Place,
    },
    /// 迁移：内嵌日志与 Kafka 之间、对象存储取回本地；须先停止所有节点 (move the archive; only while no node runs)
    Migrate(migrate::Migrate),
    /// 启用本版本的规则；有节点不是以本版本启动时拒绝 (put this release's rules in force; refused while a node has another
    /// release)
    ActivateRules {
        /// 已永久停用、不必再等的节点，编号以逗号分隔 (nodes that are gone for good and not waited for, by number; 1,2)
        #[arg(long, value_name = "编号", value_delimiter = ',')]
        gone: Vec<u16>,
        #[command(flatten)]
        place: Place,
    },
}

/// Where the archive is.
#[derive(Debug, Clone, Args)]
pub struct Place {
    /// 数据目录 (data directory)
    #[arg(long, env = "YINGKU_DATA", value_name = "目录")]
    data: PathBuf,
    /// 服务的配置文件；服务未运行时用 (the server's settings, used when it does not run)
    #[arg(long, env = "YINGKU_CONFIG", value_name = "文件")]
    config: Option<PathBuf>,
    /// 事件日志所在，覆盖配置；服务未运行时用 (overrides log.place, used when the server does not run)
    #[arg(long, value_name = "位置")]
    log: Option<String>,
    /// 对象存储，覆盖配置；服务未运行时用 (overrides objects.location, used when the server does not run)
    #[arg(long, value_name = "位置")]
    objects: Option<String>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Kind {
    StudyConflict,
    NumberReuse,
    FormReuse,
    IdentityDoubt,
    FurtherVersion,
    Overflow,
    LegalHold,
    NotPushed,
    IndexCollision,
}

impl Kind {
    fn finding(self) -> FindingKind {
        match self {
            Self::StudyConflict => FindingKind::StudyConflict,
            Self::NumberReuse => FindingKind::NumberReuse,
            Self::FormReuse => FindingKind::FormReuse,
            Self::IdentityDoubt => FindingKind::IdentityDoubt,
            Self::FurtherVersion => FindingKind::FurtherVersion,
            Self::Overflow => FindingKind::Overflow,
            Self::LegalHold => FindingKind::LegalHold,
            Self::NotPushed => FindingKind::NotPushed,
            Self::IndexCollision => FindingKind::IndexCollision,
        }
    }
}

impl Place {
    /// Has the operation done, by the server that runs here or by this process.
    pub async fn run(&self, operation: Operation) -> anyhow::Result<ExitCode> {
        let mut config = Config::load(self.config.as_deref())?;
        if let Some(place) = &self.log {
            config.log.place.clone_from(place);
        }
        if self.objects.is_some() {
            config.objects.location.clone_from(&self.objects);
        }
        control::run(&config, &self.data, operation).await
    }
}

impl Yingku {
    pub fn is_render_worker(&self) -> bool {
        matches!(self.command, Command::RenderWorker)
    }

    /// Commands say what they have to say on standard output; a server tells what it does.
    pub fn log_level(&self) -> &'static str {
        match self.command {
            Command::Serve(_) => "info",
            _ => "warn",
        }
    }

    pub async fn run(self) -> anyhow::Result<ExitCode> {
        match self.command {
            Command::Serve(arguments) => serve::serve(arguments).await,
            // Main has seen to it, without a runtime.
            Command::RenderWorker => Ok(ExitCode::FAILURE),
            Command::Registry(command) => command.run().await,
            Command::App(command) => command.run().await,
            Command::Correct(command) => command.run().await,
            Command::Log(command) => command.run().await,
            Command::Forms(command) => command.run().await,
            Command::Notices(command) => command.run().await,
            Command::Pull(command) => command.run().await,
            Command::Index(command) => command.run().await,
            Command::Audit(command) => command.run().await,
            Command::Backfill(command) => command.run().await,
            Command::Reconcile(command) => command.run().await,
            Command::Report(command) => command.run().await,
            Command::Client(command) => command.run().await,
            Command::Findings {
                kind,
                hospital,
                place,
            } => {
                let kind = kind.map(Kind::finding);
                place.run(Operation::Findings { kind, hospital }).await
            }
            Command::PurgeTestData {
                hospital,
                reason,
                author,
                place,
            } => {
                let ruling = Ruling::new(&reason, &author)?;
                let purge = Operation::PurgeTestData { hospital, ruling };
                place.run(purge).await
            }
            Command::PackLost {
                packs,
                node,
                dry_run,
                reason,
                author,
                place,
            } => {
                let ruling = Ruling::new(&reason, &author)?;
                let meant = Lost {
                    packs,
                    node,
                    dry_run,
                };
                place.run(Operation::PackLost { meant, ruling }).await
            }
            Command::Status(place) => place.run(Operation::Status).await,
            Command::Verify(place) => place.run(Operation::Verify).await,
            Command::Rescan { copies, place } => place.run(Operation::Rescan { copies }).await,
            Command::Compact {
                after_hours,
                keep_hours,
                max_bytes,
                dry_run,
                place,
            } => {
                let how = Compacting {
                    after_hours,
                    keep_hours,
                    max_bytes,
                    dry_run,
                };
                place.run(Operation::Compact { how }).await
            }
            Command::Retention { dry_run, place } => {
                place.run(Operation::Retention { dry_run }).await
            }
            Command::Rebuild(place) => place.run(Operation::Rebuild).await,
            Command::Snapshot(place) => place.run(Operation::Snapshot).await,
            Command::Digest(place) => place.run(Operation::Digest).await,
            Command::Backup(backup) => backup.run().await,
            Command::Restore(restore) => restore.run().await,
            Command::Export {
                hospital,
                to,
                place,
            } => {
                let to = std::path::absolute(&to)?;
                place.run(Operation::Export { hospital, to }).await
            }
            Command::Migrate(migrate) => migrate.run().await,
            Command::ActivateRules { gone, place } => {
                place.run(Operation::ActivateRules { gone }).await
            }
        }
    }
}

fn hospital(text: &str) -> Result<HospitalCode, String> {
    HospitalCode::new(text).map_err(|error| error.to_string())
}

fn study_uid(text: &str) -> Result<StudyUid, String> {
    StudyUid::new(text).map_err(|error| error.to_string())
}

fn pack(text: &str) -> Result<PackId, String> {
    PackId::parse(text).ok_or_else(|| {
        "应如 0001-00000000002a，见 yingku verify (as yingku verify names them)".to_owned()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        use clap::CommandFactory;
        Yingku::command().debug_assert();
    }
}
