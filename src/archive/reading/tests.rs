//! Whole files, as clients send them.

use std::io::{Cursor, Write as _};

use proptest::prelude::*;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

use super::*;

const LARGEST: usize = 1 << 20;

const CONTAINER: &str = "<?xml version='1.0'?><container version='1.0' \
    xmlns='urn:oasis:names:tc:opendocument:xmlns:container'><rootfiles><rootfile \
    full-path='OEBPS/content.opf' media-type='application/oebps-package+xml'/></rootfiles></container>";

const PACKAGE: &str = "<?xml version='1.0'?><package xmlns='http://www.idpf.org/2007/opf' \
    version='3.0' unique-identifier='id'><metadata xmlns:dc='http://purl.org/dc/elements/1.1/'>\
    <dc:identifier id='id'>x</dc:identifier><dc:title>Rain &amp; Tide</dc:title>\
    <dc:creator>Ann O'Neill</dc:creator><dc:creator>Bo Li</dc:creator><dc:language>en</dc:language>\
    <dc:date>1999-04-01</dc:date><dc:publisher>Low Water Press</dc:publisher></metadata><manifest>\
    <item id='nav' href='nav.xhtml' media-type='application/xhtml+xml' properties='nav'/>\
    <item id='two' href='text/two%20b.xhtml' media-type='application/xhtml+xml'/>\
    <item id='one' href='text/one.xhtml' media-type='application/xhtml+xml'/>\
    <item id='cover' href='cover.png' media-type='image/png'/></manifest><spine>\
    <itemref idref='nav'/><itemref idref='one'/><itemref idref='two'/><itemref idref='one'/>\
    </spine></package>";

const NAV: &str = "<?xml version='1.0'?><html xmlns='http://www.w3.org/1999/xhtml' \
    xmlns:epub='http://www.idpf.org/2007/ops'><body><nav epub:type='toc'><ol>\
    <li><a href='text/one.xhtml'>Part One</a><ol><li><a href='text/one.xhtml#c1'>The Übermut</a></li>\
    <li><a href='text/one.xhtml#c2'>Second</a></li></ol></li>\
    <li><a href='text/two%20b.xhtml#none'>Third</a></li><li><a href='gone.xhtml'>Gone</a></li>\
    </ol></nav></body></html>";

const ONE: &str = "<?xml version='1.0'?><html xmlns='http://www.w3.org/1999/xhtml'><head><title>x\
    </title></head><body><h1>PART ONE</h1><h2 id='c1'>Übermut</h2><p>It was låte.</p>\
    <div id='c2'><h2>Second</h2><p>She left &#8212; alone.</p></div></body></html>";

const TWO: &str = "<html><body><p>Nobody saw it&nbsp;go.<p>The end.</body></html>";

fn zip_of(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, content) in files {
        let method = match *name {
            "mimetype" => CompressionMethod::Stored,
            _ => CompressionMethod::Deflated,
        };
        writer.start_file(*name, SimpleFileOptions::default().compression_method(method)).unwrap();
        writer.write_all(content).unwrap();
    }
    writer.finish().unwrap().into_inner()
}

/// An EPUB with these files in place of, or beside, the usual ones.
fn epub_with(others: &[(&str, &[u8])]) -> Vec<u8> {
    let usual: [(&str, &[u8]); 7] = [
        ("mimetype", b"application/epub+zip"),
        ("META-INF/container.xml", CONTAINER.as_bytes()),
        ("OEBPS/content.opf", PACKAGE.as_bytes()),
        ("OEBPS/nav.xhtml", NAV.as_bytes()),
        ("OEBPS/text/one.xhtml", ONE.as_bytes()),
        ("OEBPS/text/two b.xhtml", TWO.as_bytes()),
        ("OEBPS/cover.png", b"\x89PNG"),
    ];
    let is_replaced = |name: &str| others.iter().any(|(other, _)| *other == name);
    let kept = usual.into_iter().filter(|(name, _)| !is_replaced(name));
    zip_of(&kept.chain(others.iter().copied()).collect::<Vec<_>>())
}

fn refusal(file_name: &str, bytes: &[u8]) -> String {
    read(file_name, bytes, LARGEST).unwrap_err().to_string()
}

