//! Keeps README.md and docs/ true of the code: the event schema, the links, the names.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use peer::choker::Reason;
use peer::decision::{Decision, DisconnectReason};
use peer::picker::PickReason;
use peer::remote::Direction;
use serde_json::{Map, Value};

#[test]
fn every_decision_and_every_reason_has_an_example_in_events_md() {
    let page = read("docs/events.md");
    let shown: BTreeSet<Tag> = examples(&page).iter().map(tag).collect();
    let possible: BTreeSet<Tag> = decisions().iter().map(|decision| tag(&json(decision))).collect();
    assert_eq!(shown.difference(&possible).collect::<Vec<_>>(), [] as [&Tag; 0]);
    for name in [|tag: &Tag| tag.decision.clone(), |tag: &Tag| tag.reason.clone()] {
        let names = |tags: &BTreeSet<Tag>| tags.iter().map(name).collect::<BTreeSet<String>>();
        assert_eq!(names(&shown), names(&possible));
        for name in names(&possible) {
            assert!(page.contains(&format!("`{name}`")), "the tables lack `{name}`");
        }
    }
}

#[test]
fn every_example_in_events_md_has_the_fields_that_are_written() {
    let written: BTreeMap<Tag, BTreeMap<String, &str>> = decisions()
        .iter()
        .map(json)
        .map(|decision| (tag(&decision), decision.iter().map(field_type).collect()))
        .collect();
    for mut example in examples(&read("docs/events.md")) {
        // The program puts these before each decision (report.rs).
        assert!(example.remove("at").is_some_and(|at| at.is_f64()), "when is {example:?}?");
        assert!(example.remove("own").is_none_or(|own| own.is_string()), "whose is {example:?}?");
        let fields: BTreeMap<_, _> = example.iter().map(field_type).collect();
        assert_eq!(Some(&fields), written.get(&tag(&example)), "{example:?}");
    }
}

#[test]
fn every_link_and_every_path_leads_to_a_file() {
    let mut dead = Vec::new();
    for page in pages() {
        let text = read(&page);
        let folder = root().join(&page).parent().expect("a page is in a folder").to_owned();
        for line in prose(&text) {
            let links = links(line).map(|(_, link)| link).filter(|link| !link.contains("://"));
            dead.extend(links.filter(|link| !folder.join(link).exists()).map(str::to_owned));
            let paths = in_backticks(line).filter(|path| is_path(path));
            dead.extend(paths.filter(|path| !root().join(path).exists()).map(str::to_owned));
        }
    }
    assert_eq!(dead, [] as [&str; 0]);
}

/// In these pages `names` that follow a link to a source file are in that file; up to the next
/// link, or the end of the cell or paragraph.
#[test]
fn every_name_after_a_link_is_in_the_linked_file() {
    let (mut found, mut missing) = (0, Vec::new());
    for page in ["docs/architecture.md", "docs/glossary.md", "docs/slides-to-code.md"] {
        let text = prose(&read(page)).collect::<Vec<_>>().join("\n");
        for (after, link) in links(&text).filter(|(_, link)| link.ends_with(".rs")) {
            // A link that leads nowhere is the other test's matter.
            let source = fs::read_to_string(root().join("docs").join(link)).unwrap_or_default();
            let words: BTreeSet<&str> =
                source.split(|c: char| !c.is_alphanumeric() && c != '_').collect();
            let ends = ["|", "[", "\n\n"].iter().filter_map(|end| after.find(end)).min();
            for name in in_backticks(&after[..ends.unwrap_or(after.len())]).filter(|n| is_name(n)) {
                found += 1;
                if !name.split("::").all(|part| words.contains(part)) {
                    missing.push(format!("{page}: `{name}` is not in {link}"));
                }
            }
        }
    }
    assert_eq!(missing, [] as [&str; 0]);
    assert!(found > 50, "only {found} names were found: is this test looking at the right places?");
}

#[test]
fn the_checks_see_what_is_there() {
    let line = "a [link](../x.rs) `name` | [other](y.md), `some/path.rs`, [site](https://z.org)";
    let found: Vec<_> = links(line).map(|(_, link)| link).collect();
    assert_eq!(found, ["../x.rs", "y.md", "https://z.org"]);
    assert_eq!(in_backticks(line).collect::<Vec<_>>(), ["name", "some/path.rs"]);
    assert!(is_path("peer/src/lib.rs") && !is_path("--leave") && !is_path("lib.rs"));
    assert!(is_name("Torrent::handle") && !is_name("have 5") && !is_name("--leave"));
    assert_eq!(prose("one\n```\ntwo\n```\nthree").collect::<Vec<_>>(), ["one", "three"]);
}

