import { randomBytes } from 'node:crypto'
import fs from 'node:fs'
import path from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { challengeHmac } from '../../../src/core/payload/auth-tag.ts'
import { makePackage } from '../../../src/core/payload/certificate-package.ts'
import { encryptShare } from '../../../src/core/payload/transport.ts'
import { until } from '../../servers.ts'
import { walk } from '../../thorough.ts'
import { buildZip } from '../../zip-builder.ts'
import { AgentBed, newShares } from './agent-bed.ts'

const describeAsRoot = process.getuid?.() === 0 ? describe : describe.skip // the agent mounts its tmpfs

const text = (content: string) => Buffer.from(content)
const zipOf = (files: Record<string, string>) =>
  makePackage(
    Object.entries(files).map(([name, content]) => ({ name, data: text(content) })),
    Date.now(),
  )
const modes = (bed: AgentBed, ...names: string[]) =>
  names.map((name) => (fs.statSync(path.join(bed.secure, name)).mode & 0o777).toString(8))
const list = (bed: AgentBed) => fs.readdirSync(bed.secure).sort()

describeAsRoot('a payload', () => {
  const bed = new AgentBed()
  beforeAll(() => bed.start())
  afterAll(() => bed.stop())
  beforeEach(() => {
    bed.log.length = 0
  })

  test('that is a plain file stands where either upstream agent puts it, key and proof included', async () => {
    const { k } = await bed.deliver(text('the secret'))
    expect(list(bed)).toEqual(['.delivery.json', 'decrypted_payload', 'derived_tci_key', 'unzipped'])
    expect(bed.read('decrypted_payload')).toBe('the secret')
    expect(bed.read('unzipped/decrypted_payload')).toBe('the secret')
    expect(bed.read('derived_tci_key')).toBe(k.toString('base64'))
    expect(fs.readFileSync(path.join(bed.secure, 'unzipped/derived_tci_key'))).toEqual(k)
    expect(modes(bed, 'decrypted_payload', 'derived_tci_key', 'unzipped', 'unzipped/derived_tci_key')).toEqual(['600', '600', '700', '600'])
    expect((await bed.get('/v2.6/keys/verify?challenge=abc')).results).toEqual({ hmac: challengeHmac(k, 'abc') })
  })

  test('that is a zip is unpacked, its script run with the agent id, output and exit code in the log', async () => {
    const script = 'echo "id $AGENT_UUID in $(pwd)"; cat sub/dir/file; echo bad >&2; exit 3\n'
    await bed.deliver(
      await zipOf({
        'autorun.sh': script,
        'sub/dir/file': 'inner\n',
        action_list: 'local_action_a, local_action_b',
        local_action_a: '',
        local_action_b: '',
      }),
    )
    expect(bed.read('unzipped/sub/dir/file')).toBe('inner\n')
    expect(list(bed)).toEqual(['.delivery.json', 'derived_tci_key', 'unzipped'])
    expect(modes(bed, 'unzipped/autorun.sh', 'unzipped/local_action_a', 'unzipped/local_action_b', 'unzipped/action_list')).toEqual([
      '700',
      '700',
      '700',
      '600',
    ])
    const log = bed.log.join('\n')
    expect(log).toMatch(`id d432fbb3-d2f1-4a97-9ef7-75bd81c00000 in ${bed.secure}/unzipped`)
    expect(log).toMatch(/^inner/m)
    expect(log).toMatch(/bad \{"stream":"stderr"\}/)
    expect(log).toMatch(/the script failed .*"exitCode":3.*"seconds":/)
    expect(log).not.toMatch(/the secret/)
  })

  test('replaces the earlier one as a whole', async () => {
    await bed.deliver(await zipOf({ old: '1' }))
    await bed.deliver(await zipOf({ new: '2' }))
    expect(fs.existsSync(path.join(bed.secure, 'unzipped/old'))).toBe(false)
    expect(bed.read('unzipped/new')).toBe('2')
  })

  test('cannot put another key or another payload in the place of those that the agent writes', async () => {
    for (const zip of [
      await zipOf({
        derived_tci_key: 'a key of its own',
        decrypted_payload: 'another payload',
        'autorun.sh': 'cat derived_tci_key | wc -c\n',
      }),
      buildZip([
        { name: 'derived_tci_key/', mode: 0o040700 },
        { name: 'derived_tci_key/inner', data: text('x') },
        { name: 'decrypted_payload/inner', data: text('x') },
      ]),
    ]) {
      bed.log.length = 0
      const { k } = await bed.deliver(zip)
      expect(fs.readFileSync(path.join(bed.secure, 'unzipped/derived_tci_key'))).toEqual(k)
      expect(bed.read('derived_tci_key')).toBe(k.toString('base64'))
      expect(fs.readFileSync(path.join(bed.secure, 'unzipped/decrypted_payload'))).toEqual(zip)
      expect(bed.log.filter((line) => line.includes('the name of the agent'))).toHaveLength(2)
    }
  })

  test('that is hostile changes nothing, neither inside nor outside', async () => {
    await bed.deliver(await zipOf({ keep: 'me' }))
    await bed.deliver(
      buildZip([
        { name: 'good', data: text('x') },
        { name: '../../evil', data: text('x') },
      ]),
    )
    expect(bed.read('unzipped/keep')).toBe('me')
    expect(fs.existsSync(path.join(bed.agentDir, '../evil'))).toBe(false)
    expect(bed.log.join('\n')).toMatch(/could not be delivered: the archive is refused/)
  })

  test('that does not fit into the tmpfs is refused with what to do, and nothing half is left', async () => {
    await bed.deliver(buildZip([{ name: 'big', data: randomBytes(1_200_000) }]))
    expect(bed.log.join('\n')).toMatch(/raise secure_size/)
    expect(fs.existsSync(path.join(bed.secure, 'unzipped.new'))).toBe(false)
    await bed.deliver(randomBytes(1_060_000))
    expect(bed.log.join('\n')).toMatch(/could not be delivered: the payload does not fit .*raise secure_size/)
    expect(list(bed)).not.toContain('unzipped.new')
  })

  test('of which the zip and its content do not both fit is unpacked all the same', async () => {
    await bed.deliver(buildZip([{ name: 'data', data: randomBytes(600_000) }]))
    expect(fs.statSync(path.join(bed.secure, 'unzipped/data')).size).toBe(600_000)
    expect(fs.existsSync(path.join(bed.secure, 'unzipped/decrypted_payload'))).toBe(false)
  })

  walk('whose script hangs does not hold up quotes; and a retry of the same delivery starts nothing', async () => {
    const shares = newShares()
    const content = await zipOf({ 'autorun.sh': '#!/bin/sh\necho begun >> ../runs\nsleep 1\n' })
    const delivered = bed.deliver(content, shares)
    await until('the script', () => fs.existsSync(path.join(bed.secure, 'runs')))
    const started = performance.now()
    expect((await bed.get('/v2.6/quotes/identity?nonce=abc')).status).toBe(200)
    expect(performance.now() - started).toBeLessThan(900)
    await delivered
    const pem = await bed.transportKey()
    await bed.client.request('POST', '/v2.6/keys/vkey', { body: { encrypted_key: encryptShare(pem, shares.v) } })
    await bed.agent.idle()
    expect(bed.read('runs')).toBe('begun\n')
  })

  test('whose script hangs does not hold up the next payload, however deaf it is and however many wait', async () => {
    await bed.stopAgent()
    await bed.startAgent({ KEYLIME_AGENT_PAYLOAD_SCRIPT_HANDOVER: '0.2' })
    const deaf = '#!/bin/sh\ntrap "" TERM\necho begun >> ../deaf\nwhile :; do sleep 1; done\n'
    const hanging = [bed.deliver(await zipOf({ 'autorun.sh': deaf })), bed.deliver(await zipOf({ 'autorun.sh': deaf, second: '' }))]
    await until('the script', () => fs.existsSync(path.join(bed.secure, 'deaf')))
    await bed.deliver(await zipOf({ next: 'here' }))
    await Promise.all(hanging)
    expect(bed.read('unzipped/next')).toBe('here')
    expect(bed.log.filter((line) => line.includes('ended 0.2 s after the next payload had come'))).toHaveLength(2)
    await bed.stopAgent()
    await bed.startAgent()
  })

  test('is not needed: the key alone is derived and proven', async () => {
    const { k } = await bed.deliver(null)
    expect(bed.read('derived_tci_key')).toBe(k.toString('base64'))
    expect((await bed.get('/v2.6/keys/verify?challenge=xyz')).results).toEqual({ hmac: challengeHmac(k, 'xyz') })
  })

  test('goes nowhere when the mount is replaced by a look-alike', async () => {
    const { execFileSync } = await import('node:child_process')
    execFileSync('mount', ['-t', 'ramfs', 'ramfs', bed.secure])
    await bed.deliver(text('not here'))
    expect(fs.readdirSync(bed.secure)).toEqual([])
    execFileSync('umount', [bed.secure])
    expect(bed.log.join('\n')).toMatch(/not a safe place for secrets/)
  })

  const post = (path: string, body: unknown) => bed.client.request('POST', path, { body })
  test('needs well-formed shares', async () => {
    const pem = await bed.transportKey()
    const share = encryptShare(pem, randomBytes(32))
    const tag = '00'.repeat(48)
    const cases: [string, unknown, RegExp][] = [
      ['ukey', { encrypted_key: '???', auth_tag: tag }, /^Invalid base64 encoding in encrypted_key/],
      [
        'ukey',
        { encrypted_key: Buffer.alloc(256, 1).toString('base64'), auth_tag: tag },
        /^Failed to decrypt encrypted_key|^Invalid decrypted key/,
      ],
      ['ukey', { encrypted_key: encryptShare(pem, randomBytes(31)), auth_tag: tag }, /^Invalid decrypted key: /],
      ['ukey', { encrypted_key: share, auth_tag: 'xyz' }, /^Invalid hex encoding in auth_tag/],
      ['ukey', { encrypted_key: share, auth_tag: '00' }, /48/],
      ['ukey', { encrypted_key: share, auth_tag: tag, payload: '%' }, /^Invalid base64 encoding in payload/],
      ['ukey', { encrypted_key: share }, /^Json deserialize error/],
      ['ukey', [], /^Json deserialize error/],
      ['vkey', { encrypted_key: encryptShare(pem, randomBytes(33)) }, /^Decrypted key is invalid: /],
      ['vkey', { encrypted_key: 5 }, /^Json deserialize error/],
    ]
    for (const [which, body, message] of cases) {
      const reply = await post(`/v2.6/keys/${which}`, body)
      expect(reply).toMatchObject({ status: 400, message: expect.stringMatching(message), results: {} })
    }
  })

  test('of more than the limit is refused while it is read', async () => {
    const body = { encrypted_key: '', auth_tag: '', payload: 'A'.repeat(3 << 20) }
    await expect(post('/v2.6/keys/ukey', body)).resolves.toMatchObject({ status: 413 })
  })

  test('with a wrong tag is only a warning: the answer does not say whether it fits', async () => {
    const pem = await bed.transportKey()
    const shares = newShares()
    expect(await post('/v2.6/keys/ukey', { encrypted_key: encryptShare(pem, shares.k), auth_tag: '00'.repeat(48) })).toMatchObject({
      status: 200,
    })
    expect(await post('/v2.6/keys/vkey', { encrypted_key: encryptShare(pem, shares.v) })).toMatchObject({ status: 200, results: {} })
    expect(bed.log.join('\n')).toMatch(/HMAC check failed/)
  })

  test('survives a restart of the agent, and its script is not run again', async () => {
    await bed.deliver(await zipOf({ 'autorun.sh': '#!/bin/sh\necho again >> ../runs\n', keep: '1' }))
    const runs = bed.read('runs')
    await bed.stopAgent()
    await bed.startAgent()
    await bed.agent.idle()
    expect(bed.read('unzipped/keep')).toBe('1')
    expect(bed.read('runs')).toBe(runs)
    expect(await bed.get('/v2.6/keys/verify?challenge=abc')).toMatchObject({ status: 400, message: 'Bootstrap key not yet available.' })
  })

  test('that was unpacked but not started when the agent died is started after it; one that was started never again', async () => {
    await bed.stopAgent()
    const runs = () => bed.read('runs').split('\n').length
    const before = runs()
    fs.writeFileSync(path.join(bed.secure, '.delivery.json'), JSON.stringify({ delivery: 'x', script: 'pending' }))
    await bed.startAgent()
    await bed.agent.idle()
    expect(runs()).toBe(before + 1)
    await bed.stopAgent()
    fs.writeFileSync(path.join(bed.secure, '.delivery.json'), JSON.stringify({ delivery: 'x', script: 'started' }))
    await bed.startAgent()
    await bed.agent.idle()
    expect(runs()).toBe(before + 1)
    expect(bed.log.join('\n')).toMatch(/not run again/)
  })

  test('a script at work is ended when the agent stops', async () => {
    const delivered = bed.deliver(await zipOf({ 'autorun.sh': '#!/bin/sh\ntouch ../sleeping\nsleep 60\n' })).catch(() => {})
    await until('the script', () => fs.existsSync(path.join(bed.secure, 'sleeping')))
    const started = performance.now()
    await bed.stopAgent()
    await delivered
    expect(performance.now() - started).toBeLessThan(8000)
    await sleep(0)
  })
})

describeAsRoot('an agent without TLS', () => {
  const bed = new AgentBed()
  afterAll(() => bed.stop())

  test('derives and proves the key, but takes no payload', async () => {
    await bed.start({ KEYLIME_AGENT_ENABLE_AGENT_MTLS: 'false', KEYLIME_AGENT_PAYLOAD_SCRIPT: '' })
    const { k } = await bed.deliver(text('secret'))
    expect(list(bed)).toEqual([])
    expect((await bed.get('/v2.6/keys/verify?challenge=xyz')).results).toEqual({ hmac: challengeHmac(k, 'xyz') })
  })
})
