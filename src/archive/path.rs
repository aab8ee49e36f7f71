//! A file's name as a client sends it: a label that documents are known by. Nothing is ever opened by
//! it. Pure.

/// Longest name in bytes of UTF-8.
const LONGEST: usize = 1_024;

/// A file's name that can't stand as one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PathError {
    #[error("a file name is missing: give one, such as novels/emma.txt")]
    Empty,
    #[error("a file name has \"..\" in it: give the path without going up")]
    Upward,
    #[error("a file name has a line break or another control character in it: take it out")]
    Control,
    #[error("a file name is longer than {LONGEST} bytes: shorten it")]
    TooLong,
}

/// The path with slashes between its parts, no spaces around them, and no empty part and no `.`
/// among them. A slash at the beginning stays: the command line names files by their whole path.
pub fn clean_path(path: &str) -> Result<String, PathError> {
    let path = path.trim();
    if path.len() > LONGEST {
        return Err(PathError::TooLong);
    }
    if path.chars().any(breaks_lines) {
        return Err(PathError::Control);
    }
    let path = path.replace('\\', "/");
    let parts = path.split('/').map(str::trim).filter(|part| !matches!(*part, "" | "."));
    let parts: Vec<&str> = parts.collect();
    if parts.contains(&"..") {
        return Err(PathError::Upward);
    }
    if parts.is_empty() {
        return Err(PathError::Empty);
    }
    let root = if path.starts_with('/') { "/" } else { "" };
    Ok(format!("{root}{}", parts.join("/")))
}

/// The last part of a path that [`clean_path`] made.
pub fn file_name(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

/// Control characters, and what Unicode breaks lines at or turns their direction with: a name must
/// look like what it is.
fn breaks_lines(letter: char) -> bool {
    letter.is_control()
        || matches!(letter, '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn paths_are_written_one_way() {
        for (sent, kept) in [
            ("emma.txt", "emma.txt"),
            ("./novels//emma.txt", "novels/emma.txt"),
            (r"C:\novels\.\emma.txt", "C:/novels/emma.txt"),
            ("/home/jane/emma.txt", "/home/jane/emma.txt"),
            (" Дневник … 夢.txt ", "Дневник … 夢.txt"),
            ("a..b/c...txt", "a..b/c...txt"),
            ("novels/", "novels"),
        ] {
            assert_eq!(clean_path(sent).as_deref(), Ok(kept), "{sent}");
        }
    }

    #[test]
    fn names_that_mislead_are_refused() {
        for (sent, error) in [
            ("", PathError::Empty),
            ("  ", PathError::Empty),
            ("./", PathError::Empty),
            ("/", PathError::Empty),
            ("/ / ", PathError::Empty),
            ("../emma.txt", PathError::Upward),
            (r"novels\..\..\emma.txt", PathError::Upward),
            ("novels/ ../emma.txt", PathError::Upward),
            ("emma\n.txt", PathError::Control),
            ("emma\0.txt", PathError::Control),
            ("emma\u{202e}txt.exe", PathError::Control),
        ] {
            assert_eq!(clean_path(sent), Err(error), "{sent:?}");
        }
        assert_eq!(clean_path(&"é".repeat(513)), Err(PathError::TooLong));
        assert!(clean_path(&"é".repeat(512)).is_ok());
    }

    #[test]
    fn the_name_is_the_last_part() {
        for (path, name) in
            [("/novels/emma.txt", "emma.txt"), ("emma.txt", "emma.txt"), ("a/b", "b")]
        {
            assert_eq!(file_name(path), name);
        }
    }

    proptest! {
        #[test]
        fn a_clean_path_stays_as_it_is(sent in "[a./\\\\ é\n]{0,12}|\\PC{0,40}") {
            if let Ok(path) = clean_path(&sent) {
                prop_assert_eq!(clean_path(&path), Ok(path.clone()));
                prop_assert!(!file_name(&path).is_empty());
                prop_assert!(!path.split('/').any(|part| part == ".."));
            }
        }
    }
}
