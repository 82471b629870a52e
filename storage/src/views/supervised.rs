//! Exams as supervision looks at them: small rows by hospital and day, walked over once for a question.

use std::collections::HashMap;

use yingku_core::dictionaries::canonical_class;
use yingku_core::ids::HospitalCode;
use yingku_core::registry::Registry;
use yingku_core::supervision::SupervisedRow;
use yingku_core::supervision::group::Seen;

use super::form_lists::Days;
use super::{View, Views, ViewsError, Walk, decode, keys};

impl Views {
    /// Shows what supervision asks of the exams of some days, by hospital and day, until the visitor stops; withdrawn ones
    /// and those of trials too. None before the rules that keep it (`SUPERVISION_SINCE_RULES`).
    pub fn visit_supervised(
        &self,
        registry: &Registry,
        hospitals: &[HospitalCode],
        days: Days,
        visit: &mut dyn FnMut(Seen<'_>) -> Result<Walk, ViewsError>,
    ) -> Result<(), ViewsError> {
        let (from, to) = (days.from.to_string(), days.to.to_string());
        // Class texts that were looked up: there are few, and exams are many.
        let mut classes: HashMap<String, String> = HashMap::new();
        let mut stops = false;
        for hospital in hospitals {
            let prefix = keys::hospital(hospital.as_str());
            let start = keys::day(hospital.as_str(), &from);
            self.scan(View::Supervised, &prefix, &start, |line, value| {
                let key = keys::supervised::read(line).ok_or_else(|| ViewsError::Row {
                    view: View::Supervised.name(),
                    source: "key".into(),
                })?;
                if key.date.as_str() > to.as_str() {
                    return Ok(Walk::Stop);
                }
                let row: SupervisedRow = decode(View::Supervised, value)?;
                if !classes.contains_key(&row.class) {
                    let class = canonical_class(&registry.settings.class_aliases, &row.class);
                    classes.insert(row.class.clone(), class.code);
                }
                let class = classes.get(&row.class).map(String::as_str);
                let walk = visit(Seen {
                    key: &key,
                    class: class.unwrap_or_default(),
                    row: &row,
                })?;
                stops = walk == Walk::Stop;
                Ok(walk)
            })?;
            if stops {
                break;
            }
        }
        Ok(())
    }
}
