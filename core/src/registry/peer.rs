//! Application entities that may call, and what they may do.

use std::collections::BTreeSet;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::Scope;
use crate::ids::AeTitle;

/// A DICOM service that a peer may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Service {
    Store,
    Find,
    Move,
    Get,
    /// Modality Worklist. Named by a peer since rules version 5.
    Worklist,
    /// Modality Performed Procedure Step. Named by a peer since rules version 5.
    Mpps,
}

impl Service {
    /// Services that a release before rules version 5 does not know by name.
    pub const SINCE_FORMS: [Self; 2] = [Self::Worklist, Self::Mpps];
}

/// A known application entity: a modality, a PACS, a workstation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Peer {
    pub ae: AeTitle,
    /// Where sub-operations of a C-MOVE to it go.
    pub host: String,
    pub port: u16,
    /// Addresses that it may call from; empty: any.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub addresses: BTreeSet<IpAddr>,
    /// The first four are all of them: what the registry has of a peer whose services nobody limited ([`Peer::may`]).
    #[serde(default = "all_services")]
    pub services: BTreeSet<Service>,
    /// Hospitals whose images it may store and see, and whose images are moved to it.
    #[serde(default = "Scope::all")]
    pub hospitals: Scope,
}

impl Peer {
    /// Whether it may use a service: one that it has by name, and with store, find, move and get all of them, since that is
    /// what is registered where services are left out.
    pub fn may(&self, service: Service) -> bool {
        self.services.contains(&service) || self.services.is_superset(&all_services())
    }
}

fn all_services() -> BTreeSet<Service> {
    BTreeSet::from([Service::Store, Service::Find, Service::Move, Service::Get])
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn peer(services: &str) -> Peer {
        let json = format!(r#"{{"ae": "CT01", "host": "h", "port": 104{services}}}"#);
        serde_json::from_str(&json).unwrap()
    }

    #[test]
    fn a_peer_may_what_it_names_and_all_where_nothing_is_left_out() {
        for (services, worklist, find) in [
            ("", true, true),
            (
                r#", "services": ["get", "move", "find", "store"]"#,
                true,
                true,
            ),
            (r#", "services": ["store", "find", "move"]"#, false, true),
            (r#", "services": ["store", "worklist"]"#, true, false),
        ] {
            let peer = peer(services);
            assert_eq!(peer.may(Service::Worklist), worklist, "{services}");
            assert_eq!(peer.may(Service::Find), find, "{services}");
        }
        assert!(!peer(r#", "services": ["worklist"]"#).may(Service::Mpps));
        // What nodes of an earlier release read of a peer is what it was
        let written = serde_json::to_string(&peer("")).unwrap();
        assert!(!written.contains("worklist") && !written.contains("mpps"));
    }
}
