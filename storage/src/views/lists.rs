//! Lists that operators and reconciliation read: findings, corrections, held studies, refusals, declarations.

use yingku_core::correction::CorrectionRow;
use yingku_core::finding::{FindingKey, FindingKind, FindingRow, SettledFinding};
use yingku_core::ids::{HospitalCode, Position};
use yingku_core::instance::{FormerHold, HeldGroup};
use yingku_core::refusal::RefusalRow;
use yingku_core::statistics::{DayKey, DeclarationRow};

use super::{View, Views, ViewsError, Walk, decode, keys};

impl Views {
    /// Findings of a kind, of one hospital or all, at most `limit`.
    pub fn findings(
        &self,
        kind: FindingKind,
        hospital: Option<&HospitalCode>,
        limit: usize,
    ) -> Result<Vec<(FindingKey, FindingRow)>, ViewsError> {
        let prefix = match hospital {
            Some(hospital) => keys::findings_of(kind, hospital),
            None => keys::findings(kind),
        };
        let mut rows = Vec::new();
        self.scan(View::Findings, &prefix, &[], |key, value| {
            if rows.len() >= limit {
                return Ok(Walk::Stop);
            }
            if let Some(key) = keys::finding_of(kind, key) {
                rows.push((key, decode(View::Findings, value)?));
            }
            Ok(Walk::On)
        })?;
        Ok(rows)
    }

    /// Findings of a kind and hospital that are settled.
    pub fn visit_settled(
        &self,
        kind: FindingKind,
        hospital: &HospitalCode,
        visit: &mut dyn FnMut(SettledFinding),
    ) -> Result<(), ViewsError> {
        let prefix = keys::findings_of(kind, hospital);
        self.scan(View::Settled, &prefix, &[], |_, value| {
            visit(decode(View::Settled, value)?);
            Ok(Walk::On)
        })
    }

    /// Marks of used signs whose time is past, among the `looked_at` that follow a digest.
    pub fn expired_signs(
        &self,
        from: &[u8; 16],
        now_ms: i64,
        looked_at: usize,
    ) -> Result<Vec<[u8; 16]>, ViewsError> {
        let mut expired = Vec::new();
        let mut left = looked_at;
        self.scan(View::Signs, &[], from, |key, value| {
            let expires_ms: i64 = decode(View::Signs, value)?;
            if expires_ms < now_ms
                && let Ok(digest) = key.try_into()
            {
                expired.push(digest);
            }
            left = left.saturating_sub(1);
            Ok(if left == 0 { Walk::Stop } else { Walk::On })
        })?;
        Ok(expired)
    }

    pub fn correction(&self, position: Position) -> Result<Option<CorrectionRow>, ViewsError> {
        self.get(View::Corrections, &keys::position(position))
    }

    /// Corrections from a position on, at most `limit`.
    pub fn corrections(
        &self,
        from: Position,
        limit: usize,
    ) -> Result<Vec<CorrectionRow>, ViewsError> {
        let mut rows = Vec::new();
        self.scan(View::Corrections, &[], &keys::position(from), |_, value| {
            rows.push(decode(View::Corrections, value)?);
            Ok(if rows.len() >= limit {
                Walk::Stop
            } else {
                Walk::On
            })
        })?;
        Ok(rows)
    }

    pub fn finding(&self, key: &FindingKey) -> Result<Option<FindingRow>, ViewsError> {
        self.get(View::Findings, &keys::finding(key))
    }

    /// Every held group, those of one study one after the other.
    pub fn visit_held(&self, visit: &mut dyn FnMut(HeldGroup) -> Walk) -> Result<(), ViewsError> {
        self.scan(View::HeldGroups, &[], &[], |_, value| {
            Ok(visit(decode(View::HeldGroups, value)?))
        })
    }

    /// Instances that a hospital's studies held once, of days, both included; the date as the images have it.
    pub fn visit_former_holds(
        &self,
        hospital: &HospitalCode,
        from: &str,
        to: &str,
        visit: &mut dyn FnMut(FormerHold),
    ) -> Result<(), ViewsError> {
        self.scan_days(
            View::FormerHolds,
            hospital.as_str(),
            from,
            to,
            |_, value| {
                visit(decode(View::FormerHolds, value)?);
                Ok(Walk::On)
            },
        )
    }

    /// Refused instances of a hospital (empty: those of no known hospital) within days, both included.
    pub fn visit_refusals(
        &self,
        hospital: &str,
        from: &str,
        to: &str,
        visit: &mut dyn FnMut(RefusalRow) -> Walk,
    ) -> Result<(), ViewsError> {
        self.scan_days(View::Refusals, hospital, from, to, |_, value| {
            Ok(visit(decode(View::Refusals, value)?))
        })
    }

    /// Declarations of a hospital within days, both included.
    pub fn visit_declarations(
        &self,
        hospital: &HospitalCode,
        from: &str,
        to: &str,
        visit: &mut dyn FnMut(DayKey, DeclarationRow) -> Walk,
    ) -> Result<(), ViewsError> {
        self.scan_days(
            View::Declarations,
            hospital.as_str(),
            from,
            to,
            |key, value| {
                Ok(match keys::day_of_declaration(key) {
                    Some(day) => visit(day, decode(View::Declarations, value)?),
                    None => Walk::On,
                })
            },
        )
    }

    /// Rows of a view whose keys begin with hospital and date, of days, both included.
    fn scan_days(
        &self,
        view: View,
        hospital: &str,
        from: &str,
        to: &str,
        mut visit: impl FnMut(&[u8], &[u8]) -> Result<Walk, ViewsError>,
    ) -> Result<(), ViewsError> {
        let last = keys::day(hospital, to);
        let is_past = |key: &[u8]| {
            key.get(..last.len())
                .is_some_and(|day| day > last.as_slice())
        };
        let (prefix, start) = (keys::hospital(hospital), keys::day(hospital, from));
        self.scan(view, &prefix, &start, |key, value| {
            if is_past(key) {
                return Ok(Walk::Stop);
            }
            visit(key, value)
        })
    }
}
