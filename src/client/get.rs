//! C-GET (PS3.4 annex C): fetches what matches into a folder.

use std::fs::{self, File};
use std::io::Write;
use std::path::PathBuf;

use anyhow::Context;
use bytes::Bytes;
use clap::Args;
use futures::future::BoxFuture;
use yingku_dicom_node::association::ProposedContext;
use yingku_dicom_node::gateway::SYNTAXES;
use yingku_dicom_node::scu::{Scu, service_context};
use yingku_dicom_node::status::Status;
use yingku_dicom_node::store::{Announced, Arrived, InstanceSink, InstanceStore, StoreRefusal};
use yingku_dicom_node::text::Undeclared;

use super::find::{Level, identifier, matches};
use super::node::Address;
use super::retrieve::report;

/// Contexts left for instances, beside the one of C-GET itself.
const CONTEXTS_LIMIT: usize = 127;

#[derive(Debug, Args)]
pub struct Get {
    #[command(flatten)]
    address: Address,
    /// 存放的目录 (folder)
    #[arg(long, value_name = "目录")]
    out: PathBuf,
    /// 层级 (level)
    #[arg(
        long,
        value_enum,
        ignore_case = true,
        default_value = "STUDY",
        value_name = "层级"
    )]
    level: Level,
    /// 取什么，如 StudyInstanceUID=1.2.3 (what to retrieve)
    #[arg(required = true, value_name = "关键字=值")]
    keys: Vec<String>,
}

impl Get {
    pub async fn run(self) -> anyhow::Result<bool> {
        fs::create_dir_all(&self.out).with_context(|| self.out.display().to_string())?;
        let model = self.level.model();
        let mut contexts = vec![service_context(model.retrieve_by_get())];
        contexts.extend(self.storage_contexts().await?);
        let keys = identifier(self.level, &self.keys)?;
        let mut scu = self.address.connect(contexts).await?;
        let folder = Folder(self.out);
        let outcome = scu
            .retrieve(model, &keys, &folder, Undeclared::default())
            .await?;
        scu.release().await?;
        Ok(report(&outcome))
    }

    /// Which classes to offer only the node knows: it is asked first.
    async fn storage_contexts(&self) -> anyhow::Result<Vec<ProposedContext>> {
        let model = self.level.model();
        let mut scu = self
            .address
            .connect(vec![service_context(model.find())])
            .await?;
        let mut found = Vec::new();
        for mut wanted in self.studies(&mut scu).await? {
            wanted.push("SOPClassUID".to_owned());
            let keys = identifier(Level::Image, &wanted)?;
            found.extend(matches(&mut scu, model, &keys).await?.1);
        }
        scu.release().await?;
        let mut classes: Vec<String> = found
            .into_iter()
            .filter_map(|mut row| row.remove("SOPClassUID"))
            .filter(|class| !class.is_empty())
            .collect();
        classes.sort();
        classes.dedup();
        let each = |class: &String| {
            let class = class.clone();
            SYNTAXES.into_iter().map(move |syntax| ProposedContext {
                abstract_syntax: class.clone(),
                transfer_syntaxes: vec![syntax.to_owned()],
                we_are_scp: true,
            })
        };
        Ok(classes.iter().flat_map(each).take(CONTEXTS_LIMIT).collect())
    }

    /// Keys of each study to ask for images of: they are found within a study, and a patient may have several.
    async fn studies(&self, scu: &mut Scu) -> anyhow::Result<Vec<Vec<String>>> {
        if self.level != Level::Patient {
            return Ok(vec![self.keys.clone()]);
        }
        let uid = "StudyInstanceUID";
        let with = |key: String| [self.keys.clone(), vec![key]].concat();
        let keys = identifier(Level::Study, &with(uid.to_owned()))?;
        let (_, found) = matches(scu, self.level.model(), &keys).await?;
        let studies = found.into_iter().filter_map(|mut row| row.remove(uid));
        Ok(studies
            .map(|study| with(format!("{uid}={study}")))
            .collect())
    }
}

/// Keeps instances as files, `UID.dcm`.
struct Folder(PathBuf);

struct Growing {
    file: File,
    part: PathBuf,
    whole: PathBuf,
}

fn refusal(error: &std::io::Error) -> StoreRefusal {
    StoreRefusal::new(Status::OUT_OF_RESOURCES, error.kind().to_string())
}

impl InstanceStore for Folder {
    fn begin(
        &self,
        announced: Announced,
    ) -> BoxFuture<'_, Result<Box<dyn InstanceSink>, StoreRefusal>> {
        let begin = || {
            // The name is the peer's word: only what a UID has gets into a path.
            let uid: String = announced
                .sop_instance
                .chars()
                .filter(|c| c.is_ascii_digit() || *c == '.')
                .collect();
            let whole = self.0.join(format!("{uid}.dcm"));
            let part = whole.with_extension("part");
            let mut file = File::create(&part)?;
            file.write_all(&announced.file_meta().encode())?;
            Ok(Box::new(Growing { file, part, whole }) as Box<dyn InstanceSink>)
        };
        let begun = begin().map_err(|error| refusal(&error));
        Box::pin(std::future::ready(begun))
    }
}

impl InstanceSink for Growing {
    fn write(&mut self, chunk: Bytes) -> BoxFuture<'_, Result<(), StoreRefusal>> {
        let written = self.file.write_all(&chunk).map_err(|error| refusal(&error));
        Box::pin(std::future::ready(written))
    }

    fn finish(self: Box<Self>, _: Arrived) -> BoxFuture<'static, Result<(), StoreRefusal>> {
        let kept = self
            .file
            .sync_all()
            .and_then(|()| fs::rename(&self.part, &self.whole))
            .map_err(|error| refusal(&error));
        Box::pin(std::future::ready(kept))
    }
}
