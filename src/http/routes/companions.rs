//! Routes of accounts' companions and of visitors' sessions.

use axum::routing::{delete, get, patch, post};

use super::Endpoint;
use super::query::{
    FORGET, FROM_THE_OLDEST, LIMIT, OFFSET, OR_THE_NEWEST, PERSONA, SUPERSEDED, TIER,
};
use crate::http::companion::{self, examples};
use crate::http::visits;

const COMPANION: &str = "companion";
const SESSIONS: &str = "sessions";
const LEGACY: &str = "legacy";

const TALK: &[u16] = &[400, 404, 409, 413, 422, 429, 500, 502, 503, 504];
const LOOK: &[u16] = &[400, 404, 422, 500, 503];
const CHANGE: &[u16] = &[400, 404, 409, 413, 422, 500, 503];

pub(super) const ROWS: &[Endpoint] = &[
    Endpoint::new("post", "{api}/chat/message", COMPANION, || post(companion::message))
        .about("Say something to a persona, in a conversation of one's own")
        .takes("CompanionMessageRequest", examples::MESSAGE)
        .answers("CompanionMessageResponse")
        .streams("CompanionMessageEvent")
        .fails(TALK),
    Endpoint::new("post", "{api}/chat/personality", COMPANION, || post(companion::personality))
        .about("Choose the persona of conversations to come")
        .takes("PersonalityRequest", examples::PERSONALITY)
        .answers("PersonalityResponse")
        .fails(CHANGE),
    Endpoint::new("get", "{api}/chat/conversations", COMPANION, || get(companion::conversations))
        .about("One's conversations, the most recently used first")
    .asks(&[OFFSET, LIMIT])
        .answers("ConversationList")
        .fails(LOOK),
    Endpoint::new("get", "{api}/chat/conversations/{id}/messages", COMPANION, || {
        get(companion::messages)
    })
    .about("What was said in a conversation, from the oldest message on")
    .asks(&[FROM_THE_OLDEST, LIMIT])
    .answers("ConversationMessages")
    .fails(LOOK),
    Endpoint::new("patch", "{api}/chat/conversations/{id}", COMPANION, || {
        patch(companion::change_conversation)
    })
    .about("Give a conversation a title, or another persona")
    .takes("ConversationChangeRequest", examples::CONVERSATION)
    .answers("ConversationView")
    .fails(CHANGE),
    Endpoint::new("delete", "{api}/chat/conversations/{id}", COMPANION, || {
        delete(companion::delete_conversation)
    })
    .about("Delete what was said, and the moments remembered of it; ?forget=true the facts, too")
    .asks(&[FORGET])
    .answers("Deleted")
    .fails(LOOK),
    Endpoint::new("get", "{api}/users/facts", COMPANION, || get(companion::facts))
        .about("What is known of one, and how it came to be known")
    .asks(&[SUPERSEDED])
        .answers("UserFacts")
        .fails(LOOK),
    Endpoint::new("post", "{api}/users/facts", COMPANION, || post(companion::add_fact))
        .about("Put down a fact by hand")
    .created()
        .takes("UserFactRequest", examples::FACT)
        .answers("UserFactView")
        .fails(CHANGE),
    Endpoint::new("patch", "{api}/users/facts/{id}", COMPANION, || patch(companion::change_fact))
        .about("Correct a fact; the old one stays, as what was known before")
        .takes("UserFactChange", examples::FACT_CHANGE)
        .answers("UserFactView")
        .fails(CHANGE),
    Endpoint::new("delete", "{api}/users/facts/{id}", COMPANION, || delete(companion::delete_fact))
        .about("Forget a fact, down to the bytes in the file")
        .answers("Deleted")
        .fails(LOOK),
    Endpoint::new("get", "{api}/users/memories", COMPANION, || get(companion::memories))
        .about("Moments, and whom and what one named; the newest first")
    .asks(&[TIER, OFFSET, LIMIT])
        .answers("UserMemories")
        .fails(LOOK),
    Endpoint::new("patch", "{api}/users/memories/{id}", COMPANION, || {
        patch(companion::change_memory)
    })
    .about("Correct a memory")
    .takes("UserMemoryChange", examples::MEMORY_CHANGE)
    .answers("UserMemoryView")
    .fails(CHANGE),
    Endpoint::new("delete", "{api}/users/memories/{id}", COMPANION, || {
        delete(companion::delete_memory_of_user)
    })
    .about("Forget a memory, down to the bytes in the file")
    .answers("Deleted")
    .fails(LOOK),
    Endpoint::new("get", "{api}/users/stats", COMPANION, || get(companion::stats))
        .about("One's figures")
        .answers("UserStats")
        .fails(LOOK),
    Endpoint::new("delete", "{api}/users/account", COMPANION, || delete(companion::delete_account))
        .about("Delete the account and everything of the user")
        .takes("AccountDeletion", examples::DELETION)
        .answers("Deleted")
        .fails(&[400, 403, 404, 413, 422, 429, 500, 503]),
    Endpoint::new("get", "{api}/relationship", COMPANION, || get(companion::relationship))
        .about("How one and a persona stand")
    .asks(&[PERSONA])
        .answers("Relationship")
        .fails(LOOK),
    Endpoint::new("get", "{api}/relationship/events", COMPANION, || get(companion::events))
        .about("Each move of the relationship, with its reason and the message it came from")
    .asks(&[PERSONA, OFFSET, LIMIT])
        .answers("RelationshipEvents")
        .fails(LOOK),
    Endpoint::new("patch", "{api}/relationship/events/{id}", COMPANION, || {
        patch(companion::change_event)
    })
    .about("Take a move back, or make it count again")
    .takes("RelationshipEventChange", examples::EVENT)
    .answers("RelationshipEvent")
    .fails(CHANGE),
    Endpoint::new("post", "/api/chat", LEGACY, || post(companion::chat))
        .about("The shapes of earlier servers, told apart by their fields")
        .takes("LegacyChatRequest", examples::LEGACY)
        .answers("LegacyChatResponse")
        .fails(TALK),
    Endpoint::new("post", "/api/chat/with-memory", LEGACY, || post(companion::chat))
        .about("The same as /api/chat, which remembers, too")
        .takes("LegacyChatRequest", examples::LEGACY)
        .answers("LegacyChatResponse")
        .fails(TALK),
    Endpoint::new("get", "/api/memory/{user_id}", LEGACY, || get(companion::memory))
        .about("What is remembered of a user of earlier servers' clients")
        .answers("LegacyMemory")
        .fails(LOOK),
    Endpoint::new("delete", "/api/memory/{user_id}", LEGACY, || delete(companion::delete_memory))
        .about("Forget everything of such a user")
        .answers("Deleted")
        .fails(LOOK),
    Endpoint::new("post", "/session/start", SESSIONS, || post(visits::start))
        .about("Begin a session, or go on with the open one of this user and persona")
        .takes("SessionStartRequest", visits::examples::START)
        .answers("SessionOpen")
        .fails(&[400, 413, 422, 429, 500, 503]),
    Endpoint::new("post", "/api/session/create", SESSIONS, || post(visits::create))
        .about("Begin another session")
        .takes("SessionStartRequest", visits::examples::START)
        .answers("SessionOpen")
        .fails(&[400, 413, 422, 429, 500, 503]),
    Endpoint::new("post", "/chat", SESSIONS, || post(visits::chat))
        .about("Say something in the user's newest session; makes one where none is")
        .takes("SessionChatRequest", visits::examples::CHAT)
        .answers("SessionReply")
        .fails(TALK),
    Endpoint::new("get", "/session/{user_id}/history", SESSIONS, || get(visits::history))
        .about("What was said in the user's newest session, the newest messages of it")
    .asks(&[OR_THE_NEWEST, LIMIT])
        .answers("SessionHistory")
        .fails(LOOK),
    Endpoint::new("delete", "/session/{user_id}/clear", SESSIONS, || delete(visits::clear))
        .about("End the user's sessions; what was said is deleted")
        .answers("SessionCleared")
        .fails(LOOK),
    Endpoint::new("get", "/sessions/active", SESSIONS, || get(visits::active))
        .about("Users with open sessions")
        .answers("ActiveSessions")
        .fails(&[500, 503]),
    Endpoint::new("get", "/ws/chat/{user_id}", SESSIONS, || get(visits::socket))
        .about("A WebSocket: send {\"text\"}, get chunks and a complete answer; {\"type\": \"stop\"} ends one")
        .answers("SocketEvent")
        .fails(&[400, 503]),
];
