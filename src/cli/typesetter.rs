//! Text on a terminal as it comes, with a progress line that stays below it: whole lines are printed
//! above, and the line being written is shown together with the progress. Where standard output is a
//! file or a pipe, the text goes there as it is.

use std::io::{IsTerminal, Write as _};
use std::time::Duration;

use console::Term;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// Where a terminal doesn't say how wide it is.
const USUAL_WIDTH: usize = 80;
const NARROWEST: usize = 20;
const DRAWN_EVERY: Duration = Duration::from_millis(100);

pub(super) struct Typesetter {
    progress: ProgressBar,
    /// The line being written; `None` where the text isn't shown on a terminal.
    line: Option<String>,
    width: usize,
}

impl Typesetter {
    pub(super) fn new() -> Self {
        let columns =
            Term::stdout().size_checked().map_or(USUAL_WIDTH, |(_, columns)| columns.into());
        let width = columns.saturating_sub(1).max(NARROWEST);
        let progress = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
        // The template is a constant that parses.
        if let Ok(style) = ProgressStyle::with_template("{prefix}\n{spinner} {msg}") {
            progress.set_style(style);
        }
        progress.enable_steady_tick(DRAWN_EVERY);
        let line = std::io::stdout().is_terminal().then(String::new);
        Self { progress, line, width }
    }

    /// Says how far the work is.
    pub(super) fn progress(&self, message: String) {
        self.progress.set_message(message);
    }

    /// Shows a piece of the text.
    pub(super) fn text(&mut self, piece: &str) -> std::io::Result<()> {
        let Some(line) = &mut self.line else { return write(piece) };
        line.push_str(piece);
        let finished = whole_lines(line, self.width);
        if !finished.is_empty() {
            self.progress.suspend(|| write(&finished))?;
        }
        self.progress.set_prefix(line.clone());
        Ok(())
    }

    /// Ends the text and takes the progress line away.
    pub(super) fn finish(&mut self) -> std::io::Result<()> {
        self.progress.finish_and_clear();
        write(&self.line.take().unwrap_or_default())?;
        write("\n")
    }
}

/// Takes off the lines that are full, each with its end.
fn whole_lines(line: &mut String, width: usize) -> String {
    let mut finished = String::new();
    loop {
        let end = line.find('\n').filter(|&end| line[..end].chars().count() <= width);
        let full = line.char_indices().nth(width).map(|(at, _)| at);
        let (taken, skipped) = match (end, full) {
            (Some(end), _) => (end, 1),
            // A space right behind a full line is its end.
            (None, Some(full)) => match line[..line.ceil_char_boundary(full + 1)].rfind(' ') {
                Some(space) => (space, 1),
                None => (full, 0),
            },
            (None, None) => return finished,
        };
        finished.push_str(&line[..taken]);
        finished.push('\n');
        line.drain(..taken + skipped);
    }
}

fn write(text: &str) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_broken_between_words() {
        let mut line = "Rain fell on the old town".to_owned();
        assert_eq!(whole_lines(&mut line, 10), "Rain fell\non the old\n");
        assert_eq!(line, "town");
    }

    #[test]
    fn the_texts_own_line_ends_stay() {
        let mut line = "One.\n\nTwo".to_owned();
        assert_eq!(whole_lines(&mut line, 10), "One.\n\n");
        assert_eq!(line, "Two");
    }

    #[test]
    fn a_word_longer_than_the_line_is_cut() {
        let mut line = "é".repeat(25);
        assert_eq!(whole_lines(&mut line, 10), format!("{0}\n{0}\n", "é".repeat(10)));
        assert_eq!(line, "é".repeat(5));
    }
}
