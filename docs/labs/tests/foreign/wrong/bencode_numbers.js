// Wrong: integers become JavaScript numbers, which have 53 bits; and JSON.parse keeps the last of two equal keys.
const crypto = require('crypto');
const fs = require('fs');
class Invalid extends Error {}
function decoder(bytes, strict) {
  let at = 0;
  const spans = {};
  function digits(until) {
    const end = bytes.indexOf(until, at);
    if (end < 0) throw new Invalid(`no ${until} after byte ${at}`);
    const text = bytes.toString('latin1', at, end);
    at = end + 1;
    return text;
  }
  function string() {
    const text = digits(':');
    if (!/^(0|[1-9][0-9]*)$/.test(text)) throw new Invalid(`length ${text.slice(0, 20)}`);
    const length = Number(text);
    if (length > bytes.length - at) throw new Invalid('a string longer than the input');
    at += length;
    return bytes.toString('latin1', at - length, at);
  }
  function value(depth) {
    if (depth > 100) throw new Invalid('nested too deep');
    const head = String.fromCharCode(bytes[at]);
    if (head === 'i') {
      at++;
      const text = digits('e');
      if (!/^(0|-?[1-9][0-9]*)$/.test(text)) throw new Invalid(`integer ${text.slice(0, 20)}`);
      return Number(text);
    }
    if (head === 'l') {
      const list = [];
      for (at++; bytes[at] !== 0x65; ) list.push(value(depth + 1));
      at++;
      return list;
    }
    if (head === 'd') {
      const entries = {};
      let last = null;
      for (at++; bytes[at] !== 0x65; ) {
        const key = string();
        if (strict && last !== null && !(last < key)) throw new Invalid('keys are not sorted');
        last = key;
        const start = at;
        entries[key] = value(depth + 1);
        if (depth === 0) spans[key] = bytes.subarray(start, at);
      }
      at++;
      return entries;
    }
    return string();
  }
  const whole = value(0);
  if (at !== bytes.length) throw new Invalid('bytes after the value');
  return [whole, spans];
}
function encode(value) {
  if (typeof value === 'number' && Number.isInteger(value)) return `i${value}e`;
  if (typeof value === 'string') {
    if (/[^\u0000-\u00ff]/.test(value)) throw new Invalid('a character above U+00FF');
    return `${value.length}:${value}`;
  }
  if (Array.isArray(value)) return `l${value.map(encode).join('')}e`;
  if (value !== null && typeof value === 'object') {
    return `d${Object.keys(value).sort().map((key) => encode(key) + encode(value[key])).join('')}e`;
  }
  throw new Invalid(`bencode has no ${value}`);
}
function info(file) {
  const [torrent, spans] = decoder(fs.readFileSync(file), false);
  const { name, length, files, pieces, 'piece length': pieceLength } = torrent.info ?? {};
  if (typeof name !== 'string' || name === '') throw new Invalid('no name');
  const total = files ? files.reduce((sum, each) => sum + each.length, 0) : length;
  if (!(total >= 1) || !(pieceLength >= 1)) throw new Invalid('length');
  if (pieces.length !== 20 * Math.ceil(total / pieceLength)) throw new Invalid('number of hashes');
  const hash = crypto.createHash('sha1').update(spans.info).digest('hex');
  return `name: ${Buffer.from(name, 'latin1')}\nlength: ${total}\npiece length: ${pieceLength}\npieces: ${pieces.length / 20}\ninfo hash: ${hash}`;
}
try {
  const [role, file] = process.argv.slice(2);
  if (role === 'info') console.log(info(file));
  else {
    const input = fs.readFileSync(0);
    if (role === 'decode') console.log(JSON.stringify(decoder(input, true)[0]));
    else fs.writeSync(1, Buffer.from(encode(JSON.parse(input.toString())), 'latin1'));
  }
} catch (error) {
  console.error(error.message.split('\n')[0]);
  process.exit(1);
}
