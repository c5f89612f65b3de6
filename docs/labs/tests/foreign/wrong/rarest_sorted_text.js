// Wrong: ties go to the first after sort(), which is the same in each run (and sorts numbers as text).
const crypto = require('crypto');
const fs = require('fs');
const net = require('net');

const BLOCK = 16384;
const IN_FLIGHT = 10;

function die(why) {
  fs.writeSync(2, `${why}\n`);
  process.exit(1);
}

// Bencode: a dictionary is a Map with latin1 keys, a string is a Buffer; the span of `info` is kept.
function decode(bytes) {
  let at = 0;
  let info = null;
  function number(until) {
    const end = bytes.indexOf(until, at);
    const value = Number(bytes.toString('latin1', at, end));
    at = end + 1;
    return value;
  }
  function value(depth) {
    const head = String.fromCharCode(bytes[at]);
    if (head === 'i') { at++; return number('e'); }
    if (head === 'l') {
      const list = [];
      for (at++; bytes[at] !== 0x65;) list.push(value(depth + 1));
      at++;
      return list;
    }
    if (head === 'd') {
      const entries = new Map();
      for (at++; bytes[at] !== 0x65;) {
        const key = value(depth + 1).toString('latin1');
        const start = at;
        entries.set(key, value(depth + 1));
        if (depth === 0 && key === 'info') info = bytes.subarray(start, at);
      }
      at++;
      return entries;
    }
    const length = number(':');
    at += length;
    return bytes.subarray(at - length, at);
  }
  return [value(0).get('info'), crypto.createHash('sha1').update(info).digest()];
}

const args = process.argv.slice(2);
let timeout = 20;
if (args[0] === '--timeout') timeout = Number(args.splice(0, 2)[1]);
const [torrentFile, out, ...addresses] = args;
const [info, infoHash] = decode(fs.readFileSync(torrentFile));
const total = info.get('length');
const pieceLength = info.get('piece length');
const hashes = info.get('pieces');
const pieces = hashes.length / 20;
const part = fs.openSync(`${out}.part`, 'w+');
const sizeOf = (index) => Math.min(pieceLength, total - index * pieceLength);

const done = new Set();
// Piece -> { data, blocks: Map of begin -> null (free) | peer (requested) | 'here', from: Set of peers }
const inProgress = new Map();
const peers = new Set();
let lastBlock = Date.now();

// Pieces that were false although several peers sent them: next time one peer sends the whole piece.
const suspect = new Set();

function begin(index, peer) {
  const blocks = new Map();
  for (let at = 0; at < sizeOf(index); at += BLOCK) blocks.set(at, null);
  inProgress.set(index, { data: Buffer.alloc(sizeOf(index)), blocks, from: new Set(), only: suspect.has(index) ? peer : null });
}

function rarest(peer) {
  const wanted = [...peer.has].filter((index) => !done.has(index) && !inProgress.has(index));
  const copies = (index) => [...peers].filter((each) => each.has.has(index)).length;
  const fewest = Math.min(...wanted.map(copies));
  const ties = wanted.filter((index) => copies(index) === fewest);
  return ties.sort()[0];
}

function nextBlock(peer) {
  for (const [index, piece] of inProgress) {
    if (!peer.has.has(index) || (piece.only ?? peer) !== peer) continue;
    for (const [at, state] of piece.blocks) if (state === null) return [index, at];
  }
  const index = rarest(peer);
  if (index === undefined) return null;
  begin(index, peer);
  return [index, 0];
}

function send(peer, id, ...numbers) {
  const bytes = Buffer.alloc(5 + 4 * numbers.length);
  bytes.writeUInt32BE(1 + 4 * numbers.length, 0);
  bytes[4] = id;
  numbers.forEach((each, n) => bytes.writeUInt32BE(each, 5 + 4 * n));
  peer.socket.write(bytes);
}

function request(peer) {
  if (!peer.shaken || !peers.has(peer)) return;
  const interesting = [...peer.has].some((index) => !done.has(index));
  if (interesting !== peer.interested) {
    peer.interested = interesting;
    send(peer, interesting ? 2 : 3);
  }
  while (!peer.choked && peer.requests.size < IN_FLIGHT) {
    const next = nextBlock(peer);
    if (next === null) return;
    const [index, at] = next;
    inProgress.get(index).blocks.set(at, peer);
    peer.requests.set(`${index} ${at}`, Date.now());
    send(peer, 6, index, at, Math.min(BLOCK, sizeOf(index) - at));
  }
}

