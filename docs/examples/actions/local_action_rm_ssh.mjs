// Takes the SSH key of a revoked machine out of authorized_keys, and, on the revoked machine itself, its own keys.
// The same as local_action_rm_ssh.py, for machines without Python.
import { X509Certificate } from 'node:crypto'
import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'

const sshDirectory = path.join(os.homedir(), '.ssh')
const authorizedKeys = path.join(sshDirectory, 'authorized_keys')
const unzipped = path.join(process.env.KEYLIME_DIR ?? '/var/lib/keylime', 'secure/unzipped')

export function execute(event) {
  const serial = event.metadata?.cert_serial
  if (event.type !== 'revocation' || serial === undefined) throw new Error(`not a revocation of a certificate: ${event.type}`)
  const own = new X509Certificate(fs.readFileSync(path.join(unzipped, 'mycert.crt')))
  if (BigInt(`0x${own.serialNumber}`) === BigInt(serial)) removeOwnKeys()
  else removeAuthorized()
}

// A machine that failed may well not do this; it is for one that failed by mistake.
function removeOwnKeys() {
  for (const name of ['payload_id_rsa', 'payload_id_rsa.pub']) fs.rmSync(path.join(sshDirectory, name), { force: true })
  console.log('own keys removed')
}

// The payload's public keys are those of the machine that was let in.
function removeAuthorized() {
  const files = fs.readdirSync(unzipped).filter((name) => /^payload_id_.*\.pub$/.test(name))
  const revoked = files.map((name) => fs.readFileSync(path.join(unzipped, name), 'utf8').split(/\s+/)[1])
  if (!fs.existsSync(authorizedKeys)) return
  const lines = fs.readFileSync(authorizedKeys, 'utf8').split(/(?<=\n)/)
  const kept = lines.filter((line) => !line.split(/\s+/).some((word) => revoked.includes(word)))
  if (kept.length === lines.length) return
  replace(authorizedKeys, kept.join(''))
  console.log(`${lines.length - kept.length} keys removed from ${authorizedKeys}`)
}

// Whole or not at all: sshd must never read half of the file.
function replace(file, text) {
  const { mode, uid, gid } = fs.statSync(file)
  const temporary = `${file}.${process.pid}.tmp`
  fs.writeFileSync(temporary, text, { mode: mode & 0o7777, flag: 'wx' })
  fs.chownSync(temporary, uid, gid)
  fs.renameSync(temporary, file)
}
