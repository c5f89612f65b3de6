//! docs/uppercase.md shows the programs as they are, and every difference has its row.

use std::collections::BTreeSet;
use std::fs;
use std::ops::Range;

use crate::programs::in_workspace;

const PAGE: &str = "docs/uppercase.md";
/// Of the columns: together what a page of GitHub shows without scrolling, or nearly so.
const PYTHON_WIDTH: usize = 59;
const RUST_WIDTH: usize = 64;

struct Pair {
    title: &'static str,
    python: &'static str,
    rust: &'static str,
    /// What stands side by side: the first line with the one, and the first with the other, each
    /// after those before.
    together: &'static [(&'static str, &'static str)],
}

const PAIRS: [Pair; 4] = [
    Pair {
        title: "UDP server",
        python: "docs/python/udp_server.py",
        rust: "udp-upper/src/bin/server.rs",
        together: &[
            ("import", "use "),
            ("port =", "let address ="),
            (".bind(", "::bind("),
            ("listening on", "listening on"),
            ("is ready", "is ready"),
            ("while True", "loop"),
            (".recvfrom(", ".recv_from("),
            (".upper()", ".to_uppercase()"),
            (".sendto(", ".send_to("),
        ],
    },
    Pair {
        title: "UDP client",
        python: "docs/python/udp_client.py",
        rust: "udp-upper/src/bin/client.rs",
        together: &[
            ("import", "use "),
            ("host =", "let (server, timeout) ="),
            ("socket(", "::bind("),
            ("input(", "= input("),
            (".sendto(", ".send_to("),
            (".recvfrom(", ".recv_from("),
            ("print(", "println!("),
        ],
    },
    Pair {
        title: "TCP server",
        python: "docs/python/tcp_server.py",
        rust: "tcp-upper/src/bin/server.rs",
        together: &[
            ("import", "use "),
            ("port =", "let (address, timeout) ="),
            ("socket(", "let welcoming ="),
            (".bind(", ".bind("),
            (".listen(", ".listen("),
            ("listening on", "listening on"),
            ("is ready", "is ready"),
            ("while True", "loop"),
            (".accept()", ".accept()"),
            ("with connection", "serve("),
            (".recv(", ".read("),
            (".send(", ".write_all("),
        ],
    },
    Pair {
        title: "TCP client",
        python: "docs/python/tcp_client.py",
        rust: "tcp-upper/src/bin/client.rs",
        together: &[
            ("import", "use "),
            ("host =", "let server ="),
            (".connect(", "::connect("),
            ("input(", "= input("),
            (".send(", ".write_all("),
            (".recv(", ".read("),
            ("print(", "println!("),
        ],
    },
];

#[test]
fn the_page_shows_the_programs_side_by_side() {
    let page = read(PAGE);
    let mut expected = page.clone();
    for pair in &PAIRS {
        expected.replace_range(columns(&expected, pair), &side_by_side(pair));
    }
    if page == expected {
        return;
    }
    assert!(
        std::env::var_os("UPDATE_DOCS").is_some(),
        "{PAGE} does not show the programs as they are.\n\
         This rewrites it: UPDATE_DOCS=1 cargo test -p tcp-upper the_page_shows"
    );
    fs::write(in_workspace(PAGE), expected).expect("write the page");
}

#[test]
fn every_program_is_30_lines_at_most() {
    for pair in &PAIRS {
        let lines = read(pair.rust).lines().count();
        assert!(lines <= 30, "{}: {lines} lines", pair.rust);
    }
}

#[test]
fn the_page_explains_calls_that_the_programs_make() {
    let page = read(PAGE);
    for pair in &PAIRS {
        let programs = [read(pair.python), read(pair.rust)];
        let calls: Vec<_> = section(&page, pair)
            .lines()
            .filter(|line| line.starts_with("| `"))
            .flat_map(|row| row.split('|').nth(1).expect("a cell").split('`').skip(1).step_by(2))
            .collect();
        assert!(calls.len() >= 4, "{}: a table of calls", pair.title);
        for call in calls {
            let made = programs.iter().any(|program| program.contains(call));
            assert!(made, "{}: neither program says {call}", pair.title);
        }
    }
}

