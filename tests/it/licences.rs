//! Every dependency is under a licence that deny.toml allows. Judged as cargo-deny judges, without
//! needing it; only what is built on this kind of machine, as nothing else need be downloaded.

#![allow(clippy::unwrap_used, reason = "what fails here fails the test, helpers included")]

use std::collections::HashSet;
use std::process::Command;

use serde::Deserialize;
use spdx::{Expression, LicenseReq, ParseMode};

const MANIFEST_DIR: &str = env!("CARGO_MANIFEST_DIR");

#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
}

#[derive(Deserialize)]
struct Package {
    name: String,
    version: String,
    license: Option<String>,
}

#[derive(Deserialize)]
struct DenyFile {
    licenses: Licences,
}

#[derive(Deserialize)]
struct Licences {
    allow: HashSet<String>,
    exceptions: Vec<Exception>,
}

/// One crate that may be under other licences, too.
#[derive(Deserialize)]
struct Exception {
    allow: HashSet<String>,
    #[serde(rename = "crate")]
    name: String,
}

impl Licences {
    fn of(&self, name: &str) -> HashSet<String> {
        let exceptions = self.exceptions.iter().filter(|exception| exception.name == name);
        exceptions.fold(self.allow.clone(), |allowed, exception| &allowed | &exception.allow)
    }
}

#[test]
fn dependencies_are_under_allowed_licences() {
    let deny_file = std::fs::read_to_string(format!("{MANIFEST_DIR}/deny.toml")).unwrap();
    let licences = toml::from_str::<DenyFile>(&deny_file).unwrap().licenses;
    let packages = packages();
    assert!(packages.len() > 100, "only {} packages: is this all?", packages.len());
    let offenders: Vec<String> = packages
        .iter()
        .filter_map(|package| {
            let problem = objection(package.license.as_deref(), &licences.of(&package.name))?;
            Some(format!("{} {}: {problem}", package.name, package.version))
        })
        .collect();
    assert!(offenders.is_empty(), "not allowed by deny.toml:\n{}", offenders.join("\n"));
}

#[test]
fn licence_expressions_are_judged_by_their_meaning() {
    let allowed = HashSet::from(["MIT".to_owned(), "ISC".to_owned()]);
    for fine in ["MIT", "MIT OR GPL-3.0-only", "MIT AND ISC", "GPL-3.0/MIT"] {
        assert_eq!(objection(Some(fine), &allowed), None, "{fine}");
    }
    for wrong in ["GPL-3.0-only", "MIT AND GPL-3.0-only", "MIT WITH LLVM-exception", "Whatever"] {
        assert!(objection(Some(wrong), &allowed).is_some(), "{wrong}");
    }
    assert!(objection(None, &allowed).is_some());
}

/// Why a licence will not do; `None` if it will.
fn objection(licence: Option<&str>, allowed: &HashSet<String>) -> Option<String> {
    let Some(licence) = licence else {
        return Some("it names no licence".to_owned());
    };
    let expression = match Expression::parse_mode(licence, ParseMode::LAX) {
        Ok(expression) => expression,
        Err(error) => return Some(format!("{licence}: {}", error.reason)),
    };
    let is_allowed = |requirement: &LicenseReq| allowed.contains(&requirement.to_string());
    (!expression.evaluate(is_allowed)).then(|| licence.to_owned())
}

fn packages() -> Vec<Package> {
    let host = host();
    let json = cargo(&[
        "metadata",
        "--format-version=1",
        "--locked",
        "--offline",
        "--filter-platform",
        &host,
    ]);
    serde_json::from_str::<Metadata>(&json).unwrap().packages
}

fn host() -> String {
    let version = cargo(&["--version", "--verbose"]);
    version.lines().find_map(|line| line.strip_prefix("host: ")).unwrap().to_owned()
}

fn cargo(arguments: &[&str]) -> String {
    let output =
        Command::new(env!("CARGO")).args(arguments).current_dir(MANIFEST_DIR).output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "cargo {}: {errors}", arguments.join(" "));
    String::from_utf8(output.stdout).unwrap()
}
