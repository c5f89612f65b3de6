//! Broken variants of the reference of lab 5.

use super::{Variant, check_all};

const BENCODE: &[Variant] = &[
    Variant {
        fails: "strings",
        patches: &[(
            "        self.position += length\n",
            "        if length == 0:\n            raise self.invalid(\"a string of 0 bytes\")\n        self.position += length\n",
        )],
    },
    // A text encoding of Windows, which is not the identity from 0x80 on.
    Variant {
        fails: "bytes",
        patches: &[("value.decode(\"latin-1\")", "value.decode(\"cp1252\", \"replace\")")],
    },
    Variant { fails: "integers", patches: &[("MAX_DIGITS = 20", "MAX_DIGITS = 18")] },
    Variant { fails: "lists-and-dictionaries", patches: &[("MAX_DEPTH = 100", "MAX_DEPTH = 60")] },
    // It copies the input for each value.
    Variant {
        fails: "large",
        patches: &[(
            "        first = self.peek()\n",
            "        self.data = bytes(bytearray(self.data))\n        first = self.peek()\n",
        )],
    },
    Variant { fails: "bad-integers", patches: &[("if negative and number == 0:", "if False:")] },
    // As the slice of Python has it, which ends where the input ends.
    Variant {
        fails: "bad-strings",
        patches: &[("if length > len(self.data) - self.position:", "if False:")],
    },
    Variant {
        fails: "bad-dictionaries",
        patches: &[("if self.sorted_keys and previous", "if False and previous")],
    },
    // The end of the input ends a list.
    Variant {
        fails: "truncated",
        patches: &[(
            "        while self.peek() != b\"e\":
            values.append",
            "        while self.position < len(self.data) and self.peek() != b\"e\":
            values.append",
        )],
    },
    Variant { fails: "trailing", patches: &[("if self.position < len(self.data):", "if False:")] },
    Variant {
        fails: "depth",
        patches: &[
            ("MAX_DEPTH = 100", "MAX_DEPTH = 1_000_000"),
            ("    except RecursionError:\n        sys.exit(\"JSON is nested too deep\")\n", ""),
        ],
    },
    Variant { fails: "encode", patches: &[("b\"i%de\" % value", "b\"i%de\" % abs(value)")] },
    Variant {
        fails: "encode-sorts",
        patches: &[("for key in sorted(value)", "for key in sorted(value, key=bytes.lower)")],
    },
    Variant {
        fails: "encode-refuses",
        patches: &[(
            "isinstance(value, int) and not isinstance(value, bool)",
            "isinstance(value, int)",
        )],
    },
    Variant { fails: "info", patches: &[("length = sum(lengths)", "length = lengths[0]")] },
    Variant {
        fails: "info-hash-raw",
        patches: &[("hashlib.sha1(data[begin:end])", "hashlib.sha1(encode(info))")],
    },
    // It searches for the key.
    Variant {
        fails: "info-hash-raw",
        patches: &[(
            "    begin, end = decoder.info_span\n",
            "    begin, end = decoder.info_span\n    begin = data.index(b\"4:info\") + 6\n",
        )],
    },
];

#[test]
fn each_broken_variant_of_lab_5_loses_the_points_of_one_check() {
    check_all("bencode", "05_bencode.py", BENCODE);
}
