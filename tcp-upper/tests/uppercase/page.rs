//! docs/uppercase.md quotes the programs as they are.

use std::fs;

use crate::programs::in_workspace;

#[test]
fn the_page_quotes_the_programs_call_by_call() {
    let page = fs::read_to_string(in_workspace("docs/uppercase.md")).expect("read the page");
    for (title, python, rust) in [
        ("UDP server", "docs/python/udp_server.py", "udp-upper/src/bin/server.rs"),
        ("UDP client", "docs/python/udp_client.py", "udp-upper/src/bin/client.rs"),
        ("TCP server", "docs/python/tcp_server.py", "tcp-upper/src/bin/server.rs"),
        ("TCP client", "docs/python/tcp_client.py", "tcp-upper/src/bin/client.rs"),
    ] {
        let (_, section) = page.split_once(&format!("### {title}\n")).expect(title);
        let section = section.split("\n#").next().expect("the first part");
        for (column, file) in [(1, python), (2, rust)] {
            let program = fs::read_to_string(in_workspace(file)).expect(file);
            let quotes: Vec<_> = section
                .lines()
                .filter_map(|row| row.split('|').nth(column)?.trim().strip_prefix('`'))
                .map(|cell| cell.strip_suffix('`').expect("a cell is one quotation"))
                .collect();
            assert!(quotes.len() >= 4, "{title}: a table of calls");
            for quote in quotes {
                assert!(program.contains(quote), "{file} does not say {quote}");
            }
        }
    }
}
