import { execFileSync } from 'node:child_process'
import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { makeSelfSigned } from '../../../src/core/pki/issue.ts'
import { makeKeyPair } from '../../../src/core/pki/keys.ts'

const asRoot = process.getuid?.() === 0 ? test : test.skip // only root can give up root

/** An agent prepares its machine in a process of its own, and makes a file as any of its parts would. */
const SCRIPT = `
import fs from 'node:fs'
const { loadAgentSettings } = await import(process.env.SRC + '/roles/agent/agent-settings.ts')
const { prepareMachine } = await import(process.env.SRC + '/roles/agent/machine/prepare-machine.ts')
const log = { debug() {}, info() {}, warn() {}, error() {}, child: () => log }
const { secure } = prepareMachine(loadAgentSettings(process.env), log, () => {})
const made = process.env.KEYLIME_DIR + '/made'
fs.writeFileSync(made, '')
fs.writeFileSync(secure.directory + '/made', '')
fs.mkdirSync(secure.directory + '/directory')
const mode = (file) => (fs.statSync(file).mode & 0o777).toString(8)
console.log(JSON.stringify({ umask: process.umask(), uid: process.getuid(), groups: process.getgroups().length, modes: [made, secure.directory + '/made', secure.directory + '/directory'].map(mode) }))
`

async function certificate(): Promise<string> {
  const keys = await makeKeyPair({ type: 'ecdsa' })
  const lifetime = { notBefore: Date.now() - 60_000, notAfter: Date.now() + 3_600_000 }
  return (await makeSelfSigned({ commonName: 'CA', ...keys, serial: 1n, ...lifetime, alternativeNames: [] })).pem
}

asRoot(
  'when its machine is prepared, the agent is no longer root, its directory is its own, and whatever it makes is for it alone',
  async () => {
    const home = fs.mkdtempSync(path.join(os.tmpdir(), 'keylime-prepare-'))
    const directory = path.join(home, 'agent')
    fs.chmodSync(home, 0o755)
    fs.mkdirSync(directory, { mode: 0o755 })
    fs.writeFileSync(path.join(home, 'ca.crt'), await certificate())
    const env = {
      PATH: process.env['PATH'],
      SRC: path.resolve(import.meta.dirname, '../../../src'),
      KEYLIME_DIR: directory,
      KEYLIME_AGENT_RUN_AS: 'nobody:nogroup',
      KEYLIME_AGENT_TRUSTED_CLIENT_CA: path.join(home, 'ca.crt'),
    }
    const nobody = Number(execFileSync('id', ['-u', 'nobody'], { encoding: 'utf8' }))
    try {
      const command = 'umask 0; exec "$0" "$@"'
      const output = execFileSync('sh', ['-c', command, process.execPath, '--input-type=module', '-e', SCRIPT], { env, encoding: 'utf8' })
      expect(JSON.parse(output)).toEqual({ umask: 0o077, uid: nobody, groups: 1, modes: ['600', '600', '700'] })
      expect(fs.statSync(directory).uid).toBe(nobody)
    } finally {
      execFileSync('umount', [path.join(directory, 'secure')], { stdio: 'ignore' })
      fs.rmSync(home, { recursive: true })
    }
  },
)

/** An agent prepares its machine, and ends. Prints which logs were open, which still are when it has ended, and what it said. */
const OPENS = `
import fs from 'node:fs'
const { loadAgentSettings } = await import(process.env.SRC + '/roles/agent/agent-settings.ts')
const { prepareMachine } = await import(process.env.SRC + '/roles/agent/machine/prepare-machine.ts')
const said = []
const log = { debug() {}, info(text) { said.push(text) }, warn() {}, error() {}, child: () => log }
const ends = []
const open = () => fs.readdirSync('/proc/self/fd').flatMap((fd) => {
  try { return [fs.readlinkSync('/proc/self/fd/' + fd)] } catch { return [] }
}).flatMap((file) => file.startsWith(process.env.LOGS) ? [file.slice(process.env.LOGS.length)] : []).sort()
prepareMachine(loadAgentSettings(process.env), log, (end) => ends.push(end))
const opened = open()
for (const end of ends) end()
console.log(JSON.stringify({ opened, left: open(), said: said.filter((text) => text.startsWith('this machine has no')) }))
`

