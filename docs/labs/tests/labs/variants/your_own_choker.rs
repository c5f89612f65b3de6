//! Broken variants of the reference of lab 12.

use super::{Variant, check_all};

const YOUR_OWN_CHOKER: &[Variant] = &[
    // It goes on after the end of its stdin.
    Variant {
        fails: "answers",
        patches: &[(
            "(json.loads(line))), flush=True)",
            "(json.loads(line))), flush=True)\n    __import__('time').sleep(60)",
        )],
    },
    // With too few neighbors it names one twice.
    Variant {
        fails: "known-peers",
        patches: &[(
            "for c in waiting[:slots]]",
            "for c in (waiting + waiting[:1] if len(waiting) < 4 else waiting)[:slots]]",
        )],
    },
    Variant { fails: "no-candidates", patches: &[("return []", "return None")] },
    Variant {
        fails: "in-time",
        patches: &[(
            "        if question[\"round\"] == 0:",
            "        __import__('time').sleep(0.02 * (len(question[\"candidates\"]) // 50))
        if question[\"round\"] == 0:",
        )],
    },
    Variant {
        fails: "as-a-seed",
        patches: &[("return self.seed(waiting, question[\"slots\"] + 1)", "return []")],
    },
    // All get their turn, whatever they send.
    Variant {
        fails: "beats-free-rider",
        patches: &[("MEMORY * old + c[\"received\"]", "0 * old")],
    },
    // It serves no neighbor in every second round.
    Variant {
        fails: "performance",
        patches: &[(
            "if question[\"round\"] == 0:",
            "if question[\"round\"] % 2 == 0 and not question[\"seeding\"]:",
        )],
    },
];

#[test]
fn each_broken_variant_of_lab_12_loses_the_points_of_one_check() {
    check_all("your-own-choker", "12_your_own_choker.py", YOUR_OWN_CHOKER);
}