function requestAll() {
  for (const peer of peers) request(peer);
}

function free(peer) {
  for (const piece of inProgress.values()) {
    if (piece.only === peer) piece.only = null;
    for (const [at, state] of piece.blocks) if (state === peer) piece.blocks.set(at, null);
  }
  peer.requests.clear();
}

function drop(peer, why) {
  if (!peers.delete(peer)) return;
  console.error(`${peer.name}: ${why}`);
  peer.socket.destroy();
  free(peer);
  if (peers.size === 0) die('no peer is left');
  requestAll();
}

function block(peer, index, at, bytes) {
  const key = `${index} ${at}`;
  const piece = inProgress.get(index);
  if (!peer.requests.has(key) || !piece || bytes.length !== Math.min(BLOCK, sizeOf(index) - at)) return;
  peer.requests.delete(key);
  for (const each of peer.requests.keys()) peer.requests.set(each, Date.now());
  lastBlock = Date.now();
  bytes.copy(piece.data, at);
  piece.blocks.set(at, 'here');
  piece.from.add(peer);
  if ([...piece.blocks.values()].some((state) => state !== 'here')) return;
  inProgress.delete(index);
  const right = crypto.createHash('sha1').update(piece.data).digest().equals(hashes.subarray(20 * index, 20 * index + 20));
  if (right) {
    fs.writeSync(part, piece.data, 0, piece.data.length, index * pieceLength);
    done.add(index);
    if (done.size === pieces) {
      fs.closeSync(part);
      fs.renameSync(`${out}.part`, out);
      process.exit(0);
    }
  } else if (piece.from.size === 1) drop(peer, `all blocks of piece ${index} are false`);
  else suspect.add(index);
  requestAll();
}

const LENGTHS = { 0: 1, 1: 1, 2: 1, 3: 1, 4: 5, 5: 1 + Math.ceil(pieces / 8), 6: 13, 8: 13 };
const LONGEST = Math.max(9 + BLOCK, LENGTHS[5], 65536);

function message(peer, bytes) {
  if (bytes.length === 0) return;
  const id = bytes[0];
  if (id in LENGTHS && bytes.length !== LENGTHS[id]) return drop(peer, `message ${id} has ${bytes.length} bytes`);
  if (id === 0) { peer.choked = true; free(peer); requestAll(); }
  if (id === 1) peer.choked = false;
  if (id === 4) peer.has.add(bytes.readUInt32BE(1));
  if (id === 5) {
    for (let n = 0; n < pieces; n++) if (bytes[1 + (n >> 3)] & (0x80 >> (n & 7))) peer.has.add(n);
  }
  if (id === 7 && bytes.length > 9) block(peer, bytes.readUInt32BE(1), bytes.readUInt32BE(5), bytes.subarray(9));
  request(peer);
}

for (const name of addresses) {
  const [host, port] = name.split(':');
  const socket = net.connect(Number(port), host);
  const peer = { name, socket, has: new Set(), choked: true, interested: false, shaken: false, requests: new Map() };
  peers.add(peer);
  let buffer = Buffer.alloc(0);
  socket.on('connect', () => {
    const peerId = Buffer.concat([Buffer.from('-ST0008-'), crypto.randomBytes(12)]);
    socket.write(Buffer.concat([Buffer.from('\x13BitTorrent protocol'), Buffer.alloc(8), infoHash, peerId]));
  });
  socket.on('data', (data) => {
    buffer = Buffer.concat([buffer, data]);
    if (!peer.shaken) {
      if (buffer.length < 68) return;
      if (!buffer.subarray(28, 48).equals(infoHash)) return drop(peer, 'another torrent');
      buffer = buffer.subarray(68);
      peer.shaken = true;
    }
    while (buffer.length >= 4 && peers.has(peer)) {
      const length = buffer.readUInt32BE(0);
      if (length > LONGEST) return drop(peer, `a message of ${length} bytes`);
      if (buffer.length < 4 + length) return;
      const body = buffer.subarray(4, 4 + length);
      buffer = buffer.subarray(4 + length);
      message(peer, body);
    }
  });
  socket.on('error', (error) => drop(peer, error.message));
  socket.on('close', () => drop(peer, 'closed'));
}

setInterval(() => {
  const now = Date.now();
  for (const peer of peers) {
    if ([...peer.requests.values()].some((at) => now - at > 1000 * timeout)) drop(peer, 'does not answer');
  }
  if (now - lastBlock > 2000 * timeout) die('no block comes');
}, 100);
