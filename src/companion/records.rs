//! What a user sees of their conversations, and what they mend of what is known of them.

use rusqlite::Connection;

use super::conversations::{self, Conversation};
use super::facts::{self, FactSource, Learnt, NewFact, UserFact};
use super::moments::{self, Tier, UserMemory};
use super::standing::{self, StandingEvent};
use super::stated::{self, FactKind};
use super::{CompanionError, Companions, Page, USUAL_PERSONA};
use crate::account::UserId;
use crate::memory::{self, RecordError, Role, Said, SessionView};
use crate::store::StoreError;

/// What is to become of a conversation; `None` leaves as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ConversationChange {
    pub persona: Option<String>,
    /// `Some(None)` takes it away.
    pub title: Option<Option<String>>,
}

/// Whose conversation is begun, and with whom.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Beginning {
    pub user: UserId,
    /// `None`: the one that the user chose.
    pub persona: Option<String>,
}

/// A session may be there a moment before its conversation.
const SOON_MILLISECONDS: i64 = 10 * 60 * 1000;
/// Longest title, fact or memory that a user puts down, in characters.
const LONGEST_TITLE: usize = 200;
const LONGEST_TEXT: usize = 500;

impl Companions {
    /// The user's conversations, the most recently used first, and how many there are.
    pub async fn conversations(
        &self,
        user: UserId,
        page: Page,
    ) -> Result<(Vec<Conversation>, u32), CompanionError> {
        self.look(move |connection| Ok(conversations::page(connection, user, page)?)).await
    }

    /// One of the user's conversations.
    pub async fn conversation(
        &self,
        user: UserId,
        uid: String,
    ) -> Result<Conversation, CompanionError> {
        self.look(move |connection| own(connection, user, &uid)).await
    }

    /// One of the user's conversations, with its messages from `offset` on.
    pub async fn messages(
        &self,
        user: UserId,
        uid: String,
        page: Page,
    ) -> Result<(Conversation, SessionView), CompanionError> {
        let conversation = self.conversation(user, uid).await?;
        let session =
            self.inner.memory.session(conversation.session(), page.as_usize(), false).await;
        match session {
            Ok(view) => Ok((conversation, view)),
            // It was deleted a moment ago.
            Err(RecordError::NoSession) => Err(CompanionError::NoConversation),
            Err(error) => Err(error.into()),
        }
    }

    /// Begins a conversation; the persona's greeting stands first in it.
    pub async fn begin(&self, beginning: Beginning) -> Result<Conversation, CompanionError> {
        let Beginning { user, persona } = beginning;
        let key = match persona {
            Some(key) => key,
            None => self.chosen_persona(user).await?,
        };
        let persona = self.persona(&key)?;
        let (uid, now) = (self.inner.ids.session(), self.now());
        let greeting = persona.greeting.clone();
        let greeting = greeting.map(|text| Said {
            role: Role::Assistant,
            speaker: Some(persona.name.clone()),
            text,
        });
        self.inner.memory.begin(memory::private(&uid), greeting).await?;
        let session = memory::private(&uid);
        let added = self
            .change(move |connection| {
                conversations::add(connection, user, &uid, &persona.key, now)?;
                own(connection, user, &uid)
            })
            .await;
        if added.is_err() {
            // The account is gone, say; nobody would find its session.
            let _ = self.inner.memory.delete_private(vec![session]).await;
        }
        added
    }

    /// The persona that the user chose, or that follows from the profile where the operator wants it.
    pub(super) async fn chosen_persona(&self, user: UserId) -> Result<String, CompanionError> {
        let profile = self.inner.accounts.profile(user).await?;
        let by_gender = || {
            let gender =
                profile.gender.as_deref().filter(|_| self.inner.settings.persona_by_gender)?;
            match gender.trim().to_lowercase().as_str() {
                "male" | "man" | "m" => Some("sarah"),
                "female" | "woman" | "f" => Some("xhash"),
                _ => None,
            }
        };
        let personas = &self.inner.personas;
        let wanted = [profile.persona.as_deref(), by_gender(), Some(USUAL_PERSONA)];
        let found = wanted.into_iter().flatten().find(|key| personas.get(key).is_some());
        // A set of the operator's own may lack all of these.
        let first = || personas.all().first().map(|persona| persona.key.clone());
        Ok(found.map(str::to_owned).or_else(first).unwrap_or_else(|| USUAL_PERSONA.to_owned()))
    }

    /// Chooses the persona for conversations to come.
    pub async fn choose_persona(&self, user: UserId, key: String) -> Result<(), CompanionError> {
        let persona = self.persona(&key)?;
        Ok(self.inner.accounts.set_persona(user, Some(persona.key.clone())).await?)
    }

