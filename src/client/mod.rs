//! The other side of the interfaces, for vendors who try an archive from a shell and for the demo.

mod apply;
mod contract;
mod exams;
mod files;
mod find;
mod get;
mod link;
mod node;
mod retrieve;
mod send;
mod status_receiver;
mod worklist;

use std::process::ExitCode;

use clap::{Args, Subcommand};

pub use contract::{Credentials, Session};

#[derive(Debug, Args)]
pub struct Client {
    #[command(flatten)]
    credentials: Credentials,
    #[command(subcommand)]
    command: ClientCommand,
}

#[derive(Debug, Subcommand)]
enum ClientCommand {
    /// 取令牌并打印 (get a token)
    Token,
    /// 推送检查，一个文件一次 (push examinations)
    Push(exams::Files),
    /// 只校验，不入库 (a dry run of a push)
    Validate(exams::Files),
    /// 申报应上传统计 (declare statistics)
    Statistics(exams::Files),
    /// 申报应上传明细 (declare which exams)
    Detail(exams::Files),
    /// SynApplyInfo：以 HIS 的身份发送申请单 (send apply forms as a HIS does)
    Apply(apply::Apply),
    /// 签发临床调阅链接并打印，以 HIS 的身份 (sign a link to the clinic page as a HIS does)
    Link(link::Link),
    /// SynStatusInfo：接收状态通知并显示 (take status notices and show them)
    StatusReceiver(status_receiver::StatusReceiver),
    /// C-ECHO：测试连通 (is the node there)
    Echo(node::Address),
    /// C-STORE：发送文件或整个目录 (send files and folders)
    Send(send::Send),
    /// C-FIND：查询 (find)
    Find(find::Find),
    /// C-FIND：查询检查工作列表 (the modality worklist)
    Worklist(worklist::Worklist),
    /// C-MOVE：让对方发往另一节点 (have it sent to another node)
    Move(retrieve::Move),
    /// C-GET：取到目录中 (into a folder)
    Get(get::Get),
}

impl Client {
    pub async fn run(self) -> anyhow::Result<ExitCode> {
        let credentials = self.credentials;
        let of_his = credentials.clone();
        let contract = |work: fn(&Session, exams::Files) -> anyhow::Result<bool>, files| async move {
            // HTTP blocks: a thread of its own.
            tokio::task::spawn_blocking(move || work(&Session::open(&credentials)?, files)).await?
        };
        let done = match self.command {
            ClientCommand::Token => contract(exams::token, exams::Files::default()).await?,
            ClientCommand::Push(files) => contract(exams::push, files).await?,
            ClientCommand::Validate(files) => contract(exams::validate, files).await?,
            ClientCommand::Statistics(files) => contract(exams::statistics, files).await?,
            ClientCommand::Detail(files) => contract(exams::detail, files).await?,
            ClientCommand::Apply(apply) => {
                tokio::task::spawn_blocking(move || apply.run(&of_his)).await??
            }
            ClientCommand::Link(link) => link.run(&of_his)?,
            ClientCommand::StatusReceiver(receiver) => receiver.run().await?,
            ClientCommand::Echo(address) => node::echo(&address).await?,
            ClientCommand::Send(send) => send.run().await?,
            ClientCommand::Find(find) => find.run().await?,
            ClientCommand::Worklist(worklist) => worklist.run().await?,
            ClientCommand::Move(retrieve) => retrieve.run().await?,
            ClientCommand::Get(get) => get.run().await?,
        };
        Ok(if done {
            ExitCode::SUCCESS
        } else {
            ExitCode::FAILURE
        })
    }
}
