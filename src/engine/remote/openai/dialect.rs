//! What a server knows less of OpenAI's language than is written here, as its refusals teach it.
//!
//! A refusal teaches only where its words mean that something isn't known. That a value is too large,
//! that the prompt is too long, or a word of the prompt that is quoted, says nothing about the next
//! request.

use std::collections::BTreeSet;

use serde_json::Value;

use super::super::failure;

pub(super) const MOST_TOKENS: &str = "max_tokens";
pub(super) const MOST_TOKENS_AT_OPENAI: &str = "max_completion_tokens";
pub(super) const JSON_SCHEMA: &str = "json_schema";
pub(super) const JSON_OBJECT: &str = "json_object";
const LIMITS: [&str; 2] = [MOST_TOKENS, MOST_TOKENS_AT_OPENAI];
/// The two ways to ask for JSON. Either stands in for the other.
const FORMATS: [&str; 2] = [JSON_SCHEMA, JSON_OBJECT];
const FORMAT: &str = "response_format";
/// Speakers' names.
const NAME: &str = "name";
const TOP_K: &str = "top_k";
/// `top_k` of 0 for all tokens; some servers have other numbers for that.
const TOP_K_OF_0: &str = "top_k of 0";
/// Fields that can go without changing what was asked for in earnest: stop strings are looked for
/// here too.
const DISPENSABLE: [&str; 10] = [
    "temperature",
    "top_p",
    TOP_K,
    "min_p",
    "repetition_penalty",
    "presence_penalty",
    "frequency_penalty",
    "seed",
    "stop",
    "stream_options",
];

/// Words for what a server doesn't know.
const UNKNOWN: [&str; 14] = [
    "unsupported",
    "not support",
    "n't support",
    "unrecognized",
    "unrecognised",
    "not recognized",
    "unknown",
    "unexpected",
    "unavailable",
    "not available",
    "not permitted",
    "not allowed",
    "not a valid field",
    "fixed at",
];
/// Words about a value, a schema of a client's, or the prompt. They outweigh the others.
const OF_A_VALUE: [&str; 21] = [
    "too large",
    "too small",
    "too high",
    "too low",
    "too long",
    "too many",
    "maximum",
    "minimum",
    "context length",
    "context window",
    "less than",
    "greater than",
    "longer than",
    "at least",
    "at most",
    "between",
    "must be",
    "should be",
    "range",
    "exceed",
    "invalid schema",
];
/// Words for a choice of formats that the one that was sent isn't in.
const OF_A_CHOICE: [&str; 4] = ["must be", "should be", "one of", "expected"];

