//! Lab 5, Bencode and .torrent files: `PROGRAM decode`, `PROGRAM encode`, `PROGRAM info FILE`.
//!
//! A program that refuses everything would pass the checks of what is not valid, so each of them
//! first asks for a valid value of the same kind.

mod convert;
mod info;

use std::time::Duration;

use common::bencode::Value;
use fastrand::Rng;

use crate::check::{Check, Context, Failure, Stop};
use crate::hints;
use convert::{decoded, decodes, encodes, printed, refuses};

const BENCODE: &str = "BEP 3, bencoding";

#[rustfmt::skip]
pub(crate) const CHECKS: &[Check] = &[
    Check::new("strings", 1, BENCODE, "strings are decoded, including the empty one", strings),
    Check::new("bytes", 2, BENCODE, "each of the 256 values of a byte becomes one character", bytes),
    Check::new("integers", 1, BENCODE, "integers are decoded, up to the largest and smallest 64-bit ones", integers),
    Check::new("lists-and-dictionaries", 1, BENCODE, "lists and dictionaries are decoded, nested and empty ones, 64 deep", lists_and_dictionaries),
    Check::new("large", 1, BENCODE, "a megabyte is decoded in 5 seconds", large),
    Check::new("bad-integers", 2, BENCODE, "integers that are not in their only valid form are refused", bad_integers),
    Check::new("bad-strings", 2, BENCODE, "strings with a wrong length are refused", bad_strings),
    Check::new("bad-dictionaries", 2, BENCODE, "dictionaries with wrong keys are refused", bad_dictionaries),
    Check::new("truncated", 1, BENCODE, "a value whose end is cut off is refused", truncated),
    Check::new("trailing", 1, BENCODE, "bytes after the value, and empty input, are refused", trailing),
    Check::new("depth", 1, BENCODE, "20,000 nested lists are refused with one line", depth),
    Check::new("encode", 1, BENCODE, "what was decoded is encoded to the same bytes again", encode),
    Check::new("encode-sorts", 1, BENCODE, "keys are sorted as raw bytes", encode_sorts),
    Check::new("encode-refuses", 1, BENCODE, "JSON that bencode cannot express is refused", encode_refuses),
    Check::new("info", 1, "BEP 3, metainfo files", "a .torrent is described, whether it has one file or several", info::info),
    Check::new("info-hash-raw", 1, "BEP 3, metainfo files and trackers", "the info hash is over the bytes of info as they are in the file", info::info_hash_raw),
];

fn strings(context: &mut Context<'_>) -> Result<(), Stop> {
    let word = word(&mut context.rng);
    // One has the form of other values inside; one has a length of three digits.
    let long = word.repeat(20);
    for text in [&word, "", "i1el:d2:e", &long] {
        decodes(context, &Value::Bytes(text.as_bytes()), hints::STRINGS)?;
    }
    Ok(())
}

fn bytes(context: &mut Context<'_>) -> Result<(), Stop> {
    let mut all: Vec<u8> = (0..=255).collect();
    context.rng.shuffle(&mut all);
    decodes(context, &Value::Bytes(&all), hints::BYTES_ARE_NOT_TEXT)
}

fn integers(context: &mut Context<'_>) -> Result<(), Stop> {
    let any = context.rng.i64(1_000..1_000_000);
    for integer in [0, any, -any, i64::MAX, i64::MIN] {
        decodes(context, &Value::Integer(integer), hints::INTEGERS)?;
    }
    Ok(())
}

