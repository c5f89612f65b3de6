// Wrong: decodes the query as a form: "+" becomes a space, and what is not UTF-8 becomes U+FFFD.
const http = require('http');
const [port, interval] = process.argv.slice(2).map(Number);
const swarms = new Map();

// Bytes travel as latin1 text, one character for each byte.
function parameters(query) {
  const found = new Map();
  for (const part of query.split('&')) {
    const [name, value = ''] = part.split(/=(.*)/s);
    found.set(name, (found.get(name) ?? []).concat(new URLSearchParams('v=' + value).get('v')));
  }
  return found;
}

function bencode(value) {
  if (typeof value === 'number') return `i${value}e`;
  if (typeof value === 'string') return `${value.length}:${value}`;
  return `d${Object.keys(value).sort().map((key) => bencode(key) + bencode(value[key])).join('')}e`;
}

function failure(reason) {
  return { 'failure reason': reason };
}

function announce(query, address) {
  const one = (name) => (query.get(name) ?? [''])[0];
  const hash = one('info_hash');
  if (hash.length !== 20) return failure('info_hash must be 20 bytes');
  if (one('peer_id').length !== 20) return failure('peer_id must be 20 bytes');
  const listens = one('port');
  if (!/^\d{1,5}$/.test(listens) || Number(listens) < 1 || Number(listens) > 65535) return failure('port must be 1 to 65535');
  if (!/^\d{1,18}$/.test(one('left'))) return failure('left must be a number');
  const left = Number(one('left'));
  if (!swarms.has(hash)) swarms.set(hash, { peers: new Map(), completed: new Set() });
  const swarm = swarms.get(hash);
  const key = `${address}:${listens}`;
  for (const [other, peer] of swarm.peers) {
    if (Date.now() - peer.seen > 2000 * interval) swarm.peers.delete(other);
  }
  const event = one('event');
  if (event === 'completed') swarm.completed.add(key);
  if (event === 'stopped') swarm.peers.delete(key);
  else swarm.peers.set(key, { address, port: Number(listens), left, seen: Date.now() });
  let wanted = /^\d{1,9}$/.test(one('numwant')) ? Number(one('numwant')) : 50;
  if (event === 'stopped') wanted = 0;
  const others = [...swarm.peers].filter(([other, peer]) => other !== key && !(left === 0 && peer.left === 0));
  for (let i = others.length - 1; i > 0; i--) {
    const j = Math.floor(Math.random() * (i + 1));
    [others[i], others[j]] = [others[j], others[i]];
  }
  const compact = others.slice(0, Math.min(wanted, 200)).map(([, peer]) => {
    const bytes = Buffer.alloc(6);
    bytes.set(peer.address.split('.').map(Number));
    bytes.writeUInt16BE(peer.port, 4);
    return bytes.toString('latin1');
  });
  return { interval, ...counts(swarm), peers: compact.join('') };
}

function counts(swarm) {
  const seeds = [...swarm.peers.values()].filter((peer) => peer.left === 0).length;
  return { complete: seeds, incomplete: swarm.peers.size - seeds };
}

function scrape(query) {
  const files = {};
  for (const hash of query.get('info_hash') ?? []) {
    const swarm = swarms.get(hash);
    if (swarm) files[hash] = { ...counts(swarm), downloaded: swarm.completed.size };
  }
  return { files };
}

http.createServer((request, response) => {
  const [path, query = ''] = request.url.split(/\?(.*)/s);
  const address = request.socket.remoteAddress.replace('::ffff:', '');
  let answer;
  if (path === '/announce') answer = announce(parameters(query), address);
  else if (path === '/scrape') answer = scrape(parameters(query));
  else {
    response.writeHead(404);
    return response.end();
  }
  const body = Buffer.from(bencode(answer), 'latin1');
  response.writeHead(200, { 'Content-Type': 'text/plain', 'Content-Length': body.length });
  response.end(body);
}).listen(port, '127.0.0.1');
