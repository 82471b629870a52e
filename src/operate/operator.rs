//! Who runs a command: a user of the operating system.

use std::io::Read;

/// More of the list of users is not read.
const LIST_BYTES: u64 = 1 << 20;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Operator(String);

impl Operator {
    /// By the number that the system knows the user by; one that `/etc/passwd` does not list is called by the number.
    pub fn of(uid: u32) -> Self {
        let mut list = String::new();
        if let Ok(file) = std::fs::File::open("/etc/passwd")
            && let Err(error) = file.take(LIST_BYTES).read_to_string(&mut list)
        {
            tracing::debug!(%error, "the users have no names");
        }
        Self(name(&list, uid).unwrap_or_else(|| uid.to_string()))
    }

    /// Of this process.
    pub fn of_this_process() -> Self {
        Self::of(rustix::process::getuid().as_raw())
    }

    /// As the audit stream names a reader.
    pub fn reader(&self) -> String {
        format!("operator:{}", self.0)
    }
}

/// From lines of `name:password:uid:…`.
fn name(list: &str, uid: u32) -> Option<String> {
    list.lines().find_map(|line| {
        let mut parts = line.split(':');
        let name = parts.next()?;
        let number: u32 = parts.nth(1)?.parse().ok()?;
        (number == uid && !name.is_empty()).then(|| name.to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_is_found_by_number_and_nothing_else() {
        let list = "root:x:0:0:root:/root:/bin/sh\nbroken\nwang:x:1000:7:王:/home/wang:/bin/sh\n";
        assert_eq!(name(list, 1000).as_deref(), Some("wang"));
        assert_eq!(name(list, 0).as_deref(), Some("root"));
        assert_eq!(name(list, 7), None);
        assert_eq!(Operator("7".to_owned()).reader(), "operator:7");
    }
}
