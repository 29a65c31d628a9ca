// Fetches the authority's revocation list anew when a machine was revoked, checks it, and puts it into secure/unzipped.
// The same as local_action_update_crl.py, for machines without Python; it needs openssl. nginx and others read a list only at a reload: name the command in RELOAD_COMMAND.
const { execFileSync, spawnSync } = require('node:child_process')
const fs = require('node:fs')
const path = require('node:path')

const unzipped = path.join(process.env.KEYLIME_DIR ?? '/var/lib/keylime', 'secure/unzipped')
const authority = path.join(unzipped, 'cacert.crt')
const RELOAD_COMMAND = [] // for example ['systemctl', 'reload', 'nginx']
const ATTEMPTS = 10

exports.execute = async (event) => {
  const serial = event.metadata?.cert_serial
  if (event.type !== 'revocation' || serial === undefined) throw new Error(`not a revocation of a certificate: ${event.type}`)
  const url = distributionPoint()
  // The verifier tells agents and authority at the same time: the new list may be a moment away.
  for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
    if (attempt > 0) await new Promise((resolve) => setTimeout(resolve, 500))
    const reply = await fetch(url, { signal: AbortSignal.timeout(5000) }).catch(() => undefined)
    if (!reply?.ok || !install(Buffer.from(await reply.arrayBuffer()), BigInt(serial))) continue
    console.log(`revocation list with serial ${serial} is in ${unzipped}`)
    if (RELOAD_COMMAND.length > 0) execFileSync(RELOAD_COMMAND[0], RELOAD_COMMAND.slice(1), { stdio: 'inherit' })
    return
  }
  throw new Error(`${url} gives no list with serial ${serial}`)
}

function distributionPoint() {
  const text = execFileSync('openssl', ['x509', '-in', authority, '-noout', '-ext', 'crlDistributionPoints'], { encoding: 'utf8' })
  const url = /URI:(\S+)/.exec(text)?.[1]
  if (!url) throw new Error('the authority’s certificate names no revocation list')
  return url
}

// Keeps the list when it is signed by the authority and names the serial. Each file is replaced whole.
function install(der, serial) {
  const place = fs.mkdtempSync(path.join(unzipped, '.crl-'))
  try {
    const [newDer, newPem] = ['cacrl.der', 'cacrl.pem'].map((name) => path.join(place, name))
    fs.writeFileSync(newDer, der, { mode: 0o644 })
    const check = spawnSync('openssl', ['crl', '-inform', 'DER', '-in', newDer, '-CAfile', authority, '-noout', '-text'], { encoding: 'utf8' })
    if (check.status !== 0 || !check.stderr.includes('verify OK')) throw new Error('the revocation list is not signed by the authority')
    const serials = [...check.stdout.matchAll(/Serial Number: ([0-9A-F]+)/g)].map(([, hex]) => BigInt(`0x${hex}`))
    if (!serials.includes(serial)) return false
    execFileSync('openssl', ['crl', '-inform', 'DER', '-in', newDer, '-out', newPem])
    for (const file of [newDer, newPem]) {
      fs.chmodSync(file, 0o644)
      fs.renameSync(file, path.join(unzipped, path.basename(file)))
    }
    return true
  } finally {
    fs.rmSync(place, { recursive: true, force: true })
  }
}
