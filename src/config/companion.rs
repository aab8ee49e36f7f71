//! `[companion]`: talks with personas, of accounts and of visitors.

use super::section::section;

section! {
    /// Talks with personas: the companion API of accounts, and the sessions of small bots and kiosks.
    Companion, "companion";

    /// The newest messages of a conversation that a prompt holds; what is older is recalled and
    /// summarised.
    max_context_messages: usize = 10, within(1, 1_000);

    /// Whether the two romantic stages are open to users whose profile says that they are 18 or older.
    /// Otherwise a relationship stays at Close Friend, whatever its score.
    adult_instance: bool = false;

    /// Whether users who chose no persona get one by the gender in their profile: sarah for male, xhash
    /// for female. Otherwise, and for everybody else, it is neutral.
    persona_by_profile_gender: bool = false;

    /// Whether the model looks in idle time for facts in what users say. Plain statements such as
    /// "my name is" are found without it.
    facts_by_model: bool = true;

    /// Seconds without a word after which a visitor's session ends; what was said in it is deleted.
    session_timeout: u64 = 3_600, within(1, 31_536_000);

    /// Open sessions that a visitor can have.
    max_sessions_per_user: usize = 5, within(1, 1_000);
}
