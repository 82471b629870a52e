//! When a gateway may be asked: its hours, in the platform's time of day.

use yingku_core::registry::{Gateway, Registry};
use yingku_core::time::{LocalDateTime, Zone};

/// What time it is for the platform; a clock that is out of all bounds tells none.
pub fn local(registry: &Registry, now_ms: i64) -> Option<LocalDateTime> {
    let zone = Zone::named(&registry.settings.time_zone).unwrap_or_default();
    LocalDateTime::from_unix_ms(now_ms, &zone)
}

/// Whether a gateway may be asked now.
pub fn is_open(gateway: &Gateway, now: Option<&LocalDateTime>) -> bool {
    now.is_none_or(|now| {
        let (hour, minute, _) = now.time();
        gateway.is_open_at(u16::from(hour) * 60 + u16::from(minute))
    })
}
