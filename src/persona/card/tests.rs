//! Claims about cards' files: what is read of them, what survives, what is refused.

use std::io::{Cursor, Write as _};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use img_parts::png::{Png, PngChunk};
use proptest::prelude::*;
use serde_json::{Value, json};
use zip::ZipWriter;
use zip::write::SimpleFileOptions;

use super::file::{LARGEST_JSON, MIB};
use super::{Card, CardError, CardFault, CardFile, CardFormat, persona};
use crate::persona::Persona;
use crate::prompts::Prompts;

const PLAIN: &[u8] = include_bytes!("plain.png");

fn read(bytes: &[u8]) -> Result<(Persona, Vec<String>), CardError> {
    persona(&CardFile::read(bytes.to_vec())?, None, &Prompts::load(None).unwrap())
}

fn refused(bytes: &[u8]) -> String {
    read(bytes).map(|(persona, _)| persona.key).unwrap_err().to_string()
}

fn json_of(file: &CardFile) -> String {
    file.clone().in_format(CardFormat::Json).map(|it| String::from_utf8(it.bytes).unwrap()).unwrap()
}

fn v3(name: &str) -> Value {
    json!({ "spec": "chara_card_v3", "spec_version": "3.0", "data": { "name": name } })
}

/// A picture with these chunks before its end.
fn picture(chunks: &[(&[u8; 4], Vec<u8>)]) -> Vec<u8> {
    let mut png = Png::from_bytes(PLAIN.into()).unwrap();
    for (kind, content) in chunks {
        let before_end = png.chunks().len() - 1;
        let chunk = PngChunk::new(**kind, content.clone().into());
        png.chunks_mut().insert(before_end, chunk);
    }
    png.encoder().bytes().to_vec()
}

fn text_chunk(keyword: &str, card: &Value) -> (&'static [u8; 4], Vec<u8>) {
    let card = BASE64_STANDARD.encode(card.to_string());
    (b"tEXt", format!("{keyword}\0{card}").into_bytes())
}

/// zlib's form, without any compression (RFC 1950, 1951).
fn deflated(bytes: &[u8]) -> Vec<u8> {
    let mut out = vec![0x78, 0x01];
    let blocks: Vec<_> = bytes.chunks(0xffff).collect();
    for (at, block) in blocks.iter().enumerate() {
        let length = u16::try_from(block.len()).unwrap();
        out.push(u8::from(at + 1 == blocks.len()));
        out.extend(length.to_le_bytes());
        out.extend((!length).to_le_bytes());
        out.extend(*block);
    }
    let (a, b) = bytes.iter().fold((1_u32, 0_u32), |(a, b), byte| {
        let a = (a + u32::from(*byte)) % 65_521;
        (a, (b + a) % 65_521)
    });
    out.extend((b << 16 | a).to_be_bytes());
    out
}

fn archive(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut archive = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, content) in files {
        archive.start_file(*name, SimpleFileOptions::default()).unwrap();
        archive.write_all(content).unwrap();
    }
    archive.finish().unwrap().into_inner()
}

fn fields_of(value: &Value) -> Result<Card, CardFault> {
    Card::read(value.as_object().unwrap())
}

fn fields() -> Value {
    json!({
        "name": "Aria",
        "description": "{{char}} keeps the lamp for {{User}}.",
        "personality": "patient, dry",
        "scenario": "A stormy night.",
        "first_mes": "*{{char}} waves.*",
        "mes_example": "<START>\n{{user}}: Who lit it?\n{{char}}: I did.\n<START>\n<BOT>: Come in.",
    })
}

#[test]
fn cards_of_all_versions_make_the_same_persona() {
    let prompts = Prompts::load(None).unwrap();
    let v1 = fields_of(&fields()).unwrap();
    let v2 = json!({ "spec": "chara_card_v2", "spec_version": "2.0", "data": fields() });
    let v3 = json!({ "spec": "chara_card_v3", "spec_version": "3.0", "data": fields() });
    assert_eq!(fields_of(&v2).as_ref(), Ok(&v1));
    assert_eq!(fields_of(&v3).as_ref(), Ok(&v1));
    insta::assert_snapshot!("persona_of_a_card", v1.persona(&prompts).unwrap());
}

#[test]
fn a_name_with_a_placeholder_is_not_replaced_again() {
    let mut fields = fields();
    fields["name"] = "{{user}}".into();
    let persona = fields_of(&fields).unwrap().persona(&Prompts::load(None).unwrap()).unwrap();
    assert!(persona.contains("{{user}} keeps the lamp for User."), "{persona}");
}