/// What tells one kind of line from another.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Tag {
    decision: String,
    /// `why` or `rule`, or who called whom.
    reason: String,
}

fn tag(line: &Map<String, Value>) -> Tag {
    let text = |key: &str| line.get(key).and_then(Value::as_str).map(str::to_owned);
    let decision = text("decision").expect("every line names its decision");
    let reason = text("why").or_else(|| text("rule")).or_else(|| text("direction"));
    Tag { reason: reason.unwrap_or_else(|| decision.clone()), decision }
}

fn field_type((name, value): (&String, &Value)) -> (String, &'static str) {
    let kind = match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    };
    (name.clone(), kind)
}

fn json(decision: &Decision) -> Map<String, Value> {
    match serde_json::to_value(decision).expect("a decision is JSON") {
        Value::Object(map) => map,
        other => panic!("a decision is one object, not {other}"),
    }
}

/// A list with a value of each variant. Without a value for some variant it does not compile.
macro_rules! one_of_each {
    ($type:ident: $($variant:ident => $value:expr,)*) => {{
        let name = |value: &$type| match value {
            $($type::$variant { .. } => stringify!($variant),)*
        };
        let values = vec![$(($value, stringify!($variant)),)*];
        values.into_iter().inspect(|(value, variant)| assert_eq!(name(value), *variant))
            .map(|(value, _)| value).collect::<Vec<$type>>()
    }};
}

/// Every decision with every reason that it can have.
fn decisions() -> Vec<Decision> {
    let peer = SocketAddr::from(([127, 0, 0, 1], 6882));
    let (unchoke, choke): (Vec<Reason>, Vec<Reason>) =
        reasons().into_iter().partition(|reason| reason.unchokes());
    let one_of_each = one_of_each!(Decision:
        Connect => Decision::Connect {
            peer, peer_id: "-KR0001-abcdefghijkl".to_owned(), direction: Direction::Incoming,
        },
        Refuse => refuse(peer, DisconnectReason::Duplicate),
        Disconnect => Decision::Disconnect { peer, reason: DisconnectReason::Closed },
        Round => Decision::Round { round: 1, interested: 2, neighbors: 3 },
        Unchoke => Decision::Unchoke { peer, reason: Reason::Optimistic },
        KeepUnchoked => Decision::KeepUnchoked { peer, reason: Reason::Optimistic },
        Choke => Decision::Choke { peer, reason: Reason::NoSlot },
        BeginChunk => begin_chunk(peer, PickReason::Random),
        Endgame => Decision::Endgame { chunks: 1 },
        RequestTimedOut => Decision::RequestTimedOut { peer, blocks: 5 },
        Verified => Decision::Verified { chunk: 17, have: 1, of: 128 },
        HashFailed => Decision::HashFailed { chunk: 17, from: vec![peer] },
        Complete => Decision::Complete { downloaded: 1, uploaded: 2 },
    );
    one_of_each
        .into_iter()
        .flat_map(|decision| match decision {
            Decision::Connect { peer, peer_id, .. } => directions()
                .into_iter()
                .map(|direction| Decision::Connect { peer, peer_id: peer_id.clone(), direction })
                .collect(),
            Decision::Refuse { peer, .. } => {
                disconnect_reasons().into_iter().map(|reason| refuse(peer, reason)).collect()
            }
            Decision::Disconnect { peer, .. } => disconnect_reasons()
                .into_iter()
                .map(|reason| Decision::Disconnect { peer, reason })
                .collect(),
            Decision::Unchoke { peer, .. } => {
                unchoke.iter().map(|&reason| Decision::Unchoke { peer, reason }).collect()
            }
            Decision::KeepUnchoked { peer, .. } => {
                unchoke.iter().map(|&reason| Decision::KeepUnchoked { peer, reason }).collect()
            }
            Decision::Choke { peer, .. } => {
                choke.iter().map(|&reason| Decision::Choke { peer, reason }).collect()
            }
            Decision::BeginChunk { from, .. } => {
                pick_reasons().into_iter().map(|reason| begin_chunk(from, reason)).collect()
            }
            Decision::Round { .. }
            | Decision::Endgame { .. }
            | Decision::RequestTimedOut { .. }
            | Decision::Verified { .. }
            | Decision::HashFailed { .. }
            | Decision::Complete { .. } => vec![decision],
        })
        .collect()
}

fn refuse(peer: SocketAddr, reason: DisconnectReason) -> Decision {
    Decision::Refuse { peer, peer_id: "-KR0001-abcdefghijkl".to_owned(), reason }
}

