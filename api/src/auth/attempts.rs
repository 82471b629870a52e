//! Failed signs and licences, and questions that no key opens (R11): who has to wait after how many, and when failures
//! are answered.
//!
//! Before a sign is opened nobody knows whose it is, so what fails is counted in three ways:
//!
//! - a sign that an app's key opened and whose license is wrong, by caller address and app: that pair is refused for a
//!   while, and neither the app's other addresses nor the address's other apps are;
//! - any other, by address: callers from there take turns, one at a time, and are not locked out, for many hospitals
//!   may come from one address;
//! - all that an app's key opened, by app: whoever has not got a token from the same address before takes turns too.
//!
//! Questions in the way of 基卫 are counted in the same way, apart from signs: one that the key of its app does not open
//! as a sign whose license is wrong, one that nobody has a key for as any other.

use std::collections::HashMap;
use std::hash::Hash;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::sync::Semaphore;
use yingku_core::ids::{AppId, HisId};
use yingku_core::outcome::ErrorKind;

use crate::error::Failure;
use crate::limits::{ApiConfig, network};

/// Entries of each table at most.
const REMEMBERED: usize = 10_000;
/// An app's failures from all addresses, as a multiple of those of one.
const ADDRESSES: u32 = 10;
/// Callers that wait for their turn at most: few beside the places for requests of all who want a token.
const WAITING: usize = 8;

/// Failures are answered at a multiple of this after the request came, so that their time tells nothing (R3). Above
/// what the keys of some dozens of apps take.
const FLOOR: Duration = Duration::from_millis(200);

/// When a request that came then and failed is answered.
pub fn next_floor(came: tokio::time::Instant) -> tokio::time::Instant {
    let passed = came.elapsed().as_millis() / FLOOR.as_millis() + 1;
    came + FLOOR.saturating_mul(u32::try_from(passed).unwrap_or(u32::MAX))
}

pub struct SignAttempts {
    pairs: Failures<(IpAddr, AppId)>,
    addresses: Failures<IpAddr>,
    apps: Failures<AppId>,
    /// Pairs that have got a token.
    known: Known<AppId>,
    turns: Turns,
    too_many: fn() -> Failure,
}

impl SignAttempts {
    pub fn new(config: &ApiConfig) -> Self {
        Self::refused_with(config, too_many)
    }

    /// For questions in the way of 基卫.
    pub fn of_questions(config: &ApiConfig) -> Self {
        Self::refused_with(config, too_many_questions)
    }

    fn refused_with(config: &ApiConfig, too_many: fn() -> Failure) -> Self {
        let (limit, window) = (config.max_sign_failures, config.sign_failure_window);
        Self {
            pairs: Failures::new(limit, window),
            addresses: Failures::new(limit, window),
            apps: Failures::new(limit.saturating_mul(ADDRESSES), window),
            known: Known::default(),
            turns: Turns::new(config.sign_turn_time),
            too_many,
        }
    }

    /// Before a sign is opened: callers from an address of many failures take turns. `named`: the app that the request
    /// names, if any.
    pub async fn begin(&self, address: IpAddr, named: Option<&AppId>) -> Result<(), Failure> {
        let known = named.is_some_and(|app| self.known.has(address, app));
        match self.addresses.is_full(&network(address)) && !known {
            true => self.turns.take(self.too_many).await,
            false => Ok(()),
        }
    }

    /// After a sign was opened and its license compared, whatever came of it.
    pub async fn opened(&self, address: IpAddr, app: &AppId) -> Result<(), Failure> {
        if self.pairs.is_full(&(network(address), app.clone())) {
            return Err((self.too_many)());
        }
        match self.apps.is_full(app) && !self.known.has(address, app) {
            true => self.turns.take(self.too_many).await,
            false => Ok(()),
        }
    }

    /// A sign failed; `app`: whose key opened it.
    pub fn failed(&self, address: IpAddr, app: Option<&AppId>) {
        match app {
            Some(app) => {
                self.pairs.add((network(address), app.clone()));
                self.apps.add(app.clone());
            }
            None => self.addresses.add(network(address)),
        }
    }

    /// An app gets a token.
    pub fn succeeded(&self, address: IpAddr, app: &AppId) {
        self.known.add(address, app);
    }
}

