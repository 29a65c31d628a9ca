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