fn titles_and_places(reading: &Reading) -> Vec<(&str, String)> {
    let from = |start: usize| reading.text.chars().skip(start).take(8).collect();
    reading
        .sections
        .iter()
        .map(|section| (section.title.as_str(), from(section.char_start)))
        .collect()
}

#[test]
fn an_epub_is_read_in_its_order_with_its_contents() {
    let reading = read("tide.epub", &epub_with(&[]), LARGEST).unwrap();
    assert_eq!(
        reading.text,
        "PART ONE\n\nÜbermut\n\nIt was låte.\n\nSecond\n\nShe left — alone.\n\nNobody saw it go.\n\n\
         The end."
    );
    assert_eq!(
        titles_and_places(&reading),
        [
            ("Part One", "PART ONE".to_owned()),
            ("The Übermut", "Übermut\n".to_owned()),
            ("Second", "Second\n\n".to_owned()),
            ("Third", "Nobody s".to_owned()),
        ]
    );
    let metadata = serde_json::json!({
        "title": "Rain & Tide", "language": "en", "date": "1999-04-01",
        "publisher": "Low Water Press", "author": ["Ann O'Neill", "Bo Li"],
    });
    assert_eq!(Value::from(reading.metadata), metadata);
}

#[test]
fn an_epub_of_the_older_kind_is_read() {
    let package = PACKAGE
        .replace("version='3.0'", "version='2.0'")
        .replace("<spine>", "<spine toc='ncx'>")
        .replace(
            "<item id='nav' href='nav.xhtml' media-type='application/xhtml+xml' properties='nav'/>",
            "<item id='ncx' href='toc.ncx' media-type='application/x-dtbncx+xml'/>",
        )
        .replace("<itemref idref='nav'/>", "");
    let ncx = "<ncx xmlns='http://www.daisy.org/z3986/2005/ncx/' version='2005-1'><navMap>\
        <navPoint id='a' playOrder='1'><navLabel><text>Over</text></navLabel>\
        <content src='text/one.xhtml#c2'/></navPoint></navMap></ncx>";
    let epub =
        epub_with(&[("OEBPS/content.opf", package.as_bytes()), ("OEBPS/toc.ncx", ncx.as_bytes())]);
    let reading = read("tide.epub", &epub, LARGEST).unwrap();
    assert_eq!(titles_and_places(&reading), [("Over", "Second\n\n".to_owned())]);
}

#[test]
fn an_epub_without_contents_has_its_headings() {
    let nav = NAV.replace("text/", "other/");
    let reading =
        read("x.epub", &epub_with(&[("OEBPS/nav.xhtml", nav.as_bytes())]), LARGEST).unwrap();
    let titles: Vec<_> = reading.sections.iter().map(|section| &section.title[..]).collect();
    assert_eq!(titles, ["PART ONE", "Übermut", "Second"]);
}

#[test]
fn a_bomb_is_refused_before_it_unpacks() {
    let zeros = vec![b' '; 5 << 20];
    let epub = epub_with(&[("OEBPS/cover.png", &zeros)]);
    assert!(epub.len() < 20_000);
    assert!(refusal("bomb.epub", &epub).contains("unpacks to more than 4194304 bytes"));
    // One that says it is small, as its header is not what counts.
    let mut lying = epub.clone();
    let size = u32::try_from(zeros.len()).unwrap().to_le_bytes();
    while let Some(at) = lying.windows(4).position(|window| window == size) {
        lying[at..at + 4].copy_from_slice(&[1, 0, 0, 0]);
    }
    assert!(read("bomb.epub", &lying, LARGEST).is_err());
    // The text alone.
    let page = format!("<p>{}", "word ".repeat(300_000));
    let epub = epub_with(&[("OEBPS/text/two b.xhtml", page.as_bytes())]);
    assert!(refusal("long.epub", &epub).contains("text has more than 1048576 bytes"));
    // Very many files.
    let names: Vec<String> = (0..10_001).map(|number| number.to_string()).collect();
    let many: Vec<(&str, &[u8])> = names.iter().map(|name| (&name[..], &b"x"[..])).collect();
    assert!(refusal("many.epub", &epub_with(&many)).contains("more than 10000 files"));
}

