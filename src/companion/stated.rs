//! What a user states of themself in so many words: "my name is", "I live in", "I work as". Plain
//! patterns over single sentences, the same in every run; what is asked, supposed, denied or quoted is
//! no statement. English.

use std::sync::LazyLock;

use fancy_regex::Regex;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::persona::relationship::{sentences, straightened, unquoted};

/// What a fact is about.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum FactKind {
    Name,
    Age,
    Location,
    Occupation,
    Birthday,
    Likes,
    Dislikes,
    /// Somebody or some animal close to the user: "sister: Mara".
    Relation,
    Other,
}

impl FactKind {
    pub const ALL: [Self; 9] = [
        Self::Name,
        Self::Age,
        Self::Location,
        Self::Occupation,
        Self::Birthday,
        Self::Likes,
        Self::Dislikes,
        Self::Relation,
        Self::Other,
    ];

    /// As it is stored and told.
    pub fn name(self) -> &'static str {
        match self {
            Self::Name => "name",
            Self::Age => "age",
            Self::Location => "location",
            Self::Occupation => "occupation",
            Self::Birthday => "birthday",
            Self::Likes => "likes",
            Self::Dislikes => "dislikes",
            Self::Relation => "relation",
            Self::Other => "other",
        }
    }

    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|it| it.name() == name)
    }

    /// Whether there is one at a time: a new one takes the place of the old.
    pub fn is_single(self) -> bool {
        match self {
            Self::Name | Self::Age | Self::Location | Self::Occupation | Self::Birthday => true,
            Self::Likes | Self::Dislikes | Self::Relation | Self::Other => false,
        }
    }

    /// What can't be true together with it of the same value.
    pub(super) fn opposite(self) -> Option<Self> {
        match self {
            Self::Likes => Some(Self::Dislikes),
            Self::Dislikes => Some(Self::Likes),
            _ => None,
        }
    }
}

/// Something stated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Stated {
    pub kind: FactKind,
    pub value: String,
}

/// Longest value, in characters.
const LONGEST: usize = 80;
/// Statements that one message makes at most.
const MOST: usize = 12;
const AGES: std::ops::RangeInclusive<u32> = 3..=120;

/// What the message states of its writer, in order.
pub(super) fn stated(text: &str) -> Vec<Stated> {
    let mut found: Vec<Stated> = Vec::new();
    for sentence in statements(text) {
        for (kind, pattern) in PATTERNS.iter() {
            let Ok(Some(captures)) = pattern.captures(&sentence) else { continue };
            let value = match (captures.name("who"), captures.name("value")) {
                (Some(who), Some(name)) => cleaned(*kind, name.as_str(), &sentence)
                    .map(|name| format!("{}: {name}", who.as_str().to_lowercase())),
                (None, Some(value)) => cleaned(*kind, value.as_str(), &sentence),
                _ => None,
            };
            let Some(value) = value else { continue };
            let stated = Stated { kind: *kind, value };
            if !found.contains(&stated) && found.len() < MOST {
                found.push(stated);
            }
        }
    }
    found
}

/// The sentences that state something, with straight apostrophes.
pub(super) fn statements(text: &str) -> Vec<String> {
    let text = unquoted(&straightened(text));
    sentences(&text).filter(|sentence| is_a_statement(sentence)).map(str::to_owned).collect()
}

fn is_a_statement(sentence: &str) -> bool {
    let is_told_by_another = sentence.contains('"') || sentence.starts_with(['>', '*', '`']);
    let is_supposed = SUPPOSED.is_match(sentence).unwrap_or(true);
    !sentence.ends_with('?') && !is_told_by_another && !is_supposed
}

/// Whether the writer speaks of themself in it, and of nobody of the family.
pub(super) fn is_of_self(sentence: &str) -> bool {
    FIRST_PERSON.is_match(sentence).unwrap_or(false) && !names_family(sentence)
}

pub(super) fn names_family(sentence: &str) -> bool {
    OF_FAMILY.is_match(sentence).unwrap_or(true)
}

/// What is wrong with the value of a fact, as it is told to who put it down.
pub(super) fn fault(kind: FactKind, value: &str) -> Option<String> {
    let value = value.trim();
    if value.chars().any(is_no_part) {
        return Some("must hold no line ends, control characters or any of <>{}[]|".into());
    }
    let is_wrong = match kind {
        FactKind::Age => !value.parse().is_ok_and(|age| AGES.contains(&age)),
        FactKind::Name => {
            value.chars().count() > LONGEST_NAME || value.chars().any(char::is_numeric)
        }
        _ => false,
    };
    is_wrong.then(|| match kind {
        FactKind::Age => format!("must be a number from {} to {}", AGES.start(), AGES.end()),
        _ => format!("must have {LONGEST_NAME} characters at most and no digits"),
    })
}

