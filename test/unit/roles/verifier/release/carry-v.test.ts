import { KeylimeError } from '../../../../../src/core/errors.ts'
import { decryptShare } from '../../../../../src/core/payload/transport.ts'
import type { MailboxStore } from '../../../../../src/io/db/mailbox-store.ts'
import type { ManagedAgent } from '../../../../../src/roles/verifier/agents/managed-agent.ts'
import { postV } from '../../../../../src/roles/verifier/release/carry-v.ts'
import { rsaKeyPair } from '../../../../rsa-keys.ts'

const { publicKey, privateKey } = rsaKeyPair()
const V = Buffer.alloc(32, 7)
const MAILBOX = { order: 'the order', signature: 'c2ln', certificate: 'PEM', share: 'sealed' }

interface Posted {
  method: string
  path: string
  body: Record<string, unknown>
}
type Answer = { status: number; body: string } | Error
interface Machine {
  /** What it answers, one after the other. */
  answers: Answer[]
  attestationCount?: number
  transportKey?: string
  /** Pieces of the payload that lies in its mailbox, which was emptied when it is null. */
  mailbox?: readonly string[] | null | 'without payload'
}

const text = (code: number, status: string): Answer => ({ status: code, body: JSON.stringify({ code, status, results: {} }) })
const OK = text(200, 'Success')

async function* piecesOf(pieces: readonly string[]) {
  for (const piece of pieces) yield Buffer.from(piece)
}

/** @returns what came of it, and what was posted. */
async function carried({ answers, attestationCount = 0, transportKey, mailbox }: Machine) {
  const posted: Posted[] = []
  const connection = {
    async request(request: Posted) {
      posted.push(request)
      const answer = answers.shift()!
      if (answer instanceof Error) throw answer
      return { status: answer.status, body: Buffer.from(answer.body) }
    },
  }
  const agent = {
    connection,
    enrolment: { agentId: 'a' },
    progress: { attestationCount },
    delivery: mailbox === undefined ? null : { isKept: true },
    state: {
      transportKey: transportKey ?? publicKey.export({ format: 'pem', type: 'spki' }),
      v: V.toString('base64'),
      supportedVersion: '2.3',
    },
  } as unknown as ManagedAgent
  const payload = Array.isArray(mailbox) ? piecesOf(mailbox) : null
  const mailboxes = { open: async () => (mailbox ? { ...MAILBOX, payload } : null) } as unknown as MailboxStore
  return { event: await postV(mailboxes)(agent), posted }
}

test('V is posted in the agent’s own version, and only the transport key opens it', async () => {
  const { event, posted } = await carried({ answers: [OK] })
  expect(event).toEqual({ type: 'v_delivered' })
  expect(posted).toMatchObject([{ method: 'POST', path: '/v2.3/keys/vkey', body: { encrypted_key: expect.any(String) } }])
  expect(decryptShare(privateKey, posted[0]!.body['encrypted_key'] as string)).toEqual(V)
})

test.each<[string, NonNullable<Machine['mailbox']>, string | null]>([
  ['with its payload, the pieces joined', ['first, ', 'second'], 'first, second'],
  ['without a payload', 'without payload', null],
])('what lies in the mailbox goes before V, %s', async (_what, mailbox, payload) => {
  const { event, posted } = await carried({ answers: [OK, OK], mailbox })
  expect(event).toEqual({ type: 'v_delivered' })
  expect(posted.map(({ path }) => path)).toEqual(['/v2.3/keys/sealed', '/v2.3/keys/vkey'])
  expect(posted[0]!.body).toEqual({ ...MAILBOX, payload })
})

test('of a mailbox that was emptied only V is posted', async () => {
  const { event, posted } = await carried({ answers: [OK], mailbox: null })
  expect(event).toEqual({ type: 'v_delivered' })
  expect(posted.map(({ path }) => path)).toEqual(['/v2.3/keys/vkey'])
})

const gone = new KeylimeError('unreachable', 'nobody answers')
const unreachable = (reason: string, attestedBefore = false) => ({ type: 'unreachable', stage: 'v', attestedBefore, reason })
const NO_MAILBOX = { type: 'delivery_refused', reason: expect.stringContaining('accepts no sealed key share') }
const refused = (reason: string) => ({ type: 'refused', stage: 'v', reason })

test.each<[string, Machine, object]>([
  ['is busy', { answers: [text(503, 'busy')] }, unreachable('the agent answered V with 503 busy')],
  ['is busy and attested before', { answers: [text(503, '')], attestationCount: 1 }, unreachable('the agent answered V with 503', true)],
  ['wants nothing', { answers: [text(400, 'no')] }, refused('the agent answered V with 400 no')],
  [
    'says no word that can be read',
    { answers: [{ status: 200, body: '<html>' }] },
    refused(expect.stringContaining('the reply (HTTP 200)') as never),
  ],
  ['is gone', { answers: [gone] }, unreachable('nobody answers')],
  ['is gone, and attested before', { answers: [gone], attestationCount: 1 }, unreachable('nobody answers', true)],
  ['has no key to encrypt to', { answers: [], transportKey: 'none' }, refused('the transport key is not a PEM public key')],
])('a machine that %s: V is not delivered', async (_what, machine, event) => expect((await carried(machine)).event).toEqual(event))

test.each<[string, Answer, object]>([
  ['is busy', text(503, 'busy'), unreachable('the agent answered the sealed key share with 503 busy')],
  ['refuses it', text(403, 'no'), { type: 'delivery_refused', reason: 'the agent answered the sealed key share with 403 no' }],
  ['refuses a request', text(400, 'no'), { type: 'delivery_refused', reason: 'the agent answered the sealed key share with 400 no' }],
  ['knows no such path', text(404, 'not found'), NO_MAILBOX],
  ['knows no such path, as upstream', text(400, 'URI not supported: /v2.3/keys/sealed'), NO_MAILBOX],
])('V does not follow a sealed key share when the machine %s', async (_what, answer, event) => {
  const outcome = await carried({ answers: [answer], mailbox: 'without payload' })
  expect(outcome.event).toEqual(event)
  expect(outcome.posted.map(({ path }) => path)).toEqual(['/v2.3/keys/sealed'])
})

test('a fault of ours is no fault of the machine', async () => {
  await expect(carried({ answers: [new TypeError('a bug')] })).rejects.toThrow('a bug')
})
