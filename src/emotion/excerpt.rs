//! The part of a text that is looked at, so that a book pasted into a message costs no more than a
//! page.

/// Bytes looked at from each end of a longer text.
const END_BYTES: usize = 2_048;

/// The whole text, or the first and the last 2,048 bytes of one over 4,096 (cut between characters).
pub(super) fn excerpt(text: &str) -> [&str; 2] {
    if text.len() <= 2 * END_BYTES {
        return [text, ""];
    }
    let head = text.floor_char_boundary(END_BYTES);
    let tail = text.ceil_char_boundary(text.len() - END_BYTES);
    [&text[..head], &text[tail..]]
}
