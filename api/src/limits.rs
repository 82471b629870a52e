//! How much of the node the interfaces may take, and for how long: each limit with its reason.

use std::collections::HashMap;
use std::hash::Hash;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use yingku_core::ids::AppId;
use yingku_core::registry::Network;
use yingku_indexer::Index;
use yingku_rendering::Renderer;

use crate::meters::Meters;
use crate::soap::SoapShape;

/// How the interfaces are served.
#[derive(Debug, Clone)]
pub struct ApiConfig {
    /// R1: `http://host:port/<context>/v1/…`; every address answers without it as well.
    pub context: String,
    /// A push fits the log in 1 MiB; pretty-printed GBK with everything unknown may be some times that.
    pub max_body_bytes: usize,
    /// A city's hospitals keep some connections each; every idle one costs some 10 KiB.
    pub max_connections: usize,
    /// Time for a request's head. A peer that sends a byte every ten seconds is cut off here.
    pub header_timeout: Duration,
    /// Time for a request's body.
    pub body_timeout: Duration,
    /// Requests with a token at work at once.
    pub max_requests: usize,
    /// Requests for a token at work at once: apart from the others, for anybody may send them. As many enciphered
    /// questions, apart from those.
    pub max_token_requests: usize,
    /// Bytes of bodies held in memory by all requests together.
    pub max_held_bytes: usize,
    /// Requests of one app at work at once: one vendor cannot starve the others.
    pub max_requests_per_app: usize,
    /// SOAP requests at work at once: apart from the others, for anybody may send them.
    pub max_soap_requests: usize,
    /// SOAP requests of one caller at work at once. A gateway may bring the forms of a whole city, and each takes some
    /// milliseconds.
    pub max_soap_requests_per_address: usize,
    /// Clinic pages at work at once: each is some milliseconds of look-ups, and anybody may ask for one.
    pub max_clinic_pages: usize,
    /// Clinic pages of one caller at work at once. A whole hospital may come from one address.
    pub max_clinic_pages_per_address: usize,
    /// Reverse proxies whose word on a caller's address is believed; others' is not, for anybody may write one.
    pub proxies: Vec<Network>,
    /// How SOAP answers are made (R12).
    pub soap: SoapShape,
    /// Signs that may fail within [`ApiConfig::sign_failure_window`] before their sender waits (R3;
    /// [`crate::auth::attempts`] says who that is).
    pub max_sign_failures: u32,
    pub sign_failure_window: Duration,
    /// How long the turn of one caller takes, where callers take turns: 60 signs a minute, all of them together.
    pub sign_turn_time: Duration,
    /// Time for the whole of one question to a hospital's 基卫: who asks stands at a counter.
    pub jiwei_timeout: Duration,
    /// Makes pictures of images; absent: this node makes none.
    pub renderer: Option<Renderer>,
    /// `/metrics`; absent if nothing is gathered.
    pub meters: Option<Meters>,
    /// Where readers search; absent: this node has none.
    pub index: Option<Index>,
}

impl Default for ApiConfig {
    fn default() -> Self {
        Self {
            context: "openapi".to_owned(),
            max_body_bytes: 16 << 20,
            max_connections: 4_096,
            header_timeout: Duration::from_secs(30),
            body_timeout: Duration::from_secs(30),
            max_requests: 512,
            max_token_requests: 64,
            max_held_bytes: 256 << 20,
            max_requests_per_app: 128,
            max_soap_requests: 128,
            max_soap_requests_per_address: 64,
            max_clinic_pages: 64,
            max_clinic_pages_per_address: 32,
            proxies: Vec::new(),
            soap: SoapShape::default(),
            max_sign_failures: 30,
            sign_failure_window: Duration::from_secs(60),
            sign_turn_time: Duration::from_secs(1),
            jiwei_timeout: Duration::from_secs(15),
            renderer: None,
            meters: None,
            index: None,
        }
    }
}

/// Apps and addresses remembered at most; beyond it those at rest are forgotten.
const REMEMBERED: usize = 10_000;

/// Bytes that one permit of [`Places::bytes`] stands for.
const PERMIT_BYTES: usize = 1 << 10;

/// SOAP requests whose body is on its way, for each that may be at work: who sends slowly holds up nobody.
const SENDERS: usize = 8;

/// Places for requests at work, in all and for each app, and for the bodies that they hold.
pub struct Places {
    all: Arc<Semaphore>,
    open: Arc<Semaphore>,
    keyed: Arc<Semaphore>,
    held: Arc<Semaphore>,
    apps: Shares<AppId>,
    soap: Arc<Semaphore>,
    soap_callers: Shares<IpAddr>,
    clinic: Arc<Semaphore>,
    clinic_callers: Shares<IpAddr>,
    soap_reading: Arc<Semaphore>,
    soap_senders: Shares<IpAddr>,
}

impl Places {
    pub fn new(config: &ApiConfig) -> Self {
        Self {
            all: Arc::new(Semaphore::new(config.max_requests)),
            open: Arc::new(Semaphore::new(config.max_token_requests)),
            keyed: Arc::new(Semaphore::new(config.max_token_requests)),
            held: Arc::new(Semaphore::new(config.max_held_bytes / PERMIT_BYTES)),
            apps: Shares::of(config.max_requests_per_app),
            soap: Arc::new(Semaphore::new(config.max_soap_requests)),
            soap_callers: Shares::of(config.max_soap_requests_per_address),
            clinic: Arc::new(Semaphore::new(config.max_clinic_pages)),
            clinic_callers: Shares::of(config.max_clinic_pages_per_address),
            soap_reading: Arc::new(Semaphore::new(config.max_soap_requests * SENDERS)),
            soap_senders: Shares::of(config.max_soap_requests_per_address * SENDERS),
        }
    }

