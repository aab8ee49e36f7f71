//! One message and its answer. The turn itself is `chat`'s; here it is told who speaks, how the two
//! stand and what is known of the user, and afterwards there is something to learn.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::OwnedMutexGuard;

use super::conversations::Conversation;
use super::overview::{self, RelationshipView};
use super::records::{Beginning, own, short};
use super::words::{FactText, StandingText};
use super::{CompanionError, Companions, facts, moments};
use crate::account::{Profile, UserId};
use crate::chat::{Answer, Beside, Known, Lore, MemoryState, Remembers, Sent, Spoken, TurnRequest};
use crate::engine::{ClientId, EngineError, FinishReason, Role, Sampling, Usage};
use crate::ids::ReceiptId;
use crate::memory::{MessageId, Whose};
use crate::persona::Persona;
use crate::prompts::PromptError;
use crate::tokens::TokenCount;

/// What somebody says to a persona.
#[derive(Clone, Debug)]
pub struct Message {
    pub text: String,
    /// The persona's key; `None`: the conversation's, or the one that the user chose.
    pub persona: Option<String>,
    /// The conversation's name on the wire; `None` begins one.
    pub conversation: Option<String>,
    /// `None`: the persona's own.
    pub temperature: Option<f32>,
    pub max_tokens: Option<u32>,
}

impl Message {
    /// Said where the conversation is known, with the persona's own settings.
    pub fn saying(text: String) -> Self {
        Self { text, persona: None, conversation: None, temperature: None, max_tokens: None }
    }
}

/// Longest message, in characters.
const LONGEST_MESSAGE: usize = 5_000;
/// Facts and moments that a prompt is offered at most.
const MOST_FACTS: usize = 40;
const MOST_NAMED: usize = 3;
const MOST_MOMENTS: u32 = 3;
/// Longest name in a prompt, in characters.
const LONGEST_NAME: usize = 40;
/// What the user is called where no name is known.
const NAMELESS: &str = "the user";

/// What happens while an answer is spoken: text, then exactly one end.
#[derive(Debug)]
pub enum Telling {
    Text(String),
    Done(Box<Reply>),
    Failed(EngineError),
}

/// An answer, when all is said and stored.
#[derive(Clone, Debug)]
pub struct Reply {
    pub response: String,
    /// The conversation's or session's name on the wire.
    pub conversation: String,
    /// The answer's, unless it couldn't be stored.
    pub message: Option<MessageId>,
    pub persona: Arc<Persona>,
    pub usage: Usage,
    pub reason: FinishReason,
    pub took: Duration,
    /// Milliseconds since 1970.
    pub said_at: i64,
    pub memory: MemoryState,
    pub receipt: ReceiptId,
    /// With a user: how the two stand now, and what is known.
    pub standing: Option<RelationshipView>,
    /// Current facts, by kind.
    pub known: BTreeMap<String, Vec<String>>,
}

/// Whom an answer is for.
enum Whom {
    User { user: UserId, conversation: Conversation },
    Visitor { session: String },
}

/// An answer as it is spoken. Dropping it stops the model.
pub struct Answering {
    companions: Companions,
    answer: Answer,
    whom: Whom,
    persona: Arc<Persona>,
    response: String,
    ended: Option<(FinishReason, Usage)>,
    started: Instant,
    is_over: bool,
}

/// Held until a turn is stored: keeps the next one of the conversation waiting, and lets it go when
/// what was said is learnt from.
struct Turn {
    companions: Companions,
    conversation: Option<i64>,
    guard: Option<OwnedMutexGuard<()>>,
}

impl Drop for Turn {
    fn drop(&mut self) {
        let (Some(conversation), Some(guard)) = (self.conversation, self.guard.take()) else {
            return;
        };
        let companions = self.companions.clone();
        // Without a runtime the process is ending; it is taken up by the next.
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            let learning = async move {
                companions.catch_up(conversation).await;
                drop(guard);
            };
            self.companions.inner.chat.tasks.spawn_on(learning, &runtime);
        }
    }
}

/// What a prompt is told beside what was said.
struct Company {
    standing: String,
    known: Vec<Known>,
    /// What the user is called.
    user: String,
}

