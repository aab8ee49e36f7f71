//! `rhapsode write`: any story request to the terminal, as its answer comes. The text, or the JSON of
//! a structured answer, goes to standard output and nothing else does, so that it can be sent to a
//! file; progress and receipts go to standard error.

use std::io::Read;
use std::path::PathBuf;
use std::pin::pin;
use std::process::ExitCode;
use std::time::Instant;

use anyhow::Context as _;
use clap::Args;
use futures_util::{Stream, StreamExt};
use serde_json::Value;

use super::check::table;
use super::typesetter::Typesetter;
use crate::app::checks::wait_until_loaded;
use crate::app::{App, Parts};
use crate::config::Config;
use crate::context::{Outcome, Receipt};
use crate::engine::EngineState;
use crate::http;
use crate::prompts::Prompts;

#[derive(Debug, Args)]
pub(super) struct Write {
    /// A request as a story endpoint takes it; - reads standard input
    file: PathBuf,

    /// The endpoint, such as editor-review; without it, the one the file's name begins with, else
    /// generate-chapter
    #[arg(long = "as", value_name = "ENDPOINT")]
    endpoint: Option<String>,
}

/// Endpoints whose answer is prose, and where in it the prose lies.
const PROSE: [(&str, &str); 6] = [
    ("generate-chapter", "/chapterText"),
    ("modify-chapter", "/modifiedChapter"),
    ("flesh-out", "/fleshedOutText"),
    ("regenerate-bio", "/basicBio"),
    ("chat/llm", "/message/content"),
    ("agentic-modify-chapter", "/content"),
];

impl Write {
    pub(super) async fn run(self, config: Config) -> anyhow::Result<ExitCode> {
        let endpoint = self.endpoint()?;
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
        let mut written = Written::new(endpoint);
        let outcome = tokio::select! {
            outcome = written.follow(app.ask(endpoint, request), &mut page) => outcome,
            _ = tokio::signal::ctrl_c() => Err(anyhow::anyhow!("stopped")),
        };
        page.finish()?;
        written.report();
        outcome?;
        Ok(ExitCode::SUCCESS)
    }

    fn endpoint(&self) -> anyhow::Result<&'static str> {
        let known: Vec<_> = http::story_jobs().collect();
        let in_file_names = |endpoint: &str| endpoint.replace('/', "-");
        if let Some(wanted) = &self.endpoint {
            let wanted = wanted.trim_start_matches('/');
            let meant = known
                .iter()
                .find(|&&endpoint| endpoint == wanted || in_file_names(endpoint) == wanted);
            return meant.copied().with_context(|| {
                format!("{wanted} is no story endpoint; there are {}", known.join(", "))
            });
        }
        let stem = self.file.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let mut meant: Vec<_> = known
            .into_iter()
            .filter(|endpoint| stem.starts_with(&in_file_names(endpoint)))
            .collect();
        meant.sort_by_key(|endpoint| endpoint.len());
        Ok(meant.pop().unwrap_or("generate-chapter"))
    }

    fn request(&self) -> anyhow::Result<Vec<u8>> {
        let shown = self.file.display();
        let mut text = Vec::new();
        if self.file.as_os_str() == "-" {
            std::io::stdin().read_to_end(&mut text).context("standard input can't be read")?;
        } else {
            text = std::fs::read(&self.file).with_context(|| format!("{shown} can't be read"))?;
        }
        serde_json::from_slice::<serde::de::IgnoredAny>(&text)
            .with_context(|| format!("{shown} is not JSON"))?;
        Ok(text)
    }
}

/// What came of a request so far.
struct Written {
    endpoint: &'static str,
    /// Where the answer's prose lies, if it is prose.
    prose: Option<&'static str>,
    /// Whether its text is shown as it comes.
    is_shown: bool,
    pieces: u32,
    first_piece: Option<Instant>,
    /// Each with the member of the panel whose it is.
    receipts: Vec<(Option<String>, Receipt)>,
    result: Option<Value>,
}

impl Written {
    fn new(endpoint: &'static str) -> Self {
        let prose = PROSE.iter().find(|(known, _)| *known == endpoint).map(|(_, place)| *place);
        Self {
            endpoint,
            prose,
            // Of several texts, only the one that is kept is shown.
            is_shown: prose.is_some() && endpoint != "agentic-modify-chapter",
            pieces: 0,
            first_piece: None,
            receipts: Vec::new(),
            result: None,
        }
    }