    pub async fn change_conversation(
        &self,
        user: UserId,
        uid: String,
        change: ConversationChange,
    ) -> Result<Conversation, CompanionError> {
        if let Some(key) = &change.persona {
            self.persona(key)?;
        }
        if let Some(Some(title)) = &change.title {
            plain("title", title, LONGEST_TITLE)?;
        }
        let found = self.conversation(user, uid.clone()).await?;
        // A turn that is being answered ends as it began, and is learnt from as that.
        let _guard = self.inner.locks.take(&found.session()).await?;
        self.learn(found.id).await?;
        self.change(move |connection| {
            let old = own(connection, user, &uid)?;
            let persona = change.persona.as_deref().unwrap_or(&old.persona);
            let title = change.title.as_ref().map_or(old.title.as_deref(), Option::as_deref);
            conversations::change(connection, old.id, persona, title)?;
            own(connection, user, &uid)
        })
        .await
    }

    /// Deletes what was said, down to the bytes in the file, and the moments remembered of it. Facts
    /// that were learnt there stay, unless `forgets`.
    pub async fn delete_conversation(
        &self,
        user: UserId,
        uid: String,
        forgets: bool,
    ) -> Result<(), CompanionError> {
        let conversation = self.conversation(user, uid).await?;
        self.remove(conversation, forgets).await
    }

    /// What was said goes first: whatever comes between, the rest is found again.
    pub(super) async fn remove(
        &self,
        conversation: Conversation,
        forgets: bool,
    ) -> Result<(), CompanionError> {
        let (id, session) = (conversation.id, conversation.session());
        let companions = self.clone();
        self.to_the_end(async move {
            companions.inner.memory.delete_private(vec![session]).await?;
            companions
                .change(move |connection| {
                    if forgets {
                        facts::remove_of(connection, id)?;
                    }
                    Ok(conversations::remove(connection, id)?)
                })
                .await
        })
        .await
    }

