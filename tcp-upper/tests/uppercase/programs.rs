//! Starts the servers and clients, in Rust and in Python, as processes.

use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv4Addr, SocketAddrV4};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, Command, Stdio};
use std::sync::OnceLock;

#[derive(Clone, Copy)]
pub(crate) enum Transport {
    Udp,
    Tcp,
}

#[derive(Clone, Copy)]
pub(crate) enum Language {
    Rust,
    Python,
}

/// A server on a port of the system's choice, ready to receive; ends when dropped.
pub(crate) struct Server {
    pub(crate) address: SocketAddrV4,
    transport: Transport,
    process: Child,
    // Held open: a server that reports into a closed pipe would fail.
    _errors: BufReader<ChildStderr>,
}

impl Server {
    pub(crate) fn start(transport: Transport, language: Language) -> Self {
        Self::start_with(transport, language, 0, &[])
    }

    /// Starts it at this port with further options.
    ///
    /// # Panics
    /// When it does not come up: with what it said instead.
    pub(crate) fn start_with(
        transport: Transport,
        language: Language,
        port: u16,
        options: &[&str],
    ) -> Self {
        let mut command = program(transport, language, "server");
        match language {
            Language::Rust => {
                command.args(["--bind", "127.0.0.1", "--port", &port.to_string()]).args(options)
            }
            Language::Python => command.arg(port.to_string()).args(options),
        };
        let mut process =
            command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("start a server");

        let mut errors = BufReader::new(process.stderr.take().expect("stderr is piped"));
        let first = first_line(&mut errors);
        let Some((_, port)) = first.strip_prefix("listening on ").and_then(|a| a.rsplit_once(':'))
        else {
            process.wait().expect("wait for a server");
            panic!("{first}");
        };
        let port = port.parse().expect("a port number");

        let output = BufReader::new(process.stdout.take().expect("stdout is piped"));
        let server = Self {
            address: SocketAddrV4::new(Ipv4Addr::LOCALHOST, port),
            transport,
            process,
            _errors: errors,
        };
        assert_eq!(first_line(output), "The server is ready to receive");
        server
    }

    /// Runs a client of this server's kind that gets `line` on its standard input.
    pub(crate) fn ask(&self, client: Language, line: &str) -> Transcript {
        run_client(self.transport, client, &[], self.address.port(), format!("{line}\n").as_bytes())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // An error here means that it has ended by itself; the test will have noticed.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// What one run of a client left.
#[derive(Debug)]
pub(crate) struct Transcript {
    pub(crate) output: String,
    pub(crate) errors: String,
    pub(crate) code: Option<i32>,
}

pub(crate) fn run_client(
    transport: Transport,
    language: Language,
    options: &[&str],
    port: u16,
    input: &[u8],
) -> Transcript {
    let mut command = program(transport, language, "client");
    match language {
        Language::Rust => command.args(["localhost", "--port", &port.to_string()]).args(options),
        Language::Python => command.args(["localhost", &port.to_string()]).args(options),
    };
    let mut process = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("start a client");
    // A client that is refused ends before it reads.
    let _ = process.stdin.take().expect("stdin is piped").write_all(input);
    let output = process.wait_with_output().expect("wait for a client");
    let text = |bytes| String::from_utf8(bytes).expect("UTF-8").replace("\r\n", "\n");
    Transcript {
        output: text(output.stdout),
        errors: text(output.stderr),
        code: output.status.code(),
    }
}

/// A file of the workspace, by its path there.
pub(crate) fn in_workspace(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("a member's parent").join(path)
}

fn program(transport: Transport, language: Language, role: &str) -> Command {
    let (package, script) = match transport {
        Transport::Udp => ("udp-upper", "udp"),
        Transport::Tcp => ("tcp-upper", "tcp"),
    };
    match language {
        Language::Rust => {
            let name = format!("{role}{}", std::env::consts::EXE_SUFFIX);
            Command::new(built().join(package).join("debug").join(name))
        }
        Language::Python => {
            let mut command = Command::new("python3");
            command.env("PYTHONUTF8", "1");
            command.arg(in_workspace(&format!("docs/python/{script}_{role}.py")));
            command
        }
    }
}

/// Builds both pairs, each in a target directory of its own, so that neither overwrites the other
/// and no cargo at work elsewhere does.
fn built() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| {
        // Tests that run on another system than cargo, as under Wine, cannot start it.
        if let Some(directory) = std::env::var_os("UPPERCASE_PROGRAMS") {
            return directory.into();
        }
        let directory = PathBuf::from(env!("CARGO_TARGET_TMPDIR"));
        for package in ["udp-upper", "tcp-upper"] {
            let status = Command::new(env!("CARGO"))
                .args(["build", "--quiet", "--bins", "--package", package, "--target-dir"])
                .arg(directory.join(package))
                // Since cargo 1.91: takes the compiled dependencies from where this test was built.
                .env("CARGO_BUILD_BUILD_DIR", directory.parent().expect("the target directory"))
                .current_dir(env!("CARGO_MANIFEST_DIR"))
                .status()
                .expect("run cargo");
            assert!(status.success(), "build {package}: {status}");
        }
        directory
    })
}

fn first_line(mut from: impl BufRead) -> String {
    let mut line = String::new();
    from.read_line(&mut line).expect("read a line");
    line.trim_end().to_owned()
}
