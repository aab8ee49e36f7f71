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
        let template = Self { environment, bos, eos };
        template.render(&[Message::system("Be brief."), Message::user("Hello.")])?;
        Ok(template)
    }

    /// The messages, and the opening of the assistant's answer.
    pub fn render(&self, messages: &[Message]) -> Result<RenderedPrompt, Error> {
        self.render_as_given(messages).or_else(|error| {
            // Some templates know no system role; there it opens the first message of the user.
            let merged = merge_system_into_user(messages).ok_or(error)?;
            self.render_as_given(&merged)
        })
    }

    fn render_as_given(&self, messages: &[Message]) -> Result<RenderedPrompt, Error> {
        let marked: Vec<_> = messages
            .iter()
            .enumerate()
            .map(|(index, message)| Message::new(message.role, format!("{OPEN}{index}{CLOSE}")))
            .collect();
        let rendered = self.environment.get_template(NAME)?.render(context! {
            messages => Serde(marked),
            bos_token => &self.bos,
            eos_token => &self.eos,
            add_generation_prompt => true,
            tools => (),
            documents => (),
        })?;
        let contents = messages.iter().map(|message| message.content.clone()).collect();
        Ok(RenderedPrompt { rendered, contents })
    }
}

fn merge_system_into_user(messages: &[Message]) -> Option<Vec<Message>> {
    let (system, rest) = messages.split_first().filter(|(first, _)| first.role == Role::System)?;
    let (user, rest) = rest.split_first().filter(|(second, _)| second.role == Role::User)?;
    let opening = Message::user(format!("{}\n\n{}", system.content, user.content));
    Some(std::iter::once(opening).chain(rest.iter().cloned()).collect())
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