fn is_no_part(c: char) -> bool {
    c.is_control() || "<>{}[]|\u{2028}\u{2029}".contains(c)
}

/// The value without what follows it in the sentence; `None` if it can't be one.
pub(super) fn cleaned(kind: FactKind, value: &str, sentence: &str) -> Option<String> {
    let end = AFTER.find(value).ok().flatten().map_or(value.len(), |found| found.start());
    let value = value[..end].trim_matches(|c: char| c.is_whitespace() || ",.…!;:\"'()".contains(c));
    let value = match kind {
        FactKind::Age => in_digits(value),
        FactKind::Name => name(value)?,
        FactKind::Relation => capitalised(value, 2)?,
        _ => value.to_owned(),
    };
    let words: Vec<_> = value.split_whitespace().map(str::to_lowercase).collect();
    let first = words.first()?.as_str();
    let fits = match kind {
        FactKind::Age | FactKind::Name | FactKind::Relation | FactKind::Other => true,
        FactKind::Location => is_place(&value, &words, sentence),
        FactKind::Occupation => !NO_WORK.contains(&first) && !words.iter().any(|it| it == "me"),
        FactKind::Birthday => {
            value.chars().any(char::is_numeric) || MONTH.is_match(&value).unwrap_or(false)
        }
        FactKind::Dislikes => !NOTHING_LIKED.contains(&first) && first != "to",
        FactKind::Likes => !NOTHING_LIKED.contains(&first) && !value.starts_with("to talk"),
    };
    let is_short = words.len() <= MOST_WORDS && value.chars().count() <= LONGEST;
    let is_denied = first == "not";
    (fits && is_short && !is_denied && fault(kind, &value).is_none()).then_some(value)
}

/// A name at the beginning of what follows "my name is": capitalised words, or one that isn't, at the
/// end or before a greeting.
fn name(value: &str) -> Option<String> {
    if let Some(name) = capitalised(value, 3) {
        return Some(name);
    }
    let mut words = value.split_whitespace();
    let first = words.next()?;
    let is_whole = words.next().is_none_or(|next| AFTER_NAMES.contains(&next));
    let is_word = first.chars().all(|c| c.is_alphabetic() || "'-".contains(c));
    let is_name = is_whole && is_word && !NO_NAMES.contains(&first.to_lowercase().as_str());
    is_name.then(|| first.to_owned())
}

/// The capitalised words at its beginning, so many at most.
fn capitalised(value: &str, most: usize) -> Option<String> {
    let is_capitalised =
        |word: &&str| word.chars().next().is_some_and(|c| c.is_alphabetic() && !c.is_lowercase());
    let is_name = |word: &&str| !NO_NAMES.contains(&word.to_lowercase().as_str());
    let words = value.split_whitespace().take(most).take_while(is_capitalised).take_while(is_name);
    let words: Vec<_> = words.collect();
    (!words.is_empty()).then(|| words.join(" "))
}

/// Who writes no capitals writes places without them.
fn is_place(value: &str, words: &[String], sentence: &str) -> bool {
    let starts_large = |text: &str| text.chars().next().is_some_and(|c| !c.is_lowercase());
    let named = value.strip_prefix("the ").unwrap_or(value);
    let has_no_capitals = !sentence.chars().any(char::is_uppercase);
    let first = words.first().map_or("", String::as_str);
    if NO_PLACES.contains(&first) {
        return false;
    }
    starts_large(named) || has_no_capitals && words.len() == 1
}

const NUMBERS: &[&str] = &[
    "three",
    "four",
    "five",
    "six",
    "seven",
    "eight",
    "nine",
    "ten",
    "eleven",
    "twelve",
    "thirteen",
    "fourteen",
    "fifteen",
    "sixteen",
    "seventeen",
    "eighteen",
    "nineteen",
    "twenty",
];

fn in_digits(value: &str) -> String {
    let at = NUMBERS.iter().position(|number| value.eq_ignore_ascii_case(number));
    at.map_or_else(|| value.to_owned(), |at| (at + 3).to_string())
}

/// What follows "my name is", "call me" or "my sister," and is no name.
#[rustfmt::skip]
const NO_NAMES: &[&str] = &[
    "a", "about", "actually", "again", "all", "also", "always", "an", "and", "any", "anything",
    "anytime", "as", "asap", "at", "back", "beautiful", "because", "boring", "by", "common", "crazy",
    "different", "difficult", "easy", "for", "from", "funny", "hard", "he", "her", "here", "him", "his",
    "i", "i'd", "i'll", "i'm", "i've", "if", "important", "in", "irrelevant", "is", "it", "it's", "just",
    "kind", "known", "later", "lazy", "like", "long", "mad", "maybe", "mine", "mud", "my", "names",
    "no", "nobody", "none", "not", "now", "of", "often", "old", "on", "one", "or", "out", "pretty",
    "private", "quite", "rare", "really", "secret", "she", "short", "so", "some", "someday", "something",
    "soon", "strange", "stupid", "that", "the", "they", "this", "to", "today", "tomorrow", "tonight",
    "too", "unknown", "unusual", "up", "very", "weird", "what", "when", "whenever",
];
const AFTER_NAMES: [&str; 9] =
    ["nice", "pleased", "good", "glad", "how", "what", "what's", "i", "i'm"];
