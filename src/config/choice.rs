//! Settings that are one of a few words. Words are read in any case.

use std::convert::Infallible;
use std::fmt;

use super::value::{Kind, Value};

/// Declares a choice: each variant with its word, and further words that mean the same.
macro_rules! choices {
    ($(
        $(#[$about:meta])+
        $name:ident {
            $($(#[$doc:meta])+ $variant:ident = $word:literal $(| $synonym:literal)*,)+
        }
    )+) => {$(
        $(#[$about])+
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum $name {
            $($(#[$doc])+ $variant,)+
        }

        impl $name {
            /// The word that stands for it in the settings.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $word,)+
                }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str(self.as_str())
            }
        }

        impl Value for $name {
            type Bound = Infallible;
            const KIND: Kind = Kind::Choice(&[$($word),+]);

            fn read(text: &str) -> Option<Self> {
                $(if [$word $(, $synonym)*].iter().any(|word| word.eq_ignore_ascii_case(text)) {
                    return Some(Self::$variant);
                })+
                None
            }

            fn show(&self) -> String {
                self.as_str().to_owned()
            }
        }
    )+};
}

choices! {
    /// Where the archive is.
    ArchiveBackend {
        /// A file of this server's.
        Embedded = "embedded",
        /// A ChromaDB server.
        Chroma = "chroma",
        /// Nowhere.
        Off = "off",
    }

    /// The header in which a token goes to a ChromaDB server.
    TokenHeader {
        /// `Authorization: Bearer …`.
        Authorization = "authorization",
        /// `X-Chroma-Token: …`.
        XChromaToken = "x-chroma-token",
    }

    /// Whether flash attention computes.
    FlashAttention {
        /// On where layers are on a GPU; elsewhere as suits the requests.
        Auto = "auto",
        /// Always.
        On = "on" | "true",
        /// Never.
        Off = "off" | "false",
    }

    /// How access tokens are signed.
    JwtAlgorithm {
        /// HMAC with SHA-256.
        Hs256 = "HS256",
    }

    /// Who runs the model.
    Provider {
        /// llama.cpp, in this process.
        Llama = "llama" | "llama.cpp" | "local",
        /// A server that speaks OpenAI's language.
        Openai = "openai" | "vllm",
        /// An Ollama server.
        Ollama = "ollama",
        /// Google's Gemini.
        Gemini = "gemini" | "google",
    }

    /// The least important events that the log shows.
    LogLevel {
        /// Everything but prompts and outputs, which `LLM_VERBOSE_GENERATION` adds.
        Trace = "TRACE",
        /// What a developer needs to follow a request.
        Debug = "DEBUG",
        /// What an operator wants to know.
        Info = "INFO",
        /// What may need a look.
        Warn = "WARN" | "WARNING",
        /// What failed.
        Error = "ERROR",
    }

    /// The form of log lines.
    LogFormat {
        /// One JSON object a line.
        Json = "json",
        /// Lines for people.
        Text = "text",
    }

    /// Which tokenizer counts tokens.
    TokenizerChoice {
        /// The loaded model's; an estimate before it is loaded.
        Auto = "auto",
        /// The loaded model's only.
        Model = "model",
        /// The `o200k_base` vocabulary.
        O200k = "o200k",
        /// The `cl100k_base` vocabulary.
        Cl100k = "cl100k",
        /// From the length of the text alone.
        Estimate = "estimate",
    }

    /// Who shortens texts.
    DistillationMethod {
        /// The model, where it does well.
        Model = "model",
        /// Nobody: sentences are chosen.
        Extractive = "extractive",
    }

    /// What becomes of budget that a layer doesn't need.
    AllocationMode {
        /// Nothing: each layer keeps to its own.
        Static = "static",
        /// It is lent to layers that need more.
        Dynamic = "dynamic",
        /// The whole budget is shared out by need.
        Adaptive = "adaptive",
    }

    /// What becomes of a layer that is too full after all lending.
    OverflowStrategy {
        /// The request is refused.
        Reject = "reject",
        /// It is cut at sentence ends within its own budget.
        Truncate = "truncate",
        /// It first takes up to 30 % of its own budget from others' unused space.
        Borrow = "borrow",
        /// It first takes everything that others leave unused.
        Reallocate = "reallocate",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_read_in_any_case_and_by_synonym() {
        assert_eq!(LogLevel::read("warning"), Some(LogLevel::Warn));
        assert_eq!(LogLevel::read("Warn"), Some(LogLevel::Warn));
        assert_eq!(LogLevel::read("INFO"), Some(LogLevel::Info));
        assert_eq!(LogLevel::read("loud"), None);
        assert_eq!(OverflowStrategy::read("Reallocate"), Some(OverflowStrategy::Reallocate));
    }
}
