//! Broken variants of the reference of lab 3.

use super::{Variant, check_all};

const LOSS_AND_DELAY: &[Variant] = &[
    // It pauses between pings, as the system's `ping` does.
    Variant {
        fails: "replies",
        patches: &[
            ("from time import monotonic", "from time import monotonic, sleep"),
            (
                "            datagrams += attempts\n",
                "            datagrams += attempts\n            sleep(0.18)\n",
            ),
        ],
    },
    // From the first attempt, whichever was answered.
    Variant { fails: "rtt", patches: &[("now - sent[of_attempt]", "now - sent[1]")] },
    Variant { fails: "timeout", patches: &[("TIMEOUT = 0.2", "TIMEOUT = 0.15")] },
    Variant { fails: "retransmission", patches: &[("ATTEMPTS = 3", "ATTEMPTS = 2")] },
    // It prints a line for every copy that comes soon after.
    Variant {
        fails: "duplicates",
        patches: &[(
            "                print(f\"reply {number} {attempt} {rtt:.1f}\", flush=True)\n",
            "                print(f\"reply {number} {attempt} {rtt:.1f}\", flush=True)
                if wait_for_reply(client, number, {attempt: 0}, monotonic() + 0.05):
                    print(f\"reply {number} {attempt} {rtt:.1f}\", flush=True)
",
        )],
    },
    Variant { fails: "late", patches: &[("of_attempt in sent:", "of_attempt == max(sent):")] },
    Variant {
        fails: "strangers",
        patches: &[(
            "        except ValueError:\n            continue",
            "        except ValueError:\n            raise",
        )],
    },
    // Each receive starts a new 200 ms.
    Variant {
        fails: "strangers",
        patches: &[("(left := deadline - monotonic())", "(left := TIMEOUT)")],
    },
    Variant { fails: "summary", patches: &[("datagrams += attempts", "datagrams += 1")] },
];

#[test]
fn each_broken_variant_of_lab_3_loses_the_points_of_one_check() {
    check_all("loss-and-delay", "03_loss_and_delay.py", LOSS_AND_DELAY);
}