fn begin_chunk(from: SocketAddr, reason: PickReason) -> Decision {
    Decision::BeginChunk { chunk: 17, from, reason, neighbors: 4 }
}

fn directions() -> Vec<Direction> {
    one_of_each!(Direction:
        Incoming => Direction::Incoming,
        Outgoing => Direction::Outgoing,
    )
}

fn reasons() -> Vec<Reason> {
    one_of_each!(Reason:
        Top => Reason::Top { slots: 4, rank: 2, rate: 412_000 },
        Optimistic => Reason::Optimistic,
        OptimisticFill => Reason::OptimisticFill,
        RidesAlong => Reason::RidesAlong,
        FreeSlot => Reason::FreeSlot,
        KeptAsSeed => Reason::KeptAsSeed { rank: 1 },
        TurnAsSeed => Reason::TurnAsSeed,
        BelowCut => Reason::BelowCut { rank: 6, rate: 12_000, cut: 40_000 },
        NotInterested => Reason::NotInterested,
        Snubbed => Reason::Snubbed { silent_s: Some(61) },
        RotatedOut => Reason::RotatedOut,
        NoSlot => Reason::NoSlot,
    )
}

fn pick_reasons() -> Vec<PickReason> {
    one_of_each!(PickReason:
        RarestFirst => PickReason::RarestFirst { held_by: 1 },
        RandomFirst => PickReason::RandomFirst,
        Random => PickReason::Random,
        InOrder => PickReason::InOrder,
    )
}

fn disconnect_reasons() -> Vec<DisconnectReason> {
    one_of_each!(DisconnectReason:
        Closed => DisconnectReason::Closed,
        Failed => DisconnectReason::Failed("connection reset by peer".to_owned()),
        BrokeProtocol => DisconnectReason::BrokeProtocol("an unknown piece".to_owned()),
        Myself => DisconnectReason::Myself,
        Duplicate => DisconnectReason::Duplicate,
        EnoughNeighbors => DisconnectReason::EnoughNeighbors,
        MadeRoom => DisconnectReason::MadeRoom,
        BothComplete => DisconnectReason::BothComplete,
        Silent => DisconnectReason::Silent,
        SentFalseData => DisconnectReason::SentFalseData,
        SentUnrequested => DisconnectReason::SentUnrequested,
        AskedForMissing => DisconnectReason::AskedForMissing,
        TookBack => DisconnectReason::TookBack,
        Flooded => DisconnectReason::Flooded,
    )
}

/// The lines that begin with a brace: examples, and nothing else, do.
fn examples(page: &str) -> Vec<Map<String, Value>> {
    page.lines()
        .filter(|line| line.starts_with('{'))
        .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{line}: {error}")))
        .collect()
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn read(page: &str) -> String {
    fs::read_to_string(root().join(page)).unwrap_or_else(|error| panic!("{page}: {error}"))
}

/// README.md, and every page of docs/.
fn pages() -> Vec<String> {
    let docs = fs::read_dir(root().join("docs")).expect("docs/ is there");
    let names = docs.map(|entry| entry.expect("docs/ can be read").file_name());
    let names = names.map(|name| name.into_string().expect("its names are UTF-8"));
    let pages = names.filter(|name| name.ends_with(".md")).map(|name| format!("docs/{name}"));
    pages.chain(["README.md".to_owned()]).collect()
}

/// The lines outside of code blocks.
fn prose(text: &str) -> impl Iterator<Item = &str> {
    let mut in_code = false;
    text.lines().filter(move |line| {
        let fence = line.trim_start().starts_with("```");
        in_code ^= fence;
        !in_code && !fence
    })
}

/// The targets of links, each after what follows it on the line.
fn links(line: &str) -> impl Iterator<Item = (&str, &str)> {
    line.split("](").skip(1).filter_map(|rest| rest.split_once(')')).map(|(link, _)| {
        let start = link.as_ptr() as usize - line.as_ptr() as usize + link.len() + 1;
        (&line[start..], link)
    })
}

fn in_backticks(line: &str) -> impl Iterator<Item = &str> {
    line.split('`').skip(1).step_by(2)
}

/// Whether it looks like a file of this workspace, told from its root.
fn is_path(text: &str) -> bool {
    let ends = [".rs", ".md", ".py", ".toml"].iter().any(|end| text.ends_with(end));
    text.contains('/') && ends && !text.contains([' ', ':'])
}

/// Whether it looks like a name in Rust.
fn is_name(text: &str) -> bool {
    text.chars().all(|c| c.is_alphanumeric() || "_:".contains(c))
        && text.starts_with(char::is_alphabetic)
}
