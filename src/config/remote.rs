//! `[remote]`: a model on another server, instead of one in this process.

use super::choice::Provider;
use super::section::section;
use super::value::Secret;

section! {
    /// A model on another server, instead of one in this process.
    Remote, "remote";

    /// Who runs the model: `llama` this process, `openai` any server that speaks OpenAI's language
    /// (OpenAI, vLLM, llama-server and many more), `ollama` an Ollama server,
    /// `gemini` Google. With any but `llama` the settings of `[engine]` about files, layers, threads
    /// and the cache have no meaning, and `LLM_N_CTX` is the window of the provider's model, which
    /// no provider tells: set it to what its model has.
    llm_provider: Provider = Provider::Llama;

    /// URL that the provider's routes begin with, such as `https://api.openai.com/v1`. `openai` needs
    /// it; when unset, `ollama` is asked at `OLLAMA_HOST` and `gemini` at Google's public address.
    llm_base_url: Option<String> = None,
        shaped("a URL that starts with http:// or https:// and holds neither user name nor query", is_base_url);

    /// Key for the provider. It is sent to `LLM_BASE_URL` and nowhere else, and never logged or
    /// shown.
    llm_api_key: Option<Secret> = None, shaped("a key without spaces or line ends", is_key);

    /// Name of the model at the provider. `openai` and `ollama` need it; for `gemini` it is
    /// `GEMINI_MODEL` when unset.
    llm_model: Option<String> = None, shaped("a name without spaces", is_name), also(&["MODEL_NAME"]);

    /// Address of the Ollama server, as Ollama's own tools read it: a host, a host and a port, or a
    /// URL. `LLM_BASE_URL` comes before it.
    ollama_host: String = "http://127.0.0.1:11434".to_owned(),
        shaped("a host, host:port, or a URL that starts with http:// or https://", is_ollama_host);

    /// Key for `gemini`, where `LLM_API_KEY` is unset. It is never logged or shown.
    gemini_api_key: Option<Secret> = None, shaped("a key without spaces or line ends", is_key);

    /// Model for `gemini`, where `LLM_MODEL` is unset.
    gemini_model: String = "gemini-1.5-pro".to_owned(), shaped("a name without spaces", is_name);

    /// Number of requests that the provider gets at the same time. Others wait, `LLM_QUEUE_SIZE` of
    /// them at most, and clients take turns.
    llm_max_in_flight: usize = 5, within(1, 1000);

    /// Seconds that connecting to the provider may take.
    llm_connect_timeout_seconds: u64 = 10, within(1, 600);

    /// Seconds that the provider may take until its answer, or what it thinks before that, begins. A
    /// model that is loaded first, or reads a long prompt, takes minutes.
    llm_first_token_timeout_seconds: u64 = 300, within(1, 86_400);

    /// Seconds of silence after which an answer that had begun is given up.
    llm_stall_timeout_seconds: u64 = 60, within(1, 86_400);

    /// How often a request is sent again that met no server, status 429 or a status from 500 on,
    /// each time after a longer pause, and never earlier than the server asks for (a minute at most).
    /// Never after its answer began.
    llm_retries: u32 = 4, within(0, 20);
}

/// A user name would come with a password, and this value is shown; the keys are not.
fn is_base_url(url: &str) -> bool {
    let rest = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://"));
    let unfit = |c: char| c.is_whitespace() || c.is_control() || "@?#".contains(c);
    rest.is_some_and(|rest| {
        !rest.is_empty() && !rest.starts_with(['/', ':']) && !rest.contains(unfit)
    })
}

fn is_ollama_host(host: &str) -> bool {
    is_base_url(host) || (!host.contains("://") && is_base_url(&format!("http://{host}")))
}

/// It becomes a part of a header.
fn is_key(key: &str) -> bool {
    key.bytes().all(|byte| byte.is_ascii_graphic())
}

/// It may become a part of a URL.
fn is_name(name: &str) -> bool {
    !name.chars().any(|c| c.is_whitespace() || c.is_control() || "?#%\\".contains(c))
        && !name.split('/').any(|part| matches!(part, "" | "." | ".."))
}

#[cfg(test)]
mod tests {
    use crate::config::Config;

    #[test]
    fn what_a_provider_needs_is_asked_for_by_name() {
        let url = ("LLM_BASE_URL", "http://127.0.0.1:1/v1");
        let cases: [(&[(&str, &str)], &str); 5] = [
            (&[("LLM_PROVIDER", "openai"), ("LLM_MODEL", "m")], "LLM_BASE_URL"),
            (&[("LLM_PROVIDER", "openai"), url], "LLM_MODEL"),
            (&[("LLM_PROVIDER", "ollama")], "LLM_MODEL"),
            (&[("LLM_PROVIDER", "gemini")], "GEMINI_API_KEY"),
            (
                &[
                    ("LLM_PROVIDER", "openai"),
                    ("LLM_MODEL", "m"),
                    ("LLM_BASE_URL", "https://api.openai.com/v1"),
                ],
                "LLM_API_KEY",
            ),
        ];
        for (pairs, missing) in cases {
            let fault = Config::from_pairs(pairs).unwrap_err().to_string();
            assert!(fault.contains(missing), "{fault}");
        }
        Config::from_pairs(&[("LLM_PROVIDER", "gemini"), ("GEMINI_API_KEY", "k")]).unwrap();
        Config::from_pairs(&[("LLM_PROVIDER", "openai"), ("MODEL_NAME", "m"), url]).unwrap();
    }

    #[test]
    fn keys_and_addresses_that_would_break_a_request_are_refused_and_keys_are_not_shown() {
        for (name, bad) in [
            ("LLM_BASE_URL", "ftp://x"),
            ("LLM_BASE_URL", "https://me:hunter2@x"),
            ("LLM_BASE_URL", "https://x/v1?key=hunter2"),
            ("LLM_BASE_URL", "http:///v1"),
            ("LLM_API_KEY", "hunter2\nX-Evil: 1"),
            ("LLM_MODEL", "../../hunter2?"),
            ("OLLAMA_HOST", "ftp://x"),
        ] {
            let fault = Config::from_pairs(&[(name, bad)]).unwrap_err().to_string();
            assert!(fault.contains(name), "{fault}");
            assert!(name != "LLM_API_KEY" || !fault.contains("hunter2"), "{fault}");
        }
    }
}
