//! Broken variants of the reference of lab 2.

use super::{Variant, check_all};

const STREAMS: &[Variant] = &[
    Variant {
        fails: "sentence",
        patches: &[("sentence.decode().upper().encode()", "sentence.upper()")],
    },
    Variant {
        fails: "next-client",
        patches: &[(
            "sentence = connection.recv(1024)\n",
            "sentence = connection.recv(1024)\n                if not sentence:\n                    break\n",
        )],
    },
    Variant {
        fails: "client-sends",
        patches: &[("client.sendall(sentence.encode())", "client.sendall(sentence.upper().encode())")],
    },
    Variant {
        fails: "client-prints",
        patches: &[("\"From Server:\", reply.decode()", "\"From Server:\", sentence.upper()")],
    },
    Variant {
        fails: "no-server",
        patches: &[(
            "        except OSError as error:\n            sys.exit",
            "        except ConnectionRefusedError:\n            pass\n        except OSError as error:\n            sys.exit",
        )],
    },
    Variant { fails: "no-reply", patches: &[("if not reply:", "if False:")] },
    // The length in characters.
    Variant {
        fails: "message",
        patches: &[("struct.pack(\">I\", len(reply))", "struct.pack(\">I\", len(reply.decode()))")],
    },
    // It repeats the receive for the text, not for the length.
    Variant { fails: "cuts", patches: &[("receive(connection, 4)", "connection.recv(4)")] },
    // It receives as much as there is and forgets what is behind the first message.
    Variant {
        fails: "together",
        patches: &[
            (
                "                (length,) = struct.unpack(\">I\", receive(connection, 4))\n",
                "                data = receive(connection, 1) + connection.recv(70000)
                data += receive(connection, max(0, 4 - len(data)))
                (length,) = struct.unpack(\">I\", data[:4])
                data = data[4:4 + length]
",
            ),
            ("receive(connection, length)", "(data + receive(connection, length - len(data)))"),
        ],
    },
    Variant { fails: "empty-message", patches: &[("if length > LONGEST:", "if not 0 < length <= LONGEST:")] },
    Variant { fails: "longest", patches: &[("if length > LONGEST:", "if length >= LONGEST:")] },
    Variant { fails: "oversize", patches: &[("if length > LONGEST:", "if False:")] },
    Variant {
        fails: "two-clients",
        patches: &[(
            "Thread(target=serve_messages, args=(connection, client), daemon=True).start()",
            "serve_messages(connection, client)",
        )],
    },
    // It takes a client that has nothing more to send for one that has gone.
    Variant {
        fails: "half-close",
        patches: &[
            ("import sys\n", "import sys\nfrom select import select\nfrom socket import MSG_PEEK\n"),
            (
                "                connection.sendall(struct",
                "                if select([connection], [], [], 0.02)[0] and not connection.recv(1, MSG_PEEK):
                    raise OSError('the client has gone')
                connection.sendall(struct",
            ),
        ],
    },
    Variant {
        fails: "leaves",
        patches: &[
            ("import sys\n", "import os\nimport sys\n"),
            (
                "        if not part:\n",
                "        if not part and data:\n            os._exit(1)\n        if not part:\n",
            ),
        ],
    },
];

#[test]
fn each_broken_variant_of_lab_2_loses_the_points_of_one_check() {
    check_all("streams", "02_streams.py", STREAMS);
}
