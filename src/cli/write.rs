//! `rhapsode write`: a chapter to the terminal as it comes. The chapter goes to standard output and
//! nothing else does, so that it can be sent to a file; progress and receipt go to standard error.

use std::io::Read;
use std::path::PathBuf;
use std::pin::pin;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Instant;

use anyhow::Context as _;
use clap::Args;
use futures_util::StreamExt;

use super::check::table;
use super::typesetter::Typesetter;
use crate::app::checks::wait_until_loaded;
use crate::app::{App, Parts};
use crate::config::Config;
use crate::context::{Outcome, Receipt};
use crate::engine::{ClientId, EngineState, FinishReason};
use crate::prompts::Prompts;
use crate::story::StoryEvent;
use crate::story::generate_chapter::{GenerateChapterRequest, GenerateChapterResponse};

#[derive(Debug, Args)]
pub(super) struct Write {
    /// A request as POST /generate-chapter takes it; - reads standard input
    file: PathBuf,
}

impl Write {
    pub(super) async fn run(self, config: Config) -> anyhow::Result<ExitCode> {
        let request = self.request()?;
        let prompts = Prompts::load(config.server.prompts_dir.as_deref())?;
        let app = App::new(&config, Parts::of(&config, prompts)?);
        let mut page = Typesetter::new();
        let status = wait_until_loaded(&*app.state.engine, |share| {
            page.progress(format!("loading the model, {:.0} %", share * 100.0));
        })
        .await;
        if status.state != EngineState::Ready {
            page.finish()?;
            anyhow::bail!(status.error.unwrap_or_default());
        }
        let written = tokio::select! {
            written = write(&app, request, &mut page) => written,
            _ = tokio::signal::ctrl_c() => Err(anyhow::anyhow!("stopped")),
        };
        page.finish()?;
        report(&written?)
    }

    fn request(&self) -> anyhow::Result<GenerateChapterRequest> {
        let shown = self.file.display();
        let mut text = Vec::new();
        if self.file.as_os_str() == "-" {
            std::io::stdin().read_to_end(&mut text).context("standard input can't be read")?;
        } else {
            text = std::fs::read(&self.file).with_context(|| format!("{shown} can't be read"))?;
        }
        let mut json = serde_json::Deserializer::from_slice(&text);
        let no_request = || format!("{shown} is no request for a chapter");
        let request = serde_path_to_error::deserialize(&mut json).with_context(no_request)?;
        json.end().with_context(no_request)?;
        Ok(request)
    }
}

async fn write(
    app: &App,
    request: GenerateChapterRequest,
    page: &mut Typesetter,
) -> anyhow::Result<GenerateChapterResponse> {
    let chapter =
        Arc::clone(&app.state.story).generate_chapter(request, ClientId::default()).await?;
    follow(chapter.write(), page).await
}

/// Shows the text as it comes, with the progress below it.
async fn follow(
    events: impl futures_util::Stream<Item = StoryEvent<GenerateChapterResponse>>,
    page: &mut Typesetter,
) -> anyhow::Result<GenerateChapterResponse> {
    let mut events = pin!(events);
    let mut first_piece = None;
    let mut pieces = 0_u32;
    while let Some(event) = events.next().await {
        match event {
            StoryEvent::Status { message, progress, .. } => {
                page.progress(format!("{progress} % {message}"));
            }
            StoryEvent::Context(receipt) => page.progress(format!(
                "reading {} tokens, {} of them cached",
                receipt.prompt.tokens, receipt.prompt.predicted_cached_tokens
            )),
            StoryEvent::Partial(piece) => {
                pieces += 1;
                page.text(&piece)?;
                let started = *first_piece.get_or_insert_with(Instant::now);
                let rate = f64::from(pieces - 1) / started.elapsed().as_secs_f64().max(1e-3);
                page.progress(format!("writing: {pieces} pieces, {rate:.0} a second"));
            }
            StoryEvent::Result(response) => return Ok(*response),
            StoryEvent::Error(error) => return Err(error.into()),
        }
    }
    anyhow::bail!("the job ended without a result")
}

fn report(response: &GenerateChapterResponse) -> anyhow::Result<ExitCode> {
    let metadata = &response.metadata;
    let context = response.context_metadata.as_ref().context("the answer has no receipt")?;
    let receipt = &context.receipt;
    eprintln!("\n{}", receipt_table(receipt));
    eprintln!("{}", layer_table(receipt));
    for note in &receipt.notes {
        eprintln!("note: {note}");
    }
    let seconds = metadata.timings.decode_ms / 1e3;
    let rate = metadata.usage.completion_tokens.get() as f64 / seconds.max(1e-9);
    eprintln!(
        "{} words, {} tokens at {rate:.0} a second; prompt of {} tokens, {} of them cached; window {}",
        response.word_count,
        metadata.usage.completion_tokens,
        metadata.usage.prompt_tokens,
        metadata.usage.cached_tokens,
        receipt.budget.window,
    );
    if metadata.finish_reason == FinishReason::Length {
        eprintln!("the chapter stopped at its token limit, not at its end");
    }
    Ok(ExitCode::SUCCESS)
}

fn receipt_table(receipt: &Receipt) -> comfy_table::Table {
    let mut table = table(["element", "type", "layer", "priority", "tokens", "in prompt", "why"]);
    for element in &receipt.elements {
        let outcome = match element.outcome {
            Outcome::Kept => "kept".to_owned(),
            Outcome::Trimmed => format!("trimmed to {}", element.tokens_used),
            Outcome::Dropped => "dropped".to_owned(),
        };
        table.add_row([
            &element.id,
            &element.type_name,
            &element.layer.letter().to_string(),
            &element.priority.get().to_string(),
            &element.tokens.to_string(),
            &outcome,
            element.reason.in_words(),
        ]);
    }
    table
}

fn layer_table(receipt: &Receipt) -> comfy_table::Table {
    let mut table = table(["layer", "configured", "scaled", "allocated", "needed", "used"]);
    for layer in &receipt.layers {
        table.add_row([
            layer.layer.title().to_owned(),
            layer.configured.to_string(),
            layer.scaled.to_string(),
            layer.allocated.to_string(),
            layer.needed.to_string(),
            layer.used.to_string(),
        ]);
    }
    table
}
