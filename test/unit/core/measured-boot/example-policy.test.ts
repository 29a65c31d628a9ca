import fc from 'fast-check'
import { parseBootPolicy } from '../../../../src/core/measured-boot/boot-policy.ts'
import type { BootEvent } from '../../../../src/core/measured-boot/event-log.ts'
import { mergeReferenceState } from '../../../../src/core/measured-boot/merge-reference-state.ts'
import {
  changed,
  judgeExample,
  machineEvents,
  machineLog,
  machineState,
  measured,
  replayedPcrs,
  type State,
  serialize,
  u32,
} from '../../../boot-log.ts'

const SECURE = 'secure-boot-ima-ng'
const PLAIN = 'no-secure-boot'
const EV = { noAction: 3, separator: 4, ipl: 13, config: 0x80000001, application: 0x80000003, action: 0x80000007, postCode: 1 }
const is =
  (pcr: number, type: number, text = '') =>
  (event: BootEvent) =>
    event.pcr === pcr &&
    event.type === type &&
    (event.data.toString('latin1').includes(text) || event.data.toString('utf16le').includes(text))
const applications = (events: BootEvent[]) => events.filter(is(4, EV.application))

/** The events of a machine with one of them replaced, left out (null), or followed by others. */
function edited(machine: string, find: (event: BootEvent) => boolean, edit: (event: BootEvent) => BootEvent[]): BootEvent[] {
  const events = machineEvents(machine)
  const at = events.findIndex(find)
  expect(at).toBeGreaterThanOrEqual(0)
  return events.toSpliced(at, 1, ...edit(events[at]!))
}
const messages = (events: BootEvent[], state: State) => judgeExample(events, state).map((f) => f.context.message)
const text = (event: BootEvent, prefix: string, rest: string) => measured(event, Buffer.from(`${prefix}${rest}\0`), Buffer.from(rest))

describe.each([SECURE, PLAIN])('the state made of a good boot of %s', (machine) => {
  const state = machineState(machine)
  test('accepts it', () => expect(judgeExample(machineEvents(machine), state)).toEqual([]))
  test('refuses the other machine, and says more than one thing', () =>
    expect(messages(machineEvents(machine === SECURE ? PLAIN : SECURE), state).length).toBeGreaterThan(4))
  test('refuses another initrd, command line, GRUB and firmware volume, each named with its event', () => {
    expect(
      messages(
        edited(machine, is(9, EV.ipl, 'initrd'), (e) => [changed(e)]),
        state,
      ),
    ).toEqual([expect.stringMatching(/^initrd \/boot\/initrd\.img-6\.1\.0-56-amd64 \(event \d+, PCR 9\) has a digest/)])
    const other = edited(machine, is(8, EV.ipl, 'kernel_cmdline'), (e) => [text(e, 'kernel_cmdline: ', '/boot/vmlinuz init=/bin/sh')])
    expect(messages(other, state)).toContainEqual(expect.stringMatching(/^kernel command line \(event \d+, PCR 8\) is not one/))
    const grub = applications(machineEvents(machine))[1]!
    expect(
      messages(
        edited(
          machine,
          (e) => e.number === grub.number,
          (e) => [changed(e)],
        ),
        state,
      ),
    ).toEqual([expect.stringMatching(/^GRUB File\(\\EFI\\BOOT\\grubx64\.efi\) \(event \d+, PCR 4\)/)])
    expect(
      messages(
        edited(machine, is(0, 0x80000008), (e) => [changed(e)]),
        state,
      ),
    ).toEqual(['firmware volume at 0x820000 (event 2, PCR 0) has a digest that the reference state does not accept'])
  })
  test('refuses a boot without initrd, with an extra application, with a second kernel command line', () => {
    expect(
      messages(
        edited(machine, is(9, EV.ipl, 'initrd'), () => []),
        state,
      ),
    ).toEqual(['there is no initrd 1 of 1 in the log'])
    const grub = applications(machineEvents(machine))[1]!
    const extra = edited(
      machine,
      (e) => e.number === grub.number,
      (e) => [e, changed(e)],
    )
    expect(messages(extra, state).length).toBeGreaterThan(0)
    const second = edited(machine, is(8, EV.ipl, 'kernel_cmdline'), (e) => [e, e])
    expect(messages(second, state)).toEqual([expect.stringContaining('is a second one')])
  })
  test('what a failure accepts makes the machine good, and no other', () => {
    for (const find of [is(9, EV.ipl, 'initrd'), is(14, EV.ipl, 'MokList\0'), is(0, 0x80000008), is(4, EV.application)]) {
      const events = edited(machine, find, (e) => [changed(e)])
      const [failure] = judgeExample(events, state)
      expect(failure!.context['meaning']).toEqual(expect.any(String))
      const merged = mergeReferenceState(state, failure!.context['accept'] as State)
      expect(judgeExample(events, merged)).toEqual([])
      expect(judgeExample(machineEvents(machine), merged)).toEqual([])
      expect(
        judgeExample(
          edited(machine, find, (e) => [changed(e, 'a third')]),
          merged,
        ).length,
      ).toBeGreaterThan(0)
    }
  })
})