    /// Does it in a task of its own: a client that leaves doesn't stop it halfway.
    pub(super) async fn to_the_end<T: Send + 'static>(
        &self,
        work: impl Future<Output = Result<T, CompanionError>> + Send + 'static,
    ) -> Result<T, CompanionError> {
        let done = self.inner.chat.tasks.spawn(work).await;
        done.unwrap_or(Err(CompanionError::Store(StoreError::Lost)))
    }

    /// Deletes talks that nobody can find any more: of an account that was deleted while one began, or
    /// of a process that ended in between.
    pub(super) async fn sweep(&self) -> Result<(), CompanionError> {
        let old = self.now() - SOON_MILLISECONDS;
        let sessions = self.inner.memory.private_sessions(old).await?;
        let orphans = self
            .look(move |connection| {
                let mut orphans = Vec::new();
                for session in sessions {
                    if !conversations::has_session(connection, &session)? {
                        orphans.push(session);
                    }
                }
                Ok(orphans)
            })
            .await?;
        Ok(self.inner.memory.delete_private(orphans).await?)
    }

    /// The user's conversation with this persona (`None`: any) that was used last.
    pub async fn newest_conversation(
        &self,
        user: UserId,
        persona: Option<String>,
    ) -> Result<Option<Conversation>, CompanionError> {
        self.look(move |connection| {
            Ok(conversations::newest(connection, user, persona.as_deref())?)
        })
        .await
    }

    /// Deletes all that was said and learnt; the account stays.
    pub async fn forget_everything(&self, user: UserId) -> Result<(), CompanionError> {
        for conversation in self.all_conversations(user).await? {
            self.remove(conversation, true).await?;
        }
        self.change(move |connection| {
            for table in ["user_facts", "user_memories", "relationship_events", "relationships"] {
                connection.execute(&format!("DELETE FROM {table} WHERE user = ?1"), [user.0])?;
            }
            Ok(())
        })
        .await?;
        Ok(self.inner.store.settle().await?)
    }

    /// Deletes everything of the user: what was said, what is known, the account. A talk that is begun
    /// meanwhile is swept later.
    pub async fn delete_user(&self, user: UserId) -> Result<(), CompanionError> {
        let companions = self.clone();
        self.to_the_end(async move {
            let conversations = companions.all_conversations(user).await?;
            let sessions = conversations.iter().map(Conversation::session).collect();
            companions.inner.memory.delete_private(sessions).await?;
            Ok(companions.inner.accounts.delete(user).await?)
        })
        .await
    }

    async fn all_conversations(&self, user: UserId) -> Result<Vec<Conversation>, CompanionError> {
        self.look(move |connection| Ok(conversations::all(connection, user)?)).await
    }

    /// What is known of the user; with `with_superseded` also what was known before.
    pub async fn facts(
        &self,
        user: UserId,
        with_superseded: bool,
    ) -> Result<Vec<UserFact>, CompanionError> {
        self.look(move |connection| Ok(facts::list(connection, user, with_superseded)?)).await
    }

    /// Puts down a fact by hand.
    pub async fn add_fact(
        &self,
        user: UserId,
        kind: FactKind,
        value: String,
    ) -> Result<UserFact, CompanionError> {
        plain("value", &value, LONGEST_TEXT)?;
        fits(kind, &value)?;
        let at = self.now();
        self.change(move |connection| {
            let (source, value) = (FactSource::User, value.as_str());
            let new = NewFact { user, kind, value, source, origin: None, at };
            match facts::learn(connection, &new)? {
                Learnt::New(id) | Learnt::Mentioned(id) => fact(connection, user, id),
                Learnt::Refused => Err(CompanionError::NoFact),
            }
        })
        .await
    }

    /// A corrected fact takes the place of the old one, which stays as what was known before.
    pub async fn correct_fact(
        &self,
        user: UserId,
        id: i64,
        value: String,
    ) -> Result<UserFact, CompanionError> {
        plain("value", &value, LONGEST_TEXT)?;
        let now = self.now();
        self.change(move |connection| {
            let old = fact(connection, user, id)?;
            if let Some(by) = old.superseded_by {
                return Err(CompanionError::Superseded(by));
            }
            if !old.is_current {
                let fault = "is no longer known; put it down again with POST /users/facts".into();
                return Err(CompanionError::Wrong { field: "fact", fault });
            }
            fits(old.kind, &value)?;
            if old.value == value {
                return Ok(old);
            }
            let id = facts::correct(connection, user, &old, &value, now)?;
            fact(connection, user, id)
        })
        .await
    }

    pub async fn forget_fact(&self, user: UserId, id: i64) -> Result<(), CompanionError> {
        self.change(move |connection| {
            let is_removed = facts::remove(connection, user, id)?;
            is_removed.then_some(()).ok_or(CompanionError::NoFact)
        })
        .await?;
        Ok(self.inner.store.settle().await?)
    }

    /// Moments, and whom and what the user named; the newest first, and how many there are.
    pub async fn memories(
        &self,
        user: UserId,
        tier: Option<Tier>,
        page: Page,
    ) -> Result<(Vec<UserMemory>, u32), CompanionError> {
        self.look(move |connection| Ok(moments::page(connection, user, tier, page)?)).await
    }

    pub async fn correct_memory(
        &self,
        user: UserId,
        id: i64,
        text: String,
    ) -> Result<UserMemory, CompanionError> {
        plain("text", &text, LONGEST_TEXT)?;
        self.change(move |connection| {
            moments::correct(connection, user, id, &text)?;
            moments::find(connection, user, id)?.ok_or(CompanionError::NoMemory)
        })
        .await
    }

    pub async fn forget_memory(&self, user: UserId, id: i64) -> Result<(), CompanionError> {
        self.change(move |connection| {
            let is_removed = moments::remove(connection, user, id)?;
            is_removed.then_some(()).ok_or(CompanionError::NoMemory)
        })
        .await?;
        Ok(self.inner.store.settle().await?)
    }

    /// Moves and milestones, the newest first, and how many there are.
    pub async fn events(
        &self,
        user: UserId,
        persona: Option<String>,
        page: Page,
    ) -> Result<(Vec<StandingEvent>, u32), CompanionError> {
        self.look(move |connection| {
            Ok(standing::events(connection, user, persona.as_deref(), page)?)
        })
        .await
    }

    /// Takes a move back (`counts` false), or makes it count again.
    pub async fn take_back(
        &self,
        user: UserId,
        id: i64,
        counts: bool,
    ) -> Result<StandingEvent, CompanionError> {
        let now = self.now();
        self.change(move |connection| {
            let find = || standing::event_of(connection, user, id);
            let event = find()?.ok_or(CompanionError::NoEvent)?;
            if event.taken_back_at.is_none() != counts {
                standing::take_back(connection, user, &event, (!counts).then_some(now))?;
            }
            find()?.ok_or(CompanionError::NoEvent)
        })
        .await
    }
}

/// The user's own; another's is as if it weren't there.
pub(super) fn own(
    connection: &Connection,
    user: UserId,
    uid: &str,
) -> Result<Conversation, CompanionError> {
    conversations::find(connection, user, uid)?.ok_or(CompanionError::NoConversation)
}

fn fact(connection: &Connection, user: UserId, id: i64) -> Result<UserFact, CompanionError> {
    facts::find(connection, user, id)?.ok_or(CompanionError::NoFact)
}

/// Whether a fact of the kind can have the value.
fn fits(kind: FactKind, value: &str) -> Result<(), CompanionError> {
    let fault = stated::fault(kind, value);
    fault.map_or(Ok(()), |fault| Err(CompanionError::Wrong { field: "value", fault }))
}

/// Whether it is short and holds more than blanks.
pub(super) fn short(field: &'static str, text: &str, longest: usize) -> Result<(), CompanionError> {
    let length = text.chars().count();
    if (1..=longest).contains(&length) && !text.trim().is_empty() {
        return Ok(());
    }
    let fault = format!("must have 1 to {longest} characters, not all of them blanks");
    Err(CompanionError::Wrong { field, fault })
}

/// The same, in one line.
pub(super) fn plain(field: &'static str, text: &str, longest: usize) -> Result<(), CompanionError> {
    short(field, text, longest)?;
    if text.chars().any(char::is_control) {
        let fault = "must be one line without control characters".to_owned();
        return Err(CompanionError::Wrong { field, fault });
    }
    Ok(())
}
