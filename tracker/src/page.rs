//! The page at `/`: the swarms, and the .torrent files on offer. Plain HTML that also reads well in
//! a terminal.

use std::fmt::Write as _;

use common::announce::http::ESCAPED;
use common::id::InfoHash;
use common::printable::printable;
use percent_encoding::utf8_percent_encode;

use crate::catalog::Catalog;
use crate::swarms::Swarms;

/// Most swarms on the page: strangers can announce any number.
const MAX_SWARMS: usize = 100;

/// The whole page.
pub(crate) fn page(swarms: &Swarms, catalog: &Catalog) -> String {
    let mut page = "<!DOCTYPE html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n\
                    <title>BitTorrent tracker</title>\n<h1>BitTorrent tracker</h1>\n<pre>\n"
        .to_owned();
    write_swarms(&mut page, swarms, catalog);
    write_files(&mut page, catalog);
    page + "</pre>\n</html>\n"
}

fn write_swarms(page: &mut String, swarms: &Swarms, catalog: &Catalog) {
    // The torrents of the folder come first, so that no stranger's swarms push them off the page.
    let files = catalog.files.values();
    let mut named: Vec<(&str, InfoHash)> = files.map(|f| (f.name.as_str(), f.info_hash)).collect();
    named.sort_unstable();
    named.dedup();
    let known = named.iter().filter_map(|&(name, hash)| Some((name.into(), swarms.scrape(&hash)?)));
    let unknown = swarms
        .iter()
        .filter(|(hash, _)| named.iter().all(|(_, known)| known != *hash))
        .map(|(hash, numbers)| (hash.to_string(), numbers));
    let shown: Vec<_> = known.chain(unknown).take(MAX_SWARMS).collect();

    if shown.is_empty() {
        page.push_str("No peers at the moment.\n");
    } else {
        page.push_str("seeds  downloading  completed  torrent\n");
    }
    for (name, numbers) in &shown {
        let (seeds, leechers, completed) = (numbers.seeders, numbers.leechers, numbers.completed);
        let name = escaped(name);
        writeln!(page, "{seeds:>5}  {leechers:>11}  {completed:>9}  {name}")
            .expect("a String takes all");
    }
    write_more(page, swarms.iter().len() - shown.len());
}

fn write_files(page: &mut String, catalog: &Catalog) {
    if catalog.files.is_empty() {
        return;
    }
    page.push_str("\n.torrent files:\n");
    for name in catalog.files.keys() {
        let link = utf8_percent_encode(name, ESCAPED);
        let name = escaped(&printable(name));
        writeln!(page, "<a href=\"/{link}\">/{name}</a>").expect("a String takes all");
    }
    write_more(page, catalog.left_out);
}

fn write_more(page: &mut String, count: usize) {
    if count > 0 {
        writeln!(page, "and {count} more").expect("a String takes all");
    }
}

/// Text of strangers, in HTML.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use common::announce::{AnnounceRequest, Family};
    use common::id::PeerId;
    use common::moment::Moment;
    use fastrand::Rng;

    use super::*;
    use crate::catalog::TorrentFile;
    use crate::swarms::Limits;

    /// Swarms with one downloading peer each.
    fn swarms(hashes: impl Iterator<Item = u8>) -> Swarms {
        let mut swarms = Swarms::new(Duration::from_secs(120), Limits::default());
        for hash in hashes {
            let request = AnnounceRequest {
                info_hash: InfoHash([hash; 20]),
                peer_id: PeerId([0; 20]),
                port: 6881,
                uploaded: 0,
                downloaded: 0,
                left: 5,
                event: None,
                num_want: None,
                key: 0,
                tracker_id: None,
            };
            let (from, mut rng) = ([10, 0, 0, 1].into(), Rng::with_seed(1));
            swarms.announce(from, &request, &[Family::V4], Moment::START, &mut rng).unwrap();
        }
        swarms
    }

    fn catalog(files: &[(&str, u8, &str)], left_out: usize) -> Catalog {
        let file = |&(file, hash, name): &(&str, u8, &str)| {
            let (info_hash, name) = (InfoHash([hash; 20]), name.to_owned());
            (file.to_owned(), TorrentFile { info_hash, name, bytes: [].into() })
        };
        Catalog { files: files.iter().map(file).collect(), left_out }
    }

    #[test]
    fn a_tracker_without_peers_and_files_says_so() {
        let page = page(&swarms(0..0), &Catalog::default());
        assert!(page.ends_with("<pre>\nNo peers at the moment.\n</pre>\n</html>\n"), "{page}");
    }

    #[test]
    fn the_torrents_of_the_folder_come_first_and_strangers_fill_the_rest() {
        let files = [("a.torrent", 255, "a.bin"), ("again.torrent", 255, "a.bin")];
        let page = page(&swarms(0..=255), &catalog(&files, 7));
        let lines: Vec<&str> = page.lines().skip_while(|line| *line != "<pre>").collect();
        assert_eq!(lines[1], "seeds  downloading  completed  torrent");
        assert_eq!(lines[2], "    0            1          0  a.bin");
        assert_eq!(lines[3], format!("    0            1          0  {}", "00".repeat(20)));
        assert_eq!(
            lines[MAX_SWARMS + 2..],
            [
                "and 156 more",
                "",
                ".torrent files:",
                "<a href=\"/a.torrent\">/a.torrent</a>",
                "<a href=\"/again.torrent\">/again.torrent</a>",
                "and 7 more",
                "</pre>",
                "</html>"
            ]
        );
    }

    #[test]
    fn names_are_text_and_not_html() {
        let files = [("<b>\"ü\u{1b}.torrent", 1, "<script>&amp;")];
        let page = page(&swarms(1..2), &catalog(&files, 0));
        assert!(page.contains("  &lt;script&gt;&amp;amp;\n"), "{page}");
        let link = "<a href=\"/%3Cb%3E%22%C3%BC%1B.torrent\">";
        assert!(page.contains(&format!("{link}/&lt;b&gt;&quot;ü\\u{{1b}}.torrent</a>")), "{page}");
    }
}