test('Secure Boot that is off is refused by its state, and on by the state of a machine without it', () => {
  const off = edited(SECURE, is(7, EV.config, 'SecureBoot'), (e) => [
    measured(e, Buffer.concat([e.data.subarray(0, -1), Buffer.from([0])])),
  ])
  expect(messages(off, machineState(SECURE))).toEqual([
    'Secure Boot state (event 4, PCR 7) is off, and the reference state is for machines where it is on',
  ])
  const on = { ...machineState(PLAIN), has_secureboot: true }
  expect(() => parseBootPolicy(JSON.stringify(on), 'example')).toThrow('kernels[0].kernel_authcode_sha256')
  const none = edited(SECURE, is(7, EV.config, 'SecureBoot'), () => [])
  expect(messages(none, machineState(SECURE))).toEqual(['the log does not say whether Secure Boot is on'])
  const odd = edited(SECURE, is(7, EV.config, 'SecureBoot'), (e) => [
    measured(e, Buffer.concat([e.data.subarray(0, -1), Buffer.from([2])])),
  ])
  expect(messages(odd, machineState(SECURE))).toEqual([expect.stringContaining('is neither on nor off')])
})

describe('keys', () => {
  const state = machineState(SECURE)
  const without = (member: string) => ({ ...state, [member]: state[member].slice(1) })
  test.each([
    ['pk', 'PK', 5],
    ['kek', 'KEK', 6],
    ['db', 'db', 7],
  ])('a key of %s that the state does not have is named, and can be accepted', (member, _variable, number) => {
    const [failure, ...others] = judgeExample(machineEvents(SECURE), without(member))
    expect(others).toEqual([])
    expect(failure!.context).toMatchObject({ event: number, got: [expect.stringMatching(/^CN=|SHA-256 [0-9a-f]{64}/)] })
    expect(failure!.context['accept']).toEqual({ [member]: [state[member][0]] })
    expect(judgeExample(machineEvents(SECURE), mergeReferenceState(without(member), failure!.context['accept'] as State))).toEqual([])
  })
  test('a shrunk dbx is refused, a longer one is not, and nothing is offered to accept it', () => {
    const more = { ...state, dbx: [...state.dbx, { ...state.dbx[0], SignatureData: `0x${'ab'.repeat(32)}` }] }
    const [failure, ...others] = judgeExample(machineEvents(SECURE), more)
    expect(others).toEqual([])
    expect(failure!.context.message).toMatch(/^revoked signers \(dbx\) \(event 8, PCR 7\) lacks 1 of the \d+ entries/)
    expect(failure!.context).not.toHaveProperty('accept')
    expect(judgeExample(machineEvents(SECURE), { ...state, dbx: state.dbx.slice(1) })).toEqual([])
    expect(
      messages(
        edited(SECURE, is(7, EV.config, 'dbx'), () => []),
        state,
      ),
    ).toEqual(['the log has no list of revoked signers (dbx)'])
  })
  test('an empty list is refused where the state has keys', () =>
    expect(messages(machineEvents(PLAIN), { ...machineState(PLAIN), db: state.db })).toEqual([
      expect.stringContaining('(db) (event 7, PCR 7) is empty'),
    ]))
  test('a variable that is measured twice is refused', () =>
    expect(
      messages(
        edited(
          SECURE,
          ({ number }) => number === 6,
          (e) => [e, e],
        ),
        state,
      ),
    ).toEqual([expect.stringContaining('more than once')]))
  test('lists whose sizes do not add up stay raw and are refused', () => {
    const cut = edited(
      SECURE,
      ({ number }) => number === 6,
      (e) => {
        const data = Buffer.from(e.data)
        data.writeUInt32LE(0xffffffff, 32 + 6 + 16)
        return [measured(e, data)]
      },
    )
    expect(messages(cut, state)).toEqual([
      'key exchange keys (KEK) (event 6, PCR 7) cannot be read: a list of 4294967295 bytes does not hold signatures of 977 bytes',
    ])
  })
})

