//! Who gets one of the places for associations.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::association::{Admission, Caller, Gatekeeper, Rejection};

/// Places, counted for each calling AE, or for whatever else tells callers apart: one of them cannot take them all.
#[derive(Debug)]
pub struct PlacesPerAe {
    limit: usize,
    taken: Arc<Mutex<HashMap<String, usize>>>,
}

impl PlacesPerAe {
    pub fn new(limit: usize) -> Self {
        Self {
            limit,
            taken: Arc::default(),
        }
    }

    /// A place for `calling`, given back when it is dropped.
    pub fn take(&self, calling: &str) -> Result<Admission, Rejection> {
        let mut taken = self.taken.lock();
        let count = taken.entry(calling.to_owned()).or_default();
        if *count >= self.limit {
            return Err(Rejection::LimitExceeded);
        }
        *count += 1;
        Ok(Box::new(Place {
            calling: calling.to_owned(),
            taken: Arc::clone(&self.taken),
        }))
    }
}

#[derive(Debug)]
struct Place {
    calling: String,
    taken: Arc<Mutex<HashMap<String, usize>>>,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.taken.lock();
        if let Some(count) = taken.get_mut(&self.calling) {
            *count -= 1;
            if *count == 0 {
                taken.remove(&self.calling);
            }
        }
    }
}

/// Lets everybody in who calls the right title, with a limit for each calling AE.
#[derive(Debug)]
pub struct OpenDoor {
    /// Any called title will do if absent.
    pub called: Option<String>,
    pub places: PlacesPerAe,
}

impl Gatekeeper for OpenDoor {
    fn admit(&self, caller: &Caller) -> Result<Admission, Rejection> {
        if self
            .called
            .as_ref()
            .is_some_and(|called| *called != caller.called)
        {
            return Err(Rejection::CalledAeNotRecognised);
        }
        self.places.take(&caller.calling)
    }
}
