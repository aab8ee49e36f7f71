//! Reads a GGUF file into a model, and says in plain words why it can't.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use jiff::tz::TimeZone;
use llama_cpp_2::llama_backend::LlamaBackend;
use llama_cpp_2::model::LlamaModel;
use llama_cpp_2::model::params::LlamaModelParams;
use llama_cpp_2::{LogOptions, send_logs_to_tracing};

use super::attention::{Attention, AttentionChoice};
use super::sampler::Grammars;
use super::vocabulary::Vocabulary;
use crate::clock::Clock;
use crate::engine::EngineError;
use crate::prompts::ChatTemplate;
use crate::tokens::TokenCount;

/// How a model is to be run. Everything here is fixed until the next start.
#[derive(Clone, Debug)]
pub struct LlamaSettings {
    pub model_path: PathBuf,
    /// Tokens of the window asked for; a model trained on fewer gets fewer.
    pub window: TokenCount,
    /// Layers to put on the GPU; `None` is all of them.
    pub gpu_layers: Option<u32>,
    /// `None` is one for each core this process may use.
    pub threads: Option<usize>,
    pub queue_size: usize,
    /// Requests that are read and written at once, 1 to 32.
    pub parallel: usize,
    /// Tokens that the KV cache holds for all requests together, at least `window`; `None` is
    /// `window`.
    pub kv_tokens: Option<TokenCount>,
    pub flash_attention: FlashAttention,
    /// Whether an answer must not depend on what else is computed at the same time.
    pub reproducible: bool,
    /// Where states of the KV cache are kept for later; `None` keeps none.
    pub states_folder: Option<PathBuf>,
    /// Bytes that those may take; 0 keeps none.
    pub states_capacity: u64,
    /// Whether llama.cpp's own log lines go to the server's log.
    pub verbose: bool,
    /// For chat templates that tell the model the date.
    pub clock: Clock,
}

/// Whether attention skips the tokens of other requests (on), or computes all and throws away what
/// isn't wanted (off), which on CPUs is faster for one long context and for many forks of one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FlashAttention {
    /// On where layers are on a GPU; elsewhere as suits the requests.
    #[default]
    Auto,
    On,
    Off,
}

impl LlamaSettings {
    pub(super) fn attention(&self) -> AttentionChoice {
        let on_gpu = self.gpu_layers != Some(0)
            && backend(self.verbose).is_ok_and(LlamaBackend::supports_gpu_offload);
        AttentionChoice::Fixed(match self.flash_attention {
            _ if self.reproducible => Attention::Reproducible,
            FlashAttention::On => Attention::Flash,
            FlashAttention::Off => Attention::Plain,
            FlashAttention::Auto if on_gpu => Attention::Flash,
            FlashAttention::Auto => return AttentionChoice::adaptive(),
        })
    }
}

/// A model in memory, with what turns messages into its tokens.
pub(super) struct LoadedModel {
    pub(super) model: Arc<LlamaModel>,
    pub(super) vocabulary: Arc<Vocabulary>,
    pub(super) template: ChatTemplate,
    pub(super) grammars: Grammars,
    pub(super) window: TokenCount,
    pub(super) name: String,
}

/// Models whose file brings no chat template are mostly trained on, or tolerant of, ChatML.
const CHATML: &str = "{% for message in messages %}<|im_start|>{{ message.role }}\n\
    {{ message.content }}<|im_end|>\n{% endfor %}\
    {% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}";

/// llama.cpp is set up once a process; later engines share it.
pub(super) fn backend(verbose: bool) -> Result<&'static LlamaBackend, EngineError> {
    static BACKEND: OnceLock<Result<LlamaBackend, String>> = OnceLock::new();
    BACKEND
        .get_or_init(|| {
            send_logs_to_tracing(LogOptions::default().with_logs_enabled(verbose));
            LlamaBackend::init().map_err(|error| error.to_string())
        })
        .as_ref()
        .map_err(|error| EngineError::Backend(error.clone()))
}

