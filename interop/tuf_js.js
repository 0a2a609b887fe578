// tuf-js and @tufjs/models as the other side: reads a repository as a client, or signs one.
//
//     node tuf_js.js version
//     node tuf_js.js read DIR BASE_URL ROOT       target paths on stdin, one per line
//     node tuf_js.js write DIR consistent|plain [KEYS]
//
// `read` keeps its trusted metadata in DIR from one call to the next. `write` leaves the private keys that sign at the end in
// KEYS, if that is given. Both print one JSON object: target path to
// SHA-256. The packages are looked up in NODE_PATH.
'use strict';
const crypto = require('crypto');
const fs = require('fs');
const path = require('path');
const { canonicalize } = require('@tufjs/canonical-json');
const { Key, Metadata, MetaFile, Root, Signature, Snapshot, TargetFile, Targets, Timestamp } = require('@tufjs/models');
const { Updater } = require('tuf-js');

const hash = (data, algorithm = 'sha256') => crypto.createHash(algorithm).update(data).digest('hex');
const year = new Date().getUTCFullYear();
// What JavaScript calls a time has a fraction.
const specVersion = '1.0.31', expires = `${year + 2}-02-03T04:05:06.789Z`;

async function read(directory, base, root) {
  const metadataDir = path.join(directory, 'metadata'), targetDir = path.join(directory, 'targets');
  for (const each of [metadataDir, targetDir]) fs.mkdirSync(each, { recursive: true });
  // Its trusted root is the one in the directory.
  const trusted = path.join(metadataDir, 'root.json');
  if (!fs.existsSync(trusted)) fs.copyFileSync(root, trusted);
  const updater = new Updater({
    metadataDir, targetDir, metadataBaseUrl: `${base}/metadata`, targetBaseUrl: `${base}/targets`,
  });
  await updater.refresh();
  const found = {};
  for (const target of fs.readFileSync(0, 'utf8').split('\n').filter(Boolean)) {
    const info = await updater.getTargetInfo(target);
    if (!info) throw new Error(`tuf-js finds no target ${target}`);
    found[target] = hash(fs.readFileSync(await updater.downloadTarget(info, path.join(targetDir, 'one'))));
  }
  return found;
}

function signer(type, options, keyType, scheme, form) {
  const { publicKey, privateKey } = crypto.generateKeyPairSync(type, options);
  const pem = publicKey.export({ type: 'spki', format: 'pem' });
  // The last 32 bytes of ed25519's SPKI are the key, the last 65 of P-256's the point.
  const der = publicKey.export({ type: 'spki', format: 'der' });
  const value = form ? der.subarray(-form).toString('hex') : pem;
  const json = { keytype: keyType, scheme, keyval: { public: value } };
  const key = Key.fromJSON(hash(canonicalize(json)), json);
  const secret = type === 'rsa'
    ? { key: privateKey, padding: crypto.constants.RSA_PKCS1_PSS_PADDING, saltLength: 32 }
    : privateKey;
  const digest = type === 'ed25519' ? undefined : 'sha256';
  const keep = (file) => fs.writeFileSync(file, privateKey.export({ type: 'pkcs8', format: 'pem' }), { mode: 0o600 });
  return { key, keep, sign: (data) => new Signature({ keyID: key.keyID, sig: crypto.sign(digest, data, secret).toString('hex') }) };
}

