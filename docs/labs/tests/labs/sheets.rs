//! The commands of the sheets and of README.md run as typed.

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use crate::grader::{in_labs, labs, solution};
use crate::workspace::build_beside_the_grader;

/// A page, with the programs that a student has written after the copy of the skeleton, and with the
/// packages whose programs its commands start.
struct Page {
    file: &'static str,
    programs: &'static [(&'static str, &'static str)],
    packages: &'static [&'static str],
}

const PAGES: [Page; 5] = [
    Page {
        file: "01-datagrams.md",
        programs: &[("my_datagrams.py", "01_datagrams.py")],
        packages: &[],
    },
    Page { file: "02-streams.md", programs: &[("my_streams.py", "02_streams.py")], packages: &[] },
    Page {
        file: "03-loss-and-delay.md",
        programs: &[("my_pinger.py", "03_loss_and_delay.py")],
        packages: &[],
    },
    Page {
        file: "05-bencode.md",
        programs: &[("my-labs/05_bencode.py", "05_bencode.py")],
        packages: &["peer"],
    },
    Page {
        file: "README.md",
        programs: &[("my_datagrams.py", "01_datagrams.py"), ("my_streams.py", "02_streams.py")],
        packages: &[],
    },
];

/// Its commands start other people's programs as well.
const TRACKER: Page = Page {
    file: "06-tracker.md",
    programs: &[("my-labs/06_tracker.py", "06_tracker.py")],
    packages: &["tracker", "peer"],
};

/// The port of its tracker; a free one takes its place.
const TRACKER_PORT: &str = "6970";

/// Beginnings of commands that run until they are stopped; the first two take the place of each other.
const SERVERS: [&str; 3] =
    ["target/release/tracker ", "python3 my-labs/06_tracker.py ", "target/release/peer seed "];

/// Parts of commands, and what these print.
const PRINTED: [(&str, &str); 3] = [
    ("peer_id=-ST0006-aaaaaaaaaaaa", "8:completei1e"),
    // The first peer, at 127.0.0.1 and port 6881.
    ("peer_id=-ST0006-bbbbbbbbbbbb", r"\x7f\x00\x00\x01\x1a\xe1"),
    ("info_hash=d69f91e6b2ae4c54", "failure reason"),
];

/// Parts of commands that a sheet shows because a right program refuses the input.
const REFUSED: [&str; 2] = ["print('l' * 20000", "print('99999999999:x'"];

#[test]
fn the_commands_of_the_pages_run_as_typed() {
    PAGES.iter().for_each(run_commands);
}

#[test]
#[ignore = "needs curl and aria2c"]
fn the_commands_of_lab_6_run_as_typed() {
    run_commands(&TRACKER);
}

/// The sheets about peers; the reference takes the place of the student's program.
const PEERS: [&str; 3] = ["07-a-peer.md", "08-rarest-first.md", "09-tit-for-tat.md"];

/// The ports in them, which others take the place of.
const PEER_PORTS: [&str; 6] = ["6881", "6882", "6885", "6890", "6891", "6892"];

