//! Decorators of V3 books: lines that begin with `@@` at the beginning of an entry's content. Lines
//! with one `@` more say what to do where the one before is not known.

use super::fields::{number, role};
use super::keys::{Index, Key, Meaning};
use super::{Entry, Position, Role};

const PREFIX: &str = "@@";
const USUAL_DEPTH: usize = 4;

/// Takes the decorators off an entry's content and does what they say. What isn't known is a warning.
pub(super) fn apply(
    entry: &mut Entry,
    index: &mut Index,
    meaning: Meaning,
) -> Result<Vec<String>, String> {
    let mut warnings = Vec::new();
    let content = std::mem::take(&mut entry.content);
    let mut rest = content.trim_start();
    let mut role = None;
    // Of the decorator at hand: whether one of its names was known.
    let mut unknown: Option<String> = None;
    while let Some(line) = rest.strip_prefix(PREFIX) {
        let (line, after) = line.split_once('\n').unwrap_or((line, ""));
        rest = after.trim_start();
        let fallback = line.trim_start_matches('@');
        let is_fallback = fallback.len() < line.len();
        if is_fallback && unknown.is_none() {
            continue;
        }
        if !is_fallback {
            warnings.extend(unknown.take());
        }
        let (name, value) = fallback.trim().split_once(' ').unwrap_or((fallback.trim(), ""));
        let is_known = decorate(entry, name, value.trim(), &mut role, index, meaning)?;
        unknown =
            (!is_known).then(|| format!("its decorator @@{name} is not known and is ignored"));
    }
    warnings.extend(unknown);
    if let (Some(role), Position::AtDepth { depth, .. }) = (role, entry.position) {
        entry.position = Position::AtDepth { depth, role };
    }
    rest.trim_end().clone_into(&mut entry.content);
    Ok(warnings)
}

/// Whether the name is known.
fn decorate(
    entry: &mut Entry,
    name: &str,
    value: &str,
    said_by: &mut Option<Role>,
    index: &mut Index,
    meaning: Meaning,
) -> Result<bool, String> {
    let count = || number(&value.into(), name);
    match name {
        "depth" => entry.position = Position::AtDepth { depth: count()?, role: Role::System },
        "role" => {
            *said_by = Some(role(&value.into())?);
            if !matches!(entry.position, Position::AtDepth { .. }) {
                entry.position = Position::AtDepth { depth: USUAL_DEPTH, role: Role::System };
            }
        }
        "position" => match value {
            "before_desc" => entry.position = Position::BeforeCharacter,
            "after_desc" | "personality" | "scenario" => entry.position = Position::AfterCharacter,
            _ => return Ok(false),
        },
        "scan_depth" => entry.scan_depth = count()?,
        "constant" | "activate" => entry.is_constant = true,
        "dont_activate" => entry.is_enabled = false,
        "activate_only_after" => entry.delay = count()?,
        "activate_only_every" => entry.every = count()?,
        "keep_activate_after_match" => entry.sticky = usize::MAX,
        "dont_activate_after_match" => entry.cooldown = usize::MAX,
        "additional_keys" => entry.required.push(keys(value, index, meaning)?),
        "exclude_keys" => entry.excluded.extend(keys(value, index, meaning)?),
        _ => return Ok(false),
    }
    Ok(true)
}

fn keys(list: &str, index: &mut Index, meaning: Meaning) -> Result<Vec<Key>, String> {
    let mut keys = Vec::new();
    for key in list.split(',') {
        keys.extend(index.add(key, meaning)?);
    }
    Ok(keys)
}