#[test]
fn every_row_of_what_differs_is_named_where_it_is_programmed() {
    let page = read(PAGE);
    let rows: BTreeSet<u32> = page
        .lines()
        .filter_map(|line| line.strip_prefix("| ")?.split(' ').next()?.parse().ok())
        .collect();
    let named = |files: &[&str]| -> BTreeSet<u32> {
        let sources = files.iter().map(|file| read(file)).collect::<String>();
        // Documentation escapes the brackets: `\[3\]`.
        let sources = sources.replace('\\', "");
        sources.split('[').filter_map(|after| after.split_once(']')?.0.parse().ok()).collect()
    };
    assert_eq!(named(&PAIRS.map(|pair| pair.rust)), rows, "in the programs");
    let unknown = &named(&["udp-upper/src/lib.rs", "tcp-upper/src/lib.rs"]) - &rows;
    assert!(unknown.is_empty(), "{unknown:?} in the libraries");
}

/// Both programs in two columns.
fn side_by_side(pair: &Pair) -> String {
    let (python, rust) = (read(pair.python), read(pair.rust));
    let (left, right): (Vec<_>, Vec<_>) = (python.lines().collect(), rust.lines().collect());
    let (mut left, mut right) = (&left[..], &right[..]);
    let mut rows = vec![(pair.python, pair.rust), ("", "")];
    for (call, same) in pair.together {
        let place = |lines: &[&str], text| {
            let place = lines.iter().position(|line| line.contains(text));
            place.unwrap_or_else(|| panic!("{}: no further line has {text}", pair.title))
        };
        let (to, from) = (place(left, call), place(right, same));
        rows.extend(beside(&left[..to], &right[..from]));
        rows.push((left[to], right[from]));
        (left, right) = (&left[to + 1..], &right[from + 1..]);
    }
    rows.extend(beside(left, right));

    let wrapped = rows
        .iter()
        .flat_map(|(left, right)| beside(&wrap(left, PYTHON_WIDTH), &wrap(right, RUST_WIDTH)));
    let row =
        |(left, right)| format!("{left:PYTHON_WIDTH$} │ {right}").trim_end().to_owned() + "\n";
    wrapped.map(row).collect()
}

/// The lines of both, one by one; the shorter side ends with empty ones.
fn beside<T: Clone + Default>(left: &[T], right: &[T]) -> Vec<(T, T)> {
    let line = |side: &[T], i| side.get(i).cloned().unwrap_or_default();
    (0..left.len().max(right.len())).map(|i| (line(left, i), line(right, i))).collect()
}

/// Cuts a line that is wider than its column, where that disturbs a reader the least.
fn wrap(line: &str, width: usize) -> Vec<String> {
    let indent = line.len() - line.trim_start().len() + 4;
    let (mut rows, mut rest) = (Vec::new(), line.to_owned());
    while rest.len() > width {
        let cuts = [(".map_err(", 0), (" // ", 0), (" else {", 0), (" = ", 2), (" ", 0)];
        let at = cuts.iter().find_map(|(text, keep)| {
            let places = rest.match_indices(text).map(|(at, _)| at + keep);
            places.filter(|at| (indent + 1..=width).contains(at)).last()
        });
        let next = rest.split_off(at.expect("a line has a place where it can be cut"));
        rows.push(rest);
        rest = format!("{:indent$}{}", "", next.trim_start());
    }
    rows.push(rest);
    rows
}

/// What the page has under the title of this pair.
fn section<'a>(page: &'a str, pair: &Pair) -> &'a str {
    let (_, section) = page.split_once(&format!("### {}\n", pair.title)).expect(pair.title);
    section.split("\n#").next().expect("the first part")
}

/// Where the page has the two columns of this pair.
fn columns(page: &str, pair: &Pair) -> Range<usize> {
    let find = |from: usize, text: &str| from + page[from..].find(text).expect(text);
    let start = find(find(0, &format!("### {}\n", pair.title)), "```text\n") + "```text\n".len();
    start..find(start, "```\n")
}

fn read(path: &str) -> String {
    fs::read_to_string(in_workspace(path)).expect(path).replace("\r\n", "\n")
}
