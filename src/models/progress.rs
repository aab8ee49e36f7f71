//! What a pull tells whoever waits for it. The command line shows a bar; tests write it down.

use std::io::{self, IsTerminal};
use std::sync::{Mutex, MutexGuard, PoisonError};

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
#[derive(Default)]
pub struct TerminalProgress {
    /// There while bytes are counted: an idle bar would be drawn between the sentences.
    bar: Mutex<Option<ProgressBar>>,
}

impl TerminalProgress {
    pub fn new() -> Self {
        Self::default()
    }

    fn bar(&self) -> MutexGuard<'_, Option<ProgressBar>> {
        self.bar.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Progress for TerminalProgress {
    fn say(&self, sentence: &str) {
        match self.bar().as_ref() {
            Some(bar) => bar.suspend(|| eprintln!("{sentence}")),
            None => eprintln!("{sentence}"),
        }
    }

    fn bytes(&self, done: u64, total: Option<u64>) {
        let mut bar = self.bar();
        // The bar hides itself where standard error is no terminal.
        let bar = bar.get_or_insert_with(|| match total {
            Some(total) => ProgressBar::new(total)
                .with_style(style("{bar:32} {decimal_bytes}/{decimal_total_bytes} {decimal_bytes_per_sec}, {eta} left"))
                // So that what an earlier pull brought does not count as speed.
                .with_position(done),
            None => ProgressBar::no_length().with_style(style("{spinner} {decimal_bytes} {decimal_bytes_per_sec}")),
        });
        bar.set_position(done);
    }

    fn finished(&self) {
        if let Some(bar) = self.bar().take() {
            bar.finish_and_clear();
        }
    }

    fn has_terminal(&self) -> bool {
        io::stderr().is_terminal()
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
