//! Rhapsode, a story-writing and roleplay server. This file is the map: one line a room, in
//! reading order. Arrows run downwards only; `app` alone knows everything.

pub mod clock;
/// Every setting: read, checked, and remembered with where it came from.
pub mod config;
pub mod ids;