impl Companions {
    /// Says something to a persona in a conversation of the user's.
    pub async fn say(
        &self,
        user: UserId,
        client: ClientId,
        message: Message,
    ) -> Result<Answering, CompanionError> {
        let started = Instant::now();
        short("message", &message.text, LONGEST_MESSAGE)?;
        self.inner.chat.engine.ready()?;
        let conversation = self.conversation_for(user, &message).await?;
        let began = message.conversation.is_none().then(|| conversation.clone());
        let answering = self.say_in(user, client, message, conversation, started).await;
        if answering.is_err()
            && let Some(conversation) = began
        {
            // The client never heard of it, and would begin another.
            self.remove(conversation, true).await?;
        }
        answering
    }

    async fn say_in(
        &self,
        user: UserId,
        client: ClientId,
        message: Message,
        conversation: Conversation,
        started: Instant,
    ) -> Result<Answering, CompanionError> {
        let guard = self.inner.locks.take(&conversation.session()).await?;
        // Those before may have changed it, or it may be gone.
        let mut conversation = self.conversation(user, conversation.uid).await?;
        let persona = self.persona(message.persona.as_deref().unwrap_or(&conversation.persona))?;
        if persona.key != conversation.persona {
            // From here on the conversation is with this one; what was said before is learnt first.
            self.learn(conversation.id).await?;
            let key = persona.key.clone();
            let id = conversation.id;
            let uid = conversation.uid.clone();
            conversation = self
                .change(move |connection| {
                    let old = own(connection, user, &uid)?;
                    super::conversations::change(connection, id, &key, old.title.as_deref())?;
                    own(connection, user, &uid)
                })
                .await?;
        }
        let company = self.company(user, &conversation, &persona, &message.text).await?;
        let held = Turn {
            companions: self.clone(),
            conversation: Some(conversation.id),
            guard: Some(guard),
        };
        let mut request = self.request(client, &persona, &message);
        request.whose = Some(Whose::Continued(conversation.session()));
        request.beside.standing = Some(company.standing);
        request.beside.known = company.known;
        request.beside.most_messages = Some(self.inner.settings.short_term);
        request.beside.lore = self.lore(&persona, company.user);
        request.held = Some(Arc::new(held));
        let answer = self.inner.chat.answer(request).await?;
        Ok(Answering::new(self, answer, Whom::User { user, conversation }, persona, started))
    }

    /// Says something in a session without an account.
    pub(super) async fn say_as_visitor(
        &self,
        client: ClientId,
        session: String,
        persona: Arc<Persona>,
        message: &Message,
    ) -> Result<Answering, CompanionError> {
        let started = Instant::now();
        short("message", &message.text, LONGEST_MESSAGE)?;
        let name = crate::memory::private(&session);
        let guard = self.inner.locks.take(&name).await?;
        let mut request = self.request(client, &persona, message);
        request.whose = Some(Whose::Continued(name));
        request.beside.most_messages = Some(self.inner.settings.short_term);
        request.beside.lore = self.lore(&persona, NAMELESS.to_owned());
        request.held = Some(Arc::new(guard));
        let answer = self.inner.chat.answer(request).await?;
        Ok(Answering::new(self, answer, Whom::Visitor { session }, persona, started))
    }

    async fn conversation_for(
        &self,
        user: UserId,
        message: &Message,
    ) -> Result<Conversation, CompanionError> {
        if let Some(key) = &message.persona {
            self.persona(key)?;
        }
        match &message.conversation {
            Some(uid) => self.conversation(user, uid.clone()).await,
            None => self.begin(Beginning { user, persona: message.persona.clone() }).await,
        }
    }

    /// The persona's words, then the message; what the two are to each other is added by the caller.
    fn request(&self, client: ClientId, persona: &Persona, message: &Message) -> TurnRequest {
        let after = persona.after_history.clone().map(|text| sent(Role::System, text));
        let messages = [
            sent(Role::System, persona.system_prompt.clone()),
            sent(Role::User, message.text.clone()),
        ];
        let max_tokens = message.max_tokens.unwrap_or(persona.max_tokens);
        TurnRequest {
            client,
            whose: None,
            remembers: Remembers::Fully,
            messages: messages.into_iter().chain(after).collect(),
            sampling: Sampling {
                temperature: message.temperature.unwrap_or(persona.temperature),
                seed: self.inner.ids.sampler_seed(),
                ..self.inner.settings.sampling.clone()
            },
            max_tokens: TokenCount::new(max_tokens as usize),
            stop: Vec::new(),
            json_schema: None,
            logit_bias: Vec::new(),
            logprobs: None,
            tools: None,
            choices: 1,
            beside: Beside::default(),
            held: None,
        }
    }

