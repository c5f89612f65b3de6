//! The command `tracker` as a user runs it.

#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "tests of programs have files, sockets and clocks"
)]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, ChildStderr, Command, Output, Stdio};

fn tracker(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tracker"));
    command.args(args);
    command
}

fn output(args: &[&str]) -> Output {
    tracker(args).output().unwrap()
}

/// A running tracker; killed at the end of the test if it still runs.
struct Running {
    process: Child,
    address: String,
    /// Its stderr after the line with its address, if it is open.
    stderr: Option<BufReader<ChildStderr>>,
}

impl Running {
    fn start(args: &[&str]) -> Self {
        Self::spawn(tracker(args))
    }

    fn spawn(mut command: Command) -> Self {
        let mut process = command.stderr(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        let mut stderr = BufReader::new(process.stderr.take().expect("it is piped"));
        stderr.read_line(&mut line).unwrap();
        let address = line.trim_end().strip_prefix("listening on ").expect(&line).to_owned();
        Self { process, address, stderr: Some(stderr) }
    }

    /// Sends this request and returns the answer.
    fn get(&self, target: &str) -> String {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        write!(stream, "GET {target} HTTP/1.1\r\n\r\n").unwrap();
        let mut response = String::new();
        stream.read_to_string(&mut response).unwrap();
        response
    }

    /// A seed on port 6881 announces.
    fn announce(&self) {
        let info_hash = "a".repeat(20);
        let peer = "peer_id=-KR0001-abcdefghijkl&port=6881&left=0";
        let answer = self.get(&format!("/announce?info_hash={info_hash}&{peer}"));
        assert!(answer.contains("8:completei1e"), "{answer}");
    }

    /// Ends it, and returns what else it has printed.
    fn end(&mut self) -> String {
        self.process.kill().unwrap();
        let mut log = String::new();
        self.stderr.as_mut().expect("it is open").read_to_string(&mut log).unwrap();
        log
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[test]
fn it_prints_its_address_before_it_serves() {
    let running = Running::start(&["--bind", "127.0.0.1", "--port", "0"]);
    assert!(running.address.starts_with("127.0.0.1:"), "{}", running.address);
    let response = running.get("/");
    assert!(response.contains("No peers at the moment."), "{response}");
}

#[cfg(unix)]
#[test]
fn ctrl_c_ends_it_with_success() {
    let mut running = Running::start(&["--bind", "127.0.0.1", "--port", "0"]);
    let pid = running.process.id().to_string();
    assert!(Command::new("kill").args(["-INT", &pid]).status().unwrap().success());
    assert_eq!(running.process.wait().unwrap().code(), Some(0));
}

/// Each client that has to wait would otherwise be a line of the log.
#[cfg(unix)]
#[test]
fn out_of_descriptors_it_warns_at_intervals_and_recovers() {
    let script = format!(
        "ulimit -n 30; exec {} --bind 127.0.0.1 --port 0",
        tracker(&[]).get_program().display()
    );
    let mut command = Command::new("sh");
    command.args(["-c", &script]);
    let start = std::time::Instant::now();
    let mut running = Running::spawn(command);
    let held: Vec<_> = (0..100).map(|_| TcpStream::connect(&running.address).unwrap()).collect();
    drop(held);
    let response = running.get("/");
    assert!(response.contains("No peers at the moment."), "{response}");

    let log = running.end();
    let warnings = log.lines().filter(|line| line.contains("cannot accept")).count();
    let rests = start.elapsed().as_millis() / 200;
    assert!((1..=rests + 1).contains(&(warnings as u128)), "{warnings} warnings in {rests} rests");
}

#[test]
fn it_prints_which_peers_join_unless_it_is_quiet() {
    let mut running = Running::start(&["--bind", "127.0.0.1", "--port", "0"]);
    running.announce();
    let mut line = String::new();
    running.stderr.as_mut().expect("it is open").read_line(&mut line).unwrap();
    assert_eq!(line, "61616161: 127.0.0.1:6881 joined (1 seed, 0 downloading)\n");

    let mut running = Running::start(&["--bind", "127.0.0.1", "--port", "0", "--quiet"]);
    running.announce();
    assert_eq!(running.end(), "");
}

/// As in `tracker 2>&1 | head -1`.
#[test]
fn it_serves_on_when_its_stderr_is_closed() {
    for option in ["--interval=1s", "--verbose"] {
        let mut running = Running::start(&["--bind", "127.0.0.1", "--port", "0", option]);
        running.stderr = None;
        for _ in 0..3 {
            running.announce();
        }
    }
}

#[test]
fn a_port_in_use_is_exit_code_1() {
    let running = Running::start(&["--bind", "127.0.0.1", "--port", "0"]);
    let port = running.address.rsplit(':').next().unwrap();
    let second = output(&["--bind", "127.0.0.1", "--port", port]);
    assert_eq!(second.status.code(), Some(1));
    let text = String::from_utf8(second.stderr).unwrap();
    assert!(text.starts_with(&format!("error: cannot listen on 127.0.0.1:{port}: ")), "{text}");
}

#[test]
fn a_wrong_option_is_exit_code_2() {
    for args in [&["--port", "65536"][..], &["--interval", "0s"], &["--interval", "8days"], &["x"]]
    {
        assert_eq!(output(args).status.code(), Some(2), "{args:?}");
    }
}

#[test]
fn help_ends_with_an_example() {
    let help = String::from_utf8(output(&["--help"]).stdout).unwrap();
    let last = help.trim_end().rsplit("\n\n").next().unwrap();
    assert!(last.starts_with("Example:\n  tracker "), "{help}");
}
