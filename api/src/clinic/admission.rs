//! Who may open the page (R19): whoever calls from an address on the hospital's list, or has a link that its HIS signed. The
//! numbers alone open nothing.

use std::net::IpAddr;

use yingku_core::contract::clinic::link::{LIFE_LIMIT_S, SECRET_SHORTEST, Signed};
use yingku_core::contract::clinic::{Numbers, Query};
use yingku_core::ids::{AppId, HospitalCode};
use yingku_core::registry::{App, Hospital, Registry, Right, Scope};
use yingku_core::time::Zone;
use yingku_storage::keys::{ClusterKey, Purpose};

use super::ticket::{self, Ticket};
use super::trouble::Trouble;
use crate::call::local_time;
use crate::rest::reading::{Reading, Reason, is_user_code};

/// One opening: who reads, whose exams, by which numbers.
pub struct Opening {
    pub reading: Reading,
    /// Whose exams they are; no other hospital's are looked at.
    pub hospital: HospitalCode,
    pub numbers: Numbers,
    /// The query that the page's own links begin with.
    pub base: String,
}

/// `raw`: the query as it was sent, which is what a signature is over.
pub fn admit(
    key: &ClusterKey,
    registry: &Registry,
    raw: &str,
    query: &Query,
    caller: Option<IpAddr>,
    now_ms: i64,
) -> Result<Opening, Trouble> {
    if let Some(text) = get(query, "ticket")? {
        let ticket = ticket::open(key, text, now_ms / 1000);
        let opening = ticket.and_then(|ticket| by_ticket(registry, ticket, text));
        return opening.ok_or_else(|| expired(registry, now_ms));
    }
    let mut is_link = false;
    for name in ["signature", "app", "expires"] {
        is_link |= get(query, name)?.is_some();
    }
    match is_link {
        true => by_link(key, registry, raw, query, now_ms),
        false => by_address(registry, query, caller),
    }
}

fn get<'q>(query: &'q Query, name: &'static str) -> Result<Option<&'q str>, Trouble> {
    query.get(name).map_err(Trouble::query)
}

/// From an address of the hospital's own network. It may be on the lists of several, whose numbers then need their prefix.
fn by_address(
    registry: &Registry,
    query: &Query,
    caller: Option<IpAddr>,
) -> Result<Opening, Trouble> {
    let address = caller.ok_or(Trouble::AddressUnknown)?;
    let forbidden = |hospital: &str| Trouble::AddressForbidden {
        address: address.to_string(),
        hospital: hospital.to_owned(),
    };
    let listing: Vec<&Hospital> = registry
        .hospitals
        .values()
        .filter(|hospital| hospital.clinic.has(address))
        .collect();
    if listing.is_empty() {
        return Err(forbidden(""));
    }
    let (numbers, named) = Numbers::read(query, registry).map_err(Trouble::number)?;
    let hospital = match (named, listing.as_slice()) {
        (Some(named), listing) => match listing.iter().any(|it| it.code == named) {
            true => named,
            false => return Err(forbidden(name_of(registry, &named))),
        },
        (None, [only]) => only.code.clone(),
        (None, _) => return Err(Trouble::NoHospital),
    };
    let user = user(query)?;
    let base = own_query(&numbers, &hospital, &user);
    let scope = Scope::of([&hospital]);
    let reader = format!("clinic:{address}");
    Ok(Opening {
        reading: Reading::new(reader, scope, hospital.clone(), None, user),
        hospital,
        numbers,
        base,
    })
}

/// With a link that a HIS signed with the license of its app.
fn by_link(
    key: &ClusterKey,
    registry: &Registry,
    raw: &str,
    query: &Query,
    now_ms: i64,
) -> Result<Opening, Trouble> {
    let app = signer(key, registry, raw, query)?;
    let expires_s: Option<i64> = get(query, "expires")?.and_then(|text| text.parse().ok());
    let named = app.id.to_string();
    let Some(expires_s) = expires_s else {
        let why = "expires 应为 unix 秒 (expires must be unix seconds)";
        return Err(Trouble::LinkWrong { app: named, why });
    };
    let left_s = expires_s.saturating_sub(now_ms / 1000);
    if left_s <= 0 {
        return Err(expired(registry, now_ms));
    }
    if left_s > LIFE_LIMIT_S {
        return Err(Trouble::LinkTooLong { app: named });
    }
    let (numbers, prefix) = Numbers::read(query, registry).map_err(Trouble::number)?;
    let reason = get(query, "reason")?.map(Reason::of).transpose();
    let reason = reason.map_err(|said| wrong_parameter("reason", said))?;
    let read_for = match get(query, "hospital")? {
        Some(code) => HospitalCode::new(code)
            .ok()
            .filter(|code| registry.hospitals.contains_key(code))
            .ok_or_else(|| wrong_parameter("hospital", "医院代码未登记 (no such hospital)"))?,
        None => app.org.clone(),
    };
    let hospital = prefix.unwrap_or_else(|| read_for.clone());
    if !reads(app, &hospital, &read_for) {
        return Err(Trouble::LinkForbidden {
            app: named,
            hospital: hospital.to_string(),
        });
    }
    if hospital != read_for && reason.is_none() {
        return Err(Trouble::WantsReason);
    }
    let ticket = Ticket {
        app: named,
        epoch: app.epoch,
        hospital,
        read_for,
        reason: reason.map_or("", Reason::code).to_owned(),
        user: user(query)?,
        numbers,
        until_s: now_ms / 1000 + ticket::LIFE_S,
    };
    let sealed = ticket::seal(key, &ticket).map_err(crate::error::Failure::from)?;
    // Only what is checked above is in it, so it opens.
    by_ticket(registry, ticket, &sealed).ok_or_else(|| expired(registry, now_ms))
}

