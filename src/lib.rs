//! Rhapsode, a story-writing and roleplay server. This file is the map: one line a room, in
//! reading order. Arrows run downwards only; `app` alone knows everything.

/// The roles: profile, prompts, parsing.
pub mod agents;
/// What a writer's request means: the container, its elements, one file a job.
pub mod story;

/// What the model sees, and the receipt that says why: filter, rank, budget, pack. Pure.
pub mod context;
/// Models that turn text into vectors.
pub mod embedding;
/// Models that write, behind one trait: llama.cpp in process, and a script for tests.
pub mod engine;
/// The models known by name, and how they are pulled.
pub mod models;
/// The words the models read, and their chat templates.
pub mod prompts;
/// Receipts, kept to be asked for by id.
pub mod receipts;
/// SQLite: connection and migrations.
pub mod store;
/// Counting tokens.
pub mod tokens;

pub mod clock;
/// Every setting: read, checked, and remembered with where it came from.
pub mod config;
pub mod ids;
