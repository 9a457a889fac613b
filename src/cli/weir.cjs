#!/usr/bin/env node
// The `weir` command: plain old JavaScript, so that an old Node can still say what is wrong.
// Node 26 comes with the package where it has a build for this machine; any Node from 22.18 serves.
'use strict';
const path = require('path');
const fs = require('fs');

const parts = process.versions.node.split('.').map(Number);
const recent = parts[0] > 22 || (parts[0] === 22 && parts[1] >= 18);
const main = path.join(__dirname, '..', '..', 'dist', 'src', 'cli', 'main.js');

/** The Node that was installed beside this package, or above it where packages are hoisted. */
function pinnedNode() {
  const name = 'node-' + process.platform + '-' + process.arch;
  return ['../../node_modules', '../../..']
    .map(function (folder) {
      return path.join(__dirname, folder, name, 'bin', 'node');
    })
    .find(fs.existsSync);
}

function fail(sentence) {
  process.stderr.write('weir: ' + sentence + '\n');
  process.exit(78);
}

function runPinned(node) {
  const child = require('child_process').spawn(node, [main].concat(process.argv.slice(2)), {
    // Descriptor 3 closes when this process ends, however it ends: then the program ends too.
    stdio: ['inherit', 'inherit', 'inherit', 'pipe'],
    env: Object.assign({}, process.env, { WEIR_LIFELINE: '3' }),
  });
  ['SIGINT', 'SIGTERM', 'SIGHUP'].forEach(function (signal) {
    process.on(signal, function () {
      child.kill(signal);
    });
  });
  child.on('exit', function (code, signal) {
    if (signal) {
      // Not to be passed on once more, to a child that is gone: it ends this process as it did the child.
      process.removeAllListeners(signal);
      process.kill(process.pid, signal);
    } else process.exit(code === null ? 1 : code);
  });
}

if (!fs.existsSync(main)) {
  fail('it is not built yet; run `npm run build` in the folder of the project.');
} else if (recent) {
  import(require('url').pathToFileURL(main).href).catch(function (error) {
    fail('cannot start: ' + error.message);
  });
} else {
  const node = pinnedNode();
  if (node) runPinned(node);
  else fail('Node ' + process.versions.node + ' is too old; it needs Node 22.18 or later (26 is best).');
}
