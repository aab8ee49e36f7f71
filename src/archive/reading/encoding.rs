//! From bytes to text: which encoding a file is in, and what of its characters is text.

use chardetng::{EncodingDetector, Iso2022JpDetection, Utf8Detection};
use encoding_rs::{Encoding, UTF_8, UTF_16BE, UTF_16LE};

/// Bytes in which UTF-16 without a byte order mark shows itself.
const SAMPLE_BYTES: usize = 4_096;

/// Bytes of an HTML page in which it names its encoding.
const DECLARATION_BYTES: usize = 1_024;

/// More than one control character among so many, and it isn't text.
const TEXT_PER_CONTROL: usize = 100;

/// A file's text with `\n` at its line ends and no control characters but `\n` and `\t`; `None` if
/// the file isn't text. `is_markup` has it look for what a page says about itself.
pub(super) fn text(bytes: &[u8], is_markup: bool) -> Option<String> {
    plain_letters(&decoded(bytes, is_markup))
}

fn decoded(bytes: &[u8], is_markup: bool) -> String {
    if let Some((encoding, mark)) = Encoding::for_bom(bytes) {
        return encoding.decode_without_bom_handling(&bytes[mark..]).0.into_owned();
    }
    if let Some(text) = unmarked_utf16(bytes) {
        return text;
    }
    if let Ok(text) = str::from_utf8(bytes) {
        return text.to_owned();
    }
    let declared = if is_markup { declared(bytes) } else { None };
    let encoding = declared.unwrap_or_else(|| guessed(bytes));
    encoding.decode_without_bom_handling(bytes).0.into_owned()
}

/// Where letters of the first 256 are common, every other byte is often zero, and the ones between
/// hardly ever are.
fn unmarked_utf16(bytes: &[u8]) -> Option<String> {
    let sample = &bytes[..bytes.len().min(SAMPLE_BYTES)];
    if bytes.len() < 4 || !bytes.len().is_multiple_of(2) {
        return None;
    }
    let zeros =
        |from: usize| sample.iter().skip(from).step_by(2).filter(|byte| **byte == 0).count();
    let (even, odd) = (zeros(0), zeros(1));
    // Languages with other letters still have spaces and line ends.
    let is_often = |count: usize| count * 33 >= sample.len() / 2;
    let encoding = match (even, odd) {
        (even, odd) if is_often(odd) && even * 20 <= odd => UTF_16LE,
        (even, odd) if is_often(even) && odd * 20 <= even => UTF_16BE,
        _ => return None,
    };
    let text = encoding.decode_without_bom_handling_and_without_replacement(bytes)?;
    plain_letters(&text).map(|_| text.into_owned())
}

/// The encoding that an HTML page's `charset` or an XML declaration's `encoding` names.
fn declared(bytes: &[u8]) -> Option<&'static Encoding> {
    let start: String = bytes
        .iter()
        .take(DECLARATION_BYTES)
        .map(|byte| char::from(*byte).to_ascii_lowercase())
        .collect();
    let after = |word: &str| start.split_once(word).map(|(_, after)| after.trim_start());
    let xml = start.trim_start().starts_with("<?xml").then(|| after("encoding")).flatten();
    let label = xml.or_else(|| after("charset"))?.strip_prefix('=')?.trim_start();
    let label = label.trim_start_matches(['"', '\'']);
    let end =
        label.find(|letter: char| !letter.is_ascii_alphanumeric() && !"-_.:".contains(letter));
    let encoding = Encoding::for_label(&label.as_bytes()[..end.unwrap_or(label.len())])?;
    // It was neither, or it would have been decoded already.
    (encoding != UTF_8 && encoding != UTF_16LE && encoding != UTF_16BE).then_some(encoding)
}

fn guessed(bytes: &[u8]) -> &'static Encoding {
    let mut detector = EncodingDetector::new(Iso2022JpDetection::Deny);
    detector.feed(bytes, true);
    detector.guess(None, Utf8Detection::Deny)
}

/// Form feeds and the like end lines, too. None where there are too many other control characters.
fn plain_letters(text: &str) -> Option<String> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut plain = String::with_capacity(text.len());
    let (mut controls, mut letters) = (0_usize, 0_usize);
    let mut rest = text.chars().peekable();
    while let Some(letter) = rest.next() {
        letters += 1;
        match letter {
            '\n' | '\t' => plain.push(letter),
            '\r' => {
                if rest.peek() != Some(&'\n') {
                    plain.push('\n');
                }
            }
            '\u{b}' | '\u{c}' | '\u{85}' => plain.push('\n'),
            letter if letter.is_control() => controls += 1,
            letter => plain.push(letter),
        }
    }
    (controls * TEXT_PER_CONTROL <= letters).then_some(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PROSE: &str = "Šárka said: “Où est le café?”\nAnd nobody — nobody at all — answered.\n";

    fn utf16(text: &str, bytes: fn(u16) -> [u8; 2]) -> Vec<u8> {
        text.encode_utf16().flat_map(bytes).collect()
    }

    #[test]
    fn utf16_is_read_with_and_without_a_mark() {
        let russian = "Все счастливые семьи похожи друг на друга.\nВсё смешалось.\n";
        for prose in [PROSE, russian] {
            for bytes in [u16::to_le_bytes, u16::to_be_bytes] {
                let marked = utf16(&format!("\u{feff}{prose}"), bytes);
                assert_eq!(text(&marked, false).as_deref(), Some(prose));
                assert_eq!(text(&utf16(prose, bytes), false).as_deref(), Some(prose));
            }
        }
    }

    #[test]
    fn encodings_of_one_byte_a_letter_are_guessed() {
        let german = "Der Schlüssel läßt sich für Größeres nicht finden, sagte er. ".repeat(4);
        let (bytes, _, _) = encoding_rs::WINDOWS_1252.encode(&german);
        assert_eq!(text(&bytes, false), Some(german));
        let russian = "Все счастливые семьи похожи друг на друга, каждая несчастна. ".repeat(4);
        let (bytes, _, _) = encoding_rs::WINDOWS_1251.encode(&russian);
        assert_eq!(text(&bytes, false), Some(russian));
    }

    #[test]
    fn a_page_says_its_encoding() {
        let page = "<html><head><meta http-equiv=Content-Type content=\"text/html; \
                    charset=iso-8859-2\"></head><body>Łódź</body></html>";
        let (bytes, _, _) = encoding_rs::ISO_8859_2.encode(page);
        assert_eq!(text(&bytes, true).as_deref(), Some(page));
        let page = "<?xml version='1.0' encoding='windows-1251'?><html>Да</html>";
        let (bytes, _, _) = encoding_rs::WINDOWS_1251.encode(page);
        assert_eq!(text(&bytes, true).as_deref(), Some(page));
    }

    #[test]
    fn line_ends_become_one_and_controls_go() {
        let long = "x".repeat(400);
        let sent = format!("\u{feff}a\r\nb\rc\n\rd\u{c}e\0\tf{long}");
        let kept = format!("a\nb\nc\n\nd\ne\tf{long}");
        assert_eq!(text(sent.as_bytes(), false), Some(kept));
    }

    #[test]
    fn many_control_characters_are_no_text() {
        assert_eq!(text(b"\x01\x02\x03abc", false), None);
        assert_eq!(text(&[0; 64], false), None);
    }
}
