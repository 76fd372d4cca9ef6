// SPDX-License-Identifier: BSD-3-Clause
// Copyright (c) 2026 the nvmmio authors
//
// files.js — node's ways to files: calls that wait, calls worked off by its threads, streams, workers, children.
'use strict';
const childProcess = require('child_process');
const crypto = require('crypto');
const fs = require('fs');
const { Worker } = require('worker_threads');
const { pipeline } = require('stream/promises');
const zlib = require('zlib');

function bytes(length, seed) {
    const buffer = Buffer.alloc(length);
    for (let i = 0, x = seed; i < length; i++) {
        x = (Math.imul(x, 1103515245) + 12345) & 0x7fffffff;
        buffer[i] = x >> 16;
    }
    return buffer;
}

function sum(data) {
    return crypto.createHash('md5').update(data).digest('hex');
}

function waiting() {
    const fd = fs.openSync('a', 'w+');
    for (let i = 0; i < 500; i++) {
        fs.writeSync(fd, bytes(1 + (i * 37) % 5000, i), 0, null, (i * 7919) % 300000);
        if (i % 20 === 0)
            fs.fsyncSync(fd);
    }
    console.log(fs.fstatSync(fd).size, sum(fs.readFileSync('a')));
    fs.ftruncateSync(fd, 100000);
    fs.closeSync(fd);
}

async function threads() {
    for (let i = 0; i < 50; i++)
        await fs.promises.appendFile('log', `line ${i}\n`);
    const file = await fs.promises.open('b', 'w+');
    await Promise.all([...Array(40).keys()].map((i) => file.write(bytes(3000, i), 0, 3000, i * 3000)));
    await file.sync();
    await Promise.all([...Array(40).keys()].map((i) => file.write(bytes(700, i + 50), 0, 700, i * 2900)));
    await file.datasync();
    await file.writev([bytes(10, 1), bytes(5000, 2)], 100);
    const back = Buffer.alloc(8000);
    await file.readv([back], 50);
    console.log(sum(back), (await file.stat()).size);
    await file.close();
}

async function streams() {
    await pipeline(fs.createReadStream('b'), zlib.createGzip(), fs.createWriteStream('b.gz'));
    await pipeline(fs.createReadStream('b.gz'), zlib.createGunzip(), fs.createWriteStream('c'));
    console.log(fs.readFileSync('b').equals(fs.readFileSync('c')));
    const stream = fs.createWriteStream('s', { flags: 'a' });
    for (let i = 0; i < 1000; i++)
        stream.write(`record ${i}\n`);
    await new Promise((done) => stream.end(done));
    console.log(fs.readFileSync('s', 'utf8').length);
}

async function names() {
    fs.copyFileSync('b', 'd');
    fs.renameSync('d', 'e');
    fs.linkSync('e', 'f');
    fs.utimesSync('e', 1000, 2000);
    console.log(fs.statSync('f').mtimeMs, fs.statSync('f').size);
    await fs.promises.truncate('e', 1234);
    await fs.promises.cp('e', 'g');
    console.log(fs.statSync('g').size);
}

async function others() {
    console.log(childProcess.execFileSync('tail', ['-n', '1', 's']).toString());
    const out = fs.openSync('child', 'w');
    childProcess.spawnSync('echo', ['from the child'], { stdio: ['ignore', out, out] });
    fs.writeSync(out, 'parent\n');
    fs.closeSync(out);
    console.log(fs.readFileSync('child', 'utf8'));
    const work = `const fs = require('fs'), { workerData } = require('worker_threads'), fd = fs.openSync('w', 'a');
        for (let i = 0; i < 300; i++) { fs.writeSync(fd, workerData + ' ' + i + '\\n'); if (i % 50 == 0) fs.fsyncSync(fd); }
        fs.closeSync(fd);`;
    await Promise.all([0, 1, 2].map((n) => new Promise((done, failed) => {
        const worker = new Worker(work, { eval: true, workerData: n });
        worker.on('exit', done);
        worker.on('error', failed);
    })));
    const lines = fs.readFileSync('w', 'utf8').trim().split('\n');
    console.log(lines.length, [0, 1, 2].map((n) => lines.filter((l) => l.startsWith(`${n} `)).every((l, i) => l === `${n} ${i}`)));
    fs.unlinkSync('w');
}

(async () => {
    waiting();
    await threads();
    await streams();
    await names();
    await others();
    console.log(fs.readdirSync('.').filter((n) => !n.startsWith('.')).sort().join(' '));
})();
