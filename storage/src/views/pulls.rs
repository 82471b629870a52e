//! Studies that are fetched from gateways, as whoever fetches them and operators look at them: by hospital and line, those
//! that are due first, or ended first, in front.

use yingku_core::ids::{HospitalCode, StudyKey};
use yingku_core::pull::{PullLine, PullRow};

use super::{View, Views, ViewsError, Walk, keys};

impl Views {
    pub fn pull(&self, study: &StudyKey) -> Result<Option<PullRow>, ViewsError> {
        self.get(View::Pulls, &keys::study(study))
    }

    /// Shows a hospital's pulls of a line in their order, until the visitor stops.
    pub fn visit_pulls(
        &self,
        hospital: &HospitalCode,
        line: PullLine,
        visit: &mut dyn FnMut(PullRow) -> Walk,
    ) -> Result<(), ViewsError> {
        let prefix = keys::pull_lines(hospital, line);
        self.scan(View::PullLines, &prefix, &[], |key, _| {
            let Some((_, study)) = keys::pull_of_line(key) else {
                return Ok(Walk::On);
            };
            match self.pull(&study)? {
                Some(row) => Ok(visit(row)),
                None => Ok(Walk::On),
            }
        })
    }

    /// Counts a hospital's pulls of a line, up to a limit.
    pub fn count_pulls(
        &self,
        hospital: &HospitalCode,
        line: PullLine,
        limit: usize,
    ) -> Result<usize, ViewsError> {
        let mut count = 0;
        let prefix = keys::pull_lines(hospital, line);
        self.scan(View::PullLines, &prefix, &[], |_, _| {
            count += 1;
            Ok(if count < limit { Walk::On } else { Walk::Stop })
        })?;
        Ok(count)
    }
}
