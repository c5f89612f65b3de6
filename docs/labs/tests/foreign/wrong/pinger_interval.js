// Wrong: a timer sends something every 200 ms; a ping that is answered after 10 ms still waits for the next tick.
const dgram = require('dgram');
const [host, port, count] = process.argv.slice(2);
const socket = dgram.createSocket('udp4');
let ping = 1, attempt = 0, sent = 0, lost = 0, answered = false;
const rtts = [];
let sentAt = {};
function tick() {
  if (answered || attempt === 3) {
    if (!answered) { lost++; console.log(`lost ${ping}`); }
    ping++; attempt = 0; answered = false; sentAt = {};
    if (ping > Number(count)) return finish();
  }
  attempt++; sent++;
  sentAt[attempt] = performance.now();
  socket.send(`${ping} ${attempt}`, Number(port), host);
}
socket.on('message', (bytes) => {
  const match = /^(\d+) (\d+)$/.exec(bytes.toString());
  if (!match || answered || Number(match[1]) !== ping || !(match[2] in sentAt)) return;
  const rtt = performance.now() - sentAt[match[2]];
  rtts.push(rtt);
  answered = true;
  console.log(`reply ${ping} ${match[2]} ${rtt.toFixed(1)}`);
});
const timer = setInterval(tick, 200);
tick();
function finish() {
  clearInterval(timer);
  const mean = rtts.reduce((a, b) => a + b, 0) / rtts.length;
  const rtt = rtts.length ? `, rtt min/avg/max ${[Math.min(...rtts), mean, Math.max(...rtts)].map((x) => x.toFixed(1)).join('/')} ms` : '';
  console.log(`${count} pings, ${sent} sent, ${rtts.length} replied, ${lost} lost${rtt}`);
  socket.close();
}
