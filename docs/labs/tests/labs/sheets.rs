//! The commands of the sheets and of README.md run as typed.

use std::fs;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use crate::grader::{in_labs, labs, solution};

/// Each page, with the program that a student has written after the copy of the skeleton.
const PAGES: [(&str, &[(&str, &str)]); 4] = [
    ("01-datagrams.md", &[("my_datagrams.py", "01_datagrams.py")]),
    ("02-streams.md", &[("my_streams.py", "02_streams.py")]),
    ("03-loss-and-delay.md", &[("my_pinger.py", "03_loss_and_delay.py")]),
    ("README.md", &[("my_datagrams.py", "01_datagrams.py"), ("my_streams.py", "02_streams.py")]),
];

#[test]
fn the_commands_of_the_pages_run_as_typed() {
    for (page, programs) in PAGES {
        let root = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink(in_labs(".."), root.path().join("docs")).unwrap();
        let text = fs::read_to_string(in_labs(page)).unwrap();
        let mut solved = page == "README.md";
        for (mine, reference) in programs {
            if solved {
                fs::write(root.path().join(mine), solution(reference)).unwrap();
            }
        }
        let mut relay = None;
        let commands = commands(&text);
        assert!(commands.len() > 1, "{page}");
        for command in commands {
            // The uppercase pairs wait for each other; tcp-upper tests them, and here they are named
            // as cargo knows them.
            if command.contains("-upper ") || command.contains("docs/python/") {
                let script = command.split_whitespace().find(|word| word.ends_with(".py"));
                assert!(script.is_none_or(|file| root.path().join(file).exists()), "{command}");
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
            assert!(command.starts_with("cp ") || typed != command, "{page}: {command}");
            let output = Command::new("sh").args(["-c", &typed]).current_dir(root.path()).output();
            let output = output.unwrap();
            let printed = String::from_utf8(output.stdout).unwrap();
            assert!(output.status.success(), "{page}: {command}: {printed}");
            if !solved && command.contains(" check ") {
                // The sheet says what the skeleton gets.
                let score = printed.lines().last().unwrap().to_owned();
                assert!(text.contains(&format!("The last line is `{score}`.")), "{page}: {score}");
                for (mine, reference) in programs {
                    fs::write(root.path().join(mine), solution(reference)).unwrap();
                }
                solved = true;
            }
        }
    }
}

#[test]
fn the_links_of_the_pages_lead_somewhere() {
    for (page, _) in PAGES {
        let text = fs::read_to_string(in_labs(page)).unwrap();
        let links: Vec<_> =
            text.split("](").skip(1).filter_map(|rest| rest.split(')').next()).collect();
        for link in links {
            assert!(in_labs(link).exists(), "{page}: {link}");
        }
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

/// The lines of the code blocks without a language.
pub(crate) fn commands(page: &str) -> Vec<&str> {
    let mut commands = Vec::new();
    let mut block = None;
    // A block may belong to a task, and is indented then.
    for line in page.lines().map(str::trim) {
        match (line.strip_prefix("```"), block) {
            (Some(language), None) => block = Some(language),
            (Some(_), Some(_)) => block = None,
            (None, Some("")) => commands.push(line),
            (None, _) => {}
        }
    }
    commands
}
