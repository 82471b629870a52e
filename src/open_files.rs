//! Open files and connections: most systems give a process 1,024 unless it asks for the more that it may have.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Enough for a thousand associations, as many requests, the tables of log and views, and packs that are read.
const WANTED: u64 = 65_536;

/// An association's socket, and what its own runtime waits with.
const OF_ASSOCIATION: u64 = 5;
/// What else is open: connections that negotiate, requests, the tables of log and views, packs.
const OF_THE_REST: u64 = 4_096;

/// Says so if the system does not allow what the settings ask for.
pub fn warn_if_short(associations: usize) {
    let needed = OF_ASSOCIATION.saturating_mul(associations as u64) + OF_THE_REST;
    if let Some(allowed) = getrlimit(Resource::Nofile).current
        && allowed < needed
    {
        tracing::warn!(
            allowed,
            needed,
            associations,
            "too few open files are allowed for dicom.max_associations: raise the limit (LimitNOFILE, ulimit -n) or lower the setting"
        );
    }
}

/// Asks for as many as the system allows, up to what can be of use.
pub fn raise_limit() {
    let now = getrlimit(Resource::Nofile);
    let Some(new) = raised(now.current, now.maximum) else {
        return;
    };
    let asked = Rlimit {
        current: Some(new),
        maximum: now.maximum,
    };
    if let Err(error) = setrlimit(Resource::Nofile, asked) {
        tracing::warn!(%error, "the limit of open files stays as it is");
    }
}

/// The soft limit to set, if the present one is lower; `None` is no limit, as the system says it.
fn raised(current: Option<u64>, maximum: Option<u64>) -> Option<u64> {
    let new = maximum.map_or(WANTED, |maximum| maximum.min(WANTED));
    current.filter(|current| *current < new).map(|_| new)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_is_raised_as_far_as_the_system_allows_and_never_lowered() {
        assert_eq!(raised(Some(1024), Some(4096)), Some(4096));
        assert_eq!(raised(Some(1024), None), Some(WANTED));
        assert_eq!(raised(Some(1024), Some(1_048_576)), Some(WANTED));
        assert_eq!(raised(Some(4096), Some(4096)), None);
        assert_eq!(raised(Some(WANTED * 2), None), None);
        assert_eq!(raised(None, None), None);
    }
}