#[test]
#[ignore = "the transfers and the grader take over a minute"]
fn the_commands_of_labs_7_to_9_run_as_typed() {
    for file in PEERS {
        let root = tempfile::tempdir().unwrap();
        symlink(in_labs(".."), root.path().join("docs")).unwrap();
        let release = root.path().join("target/release");
        fs::create_dir_all(&release).unwrap();
        symlink(build_beside_the_grader("peer").join("peer"), release.join("peer")).unwrap();
        let ports = PEER_PORTS.map(|_| free_port().to_string());
        let text = fs::read_to_string(in_labs(file)).unwrap();
        let mut running = Vec::new();
        let mut checked = false;
        for command in whole(&commands(&text)) {
            if command == "cargo build --release" {
                continue;
            }
            let labs = format!("'{}' ", env!("CARGO_BIN_EXE_labs"));
            let mut typed = command.replace("cargo run -p labs -- ", &labs);
            typed = typed.replace("labs/starter/", "labs/solutions/");
            for (old, new) in PEER_PORTS.iter().zip(&ports) {
                typed = typed.replace(old, new);
            }
            // A peer of the workspace that seeds, and the program of lab 9, which is one.
            let stays = command.starts_with("target/release/peer seed ")
                || command.starts_with("python3 my-labs/09_tit_for_tat.py ");
            if stays {
                let mut background = Background::start(&typed, root.path());
                let port = ports.iter().find(|port| {
                    // The first one in the command is its own.
                    typed.split([' ', ':']).find(|word| ports.iter().any(|port| port == word))
                        == Some(port.as_str())
                });
                let address = format!("127.0.0.1:{}", port.expect("the sheet says a port"));
                while TcpStream::connect(&address).is_err() {
                    assert!(background.runs(), "{file}: {command}");
                    thread::sleep(Duration::from_millis(10));
                }
                running.push(background);
                continue;
            }
            let output = Command::new("sh").args(["-c", &typed]).current_dir(root.path()).output();
            let output = output.unwrap();
            let printed = String::from_utf8_lossy(&output.stdout);
            assert!(output.status.success(), "{file}: {command}: {printed}");
            if command.contains(" check ") {
                assert!(printed.ends_with("\n20/20\n"), "{file}: {printed}");
                checked = true;
            }
        }
        assert!(checked, "{file}");
        if file == "09-tit-for-tat.md" {
            let read = |name: &str| fs::read(root.path().join("my-labs").join(name)).unwrap();
            let content = read("lecture9.bin");
            // The grader has taken longer than they need.
            assert!(["third0", "third1", "third2"].iter().all(|third| read(third) == content));
        }
    }
}

/// Commands, of which some have several lines.
fn whole(lines: &[&str]) -> Vec<String> {
    let mut commands: Vec<String> = Vec::new();
    for line in lines {
        match commands.last_mut().filter(|open| open.matches('"').count() % 2 == 1) {
            Some(open) => *open += &format!("\n{line}"),
            None => commands.push((*line).to_owned()),
        }
    }
    commands
}

fn run_commands(page: &Page) {
    let Page { file, programs, packages } = page;
    let root = tempfile::tempdir().unwrap();
    symlink(in_labs(".."), root.path().join("docs")).unwrap();
    let text = fs::read_to_string(in_labs(file)).unwrap();
    let solve = || {
        for (mine, reference) in *programs {
            fs::write(root.path().join(mine), solution(reference)).unwrap();
        }
    };
    let mut solved = *file == "README.md";
    if solved {
        solve();
    }
    let mut relay = None;
    let mut servers = [const { None }; SERVERS.len()];
    let tracker_port = free_port().to_string();
    let commands = commands(&text);
    assert!(commands.len() > 1, "{file}");
    for command in commands {
        // The uppercase pairs wait for each other; tcp-upper tests them, and here they are named
        // as cargo knows them.
        if command.contains("-upper ") || command.contains("docs/python/") {
            let script = command.split_whitespace().find(|word| word.ends_with(".py"));
            assert!(script.is_none_or(|file| root.path().join(file).exists()), "{command}");
            continue;
        }
        if command == "cargo build --release" {
            // Without the time that optimization takes.
            let release = root.path().join("target/release");
            fs::create_dir_all(&release).unwrap();
            for package in *packages {
                symlink(build_beside_the_grader(package).join(package), release.join(package))
                    .unwrap();
            }
            continue;
        }
        let after_labs = command.strip_prefix("cargo run -p labs -- ");
        if let Some(options) = after_labs.and_then(|rest| rest.strip_prefix("relay")) {
            relay = Some(Relay::start(options));
            continue;
        }
        let labs = format!("'{}' ", env!("CARGO_BIN_EXE_labs"));
        let mut typed = command.replace("cargo run -p labs -- ", &labs);
        if let Some(Relay { port, .. }) = &relay {
            // A free port, and a part of the minute that the whole run takes.
            typed = typed.replace(" 12000 200", &format!(" {port} 10"));
        }
        typed = typed.replace(TRACKER_PORT, &tracker_port);
        if let Some(server) = SERVERS.iter().position(|beginning| command.starts_with(beginning)) {
            let is_tracker = command.contains(TRACKER_PORT);
            if is_tracker {
                servers = [const { None }; SERVERS.len()];
            }
            servers[server] = Some(Background::start(&typed, root.path()));
            while is_tracker && TcpStream::connect(format!("127.0.0.1:{tracker_port}")).is_err() {
                assert!(servers[server].as_mut().unwrap().runs(), "{file}: {command}");
                thread::sleep(Duration::from_millis(10));
            }
            continue;
        }
        assert!(!typed.contains("cargo "), "{file}: {command}");
        let output = Command::new("sh").args(["-c", &typed]).current_dir(root.path()).output();
        let output = output.unwrap();
        let printed = String::from_utf8_lossy(&output.stdout);
        let refused = REFUSED.iter().any(|part| command.contains(part));
        assert_eq!(output.status.code(), Some(i32::from(refused)), "{file}: {command}: {printed}");
        for (part, text) in PRINTED {
            let prints = !command.contains(part) || printed.contains(text);
            assert!(prints, "{file}: {command}: {printed}");
        }
        if command.contains("05_bencode.py info") {
            // The sheet shows this.
            let shown = printed.lines().all(|line| text.contains(&format!("  {line}\n")));
            assert!(shown && printed.lines().count() == 5, "{file}: {printed}");
        }
        if !solved && command.contains(" check ") {
            // The sheet says what the skeleton gets.
            let score = printed.lines().last().unwrap();
            assert!(text.contains(&format!("The last line is `{score}`.")), "{file}: {score}");
            solve();
            solved = true;
        }
    }
}

