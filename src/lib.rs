//! Rhapsode, a story-writing and roleplay server. This file is the map: one line a room, in
//! reading order. Arrows run downwards only; `app` alone knows everything.

// The command line.
pub mod cli;
// Configuration → running server; checks, signals, draining.
pub mod app;
// Every setting: one registry of names, docs, defaults and ranges.
pub mod config;
// HTTP: routes, extractors, errors, SSE, layers. The only room that knows axum.
pub mod http;
// An account's talks with a persona: conversations, relationship, what is known of the user.
pub mod companion;
// What a writer's request means: the container, its elements, one file a job.
pub mod story;
// One turn of talk: identify, feel, recall, assemble, speak, remember.
pub mod chat;
// Users, passwords, profiles, tokens, keys.
pub mod account;
// Finished stories, found by meaning, answered with sources.
pub mod archive;
// What is remembered of talks: working memory, recall, summaries, facts.
pub mod memory;
// Who speaks: personas, character cards, lorebooks, relationship.
pub mod persona;
// What finding texts is made of: BM25, vectors, scores.
pub mod retrieval;
// Seven emotions and importance.
pub mod emotion;
// The roles: profile, prompts, parsing.
pub mod agents;
// What the model sees, and the receipt that says why: filter, rank, budget, pack. Pure.
pub mod context;
// Texts made shorter, without losing names, numbers or who did what.
pub mod distil;
// Models that write, behind one trait: llama.cpp in process, and a script for tests.
pub mod engine;
// Sentences as vectors.
pub mod embedding;
// The catalogue of models, and how they are fetched.
pub mod models;
// The words the models read, and their chat templates.
pub mod prompts;
// Counting tokens.
pub mod tokens;
// Receipts, kept to be asked for by id.
pub mod receipts;
// SQLite: connection and migrations.
pub mod store;

pub mod clock;
pub mod ids;
pub mod metrics;
pub mod telemetry;
