//! What a pull tells whoever waits for it. The command line shows a bar; tests write it down.

use std::io::IsTerminal;

use indicatif::{ProgressBar, ProgressStyle};

/// Hears how a pull gets on.
pub trait Progress: Send + Sync {
    /// A sentence for a person: what happens now, and why.
    fn say(&self, sentence: &str);

    /// `done` of `total` bytes are here; `total` is `None` where the other side does not say.
    fn bytes(&self, done: u64, total: Option<u64>);

    /// The counting of bytes is over, well or not.
    fn finished(&self);

    /// Whether a child process may draw its own progress on standard error.
    fn has_terminal(&self) -> bool {
        false
    }
}

/// Sentences on standard error, and a bar where that is a terminal.
pub struct TerminalProgress {
    bar: ProgressBar,
    has_terminal: bool,
}

impl TerminalProgress {
    pub fn new() -> Self {
        // The bar hides itself where standard error is no terminal.
        Self {
            bar: ProgressBar::no_length(),
            has_terminal: std::io::stderr().is_terminal(),
        }
    }
}

impl Default for TerminalProgress {
    fn default() -> Self {
        Self::new()
    }
}

impl Progress for TerminalProgress {
    fn say(&self, sentence: &str) {
        self.bar.suspend(|| eprintln!("{sentence}"));
    }

    fn bytes(&self, done: u64, total: Option<u64>) {
        if let Some(total) = total
            && self.bar.length() != Some(total)
        {
            self.bar.set_length(total);
            self.bar.set_style(style(
                "{bar:32} {bytes}/{total_bytes} {bytes_per_sec} {eta} left",
            ));
        } else if total.is_none() && self.bar.position() == 0 {
            self.bar
                .set_style(style("{spinner} {bytes} {bytes_per_sec}"));
        }
        self.bar.set_position(done);
    }

    fn finished(&self) {
        self.bar.finish_and_clear();
        self.bar.reset();
    }

    fn has_terminal(&self) -> bool {
        self.has_terminal
    }
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
}

/// Keeps quiet.
pub struct NoProgress;

impl Progress for NoProgress {
    fn say(&self, _sentence: &str) {}

    fn bytes(&self, _done: u64, _total: Option<u64>) {}

    fn finished(&self) {}
}
