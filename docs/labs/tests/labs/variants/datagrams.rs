//! Broken variants of the reference of lab 1.

use super::{Variant, check_all};

const DATAGRAMS: &[Variant] = &[
    // It serves eight datagrams and ends.
    Variant { fails: "upper", patches: &[("while True:", "for _ in range(8):")] },
    Variant {
        fails: "unicode",
        patches: &[("message.decode().upper().encode()", "message.upper()")],
    },
    Variant {
        fails: "empty",
        patches: &[(
            "server.recvfrom(2048)\n",
            "server.recvfrom(2048)\n            if not message:\n                continue\n",
        )],
    },
    Variant { fails: "size", patches: &[("server.recvfrom(2048)", "server.recvfrom(1024)")] },
    Variant {
        fails: "not-text",
        patches: &[("                continue\n", "                raise\n")],
    },
    // It answers a little later, to whichever client came last.
    Variant {
        fails: "two-clients",
        patches: &[
            ("import sys\n", "import sys\nfrom threading import Timer\n"),
            (
                "server.sendto(reply, client)",
                "Timer(0.05, lambda reply=reply: server.sendto(reply, client)).start()",
            ),
        ],
    },
    Variant {
        fails: "client-sends",
        patches: &[("client.send(message.encode())", "client.send((message + '\\n').encode())")],
    },
    Variant {
        fails: "client-prints",
        patches: &[("print(reply.decode())", "print(message.upper())")],
    },
    Variant { fails: "no-server", patches: &[("client.settimeout(TIMEOUT)", "pass")] },
    Variant {
        fails: "wrong-sender",
        patches: &[
            ("client.connect((host, port))", "pass"),
            ("client.send(message.encode())", "client.sendto(message.encode(), (host, port))"),
        ],
    },
];

#[test]
fn each_broken_variant_of_lab_1_loses_the_points_of_one_check() {
    check_all("datagrams", "01_datagrams.py", DATAGRAMS);
}
