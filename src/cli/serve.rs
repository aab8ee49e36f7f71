//! `rhapsode serve`.

use std::io::Write as _;
use std::net::SocketAddr;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::Args;
use tokio::net::TcpListener;

use crate::app::checks::{self, Depth, Verdict};
use crate::app::{App, Parts, signals};
use crate::config::Config;
use crate::http::CHAPTER_EXAMPLE;
use crate::prompts::Prompts;

#[derive(Debug, Args)]
pub(super) struct Serve {
    /// Address to listen on (HOST)
    #[arg(long)]
    host: Option<String>,
    /// Port to listen on, 0 for any free one (PORT)
    #[arg(long)]
    port: Option<u16>,
    /// GGUF file of the model (`MODEL_PATH`)
    #[arg(long, value_name = "FILE")]
    model: Option<String>,
}

impl Serve {
    pub(super) fn settings(&self) -> impl Iterator<Item = (String, String)> {
        let port = self.port.map(|port| port.to_string());
        [("HOST", self.host.clone()), ("PORT", port), ("MODEL_PATH", self.model.clone())]
            .into_iter()
            .filter_map(|(name, value)| Some((name.to_owned(), value?)))
    }
}

pub(super) async fn run(config: Config) -> anyhow::Result<ExitCode> {
    if !passes_checks(&config).await {
        return Ok(ExitCode::FAILURE);
    }
    let prompts = Prompts::load(config.server.prompts_dir.as_deref())?;
    let address = SocketAddr::new(config.server.host, config.server.port);
    let listener = TcpListener::bind(address)
        .await
        .with_context(|| format!("{address} can't be listened on; choose another HOST or PORT"))?;
    let app = App::new(&config, Parts::of(&config, prompts)?);
    // Who has read the greeting may send a signal.
    let (stop, stop_now) = signals()?;
    greet(&config, listener.local_addr()?);
    app.serve(listener, stop, stop_now).await?;
    tracing::info!("stopped");
    Ok(ExitCode::SUCCESS)
}

async fn passes_checks(config: &Config) -> bool {
    let mut passes = true;
    for check in checks::run(config, Depth::Quick).await {
        match check.verdict {
            Verdict::Ok => tracing::debug!("{}: {}", check.what, check.detail),
            Verdict::Warning => tracing::warn!("{}: {}", check.what, check.detail),
            Verdict::Fault => {
                passes = false;
                tracing::error!("{}: {}", check.what, check.detail);
            }
        }
    }
    passes
}

/// What to open, and something to type. On standard output: the log goes to standard error.
fn greet(config: &Config, address: SocketAddr) {
    tracing::info!(%address, "listening on http://{address}");
    let api = &config.server.api_v1_str;
    let version = env!("CARGO_PKG_VERSION");
    // Nobody need be listening: a closed pipe must not end the server.
    let _ = writeln!(
        std::io::stdout(),
        "Rhapsode {version} listens on http://{address}

  docs    http://{address}/docs
  health  http://{address}/health

A chapter, streamed as it is written:

  curl -N http://{address}{api}/generate-chapter -H 'Content-Type: application/json' -d '{CHAPTER_EXAMPLE}'
"
    );
}