describe('data that is not what was measured', () => {
  const state = machineState(SECURE)
  const altered = (find: (event: BootEvent) => boolean, data: (event: BootEvent) => Buffer) =>
    messages(
      edited(SECURE, find, (e) => [{ ...e, data: data(e) }]),
      state,
    )
  test('is refused: Secure Boot said to be on, a separator, an action, the command line', () => {
    const off = measured(machineEvents(SECURE)[3]!, Buffer.concat([machineEvents(SECURE)[3]!.data.subarray(0, -1), Buffer.from([0])]))
    const lie = edited(SECURE, is(7, EV.config, 'SecureBoot'), (e) => [{ ...off, data: e.data }])
    expect(messages(lie, state)).toEqual([
      'Secure Boot state (event 4, PCR 7) has data that does not match its digest: what the log shows is not what was measured',
    ])
    expect(altered(is(2, EV.separator), () => u32(1))).toEqual([
      expect.stringContaining('does not match its digest'),
      expect.stringContaining('without errors'),
    ])
    expect(altered(is(5, EV.action), () => Buffer.from('Exit'))).toHaveLength(2)
    expect(altered(is(8, EV.ipl, 'grub_cmd: boot'), () => Buffer.from('grub_cmd: halt\0'))).toEqual([
      expect.stringContaining('does not match its digest'),
    ])
  })
  test('is refused: an extended MOK list that is called MokListTrusted', () => {
    const renamed = edited(SECURE, is(14, EV.ipl, 'MokList\0'), (e) => [changed({ ...e, data: Buffer.from('MokListTrusted\0') })])
    expect(messages(renamed, state)).toContainEqual(
      expect.stringMatching(/^trust in MOKs \(event \d+, PCR 14\) has data that does not match its digest/),
    )
  })
  test('is refused: a typed command in the place of the command line that was used', () => {
    const good = machineEvents(SECURE).find(is(8, EV.ipl, 'kernel_cmdline'))!
    const evil = '/boot/vmlinuz-6.1.0-56-amd64 init=/bin/sh'
    const events = machineEvents(SECURE).flatMap((e) => {
      if (is(8, EV.ipl, 'grub_cmd: linux ')(e)) return [text(e, 'grub_cmd: ', `linux ${evil}`)]
      if (e.number === good.number) return [good, text(e, 'grub_cmd: ', evil)] // the labels of the two are exchanged
      return [e]
    })
    expect(messages(events, state)).toEqual([
      expect.stringMatching(/^GRUB command .* loads a kernel with another command line than the log says/),
    ])
  })
})

