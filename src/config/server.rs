//! `[server]`: where it listens, what it lets in, what it logs, where its data lie.

use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;

use super::choice::{LogFormat, LogLevel};
use super::section::section;
use super::value::ByteCount;

section! {
    /// Where the server listens, whom it lets in, what it logs and where its data lie.
    Server, "server";

    /// Address the server listens on. The default can be reached from this machine only;
    /// 0.0.0.0 lets in everyone on the network, and wants `API_KEYS`, or `ALLOW_OPEN` for none.
    host: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST), also(&["API_HOST", "FASTAPI_HOST"]);

    /// TCP port the server listens on. 0 takes any free port, and the log says which.
    port: u16 = 8000, within(0, u16::MAX), also(&["API_PORT", "FASTAPI_PORT"]);

    /// Path that all routes of the story API start with.
    api_v1_str: String = "/api/v1".to_owned(),
        shaped("a path such as /api/v1: letters, digits and -._~ between single slashes, \
                none at the end", is_route_prefix);

    /// Web origins whose pages may call the server from a browser, separated by commas. `*` lets
    /// in any page; empty lets in none but the server's own.
    cors_origins: Vec<String> = vec!["http://localhost:4200".to_owned()],
        shaped("origins such as http://localhost:4200 (no path, no slash at the end), separated \
                by commas, or *", are_origins);

    /// Largest request body that is read; a larger one is refused with status 413. Account, companion
    /// and session routes take 256 KiB at most, whatever stands here.
    max_request_bytes: ByteCount = ByteCount::mib(32),
        within(ByteCount::kib(1), ByteCount::gib(1));

    /// Seconds that running requests get to finish when the server is asked to stop. What still
    /// runs then is cancelled.
    shutdown_grace_seconds: u64 = 10, within(0, 600);

    /// Whether error answers carry their cause. Turn it off where strangers can reach the server.
    debug: bool = true;

    /// The least important events that are logged.
    log_level: LogLevel = LogLevel::Info;

    /// Form of the log: one JSON object a line, or text for people.
    log_format: LogFormat = LogFormat::Json;

    /// Folder of the database. It is created when missing.
    db_path: PathBuf = PathBuf::from("./data");

    /// Folder with prompt files of your own. Each file, named like the built-in one
    /// (`<agent>/<purpose>.j2`), takes that one's place; the others stay as they are.
    prompts_dir: Option<PathBuf> = None;
}

/// Routes are built from it, and a router gives braces, stars and colons a meaning of their own.
fn is_route_prefix(path: &str) -> bool {
    let is_plain = |segment: &str| {
        let plain = |c: char| c.is_ascii_alphanumeric() || "-._~".contains(c);
        !["", ".", ".."].contains(&segment) && segment.chars().all(plain)
    };
    let rest = path.strip_prefix('/');
    rest.is_some_and(|rest| rest.split('/').all(is_plain))
}

fn are_origins(list: &str) -> bool {
    let mut items = list.split(',').map(str::trim);
    items.all(|item| item.is_empty() || item == "*" || is_origin(item))
}

fn is_origin(text: &str) -> bool {
    let scheme_letter = |c: char| c.is_ascii_alphanumeric() || "+-.".contains(c);
    let host_letter = |c: char| c.is_ascii_alphanumeric() || "-._:[]".contains(c);
    text.split_once("://").is_some_and(|(scheme, host)| {
        let named = !scheme.is_empty() && !host.is_empty();
        named && scheme.chars().all(scheme_letter) && host.chars().all(host_letter)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_route_prefix_has_plain_segments_and_no_slash_at_the_end() {
        for good in ["/api/v1", "/a", "/story-api/v1.0"] {
            assert!(is_route_prefix(good), "{good}");
        }
        for bad in ["", "/", "api", "/api/", "//api", "/a/../b", "/{x}", "/a b", "/*rest", "/:id"] {
            assert!(!is_route_prefix(bad), "{bad}");
        }
    }

    #[test]
    fn an_origin_has_scheme_and_host_and_no_path() {
        for good in
            ["", "*", "http://localhost:4200", "https://a.example, http://[::1]:80,", "app://x"]
        {
            assert!(are_origins(good), "{good}");
        }
        for bad in ["localhost:4200", "http://a/", "http://", "http://a,b", "http://a?x", "://a"] {
            assert!(!are_origins(bad), "{bad}");
        }
    }
}
