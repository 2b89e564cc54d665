//! The limit of open files, which every connection counts against.

/// Files that a process has open besides its connections to watch.
const OTHER_FILES: u64 = 100;

/// How many files this process may open, where that can be read.
pub(crate) fn open_files() -> Option<u64> {
    soft_limit(&std::fs::read_to_string("/proc/self/limits").ok()?)
}

/// Whether so many watchers fit; a sentence if not.
pub(crate) fn check(watchers: u32, limit: Option<u64>) -> Result<(), String> {
    match limit {
        Some(limit) if u64::from(watchers) + OTHER_FILES > limit => Err(format!(
            "{watchers} watchers need as many connections, and this process may open only {limit} files: raise the limit with `ulimit -n 65536` here and for the server"
        )),
        _ => Ok(()),
    }
}

fn soft_limit(text: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    line.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_soft_limit() {
        let text = "Limit    Soft Limit  Hard Limit  Units\nMax open files            1024                 4096                 files\n";
        assert_eq!(soft_limit(text), Some(1024));
        assert_eq!(soft_limit("Max open files  unlimited unlimited files"), None);
    }

    #[test]
    fn says_what_to_raise() {
        assert!(check(100, Some(1024)).is_ok());
        assert!(check(1000, None).is_ok());
        assert!(check(1000, Some(1024)).unwrap_err().contains("ulimit -n 65536"));
    }
}