/// An EPUB 2 with that table of contents, under that name.
fn epub_with_ncx(name: &str, ncx: &str) -> Vec<u8> {
    let package = PACKAGE.replace("<spine>", "<spine toc='ncx'>").replace(
        "href='nav.xhtml' media-type='application/xhtml+xml' properties='nav'",
        &format!("href='{name}' media-type='application/x-dtbncx+xml'"),
    );
    let package = package.replace("id='nav'", "id='ncx'").replace("'3.0'", "'2.0'");
    let path = format!("OEBPS/{name}");
    epub_with(&[("OEBPS/content.opf", package.as_bytes()), (&path, ncx.as_bytes())])
}

#[test]
fn contents_nested_without_end_are_refused() {
    let most = 16 * LARGEST;
    for (start, end) in [("<navPoint>", "</navPoint>"), ("<x:navPoint/>", "")] {
        let deep = |depth: usize| {
            let nested = format!("{}{}", start.repeat(depth), end.repeat(depth));
            epub_with_ncx("toc.png", &format!("<ncx><navMap>{nested}</navMap></ncx>"))
        };
        let refusal = read("deep.epub", &deep(200_000), most).unwrap_err().to_string();
        assert!(refusal.contains("\"OEBPS/toc.png\" describes too much"), "{refusal}");
        // As deep as they may be.
        assert!(read("deep.epub", &deep(99_999), most).is_ok(), "{start}");
    }
    for items in ["<x:li><a></x:li></a>", "<li/>", "<li><ol>"] {
        let nav = NAV.replace("<ol>", &items.repeat(200_000));
        let epub = epub_with(&[("OEBPS/nav.xhtml", nav.as_bytes())]);
        let refusal = read("deep.epub", &epub, most).unwrap_err().to_string();
        assert!(refusal.contains("describes too much"), "{refusal}");
    }
}

#[test]
fn statements_that_lead_to_one_another_without_end_are_refused() {
    let epub = |count: usize| {
        let link = |number: usize| {
            format!("<meta property='x' id='a{}' refines='#a{number}'>y</meta>", number + 1)
        };
        let links: String = (0..count).map(link).collect();
        let package = PACKAGE.replace("</metadata>", &format!("{links}</metadata>"));
        epub_with(&[("OEBPS/content.opf", package.as_bytes())])
    };
    let refusal = read("deep.epub", &epub(50_000), 4 * LARGEST).unwrap_err().to_string();
    assert!(refusal.contains("describes too much"), "{refusal}");
    // Too long for its numbers.
    assert!(refusal_or_text(&epub(1_900)));
    assert!(read("deep.epub", &epub(200), LARGEST).is_ok());
}

/// It may be either; it ends.
fn refusal_or_text(epub: &[u8]) -> bool {
    match read("deep.epub", epub, LARGEST) {
        Ok(reading) => !reading.text.is_empty(),
        Err(error) => matches!(error, ReadingError::Damaged(_)),
    }
}

#[test]
fn an_epub_that_is_locked_or_damaged_says_so() {
    let encryption = "<encryption xmlns='urn:oasis:names:tc:opendocument:xmlns:container'>\
        <EncryptedData><EncryptionMethod Algorithm='http://www.w3.org/2001/04/xmlenc#aes128-cbc'/>\
        <CipherData><CipherReference URI='OEBPS/text/one.xhtml'/></CipherData></EncryptedData>\
        </encryption>";
    let locked = epub_with(&[("META-INF/encryption.xml", encryption.as_bytes())]);
    assert!(refusal("locked.epub", &locked).contains("encrypted (DRM)"));

    let whole = epub_with(&[]);
    assert!(refusal("half.epub", &whole[..whole.len() / 2]).contains("EPUB is damaged"));
    let mut flipped = whole.clone();
    let page = flipped.windows(14).position(|window| window == b"text/one.xhtml").unwrap() + 24;
    flipped[page] ^= 0xff;
    assert!(refusal("flipped.epub", &flipped).contains("EPUB is damaged"));
    let lost = zip_of(&[
        ("mimetype", b"application/epub+zip"),
        ("META-INF/container.xml", CONTAINER.as_bytes()),
        ("OEBPS/content.opf", PACKAGE.as_bytes()),
        ("OEBPS/nav.xhtml", NAV.as_bytes()),
    ]);
    assert!(refusal("lost.epub", &lost).contains("EPUB is damaged"));

    let blank = b"<html><body><img src='scan.png'/></body></html>";
    let pictures = epub_with(&[("OEBPS/text/one.xhtml", blank), ("OEBPS/text/two b.xhtml", blank)]);
    assert!(refusal("scan.epub", &pictures).contains("EPUB has no text"));
}

