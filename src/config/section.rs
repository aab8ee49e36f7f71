//! How a section declares its settings. [`section!`] turns one declaration into a typed field and
//! into what a [`Visitor`] sees: the registry lists it, the reading fills it. So the field, the
//! check, the default and the documents can't drift apart.

use super::value::Value;

/// A part of the settings: a field of `Config`, a table of `rhapsode.toml`, a heading.
pub(super) trait Section {
    /// Declares every setting to the visitor, and takes what it answers.
    fn visit(visitor: &mut impl Visitor) -> Self;
}

pub(super) trait Visitor {
    /// Announces the section whose settings follow.
    fn section(&mut self, key: &'static str, about: &'static str);

    /// Answers with the value the setting has.
    fn setting<T: Value>(&mut self, declared: Declared<T>) -> T;
}

/// All there is to know of one setting.
#[derive(Debug, Clone)]
pub(super) struct Declared<T: Value> {
    field: &'static str,
    /// Its doc comment, one line a line.
    pub(super) doc: &'static str,
    pub(super) default: T,
    pub(super) least: Option<T::Bound>,
    pub(super) most: Option<T::Bound>,
    pub(super) shape: Option<Shape>,
    pub(super) aliases: &'static [&'static str],
}

/// A demand that is no range: what to say of it, and whether a text meets it. Never asked about
/// the empty text that unsets an optional setting.
pub(super) type Shape = (&'static str, fn(&str) -> bool);

impl<T: Value> Declared<T> {
    pub(super) fn new(field: &'static str, doc: &'static str, default: T) -> Self {
        Self { field, doc, default, least: None, most: None, shape: None, aliases: &[] }
    }

    /// The setting's name: the field's, in upper case.
    pub(super) fn name(&self) -> String {
        self.field.to_ascii_uppercase()
    }

    /// Both ends are legal.
    pub(super) fn within(self, least: T::Bound, most: T::Bound) -> Self {
        Self { least: Some(least), most: Some(most), ..self }
    }

    pub(super) fn at_least(self, least: T::Bound) -> Self {
        Self { least: Some(least), ..self }
    }

    pub(super) fn shaped(self, expected: &'static str, accepts: fn(&str) -> bool) -> Self {
        Self { shape: Some((expected, accepts)), ..self }
    }

    /// Names of other contracts that mean the same.
    pub(super) fn also(self, aliases: &'static [&'static str]) -> Self {
        Self { aliases, ..self }
    }

    /// The value a text stands for, if it is legal here.
    pub(super) fn read(&self, text: &str) -> Option<T> {
        let text = text.trim();
        let value = T::read(text)?;
        let in_range = value.bound().is_none_or(|bound| {
            self.least.as_ref().is_none_or(|least| *least <= bound)
                && self.most.as_ref().is_none_or(|most| bound <= *most)
        });
        let unset = T::OPTIONAL && text.is_empty();
        let in_shape = unset || self.shape.is_none_or(|(_, accepts)| accepts(text));
        (in_range && in_shape).then_some(value)
    }
}

/// Declares a section: its type and key, then one entry a setting,
/// `/// doc` `name: Type = default, option(…), option(…);`, where an option is a method of
/// [`Declared`].
macro_rules! section {
    (
        $(#[doc = $about:literal])+
        $section:ident, $key:literal;
        $(
            $(#[doc = $doc:literal])+
            $field:ident: $type:ty = $default:expr
                $(, $option:ident($($argument:expr),+ $(,)?))*;
        )+
    ) => {
        $(#[doc = $about])+
        #[derive(Debug, Clone, PartialEq)]
        pub struct $section {
            $($(#[doc = $doc])+ pub $field: $type,)+
        }

        impl $crate::config::section::Section for $section {
            fn visit(visitor: &mut impl $crate::config::section::Visitor) -> Self {
                visitor.section($key, concat!($($about, "\n"),+));
                Self {
                    $($field: visitor.setting(
                        $crate::config::section::Declared::<$type>::new(
                            stringify!($field),
                            concat!($($doc, "\n"),+),
                            $default,
                        )$(.$option($($argument),+))*
                    ),)+
                }
            }
        }
    };
}
pub(super) use section;