/// The app whose license signed the query. Who tries is not told what is wrong: the digest is.
fn signer<'r>(
    key: &ClusterKey,
    registry: &'r Registry,
    raw: &str,
    query: &Query,
) -> Result<&'r App, Trouble> {
    let named = get(query, "app")?.and_then(|id| AppId::new(id).ok());
    let wrong = |why| Trouble::LinkWrong {
        app: named.as_ref().map(ToString::to_string).unwrap_or_default(),
        why,
    };
    let signed = Signed::of(raw).ok_or_else(|| {
        wrong("没有 signature，或它不在最后 (signature is absent or does not stand last)")
    })?;
    let app = named.as_ref().and_then(|id| registry.apps.get(id));
    let app = app.ok_or_else(|| wrong("没有登记此应用 (no such app)"))?;
    if !may_read(app) {
        return Err(wrong(
            "应用已停用或没有 read 权限 (disabled, or without the right to read)",
        ));
    }
    let license = key.open(Purpose::License, &app.license);
    let license = license.map_err(crate::error::Failure::from)?;
    let is_long = std::str::from_utf8(&license)
        .is_ok_and(|license| license.chars().count() >= SECRET_SHORTEST);
    if !is_long {
        return Err(wrong(
            "许可证少于 16 个字符，不能签发链接 (the license is too short to sign links)",
        ));
    }
    match signed.fits(&license) {
        true => Ok(app),
        false => Err(wrong("签名不符 (the signature does not fit)")),
    }
}

fn may_read(app: &App) -> bool {
    app.enabled && app.rights.contains(&Right::Read)
}

/// Whether an app has a right to a hospital's exams, and to say for whom it reads.
fn reads(app: &App, hospital: &HospitalCode, read_for: &HospitalCode) -> bool {
    app.hospitals.has(hospital) && (*read_for == app.org || app.hospitals.has(read_for))
}

/// What the page's own links carry on of a link. `None`: its app may not any more.
fn by_ticket(registry: &Registry, ticket: Ticket, sealed: &str) -> Option<Opening> {
    let app = registry.apps.get(&AppId::new(&ticket.app).ok()?)?;
    let is_its = *app.id.as_str() == ticket.app && app.epoch == ticket.epoch;
    if !is_its || !may_read(app) || !reads(app, &ticket.hospital, &ticket.read_for) {
        return None;
    }
    let reader = format!("link:{}", app.id);
    let scope = Scope::of([&ticket.hospital]);
    let reason = Reason::of(&ticket.reason).ok();
    Some(Opening {
        reading: Reading::new(reader, scope, ticket.read_for, reason, ticket.user),
        hospital: ticket.hospital,
        numbers: ticket.numbers,
        base: format!("ticket={sealed}"),
    })
}

fn expired(registry: &Registry, now_ms: i64) -> Trouble {
    let zone = Zone::named(&registry.settings.time_zone).unwrap_or_default();
    Trouble::LinkExpired {
        server_time: local_time(now_ms, &zone),
    }
}

/// The code of who reads, if the HIS says it.
fn user(query: &Query) -> Result<String, Trouble> {
    match get(query, "user")? {
        None => Ok(String::new()),
        Some(user) if is_user_code(user) => Ok(user.to_owned()),
        Some(_) => Err(wrong_parameter(
            "user",
            "应为工号：至多 32 个字母、数字、点、下划线或连字符 (must be a code of at most 32 letters, digits, . _ -)",
        )),
    }
}

fn wrong_parameter(name: &str, said: &str) -> Trouble {
    Trouble::Question {
        rule: "clinic-parameter",
        said: format!("参数 {name}：{said}"),
    }
}

/// Every number with its hospital's code before it, so that they mean the same wherever they are opened.
fn own_query(numbers: &Numbers, hospital: &HospitalCode, user: &str) -> String {
    let mut query = form_urlencoded::Serializer::new(String::new());
    for (name, number) in numbers.pairs() {
        query.append_pair(name, &format!("{hospital}_{number}"));
    }
    if !user.is_empty() {
        query.append_pair("user", user);
    }
    query.finish()
}

fn name_of<'r>(registry: &'r Registry, hospital: &'r HospitalCode) -> &'r str {
    let entry = registry.hospitals.get(hospital);
    entry.map_or(hospital.as_str(), |entry| entry.name.as_str())
}
