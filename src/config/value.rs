//! The types a setting can have: how each is read from text and shown as text. Text is what all
//! sources have in common; `rhapsode.toml`'s own types are turned into it first.

use std::convert::Infallible;
use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;

pub(super) trait Value: Clone + PartialEq {
    /// What a range of this type is made of; [`Infallible`] where ranges make no sense.
    type Bound: PartialOrd + fmt::Debug;
    const KIND: Kind;
    const OPTIONAL: bool = false;

    /// `text` comes trimmed. None: it isn't a value of this type.
    fn read(text: &str) -> Option<Self>;

    /// What [`Value::read`] would read back, except for a secret, which is never shown.
    fn show(&self) -> String;

    fn bound(&self) -> Option<Self::Bound> {
        None
    }
}

/// What sort of value a setting takes, for messages and documents.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Switch,
    Whole,
    Decimal,
    Bytes,
    Choice(&'static [&'static str]),
    Text,
    Path,
    Address,
    List,
    Secret,
}

impl Kind {
    /// Two words for a table's column.
    pub fn noun(self) -> &'static str {
        match self {
            Self::Switch => "true/false",
            Self::Whole => "whole number",
            Self::Decimal => "number",
            Self::Bytes => "bytes",
            Self::Choice(_) => "choice",
            Self::Text => "text",
            Self::Path => "path",
            Self::Address => "IP address",
            Self::List => "comma list",
            Self::Secret => "secret",
        }
    }

    /// The legal values, to follow "must be".
    pub(super) fn accepts(self) -> String {
        match self {
            Self::Switch => "true or false (1/0, yes/no and on/off do too)".to_owned(),
            Self::Whole => "a whole number".to_owned(),
            Self::Decimal => "a number".to_owned(),
            Self::Bytes => "a size such as 1048576, 512MB or 2GiB".to_owned(),
            Self::Choice(names) => format!("one of {}", names.join(", ")),
            Self::Text | Self::Secret => "a text that is not empty".to_owned(),
            Self::Path => "a path".to_owned(),
            Self::Address => "an IP address such as 127.0.0.1 or ::1".to_owned(),
            Self::List => "a comma-separated list".to_owned(),
        }
    }
}

/// A size in bytes. Read from plain bytes or with a unit: KB, MB, GB, TB (powers of 1000), KiB,
/// MiB, GiB, TiB (powers of 1024).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct ByteCount(pub u64);

impl ByteCount {
    pub(super) const fn kib(count: u64) -> Self {
        Self(count << 10)
    }

    pub(super) const fn mib(count: u64) -> Self {
        Self(count << 20)
    }

    pub(super) const fn gib(count: u64) -> Self {
        Self(count << 30)
    }

    pub const fn get(self) -> u64 {
        self.0
    }

    /// For limits in memory; where memory can't hold that many, all of it.
    pub fn as_usize(self) -> usize {
        usize::try_from(self.0).unwrap_or(usize::MAX)
    }
}

const UNITS: [(&str, u64); 9] = [
    ("TiB", 1 << 40),
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("TB", 1_000_000_000_000),
    ("GB", 1_000_000_000),
    ("MB", 1_000_000),
    ("KB", 1_000),
    ("B", 1),
];

impl fmt::Display for ByteCount {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let binary = UNITS.iter().filter(|(name, _)| name.ends_with("iB"));
        match binary.into_iter().find(|(_, size)| self.0 > 0 && self.0.is_multiple_of(*size)) {
            Some((name, size)) => write!(formatter, "{}{name}", self.0 / size),
            None => self.0.fmt(formatter),
        }
    }
}

/// Bounds are shown with `Debug`.
impl fmt::Debug for ByteCount {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

impl Value for ByteCount {
    type Bound = Self;
    const KIND: Kind = Kind::Bytes;

    fn read(text: &str) -> Option<Self> {
        let digits = text.trim_end_matches(|letter: char| letter.is_ascii_alphabetic());
        let unit = &text[digits.len()..];
        let size = if unit.is_empty() {
            1
        } else {
            UNITS.iter().find(|(name, _)| name.eq_ignore_ascii_case(unit))?.1
        };
        digits.trim_end().parse::<u64>().ok()?.checked_mul(size).map(Self)
    }

    fn show(&self) -> String {
        self.to_string()
    }

    fn bound(&self) -> Option<Self> {
        Some(*self)
    }
}

/// A text that neither `Debug` nor any table shows.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// The text itself, for the one place that sends it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

/// What stands for a secret wherever values are shown.
pub(super) const REDACTED: &str = "****";

impl fmt::Debug for Secret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(REDACTED)
    }
}

impl Value for Secret {
    type Bound = Infallible;
    const KIND: Kind = Kind::Secret;

    fn read(text: &str) -> Option<Self> {
        (!text.is_empty()).then(|| Self(text.to_owned()))
    }

    fn show(&self) -> String {
        REDACTED.to_owned()
    }
}

/// An empty text means unset. Sources where it rather means "not mentioned" drop it earlier.
impl<T: Value> Value for Option<T> {
    type Bound = T::Bound;
    const KIND: Kind = T::KIND;
    const OPTIONAL: bool = true;