#[test]
fn a_fault_names_its_place() {
    let faulty = |value: Value| fields_of(&value).unwrap_err().path;
    assert_eq!(faulty(json!({})), ["name"]);
    assert_eq!(faulty(json!({ "data": 1 })), ["data"]);
    assert_eq!(faulty(json!({ "data": { "name": " " } })), ["data", "name"]);
    assert_eq!(faulty(json!({ "name": "A", "scenario": [] })), ["scenario"]);
}

#[test]
fn a_pictures_v3_card_is_preferred_over_its_v2_one() {
    let both = picture(&[text_chunk("chara", &v3("Old")), text_chunk("ccv3", &v3("New"))]);
    assert_eq!(read(&both).unwrap().0.name, "New");
    let broken = (b"tEXt", b"ccv3\0!!!".to_vec());
    let (persona, warnings) = read(&picture(&[text_chunk("Chara", &v3("Old")), broken])).unwrap();
    assert_eq!(persona.name, "Old");
    assert!(warnings[0].contains("ccv3") && warnings[0].contains("base64"), "{warnings:?}");
}

#[test]
fn every_kind_of_text_chunk_is_read() {
    let encoded = BASE64_STANDARD.encode(v3("Aria").to_string());
    let squeezed = deflated(encoded.as_bytes());
    for (kind, before, content) in [
        (b"zTXt", &b"ccv3\0\0"[..], &squeezed[..]),
        (b"iTXt", b"ccv3\0\0\0en\0card\0", encoded.as_bytes()),
        (b"iTXt", b"ccv3\0\x01\0en\0card\0", &squeezed),
        (b"tEXt", b"ccv3\0", encoded.trim_end_matches('=').as_bytes()),
    ] {
        let file = picture(&[(kind, [before, content].concat())]);
        assert_eq!(read(&file).unwrap().0.name, "Aria");
    }
    for (kind, content) in [
        (b"zTXt", b"ccv3\0\0nonsense".to_vec()),
        (b"zTXt", b"ccv3\0\x07".to_vec()),
        (b"iTXt", b"ccv3\0\x01".to_vec()),
        (b"iTXt", b"ccv3\0\0\0en".to_vec()),
        (b"tEXt", b"ccv3".to_vec()),
    ] {
        assert!(refused(&picture(&[(kind, content)])).contains("PNG"));
    }
}

#[test]
fn a_bomb_in_a_chunk_is_not_unpacked() {
    let zeros = deflated(&vec![b'A'; 17 * MIB]);
    let refusal = refused(&picture(&[(b"zTXt", [b"ccv3\0\0", &zeros[..]].concat())]));
    assert!(refusal.contains("damaged"), "{refusal}");
    let long = [b"ccv3\0", &vec![b'A'; LARGEST_JSON / 3 * 4 + 16][..]].concat();
    let refusal = refused(&picture(&[(b"tEXt", long)]));
    assert!(refusal.contains("larger than 8 MiB"), "{refusal}");
}

#[test]
fn damaged_pictures_are_refused_wherever_they_end() {
    let whole = picture(&[text_chunk("ccv3", &v3("Aria"))]);
    for length in 8..whole.len() {
        assert!(refused(&whole[..length]).contains("PNG"), "{length}");
    }
    let mut flipped = whole.clone();
    let middle = whole.len() - 60;
    flipped[middle] ^= 1;
    assert!(refused(&flipped).contains("PNG"));
    // A chunk that claims 100 MB.
    let mut claims = whole[..33].to_vec();
    claims.extend(100_000_000_u32.to_be_bytes());
    claims.extend(b"tEXtccv3\0");
    assert!(refused(&claims).contains("PNG"));
    assert!(refused(PLAIN).contains("without a card"));
}

#[test]
fn an_archives_other_names_lead_nowhere() {
    let card = v3("Aria").to_string();
    let file = archive(&[
        ("../../../evil", b"evil"),
        ("/etc/evil", b"evil"),
        ("card.json", card.as_bytes()),
    ]);
    assert_eq!(read(&file).unwrap().0.name, "Aria");
    let refusal = refused(&archive(&[("other.json", b"{}")]));
    assert!(refusal.contains("card.json"), "{refusal}");
    for length in (0..file.len()).filter(|length| *length > 4) {
        assert!(read(&file[..length]).is_err(), "{length}");
    }
}

#[test]
fn a_bomb_in_an_archive_is_not_unpacked() {
    let bomb = archive(&[("card.json", &vec![b' '; 100 * MIB])]);
    assert!(bomb.len() < MIB);
    let refusal = refused(&bomb);
    assert!(refusal.contains("larger than 8 MiB"), "{refusal}");
    let mut many = b"PK\x03\x04".to_vec();
    many.extend(b"PK\x01\x02".repeat(20_000));
    assert!(refused(&many).contains("entries"));
}

