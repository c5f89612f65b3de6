//! Bencode, the encoding of .torrent files and tracker answers (BEP 3).
//!
//! [`decode`] borrows from its input and keeps the raw span of every value in a dictionary,
//! because an info-hash is the hash of bytes as they came. What the tree of values costs is
//! bounded by a small multiple of the input, whatever the input is.

use std::borrow::Cow;

/// The limit on nested lists and dictionaries: the decoder recurses, and 20 kB of `l` must
/// not overflow the stack. Torrents and tracker answers need fewer than ten levels.
pub const MAX_DEPTH: usize = 64;

/// Most values accepted in one input, to bound memory: a torrent of 200,000 files has as many.
pub const MAX_VALUES: usize = 1_000_000;

/// A bencoded value; its bytes are borrowed from the input, or from the code that builds it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value<'a> {
    /// `i42e`. The specification sets no limit; every field in use fits 64 bits.
    Integer(i64),
    /// `4:spam`: a string of bytes, which need not be text.
    Bytes(&'a [u8]),
    /// `l…e`.
    List(Vec<Value<'a>>),
    /// `d…e`.
    Dict(Dict<'a>),
}

/// A dictionary: values under keys that are bytes, each key once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dict<'a> {
    /// In ascending order of the keys. A boxed slice keeps a [`Value`] at 24 bytes.
    entries: Box<[Entry<'a>]>,
}

#[derive(Clone, Debug)]
struct Entry<'a> {
    key: &'a [u8],
    value: Value<'a>,
    /// The value as it stood in the input; empty if it was not decoded.
    raw: &'a [u8],
}

/// Where and why the input is not bencode as we accept it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("byte {offset}: {problem}")]
pub struct DecodeError {
    /// Counted from the start of the input.
    offset: usize,
    problem: Cow<'static, str>,
}

/// Decodes one value that is all of `input`, in its only lawful form but for one thing: the keys of
/// a dictionary may stand in any order, as they do in some .torrent files. A key that occurs twice
/// is an error: readers would differ about it.
pub fn decode(input: &[u8]) -> Result<Value<'_>, DecodeError> {
    let mut decoder = Decoder { input, offset: 0, depth: 0, values: 0 };
    let value = decoder.value()?;
    if decoder.offset < input.len() {
        return Err(decoder.error("bytes after the end of the value"));
    }
    Ok(value)
}

impl<'a> Value<'a> {
    /// A dictionary of these entries, in any order.
    ///
    /// # Panics
    /// If a key occurs twice.
    pub fn dict(entries: impl IntoIterator<Item = (&'a [u8], Self)>) -> Self {
        let mut entries: Vec<_> =
            entries.into_iter().map(|(key, value)| Entry { key, value, raw: &[] }).collect();
        entries.sort_by_key(|entry| entry.key);
        assert_eq!(first_duplicate(&entries), None, "a dictionary is built with each key once");
        Self::Dict(Dict { entries: entries.into() })
    }

    /// A dictionary of those entries that have a value, as [`Value::dict`].
    pub fn dict_of_present<const N: usize>(entries: [(&'a [u8], Option<Self>); N]) -> Self {
        Self::dict(entries.into_iter().filter_map(|(key, value)| Some((key, value?))))
    }

    /// The integer, if it is one.
    pub fn as_integer(&self) -> Option<i64> {
        if let Self::Integer(integer) = self { Some(*integer) } else { None }
    }

    /// The bytes of the string, if it is one.
    pub fn as_bytes(&self) -> Option<&'a [u8]> {
        if let Self::Bytes(bytes) = self { Some(bytes) } else { None }
    }

    /// The values of the list, if it is one.
    pub fn as_list(&self) -> Option<&[Value<'a>]> {
        if let Self::List(values) = self { Some(values) } else { None }
    }

    /// The dictionary, if it is one.
    pub fn as_dict(&self) -> Option<&Dict<'a>> {
        if let Self::Dict(dict) = self { Some(dict) } else { None }
    }

    /// The bytes that decode to this value; there is exactly one such sequence.
    pub fn encode(&self) -> Vec<u8> {
        let mut output = Vec::new();
        self.encode_into(&mut output);
        output
    }

    /// Appends the bytes that decode to this value.
    fn encode_into(&self, output: &mut Vec<u8>) {
        match self {
            Self::Integer(integer) => output.extend(format!("i{integer}e").into_bytes()),
            Self::Bytes(bytes) => encode_bytes(bytes, output),
            Self::List(values) => {
                output.push(b'l');
                values.iter().for_each(|value| value.encode_into(output));
                output.push(b'e');
            }
            Self::Dict(dict) => {
                output.push(b'd');
                for (key, value) in dict.iter() {
                    encode_bytes(key, output);
                    value.encode_into(output);
                }
                output.push(b'e');
            }
        }
    }
}

fn encode_bytes(bytes: &[u8], output: &mut Vec<u8>) {
    output.extend(format!("{}:", bytes.len()).into_bytes());
    output.extend(bytes);
}

impl<'a> Dict<'a> {
    /// The value under this key.
    pub fn get(&self, key: &[u8]) -> Option<&Value<'a>> {
        self.entry(key).map(|entry| &entry.value)
    }

