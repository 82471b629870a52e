//! Held instances, by the images' own date and modality: mostly no exam is known.

use yingku_core::ids::{HospitalCode, Position};
use yingku_core::instance::FormerHold;

use super::super::{ViewsError, Walk};
use super::Gathering;

impl Gathering<'_> {
    /// Enters what is held now and was before the position.
    pub(super) fn held(&mut self, hospitals: &[HospitalCode]) -> Result<(), ViewsError> {
        let mut holds = Vec::new();
        self.views.visit_held(&mut |held| {
            if self.counts(held.since) && hospitals.contains(&held.group.hospital) {
                let hold = FormerHold::of(&held, Position(u64::MAX));
                if self.within(&self.day_of_hold(&hold)) {
                    holds.push(hold);
                }
            }
            Walk::On
        })?;
        self.enter(holds);
        Ok(())
    }

    /// Enters what was held before the position and until then, or longer.
    pub(super) fn held_then(&mut self, hospitals: &[HospitalCode]) -> Result<(), ViewsError> {
        let Some(as_of) = self.as_of else {
            return Ok(());
        };
        let mut holds = Vec::new();
        for hospital in hospitals {
            let mut keep = |hold: FormerHold| {
                let was_held = hold.since < as_of && as_of <= hold.until;
                if was_held && self.within(&self.day_of_hold(&hold)) {
                    holds.push(hold);
                }
            };
            // Those without a date count on the day they came.
            self.views.visit_former_holds(hospital, "", "", &mut keep)?;
            let (from, to) = (&self.from, &self.to);
            self.views
                .visit_former_holds(hospital, from, to, &mut keep)?;
        }
        self.enter(holds);
        Ok(())
    }

    /// In one order, whichever row told of them.
    fn enter(&mut self, mut holds: Vec<FormerHold>) {
        holds.sort_by(|a, b| {
            (&a.study, &a.hospital, a.since).cmp(&(&b.study, &b.hospital, b.since))
        });
        for hold in holds {
            let date = self.day_of_hold(&hold);
            let place = self.place(hold.hospital.as_str(), &date, &hold.modality);
            self.book
                .hold(&place, &hold.sender, hold.reason, hold.count, &hold.study);
        }
    }

    fn day_of_hold(&self, hold: &FormerHold) -> String {
        match hold.date.as_str() {
            "" => self.day_of(hold.time_ms),
            date => date.to_owned(),
        }
    }
}