#[test]
fn what_is_no_card_says_so() {
    assert!(matches!(CardFile::read(b"GIF89a".to_vec()), Err(CardError::UnknownFormat)));
    assert!(matches!(CardFile::read(Vec::new()), Err(CardError::UnknownFormat)));
    let large = vec![b' '; 32 * MIB + 1];
    assert!(matches!(CardFile::read(large), Err(CardError::TooLarge { .. })));
    let deep = format!("{{\"name\": {}", "[".repeat(100_000));
    assert!(refused(deep.as_bytes()).contains("recursion"));
    assert!(refused(b"{\"name\": \"\xff\"}").contains("UTF-8"));
    assert!(refused(b"{\"name\": \"a\"").contains("line 1"));
    assert!(refused(b"{}").contains("name is required"));
    assert!(refused(br#"{"data": {"name": "A", "scenario": 1}}"#).contains("data.scenario"));
    assert!(refused(b"{\"name\": \"\\u0000\"}").contains("no letter"));
}

#[test]
fn a_card_makes_a_whole_persona() {
    let card = json!({ "spec": "chara_card_v2", "data": {
        "name": "Captain Aria", "nickname": "Aria", "description": "{{char}} knows {{user}}.",
        "system_prompt": "Be brief. {{original}} Stay {{char}}.",
        "post_history_instructions": "{{original}} Answer as {{char}}.",
        "first_mes": "Hello,\u{0} {{user}}.", "tags": ["sea", 3, " "],
        "character_book": { "entries": [{ "keys": ["a"], "content": "b" }] },
        "extensions": { "rhapsode": { "role": "captain", "temperature": 1.5, "max_tokens": 50 } },
    } });
    let (persona, warnings) = read(card.to_string().as_bytes()).unwrap();
    assert!(warnings.is_empty(), "{warnings:?}");
    assert_eq!((persona.key.as_str(), persona.name.as_str()), ("aria", "Aria"));
    assert_eq!(persona.system_prompt, "Be brief. You are Aria.\n\nAria knows User. Stay Aria.");
    assert_eq!(persona.after_history.as_deref(), Some("Answer as Aria."));
    assert_eq!(persona.greeting.as_deref(), Some("Hello, User."));
    assert_eq!(persona.tags, ["sea"]);
    assert_eq!((persona.temperature, persona.max_tokens), (1.5, 50));
    assert_eq!((persona.role.as_str(), persona.book.unwrap().len()), ("captain", 1));
}

#[test]
fn faults_beside_the_text_are_warnings() {
    let card = json!({ "name": "Aria", "first_mes": 1, "tags": "sea", "character_book": 7,
        "extensions": { "rhapsode": { "temperature": 9, "max_tokens": -1 } } });
    let (persona, warnings) = read(card.to_string().as_bytes()).unwrap();
    assert_eq!((persona.temperature, persona.max_tokens), (0.7, 500));
    assert!(persona.greeting.is_none() && persona.book.is_none());
    assert_eq!(warnings.len(), 5, "{warnings:?}");
}

#[test]
fn an_own_system_prompt_stands_before_the_description() {
    let with = |description: &str| {
        let card = json!({ "name": "Aria", "system_prompt": "Rhyme.", "description": description });
        read(card.to_string().as_bytes()).unwrap().0.system_prompt
    };
    assert_eq!(with("A keeper."), "Rhyme.\n\nYou are Aria.\n\nA keeper.");
    assert_eq!(with(""), "Rhyme.");
}

#[test]
fn a_picture_travels_through_an_archive() {
    let mut own = Png::from_bytes(PLAIN.into()).unwrap();
    own.chunks_mut().insert(1, PngChunk::new(*b"tIME", vec![7, 0, 0, 1, 1, 0, 0].into()));
    let own = own.encoder().bytes().to_vec();
    let mut card = v3("Aria");
    card["data"]["assets"] =
        json!([{ "type": "icon", "name": "main", "uri": "embeded://a/b.png", "ext": "png" }]);
    let file = archive(&[("card.json", card.to_string().as_bytes()), ("a/b.png", &own)]);
    let png = CardFile::read(file).unwrap().in_format(CardFormat::Png).unwrap();
    let charx = png.in_format(CardFormat::Charx).unwrap();
    let png = charx.in_format(CardFormat::Png).unwrap();
    let chunks = Png::from_bytes(png.bytes.into()).unwrap();
    assert!(chunks.chunk_by_type(*b"tIME").is_some());
    let keywords: Vec<_> =
        chunks.chunks_by_type(*b"tEXt").map(|it| it.contents()[..5].to_vec()).collect();
    assert_eq!(keywords, [b"chara", b"ccv3\0"]);
}

#[test]
fn a_v3_picture_also_holds_a_v2_card() {
    let file = CardFile::read(v3("Aria").to_string().into_bytes()).unwrap();
    let png = file.in_format(CardFormat::Png).unwrap();
    let mut png = Png::from_bytes(png.bytes.into()).unwrap();
    png.chunks_mut().retain(|chunk| !chunk.contents().starts_with(b"ccv3"));
    let v2 = CardFile::read(png.encoder().bytes().to_vec()).unwrap();
    let v2: Value = serde_json::from_str(&json_of(&v2)).unwrap();
    assert_eq!(
        v2,
        json!({ "spec": "chara_card_v2", "spec_version": "2.0", "data": { "name": "Aria" } })
    );
}

/// Any card, with fields that nobody knows.
fn any_card() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        Just("null".to_owned()),
        Just("true".to_owned()),
        // Numbers as they are written, which no other type would keep.
        Just("1.0".to_owned()),
        Just("-0".to_owned()),
        Just("123456789012345678901234567890".to_owned()),
        Just("1e2".to_owned()),
        any::<String>().prop_map(|text| Value::from(text).to_string()),
    ];
    let tree = leaf.prop_recursive(3, 24, 5, |inner| {
        let named = (any::<String>().prop_map(|it| Value::from(it).to_string()), inner.clone());
        prop_oneof![
            prop::collection::vec(inner, 0..5).prop_map(|items| format!("[{}]", items.join(", "))),
            prop::collection::vec(named, 0..5).prop_map(|fields| {
                let fields: Vec<_> = fields.iter().map(|(k, v)| format!("{k} : {v}")).collect();
                format!("{{{}}}", fields.join(","))
            }),
        ]
    });
    let spec = prop::sample::select(vec!["chara_card_v2", "chara_card_v3", "other"]);
    (tree.clone(), tree, spec, any::<bool>()).prop_map(|(unknown, extensions, spec, is_wrapped)| {
        let fields = format!(r#""name": "Aria", "zz": {unknown}, "extensions": {extensions}"#);
        if is_wrapped {
            format!(r#"{{ "spec": "{spec}", "top": {unknown}, "data": {{ {fields} }} }}"#)
        } else {
            format!("{{ {fields} }}")
        }
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_card_stays_the_same_through_all_formats(card in any_card()) {
        let mut file = CardFile::read(card.clone().into_bytes()).unwrap();
        let same = file.clone().in_format(CardFormat::Json).unwrap();
        prop_assert_eq!(&same, &file);
        for format in [CardFormat::Png, CardFormat::Json, CardFormat::Charx, CardFormat::Png,
            CardFormat::Charx, CardFormat::Json]
        {
            let packed = file.in_format(format).unwrap();
            // What was packed is told by its bytes.
            file = CardFile::read(packed.bytes).unwrap();
            prop_assert_eq!(file.format, format);
        }
        // To the letter, so its JSON is the same, too.
        prop_assert_eq!(json_of(&file), card);
    }

    #[test]
    fn no_file_panics(
        bytes in prop::collection::vec(any::<u8>(), 0..200),
        start in prop::sample::select(vec![&b"\x89PNG\r\n\x1a\n"[..], b"PK\x03\x04", b"{", b""]),
    ) {
        let _ = read(&[start, &bytes[..]].concat());
    }

    #[test]
    fn no_damaged_file_panics(at in any::<prop::sample::Index>(), byte in any::<u8>(), is_png in any::<bool>()) {
        let file = CardFile::read(v3("Aria").to_string().into_bytes()).unwrap();
        let format = if is_png { CardFormat::Png } else { CardFormat::Charx };
        let mut bytes = file.in_format(format).unwrap().bytes;
        let at = at.index(bytes.len());
        bytes[at] = byte;
        let _ = read(&bytes);
    }
}

#[test]
fn a_persona_of_the_file_becomes_a_card_and_comes_back() {
    let own = crate::persona::yaml::read(crate::persona::set::SHIPPED).unwrap();
    assert_eq!(own.len(), 5);
    for persona in own {
        let (back, warnings) = read(&super::of_persona(&persona).bytes).unwrap();
        assert!(warnings.is_empty(), "{warnings:?}");
        let fields = |it: &Persona| {
            (
                it.name.clone(),
                it.role.clone(),
                it.system_prompt.clone(),
                it.temperature.to_string(),
                it.max_tokens,
                it.tags.clone(),
                it.greeting.clone(),
            )
        };
        assert_eq!(fields(&back), fields(&persona));
    }
}
