//! Programs that run beside a test: their output, their exit codes, and their cleanup.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use tracker::server::{Config, Server, StopHandle};

pub(crate) const V4: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
pub(crate) const V6: IpAddr = IpAddr::V6(Ipv6Addr::LOCALHOST);

/// How long a test waits for what should come soon. Longer than anything takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(120);

/// A running program; killed at the end of the test if it still runs.
pub(crate) struct Program {
    name: String,
    child: Child,
    output: Receiver<Line>,
    printed: Vec<Line>,
    /// Lines of `printed` that were waited for, or passed over.
    passed: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Source {
    Stdout,
    Stderr,
}

type Line = (Source, String);

/// How a program ended.
#[derive(Debug)]
pub(crate) struct Ended {
    /// `None` if a signal ended it.
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Program {
    /// Starts it; `name` is what a failing test calls it.
    pub(crate) fn start(name: &str, command: &mut Command) -> Self {
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("start {name}: {error}"));
        let (sender, output) = mpsc::channel();
        forward(child.stdout.take().expect("it is piped"), Source::Stdout, sender.clone());
        forward(child.stderr.take().expect("it is piped"), Source::Stderr, sender);
        Self { name: name.to_owned(), child, output, printed: Vec::new(), passed: 0 }
    }

    /// Waits for the next line that contains this, and returns it.
    pub(crate) fn line(&mut self, part: &str) -> String {
        self.line_within(PATIENCE, part)
    }

    /// The same, if it must come within a certain time.
    pub(crate) fn line_within(&mut self, time: Duration, part: &str) -> String {
        let deadline = Instant::now() + time;
        loop {
            while let Some((_, line)) = self.printed.get(self.passed) {
                self.passed += 1;
                if line.contains(part) {
                    return line.clone();
                }
            }
            if !self.more(deadline, &format!("a line with {part:?}")) {
                panic!("{} ended without a line with {part:?}: {}", self.name, self.transcript());
            }
        }
    }

    /// The address that it prints.
    pub(crate) fn address(&mut self) -> SocketAddr {
        let line = self.line("listening on ");
        let address = line.trim_start_matches("listening on ").parse();
        address.unwrap_or_else(|error| panic!("{}: {line}: {error}", self.name))
    }

    /// Waits for its end.
    pub(crate) fn end(mut self) -> Ended {
        let deadline = Instant::now() + PATIENCE;
        // Its pipes close when it ends, and not before.
        while self.more(deadline, "its end") {}
        let status = self.child.wait().expect("it was started");
        let text = |wanted| {
            let lines = self.printed.iter().filter(|(source, _)| *source == wanted);
            lines.map(|(_, line)| format!("{line}\n")).collect()
        };
        Ended { code: status.code(), stdout: text(Source::Stdout), stderr: text(Source::Stderr) }
    }

    /// Waits for its end, which is to be a success, and returns what it printed on stdout.
    pub(crate) fn success(self) -> String {
        let name = self.name.clone();
        let ended = self.end();
        assert_eq!(ended.code, Some(0), "{name}: {ended:?}");
        ended.stdout
    }

    /// Kills it, as a power failure does. Returns what it printed.
    pub(crate) fn kill(mut self) -> String {
        self.child.kill().unwrap();
        self.end().stderr
    }

    /// Presses Ctrl-C.
    #[cfg(unix)]
    pub(crate) fn interrupt(&self) {
        self.signal("INT");
    }