#[test]
fn the_links_of_the_pages_lead_somewhere() {
    let pages = PAGES.iter().chain([&TRACKER]).map(|page| page.file);
    for page in pages.chain(PEERS) {
        let text = fs::read_to_string(in_labs(page)).unwrap();
        let links: Vec<_> =
            text.split("](").skip(1).filter_map(|rest| rest.split(')').next()).collect();
        for link in links.iter().filter(|link| !link.starts_with("https://")) {
            assert!(in_labs(link).exists(), "{page}: {link}");
        }
    }
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// A command that runs until it is dropped.
struct Background(Child);

impl Background {
    fn start(command: &str, folder: &Path) -> Self {
        let mut shell = Command::new("sh");
        shell.args(["-c", &format!("exec {command}")]).current_dir(folder);
        shell.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        Self(shell.spawn().unwrap())
    }

    fn runs(&mut self) -> bool {
        self.0.try_wait().unwrap().is_none()
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        // An error means that it has ended.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// `labs relay` at a free port; ends when dropped.
struct Relay {
    process: Child,
    port: String,
}

impl Relay {
    fn start(options: &str) -> Self {
        let mut command = labs(&["relay", "--port", "0"]);
        command.args(options.split_whitespace()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut process = command.spawn().unwrap();
        let mut line = String::new();
        BufReader::new(process.stderr.take().unwrap()).read_line(&mut line).unwrap();
        let port = line.trim_end().strip_prefix("listening on 127.0.0.1:").unwrap().to_owned();
        Self { process, port }
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        // An error means that it has ended.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The lines of the code blocks without a language, which may stand inside of a list.
pub(crate) fn commands(page: &str) -> Vec<&str> {
    let mut commands = Vec::new();
    // The language, and how far a block in a list is indented.
    let mut block = None;
    for line in page.lines() {
        let text = line.trim_start();
        match (text.strip_prefix("```"), block) {
            (Some(language), None) => block = Some((language, line.len() - text.len())),
            (Some(_), Some(_)) => block = None,
            (None, Some(("", indent))) => commands.push(line.get(indent..).unwrap_or(text)),
            (None, _) => {}
        }
    }
    commands
}
