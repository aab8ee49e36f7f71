//! A real ChromaDB server for the tests: installed once, into a virtual environment of its own below
//! the build's folder, and started on a free port.

use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use rhapsode::archive::ChromaSettings;
use rhapsode::config::TokenHeader;
use tempfile::TempDir;

/// As `pip` names it.
const PACKAGE: &str = "chromadb==1.5.9";
/// How long a server may take to start, on a busy machine.
const PATIENCE: Duration = Duration::from_mins(2);

/// One for all tests of this process; each has a collection of its own.
static SHARED: LazyLock<ChromaServer> = LazyLock::new(ChromaServer::start);

/// A server in a process of its own. Dropping it kills it.
pub(crate) struct ChromaServer {
    process: Child,
    port: u16,
    folder: TempDir,
}

impl ChromaServer {
    pub(crate) fn shared() -> &'static Self {
        &SHARED
    }

    /// A server with nothing in it, on any free port.
    pub(crate) fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        // Somebody else may take the port before the server does.
        for _ in 0..5 {
            let port = free_port();
            if let Some(process) = run(folder.path(), port) {
                return Self { process, port, folder };
            }
        }
        panic!("{}", log(folder.path()));
    }

    /// The same server once more, after it was killed.
    pub(crate) fn restart(&mut self) {
        self.kill();
        let process = run(self.folder.path(), self.port);
        self.process = process.unwrap_or_else(|| panic!("{}", log(self.folder.path())));
    }

    /// As the operating system does when memory runs out.
    pub(crate) fn kill(&mut self) {
        drop(self.process.stdin.take());
        self.process.wait().unwrap();
    }

    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Settings with a collection that nobody else uses.
    pub(crate) fn settings(&self) -> ChromaSettings {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        ChromaSettings {
            url: self.url(),
            tenant: "default_tenant".to_owned(),
            database: "default_database".to_owned(),
            token: None,
            token_header: TokenHeader::Authorization,
            collection: format!("archive_{}", NEXT.fetch_add(1, Ordering::Relaxed)),
        }
    }
}

impl Drop for ChromaServer {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A port that was free a moment ago.
fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// Runs a command for as long as somebody holds the other end of its input, however that one ends:
/// what is in a `static` is never dropped.
const WHILE_HELD: &str = r#"
exec 3<&0
"$@" 3<&- </dev/null &
server=$!
{ read -r _ <&3; kill -9 "$server"; } 2>/dev/null &
watcher=$!
wait "$server"
kill "$watcher" 2>/dev/null
"#;

/// Starts a server, and waits until it answers; none if it ends before, as when the port is taken.
fn run(folder: &Path, port: u16) -> Option<Child> {
    let log = File::create(folder.join("server.log")).unwrap();
    let mut process = Command::new("sh")
        .args(["-c", WHILE_HELD, "sh"])
        .arg(environment().join("bin/chroma"))
        .arg("run")
        .arg("--path")
        .arg(folder.join("data"))
        .args(["--host", "127.0.0.1", "--port", &port.to_string()])
        .current_dir(folder)
        .env("ANONYMIZED_TELEMETRY", "False")
        .stdin(Stdio::piped())
        .stdout(log.try_clone().unwrap())
        .stderr(log)
        .spawn()
        .unwrap();
    let began = Instant::now();
    while began.elapsed() < PATIENCE {
        if process.try_wait().unwrap().is_some() {
            return None;
        }
        if is_alive(port).is_ok_and(|alive| alive) {
            return Some(process);
        }
        // Nothing wakes us when it listens, and the machine's cores are needed by what starts.
        std::thread::park_timeout(Duration::from_millis(20));
    }
    drop(process.stdin.take());
    process.wait().unwrap();
    None
}

fn is_alive(port: u16) -> std::io::Result<bool> {
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    let request = "GET /api/v2/heartbeat HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n";
    stream.write_all(request.as_bytes())?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer.contains("nanosecond heartbeat"))
}

fn log(folder: &Path) -> String {
    let log = fs::read_to_string(folder.join("server.log"));
    format!("no ChromaDB server starts: {}", log.unwrap_or_default())
}

/// Where ChromaDB is installed; installs it if it isn't. Test processes that run at once wait for the
/// one that does.
fn environment() -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
    fs::create_dir_all(folder).unwrap();
    let lock = File::create(folder.join("chroma.lock")).unwrap();
    lock.lock().unwrap();
    let environment = folder.join(PACKAGE);
    // Written last, so that a half installation is begun anew.
    let stamp = environment.join("installed");
    if !stamp.exists() {
        let _ = fs::remove_dir_all(&environment);
        install(&environment);
        File::create(stamp).unwrap();
    }
    environment
}

fn install(environment: &Path) {
    let made = Command::new("python3").args(["-m", "venv"]).arg(environment).output();
    let made = made.expect("python3 is installed: `make prepare` does it");
    assert!(
        made.status.success(),
        "`python3 -m venv` fails; `make prepare` installs what it needs (Debian: python3-venv): \
         {}{}",
        String::from_utf8_lossy(&made.stdout),
        String::from_utf8_lossy(&made.stderr)
    );
    let installed = Command::new(environment.join("bin/python"))
        .args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", PACKAGE])
        .output()
        .unwrap();
    assert!(
        installed.status.success(),
        "`pip install {PACKAGE}` fails; the tests need it from PyPI, once: {}",
        String::from_utf8_lossy(&installed.stderr)
    );
}
