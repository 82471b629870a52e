//! Nodes come by themselves: the log's order gives each data directory its number, and says which run of it is the last.
//!
//! Since rules version 2. Before it there is one node, number 0, and what it says of itself changes nothing.

use crate::event::{NodeJoined, NodeStarted};
use crate::outcome::{ErrorKind, Outcome, Refusal};
use crate::registry::Node;
use crate::state::{State, Work};

/// Rules version from which nodes are kept.
pub const SINCE_RULES: u32 = 2;

/// Where one node was all there was, its number is taken: by the directory whose packs have it, once that asks.
pub fn rules_activated<S: State>(work: &mut Work<'_, S>, rules: u32) {
    let before = work.registry().rules;
    if (1..SINCE_RULES).contains(&before) && rules >= SINCE_RULES {
        work.changes.node = Some(Node {
            number: 0,
            id: None,
            run: None,
            release: String::new(),
            address: String::new(),
        });
    }
}

/// Gives a data directory the number that its packs have, or the next one that no node ever had.
pub fn joined<S: State>(work: &mut Work<'_, S>, body: &NodeJoined) -> Outcome {
    let registry = work.registry();
    if registry.rules < SINCE_RULES {
        return Outcome::Refused(Refusal::new(
            ErrorKind::Conflict,
            "rules-version",
            "rules",
            "规则版本 2 尚未启用，只能有一个节点；请先在所有节点升级后执行 yingku activate-rules (rules version 2 is not in \
             force, so there is one node only: upgrade every node, then run `yingku activate-rules`)",
        ));
    }
    if registry.node_of(&body.id).is_some() {
        return Outcome::Done;
    }
    let number = match body.packs_of {
        Some(number) if registry.nodes.get(&number).is_some_and(|n| n.id.is_some()) => {
            return Outcome::Refused(Refusal::new(
                ErrorKind::Conflict,
                "node-number",
                "packs",
                format!(
                    "影像包编号属于节点 {number}，而该节点是另一个数据目录；请使用它自己的数据目录 (these packs have the \
                     number of node {number}, which is another data directory: start that one, or move these packs away)"
                ),
            ));
        }
        Some(number) => number,
        None => match registry
            .nodes
            .last_key_value()
            .map(|(last, _)| last.checked_add(1))
        {
            None => 0,
            Some(Some(next)) => next,
            Some(None) => {
                return Outcome::Refused(Refusal::new(
                    ErrorKind::Conflict,
                    "node-numbers",
                    "node",
                    "节点编号已用完 (every node number was given to a data directory already)",
                ));
            }
        },
    };
    work.changes.node = Some(Node {
        number,
        id: Some(body.id),
        run: None,
        release: String::new(),
        address: String::new(),
    });
    Outcome::Done
}

/// From here on this run is the node; an earlier one that still lives learns of it by this record.
pub fn started<S: State>(work: &mut Work<'_, S>, body: &NodeStarted) -> Outcome {
    if work.registry().rules < SINCE_RULES {
        return Outcome::Done;
    }
    let known = work.registry().nodes.get(&body.node);
    let same = known.is_none_or(|node| node.id == body.id);
    if !same || (known.is_none() && body.id.is_some()) {
        return Outcome::Refused(Refusal::new(
            ErrorKind::Conflict,
            "node-number",
            "node",
            format!(
                "节点 {} 是另一个数据目录 (node {} is another data directory)",
                body.node, body.node
            ),
        ));
    }
    work.changes.node = Some(Node {
        number: body.node,
        id: body.id,
        run: body.run,
        release: body.release.clone(),
        address: body.address.clone(),
    });
    Outcome::Done
}
