//! `[archive]`: where finished stories are kept and searched, and how answers from them sample.

use super::choice::{ArchiveBackend, TokenHeader};
use super::engine::is_web_address;
use super::section::section;
use super::value::{ByteCount, Secret};

section! {
    /// Where finished stories are kept and searched by meaning, and how answers from them sample.
    Archive, "archive";

    /// Where the archive is: embedded (a file of this server's), chroma (a ChromaDB server, see
    /// `CHROMA_URL`), off.
    archive_backend: ArchiveBackend = ArchiveBackend::Embedded;

    /// Folder of the embedded archive; each collection is a file in it. When unset, it is `DB_PATH`.
    archive_db_path: Option<std::path::PathBuf> = None;

    /// Name of the collection that holds the archive.
    archive_collection_name: String = "story_archive".to_owned(), shaped(NAME, is_name);

    /// Longest chunk that a document is cut into, in characters. The sentence embedder that comes
    /// along reads about the first 1,000 of them. Documents that are there already stay as they are.
    archive_chunk_characters: usize = 1_000, within(200, 8_000);

    /// Most characters that a chunk repeats of the one before; less than half of a chunk.
    archive_chunk_overlap: usize = 200, within(0, 4_000);

    /// Largest file that the archive takes, before and after unpacking.
    archive_max_file_bytes: ByteCount = ByteCount::mib(20),
        within(ByteCount::kib(1), ByteCount::gib(1));

    /// Address of the ChromaDB server, such as `http://127.0.0.1:8001`.
    chroma_url: Option<String> = None, shaped("a URL that starts with http:// or https:// and holds no user name", is_web_address);

    /// Tenant at the ChromaDB server. It is made if it isn't there.
    chroma_tenant: String = "default_tenant".to_owned(), shaped(NAME, is_name);

    /// Database of that tenant. It is made if it isn't there.
    chroma_database: String = "default_database".to_owned(), shaped(NAME, is_name);

    /// Token that the ChromaDB server asks for.
    chroma_token: Option<Secret> = None;

    /// The header that the token goes into: authorization (after the word Bearer) or x-chroma-token.
    chroma_token_header: TokenHeader = TokenHeader::Authorization;

    /// Sampling temperature when a follow-up question is put in words that can be searched for.
    endpoint_archive_search_temperature: f32 = 0.3, within(0.0, 1.0);

    /// Sampling temperature when whole documents are told shorter for an answer.
    endpoint_archive_summarize_temperature: f32 = 0.4, within(0.0, 1.0);

    /// Sampling temperature of answers to questions about the archive.
    rag_default_temperature: f32 = 0.3, within(0.0, 1.0);

    /// Sampling temperature when what was said before a question is told shorter.
    rag_summarization_temperature: f32 = 0.4, within(0.0, 1.0);
}

/// What [`is_name`] expects.
const NAME: &str =
    "3 to 512 letters, digits, dots, hyphens and underscores, a letter or a digit at both ends";

/// As ChromaDB names collections; such a name is a harmless file name, too.
fn is_name(name: &str) -> bool {
    let is_plain = |letter: char| letter.is_ascii_alphanumeric();
    let is_allowed = |letter: char| is_plain(letter) || matches!(letter, '.' | '_' | '-');
    (3..=512).contains(&name.len())
        && name.chars().all(is_allowed)
        && name.starts_with(is_plain)
        && name.ends_with(is_plain)
        && !name.contains("..")
}
