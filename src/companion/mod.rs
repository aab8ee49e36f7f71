//! Talks of an account with a persona: conversations, the relationship that grows, what is known of
//! the user.
