//! What a gateway has of a study, asked level by level as far as is needed: many say neither how many instances a study has
//! nor of which classes, and naming each instance takes some of them a tenth of the time that fetching them takes.

use std::collections::BTreeSet;

use dicom_dictionary_std::tags;
use yingku_core::ids::StudyUid;

use super::{Gateway, GatewayError, ask, level_keys, plain, study_keys, text};
use crate::dataset::Identifier;
use crate::scu::{Model, Scu, ScuError, service_context};

/// Series of a study that are asked about one by one.
const SERIES_LIMIT: usize = 2_000;
/// Instances of one series that are looked at to count them, and to learn their classes.
const INSTANCES_LIMIT: usize = 50_000;
/// … where only their classes are wanted.
const INSTANCES_FOR_CLASSES: usize = 64;
/// Classes that are kept of a study: more than there are contexts to offer them on.
const CLASSES_LIMIT: usize = 128;
/// A study with more instances than this has none: that is a slip, and its instances are counted.
const COUNT_LIMIT: u32 = 1_000_000;

/// What is wanted to be known of a study.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Depth {
    /// Whether it is there: all that a C-MOVE needs. Its count, where that costs nothing.
    Presence,
    /// … and of which classes its instances are: what a C-GET needs.
    Classes,
    /// … and their count, if they have to be counted one by one.
    Count,
}

/// What a gateway has of a study.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Found {
    /// Absent: it does not say, or nobody asked for it.
    pub instances: Option<u32>,
    /// SOP classes; of a gateway that does not say, none.
    pub classes: BTreeSet<String>,
}

impl Gateway {
    /// What it has of a study. One that does not answer queries at all, or not to the end, tells less.
    pub async fn look(&self, study: &StudyUid, depth: Depth) -> Result<Found, GatewayError> {
        let model = Model::StudyRoot;
        let mut scu = self.connect(vec![service_context(model.find())]).await?;
        let found = Looking {
            scu: &mut scu,
            study,
            depth,
        }
        .look()
        .await;
        match found {
            Ok(found) => {
                // What it said, it said.
                let _ = scu.release().await;
                Ok(found)
            }
            Err(GatewayError::Broken(ScuError::NoContext(_))) => {
                let _ = scu.release().await;
                Ok(Found::default())
            }
            Err(error) => {
                scu.abort().await;
                Err(error)
            }
        }
    }
}

/// Asks about one study.
struct Looking<'a> {
    scu: &'a mut Scu,
    study: &'a StudyUid,
    depth: Depth,
}

impl Looking<'_> {
    async fn look(&mut self) -> Result<Found, GatewayError> {
        let mut keys = study_keys(self.study);
        keys.put(tags::NUMBER_OF_STUDY_RELATED_INSTANCES, "")
            .put(tags::SOP_CLASSES_IN_STUDY, "");
        let (mut known, mut found) = (false, Found::default());
        let study = self.study;
        ask(self.scu, &keys, 1, |it| {
            // A gateway that does not look at the key answers with all that it has.
            if text(it, tags::STUDY_INSTANCE_UID) == Some(study.as_str()) {
                known = true;
                found.instances = count(it, tags::NUMBER_OF_STUDY_RELATED_INSTANCES);
                let classes = it.list(tags::SOP_CLASSES_IN_STUDY).into_iter();
                found.classes = classes.filter_map(plain).take(CLASSES_LIMIT).collect();
            }
            known
        })
        .await?;
        if !known {
            found.instances = Some(0);
            return Ok(found);
        }
        let is_enough = match self.depth {
            Depth::Presence => true,
            Depth::Classes => !found.classes.is_empty(),
            Depth::Count => found.instances.is_some() && !found.classes.is_empty(),
        };
        if !is_enough {
            self.look_at_series(&mut found).await?;
        }
        Ok(found)
    }

    async fn look_at_series(&mut self, found: &mut Found) -> Result<(), GatewayError> {
        let mut keys = level_keys("SERIES", self.study, Some(""));
        keys.put(tags::NUMBER_OF_SERIES_RELATED_INSTANCES, "");
        let mut series: Vec<(String, Option<u32>)> = Vec::new();
        ask(self.scu, &keys, SERIES_LIMIT, |it| {
            let count = count(it, tags::NUMBER_OF_SERIES_RELATED_INSTANCES);
            let uid = text(it, tags::SERIES_INSTANCE_UID).and_then(plain);
            series.extend(uid.map(|uid| (uid, count)));
            false
        })
        .await?;
        if found.instances.is_none() {
            let mut counts = series.iter().map(|(_, count)| *count);
            let sum = counts.try_fold(0u32, |sum, count| sum.checked_add(count?));
            found.instances = sum.filter(|sum| !series.is_empty() && *sum <= COUNT_LIMIT);
        }
        let is_counted = found.instances.is_some() || self.depth != Depth::Count;
        let limit = match is_counted {
            true => INSTANCES_FOR_CLASSES,
            false => INSTANCES_LIMIT,
        };
        let mut counted = 0u32;
        for (uid, _) in &series {
            let mut keys = level_keys("IMAGE", self.study, Some(uid));
            keys.put(tags::SOP_INSTANCE_UID, "")
                .put(tags::SOP_CLASS_UID, "");
            let mut of_series = 0u32;
            let classes = &mut found.classes;
            ask(self.scu, &keys, limit, |it| {
                of_series = of_series.saturating_add(1);
                if classes.len() < CLASSES_LIMIT {
                    classes.extend(text(it, tags::SOP_CLASS_UID).and_then(plain));
                }
                false
            })
            .await?;
            counted = counted.saturating_add(of_series);
        }
        if !is_counted && counted > 0 {
            found.instances = Some(counted);
        }
        Ok(())
    }
}

fn count(it: &Identifier, tag: dicom_core::Tag) -> Option<u32> {
    let count = text(it, tag)?.parse().ok()?;
    (count <= COUNT_LIMIT).then_some(count)
}
