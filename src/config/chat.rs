//! `[chat]`: talks, and how much of them is remembered.

use std::path::PathBuf;

use super::section::section;
use super::value::ByteCount;

section! {
    /// Talks: how the window is shared out, and what is remembered.
    Chat, "chat";

    /// Share of the model's window for system messages and the persona, in percent. The four shares
    /// are 100 together.
    system_token_percent: f64 = 20.0, within(0.0, 100.0);

    /// Share of the model's window for what is recalled and for summaries, in percent.
    rag_token_percent: f64 = 25.0, within(0.0, 100.0);

    /// Share of the model's window for the newest messages, in percent.
    history_token_percent: f64 = 35.0, within(0.0, 100.0);

    /// Share of the model's window for the answer, in percent: so long it may be where a request
    /// names no length, up to 800 tokens. A request that asks for a longer or shorter one gets that,
    /// up to half of the window.
    response_token_percent: f64 = 20.0, within(5.0, 100.0);

    /// Memories that a prompt holds at most. 0 recalls nothing.
    rag_top_k: usize = 3, within(0, 100);

    /// Messages of a session that are kept in RAM.
    max_working_memory_size: usize = 20, within(2, 10_000);

    /// Sessions that are kept in RAM; those unused for longest leave first.
    working_memory_sessions: usize = 1_000, within(1, 1_000_000);

    /// Bytes of RAM that those take together at most, what recall searches included. The process takes
    /// about a third more, which lies between them.
    working_memory_bytes: ByteCount = ByteCount::mib(64);

    /// Messages that one summary tells.
    summarize_after_messages: usize = 20, within(2, 1_000);

    /// The longest that looking into memory may hold an answer up, in milliseconds; after that the
    /// answer is given without.
    memory_timeout_ms: u64 = 2_000, within(10, 60_000);

    /// The sentence embedder: all-MiniLM-L6-v2 (the one that is fetched), or a folder with another
    /// BERT model in safetensors. After a change all that was said is embedded anew, in the
    /// background.
    embedding_model: PathBuf = PathBuf::from("all-MiniLM-L6-v2");

    /// File of the personas that can be talked to. When unset, personas.yaml in the working folder, or
    /// the shipped personas where there is none. A changed file is taken up without a restart.
    personas_file: Option<PathBuf> = None;
}