    /// The value under this key as it stood in the input, from its first byte to its last: what
    /// an info-hash is the hash of. `None` also if the dictionary was built, not decoded.
    pub fn raw(&self, key: &[u8]) -> Option<&'a [u8]> {
        self.entry(key).map(|entry| entry.raw).filter(|raw| !raw.is_empty())
    }

    /// Keys and values in ascending order of the keys.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&'a [u8], &Value<'a>)> {
        self.entries.iter().map(|entry| (entry.key, &entry.value))
    }

    fn entry(&self, key: &[u8]) -> Option<&Entry<'a>> {
        let index = self.entries.binary_search_by_key(&key, |entry| entry.key).ok()?;
        Some(&self.entries[index])
    }
}

impl PartialEq for Entry<'_> {
    /// Equal if the entries are, whatever bytes they were decoded from.
    fn eq(&self, other: &Self) -> bool {
        self.key == other.key && self.value == other.value
    }
}

impl Eq for Entry<'_> {}

struct Decoder<'a> {
    input: &'a [u8],
    /// The next byte to read.
    offset: usize,
    /// Open lists and dictionaries.
    depth: usize,
    /// Values met so far.
    values: usize,
}

impl<'a> Decoder<'a> {
    fn value(&mut self) -> Result<Value<'a>, DecodeError> {
        self.values += 1;
        if self.values > MAX_VALUES {
            return Err(self.error(format!("more than {MAX_VALUES} values")));
        }
        match self.peek()? {
            b'i' => self.integer().map(Value::Integer),
            b'0'..=b'9' => self.bytes().map(Value::Bytes),
            b'l' => self.nested(Self::list),
            b'd' => self.nested(Self::dict),
            byte => Err(self.unexpected(byte)),
        }
    }

    /// Reads a list or a dictionary, one level deeper.
    fn nested(
        &mut self,
        read: impl FnOnce(&mut Self) -> Result<Value<'a>, DecodeError>,
    ) -> Result<Value<'a>, DecodeError> {
        if self.depth == MAX_DEPTH {
            return Err(self.error(format!("more than {MAX_DEPTH} levels of nesting")));
        }
        self.depth += 1;
        self.offset += 1;
        let value = read(self)?;
        self.depth -= 1;
        Ok(value)
    }

    fn list(&mut self) -> Result<Value<'a>, DecodeError> {
        let mut values = Vec::new();
        while !self.skip(b'e')? {
            values.push(self.value()?);
        }
        // A vector grows to four elements at once: a list of one would keep the room of three.
        values.shrink_to_fit();
        Ok(Value::List(values))
    }

    fn dict(&mut self) -> Result<Value<'a>, DecodeError> {
        let mut entries: Vec<Entry<'a>> = Vec::new();
        while !self.skip(b'e')? {
            let key = self.bytes()?;
            let start = self.offset;
            let value = self.value()?;
            entries.push(Entry { key, value, raw: &self.input[start..self.offset] });
        }
        // Once for all keys: putting each in its place would take quadratic time.
        entries.sort_by_key(|entry| entry.key);
        if let Some(key) = first_duplicate(&entries) {
            // The key is a part of the input, so the difference is where it stands in it.
            let offset = key.as_ptr().addr() - self.input.as_ptr().addr();
            return Err(error(offset, "a key occurs twice"));
        }
        Ok(Value::Dict(Dict { entries: entries.into() }))
    }

    fn integer(&mut self) -> Result<i64, DecodeError> {
        let start = self.offset;
        self.offset += 1;
        let negative = self.skip(b'-')?;
        let digits = self.digits()?;
        if negative && digits == 0 {
            return Err(error(start, LEADING_ZERO));
        }
        let integer =
            if negative { 0_i64.checked_sub_unsigned(digits) } else { i64::try_from(digits).ok() };
        let integer = integer.ok_or_else(|| error(start, TOO_LARGE))?;
        self.expect(b'e')?;
        Ok(integer)
    }

    fn bytes(&mut self) -> Result<&'a [u8], DecodeError> {
        let start = self.offset;
        let length = self.digits()?;
        self.expect(b':')?;
        let rest = &self.input[self.offset..];
        let bytes = usize::try_from(length).ok().and_then(|length| rest.get(..length));
        let bytes = bytes.ok_or_else(|| {
            error(start, format!("a string of {length} bytes is longer than the rest of the input"))
        })?;
        self.offset += bytes.len();
        Ok(bytes)
    }

    /// Reads a number without sign, at least one digit and no leading zero.
    fn digits(&mut self) -> Result<u64, DecodeError> {
        let start = self.offset;
        let first = self.peek()?;
        if !first.is_ascii_digit() {
            return Err(self.unexpected(first));
        }
        let rest = &self.input[start..];
        let length = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
        self.offset += length;
        if first == b'0' && length > 1 {
            return Err(error(start, LEADING_ZERO));
        }
        let number = str::from_utf8(&rest[..length]).expect("digits are text").parse();
        number.map_err(|_| error(start, TOO_LARGE))
    }

    fn peek(&self) -> Result<u8, DecodeError> {
        let next = self.input.get(self.offset).copied();
        next.ok_or_else(|| self.error("the input ends inside a value"))
    }

    /// Skips the next byte if it is this one, and returns whether it was.
    fn skip(&mut self, byte: u8) -> Result<bool, DecodeError> {
        let found = self.peek()? == byte;
        self.offset += usize::from(found);
        Ok(found)
    }

    fn expect(&mut self, byte: u8) -> Result<(), DecodeError> {
        if self.skip(byte)? { Ok(()) } else { Err(self.unexpected(self.peek()?)) }
    }

    /// No value, key, digit or delimiter can begin with this byte here.
    fn unexpected(&self, byte: u8) -> DecodeError {
        self.error(format!("unexpected byte '{}'", byte.escape_ascii()))
    }

    fn error(&self, problem: impl Into<Cow<'static, str>>) -> DecodeError {
        error(self.offset, problem)
    }
}

