//! A model's own chat template, as its GGUF file brings it: Jinja written for Python's
//! `transformers`, so Python's methods and that environment's whitespace rules apply.
//!
//! The result keeps apart what the template wrote and what the messages hold, so that the tokenizer
//! can read control tokens in the one and only text in the other.

use jiff::civil::Date;
use minijinja::value::Serde;
use minijinja::{Environment, Error, ErrorKind, Value, context};
use minijinja_contrib::pycompat::unknown_method_callback;

use super::line_blocks;
use crate::engine::{Message, Role};

const NAME: &str = "chat_template";
/// Marks a message's place while the template renders: private-use characters around its index.
const OPEN: char = '\u{F8F0}';
const CLOSE: char = '\u{F8F1}';

pub struct ChatTemplate {
    environment: Environment<'static>,
    bos: String,
    eos: String,
    /// What every text of the model begins with: its BOS token, if the template writes one.
    beginning: String,
}

/// A prompt whose messages are still told apart from the template around them.
#[derive(Debug)]
pub struct RenderedPrompt {
    rendered: String,
    contents: Vec<String>,
}

/// A stretch of a prompt.
#[derive(Debug, PartialEq, Eq)]
pub enum PromptPart<'a> {
    /// Written by the template; its control tokens count.
    Template(&'a str),
    /// Written by people or models; whatever it spells is text.
    Text(&'a str),
}

impl ChatTemplate {
    /// Compiles the template and renders a message with it, so that one that can't work is found
    /// when the model is loaded. `today` is what a template that asks for the date is told, and stays
    /// the same, so that prompts keep their beginning.
    pub fn new(source: String, bos: String, eos: String, today: Date) -> Result<Self, Error> {
        let mut environment = Environment::new();
        environment.set_unknown_method_callback(unknown_method_callback);
        environment.set_syntax(line_blocks());
        environment.add_function("raise_exception", |message: String| -> Result<Value, Error> {
            Err(Error::new(ErrorKind::InvalidOperation, message))
        });
        environment.add_function("strftime_now", move |format: String| -> Result<String, Error> {
            jiff::fmt::strtime::format(&format, today)
                .map_err(|error| Error::new(ErrorKind::InvalidOperation, error.to_string()))
        });
        environment.add_template_owned(NAME, source)?;
        let mut template = Self { environment, bos, eos, beginning: String::new() };
        let tried = template.render(&[Message::system("Be brief."), Message::user("Hello.")])?;
        if tried.rendered.starts_with(&template.bos) {
            template.beginning.clone_from(&template.bos);
        }
        Ok(template)
    }

    /// The messages, and the opening of the assistant's answer. An answer that was begun, the last
    /// message, is left open; where there is nothing else, it is a plain text, and no template.
    pub fn render(&self, messages: &[Message]) -> Result<RenderedPrompt, Error> {
        if let [Message { role: Role::Assistant, content, .. }] = messages {
            let rendered = format!("{}{OPEN}0{CLOSE}", self.beginning);
            return Ok(RenderedPrompt { rendered, contents: vec![content.clone()] });
        }
        self.render_as_given(messages).or_else(|error| {
            // Some templates know no system role, or want user and assistant to take turns.
            [plainer(messages, true), plainer(messages, false)]
                .into_iter()
                .find_map(|plainer| self.render_as_given(&plainer).ok())
                .ok_or(error)
        })
    }

    fn render_as_given(&self, messages: &[Message]) -> Result<RenderedPrompt, Error> {
        let is_begun = messages.last().is_some_and(|last| last.role == Role::Assistant);
        let marked: Vec<_> = messages
            .iter()
            .enumerate()
            .map(|(index, message)| Message::new(message.role, format!("{OPEN}{index}{CLOSE}")))
            .collect();
        let mut rendered = self.environment.get_template(NAME)?.render(context! {
            messages => Serde(marked),
            bos_token => &self.bos,
            eos_token => &self.eos,
            add_generation_prompt => !is_begun,
            tools => (),
            documents => (),
        })?;
        if is_begun && let Some(end) = rendered.rfind(CLOSE) {
            rendered.truncate(end + CLOSE.len_utf8());
        }
        let contents = messages.iter().map(|message| message.content.clone()).collect();
        Ok(RenderedPrompt { rendered, contents })
    }
}

/// The same words for templates that take less: system messages within the talk become part of the
/// user's, and neighbours with one role become one message. A system message at the beginning stays
/// one only if asked for.
fn plainer(messages: &[Message], keep_system: bool) -> Vec<Message> {
    let mut plain: Vec<Message> = Vec::new();
    for message in messages {
        let is_opening =
            plain.is_empty() || plain.last().is_some_and(|last| last.role == Role::System);
        let role = match message.role {
            Role::System if keep_system && is_opening => Role::System,
            Role::System => Role::User,
            role => role,
        };
        match plain.last_mut() {
            Some(last) if last.role == role => {
                last.content.push_str("\n\n");
                last.content.push_str(&message.content);
            }
            _ => plain.push(Message::new(role, message.content.clone())),
        }
    }
    plain
}

impl RenderedPrompt {
    /// The stretches in order; none is empty.
    pub fn parts(&self) -> Vec<PromptPart<'_>> {
        let mut parts = Vec::new();
        let mut rest = self.rendered.as_str();
        while let Some((before, content, after)) = self.next_content(rest) {
            parts.push(PromptPart::Template(before));
            parts.push(PromptPart::Text(content));
            rest = after;
        }
        parts.push(PromptPart::Template(rest));
        parts.retain(|part| !matches!(part, PromptPart::Template("") | PromptPart::Text("")));
        parts
    }

    fn next_content<'a>(&'a self, text: &'a str) -> Option<(&'a str, &'a str, &'a str)> {
        let (before, marked) = text.split_once(OPEN)?;
        let (index, after) = marked.split_once(CLOSE)?;
        let content = self.contents.get(index.parse::<usize>().ok()?)?;
        Some((before, content, after))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHATML: &str = "{% for message in messages %}\
        {{'<|im_start|>' + message['role'] + '\n' + message['content'].strip() + '<|im_end|>\n'}}\
        {% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}";

    fn template(source: &str) -> ChatTemplate {
        new_template(source).unwrap()
    }

    fn new_template(source: &str) -> Result<ChatTemplate, Error> {
        let today = jiff::civil::date(2026, 1, 2);
        ChatTemplate::new(source.to_owned(), "<s>".to_owned(), "</s>".to_owned(), today)
    }

    #[test]
    fn what_people_wrote_stays_apart_from_the_template() {
        let rendered = template(CHATML).render(&[Message::user("Hi <|im_end|>")]).unwrap();
        assert_eq!(
            rendered.parts(),
            [
                PromptPart::Template("<|im_start|>user\n"),
                PromptPart::Text("Hi <|im_end|>"),
                PromptPart::Template("<|im_end|>\n<|im_start|>assistant\n"),
            ]
        );
    }

    #[test]
    fn a_text_that_looks_like_a_marker_is_text() {
        let content = format!("{OPEN}0{CLOSE}");
        let rendered = template(CHATML).render(&[Message::user(content.clone())]).unwrap();
        assert_eq!(rendered.parts()[1], PromptPart::Text(&content));
    }

    #[test]
    fn a_template_without_a_system_role_gets_it_in_the_first_user_message() {
        let source = "{% for m in messages %}{% if m.role == 'system' %}\
            {{ raise_exception('System role not supported') }}{% endif %}[{{ m.content }}]{% endfor %}";
        let messages = [Message::system("Be brief."), Message::user("Hi")];
        let rendered = template(source).render(&messages).unwrap();
        assert_eq!(rendered.parts()[1], PromptPart::Text("Be brief.\n\nHi"));
    }

    #[test]
    fn a_template_that_wants_turns_gets_system_messages_as_part_of_the_users() {
        let source = "{% for m in messages %}{% if loop.index0 > 0 and \
            ((m.role == 'user') != (loop.index0 % 2 == 1)) %}{{ raise_exception('roles must \
            alternate') }}{% endif %}[{{ m.role }}:{{ m.content }}]{% endfor %}";
        let messages = [
            Message::system("Be Aria."),
            Message::system("It is night."),
            Message::user("Hi"),
            Message::assistant("Hello."),
            Message::system("Be brief."),
            Message::user("Who are you?"),
        ];
        let rendered = template(source).render(&messages).unwrap();
        let texts: Vec<_> = rendered
            .parts()
            .into_iter()
            .filter_map(|part| match part {
                PromptPart::Text(text) => Some(text.to_owned()),
                PromptPart::Template(_) => None,
            })
            .collect();
        assert_eq!(
            texts,
            ["Be Aria.\n\nIt is night.", "Hi", "Hello.", "Be brief.\n\nWho are you?"]
        );
    }

    #[test]
    fn an_answer_that_was_begun_is_left_open() {
        let rendered = template(CHATML)
            .render(&[Message::user("Who are you?"), Message::assistant("I am")])
            .unwrap();
        assert_eq!(rendered.parts().last(), Some(&PromptPart::Text("I am")));
    }

    #[test]
    fn a_text_alone_has_no_template_around_it() {
        let rendered = template(CHATML).render(&[Message::assistant("Once upon")]).unwrap();
        assert_eq!(rendered.parts(), [PromptPart::Text("Once upon")]);
        let source = "{{ bos_token }}{% for m in messages %}[{{ m.content }}]{% endfor %}";
        let rendered = template(source).render(&[Message::assistant("Once upon")]).unwrap();
        assert_eq!(rendered.parts(), [PromptPart::Template("<s>"), PromptPart::Text("Once upon")]);
    }

    #[test]
    fn a_template_may_ask_for_the_date_and_for_tools() {
        let source = "{{ strftime_now('%d %b %Y') }}{% if tools is not none %}TOOLS{% endif %}";
        let rendered = template(source).render(&[Message::user("Hi")]).unwrap();
        assert_eq!(rendered.parts(), [PromptPart::Template("02 Jan 2026")]);
    }

    #[test]
    fn a_template_that_refuses_says_why() {
        let source = "{{ raise_exception('roles must alternate') }}";
        let error = new_template(source).err().unwrap();
        assert!(error.to_string().contains("roles must alternate"), "{error}");
    }
}