/// Wrong licences of apply forms, by address. From one of many failures a HIS that has not been right before takes turns
/// as well: else whoever guesses would be told at once when a guess is right.
pub struct LicenseAttempts {
    addresses: Failures<IpAddr>,
    known: Known<HisId>,
    turns: Turns,
}

impl LicenseAttempts {
    pub fn new(config: &ApiConfig) -> Self {
        Self {
            addresses: Failures::new(config.max_sign_failures, config.sign_failure_window),
            known: Known::default(),
            turns: Turns::new(config.sign_turn_time),
        }
    }

    /// After a licence was compared; `his`: whose it is.
    pub async fn judge(&self, address: IpAddr, his: Option<&HisId>) -> Result<(), Failure> {
        let known = his.is_some_and(|his| self.known.has(address, his));
        if self.addresses.is_full(&network(address)) && !known {
            self.turns.take(too_many_licenses).await?;
        }
        match his {
            Some(his) => self.known.add(address, his),
            None => self.addresses.add(network(address)),
        }
        Ok(())
    }
}

/// Who has been right from an address: strangers cannot fill this.
struct Known<T>(Mutex<HashMap<(IpAddr, T), Instant>>);

impl<T> Default for Known<T> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<T: Clone + Eq + Hash> Known<T> {
    fn add(&self, address: IpAddr, who: &T) {
        let mut known = self.0.lock();
        let pair = (network(address), who.clone());
        if known.len() >= REMEMBERED && !known.contains_key(&pair) {
            let oldest = known.iter().min_by_key(|(_, at)| **at);
            if let Some(oldest) = oldest.map(|(pair, _)| pair.clone()) {
                known.remove(&oldest);
            }
        }
        known.insert(pair, Instant::now());
    }

    fn has(&self, address: IpAddr, who: &T) -> bool {
        let pair = (network(address), who.clone());
        self.0.lock().contains_key(&pair)
    }
}

/// One after the other, each for a while.
struct Turns {
    waiting: Semaphore,
    turns: Semaphore,
    time: Duration,
}

impl Turns {
    fn new(time: Duration) -> Self {
        Self {
            waiting: Semaphore::new(WAITING),
            turns: Semaphore::new(1),
            time,
        }
    }

    async fn take(&self, too_many: fn() -> Failure) -> Result<(), Failure> {
        let _waiting = self.waiting.try_acquire().map_err(|_| too_many())?;
        let _turn = self.turns.acquire().await.map_err(|_| too_many())?;
        tokio::time::sleep(self.time).await;
        Ok(())
    }
}

fn too_many_licenses() -> Failure {
    Failure::new(
        ErrorKind::TooMany,
        "license-failures",
        "验证码错误次数过多，请稍后再试 (too many wrong licences: try again later)",
    )
}

fn too_many_questions() -> Failure {
    Failure::new(
        ErrorKind::TooMany,
        "jiwei-failures",
        "无法识别的查询过多，请稍后再试 (too many questions that cannot be read: try again later)",
    )
}

fn too_many() -> Failure {
    Failure::new(
        ErrorKind::TooMany,
        "sign-failures",
        "签名错误次数过多，请稍后再试 (too many invalid signs: try again later)",
    )
}

/// How often each failed within a window of time.
struct Failures<K> {
    limit: u32,
    window: Duration,
    counts: Mutex<HashMap<K, (Instant, u32)>>,
}

impl<K: Eq + Hash> Failures<K> {
    fn new(limit: u32, window: Duration) -> Self {
        Self {
            limit,
            window,
            counts: Mutex::default(),
        }
    }

    fn is_full(&self, key: &K) -> bool {
        self.counts
            .lock()
            .get(key)
            .is_some_and(|(since, count)| since.elapsed() < self.window && *count >= self.limit)
    }

