//! Keeps README.md and docs/ true of the code: the event schema, the links, the names.

#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "tests of programs have files, sockets and clocks"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use common::bitfield::Bitfield;
use common::geometry::{BLOCK_LENGTH, Geometry};
use common::id::{PeerId, PeerKey};
use common::report::{Direction, Identity};
use fastrand::Rng;
use peer::choker::{ChokeReason, Standing, Strategy, UnchokeReason};
use peer::decision::{Decision, DisconnectReason};
use peer::picker::{Asked, Order, PickReason, Picker, Policy, Sender, StrictPriority};
use peer::sim::scenarios::{Measured, Plan};
use peer::sim::scenarios::{Read, Scenario};
use serde_json::{Map, Value};

#[test]
fn every_decision_and_every_reason_has_an_example_in_events_md() {
    let page = read("docs/events.md");
    let shown: BTreeSet<Tag> = examples(&page).iter().map(tag).collect();
    let possible: BTreeSet<Tag> = decisions().iter().map(|decision| tag(&json(decision))).collect();
    assert_eq!(shown.difference(&possible).collect::<Vec<_>>(), [] as [&Tag; 0]);
    // The page says how a rule is named after its order, so a new order needs no line in it.
    let rules = Order::ALL.iter().map(|order| order.name.replace('-', "_"));
    let rules: BTreeSet<String> = rules.collect();
    for name in [|tag: &Tag| tag.decision.clone(), |tag: &Tag| tag.reason.clone()] {
        let names = |tags: &BTreeSet<Tag>| tags.iter().map(name).collect::<BTreeSet<String>>();
        let (shown, possible) = (names(&shown), names(&possible));
        let missing: Vec<_> = possible.difference(&shown).filter(|n| !rules.contains(*n)).collect();
        assert_eq!(missing, [] as [&String; 0], "there is no example of these");
        for name in shown {
            assert!(page.contains(&format!("`{name}`")), "the tables lack `{name}`");
        }
    }
}

#[test]
fn every_example_in_events_md_has_the_fields_that_are_written() {
    let mut written: BTreeMap<Tag, BTreeSet<String>> = BTreeMap::new();
    for decision in decisions().iter().map(json) {
        written.entry(tag(&decision)).or_default().insert(fields(&decision));
    }
    for mut example in examples(&read("docs/events.md")) {
        // The program puts these before each decision (report.rs).
        assert!(example.remove("at").is_some_and(|at| at.is_f64()), "when is {example:?}?");
        let own = example.remove("own");
        assert!(own.as_ref().is_none_or(Value::is_string), "whose is {example:?}?");
        if example.contains_key("key") {
            assert_eq!(
                example.contains_key("name"),
                own.is_some(),
                "a swarm has names: {example:?}"
            );
        }
        let (fields, possible) = (fields(&example), &written[&tag(&example)]);
        assert!(possible.contains(&fields), "{fields} is none of {possible:#?}");
    }
}

