//! One integration binary: the real router and the real database with a scripted engine; then the
//! same with the real small model.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::float_cmp,
    reason = "a test fails by panicking, and compares what it set itself"
)]

mod accounts;
mod architecture;
mod archive;
mod archive_store;
mod asking;
mod bad_input;
mod chapter;
mod chroma;
mod command_line;
mod companion;
mod crash;
mod distil;
mod documents;
mod emotion;
mod engine_batching;
mod engine_likelihood;
mod engine_llama;
mod health;
mod licences;
mod memory_api;
mod novel;
mod openai;
mod personas;
mod real_model;
mod receipts;
mod remote;
mod support;
mod table_one;
mod talk;
mod tokens;
mod visits;
mod workshop;