describe('the closed world', () => {
  const state = machineState(PLAIN)
  const added = (event: Partial<BootEvent>) => messages([...machineEvents(PLAIN), { ...machineEvents(PLAIN)[8]!, ...event }], state)
  test.each<[string, Partial<BootEvent>]>([
    ['an unknown type', { type: 0x1234 }],
    ['a known type in another PCR', { pcr: 9, type: EV.application }],
    ['a post code', { pcr: 0, type: EV.postCode }],
    ['an EV_NO_ACTION beside the first', { pcr: 0, type: EV.noAction }],
    ['an action in PCR 6', { pcr: 6, type: EV.action }],
    ['a PCR beyond', { pcr: 12 }],
    ['a variable that cannot be read', { pcr: 7, type: EV.config, data: Buffer.from('short') }],
    ['a text that is no command', { pcr: 8, type: EV.ipl, data: Buffer.from('hello\0') }],
    ['a file that is not of the boot', { pcr: 9, type: EV.ipl, data: Buffer.from('/etc/passwd\0') }],
    ['an unknown list of keys', { pcr: 14, type: EV.ipl, data: Buffer.from('Other\0') }],
    ['a partition table that is none', { pcr: 5, type: 0x80000006, data: Buffer.from('x') }],
    ['a separator that tells of an error', { pcr: 3, data: u32(1) }],
  ])('refuses %s', (_name, event) => expect(added(event).length).toBeGreaterThan(0))
  test('counts what may be there a few times', () => {
    const flags = { ...machineEvents(PLAIN)[0]!, pcr: 1, type: 10 }
    const times = (count: number) => messages([...machineEvents(PLAIN), ...Array(count).fill(flags)], state)
    expect(times(4)).toEqual([])
    expect(times(5)).toEqual([expect.stringContaining('at most 4 are accepted')])
  })
  test('tells of a hundred events, and how many there are more', () => {
    const many = Array(150).fill({ ...machineEvents(PLAIN)[0]!, type: 0x1234 })
    expect(messages([...machineEvents(PLAIN), ...many], state)).toHaveLength(101)
    expect(messages([...machineEvents(PLAIN), ...many], state).at(-1)).toBe('50 more events differ')
  })
  test('events that were not measured into the quoted bank do not count', () => {
    const sha1Only = edited(PLAIN, is(9, EV.ipl, 'initrd'), (e) => [
      { ...e, digests: new Map([['sha1' as const, e.digests.get('sha1')!]]) },
    ])
    expect(messages(sha1Only, state)).toContainEqual(expect.stringContaining('has no sha256 digest'))
  })
  test('a quote over SHA-1 vouches for no SHA-256 digest', () => {
    const failures = judgeExample(machineEvents(SECURE), machineState(SECURE), 'sha1')
    expect(failures.map((f) => f.context.message)).toContainEqual(expect.stringContaining('the quote is over sha1'))
  })
  test('a state without kernels or firmware accepts nothing', () => {
    expect(messages(machineEvents(PLAIN), { ...state, kernels: [] })).toEqual([expect.stringContaining('accepts no kernel')])
    expect(messages(machineEvents(PLAIN), { ...state, scrtm_and_bios: [] })).toEqual([expect.stringContaining('accepts no firmware')])
  })
})

test('a machine cannot fill the verifier with what it measured: thousands of volumes, keys and texts give a short verdict', () => {
  const state = machineState(SECURE)
  const kek = ({ number }: BootEvent) => number === 6
  const keys = Buffer.concat(
    Array.from({ length: 5000 }, (_, i) => Buffer.concat([Buffer.alloc(16, 1), Buffer.from(String(i).padStart(32))])),
  )
  const list = (event: BootEvent) => {
    const data = Buffer.concat([event.data.subarray(0, 32 + 6 + 28), keys])
    data.writeBigUInt64LE(BigInt(28 + keys.length), 24)
    data.writeUInt32LE(28 + keys.length, 32 + 6 + 16)
    data.writeUInt32LE(48, 32 + 6 + 24)
    return measured(event, data)
  }
  const volume = machineEvents(SECURE).find(is(0, 0x80000008))!
  const long = `/boot/vmlinuz ${'x'.repeat(100_000)}`
  for (const events of [
    edited(SECURE, kek, (e) => [list(e)]),
    edited(SECURE, kek, (e) => [e, ...Array(3000).fill(volume)]),
    edited(SECURE, is(8, EV.ipl, 'kernel_cmdline'), (e) => [text(e, 'kernel_cmdline: ', long)]),
  ]) {
    const failures = judgeExample(events, state)
    expect(failures.length).toBeGreaterThan(0)
    expect(JSON.stringify(failures).length).toBeLessThan(20_000)
    for (const failure of failures) expect(failure.context).not.toHaveProperty('accept')
  }
})

test('of several alternatives the nearest is compared, and all that would fit in the place are named', () => {
  const state = machineState(SECURE)
  const [kernel] = state.kernels
  const other = { ...kernel, initrd_plain_sha256: '0xaa' }
  const far = { ...other, shim_authcode_sha256: '0xbb', grub_authcode_sha256: '0xcc' }
  const third = { ...kernel, initrd_plain_sha256: '0xdd' }
  expect(judgeExample(machineEvents(SECURE), { ...state, kernels: [far, other, third] })).toMatchObject([
    { context: { expected: ['aa', 'dd'] } },
  ])
  expect(judgeExample(machineEvents(SECURE), { ...state, kernels: [far, other, kernel] })).toEqual([])
})