fn lists_and_dictionaries(context: &mut Context<'_>) -> Result<(), Stop> {
    /// Common decoders, such as ours, go this deep.
    const DEEPEST: usize = 64;
    let word = word(&mut context.rng);
    let word = || Value::Bytes(word.as_bytes());
    let list = Value::List(vec![word(), Value::List(vec![]), Value::Integer(7), Value::dict([])]);
    let dict = Value::dict([
        (b"cow".as_slice(), word()),
        (b"dog", Value::dict([(b"age".as_slice(), Value::Integer(3))])),
        (b"list", list.clone()),
    ]);
    let mut deep = word();
    for level in 0..DEEPEST {
        let list = level % 2 == 0;
        deep = if list { Value::List(vec![deep]) } else { Value::dict([(b"in".as_slice(), deep)]) };
    }
    for value in [Value::List(vec![]), Value::dict([]), list, dict, deep] {
        decodes(context, &value, hints::NESTED)?;
    }
    Ok(())
}

fn large(context: &mut Context<'_>) -> Result<(), Stop> {
    const MEGABYTE: usize = 1_000_000;
    /// Longer than the sheet says, since other checks run beside this one.
    const TIME: Duration = Duration::from_secs(9);
    let words: Vec<_> = (0..100).map(|_| word(&mut context.rng)).collect();
    let mut values = Vec::new();
    let mut length = 2;
    while length < MEGABYTE {
        // Short ones, so that there are many.
        let number = context.rng.i64(0..100);
        let word = &words[context.rng.usize(..words.len())];
        let pair = [Value::Integer(number), Value::Bytes(word.as_bytes())];
        length += pair.iter().map(|value| value.encode().len()).sum::<usize>();
        values.extend(pair);
    }
    let value = Value::List(values);
    let expected = "a one-megabyte list as JSON within 5 s";
    let Some(finished) = context.run(&["decode"], &value.encode(), TIME)? else {
        return Err(Failure::new(expected, "it is still running").hint(hints::LARGE).into());
    };
    match printed(&finished) {
        Ok(json) if json == convert::json(&value) => Ok(()),
        Ok(_) => Err(Failure::new(expected, "JSON of a different value").into()),
        Err(got) => Err(Failure::new(expected, got).into()),
    }
}

fn bad_integers(context: &mut Context<'_>) -> Result<(), Stop> {
    decodes(context, &Value::Integer(-3), hints::INTEGERS)?;
    let bad = [&b"i03e"[..], b"i-0e", b"ie", b"i-e", b"i1", b"i+1e", b"i1_0e", b"i1.0e"];
    bad.iter().try_for_each(|input| refuses(context, "decode", input, hints::LOOK_AT_EACH_BYTE))
}

fn bad_strings(context: &mut Context<'_>) -> Result<(), Stop> {
    decodes(context, &Value::Bytes(b"abc"), hints::STRINGS)?;
    for bad in [
        // Longer than the input; longer than any memory; longer than any number of 64 bits.
        &b"5:abc"[..],
        b"99999999999:x",
        b"18446744073709551617:x",
        b"03:abc",
        b"-1:a",
        b"+3:abc",
        b":abc",
    ] {
        refuses(context, "decode", bad, hints::LENGTH_FROM_A_STRANGER)?;
    }
    Ok(())
}

fn bad_dictionaries(context: &mut Context<'_>) -> Result<(), Stop> {
    let entry = |key: &'static [u8]| (key, Value::Bytes(b"x"));
    // In the order of bytes, capitals come first.
    decodes(context, &Value::dict([entry(b"B"), entry(b"a")]), hints::KEYS)?;
    for bad in [
        &b"d1:b1:x1:a1:xe"[..],
        b"d1:a1:x1:B1:xe",
        b"d2:ab1:x1:a1:xe",
        b"d1:a1:x1:a1:ye",
        b"di1e1:xe",
        b"dle1:xe",
        b"d1:ae",
    ] {
        refuses(context, "decode", bad, hints::KEYS)?;
    }
    Ok(())
}