fn error(offset: usize, problem: impl Into<Cow<'static, str>>) -> DecodeError {
    DecodeError { offset, problem: problem.into() }
}

/// Of `i03e`, `03:abc`, and `i-0e`.
const LEADING_ZERO: &str = "a number has a leading zero or is minus zero";
/// Of an integer outside of i64, and a length outside of u64.
const TOO_LARGE: &str = "a number is too large";

/// The second of two equal keys; the entries are sorted.
fn first_duplicate<'a>(entries: &[Entry<'a>]) -> Option<&'a [u8]> {
    entries.windows(2).find(|pair| pair[0].key == pair[1].key).map(|pair| pair[1].key)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn problem(input: &[u8]) -> String {
        decode(input).expect_err(&input.escape_ascii().to_string()).problem.into_owned()
    }

    #[test]
    fn lawful_bencode_decodes_and_encodes_to_itself() {
        let spam = Value::Bytes(b"spam");
        let table = [
            ("0:", Value::Bytes(b"")),
            ("4:spam", spam.clone()),
            ("i0e", Value::Integer(0)),
            ("i-3e", Value::Integer(-3)),
            ("i9223372036854775807e", Value::Integer(i64::MAX)),
            ("i-9223372036854775808e", Value::Integer(i64::MIN)),
            ("le", Value::List(vec![])),
            ("de", Value::dict([])),
            ("l4:spam4:eggse", Value::List(vec![spam.clone(), Value::Bytes(b"eggs")])),
            (
                "d3:cow3:moo4:spam4:eggse",
                Value::dict([
                    (b"spam".as_slice(), Value::Bytes(b"eggs")),
                    (b"cow", Value::Bytes(b"moo")),
                ]),
            ),
            (
                "d4:spaml1:a1:bee",
                Value::dict([(
                    b"spam".as_slice(),
                    Value::List(vec![Value::Bytes(b"a"), Value::Bytes(b"b")]),
                )]),
            ),
            // A key sorts after its own prefix.
            (
                "d0:le1:ai1e2:aai2ee",
                Value::dict([
                    (b"".as_slice(), Value::List(vec![])),
                    (b"a", Value::Integer(1)),
                    (b"aa", Value::Integer(2)),
                ]),
            ),
        ];
        for (input, value) in table {
            assert_eq!(decode(input.as_bytes()), Ok(value.clone()), "{input}");
            assert_eq!(value.encode(), input.as_bytes());
        }
    }

    #[test]
    fn invalid_bencode_is_refused_with_its_reason() {
        const END: &str = "the input ends inside a value";
        const TRAILING: &str = "bytes after the end of the value";
        let table = [
            ("", END),
            ("i", END),
            ("i-", END),
            ("i1", END),
            ("1", END),
            ("l", END),
            ("d", END),
            ("d1:a", END),
            ("l2:ab", END),
            ("d1:a", END),
            ("ie", "unexpected byte 'e'"),
            ("i-e", "unexpected byte 'e'"),
            ("i--1e", "unexpected byte '-'"),
            ("i+1e", "unexpected byte '+'"),
            ("i 1e", "unexpected byte ' '"),
            ("i1.0e", "unexpected byte '.'"),
            ("i1e2", TRAILING),
            ("i1-e", "unexpected byte '-'"),
            ("e", "unexpected byte 'e'"),
            (":a", "unexpected byte ':'"),
            ("1a:b", "unexpected byte 'a'"),
            ("4spam", "unexpected byte 's'"),
            ("-1:a", "unexpected byte '-'"),
            ("-10:foobar", "unexpected byte '-'"),
            ("d1:ae", "unexpected byte 'e'"),
            ("d1:ai1e1:be", "unexpected byte 'e'"),
            ("di1e1:ae", "unexpected byte 'i'"),
            ("di5e1:ae", "unexpected byte 'i'"),
            ("i-0e", LEADING_ZERO),
            ("i00e", LEADING_ZERO),
            ("i01e", LEADING_ZERO),
            ("i03e", LEADING_ZERO),
            ("i-03e", LEADING_ZERO),
            ("03:abc", LEADING_ZERO),
            ("06:foobar", LEADING_ZERO),
            ("i9223372036854775808e", TOO_LARGE),
            ("i-9223372036854775809e", TOO_LARGE),
            ("i18446744073709551616e", TOO_LARGE),
            ("99999999999999999999:x", TOO_LARGE),
            ("2:a", "a string of 2 bytes is longer than the rest of the input"),
            ("5:abc", "a string of 5 bytes is longer than the rest of the input"),
            ("l2:..", END),
            ("99999999:foobar", "a string of 99999999 bytes is longer than the rest of the input"),
            (
                "18446744073709551615:x",
                "a string of 18446744073709551615 bytes is longer than the rest of the input",
            ),
            (
                "18446744073709551615:foobar",
                "a string of 18446744073709551615 bytes is longer than the rest of the input",
            ),
            ("d2:aai1e2:aai2ee", "a key occurs twice"),
            ("0:0:", TRAILING),
            ("le\n", TRAILING),
        ];
        for (input, expected) in table {
            assert_eq!(problem(input.as_bytes()), expected, "{input}");
        }
    }

    #[test]
    fn an_error_says_where() {
        for (input, text) in [
            ("l4:spami03ee", "byte 8: a number has a leading zero or is minus zero"),
            ("d1:ai1e1:ai2ee", "byte 9: a key occurs twice"),
            ("lx", "byte 1: unexpected byte 'x'"),
            ("l\0", r"byte 1: unexpected byte '\x00'"),
        ] {
            assert_eq!(decode(input.as_bytes()).unwrap_err().to_string(), text);
        }
    }

    #[test]
    fn keys_may_be_unsorted_but_each_occurs_once() {
        let value = decode(b"d1:bi1e1:ai2e1:cl4:spamee").unwrap();
        let dict = value.as_dict().unwrap();
        assert_eq!(dict.get(b"a"), Some(&Value::Integer(2)));
        assert_eq!(dict.raw(b"b"), Some(b"i1e".as_slice()));
        assert_eq!(dict.raw(b"c"), Some(b"l4:spame".as_slice()));
        assert_eq!(dict.iter().map(|(key, _)| key).collect::<Vec<_>>(), [b"a", b"b", b"c"]);
        assert_eq!(value.encode(), b"d1:ai2e1:bi1e1:cl4:spamee");

        let duplicate = decode(b"d1:bi1e1:ai2e1:bi3ee").unwrap_err();
        assert_eq!(duplicate, error(15, "a key occurs twice"));
        assert_eq!(problem(b"d1:bi01e1:ai2ee"), LEADING_ZERO);
    }

    #[test]
    fn nesting_is_limited() {
        let nested = |levels| [vec![b'l'; levels], vec![b'e'; levels]].concat();
        assert!(decode(&nested(MAX_DEPTH)).is_ok());
        assert_eq!(problem(&nested(MAX_DEPTH + 1)), "more than 64 levels of nesting");
        assert_eq!(problem(&vec![b'l'; 20_000]), "more than 64 levels of nesting");
        assert_eq!(problem(&b"d1:a".repeat(20_000)), "more than 64 levels of nesting");
    }

    #[test]
    fn the_number_of_values_is_limited() {
        let list = |values| [b"l".to_vec(), b"0:".repeat(values), b"e".to_vec()].concat();
        assert!(decode(&list(MAX_VALUES - 1)).is_ok());
        assert_eq!(problem(&list(MAX_VALUES)), "more than 1000000 values");
    }

    #[test]
    fn a_tree_costs_at_most_sixteen_times_its_input() {
        fn heap(value: &Value<'_>) -> usize {
            match value {
                Value::Integer(_) | Value::Bytes(_) => 0,
                Value::List(values) => {
                    values.capacity() * size_of::<Value<'_>>()
                        + values.iter().map(heap).sum::<usize>()
                }
                Value::Dict(dict) => {
                    dict.entries.len() * size_of::<Entry<'_>>()
                        + dict.iter().map(|(_, value)| heap(value)).sum::<usize>()
                }
            }
        }
        // What is short as text and long as a value.
        for dense in ["le", "0:", "llee", "lllleeee", "d0:lee", "d0:d0:d0:0:eee", "d0:0:1:a0:e"] {
            let input = format!("l{}e", dense.repeat(1000));
            let value = decode(input.as_bytes()).unwrap();
            assert!(heap(&value) <= 16 * input.len(), "{dense}: {}", heap(&value));
        }
    }

    #[test]
    #[should_panic(expected = "each key once")]
    fn a_dictionary_is_not_built_with_a_key_twice() {
        let _ = Value::dict([(b"a".as_slice(), Value::Integer(1)), (b"a", Value::Integer(2))]);
    }

    /// A value that owns its strings, for proptest to make.
    #[derive(Clone, Debug)]
    enum Owned {
        Integer(i64),
        Bytes(Vec<u8>),
        List(Vec<Owned>),
        Dict(std::collections::BTreeMap<Vec<u8>, Owned>),
    }

    impl Owned {
        fn borrow(&self) -> Value<'_> {
            match self {
                Self::Integer(integer) => Value::Integer(*integer),
                Self::Bytes(bytes) => Value::Bytes(bytes),
                Self::List(values) => Value::List(values.iter().map(Self::borrow).collect()),
                Self::Dict(entries) => {
                    Value::dict(entries.iter().map(|(key, value)| (&key[..], value.borrow())))
                }
            }
        }
    }

    fn any_value() -> impl Strategy<Value = Owned> {
        let bytes = || prop::collection::vec(any::<u8>(), 0..12);
        let leaf = prop_oneof![
            any::<i64>().prop_map(Owned::Integer),
            (-20_i64..20).prop_map(Owned::Integer),
            bytes().prop_map(Owned::Bytes),
        ];
        leaf.prop_recursive(6, 64, 6, move |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..6).prop_map(Owned::List),
                prop::collection::btree_map(bytes(), inner, 0..6).prop_map(Owned::Dict),
            ]
        })
    }

    proptest! {
        #[test]
        fn a_value_survives_encoding_and_decoding(owned in any_value()) {
            let value = owned.borrow();
            let bytes = value.encode();
            prop_assert_eq!(decode(&bytes), Ok(value));
            for end in 0..bytes.len() {
                prop_assert!(decode(&bytes[..end]).is_err(), "cut at {}", end);
            }
        }

        #[test]
        fn accepted_bytes_are_the_only_form_of_their_value_but_for_the_order_of_keys(
            input in prop_oneof!["[ilde0-9:a-]{0,24}", ".{0,24}"].prop_map(String::into_bytes)
        ) {
            if let Ok(value) = decode(&input) {
                let encoded = value.encode();
                prop_assert_eq!(encoded.len(), input.len());
                prop_assert_eq!(decode(&encoded), Ok(value));
            }
        }

        #[test]
        fn arbitrary_bytes_never_panic(input in prop::collection::vec(any::<u8>(), 0..64)) {
            let _ = decode(&input);
        }
    }
}
