//! The table at the end of a swarm, and the formulas of Kurose & Ross 2.5 beside what was measured.

use std::fmt::Write as _;
use std::time::Duration;

use peer::demo::{Bounds, Ledger, Member, Record, Role, rank_correlation};
use peer::units::{rate, size};

/// At most 80 columns wide; the peers in the order in which they finished.
pub(in crate::commands) fn text(ledger: &Ledger) -> String {
    let mut text = format!(
        "\n{:<9}{:>10}{:>10}{:>10}  {:<17}{:>11}{:>10}",
        "", "may send", "sent", "received", "most from", "served by", "finished"
    );
    let mut rows: Vec<_> = ledger.rows().collect();
    rows.sort_by_key(|(_, record)| record.finished);
    for (member, record) in rows {
        let line = row(ledger, member, record);
        write!(text, "\n{}", line.trim_end()).expect("a String takes all");
    }
    if let (Some(bounds), Some(time)) = (ledger.bounds(), ledger.time()) {
        text.push_str("\n\n");
        let pairs = ledger.limits_and_times();
        if pairs.len() > 2 {
            let correlation = rank_correlation(&pairs);
            let promotions = ledger.promotions();
            writeln!(
                text,
                "Rank correlation of upload limit and finishing time: {correlation:.2}\n\
                 Optimistic unchokes that found one of the fastest, over all peers: {promotions}\n"
            )
            .expect("a String takes all");
        }
        text.push_str(&formulas(ledger, &bounds, time));
    }
    text
}

fn row(ledger: &Ledger, member: &Member, record: &Record) -> String {
    let limit = match (member.role, member.upload_limit) {
        (Role::FreeRider, _) => "nothing".to_owned(),
        (_, limit) => limit.map_or("all".to_owned(), rate),
    };
    let most = record.received_from.iter().max_by_key(|&(_, bytes)| bytes);
    let most = most.filter(|&(_, &bytes)| bytes > 0);
    let most = most.map_or(String::new(), |(&place, &bytes)| {
        format!("{} {}", ledger.members()[place].name, size(bytes))
    });
    let served: Duration = record.served_by.values().sum();
    let served = match record.served_by.len() {
        0 => String::new(),
        peers => format!("{peers}, {} s", served.as_secs()),
    };
    let finished =
        record.finished.map_or(String::new(), |at| seconds(at.since_start().as_secs_f64()));
    let (sent, received) = (size(record.totals.uploaded), size(record.totals.downloaded));
    format!(
        "{:<9}{limit:>10}{sent:>10}{received:>10}  {most:<17}{served:>11}{finished:>10}",
        member.name
    )
}

/// What the book's formulas give, and what the swarm took.
fn formulas(ledger: &Ledger, bounds: &Bounds, time: f64) -> String {
    let Bounds { missing, only_at_seed, client_server, peer_to_peer } = *bounds;
    let begin_empty = ledger.members()[1..].iter().all(|member| member.have.is_empty());
    let mut text = format!(
        "K&R 2.5 for the {} that the peers lacked ({} only at the seed):\n",
        size(missing),
        size(only_at_seed),
    );
    let (client, peer) = if begin_empty {
        ("N F / u_s", "max { F / u_s, N F / (u_s + sum of u) }")
    } else {
        ("lacked / u_s", "max { at seed / u_s, lacked / (u_s + sum of u) }")
    };
    for (name, value, formula) in [
        ("client-server", client_server, client),
        ("P2P, at least", peer_to_peer, peer),
        ("this swarm", time, ""),
    ] {
        let line = format!("  {name:<14}{:>10}  {formula}", seconds(value));
        text.push_str(line.trim_end());
        text.push('\n');
    }
    if !begin_empty {
        text.push_str("The book's F / u_s is for peers that begin with nothing: --head-start 0.\n");
    }
    text
}

fn seconds(seconds: f64) -> String {
    format!("{seconds:.1} s")
}
