//! Reads `.env` files with dotenvy, without touching the process environment.

use std::cell::Cell;
use std::io::Read;
use std::path::Path;

use super::faults::ConfigFault;

/// Every `NAME=value` in order, and a fault for each line that can't be understood.
pub(super) fn pairs(path: &Path, text: &str) -> (Vec<(String, String)>, Vec<ConfigFault>) {
    // dotenvy takes blanks at the very end for an open quote, unless the line is ended.
    let text = format!("{}\n", text.trim_start_matches('\u{feff}'));
    let lines_read = Cell::new(0);
    let (mut pairs, mut faults) = (Vec::new(), Vec::new());
    for item in dotenvy::Iter::new(LineByLine { rest: text.as_bytes(), lines_read: &lines_read }) {
        match item {
            Ok(pair) => pairs.push(pair),
            Err(error) => {
                // The error holds the text from where it began: its own message would show it,
                // and with it perhaps a secret.
                let spanned = match &error {
                    dotenvy::Error::LineParse(line, _) => {
                        line.strip_suffix('\n').unwrap_or(line).matches('\n').count()
                    }
                    _ => 0,
                };
                faults.push(ConfigFault::File {
                    path: path.to_owned(),
                    line: Some(lines_read.get().saturating_sub(spanned)),
                    problem: "is not NAME=value; quote a value that holds spaces or signs, \
                              in single quotes if it holds $ or \\"
                        .to_owned(),
                });
            }
        }
    }
    (pairs, faults)
}

/// Hands out one line a read, so that the lines read tell where a parser stands.
struct LineByLine<'a> {
    rest: &'a [u8],
    lines_read: &'a Cell<usize>,
}

impl Read for LineByLine<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let line_end = self.rest.iter().position(|byte| *byte == b'\n');
        let line = line_end.map_or(self.rest.len(), |end| end + 1);
        let length = line.min(buffer.len());
        let (now, later) = self.rest.split_at(length);
        buffer[..length].copy_from_slice(now);
        self.rest = later;
        if now.ends_with(b"\n") {
            self.lines_read.set(self.lines_read.get() + 1);
        }
        Ok(length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(text: &str) -> (Vec<(String, String)>, Vec<String>) {
        let (pairs, faults) = pairs(Path::new(".env"), text);
        (pairs, faults.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn values_are_read_with_quotes_comments_and_blanks() {
        let text =
            "\u{feff}# first\nPORT=1 # why\n\nexport HOST = '::1'\r\nLLM_TOP_P=\"0.5\"\nDEBUG=  ";
        let (pairs, faults) = read(text);
        let expected = [("PORT", "1"), ("HOST", "::1"), ("LLM_TOP_P", "0.5"), ("DEBUG", "")];
        let expected = expected.map(|(name, value)| (name.to_owned(), value.to_owned()));
        assert_eq!(pairs, expected);
        assert!(faults.is_empty(), "{faults:?}");
    }

    #[test]
    fn each_malformed_line_is_named_without_its_text() {
        let (pairs, faults) =
            read("PORT=1\nhunter2\n# fine\nHF_TOKEN=hunter2 and more\nHOST=::1\n");
        assert_eq!(pairs.len(), 2);
        assert_eq!(faults.len(), 2, "{faults:?}");
        assert!(faults[0].starts_with(".env, line 2: "), "{faults:?}");
        assert!(faults[1].starts_with(".env, line 4: "), "{faults:?}");
        assert!(!faults.concat().contains("hunter2"), "{faults:?}");
    }

    #[test]
    fn an_open_quote_is_reported_where_it_opens() {
        let (_, faults) = read("PORT=1\nHOST='::1\nDEBUG=true\nLLM_TOP_P=1\n");
        assert_eq!(faults.len(), 1, "{faults:?}");
        assert!(faults[0].starts_with(".env, line 2: "), "{faults:?}");
    }

    proptest! {
        #[test]
        fn any_text_is_read_to_its_end(text: String) {
            let (_, faults) = pairs(Path::new(".env"), &text);
            let lines = text.lines().count() + 1;
            for fault in faults {
                let ConfigFault::File { line, .. } = fault else { panic!("{fault}") };
                prop_assert!(line.is_some_and(|line| (1..=lines + 1).contains(&line)));
            }
        }
    }
}