    /// Shows the text as it comes, with the progress below it.
    async fn follow(
        &mut self,
        events: impl Stream<Item = anyhow::Result<Value>>,
        page: &mut Typesetter,
    ) -> anyhow::Result<()> {
        let mut events = pin!(events);
        while let Some(event) = events.next().await {
            let mut event = event?;
            match event["type"].as_str() {
                Some("status") => {
                    let message = event["message"].as_str().unwrap_or_default();
                    page.progress(format!("{} % {message}", event["progress"]));
                }
                Some("context") => self.context(event, page)?,
                Some("partial") => {
                    self.piece(event["content"].as_str().unwrap_or_default(), page)?;
                }
                Some("result") => {
                    let result = event["data"].take();
                    self.show(&result, page)?;
                    self.result = Some(result);
                    return Ok(());
                }
                Some("error") => {
                    // A loop that broke off hands over its best text.
                    if let Some(best) = event.pointer("/data/last_content").and_then(Value::as_str)
                    {
                        page.text(best)?;
                    }
                    anyhow::bail!("{}", event["message"].as_str().unwrap_or("the job failed"));
                }
                _ => {}
            }
        }
        anyhow::bail!("the job ended without a result")
    }

    fn context(&mut self, mut event: Value, page: &Typesetter) -> anyhow::Result<()> {
        let receipt: Receipt = serde_json::from_value(event["receipt"].take())?;
        page.progress(format!(
            "reading {} tokens, {} of them cached",
            receipt.prompt.tokens, receipt.prompt.predicted_cached_tokens
        ));
        self.receipts.push((event["member"].as_str().map(str::to_owned), receipt));
        Ok(())
    }

    fn piece(&mut self, piece: &str, page: &mut Typesetter) -> anyhow::Result<()> {
        self.pieces += 1;
        if self.is_shown {
            page.text(piece)?;
        }
        let started = *self.first_piece.get_or_insert_with(Instant::now);
        let rate = f64::from(self.pieces - 1) / started.elapsed().as_secs_f64().max(1e-3);
        page.progress(format!("writing: {} pieces, {rate:.0} a second", self.pieces));
        Ok(())
    }

    fn show(&self, result: &Value, page: &mut Typesetter) -> std::io::Result<()> {
        if self.is_shown {
            return Ok(());
        }
        let prose = self.prose.and_then(|place| result.pointer(place)).and_then(Value::as_str);
        match prose {
            Some(text) => page.text(text),
            None => page.text(&format!("{:#}", without_receipts(result.clone()))),
        }
    }

    /// The account of it, on standard error.
    fn report(&self) {
        let context = self.result.as_ref().map(|result| &result["context_metadata"]);
        let last = context
            .and_then(|context| serde_json::from_value(context["receipt"].clone()).ok())
            .or_else(|| self.receipts.last().map(|(_, receipt)| receipt.clone()));
        let is_panel = self.receipts.iter().any(|(member, _)| member.is_some());
        if let Some(receipt) = last.filter(|_| !is_panel) {
            tell_receipt(&receipt);
        }
        for (member, receipt) in self.receipts.iter().filter(|_| is_panel) {
            eprintln!(
                "{}: prompt of {} tokens, {} of them cached when it was queued",
                member.as_deref().unwrap_or(self.endpoint),
                receipt.prompt.tokens,
                receipt.prompt.predicted_cached_tokens
            );
        }
        let Some(result) = &self.result else { return };
        if result["degraded"] == true {
            eprintln!("degraded: {}", result["degradedReason"].as_str().unwrap_or_default());
        }
        if result.pointer("/metadata/finishReason").is_some_and(|reason| reason == "length") {
            eprintln!("the text stopped at its token limit, not at its end");
        }
    }
}

/// Receipts are told apart from the answer, as a table.
fn without_receipts(mut value: Value) -> Value {
    match &mut value {
        Value::Object(fields) => {
            fields.shift_remove("context_metadata");
            for field in fields.values_mut() {
                *field = without_receipts(field.take());
            }
        }
        Value::Array(items) => {
            for item in items {
                *item = without_receipts(item.take());
            }
        }
        _ => {}
    }
    value
}

fn tell_receipt(receipt: &Receipt) {
    eprintln!("\n{}", receipt_table(receipt));
    eprintln!("{}", layer_table(receipt));
    for note in &receipt.notes {
        eprintln!("note: {note}");
    }
    eprintln!(
        "prompt of {} tokens, {} of them cached; window {}",
        receipt.prompt.tokens,
        receipt.prompt.cached_tokens.unwrap_or(receipt.prompt.predicted_cached_tokens),
        receipt.budget.window,
    );
}

fn receipt_table(receipt: &Receipt) -> comfy_table::Table {
    let mut table = table(["element", "type", "layer", "priority", "tokens", "in prompt", "why"]);
    for element in &receipt.elements {
        let outcome = match element.outcome {
            Outcome::Kept => "kept".to_owned(),
            Outcome::Distilled => match &element.told_by {
                Some(other) => format!("told by {other}"),
                None => format!("distilled to {}", element.tokens_used),
            },
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