    fn add(&self, key: K) {
        let mut counts = self.counts.lock();
        if counts.len() >= REMEMBERED && !counts.contains_key(&key) {
            // Those at their limit stay longest: one failure each from many addresses does not set them free.
            counts.retain(|_, (since, _)| since.elapsed() < self.window);
            if counts.len() >= REMEMBERED {
                counts.retain(|_, (_, count)| *count >= self.limit);
            }
            if counts.len() >= REMEMBERED {
                counts.clear();
            }
        }
        let entry = counts.entry(key).or_insert((Instant::now(), 0));
        if entry.0.elapsed() >= self.window {
            *entry = (Instant::now(), 0);
        }
        entry.1 = entry.1.saturating_add(1);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use futures::FutureExt;

    use super::*;

    const LIMIT: u32 = 2;

    fn attempts() -> SignAttempts {
        SignAttempts::new(&ApiConfig {
            max_sign_failures: LIMIT,
            ..ApiConfig::default()
        })
    }

    fn address(number: u32) -> IpAddr {
        IpAddr::from(number.to_be_bytes())
    }

    fn app(name: &str) -> AppId {
        AppId::new(name).unwrap()
    }

    /// Whether the caller has to take its turn: whoever has not is answered at once.
    fn is_slowed(begun: impl Future<Output = Result<(), Failure>>) -> bool {
        match begun.now_or_never() {
            Some(answer) => {
                answer.unwrap();
                false
            }
            None => true,
        }
    }

    #[tokio::test]
    async fn a_pair_of_address_and_app_waits_and_no_other() {
        let attempts = attempts();
        let (near, neighbour) = (
            "2001:db8::1".parse().unwrap(),
            "2001:db8::2".parse().unwrap(),
        );
        let (a, b) = (app("a"), app("b"));
        attempts.failed(near, Some(&a));
        assert!(attempts.opened(near, &a).await.is_ok());
        attempts.failed(neighbour, Some(&a));
        let refused = attempts.opened(near, &a).await.unwrap_err();
        assert_eq!(refused.kind, ErrorKind::TooMany);
        assert!(attempts.opened(near, &b).await.is_ok());
        assert!(attempts.opened(address(1), &a).await.is_ok());
    }

    #[tokio::test]
    async fn an_address_of_unreadable_signs_is_slowed_and_not_refused() {
        let attempts = attempts();
        for _ in 0..LIMIT {
            assert!(!is_slowed(attempts.begin(address(1), None)));
            attempts.failed(address(1), None);
        }
        assert!(is_slowed(attempts.begin(address(1), None)));
        assert!(!is_slowed(attempts.begin(address(2), None)));
        // And an app that had its token from there before, and says who it is, does not wait
        let a = app("a");
        assert!(is_slowed(attempts.begin(address(1), Some(&a))));
        attempts.succeeded(address(1), &a);
        assert!(!is_slowed(attempts.begin(address(1), Some(&a))));
    }

    #[tokio::test]
    async fn few_wait_for_their_turn_and_the_others_are_refused_at_once() {
        let attempts = attempts();
        for _ in 0..LIMIT {
            attempts.failed(address(1), None);
        }
        // Given as many waiting as may
        let mut waiting: Vec<_> = (0..WAITING)
            .map(|_| Box::pin(attempts.begin(address(1), None)))
            .collect();
        for one in &mut waiting {
            assert!(one.now_or_never().is_none());
        }
        // Then one more is refused, and when one has gone there is room
        let more = attempts.begin(address(1), None).now_or_never();
        assert!(more.is_some_and(|answer| answer.is_err()));
        waiting.pop();
        assert!(is_slowed(attempts.begin(address(1), None)));
    }

    #[tokio::test]
    async fn failures_of_an_app_from_many_addresses_slow_whoever_is_not_known() {
        let (attempts, a) = (attempts(), app("a"));
        attempts.succeeded(address(1), &a);
        for number in 0..LIMIT * ADDRESSES {
            attempts.failed(address(100 + number), Some(&a));
        }
        assert!(is_slowed(attempts.opened(address(2), &a)));
        assert!(!is_slowed(attempts.opened(address(1), &a)));
        assert!(!is_slowed(attempts.opened(address(2), &app("b"))));
    }

    #[test]
    fn tables_are_bounded_and_many_addresses_set_nobody_free() {
        let attempts = attempts();
        for _ in 0..LIMIT {
            attempts.failed(address(1), None);
        }
        for number in 0..2 * REMEMBERED as u32 {
            attempts.failed(address(100 + number), None);
            attempts.succeeded(address(100 + number), &app("a"));
        }
        assert!(attempts.addresses.counts.lock().len() <= REMEMBERED);
        assert!(attempts.known.0.lock().len() <= REMEMBERED);
        assert!(attempts.addresses.is_full(&address(1)));
    }
}