    fn read(text: &str) -> Option<Self> {
        if text.is_empty() { Some(None) } else { T::read(text).map(Some) }
    }

    fn show(&self) -> String {
        self.as_ref().map_or_else(String::new, T::show)
    }

    fn bound(&self) -> Option<T::Bound> {
        self.as_ref().and_then(T::bound)
    }
}

impl Value for bool {
    type Bound = Infallible;
    const KIND: Kind = Kind::Switch;

    fn read(text: &str) -> Option<Self> {
        match text.to_ascii_lowercase().as_str() {
            "true" | "1" | "yes" | "on" => Some(true),
            "false" | "0" | "no" | "off" => Some(false),
            _ => None,
        }
    }

    fn show(&self) -> String {
        self.to_string()
    }
}

macro_rules! numbers {
    ($($type:ty => $kind:expr),+ $(,)?) => {$(
        impl Value for $type {
            type Bound = Self;
            const KIND: Kind = $kind;

            fn read(text: &str) -> Option<Self> {
                text.parse().ok()
            }

            // `Debug` keeps the point of 1.0.
            fn show(&self) -> String {
                format!("{self:?}")
            }

            fn bound(&self) -> Option<Self> {
                Some(*self)
            }
        }
    )+};
}

numbers! {
    u16 => Kind::Whole,
    u32 => Kind::Whole,
    i32 => Kind::Whole,
    u64 => Kind::Whole,
    usize => Kind::Whole,
    f32 => Kind::Decimal,
    f64 => Kind::Decimal,
}

impl Value for String {
    type Bound = Infallible;
    const KIND: Kind = Kind::Text;

    fn read(text: &str) -> Option<Self> {
        (!text.is_empty()).then(|| text.to_owned())
    }

    fn show(&self) -> String {
        self.clone()
    }
}

impl Value for PathBuf {
    type Bound = Infallible;
    const KIND: Kind = Kind::Path;

    fn read(text: &str) -> Option<Self> {
        (!text.is_empty()).then(|| Self::from(text))
    }

    fn show(&self) -> String {
        self.display().to_string()
    }
}

impl Value for IpAddr {
    type Bound = Infallible;
    const KIND: Kind = Kind::Address;

    fn read(text: &str) -> Option<Self> {
        match text {
            "localhost" => Some(Self::V4(std::net::Ipv4Addr::LOCALHOST)),
            _ => text.parse().ok(),
        }
    }

    fn show(&self) -> String {
        self.to_string()
    }
}

/// Empty items are dropped, so an empty text is an empty list.
impl Value for Vec<String> {
    type Bound = Infallible;
    const KIND: Kind = Kind::List;

    fn read(text: &str) -> Option<Self> {
        let items = text.split(',').map(str::trim).filter(|item| !item.is_empty());
        Some(items.map(str::to_owned).collect())
    }

    fn show(&self) -> String {
        self.join(",")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn sizes_are_read_plain_and_with_either_kind_of_unit() {
        for (text, bytes) in [
            ("0", 0),
            ("4096", 4096),
            ("512MB", 512_000_000),
            ("2GiB", 2_147_483_648),
            ("2 gib", 2_147_483_648),
            ("1kib", 1024),
            ("7B", 7),
        ] {
            assert_eq!(ByteCount::read(text), Some(ByteCount(bytes)), "{text}");
        }
        for text in ["", "GiB", "2G", "1.5GiB", "-1", "2GiBB", "99999999999999TiB", "2 €"] {
            assert_eq!(ByteCount::read(text), None, "{text}");
        }
    }

    #[test]
    fn switches_are_read_in_any_case() {
        for text in ["true", "TRUE", "1", "Yes", "on"] {
            assert_eq!(bool::read(text), Some(true), "{text}");
        }
        for text in ["false", "False", "0", "NO", "off"] {
            assert_eq!(bool::read(text), Some(false), "{text}");
        }
        assert_eq!(bool::read("maybe"), None);
        assert_eq!(bool::read(""), None);
    }

    #[test]
    fn a_secret_is_never_shown() {
        let secret = Secret::read("hunter2");
        assert_eq!(format!("{secret:?} {}", secret.show()), "Some(****) ****");
        assert_eq!(secret.as_ref().map(Secret::expose), Some("hunter2"));
    }

    proptest! {
        #[test]
        fn what_is_shown_can_be_read_back(
            bytes: u64, whole: u32, signed: i32, single in 0.0_f32..1e6, double in 0.0_f64..1e6,
            address: IpAddr, items in proptest::collection::vec("[a-z:/.]{1,9}", 0..4),
        ) {
            fn same<T: Value + fmt::Debug>(value: &T) {
                assert_eq!(T::read(&value.show()).as_ref(), Some(value));
            }
            same(&ByteCount(bytes));
            same(&whole);
            same(&signed);
            same(&single);
            same(&double);
            same(&address);
            same(&items);
            same(&Some(whole));
        }

        #[test]
        fn no_text_makes_a_reader_panic(text: String) {
            let _ = ByteCount::read(&text);
            let _ = bool::read(&text);
            let _ = f32::read(&text);
            let _ = Vec::<String>::read(&text);
        }
    }
}