#[test]
fn every_link_and_every_path_leads_to_a_file() {
    let mut dead = Vec::new();
    for page in pages() {
        let text = read(&page);
        let folder = root().join(&page).parent().expect("a page is in a folder").to_owned();
        for line in prose(&text) {
            let is_file = |link: &&str| !link.contains("://") && !link.starts_with('#');
            let links = links(line).map(|(_, link)| link).filter(is_file);
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
fn every_choker_and_every_order_that_a_page_names_exists() {
    let exists = |option: &str, name: &str| match option {
        "--choker" => name.parse::<Strategy>().is_ok(),
        "--order" => name.parse::<Order>().is_ok(),
        "--strict-priority" => name.parse::<StrictPriority>().is_ok(),
        other => unreachable!("{other} is not listed below"),
    };
    let mut found = 0;
    for page in pages() {
        let text = read(&page);
        for option in ["--choker", "--order", "--strict-priority"] {
            for after in text.split(&format!("{option} ")).skip(1) {
                let name = after.split(|c: char| !c.is_alphanumeric() && c != '-').next();
                let name = name.expect("a split has a first part");
                found += 1;
                assert!(exists(option, name) || name == "NAME", "{page}: {option} {name}");
            }
        }
    }
    assert!(found > 5, "only {found} names were found: is this test looking at the right places?");
}

#[test]
fn the_page_on_swarm_files_names_every_key_and_every_form_of_a_value_that_it_names_is_known() {
    let page = read("docs/swarm-files.md");
    let example = page.split("```toml\n").nth(1).and_then(|rest| rest.split("```").next());
    let example = example.expect("the page has an example");
    let plan = Plan::from_toml(example).expect("the example is a swarm");
    let Value::Object(plan) = serde_json::to_value(&plan).expect("a plan is JSON") else {
        unreachable!("a plan is one object")
    };
    let Value::Object(class) = &plan["class"][0] else { unreachable!("a class is one object") };
    let measured = serde_json::to_value(Measured::all()).expect("names are JSON");
    let measured = measured.as_array().expect("it is a list").iter().filter_map(Value::as_str);
    let known = plan.keys().chain(class.keys()).map(String::as_str).chain(measured);
    // The first column of each table: keys, names of what is measured, or forms of a value.
    let rows = prose(&page).filter(|line| line.starts_with("| `"));
    let cells = rows.flat_map(|row| in_backticks(row.split('|').nth(1).unwrap_or_default()));
    let (forms, keys): (Vec<&str>, Vec<&str>) = cells.partition(|cell| cell.contains(" = "));
    assert_eq!(keys.into_iter().collect::<BTreeSet<_>>(), known.collect::<BTreeSet<_>>());
    assert_eq!(forms.len(), 13);
    for form in forms {
        let other = "chunks = 1\nchunk-size = \"16KiB\"\n[[class]]\nname = \"a\"\nup = \"1B\"\ndown = \"1B\"\n";
        assert!(Plan::from_toml(&format!("{other}{form}\n")).is_ok(), "{form}");
    }
}

#[test]
fn the_choker_in_python_is_shown_as_it_is() {
    let program = read("docs/python/my_choker.py");
    assert!(read("docs/write-a-choker.md").contains(&format!("```python\n{program}```")));
}

/// What came of the runs takes minutes to compare: `.ci/run` does.
#[test]
fn the_page_of_reproductions_has_a_section_for_every_scenario() {
    let page = read("docs/reproductions.md");
    let sections: Vec<&str> = page.split("\n## ").skip(1).collect();
    let names: Vec<_> = sections.iter().map(|section| section.lines().next().unwrap()).collect();
    assert_eq!(names, Scenario::ALL.iter().map(|scenario| scenario.name).collect::<Vec<_>>());
    for (scenario, section) in Scenario::ALL.iter().zip(sections) {
        let picture = format!("reproductions/{scenario}.svg");
        let mut expected = vec![
            format!("**Reproduced:** {}.\n\n{}", scenario.about, scenario.notes()),
            format!("`peer simulate {scenario}`, "),
            format!("]({picture})"),
        ];
        expected.extend(scenario.variations().iter().map(|varied| format!("| {} (", varied.about)));
        for text in expected {
            assert!(section.contains(&text), "the section {scenario} lacks: {text}");
        }
        assert!(page.contains(&format!("[{scenario}](#{scenario})")), "no link to {scenario}");
        let picture = read(&format!("docs/{picture}"));
        assert!(
            picture.contains(&format!("peer simulate {scenario}, random seed 0")),
            "{scenario}"
        );
    }
}

#[test]
fn every_scenario_says_what_its_source_is_and_what_of_it_was_read() {
    for scenario in Scenario::ALL {
        let said = scenario.notes().split_whitespace().collect::<Vec<_>>().join(" ");
        let read = match scenario.anchor().read {
            Read::Text => "the text was read",
            Read::Abstract => "abstract",
            Read::Derived => "derived",
        };
        for words in ["Source", read, "ours"] {
            assert!(said.contains(words), "{scenario} does not say `{words}`: {said}");
        }
    }
}

#[test]
fn the_checks_find_links_names_and_examples() {
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
    /// `why`, `rule` or `direction`.
    reason: String,
}

fn tag(line: &Map<String, Value>) -> Tag {
    let text = |key: &str| line.get(key).and_then(Value::as_str).map(str::to_owned);
    let decision = text("decision").expect("every line names its decision");
    let reason = text("why").or_else(|| text("rule")).or_else(|| text("direction"));
    Tag { reason: reason.unwrap_or_else(|| decision.clone()), decision }
}

/// The names of the fields with their types.
fn fields(object: &Map<String, Value>) -> String {
    let fields = object.iter().map(|(name, value)| format!("{name}: {}", json_type(value)));
    fields.collect::<Vec<_>>().join(", ")
}

fn json_type(value: &Value) -> String {
    match value {
        Value::Null => "null".to_owned(),
        Value::Bool(_) => "boolean".to_owned(),
        Value::Number(_) => "number".to_owned(),
        Value::String(_) => "string".to_owned(),
        Value::Array(values) => format!("[{}]", values.first().map(json_type).unwrap_or_default()),
        Value::Object(object) => format!("{{{}}}", fields(object)),
    }
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

/// Every decision with every reason and every optional field that it can have.
fn decisions() -> Vec<Decision> {
    let named = |name: Option<&str>| Identity {
        key: PeerKey(4),
        address: SocketAddr::from(([127, 0, 0, 1], 6882)),
        peer_id: PeerId(*b"-KR0001-abcdefghijkl"),
        name: name.map(Into::into),
    };
    [named(None), named(Some("peer-2"))].iter().flat_map(decisions_about).collect()
}

fn decisions_about(peer: &Identity) -> Vec<Decision> {
    let id = || peer.clone();
    let one_of_each = one_of_each!(Decision:
        Connect => Decision::Connect { peer: id(), direction: Direction::Incoming },
        Refuse => Decision::Refuse { peer: id(), reason: DisconnectReason::Duplicate },
        Disconnect => disconnect(id(), DisconnectReason::Closed),
        Round => Decision::Round { round: 1, interested: 2, neighbors: 3, cut: None },
        Unchoke => Decision::Unchoke { peer: id(), reason: UnchokeReason::Optimistic },
        KeepUnchoked => keep_unchoked(id(), UnchokeReason::Optimistic),
        Choke => Decision::Choke { peer: id(), reason: ChokeReason::NotInterested },
        KeepChoked => Decision::KeepChoked { peer: id(), reason: ChokeReason::NotInterested },
        BeginChunk => begin_chunk(id(), PickReason { rule: "random", held_by: None }),
        Endgame => Decision::Endgame { chunks: 1 },
        RequestTimedOut => Decision::RequestTimedOut { peer: id(), blocks: 5 },
        Verified => Decision::Verified { chunk: 17, have: 1, of: 128 },
        HashFailed => Decision::HashFailed { chunk: 17, from: vec![id()] },
        Complete => Decision::Complete { downloaded: 1, uploaded: 2 },
    );
    let with_reasons = |decision: Decision| -> Vec<Decision> {
        match decision {
            Decision::Connect { peer, .. } => {
                each(directions(), |direction| Decision::Connect { peer: peer.clone(), direction })
            }
            Decision::Refuse { peer, .. } => {
                each(disconnect_reasons(), |reason| Decision::Refuse { peer: peer.clone(), reason })
            }
            Decision::Disconnect { peer, .. } => {
                each(disconnect_reasons(), |reason| disconnect(peer.clone(), reason))
            }
            Decision::Round { round, interested, neighbors, .. } => {
                each(vec![None, Some(41_000)], |cut| Decision::Round {
                    round,
                    interested,
                    neighbors,
                    cut,
                })
            }
            Decision::Unchoke { peer, .. } => {
                each(unchoke_reasons(), |reason| Decision::Unchoke { peer: peer.clone(), reason })
            }
            Decision::KeepUnchoked { peer, .. } => {
                each(unchoke_reasons(), |reason| keep_unchoked(peer.clone(), reason))
            }
            Decision::Choke { peer, .. } => {
                each(choke_reasons(), |reason| Decision::Choke { peer: peer.clone(), reason })
            }
            Decision::KeepChoked { peer, .. } => {
                each(choke_reasons(), |reason| Decision::KeepChoked { peer: peer.clone(), reason })
            }
            Decision::BeginChunk { peer, .. } => {
                each(pick_reasons(), |reason| begin_chunk(peer.clone(), reason))
            }
            Decision::Endgame { .. }
            | Decision::RequestTimedOut { .. }
            | Decision::Verified { .. }
            | Decision::HashFailed { .. }
            | Decision::Complete { .. } => vec![decision],
        }
    };
    one_of_each.into_iter().flat_map(with_reasons).collect()
}

fn each<T>(values: Vec<T>, decision: impl Fn(T) -> Decision) -> Vec<Decision> {
    values.into_iter().map(decision).collect()
}

fn disconnect(peer: Identity, reason: DisconnectReason) -> Decision {
    Decision::Disconnect { peer, reason, downloaded: 3, uploaded: 4 }
}

fn keep_unchoked(peer: Identity, reason: UnchokeReason) -> Decision {
    let promoted = matches!(reason, UnchokeReason::Top { .. });
    Decision::KeepUnchoked { peer, reason, promoted }
}

fn begin_chunk(peer: Identity, reason: PickReason) -> Decision {
    Decision::BeginChunk { chunk: 17, peer, reason, neighbors: 4 }
}

fn directions() -> Vec<Direction> {
    one_of_each!(Direction:
        Incoming => Direction::Incoming,
        Outgoing => Direction::Outgoing,
    )
}

/// `Kept` is not among them: the core writes the reason that the peer had.
fn unchoke_reasons() -> Vec<UnchokeReason> {
    let reasons = one_of_each!(UnchokeReason:
        Top => UnchokeReason::Top { slots: 4, rank: 2, rate: 412_000 },
        Optimistic => UnchokeReason::Optimistic,
        OptimisticFill => UnchokeReason::OptimisticFill,
        RidesAlong => UnchokeReason::RidesAlong,
        FreeSlot => UnchokeReason::FreeSlot,
        KeptAsSeed => UnchokeReason::KeptAsSeed { rank: 1 },
        TurnAsSeed => UnchokeReason::TurnAsSeed,
        Kept => UnchokeReason::Kept,
        Other => UnchokeReason::Other { text: "drawn at random".into() },
    );
    reasons.into_iter().filter(|reason| *reason != UnchokeReason::Kept).collect()
}

fn choke_reasons() -> Vec<ChokeReason> {
    let standing = Standing { rank: 6, rate: 12_000, cut: 40_000 };
    let mut reasons = one_of_each!(ChokeReason:
        NotInterested => ChokeReason::NotInterested,
        OptimisticOver => ChokeReason::OptimisticOver { standing: Some(standing) },
        Snubbed => ChokeReason::Snubbed { silent_s: Some(61) },
        BelowCut => ChokeReason::BelowCut(standing),
        NotChosen => ChokeReason::NotChosen { by: "random".into() },
    );
    reasons.push(ChokeReason::OptimisticOver { standing: None });
    reasons.push(ChokeReason::Snubbed { silent_s: None });
    reasons
}

/// Those that the orders give while a torrent is downloaded from one seed.
fn pick_reasons() -> Vec<PickReason> {
    Order::ALL.iter().flat_map(|&order| reasons_of(order)).collect()
}

fn reasons_of(order: Order) -> Vec<PickReason> {
    const PIECES: u32 = 16;
    let block = u64::from(BLOCK_LENGTH);
    let geometry = Geometry::new(u64::from(PIECES) * block, block).expect("pieces of one block");
    let (has, mut rng) = (Bitfield::full(PIECES), Rng::with_seed(1));
    let rules = Policy { order, ..Policy::default() };
    let mut picker = Picker::new(geometry, Bitfield::empty(PIECES), rules, &mut rng);
    picker.peer_joined(&has, &mut rng);
    let (peer, ip) = (PeerKey(0), IpAddr::V4(Ipv4Addr::LOCALHOST));
    let mut reasons = Vec::new();
    while let Some(pick) = picker.pick(Asked { peer, has: &has, on_parole: false }, &mut rng) {
        reasons.extend(pick.begins);
        picker.received(pick.block, Sender { peer, ip, peer_id: PeerId([0; 20]) }, true);
        picker.verified(pick.block.piece());
    }
    assert!(picker.have().is_full(), "{order} downloads everything");
    reasons
}

fn disconnect_reasons() -> Vec<DisconnectReason> {
    one_of_each!(DisconnectReason:
        Closed => DisconnectReason::Closed,
        Failed => DisconnectReason::Failed("connection reset by peer".to_owned()),
        ProtocolError => DisconnectReason::ProtocolError("an unknown piece".to_owned()),
        Myself => DisconnectReason::Myself,
        Duplicate => DisconnectReason::Duplicate,
        EnoughNeighbors => DisconnectReason::EnoughNeighbors,
        Evicted => DisconnectReason::Evicted,
        BothComplete => DisconnectReason::BothComplete,
        Silent => DisconnectReason::Silent,
        SentFalseData => DisconnectReason::SentFalseData,
        SentUnrequested => DisconnectReason::SentUnrequested,
        RequestedMissing => DisconnectReason::RequestedMissing,
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

/// README.md, CHANGELOG.md, and every page of docs/.
fn pages() -> Vec<String> {
    let docs = fs::read_dir(root().join("docs")).expect("docs/ exists");
    let names = docs.map(|entry| entry.expect("docs/ can be read").file_name());
    let names = names.map(|name| name.into_string().expect("its names are UTF-8"));
    let pages = names.filter(|name| name.ends_with(".md")).map(|name| format!("docs/{name}"));
    pages.chain(["README.md".to_owned(), "CHANGELOG.md".to_owned()]).collect()
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

/// Whether it looks like a file of this workspace, as a path from its root.
fn is_path(text: &str) -> bool {
    let ends = [".rs", ".md", ".py", ".toml"].iter().any(|end| text.ends_with(end));
    text.contains('/') && ends && !text.contains([' ', ':'])
}

/// Whether it looks like a name in Rust.
fn is_name(text: &str) -> bool {
    text.chars().all(|c| c.is_alphanumeric() || "_:".contains(c))
        && text.starts_with(char::is_alphabetic)
}
