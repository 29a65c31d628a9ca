import fs from 'node:fs'
import path from 'node:path'
import { machineFile } from '../../../machines.ts'
import { adminClient, temporaryKeylimeDir, until } from '../../../servers.ts'
import { AGENT_ID } from '../agent-bed.ts'
import { PushBed } from './push-bed.ts'
import type { Lie, PushStep } from './strict-verifier.ts'

const describeAsRoot = process.getuid?.() === 0 ? describe : describe.skip // the agent mounts its tmpfs

describeAsRoot('an agent that brings its evidence', () => {
  const bed = new PushBed()
  beforeAll(() => bed.start())
  afterAll(() => bed.stop())
  beforeEach(() => {
    const { verifier } = bed
    verifier.lie = () => undefined
    verifier.ask = (requested) => requested
    verifier.enrolled = true
    verifier.nextEntry = 0
    verifier.seconds = 1
    for (const list of [verifier.requests, verifier.accepted, verifier.errors, verifier.defects]) list.length = 0
    bed.log.length = 0
  })
  afterEach(async () => {
    await bed.stopAgent()
    expect(bed.verifier.defects).toEqual([]) // whatever happened: nothing that it sent was wrong
  })

  /** Waits for so much evidence. */
  async function accepted(count: number, seconds = 15) {
    await until(`${count} times evidence`, () => bed.verifier.accepted.length >= count, seconds)
    return bed.verifier.accepted
  }

  test('registers without an address, proves its key once, and brings what is asked for: PCRs, the list, what is new of it', async () => {
    const before = bed.verifier.connections
    await bed.startAgent()
    expect(bed.agent!.port).toBe(0)
    const [first] = await accepted(1)
    expect(first!.pcrs).toEqual([10, 15, 16])
    expect(first!.imaText).toBe(fs.readFileSync(bed.servers.imaLog, 'utf8'))
    expect(first!.bootLog).toBeUndefined()
    bed.verifier.nextEntry = 1
    bed.measure('/usr/bin/new')
    const all = await until('what is new', () => bed.verifier.accepted.find(({ imaText }) => imaText?.includes('/usr/bin/new')))
    expect(all.imaOffset).toBe(1)
    expect(all.imaText!.split('\n')).toHaveLength(2)
    expect(bed.verifier.count('open')).toBe(1)
    expect(bed.verifier.connections - before).toBe(1) // kept over the pauses
    const registrar = adminClient(bed.servers.place.dir, bed.servers.registrar.tlsPort!)
    const { results } = await registrar.request('GET', `/v2.6/agents/${AGENT_ID}`)
    await registrar.close()
    expect(results).toMatchObject({ ip: null, port: null, mtls_cert: null })
    expect(bed.told(/accepts the evidence/)).toHaveLength(1)
  })

  test('names in the list that are not UTF-8 arrive as they are', async () => {
    const line = Buffer.concat([
      Buffer.from(`10 ${'0'.repeat(40)} ima-ng sha256:${'ab'.repeat(32)} /usr/`),
      Buffer.from([0xff, 0xfe, 0x0a]),
    ])
    const kept = fs.readFileSync(bed.servers.imaLog)
    fs.writeFileSync(bed.servers.imaLog, Buffer.concat([kept, line]))
    try {
      await bed.startAgent()
      const [first] = await accepted(1)
      const { data } = first!.body.data.attributes.evidence_collected.find(({ evidence_type }) => evidence_type === 'ima_log')!
      expect((data as { entries: string }).entries.isWellFormed()).toBe(true)
      const raw = /^(\d+) (\S+)$/m.exec((data as { entries_raw: string }).entries_raw)!
      expect(Buffer.from(raw[2]!, 'base64')).toEqual(line.subarray(0, -1))
    } finally {
      fs.writeFileSync(bed.servers.imaLog, kept)
    }
  })

  test('what systemd has measured comes with the boot log, to a verifier of ours alone', async () => {
    const { servers, verifier } = bed
    const before = verifier.policy
    const boot = path.join(servers.place.dir, 'boot')
    const shown = ({ body }: (typeof verifier.accepted)[number]) =>
      body.data.attributes.evidence_collected.find(({ evidence_type }) => evidence_type === 'uefi_log')!.data
    try {
      fs.writeFileSync(boot, machineFile('secure-boot-ima-ng', 'uefi.bin'))
      fs.writeFileSync(servers.systemdLog, '\x1e{"pcr":11,"digests":[]}\n')
      verifier.policy = { ...verifier.policy, boot: { pcrs: [0, 11] } } as never
      await bed.startAgent({ KEYLIME_AGENT_SYSTEMD_ML_PATH: servers.systemdLog })
      const [first] = await accepted(1)
      expect(Object.keys(shown(first!) as object)).toEqual(['entries'])
      verifier.extensions = { delivery: 1 }
      verifier.endSession()
      const ours = await until('the log of systemd', () => verifier.accepted.find((one) => Object.keys(shown(one) as object).length > 1))
      expect(shown(ours)).toMatchObject({ systemd_measurement_list: '\x1e{"pcr":11,"digests":[]}\n' })
    } finally {
      verifier.extensions = undefined
      verifier.policy = before
      fs.rmSync(boot)
      fs.rmSync(servers.systemdLog)
    }
  })

  test('an RSA key by PSS proves and quotes as well; the boot log is brought where it is asked for', async () => {
    const other = new PushBed()
    try {
      await other.start()
      fs.writeFileSync(path.join(other.servers.place.dir, 'boot'), machineFile('secure-boot-ima-ng', 'uefi.bin'))
      other.verifier.policy = { ...other.verifier.policy, boot: { pcrs: [0, 4] } } as never
      await other.startAgent({ KEYLIME_AGENT_TPM_ENCRYPTION_ALG: 'rsa', KEYLIME_AGENT_TPM_SIGNING_ALG: 'rsapss' })
      await until('evidence', () => other.verifier.accepted.length > 0, 30)
      const [first] = other.verifier.accepted
      expect(first!.pcrs).toEqual([0, 4, 10, 15, 16])
      expect(Buffer.from(first!.bootLog!, 'base64')).toEqual(machineFile('secure-boot-ima-ng', 'uefi.bin'))
      expect(other.verifier.defects).toEqual([])
    } finally {
      await other.stop()
    }
  })

  const CUTS: [PushStep, Lie][] = (['open', 'prove', 'negotiate', 'submit'] as const).flatMap((step) =>
    (['cut', 'hang', 'drip', { status: 503 }, { status: 500, body: '<html>' }, { status: 200, body: 'no JSON' }] as Lie[]).map(
      (lie): [PushStep, Lie] => [step, lie],
    ),
  )
  test.each(CUTS)('%s is answered by %j: it pauses, tells it once, and goes on', async (step, lie) => {
    let lies = 0
    bed.verifier.lie = (at) => (at === step && lies++ < 2 ? lie : undefined)
    await bed.startAgent()
    await accepted(1, 25)
    const isTaken = step === 'submit' && typeof lie === 'object' && lie.status === 200 // whatever the body says: 2xx is taken
    if (!isTaken) expect(lies).toBeGreaterThanOrEqual(2)
    expect(bed.told(/unreachable|cannot reach|did not answer|cannot be read|cannot take|closed/i).length).toBeLessThanOrEqual(2)
  })

  test('a verifier that answers 401 for ever gets two sessions at once, and then few', async () => {
    bed.verifier.lie = (step) => (step === 'negotiate' ? { status: 401 } : undefined)
    await bed.startAgent()
    const opened = () => bed.verifier.requests.filter(({ step }) => step === 'open')
    await until('several sessions', () => opened().length >= 6, 20)
    const at = opened().map((one) => one.at)
    for (let i = 3; i < at.length; i++) expect(at[i]! - at[i - 1]!).toBeGreaterThan(450)
    bed.verifier.lie = () => undefined
    await accepted(1)
  })

  test('a token that counts no more: another session at once, and nobody is told', async () => {
    await bed.startAgent()
    await accepted(1)
    bed.verifier.endSession()
    await accepted(2)
    expect(bed.verifier.count('open')).toBe(2)
    expect(bed.told(/401/)).toEqual([])
  })

  test('403 is told with its reason, once, and paused for', async () => {
    const body = JSON.stringify({ errors: [{ status: '403', detail: 'attestations of this machine were stopped by an operator' }] })
    bed.verifier.lie = (step) => (step === 'negotiate' ? { status: 403, body } : undefined)
    await bed.startAgent()
    await until('three refusals', () => bed.verifier.count('negotiate') >= 3)
    expect(bed.told(/refuses a new attestation of this machine \(403\): attestations of this machine were stopped/)).toHaveLength(1)
    bed.verifier.lie = () => undefined
    await accepted(1)
    expect(bed.told(/accepts the evidence of this machine, after \d+ s without/)).toHaveLength(1)
  })

  test('Retry-After is waited for', async () => {
    let lies = 0
    bed.verifier.lie = (step) => (step === 'negotiate' && lies++ === 0 ? { status: 429, headers: { 'retry-after': '2' } } : undefined)
    await bed.startAgent()
    await accepted(1)
    const [first, second] = bed.verifier.requests.filter(({ step }) => step === 'negotiate')
    expect(second!.at - first!.at).toBeGreaterThanOrEqual(1990)
  })

  test('a machine that is not enrolled is told how to be, and attests as soon as it is', async () => {
    bed.verifier.enrolled = false
    await bed.startAgent()
    await until('two tries', () => bed.verifier.count('prove') >= 2)
    expect(bed.told(/not enrolled there.*--push-model/)).toHaveLength(1)
    bed.verifier.enrolled = true
    await accepted(1)
  })

  test('an answer that was lost after the evidence was taken is no failure', async () => {
    let lies = 0
    bed.verifier.lie = (step) => (step === 'submit' && lies++ === 0 ? 'late' : undefined)
    await bed.startAgent()
    await accepted(2)
    expect(bed.told(/refuses/)).toEqual([])
  })

  const quoteOf = (requested: Record<string, unknown>[]) => requested.find(({ evidence_type }) => evidence_type === 'tpm_quote')!
  const changed = (changes: Record<string, unknown>) => (requested: Record<string, unknown>[]) => [
    { ...quoteOf(requested), chosen_parameters: { ...(quoteOf(requested)['chosen_parameters'] as object), ...changes } },
  ]
  const ASKED: [string, (requested: Record<string, unknown>[]) => unknown[], RegExp][] = [
    ['nothing', () => [], /cannot be read/],
    ['what nobody knows', () => [{ evidence_class: 'x', evidence_type: 'y', chosen_parameters: {} }], /nothing that this agent knows: y/],
    ['a bank of another hash', changed({ hash_algorithm: 'sha1', selected_subjects: { sha1: [0] } }), /a quote of sha1/],
    ['PCRs that are not there', changed({ selected_subjects: { sha256: [30] } }), /PCR 30 of sha256/],
    ['another scheme', changed({ signature_scheme: 'rsassa' }), /a signature by rsassa/],
    [
      'more of the list than there is',
      () => [{ evidence_class: 'log', evidence_type: 'ima_log', chosen_parameters: { starting_offset: 5000, format: 'text/plain' } }],
      /from entry 5000 on; it has only/,
    ],
    [
      'a boot log that is not there',
      () => [{ evidence_class: 'log', evidence_type: 'uefi_log', chosen_parameters: { format: 'application/octet-stream' } }],
      /event log of the firmware, and this machine has none/,
    ],
  ]
  test.each(ASKED)('asked for %s: nothing leaves, the verifier and the log hear it, and it goes on', async (_, ask, words) => {
    bed.verifier.ask = ask
    await bed.startAgent()
    await until('two complaints', () => bed.verifier.errors.length >= 2)
    expect(bed.verifier.accepted).toEqual([])
    expect(bed.verifier.errors[0]).toEqual({ data: { type: 'error', attributes: { evidence_collected: [] } } })
    expect(bed.told(words)).toHaveLength(1)
    bed.verifier.ask = (requested) => requested
    await accepted(1)
  })

  test('an answer as large as a disk is not read, and evidence counts as taken', async () => {
    let lies = 0
    const body = Buffer.alloc(8 << 20, 0x20)
    bed.verifier.lie = (step) => (step !== 'prove' && lies++ < 3 ? { status: step === 'submit' ? 202 : 201, body } : undefined)
    await bed.startAgent()
    await accepted(1)
    expect(bed.told(/cannot be read/).length).toBeGreaterThanOrEqual(1)
  })

  test('a certificate for another name is refused, with the names that it has and what mends it', async () => {
    await bed.startAgent({ KEYLIME_AGENT_VERIFIER_URL: `https://127.0.0.2:${bed.verifier.port}` })
    const line = await until('a complaint', () => bed.told(/is not for 127\.0\.0\.2, but for /)[0])
    expect(line).toMatch(/but for .*127\.0\.0\.1/)
    expect(line).toMatch(/cert_subject_alternative_names/)
    expect(bed.verifier.requests).toEqual([])
    await bed.stopAgent()
    await bed.startAgent({
      KEYLIME_AGENT_VERIFIER_URL: `https://127.0.0.2:${bed.verifier.port}`,
      KEYLIME_AGENT_TLS_ACCEPT_INVALID_HOSTNAMES: 'true',
    })
    await accepted(1)
    expect(bed.told(/INSECURE/)).toHaveLength(1)
  })

  test('a verifier of another CA gets nothing; the right CA in the file, and SIGHUP, are enough', async () => {
    const other = new PushBed()
    const file = path.join(temporaryKeylimeDir().dir, 'ca.crt')
    await other.servers.startServers()
    try {
      fs.copyFileSync(path.join(other.tlsDir, 'cacert.crt'), file)
      await bed.startAgent({ KEYLIME_AGENT_VERIFIER_TLS_CA_CERT: file })
      await until('a complaint', () => bed.told(/TLS failed/).length > 0)
      expect(bed.verifier.requests).toEqual([])
      fs.copyFileSync(path.join(bed.tlsDir, 'cacert.crt'), file)
      expect(await bed.agent!.reload()).toMatch(/read again/)
      await accepted(1)
    } finally {
      await other.servers.stop()
      fs.rmSync(path.dirname(file), { recursive: true })
    }
  })

  test('a verifier that goes and comes back is found again', async () => {
    await bed.startAgent({ KEYLIME_AGENT_VERIFIER_URL: `https://127.0.0.1:${bed.verifier.port}/` })
    await accepted(1)
    await bed.verifier.stop()
    await until('it to be missed', () => bed.told(/cannot reach/).length > 0)
    await bed.verifier.start()
    await accepted(bed.verifier.accepted.length + 1)
    await until('it to be told', () => bed.told(/accepts the evidence of this machine, after/).length === 1)
  })

  test('a TPM that was reset brings evidence again, with the same key', async () => {
    await bed.startAgent()
    await accepted(1)
    await bed.servers.tpm.powerCycle({ startup: false })
    await accepted(bed.verifier.accepted.length + 1)
  })

  test('it ends at once, whatever it waits for', async () => {
    bed.verifier.lie = () => 'hang'
    await bed.startAgent()
    await until('a request', () => bed.verifier.requests.length > 0)
    const start = performance.now()
    await bed.stopAgent()
    expect(performance.now() - start).toBeLessThan(5000)
  })

  test('a TPM that hangs does not keep it from ending', async () => {
    await bed.startAgent()
    await accepted(1)
    const before = bed.verifier.count('negotiate')
    bed.verifier.lie = (step) => {
      if (step === 'negotiate') bed.servers.tpm.suspend(true) // the quote is asked for next
      return undefined
    }
    await until('a negotiation', () => bed.verifier.count('negotiate') > before)
    const stopped = bed.stopAgent().then(() => 'stopped')
    const ended = await Promise.race([stopped, new Promise((done) => setTimeout(done, 10_000, 'hangs').unref())])
    bed.servers.tpm.suspend(false)
    await stopped
    expect(ended).toBe('stopped')
  })
})
