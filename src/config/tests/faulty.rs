//! Claims about what is refused, what is doubted, and the words for it.

use super::files;
use crate::config::{Config, Kind, Sources, registry};

#[test]
fn all_faults_are_reported_at_once() {
    let files = files()
        .toml("llm_n_cxt = 1\nlog_level = \"loud\"\n[server]\nport = 70000\nllm_top_k = 3\n")
        .dotenv("LLM_TOP_P=2\nCONTEXT_LAYER_C_TOKENS=14000\n")
        .environment(&[("MODEL_THREADS", "0"), ("DEBUG", "maybe"), ("API_V1_STR", "/api/")])
        .overrides(&[("LLM_COLOUR_OF_INK", "x"), ("CONTEXT_OVERFLOW_STRATEGY", "explode")]);
    insta::assert_snapshot!(files.faults(), @r#"
    llm_n_cxt (rhapsode.toml): no such setting; did you mean LLM_N_CTX?
    server.llm_top_k (rhapsode.toml): belongs in the table [engine], or above all tables
    LLM_COLOUR_OF_INK (command line): no such setting
    PORT = "70000" (rhapsode.toml): must be a whole number from 0 to 65535
    API_V1_STR = "/api/" (environment): must be a path such as /api/v1: letters, digits and -._~ between single slashes, none at the end
    DEBUG = "maybe" (environment): must be true or false (1/0, yes/no and on/off do too)
    LOG_LEVEL = "loud" (rhapsode.toml): must be one of TRACE, DEBUG, INFO, WARN, ERROR
    LLM_N_THREADS = "0" (environment, as MODEL_THREADS): must be a whole number, 1 or more
    LLM_TOP_P = "2" (.env): must be a number from 0.0 to 1.0
    CONTEXT_OVERFLOW_STRATEGY = "explode" (command line): must be one of reject, truncate, borrow, reallocate
    CONTEXT_LAYER_A_TOKENS to CONTEXT_LAYER_E_TOKENS are 2000 + 0 + 14000 + 5000 + 10000 = 31000, but CONTEXT_MAX_TOKENS − CONTEXT_BUFFER_TOKENS is 32000 − 2000 = 30000: lower the layers by 1000 in all (the largest is CONTEXT_LAYER_C_TOKENS, 14000), or raise CONTEXT_MAX_TOKENS to 33000
    "#);
}

#[test]
fn a_refused_setting_is_not_compared_with_others() {
    // Its default would be judged, which nobody set.
    let files = files().environment(&[
        ("CONTEXT_MAX_TOKENS", "999999"),
        ("CONTEXT_LAYER_C_TOKENS", "25000"),
        ("CONTEXT_MIN_PRIORITY_THRESHOLD", "0.8"),
    ]);
    insta::assert_snapshot!(files.faults(), @r#"
    CONTEXT_MAX_TOKENS = "999999" (environment): must be a whole number from 1000 to 100000
    CONTEXT_MIN_PRIORITY_THRESHOLD is 0.8 and CONTEXT_HIGH_PRIORITY_THRESHOLD 0.7, so elements between them would have to be both in the prompt and left out: lower the first, or raise the second
    "#);
}

#[test]
fn a_buffer_that_leaves_nothing_is_refused() {
    let pairs = [("CONTEXT_MAX_TOKENS", "1000"), ("CONTEXT_BUFFER_TOKENS", "1000")];
    insta::assert_snapshot!(Config::from_pairs(&pairs).unwrap_err(), @"CONTEXT_BUFFER_TOKENS is 1000 and leaves nothing of CONTEXT_MAX_TOKENS, 1000: lower the buffer, or raise the window");
}

#[test]
fn an_alias_may_agree_with_its_setting_but_not_contradict_it() {
    let agreeing = [("LLM_N_CTX", "512"), ("MODEL_CONTEXT_SIZE", "512")];
    assert_eq!(files().environment(&agreeing).load().engine.llm_n_ctx, 512);
    let files = files()
        .toml("port = 1\n[server]\nport = 2\n")
        .dotenv("HOST=::1\nAPI_HOST=::2\n")
        .environment(&[("LLM_N_CTX", "512"), ("MODEL_CONTEXT_SIZE", "1024")]);
    insta::assert_snapshot!(files.faults(), @r#"
    PORT (rhapsode.toml): has two different values, port = "1" and server.port = "2"; keep one
    HOST (.env): has two different values, API_HOST = "::2" and HOST = "::1"; keep one
    LLM_N_CTX (environment): has two different values, LLM_N_CTX = "512" and MODEL_CONTEXT_SIZE = "1024"; keep one
    "#);
}

#[test]
fn toml_says_what_it_does_not_understand() {
    let text = "port = [1]\nhost = {a = 1}\n[engin]\nllm_n_ctx = 1\n[engine]\nllm_topk = 1\n";
    insta::assert_snapshot!(files().toml(text).faults(), @r#"
    engin (rhapsode.toml): no such setting; did you mean [engine]?
    engine.llm_topk (rhapsode.toml): no such setting; did you mean LLM_TOP_K?
    HOST = "a table" (rhapsode.toml): must be an IP address such as 127.0.0.1 or ::1
    PORT = "an array" (rhapsode.toml): must be a whole number from 0 to 65535
    "#);
}

#[test]
fn malformed_and_missing_files_are_faults() {
    let files = files().toml("port = 1\nhf_token = \"hunter2\n").dotenv("PORT=1\nwhat\n");
    insta::assert_snapshot!(files.faults(), @r#"
    rhapsode.toml, line 2: is not TOML: invalid basic string
    .env, line 2: is not NAME=value; quote a value that holds spaces or signs, in single quotes if it holds $ or \
    "#);
    let absent = Sources { toml: Some("no/such.toml".into()), ..Sources::default() };
    let faults = Config::load(&absent).unwrap_err().to_string();
    assert!(faults.starts_with("no/such.toml: can't be read"), "{faults}");
}

#[test]
fn a_typo_is_answered_with_the_likely_name() {
    for (typo, meant) in [
        ("LLM_N_CTXX", Some("LLM_N_CTX")),
        ("LLM_NCTX", Some("LLM_N_CTX")),
        ("context_max_token", Some("CONTEXT_MAX_TOKENS")),
        ("MODEL_THREAD", Some("MODEL_THREADS")),
        ("CHROMA_SERVER", None),
        ("POSTGRES_URL", None),
        ("PATH", None),
        ("", None),
    ] {
        assert_eq!(registry().nearest(typo), meant, "{typo}");
    }
    let faults = Config::from_pairs(&[("LLM_N_CTXX", "1")]).unwrap_err().to_string();
    assert_eq!(faults, "LLM_N_CTXX (command line): no such setting; did you mean LLM_N_CTX?");
}

#[test]
fn no_number_is_read_from_nonsense() {
    for setting in &registry().settings {
        if matches!(setting.kind, Kind::Whole | Kind::Decimal | Kind::Bytes | Kind::Switch) {
            for nonsense in ["NaN", "inf", "much", "1 2"] {
                let faults = Config::from_pairs(&[(&setting.name, nonsense)]).unwrap_err();
                assert!(faults.to_string().contains(&setting.name), "{faults}");
            }
        }
    }
}

#[test]
fn doubtful_settings_are_warned_about() {
    let config = Config::from_pairs(&[
        ("HOST", "0.0.0.0"),
        ("LLM_N_CTX", "2048"),
        ("CONTEXT_PRIORITY_USER_LOW", "0.9"),
    ]);
    insta::assert_snapshot!(config.unwrap().warnings().join("\n"), @r#"
    DEBUG is on while HOST 0.0.0.0 can be reached from other machines: error answers show their cause to anyone who can connect. Set DEBUG=false unless you trust them all
    LLM_MAX_TOKENS is 2048 and leaves no room for a prompt in LLM_N_CTX, 2048: the token routes tell of longer answers than there can be; lower it, or raise LLM_N_CTX
    CONTEXT_PRIORITY_USER_LOW, _MEDIUM and _HIGH are 0.9, 0.5 and 0.8: a lower word outranks a higher one
    "#);
}