fn truncated(context: &mut Context<'_>) -> Result<(), Stop> {
    /// Each takes a start of the program.
    const CUTS: usize = 6;
    let word = word(&mut context.rng);
    let dict = Value::dict([(b"key".as_slice(), Value::Bytes(b"value"))]);
    let value = Value::List(vec![Value::Bytes(word.as_bytes()), Value::Integer(-42), dict]);
    decodes(context, &value, hints::NESTED)?;
    let whole = value.encode();
    // No beginning of a list is a value. The last two cuts take only the ends of list and dictionary.
    let last = [whole.len() - 1, whole.len() - 2];
    let cuts = context.rng.choose_multiple(1..whole.len() - 2, CUTS);
    for cut in last.into_iter().chain(cuts) {
        refuses(context, "decode", &whole[..cut], hints::TRUNCATED)?;
    }
    Ok(())
}

fn trailing(context: &mut Context<'_>) -> Result<(), Stop> {
    decodes(context, &Value::Integer(1), hints::INTEGERS)?;
    let bad = [&b""[..], b"i1ei2e", b"4:spamx", b"lee", b"i1e\n"];
    bad.iter().try_for_each(|input| refuses(context, "decode", input, hints::TRAILING))
}

fn depth(context: &mut Context<'_>) -> Result<(), Stop> {
    const DEEP: usize = 20_000;
    decodes(context, &Value::List(vec![Value::List(vec![])]), hints::NESTED)?;
    let lists = b"l".repeat(DEEP);
    let closed = [&lists[..], &b"e".repeat(DEEP)].concat();
    let dictionaries = b"d1:a".repeat(DEEP);
    [&lists, &closed, &dictionaries]
        .into_iter()
        .try_for_each(|input| refuses(context, "decode", input, hints::DEPTH))
}

fn encode(context: &mut Context<'_>) -> Result<(), Stop> {
    let word = word(&mut context.rng);
    let pieces = [b'p'; 20];
    let info = Value::dict([
        (b"length".as_slice(), Value::Integer(context.rng.i64(1_000..1_000_000))),
        (b"name", Value::Bytes(word.as_bytes())),
        (b"pieces", Value::Bytes(&pieces)),
    ]);
    let list = Value::List(vec![Value::Integer(0), Value::Integer(-42), Value::List(vec![])]);
    let torrent = Value::dict([(b"a".as_slice(), list), (b"info", info)]);
    let whole = torrent.encode();
    let decoded = decoded(context, &whole)?;
    encodes(context, &decoded, &whole, hints::ENCODE)?;
    // JSON that another program wrote: high bytes as they are and escaped, and spaces.
    let json = " [\"\u{ff}\u{80}\\u00e9\\u0000\",\n -7, {} ] ";
    encodes(context, json.as_bytes(), b"l4:\xff\x80\xe9\0i-7edee", hints::BYTES_ARE_NOT_TEXT)
}

fn encode_sorts(context: &mut Context<'_>) -> Result<(), Stop> {
    // No entry stands where it belongs.
    let json = r#"{"a": 1, "\u00e9": 2, "B": 3, "ab": 4, "Z": 5, "\u007f": 6, "": 7}"#;
    let sorted = b"d0:i7e1:Bi3e1:Zi5e1:ai1e2:abi4e1:\x7fi6e1:\xe9i2ee";
    encodes(context, json.as_bytes(), sorted, hints::KEYS)
}

fn encode_refuses(context: &mut Context<'_>) -> Result<(), Stop> {
    encodes(context, b"[\"ab\", 1]", b"l2:abi1ee", hints::ENCODE)?;
    for bad in [
        "true",
        "[null]",
        "1.5",
        r#""\u0100""#,
        "{\"a\": \"\u{20ac}\"}",
        r#"{"a": 1, "a": 2}"#,
        "[1, 2",
        "",
    ] {
        refuses(context, "encode", bad.as_bytes(), hints::NOT_IN_BENCODE)?;
    }
    Ok(())
}

/// A lower-case word in ASCII.
fn word(rng: &mut Rng) -> String {
    (0..rng.usize(4..9)).map(|_| rng.lowercase()).collect()
}
