//! Putting a release's rules in force, after all nodes have it.

use yingku_core::event::{Event, RULES_VERSION, RulesActivated};
use yingku_storage::archive::{Archive, Submission};

use super::ACTOR;
use crate::control::Output;

/// A node of an earlier release stops at this record: it must not decide by rules that it does not know.
pub async fn activate(archive: &Archive, output: &Output) -> anyhow::Result<bool> {
    let in_force = archive.registry().rules;
    if in_force == RULES_VERSION {
        let words = format!("规则版本 {in_force} 已启用 (is in force already)");
        output.line(words).await?;
        return Ok(true);
    }
    let activated = Submission {
        hospital: None,
        actor: ACTOR.to_owned(),
        event: Event::RulesActivated(RulesActivated {
            rules: RULES_VERSION,
        }),
    };
    archive.submit(activated).await?;
    let words = format!(
        "规则版本 {in_force} → {RULES_VERSION}；请依次重启各节点 (rules activated; restart the nodes one by one)"
    );
    output.line(words).await?;
    Ok(true)
}
