//! The binary as a person runs it.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Command, Output, Stdio};

use tempfile::TempDir;

use crate::support::{documented_request, models_dir};

/// The binary in an empty folder, with nothing of this environment but where models lie.
fn rhapsode(folder: &TempDir, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_rhapsode"));
    command.args(arguments).current_dir(folder.path()).env_clear().env("MODELS_DIR", models_dir());
    command
}

fn run(arguments: &[&str], environment: &[(&str, &str)]) -> (Output, String) {
    let folder = tempfile::tempdir().unwrap();
    let output = rhapsode(&folder, arguments).envs(environment.iter().copied()).output().unwrap();
    let said = [&output.stdout, &output.stderr].map(|text| String::from_utf8_lossy(text)).concat();
    (output, said)
}

#[test]
fn check_looks_at_everything() {
    let (output, said) = run(&["check"], &[]);
    assert!(output.status.success(), "{said}");
    for what in ["configuration", "prompts", "schemas", "database", "model", "embedder"] {
        assert!(said.contains(what), "{what} is missing:\n{said}");
    }
    assert!(said.contains("window of 4096 tokens") && said.contains("384 dimensions"), "{said}");
}

#[test]
fn check_lists_settings_with_their_source() {
    let (output, said) = run(&["check", "--settings", "-s", "PORT=8001"], &[("LLM_TOP_K", "7")]);
    assert!(output.status.success(), "{said}");
    assert!(said.contains("command line") && said.contains("environment"), "{said}");
}

#[test]
fn all_faults_of_the_configuration_are_told_at_once() {
    let environment = [("LLM_TOP_K", "0"), ("PORT", "99999"), ("CONTEXT_LAYER_C_TOKENS", "25000")];
    let (output, said) = run(&["serve"], &environment);
    assert_eq!(output.status.code(), Some(1), "{said}");
    for name in ["LLM_TOP_K", "PORT", "CONTEXT_MAX_TOKENS"] {
        assert!(said.contains(name), "{name} is missing:\n{said}");
    }
}

#[test]
fn a_missing_model_is_a_warning_and_a_broken_prompt_a_fault() {
    let (output, said) = run(&["check"], &[("MODEL_PATH", "nowhere.gguf")]);
    assert!(output.status.success() && said.contains("can't be opened"), "{said}");
    let prompts = tempfile::tempdir().unwrap();
    std::fs::create_dir(prompts.path().join("writer")).unwrap();
    std::fs::write(prompts.path().join("writer/chapter.j2"), "{{ misspelt }}").unwrap();
    let folder = prompts.path().to_str().unwrap();
    for command in ["check", "serve"] {
        let (output, said) = run(&[command], &[("PROMPTS_DIR", folder), ("MODEL_PATH", "nowhere")]);
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(said.contains("writer/chapter.j2"), "{said}");
    }
}

#[test]
fn write_sends_only_the_chapter_to_standard_output() {
    let folder = tempfile::tempdir().unwrap();
    let mut process = rhapsode(&folder, &["write", "-"])
        .env("ENDPOINT_GENERATE_CHAPTER_MAX_TOKENS", "500")
        .env("LLM_N_THREADS", "1")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    write!(process.stdin.take().unwrap(), "{}", documented_request()).unwrap();
    let output = process.wait_with_output().unwrap();
    let (chapter, said) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{said}");
    assert!(chapter.split_whitespace().count() > 20, "{chapter}");
    assert!(!chapter.contains("must be in"), "{chapter}");
    assert!(said.contains("must be in") && said.contains("A system"), "{said}");
}

#[test]
fn write_says_what_is_wrong_with_a_request() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("request.json"), r#"{"plotPoint": 1}"#).unwrap();
    let output = rhapsode(&folder, &["write", "request.json"]).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && said.contains("plotPoint"), "{said}");
}

#[cfg(target_os = "linux")]
#[test]
fn serve_starts_without_a_model_and_ends_on_a_signal() {
    let folder = tempfile::tempdir().unwrap();
    let mut process = rhapsode(&folder, &["serve", "--port", "0"])
        .env("MODELS_DIR", "nowhere")
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut greeting = String::new();
    let mut output = BufReader::new(process.stdout.take().unwrap());
    output.read_line(&mut greeting).unwrap();
    assert!(greeting.contains("listens on http://127.0.0.1:"), "{greeting}");
    // Nobody reads what else it says.
    drop(output);
    let kill = Command::new("kill").arg(process.id().to_string()).status().unwrap();
    assert!(kill.success());
    assert_eq!(process.wait().unwrap().code(), Some(0));
}