    /// Sends a signal.
    #[cfg(unix)]
    pub(crate) fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args(["-s", name, &pid]).status().unwrap().success());
    }

    /// Waits for one more line; says whether there is one, or the program has ended.
    fn more(&mut self, deadline: Instant, wanted: &str) -> bool {
        let rest = deadline.saturating_duration_since(Instant::now());
        match self.output.recv_timeout(rest) {
            Ok(line) => {
                self.printed.push(line);
                true
            }
            Err(RecvTimeoutError::Disconnected) => false,
            Err(RecvTimeoutError::Timeout) => {
                panic!("{} hangs; waited for {wanted}: {}", self.name, self.transcript())
            }
        }
    }

    fn transcript(&self) -> String {
        let lines = self.printed.iter().map(|(_, line)| format!("\n    {line}"));
        lines.collect::<String>()
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn forward(pipe: impl Read + Send + 'static, source: Source, lines: Sender<Line>) {
    thread::spawn(move || {
        for line in BufReader::new(pipe).split(b'\n').map_while(Result::ok) {
            let line = String::from_utf8_lossy(&line).trim_end_matches('\r').to_owned();
            // The test may be over already.
            if lines.send((source, line)).is_err() {
                return;
            }
        }
    });
}

/// The program under test.
pub(crate) fn peer(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_peer"));
    command.args(args).env_remove("RUST_LOG");
    command
}

/// `peer seed` on a free port of loopback.
pub(crate) fn seed(torrent: &Path, dir: &Path, more: &[&str]) -> Program {
    Program::start("the seed", &mut sharing("seed", torrent, dir, more))
}

/// `peer get` on a free port of loopback.
pub(crate) fn get(torrent: &Path, dir: &Path, more: &[&str]) -> Program {
    let name = format!("the getter in {}", dir.display());
    Program::start(&name, &mut sharing("get", torrent, dir, more))
}

fn sharing(what: &str, torrent: &Path, dir: &Path, more: &[&str]) -> Command {
    let mut command = peer(&[what]);
    command.arg(torrent).arg("--dir").arg(dir).args(more);
    if !more.contains(&"--listen") {
        command.args(["--listen", "127.0.0.1:0"]);
    }
    command
}

/// A tracker on a thread of its own, until the end of the test.
pub(crate) struct Tracker {
    address: SocketAddr,
    stop: StopHandle,
    thread: Option<JoinHandle<()>>,
}

impl Tracker {
    pub(crate) fn start() -> Self {
        Self::on(V4)
    }

    pub(crate) fn on(ip: IpAddr) -> Self {
        // Peers soon hear of those that join after them.
        let interval = Duration::from_secs(5);
        let config = Config { addresses: vec![ip], port: 0, interval, ..Config::default() };
        let server = Server::bind(&config).unwrap();
        let address = server.local_addresses().next().expect("one was asked for");
        let stop = server.stop_handle();
        let thread = thread::spawn(|| server.run().unwrap());
        Self { address, stop, thread: Some(thread) }
    }

    pub(crate) fn http(&self) -> String {
        format!("http://{}/announce", self.address)
    }

    pub(crate) fn udp(&self) -> String {
        format!("udp://{}/announce", self.address)
    }

    /// How many seeds and how many others are in this swarm.
    #[cfg(unix)]
    pub(crate) fn swarm_size(&self, info_hash: common::id::InfoHash) -> (i64, i64) {
        let hash: String = info_hash.0.iter().map(|byte| format!("%{byte:02x}")).collect();
        let mut stream = std::net::TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        write!(stream, "GET /scrape?info_hash={hash} HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
        let mut response = Vec::new();
        stream.read_to_end(&mut response).unwrap();
        let text = String::from_utf8_lossy(&response);
        let count = |key: &str| match text.split_once(key) {
            Some((_, rest)) => {
                rest.split('e').next().expect("the first").parse().expect("a number")
            }
            None => 0,
        };
        (count("8:completei"), count("10:incompletei"))
    }
}

impl Drop for Tracker {
    fn drop(&mut self) {
        self.stop.stop();
        let ended = self.thread.take().expect("it is taken here only").join();
        if !thread::panicking() {
            ended.unwrap();
        }
    }
}

/// A port of loopback on which no program listens.
pub(crate) fn free_port() -> u16 {
    TcpListener::bind((V4, 0)).unwrap().local_addr().unwrap().port()
}

/// Says that something was left out, past the harness, which hides what a passing test prints.
pub(crate) fn not_tested(what: &str) {
    std::io::stderr().write_all(format!("NOT TESTED: {what}\n").as_bytes()).unwrap();
}
