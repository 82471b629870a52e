//! C-FIND (PS3.4 annex C), and the keys that a query is written with.

use std::collections::BTreeMap;

use anyhow::Context;
use clap::{Args, ValueEnum};
use serde_json::{Map, Value};
use yingku_dicom_node::dataset::{DataSetWriter, Identifier, keyword_of, tag_of};
use yingku_dicom_node::scu::{Model, Outcome, Scu, service_context};
use yingku_dicom_node::text::CharacterSet;

use super::node::{self, Address};
use crate::table::Table;

#[derive(Debug, Args)]
pub struct Find {
    #[command(flatten)]
    address: Address,
    /// 层级 (level)
    #[arg(
        long,
        value_enum,
        ignore_case = true,
        default_value = "STUDY",
        value_name = "层级"
    )]
    level: Level,
    /// 每个匹配一行 JSON (one line of JSON for each match)
    #[arg(long)]
    json: bool,
    /// 关键字=值 为条件，只写关键字为返回项 (Keyword=value matches, Keyword is returned)
    #[arg(required = true, value_name = "关键字[=值]")]
    keys: Vec<String>,
}

/// Query/retrieve level (PS3.4 §C.6).
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "UPPER")]
pub enum Level {
    Patient,
    Study,
    Series,
    Image,
}

impl Level {
    pub fn name(self) -> &'static str {
        match self {
            Self::Patient => "PATIENT",
            Self::Study => "STUDY",
            Self::Series => "SERIES",
            Self::Image => "IMAGE",
        }
    }

    pub fn model(self) -> Model {
        match self {
            Self::Patient => Model::PatientRoot,
            _ => Model::StudyRoot,
        }
    }
}

/// Keys as they are written on the command line.
pub fn identifier(level: Level, keys: &[String]) -> anyhow::Result<DataSetWriter> {
    let mut writer = DataSetWriter::new();
    put(&mut writer, "QueryRetrieveLevel", level.name())?;
    for key in keys {
        let (keyword, value) = key.split_once('=').unwrap_or((key, ""));
        put(&mut writer, keyword, value)?;
    }
    Ok(writer)
}

fn put(writer: &mut DataSetWriter, keyword: &str, value: &str) -> anyhow::Result<()> {
    let tag = tag_of(keyword)
        .with_context(|| format!("{keyword}: 不是 DICOM 关键字 (no DICOM keyword)"))?;
    writer.put(tag, value);
    Ok(())
}

/// One query; every match as keyword → value.
pub async fn matches(
    scu: &mut Scu,
    model: Model,
    keys: &DataSetWriter,
) -> anyhow::Result<(Outcome, Vec<BTreeMap<String, String>>)> {
    let mut found = Vec::new();
    let row = |it: &Identifier| {
        let value = |tag| it.get(tag).unwrap_or_default().to_owned();
        it.tags().map(|tag| (keyword_of(tag), value(tag))).collect()
    };
    let outcome = scu
        .find(model, keys, &CharacterSet::utf8(), |it| {
            found.push(row(&it));
            true
        })
        .await?;
    Ok((outcome, found))
}

impl Find {
    pub async fn run(self) -> anyhow::Result<bool> {
        let model = self.level.model();
        let keys = identifier(self.level, &self.keys)?;
        let mut scu = self
            .address
            .connect(vec![service_context(model.find())])
            .await?;
        let (outcome, found) = matches(&mut scu, model, &keys).await?;
        scu.release().await?;
        if self.json {
            for row in &found {
                let object: Map<String, Value> = row
                    .iter()
                    .map(|(key, value)| (key.clone(), Value::from(value.as_str())))
                    .collect();
                println!("{}", Value::Object(object));
            }
        } else {
            print!("{}", self.table(&found));
        }
        eprintln!(
            "{} 个匹配 (matches); {}",
            found.len(),
            node::words(&outcome)
        );
        Ok(outcome.status.is_done())
    }

    /// Columns in the order in which they were asked for.
    fn table(&self, found: &[BTreeMap<String, String>]) -> String {
        let mut keywords: Vec<String> = Vec::new();
        for tag in self
            .keys
            .iter()
            .filter_map(|key| tag_of(key.split('=').next()?))
        {
            let keyword = keyword_of(tag);
            if !keywords.contains(&keyword) {
                keywords.push(keyword);
            }
        }
        let mut table = Table::with_head(keywords.clone());
        for row in found {
            table.row(
                keywords
                    .iter()
                    .map(|key| row.get(key).cloned().unwrap_or_default()),
            );
        }
        table.render()
    }
}
