//! Routes of what is remembered, and of who can be talked to.

use axum::routing::{delete, get, patch, post, put};

use super::Endpoint;
use super::query::{
    BRANCHES, CARD_FORMAT, EXPORT_FORMAT, KEY, LIMIT, OFFSET, REPLACE, REPLACE_PERSONA, WORDS,
};
use crate::http::personas::{BYTES, JSON, PNG, ZIP};
use crate::http::{memory, personas};

const MEMORY: &str = "memory";
const PERSONAS: &str = "personas";

const MEMORY_ERRORS: &[u16] = &[400, 404, 413, 422, 500, 503];
const MEMORY_CONFLICTS: &[u16] = &[400, 404, 409, 413, 422, 500, 503];

pub(super) const ROWS: &[Endpoint] = &[
    Endpoint::new("get", "{api}/memory", MEMORY, || get(memory::sessions))
        .about("What is remembered: sessions, the most recently used first")
        .asks(&[OFFSET, LIMIT])
        .answers("MemorySessions")
        .fails(&[422, 500, 503]),
    Endpoint::new("get", "{api}/memory/{session}", MEMORY, || get(memory::session))
        .about("A session: its messages, summaries and facts")
        .asks(&[OFFSET, LIMIT, BRANCHES])
        .answers("MemorySession")
        .fails(&[404, 422, 500, 503]),
    Endpoint::new("delete", "{api}/memory/{session}", MEMORY, || delete(memory::delete_session))
        .about("Delete a session, down to the bytes in the file")
        .answers("MemoryDeleted")
        .fails(&[404, 422, 500, 503]),
    Endpoint::new("get", "{api}/memory/{session}/search", MEMORY, || get(memory::search))
        .about("Messages that hold all of some words")
        .asks(&[WORDS, LIMIT])
        .answers("MemorySearch")
        .fails(&[404, 422, 500, 503]),
    Endpoint::new("get", "{api}/memory/{session}/messages/{id}", MEMORY, || get(memory::message))
        .about("A message, where it comes from and what came of it")
        .answers("MemoryProvenance")
        .fails(&[404, 422, 500, 503]),
    Endpoint::new("patch", "{api}/memory/{session}/messages/{id}", MEMORY, || {
        patch(memory::change_message)
    })
    .about("Pin, correct or forget a message")
    .takes("MemoryMessageChange", memory::examples::CHANGE)
    .answers("MemoryMessage")
    .fails(MEMORY_ERRORS),
    Endpoint::new("delete", "{api}/memory/{session}/messages/{id}", MEMORY, || {
        delete(memory::delete_message)
    })
    .about("Delete a message and all that was said after it")
    .answers("MemoryDeletedMessages")
    .fails(&[404, 422, 500, 503]),
    Endpoint::new("put", "{api}/memory/{session}/persona", MEMORY, || put(memory::set_persona))
        .about("Set the persona by hand, as a text or from a character card")
        .takes("MemoryPersonaRequest", memory::examples::PERSONA)
        .answers("MemoryPersona")
        .fails(&[400, 413, 422, 500, 503]),
    Endpoint::new("delete", "{api}/memory/{session}/persona", MEMORY, || {
        delete(memory::clear_persona)
    })
    .about("Take the persona away; the client's own counts again")
    .answers("MemoryPersona")
    .fails(&[404, 422, 500, 503]),
    Endpoint::new("post", "{api}/memory/{session}/facts", MEMORY, || post(memory::add_fact))
        .about("Add a fact, which every prompt tells")
        .created()
        .takes("MemoryFactRequest", memory::examples::FACT)
        .answers("MemoryFact")
        .fails(MEMORY_ERRORS),
    Endpoint::new("patch", "{api}/memory/{session}/facts/{id}", MEMORY, || {
        patch(memory::change_fact)
    })
    .about("Change a fact: a new text takes the place of the old one, which stays")
    .takes("MemoryFactChange", memory::examples::FACT_CHANGE)
    .answers("MemoryFact")
    .fails(MEMORY_CONFLICTS),
    Endpoint::new("delete", "{api}/memory/{session}/facts/{id}", MEMORY, || {
        delete(memory::remove_fact)
    })
    .about("Delete a fact")
    .answers("MemoryDeleted")
    .fails(&[404, 422, 500, 503]),
    Endpoint::new("post", "{api}/memory/{session}/fork", MEMORY, || post(memory::fork))
        .about("Copy the talk up to a message into a new session")
        .created()
        .takes("MemoryForkRequest", memory::examples::FORK)
        .answers("MemoryFork")
        .fails(MEMORY_CONFLICTS),
    Endpoint::new("get", "{api}/memory/{session}/export", MEMORY, || get(memory::export))
        .about("A session as lines of JSON, or as a chat of SillyTavern")
        .asks(&[EXPORT_FORMAT])
        .answers_lines()
        .answers("MemoryLine")
        .fails(&[404, 422, 500, 503]),
    Endpoint::new("post", "{api}/memory/{session}/import", MEMORY, || post(memory::import))
        .about("Read an export, or a chat of SillyTavern; what is there already is left as it is")
        .asks(&[REPLACE])
        .takes_lines()
        .takes_untried("MemoryLine")
        .answers("MemoryImport")
        .fails(&[400, 413, 422, 500, 503]),
    Endpoint::new("get", "/personas", PERSONAS, || get(personas::list))
        .about("Who can be talked to")
        .answers("PersonaList"),
    Endpoint::new("get", "{api}/personas", PERSONAS, || get(personas::list))
        .about("Who can be talked to")
        .answers("PersonaList"),
    Endpoint::new("post", "{api}/personas/import", PERSONAS, || post(personas::import))
        .about("Make a persona of a character card: PNG, CHARX or JSON, V1 to V3")
        .asks(&[KEY, REPLACE_PERSONA])
        .created()
        .takes_files(&[PNG, JSON, ZIP, BYTES])
        .takes_untried("PersonaImportForm")
        .answers("PersonaImported")
        .fails(&[400, 409, 413, 415, 422, 500, 503]),
    Endpoint::new("get", "{api}/personas/{key}", PERSONAS, || get(personas::details))
        .about("A persona with its words")
        .answers("PersonaDetails")
        .fails(&[404]),
    Endpoint::new("delete", "{api}/personas/{key}", PERSONAS, || delete(personas::remove))
        .about("Take an imported persona away")
        .answers("PersonaDeleted")
        .fails(&[404, 409, 500, 503]),
    Endpoint::new("get", "{api}/personas/{key}/export", PERSONAS, || get(personas::export))
        .about("A persona as a character card; an imported one as it came")
        .asks(&[CARD_FORMAT])
        .answers_files(&[JSON, PNG, ZIP])
        .answers("PersonaFile")
        .fails(&[404, 413, 422, 500, 503]),
];