/// Whether the file looks like a model, without reading it: it exists and begins with GGUF's magic.
pub fn inspect_model_file(path: &Path) -> Result<(), EngineError> {
    let shown = path.display();
    let unavailable = |why: String| {
        EngineError::Unavailable(format!(
            "{why}; set MODEL_PATH to a GGUF file, or run `rhapsode models pull smollm2-135m-instruct`"
        ))
    };
    let mut magic = [0; 4];
    File::open(path)
        .map_err(|error| unavailable(format!("the model file {shown} can't be opened: {error}")))?
        .read_exact(&mut magic)
        .map_err(|error| unavailable(format!("the model file {shown} can't be read: {error}")))?;
    if &magic == b"GGUF" { Ok(()) } else { Err(unavailable(format!("{shown} isn't a GGUF file"))) }
}

impl LoadedModel {
    /// Reads the file; takes seconds to minutes. `go_on` hears shares from 0 to 1, and stops it by
    /// answering false.
    pub(super) fn load(
        settings: &LlamaSettings,
        go_on: impl FnMut(f32) -> bool + 'static,
    ) -> Result<Self, EngineError> {
        inspect_model_file(&settings.model_path)?;
        let mut parameters = LlamaModelParams::default().with_progress_callback(go_on);
        if let Some(layers) = settings.gpu_layers {
            parameters = parameters.with_n_gpu_layers(layers);
        }
        let backend = backend(settings.verbose)?;
        let model = LlamaModel::load_from_file(backend, &settings.model_path, &parameters)
            .map_err(|error| {
                EngineError::Unavailable(format!(
                    "llama.cpp can't load {} ({error}): the file is damaged, of a kind this version doesn't know, or too large for the memory; LLM_VERBOSE=true shows llama.cpp's own words",
                    settings.model_path.display()
                ))
            })?;
        let model = Arc::new(model);
        let name = model_name(&model, &settings.model_path);
        let vocabulary = Arc::new(Vocabulary::new(Arc::clone(&model), name.clone())?);
        let template = chat_template(&model, &name, &settings.clock)?;
        let window = live_window(&model, settings.window, &name);
        let grammars = Grammars::new(Arc::clone(&model));
        Ok(Self { model, vocabulary, template, grammars, window, name })
    }
}

fn model_name(model: &LlamaModel, path: &Path) -> String {
    model
        .meta_val_str("general.name")
        .ok()
        .filter(|name| !name.trim().is_empty())
        .or_else(|| path.file_stem().map(|stem| stem.to_string_lossy().into_owned()))
        .unwrap_or_else(|| "model".to_owned())
}

fn chat_template(
    model: &LlamaModel,
    name: &str,
    clock: &Clock,
) -> Result<ChatTemplate, EngineError> {
    let vocabulary = model.vocab();
    let spelling =
        |token| String::from_utf8_lossy(&vocabulary.token_to_piece(token, true, None)).into_owned();
    let source = model.chat_template(None).ok().and_then(|template| template.to_string().ok());
    let source = source.unwrap_or_else(|| {
        tracing::warn!(model = name, "{name} brings no chat template; using ChatML");
        CHATML.to_owned()
    });
    let today = clock.now().to_zoned(TimeZone::UTC).date();
    ChatTemplate::new(source, spelling(vocabulary.bos()), spelling(vocabulary.eos()), today)
        .map_err(|error| EngineError::Template(error.to_string()))
}

fn live_window(model: &LlamaModel, asked: TokenCount, name: &str) -> TokenCount {
    let trained = TokenCount::from(model.n_ctx_train());
    if asked > trained {
        tracing::warn!(
            model = name,
            "LLM_N_CTX is {asked}, but {name} was trained on {trained} tokens; using {trained}"
        );
        return trained;
    }
    asked
}