#[test]
fn sections_are_only_so_many_and_their_titles_only_so_long() {
    let long = "é".repeat(5_000);
    for (file_name, start, heading, end) in [
        ("a.md", format!("# {long}\n"), "# a\n", ""),
        ("a.md", format!("{long}\n===\n"), "\na\n---\n", ""),
        ("a.html", format!("<title>{long}</title><h1>{long}</h1>"), "<h2>a</h2>", "."),
        ("a.txt", String::new(), "Book I\n\nChapter I\n\nText.\n\n", ""),
    ] {
        let text = format!("{start}{}{end}", heading.repeat(15_000));
        let reading = read(file_name, text.as_bytes(), LARGEST).unwrap();
        assert_eq!(reading.sections.len(), 10_000, "{file_name}");
        if !start.is_empty() {
            assert_eq!(reading.sections[0].title.chars().count(), 200, "{file_name}");
            let title = reading.metadata["title"].as_str().unwrap();
            assert_eq!(title.chars().count(), 200, "{file_name}");
        }
    }
    let page = "<h1>a</h1>".repeat(9_000);
    let package = PACKAGE.replace("Low Water", &long);
    let epub = epub_with(&[
        ("OEBPS/content.opf", package.as_bytes()),
        ("OEBPS/nav.xhtml", b"<html/>"),
        ("OEBPS/text/one.xhtml", page.as_bytes()),
        ("OEBPS/text/two b.xhtml", page.as_bytes()),
    ]);
    let reading = read("a.epub", &epub, LARGEST).unwrap();
    assert_eq!(reading.sections.len(), 10_000);
    assert_eq!(reading.metadata["publisher"].as_str().unwrap().chars().count(), 200);
}