    fn lore(&self, persona: &Persona, user: String) -> Option<Lore> {
        let character = persona.name.clone();
        let seed = u64::from(self.inner.ids.sampler_seed());
        let key = persona.key.clone();
        persona.book.clone().map(|book| Lore { book, key, character, user, seed })
    }

    async fn company(
        &self,
        user: UserId,
        conversation: &Conversation,
        persona: &Persona,
        text: &str,
    ) -> Result<Company, CompanionError> {
        let profile = self.inner.accounts.profile(user).await?;
        let (id, key, text) = (conversation.id, persona.key.clone(), text.to_owned());
        let (companions, now) = (self.clone(), self.now());
        self.look(move |connection| {
            let facts = facts::list(connection, user, false)?;
            let allows = companions.inner.settings.allows_adults;
            let adult = overview::adult(connection, user, allows, &profile)?;
            let view = overview::view(connection, user, key, adult, now)?;
            let named = moments::named_in(connection, user, &text, MOST_NAMED)?;
            let moments = moments::elsewhere(connection, user, id, MOST_MOMENTS)?;
            let prompts = &companions.inner.prompts;
            let name = name_of(&profile, &facts);
            let user_name = name.as_deref().and_then(callable);
            let user_name = user_name.unwrap_or_else(|| NAMELESS.to_owned());
            let standing = StandingText { stage: view.stage, user: user_name.clone() };
            let known = companions.known(&profile, &facts, &named, &moments)?;
            Ok(Company {
                standing: prompts.render(&standing)?.trim().to_owned(),
                known,
                user: user_name,
            })
        })
        .await
    }

    /// What the user put into the profile comes first, then facts, then what comes to mind.
    fn known(
        &self,
        profile: &Profile,
        facts: &[facts::UserFact],
        named: &[moments::UserMemory],
        moments: &[moments::UserMemory],
    ) -> Result<Vec<Known>, PromptError> {
        let line = |id: String, kind: &'static str, value: &str| {
            let text = self.inner.prompts.render(&FactText { kind, value })?.trim().to_owned();
            Ok(Known { id, kind: "known", text })
        };
        let of_profile = of_profile(profile);
        let mut known = Vec::new();
        for (kind, value) in &of_profile {
            known.push(line(format!("profile-{kind}"), kind, value)?);
        }
        let in_profile = |fact: &&facts::UserFact| {
            let kind = fact.kind.name();
            fact.kind.is_single() && of_profile.iter().any(|(told, _)| *told == kind)
        };
        for fact in facts.iter().filter(|fact| !in_profile(fact)).take(MOST_FACTS) {
            known.push(line(format!("user-fact-{}", fact.id), fact.kind.name(), &fact.value)?);
        }
        for memory in named {
            known.push(line(format!("user-memory-{}", memory.id), "other", &memory.text)?);
        }
        for memory in moments {
            known.push(line(format!("user-memory-{}", memory.id), "moment", &memory.text)?);
        }
        Ok(known)
    }

    /// How the two stand now, and what is known; the answer is whole without.
    async fn context(
        &self,
        user: UserId,
        persona: String,
    ) -> (Option<RelationshipView>, BTreeMap<String, Vec<String>>) {
        let profile = match self.inner.accounts.profile(user).await {
            Ok(profile) => profile,
            Err(error) => {
                tracing::warn!("a profile couldn't be read: {error}");
                return (None, BTreeMap::new());
            }
        };
        let now = self.now();
        let allows = self.inner.settings.allows_adults;
        let looked = self
            .look(move |connection| {
                let facts = facts::list(connection, user, false)?;
                let adult = overview::adult(connection, user, allows, &profile)?;
                let view = overview::view(connection, user, persona, adult, now)?;
                let mut known: BTreeMap<String, Vec<String>> = BTreeMap::new();
                for fact in facts {
                    known.entry(fact.kind.name().to_owned()).or_default().push(fact.value);
                }
                Ok((Some(view), known))
            })
            .await;
        looked.unwrap_or_else(|error| {
            tracing::warn!("a relationship couldn't be looked at: {error}");
            (None, BTreeMap::new())
        })
    }
}

