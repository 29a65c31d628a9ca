import { createHash, randomBytes } from 'node:crypto'
import fs from 'node:fs'
import path from 'node:path'
import BetterSqlite from 'better-sqlite3'
import { combineKey } from '../../../src/core/payload/split-key.ts'
import { loadAddon } from '../../../src/io/native/load-addon.ts'
import type { TenantOptions } from '../../../src/roles/tenant/tenant-options.ts'
import { endAll, listens, type RoleProcess, startRole } from '../../chaos/role-process.ts'
import { dumpMemory, holds } from '../../secret-search.ts'
import { until } from '../../servers.ts'
import { sampled } from '../../thorough.ts'
import { type RealMachine, WholeBed } from '../../whole-bed.ts'

/** The memory of another process is root's alone, and agents mount their tmpfs. */
const describeAsRoot = process.getuid?.() === 0 ? describe : describe.skip

/** Tenant, registrar and agents in this process, the verifier in one of its own: what is in its memory came over the wire. */
class ApartBed extends WholeBed {
  process!: RoleProcess

  override async startVerifier(): Promise<void> {
    const port = Number(this.home.env['KEYLIME_VERIFIER_PORT'])
    this.process = startRole(['verifier', '-v'], { ...this.home.env, KEYLIME_VERIFIER_HOST_REGISTRAR: 'False' })
    await listens(this.process, port)
    this.verifier = { port, stop: () => this.process.kill() } as typeof this.verifier
  }

  dump(): Buffer {
    return dumpMemory(this.process.child.pid!)
  }

  /** The share that the verifier keeps for a machine. */
  storedV({ id }: RealMachine): Buffer {
    const binding = loadAddon<object>('better_sqlite3.node') as never
    const db = new BetterSqlite(this.path('cv_data.sqlite'), { readonly: true, nativeBinding: binding })
    const { v } = db.prepare('select v from agents where agent_id = ?').get(id) as { v: string }
    db.close()
    return Buffer.from(v, 'base64')
  }

  /** The key that a machine has put together. */
  async keyOf({ id, dir }: RealMachine): Promise<Buffer> {
    const file = path.join(dir, 'secure/derived_tci_key')
    await until(`the key of ${id}`, () => fs.existsSync(file), 40)
    return Buffer.from(fs.readFileSync(file, 'utf8'), 'base64')
  }
}

/** How a machine comes to its payload, and why it does not before it may. */
interface Way {
  options: Partial<TenantOptions>
  wait(machine: RealMachine): Promise<void>
  go(machine: RealMachine): Promise<void>
}

const EXTENSION = createHash('sha256').update('the machine may have it now').digest()
const MET = createHash('sha256').update(Buffer.alloc(32)).update(EXTENSION).digest('hex')

describeAsRoot('of a delivery the memory of the verifier, its log and its files have', () => {
  const bed = new ApartBed()
  beforeAll(() => bed.start(), 60_000)
  afterAll(() => bed.stop().finally(endAll))

  const off = (machine: RealMachine) => machine.stop()
  const ways: Record<string, Way> = {
    pushed: {
      options: { pushModel: true },
      wait: off,
      go: (machine) =>
        machine.start({
          KEYLIME_AGENT_IP: '',
          KEYLIME_AGENT_VERIFIER_URL: `https://127.0.0.1:${bed.verifier.port}`,
          KEYLIME_AGENT_VERIFIER_TLS_CA_CERT: path.join(machine.dir, 'cacert.crt'),
        }),
    },
    sealed: { options: { sealed: true }, wait: off, go: (machine) => machine.start() },
    handed: {
      options: { tpmPolicy: JSON.stringify({ 15: [MET] }) },
      wait: async () => undefined,
      async go({ id, tpm }) {
        await tpm.extendPcr(15, EXTENSION)
        await bed.tenant('reactivate', { agentId: id })
      },
    },
  }

  test.each(sampled(Object.entries(ways), 3))(
    'V, and never U, K or the payload (%s)',
    async (name, { options, wait, go }) => {
      const machine = await bed.machine(name)
      await wait(machine)
      const payload = `the payload of ${name} ${randomBytes(24).toString('hex')}`
      fs.writeFileSync(bed.path(name, 'payload'), payload)
      await bed.tenant('add', { agentId: machine.id, file: bed.path(name, 'payload'), wait: false, ...options })
      const v = bed.storedV(machine)
      const before = bed.dump()
      await go(machine)
      const k = await bed.keyOf(machine)
      await until('the end of V', async () => (await bed.status(machine)).v_released, 20)
      const after = bed.dump()
      expect([holds(before, v), holds(after, Buffer.from(machine.id))]).toEqual([true, true]) // the search can find
      const found = ['cv_data.sqlite', 'cv_data.sqlite-wal'].map((file) => fs.readFileSync(bed.path(file)))
      const places = { before, after, log: Buffer.from(bed.process.text()), database: Buffer.concat(found) }
      for (const [place, bytes] of Object.entries(places))
        for (const [secret, value] of Object.entries({ k, u: combineKey(k, v), payload: Buffer.from(payload) }))
          expect([place, secret, holds(bytes, value)]).toEqual([place, secret, false])
    },
    180_000,
  )
})
