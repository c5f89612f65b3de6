//! Broken variants of the reference of lab 6.

use super::{Variant, check_all};
use crate::workspace;

const TRACKER: &[Variant] = &[
    Variant {
        fails: "first",
        patches: &[("b\"interval\": self.interval", "b\"interval\": 2 * self.interval")],
    },
    // The form before BEP 23.
    Variant {
        fails: "compact",
        patches: &[
            (
                "b\"\".join(compact(*other) for other in others)",
                "[{b\"ip\": host.encode(), b\"port\": port} for host, port in others]",
            ),
            (
                "        return b\"i%de\" % value\n",
                "        return b\"i%de\" % value
    if isinstance(value, list):
        return b\"l\" + b\"\".join(map(encode, value)) + b\"e\"
",
            ),
        ],
    },
    Variant { fails: "not-itself", patches: &[("if other != key and (left", "if (left")] },
    Variant {
        fails: "same-host",
        patches: &[
            ("key = (host, port)", "key = (host, port, query[\"peer_id\"])"),
            ("compact(*other)", "compact(*other[:2])"),
        ],
    },
    // As in forms.
    Variant {
        fails: "torrents-apart",
        patches: &[(
            "unquote_to_bytes(value.encode(\"latin-1\"))",
            "unquote_to_bytes(value.replace(\"+\", \" \").encode(\"latin-1\"))",
        )],
    },
    Variant { fails: "seeds", patches: &[("(left > 0 or peer.left > 0)", "True")] },
    Variant { fails: "stopped", patches: &[("swarm.peers.pop(key, None)", "pass")] },
    Variant { fails: "expiry", patches: &[("peer.seen >= before", "True")] },
    Variant {
        fails: "refresh",
        patches: &[("= Peer(left, now)", "= Peer(left, known.seen if known else now)")],
    },
    Variant {
        fails: "numwant",
        patches: &[("min(numwant, MAX_NUMWANT, len(others))", "min(numwant, len(others))")],
    },
    Variant {
        fails: "random",
        patches: &[(
            "random.sample(others, min(numwant, MAX_NUMWANT, len(others)))",
            "others[: min(numwant, MAX_NUMWANT)]",
        )],
    },
    Variant {
        fails: "failure",
        patches: &[("\"port\", least=1, most=65535", "\"port\", least=0, most=65535")],
    },
    Variant {
        fails: "scrape",
        patches: &[(
            "if event == b\"completed\" and (known is None or known.left > 0):",
            "if event == b\"completed\":",
        )],
    },
    Variant {
        fails: "silent-client",
        patches: &[
            (
                "import BaseHTTPRequestHandler, ThreadingHTTPServer",
                "import BaseHTTPRequestHandler, HTTPServer",
            ),
            ("class Server(ThreadingHTTPServer)", "class Server(HTTPServer)"),
        ],
    },
    // It refuses parameters that the sheet does not name.
    Variant {
        fails: "our-peer",
        patches: &[(
            "        swarm = self.swarm(info_hash, now)\n",
            "        if \"key\" in query:
            raise Refused(\"what is a key?\")
        swarm = self.swarm(info_hash, now)
",
        )],
    },
];

#[test]
fn each_broken_variant_of_lab_6_loses_the_points_of_one_check() {
    workspace::build_beside_the_grader("peer");
    check_all("tracker", "06_tracker.py", TRACKER);
}