/// What a server doesn't know.
#[derive(Clone, Debug, Default, PartialEq)]
pub(in crate::engine::remote) struct Lacks(BTreeSet<&'static str>);

impl Lacks {
    pub(super) fn has(&self, part: &str) -> bool {
        self.0.contains(part)
    }

    /// Says in another way what isn't known, or leaves it out.
    pub(super) fn apply(&self, body: &mut Value) {
        let Some(fields) = body.as_object_mut() else { return };
        fields.retain(|name, value| match name.as_str() {
            TOP_K if self.has(TOP_K_OF_0) && *value == 0 => false,
            name => !(DISPENSABLE.contains(&name) && self.has(name)),
        });
        if let Some(name) = LIMITS.into_iter().find(|name| self.has(name))
            && let Some(most) = fields.remove(name)
        {
            fields.insert(other(LIMITS, name).to_owned(), most);
        }
        if self.has(NAME) {
            let messages = fields.get_mut("messages").and_then(Value::as_array_mut);
            messages.into_iter().flatten().for_each(without_speaker);
        }
        if let Some(sent) = fields.get(FORMAT).and_then(format_of)
            && self.has(sent)
        {
            match other(FORMATS, sent) {
                next if self.has(next) => fields.retain(|name, _| name != FORMAT),
                JSON_OBJECT => {
                    fields.insert(FORMAT.to_owned(), any_object());
                }
                _ => {
                    let schema = serde_json::json!({"type": "object"});
                    fields.insert(FORMAT.to_owned(), held_to(&schema));
                }
            }
        }
    }

    /// What the server's error says against the request; tells whether that is new.
    pub(super) fn learn(&mut self, error: &Value, sent: &Value) -> bool {
        let before = self.0.len();
        for complaint in failure::complaints(error) {
            self.heed(&Complaint::new(&complaint), sent);
        }
        self.0.len() > before
    }

    fn heed(&mut self, complaint: &Complaint, sent: &Value) {
        if complaint.means_unknown() {
            // "Use 'max_completion_tokens' instead": what wasn't sent wasn't refused.
            let is_sent = |name: &&str| sent.get(name).is_some() && complaint.names(name);
            self.0.extend(DISPENSABLE.into_iter().filter(is_sent));
            // Without either there would be no limit.
            let limit = LIMITS.into_iter().find(is_sent);
            self.0.extend(limit.filter(|name| !self.has(other(LIMITS, name))));
            if complaint.quotes(NAME) && has_speakers(sent) {
                self.0.insert(NAME);
            }
        } else if sent.get(TOP_K).is_some_and(|k| *k == 0) && complaint.names(TOP_K) {
            self.0.insert(TOP_K_OF_0);
        }
        if let Some(format) = sent.get(FORMAT).and_then(format_of)
            && complaint.is_against(format)
        {
            self.0.insert(format);
        }
    }

    /// Adds what was learnt later. A limit goes by one of its names.
    pub(super) fn update(&mut self, later: &Self) {
        for limit in LIMITS.into_iter().filter(|limit| later.has(limit)) {
            self.0.remove(other(LIMITS, limit));
        }
        self.0.extend(&later.0);
    }

    /// What is in this and not in the other, for a person to read.
    pub(super) fn beyond(&self, other: &Self) -> Vec<&'static str> {
        self.0.difference(&other.0).copied().collect()
    }
}

/// Any JSON object.
pub(super) fn any_object() -> Value {
    serde_json::json!({"type": JSON_OBJECT})
}

/// JSON that matches the schema.
pub(super) fn held_to(schema: &Value) -> Value {
    let named = serde_json::json!({"name": "answer", "strict": false, "schema": schema});
    serde_json::json!({"type": JSON_SCHEMA, "json_schema": named})
}

fn format_of(format: &Value) -> Option<&'static str> {
    FORMATS.into_iter().find(|name| format["type"] == *name)
}

