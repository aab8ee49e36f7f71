//! The binary: parses the command line and runs it.

use std::process::ExitCode;

use clap::Parser;
use rhapsode::cli;

#[tokio::main]
async fn main() -> ExitCode {
    match cli::run(cli::Arguments::parse()).await {
        Ok(code) => code,
        Err(error) => {
            eprintln!("rhapsode: {error:#}");
            ExitCode::FAILURE
        }
    }
}
