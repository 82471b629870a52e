//! `[node]`: this node among the others of its archive.

use std::net::SocketAddr;

use serde::Deserialize;
use url::Url;

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Node {
    /// `http://HOST:PORT` or `https://HOST` for other nodes.
    pub address: Option<String>,
    /// Whether it takes duties that must run once.
    pub work: bool,
}

impl Default for Node {
    fn default() -> Self {
        Self {
            address: None,
            work: true,
        }
    }
}

impl Node {
    pub fn check(&self) -> anyhow::Result<()> {
        let Some(address) = &self.address else {
            return Ok(());
        };
        let is_plain = |url: &Url| {
            matches!(url.scheme(), "http" | "https")
                && url.has_host()
                && url.username().is_empty()
                && url.path() == "/"
                && url.query().is_none()
        };
        anyhow::ensure!(
            Url::parse(address).as_ref().is_ok_and(is_plain),
            "node.address: 应为 http://主机:端口 (must be http://HOST:PORT or https://HOST)"
        );
        Ok(())
    }

    /// Where other nodes reach this one, which listens at `http`; `None`: nobody could tell.
    pub fn address_for(&self, http: SocketAddr) -> Option<String> {
        match &self.address {
            Some(address) => Some(address.trim_end_matches('/').to_owned()),
            None if http.ip().is_unspecified() => None,
            None => Some(format!("http://{http}")),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn an_address_is_the_one_set_or_the_one_listened_at() {
        let listened = |text: &str| text.parse::<SocketAddr>().unwrap();
        let unset = Node::default();
        assert_eq!(
            unset.address_for(listened("127.0.0.1:80")).unwrap(),
            "http://127.0.0.1:80"
        );
        assert_eq!(unset.address_for(listened("0.0.0.0:80")), None);
        let set = Node {
            address: Some("https://node-1.pacs/".to_owned()),
            ..Node::default()
        };
        set.check().unwrap();
        assert_eq!(
            set.address_for(listened("0.0.0.0:80")).unwrap(),
            "https://node-1.pacs"
        );
        for address in ["node-1:80", "http://a/b", "http://user@a"] {
            let wrong = Node {
                address: Some(address.to_owned()),
                ..Node::default()
            };
            assert!(wrong.check().is_err(), "{address}");
        }
    }
}