function write(directory, consistent, keep) {
  const put = (name, data) => {
    const file = path.join(directory, name);
    fs.mkdirSync(path.dirname(file), { recursive: true });
    fs.writeFileSync(file, data);
  };
  const sign = (signed, signers) => {
    const metadata = new Metadata(signed);
    for (const each of signers) metadata.sign((data) => each.sign(data));
    return Buffer.from(JSON.stringify(metadata.toJSON()));
  };
  const ed = signer('ed25519', {}, 'ed25519', 'ed25519', 32);
  const ecdsa = signer('ec', { namedCurve: 'prime256v1' }, 'ecdsa', 'ecdsa-sha2-nistp256');
  // The forms that tuf-js takes besides: the old key type, and the point in hex.
  const old = signer('ec', { namedCurve: 'prime256v1' }, 'ecdsa-sha2-nistp256', 'ecdsa-sha2-nistp256');
  const hex = signer('ec', { namedCurve: 'prime256v1' }, 'ecdsa-sha2-nistp256', 'ecdsa-sha2-nistp256', 65);
  const rsa = signer('rsa', { modulusLength: 2048 }, 'rsa', 'rsassa-pss-sha256');

  if (keep) {
    fs.mkdirSync(keep);
    for (const [name, each] of Object.entries({ ed, ecdsa, old, hex, rsa })) each.keep(path.join(keep, `${name}.pem`));
  }
  const publishRoot = (version, keys, threshold, signers) => {
    const root = new Root({ version, specVersion, expires, consistentSnapshot: consistent });
    for (const each of keys) root.addKey(each.key, 'root');
    root.roles.root.threshold = threshold;
    root.addKey(ecdsa.key, 'timestamp');
    root.addKey(hex.key, 'snapshot');
    root.addKey(rsa.key, 'targets');
    put(`metadata/${version}.root.json`, sign(root, signers));
  };
  publishRoot(1, [ed, hex], 2, [ed, hex]);
  publishRoot(2, [ed, old, rsa], 2, [ed, hex, old]);
  publishRoot(3, [old, rsa], 1, [ed, old]);

  const found = {}, meta = {};
  const add = (targets, name, algorithms) => {
    const data = Buffer.from(`the target ${name}`);
    found[name] = hash(data);
    const hashes = Object.fromEntries(algorithms.map((algorithm) => [algorithm, hash(data, algorithm)]));
    targets.addTarget(new TargetFile({
      path: name, length: data.length, hashes, unrecognizedFields: { custom: { size: data.length, note: 'é"\\' } },
    }));
    const { dir, base } = path.parse(name);
    const names = consistent ? Object.values(hashes).map((sum) => `${sum}.${base}`) : [base];
    for (const each of names) put(path.join('targets', dir, each), data);
  };
  const publish = (role, signed, signers) => {
    const data = sign(signed, signers);
    put(`metadata/${consistent ? `${signed.version}.` : ''}${encodeURIComponent(role)}.json`, data);
    meta[`${role}.json`] = new MetaFile({ version: signed.version, length: data.length, hashes: { sha256: hash(data) } });
    return data;
  };
  const delegation = (name, each, more) => ({ name, keyids: [each.key.keyID], threshold: 1, ...more });
  const keys = Object.fromEntries([ed, old].map((each) => [each.key.keyID, each.key.toJSON()]));
  const common = { _type: 'targets', spec_version: specVersion, expires, targets: {} };
  const targets = Targets.fromJSON({
    ...common, version: 4,
    delegations: {
      keys,
      roles: [
        delegation('prefixed', ed, { terminating: false, path_hash_prefixes: [hash('by/hash.txt').slice(0, 2)] }),
        delegation('lib', old, { terminating: true, paths: ['lib/*', 'lib/*/*'] }),
      ],
    },
  });
  add(targets, 'top.txt', ['sha256']);
  add(targets, 'some/where/two.txt', ['sha256', 'sha512']);
  const prefixed = Targets.fromJSON({ ...common, version: 5 });
  add(prefixed, 'by/hash.txt', ['sha512']);
  const lib = Targets.fromJSON({
    ...common, version: 6,
    delegations: {
      keys, succinct_roles: { keyids: [ed.key.keyID], threshold: 1, bit_length: 2, name_prefix: 'lib-bin' },
    },
  });
  add(lib, 'lib/direct.txt', ['sha256']);
  const bins = Object.fromEntries([...lib.delegations.succinctRoles.getRoles()].map((name) =>
    [name, Targets.fromJSON({ ...common, version: 1 })]));
  for (let number = 0; number < 6; number += 1) {
    const name = `lib/bin/${number}.txt`;
    add(bins[lib.delegations.succinctRoles.getRoleForTarget(name)], name, ['sha256']);
  }
  publish('targets', targets, [rsa]);
  publish('prefixed', prefixed, [ed]);
  publish('lib', lib, [old]);
  for (const [name, bin] of Object.entries(bins)) publish(name, bin, [ed]);
  const snapshot = publish('snapshot', new Snapshot({ version: 8, specVersion, expires, meta: { ...meta } }), [hex]);
  const snapshotMeta = new MetaFile({ version: 8, length: snapshot.length, hashes: { sha256: hash(snapshot) } });
  put('metadata/timestamp.json', sign(new Timestamp({ version: 9, specVersion, expires, snapshotMeta }), [ecdsa]));
  return found;
}

async function main(command, ...rest) {
  if (command === 'version') {
    const of = (name) => {
      // Not every package exports its package.json.
      const directory = process.env.NODE_PATH.split(path.delimiter).find((each) => fs.existsSync(path.join(each, name)));
      return JSON.parse(fs.readFileSync(path.join(directory, name, 'package.json'), 'utf8')).version;
    };
    return { 'tuf-js': of('tuf-js'), '@tufjs/models': of('@tufjs/models'), node: process.version };
  }
  if (command === 'read') return read(...rest);
  return write(rest[0], rest[1] === 'consistent', rest[2]);
}

main(...process.argv.slice(2)).then(
  (result) => console.log(JSON.stringify(result)),
  (error) => {
    console.error(error);
    process.exitCode = 1;
  },
);
