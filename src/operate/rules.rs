//! Putting a release's rules in force, after all nodes have it.

use std::fmt::Write;

use yingku_core::event::{Event, RULES_VERSION, RulesActivated};
use yingku_core::registry::{Node, Registry};
use yingku_storage::archive::{Archive, Submission};

use super::ACTOR;
use crate::RELEASE;
use crate::control::Output;

/// A node of an earlier release stops at this record: it must not decide by rules that it does not know. So nothing is
/// activated while one may be about: a node other than this one that said at its last start that it is of another
/// release, and is not among the `gone`.
pub async fn activate(archive: &Archive, gone: &[u16], output: &Output) -> anyhow::Result<bool> {
    // Who started elsewhere a moment ago counts, too.
    archive.settle().await?;
    let registry = archive.registry();
    let in_force = registry.rules;
    if in_force == RULES_VERSION {
        let words = format!("规则版本 {in_force} 已启用 (is in force already)");
        output.line(words).await?;
        return Ok(true);
    }
    if let Some(unknown) = gone.iter().find(|it| !registry.nodes.contains_key(it)) {
        anyhow::bail!("没有节点 {unknown} (there is no such node): --gone");
    }
    let other = of_another_release(&registry, archive.node(), gone);
    anyhow::ensure!(other.is_empty(), refusal(&other));
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

/// Nodes besides `this` one, which runs this release now. One that never said what it runs may run anything.
fn of_another_release<'r>(registry: &'r Registry, this: u16, gone: &[u16]) -> Vec<&'r Node> {
    let others = registry.nodes.values().filter(|node| node.number != this);
    others
        .filter(|node| node.release != RELEASE && !gone.contains(&node.number))
        .collect()
}

fn refusal(other: &[&Node]) -> String {
    let mut words = format!(
        "以下节点最近一次启动的不是本版本 {RELEASE}，规则版本 {RULES_VERSION} 启用后将停止工作 (these nodes did not start \
         with this release, {RELEASE}, and would stop at rules version {RULES_VERSION}):"
    );
    for node in other {
        let release = match node.release.as_str() {
            "" => "未知 (unknown)",
            release => release,
        };
        let (number, address) = (node.number, &node.address);
        let _ = write!(
            words,
            "\n  节点 (node) {number}: 版本 (release) {release} {address}"
        );
    }
    let numbers: Vec<String> = other.iter().map(|node| node.number.to_string()).collect();
    let _ = write!(
        words,
        "\n请升级并启动这些节点，再执行一次；已永久停用的，用 --gone {} 说明 (upgrade and start them, then run this again; \
         name those that are gone for good by --gone)",
        numbers.join(",")
    );
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    fn registry(releases: &[(u16, &str)]) -> Registry {
        let node = |&(number, release): &(u16, &str)| {
            let node = Node {
                number,
                id: None,
                run: None,
                release: release.to_owned(),
                address: format!("http://node{number}:8080"),
            };
            (number, node)
        };
        Registry {
            nodes: releases.iter().map(node).collect(),
            ..Registry::default()
        }
    }

    fn waited_for(releases: &[(u16, &str)], this: u16, gone: &[u16]) -> Vec<u16> {
        let registry = registry(releases);
        let nodes = of_another_release(&registry, this, gone);
        nodes.iter().map(|node| node.number).collect()
    }

    #[test]
    fn every_other_node_must_have_started_with_this_release() {
        let nodes = [
            (0, "0.1.0"),
            (1, RELEASE),
            (2, "0.1.0"),
            (3, ""),
            (4, RELEASE),
        ];
        assert_eq!(waited_for(&nodes, 1, &[]), [0, 2, 3]);
        assert_eq!(waited_for(&nodes, 1, &[2, 3]), [0]);
        // What this one was when it started last is of no matter: it is of this release now.
        assert_eq!(waited_for(&nodes, 0, &[2, 3]), [0u16; 0]);
    }

    #[test]
    fn a_refusal_names_the_nodes_and_what_to_do() {
        let registry = registry(&[(2, "0.1.0"), (3, "")]);
        let words = refusal(&of_another_release(&registry, 0, &[]));
        for told in [
            "2: 版本 (release) 0.1.0 http://node2:8080",
            "3: 版本 (release) 未知",
            "--gone 2,3",
            RELEASE,
        ] {
            assert!(words.contains(told), "{words}");
        }
    }
}