#[rustfmt::skip]
const NO_WORK: &[&str] = &[
    "as", "hard", "fast", "so", "very", "really", "much", "many", "long", "well", "often", "if", "late",
    "i", "you", "he", "she", "it", "we", "they", "this", "that", "my", "your", "usual", "always",
    "nightmare", "pain", "mess", "joke", "disaster", "lot", "drag", "bit", "little", "burden",
];
#[rustfmt::skip]
const NO_PLACES: &[&str] = &[
    "a", "an", "my", "your", "his", "her", "our", "their", "this", "that", "it", "you", "me", "him",
    "them", "one", "two", "as", "so", "very", "really", "constant", "fear", "peace", "hope", "hell",
    "pain", "sin", "poverty", "denial", "luxury", "town", "here", "there", "college", "school",
    "university", "work", "bed", "management", "marketing", "sales", "home", "hiding", "misery",
    "darkness", "silence", "isolation", "comfort", "exile", "where", "what", "i", "another",
];
#[rustfmt::skip]
const NOTHING_LIKED: &[&str] = &[
    "i", "you", "it", "he", "she", "him", "her", "them", "they", "us", "we", "me", "myself", "yourself",
    "himself", "herself", "your", "u", "ur", "that", "this", "these", "those", "how", "when", "where",
    "what", "who", "why", "if", "everything", "nothing", "something", "anything", "so", "too", "as",
    "is", "was", "are", "were", "one", "you're", "it's", "that's", "being", "totally",
];
/// Of any value.
const MOST_WORDS: usize = 10;
const LONGEST_NAME: usize = 60;

/// A test has every pattern compiled.
fn pattern(pattern: &str) -> Regex {
    #[expect(clippy::expect_used, reason = "the patterns are ours, and a test compiles them all")]
    Regex::new(&format!("(?i){pattern}")).expect("a pattern of ours")
}

// Supposed, denied, or told by others.
static SUPPOSED: LazyLock<Regex> = LazyLock::new(|| {
    pattern(concat!(
        r"\b(?:if|pretend|imagine|suppose|assume|say that|wish|would|dreamt?|character|story|used to|never|isn't|no longer)\b",
        r"|\b(?:not true|not sure|(?:do not|don'?t|didn'?t) (?:think|believe|say|mean)|(?:can'?t|cannot|can not|couldn'?t) (?:say|claim)|doubt)\b",
        r"|(?<!\bi )(?<!\bi've )(?<!\bi already )(?<!\bi just )\b(?:said|says|told|tells|wrote|writes|claims|claimed|quotes?)\b",
    ))
});

static FIRST_PERSON: LazyLock<Regex> = LazyLock::new(|| pattern(r"\b(?:i|im|i'm|i've|my)\b"));
static OF_FAMILY: LazyLock<Regex> = LazyLock::new(|| {
    pattern(&format!(
        r"\b(?:my|our) (?:[\w'-]+ ){{0,2}}?(?:{FAMILY}|kid|child|parent|roommate|neighbou?r|colleague|teacher|ex)s?\b"
    ))
});
static MONTH: LazyLock<Regex> = LazyLock::new(|| {
    pattern(
        r"\b(?:january|february|march|april|may|june|july|august|september|october|november|december|jan|feb|mar|apr|jun|jul|aug|sept?|oct|nov|dec)\b",
    )
});

/// What ends a value: another clause, a word of time.
static AFTER: LazyLock<Regex> = LazyLock::new(|| {
    pattern(
        r",|\s+(?:and|but|because|so|since|though|although|which|who|where|when|while|now|right now|these days|today|btw|by the way|with my|for (?:the|a|many|\d+) )\b|\s[-–—]\s|\s*\(",
    )
});

const FAMILY: &str = "sister|brother|mother|father|mom|mum|dad|wife|husband|son|daughter|partner|girlfriend|boyfriend|best friend|friend|grandmother|grandfather|aunt|uncle|cousin|boss|dog|cat|horse|parrot|rabbit|hamster|pet";

