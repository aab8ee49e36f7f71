//! Who speaks: the set of personas, character cards and their lorebooks, and how a persona and a user
//! come to stand to each other. Pure but for reading the set's file and storing cards.

pub mod relationship;
