//! The commands of the sheets and of README.md run as typed.

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::symlink;
use std::process::{Child, Command, Stdio};

use crate::grader::{in_labs, labs, solution};
use crate::workspace::build;

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

/// Parts of commands that a sheet shows because a right program refuses the input.
const REFUSED: [&str; 2] = ["print('l' * 20000", "print('99999999999:x'"];

#[test]
fn the_commands_of_the_pages_run_as_typed() {
    PAGES.iter().for_each(run_commands);
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
                symlink(build(package).join(package), release.join(package)).unwrap();
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
        assert!(!typed.contains("cargo "), "{file}: {command}");
        let output = Command::new("sh").args(["-c", &typed]).current_dir(root.path()).output();
        let output = output.unwrap();
        let printed = String::from_utf8(output.stdout).unwrap();
        let refused = REFUSED.iter().any(|part| command.contains(part));
        assert_eq!(output.status.code(), Some(i32::from(refused)), "{file}: {command}: {printed}");
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
    for Page { file: page, .. } in &PAGES {
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

/// The lines of the code blocks without a language, which may stand inside of a list.
pub(crate) fn commands(page: &str) -> Vec<&str> {
    let mut commands = Vec::new();
    let mut block = None;
    for line in page.lines().map(str::trim_start) {
        match (line.strip_prefix("```"), block) {
            (Some(language), None) => block = Some(language),
            (Some(_), Some(_)) => block = None,
            (None, Some("")) => commands.push(line),
            (None, _) => {}
        }
    }
    commands
}