/// What the user put into the profile, by kind of fact.
fn of_profile(profile: &Profile) -> Vec<(&'static str, String)> {
    let preferences: Vec<String> = profile
        .preferences
        .iter()
        .map(|(key, value)| match value.as_str() {
            Some(text) => format!("{key}: {text}"),
            None => format!("{key}: {value}"),
        })
        .collect();
    let preferences = (!preferences.is_empty()).then(|| preferences.join("; "));
    [
        ("name", profile.name.clone()),
        ("age", profile.age.map(|age| age.to_string())),
        ("location", profile.location.clone()),
        ("gender", profile.gender.clone()),
        ("preferences", preferences),
    ]
    .into_iter()
    .filter_map(|(kind, value)| Some((kind, value?)))
    .collect()
}

/// A name as the server's own words can hold it: short, in one line, without brackets. A user chooses
/// it, and it stands among instructions.
fn callable(name: &str) -> Option<String> {
    let is_plain = |c: &char| !c.is_control() && !"[]<>{}|".contains(*c);
    let name: String = name.chars().filter(is_plain).take(LONGEST_NAME).collect();
    let name = name.trim();
    (!name.is_empty()).then(|| name.to_owned())
}

fn name_of(profile: &Profile, facts: &[facts::UserFact]) -> Option<String> {
    let stated = facts.iter().find(|fact| fact.kind == super::FactKind::Name);
    profile.name.clone().or_else(|| stated.map(|fact| fact.value.clone()))
}

fn sent(role: Role, content: String) -> Sent {
    Sent { role, name: None, content, wire: None }
}

impl Answering {
    fn new(
        companions: &Companions,
        answer: Answer,
        whom: Whom,
        persona: Arc<Persona>,
        started: Instant,
    ) -> Self {
        Self {
            companions: companions.clone(),
            answer,
            whom,
            persona,
            response: String::new(),
            ended: None,
            started,
            is_over: false,
        }
    }

    pub fn receipt(&self) -> ReceiptId {
        self.answer.receipt.id
    }

    /// What happens next; `None` after the end. May be dropped at any time: nothing is lost.
    pub async fn next(&mut self) -> Option<Telling> {
        if self.is_over {
            return None;
        }
        while let Some(spoken) = self.answer.next().await {
            match spoken {
                Spoken::Text { text, .. } => {
                    self.response.push_str(&text);
                    return Some(Telling::Text(text));
                }
                Spoken::Finished { finished, .. } => {
                    self.ended = Some((finished.reason, finished.usage));
                }
                Spoken::Failed { error, .. } => {
                    self.is_over = true;
                    return Some(Telling::Failed(error));
                }
                Spoken::Tokens { .. } | Spoken::ToolCalls { .. } => {}
            }
        }
        let Some((reason, usage)) = self.ended else {
            self.is_over = true;
            return Some(Telling::Failed(EngineError::Lost));
        };
        if self.response.trim().is_empty() {
            // Nothing of such a turn is stored: the client must know, to say it again.
            self.is_over = true;
            let nothing = "the model wrote nothing, and the message wasn't kept; send it again";
            return Some(Telling::Failed(EngineError::BadAnswer(nothing.to_owned())));
        }
        let reply = self.reply(reason, usage).await;
        self.is_over = true;
        Some(Telling::Done(Box::new(reply)))
    }

    async fn reply(&mut self, reason: FinishReason, usage: Usage) -> Reply {
        let (conversation, (standing, known)) = match &self.whom {
            Whom::Visitor { session } => (session.clone(), (None, BTreeMap::new())),
            Whom::User { user, conversation } => {
                self.companions.catch_up(conversation.id).await;
                let key = self.persona.key.clone();
                (conversation.uid.clone(), self.companions.context(*user, key).await)
            }
        };
        let remembered = self.answer.remembered.as_ref();
        Reply {
            response: std::mem::take(&mut self.response),
            conversation,
            message: remembered.and_then(|it| it.answers.first().copied()),
            persona: Arc::clone(&self.persona),
            usage,
            reason,
            took: self.started.elapsed(),
            said_at: self.companions.now(),
            memory: self.answer.memory,
            receipt: self.answer.receipt.id,
            standing,
            known,
        }
    }
}