test('the command line is matched whole, as a Python expression', () => {
  const state = machineState(SECURE)
  const accepts = (kernel_cmdline: string) =>
    judgeExample(machineEvents(SECURE), { ...state, kernels: [{ ...state.kernels[0], kernel_cmdline }] }).length === 0
  expect(accepts('.*')).toBe(true)
  expect(accepts('/boot/vmlinuz-\\S+ root=\\S+ ro .*')).toBe(true)
  expect(accepts('/boot/vmlinuz-\\S+ root=\\S+ ro')).toBe(false)
  expect(accepts('x|.*')).toBe(true) // the prefix belongs to the first alternative only, as upstream has it
  expect(accepts('x|/boot.*')).toBe(false)
})

test('PCRs that the policy judges must be quoted; a mismatch of the replay is explained where one event explains it', () => {
  const events = machineEvents(SECURE)
  const judge = parseBootPolicy(JSON.stringify(machineState(SECURE)), 'example')!
  const log = machineLog(SECURE)
  const pcrs = replayedPcrs(log) as { hash: 'sha256'; values: Map<number, Buffer> }
  const ids = (evaluate: boolean) => judge.judge({ pcrs: pcrs as never, log, evaluate }).failures
  pcrs.values.delete(14)
  expect(ids(true)).toMatchObject([{ eventId: 'measured_boot.missing_pcrs', context: { data: [14] } }])
  expect(ids(false)).toMatchObject([{ eventId: 'measured_boot.missing_pcrs' }])
  const real = replayedPcrs(log) as typeof pcrs
  pcrs.values = new Map(real.values)
  const grub = applications(events)[1]!
  const early = replayedPcrs(serialize(events.filter((e) => e.pcr !== 4 || e.number < grub.number))) as typeof pcrs
  pcrs.values.set(4, early.values.get(4)!)
  expect(ids(true)).toMatchObject([
    { eventId: 'measured_boot.invalid_pcr_4', context: { event: grub.number, cause: expect.stringContaining('were never measured') } },
  ])
  const left = replayedPcrs(serialize(events.filter((e) => e.number !== grub.number))) as typeof pcrs
  pcrs.values.set(4, left.values.get(4)!)
  expect(ids(true)).toMatchObject([
    { context: { event: grub.number, stands_for: expect.stringMatching(/^GRUB/), cause: expect.stringMatching(/was never measured$/) } },
  ])
  const shim = applications(events)[0]!
  const swapped = events.map((e) => (e.number === grub.number ? { ...e, digests: shim.digests } : e))
  pcrs.values.set(4, (replayedPcrs(serialize(swapped)) as typeof pcrs).values.get(4)!)
  expect(ids(true)).toMatchObject([{ context: { event: grub.number, measured: shim.digests.get('sha256')!.toString('hex') } }])
  pcrs.values = new Map(real.values).set(11, Buffer.alloc(32, 1))
  expect(ids(true)).toEqual([]) // PCR 11 is not judged by this policy
})

test('no changed event of a real log passes unless what counts is the same, and nothing crashes', () => {
  const events = machineEvents(SECURE)
  const state = machineState(SECURE)
  const digestCounts = (e: BootEvent) =>
    e.type !== EV.noAction && ![1, 2, 5].includes(e.pcr) && !/grub\.cfg|vmlinuz/.test(e.data.toString('latin1'))
  fc.assert(
    fc.property(fc.nat(events.length - 1), fc.nat(), fc.integer({ min: 1, max: 255 }), (index, position, change) => {
      const event = events[index]!
      const flip = (bytes: Buffer) => {
        const copy = Buffer.from(bytes)
        if (copy.length > 0) copy[position % copy.length]! ^= change
        return copy
      }
      const otherDigest = { ...event, digests: new Map([...event.digests].map(([bank, digest]) => [bank, flip(digest)] as const)) }
      if (digestCounts(event)) {
        const isFree = event.pcr === 7 && event.type === 0x800000e0
        expect(judgeExample(events.with(index, otherDigest), state).length > 0 || isFree).toBe(true)
      }
      judgeExample(events.with(index, measured(event, flip(event.data))), state)
      judgeExample(events.with(index, { ...event, data: event.data.subarray(0, position % (event.data.length + 1)) }), state)
    }),
    { numRuns: 150 },
  )
})