static PATTERNS: LazyLock<Vec<(FactKind, Regex)>> = LazyLock::new(|| {
    let patterns = ages().into_iter().chain(of_self()).chain(tastes()).chain(of_others());
    patterns.map(|(kind, text)| (kind, pattern(&text))).collect()
});

fn of_self() -> Vec<(FactKind, String)> {
    use FactKind::{Birthday, Location, Name, Occupation};
    let patterns = [
        (Name, r"\bmy (?:first |full |real )?name(?:'?s| is)\s+(?<value>.+)$"),
        (
            Name,
            r"\b(?:you can call me|please call me|just call me|i'?m called|i am called|(?:everyone|everybody) calls me)\s+(?<value>.+)$",
        ),
        (
            Location,
            r"\bi(?:'?m| am)? (?:currently |now )?liv(?:e|ing) (?:in|near|at)\s+(?<value>.+)$",
        ),
        (Location, r"\bi (?:just |recently )?moved to\s+(?<value>.+)$"),
        (Location, r"\bi(?:'?m| am| come) from\s+(?<value>.+)$"),
        (
            Occupation,
            r"\bi(?:'?m| am)? (?:currently |now )?work(?:ing)? as\s+(?:an?\s+|the\s+)?(?<value>.+)$",
        ),
        (
            Occupation,
            r"\bmy (?:job|occupation|profession) is\s+(?:being an?\s+|being\s+|an?\s+)(?<value>.+)$",
        ),
        (
            Occupation,
            r"\bi(?:'?m| am) an?\s+(?<value>[\w' -]+?) (?:by (?:trade|profession)|for a living)\b",
        ),
        (Birthday, r"\bmy birthday(?:'?s| is)\s+(?:on\s+)?(?:the\s+)?(?<value>.+)$"),
    ];
    patterns.map(|(kind, text)| (kind, text.to_owned())).into()
}

/// A number alone is an age only where nothing can follow that it counts.
fn ages() -> Vec<(FactKind, String)> {
    let words = NUMBERS.join("|");
    let any = format!(r"(?<value>\d{{1,3}}|{words})");
    let bare = format!(r"(?<value>\d{{1,2}}|{words})");
    let am = r"\bi(?:'?m| am)(?: (?:only|just|still|actually|already|currently|now|really))*";
    let end = r"(?=[\s.,!;:)(~…\p{So}-]*$|,?\s+(?:and|but|so) (?:i|i'?m|my|you)\b|\s+and a half\b|,?\s+(?:lol|btw|haha|tbh|too|though|from)\b)";
    let patterns = [
        format!(r"{am}\s+{any}[\s-]*(?:(?:years?|yrs?)[\s-]*(?:old|of age)|y/?o)\b(?!'s)"),
        format!(r"{am}\s+an?\s+(?:\w+\s)?{any}[\s-]*(?:(?:years?|yrs?)[\s-]*old|y/?o)\b(?!'s)"),
        format!(r"{am}\s+(?:age\s+|aged\s+)?{bare}(?:\s?[fm]\b)?{end}"),
        format!(
            r"\bi(?:'?ve)? (?:just |recently |only )*turned\s+{bare}(?:{end}|(?=\s+(?:today|yesterday|last|this|in|on|a|years?)\b))"
        ),
        format!(r"\bmy age(?:'?s| is)\s+{any}\b"),
    ];
    patterns.map(|text| (FactKind::Age, text)).into()
}

fn tastes() -> Vec<(FactKind, String)> {
    let patterns = [
        (
            FactKind::Dislikes,
            r"\bi (?:really |absolutely )?(?:hate|dislike|can'?t stand|don'?t like|do not like)\s+(?<value>.+)$",
        ),
        (
            FactKind::Likes,
            r"\bi (?:really |absolutely |also )?(?:love|like|enjoy|adore)\s+(?<value>(?!to think\b|to (?:know|hear|see)\b).+)$",
        ),
    ];
    patterns.map(|(kind, text)| (kind, text.to_owned())).into()
}

fn of_others() -> Vec<(FactKind, String)> {
    const NAME: &str = r"(?<value>\w[\w'-]*(?: \w[\w'-]*)?)";
    let patterns = [
        format!(r"\bmy (?:\w+ )?(?<who>{FAMILY})(?:'?s name is| is called| is named)\s+{NAME}"),
        // "My friend, ..." is said to somebody as often as of somebody.
        format!(
            r"\bmy (?:\w+ )?(?<who>(?!friend|best friend){FAMILY}),\s+{NAME}(?=\s*(?:[,.!;]|$))"
        ),
        format!(r"\bi have an? (?:\w+ )?(?<who>{FAMILY}) (?:called|named)\s+(?<value>\w[\w'-]*)"),
    ];
    patterns.map(|text| (FactKind::Relation, text)).into()
}

#[cfg(test)]
mod tests;
