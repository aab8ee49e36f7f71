//! The binary: parses the command line and runs it.

use std::num::NonZeroUsize;
use std::process::ExitCode;

use clap::Parser;
use rhapsode::cli;
use tokio::runtime::{Builder, Runtime};

fn main() -> ExitCode {
    share_cores();
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

/// The embedder's threads wait for each other, busily: where a turn's other work takes one of the cores
/// they had counted on, two are slower than one. Unless it is told, it also looks the number up anew
/// for each of its products, in a file.
fn share_cores() {
    #![expect(unsafe_code, reason = "its libraries are told by the environment alone")]
    let threads = (cores() / 2).max(1).to_string();
    for name in ["RAYON_NUM_THREADS", "CANDLE_NUM_THREADS"] {
        #[expect(clippy::disallowed_methods, reason = "no setting of ours")]
        if std::env::var_os(name).is_none() {
            // SAFETY: no other thread has been started yet.
            unsafe { std::env::set_var(name, &threads) };
        }
    }
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, NonZeroUsize::get)
}

/// HTTP is light work beside a model that computes on every core: with a thread for each core the
/// two would keep taking the cores from each other, at every token.
fn runtime() -> std::io::Result<Runtime> {
    Builder::new_multi_thread().worker_threads((cores() / 2).max(1)).enable_all().build()
}
