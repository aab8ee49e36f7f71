//! Claims about precedence, aliases, and what each layer takes.

use super::{files, in_use};
use crate::config::{ByteCount, Config, Secret, Source, registry};

#[test]
fn command_line_beats_environment_beats_dotenv_beats_toml_beats_default() {
    let mut files = files();
    let port = |files: &super::Files| {
        let config = files.load();
        (config.server.port, in_use(&config, "PORT").source.clone())
    };
    assert_eq!(port(&files), (8000, Source::Default));
    files = files.toml("port = 1");
    let toml = files.sources.toml.clone().unwrap();
    assert_eq!(port(&files), (1, Source::ConfigFile(toml)));
    files = files.dotenv("PORT=2");
    assert_eq!(port(&files), (2, Source::DotEnv));
    files = files.environment(&[("PORT", "3")]);
    assert_eq!(port(&files), (3, Source::Environment));
    files = files.overrides(&[("PORT", "4")]);
    assert_eq!(port(&files), (4, Source::CommandLine));
}

#[test]
fn an_alias_in_a_higher_layer_beats_the_main_name_in_a_lower_one() {
    let files = files().toml("port = 1").environment(&[("FASTAPI_PORT", "2")]);
    assert_eq!(files.load().server.port, 2);
}

#[test]
fn the_last_of_a_name_wins_on_the_command_line() {
    let twice = [("PORT", "1"), ("port", "2")];
    assert_eq!(Config::from_pairs(&twice).unwrap().server.port, 2);
}

#[test]
fn every_alias_sets_its_setting() {
    for (alias, name, value) in [
        ("API_HOST", "HOST", "::1"),
        ("FASTAPI_HOST", "HOST", "::1"),
        ("API_PORT", "PORT", "9"),
        ("FASTAPI_PORT", "PORT", "9"),
        ("MODEL_CONTEXT_SIZE", "LLM_N_CTX", "512"),
        ("MODEL_THREADS", "LLM_N_THREADS", "2"),
        ("MODEL_NAME", "LLM_MODEL", "qwen:7b"),
    ] {
        let config = files().environment(&[(alias, value)]).load();
        assert_eq!(in_use(&config, name).value, value, "{alias}");
    }
    let aliases = registry().settings.iter().map(|setting| setting.aliases.len());
    assert_eq!(aliases.sum::<usize>(), 7);
}

#[test]
fn toml_takes_either_case_tables_native_types_and_text() {
    let config = files()
        .toml(
            r#"
            PORT = 0
            cors_origins = ["http://a", "http://b"]
            debug = false
            [engine]
            llm_n_ctx = 8_192
            LLM_TEMPERATURE = 1
            llm_top_p = "0.5"
            llm_n_gpu_layers = -1
            llm_cache_capacity = "512MB"
            [context]
            context_priority_character = 0.65
            "#,
        )
        .load();
    assert_eq!(config.server.port, 0);
    assert_eq!(config.server.cors_origins, ["http://a", "http://b"]);
    assert!(!config.server.debug);
    assert_eq!(config.engine.llm_n_ctx, 8192);
    assert_eq!(in_use(&config, "LLM_TEMPERATURE").value, "1.0");
    assert_eq!(in_use(&config, "LLM_TOP_P").value, "0.5");
    assert_eq!(config.engine.llm_n_gpu_layers, -1);
    assert_eq!(config.engine.llm_cache_capacity, ByteCount(512_000_000));
    assert_eq!(in_use(&config, "CONTEXT_PRIORITY_CHARACTER").value, "0.65");
}

#[test]
fn foreign_names_are_ignored_but_a_typo_in_dotenv_is_warned_about() {
    let config = files()
        .dotenv("LLM_N_CTXX=1\nPOSTGRES_URL=x\nllm_top_k=3\nPORT=1\nPORT=2\n")
        .environment(&[("LLM_N_CTXX", "1"), ("llm_n_ctx", "512"), ("HOME", "/")])
        .load();
    assert_eq!(config.engine.llm_n_ctx, 4096);
    assert_eq!(config.engine.llm_top_k, 40);
    assert_eq!(config.server.port, 2);
    insta::assert_snapshot!(config.warnings().join("\n"), @r#"
    LLM_N_CTXX in .env is no setting and is ignored; did you mean LLM_N_CTX?
    PORT stands 2 times in .env: the last wins
    llm_top_k in .env is no setting and is ignored; did you mean LLM_TOP_K?
    "#);
}

#[test]
fn empty_means_not_mentioned_in_environments_and_unset_elsewhere() {
    let files = files()
        .toml("llm_n_threads = 8")
        .dotenv("LLM_N_THREADS=\nMODEL_PATH=")
        .environment(&[("LLM_N_THREADS", " "), ("MODEL_PATH", "")]);
    let config = files.load();
    assert_eq!(config.engine.llm_n_threads, Some(8));
    assert_eq!(in_use(&config, "MODEL_PATH").source, Source::Default);
    let unset = files.overrides(&[("LLM_N_THREADS", "")]).load();
    assert_eq!(unset.engine.llm_n_threads, None);
    // What may not be unset may not be empty.
    let faults = Config::from_pairs(&[("LLM_N_CTX", ""), ("DB_PATH", "")]).unwrap_err();
    assert_eq!(faults.0.len(), 2, "{faults}");
}

#[test]
fn a_secret_is_shown_nowhere() {
    let files = files()
        .dotenv("HF_TOKEN=hunter1\n")
        .environment(&[("HF_TOKEN", "hunter2")])
        .overrides(&[("hf_token", "hunter3")]);
    let config = files.load();
    assert_eq!(config.engine.hf_token.as_ref().map(Secret::expose), Some("hunter3"));
    assert_eq!(in_use(&config, "HF_TOKEN").value, "****");
    assert!(!format!("{config:?} {:?}", files.sources).contains("hunter"));

    let files = files.toml("hf_token = 'hunter4'\nHF_TOKEN = 'hunter5'\n");
    let faults = Config::load(&files.sources).unwrap_err();
    let shown = format!("{faults} {faults:?}");
    assert!(shown.contains("HF_TOKEN") && !shown.contains("hunter"), "{shown}");
}