    /// A place among all requests; `None`: there is none.
    pub fn any(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.all).try_acquire_owned().ok()
    }

    /// A place among the requests that need no token.
    pub fn open(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.open).try_acquire_owned().ok()
    }

    /// A place among the requests that a key must open.
    pub fn keyed(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.keyed).try_acquire_owned().ok()
    }

    /// Room for a piece of a body; `None`: there is none.
    pub fn bytes(&self, bytes: usize) -> Option<OwnedSemaphorePermit> {
        let permits = u32::try_from(bytes.div_ceil(PERMIT_BYTES)).ok()?;
        Arc::clone(&self.held).try_acquire_many_owned(permits).ok()
    }

    /// A place among the app's requests.
    pub fn of(&self, app: &AppId) -> Option<OwnedSemaphorePermit> {
        self.apps.one_of(app)
    }

    /// A place among the SOAP requests whose body is on its way.
    pub fn soap_reading(
        &self,
        caller: IpAddr,
    ) -> Option<(OwnedSemaphorePermit, OwnedSemaphorePermit)> {
        let own = self.soap_senders.one_of(&caller)?;
        let any = Arc::clone(&self.soap_reading).try_acquire_owned().ok()?;
        Some((own, any))
    }

    /// A place among the SOAP requests at work, and among those of the caller (see [`network`]).
    pub fn soap(&self, caller: IpAddr) -> Option<(OwnedSemaphorePermit, OwnedSemaphorePermit)> {
        let own = self.soap_callers.one_of(&caller)?;
        let any = Arc::clone(&self.soap).try_acquire_owned().ok()?;
        Some((own, any))
    }

    /// A place among the clinic pages at work, and among those of the caller (see [`network`]).
    pub fn clinic(&self, caller: IpAddr) -> Option<(OwnedSemaphorePermit, OwnedSemaphorePermit)> {
        let own = self.clinic_callers.one_of(&caller)?;
        let any = Arc::clone(&self.clinic).try_acquire_owned().ok()?;
        Some((own, any))
    }
}

/// The same number of places for each of many.
struct Shares<K> {
    each: usize,
    known: Mutex<HashMap<K, Arc<Semaphore>>>,
}

impl<K: Eq + Hash + Clone> Shares<K> {
    fn of(each: usize) -> Self {
        Self {
            each,
            known: Mutex::default(),
        }
    }

    /// One of the places that `key` has; `None`: all are taken.
    fn one_of(&self, key: &K) -> Option<OwnedSemaphorePermit> {
        let places = {
            let mut known = self.known.lock();
            if known.len() >= REMEMBERED && !known.contains_key(key) {
                known.retain(|_, places| places.available_permits() < self.each);
            }
            match known.get(key) {
                Some(places) => Arc::clone(places),
                None => {
                    let places = Arc::new(Semaphore::new(self.each));
                    known.insert(key.clone(), Arc::clone(&places));
                    places
                }
            }
        };
        places.try_acquire_owned().ok()
    }
}

/// One caller: an IPv4 address, or an IPv6 /64, which is what one customer is given.
pub fn network(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(v6) => match v6.to_ipv4_mapped() {
            Some(v4) => IpAddr::V4(v4),
            None => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & !u128::from(u64::MAX))),
        },
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_caller_is_an_ipv4_address_or_an_ipv6_network() {
        let of = |text: &str| network(text.parse().unwrap());
        assert_eq!(of("2001:db8::1"), of("2001:db8::2"));
        assert_ne!(of("2001:db8::1"), of("2001:db8:0:1::1"));
        assert_eq!(of("::ffff:192.0.2.1"), of("192.0.2.1"));
        assert_ne!(of("192.0.2.1"), of("192.0.2.2"));
    }

    #[test]
    fn one_app_does_not_take_the_places_of_another() {
        let places = Places::new(&ApiConfig {
            max_requests_per_app: 1,
            ..ApiConfig::default()
        });
        let (a, b) = (AppId::new("a").unwrap(), AppId::new("b").unwrap());
        let held = places.of(&a);
        assert!(held.is_some());
        assert!(places.of(&a).is_none());
        assert!(places.of(&b).is_some());
        drop(held);
        assert!(places.of(&a).is_some());
    }

    #[test]
    fn one_caller_does_not_take_all_places_of_soap() {
        let places = Places::new(&ApiConfig {
            max_soap_requests: 3,
            max_soap_requests_per_address: 2,
            ..ApiConfig::default()
        });
        let [a, b, c] = ["192.0.2.1", "192.0.2.2", "192.0.2.3"].map(|it| it.parse().unwrap());
        let held = (places.soap(a), places.soap(a));
        assert!(held.0.is_some() && held.1.is_some());
        assert!(places.soap(a).is_none());
        let last = places.soap(b);
        assert!(last.is_some());
        assert!(places.soap(c).is_none());
        drop(held);
        assert!(places.soap(c).is_some());
    }
}
