//! The digest of views, by which nodes, replays, and a copy and its original are held against each other.
//!
//! Nodes of two releases agree on it as long as their rows are the same. So a view that an earlier release does not have
//! is in it only when it has rows. It gets them once the rules that write it are activated, and no node of an earlier
//! release follows the log any further than that.

/// A release that knows no rules later than these hashes each view that it has, with rows or without.
const EMPTY_VIEWS_UNTIL_RULES: u32 = 4;

/// One view as it is hashed.
pub(super) struct Part<R> {
    pub(super) name: &'static str,
    /// As [`View::since_rules`](super::View::since_rules).
    pub(super) since_rules: u32,
    /// Keys and values, in the order of the keys.
    pub(super) rows: R,
}

/// The digest of these views, in their order.
pub(super) fn of<R, K, V, E>(parts: impl Iterator<Item = Result<Part<R>, E>>) -> Result<[u8; 32], E>
where
    R: Iterator<Item = Result<(K, V), E>>,
    K: AsRef<[u8]>,
    V: AsRef<[u8]>,
{
    let mut hasher = blake3::Hasher::new();
    for part in parts {
        let part = part?;
        let mut rows = part.rows.peekable();
        if part.since_rules > EMPTY_VIEWS_UNTIL_RULES && rows.peek().is_none() {
            continue;
        }
        hasher.update(part.name.as_bytes());
        for row in rows {
            let (key, value) = row?;
            for bytes in [key.as_ref(), value.as_ref()] {
                hasher.update(&(bytes.len() as u64).to_le_bytes());
                hasher.update(bytes);
            }
        }
    }
    Ok(*hasher.finalize().as_bytes())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::convert::Infallible;

    use super::*;
    use crate::views::Views;

    type Given = (&'static str, u32, &'static [(&'static str, &'static str)]);

    const EXAMS: Given = ("exams", 4, &[("E1", "first"), ("E2", "second")]);
    const HELD: Given = ("held", 4, &[]);

    fn digest(views: &[Given]) -> [u8; 32] {
        let parts = views.iter().map(|(name, since_rules, rows)| {
            Ok::<_, Infallible>(Part {
                name,
                since_rules: *since_rules,
                rows: rows.iter().copied().map(Ok),
            })
        });
        of(parts).unwrap()
    }

    #[test]
    fn a_view_that_the_release_before_does_not_have_changes_nothing_while_it_is_empty() {
        let before = digest(&[EXAMS, HELD]);
        for new in [("notices", 5, &[][..]), ("orders", 6, &[])] {
            assert_eq!(digest(&[new, EXAMS, HELD]), before);
            assert_eq!(digest(&[EXAMS, new, HELD]), before);
            assert_eq!(digest(&[EXAMS, HELD, new]), before);
        }
    }

    #[test]
    fn rows_of_a_new_view_are_in_the_digest_with_its_name() {
        let rows: &[_] = &[("E1", "to be sent")];
        let digests = [
            digest(&[EXAMS]),
            digest(&[EXAMS, ("notices", 5, rows)]),
            digest(&[EXAMS, ("notices", 5, &[("E1", "sent")])]),
            digest(&[EXAMS, ("orders", 5, rows)]),
        ];
        for (at, one) in digests.iter().enumerate() {
            assert!(!digests.iter().skip(at + 1).any(|other| other == one));
        }
    }

    #[test]
    fn views_of_the_rules_before_are_hashed_as_they_always_were() {
        let mut hashed = b"exams".to_vec();
        for text in ["E1", "first", "E2", "second"] {
            hashed.extend_from_slice(&(text.len() as u64).to_le_bytes());
            hashed.extend_from_slice(text.as_bytes());
        }
        assert_eq!(digest(&[EXAMS]), *blake3::hash(&hashed).as_bytes());
        // An empty one by its name.
        hashed.extend_from_slice(b"held");
        assert_eq!(digest(&[EXAMS, HELD]), *blake3::hash(&hashed).as_bytes());
    }

    #[test]
    fn empty_views_have_the_digest_that_they_had_before_later_rules() {
        // The names of the views that releases with rules version 4 have.
        let names = "exams history exams_by_day exams_by_number forms claims studies chunks places study_index held \
                     held_groups held_instances declarations findings settled former_holds counted corrections \
                     refused_pushes signs refusals logged packs meta";
        let dir = tempfile::TempDir::new().unwrap();
        let empty = Views::open(dir.path()).unwrap().digest().unwrap();
        assert_eq!(
            empty,
            *blake3::hash(names.replace(' ', "").as_bytes()).as_bytes()
        );
    }
}