asRoot.each<[string, readonly string[], object]>([
  [
    'that are there are opened by root, and closed at the end',
    ['ima', 'runtime_measurements_count', 'boot', 'systemd'],
    { opened: ['boot', 'ima', 'runtime_measurements_count', 'systemd'], left: [], said: [] },
  ],
  [
    'that are not there are said',
    [],
    {
      ...{ opened: [], left: [] },
      said: [
        'this machine has no log of what systemd measures',
        'this machine has no IMA measurement list',
        'this machine has no event log of its firmware',
      ],
    },
  ],
  [
    'of systemd may be one that cannot be opened',
    ['ima', 'runtime_measurements_count', 'boot', 'systemd/'],
    {
      ...{ opened: ['boot', 'ima', 'runtime_measurements_count'], left: [] },
      said: ['this machine has no log of what systemd measures'],
    },
  ],
])('logs of the machine %s', async (_what, files, expected) => {
  const home = fs.mkdtempSync(path.join(os.tmpdir(), 'keylime-prepare-'))
  const [directory, logs] = [path.join(home, 'agent'), path.join(home, 'logs/')]
  fs.chmodSync(home, 0o755)
  for (const made of [directory, logs]) fs.mkdirSync(made, { mode: 0o700 })
  fs.writeFileSync(path.join(home, 'ca.crt'), await certificate())
  for (const file of files) {
    if (file.endsWith('/'))
      fs.symlinkSync('systemd', path.join(logs, 'systemd')) // leads to itself: no error that says it is missing
    else fs.writeFileSync(path.join(logs, file), 'x')
  }
  const env = {
    ...{ PATH: process.env['PATH'], SRC: path.resolve(import.meta.dirname, '../../../src'), LOGS: logs },
    ...{ KEYLIME_DIR: directory, KEYLIME_AGENT_RUN_AS: 'nobody:nogroup', KEYLIME_AGENT_TRUSTED_CLIENT_CA: path.join(home, 'ca.crt') },
    KEYLIME_AGENT_IMA_ML_PATH: path.join(logs, 'ima'),
    KEYLIME_AGENT_MEASUREDBOOT_ML_PATH: path.join(logs, 'boot'),
    KEYLIME_AGENT_SYSTEMD_ML_PATH: path.join(logs, 'systemd'),
  }
  try {
    const output = execFileSync(process.execPath, ['--input-type=module', '-e', OPENS], { env, encoding: 'utf8' })
    expect(JSON.parse(output)).toEqual(expected)
  } finally {
    execFileSync('umount', [path.join(directory, 'secure')], { stdio: 'ignore' })
    fs.rmSync(home, { recursive: true })
  }
})

/** What a running agent does for its certificates, when it may not read those of its authorities any more. */
const KEEPS = `
const { loadAgentSettings } = await import(process.env.SRC + '/roles/agent/agent-settings.ts')
const { prepareMachine } = await import(process.env.SRC + '/roles/agent/machine/prepare-machine.ts')
const { readTrust } = await import(process.env.SRC + '/roles/agent/machine/trust.ts')
const { keepAgentCertificates, ownCertificate } = await import(process.env.SRC + '/roles/agent/identity/keep-agent-certificates.ts')
const { systemClock: clock } = await import(process.env.SRC + '/io/clock.ts')
const fs = await import('node:fs')
const log = { debug() {}, info() {}, warn() {}, error(text) { console.log(text) }, child: () => log }
const settings = loadAgentSettings(process.env)
const { texts } = prepareMachine(settings, log, () => {}).trust
let mayRead = true
try { fs.readFileSync(process.env.KEYLIME_AGENT_TRUSTED_CLIENT_CA) } catch { mayRead = false }
const certificate = await ownCertificate(settings, 'id', { clock, logger: log })
let shown = 0
const upkeep = keepAgentCertificates(settings, { clock, logger: log, lookMs: 5 }, {
  agentId: 'id', certificate, texts, server: { renewTls: () => shown++ }, operators: { renew() {} }, register: async () => {},
})
await new Promise((done) => setTimeout(done, 50))
const said = await upkeep.reload()
upkeep.stop()
console.log(JSON.stringify({ mayRead, shown, said, believed: readTrust(settings, log, texts).operators.trust().authorities.length }))
`

asRoot('authorities that only root may read count on when the agent has given up root', async () => {
  const home = fs.mkdtempSync(path.join(os.tmpdir(), 'keylime-prepare-'))
  const directory = path.join(home, 'agent')
  const ca = path.join(home, 'ca.crt')
  fs.chmodSync(home, 0o755)
  fs.mkdirSync(directory, { mode: 0o755 })
  fs.writeFileSync(ca, await certificate(), { mode: 0o600 })
  const env = {
    PATH: process.env['PATH'],
    SRC: path.resolve(import.meta.dirname, '../../../src'),
    KEYLIME_DIR: directory,
    KEYLIME_AGENT_RUN_AS: 'nobody:nogroup',
    KEYLIME_AGENT_TRUSTED_CLIENT_CA: ca,
  }
  try {
    const output = execFileSync(process.execPath, ['--input-type=module', '-e', KEEPS], { env, encoding: 'utf8' })
    const said = 'the CAs of clients, and their revocation lists, are read again'
    expect(JSON.parse(output)).toEqual({ mayRead: false, shown: 1, said, believed: 1 })
  } finally {
    execFileSync('umount', [path.join(directory, 'secure')], { stdio: 'ignore' })
    fs.rmSync(home, { recursive: true })
  }
})
