import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { type Failure, failure, irrecoverable } from '../../../src/core/verdict/failure.ts'
import { systemClock } from '../../../src/io/clock.ts'
import { silentLogger } from '../../../src/io/log/logger.ts'
import { KnownNotifiers } from '../../../src/roles/agent/revocation/known-notifiers.ts'
import { createRevocationWorker } from '../../../src/roles/agent/revocation/revocation-worker.ts'
import { type RunningListener, startListener } from '../../../src/roles/ca/listen/start.ts'
import { authorityBed, notice, post, serialsOf } from './listener-bed.ts'

const MIB = 1 << 20
/** What a machine can write into the facts of its own failure. */
const ODDITIES: Record<string, unknown> = {
  'a long text': 'x'.repeat(8 * MIB),
  'NULs, of which each becomes an escape of an escape': '\0'.repeat(MIB / 8),
  quotes: '"\\'.repeat(MIB / 8),
  'characters beyond the first plane': '😀'.repeat(MIB / 8),
  'half a character': '\ud800'.repeat(MIB / 8),
  'lines and directions': '\n\u2028\u202e'.repeat(MIB / 8),
  'a list': Array.from({ length: 20_000 }, (_, i) => `${i}`),
  'deep nesting': JSON.parse(`${'[{"a":'.repeat(1000)}1${'}]'.repeat(1000)}`),
  'many names': Object.fromEntries(Array.from({ length: 10_000 }, (_, i) => [`${i}${'n'.repeat(50)}`, '\0'])),
  'the name of a prototype': JSON.parse(`{"__proto__": {"a": "${'y'.repeat(MIB / 8)}"}}`),
}
const KINDS: Record<string, (context: Failure['context']) => Failure> = {
  quote: (context) => irrecoverable('qoute_validation', 'invalid_data', context),
  PCRs: (context) => failure('pcr_validation', 'invalid_pcr_15', context),
  IMA: (context) => failure('ima', 'validation.ima-ng.not_in_allowlist', context),
  'measured boot': (context) => failure('measured_boot', 'invalid_pcr_0', context),
  'the verifier itself': (context) => failure('internal', 'exception', context),
}

let bed: Awaited<ReturnType<typeof authorityBed>>
let listener: RunningListener
let home: string
beforeAll(async () => {
  bed = await authorityBed({}, Object.keys(KINDS).length * Object.keys(ODDITIES).length)
  listener = await startListener({ access: bed.access, config: bed.config, notifier: undefined, logger: silentLogger })
  home = fs.mkdtempSync(path.join(os.tmpdir(), 'keylime-largest-'))
})
afterAll(async () => {
  await listener.stop()
  bed.remove()
  fs.rmSync(home, { recursive: true, force: true })
})

/** An agent's, without the certificate of a notifier: what it takes, it keeps. */
const inbox = () =>
  createRevocationWorker({
    notifiers: new KnownNotifiers({ payloadFile: path.join(home, 'missing.crt'), verifierFile: null, logger: silentLogger }),
    unzipped: home,
    configuredActions: [],
    actionsDirectory: home,
    allowPayloadActions: false,
    goOnAfterFailure: true,
    maxAgeSeconds: 3600,
    clock: systemClock,
    surroundings: {
      keylimeDir: home,
      roomParents: [home],
      runAs: null,
      agentId: 'peer',
      settings: {},
      timeLimitSeconds: 5,
      env: {},
      logger: silentLogger,
    },
    logger: silentLogger,
  })

test('the largest and the oddest failure of each kind is announced in a message that agents and authorities take', async () => {
  let serial = 3
  for (const [kind, make] of Object.entries(KINDS))
    for (const [name, odd] of Object.entries(ODDITIES)) {
      const { eventId, context } = make({ message: String(odd).slice(0, 2 * MIB), path: odd, got: odd, expected: [odd, odd], [name]: odd })
      const signed = notice(bed.key, serial, {
        eventId,
        context: JSON.stringify(context),
        tpmPolicy: JSON.stringify({ 0: 'a'.repeat(MIB / 8) }),
      })
      expect([kind, name, (await post(`http://127.0.0.1:${listener.port}/revocation`, signed)).status]).toEqual([kind, name, 200])
      const agent = inbox()
      expect([kind, name, agent.accept(signed)]).toEqual([kind, name, 'taken'])
      await agent.close()
      fs.rmSync(path.join(home, 'waiting-revocations.json'))
      serial++
    }
  expect(serialsOf(bed.directory)).toHaveLength(serial - 3)
})
