//! The binary: parses the command line and runs it.

use std::num::NonZeroUsize;
use std::process::ExitCode;

use clap::Parser;
use rhapsode::cli;
use tokio::runtime::{Builder, Runtime};

fn main() -> ExitCode {
    let arguments = cli::Arguments::parse();
    let result = runtime().map_err(Into::into).and_then(|runtime| {
        let result = runtime.block_on(cli::run(arguments));
        // Work that nobody waits for any more must not hold up the end.
        runtime.shutdown_background();
        result
    });
    match result {
        Ok(code) => code,
        Err(error) => {
            eprintln!("rhapsode: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// HTTP is light work beside a model that computes on every core: with a thread for each core the
/// two would keep taking the cores from each other, at every token.
fn runtime() -> std::io::Result<Runtime> {
    let cores = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
    Builder::new_multi_thread().worker_threads((cores / 2).max(1)).enable_all().build()
}