fn other(pair: [&'static str; 2], one: &str) -> &'static str {
    if pair[0] == one { pair[1] } else { pair[0] }
}

/// Whether the message is a person's; results of tools go by the tool's name.
fn is_spoken(message: &Value) -> bool {
    ["system", "user", "assistant"].iter().any(|role| message["role"] == *role)
}

fn has_speakers(sent: &Value) -> bool {
    let messages = sent["messages"].as_array().into_iter().flatten();
    messages.into_iter().any(|message| is_spoken(message) && message.get(NAME).is_some())
}

fn without_speaker(message: &mut Value) {
    if is_spoken(message)
        && let Some(fields) = message.as_object_mut()
    {
        fields.retain(|name, _| name != NAME);
    }
}

/// One of the things that an error says.
struct Complaint {
    text: String,
    /// The words of the text, or of the place that the error points to.
    words: BTreeSet<String>,
    points: bool,
}

impl Complaint {
    fn new(complaint: &failure::Complaint) -> Self {
        let text = complaint.text.to_lowercase();
        let words = match &complaint.place {
            Some(place) => words(place),
            None => words(&text),
        };
        Self { text, words, points: complaint.place.is_some() }
    }

    fn means_unknown(&self) -> bool {
        let says = |words: &[&str]| words.iter().any(|word| self.text.contains(word));
        says(&UNKNOWN) && !says(&OF_A_VALUE)
    }

    fn names(&self, field: &str) -> bool {
        self.words.contains(&plain(field))
    }

    /// Like [`Self::names`], for what is a common word too.
    fn quotes(&self, field: &str) -> bool {
        let is_quoted = |quote: char| self.text.contains(&format!("{quote}{field}{quote}"));
        self.names(field) && (self.points || ['\'', '"', '`'].into_iter().any(is_quoted))
    }

    fn is_against(&self, format: &'static str) -> bool {
        let is_about_it = self.names(FORMAT) || FORMATS.iter().any(|name| self.names(name));
        let offered = words(&self.text);
        let offers_another =
            [other(FORMATS, format), "text"].iter().any(|name| offered.contains(&plain(name)))
                && OF_A_CHOICE.iter().any(|word| self.text.contains(word));
        let is_the_schemas = self.text.contains("invalid schema");
        is_about_it && !is_the_schemas && (self.means_unknown() || offers_another)
    }
}

/// Some servers write `topK` for `top_k`.
fn plain(name: &str) -> String {
    name.to_lowercase().replace('_', "")
}

fn words(text: &str) -> BTreeSet<String> {
    text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).map(plain).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn sent() -> Value {
        json!({
            "messages": [
                {"role": "user", "name": "Anne", "content": "Plant the seed."},
                {"role": "tool", "name": "f", "content": "12"},
            ],
            "max_tokens": 50, "temperature": 1.9, "top_p": 1.0, "top_k": 40, "seed": 7,
            "presence_penalty": 0.0, "stop": ["END"], "stream_options": {},
            "response_format": held_to(&json!({"type": "object", "required": ["a"]})),
        })
    }

    fn learnt(error: &Value, sent: &Value) -> Vec<&'static str> {
        let mut lacks = Lacks::default();
        let is_new = lacks.learn(error, sent);
        let learnt = lacks.beyond(&Lacks::default());
        assert_eq!(is_new, !learnt.is_empty());
        learnt
    }

    #[test]
    fn words_for_what_is_not_known_teach() {
        for (said, teaches) in [
            (
                "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead.",
                &["max_tokens"][..],
            ),
            ("Unsupported parameter: 'stop' is not supported with this model.", &["stop"]),
            (
                "Unsupported value: 'temperature' does not support 1.9 with this model. Only the default (1) value is supported.",
                &["temperature"],
            ),
            ("Unrecognized request argument supplied: top_k", &["top_k"]),
            ("property 'seed' is unsupported, did you mean 'need'?", &["seed"]),
            ("Extra inputs are not permitted: top_k, seed, min_p", &["seed", "top_k"]),
            ("Argument not supported on this model: presencePenalty", &["presence_penalty"]),
            (
                "[{'type': 'extra_forbidden', 'loc': ('body', 'seed'), 'msg': 'Extra inputs are not permitted', 'input': 7}]",
                &["seed"],
            ),
            (
                "this model has limitations: temperature and top_p are fixed at 1",
                &["temperature", "top_p"],
            ),
            ("'messages.0' : property 'name' is unsupported", &["name"]),
            ("This response_format type is unavailable now", &["json_schema"]),
            (
                "'response_format' of type 'json_schema' is not supported with this model",
                &["json_schema"],
            ),
            ("'response_format.type' must be 'json_object' or 'text'", &["json_schema"]),
        ] {
            assert_eq!(
                learnt(&json!({"error": {"message": said, "param": "None"}}), &sent()),
                teaches,
                "{said}"
            );
        }
    }

    #[test]
    fn words_about_a_value_or_the_prompt_teach_nothing() {
        for said in [
            "'max_tokens' or 'max_completion_tokens' is too large: 8192. This model's maximum context length is 4096 tokens and your request has 300 input tokens (8192 > 4096 - 300).",
            "max_tokens is too large: 5000. This model supports at most 4096 completion tokens, whereas you provided 5000.",
            "temperature must be between 0 and 1, and 1.9 is not supported",
            "Input should be less than or equal to 1: temperature",
            "Invalid 'stop': array too long. Expected an array with maximum length 4.",
            "top_k must be -1 (disable), or at least 1, got 0.",
            "The prompt was refused: Plant the seed, and stop the temperature.",
            "unknown model name: try a free one",
            "Invalid schema for response_format 'answer': 'oneOf' is not permitted.",
            "'messages' must contain the word 'json' in some form, to use 'response_format' of type 'json_object'.",
            "unsupported",
            "",
        ] {
            assert_eq!(learnt(&json!({"error": {"message": said}}), &sent()), [""; 0], "{said}");
        }
        for odd in [json!(null), json!(7), json!([]), json!({"detail": [7, {"msg": 7, "loc": 7}]})]
        {
            assert_eq!(learnt(&odd, &sent()), [""; 0], "{odd}");
        }
    }

    #[test]
    fn the_place_that_an_error_points_to_comes_before_the_words_it_quotes() {
        let error = |param: &str| {
            let said = "Not supported: \"Plant the seed, then stop.\"";
            json!({"error": {"message": said, "param": param}})
        };
        assert_eq!(learnt(&error("messages.[0].content"), &sent()), [""; 0]);
        assert_eq!(learnt(&error("top_p"), &sent()), ["top_p"]);

        let listed = |loc: Value, said: &str| json!({"loc": loc, "msg": said, "input": "seed"});
        let unknown = "Extra inputs are not permitted";
        let detail = json!([
            listed(json!(["body", "top_k"]), unknown),
            listed(json!(["body", "messages", 0, "user", "name"]), unknown),
            listed(json!(["body", "temperature"]), "Input should be less than or equal to 1"),
            listed(
                json!(["body", "response_format", "type"]),
                "Input should be 'text' or 'json_object'"
            ),
        ]);
        for error in [json!({"detail": detail}), json!({"message": {"detail": detail}})] {
            assert_eq!(learnt(&error, &sent()), ["json_schema", "name", "top_k"]);
        }
    }

    #[test]
    fn a_top_k_of_0_that_is_not_taken_leaves_others_alone() {
        let error = json!({"message": "top_k must be -1 (disable), or at least 1, got 0."});
        let mut body = sent();
        body["top_k"] = json!(0);
        let mut lacks = Lacks::default();
        assert!(lacks.learn(&error, &body));
        lacks.apply(&mut body);
        assert_eq!(body.get("top_k"), None);
        let mut body = sent();
        lacks.apply(&mut body);
        assert_eq!(body, sent());
    }

    /// What is sent after this was refused again and again with the same words.
    fn rewritten(mut body: Value, said: &str) -> Vec<Value> {
        let mut lacks = Lacks::default();
        let mut all = Vec::new();
        while lacks.learn(&json!({"message": said}), &body) {
            lacks.apply(&mut body);
            all.push(body.clone());
        }
        all
    }

    #[test]
    fn a_limit_only_changes_its_name() {
        let said = "unsupported: max_tokens, max_completion_tokens";
        let all = rewritten(sent(), said);
        assert_eq!(all.len(), 1, "then it is given up");
        assert_eq!(all[0].get("max_tokens"), None);
        assert_eq!(all[0]["max_completion_tokens"], 50);

        // A server that changes its mind is followed.
        let mut lacks = Lacks::default();
        for name in [MOST_TOKENS, MOST_TOKENS_AT_OPENAI, MOST_TOKENS] {
            lacks.update(&Lacks(BTreeSet::from([name])));
            assert_eq!(lacks, Lacks(BTreeSet::from([name])));
        }
    }

    #[test]
    fn json_is_asked_for_in_the_other_way_before_it_is_left_out() {
        let formats = |body: Value| {
            let all = rewritten(body, "unsupported: response_format");
            all.iter().map(|body| body.get(FORMAT).cloned()).collect::<Vec<_>>()
        };
        assert_eq!(formats(sent()), [Some(any_object()), None]);
        let any = held_to(&json!({"type": "object"}));
        assert_eq!(formats(json!({ FORMAT: any_object() })), [Some(any), None]);
    }

    #[test]
    fn only_speakers_lose_their_names() {
        let mut body = sent();
        Lacks(BTreeSet::from([NAME])).apply(&mut body);
        assert_eq!(body["messages"][0], json!({"role": "user", "content": "Plant the seed."}));
        assert_eq!(body["messages"][1]["name"], "f");
    }
}
