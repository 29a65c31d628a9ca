import { execFileSync } from 'node:child_process'
import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { ApiClient } from '../../../src/io/http/api-client.ts'
import { BUG, complaintOf, endAll, isWhole, listens, type RoleProcess, runRole, startRole, type Trouble } from '../../chaos/role-process.ts'
import { adminClient, freePorts, until } from '../../servers.ts'
import { type Swtpm, startSwtpm } from '../../swtpm.ts'

const describeAsRoot = process.getuid?.() === 0 ? describe : describe.skip

interface Role {
  readonly words: string[]
  /** It is done when it has ended, and not when it listens. */
  readonly isCommand?: boolean
}
const ROLES: Record<string, Role> = {
  verifier: { words: ['verifier'] },
  registrar: { words: ['registrar'] },
  agent: { words: ['agent'] },
  'ca init': { words: ['ca', 'init'], isCommand: true },
  'ca create': { words: ['ca', 'create', 'web', '--replace'], isCommand: true },
}

/** How a disk is in trouble. @returns what a process is started with. */
interface DiskTrouble {
  begin(disk: string): Trouble
  end(disk: string): void
}

describeAsRoot('a disk in trouble', () => {
  const dir = fs.mkdtempSync(path.join(os.tmpdir(), 'keylime-disk-'))
  const disk = path.join(dir, 'disk')
  const library = path.join(dir, 'io-error.so')
  let tpm: Swtpm
  let env: NodeJS.ProcessEnv
  let ports: [number, number, number, number]
  let registrar: ReturnType<typeof startRole>

  const full: DiskTrouble = {
    begin(disk) {
      const fd = fs.openSync(path.join(disk, 'filler'), 'w')
      for (const size of [65_536, 4096]) {
        try {
          for (;;) fs.writeSync(fd, Buffer.alloc(size))
        } catch {} // it is full
      }
      fs.closeSync(fd)
      return {}
    },
    end: (disk) => fs.rmSync(path.join(disk, 'filler'), { force: true }),
  }
  const readOnly: DiskTrouble = {
    begin(disk) {
      execFileSync('mount', ['-o', 'remount,ro', disk])
      return {}
    },
    end: (disk) => void execFileSync('mount', ['-o', 'remount,rw', disk]),
  }
  const broken: DiskTrouble = {
    begin(disk) {
      fs.writeFileSync(path.join(disk, 'on'), '')
      return { env: { LD_PRELOAD: library, CHAOS_EIO: disk } }
    },
    end: (disk) => fs.rmSync(path.join(disk, 'on'), { force: true }),
  }
  const TROUBLES: Record<string, DiskTrouble> = { 'full (ENOSPC)': full, 'read-only (EROFS)': readOnly, 'broken (EIO)': broken }

  beforeAll(async () => {
    fs.mkdirSync(disk)
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=8m', 'tmpfs', disk])
    execFileSync('gcc', ['-shared', '-fPIC', '-O1', '-o', library, path.resolve(import.meta.dirname, '../../chaos/io-error.c'), '-ldl'])
    tpm = await startSwtpm()
    ports = (await freePorts(4)) as typeof ports
    env = {
      KEYLIME_DIR: path.join(disk, 'keylime'),
      TCTI: tpm.tcti,
      KEYLIME_CA_PASSWORD: 'x',
      KEYLIME_CA_CERT_KEY_TYPE: 'ecdsa',
      KEYLIME_VERIFIER_PORT: `${ports[0]}`,
      KEYLIME_REGISTRAR_PORT: `${ports[1]}`,
      KEYLIME_REGISTRAR_TLS_PORT: `${ports[2]}`,
      KEYLIME_AGENT_RUN_AS: '',
      KEYLIME_AGENT_PORT: `${ports[3]}`,
      KEYLIME_AGENT_CONTACT_PORT: `${ports[3]}`,
      KEYLIME_AGENT_REGISTRAR_PORT: `${ports[1]}`,
      KEYLIME_AGENT_TPM_ENCRYPTION_ALG: 'ecc',
      KEYLIME_AGENT_TPM_SIGNING_ALG: 'ecdsa',
      KEYLIME_AGENT_UNMOUNT_SECURE: 'false',
      KEYLIME_AGENT_EXPONENTIAL_BACKOFF_MAX_RETRIES: '0',
    }
  })
  afterEach(endAll)
  afterAll(async () => {
    await tpm.stop()
    for (const mounted of [path.join(disk, 'keylime/secure'), disk]) {
      try {
        execFileSync('umount', ['-l', mounted], { stdio: 'ignore' })
      } catch {} // it is not mounted
    }
    fs.rmSync(dir, { recursive: true, force: true })
  })

  const portOf = (name: string) => ({ verifier: ports[0], registrar: ports[2], agent: ports[3] })[name]!

  /** All but the mount. */
  function clear(): void {
    const home = env['KEYLIME_DIR']!
    const names = fs.existsSync(home) ? fs.readdirSync(home) : []
    for (const name of names) if (name !== 'secure') fs.rmSync(path.join(home, name), { recursive: true, force: true })
  }

  /** Another role that it needs, untouched by the trouble. */
  async function withNeeds(name: string): Promise<void> {
    fs.mkdirSync(env['KEYLIME_DIR']!, { recursive: true })
    if (name === 'ca init') return
    if (name === 'ca create') return void (await runRole(['ca', 'init'], env))
    const verifier = startRole(['verifier'], env)
    await listens(verifier, ports[0])
    await listens(verifier, ports[1])
    await verifier.kill()
    fs.rmSync(path.join(env['KEYLIME_DIR']!, 'cv_data.sqlite'), { force: true })
    if (name !== 'agent') return
    registrar = startRole(['registrar'], { ...env, KEYLIME_DIR: path.join(dir, 'elsewhere') })
  }

  /** @returns how it ended, or null when it serves. */
  async function end(name: string, trouble: Trouble) {
    const role = startRole(ROLES[name]!.words, env, trouble)
    if (!ROLES[name]!.isCommand && (await listens(role, portOf(name)))) {
      await role.kill()
      return { code: 0, signal: null, text: role.text() }
    }
    return { ...(await role.ended), text: role.text() }
  }

  const cases = Object.keys(TROUBLES).flatMap((trouble) => Object.keys(ROLES).map((role) => [role, trouble] as const))
  test.each(isWhole ? cases : cases.filter(([role, trouble]) => role === 'ca create' && trouble.startsWith('full')))(
    '%s on one that is %s says so in one line with a hint, and does its work when that is over',
    async (name, trouble) => {
      fs.rmSync(path.join(dir, 'elsewhere'), { recursive: true, force: true })
      clear()
      await withNeeds(name)
      if (name === 'agent') {
        fs.cpSync(path.join(env['KEYLIME_DIR']!, 'cv_ca'), path.join(dir, 'elsewhere/cv_ca'), { recursive: true })
        await registrar.kill()
        registrar = startRole(['registrar'], { ...env, KEYLIME_DIR: path.join(dir, 'elsewhere') })
        await listens(registrar, ports[1])
      }
      const given = TROUBLES[trouble]!.begin(disk)
      const troubled = await end(name, given).finally(() => TROUBLES[trouble]!.end(disk))
      expect([name, trouble, complaintOf(troubled)]).toEqual([name, trouble, null])
      if (ROLES[name]!.isCommand) expect([name, trouble, troubled.code, troubled.text]).toEqual([name, trouble, 1, expect.any(String)])
      const after = await end(name, {})
      expect([name, trouble, after.code, after.text]).toEqual([name, trouble, 0, expect.any(String)])
    },
  )

  /** The limit is on numbers, and the next file gets the smallest that is free. */
  const descriptors = (role: RoleProcess) => fs.readdirSync(`/proc/${role.child.pid}/fd`).map(Number)
  const free = (role: RoleProcess) => {
    const used = new Set(descriptors(role))
    return Array.from({ length: used.size + 1 }, (_, i) => i).filter((number) => !used.has(number))
  }
  /** A start that finds none ends; this is about one that is over. */
  const started = (role: RoleProcess) =>
    until('the end of its start', async () => {
      const before = descriptors(role).join()
      await sleep(1000)
      return descriptors(role).join() === before
    })
  const limit = (role: RoleProcess, files: number) => execFileSync('prlimit', ['--pid', `${role.child.pid}`, `--nofile=${files}:`])
  const version = async (client: ApiClient) => (await client.request('GET', '/version')).status

  test.each(isWhole ? ['verifier', 'registrar'] : ['registrar'])(
    'the %s without a free descriptor (EMFILE) lives on, and answers when there are some',
    async (name) => {
      clear()
      await withNeeds(name)
      const role = startRole(ROLES[name]!.words, env)
      await listens(role, portOf(name))
      const client = () => adminClient(env['KEYLIME_DIR']!, portOf(name))
      const [first, second] = [client(), client()]
      await until('its first answer', async () => (await version(first)) === 200)
      await started(role)
      limit(role, Math.min(...free(role)))
      await expect(version(second)).rejects.toMatchObject({ name: 'KeylimeError' })
      limit(role, 1024)
      await until('an answer', () =>
        version(client()).then(
          (status) => status === 200,
          () => false,
        ),
      )
      expect([role.isRunning(), role.text()]).toEqual([true, expect.not.stringMatching(BUG)])
      await Promise.all([first.close(), second.close()])
      await role.kill()
    },
  )
})