#[test]
fn what_is_no_text_is_named() {
    let word = zip_of(&[
        ("[Content_Types].xml", b"<Types/>"),
        ("_rels/.rels", b"<x/>"),
        ("word/document.xml", b"<w:document/>"),
    ]);
    for (file_name, bytes, kind) in [
        ("a.txt", &b"%PDF-1.7\n1 0 obj"[..], "a PDF document"),
        ("a.md", b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\0", "an image (image/png)"),
        ("a.txt", b"{\\rtf1\\ansi Hello}", "an RTF document"),
        ("a.epub", &zip_of(&[("a.txt", b"x")]), "a zip archive"),
        ("a.docx", &word, "a Word document"),
        ("a.txt", b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0", "binary data"),
        ("a.txt", &[0, 1, 2, 3, 4, 5, 6, 7], "binary data"),
    ] {
        let refusal = refusal(file_name, bytes);
        assert!(refusal.contains(kind), "{refusal}");
        assert!(refusal.contains("convert it to text"), "{refusal}");
    }
}

#[test]
fn files_without_text_or_with_too_much_are_refused() {
    for bytes in [&b""[..], b" \r\n\t", b"\xef\xbb\xbf", b"\xef\xbb\xbf\n", "\u{3000}".as_bytes()] {
        assert!(refusal("a.txt", bytes).contains("is empty"), "{bytes:?}");
    }
    assert!(
        refusal("a.html", b"<html><script>x</script></html>").contains("HTML page has no text")
    );
    let refusal = refusal("a.txt", &vec![b'x'; LARGEST + 1]);
    assert!(refusal.contains("1048577") && refusal.contains("ARCHIVE_MAX_FILE_BYTES"), "{refusal}");
    // Latin-1 grows when it becomes UTF-8.
    let grows = "é ".repeat(LARGEST / 2).chars().map(|letter| letter as u8).collect::<Vec<_>>();
    assert_eq!(read("a.txt", &grows, LARGEST), Err(ReadingError::TooMuchText { largest: LARGEST }));
}

#[test]
fn the_content_tells_the_format_before_the_name_does() {
    let page = "<!-- saved --><!DOCTYPE HTML><html><title>T</title><h2>One</h2><p>Two</html>";
    let reading = read("page.txt", page.as_bytes(), LARGEST).unwrap();
    assert_eq!(reading.text, "One\n\nTwo");
    assert_eq!(reading.metadata["title"], "T");
    assert_eq!(titles_and_places(&reading), [("One", "One\n\nTwo".to_owned())]);
    assert_eq!(read("part.HTM", b"a &amp; b", LARGEST).unwrap().text, "a & b");
    assert_eq!(read("story", &epub_with(&[]), LARGEST).unwrap().metadata["language"], "en");
    let marked: Vec<u8> =
        format!("\u{feff}{page}").encode_utf16().flat_map(u16::to_le_bytes).collect();
    assert_eq!(read("page.txt", &marked, LARGEST).unwrap().text, "One\n\nTwo");
}

#[test]
fn markdown_and_plain_text_stay_as_they_are() {
    let markdown = "# Tide\n\n*It* was <b>late</b>.\n\n## Two\n";
    let reading = read("Tide.MD", markdown.as_bytes(), LARGEST).unwrap();
    assert_eq!(reading.text, markdown);
    assert_eq!(reading.metadata["title"], "Tide");
    assert_eq!(reading.sections.len(), 2);
    let plain = "  CHAPTER I.\n\nIt was # late &amp; <b>.\n\n\n";
    let reading = read("tide", plain.as_bytes(), LARGEST).unwrap();
    assert_eq!(reading.text, plain);
    assert_eq!(titles_and_places(&reading), [("CHAPTER I.", "  CHAPTE".to_owned())]);
}

proptest! {
    #[test]
    fn plain_text_comes_back_to_the_byte(text in "[a-zäé夢🦀#*.,<& \n\t]{0,200}[a-z夢]\n{0,3}") {
        prop_assume!(!begins_as_page(&text));
        prop_assert_eq!(read("a.txt", text.as_bytes(), LARGEST).unwrap().text, text.clone());
        prop_assert_eq!(read("a.md", text.as_bytes(), LARGEST).unwrap().text, text);
    }

    #[test]
    fn any_bytes_are_read_or_refused(
        start in prop::sample::select(vec!["", "PK\x03\x04", "<html>", "\u{feff}", "---\n", "<?xml"]),
        bytes in prop::collection::vec(any::<u8>(), 0..300),
        ending in prop::sample::select(vec!["txt", "md", "html", "epub", ""]),
    ) {
        let bytes = [start.as_bytes(), &bytes].concat();
        if let Ok(reading) = read(&format!("a.{ending}"), &bytes, LARGEST) {
            let characters = reading.text.chars().count();
            prop_assert!(!reading.text.trim().is_empty());
            prop_assert!(reading.sections.iter().all(|section| section.char_start < characters));
        }
    }

    #[test]
    fn a_broken_epub_is_read_or_refused(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
        cut in prop::option::of(any::<prop::sample::Index>()),
    ) {
        let mut bytes = epub_with(&[]);
        for (index, byte) in changes {
            let at = index.index(bytes.len());
            bytes[at] = byte;
        }
        if let Some(cut) = cut {
            bytes.truncate(cut.index(bytes.len()));
        }
        let _ = read("a.epub", &bytes, LARGEST);
    }

    #[test]
    fn a_broken_description_is_read_or_refused(
        part in prop::sample::select(vec!["OEBPS/content.opf", "OEBPS/nav.xhtml", "META-INF/container.xml"]),
        changes in prop::collection::vec((any::<prop::sample::Index>(), "[<>/&'\"=a#.%é]{0,3}"), 1..6),
    ) {
        let mut content = match part {
            "OEBPS/content.opf" => PACKAGE,
            "OEBPS/nav.xhtml" => NAV,
            _ => CONTAINER,
        }.to_owned();
        for (index, change) in changes {
            let at = content.floor_char_boundary(index.index(content.len()));
            let end = content.ceil_char_boundary((at + 2).min(content.len()));
            content.replace_range(at..end, &change);
        }
        let _ = read("a.epub", &epub_with(&[(part, content.as_bytes())]), LARGEST);
    }
}
